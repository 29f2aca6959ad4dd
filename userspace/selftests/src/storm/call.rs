// SPDX-License-Identifier: MIT OR GPL-2.0

//! System calls as they are.

use std::ffi::c_long;

use nix::errno::Errno;
use nix::libc;

/// Where no process has memory: the first page, where the kernel is, and in between.
pub(crate) const NOWHERE: [usize; 6] = [
    0,
    8,
    0x7fff_ffff_f000,
    0x8000_0000_0000_0000,
    0xffff_8880_0000_0000,
    usize::MAX - 7,
];

/// Calls the kernel.
///
/// # Safety
///
/// What the call writes to, unmaps or changes is memory that the program has for nothing else.
pub(crate) unsafe fn call(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: By the contract of this function.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    // CAST: What it returns is not negative here.
    Errno::result(result).map(|result| result as usize)
}

/// The number of an ioctl: 1 and 2 are the directions of writing and reading.
pub(crate) const fn request(direction: usize, kind: u8, number: u8, size: usize) -> usize {
    direction << 30 | size << 16 | (kind as usize) << 8 | number as usize
}

/// An ioctl that reads and writes `data`.
///
/// # Panics
///
/// Where the request says that it is longer.
pub(crate) fn ioctl(fd: i32, request: usize, data: &mut [u8]) -> Result<usize, Errno> {
    assert!(request >> 16 & 0x3fff <= data.len(), "ioctl {request:#x}");
    let arguments = [fd as usize, request, data.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: The device reads and writes as many bytes as the request says.
    unsafe { call(libc::SYS_ioctl, arguments) }
}

/// An ioctl with a value, or with an address out of [`NOWHERE`].
pub(crate) fn ioctl_value(fd: i32, request: usize, value: usize) -> Result<usize, Errno> {
    let arguments = [fd as usize, request, value, 0, 0, 0];
    // SAFETY: Nothing is written through what is no address of ours.
    unsafe { call(libc::SYS_ioctl, arguments) }
}

/// Sends `SIGUSR1` to a thread of this process.
pub(crate) fn interrupt(thread: i32) -> Result<(), Errno> {
    let process = std::process::id() as usize;
    let arguments = [process, thread as usize, libc::SIGUSR1 as usize, 0, 0, 0];
    // SAFETY: The handler does nothing.
    unsafe { call(libc::SYS_tgkill, arguments) }.map(|_| ())
}
