// SPDX-License-Identifier: MIT OR GPL-2.0

//! How seldom `rtshm-reader play` wakes and calls the kernel. The kernel counts: its tracepoint of
//! system calls, and the context switches in `/proc`.

use std::fs;
use std::process::Child;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};

use super::tests;
use super::tool::start_playing;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::time::{sleep_ms, wait_until};

tests!(economy: idle_reader_sleeps, wakes_and_calls);

/// A buffer of traces of our own.
const BUFFER: &str = "/sys/kernel/tracing/instances/rtshm-selftest-calls";

/// Frames of a period, and so of a chunk.
const CHUNK: u32 = 256;

/// The system calls of a process, from its birth on.
struct Calls;

impl Calls {
    fn of(pid: u32) -> Result<Self> {
        fs::create_dir(BUFFER)?;
        let calls = Self;
        for (file, value) in [
            ("buffer_size_kb", "8192"),
            (
                "events/raw_syscalls/sys_enter/filter",
                &format!("common_pid == {pid}"),
            ),
            ("events/raw_syscalls/sys_enter/enable", "1"),
        ] {
            fs::write(format!("{BUFFER}/{file}"), value).with_context(|| file.to_string())?;
        }
        Ok(calls)
    }

    fn count(&self) -> Result<u64> {
        let trace = fs::read_to_string(format!("{BUFFER}/trace"))?;
        // "# entries-in-buffer/entries-written: 17/17   #P:1"
        let (_, entries) = trace
            .split_once("entries-written: ")
            .context("no number of entries")?;
        let (kept, rest) = entries.split_once('/').context("no '/'")?;
        ensure!(rest.split_whitespace().next() == Some(kept), "calls lost");
        Ok(trace.matches(" sys_enter: ").count() as u64)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        let _ = fs::write(
            format!("{BUFFER}/events/raw_syscalls/sys_enter/enable"),
            "0",
        );
        let _ = fs::remove_dir(BUFFER);
    }
}

/// What a reader did up to now.
#[derive(Clone, Copy, Debug)]
struct Spent {
    calls: u64,
    /// Times that it slept and was woken.
    wakeups: u64,
    /// Times that something else had to run.
    preempted: u64,
}

impl std::ops::Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            wakeups: self.wakeups - before.wakeups,
            preempted: self.preempted - before.preempted,
        }
    }
}

/// A reader, and the account of it.
struct Watched {
    child: Child,
    calls: Calls,
}

impl Watched {
    fn start(arguments: &[&str]) -> Result<Self> {
        let child = start_playing(arguments)?;
        let threads = fs::read_dir(format!("/proc/{}/task", child.id()))?.count();
        ensure!(threads == 1, "{threads} threads, of which one is watched");
        let calls = Calls::of(child.id())?;
        Ok(Self { child, calls })
    }

    fn spent(&self) -> Result<Spent> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            Ok(line.with_context(|| name.to_string())?.trim().parse()?)
        };
        Ok(Spent {
            calls: self.calls.count()?,
            wakeups: field("voluntary_ctxt_switches:")?,
            preempted: field("nonvoluntary_ctxt_switches:")?,
        })
    }

    /// Checks that it sleeps for five seconds on end.
    fn check_sleeps(&self) -> Result<()> {
        let before = self.spent()?;
        sleep_ms(5_000);
        let spent = self.spent()? - before;
        ensure!(
            (spent.calls, spent.wakeups, spent.preempted) == (0, 0, 0),
            "in five seconds without sound: {spent:?}"
        );
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may be dead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Before the first stream, and after one.
fn idle_reader_sleeps() -> Result<()> {
    module::ready()?;
    let reader = Watched::start(&[])?;
    sleep_ms(1_000);
    reader.check_sleeps()?;
    let before = reader.spent()?;
    let app = App::open(&Setup::default())?;
    app.write(&noise(Format::S16LE, 2, 24_000, 1))?;
    app.pcm.drain()?;
    drop(app);
    wait_until("the reader to close its card", || {
        let substream = "/proc/asound/HDA/pcm0p/sub0/status";
        Ok(fs::read_to_string(substream)?.starts_with("closed"))
    })?;
    let spent = reader.spent()? - before;
    ensure!(spent.calls > 0 && spent.wakeups > 0, "not seen: {spent:?}");
    reader.check_sleeps()
}

/// A wake-up and two calls a chunk are the most, even where it is to play at once; the more there is
/// in the card's buffer, the more chunks are left to come together.
fn wakes_and_calls() -> Result<()> {
    module::ready()?;
    // Of ten chunks: wake-ups and calls.
    for (latency, most) in [("100ms", (3, 15)), ("20ms", (5, 20)), ("5ms", (5, 20))] {
        let reader = Watched::start(&["--latency", latency])?;
        let setup = Setup {
            period: CHUNK,
            buffer: 16 * CHUNK,
            start_threshold: Some(16 * CHUNK),
            ..Setup::default()
        };
        let app = App::open(&setup)?;
        let second = noise(Format::S16LE, 2, 48_000, 1);
        // What it does at the start is not meant.
        app.write(&second)?;
        let (chunks, before) = (module::status()?.chunks, reader.spent()?);
        for _ in 0..4 {
            app.write(&second)?;
        }
        let spent = reader.spent()? - before;
        let chunks = module::status()?.chunks - chunks;
        drop(app);
        println!("{latency} ahead: {chunks} chunks, {spent:?}");
        ensure!(
            (740..760).contains(&chunks),
            "{chunks} chunks in four seconds"
        );
        ensure!(spent.wakeups * 10 <= chunks * most.0, "{spent:?}");
        ensure!(spent.calls * 10 <= chunks * most.1, "{spent:?}");
    }
    Ok(())
}
