// SPDX-License-Identifier: MIT OR GPL-2.0

//! That what the bench measures is what it says: something made worse on purpose is in the numbers.

use std::fs;

use anyhow::{ensure, Context, Result};

use super::account::Account;
use super::link::Way;
use super::numbers::{Jitter, Summary};
use super::run::{run, Job, Outcome, Study, Trouble};
use super::{load_aloop, one};
use crate::meter::{Meter, SPIN};
use crate::module;
use crate::tests::tests;

tests!(latency:
    memory_is_the_floor,
    a_consumer_that_sleeps,
    who_is_late_and_what_is_lost,
    instructions,
    calls,
);

fn measure(job: Job) -> Result<(Outcome, Summary, Option<Jitter>)> {
    let outcome = one(run(job, 1, Study::Times)?.0)?;
    let summary = Summary::of(outcome.latencies()).context("nothing was heard")?;
    let jitter = Jitter::of(&outcome.line(), job.rate);
    Ok((outcome, summary, jitter))
}

const SHORT: u32 = 300;

/// Microseconds of two periods.
const TWO_PERIODS: f64 = 2.0 * 256.0 / 0.048;

/// Through memory it takes a switch of threads, through the clocked card what is in its buffer.
fn memory_is_the_floor() -> Result<()> {
    module::ready()?;
    let job = |way| Job {
        periods: SHORT,
        ..Job::usual(way)
    };
    let (floor, memory, _) = measure(job(Way::Memory))?;
    let (outcome, clocked, jitter) = measure(job(Way::Rtshm))?;
    println!("memory: {memory}\nclocked: {clocked}, {jitter:?}");
    ensure!(
        (floor.lost(), outcome.lost()) == (0, 0),
        "frames are missing"
    );
    ensure!(memory.maximum < clocked.minimum, "the floor is above");
    // What is written when the buffer has room for a period is the last in it.
    ensure!(
        clocked.median > TWO_PERIODS * 0.9,
        "sooner than it can be played"
    );
    let off = outcome.stamps_off().context("no stamps")?;
    ensure!(off < 1000.0, "a stamp is {off} ns off");
    Ok(())
}

/// In the latency if it sleeps each time, and in the jitter if not.
fn a_consumer_that_sleeps() -> Result<()> {
    module::ready()?;
    let job = Job {
        periods: SHORT,
        ..Job::usual(Way::Rtshm)
    };
    let (_, usual, steady) = measure(job)?;
    let slow = |trouble| measure(Job { trouble, ..job });
    let (_, always, _) = slow(Trouble {
        every_take: 2,
        ..Trouble::default()
    })?;
    let (_, _, jitter) = slow(Trouble {
        every_second_take: 2,
        ..Trouble::default()
    })?;
    let (steady, jitter) = (steady.context("no line")?, jitter.context("no line")?);
    println!("{usual}, {steady:?}\n{always}\n{jitter:?}");
    ensure!(
        always.minimum >= usual.minimum + 1_900.0,
        "2 ms are not seen"
    );
    ensure!(
        steady.spread < 1_000.0 && jitter.spread >= 1_900.0 && jitter.deviation >= 900.0,
        "2 ms every second time are not seen"
    );
    Ok(())
}

/// An application that sleeps for longer than the buffer, and a consumer whose ring is full.
fn who_is_late_and_what_is_lost() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let job = Job {
        periods: SHORT,
        ..Job::usual(Way::Rtshm)
    };
    let trouble = Trouble {
        one_write: 100,
        ..Trouble::default()
    };
    let (late, ..) = measure(Job { trouble, ..job })?;
    ensure!(late.played.xruns == 1, "{} xruns", late.played.xruns);
    ensure!(late.lost() == 0, "{} frames lost", late.lost());
    // 64 KiB are 170 ms.
    let trouble = Trouble {
        every_take: 500,
        ..Trouble::default()
    };
    let (slow, ..) = measure(Job { trouble, ..job })?;
    let lost = slow.lost();
    println!("lost {lost}, told {}", slow.heard.told_lost);
    ensure!(lost > 24_000, "{lost} frames lost");
    ensure!(slow.played.xruns == 0, "the application was late");

    load_aloop()?;
    let trouble = Trouble {
        one_write: 100,
        ..Trouble::default()
    };
    let (late, ..) = measure(Job {
        trouble,
        queue: 4,
        ..Job {
            way: Way::Aloop,
            ..job
        }
    })?;
    ensure!(late.played.xruns >= 1, "{} xruns", late.played.xruns);
    Ok(())
}

/// Those that are put in are counted.
fn instructions() -> Result<()> {
    module::ready()?;
    let meter = Meter::new()?;
    let job = Job {
        periods: SHORT,
        ..Job::usual(Way::Rtshm)
    };
    let spent = |job: Job| -> Result<(f64, f64)> {
        let (outcomes, spent) = run(job, 1, Study::Spent(400, &meter))?;
        let outcome = one(outcomes)?;
        let ticks = outcome.heard.account.outside as f64;
        let user = meter.instructions(ticks) / job.seconds();
        let all = spent.context("not measured")?.all as f64;
        Ok((all, user))
    };
    let (all, user) = spent(job)?;
    let (more_all, more_user) = spent(Job {
        trouble: Trouble {
            spins: true,
            ..Trouble::default()
        },
        ..job
    })?;
    let pieces = f64::from(job.rate) / f64::from(job.period);
    let expected = pieces * SPIN as f64;
    println!("{all} and {user}, then {more_all} and {more_user}, {expected} put in");
    for found in [more_all - all, more_user - user] {
        ensure!(
            (found / expected - 1.0).abs() < 0.05,
            "{found} instead of {expected}"
        );
    }

    Ok(())
}

/// A buffer of traces of our own, and its trigger.
const BUFFER: &str = "/sys/kernel/tracing/instances/rtshm-selftest-latency";
const EVENT: &str = "events/raw_syscalls/sys_enter";

/// What the kernel counts of the system calls of all threads.
struct Calls;

impl Calls {
    fn start() -> Result<Self> {
        fs::create_dir(BUFFER)?;
        let calls = Self;
        fs::write(format!("{BUFFER}/{EVENT}/trigger"), "hist:keys=common_pid")?;
        Ok(calls)
    }

    fn of(&self, account: &Account) -> Result<u64> {
        // "{ common_pid:        123 } hitcount:        456"
        let table = fs::read_to_string(format!("{BUFFER}/{EVENT}/hist"))?;
        let line = table.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip(2);
            let thread: i32 = words.next()?.parse().ok()?;
            (thread == account.thread.as_raw()).then(|| words.nth(2)?.parse().ok())
        });
        line.flatten().context("not in the table")
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        let _ = fs::write(format!("{BUFFER}/{EVENT}/trigger"), "!hist:keys=common_pid");
        let _ = fs::remove_dir(BUFFER);
    }
}

/// The kernel counts as many system calls more as we do where more is played, but for a few of those
/// that a thread begins with.
fn calls() -> Result<()> {
    module::ready()?;
    load_aloop()?;
    let meter = Meter::new()?;
    for way in [Way::Rtshm, Way::Aloop, Way::AloopRead] {
        let count = |periods| -> Result<[[u64; 2]; 2]> {
            let job = Job {
                periods,
                queue: 4,
                ..Job::usual(way)
            };
            let calls = Calls::start()?;
            let outcome = one(run(job, 1, Study::Spent(400, &meter))?.0)?;
            let (played, heard) = (outcome.played.account, outcome.heard.account);
            Ok([played, heard].map(|account| [account.calls, calls.of(&account).unwrap_or(0)]))
        };
        let (few, many) = (count(SHORT)?, count(2 * SHORT)?);
        println!("{way:?}: {few:?}, {many:?}");
        for (few, many) in few.into_iter().zip(many) {
            let [ours, kernels] = [0, 1].map(|who| many[who].saturating_sub(few[who]));
            ensure!(
                ours >= u64::from(SHORT) && ours.abs_diff(kernels) <= u64::from(SHORT / 20),
                "{ours} calls more by us, {kernels} by the kernel"
            );
        }
    }
    Ok(())
}
