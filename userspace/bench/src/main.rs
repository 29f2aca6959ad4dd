// SPDX-License-Identifier: MIT OR GPL-2.0

//! What it costs to push and pop a chunk, in this ring and in others.
//!
//! One thread does both, so that the rings' own work is measured and not what two CPUs have to tell
//! each other.

mod origin;
mod region;
mod rings;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

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
        })
        .collect())
}

/// Prints a table: a line for each ring, nanoseconds and the ratio to the best other ring.
fn print(rows: &[Row]) {
    print!("{:17}", "frames");
    for frames in SIZES {
        print!(" | {frames:>15}");
    }
    println!();
    for name in NAMES {
        print!("{name:17}");
        for row in rows.iter().filter(|row| row.ring == name) {
            print!(" | {:6.1} ns  {:4.2}", row.nanoseconds, row.to_best);
        }
        println!();
    }
}
