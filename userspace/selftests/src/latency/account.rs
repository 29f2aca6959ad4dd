// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a thread does: system calls, wake-ups, and time outside of the kernel.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{getrusage, UsageWho};
use nix::unistd::{gettid, Pid};

use crate::meter::ticks;

/// What a thread did since it began to count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) thread: Pid,
    /// System calls.
    pub(super) calls: u64,
    /// Times that it slept and was woken.
    pub(super) wakeups: u64,
    /// Ticks of the processor's time stamp counter, outside of system calls.
    pub(super) outside: u64,
    left: u64,
    slept_before: u64,
}

impl Account {
    /// Begins to count, in the thread that is to be counted.
    pub(super) fn begin() -> Result<Self> {
        Ok(Self {
            thread: gettid(),
            calls: 0,
            wakeups: 0,
            outside: 0,
            slept_before: sleeps()?,
            left: ticks(),
        })
    }

    /// Makes a system call.
    pub(super) fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        self.outside += ticks() - self.left;
        self.calls += 1;
        let result = call();
        self.left = ticks();
        result
    }

    /// Has counted up to here.
    pub(super) fn end(mut self) -> Result<Self> {
        self.outside += ticks() - self.left;
        self.wakeups = sleeps()? - self.slept_before;
        Ok(self)
    }
}

fn sleeps() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok(usage.voluntary_context_switches().try_into()?)
}

/// Has this thread run before all that is ordinary.
pub(super) fn hurry() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 10 };
    // SAFETY: The pointer is to a structure that the call reads.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) };
    Errno::result(result).context("SCHED_FIFO")?;
    Ok(())
}
