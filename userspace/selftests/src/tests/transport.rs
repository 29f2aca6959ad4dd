// SPDX-License-Identifier: MIT OR GPL-2.0

//! Start, pause, stop, drain, xrun: what the consumer is told, and at which frame.

use alsa::pcm::{Format, State as PcmState};
use anyhow::{ensure, Result};
use nix::errno::Errno;
use rtshm::State;

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::tape::{only_take, takes, Recorder};
use crate::time::{sleep_ms, wait_until};

tests!(transport: pause_and_resume, pause_and_drop, drain_while_running, drain_of_nothing, xrun, play_after_xrun, drop_at_once, close_without_drain, nonstop);

/// A pause splits the stream at a frame; nothing moves until it goes on.
fn pause_and_resume() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 14_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    for _ in 0..2 {
        sleep_ms(60);
        app.pcm.pause(true)?;
        ensure!(app.pcm.state() == PcmState::Paused);
        let delay = app.pcm.delay()?;
        sleep_ms(60);
        ensure!(app.pcm.delay()? == delay, "it moves while it pauses");
        app.pcm.pause(false)?;
    }
    app.pcm.drain()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[
        State::Start,
        State::Pause,
        State::Resume,
        State::Pause,
        State::Resume,
        State::Drain,
        State::Stop,
    ])?;
    for (pause, resume) in [(1, 2), (3, 4)] {
        let (pause, resume) = (take.changes[pause], take.changes[resume]);
        ensure!(pause.position == resume.position, "{pause:?}, {resume:?}");
        ensure!(
            resume.time >= pause.time + 60_000_000,
            "{pause:?}, {resume:?}"
        );
    }
    take.check_all_of(&material)
}

/// A stream that is dropped while it pauses. ALSA lets it go on for that moment.
fn pause_and_drop() -> Result<()> {
    module::ready()?;
    let material = noise(Format::FloatLE, 1, 14_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::of(&material))?;
    app.write(&material)?;
    sleep_ms(50);
    app.pcm.pause(true)?;
    sleep_ms(20);
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Pause, State::Resume, State::Stop])?;
    ensure!(take.changes[1].position == take.changes[2].position);
    take.check_part_of(&material)
}

/// A drain in the middle of a period, of a stream that has been running for a while.
fn drain_while_running() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 10 * 1024 + 300, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    sleep_ms(40);
    app.pcm.drain()?;
    ensure!(app.pcm.state() == PcmState::Setup);
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    ensure!(take.changes[1].position > 0, "it was drained before it ran");
    take.check_all_of(&material)
}

/// To drain a stream that has nothing to play is no stream at all.
fn drain_of_nothing() -> Result<()> {
    module::ready()?;
    let streams = module::status()?.streams;
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.pcm.drain()?;
    drop(app);
    ensure!(module::status()?.streams == streams);
    let (_, tape) = recorder.stop()?;
    ensure!(tape.is_empty(), "{tape:?}");
    Ok(())
}

/// An application that stops writing: its frames are played, all of them and no others, then the
/// stream ends by an xrun.
fn xrun() -> Result<()> {
    module::ready()?;
    let before = module::status()?.xruns;
    for frames in [5_000, 4_096, 4_097] {
        let material = noise(Format::S16LE, 2, frames, frames);
        let recorder = Recorder::open(1)?;
        let app = App::open(&Setup::default())?;
        app.write(&material)?;
        let take = only_take(&recorder.finish()?)?;
        take.check_states(&[State::Start, State::Xrun])?;
        take.check_all_of(&material)?;
        ensure!(app.pcm.state() == PcmState::XRun);
        let late = app.pcm.avail().err().map(|error| error.errno());
        ensure!(late == Some(Errno::EPIPE as i32), "avail() says {late:?}");
    }
    ensure!(module::status()?.xruns == before + 3);
    Ok(())
}

/// After an xrun the next stream is like any other.
fn play_after_xrun() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(2)?;
    let material = noise(Format::S16LE, 2, 3_000, 1);
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    wait_until("the xrun", || Ok(app.pcm.avail().is_err()))?;
    app.pcm.prepare()?;
    let second = noise(Format::S16LE, 2, 3_000, 2);
    app.play(&second)?;
    let takes = takes(&recorder.finish()?)?;
    takes[0].check_states(&[State::Start, State::Xrun])?;
    takes[0].check_all_of(&material)?;
    takes[1].check_states(&[State::Start, State::Drain, State::Stop])?;
    takes[1].check_all_of(&second)
}

/// `snd_pcm_drop()` stops at once: what was played is there, what was not is not.
fn drop_at_once() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 16_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    sleep_ms(70);
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Stop])?;
    let (start, stop) = (take.changes[0], take.changes[1]);
    let played = crate::time::frames(stop.time - start.time, take.format.rate);
    ensure!(
        take.frames() == stop.position,
        "{} frames, {stop:?}",
        take.frames()
    );
    ensure!(
        stop.position == played.min(16_000),
        "{stop:?}, but time for {played} frames"
    );
    take.check_part_of(&material)
}

/// An application that is killed, or closes without a drain, stops the stream.
fn close_without_drain() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 16_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    sleep_ms(40);
    drop(app);
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Stop])?;
    ensure!(
        (1..16_000).contains(&take.frames()),
        "{} frames",
        take.frames()
    );
    take.check_part_of(&material)
}

/// A stream that does not stop for want of sound (a mixer's) goes round its buffer: what is in it
/// is played again, as hardware does.
fn nonstop() -> Result<()> {
    module::ready()?;
    let setup = Setup {
        nonstop: true,
        period: 512,
        buffer: 4_096,
        ..Setup::default()
    };
    let mut material = noise(Format::S16LE, 2, 4_096, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    // The buffer is 85 ms long.
    sleep_ms(200);
    ensure!(app.pcm.state() == PcmState::Running);
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Stop])?;
    ensure!(take.frames() > 8_192, "{} frames", take.frames());
    let rounds = take.frames() / 4_096 + 1;
    material.expected = material.expected.repeat(rounds as usize);
    take.check_part_of(&material)
}
