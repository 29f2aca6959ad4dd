// SPDX-License-Identifier: MIT OR GPL-2.0

//! PipeWire and WirePlumber use the card like any other: as a user would, with `pw-play`.

use std::fs;
use std::process::Child;

use alsa::pcm::Format;
use anyhow::{bail, ensure, Context, Result};
use nix::sys::signal::Signal;
use rtshm::State;

use super::tests;
use crate::app::{App, Setup};
use crate::desktop::{signal, wait_until, Desktop, Object, LEADER, PATIENCE, SINK, SOURCE};
use crate::material::{noise, numbered, Material};
use crate::module;
use crate::process::run;
use crate::tape::{attach, only_take, summary, Entry, Recorder};
use crate::wav;

tests!(pipewire: names, plays, plays_at_another_rate, records, volume, a_minute, killed, ended, taken_away, follows);

/// What is played.
const FILE: &str = "/tmp/pipewire.wav";

/// What is recorded.
const RECORDING: &str = "/tmp/recording.wav";

/// What a user reads in a list of devices, and what programs find the card by.
fn names() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    let device = desktop.device()?;
    let sink = desktop.node(SINK)?;
    let source = desktop.node(SOURCE)?;
    let told = [
        device.text("device.description"),
        device.text("alsa.long_card_name"),
        sink.text("node.description"),
        source.text("node.description"),
        sink.text("node.nick"),
        source.text("node.nick"),
    ];
    let expected = [
        "RtShm Virtual Sound Card",
        "RtShm Virtual Sound Card at /dev/rtshm",
        "RtShm Virtual Sound Card Stereo",
        "RtShm Virtual Sound Card Stereo",
        "RtShm",
        "RtShm",
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
    let recorder = record(desktop)?;
    finish(start_playing(desktop, &material, rate)?)?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(take.format.rate == rate, "{:?}", take.format);
    check_sound(&take.samples, &material)
}

/// What is being played is recorded bit for bit, and the player does not notice.
fn records() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    let material = numbered(1, 8 * 48_000);
    let source = desktop.node(SOURCE)?;
    let recorder = record(&desktop)?;
    let player = start_playing(&desktop, &material, 48_000)?;
    record_by_pipewire(&desktop, &source, 3 * 48_000)?;
    finish(player)?;
    check_sound(&only_take(&recorder.finish()?)?.samples, &material)?;

    let recorded = wav::read(RECORDING, 48_000, 2)?;
    let sound = sounding(&recorded, 2)?;
    ensure!(sound.len() > 2 * 48_000, "{} samples", sound.len());
    let start = material
        .expected
        .chunks(2)
        .position(|frame| frame == &sound[..2]);
    let start = start.context("the first frame was not played")? * 2;
    let played = &material.expected[start..][..sound.len()];
    if let Some(at) = (0..sound.len()).find(|&at| sound[at] != played[at]) {
        bail!(
            "sample {at}: {:#010x} instead of {:#010x}",
            sound[at],
            played[at]
        );
    }
    Ok(())
}

/// Records by `pw-record` until so many frames are in the file.
fn record_by_pipewire(desktop: &Desktop, source: &Object, frames: u64) -> Result<()> {
    let target = source.text("node.name");
    let argv = ["pw-record", "--target", target, "--format=f32", RECORDING];
    let mut program = desktop.spawn(&argv)?;
    wait_until("pw-record", || {
        Ok(fs::metadata(RECORDING).is_ok_and(|file| file.len() > frames * 8))
    })?;
    signal(&program, Signal::SIGINT)?;
    program.wait()?;
    Ok(())
}

/// The desktop's slider moves the card's volume, and the samples stay as they are.
///
/// The card takes the next higher value that it has. Where that is more than a hundredth of the slider's
/// way off, PipeWire would make up for it by scaling; here are those that are farthest off.
fn volume() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    let material = noise(Format::S16LE, 2, 30_000, 6);
    for volume in ["0.12", "0.5", "0.59", "0.75", "0.9", "0.99", "1.0"] {
        let recorder = record_at(&desktop, volume)?;
        finish(start_playing(&desktop, &material, 48_000)?)?;
        let take = only_take(&recorder.finish()?)?;
        check_sound(&take.samples, &material).context(volume)?;
    }
    Ok(())
}

/// Behind another clock PipeWire steers the card's, by its pitch, and does not resample.
fn follows() -> Result<()> {
    module::ready()?;
    let mut desktop = Desktop::start()?;
    let sink = desktop.node(SINK)?;
    desktop.lead(&sink)?;
    // When the player goes, PipeWire would change it, and skip sound for that.
    desktop.force_quantum(1_024)?;
    let material = numbered(1, 10 * 48_000);
    wav::write(FILE, &material, 48_000)?;
    let recorder = record(&desktop)?;
    let player = desktop.spawn(&["pw-play", "--target", LEADER, FILE])?;
    // Both clocks are the guest's own. A touch on the wheel makes the card's go off.
    play_on(4_800)?;
    let set = run("amixer", &["-D", module::PCM, "cset", PITCH, "1000500"])?;
    ensure!(set.code == Some(0), "{set}");
    wait_until("PipeWire to steer", || Ok(pitch()? != 1_000_500))?;
    finish(player)?;
    // What is still buffered.
    play_on(48_000)?;
    let (_, tape) = recorder.stop()?;
    check_settled(&continuous(&tape)?, &material)?;
    // PipeWire leaves the pitch as it is, and the card does not.
    ensure!(pitch()? != 1_000_000, "PipeWire does not steer any more");
    desktop.end(Signal::SIGTERM)?;
    wait_until("the card to be unused", || Ok(module::refcount()? == 0))?;
    ensure!(pitch()? == 1_000_000, "the pitch is left");
    Ok(())
}

/// How `amixer` calls the element.
const PITCH: &str = "iface=PCM,name=Playback Pitch 1000000";

fn pitch() -> Result<u32> {
    let outcome = run("amixer", &["-D", module::PCM, "cget", PITCH])?;
    let value = outcome.stdout.rsplit_once(": values=");
    let (_, value) = value.with_context(|| format!("{outcome}"))?;
    Ok(value.trim_end().parse()?)
}

/// The samples of a tape, which must not have a gap.
fn continuous(tape: &[Entry]) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    let mut next = None;
    for entry in tape {
        match entry {
            Entry::Audio { chunk, samples } => {
                let expected = next.unwrap_or(chunk.position);
                ensure!(chunk.position == expected, "{}", summary(tape));
                next = Some(chunk.position + chunk.frames);
                all.extend_from_slice(samples);
            }
            Entry::Lost { .. } => bail!("{}", summary(tape)),
            _ => {}
        }
    }
    Ok(all)
}

/// The card is taken away in the middle of a stream; PipeWire lives on, and finds the next one.
fn taken_away() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    let mut player = start_playing(&desktop, &numbered(1, 480_000), 48_000)?;
    fs::write(module::REMOVE, "1")?;
    desktop.wait_for_departure()?;
    player.kill()?;
    player.wait()?;
    wait_until("the card to be unused", || Ok(module::refcount()? == 0))?;
    module::unload()?;
    module::ready()?;
    desktop.node(SINK)?;
    play_and_compare(&desktop, 48_000)
}

/// A minute of sound passes bit for bit, and `pw-top` counts no error of any node.
fn a_minute() -> Result<()> {
    module::ready()?;
    let desktop = Desktop::start()?;
    let material = numbered(1, 66 * 48_000);
    let recorder = record(&desktop)?;
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
    let recorder = record(&desktop)?;
    let mut player = start_playing(&desktop, &numbered(1, 480_000), 48_000)?;
    play_on(48_000)?;
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

/// Records until the end of one stream, with the card's volume at 100 %.
fn record(desktop: &Desktop) -> Result<Recorder> {
    record_at(desktop, "1.0")
}

/// As [`record`], with the desktop's slider there. The card takes the next higher value that it has.
fn record_at(desktop: &Desktop, volume: &str) -> Result<Recorder> {
    desktop.set_volume(&desktop.node(SINK)?, volume)?;
    // Hundredths of a decibel; the slider's way is the cube root of the factor.
    let least = (6_000.0 * volume.parse::<f64>()?.log10()).round() as i32;
    wait_until("the card's volume to be the slider's", || {
        Ok((least..least + 25).contains(&module::status()?.volume_gain))
    })?;
    Ok(Recorder::start_with_patience(attach()?, 1, PATIENCE))
}

/// Waits until so many more frames are played.
fn play_on(frames: u64) -> Result<()> {
    let before = module::status()?.frames;
    wait_until("sound", || Ok(module::status()?.frames > before + frames))
}

/// Starts `pw-play`, and waits until the card plays.
fn start_playing(desktop: &Desktop, material: &Material, rate: u32) -> Result<Child> {
    wav::write(FILE, material, rate)?;
    let sink = desktop.node(SINK)?;
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

/// As [`check_sound`], but for what PipeWire may skip at the start of a device that is not the one
/// that leads: a quantum, to have the two in step.
fn check_settled(samples: &[u32], material: &Material) -> Result<()> {
    const START: usize = 4 * 1_024;
    let sound = sounding(samples, material.channels)?;
    let expected = sounding(&material.expected, material.channels)?;
    let expected = &expected[START * material.channels as usize..];
    let same = sound
        .iter()
        .rev()
        .zip(expected.iter().rev())
        .take_while(|(sample, expected)| sample == expected)
        .count();
    ensure!(
        same == expected.len(),
        "of {} samples the last {same} are right",
        expected.len()
    );
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
