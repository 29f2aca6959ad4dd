// SPDX-License-Identifier: MIT OR GPL-2.0

//! What the card advertises, and that all of it works: every combination of format, access, rate and
//! channels is played and compared bit for bit.

use alsa::pcm::{Access, ChmapType, Format, HwParams, PCM};
use alsa::{Direction, ValueOr};
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use rtshm::{Consumer, State};

use super::tests;
use crate::app::Setup;
use crate::hw_params::{self, HwParams as RawParams, Interval};
use crate::material::{noise, Material};
use crate::module;
use crate::raw_pcm::RawPcm;
use crate::tape::{attach, only_take, pop_all};

const RATES: [u32; 10] = [
    8_000, 11_025, 12_345, 22_050, 44_100, 48_000, 96_000, 192_000, 384_000, 768_000,
];

const CHANNELS: [u32; 8] = [1, 2, 3, 5, 8, 16, 33, 64];

/// A test for each format and access: all rates with all numbers of channels.
macro_rules! combinations {
    ($($name:ident: $format:ident, $mmap:literal, $planar:literal;)+) => {
        $(fn $name() -> Result<()> {
            all_rates_and_channels(Format::$format, $mmap, $planar)
        })+

        tests!(matrix: $($name,)+ every_byte, every_24_bit_value, advertised, advertised_bits,
            smallest_period, smallest_buffer, largest_buffer, most_periods, channel_maps);
    };
}

combinations! {
    u8_rw_interleaved: U8, false, false;
    u8_rw_planar: U8, false, true;
    u8_mmap_interleaved: U8, true, false;
    u8_mmap_planar: U8, true, true;
    s16_rw_interleaved: S16LE, false, false;
    s16_rw_planar: S16LE, false, true;
    s16_mmap_interleaved: S16LE, true, false;
    s16_mmap_planar: S16LE, true, true;
    s24_rw_interleaved: S24LE, false, false;
    s24_rw_planar: S24LE, false, true;
    s24_mmap_interleaved: S24LE, true, false;
    s24_mmap_planar: S24LE, true, true;
    s24_3_rw_interleaved: S243LE, false, false;
    s24_3_rw_planar: S243LE, false, true;
    s24_3_mmap_interleaved: S243LE, true, false;
    s24_3_mmap_planar: S243LE, true, true;
    s32_rw_interleaved: S32LE, false, false;
    s32_rw_planar: S32LE, false, true;
    s32_mmap_interleaved: S32LE, true, false;
    s32_mmap_planar: S32LE, true, true;
    float_rw_interleaved: FloatLE, false, false;
    float_rw_planar: FloatLE, false, true;
    float_mmap_interleaved: FloatLE, true, false;
    float_mmap_planar: FloatLE, true, true;
}

/// Samples that half of the ring holds, so that none can be lost however late the consumer is.
const SAMPLES_MAX: u32 = (1 << 20) / 2 / 4;

fn all_rates_and_channels(format: Format, mmap: bool, planar: bool) -> Result<()> {
    module::ready()?;
    let all = noise(format, 1, SAMPLES_MAX.into(), 24);
    let mut consumer = attach()?;
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    let mut failures = Vec::new();
    for rate in RATES {
        for channels in CHANNELS {
            // Three periods and a part of a fourth: 10 ms, or what cannot get lost.
            let frames = (rate / 100).min(SAMPLES_MAX / channels);
            let period = (frames / 3 - 2).max(16);
            let setup = Setup {
                format,
                channels,
                rate,
                period,
                buffer: 4 * period,
                mmap,
                planar,
                // To be started by its drain, with all of it written, so that it cannot be late.
                start_threshold: Some(u32::MAX),
                nonstop: false,
            };
            let material = all.reshaped(channels, frames.into());
            if let Err(error) = play(&mut pcm, &mut consumer, &setup, &material) {
                failures.push(format!("{rate} Hz, {channels} channels: {error:#}"));
            }
        }
    }
    let count = failures.len();
    failures.truncate(10);
    ensure!(count == 0, "{count} fail, such as\n{}", failures.join("\n"));
    Ok(())
}

/// Plays the material from a buffer that holds all of it, and checks what the consumer gets.
fn play(
    pcm: &mut RawPcm,
    consumer: &mut Consumer,
    setup: &Setup,
    material: &Material,
) -> Result<()> {
    pcm.set_up(setup).context("hw_params")?;
    let frames = pcm.write(&material.bytes).context("write")?;
    ensure!(
        frames as u64 == material.frames(),
        "{frames} frames written"
    );
    pcm.drain()?;
    let mut tape = Vec::new();
    pop_all(consumer, &mut tape)?;
    let take = only_take(&tape)?;
    take.check_format(setup)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    ensure!(take.chunks.len() >= 3, "{} chunks", take.chunks.len());
    take.check_all_of(material)
}

/// Plays material of any length in one go, without a chance to be late.
fn play_at_once(material: &Material, rate: u32) -> Result<()> {
    module::ready_with("ring_kib=65536")?;
    let frames = u32::try_from(material.frames())?;
    let setup = Setup {
        rate,
        period: frames.div_ceil(16),
        buffer: 16 * frames.div_ceil(16),
        start_threshold: Some(u32::MAX),
        ..Setup::of(material)
    };
    let mut consumer = attach()?;
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    play(&mut pcm, &mut consumer, &setup, material)
}

/// All 256 values of a `U8` sample.
fn every_byte() -> Result<()> {
    let values = 0..=u8::MAX;
    let material = Material {
        format: Format::U8,
        channels: 1,
        bytes: values.clone().collect(),
        expected: values
            .map(|value| ((f32::from(value) - 128.0) / 128.0).to_bits())
            .collect(),
    };
    play_at_once(&material, 8_000)
}

/// All 2^24 values of an `S24_3LE` sample, in pieces that a buffer holds.
fn every_24_bit_value() -> Result<()> {
    // 2^14 frames of 64 channels: 3 MiB.
    const SAMPLES: u32 = 1 << 20;
    for piece in 0..(1u32 << 24) / SAMPLES {
        let values = piece * SAMPLES..(piece + 1) * SAMPLES;
        let material = Material {
            format: Format::S243LE,
            channels: 64,
            bytes: values
                .clone()
                .flat_map(|bits| bits.to_le_bytes().into_iter().take(3))
                .collect(),
            expected: values
                .map(|bits| ((bits << 8) as i32 >> 8) as f32 / 8_388_608.0)
                .map(f32::to_bits)
                .collect(),
        };
        play_at_once(&material, 768_000).with_context(|| format!("piece {piece}"))?;
    }
    Ok(())
}

/// The formats, with their width, by hand.
const FORMATS: [(Format, u64); 6] = [
    (Format::U8, 1),
    (Format::S16LE, 2),
    (Format::S24LE, 4),
    (Format::S243LE, 3),
    (Format::S32LE, 4),
    (Format::FloatLE, 4),
];

const ACCESSES: [Access; 4] = [
    Access::MMapInterleaved,
    Access::MMapNonInterleaved,
    Access::RWInterleaved,
    Access::RWNonInterleaved,
];

const BUFFER_MAX: u64 = 4 << 20;

/// What alsa-lib says that can be configured, in both directions.
fn advertised() -> Result<()> {
    module::ready()?;
    for direction in [Direction::Playback, Direction::Capture] {
        check_advertised(direction).with_context(|| format!("{direction:?}"))?;
    }
    Ok(())
}

fn check_advertised(direction: Direction) -> Result<()> {
    let pcm = PCM::new(module::PCM, direction, false)?;
    let hw = HwParams::any(&pcm)?;
    for access in ACCESSES {
        hw.test_access(access)
            .with_context(|| format!("{access:?}"))?;
    }
    ensure!(hw.test_access(Access::MMapComplex).is_err());
    // The numbers above are a range that alsa-lib keeps for drivers' own formats.
    for format in Format::all()
        .iter()
        .filter(|format| (0..=52).contains(&(**format as i32)))
    {
        let offered = hw.test_format(*format).is_ok();
        let expected = FORMATS.iter().any(|(ours, _)| ours == format);
        ensure!(offered == expected, "{format}: {offered}");
    }
    let rates = (hw.get_rate_min()?, hw.get_rate_max()?);
    ensure!(rates == (8_000, 768_000), "{rates:?} Hz");
    for rate in (7_000..800_000)
        .step_by(997)
        .chain([7_999, 8_000, 768_000, 768_001])
    {
        let offered = hw.test_rate(rate).is_ok();
        let expected = (8_000..=768_000).contains(&rate);
        ensure!(offered == expected, "{rate} Hz: {offered}");
    }
    for channels in 0..=100 {
        let offered = hw.test_channels(channels).is_ok();
        let expected = (1..=64).contains(&channels);
        ensure!(offered == expected, "{channels} channels: {offered}");
    }
    let periods = (hw.get_periods_min()?, hw.get_periods_max()?);
    ensure!(periods == (2, 1024), "{periods:?} periods");
    for (format, width) in FORMATS {
        for channels in CHANNELS {
            let hw = HwParams::any(&pcm)?;
            hw.set_format(format)?;
            hw.set_channels(channels)?;
            let frame = width * u64::from(channels);
            let sizes = (
                hw.get_period_size_min()?,
                hw.get_period_size_max()? as u64,
                hw.get_buffer_size_max()? as u64,
            );
            let expected = (16, BUFFER_MAX / 2 / frame, BUFFER_MAX / frame);
            ensure!(
                sizes == expected,
                "{format}, {channels} channels: {sizes:?} instead of {expected:?}"
            );
        }
    }
    hw.set_access(Access::MMapInterleaved)?;
    hw.set_format(Format::S16LE)?;
    hw.set_channels(2)?;
    hw.set_rate(48_000, ValueOr::Nearest)?;
    pcm.hw_params(&hw)?;
    let current = pcm.hw_params_current()?;
    ensure!(current.can_pause(), "it cannot pause");
    ensure!(current.can_resume(), "it cannot resume");
    let (buffer, period) = pcm.get_params()?;
    ensure!(
        buffer % period == 0,
        "a buffer of {buffer} in periods of {period}"
    );
    Ok(())
}

/// The bits that the kernel itself gives, by `<sound/asound.h>`.
fn advertised_bits() -> Result<()> {
    const INTERLEAVED: u32 = 0x100;
    const NONINTERLEAVED: u32 = 0x200;
    const MMAP: u32 = 0x1;
    const MMAP_VALID: u32 = 0x2;
    const PAUSE: u32 = 0x8_0000;
    const RESUME: u32 = 0x4_0000;
    // What it must not say: it moves in bursts, in whole periods; resuming starts by itself.
    const BATCH: u32 = 0x10;
    const BLOCK_TRANSFER: u32 = 0x1_0000;
    const HALF_DUPLEX: u32 = 0x10_0000;
    module::ready()?;
    for direction in [Direction::Playback, Direction::Capture] {
        let device = hw_params::Device::open(direction)?;
        let mut params = RawParams::any();
        device.refine(&mut params)?;
        let info = params.info;
        let all = INTERLEAVED | NONINTERLEAVED | MMAP | MMAP_VALID | PAUSE | RESUME;
        ensure!(info & all == all, "{direction:?}: info {info:#x}");
        let none = BATCH | BLOCK_TRANSFER | HALF_DUPLEX;
        ensure!(info & none == 0, "{direction:?}: info {info:#x}");
        let formats = params.mask(hw_params::FORMAT);
        let expected = 1 << 1 | 1 << 2 | 1 << 6 | 1 << 10 | 1 << 14 | 1 << 32;
        ensure!(formats == expected, "{direction:?}: formats {formats:#x}");
        let rate = params.interval(hw_params::RATE);
        ensure!(
            (rate.min, rate.max) == (8_000, 768_000),
            "{direction:?}: {rate:?}"
        );
        // A number of periods that is no integer is refused.
        let mut half = RawParams::any();
        half.set_interval(hw_params::PERIOD_SIZE, Interval::exactly(1000));
        half.set_interval(hw_params::BUFFER_SIZE, Interval::exactly(2500));
        let refused = device.refine(&mut half);
        ensure!(refused == Err(Errno::EINVAL), "{refused:?}");
    }
    Ok(())
}

/// A shape of a buffer at the edge of what is possible.
fn edge(format: Format, channels: u32, rate: u32, period: u32, buffer: u32) -> Result<()> {
    let frames = SAMPLES_MAX / channels;
    let setup = Setup {
        format,
        channels,
        rate,
        period,
        buffer,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let material = noise(format, channels, frames.min(buffer).into(), 9);
    let mut consumer = attach()?;
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    play(&mut pcm, &mut consumer, &setup, &material)
        .with_context(|| format!("period {period}, buffer {buffer}"))?;
    for (period, buffer) in [
        (period, buffer + period * 1024),
        (15, 15 * 8),
        (buffer, buffer),
    ] {
        let beyond = Setup {
            period,
            buffer,
            ..setup
        };
        let refused = pcm.set_up(&beyond);
        ensure!(
            refused == Err(Errno::EINVAL),
            "period {period}, buffer {buffer}: {refused:?}"
        );
    }
    Ok(())
}

fn smallest_period() -> Result<()> {
    module::ready()?;
    edge(Format::S16LE, 2, 48_000, 16, 16 * 100)?;
    edge(Format::U8, 1, 8_000, 16, 16 * 10)?;
    edge(Format::FloatLE, 64, 48_000, 16, 16 * 64)?;
    edge(Format::U8, 1, 768_000, 16, 16 * 1024)
}

/// A buffer that is full, and played between two ticks: ALSA sees the pointer where it was.
fn smallest_buffer() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    let setup = Setup {
        rate: 768_000,
        period: 16,
        buffer: 32,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    for seed in 0..20 {
        let material = noise(setup.format, setup.channels, 32, seed);
        pcm.set_up(&setup)?;
        pcm.write(&material.bytes)?;
        pcm.drain()?;
        let mut tape = Vec::new();
        pop_all(&mut consumer, &mut tape)?;
        let take = only_take(&tape)?;
        take.check_states(&[State::Start, State::Drain, State::Stop])?;
        take.check_all_of(&material)?;
    }
    Ok(())
}

fn largest_buffer() -> Result<()> {
    module::ready()?;
    edge(Format::S32LE, 64, 192_000, 1 << 13, 1 << 14)?;
    edge(Format::U8, 1, 768_000, 1 << 21, 1 << 22)?;
    // No power of two.
    let frames = (4 << 20) / 33 / 4 / 3;
    edge(Format::FloatLE, 33, 192_000, frames, 3 * frames)
}

fn most_periods() -> Result<()> {
    module::ready()?;
    edge(Format::S16LE, 2, 96_000, 16, 16 * 1024)?;
    edge(Format::U8, 1, 768_000, 4096, 4096 * 1024)
}

/// The maps by hand, in ALSA's own order and names; see `aplay --channel-map`.
fn map_of(channels: usize) -> String {
    let all = "FL FR RL RR FC LFE SL SR FLC FRC TFL TFR TRL TRR RC";
    match channels {
        1 => "MONO".into(),
        3 => "FL FR LFE".into(),
        5 => "FL FR RL RR FC".into(),
        7 => "FL FR RL RR FC LFE RC".into(),
        _ => all.split(' ').take(channels).collect::<Vec<_>>().join(" "),
    }
}

/// A map for each number of channels that ALSA's tables have room for, listed and as a stream has it.
fn channel_maps() -> Result<()> {
    module::ready()?;
    for direction in [Direction::Playback, Direction::Capture] {
        let pcm = PCM::new(module::PCM, direction, false)?;
        let listed: Vec<_> = pcm
            .query_chmaps()
            .map(|(kind, map)| (kind, map.to_string()))
            .collect();
        let expected: Vec<_> = (1..=15)
            .map(|channels| (ChmapType::Fixed, map_of(channels)))
            .collect();
        ensure!(listed == expected, "{direction:?}: {listed:?}");
        for channels in 1..=15 {
            let hw = HwParams::any(&pcm)?;
            hw.set_access(Access::RWInterleaved)?;
            hw.set_format(Format::S16LE)?;
            hw.set_channels(u32::try_from(channels)?)?;
            hw.set_rate(48_000, ValueOr::Nearest)?;
            pcm.hw_params(&hw)?;
            let now = pcm.get_chmap()?.to_string();
            ensure!(now == map_of(channels), "{direction:?}, now: {now}");
        }
    }
    Ok(())
}
