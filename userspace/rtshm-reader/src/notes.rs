// SPDX-License-Identifier: MIT OR GPL-2.0

//! What is said on standard error, as far as the user wants to know.

use std::fmt;
use std::io::Write;

/// Says lines on standard error; where that is closed, nobody wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notes {
    level: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Errors,
    Notes,
    Details,
}

impl Notes {
    pub(crate) fn new(verbose: bool, quiet: bool) -> Self {
        let level = match (verbose, quiet) {
            (_, true) => Level::Errors,
            (true, false) => Level::Details,
            (false, false) => Level::Notes,
        };
        Self { level }
    }

    /// What ends the program.
    pub(crate) fn error(self, text: impl fmt::Display) {
        self.say(Level::Errors, format_args!("{text}"));
    }

    /// What a user wants to know.
    pub(crate) fn note(self, text: fmt::Arguments<'_>) {
        self.say(Level::Notes, text);
    }

    /// What helps to find a fault.
    pub(crate) fn detail(self, text: fmt::Arguments<'_>) {
        self.say(Level::Details, text);
    }

    /// Text of several lines that is no message.
    pub(crate) fn text(self, text: &str) {
        if self.level >= Level::Notes {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    fn say(self, level: Level, text: fmt::Arguments<'_>) {
        if self.level >= level {
            let _ = writeln!(std::io::stderr(), "rtshm-reader: {text}");
        }
    }
}
