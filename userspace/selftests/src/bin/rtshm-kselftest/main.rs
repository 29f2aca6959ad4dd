// SPDX-License-Identifier: MIT OR GPL-2.0

//! Runs the kernel's own `pcm-test` and `mixer-test` on the rtshm card; as root, in the VM.
//!
//! They take every card there is, and skip what a card does not offer. Here only our card may be
//! present, and a skipped test fails unless it is listed below with its reason.

mod tap;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::Parser;

use tap::{Outcome, Report};

/// Runs the kernel's pcm-test and mixer-test on the rtshm card, and judges what they skip.
///
/// Prints KTAP, and `N passed, N failed` at the end.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// The directory with the programs and their configuration
    dir: PathBuf,
}

/// What the programs have to find.
const CARD: &str = "RtShm";

/// The elements that mixer-test has to find on the card.
const ELEMENTS: [&str; 5] = [
    "Master Playback Volume",
    "Master Playback Switch",
    "Playback Pitch 1000000",
    "Clock Source",
    "Delivery",
];

/// What may be skipped, by the reason that the programs give.
const MAY_SKIP: [&str; 2] = [
    // ALSA's own elements, read-only by nature.
    "Playback Channel Map is not writeable",
    "Capture Channel Map is not writeable",
];

fn main() -> ExitCode {
    match run(&Cli::parse().dir) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rtshm-kselftest: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs both; returns how many tests failed.
fn run(dir: &Path) -> Result<u32> {
    println!("KTAP version 1");
    let mut tally = Tally::default();
    for program in ["pcm-test", "mixer-test"] {
        let (report, status) = start(dir, program)?;
        for test in &report.tests {
            let name = format!("{program} {}", test.name);
            match &test.outcome {
                Outcome::Passed => tally.tell(true, &name),
                Outcome::Failed => tally.tell(false, &name),
                Outcome::Skipped(reason) if MAY_SKIP.contains(&reason.as_str()) => {
                    println!("# may skip {name}: {reason}");
                }
                Outcome::Skipped(reason) => {
                    tally.tell(false, &format!("{name}, skipped: {reason}"))
                }
            }
        }
        let planned = report.planned == Some(report.tests.len()) && !report.tests.is_empty();
        tally.tell(planned, &format!("{program} ran all its tests"));
        tally.tell(status, &format!("{program} ended without an error"));
        tally.tell(
            report.cards == [CARD],
            &format!("{program} found the card {CARD} and no other"),
        );
        if program == "mixer-test" {
            for element in ELEMENTS {
                let found = report.elements.iter().any(|name| name == element);
                tally.tell(found, &format!("mixer-test found {element}"));
            }
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed)
}

/// Runs a program, showing what it says; returns that and whether it ended well.
fn start(dir: &Path, program: &str) -> Result<(Report, bool)> {
    let mut child = Command::new(dir.join(program))
        // Its library and its configuration are looked for there.
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let mut text = String::new();
    for line in BufReader::new(child.stdout.take().context("no stdout")?).lines() {
        let line = line?;
        println!("# {line}");
        text.push_str(&line);
        text.push('\n');
    }
    Ok((Report::parse(&text), child.wait()?.success()))
}

/// Counts results as they are told.
#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    fn tell(&mut self, passed: bool, name: &str) {
        let mark = match passed {
            true => {
                self.passed += 1;
                "ok"
            }
            false => {
                self.failed += 1;
                "not ok"
            }
        };
        println!("{mark} {} {name}", self.passed + self.failed);
    }
}
