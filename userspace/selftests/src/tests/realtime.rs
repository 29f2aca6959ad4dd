// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader play` as a real-time process, and where it may not be one.

use std::fs;
use std::process::{Child, Command, Stdio};

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::libc::{SCHED_FIFO, SCHED_OTHER};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use super::tests;
use super::tool::{json, number, READER};
use crate::app::{aplay, Setup};
use crate::material::noise;
use crate::module;
use crate::time::wait_until;

tests!(realtime: is_used, can_be_chosen, is_not_needed);

/// A tool that plays, started by `command`.
fn start(command: &[&str], more: &[&str]) -> Result<Child> {
    let child = Command::new(command[0])
        .args(&command[1..])
        .args(["play", "--device", "hw:HDA", "--json", "--verbose"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = child.id();
    wait_until("the tool to open the device", || {
        Ok(module::status()?.consumer_pid == Some(pid))
    })?;
    Ok(child)
}

/// Plays, and returns the policy and priority at the end of that, whether memory was locked, and
/// what was said.
fn play(command: &[&str], more: &[&str]) -> Result<(i32, i32, bool, String)> {
    module::ready()?;
    let child = start(command, more)?;
    let material = noise(Format::S16LE, 2, 10_240, 1);
    aplay(&Setup::of(&material), &material)?;
    let pid = child.id();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may contain anything, comes field 3; by proc(5) the priority is field
    // 40 and the policy 41.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let (priority, policy) = (fields[40 - 3].parse()?, fields[41 - 3].parse()?);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let locked = status
        .lines()
        .find_map(|line| line.strip_prefix("VmLck:"))
        .context("no VmLck")?;
    let is_locked = locked.trim() != "0 kB";
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
    let outcome = child.wait_with_output()?.into();
    let told = json(&outcome)?;
    ensure!(number(&told, "frames_in")? == 11_264, "{told}");
    Ok((policy, priority, is_locked, outcome.stderr))
}

fn is_used() -> Result<()> {
    let (policy, priority, locked, said) = play(&[READER], &[])?;
    ensure!(
        (policy, priority, locked) == (SCHED_FIFO, 10, true),
        "{policy}, {priority}, {locked}"
    );
    ensure!(said.contains("real-time priority 10"), "{said}");
    Ok(())
}

fn can_be_chosen() -> Result<()> {
    let (policy, priority, ..) = play(&[READER], &["--realtime", "33"])?;
    ensure!(
        (policy, priority) == (SCHED_FIFO, 33),
        "{policy}, {priority}"
    );
    let (policy, priority, locked, _) = play(&[READER], &["--realtime", "no"])?;
    ensure!(
        (policy, priority, locked) == (SCHED_OTHER, 0, false),
        "{policy}, {priority}, {locked}"
    );
    Ok(())
}

/// Without the capability it plays all the same, and says so once.
fn is_not_needed() -> Result<()> {
    let command = ["setpriv", "--bounding-set=-sys_nice", READER];
    let (policy, priority, _, said) = play(&command, &[])?;
    ensure!(
        (policy, priority) == (SCHED_OTHER, 0),
        "{policy}, {priority}"
    );
    let times = said
        .matches("no real-time priority: Operation not permitted")
        .count();
    ensure!(times == 1, "{said}");
    Ok(())
}
