// SPDX-License-Identifier: MIT OR GPL-2.0

//! The referee of `scripts/demo` and of the bit-exact tests: prepares what is played, compares it
//! with what QEMU recorded, and reports.

mod compare;
mod material;
mod play;
mod report;
mod wav;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Prepares and judges sound that goes through the rtshm virtual sound card.
///
/// Exit codes: 0 all is well, 1 the sound is not the same, 2 something cannot be used.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that the demo can play a WAV file, and print its rate and its length in seconds
    Check {
        file: PathBuf,
        /// How to call it
        #[arg(long)]
        name: Option<String>,
    },
    /// Join WAV files, with short pauses
    Join {
        out: PathBuf,
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write full-scale noise
    Noise {
        out: PathBuf,
        #[arg(long, default_value_t = 48_000)]
        rate: u32,
        #[arg(long, default_value_t = 2)]
        channels: u16,
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// Write float32 instead of S16
        #[arg(long)]
        float: bool,
    },
    /// Play WAV files through the ring to the emulated card; in the virtual machine
    Play {
        /// Where to leave what the programs say
        dir: PathBuf,
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Check that a recording is these WAV files, one after the other, with silence around
    Compare {
        recording: PathBuf,
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Compare the demo's recording and print its table
    Report(report::Options),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rtshm-demo: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Does it; returns whether the sound is the same.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Check { file, name } => {
            let name = name.unwrap_or_else(|| file.display().to_string());
            let sound = wav::read_as(&file, &name)?;
            println!("{} {}", sound.rate, sound.seconds().ceil());
        }
        Command::Join { out, files } => material::join(&out, &files)?,
        Command::Noise {
            out,
            rate,
            channels,
            seconds,
            float,
        } => material::noise(&out, rate, channels, seconds, float)?,
        Command::Compare { recording, files } => {
            let sounds = files
                .iter()
                .map(|file| wav::read(file))
                .collect::<Result<Vec<_>>>()?;
            let recording = wav::read_recording(&recording)?;
            let difference = compare::compare(&sounds, &recording).difference;
            let same = difference
                .as_ref()
                .map_or(sounds.len(), |found| found.sound);
            for (index, (file, sound)) in files.iter().zip(&sounds).enumerate() {
                let mark = if index < same { "ok" } else { "not ok" };
                println!("{mark} {} {}: {sound}", index + 1, file.display());
            }
            if let Some(difference) = difference {
                println!("# {difference}");
                return Ok(false);
            }
        }
        Command::Play { dir, files } => play::run(&dir, &files)?,
        Command::Report(options) => return report::run(&options),
    }
    Ok(true)
}
