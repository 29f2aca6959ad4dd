// SPDX-License-Identifier: MIT OR GPL-2.0

//! The card's clock, as applications see it. What consumers see of it is checked with every tape.
//!
//! Times have lower bounds only, or are bounded by the clock's own readings: the machine may be slow.

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};

use super::tests;
use crate::app::{aplay, App, Setup};
use crate::material::{noise, Material};
use crate::module;
use crate::tape::{only_take, Recorder};
use crate::time::{frames, now, sleep_ms, SECOND};

tests!(clock: status_is_continuous, delay_is_continuous, plays_in_real_time);

/// A stream of one long period, so that a position that moves by periods would not move at all.
const LONG: Setup = Setup {
    format: Format::S16LE,
    channels: 2,
    rate: 48_000,
    period: 48_000,
    buffer: 96_000,
    mmap: false,
    planar: false,
    start_threshold: None,
    nonstop: false,
};

/// A position that an application was told, and when.
struct Reading {
    before: u64,
    position: u64,
    after: u64,
}

/// Plays and asks for the position 400 times within most of a period; checks every answer against
/// the clock of the stream, whose start the consumer is told.
fn check_readings(mut ask: impl FnMut(&App, &Material) -> Result<u64>) -> Result<()> {
    module::ready()?;
    let material = noise(LONG.format, LONG.channels, 60_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&LONG)?;
    app.write(&material)?;
    let mut readings = Vec::new();
    for _ in 0..400 {
        let before = now();
        let position = ask(&app, &material)?;
        readings.push(Reading {
            before,
            position,
            after: now(),
        });
        sleep_ms(1);
    }
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_part_of(&material)?;
    let start = take.changes[0].time;
    let mut last = 0;
    let mut distinct = 0;
    for reading in &readings {
        let at = |time: u64| frames(time.saturating_sub(start), LONG.rate);
        let Reading {
            before,
            position,
            after,
        } = *reading;
        ensure!(position >= last, "from {last} back to {position}");
        ensure!(
            (at(before)..=at(after)).contains(&position),
            "told {position} when it was between {} and {}",
            at(before),
            at(after)
        );
        distinct += usize::from(position != last);
        last = position;
    }
    // A millisecond has 48 frames, so they all differ, but for a clock that is not continuous.
    ensure!(distinct >= 390, "only {distinct} positions in 400 readings");
    Ok(())
}

fn status_is_continuous() -> Result<()> {
    check_readings(|app, material| {
        let status = app.pcm.status()?;
        let delay = u64::try_from(status.get_delay())?;
        material
            .frames()
            .checked_sub(delay)
            .context("more to play than was written")
    })
}

fn delay_is_continuous() -> Result<()> {
    check_readings(|app, material| {
        let delay = u64::try_from(app.pcm.delay()?)?;
        material
            .frames()
            .checked_sub(delay)
            .context("more to play than was written")
    })
}

/// Playing takes its time: no less than the sound is long. An application that drains sees all of
/// it pass; one that does not, all but a buffer.
fn plays_in_real_time() -> Result<()> {
    module::ready()?;
    for rate in [44_100, 48_000] {
        let setup = Setup {
            rate,
            period: 512,
            buffer: 8_192,
            ..Setup::default()
        };
        let material = noise(Format::S16LE, 2, 32_768, 1);
        let least = SECOND * 32_768 / u64::from(rate);
        let start = now();
        aplay(&setup, &material)?;
        let drained = now() - start;
        ensure!(drained >= least, "{drained} ns for {least} ns of sound");

        let app = App::open(&setup)?;
        let start = now();
        app.write(&material)?;
        let written = now() - start;
        let least = SECOND * (32_768 - 8_192) / u64::from(rate);
        ensure!(
            written >= least,
            "written in {written} ns instead of {least} ns"
        );
    }
    Ok(())
}
