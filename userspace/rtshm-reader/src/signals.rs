// SPDX-License-Identifier: MIT OR GPL-2.0

//! SIGINT and SIGTERM as something to poll for.

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

    /// Whether one came; each is told once.
    pub(crate) fn next(&self) -> bool {
        self.next_number().is_some()
    }

    /// Which one came; each is told once.
    pub(crate) fn next_number(&self) -> Option<i32> {
        let info = self.0.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
