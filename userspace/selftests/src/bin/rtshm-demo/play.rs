// SPDX-License-Identifier: MIT OR GPL-2.0

//! Plays files through the ring to the emulated card: what the demo does in the virtual machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use rtshm::Device;

/// Plays the files, one after the other; leaves what the programs say in `dir`.
pub(crate) fn run(dir: &Path, files: &[PathBuf]) -> Result<()> {
    let create = |name: &str| {
        let path = dir.join(name);
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut reader = start_reader(
        create("reader.json")?,
        create("reader.log")?,
        files.len() == 1,
    )?;
    for file in files {
        let status = Command::new("aplay")
            .args(["-q", "-D", "hw:RtShm"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(create("aplay.log")?)
            .status()
            .context("cannot start aplay")?;
        if !status.success() {
            reader.kill()?;
            bail!(
                "aplay failed with {} ({status}): see aplay.log",
                file.display()
            );
        }
    }
    if files.len() > 1 {
        kill(Pid::from_raw(i32::try_from(reader.id())?), Signal::SIGINT)?;
    }
    let status = reader.wait()?;
    ensure!(
        status.success(),
        "rtshm-reader failed ({status}): see reader.log"
    );
    let status = Command::new("rtshm-reader")
        .args(["status", "--json"])
        .stdout(create("status.json")?)
        .status()?;
    ensure!(status.success(), "rtshm-reader status failed ({status})");
    Ok(())
}

/// Starts the consumer and waits until it is one.
fn start_reader(json: File, log: File, once: bool) -> Result<Child> {
    let mut reader = Command::new("rtshm-reader")
        // The latency is for a host that is busy; it does not change a sample.
        .args(["play", "--device", "hw:HDA", "--latency", "500ms", "--json"])
        .args(once.then_some("--once"))
        .stdin(Stdio::null())
        .stdout(json)
        .stderr(log)
        .spawn()
        .context("cannot start rtshm-reader")?;
    let device = Device::open(rtshm::DEFAULT_PATH)?;
    while device.status()?.consumer_pid != Some(reader.id()) {
        if let Some(status) = reader.try_wait()? {
            bail!("rtshm-reader gave up ({status}): see reader.log");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(reader)
}
