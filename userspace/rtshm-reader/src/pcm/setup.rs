// SPDX-License-Identifier: MIT OR GPL-2.0

//! How a PCM is set up for a stream: the best that it offers, without a change to the sound.

use std::time::Duration;

use alsa::pcm::{Access, Format as PcmFormat, HwParams, TstampType, PCM};
use alsa::ValueOr;
use nix::errno::Errno;
use rtshm::Format;

use crate::clock::{self, nanos_to_frames};
use crate::convert::Encoding;
use crate::sink::{OpenError, Setup};
use crate::table;

/// Shortest period: less is more wake-ups than the sound is worth, and some cards (QEMU's) move
/// their position in steps of this.
const PERIOD_MIN: Duration = Duration::from_millis(10);

/// Periods in the time of the latency.
const PERIODS: u64 = 4;

/// Sets the PCM up for a stream.
pub(super) fn configure(
    name: &str,
    pcm: &PCM,
    stream: &Format,
    latency: Duration,
) -> Result<(Encoding, Setup), OpenError> {
    let (encoding, channels) = set_hardware(name, pcm, stream, latency)?;
    let failed = |error| not_set_up(name, error);
    let hw = pcm.hw_params_current().map_err(failed)?;
    let period = size(hw.get_period_size().map_err(failed)?);
    let buffer = size(hw.get_buffer_size().map_err(failed)?);
    let wanted = latency_frames(stream, latency, period);
    let setup = Setup {
        format: alsa_name(encoding),
        rate: stream.rate,
        channels,
        period_frames: period,
        buffer_frames: buffer,
        latency_frames: wanted.min(buffer.saturating_sub(period)).max(1),
    };

    let sw = pcm.sw_params_current().map_err(failed)?;
    // The player starts it; a buffer that is full must start in any case.
    sw.set_start_threshold(hw.get_buffer_size().map_err(failed)?)
        .and_then(|()| sw.set_avail_min(hw.get_period_size()?))
        .map_err(failed)?;
    // Not every PCM has time stamps; those that do are looked at.
    let _ = sw
        .set_tstamp_mode(true)
        .and_then(|()| sw.set_tstamp_type(TstampType::Monotonic));
    pcm.sw_params(&sw).map_err(failed)?;
    Ok((encoding, setup))
}

/// Chooses among what the PCM offers.
fn set_hardware(
    name: &str,
    pcm: &PCM,
    stream: &Format,
    latency: Duration,
) -> Result<(Encoding, u32), OpenError> {
    let failed = |error| not_set_up(name, error);
    let hw = HwParams::any(pcm).map_err(failed)?;
    let unfit = |what: String| {
        Err(OpenError::Unfit(format!(
            "PCM {name} {what}: {}",
            advice(name)
        )))
    };

    if hw.set_access(Access::RWInterleaved).is_err() {
        return unfit("takes no interleaved sound".into());
    }
    let channels = match stream.channels {
        1 if hw.test_channels(1).is_err() => 2,
        channels => channels,
    };
    if hw.set_channels(channels).is_err() {
        let offer = offer(channels, hw.get_channels_min(), hw.get_channels_max());
        let channels = table::channels(stream.channels);
        return unfit(format!("cannot play {channels}{offer}"));
    }
    let encoding = Encoding::BY_QUALITY
        .into_iter()
        .find(|encoding| hw.set_format(alsa_format(*encoding)).is_ok());
    let Some(encoding) = encoding else {
        return unfit("takes neither float nor 16, 24 or 32-bit integers".into());
    };
    if hw.set_rate(stream.rate, ValueOr::Nearest).is_err() {
        let offer = offer(stream.rate, hw.get_rate_min(), hw.get_rate_max());
        let rate = stream.rate;
        return unfit(format!("cannot play {rate} Hz{offer}"));
    }

    let shortest = nanos_to_frames(clock::nanos(PERIOD_MIN), stream.rate).max(1);
    let wish = nanos_to_frames(clock::nanos(latency), stream.rate) / PERIODS;
    // A card that has only shorter ones is welcome too.
    let _ = hw.set_period_size_min(frames(shortest), ValueOr::Nearest);
    let period = hw
        .set_period_size_near(frames(wish.max(shortest)), ValueOr::Nearest)
        .map_err(failed)?;
    let buffer = frames(latency_frames(stream, latency, size(period)).saturating_mul(2));
    // Rather more than less, if the card can.
    let _ = hw.set_buffer_size_min(buffer);
    hw.set_buffer_size_near(buffer).map_err(failed)?;
    pcm.hw_params(&hw).map_err(failed)?;
    Ok((encoding, channels))
}

/// Frames to write ahead: the latency, or what bridges the time to the next chunk and the card's
/// own steps where that is more.
fn latency_frames(stream: &Format, latency: Duration, period: u64) -> u64 {
    let chosen = nanos_to_frames(clock::nanos(latency), stream.rate);
    let needed = u64::from(stream.chunk_frames).saturating_add(period.saturating_mul(2));
    chosen.max(needed)
}

fn not_set_up(name: &str, error: alsa::Error) -> OpenError {
    let errno = Errno::from_raw(error.errno());
    let reason = errno.desc();
    match errno {
        Errno::ENODEV | Errno::EBADFD => OpenError::Absent(format!(
            "PCM {name} is gone: choose another with --device; `aplay -L` lists them"
        )),
        _ => OpenError::Unfit(format!(
            "cannot set up PCM {name} ({} says: {reason}): {}",
            error.func(),
            advice(name)
        )),
    }
}

/// Where to go from a PCM that does not convert.
pub(super) fn advice(name: &str) -> String {
    match name.strip_prefix("hw:") {
        Some(card) => format!("use `--device plughw:{card}` or `--device default`"),
        None if name == "default" || name.starts_with("plug") => {
            "choose another with --device".into()
        }
        None => format!("use `--device 'plug:\"{name}\"'` or `--device default`"),
    }
}

/// What there is instead of what was asked for, where that says something.
fn offer(asked: u32, least: alsa::Result<u32>, most: alsa::Result<u32>) -> String {
    match (least, most) {
        (Ok(least), Ok(most)) if least == most => format!(" but only {least}"),
        (Ok(least), Ok(most)) if !(least..=most).contains(&asked) => {
            format!(" but {least} to {most}")
        }
        _ => String::new(),
    }
}

fn alsa_format(encoding: Encoding) -> PcmFormat {
    match encoding {
        Encoding::Float => PcmFormat::FloatLE,
        Encoding::S32 => PcmFormat::S32LE,
        Encoding::S24 => PcmFormat::S24LE,
        Encoding::S24Packed => PcmFormat::S243LE,
        Encoding::S16 => PcmFormat::S16LE,
    }
}

fn alsa_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Float => "FLOAT_LE",
        Encoding::S32 => "S32_LE",
        Encoding::S24 => "S24_LE",
        Encoding::S24Packed => "S24_3LE",
        Encoding::S16 => "S16_LE",
    }
}

/// A number of frames as ALSA has it.
fn frames(count: u64) -> alsa::pcm::Frames {
    // Half of it, because alsa-lib multiplies.
    alsa::pcm::Frames::try_from(count.min(i32::MAX as u64 / 2)).unwrap_or(i32::MAX.into())
}

/// A number of frames as we have it.
pub(super) fn size(count: alsa::pcm::Frames) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
