// SPDX-License-Identifier: MIT OR GPL-2.0

//! The live view: a snapshot as the lines of a terminal.

mod meters;

use super::hold::Held;
use super::snapshot::Snapshot;
use crate::table;

/// What the terminal is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Canvas {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Whether it has more than ASCII.
    pub(super) unicode: bool,
}

/// How text is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Title,
    Label,
    Good,
    Warning,
    Alarm,
}

/// A line of text in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(Paint, String)>);

impl Line {
    fn new(paint: Paint, text: impl Into<String>) -> Self {
        Self::default().with(paint, text)
    }

    fn with(mut self, paint: Paint, text: impl Into<String>) -> Self {
        self.push(paint, text);
        self
    }

    fn push(&mut self, paint: Paint, text: impl Into<String>) {
        match self.0.last_mut() {
            Some((last, so_far)) if *last == paint => so_far.push_str(&text.into()),
            _ => self.0.push((paint, text.into())),
        }
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// What fits into so many columns.
    fn cut(self, columns: usize) -> Self {
        let mut room = columns;
        let pieces = self.0.into_iter().filter_map(|(paint, text)| {
            let text: String = text.chars().take(room).collect();
            room -= text.chars().count();
            (!text.is_empty()).then_some((paint, text))
        });
        Self(pieces.collect())
    }
}

/// The lines, at most as many as the terminal has and none wider.
pub(super) fn render(snapshot: &Snapshot, meters: &[Held], canvas: Canvas) -> Vec<Line> {
    let mut lines = header(snapshot, canvas.columns);
    let rows = canvas.rows.saturating_sub(lines.len());
    match &snapshot.meters_missing {
        Some(reason) => {
            lines.push(Line::new(Paint::Warning, format!("no meters: {reason}")));
        }
        None if meters.is_empty() => lines.push(Line::new(Paint::Label, "nothing plays")),
        None => lines.extend(meters::render(meters, Canvas { rows, ..canvas })),
    }
    lines.truncate(canvas.rows);
    lines
        .into_iter()
        .map(|line| line.cut(canvas.columns))
        .collect()
}

fn header(snapshot: &Snapshot, columns: usize) -> Vec<Line> {
    let status = &snapshot.status;
    let mut title = Line::new(
        Paint::Title,
        format!(
            "{}  card {} ({})  {}",
            status.rtshm.display(),
            status.card,
            status.card_id,
            status.state
        ),
    );
    let keys = "r resets the meters, q quits";
    let gap = columns.saturating_sub(title.width() + keys.len());
    if gap >= 2 {
        title.push(Paint::Label, " ".repeat(gap) + keys);
    }
    vec![
        title,
        stream(snapshot),
        consumer(snapshot),
        ring(snapshot),
        latency(snapshot),
        clock(snapshot),
        played(snapshot),
        faults(snapshot),
        Line::default(),
    ]
}

/// A line with what it is about.
fn row(label: &str, text: impl Into<String>) -> Line {
    Line::new(Paint::Label, format!("{label:<10}")).with(Paint::Plain, text)
}

fn stream(snapshot: &Snapshot) -> Line {
    let text = match &snapshot.status.stream {
        None => "none yet".into(),
        Some(stream) => format!(
            "{}, {} Hz, {}, period {}, buffer {}",
            stream.format,
            stream.rate,
            table::channels(stream.channels),
            stream.period_frames,
            stream.buffer_frames,
        ),
    };
    row("stream", text)
}

fn consumer(snapshot: &Snapshot) -> Line {
    let status = &snapshot.status;
    let text = match (status.consumer_pid, &status.consumer_name) {
        (None, _) => "none".into(),
        (Some(pid), None) => format!("pid {pid}"),
        (Some(pid), Some(name)) => format!("{name} (pid {pid})"),
    };
    let wakeups = snapshot.wakeups_per_second;
    row("consumer", format!("{text}, {wakeups:.1} wake-ups/s"))
}

fn ring(snapshot: &Snapshot) -> Line {
    let status = &snapshot.status;
    let mut text = format!(
        "{} of {} bytes unread, {:.1} %",
        status.ring_fill_bytes, status.ring_bytes, snapshot.ring_fill_percent
    );
    if let Some(ms) = snapshot.ring_fill_ms {
        text.push_str(&format!(", {ms:.1} ms"));
    }
    let mut line = row("ring", "");
    line.push(grade(snapshot.ring_fill_percent, 50.0, 90.0), text);
    line
}

fn latency(snapshot: &Snapshot) -> Line {
    let text = match (&snapshot.status.stream, snapshot.latency_ms) {
        (Some(stream), Some(ms)) => {
            let of = |frames: u32| f64::from(frames) * 1000.0 / f64::from(stream.rate.max(1));
            format!(
                "at most {ms:.1} ms: buffer {:.1}, chunk {:.1}, ring {:.1}",
                of(stream.buffer_frames),
                of(stream.chunk_frames),
                snapshot.ring_fill_ms.unwrap_or_default()
            )
        }
        _ => "none".into(),
    };
    row("latency", text)
}

fn clock(snapshot: &Snapshot) -> Line {
    let status = &snapshot.status;
    let volume = match status.muted {
        true => format!("muted, {} dB", status.volume_db),
        false => format!("{} dB", status.volume_db),
    };
    row("clock", status.clock.clone())
        .with(Paint::Label, "   volume ")
        .with(Paint::Plain, volume)
}

fn played(snapshot: &Snapshot) -> Line {
    let status = &snapshot.status;
    let text = format!(
        "{} frames in {} chunks, {} frames/s, streams {}",
        status.frames, status.chunks, snapshot.frames_per_second, status.streams
    );
    row("played", text)
}

/// What should all be zero.
fn faults(snapshot: &Snapshot) -> Line {
    let status = &snapshot.status;
    let paint = |count| match count {
        0 => Paint::Plain,
        _ => Paint::Alarm,
    };
    let places = status.lost_records;
    let lost = format!("{} frames in {places} places", status.lost_frames);
    row("lost", "")
        .with(paint(status.lost_frames), lost)
        .with(Paint::Label, "   xruns ")
        .with(paint(status.xruns), status.xruns.to_string())
        .with(Paint::Label, "   faulty consumers ")
        .with(paint(status.faults), status.faults.to_string())
}

/// How a value that had better be small is painted.
fn grade(value: f64, warning: f64, alarm: f64) -> Paint {
    match value {
        value if value >= alarm => Paint::Alarm,
        value if value >= warning => Paint::Warning,
        _ => Paint::Plain,
    }
}

#[cfg(test)]
mod tests;
