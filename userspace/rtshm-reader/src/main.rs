// SPDX-License-Identifier: MIT OR GPL-2.0

//! Plays what applications play into the rtshm virtual sound card on a real one, or records it.

mod bench;
mod cli;
mod clock;
mod convert;
mod doctor;
mod documents;
mod exit;
mod follow;
#[cfg(test)]
mod json_fields;
mod list;
mod monitor;
mod notes;
mod pcm;
mod play;
mod player;
mod realtime;
mod record;
mod resample;
mod signals;
mod sink;
mod status;
mod stdout;
mod summary;
mod sync;
mod table;
mod volume;

#[cfg(test)]
#[path = "../../rtshm/tests/common/mod.rs"]
mod fake;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::notes::Notes;

fn main() -> ExitCode {
    let cli = Cli::of_arguments();
    let notes = Notes::new(cli.verbose, cli.quiet);
    let done = match &cli.command {
        Command::Play(options) => play::run(&cli.rtshm, options, notes),
        Command::Record(options) => record::run(&cli.rtshm, options, notes),
        Command::Monitor(options) => monitor::run(&cli.rtshm, options),
        Command::Status(options) => status::run(&cli.rtshm, options),
        Command::List(options) => list::run(options, notes),
        Command::Doctor(options) => doctor::run(&cli.rtshm, options),
        Command::Bench(options) => bench::run(&cli.rtshm, options, notes),
        Command::Completions(options) => documents::completions(options),
        Command::Man(options) => documents::man(options),
    };
    exit::report(done, notes)
}
