// SPDX-License-Identifier: MIT OR GPL-2.0

//! How the program ends; `--help` lists the codes.

use std::io;
use std::process::ExitCode;

use crate::bench::Differs;
use crate::doctor::Failed;
use crate::notes::Notes;
use crate::record::WriteError;
use crate::sink::OpenError;

/// What a command comes to.
pub(crate) type Outcome = anyhow::Result<()>;

/// The code after a second signal, as a shell has it for SIGINT.
pub(crate) const FORCED: i32 = 130;

/// Reports how a command ended, in one line at most.
pub(crate) fn report(outcome: Outcome, notes: Notes) -> ExitCode {
    match outcome {
        // It has been told on standard output.
        Err(error) if error.is::<Failed>() => ExitCode::from(code(&error)),
        Err(error) if !is_broken_pipe(&error) => {
            match (is_for_doctor(&error), tells_its_cause(&error)) {
                (true, _) => notes.error(format_args!(
                    "{error}; `rtshm-reader doctor` checks the rest"
                )),
                (false, true) => notes.error(&error),
                (false, false) => notes.error(format_args!("{error:#}")),
            }
            ExitCode::from(code(&error))
        }
        _ => ExitCode::SUCCESS,
    }
}

fn code(error: &anyhow::Error) -> u8 {
    use rtshm::Error;
    if let Some(error) = error.downcast_ref::<Error>() {
        match error {
            Error::Missing { .. } | Error::NotADevice { .. } | Error::Gone => 3,
            Error::Version { .. }
            | Error::Unusable { .. }
            | Error::Malformed { .. }
            | Error::Counter { .. }
            | Error::Faulty => 4,
            Error::Busy { .. } => 5,
            Error::Permission { .. } => 7,
            _ => 1,
        }
    } else if error.is::<OpenError>() {
        6
    } else if error.is::<WriteError>() {
        8
    } else if error.is::<Failed>() || error.is::<Differs>() {
        9
    } else {
        1
    }
}

/// Whether its message has what its sources say.
fn tells_its_cause(error: &anyhow::Error) -> bool {
    error.is::<rtshm::Error>() || error.is::<OpenError>() || error.is::<WriteError>()
}

/// Whether more may be wrong than what the message says.
fn is_for_doctor(error: &anyhow::Error) -> bool {
    use rtshm::Error;
    match error.downcast_ref::<Error>() {
        Some(Error::Missing { others, .. }) => others.is_empty(),
        Some(Error::Permission { .. } | Error::Gone | Error::Version { .. }) => true,
        _ => false,
    }
}

/// Whether whoever read our output has had enough: no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
