// SPDX-License-Identifier: MIT OR GPL-2.0

//! What is known of a card at one time.

use rtshm::Status;
use serde::Serialize;

use super::levels::{decibels, Level};
use super::tap::Meters;
use crate::clock::SECOND;
use crate::status::{Report, Stream};

/// A card at one time; the field names are the JSON's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Snapshot {
    /// Seconds since 1970.
    pub(crate) time: f64,
    #[serde(flatten)]
    pub(crate) status: Report,
    pub(crate) ring_fill_percent: f64,
    /// Null without a stream, as the latency.
    pub(crate) ring_fill_ms: Option<f64>,
    pub(crate) latency_ms: Option<f64>,
    pub(crate) wakeups_per_second: f64,
    pub(crate) frames_per_second: f64,
    pub(crate) measured_frames: u64,
    /// Null where nothing is measured; of each channel, with null for silence.
    pub(crate) peak_dbfs: Option<Vec<Option<f64>>>,
    pub(crate) rms_dbfs: Option<Vec<Option<f64>>>,
    pub(crate) clipped_samples: Option<Vec<u64>>,
    /// Why nothing is measured of a stream that is there.
    pub(crate) meters_missing: Option<String>,
    #[serde(skip)]
    pub(crate) levels: Vec<Level>,
}

/// What happens in a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    wakeups: f64,
    frames: f64,
}

impl Rates {
    /// From one status to the next, `nanos` later.
    pub(super) fn between(before: &Status, after: &Status, nanos: u64) -> Self {
        // CAST: To the nearest.
        let seconds = nanos.max(1) as f64 / SECOND as f64;
        // The module may have been loaded anew.
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        Self {
            wakeups: rate(before.wakeups, after.wakeups),
            frames: rate(before.frames, after.frames),
        }
    }
}

impl Snapshot {
    pub(super) fn new(time: f64, status: Report, rates: Rates, meters: Meters) -> Self {
        let (levels, measured_frames, meters_missing) = match meters {
            Meters::Idle => (None, 0, None),
            Meters::Blind(reason) => (None, 0, Some(reason)),
            Meters::Seen(levels, frames) => (Some(levels), frames, None),
        };
        let each = |level: fn(&Level) -> Option<f64>| {
            let levels = levels.as_ref()?;
            Some(levels.iter().map(level).collect())
        };
        let clipped = levels.as_ref();
        // CAST: Bytes in memory, far below 2^53.
        let fill = status.ring_fill_bytes as f64 / status.ring_bytes.max(1) as f64;
        let stream = status.stream.as_ref();
        let ring_ms = stream.map(|stream| ring_ms(stream, status.ring_fill_bytes));
        let ahead_ms = stream.map(|stream| {
            let frames = stream.buffer_frames.saturating_add(stream.chunk_frames);
            milliseconds(frames.into(), stream)
        });
        Self {
            time,
            ring_fill_percent: rounded(fill * 100.0, 2),
            ring_fill_ms: ring_ms.map(|ms| rounded(ms, 2)),
            latency_ms: ring_ms
                .zip(ahead_ms)
                .map(|(ring, ahead)| rounded(ring + ahead, 2)),
            status,
            wakeups_per_second: rounded(rates.wakeups, 1),
            frames_per_second: rounded(rates.frames, 0),
            measured_frames,
            peak_dbfs: each(|level| decibels(level.peak)),
            rms_dbfs: each(|level| decibels(level.rms)),
            clipped_samples: clipped.map(|all| all.iter().map(|level| level.clipped).collect()),
            meters_missing,
            levels: levels.unwrap_or_default(),
        }
    }

    /// The greatest levels of all channels, and all that is clipped; `None` where nothing is measured.
    pub(crate) fn loudest(&self) -> Option<Level> {
        let more = |a: Level, b: &Level| Level {
            peak: a.peak.max(b.peak),
            rms: a.rms.max(b.rms),
            clipped: a.clipped + b.clipped,
        };
        let (first, others) = self.levels.split_first()?;
        Some(others.iter().fold(*first, more))
    }
}

/// How long what is in the ring plays.
fn ring_ms(stream: &Stream, bytes: u64) -> f64 {
    /// Bytes of a chunk before its samples, and what records are padded to.
    const RECORD: u64 = 64;
    let samples = u64::from(stream.chunk_frames) * u64::from(stream.channels) * 4;
    let chunk = RECORD + samples.next_multiple_of(RECORD);
    // CAST: As above.
    let chunks = bytes as f64 / chunk as f64;
    milliseconds(chunks * f64::from(stream.chunk_frames), stream)
}

fn milliseconds(frames: f64, stream: &Stream) -> f64 {
    frames * 1000.0 / f64::from(stream.rate.max(1))
}

/// To so many digits behind the point; minus zero is zero.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale + 0.0
}
