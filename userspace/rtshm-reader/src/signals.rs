// SPDX-License-Identifier: MIT OR GPL-2.0

//! SIGINT, SIGTERM and others as something to poll for.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{anyhow, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that ask the program to end, taken away from their default.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Takes the signals over in this thread and all that it starts from now on.
    pub(crate) fn take_over() -> Result<Self> {
        Self::take_over_these(&[Signal::SIGINT, Signal::SIGTERM])
    }

    /// As [`take_over`](Self::take_over), other signals.
    pub(crate) fn take_over_these(signals: &[Signal]) -> Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        let taken = set.thread_block().and_then(|()| {
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        });
        taken
            .map(Self)
            .map_err(|errno| anyhow!("cannot take over SIGINT: {errno}"))
    }

    /// Which one came; each is told once.
    pub(crate) fn next_number(&self) -> Option<i32> {
        let info = self.0.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok()
    }
}

/// What tells a SIGHUP that is meant from the one of a terminal that goes away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Whether the program is to end with it.
    is_needed: bool,
}

impl Terminal {
    /// The controlling terminal that there is now, unless SIGHUP is ignored, as by `nohup`.
    pub(crate) fn of_now() -> Self {
        Self {
            is_needed: Self::is_there() && !is_ignored(Signal::SIGHUP),
        }
    }

    /// Whether it went away, and the program shall end.
    pub(crate) fn is_gone(self) -> bool {
        self.is_needed && !Self::is_there()
    }

    fn is_there() -> bool {
        File::open("/dev/tty").is_ok()
    }
}

/// Whether nothing happened when this signal came, unless it was taken over.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
