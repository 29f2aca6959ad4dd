// SPDX-License-Identifier: MIT OR GPL-2.0

//! PipeWire and WirePlumber use the card like any other: as a user would, with `pw-play`.

use std::process::Child;

use alsa::pcm::Format;
use anyhow::{bail, ensure, Context, Result};
use nix::sys::signal::Signal;
use rtshm::{Consumer, State};

use super::tests;
use crate::app::{App, Setup};
use crate::desktop::{wait_until, Desktop, PATIENCE, SINK};
use crate::harness::Test;
use crate::material::{noise, numbered, Material};
use crate::module;
use crate::tape::{only_take, Recorder};
use crate::wav;

tests!(pipewire: names, plays, plays_at_another_rate, a_minute, killed, ended);

/// See [`super::WARM_UP`].
pub(crate) const WARM_UP: &[Test] = &[Test {
    name: "pipewire::warm_up",
    run: warm_up,
}];

/// What is played.
const FILE: &str = "/tmp/pipewire.wav";

fn warm_up() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    desktop.watch(1)?;
    finish(start_playing(
        &desktop,
        &noise(Format::S16LE, 2, 1_000, 0),
        48_000,
    )?)
}

/// What a user reads in a list of devices, and what programs find the card by.
fn names() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    let device = desktop.device()?;
    let sink = desktop.node(SINK)?;
    let told = [
        device.text("device.description"),
        device.text("alsa.long_card_name"),
        sink.text("node.description"),
        sink.text("node.nick"),
    ];
    let expected = [
        "rtshm shared memory",
        "rtshm: audio to user space through a ring in shared memory",
        "rtshm shared memory Stereo",
        "rtshm playback",
    ];
    ensure!(told == expected, "{told:?}");
    Ok(())
}

/// A file comes out of the ring bit for bit.
fn plays() -> Result<()> {
    module::ready()?;
    play_and_compare(&Desktop::start()?, 48_000)
}

/// The graph runs at the file's rate, and so does the card.
fn plays_at_another_rate() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    desktop.force_rate(44_100)?;
    play_and_compare(&desktop, 44_100)
}

fn play_and_compare(desktop: &Desktop, rate: u32) -> Result<()> {
    let material = noise(Format::S16LE, 2, 30_000, rate.into());
    // The stream ends when WirePlumber suspends the idle card.
    let recorder = record()?;
    finish(start_playing(desktop, &material, rate)?)?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(take.format.rate == rate, "{:?}", take.format);
    check_sound(&take.samples, &material)
}

/// A minute of sound passes bit for bit, and `pw-top` counts no error of any node.
fn a_minute() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    let material = numbered(1, 66 * 48_000);
    let recorder = record()?;
    let player = start_playing(&desktop, &material, 48_000)?;
    let rows = desktop.watch(62)?;
    finish(player)?;
    for name in [desktop.node(SINK)?.text("node.name"), "pw-play"] {
        let running = rows.iter().filter(|row| row.name == name && row.running);
        let count = running.count();
        ensure!(count >= 60, "{name} ran in {count} of 62 seconds");
    }
    let wrong: Vec<_> = rows.iter().filter(|row| row.errors != 0).collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    check_sound(&only_take(&recorder.finish()?)?.samples, &material)
}

/// PipeWire dies in the middle of a stream.
fn killed() -> Result<()> {
    goes(Signal::SIGKILL)
}

/// PipeWire ends in the middle of a stream.
fn ended() -> Result<()> {
    goes(Signal::SIGTERM)
}

/// What was played until PipeWire goes is in the ring, and the card is as before.
fn goes(signal: Signal) -> Result<()> {
    module::ready()?;
    let mut desktop = Desktop::start()?;
    let recorder = record()?;
    let mut player = start_playing(&desktop, &numbered(1, 480_000), 48_000)?;
    let frames = module::status()?.frames;
    wait_until("a second of sound", || {
        Ok(module::status()?.frames > frames + 48_000)
    })?;
    desktop.end(signal)?;
    player.wait()?;
    let (consumer, tape) = recorder.finish_and_keep()?;
    let take = only_take(&tape)?;
    let sound = sounding(&take.samples, 2)?;
    let whole = numbered(1, 480_000);
    ensure!(whole.expected.starts_with(sound), "not what was played");

    let material = noise(Format::S16LE, 2, 20_000, 5);
    let recorder = Recorder::start(consumer, 1);
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)?;
    wait_until("the card to be unused", || Ok(module::refcount()? == 0))?;
    module::unload()
}

/// Records until the end of one stream.
fn record() -> Result<Recorder> {
    let consumer = Consumer::open(module::NODE)?;
    Ok(Recorder::start_with_patience(consumer, 1, PATIENCE))
}

/// Starts `pw-play`, with the card's volume at 100 %.
fn start_playing(desktop: &Desktop, material: &Material, rate: u32) -> Result<Child> {
    wav::write(FILE, material, rate)?;
    let sink = desktop.node(SINK)?;
    desktop.set_volume(&sink, "1.0")?;
    let player = desktop.spawn(&["pw-play", "--target", sink.text("node.name"), FILE])?;
    wait_until("PipeWire to play", || {
        Ok(module::status()?.state == Some(State::Start))
    })?;
    Ok(player)
}

fn finish(mut program: Child) -> Result<()> {
    let status = program.wait()?;
    ensure!(status.success(), "pw-play: {status}");
    Ok(())
}

/// Checks that what came out is the material, with silence before and after it.
fn check_sound(samples: &[u32], material: &Material) -> Result<()> {
    let sound = sounding(samples, material.channels)?;
    let expected = sounding(&material.expected, material.channels)?;
    let len = sound.len().max(expected.len());
    if let Some(at) = (0..len).find(|&at| sound.get(at) != expected.get(at)) {
        bail!(
            "sample {at} of {}: {:#010x?} instead of {:#010x?}",
            expected.len(),
            sound.get(at),
            expected.get(at)
        );
    }
    Ok(())
}

/// The frames from the first to the last that is not silent.
fn sounding(samples: &[u32], channels: u32) -> Result<&[u32]> {
    let channels = channels as usize;
    let silent = |bits: &u32| *bits == 0;
    let first = samples.iter().position(|bits| !silent(bits));
    let last = samples.iter().rposition(|bits| !silent(bits));
    let (first, last) = first.zip(last).context("nothing but silence")?;
    Ok(&samples[first / channels * channels..(last / channels + 1) * channels])
}
