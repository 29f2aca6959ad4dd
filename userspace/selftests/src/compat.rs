// SPDX-License-Identifier: MIT OR GPL-2.0

//! System calls as a 32-bit program makes them: `int 0x80` enters the kernel's compatibility code from
//! a 64-bit process as well.

use std::arch::asm;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc::{self, c_void};
use nix::sys::mman::{mmap_anonymous, munmap, MapFlags, ProtFlags};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};

/// Numbers of system calls, by the kernel's `syscall_32.tbl`.
const OPEN: u32 = 5;
const CLOSE: u32 = 6;
const GETPID: u32 = 20;
const IOCTL: u32 = 54;
const MUNMAP: u32 = 91;
const POLL: u32 = 168;
const MMAP2: u32 = 192;

/// Makes a system call.
///
/// # Safety
///
/// That of the system call.
unsafe fn call(number: u32, arguments: [u32; 6]) -> Result<u32, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments.map(u64::from);
    let result: u64;
    // SAFETY: By the contract of this function. All registers that the kernel may change are named,
    // and the two that the compiler keeps for itself are put back.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "mov rbx, r8",
            "mov rbp, r9",
            "int 0x80",
            "pop rbp",
            "pop rbx",
            inlateout("rax") u64::from(number) => result,
            in("rcx") second,
            in("rdx") third,
            in("rsi") fourth,
            in("rdi") fifth,
            inlateout("r8") first => _,
            inlateout("r9") sixth => _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    let result = result as u32;
    match result as i32 {
        // Errors, as the kernel returns them.
        error @ -4095..=-1 => Err(Errno::from_raw(-error)),
        _ => Ok(result),
    }
}

/// Checks that the kernel takes such calls: one that does not ends whoever makes them.
pub(crate) fn check_supported() -> Result<()> {
    // SAFETY: The child makes one system call and ends.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // SAFETY: It has no arguments.
            let pid = unsafe { call(GETPID, [0; 6]) };
            let same = pid == Ok(std::process::id());
            // SAFETY: Ends the child.
            unsafe { libc::_exit(i32::from(!same)) }
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None)?;
            let supported = matches!(status, WaitStatus::Exited(_, 0));
            ensure!(
                supported,
                "this kernel has no IA32 emulation, 32-bit callers are not tested: {status:?}"
            );
        }
    }
    Ok(())
}

/// Memory that a 32-bit pointer reaches.
pub(crate) struct Low {
    start: NonNull<c_void>,
    len: NonZeroUsize,
}

impl Low {
    /// So many bytes of zeros, in whole pages.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let len = NonZeroUsize::new(len.next_multiple_of(4096)).context("no bytes")?;
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_32BIT;
        // SAFETY: The kernel chooses the place.
        let start = unsafe { mmap_anonymous(None, len, rights, flags) }?;
        Ok(Self { start, len })
    }

    /// Memory with a copy of a structure at its start.
    pub(crate) fn holding<T: Copy>(value: &T) -> Result<Self> {
        let low = Self::new(size_of::<T>())?;
        // SAFETY: There is room, aligned to a page.
        unsafe { low.start.cast::<T>().write(*value) };
        Ok(low)
    }

    /// The address, and that of the byte `offset` behind it.
    pub(crate) fn at(&self, offset: u32) -> u32 {
        self.start.as_ptr() as u32 + offset
    }

    /// A copy of the structure at its start.
    pub(crate) fn get<T: Copy>(&self) -> T {
        assert!(size_of::<T>() <= self.len.get());
        // SAFETY: There is as much, aligned to a page, and only of types that any bits are a value
        // of.
        unsafe { self.start.cast::<T>().read() }
    }

    /// Copies bytes to its start.
    pub(crate) fn put(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len.get());
        let to = self.start.cast::<u8>();
        // SAFETY: There is room, and it is ours.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: Nothing but copies was made of it.
        let _ = unsafe { munmap(self.start, self.len.get()) };
    }
}

/// A file that was opened by a 32-bit call.
pub(crate) struct File(u32);

impl File {
    /// Opens a file.
    pub(crate) fn open(path: &str, flags: i32) -> Result<Self> {
        let name = Low::new(path.len() + 1)?;
        name.put(path.as_bytes());
        // SAFETY: The name ends with a zero.
        let fd = unsafe { call(OPEN, [name.at(0), flags as u32, 0, 0, 0, 0]) };
        Ok(Self(fd.with_context(|| path.to_string())?))
    }

    /// Calls an ioctl.
    pub(crate) fn ioctl(&self, number: u64, pointer: u32) -> Result<u32, Errno> {
        // SAFETY: What these tests pass is no memory of ours, or as large as the number says.
        unsafe { call(IOCTL, [self.0, number as u32, pointer, 0, 0, 0]) }
    }

    /// Maps `len` bytes from page `page` on, for a moment; returns the first bytes of what is there.
    pub(crate) fn map(&self, page: u32, len: u32, rights: ProtFlags) -> Result<[u32; 16], Errno> {
        let (rights, flags) = (rights.bits() as u32, libc::MAP_SHARED as u32);
        // SAFETY: The kernel chooses the place.
        let start = unsafe { call(MMAP2, [0, len, rights, flags, self.0, page]) }?;
        // SAFETY: It is mapped, readable, and at least a page.
        let words = unsafe { (start as usize as *const [u32; 16]).read_volatile() };
        // SAFETY: Nothing but copies was made of it.
        unsafe { call(MUNMAP, [start, len, 0, 0, 0, 0]) }?;
        Ok(words)
    }

    /// What `poll()` says within a time.
    pub(crate) fn poll(&self, millis: u32) -> Result<i16> {
        let fds = Low::holding(&libc::pollfd {
            fd: self.0 as i32,
            events: libc::POLLIN,
            revents: 0,
        })?;
        // SAFETY: There is one structure.
        unsafe { call(POLL, [fds.at(0), 1, millis, 0, 0, 0]) }?;
        Ok(fds.get::<libc::pollfd>().revents)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: The descriptor is ours.
        let _ = unsafe { call(CLOSE, [self.0, 0, 0, 0, 0, 0]) };
    }
}
