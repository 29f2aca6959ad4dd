// SPDX-License-Identifier: MIT OR GPL-2.0

//! Runs tests: each in a process group of its own, so that none leaves a descriptor, a mapping or a
//! child behind, and so that one that hangs or crashes is a failure like others.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;

use crate::storm::Settings;
use crate::{kernel_log, tests};

/// A test.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Result<()>,
}

/// How a test ended.
enum End {
    Passed,
    Failed,
    Died(i32),
    Hung,
}

/// Runs the tests in order; fails if one does. One that takes longer than `limit` hangs.
pub(crate) fn run_all(tests: &[Test], limit: Duration, verbose: bool) -> ExitCode {
    println!("KTAP version 1");
    println!("1..{}", tests.len());
    let mut failed = 0;
    for (index, test) in tests.iter().enumerate() {
        kernel_log::say(test.name);
        let start = Instant::now();
        let (end, output) = run_apart(test, limit)
            .unwrap_or_else(|error| (End::Failed, format!("cannot run the test: {error:#}\n")));
        let seconds = start.elapsed().as_secs_f64();
        let number = index + 1;
        let name = test.name;
        match end {
            End::Passed => println!("ok {number} {name} # {seconds:.1} s"),
            End::Failed => println!("not ok {number} {name} # {seconds:.1} s"),
            End::Died(signal) => println!("not ok {number} {name} # died of signal {signal}"),
            End::Hung => println!("not ok {number} {name} # TIMEOUT after {seconds:.0} s"),
        }
        let passed = matches!(end, End::Passed);
        failed += usize::from(!passed);
        if !passed || verbose {
            for line in output.lines() {
                println!("# {line}");
            }
        }
    }
    println!("{} passed, {failed} failed", tests.len() - failed);
    ExitCode::from(u8::from(failed != 0))
}

/// Runs the test of this name in this process.
pub(crate) fn run_here(name: &str) -> ExitCode {
    let tests = [
        tests::all(),
        tests::allocations(),
        tests::pipewire(),
        tests::hours(),
        tests::suspend(),
        tests::load(),
        tests::stall(),
        tests::drift(),
        tests::soak(),
    ]
    .concat();
    match tests.iter().find(|test| test.name == name) {
        Some(test) => conclude((test.run)()),
        None => conclude(Err(anyhow::anyhow!("no test {name}"))),
    }
}

/// Reports a result in words and as an exit status.
pub(crate) fn conclude(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run_apart(test: &Test, limit: Duration) -> Result<(End, String)> {
    // Not a pipe: whatever keeps it open cannot hold us up.
    let mut output = File::from(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?);
    let child = Command::new("/proc/self/exe")
        .args(["--run", test.name])
        .args(Settings::get().arguments())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()
        .context("cannot start a process")?;
    let group = Pid::from_raw(i32::try_from(child.id())?);
    let status = wait(child, group, limit);
    // Whoever it left behind.
    let _ = killpg(group, Signal::SIGKILL);
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    let end = match status {
        None => End::Hung,
        Some(status) => match status.signal() {
            Some(signal) => End::Died(signal),
            None if status.success() => End::Passed,
            None => End::Failed,
        },
    };
    Ok((end, String::from_utf8_lossy(&bytes).into_owned()))
}

/// Waits for a child to end; kills it and its group, and returns `None`, if that takes too long.
fn wait(mut child: Child, group: Pid, limit: Duration) -> Option<ExitStatus> {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        // The receiver may have given up.
        let _ = done.send(child.wait());
    });
    let storm = Duration::from_secs(Settings::get().storm_seconds.unwrap_or(0));
    match ended.recv_timeout(limit + storm) {
        Ok(status) => status.ok(),
        Err(_) => {
            let _ = killpg(group, Signal::SIGKILL);
            // It is gone at once, unless it is stuck in the kernel.
            let _ = ended.recv_timeout(Duration::from_secs(5));
            None
        }
    }
}
