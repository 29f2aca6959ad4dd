// SPDX-License-Identifier: MIT OR GPL-2.0

//! The demo's table.

use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::compare::{compare, Comparison};
use crate::wav;

/// What the table is made of.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What was played
    #[arg(long)]
    input: PathBuf,
    /// How to call it
    #[arg(long)]
    title: String,
    /// What QEMU recorded
    #[arg(long)]
    recording: PathBuf,
    /// What `rtshm-reader play --json` printed
    #[arg(long)]
    reader: PathBuf,
    /// What `rtshm-reader status --json` printed afterwards
    #[arg(long)]
    status: PathBuf,
    /// How long all of it took
    #[arg(long)]
    seconds: u64,
    /// How long the machine ran
    #[arg(long)]
    machine_seconds: u64,
}

/// A line: a label, a number and what there is to say about it.
struct Row {
    label: &'static str,
    value: String,
    remark: String,
}

/// Prints the table; returns whether the recording is what was played.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let sound = wav::read(&options.input)?;
    let recording = match wav::read_recording(&options.recording) {
        Ok(recording) => recording,
        Err(error) => {
            println!("  Nothing came out: {error:#}.");
            return Ok(false);
        }
    };
    let frames_in = sound.frames.len() as u64;
    let length = sound.seconds();
    let summary = sound.to_string();
    let comparison = compare(&[sound], &recording);
    let same = comparison.difference.is_none();

    let mut rows = vec![Row::number("frames in", frames_in, "")];
    rows.extend(compared(&comparison, frames_in));
    rows.extend(told(
        &read_json(&options.reader),
        &read_json(&options.status),
        frames_in,
    ));
    rows.push(Row {
        label: "took",
        value: format!("{} s", options.seconds),
        remark: format!(
            "{} s of them in the virtual machine, {length:.1} s of those sound",
            options.machine_seconds
        ),
    });

    let style = Style::new();
    println!();
    println!("  {}  {}", style.bold("played"), options.title);
    println!("          {summary}");
    println!(
        "  {}    aplay > card RtShm > ring > rtshm-reader > card HDA > WAV file",
        style.bold("path")
    );
    println!();
    print!("{}", table(&rows));
    println!();
    let verdict = match same {
        true => style.green("Every frame came out, in order and unchanged."),
        false => style.red("What came out is not what went in."),
    };
    println!("  {verdict}");
    Ok(same)
}

impl Row {
    fn new(label: &'static str, value: &str, remark: &str) -> Self {
        Self {
            label,
            value: value.into(),
            remark: remark.into(),
        }
    }

    /// An empty line.
    fn gap() -> Self {
        Self::new("", "", "")
    }

    fn number(label: &'static str, value: u64, remark: &str) -> Self {
        Self::new(label, &grouped(value), remark)
    }
}

/// Rows of the comparison.
fn compared(comparison: &Comparison, frames_in: u64) -> Vec<Row> {
    let out = comparison.frames_out;
    let remark = match out.abs_diff(frames_in) {
        0 if comparison.difference.is_none() => "all of them".to_string(),
        0 => "as many, but not the same".to_string(),
        less if out < frames_in => format!("{} fewer", grouped(less)),
        more => format!("{} more", grouped(more)),
    };
    let difference = match &comparison.difference {
        None => Row::new("first difference", "none", ""),
        Some(difference) => Row::new(
            "first difference",
            &grouped(difference.frame),
            // The number stands before it already.
            difference
                .to_string()
                .split_once(": ")
                .map_or("", |(_, what)| what),
        ),
    };
    vec![Row::number("frames out", out, &remark), difference]
}

/// Rows of what the reader and the module tell.
fn told(reader: &Value, status: &Value, frames_in: u64) -> Vec<Row> {
    if reader.is_null() || status.is_null() {
        return vec![Row::new(
            "counters",
            "none",
            "rtshm-reader gave no account: see its log",
        )];
    }
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap_or(u64::MAX);
    let through = number(reader, "frames_in");
    let padding = match through.saturating_sub(frames_in) {
        0 => "frames".to_string(),
        more => format!(
            "frames: aplay fills its last period up, with {} of silence",
            grouped(more)
        ),
    };
    let longest = number(&status["stream"], "chunk_frames");
    let ring = grouped(number(reader, "ring_bytes"));
    let least = number(reader, "ring_fill_min_bytes");
    let most = number(reader, "ring_fill_max_bytes");
    vec![
        Row::gap(),
        Row::number("through the ring", through, &padding),
        Row::number(
            "chunks",
            number(reader, "chunks"),
            &format!("of {longest} frames at most"),
        ),
        Row::number(
            "lost frames",
            number(status, "lost_frames"),
            "that found the ring full",
        ),
        Row::number(
            "xruns",
            number(status, "xruns"),
            "of aplay on the card RtShm",
        ),
        Row::number(
            "",
            number(reader, "sink_xruns"),
            "of rtshm-reader on the card HDA",
        ),
        Row::number(
            "ring fill",
            least,
            "bytes from the read counter to the write counter, at least",
        ),
        Row::number("", most, &format!("at most; the ring holds {ring}")),
        Row::gap(),
    ]
}

/// The JSON in a file; null where there is none.
fn read_json(path: &Path) -> Value {
    fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn table(rows: &[Row]) -> String {
    let width = |text: fn(&Row) -> &str| rows.iter().map(|row| text(row).len()).max().unwrap_or(0);
    let labels = width(|row| row.label);
    let values = width(|row| &row.value);
    let mut text = String::new();
    for Row {
        label,
        value,
        remark,
    } in rows
    {
        let line = format!("  {label:labels$}  {value:>values$}  {remark}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Colours, where somebody sees them.
struct Style(bool);

impl Style {
    fn new() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    fn with(&self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn green(&self, text: &str) -> String {
        self.with("1;32", text)
    }

    fn red(&self, text: &str) -> String {
        self.with("1;31", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
