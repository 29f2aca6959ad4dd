// SPDX-License-Identifier: MIT OR GPL-2.0

//! What `play` tells at its end.

use std::path::PathBuf;

use rtshm::Format;
use serde::Serialize;

use crate::cli::SyncMode;
use crate::sink::Setup;
use crate::stdout;
use crate::table;

/// What `play` has done; the field names are the JSON's and are explained by `play --help`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) pcm: String,
    #[serde(serialize_with = "stdout::path")]
    pub(crate) rtshm: PathBuf,
    pub(crate) format_in: Option<FormatIn>,
    pub(crate) format_out: Option<Setup>,
    pub(crate) streams: u64,
    pub(crate) chunks: u64,
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) discarded_frames: u64,
    pub(crate) lost_frames: u64,
    pub(crate) lost_records: u64,
    pub(crate) sink_xruns: u64,
    pub(crate) sink_losses: u64,
    pub(crate) sync: SyncMode,
    pub(crate) card_ppm: Option<f64>,
    pub(crate) sync_error_max_frames: Option<f64>,
    #[serde(flatten)]
    pub(crate) ring: RingUse,
    pub(crate) seconds: f64,
}

/// The format of a stream.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FormatIn {
    pub(crate) format: String,
    pub(crate) rate: u32,
    pub(crate) channels: u32,
}

impl From<Format> for FormatIn {
    fn from(format: Format) -> Self {
        Self {
            format: format.sample_format.to_string(),
            rate: format.rate,
            channels: format.channels,
        }
    }
}

/// How full the ring was when the player woke for it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RingUse {
    ring_bytes: u64,
    ring_fill_min_bytes: Option<u64>,
    ring_fill_max_bytes: Option<u64>,
    ring_free_min_bytes: Option<u64>,
}

impl RingUse {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            ring_bytes: capacity,
            ..Self::default()
        }
    }

    /// Takes note of a wake-up with this many bytes unread.
    pub(crate) fn woke_at(&mut self, unread: u64) {
        let free = self.ring_bytes.saturating_sub(unread);
        let least = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
        self.ring_fill_min_bytes = least(self.ring_fill_min_bytes, unread);
        self.ring_fill_max_bytes = self.ring_fill_max_bytes.max(Some(unread));
        self.ring_free_min_bytes = least(self.ring_free_min_bytes, free);
    }

    /// As text; `None` where nothing woke.
    pub(crate) fn text(&self) -> Option<String> {
        let bytes = self.ring_bytes;
        let least = self.ring_fill_min_bytes?;
        let most = self.ring_fill_max_bytes?;
        let free = self.ring_free_min_bytes?;
        Some(format!(
            "{least} to {most} of {bytes} bytes, at least {free} free"
        ))
    }
}

impl Summary {
    /// How the cards were kept together, and what came of it.
    fn sync_text(&self) -> String {
        let mode = match self.sync {
            SyncMode::Auto => "auto",
            SyncMode::Follow => "follow",
            SyncMode::Resample => "resample",
            SyncMode::None => return "none".into(),
        };
        match (self.card_ppm, self.sync_error_max_frames) {
            (Some(ppm), Some(error)) => {
                format!("{mode}, card {ppm:+.2} ppm, at most {error:.1} frames off")
            }
            _ => format!("{mode}, not locked"),
        }
    }

    /// As lines of text.
    pub(crate) fn text(&self) -> String {
        let format_in = match &self.format_in {
            None => "no stream".to_string(),
            Some(FormatIn {
                format,
                rate,
                channels,
            }) => format!("{format}, {rate} Hz, {}", table::channels(*channels)),
        };
        let mut rows = vec![
            ("from", self.rtshm.display().to_string()),
            ("played on", self.pcm.clone()),
            ("format in", format_in),
        ];
        if let Some(setup) = &self.format_out {
            let Setup {
                format,
                rate,
                channels,
                period_frames,
                buffer_frames,
                latency_frames,
            } = setup;
            rows.push((
                "format out",
                format!("{format}, {rate} Hz, {}", table::channels(*channels)),
            ));
            rows.push((
                "buffering",
                format!(
                    "{latency_frames} frames ahead, period {period_frames}, buffer {buffer_frames}"
                ),
            ));
        }
        rows.extend([
            (
                "streams",
                format!("{} in {:.1} s", self.streams, self.seconds),
            ),
            (
                "frames in",
                format!("{} in {} chunks", self.frames_in, self.chunks),
            ),
            ("frames out", self.frames_out.to_string()),
            ("discarded", self.discarded_frames.to_string()),
            (
                "lost",
                format!("{} in {} places", self.lost_frames, self.lost_records),
            ),
            ("card xruns", self.sink_xruns.to_string()),
            ("card lost", self.sink_losses.to_string()),
            ("sync", self.sync_text()),
        ]);
        if let Some(fill) = self.ring.text() {
            rows.push(("ring fill", fill));
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(name, value)| [name.to_string(), value])
            .collect();
        table::align(&rows)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn fill_has_a_least_and_a_most() {
        let mut ring = RingUse::new(1000);
        for unread in [300, 100, 700] {
            ring.woke_at(unread);
        }
        assert_eq!(ring.ring_fill_min_bytes, Some(100));
        assert_eq!(ring.ring_fill_max_bytes, Some(700));
        assert_eq!(ring.ring_free_min_bytes, Some(300));
    }

    fn summary() -> Summary {
        let mut ring = RingUse::new(1 << 20);
        ring.woke_at(9728);
        ring.woke_at(448);
        Summary {
            pcm: "hw:0".into(),
            rtshm: "/dev/rtshm".into(),
            format_in: Some(FormatIn {
                format: "S16_LE".into(),
                rate: 48_000,
                channels: 1,
            }),
            format_out: Some(Setup {
                format: "S32_LE",
                rate: 48_000,
                channels: 2,
                period_frames: 1200,
                buffer_frames: 9600,
                latency_frames: 4800,
            }),
            streams: 1,
            chunks: 300,
            frames_in: 144_000,
            frames_out: 144_000,
            sync: SyncMode::Follow,
            card_ppm: Some(-12.345),
            sync_error_max_frames: Some(1.46),
            ring,
            seconds: 3.72,
            ..Summary::default()
        }
    }

    pub(crate) fn json() -> serde_json::Value {
        serde_json::to_value(summary()).unwrap()
    }

    #[test]
    fn text_lines_up() {
        assert_eq!(
            summary().text(),
            "\
from        /dev/rtshm
played on   hw:0
format in   S16_LE, 48000 Hz, 1 channel
format out  S32_LE, 48000 Hz, 2 channels
buffering   4800 frames ahead, period 1200, buffer 9600
streams     1 in 3.7 s
frames in   144000 in 300 chunks
frames out  144000
discarded   0
lost        0 in 0 places
card xruns  0
card lost   0
sync        follow, card -12.35 ppm, at most 1.5 frames off
ring fill   448 to 9728 of 1048576 bytes, at least 1038848 free
"
        );
    }
}
