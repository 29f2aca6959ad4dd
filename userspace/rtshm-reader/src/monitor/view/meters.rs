// SPDX-License-Identifier: MIT OR GPL-2.0

//! The meters: a bar for each channel, in as many columns as it takes.
//!
//! A bar is solid up to the RMS, lighter up to the peak, and has a mark at the peak that is held.

use super::{Canvas, Line, Paint};
use crate::monitor::hold::Held;
use crate::monitor::levels::decibels;

/// Where the scale begins, in decibels to full scale.
const FLOOR: f64 = -60.0;

/// Where a bar turns yellow, and red.
const WARM: f64 = -18.0;
const HOT: f64 = -6.0;

/// Least width of a meter, and of one with all its numbers.
const NARROW: usize = 14;
const WIDE: usize = 40;

/// What a wide meter has beside its bar: the channel's number before it, the peak, the RMS and the
/// mark for clipping behind it.
const BEFORE: usize = 4;
const NUMBERS: usize = 7 + 7 + 5;

/// The same of a narrow one: the peak in whole decibels.
const NUMBER: usize = 5 + 1;

/// How the channels are arranged: from top to bottom, then to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    columns: usize,
    rows: usize,
    /// Of a meter, with the space behind it.
    width: usize,
}

impl Grid {
    /// For `count` channels; not all of them are in it where there is no room.
    fn new(count: usize, canvas: Canvas) -> Self {
        let most = (canvas.columns / NARROW).max(1);
        let columns = (1..most)
            .find(|columns| count.div_ceil(*columns) <= Self::room(*columns, canvas))
            .unwrap_or(most);
        let room = Self::room(columns, canvas);
        Self {
            columns,
            rows: count.div_ceil(columns).min(room),
            width: canvas.columns / columns,
        }
    }

    /// Rows for meters in so many columns: wide ones have a scale above them.
    fn room(columns: usize, canvas: Canvas) -> usize {
        let scale = usize::from(canvas.columns / columns >= WIDE);
        canvas.rows.saturating_sub(scale)
    }

    fn is_wide(self) -> bool {
        self.width >= WIDE
    }

    /// Of a bar.
    fn bar(self) -> usize {
        let others = BEFORE + if self.is_wide() { NUMBERS } else { NUMBER };
        // A space parts it from the next.
        self.width.saturating_sub(others + 1)
    }
}

/// The lines, at most as many as the canvas has.
pub(super) fn render(meters: &[Held], canvas: Canvas) -> Vec<Line> {
    if meters.is_empty() {
        return Vec::new();
    }
    let mut grid = Grid::new(meters.len(), canvas);
    let mut missing = meters.len().saturating_sub(grid.columns * grid.rows);
    if missing > 0 {
        // The line that says so takes the place of a row.
        grid.rows = grid.rows.saturating_sub(1);
        missing = meters.len() - grid.columns * grid.rows;
    }
    let mut lines = Vec::new();
    if grid.is_wide() {
        let columns = grid.columns.min(meters.len().div_ceil(grid.rows.max(1)));
        let mut line = Line::default();
        for _ in 0..columns {
            line.push(Paint::Label, scale(grid));
        }
        lines.push(line);
    }
    for row in 0..grid.rows {
        let mut line = Line::default();
        for column in 0..grid.columns {
            let channel = column * grid.rows + row;
            if let Some(held) = meters.get(channel) {
                meter(&mut line, channel + 1, held, grid, canvas.unicode);
            }
        }
        lines.push(line);
    }
    if missing > 0 {
        lines.push(Line::new(
            Paint::Warning,
            format!("{missing} more channels in a larger terminal"),
        ));
    }
    lines
}

/// What stands above a wide meter.
fn scale(grid: Grid) -> String {
    let bar = grid.bar();
    let mut marks = vec![' '; bar];
    let step = if bar >= 48 { 6 } else { 20 };
    for db in (-60..=0).step_by(step) {
        let text = db.to_string();
        // It ends where its level does.
        let end = position(f64::from(db), bar).max(text.len());
        let start = end - text.len();
        // None next to another.
        let room = marks.get_mut(start.saturating_sub(1)..end);
        if let Some(room) = room.filter(|room| room.iter().all(|mark| *mark == ' ')) {
            let skip = room.len() - text.len();
            for (mark, digit) in room.iter_mut().skip(skip).zip(text.chars()) {
                *mark = digit;
            }
        }
    }
    let marks: String = marks.into_iter().collect();
    format!("{:BEFORE$}{marks}{:>7}{:>7}{:>6}", "", "peak", "rms", "")
}

/// How much of a bar of `width` a level takes.
fn position(db: f64, width: usize) -> usize {
    // CAST: Widths are small; the result is from 0 to `width`.
    let part = ((db - FLOOR) / -FLOOR).clamp(0.0, 1.0);
    (part * width as f64).round() as usize
}

fn meter(line: &mut Line, channel: usize, held: &Held, grid: Grid, unicode: bool) {
    line.push(Paint::Label, format!("{channel:>3} "));
    bar(line, held, grid.bar(), unicode);
    let peak = decibels(held.peak);
    let clip = |text: &'static str| match held.clipped {
        true => (Paint::Alarm, text),
        false => (Paint::Plain, ""),
    };
    if grid.is_wide() {
        let rms = decibels(held.level.rms);
        line.push(tint(peak), precise(peak));
        line.push(Paint::Plain, precise(rms));
        let (paint, text) = clip("CLIP");
        line.push(paint, format!(" {text:4} "));
    } else {
        line.push(tint(peak), coarse(peak));
        let (paint, text) = clip("!");
        line.push(paint, format!("{text:1} "));
    }
}

/// A bar: pieces of one colour each.
fn bar(line: &mut Line, held: &Held, width: usize, unicode: bool) {
    let (solid, light, mark) = if unicode {
        ('█', '░', '│')
    } else {
        ('=', '-', '|')
    };
    let end = |level| decibels(level).map_or(0, |db| position(db, width));
    let (rms, peak, hold) = (end(held.level.rms), end(held.level.peak), end(held.peak));
    for cell in 0..width {
        let shape = match cell {
            cell if cell + 1 == hold => mark,
            cell if cell < rms => solid,
            cell if cell < peak => light,
            _ => ' ',
        };
        // CAST: As above.
        let db = FLOOR * (1.0 - (cell + 1) as f64 / width as f64);
        line.push(tint(Some(db)), shape);
    }
}

fn tint(db: Option<f64>) -> Paint {
    match db {
        Some(db) if db > HOT => Paint::Alarm,
        Some(db) if db > WARM => Paint::Warning,
        Some(_) => Paint::Good,
        None => Paint::Plain,
    }
}

fn precise(db: Option<f64>) -> String {
    db.map_or_else(|| format!("{:>7}", "-inf"), |db| format!("{db:>7.1}"))
}

fn coarse(db: Option<f64>) -> String {
    let whole = |db: f64| format!("{:>5}", db.round() + 0.0);
    db.map_or_else(|| format!("{:>5}", "-inf"), whole)
}
