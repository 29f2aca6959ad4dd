// SPDX-License-Identifier: MIT OR GPL-2.0

//! Real-time scheduling, where the system allows it.

use std::str::FromStr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{getrlimit, Resource, RLIM_INFINITY};
use nix::unistd::geteuid;

use crate::notes::Notes;

/// What `--realtime` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realtime {
    No,
    /// SCHED_FIFO of this priority.
    Fifo(i32),
}

impl FromStr for Realtime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "no" => Ok(Self::No),
            Ok(priority @ 1..=99) => Ok(Self::Fifo(priority)),
            _ => Err("it can be 1 to 99, or no"),
        }
    }
}

/// Makes the calling thread a real-time one, and locks the process's memory. Goes on without where
/// that is not allowed.
pub(crate) fn get_ready(realtime: Realtime, notes: Notes) {
    let Realtime::Fifo(priority) = realtime else {
        return;
    };
    match set_fifo(priority) {
        Ok(()) => notes.detail(format_args!("real-time priority {priority}")),
        Err(errno) => notes.detail(format_args!("no real-time priority: {}", errno.desc())),
    }
    // With a limit memory that is asked for later would be refused.
    let unlimited =
        getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    if geteuid().is_root() || unlimited {
        if let Err(errno) = lock_memory() {
            notes.detail(format_args!("memory is not locked: {}", errno.desc()));
        }
    }
}

/// Locks what memory is in use, and what is used later from then on: most of what is mapped never is.
fn lock_memory() -> Result<(), Errno> {
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: It changes no memory.
    Errno::result(unsafe { libc::mlockall(flags) }).map(drop)
}

fn set_fifo(priority: i32) -> Result<(), Errno> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // Threads and processes that are started later have the ordinary policy.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: It reads the parameters, which are there until it returns; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &parameters) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_have_bounds() {
        assert_eq!("no".parse(), Ok(Realtime::No));
        assert_eq!("1".parse(), Ok(Realtime::Fifo(1)));
        assert_eq!("99".parse(), Ok(Realtime::Fifo(99)));
        for wrong in ["0", "100", "-1", "yes", ""] {
            assert!(wrong.parse::<Realtime>().is_err(), "{wrong}");
        }
    }
}
