// SPDX-License-Identifier: MIT OR GPL-2.0

//! Who may map what, and that nothing gets more rights later.

use std::fs::OpenOptions;
use std::io::{IoSliceMut, Read};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use alsa::pcm::Format;
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::libc::{self, c_void};
use nix::sys::mman::{mmap, mmap_anonymous, mprotect, munmap, MapFlags, ProtFlags};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::raw::{Mapping, Node, READ, WRITE};
use crate::time::wait_until;

tests!(mapping: windows, ring_is_there_twice, wrong_places, wrong_rights, no_rights_later, no_writes_by_other_ways, remap, bend, unmap_in_parts, madvise, child_has_no_mapping, works_without_descriptor);

const SHARED: MapFlags = MapFlags::MAP_SHARED;
const EXEC: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_EXEC);

/// The windows as they are meant to be mapped: name, offset, length, rights.
fn all_windows(node: &Node) -> Result<[(&'static str, u64, u64, ProtFlags); 3]> {
    let geometry = node.geometry()?;
    let page = geometry.page_size();
    Ok([
        ("producer page", geometry.producer_offset(), page, READ),
        ("consumer page", geometry.consumer_offset(), page, WRITE),
        ("ring", geometry.ring_offset(), geometry.ring_len(), READ),
    ])
}

/// All windows, mapped.
fn map_all(node: &Node) -> Result<Vec<(&'static str, Mapping)>> {
    all_windows(node)?
        .into_iter()
        .map(|(name, offset, len, rights)| {
            Ok((name, node.map(offset, len, rights, SHARED).context(name)?))
        })
        .collect()
}

fn windows() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    // Again and again, and more than once at a time.
    for _ in 0..50 {
        let first = map_all(&node)?;
        let second = map_all(&node)?;
        drop(first);
        drop(second);
    }
    for (name, offset, len, rights) in all_windows(&node)? {
        node.map(offset, len, ProtFlags::PROT_NONE, SHARED)
            .context(name)?;
        node.map(offset, len, READ, SHARED).context(name)?;
        node.map(offset, len, rights, SHARED | MapFlags::MAP_POPULATE)
            .context(name)?;
    }
    Ok(())
}

fn ring_is_there_twice() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 5_000, 1))?;
    let bytes = node.ring()?.copy();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    ensure!(first.iter().any(|byte| *byte != 0), "nothing was written");
    ensure!(first == second, "the halves differ");
    Ok(())
}

fn wrong_places() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let geometry = node.geometry()?;
    let (page, ring) = (geometry.page_size(), geometry.ring_len());
    let wrong = [
        ("both pages", 0, 2 * page),
        ("the whole region", 0, geometry.region_len()),
        ("all that follows the producer page", page, page + ring),
        ("two consumer pages", page, 2 * page),
        ("a page of the ring", 2 * page, page),
        ("the ring once", 2 * page, ring / 2),
        ("the ring but for its last page", 2 * page, ring - page),
        ("more than the ring", 2 * page, ring + page),
        ("the ring's second page on", 3 * page, ring),
        ("the ring's second page", 3 * page, page),
        ("the second ring", 2 * page + ring / 2, ring / 2),
        ("the last page", ring + page, page),
        ("behind the end", geometry.region_len(), page),
        ("far away", 1 << 40, page),
        ("as far as can be", (1 << 63) - page, page),
    ];
    for (name, offset, len) in wrong {
        for rights in [READ, WRITE, ProtFlags::PROT_NONE] {
            let error = node.map(offset, len, rights, SHARED).err();
            // The kernel itself refuses what is beyond all files.
            let expected = matches!(error, Some(Errno::EINVAL))
                || offset > 1 << 62 && matches!(error, Some(Errno::EOVERFLOW));
            ensure!(expected, "{name}, {rights:?}: {error:?}");
        }
    }
    for (name, offset, len, _) in all_windows(&node)? {
        for rights in [READ, WRITE] {
            let error = node.map(offset, len, rights, MapFlags::MAP_PRIVATE).err();
            ensure!(error == Some(Errno::EINVAL), "{name}, private: {error:?}");
        }
    }
    map_all(&node)?;
    Ok(())
}

fn wrong_rights() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    for (name, offset, len, rights) in all_windows(&node)? {
        let error = node.map(offset, len, EXEC, SHARED).err();
        ensure!(error == Some(Errno::EPERM), "{name}, execute: {error:?}");
        let error = node
            .map(offset, len, rights | ProtFlags::PROT_EXEC, SHARED)
            .err();
        ensure!(
            error == Some(Errno::EPERM),
            "{name}, and execute: {error:?}"
        );
        if rights == READ {
            for write in [WRITE, ProtFlags::PROT_WRITE] {
                let error = node.map(offset, len, write, SHARED).err();
                ensure!(error == Some(Errno::EPERM), "{name}, {write:?}: {error:?}");
            }
        }
    }
    Ok(())
}

fn no_rights_later() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let windows = map_all(&node)?;
    for (name, window) in &windows {
        let change = |rights| {
            // SAFETY: Nothing but copies is made of the mapping.
            unsafe { mprotect(window.address, window.len, rights) }
        };
        for rights in [EXEC, WRITE | ProtFlags::PROT_EXEC] {
            ensure!(change(rights) == Err(Errno::EACCES), "{name}: {rights:?}");
        }
        let write = change(WRITE);
        match *name {
            "consumer page" => ensure!(write.is_ok(), "{name}: {write:?}"),
            _ => ensure!(write == Err(Errno::EACCES), "{name}: {write:?}"),
        }
        // To have less and get it back is no harm.
        change(ProtFlags::PROT_NONE).context(*name)?;
        change(READ).context(*name)?;
        window.copy();
    }
    Ok(())
}

/// Ways around the rights of a mapping: through `/proc`, by another process's call, by the kernel
/// as it reads a file.
fn no_writes_by_other_ways() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 2_500, 1))?;
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/proc/self/mem")?;
    for (name, window) in map_all(&node)? {
        if name == "consumer page" {
            continue;
        }
        let before = window.copy();
        for offset in [0, window.len / 2, window.len - 8] {
            let address = window.address.as_ptr() as usize + offset;
            let result = memory.write_at(&[0x5a; 8], address as u64);
            ensure!(result.is_err(), "{name}: written through /proc/self/mem");

            let local = [0x5au8; 8];
            let from = libc::iovec {
                iov_base: local.as_ptr().cast_mut().cast(),
                iov_len: 8,
            };
            let to = libc::iovec {
                iov_base: address as *mut c_void,
                iov_len: 8,
            };
            let me = std::process::id() as libc::pid_t;
            // SAFETY: The kernel checks the target.
            let result = Errno::result(unsafe { libc::process_vm_writev(me, &from, 1, &to, 1, 0) });
            ensure!(
                result == Err(Errno::EFAULT),
                "{name}: process_vm_writev: {result:?}"
            );

            // SAFETY: The kernel checks the target: it must fail.
            let target = unsafe { std::slice::from_raw_parts_mut(address as *mut u8, 8) };
            let result =
                std::fs::File::open("/dev/zero")?.read_vectored(&mut [IoSliceMut::new(target)]);
            let error = result.map_err(|error| error.raw_os_error());
            ensure!(
                error == Err(Some(libc::EFAULT)),
                "{name}: read(): {error:?}"
            );
        }
        ensure!(window.copy() == before, "{name}: it has changed");
    }
    Ok(())
}

/// A mapping may be moved, but not grow or be doubled.
fn remap() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 2_500, 1))?;
    for (name, window) in map_all(&node)? {
        let Mapping { address, len } = window;
        let call = |old: usize, new: usize, flags: i32, to: *mut c_void| {
            // SAFETY: Nothing but copies is made of the mapping.
            let place = unsafe { libc::mremap(address.as_ptr(), old, new, flags, to) };
            if place == libc::MAP_FAILED {
                Err(Errno::last())
            } else {
                Ok(place)
            }
        };
        let none = std::ptr::null_mut();
        let grown = call(len, len + 4096, libc::MREMAP_MAYMOVE, none);
        ensure!(grown == Err(Errno::EFAULT), "{name}: grown: {grown:?}");
        let doubled = call(0, len, libc::MREMAP_MAYMOVE, none);
        ensure!(doubled.is_err(), "{name}: doubled");
        let left = call(
            len,
            len,
            libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP,
            none,
        );
        ensure!(left.is_err(), "{name}: left behind");
        let before = window.copy();
        let size = NonZeroUsize::new(len).context("empty")?;
        // SAFETY: A place that is ours.
        let place =
            unsafe { mmap_anonymous(None, size, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }?;
        let moved = call(
            len,
            len,
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            place.as_ptr(),
        )
        .context(name)?;
        let window = Mapping {
            address: NonNull::new(moved).context("moved to 0")?,
            len,
        };
        ensure!(window.copy() == before, "{name}: not the same after a move");
        // SAFETY: As above.
        let write = unsafe { mprotect(window.address, len, WRITE) };
        ensure!(
            write.is_ok() == (name == "consumer page"),
            "{name}: moved and {write:?}"
        );
    }
    Ok(())
}

/// A page of a mapping cannot be made to show another place of the device with more rights.
fn bend() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    for page in [0, 1, 2, 5] {
        for (name, window) in map_all(&node)? {
            let address = window.address.as_ptr();
            // SAFETY: Nothing is read of the page any more, which a failure may leave unmapped.
            let bent = Errno::result(unsafe {
                libc::syscall(libc::SYS_remap_file_pages, address, 4096, 0, page, 0)
            });
            // The two pages are windows of their own: to look at them is no harm.
            ensure!(bent.is_err() || page < 2, "{name}: bent to page {page}");
            // SAFETY: As above.
            let write = unsafe { mprotect(window.address, 4096, WRITE) };
            let may_write = match bent {
                Ok(_) => page == 1,
                Err(_) => name == "consumer page",
            };
            ensure!(
                write.is_err() || may_write,
                "{name}: bent to page {page} and writable"
            );
        }
    }
    Ok(())
}

/// A mapping that is taken away piece by piece holds the device until the last one is gone.
fn unmap_in_parts() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let ring = node.ring()?;
    drop(node);
    let page = 4096;
    let at = |offset: usize| {
        // SAFETY: Inside of the mapping.
        unsafe { ring.address.cast::<u8>().add(offset).cast() }
    };
    let cut = |offset, len| {
        // SAFETY: Nothing is read of these pages any more.
        unsafe { munmap(at(offset), len) }
    };
    cut(ring.len / 2, page)?;
    cut(0, page)?;
    cut(2 * page, ring.len / 4)?;
    ensure!(module::status()?.consumer_pid == Some(std::process::id()));
    // SAFETY: The second page is still there.
    let byte = unsafe { at(page).cast::<u8>().read_volatile() };
    ensure!(byte == 0);
    // Another mapping over a part of it.
    let size = NonZeroUsize::new(page).context("empty")?;
    let fixed = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    let zero = OpenOptions::new().read(true).open("/dev/zero")?;
    let place = NonZeroUsize::new(at(page).as_ptr() as usize);
    // SAFETY: In the place of a page that is not used any more.
    unsafe { mmap(place, size, READ, fixed, &zero, 0) }?;
    ensure!(module::status()?.consumer_pid == Some(std::process::id()));
    cut(0, ring.len)?;
    ensure!(
        module::status()?.consumer_pid.is_none(),
        "the seat is still taken"
    );
    Node::consumer()?;
    Ok(())
}

/// All advice that a process may give on the windows, while sound comes.
fn madvise() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let material = noise(Format::S16LE, 2, 12_000, 1);
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    for (name, window) in map_all(&node)? {
        let advise = |advice| {
            // SAFETY: Nothing is read of the mapping after it.
            Errno::result(unsafe { libc::madvise(window.address.as_ptr(), window.len, advice) })
        };
        let fork = advise(libc::MADV_DOFORK);
        ensure!(fork == Err(Errno::EINVAL), "{name}: MADV_DOFORK: {fork:?}");
        let dump = advise(libc::MADV_DODUMP);
        ensure!(dump == Err(Errno::EINVAL), "{name}: MADV_DODUMP: {dump:?}");
        let remove = advise(libc::MADV_REMOVE);
        ensure!(remove.is_err(), "{name}: MADV_REMOVE");
        // Whatever these answer, nothing may break.
        for advice in
            (0..=25).filter(|advice| !matches!(*advice, libc::MADV_REMOVE | libc::MADV_DOFORK))
        {
            let _ = advise(advice);
        }
    }
    app.pcm.drain()?;
    ensure!(
        node.producer_page()?
            .as_producer()
            .write_count
            .load_acquire()
            > 12_000 * 8
    );
    Ok(())
}

/// A child inherits the descriptor, and with it the seat, but no mapping.
fn child_has_no_mapping() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let windows = map_all(&node)?;
    // SAFETY: The child only makes system calls, and then ends.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let mapped = windows
                .iter()
                .filter(|(_, window)| {
                    let mut resident = 0u8;
                    // SAFETY: The kernel checks the address.
                    unsafe { libc::mincore(window.address.as_ptr(), 4096, &mut resident) == 0 }
                })
                .count();
            // SAFETY: Ends the child.
            unsafe { libc::_exit(i32::try_from(mapped).unwrap_or(100)) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => {}
            status => bail!("{status:?}: the child has mappings"),
        },
    }
    // The parent still has them.
    for (_, window) in &windows {
        window.copy();
    }
    Ok(())
}

/// The descriptor may be closed: the mapping alone keeps the seat, and sound keeps coming.
fn works_without_descriptor() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let page = node.producer_page()?;
    drop(node);
    let busy = Node::open(nix::fcntl::OFlag::O_RDWR).err();
    ensure!(busy == Some(Errno::EBUSY), "{busy:?}");
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 2_500, 1))?;
    ensure!(page.as_producer().write_count.load_acquire() > 2_500 * 8);
    drop(page);
    wait_until("the seat to be free", || {
        Ok(module::status()?.consumer_pid.is_none())
    })
}
