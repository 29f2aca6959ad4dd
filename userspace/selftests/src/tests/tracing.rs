// SPDX-License-Identifier: MIT OR GPL-2.0

//! Tracepoints: what they say is what the consumer gets.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::process::set_pitch;
use crate::raw::Node;
use crate::tape::{only_take, Recorder};
use crate::time::wait_for;

tests!(tracing: chunks_and_states, losses, clock, off_says_nothing, unloading_while_on, fields_are_documented);

/// A buffer of traces of our own.
const BUFFER: &str = "/sys/kernel/tracing/instances/rtshm-selftest";

/// Traces while it lives.
pub(super) struct Tracer;

/// What a tracepoint said: its name, and its fields.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) name: String,
    fields: HashMap<String, String>,
}

impl Traced {
    fn text(&self, field: &str) -> Result<&str> {
        let value = self.fields.get(field);
        Ok(value.with_context(|| format!("no {field} in {self:?}"))?)
    }

    pub(super) fn number(&self, field: &str) -> Result<u64> {
        Ok(self.text(field)?.parse()?)
    }
}

impl Tracer {
    /// Begins, with all of the module's tracepoints on or off.
    pub(super) fn start(on: bool) -> Result<Self> {
        if !Path::new(BUFFER).exists() {
            fs::create_dir(BUFFER)?;
        }
        let tracer = Self;
        tracer.set("buffer_size_kb", "2048")?;
        tracer.set("trace", "")?;
        tracer.set("events/rtshm/enable", if on { "1" } else { "0" })?;
        Ok(tracer)
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        fs::write(format!("{BUFFER}/{file}"), value).with_context(|| format!("{file}={value}"))
    }

    /// What was traced so far.
    pub(super) fn read(&self) -> Result<Vec<Traced>> {
        let text = fs::read_to_string(format!("{BUFFER}/trace"))?;
        // "task-pid [cpu] flags time: name: field=value field=value"
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let (_, event) = line.split_once(": ").context("no event")?;
                let (name, fields) = event.split_once(": ").context("no fields")?;
                let fields = fields.split_whitespace().map(|field| {
                    let (name, value) = field.split_once('=').context("no value")?;
                    Ok((name.to_string(), value.to_string()))
                });
                Ok(Traced {
                    name: name.to_string(),
                    fields: fields.collect::<Result<_>>()?,
                })
            })
            .collect::<Result<_>>()
            .with_context(|| text.clone())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // The module may be gone, and the events with it.
        let _ = self.set("events/rtshm/enable", "0");
        let _ = fs::remove_dir(BUFFER);
    }
}

fn chunks_and_states() -> Result<()> {
    module::ready()?;
    let tracer = Tracer::start(true)?;
    let card = u64::from(module::device()?.info()?.card);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    let material = noise(Format::S16LE, 2, 15_000, 1);
    app.write(&material)?;
    app.pcm.pause(true)?;
    app.pcm.pause(false)?;
    app.pcm.drain()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_all_of(&material)?;

    let traced = tracer.read()?;
    for event in &traced {
        ensure!(event.number("card")? == card, "{event:?}");
    }
    let pushes: Vec<_> = traced.iter().filter(|it| it.name == "rtshm_push").collect();
    ensure!(
        pushes.len() == take.chunks.len(),
        "{} traced of {} chunks",
        pushes.len(),
        take.chunks.len()
    );
    for (push, chunk) in pushes.iter().zip(&take.chunks) {
        let told = (chunk.position, chunk.frames, chunk.time_stamp);
        let said = (
            push.number("position")?,
            push.number("frames")?,
            push.number("time_stamp")?,
        );
        ensure!(said == told, "{said:?} traced, {told:?} told");
    }
    // A chunk that follows another takes its own bytes only.
    let mut followed = 0;
    for pair in traced.windows(2) {
        let [before, after] = pair else { continue };
        if before.name == "rtshm_push" && after.name == "rtshm_push" {
            let len = (64 + 8 * after.number("frames")?).next_multiple_of(64);
            let written = after.number("write_count")? - before.number("write_count")?;
            ensure!(written == len, "{before:?}, {after:?}");
            followed += 1;
        }
    }
    ensure!(followed > 20, "{followed} pairs of chunks");

    let states: Vec<_> = traced
        .iter()
        .filter(|it| it.name == "rtshm_state")
        .map(|it| {
            Ok((
                it.text("state")?,
                it.number("position")?,
                it.number("time")?,
            ))
        })
        .collect::<Result<_>>()?;
    let names: Vec<_> = take
        .changes
        .iter()
        .map(|change| format!("{:?}", change.state).to_lowercase())
        .collect();
    let told: Vec<_> = take
        .changes
        .iter()
        .zip(&names)
        .map(|(change, name)| (name.as_str(), change.position, change.time))
        .collect();
    ensure!(states == told, "{states:?} traced, {told:?} told");
    ensure!(told.len() == 5, "{told:?}");
    // The clock stands still until it starts, in the pause and at the end.
    let speeds: Vec<_> = traced
        .iter()
        .filter(|it| it.name == "rtshm_clock")
        .map(|it| Ok((it.number("ratio")?, it.number("position")?)))
        .collect::<Result<_>>()?;
    let at = |index: usize| told[index].1;
    let expected = [(1 << 32, at(0)), (0, at(1)), (1 << 32, at(2)), (0, at(4))];
    ensure!(speeds == expected, "{speeds:?} instead of {expected:?}");
    Ok(())
}

fn losses() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let tracer = Tracer::start(true)?;
    let node = Node::consumer()?;
    let before = node.status()?;
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 24_000, 1))?;
    let after = node.status()?;
    let (mut next, mut pushed, mut lost) = (0, 0, 0);
    for event in tracer.read()? {
        let frames = match event.name.as_str() {
            "rtshm_push" => {
                pushed += 1;
                event.number("frames")?
            }
            "rtshm_lost" => {
                lost += event.number("frames")?;
                event.number("frames")?
            }
            _ => continue,
        };
        let position = event.number("position")?;
        ensure!(position == next, "{event:?} after {next}");
        next += frames;
    }
    ensure!(next == 24_000, "{next} frames traced");
    ensure!(pushed == after.chunks - before.chunks, "{pushed} chunks");
    ensure!(
        lost == after.lost_frames - before.lost_frames && lost > 10_000,
        "{lost} frames lost"
    );
    Ok(())
}

/// A speed that the mixer sets, between the clock's start and its end.
fn clock() -> Result<()> {
    const NOMINAL: u64 = 1 << 32;
    module::ready()?;
    let tracer = Tracer::start(true)?;
    let app = App::open(&Setup {
        nonstop: true,
        ..Setup::default()
    })?;
    app.write(&noise(Format::S16LE, 2, 16_000, 1))?;
    set_pitch(1_001_000)?;
    // The clock looks at each chunk.
    let changed = wait_for("the speed", || {
        let ratio = Node::observer()?.status()?.clock_ratio;
        Ok((ratio != NOMINAL).then_some(ratio))
    });
    set_pitch(1_000_000)?;
    drop(app);
    let changed = changed?;
    ensure!(
        changed.abs_diff(NOMINAL * 1_001 / 1_000) <= 1,
        "a ratio of {changed}"
    );
    let (mut ratios, mut last) = (Vec::new(), 0);
    for event in tracer.read()? {
        let position = event.number("position")?;
        if event.name == "rtshm_clock" {
            ensure!(position >= last, "{event:?} after {last}");
            ratios.push(event.number("ratio")?);
            last = position;
        } else if event.name == "rtshm_state" {
            ensure!(position == last || ratios.len() > 1, "{event:?} at {last}");
        }
    }
    ensure!(
        ratios.starts_with(&[NOMINAL, changed]) && ratios.ends_with(&[0]),
        "{ratios:?}"
    );
    Ok(())
}

fn off_says_nothing() -> Result<()> {
    module::ready()?;
    let tracer = Tracer::start(false)?;
    let recorder = Recorder::open(1)?;
    let material = noise(Format::S16LE, 2, 6_000, 1);
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)?;
    let traced = tracer.read()?;
    ensure!(traced.is_empty(), "{traced:?}");
    Ok(())
}

/// The module goes, and comes back with its tracepoints off.
fn unloading_while_on() -> Result<()> {
    module::ready()?;
    let tracer = Tracer::start(true)?;
    let play = || App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 1_000, 1));
    play()?;
    module::unload()?;
    module::ready()?;
    tracer.set("trace", "")?;
    play()?;
    let traced = tracer.read()?;
    ensure!(traced.is_empty(), "{traced:?}");
    tracer.set("events/rtshm/enable", "1")?;
    play()?;
    // Nobody is there to push to.
    let traced = tracer.read()?;
    let states = traced.iter().filter(|it| it.name == "rtshm_state");
    ensure!(states.count() == 3, "{traced:?}");
    Ok(())
}

/// Documentation/module.rst lists these.
fn fields_are_documented() -> Result<()> {
    module::ready()?;
    for (event, fields) in [
        ("rtshm_push", "position time_stamp write_count card frames"),
        ("rtshm_lost", "position frames card"),
        ("rtshm_state", "position time card state"),
        ("rtshm_clock", "ratio position card"),
    ] {
        let format = format!("/sys/kernel/tracing/events/rtshm/{event}/format");
        let format = fs::read_to_string(&format).context(format)?;
        let found: Vec<_> = format
            .lines()
            .filter_map(|line| line.trim().strip_prefix("field:"))
            .filter_map(|line| line.split(';').next()?.split_whitespace().last())
            .filter(|name| !name.starts_with("common_"))
            .collect();
        ensure!(found.join(" ") == fields, "{event}: {found:?}");
    }
    Ok(())
}
