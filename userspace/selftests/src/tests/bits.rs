// SPDX-License-Identifier: MIT OR GPL-2.0

//! What an application plays comes out bit for bit, in every format and however it writes.

use alsa::pcm::Format;
use anyhow::{Context, Result};
use rtshm::State;

use super::tests;
use crate::app::{aplay, App, Setup};
use crate::material::{all_integers, noise};
use crate::module;
use crate::tape::{only_take, takes, Recorder};

/// `aplay` with one combination of format, channels, rate and access.
macro_rules! combinations {
    ($($name:ident: $format:ident, $channels:literal, $rate:literal, $mmap:literal;)+) => {
        $(fn $name() -> Result<()> {
            combination(Setup {
                format: Format::$format,
                channels: $channels,
                rate: $rate,
                mmap: $mmap,
                ..Setup::default()
            })
        })+

        tests!(bits: $($name,)+ every_integer, exact_lengths, odd_buffers);
    };
}

combinations! {
    s16_mono_44100_rw: S16LE, 1, 44_100, false;
    s16_mono_44100_mmap: S16LE, 1, 44_100, true;
    s16_mono_48000_rw: S16LE, 1, 48_000, false;
    s16_mono_48000_mmap: S16LE, 1, 48_000, true;
    s16_stereo_44100_rw: S16LE, 2, 44_100, false;
    s16_stereo_44100_mmap: S16LE, 2, 44_100, true;
    s16_stereo_48000_rw: S16LE, 2, 48_000, false;
    s16_stereo_48000_mmap: S16LE, 2, 48_000, true;
    float_mono_44100_rw: FloatLE, 1, 44_100, false;
    float_mono_44100_mmap: FloatLE, 1, 44_100, true;
    float_mono_48000_rw: FloatLE, 1, 48_000, false;
    float_mono_48000_mmap: FloatLE, 1, 48_000, true;
    float_stereo_44100_rw: FloatLE, 2, 44_100, false;
    float_stereo_44100_mmap: FloatLE, 2, 44_100, true;
    float_stereo_48000_rw: FloatLE, 2, 48_000, false;
    float_stereo_48000_mmap: FloatLE, 2, 48_000, true;
}

/// Plays more than the buffer holds, with a last period that is not full; `aplay` fills it with
/// silence, and that is to come out as well.
fn combination(setup: Setup) -> Result<()> {
    module::ready()?;
    let frames = u64::from(setup.buffer) + 777;
    let material = noise(setup.format, setup.channels, frames, setup.rate.into());
    let recorder = Recorder::open(1)?;
    aplay(&setup, &material)?;
    let take = only_take(&recorder.finish()?)?;
    take.check_format(&setup)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    take.check_all_of(&material.by_aplay(setup.period))
}

/// All 65536 values of a sample.
fn every_integer() -> Result<()> {
    module::ready()?;
    let material = all_integers();
    let recorder = Recorder::open(1)?;
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)
}

/// A stream ends with its last frame: nothing is missing and nothing is added, wherever in a period
/// or in a chunk that is.
fn exact_lengths() -> Result<()> {
    module::ready()?;
    let lengths = [1, 2, 255, 256, 257, 1023, 1024, 1025, 3333];
    let recorder = Recorder::open(lengths.len())?;
    let mut materials = Vec::new();
    for (seed, length) in (1..).zip(lengths) {
        let material = noise(Format::S16LE, 2, length, seed);
        // It starts when it is drained: one frame would be played before it could be.
        let setup = Setup {
            start_threshold: Some(16_384),
            ..Setup::default()
        };
        App::open(&setup)?.play(&material)?;
        materials.push(material);
    }
    for (take, material) in takes(&recorder.finish()?)?.iter().zip(&materials) {
        let check = || {
            take.check_states(&[State::Start, State::Drain, State::Stop])?;
            take.check_all_of(material)
        };
        check().with_context(|| format!("{} frames", material.frames()))?;
    }
    Ok(())
}

/// Periods and buffers that no power of two divides.
fn odd_buffers() -> Result<()> {
    module::ready()?;
    let shapes = [
        (1111, 12_221),
        (333, 9_990),
        (5_000, 10_000),
        (1024, 2 * 1024),
    ];
    let recorder = Recorder::open(shapes.len())?;
    let mut expected = Vec::new();
    for (seed, (period, buffer)) in (1..).zip(shapes) {
        let setup = Setup {
            channels: 1,
            period,
            buffer,
            mmap: seed % 2 == 0,
            ..Setup::default()
        };
        // More than fits into the buffer would need a host that is never late for a short one.
        let frames = if buffer < 4096 {
            u64::from(buffer)
        } else {
            14_321
        };
        let material = noise(setup.format, setup.channels, frames, seed);
        App::open(&setup)?.play(&material)?;
        expected.push((setup, material));
    }
    for (take, (setup, material)) in takes(&recorder.finish()?)?.iter().zip(&expected) {
        take.check_format(setup)?;
        take.check_all_of(material)
            .with_context(|| format!("{setup:?}"))?;
    }
    Ok(())
}
