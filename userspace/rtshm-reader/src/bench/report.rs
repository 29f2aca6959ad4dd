// SPDX-License-Identifier: MIT OR GPL-2.0

//! What `bench` tells.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::figures::Figures;
use super::listener::Heard;
use super::player::Setup;
use crate::stdout;
use crate::table;

/// What was measured; the field names are the JSON's and are explained by `bench --help`.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    #[serde(serialize_with = "stdout::path")]
    pub(super) rtshm: PathBuf,
    pub(super) card: u32,
    pub(super) module_version: String,
    pub(super) rate: u32,
    pub(super) channels: u32,
    pub(super) period_frames: u32,
    pub(super) buffer_frames: u64,
    pub(super) chunk_frames: u32,
    /// Of sound.
    pub(super) seconds_written: f64,
    pub(super) frames_written: u64,
    pub(super) frames: u64,
    pub(super) chunks: u64,
    pub(super) lost_frames: u64,
    pub(super) xruns: u64,
    pub(super) differing_samples: u64,
    pub(super) latency_min_us: Option<f64>,
    pub(super) latency_median_us: Option<f64>,
    pub(super) latency_p999_us: Option<f64>,
    pub(super) latency_max_us: Option<f64>,
    pub(super) jitter_us: Option<f64>,
    pub(super) reader_wakeups: u64,
    pub(super) reader_system_calls: u64,
    pub(super) reader_wakeups_per_chunk: Option<f64>,
    pub(super) reader_system_calls_per_chunk: Option<f64>,
    pub(super) reader_cpu_us_per_second: Option<f64>,
    pub(super) cpu_us_per_second: Option<f64>,
}

impl Report {
    /// Fills in what came of `setup`; `whole` is the processor time of the process.
    pub(super) fn measured(
        self,
        setup: Setup,
        written: u64,
        xruns: u64,
        heard: Heard,
        whole: Duration,
    ) -> Self {
        // CAST: For people; all are far below 2^53.
        let seconds = written as f64 / f64::from(setup.rate);
        let chunks = heard.latencies.len() as f64;
        let over = |what: f64, count: f64| (count > 0.0).then_some(what / count);
        let micros = |nanos: i64| nanos as f64 / 1000.0;
        // CAST: Widening.
        let chunk_count = heard.latencies.len() as u64;
        let figures = Figures::of(heard.latencies);
        Self {
            rate: setup.rate,
            channels: setup.channels,
            period_frames: setup.period,
            buffer_frames: setup.buffer(),
            chunk_frames: heard.chunk_frames,
            seconds_written: seconds,
            frames_written: written,
            frames: heard.frames,
            chunks: chunk_count,
            lost_frames: heard.lost,
            xruns,
            differing_samples: heard.wrong,
            latency_min_us: figures.map(|figures| micros(figures.least)),
            latency_median_us: figures.map(|figures| micros(figures.median)),
            latency_p999_us: figures.map(|figures| micros(figures.p999)),
            latency_max_us: figures.map(|figures| micros(figures.most)),
            jitter_us: figures.map(|figures| figures.jitter / 1000.0),
            reader_wakeups: heard.wakeups,
            reader_system_calls: heard.calls,
            reader_wakeups_per_chunk: over(heard.wakeups as f64, chunks),
            reader_system_calls_per_chunk: over(heard.calls as f64, chunks),
            reader_cpu_us_per_second: over(heard.time.as_secs_f64() * 1e6, seconds),
            cpu_us_per_second: over(whole.as_secs_f64() * 1e6, seconds),
            ..self
        }
    }

    /// Whether what came out is what went in, but for what was lost and told so; not all can be.
    pub(super) fn is_equal(&self) -> bool {
        let is_any = self.frames > 0 || self.frames_written == 0;
        let is_whole = self.frames + self.lost_frames == self.frames_written;
        is_any && is_whole && self.differing_samples == 0
    }

    /// As lines of text.
    pub(super) fn text(&self) -> String {
        let number = |value: Option<f64>, digits| match value {
            None => "-".to_string(),
            Some(value) => format!("{value:.digits$}"),
        };
        let samples = self.frames * u64::from(self.channels);
        let rows = [
            (
                "device",
                format!(
                    "{}, card {}, module {}",
                    self.rtshm.display(),
                    self.card,
                    self.module_version
                ),
            ),
            (
                "played",
                format!(
                    "{:.1} s: {} Hz, {}, FLOAT_LE, period {}, buffer {}",
                    self.seconds_written,
                    self.rate,
                    table::channels(self.channels),
                    self.period_frames,
                    self.buffer_frames
                ),
            ),
            (
                "read",
                format!(
                    "{} frames in {} chunks of up to {}",
                    self.frames, self.chunks, self.chunk_frames
                ),
            ),
            ("lost", format!("{} frames", self.lost_frames)),
            ("xruns", self.xruns.to_string()),
            (
                "compared",
                match self.differing_samples {
                    0 if samples == 0 => "nothing: NO SOUND CAME".into(),
                    0 => format!("{samples} samples, all equal"),
                    wrong => format!("{samples} samples, {wrong} DIFFER"),
                },
            ),
            (
                "latency",
                format!(
                    "{} us min, {} median, {} at 99.9 %, {} max",
                    number(self.latency_min_us, 1),
                    number(self.latency_median_us, 1),
                    number(self.latency_p999_us, 1),
                    number(self.latency_max_us, 1)
                ),
            ),
            ("jitter", format!("{} us", number(self.jitter_us, 1))),
            (
                "per chunk",
                format!(
                    "{} wake-ups, {} system calls",
                    number(self.reader_wakeups_per_chunk, 3),
                    number(self.reader_system_calls_per_chunk, 3)
                ),
            ),
            (
                "CPU per second",
                format!(
                    "{} us the reader, {} us with the player",
                    number(self.reader_cpu_us_per_second, 0),
                    number(self.cpu_us_per_second, 0)
                ),
            ),
        ];
        table::align(&rows.map(|(name, value)| [name.to_string(), value]))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn report() -> Report {
        let setup = Setup {
            rate: 48_000,
            channels: 2,
            period: 256,
        };
        let mut heard = Heard::with_capacity(4);
        heard.latencies = vec![20_000, 10_000, 40_000, 30_000];
        heard.frames = 1024;
        heard.chunk_frames = 256;
        heard.wakeups = 3;
        heard.calls = 5;
        heard.time = Duration::from_micros(160);
        let started = Report {
            rtshm: "/dev/rtshm".into(),
            card: 1,
            module_version: "0.1.0".into(),
            ..Report::default()
        };
        started.measured(setup, 1024, 0, heard, Duration::from_micros(320))
    }

    #[test]
    fn text_lines_up() {
        assert_eq!(
            report().text(),
            "\
device          /dev/rtshm, card 1, module 0.1.0
played          0.0 s: 48000 Hz, 2 channels, FLOAT_LE, period 256, buffer 24064
read            1024 frames in 4 chunks of up to 256
lost            0 frames
xruns           0
compared        2048 samples, all equal
latency         10.0 us min, 20.0 median, 40.0 at 99.9 %, 40.0 max
jitter          11.2 us
per chunk       0.750 wake-ups, 1.250 system calls
CPU per second  7500 us the reader, 15000 us with the player
"
        );
        assert!(Report::default()
            .text()
            .contains("latency         - us min"));
    }

    #[test]
    fn what_is_missing_or_differs_is_not_equal() {
        let report = report();
        assert!(report.is_equal());
        let missing = Report {
            frames: 1023,
            ..report.clone()
        };
        assert!(!missing.is_equal());
        let lost = Report {
            lost_frames: 1,
            ..missing
        };
        assert!(lost.is_equal());
        let silent = Report {
            frames: 0,
            lost_frames: 1024,
            ..report.clone()
        };
        assert!(!silent.is_equal() && silent.text().contains("NO SOUND CAME"));
        let differing = Report {
            differing_samples: 1,
            ..report
        };
        assert!(!differing.is_equal() && differing.text().contains("1 DIFFER"));
    }

    pub(crate) fn json() -> serde_json::Value {
        serde_json::to_value(report()).unwrap()
    }
}
