// SPDX-License-Identifier: MIT OR GPL-2.0

//! Opening the device, ioctls, fdinfo.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::ptr;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::PollFlags;
use nix::sys::mman::MapFlags;
use rtshm_abi::ioctl::{Info, Status, INFO, MAGIC, STATUS};

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::raw::{Node, READ, WRITE};

tests!(node: modes, no_read_no_write, observers, unknown_ioctls, bad_pointers, status_is_true, fdinfo_agrees_with_status);

fn modes() -> Result<()> {
    module::ready()?;
    let write_only = Node::open(OFlag::O_WRONLY).err();
    ensure!(
        write_only == Some(Errno::EINVAL),
        "O_WRONLY: {write_only:?}"
    );
    // Mode 3 asks for both rights at open, and gives neither.
    let neither = Node::open(OFlag::O_ACCMODE).err();
    ensure!(neither == Some(Errno::EINVAL), "O_ACCMODE: {neither:?}");
    for more in [
        OFlag::O_NONBLOCK,
        OFlag::O_CREAT,
        OFlag::O_TRUNC,
        OFlag::O_APPEND,
    ] {
        Node::open(OFlag::O_RDWR | more).with_context(|| format!("{more:?}"))?;
        Node::open(OFlag::O_RDONLY | more).with_context(|| format!("{more:?}"))?;
    }
    ensure!(module::status()?.consumer_pid.is_none());
    Ok(())
}

fn no_read_no_write() -> Result<()> {
    module::ready()?;
    for node in [Node::consumer()?, Node::observer()?] {
        let error = node
            .file()
            .read(&mut [0; 16])
            .map_err(|error| error.raw_os_error());
        ensure!(error == Err(Some(libc::EINVAL)), "read: {error:?}");
    }
    let error = Node::consumer()?
        .file()
        .write(&[0; 16])
        .map_err(|error| error.raw_os_error());
    ensure!(error == Err(Some(libc::EINVAL)), "write: {error:?}");
    Ok(())
}

/// Any number may look, with a consumer or without, and do nothing else.
fn observers() -> Result<()> {
    module::ready()?;
    let observers: Vec<_> = (0..20).map(|_| Node::observer()).collect::<Result<_>>()?;
    let consumer = Node::consumer()?;
    for observer in &observers {
        let status = observer.status()?;
        ensure!(status.consumer_pid == std::process::id(), "{status:?}");
        ensure!(observer.info()? == consumer.info()?);
        let events = observer.poll(0)?;
        ensure!(events == PollFlags::POLLERR, "poll: {events:?}");
    }
    let geometry = consumer.geometry()?;
    let page = geometry.page_size();
    let windows = [
        (geometry.producer_offset(), page),
        (geometry.consumer_offset(), page),
        (geometry.ring_offset(), geometry.ring_len()),
    ];
    for (offset, len) in windows {
        for rights in [READ, WRITE] {
            let error = observers[0]
                .map(offset, len, rights, MapFlags::MAP_SHARED)
                .err();
            ensure!(
                error == Some(Errno::EACCES),
                "{offset}, {rights:?}: {error:?}"
            );
        }
    }
    Ok(())
}

/// Calls an ioctl with whatever number and pointer.
fn ioctl(node: &Node, number: u64, pointer: *mut libc::c_void) -> Result<i32, Errno> {
    // SAFETY: What these tests pass is no memory of ours, or as large as the number says.
    Errno::result(unsafe { libc::ioctl(node.file().as_raw_fd(), number as _, pointer) })
}

fn number(direction: u64, size: usize, kind: u8, number: u8) -> u64 {
    direction << 30 | (size as u64) << 16 | u64::from(kind) << 8 | u64::from(number)
}

const FROM_KERNEL: u64 = 2;

fn unknown_ioctls() -> Result<()> {
    module::ready()?;
    let mut buffer = [0xa5u8; 4096];
    let pointer = buffer.as_mut_ptr().cast();
    let (info, status) = (size_of::<Info>(), size_of::<Status>());
    let unknown = [
        number(FROM_KERNEL, status, MAGIC, STATUS + 1),
        number(FROM_KERNEL, status, MAGIC, 0xff),
        number(FROM_KERNEL, info, MAGIC + 1, INFO),
        number(FROM_KERNEL, info - 8, MAGIC, INFO),
        number(FROM_KERNEL, info + 8, MAGIC, INFO),
        number(FROM_KERNEL, 0, MAGIC, INFO),
        number(FROM_KERNEL, 0x3fff, MAGIC, STATUS),
        number(0, 0, MAGIC, INFO),
        number(1, info, MAGIC, INFO),
        number(3, status, MAGIC, STATUS),
        libc::TCGETS,
        0,
        u64::from(u32::MAX),
    ];
    for node in [Node::consumer()?, Node::observer()?] {
        for number in unknown {
            let result = ioctl(&node, number, pointer);
            ensure!(result == Err(Errno::ENOTTY), "{number:#x}: {result:?}");
        }
    }
    ensure!(
        buffer.iter().all(|byte| *byte == 0xa5),
        "something was written"
    );
    Ok(())
}

fn bad_pointers() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let read_only = node.producer_page()?;
    let pointers = [
        ptr::null_mut(),
        8 as *mut _,
        usize::MAX as *mut _,
        0xffff_8880_0000_0000_usize as *mut _,
        0xffff_ffff_8100_0000_usize as *mut _,
        // The end of user space.
        0x7fff_ffff_f000_usize as *mut _,
        read_only.address.as_ptr(),
    ];
    for (size, which) in [(size_of::<Info>(), INFO), (size_of::<Status>(), STATUS)] {
        for pointer in pointers {
            let result = ioctl(&node, number(FROM_KERNEL, size, MAGIC, which), pointer);
            ensure!(
                result == Err(Errno::EFAULT),
                "{which} to {pointer:?}: {result:?}"
            );
        }
        // In the last bytes of a page, with nothing behind it.
        let page = node.consumer_page()?;
        // SAFETY: A part of the page.
        let pointer = unsafe { page.address.cast::<u8>().add(page.len - size + 1) };
        drop(page);
        let result = ioctl(
            &node,
            number(FROM_KERNEL, size, MAGIC, which),
            pointer.as_ptr().cast(),
        );
        ensure!(
            result == Err(Errno::EFAULT),
            "{which} across the end: {result:?}"
        );
    }
    Ok(())
}

/// What the ioctl says is what the page says, and what has happened.
fn status_is_true() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let before = node.status()?;
    let setup = Setup {
        format: Format::FloatLE,
        channels: 1,
        rate: 44_100,
        period: 500,
        buffer: 5_000,
        ..Setup::default()
    };
    let app = App::open(&setup)?;
    app.play(&noise(setup.format, 1, 4_200, 1))?;
    let after = node.status()?;
    let stream = (
        after.state,
        after.rate,
        after.channels,
        after.format,
        after.period_frames,
        after.buffer_frames,
        after.chunk_frames,
    );
    ensure!(stream == (4, 44_100, 1, 14, 500, 5_000, 250), "{stream:?}");
    ensure!(after.frames == before.frames + 4_200, "{after:?}");
    // Eight periods of two chunks, and one of 200 frames.
    ensure!(after.chunks - before.chunks >= 17, "{after:?}");
    ensure!(after.streams == before.streams + 1, "{after:?}");
    ensure!(after.consumer_pid == std::process::id(), "{after:?}");

    let mapping = node.producer_page()?;
    let page = mapping.as_producer();
    ensure!(page.write_count.load_acquire() == after.write_count);
    ensure!(page.capacity.load_relaxed() == node.info()?.capacity);
    let counters = &page.counters;
    let pairs = [
        (counters.chunks.load_relaxed(), after.chunks),
        (counters.frames.load_relaxed(), after.frames),
        (counters.lost_frames.load_relaxed(), after.lost_frames),
        (counters.lost_records.load_relaxed(), after.lost_records),
        (counters.streams.load_relaxed(), after.streams),
        (counters.xruns.load_relaxed(), after.xruns),
        (counters.faults.load_relaxed(), after.faults),
        (counters.wakeups.load_relaxed(), after.wakeups),
        (page.clock_ratio.load_relaxed(), after.clock_ratio),
    ];
    ensure!(
        pairs.iter().all(|(page, ioctl)| page == ioctl),
        "page and ioctl: {pairs:?}"
    );
    let described = (
        page.stream.state.load_relaxed(),
        page.stream.rate.load_relaxed(),
        page.stream.channels.load_relaxed(),
        page.stream.format.load_relaxed(),
        page.stream.period_frames.load_relaxed(),
        page.stream.buffer_frames.load_relaxed(),
        page.stream.chunk_frames.load_relaxed(),
    );
    ensure!(
        described == stream,
        "page: {described:?}, ioctl: {stream:?}"
    );
    Ok(())
}

fn fdinfo_agrees_with_status() -> Result<()> {
    module::ready()?;
    let consumer = Node::consumer()?;
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 2_500, 1))?;
    let observer = Node::observer()?;
    for (node, role) in [(&consumer, "consumer"), (&observer, "observer")] {
        let text = node.fdinfo()?;
        let fields: HashMap<_, _> = text
            .lines()
            .filter_map(|line| line.strip_prefix("rtshm-")?.split_once(":\t"))
            .collect();
        let status = node.status()?;
        let expected = [
            ("consumer-pid", status.consumer_pid.into()),
            ("capacity", node.info()?.capacity),
            ("state", status.state.into()),
            ("rate", status.rate.into()),
            ("channels", status.channels.into()),
            ("format", status.format.into()),
            ("period-frames", status.period_frames.into()),
            ("buffer-frames", status.buffer_frames.into()),
            ("chunk-frames", status.chunk_frames.into()),
            ("write-count", status.write_count),
            ("read-count", status.read_count),
            ("chunks", status.chunks),
            ("frames", status.frames),
            ("lost-frames", status.lost_frames),
            ("lost-records", status.lost_records),
            ("streams", status.streams),
            ("xruns", status.xruns),
            ("faults", status.faults),
            ("wakeups", status.wakeups),
            ("clock-ratio", status.clock_ratio),
            ("volume-on", status.volume_on.into()),
        ];
        ensure!(fields.len() == expected.len() + 2, "{text}");
        ensure!(fields.get("role") == Some(&role), "{text}");
        let gain = status.volume_gain.to_string();
        ensure!(fields.get("volume-gain") == Some(&&*gain), "{text}");
        for (name, value) in expected {
            let told: u64 = fields
                .get(name)
                .with_context(|| format!("no {name}"))?
                .parse()?;
            ensure!(told == value, "{name}: {told} in fdinfo, {value} by ioctl");
        }
    }
    Ok(())
}
