// SPDX-License-Identifier: MIT OR GPL-2.0

//! SIGINT, SIGTERM and others as something to poll for.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{anyhow, Result};
use nix::sys::signal::{raise, SigSet, Signal};
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

/// What SIGHUP asks for.
///
/// A terminal that goes away sends it by way of the shell, to which the terminal is lost already; a
/// shell that ends, zsh or bash with `huponexit`, sends it while the terminal is there. So neither
/// tells whether it is meant to end the program, nor does the sender: `kill` may be the shell itself.
/// What does not change is whether there was a terminal at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// To end: the program belongs to a terminal.
    Ends,
    /// To begin anew, of a service: there is no terminal, or SIGHUP was ignored, as by `nohup`.
    Renews,
}

impl Hangup {
    /// As the program was started; to be asked before SIGHUP is taken over.
    pub(crate) fn of_start() -> Self {
        let has_terminal = File::open("/dev/tty").is_ok();
        match has_terminal && !is_ignored(Signal::SIGHUP) {
            true => Self::Ends,
            false => Self::Renews,
        }
    }

    /// Whether a signal says nothing more to who ends already: SIGHUP comes from the shell and from
    /// the kernel.
    pub(crate) fn is_repeated(number: i32) -> bool {
        number == Signal::SIGHUP as i32
    }

    /// Whether a signal asks to begin anew; all others ask to end.
    pub(crate) fn renews(self, number: i32) -> bool {
        number == Signal::SIGHUP as i32 && self == Self::Renews
    }
}

/// Stops the process, as Ctrl-Z does, until it is continued; SIGTSTP is taken over. Whose process
/// group has no shell to continue it is not stopped.
pub(crate) fn stop() -> Result<()> {
    let set: SigSet = [Signal::SIGTSTP].into_iter().collect();
    let stopped = raise(Signal::SIGTSTP)
        .and_then(|()| set.thread_unblock())
        .and_then(|()| set.thread_block());
    stopped.map_err(|errno| anyhow!("cannot stop: {errno}"))
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
