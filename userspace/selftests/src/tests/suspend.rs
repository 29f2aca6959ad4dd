// SPDX-License-Identifier: MIT OR GPL-2.0

//! The machine suspends its devices and resumes them, as it does on its way to sleep: the stream
//! stands still meanwhile, and the application chooses how it goes on.
//!
//! What to expect is alsa-lib's documentation of `SND_PCM_STATE_SUSPENDED`. Needs a guest whose root
//! survives it: `scripts/vm --ram-root`.

use std::fs;
use std::thread;

use alsa::pcm::{Access, Format, HwParams, State as PcmState, PCM};
use alsa::{Direction, ValueOr};
use anyhow::{anyhow, ensure, Context, Result};
use nix::errno::Errno;
use rtshm::State;

use super::tests;
use crate::app::{App, Setup};
use crate::material::{noise, numbered};
use crate::module;
use crate::tape::{attach, only_take, pop_all, takes, Recorder, Take};
use crate::time::{frames, sleep_ms, SECOND};

tests!(suspend: playing, prepared_instead, closed_instead, dropped_instead, draining, paused, prepared, recording, unloading);

/// Enough for whatever a test plays, so that it is written at once.
const SETUP: Setup = Setup {
    planar: false,
    format: Format::S16LE,
    channels: 2,
    rate: 48_000,
    period: 1_000,
    buffer: 240_000,
    mmap: false,
    start_threshold: None,
    nonstop: false,
};

/// Suspends all devices for a second of `CLOCK_MONOTONIC`, in which timers go on.
fn suspend() -> Result<()> {
    for (file, value) in [
        ("/sys/module/suspend/parameters/pm_test_delay", "1"),
        ("/sys/power/pm_test", "devices"),
        ("/sys/power/state", "mem"),
    ] {
        fs::write(file, value).context(file)?;
    }
    Ok(())
}

/// Checks that the application is told.
fn check_suspended(app: &App) -> Result<()> {
    ensure!(app.pcm.state() == PcmState::Suspended);
    let write = app.pcm.io_bytes().writei(&[0; 4]);
    let errno = write.err().map(|error| error.errno());
    ensure!(errno == Some(Errno::ESTRPIPE as i32), "{errno:?}");
    Ok(())
}

/// Checks that the stream stood still from the change `index` on, at the frame where its clock was.
fn check_gap(take: &Take, index: usize) -> Result<()> {
    let [from, suspend, resume] = take.changes[index - 1..=index + 1] else {
        unreachable!("three changes");
    };
    let due = frames(suspend.time - from.time, take.format.rate);
    ensure!(
        suspend.position == from.position + due,
        "{from:?}, {suspend:?}"
    );
    ensure!(
        resume.position == suspend.position,
        "{suspend:?}, {resume:?}"
    );
    ensure!(
        resume.time >= suspend.time + SECOND,
        "{suspend:?}, {resume:?}"
    );
    Ok(())
}

/// Twice in a row, and every frame once.
fn playing() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let material = noise(Format::S16LE, 2, 150_000, 1);
    let app = App::open(&SETUP)?;
    app.write(&material)?;
    for _ in 0..2 {
        sleep_ms(200);
        suspend()?;
        check_suspended(&app)?;
        app.pcm.resume()?;
        ensure!(app.pcm.state() == PcmState::Running);
    }
    app.pcm.drain()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[
        State::Start,
        State::Suspend,
        State::Resume,
        State::Suspend,
        State::Resume,
        State::Drain,
        State::Stop,
    ])?;
    check_gap(&take, 1)?;
    check_gap(&take, 3)?;
    take.check_all_of(&material)
}

/// An application that begins anew ends the stream where it was suspended.
fn prepared_instead() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(2)?;
    let material = noise(Format::S16LE, 2, 150_000, 1);
    let app = App::open(&SETUP)?;
    app.write(&material)?;
    sleep_ms(200);
    suspend()?;
    check_suspended(&app)?;
    app.pcm.prepare()?;
    let second = noise(Format::S16LE, 2, 5_000, 2);
    app.play(&second)?;
    let takes = takes(&recorder.finish()?)?;
    takes[0].check_states(&[State::Start, State::Suspend, State::Stop])?;
    check_gap(&takes[0], 1)?;
    takes[0].check_part_of(&material)?;
    takes[1].check_states(&[State::Start, State::Drain, State::Stop])?;
    takes[1].check_all_of(&second)
}

/// So does one that closes the card, also while it pauses; and who comes then finds no stream.
fn closed_instead() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 150_000, 1);
    for pause in [false, true] {
        let recorder = Recorder::open(1)?;
        let app = App::open(&SETUP)?;
        app.write(&material)?;
        sleep_ms(200);
        if pause {
            app.pcm.pause(true)?;
        }
        suspend()?;
        ensure!(app.pcm.state() == PcmState::Suspended);
        drop(app);
        let take = only_take(&recorder.finish()?)?;
        let halt = if pause { State::Pause } else { State::Suspend };
        take.check_states(&[State::Start, halt, State::Stop])?;
        take.check_part_of(&material)?;
        let mut tape = Vec::new();
        pop_all(&mut attach()?, &mut tape)?;
        ensure!(tape.is_empty(), "{tape:?}");
    }
    Ok(())
}

/// `snd_pcm_drop()` ends a suspended stream without telling the driver: the consumer hears of it when the
/// application prepares the next one.
fn dropped_instead() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(2)?;
    let material = noise(Format::S16LE, 2, 150_000, 1);
    let app = App::open(&SETUP)?;
    app.write(&material)?;
    sleep_ms(200);
    suspend()?;
    app.pcm.drop()?;
    ensure!(app.pcm.state() == PcmState::Setup);
    let told = module::status()?.state;
    ensure!(told == Some(State::Suspend), "{told:?}");
    app.pcm.prepare()?;
    let told = module::status()?.state;
    ensure!(told == Some(State::Stop), "{told:?}");
    let second = noise(Format::S16LE, 2, 5_000, 2);
    app.play(&second)?;
    let takes = takes(&recorder.finish()?)?;
    takes[0].check_states(&[State::Start, State::Suspend, State::Stop])?;
    check_gap(&takes[0], 1)?;
    takes[0].check_part_of(&material)?;
    takes[1].check_all_of(&second)
}

/// `snd_pcm_drain()` fails, and is called again after the resume.
fn draining() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let material = noise(Format::S16LE, 2, 100_000, 1);
    let app = App::open(&SETUP)?;
    app.write(&material)?;
    let drainer = thread::spawn(move || -> Result<()> {
        let errno = app.pcm.drain().err().map(|error| error.errno());
        ensure!(
            errno == Some(Errno::ESTRPIPE as i32) || errno == Some(Errno::EBADFD as i32),
            "drain() says {errno:?}"
        );
        ensure!(app.pcm.state() == PcmState::Suspended);
        app.pcm.resume()?;
        ensure!(app.pcm.state() == PcmState::Draining);
        Ok(app.pcm.drain()?)
    });
    sleep_ms(300);
    suspend()?;
    drainer
        .join()
        .map_err(|_| anyhow!("the application panicked"))??;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[
        State::Start,
        State::Drain,
        State::Suspend,
        State::Resume,
        State::Stop,
    ])?;
    ensure!(take.changes[2].position == take.changes[3].position);
    ensure!(take.changes[3].time >= take.changes[2].time + SECOND);
    take.check_all_of(&material)
}

/// A stream that pauses does so after the resume, and the consumer need not know.
fn paused() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let material = noise(Format::S16LE, 2, 50_000, 1);
    let app = App::open(&SETUP)?;
    app.write(&material)?;
    sleep_ms(100);
    app.pcm.pause(true)?;
    suspend()?;
    ensure!(app.pcm.state() == PcmState::Suspended);
    app.pcm.resume()?;
    ensure!(app.pcm.state() == PcmState::Paused);
    app.pcm.pause(false)?;
    app.pcm.drain()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[
        State::Start,
        State::Pause,
        State::Resume,
        State::Drain,
        State::Stop,
    ])?;
    check_gap(&take, 1)?;
    take.check_all_of(&material)
}

/// A stream that has not begun, with a consumer that waits.
fn prepared() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let app = App::open(&SETUP)?;
    suspend()?;
    check_suspended(&app)?;
    app.pcm.resume()?;
    ensure!(app.pcm.state() == PcmState::Prepared);
    let material = noise(Format::S16LE, 2, 5_000, 1);
    app.play(&material)?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    take.check_all_of(&material)
}

/// A recorder that has resumed before the player gets everything from there on.
fn recording() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    // None is silent: the first is number 1.
    let material = numbered(1, 100_000);
    let app = App::open(&SETUP)?;
    let capture = PCM::new(module::PCM, Direction::Capture, false)?;
    let hw = HwParams::any(&capture)?;
    hw.set_access(Access::RWInterleaved)?;
    hw.set_format(Format::S16LE)?;
    hw.set_channels(2)?;
    hw.set_rate(48_000, ValueOr::Nearest)?;
    hw.set_buffer_size(480_000)?;
    capture.hw_params(&hw)?;
    capture.start()?;
    app.write(&material)?;
    sleep_ms(300);
    suspend()?;
    ensure!(capture.state() == PcmState::Suspended);
    let errno = capture.avail().err().map(|error| error.errno());
    ensure!(errno == Some(Errno::ESTRPIPE as i32), "{errno:?}");
    capture.resume()?;
    ensure!(capture.state() == PcmState::Running);
    app.pcm.resume()?;
    app.pcm.drain()?;
    // A recording is a chunk and a little behind.
    sleep_ms(200);
    let mut bytes = vec![0; 4 * usize::try_from(capture.avail()?)?];
    let len = capture.io_bytes().readi(&mut bytes)? * 4;
    let numbers: Vec<u32> = bytes[..len]
        .chunks_exact(4)
        .map(|frame| u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]))
        .filter(|&number| number != 0)
        .collect();
    let take = only_take(&recorder.finish()?)?;
    take.check_all_of(&material)?;
    let gap = u32::try_from(take.changes[1].position)?;
    let before = numbers.iter().take_while(|&&number| number <= gap).count();
    ensure!(before > 0, "nothing was recorded before the suspend");
    let first: Vec<_> = (1..=u32::try_from(before)?).collect();
    let second: Vec<_> = (gap + 1..=100_000).collect();
    ensure!(
        numbers == [first, second].concat(),
        "{before} frames, suspended at {gap}, then {:?} to {:?}, {} in all",
        numbers.get(before),
        numbers.last(),
        numbers.len()
    );
    Ok(())
}

/// The module goes after that, and comes again.
fn unloading() -> Result<()> {
    module::ready()?;
    suspend()?;
    module::unload()?;
    suspend()?;
    module::ready()
}
