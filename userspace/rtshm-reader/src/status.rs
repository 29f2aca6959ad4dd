// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader status`.

use std::path::{Path, PathBuf};

use rtshm::{ClockRatio, Device, Format, Holder, Info, State, Status};
use serde::Serialize;

use crate::cli::OutputOptions;
use crate::exit::Outcome;
use crate::stdout;
use crate::table;

/// What a device does; the field names are the JSON's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    #[serde(serialize_with = "stdout::path")]
    pub(crate) rtshm: PathBuf,
    pub(crate) card: u32,
    pub(crate) card_id: String,
    pub(crate) module_version: String,
    pub(crate) abi_version: u32,
    /// `none` before the first stream, `running`, `paused`, `draining`, `stopped`, `xrun` or
    /// `suspended`.
    pub(crate) state: &'static str,
    /// Of the stream, or of the last one; null before the first.
    pub(crate) stream: Option<Stream>,
    pub(crate) consumer_pid: Option<u32>,
    pub(crate) consumer_name: Option<String>,
    pub(crate) ring_bytes: u64,
    pub(crate) ring_fill_bytes: u64,
    pub(crate) write_count: u64,
    pub(crate) read_count: u64,
    pub(crate) chunks: u64,
    pub(crate) frames: u64,
    pub(crate) lost_frames: u64,
    pub(crate) lost_records: u64,
    pub(crate) streams: u64,
    pub(crate) xruns: u64,
    pub(crate) faults: u64,
    pub(crate) wakeups: u64,
    /// Null while the clock stands still.
    pub(crate) clock_ppm: Option<f64>,
    pub(crate) volume_db: f64,
    pub(crate) muted: bool,
    #[serde(skip)]
    pub(crate) clock: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stream {
    pub(crate) format: String,
    pub(crate) rate: u32,
    pub(crate) channels: u32,
    pub(crate) period_frames: u32,
    pub(crate) buffer_frames: u32,
    pub(crate) chunk_frames: u32,
}

pub(crate) fn run(path: &Path, options: &OutputOptions) -> Outcome {
    let device = Device::open(path)?;
    let info = device.info()?;
    let status = device.status()?;
    let holder = status.consumer_pid.map(Holder::of_pid);
    let report = Report::new(path, info, status, holder);
    if options.json {
        stdout::print_json(&report)
    } else {
        stdout::print(&report.text())
    }
}

impl Report {
    pub(crate) fn new(path: &Path, info: Info, status: Status, holder: Option<Holder>) -> Self {
        let ring_fill_bytes = status.unread().min(info.capacity);
        Self {
            rtshm: path.into(),
            card: info.card,
            card_id: info.card_id,
            module_version: info.module_version,
            abi_version: info.abi_version,
            state: state_name(status.state),
            stream: status.format.map(Stream::from),
            consumer_pid: status.consumer_pid,
            consumer_name: holder.and_then(|holder| holder.name),
            ring_bytes: info.capacity,
            ring_fill_bytes,
            write_count: status.write_count,
            read_count: status.read_count,
            chunks: status.chunks,
            frames: status.frames,
            lost_frames: status.lost_frames,
            lost_records: status.lost_records,
            streams: status.streams,
            xruns: status.xruns,
            faults: status.faults,
            wakeups: status.wakeups,
            clock_ppm: status.clock_ratio.map(ClockRatio::ppm),
            volume_db: f64::from(status.volume_gain) / 100.0,
            muted: !status.volume_is_on,
            clock: match status.clock_ratio {
                None => "stands still".to_string(),
                Some(ratio) => ratio.to_string(),
            },
        }
    }

    fn text(&self) -> String {
        let consumer = match (self.consumer_pid, &self.consumer_name) {
            (None, _) => "none".to_string(),
            (Some(pid), name) => Holder {
                pid,
                name: name.clone(),
            }
            .to_string(),
        };
        let stream = match &self.stream {
            None => "none yet".to_string(),
            Some(stream) => format!(
                "{}, {} Hz, {}, period {}, buffer {}, chunks of up to {} frames",
                stream.format,
                stream.rate,
                table::channels(stream.channels),
                stream.period_frames,
                stream.buffer_frames,
                stream.chunk_frames
            ),
        };
        let volume = match (self.volume_db, self.muted) {
            (db, false) => format!("{db} dB"),
            (db, true) => format!("muted, {db} dB"),
        };
        let rows = [
            ("device", self.rtshm.display().to_string()),
            ("card", format!("{} ({})", self.card, self.card_id)),
            (
                "module",
                format!("{}, ABI version {}", self.module_version, self.abi_version),
            ),
            ("state", self.state.to_string()),
            ("stream", stream),
            ("clock", self.clock.clone()),
            ("volume", volume),
            ("consumer", consumer),
            (
                "ring",
                format!(
                    "{} of {} bytes unread",
                    self.ring_fill_bytes, self.ring_bytes
                ),
            ),
            (
                "delivered",
                format!("{} frames in {} chunks", self.frames, self.chunks),
            ),
            (
                "lost",
                format!(
                    "{} frames in {} places",
                    self.lost_frames, self.lost_records
                ),
            ),
            (
                "streams",
                format!("{}, {} ended by an xrun", self.streams, self.xruns),
            ),
            ("wake-ups", self.wakeups.to_string()),
            ("faulty consumers", self.faults.to_string()),
        ];
        table::align(&rows.map(|(name, value)| [name.to_string(), value]))
    }
}

impl From<Format> for Stream {
    fn from(format: Format) -> Self {
        Self {
            format: format.sample_format.to_string(),
            rate: format.rate,
            channels: format.channels,
            period_frames: format.period_frames,
            buffer_frames: format.buffer_frames,
            chunk_frames: format.chunk_frames,
        }
    }
}

fn state_name(state: Option<State>) -> &'static str {
    match state {
        None => "none",
        Some(State::Start | State::Resume) => "running",
        Some(State::Pause) => "paused",
        Some(State::Drain) => "draining",
        Some(State::Stop) => "stopped",
        Some(State::Xrun) => "xrun",
        Some(State::Suspend) => "suspended",
        Some(_) => "other",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rtshm::SampleFormat;

    use super::*;

    fn report(status: Status) -> Report {
        let mut info = Info::default();
        info.abi_version = 1;
        info.module_version = "0.1.0".into();
        info.page_size = 4096;
        info.capacity = 1 << 20;
        info.card = 1;
        info.card_id = "RtShm".into();
        let holder = status.consumer_pid.map(|pid| Holder {
            pid,
            name: Some("rtshm-reader".into()),
        });
        Report::new(Path::new("/dev/rtshm"), info, status, holder)
    }

    fn idle() -> Status {
        let mut status = Status::default();
        status.volume_is_on = true;
        status
    }

    fn playing() -> Status {
        let mut format = Format::default();
        format.rate = 44_100;
        format.channels = 2;
        format.sample_format = SampleFormat(2);
        format.period_frames = 1024;
        format.buffer_frames = 4096;
        format.chunk_frames = 512;
        let mut status = Status::default();
        status.state = Some(State::Start);
        status.consumer_pid = Some(4711);
        status.write_count = 10_000;
        status.read_count = 9000;
        status.chunks = 6;
        status.frames = 5;
        status.lost_frames = 4;
        status.lost_records = 3;
        status.streams = 2;
        status.xruns = 1;
        status.faults = 7;
        status.wakeups = 8;
        status.clock_ratio = ClockRatio::from_ppm(-12.5);
        status.volume_gain = -1250;
        status.volume_is_on = false;
        status.format = Some(format);
        status
    }

    pub(crate) fn json() -> serde_json::Value {
        serde_json::to_value(report(playing())).unwrap()
    }

    #[test]
    fn text_lines_up() {
        assert_eq!(
            report(playing()).text(),
            "\
device            /dev/rtshm
card              1 (RtShm)
module            0.1.0, ABI version 1
state             running
stream            S16_LE, 44100 Hz, 2 channels, period 1024, buffer 4096, chunks of up to 512 frames
clock             -12.500 ppm
volume            muted, -12.5 dB
consumer          rtshm-reader (pid 4711)
ring              1000 of 1048576 bytes unread
delivered         5 frames in 6 chunks
lost              4 frames in 3 places
streams           2, 1 ended by an xrun
wake-ups          8
faulty consumers  7
"
        );
        let text = report(idle()).text();
        for line in [
            "state             none",
            "stream            none yet",
            "clock             stands still",
            "volume            0 dB",
            "consumer          none",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }

    #[test]
    fn a_lying_consumer_does_not_overflow_the_fill() {
        let mut lying = playing();
        lying.read_count = 20_000;
        assert_eq!(report(lying).ring_fill_bytes, 0);
        let mut far_behind = playing();
        far_behind.write_count = u64::MAX;
        assert_eq!(report(far_behind).ring_fill_bytes, 1 << 20);
    }

    #[test]
    fn json_says_the_same() {
        let json = json();
        assert_eq!(json["state"], "running");
        assert_eq!(json["stream"]["format"], "S16_LE");
        assert_eq!(json["stream"]["chunk_frames"], 512);
        assert_eq!(json["consumer_name"], "rtshm-reader");
        assert_eq!(json["ring_fill_bytes"], 1000);
        let ppm = json["clock_ppm"].as_f64().unwrap();
        assert!((ppm + 12.5).abs() < 0.001, "{ppm}");
        assert_eq!(json["volume_db"], -12.5);
        assert_eq!(json["muted"], true);
        let json = serde_json::to_value(report(idle())).unwrap();
        for name in ["stream", "consumer_pid", "clock_ppm"] {
            assert!(json[name].is_null(), "{name}");
        }
        assert_eq!(json["volume_db"], 0.0);
        assert_eq!(json["muted"], false);
    }
}
