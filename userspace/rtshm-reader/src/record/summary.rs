// SPDX-License-Identifier: MIT OR GPL-2.0

//! What `record` tells at its end.

use std::path::PathBuf;

use serde::Serialize;

use super::take::Container;
use super::wav::Spec;
use crate::stdout;
use crate::summary::{FormatIn, RingUse};
use crate::table;

/// What `record` has done; the field names are the JSON's and are explained by `record --help`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Summary {
    #[serde(serialize_with = "stdout::path")]
    pub(crate) rtshm: PathBuf,
    pub(crate) format_in: Option<FormatIn>,
    pub(crate) files: Vec<FileSummary>,
    pub(crate) streams: u64,
    pub(crate) chunks: u64,
    pub(crate) frames_out: u64,
    pub(crate) silence_frames: u64,
    pub(crate) lost_frames: u64,
    pub(crate) lost_records: u64,
    #[serde(flatten)]
    pub(crate) ring: RingUse,
    pub(crate) seconds: f64,
}

/// A file that was written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FileSummary {
    pub(crate) file: String,
    pub(crate) container: &'static str,
    pub(crate) rate: u32,
    pub(crate) channels: u32,
    pub(crate) frames: u64,
}

impl FileSummary {
    pub(crate) fn new(file: &str, container: Container, spec: Spec, frames: u64) -> Self {
        Self {
            file: file.into(),
            container: match container {
                Container::Wav => "wav",
                Container::Raw => "raw",
            },
            rate: spec.rate,
            channels: spec.channels,
            frames,
        }
    }

    fn text(&self) -> String {
        let Self {
            file,
            container: _,
            rate,
            channels,
            frames,
        } = self;
        format!(
            "{file}: {rate} Hz, {}, {}",
            table::channels(*channels),
            length(*frames, *rate)
        )
    }
}

/// How long so many frames are.
pub(crate) fn length(frames: u64, rate: u32) -> String {
    // CAST: For people.
    let seconds = frames as f64 / f64::from(rate.max(1));
    format!("{frames} frames ({seconds:.3} s)")
}

impl Summary {
    /// As lines of text.
    pub(crate) fn text(&self) -> String {
        let mut rows = vec![["from".to_string(), self.rtshm.display().to_string()]];
        if self.files.is_empty() {
            rows.push(["recorded".into(), "nothing".into()]);
        }
        for file in &self.files {
            rows.push(["recorded".into(), file.text()]);
        }
        let others = [
            (
                "streams",
                format!("{} in {:.1} s", self.streams, self.seconds),
            ),
            (
                "frames",
                format!("{} of {} chunks", self.frames_out, self.chunks),
            ),
            (
                "lost",
                format!("{} in {} places", self.lost_frames, self.lost_records),
            ),
            (
                "silence",
                format!("{} frames for lost ones", self.silence_frames),
            ),
        ];
        rows.extend(others.map(|(name, value)| [name.to_string(), value]));
        if let Some(fill) = self.ring.text() {
            rows.push(["ring fill".into(), fill]);
        }
        table::align(&rows)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn summary() -> Summary {
        let mut ring = RingUse::new(1 << 20);
        ring.woke_at(9728);
        let spec = Spec {
            rate: 48_000,
            channels: 2,
        };
        Summary {
            rtshm: "/dev/rtshm".into(),
            files: vec![FileSummary::new("a.wav", Container::Wav, spec, 72_000)],
            streams: 1,
            chunks: 150,
            frames_out: 72_000,
            silence_frames: 480,
            lost_frames: 480,
            lost_records: 1,
            ring,
            seconds: 3.72,
            ..Summary::default()
        }
    }

    #[test]
    fn text_lines_up() {
        assert_eq!(
            summary().text(),
            "\
from       /dev/rtshm
recorded   a.wav: 48000 Hz, 2 channels, 72000 frames (1.500 s)
streams    1 in 3.7 s
frames     72000 of 150 chunks
lost       480 in 1 places
silence    480 frames for lost ones
ring fill  9728 to 9728 of 1048576 bytes, at least 1038848 free
"
        );
        assert!(Summary::default().text().contains("recorded  nothing\n"));
    }

    pub(crate) fn json() -> serde_json::Value {
        let format_in = Some(FormatIn {
            format: "S16_LE".into(),
            rate: 48_000,
            channels: 2,
        });
        let summary = Summary {
            format_in,
            ..summary()
        };
        serde_json::to_value(summary).unwrap()
    }
}
