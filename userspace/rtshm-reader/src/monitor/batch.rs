// SPDX-License-Identifier: MIT OR GPL-2.0

//! A line for each snapshot.

use super::levels::decibels;
use super::snapshot::Snapshot;

/// The names of the columns.
pub(super) fn heading() -> String {
    columns(&[
        "TIME", "STATE", "FORMAT", "RATE", "CH", "FILL", "FILL%", "FILL_MS", "LAT_MS", "PPM",
        "CHUNKS", "FRAMES", "LOST", "XRUNS", "FAULTS", "WAKE/S", "PEAK", "RMS", "CLIP", "PID",
        "CONSUMER",
    ])
}

/// A snapshot in a line. What there is not is a dash.
pub(super) fn line(snapshot: &Snapshot) -> String {
    let status = &snapshot.status;
    let stream = status.stream.as_ref();
    let loudest = snapshot.loudest();
    let level = |level: Option<f64>| {
        level.map(|level| decibels(level).map_or_else(|| "-inf".into(), |db| format!("{db:.2}")))
    };
    // Columns are told apart by spaces.
    let name = status.consumer_name.as_ref();
    let name = name.filter(|name| !name.is_empty());
    columns(&[
        &format!("{:.3}", snapshot.time),
        status.state,
        &or_dash(stream.map(|stream| stream.format.clone())),
        &or_dash(stream.map(|stream| stream.rate)),
        &or_dash(stream.map(|stream| stream.channels)),
        &status.ring_fill_bytes.to_string(),
        &format!("{:.2}", snapshot.ring_fill_percent),
        &or_dash(snapshot.ring_fill_ms.map(|ms| format!("{ms:.2}"))),
        &or_dash(snapshot.latency_ms.map(|ms| format!("{ms:.2}"))),
        &or_dash(status.clock_ppm.map(|ppm| format!("{:.3}", ppm + 0.0))),
        &status.chunks.to_string(),
        &status.frames.to_string(),
        &status.lost_frames.to_string(),
        &status.xruns.to_string(),
        &status.faults.to_string(),
        &format!("{:.1}", snapshot.wakeups_per_second),
        &or_dash(level(loudest.map(|level| level.peak))),
        &or_dash(level(loudest.map(|level| level.rms))),
        &or_dash(loudest.map(|level| level.clipped)),
        &or_dash(status.consumer_pid),
        &or_dash(name.map(|name| name.replace(char::is_whitespace, "_"))),
    ])
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Least widths; text is aligned to the left, numbers to the right.
const WIDTHS: [isize; 21] = [
    14, -9, -8, 6, 2, 8, 6, 8, 8, 9, 9, 11, 8, 5, 6, 6, 6, 6, 5, 7, -8,
];

fn columns(cells: &[&str; 21]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(WIDTHS) {
        let least = width.unsigned_abs();
        line.push_str(&match width < 0 {
            true => format!("{cell:<least$} "),
            false => format!("{cell:>least$} "),
        });
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}
