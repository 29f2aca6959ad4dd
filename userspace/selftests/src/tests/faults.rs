// SPDX-License-Identifier: MIT OR GPL-2.0

//! A consumer that writes nonsense into its page harms itself and nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::poll::PollFlags;

use super::tests;
use crate::app::{aplay, Aplay, App, Setup};
use crate::material::noise;
use crate::module;
use crate::raw::Node;
use crate::tape::{only_take, Recorder};
use crate::time::{sleep_ms, wait_until};

tests!(faults: impossible_counts, fault_is_for_good, library_says_faulty, scribbled_page, count_goes_back);

/// An application and a healthy consumer, after whatever happened.
fn check_health() -> Result<()> {
    let recorder = Recorder::open(1).context("the next consumer")?;
    let material = noise(Format::S16LE, 2, 3_000, 9);
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?
        .check_all_of(&material)
        .context("the next consumer")
}

/// Counts outside of what is unread: `poll()` says so and the module counts it, once; the
/// application plays on.
fn impossible_counts() -> Result<()> {
    module::ready()?;
    let beyond = |written: u64| written + 64;
    let behind = |written: u64| written.wrapping_sub((1 << 20) + 64);
    let far = |_: u64| 1 << 63;
    for (name, count) in [
        ("beyond", beyond as fn(u64) -> u64),
        ("behind", behind),
        ("far", far),
    ] {
        let node = Node::consumer()?;
        let page = node.consumer_page()?;
        let before = module::status()?;
        let player = Aplay::start(&Setup::default(), &noise(Format::S16LE, 2, 20_480, 1))?;
        wait_until("sound", || Ok(module::status()?.chunks > before.chunks + 5))?;
        ensure!(
            node.poll(0)? == PollFlags::POLLIN,
            "{name}: not healthy before"
        );
        // Ahead of all that may be written until it is looked at.
        let ahead = if name == "beyond" { 1 << 16 } else { 0 };
        page.as_consumer()
            .read_count
            .store_release(count(node.status()?.write_count + ahead));
        let events = node.poll(0)?;
        ensure!(events == PollFlags::POLLERR, "{name}: {events:?}");
        player
            .finish()
            .with_context(|| format!("{name}: the application"))?;
        ensure!(node.poll(0)? == PollFlags::POLLERR, "{name}: forgotten");
        let after = module::status()?;
        ensure!(
            after.faults == before.faults + 1,
            "{name}: {} faults",
            after.faults - before.faults
        );
        ensure!(after.xruns == before.xruns);
        drop(node);
        drop(page);
        check_health().context(name)?;
    }
    Ok(())
}

/// Who was faulty once is not believed again, and gets nothing more.
fn fault_is_for_good() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    let before = module::status()?.faults;
    page.as_consumer().read_count.store_release(1 << 40);
    ensure!(node.poll(0)? == PollFlags::POLLERR);
    page.as_consumer().read_count.store_release(0);
    ensure!(node.poll(0)? == PollFlags::POLLERR, "it is believed again");
    aplay(&Setup::default(), &noise(Format::S16LE, 2, 2_048, 1))?;
    let status = node.status()?;
    // The volume, which was told before.
    ensure!(
        status.write_count == 64,
        "{} bytes written for it",
        status.write_count
    );
    ensure!(status.faults == before + 1);
    drop(page);
    drop(node);
    check_health()
}

/// The library turns it into an error of its own.
fn library_says_faulty() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    page.as_consumer().read_count.store_release(1 << 40);
    let fd = node.file().try_clone()?.into();
    let region = rtshm::Region::map(node.file(), node.geometry()?)?;
    // SAFETY: Nobody else writes the page, any more.
    let consumer = unsafe { rtshm::Consumer::from_region(fd, region) }?;
    let waited = consumer.wait(Some(std::time::Duration::ZERO));
    ensure!(matches!(waited, Err(rtshm::Error::Faulty)), "{waited:?}");
    Ok(())
}

/// All of the page overwritten again and again, while an application plays and `poll()` looks.
fn scribbled_page() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    let before = module::status()?;
    let player = Aplay::start(&Setup::default(), &noise(Format::S16LE, 2, 30_720, 1))?;
    let stop = AtomicBool::new(false);
    let address = page.address.cast::<u64>().as_ptr() as usize;
    let words = page.len / 8;
    thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            let mut value = 1u64;
            while !stop.load(Ordering::Relaxed) {
                for word in 0..words {
                    value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let place = (address + word * 8) as *mut u64;
                    // SAFETY: In the mapping, which outlives this thread, and aligned.
                    unsafe { place.write_volatile(value >> (value % 64)) };
                }
                thread::yield_now();
            }
        });
        let played = (|| {
            for _ in 0..100 {
                node.poll(1)?;
                node.status()?;
                // The scribbler may need this very CPU.
                sleep_ms(1);
            }
            player.finish()
        })();
        stop.store(true, Ordering::Relaxed);
        played
    })?;
    let after = module::status()?;
    ensure!(
        after.faults == before.faults + 1,
        "{} faults",
        after.faults - before.faults
    );
    ensure!(after.xruns == before.xruns);
    drop(page);
    drop(node);
    check_health()
}

/// A count that goes back behind what the kernel has seen when the ring was full. `poll()` tells.
fn count_goes_back() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    let read_count = &page.as_consumer().read_count;
    let before = module::status()?;
    let player = Aplay::start(&Setup::default(), &noise(Format::S16LE, 2, 40_960, 1))?;
    // All is read until the kernel has had to look, once it has filled the ring.
    wait_until("the ring to be filled once", || {
        let written = node.status()?.write_count;
        read_count.store_release(written);
        Ok(written > 100_000)
    })?;
    read_count.store_release(64);
    ensure!(node.poll(0)? == PollFlags::POLLERR);
    player.finish()?;
    let after = module::status()?;
    ensure!(
        after.faults == before.faults + 1,
        "{} faults",
        after.faults - before.faults
    );
    ensure!(node.poll(0)? == PollFlags::POLLERR);
    drop(page);
    drop(node);
    check_health()
}
