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
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        let taken = set.thread_block().and_then(|()| {
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        });
        taken
            .map(Self)
            .map_err(|errno| anyhow!("cannot take over SIGINT: {errno}"))
    }

    /// Whether one came; each is told once.
    pub(crate) fn next(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
