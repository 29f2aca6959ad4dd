// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader doctor`: looks at all that has to be right, from the kernel to the user's rights.
//!
//! It only looks: it loads nothing, opens no PCM, and is never the consumer.

mod alsa_config;
mod card;
mod check;
mod kernel;
mod module;
mod node;
mod output;
mod server;
mod system;
mod user;

use std::fmt;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use self::card::Card;
use self::check::{Check, Verdict};
use self::module::Module;
use self::server::Server;
use self::system::System;
use crate::exit::Outcome;
use crate::stdout;

/// What `doctor --help` says behind the options.
pub(crate) const HELP: &str = "\
A line says ok, warn (it works, but), FAIL (it does not work) or skip (not
looked at, and why); the line below how to mend it. Nothing is changed, no PCM
is opened, no reader or player disturbed.

Status 9 where a check failed, else 0.

Fields of the JSON (--json):
  checks                     as in the text: check, verdict (ok, warn, fail,
                             skip), finding, fix (null where there is nothing
                             to mend)
  ok, warnings, failures, skipped
                             how many of each

`rtshm-reader --help` lists the exit codes.";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// ALSA PCM that `play` shall play on
    #[arg(short = 'D', long, value_name = "PCM", default_value = "default")]
    device: String,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Something does not work; the report has told what.
#[derive(Debug)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a check failed")
    }
}

impl std::error::Error for Failed {}

pub(crate) fn run(path: &Path, options: &Options) -> Outcome {
    let path = std::path::absolute(path)?;
    let report = Report::new(examine(&System::this(), &path, &options.device));
    let told = match options.json {
        true => stdout::print_json(&report),
        false => stdout::print(&report.text()),
    };
    match report.failures {
        0 => told,
        // Whoever reads about it.
        _ => Err(Failed.into()),
    }
}

/// Makes all checks, from the bottom up.
fn examine(system: &System, path: &Path, device: &str) -> Vec<Check> {
    let module = Module::find(system);
    let cards = Card::all(system);
    let server = Server::find(system, &cards);
    let kernel = kernel::checks(system, module.is_there());
    let fits = kernel.iter().all(|check| check.verdict != Verdict::Fail);
    [
        kernel,
        module.checks(system, fits),
        node::checks(system, path, module.is_loaded),
        card::checks(system, &cards, module.is_loaded),
        output::checks(system, &cards, device, &server),
        user::real_time(system),
        vec![server.check(&cards)],
    ]
    .concat()
}

/// What was found; the field names are the JSON's and are explained by `doctor --help`.
#[derive(Debug, Serialize)]
struct Report {
    checks: Vec<Check>,
    ok: usize,
    warnings: usize,
    failures: usize,
    skipped: usize,
}

/// Columns of a terminal.
const WIDTH: usize = 80;

impl Report {
    fn new(checks: Vec<Check>) -> Self {
        let count = |verdict| {
            let of = checks.iter().filter(|check| check.verdict == verdict);
            of.count()
        };
        Self {
            ok: count(Verdict::Ok),
            warnings: count(Verdict::Warn),
            failures: count(Verdict::Fail),
            skipped: count(Verdict::Skip),
            checks,
        }
    }

    fn text(&self) -> String {
        let widths = self.checks.iter().map(|check| check.check.chars().count());
        let width = widths.max().unwrap_or(0);
        // The verdict, the name and a dash come before.
        let indent = 6 + width + 3;
        let mut text = String::new();
        for check in &self.checks {
            let name = &check.check;
            let word = check.verdict.word();
            let finding = wrap(&check.finding, indent, WIDTH);
            text.push_str(&format!("{word:4}  {name:width$} - {finding}\n"));
            if let Some(fix) = &check.fix {
                // In one piece, to be copied, but for what is said about it.
                let (command, comment) = fix.split_once("    # ").unwrap_or((fix, ""));
                text.push_str(&format!("      mend: {command}\n"));
                if !comment.is_empty() {
                    text.push_str(&format!("            # {comment}\n"));
                }
            }
        }
        let Self {
            checks: _,
            ok,
            warnings,
            failures,
            skipped,
        } = self;
        text.push_str(&format!(
            "{ok} ok, {warnings} warnings, {failures} failed, {skipped} skipped\n"
        ));
        text
    }
}

/// Breaks a text between words to fit beside `indent` columns, which later lines begin with.
fn wrap(text: &str, indent: usize, width: usize) -> String {
    let mut wrapped = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if column > indent && column + 1 + len > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += len;
    }
    wrapped
}

#[cfg(test)]
pub(crate) mod tests;
