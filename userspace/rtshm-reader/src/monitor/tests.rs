// SPDX-License-Identifier: MIT OR GPL-2.0

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::signal::raise;
use rtshm::{ClockRatio, Format, Holder, Info, SampleFormat, State, Status};

use super::levels::Level;
use super::tap::Meters;
use super::*;

/// A card that plays S16 at 48 kHz, seen at one time.
pub(super) fn playing(meters: Meters) -> Snapshot {
    let mut format = Format::default();
    format.rate = 48_000;
    format.channels = 2;
    format.sample_format = SampleFormat(2);
    format.period_frames = 1024;
    format.buffer_frames = 4096;
    format.chunk_frames = 256;
    let mut before = Status::default();
    before.wakeups = 50;
    before.frames = 1000;
    let mut status = before.clone();
    status.state = Some(State::Start);
    status.format = Some(format);
    status.consumer_pid = Some(4711);
    // Four chunks and a half: each has 64 bytes and 256 frames of 8.
    status.write_count = 10_000;
    status.read_count = 10_000 - 9_504;
    status.chunks = 94;
    status.frames = 25_000;
    status.wakeups = 97;
    status.streams = 3;
    status.clock_ratio = ClockRatio::from_ppm(-12.5);
    status.volume_is_on = true;
    let rates = Rates::between(&before, &status, SECOND / 2);
    snapshot(status, rates, meters)
}

/// A card that nobody has played.
pub(super) fn idle() -> Snapshot {
    let mut status = Status::default();
    status.volume_is_on = true;
    snapshot(status, Rates::default(), Meters::Idle)
}

fn snapshot(status: Status, rates: Rates, meters: Meters) -> Snapshot {
    let mut info = Info::default();
    info.abi_version = 1;
    info.module_version = "0.1.0".into();
    info.capacity = 1 << 20;
    info.card = 1;
    info.card_id = "RtShm".into();
    let holder = status.consumer_pid.map(|pid| Holder {
        pid,
        name: Some("a player".into()),
    });
    let report = Report::new(Path::new("/dev/rtshm"), info, status, holder);
    Snapshot::new(1_795_539_120.25, report, rates, meters)
}

/// A full-scale sine, clipped twice, and silence.
fn heard() -> Meters {
    let sine = Level {
        peak: 1.0,
        rms: 0.5f64.sqrt(),
        clipped: 2,
    };
    Meters::Seen(vec![sine, Level::default()], 24_000)
}

/// Whatever a process calls itself, there are as many columns.
#[test]
fn no_name_is_a_column_by_itself() {
    for name in ["", " ", "a b", "\u{a0}", "a\u{2003}b"] {
        let mut snapshot = playing(heard());
        snapshot.status.consumer_name = Some(name.into());
        let line = batch::line(&snapshot);
        assert_eq!(line.split_whitespace().count(), 21, "{name:?}: {line}");
    }
}

pub(crate) fn json() -> serde_json::Value {
    serde_json::to_value(playing(heard())).unwrap()
}

#[test]
fn a_line_has_its_columns() {
    let text = batch::heading()
        + &batch::line(&playing(heard()))
        + &batch::line(&playing(Meters::Blind("busy".into())))
        + &batch::line(&idle());
    assert_eq!(
        text,
        "          TIME STATE     FORMAT     RATE CH     FILL  FILL%  FILL_MS   LAT_MS       PPM    CHUNKS      FRAMES     LOST XRUNS FAULTS WAKE/S   PEAK    RMS  CLIP     PID CONSUMER
1795539120.250 running   S16_LE    48000  2     9504   0.91    24.00   114.67   -12.500        94       25000        0     0      0   94.0   0.00  -3.01     2    4711 a_player
1795539120.250 running   S16_LE    48000  2     9504   0.91    24.00   114.67   -12.500        94       25000        0     0      0   94.0      -      -     -    4711 a_player
1795539120.250 none      -             -  -        0   0.00        -        -         -         0           0        0     0      0    0.0      -      -     -       - -
"
    );
}

#[test]
fn json_says_the_same() {
    let json = json();
    assert_eq!(json["time"], 1_795_539_120.25);
    assert_eq!(json["state"], "running");
    assert_eq!(json["stream"]["rate"], 48_000);
    assert_eq!(json["ring_fill_bytes"], 9_504);
    // 9504 of 1048576 bytes; 4.5 chunks of 256 frames at 48 kHz; a buffer of 4096 and a chunk more.
    assert_eq!(json["ring_fill_percent"], 0.91);
    assert_eq!(json["ring_fill_ms"], 24.0);
    assert_eq!(json["latency_ms"], 114.67);
    // 47 and 24000 in half a second.
    assert_eq!(json["wakeups_per_second"], 94.0);
    assert_eq!(json["frames_per_second"], 48_000.0);
    assert_eq!(json["measured_frames"], 24_000);
    assert_eq!(json["peak_dbfs"], serde_json::json!([0.0, null]));
    assert_eq!(json["rms_dbfs"], serde_json::json!([-3.01, null]));
    assert_eq!(json["clipped_samples"], serde_json::json!([2, 0]));
    assert!(json["meters_missing"].is_null());

    let blind = serde_json::to_value(playing(Meters::Blind("busy".into()))).unwrap();
    assert_eq!(blind["meters_missing"], "busy");
    let idle = serde_json::to_value(idle()).unwrap();
    for name in ["ring_fill_ms", "latency_ms", "peak_dbfs", "rms_dbfs"] {
        assert!(idle[name].is_null(), "{name}");
    }
    for name in ["peak_dbfs", "clipped_samples"] {
        assert!(blind[name].is_null(), "{name}");
    }
}

/// Null is silence; the greatest float is 20 log10(3.4028e38) = 770.64 dB.
#[test]
fn infinite_samples_are_not_silent_in_json() {
    let mut format = Format::default();
    format.sample_format = SampleFormat(14);
    format.channels = 2;
    let mut levels = levels::Levels::new(&format).unwrap();
    for sample in [f32::INFINITY, f32::NEG_INFINITY] {
        levels.add(&sample.to_le_bytes().repeat(2));
    }
    let (levels, frames) = levels.take();
    let json = serde_json::to_value(playing(Meters::Seen(levels, frames))).unwrap();
    let loud = serde_json::json!([770.64, 770.64]);
    assert_eq!((&json["peak_dbfs"], &json["rms_dbfs"]), (&loud, &loud));
}

/// A pipe that takes no more.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = nix::unistd::pipe().unwrap();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&write, &[0; 4096]).is_ok() {}
    fcntl(&write, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (read, write)
}

#[test]
fn a_signal_ends_what_nobody_reads() {
    let signals = Signals::take_over().unwrap();
    let (read, write) = full_pipe();
    raise(Signal::SIGTERM).unwrap();
    assert!(!print("a line\n", &write, &signals).unwrap());
    // Nobody is left: that is no error.
    assert!(signals.next_number().is_some());
    drop(read);
    assert!(!print("a line\n", &write, &signals).unwrap());
}

#[test]
fn lines_that_a_pipe_cannot_hold_are_printed_whole() {
    let signals = Signals::take_over().unwrap();
    let (read, write) = nix::unistd::pipe().unwrap();
    let line = "0123456789".repeat(20_000);
    let reader = std::thread::spawn(|| std::io::read_to_string(std::fs::File::from(read)).unwrap());
    assert!(print(&line, &write, &signals).unwrap());
    drop(write);
    assert!(reader.join().unwrap() == line);
}

#[test]
fn a_module_that_was_loaded_anew_has_no_negative_rates() {
    let mut before = Status::default();
    before.frames = 1000;
    let rates = Rates::between(&before, &Status::default(), 0);
    let snapshot = snapshot(Status::default(), rates, Meters::Idle);
    assert_eq!(snapshot.frames_per_second, 0.0);
}

#[test]
fn intervals_have_bounds() {
    assert_eq!(parse_interval("10ms"), Ok(INTERVAL_MIN));
    assert_eq!(parse_interval("1h"), Ok(INTERVAL_MAX));
    for wrong in ["9ms", "61min", "1", ""] {
        assert!(parse_interval(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn keys_are_told_apart() {
    let quit: [&[u8]; 5] = [b"q", b"Q", b"\x1b", b"\x03", b""];
    for bytes in quit {
        assert_eq!(key(bytes), Key::Quit, "{bytes:?}");
    }
    assert_eq!(key(b"r"), Key::Reset);
    assert_eq!(key(b"\x1a"), Key::Stop);
    // An arrow, and F1.
    for bytes in [&b"\x1b[A"[..], b"\x1bOP", b"x"] {
        assert_eq!(key(bytes), Key::Other, "{bytes:?}");
    }
}

mod job;
