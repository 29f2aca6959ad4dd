// SPDX-License-Identifier: MIT OR GPL-2.0

//! How many instructions the machine executes for a load, where time is counted in instructions
//! (`scripts/vm --icount`).
//!
//! A thread of the lowest priority soaks up what all others leave over, and counts it. So interrupts
//! and switches are in the account, which the kernel's own accounts of idle time leave out.

use std::arch::x86_64::_rdtsc;
use std::fs;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;

use anyhow::{anyhow, ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use crate::time::{now, sleep_ms, wait_until, SECOND};

/// Nanoseconds of the machine's time that an instruction takes: `-icount shift=1`.
const INSTRUCTION: u64 = 2;

/// Rounds of a loop that is timed.
const ROUNDS: u64 = 200_000;

/// Instructions that [`spin()`] executes.
pub(crate) const SPIN: u64 = 2 * ROUNDS;

/// What is spent in a second of the machine's time, in instructions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    /// By everybody and everything, but for waiting.
    pub(crate) all: u64,
    /// By each of the threads that were asked for, in user space and in system calls.
    pub(crate) threads: Vec<u64>,
}

/// Counts what is left over.
pub(crate) struct Meter {
    /// Nanoseconds that `ROUNDS` rounds of the soaking thread take.
    rounds: u64,
    /// Ticks of the time stamp counter that `SPIN` instructions take.
    ticks: u64,
}

#[derive(Default)]
struct Shared {
    count: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    /// Counts rounds until told to stop, or so many.
    #[inline(never)]
    fn soak(&self, limit: u64) {
        let mut count = 0;
        while count < limit && !self.stop.load(Ordering::Relaxed) {
            count += 1;
            self.count.store(count, Ordering::Relaxed);
            spin_loop();
        }
    }
}

/// What the clocks and counters say.
struct Reading {
    time: u64,
    count: u64,
    threads: Vec<u64>,
}

impl Meter {
    /// Finds out how time is counted.
    ///
    /// # Errors
    ///
    /// Where it is not in instructions.
    pub(crate) fn new() -> Result<Self> {
        let instruction = fastest(now, spin) as f64 / SPIN as f64;
        ensure!(
            (instruction / INSTRUCTION as f64 - 1.0).abs() < 0.01,
            "an instruction takes {instruction} ns instead of {INSTRUCTION}: is this --icount?"
        );
        let rounds = fastest(now, || Shared::default().soak(ROUNDS));
        let ticks = fastest(ticks, spin);
        Ok(Self { rounds, ticks })
    }

    /// The instructions that take so many ticks of the processor's time stamp counter.
    pub(crate) fn instructions(&self, ticks: f64) -> f64 {
        ticks * SPIN as f64 / self.ticks as f64
    }

    /// Measures for so many milliseconds.
    pub(crate) fn measure(&self, millis: u64, threads: &[Pid]) -> Result<Spent> {
        let shared = Arc::new(Shared::default());
        let soaker = shared.clone();
        let thread = thread::spawn(move || {
            give_way()?;
            soaker.soak(u64::MAX);
            anyhow::Ok(())
        });
        wait_until("the soaking thread", || {
            Ok(thread.is_finished() || shared.count.load(Ordering::Relaxed) != 0)
        })?;
        let before = Reading::take(&shared, threads)?;
        sleep_ms(millis);
        let after = Reading::take(&shared, threads)?;
        shared.stop.store(true, Ordering::Relaxed);
        thread
            .join()
            .map_err(|_| anyhow!("the soaking thread panicked"))??;
        self.difference(&before, &after)
    }

    fn difference(&self, before: &Reading, after: &Reading) -> Result<Spent> {
        let elapsed = after.time - before.time;
        let per_second = |nanos: u64| {
            let instructions = u128::from(nanos) * u128::from(SECOND) / u128::from(elapsed);
            u64::try_from(instructions).map(|instructions| instructions / INSTRUCTION)
        };
        let left = u128::from(after.count - before.count) * u128::from(self.rounds);
        let left = u64::try_from(left / u128::from(ROUNDS))?;
        let threads = after.threads.iter().zip(&before.threads);
        Ok(Spent {
            all: per_second(elapsed.saturating_sub(left))?,
            threads: threads
                .map(|(after, before)| per_second(after - before))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Reading {
    fn take(shared: &Shared, threads: &[Pid]) -> Result<Self> {
        Ok(Self {
            threads: threads
                .iter()
                .map(|&id| time_of(id))
                .collect::<Result<_>>()?,
            time: now(),
            count: shared.count.load(Ordering::Relaxed),
        })
    }
}

/// Has this thread run only where nobody else wants to.
fn give_way() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: The pointer is to a structure that the call reads.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameters) };
    Errno::result(result).context("SCHED_IDLE")?;
    Ok(())
}

/// Nanoseconds that a thread of ours has run.
fn time_of(id: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/task/{id}/schedstat"))?;
    let first = text.split_whitespace().next().context("no schedstat")?;
    Ok(first.parse()?)
}

/// What the processor's time stamp counter says.
pub(crate) fn ticks() -> u64 {
    // SAFETY: Every x86-64 has the instruction, and Linux lets programs use it.
    unsafe { _rdtsc() }
}

/// The time of something by a clock, at the best of some tries: no interrupt came between.
fn fastest(clock: fn() -> u64, what: impl Fn()) -> u64 {
    let times = (0..5).map(|_| {
        let start = clock();
        what();
        clock() - start
    });
    times.min().unwrap_or_default()
}

/// Executes `SPIN` instructions.
pub(crate) fn spin() {
    // SAFETY: It changes a register that it says it changes, and the flags.
    unsafe {
        core::arch::asm!(
            "2: dec {count}",
            "jnz 2b",
            count = inout(reg) ROUNDS => _,
            options(nomem, nostack),
        );
    }
}
