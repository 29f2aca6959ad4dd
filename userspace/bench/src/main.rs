// SPDX-License-Identifier: MIT OR GPL-2.0

//! What it costs to push and pop a chunk, in this ring and in others.
//!
//! One thread does both, so that the rings' own work is measured and not what two CPUs have to tell
//! each other.

mod origin;
mod region;
mod rings;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use anyhow::{ensure, Context, Result};
use clap::Parser;
use serde::Serialize;

use crate::rings::{ring, CHANNELS, NAMES};

/// Frames of the chunks.
const SIZES: [usize; 4] = [16, 64, 256, 1024];

/// Measures a push and a pop of one chunk of stereo float32, in this ring and in others.
#[derive(Debug, Parser)]
struct Cli {
    /// Write the results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Times that each is measured; the least of them counts
    #[arg(long, default_value_t = 400, value_name = "COUNT")]
    rounds: u32,

    /// Count instructions, too, by valgrind's callgrind
    #[arg(long)]
    instructions: bool,

    /// Only run this ring, for a tool that counts instructions
    #[arg(long, value_name = "NAME", requires_all = ["frames", "times"])]
    only: Option<String>,

    /// With chunks of so many frames
    #[arg(long, value_name = "COUNT")]
    frames: Option<usize>,

    /// So many times
    #[arg(long, value_name = "COUNT")]
    times: Option<u64>,
}

/// What was measured of one ring.
#[derive(Serialize)]
struct Row {
    ring: &'static str,
    frames: usize,
    /// Nanoseconds for a push and a pop.
    nanoseconds: f64,
    /// That, over the best of the other rings; the floor is none.
    to_best: f64,
    /// Instructions for a push and a pop, where they were counted.
    instructions: Option<u64>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let (Some(name), Some(frames), Some(times)) = (&cli.only, cli.frames, cli.times) {
        let mut ring =
            ring(name, &chunk(frames)).context("no such ring, or not for such chunks")?;
        for time_stamp in 0..times {
            ring.push_and_pop(time_stamp);
        }
        return Ok(());
    }
    ensure!(cli.rounds > 0, "nothing is measured in no rounds");
    let mut rows = Vec::new();
    for frames in SIZES {
        rows.extend(measure(frames, cli.rounds)?);
    }
    if cli.instructions {
        for row in &mut rows {
            row.instructions = Some(count(row.ring, row.frames)?);
        }
    }
    print(&rows);
    if let Some(path) = &cli.json {
        fs::write(path, serde_json::to_string_pretty(&rows)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Samples for a chunk of so many frames.
fn chunk(frames: usize) -> Vec<f32> {
    (0..frames * CHANNELS)
        .map(|sample| (sample as f32 * 0.01).sin())
        .collect()
}

/// Measures all rings in turns, so that what slows the machine down slows all of them down. The
/// least time of a ring is the one that nothing came into.
fn measure(frames: usize, rounds: u32) -> Result<Vec<Row>> {
    let input = chunk(frames);
    let mut rings = Vec::new();
    for name in NAMES {
        rings.push(ring(name, &input).context("a ring is missing")?);
    }
    // Some 20 microseconds a turn: short beside what interrupts it, long beside the clock.
    let times = (20_000 / (20 + frames as u64 / 4)).max(20);
    let mut least = [f64::INFINITY; NAMES.len()];
    for _ in 0..rounds {
        for (ring, least) in rings.iter_mut().zip(&mut least) {
            let start = Instant::now();
            for time_stamp in 0..times {
                ring.push_and_pop(time_stamp);
            }
            *least = least.min(start.elapsed().as_secs_f64() * 1e9 / times as f64);
        }
    }
    let is_other = |name: &str| !name.starts_with("rtshm") && name != "memcpy";
    let best = NAMES
        .iter()
        .zip(least)
        .filter(|(name, _)| is_other(name))
        .fold(f64::INFINITY, |best, (_, time)| best.min(time));
    Ok(NAMES
        .into_iter()
        .zip(least)
        .map(|(ring, nanoseconds)| Row {
            ring,
            frames,
            nanoseconds,
            to_best: nanoseconds / best,
            instructions: None,
        })
        .collect())
}

/// Counts the instructions of a push and a pop by what many of them take more than few.
fn count(ring: &str, frames: usize) -> Result<u64> {
    const FEW: u64 = 1_000;
    const MANY: u64 = 3_000;
    let run = |times: u64| -> Result<u64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe()?)
            .args(["--only", ring, "--frames", &frames.to_string()])
            .args(["--times", &times.to_string()])
            .output()
            .context("cannot run valgrind")?;
        let text = String::from_utf8_lossy(&output.stderr);
        text.lines()
            .find_map(|line| line.split_once("Collected : "))
            .and_then(|(_, number)| number.trim().parse().ok())
            .with_context(|| format!("valgrind counted nothing:\n{text}"))
    };
    Ok(run(MANY)?.saturating_sub(run(FEW)?) / (MANY - FEW))
}

/// Prints tables in Markdown, a line for each ring.
fn print(rows: &[Row]) {
    table(rows, "ns (and to the best of the others)", |row| {
        Some(format!("{:.1} ({:.2})", row.nanoseconds, row.to_best))
    });
    if rows.iter().any(|row| row.instructions.is_some()) {
        println!();
        table(rows, "instructions", |row| {
            row.instructions.map(|count| count.to_string())
        });
    }
}

fn table(rows: &[Row], title: &str, cell: impl Fn(&Row) -> Option<String>) {
    let line = |first: &str, cells: Vec<String>| {
        print!("| {first:34} |");
        for cell in cells {
            print!(" {cell:>13} |");
        }
        println!();
    };
    line(title, SIZES.map(|frames| format!("{frames} frames")).into());
    line(&"-".repeat(34), SIZES.map(|_| "-".repeat(12) + ":").into());
    for name in NAMES {
        let cells = rows.iter().filter(|row| row.ring == name);
        line(name, cells.filter_map(&cell).collect());
    }
}
