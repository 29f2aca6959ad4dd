// SPDX-License-Identifier: MIT OR GPL-2.0

//! One consumer at a time; it may come late, and it may die.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;

use alsa::pcm::Format;
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::pipe;
use rtshm::{Consumer, Error, State};
use rtshm_abi::record::{self, Record};

use super::tests;
use crate::app::{aplay, Aplay, App, Setup};
use crate::material::noise;
use crate::module::{self, NODE};
use crate::process::{Player, Role};
use crate::raw::Node;
use crate::tape::{attach, only_take, pop_all, takes, Entry, Recorder};
use crate::time::{frames, now, sleep_ms, wait_until};

tests!(consumers: second_is_busy, killed_in_mid_stream, unread_sound_is_wiped, pinned_pages_show_nothing, attach_in_mid_stream, attach_while_paused, attach_after_end, many_in_a_row);

/// Bytes in the ring of a record without samples.
const NOTE: usize = 64;

fn second_is_busy() -> Result<()> {
    module::ready()?;
    let other = Player::start(Role::Consumer)?;
    match Consumer::open(NODE) {
        Err(Error::Busy {
            holder: Some(holder),
            ..
        }) => {
            ensure!(holder.pid == other.pid(), "{holder:?}");
            ensure!(holder.name.as_deref() == Some("exe"), "{holder:?}");
        }
        result => anyhow::bail!("the second consumer: {result:?}"),
    }
    // Nor within one process.
    other.kill()?;
    let first = Node::consumer()?;
    let second = Node::open(OFlag::O_RDWR).err();
    ensure!(second == Some(Errno::EBUSY), "{second:?}");
    drop(first);
    Node::consumer()?;
    Ok(())
}

/// A consumer is killed while an application plays. The application does not notice; the next
/// consumer begins at "now" and finds nothing of what the first was given.
fn killed_in_mid_stream() -> Result<()> {
    module::ready()?;
    let setup = Setup::default();
    let material = noise(Format::S16LE, 2, 48_000, 1);
    let first = Player::start(Role::Consumer)?;
    let streams = module::status()?.streams;
    let player = Aplay::start(&setup, &material)?;
    wait_until("the stream to run", || {
        Ok(module::status()?.frames > 4_000 && module::status()?.streams > streams)
    })?;
    sleep_ms(200);
    first.kill()?;
    ensure!(module::status()?.consumer_pid.is_none());

    let node = Node::consumer()?;
    let ring = node.ring()?;
    let bytes = ring.copy();
    // Read after the copy. A chunk is written in place before it is published.
    let written = node.status()?.write_count as usize + (256 * 8 + 32usize).next_multiple_of(64);
    ensure!(
        written < bytes.len() / 2,
        "the second consumer was too slow"
    );
    for half in bytes.chunks(bytes.len() / 2) {
        let dirty = half
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        ensure!(
            dirty <= written,
            "byte {dirty} is not zero, {written} may be written"
        );
    }
    drop(ring);
    drop(node);

    let before = now();
    let recorder = Recorder::open(1)?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(take.resync, "it does not say that it begins in the middle");
    let material = material.by_aplay(setup.period);
    take.check_part_of(&material)?;
    ensure!(
        take.first + take.frames() == material.frames(),
        "the end is missing"
    );
    let end = take.changes.last().context("no end")?.time;
    let rest = frames(end - before, take.format.rate);
    // A frame for the rounding.
    ensure!(
        take.first + rest + 1 >= material.frames(),
        "it begins at {}, but {rest} frames before the end were to come",
        take.first
    );
    ensure!(take.chunks[0].time_stamp >= before, "from before it came");
    player.finish()
}

/// What a consumer has not read is gone when the next one comes, all of it: the ring holds the volume
/// alone.
fn unread_sound_is_wiped() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let material = noise(Format::FloatLE, 2, 8_192, 1);
    App::open(&Setup::of(&material))?.play(&material)?;
    ensure!(node.status()?.write_count > 64_000);
    let page = node.consumer_page()?;
    page.as_consumer().wake_bytes.store_relaxed(4711);
    page.as_consumer().rate_request.store_relaxed(1 << 32);
    drop(page);
    drop(node);

    let node = Node::consumer()?;
    let ring = node.ring()?.copy();
    for half in ring.chunks(ring.len() / 2) {
        let Some(record) = Record::parse(&half[..NOTE]).ok().flatten() else {
            bail!("nothing is told");
        };
        ensure!(record.volume().is_ok(), "{record:?}");
        let rest = half[record::HEADER_LEN + record.body.len()..].iter();
        ensure!(rest.clone().all(|byte| *byte == 0), "the ring is not empty");
    }
    let page = node.consumer_page()?.copy();
    ensure!(
        page.iter().all(|byte| *byte == 0),
        "the consumer page is not empty"
    );
    let page = node.producer_page()?;
    ensure!(page.as_producer().write_count.load_acquire() == NOTE as u64);
    ensure!(page.copy()[256..].iter().all(|byte| *byte == 0));
    Ok(())
}

/// Who keeps pages of the ring beyond its mapping (here in a pipe) does not see through them what
/// the next consumer hears.
fn pinned_pages_show_nothing() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let ring = node.ring()?;
    let before = ring.copy();
    let (read, write) = pipe()?;
    let pages = libc::iovec {
        iov_base: ring.address.as_ptr(),
        iov_len: 4 * 4096,
    };
    // SAFETY: The kernel checks the address; the pipe holds the pages, and we do not write them.
    let held = unsafe { libc::vmsplice(write.as_raw_fd(), &pages, 1, 0) };
    drop(write);
    drop(ring);
    drop(node);
    // That it cannot keep any is well, too.
    if let Ok(held) = usize::try_from(held) {
        let next = Node::consumer()?;
        let material = noise(Format::FloatLE, 2, 4_096, 1);
        App::open(&Setup::of(&material))?.play(&material)?;
        ensure!(next.status()?.write_count > 32_768);
        let mut seen = Vec::new();
        File::from(read).read_to_end(&mut seen)?;
        ensure!(seen.len() == held, "{} of {held} bytes", seen.len());
        let leaked = seen.iter().zip(before).filter(|(now, then)| *now != then);
        let leaked = leaked.count();
        ensure!(leaked == 0, "{leaked} bytes of the next consumer's sound");
    }
    Ok(())
}

/// A consumer that comes late is told what goes on, and hears the rest.
fn attach_in_mid_stream() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 30_000, 1);
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    // That took until all but a buffer was played.
    let before = now();
    let recorder = Recorder::open(1)?;
    app.pcm.drain()?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(
        take.resync && take.first >= 30_000 - 16_384,
        "from {}",
        take.first
    );
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    ensure!(take.changes[0].time >= before, "told of before it came");
    ensure!(take.chunks[0].time_stamp >= before, "from before it came");
    ensure!(
        take.first + take.frames() == 30_000,
        "{} frames",
        take.frames()
    );
    take.check_part_of(&material)
}

fn attach_while_paused() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 12_000, 1);
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    sleep_ms(50);
    app.pcm.pause(true)?;
    let recorder = Recorder::open(1)?;
    sleep_ms(50);
    app.pcm.pause(false)?;
    app.pcm.drain()?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(take.resync && take.first > 0);
    take.check_states(&[State::Pause, State::Resume, State::Drain, State::Stop])?;
    ensure!(
        take.first + take.frames() == 12_000,
        "{} frames",
        take.frames()
    );
    take.check_part_of(&material)
}

/// A stream that has ended is nobody's business any more.
fn attach_after_end() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 2_000, 1);
    let app = App::open(&Setup::default())?;
    app.play(&material)?;
    drop(app);
    let mut consumer = attach()?;
    let mut tape: Vec<Entry> = Vec::new();
    pop_all(&mut consumer, &mut tape)?;
    ensure!(tape.is_empty(), "{tape:?}");
    let recorder = Recorder::start(consumer, 1);
    aplay(&Setup::default(), &material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material.by_aplay(1024))
}

/// Consumers take turns while an application plays; each hears a part that is right.
fn many_in_a_row() -> Result<()> {
    module::ready()?;
    let setup = Setup::default();
    let material = noise(Format::S16LE, 2, 48_128, 1);
    let streams = module::status()?.streams;
    let mut player = Aplay::start(&setup, &material)?;
    let material = material.by_aplay(setup.period);
    wait_until("the stream", || Ok(module::status()?.streams > streams))?;
    let mut turns = 0;
    let mut heard = 0;
    while !player.has_ended()? {
        let recorder = Recorder::open(1)?;
        sleep_ms(30);
        let (_, tape) = recorder.stop()?;
        for take in takes(&tape)? {
            ensure!(take.resync);
            take.check_part_of(&material)?;
            heard += take.frames();
        }
        turns += 1;
    }
    player.finish()?;
    ensure!(turns >= 3 && heard > 0, "{turns} turns, {heard} frames");
    Ok(())
}
