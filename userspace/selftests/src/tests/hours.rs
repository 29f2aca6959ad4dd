// SPDX-License-Identifier: MIT OR GPL-2.0

//! The card's clock over hours: it does not drift by a frame or a nanosecond.
//!
//! Of the guest's time: with `scripts/vm --icount` its idle time is skipped.

use alsa::pcm::Format;
use alsa::Direction;
use anyhow::{bail, ensure, Result};
use rtshm::State;

use super::tests;
use crate::app::Setup;
use crate::controls::Element;
use crate::material::noise;
use crate::module;
use crate::raw_pcm::RawPcm;
use crate::tape::{attach, pop_all, Entry};
use crate::time::{now, sleep_ms, SECOND};

tests!(hours: telephone, compact_disc, off_pitch);

/// As long as the guest's clock runs for a test.
const HOURS: u64 = 2;

/// Plays a stream that never ends at `rate` and at `pitch` millionths of it. Checks the position of
/// the application and the time stamps of the consumer against elapsed time, again and again.
fn hours(rate: u32, pitch: u32) -> Result<()> {
    // The longest chunks, to have few of them, and a ring that holds minutes.
    module::ready_with("ring_kib=65536 chunk_frames=4096")?;
    let element = Element::pcm(c"Playback Pitch 1000000", alsa::ctl::ElemType::Integer)?;
    element.set(i32::try_from(pitch)?)?;
    let setup = Setup {
        format: Format::U8,
        channels: 1,
        rate,
        period: 1 << 21,
        buffer: 1 << 22,
        nonstop: true,
        ..Setup::default()
    };
    let mut consumer = attach()?;
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    pcm.set_up(&setup)?;
    let material = noise(setup.format, 1, 10_000, 1);
    pcm.write(&material.bytes)?;
    // What is at the application's disposal and was not written.
    let offset = i64::from(setup.buffer) - 10_000;

    // Frames times this is nanoseconds times that.
    let (rate, millionths) = (u128::from(rate), u128::from(pitch));
    let due = |position: u64| {
        let scaled = u128::from(position) * u128::from(SECOND) * 1_000_000;
        scaled.div_ceil(rate * millionths) as u64
    };
    let at = |nanos: u64| {
        let scaled = u128::from(nanos) * rate * millionths;
        (scaled / (u128::from(SECOND) * 1_000_000)) as u64
    };
    // The ratio is kept in steps of 2^-32, so that a pitch is met to a quarter of a part per billion.
    let slack = |nanos: u64| {
        if pitch == 1_000_000 {
            1
        } else {
            2 + nanos / 4_000_000_000
        }
    };

    let mut tape = Vec::new();
    let (mut start, mut position) = (None, 0);
    let begin = now();
    for step in 0.. {
        // At odd times.
        sleep_ms(60_000 + step * 7_777);
        let before = now();
        let told = (pcm.reading()?.avail - offset) as u64;
        let after = now();
        pop_all(&mut consumer, &mut tape)?;
        for entry in tape.drain(..) {
            match entry {
                Entry::Format { .. } => {}
                Entry::State {
                    state: State::Start,
                    time,
                    ..
                } => start = Some(time),
                Entry::Audio { chunk, .. } => {
                    ensure!(chunk.position == position, "{chunk:?}, {position} is next");
                    position += chunk.frames;
                    let Some(start) = start else {
                        bail!("sound before the start");
                    };
                    let nanos = chunk.time_stamp - start;
                    let error = nanos.abs_diff(due(chunk.position));
                    ensure!(error <= slack(nanos), "{chunk:?} is {error} ns off");
                }
                other => bail!("{other:?}"),
            }
        }
        let Some(start) = start else {
            bail!("no start");
        };
        let (least, most) = (at(before - start), at(after - start));
        // A frame of slack for where the ratio is rounded.
        let odd = u64::from(pitch != 1_000_000);
        ensure!(
            (least - odd..=most + odd).contains(&told),
            "after {} s: told {told} when it was between {least} and {most}",
            (after - start) / SECOND
        );
        if after - begin > HOURS * 3600 * SECOND {
            break;
        }
    }
    ensure!(
        position > at(HOURS * 3600 * SECOND) - 8_192,
        "{position} frames"
    );
    drop(pcm);
    element.set(1_000_000)?;
    Ok(())
}

fn telephone() -> Result<()> {
    hours(8_000, 1_000_000)
}

fn compact_disc() -> Result<()> {
    hours(44_100, 1_000_000)
}

fn off_pitch() -> Result<()> {
    hours(11_025, 1_000_123)
}
