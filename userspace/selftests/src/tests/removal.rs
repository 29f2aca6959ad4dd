// SPDX-License-Identifier: MIT OR GPL-2.0

//! The card is taken away while it is used: whoever uses it ends with an error, the consumer has every
//! frame until then, and the module can go when they have.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;

use alsa::pcm::{Format, PCM};
use alsa::poll::Descriptors;
use alsa::{Ctl, Direction};
use anyhow::{anyhow, bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rtshm::{Consumer, Device, Error, State};

use super::tests;
use crate::app::{Aplay, App, Setup};
use crate::material::{noise, Material};
use crate::module::{self, CARD, NODE, REMOVE};
use crate::process::run;
use crate::raw::Node;
use crate::raw_pcm::RawPcm;
use crate::tape::{attach, attach_to, only_take, pop_all, Entry, Recorder, Take};
use crate::time::{sleep_ms, wait_until};

tests!(removal: while_aplay_plays, while_a_writer_sleeps, while_paused, while_draining, while_linked, while_nothing_plays, ring_is_full, waiters_are_woken, controls_end, recorders_end, reader_plays_out_and_ends, other_cards_stay, wrong_values, one_of_many_writers, storm,);

/// Checks that the module goes, and comes back with a card that works.
fn check_reload() -> Result<()> {
    wait_until("the device to be unused", || Ok(module::refcount()? == 0))?;
    module::unload().context("after the card was taken away")?;
    check_fresh()
}

/// Checks that the module loads with a card that works.
fn check_fresh() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let material = noise(Format::S16LE, 2, 3_000, 7);
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?
        .check_all_of(&material)
        .context("the next card")
}

/// Checks what is left of a card that was taken away.
fn check_gone(card: u32) -> Result<()> {
    for place in [
        format!("/dev/snd/controlC{card}"),
        format!("/dev/snd/pcmC{card}D0p"),
        format!("/dev/snd/pcmC{card}D0c"),
        format!("/proc/asound/{CARD}"),
        format!("/sys/class/sound/card{card}"),
    ] {
        ensure!(!Path::new(&place).exists(), "{place} is left");
    }
    for mode in [OFlag::O_RDONLY, OFlag::O_RDWR] {
        let opened = Node::open(mode).map(|_| ());
        ensure!(opened == Err(Errno::ENODEV), "{mode:?}: {opened:?}");
    }
    Ok(())
}

/// Waits until so many frames have been played.
fn wait_for_frames(frames: u64) -> Result<()> {
    let node = Node::observer()?;
    let before = node.status()?.frames;
    wait_until("sound", || Ok(node.status()?.frames - before >= frames))
}

/// Pops until the consumer is told that the card is gone; then that is all it is told.
fn pop_until_gone(consumer: &mut Consumer) -> Result<Vec<Entry>> {
    let mut tape = Vec::new();
    loop {
        while let Some(event) = consumer.pop()? {
            tape.push(Entry::of(&event)?);
        }
        match consumer.wait(None) {
            Ok(_) => {}
            Err(Error::Gone) => break,
            Err(error) => bail!("{error}"),
        }
    }
    ensure!(consumer.unread()? == 0, "something came after the end");
    Ok(tape)
}

/// Checks a stream that was cut off: nothing is missing of it up to the frame at which it stopped.
/// Where delivery is eager more was sent.
fn check_cut(take: &Take, material: &Material, states: &[State]) -> Result<()> {
    take.check_states(states)?;
    take.check_part_of(material)?;
    let stop = take.changes.last().context("no state")?;
    ensure!(
        take.first == 0
            && (take.frames() == stop.position
                || module::is_eager() && take.frames() > stop.position),
        "{} frames from {} on, stopped at {}",
        take.frames(),
        take.first,
        stop.position
    );
    ensure!(
        stop.position < material.frames(),
        "all of it was played, which tests nothing"
    );
    Ok(())
}

fn while_aplay_plays() -> Result<()> {
    module::ready()?;
    let node = Node::observer()?;
    let info = node.info()?;
    let mut consumer = attach()?;
    let material = noise(Format::S16LE, 2, 48_000 * 30, 1);
    let aplay = Aplay::start(&Setup::default(), &material)?;
    wait_for_frames(10_000)?;
    module::take_card_away()?;
    check_gone(info.card)?;
    let take = only_take(&pop_until_gone(&mut consumer)?)?;
    check_cut(&take, &material, &[State::Start, State::Stop])?;
    aplay.finish_failing()?;

    // Files that were open still tell what was.
    let status = node.status()?;
    ensure!(node.info()?.card_id == info.card_id && node.info()?.card == info.card);
    ensure!(
        status.frames >= take.frames()
            && status.state == State::Stop.as_raw()
            && status.consumer_pid == std::process::id(),
        "{status:?}"
    );
    ensure!(consumer.device().status()?.frames == status.frames);
    ensure!(node.fdinfo()?.contains("rtshm-state:\t4\n"));
    module::check_in_use()?;
    drop((consumer, node));
    check_reload()
}

/// A writer that sleeps because the buffer is full is woken, and everything after that fails too.
fn while_a_writer_sleeps() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let material = noise(Format::S16LE, 2, 48_000 * 30, 1);
    let app = App::open(&Setup {
        buffer: 48_000,
        period: 24_000,
        ..Setup::default()
    })?;
    let material = &material;
    let (app, written) = thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let written = app.write(material);
            (app, written)
        });
        wait_for_frames(2_000)?;
        module::take_card_away()?;
        writer.join().map_err(|_| anyhow!("the writer panicked"))
    })?;
    let failed = written.err().context("writing succeeds without a card")?;
    let errno = failed.downcast::<alsa::Error>()?.errno();
    // ALSA has the first for a call that was waiting.
    ensure!(
        [Errno::EBADFD as i32, Errno::ENODEV as i32].contains(&errno),
        "errno {errno}"
    );
    let errno = |result: alsa::Result<()>| result.err().map(|error| error.errno());
    for (what, result) in [
        ("prepare", app.pcm.prepare()),
        ("start", app.pcm.start()),
        ("drain", app.pcm.drain()),
        ("pause", app.pcm.pause(true)),
    ] {
        let errno = errno(result);
        ensure!(errno == Some(Errno::ENODEV as i32), "{what}: {errno:?}");
    }
    let take = only_take(&pop_until_gone(&mut consumer)?)?;
    check_cut(&take, material, &[State::Start, State::Stop])?;
    drop((app, consumer));
    check_reload()
}

fn while_paused() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let material = noise(Format::FloatLE, 1, 14_000, 1);
    let app = App::open(&Setup::of(&material))?;
    let before = module::status()?.frames;
    app.write(&material)?;
    wait_until("sound", || Ok(module::status()?.frames - before >= 500))?;
    app.pcm.pause(true)?;
    module::take_card_away()?;
    let take = only_take(&pop_until_gone(&mut consumer)?)?;
    check_cut(&take, &material, &[State::Start, State::Pause, State::Stop])?;
    ensure!(take.changes[1].position == take.changes[2].position);
    ensure!(app.pcm.pause(false).is_err());
    drop((app, consumer));
    check_reload()
}

fn while_draining() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let setup = Setup {
        buffer: 240_000,
        period: 24_000,
        ..Setup::default()
    };
    let material = noise(Format::S16LE, 2, 240_000, 1);
    let app = App::open(&setup)?;
    app.write(&material)?;
    let (app, drained) = thread::scope(|scope| {
        let drain = scope.spawn(move || {
            let drained = app.pcm.drain();
            (app, drained)
        });
        wait_until("the drain", || {
            Ok(Node::observer()?.status()?.state == State::Drain.as_raw())
        })?;
        module::take_card_away()?;
        drain.join().map_err(|_| anyhow!("the drain panicked"))
    })?;
    let errno = drained.err().map(|error| error.errno());
    ensure!(errno == Some(Errno::ENODEV as i32), "drain: {errno:?}");
    let take = only_take(&pop_until_gone(&mut consumer)?)?;
    check_cut(&take, &material, &[State::Start, State::Drain, State::Stop])?;
    drop((app, consumer));
    check_reload()
}

/// ALSA cannot stop a stream while a linked one has no configuration: nothing comes behind the end of
/// the card all the same.
fn while_linked() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let setup = Setup {
        buffer: 48_000,
        period: 24_000,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let mut player = RawPcm::open(module::PCM, Direction::Playback)?;
    player.set_up(&setup)?;
    let mut linked = RawPcm::open(module::PCM, Direction::Capture)?;
    linked.set_up(&setup)?;
    player.link(&linked)?;
    let material = noise(Format::S16LE, 2, 48_000, 1);
    player.write(&material.bytes)?;
    player.start()?;
    player.begin_drain()?;
    ensure!((player.state(), linked.state()) == (5, 1));
    linked.free()?;
    module::take_card_away()?;
    let tape = pop_until_gone(&mut consumer)?;
    check_cut(
        &only_take(&tape)?,
        &material,
        &[State::Start, State::Drain, State::Stop],
    )?;
    // Some chunks later.
    sleep_ms(100);
    ensure!(consumer.unread()? == 0, "something came behind the end");
    drop((player, linked));
    ensure!(consumer.unread()? == 0, "something came with the close");
    drop(consumer);
    check_reload()
}

/// Nothing is told of a stream that was not.
fn while_nothing_plays() -> Result<()> {
    module::ready()?;
    module::unload()?;
    module::load("")?;
    let mut consumer = attach()?;
    let app = App::open(&Setup::default())?;
    module::take_card_away()?;
    let tape = pop_until_gone(&mut consumer)?;
    ensure!(tape.is_empty(), "{tape:?}");
    drop((app, consumer));
    check_reload()
}

/// What did not fit is told even then, and the end behind it.
fn ring_is_full() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let mut consumer = attach()?;
    let material = noise(Format::S16LE, 2, 48_000 * 30, 1);
    let aplay = Aplay::start(&Setup::default(), &material)?;
    let node = Node::observer()?;
    wait_until("loss", || Ok(node.status()?.lost_frames > 5_000))?;
    module::take_card_away()?;
    let mut tape = Vec::new();
    // POLLIN comes first, for as long as there is something.
    pop_all(&mut consumer, &mut tape).or_else(|error| match error.downcast_ref() {
        Some(Error::Gone) => Ok(()),
        _ => Err(error),
    })?;
    tape.extend(pop_until_gone(&mut consumer)?);
    aplay.finish_failing()?;
    let (mut next, mut lost) = (0, 0);
    for entry in &tape {
        match entry {
            Entry::Audio { chunk, .. } => {
                ensure!(chunk.position == next, "{} after {next}", chunk.position);
                next += chunk.frames;
            }
            Entry::Lost {
                position, frames, ..
            } => {
                ensure!(*position == next, "lost at {position} after {next}");
                (next, lost) = (next + frames, lost + frames);
            }
            Entry::State { position, .. } => {
                ensure!(*position == next, "{entry:?} after {next}");
            }
            Entry::Format { .. } | Entry::Volume { .. } => {}
        }
    }
    ensure!(tape.last().is_some_and(Entry::is_end), "no end");
    ensure!(lost == node.status()?.lost_frames, "{lost} frames lost");
    drop((consumer, node));
    check_reload()
}

/// Those who sleep in `poll()` and epoll, with a threshold that nothing reaches.
fn waiters_are_woken() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    page.as_consumer().wake_bytes.store_relaxed(1 << 19);
    // The volume, which every consumer is told.
    let told = node.status()?.write_count;
    page.as_consumer().read_count.store_release(told);
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(
        node.file(),
        EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 1),
    )?;
    thread::scope(|scope| {
        let poller = scope.spawn(|| node.poll(30_000));
        let waiter = scope.spawn(|| -> Result<EpollFlags> {
            let mut events = [EpollEvent::empty()];
            epoll.wait(&mut events, EpollTimeout::from(30_000u16))?;
            Ok(events[0].events())
        });
        sleep_ms(100);
        ensure!(!poller.is_finished() && !waiter.is_finished());
        module::take_card_away()?;
        let polled = poller.join().map_err(|_| anyhow!("panic"))??;
        let waited = waiter.join().map_err(|_| anyhow!("panic"))??;
        ensure!(polled == PollFlags::POLLHUP, "poll: {polled:?}");
        ensure!(waited == EpollFlags::EPOLLHUP, "epoll: {waited:?}");
        Ok(())
    })?;
    ensure!(node.poll(0)? == PollFlags::POLLHUP, "the next poll");
    // What was mapped stays.
    page.copy();
    let ring = node.ring()?;
    drop(node);
    module::check_in_use()?;
    ring.copy();
    drop((page, ring));
    check_reload()
}

/// Those who listen to the card's controls, and those who would open it.
fn controls_end() -> Result<()> {
    module::ready()?;
    let name = format!("hw:{CARD}");
    let ctl = Ctl::new(&name, false)?;
    ctl.subscribe_events(true)?;
    let mut monitor = Command::new("alsactl")
        .args(["monitor", &name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait_until("alsactl to open the card", || Ok(module::refcount()? >= 2))?;
    module::take_card_away()?;
    let mut fds = ctl.get()?;
    alsa::poll::poll(&mut fds, 10_000)?;
    let events = ctl.revents(&fds)?;
    ensure!(
        events.intersects(alsa::poll::Flags::ERR | alsa::poll::Flags::NVAL),
        "{events:?}"
    );
    let errno = ctl.card_info().err().map(|error| error.errno());
    ensure!(errno == Some(Errno::ENODEV as i32), "{errno:?}");
    // It may end by itself, or not.
    let _ = monitor.kill();
    monitor.wait()?;
    ensure!(PCM::new(module::PCM, Direction::Playback, false).is_err());
    drop(ctl);
    check_reload()
}

/// Recorders of the monitor, and one who has only opened it.
fn recorders_end() -> Result<()> {
    // Nobody pops while the recorders start, which takes seconds on a busy host.
    module::ready_with("ring_kib=16384")?;
    let mut consumer = attach()?;
    let material = noise(Format::S16LE, 2, 48_000 * 30, 1);
    let aplay = Aplay::start(&Setup::default(), &material)?;
    wait_for_frames(2_000)?;
    let arecord = || {
        Command::new("arecord")
            .args(["-q", "-D", module::PCM, "-t", "raw", "-f", "S16_LE"])
            .args(["-c", "2", "-r", "48000", "/dev/null"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    };
    let recorders = [arecord()?, arecord()?];
    wait_until("the recorders", || {
        let runs = |number| {
            let status = format!("/proc/asound/{CARD}/pcm0c/sub{number}/status");
            fs::read_to_string(status).is_ok_and(|status| status.contains("RUNNING"))
        };
        Ok(runs(0) && runs(1))
    })?;
    wait_for_frames(2_000)?;
    let waiting = PCM::new(module::PCM, Direction::Capture, false)?;
    module::take_card_away()?;
    for recorder in recorders {
        let output = recorder.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && said.starts_with("arecord: "),
            "arecord: {}: {said}",
            output.status
        );
    }
    let errno = waiting.info().err().map(|error| error.errno());
    ensure!(errno == Some(Errno::ENODEV as i32), "{errno:?}");
    let take = only_take(&pop_until_gone(&mut consumer)?)?;
    check_cut(&take, &material, &[State::Start, State::Stop])?;
    aplay.finish_failing()?;
    drop((waiting, consumer));
    check_reload()
}

fn reader_plays_out_and_ends() -> Result<()> {
    module::ready()?;
    let reader = Command::new("rtshm-reader")
        .args(["play", "--device", "hw:HDA", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait_until("the tool to open the device", || {
        Ok(module::status()?.consumer_pid == Some(reader.id()))
    })?;
    let aplay = Aplay::start(&Setup::default(), &noise(Format::S16LE, 2, 48_000 * 30, 1))?;
    wait_for_frames(10_000)?;
    module::take_card_away()?;
    aplay.finish_failing()?;
    let output = reader.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(3) && said.contains("the card was taken away"),
        "{}: {said}",
        output.status
    );
    // What it has played is told all the same.
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(told["frames_out"].as_u64() > Some(0), "{told}");
    for command in ["status", "list"] {
        let refused = run("rtshm-reader", &[command])?;
        ensure!(
            refused.code == Some(3) && refused.stderr.contains("the card was taken away"),
            "{command}: {refused}"
        );
    }
    check_reload()
}

/// Taking one away touches no other.
fn other_cards_stay() -> Result<()> {
    module::ready_with("devices=2")?;
    let mut first = attach()?;
    let second = Recorder::start(attach_to("/dev/rtshm1")?, 1);
    let long = noise(Format::S16LE, 2, 48_000 * 30, 1);
    let short = noise(Format::S16LE, 2, 30_000, 2);
    let aplay = Aplay::start(&Setup::default(), &long)?;
    let app = App::open_on("hw:RtShm1", &Setup::default())?;
    app.write(&short)?;
    wait_for_frames(2_000)?;
    module::take_card_away()?;
    app.pcm.drain()?;
    only_take(&second.finish()?)?.check_all_of(&short)?;
    let take = only_take(&pop_until_gone(&mut first)?)?;
    check_cut(&take, &long, &[State::Start, State::Stop])?;
    aplay.finish_failing()?;
    let listed = run("rtshm-reader", &["list"])?;
    ensure!(
        listed.code == Some(3) && listed.stdout.contains("RtShm1"),
        "{listed}"
    );
    fs::write("/sys/class/misc/rtshm1/remove", "1")?;
    ensure!(Device::open("/dev/rtshm1").is_err());
    drop((app, first));
    check_reload()
}

/// The errno of a write to the attribute.
fn write(text: &str) -> Result<(), Errno> {
    let code = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
    fs::write(REMOVE, text).map_err(code)
}

fn wrong_values() -> Result<()> {
    module::ready()?;
    let mode = fs::metadata(REMOVE)?.mode() & 0o7777;
    ensure!(mode == 0o200, "mode {mode:o}");
    ensure!(fs::read(REMOVE).is_err(), "it can be read");
    for text in ["0", "0\n", "n", "off", "2", "-1", "\n", " 1", "remove"] {
        let written = write(text);
        ensure!(written == Err(Errno::EINVAL), "{text:?}: {written:?}");
    }
    Device::open(NODE).context("after wrong values")?;
    for text in ["1", "1\n", "y", "on\n"] {
        let written = write(text);
        ensure!(written == Ok(()), "{text:?}: {written:?}");
        for again in ["1\n", text] {
            let written = write(again);
            ensure!(written == Err(Errno::ENODEV), "again: {written:?}");
        }
        let written = write("0");
        ensure!(
            written == Err(Errno::EINVAL),
            "0 without a card: {written:?}"
        );
        module::unload()?;
        module::load("")?;
    }
    check_reload()
}

/// However many try at once, one does it.
fn one_of_many_writers() -> Result<()> {
    const WRITERS: usize = 8;
    for round in 0..10 {
        module::ready()?;
        let app = App::open(&Setup::default())?;
        app.write(&noise(Format::S16LE, 2, 8_000, round))?;
        let barrier = Barrier::new(WRITERS);
        let results: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        write("1")
                    })
                })
                .collect();
            writers
                .into_iter()
                .filter_map(|writer| writer.join().ok())
                .collect()
        });
        let done = results.iter().filter(|result| result.is_ok()).count();
        let late = results
            .iter()
            .filter(|result| **result == Err(Errno::ENODEV))
            .count();
        ensure!((done, late) == (1, WRITERS - 1), "{results:?}");
        drop(app);
        module::unload()?;
    }
    check_fresh()
}

/// Applications, consumers, observers and listeners come and go while the card is taken away, and at
/// last the module is unloaded as soon as the kernel lets it go.
fn storm() -> Result<()> {
    let material = noise(Format::S16LE, 2, 4_096, 1);
    let play = || -> Result<()> {
        let app = App::open(&Setup::default())?;
        app.write(&material)?;
        app.pcm.drain()?;
        Ok(())
    };
    let consume = || -> Result<()> {
        let mut consumer = attach()?;
        pop_until_gone(&mut consumer)?;
        Ok(())
    };
    let observe = || -> Result<()> {
        Device::open(NODE)?.status()?;
        Ok(())
    };
    let listen = || -> Result<()> {
        let ctl = Ctl::new(&format!("hw:{CARD}"), false)?;
        ctl.subscribe_events(true)?;
        ctl.card_info()?;
        Ok(())
    };
    let jobs: [&(dyn Fn() -> Result<()> + Sync); 5] = [&play, &play, &consume, &observe, &listen];
    for round in 0..15 {
        module::ready()?;
        thread::scope(|scope| {
            for job in jobs {
                // Whatever the error, it goes on until there is no card to be had.
                scope.spawn(move || {
                    while Node::open(OFlag::O_RDONLY).is_ok() {
                        let _ = job();
                    }
                });
            }
            sleep_ms(20 + 17 * round);
            module::take_card_away()
        })
        .with_context(|| format!("round {round}"))?;
        // The kernel may be closing what a thread had open, after that has ended.
        wait_until("the module to be free", || match module::try_unload() {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        })
        .with_context(|| format!("round {round}"))?;
    }
    check_fresh()
}
