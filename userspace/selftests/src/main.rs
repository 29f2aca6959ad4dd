// SPDX-License-Identifier: MIT OR GPL-2.0

//! Tests of the rtshm virtual sound card, to be run as root in the VM: `scripts/vm -- rtshm-selftest`.
//!
//! Nothing is mocked: applications are `aplay` or alsa-lib, the consumer is our library or plain
//! system calls, the card is the module's.

mod app;
mod controls;
mod harness;
mod hw_params;
mod kernel_log;
mod material;
mod module;
mod process;
mod raw;
mod raw_pcm;
mod recording;
mod tape;
mod tests;
mod time;

use std::process::ExitCode;

use clap::Parser;

/// Tests the rtshm virtual sound card; as root, in a VM, with the module installed.
///
/// Prints KTAP, and `N passed, N failed` at the end.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// List the tests and run none
    #[arg(long)]
    list: bool,

    /// Run only tests whose name contains one of these texts
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,

    /// Show what tests that pass say, too
    #[arg(short, long)]
    verbose: bool,

    /// Run one test in this process (what the program starts itself with)
    #[arg(long, value_name = "NAME", hide = true, conflicts_with_all = ["list", "filter"])]
    run: Option<String>,

    /// Be a process that tests need
    #[arg(long, value_name = "ROLE", hide = true)]
    play_role: Option<process::Role>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let tests = tests::all();
    if let Some(role) = cli.play_role {
        return harness::conclude(process::play(role));
    }
    if let Some(name) = &cli.run {
        return harness::run_here(&tests, name);
    }
    let chosen: Vec<_> = tests
        .into_iter()
        .filter(|test| {
            cli.filter.is_empty() || cli.filter.iter().any(|text| test.name.contains(text))
        })
        .collect();
    if cli.list {
        for test in &chosen {
            println!("{}", test.name);
        }
    } else if !chosen.is_empty() {
        return harness::run_all(&chosen, cli.verbose);
    }
    if chosen.is_empty() {
        eprintln!("rtshm-selftest: no test matches (see --list)");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
