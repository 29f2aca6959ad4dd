// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a test asks of the virtual machine that it runs in: `scripts/vm` listens.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;

use crate::time::{now, sleep_ms, SECOND};

/// The port at whose other end the host listens.
const REQUESTS: &str = "/dev/vport0p4";

/// The host hears a request in a fraction of this, in nanoseconds.
const PATIENCE: u64 = 60 * SECOND;

/// Has the machine stand still for `seconds`, in which its clock goes on; returns when it was seen to
/// run last before, in nanoseconds.
pub(crate) fn stall(seconds: u64) -> Result<u64> {
    let _watchdogs = Watchdogs::turn_off()?;
    request(&format!("stall {seconds}"))?;
    let begin = now();
    let mut before = begin;
    loop {
        sleep_ms(1);
        let after = now();
        if after - before > seconds * SECOND / 2 {
            return Ok(before);
        }
        ensure!(
            after - begin < PATIENCE,
            "the machine does not stand still; is it scripts/vm, without --icount?"
        );
        before = after;
    }
}

/// What the host makes when it has begun to trace; see `scripts/vm --share`.
const TRACING: &str = "/host/tracing";

/// Has the host write down which instructions are executed from now on, until that is so many MiB.
pub(crate) fn trace(mebibytes: u32) -> Result<()> {
    request(&format!("trace {mebibytes}"))?;
    let begin = now();
    while !Path::new(TRACING).exists() {
        // Of a clock that flies where there is nothing to do.
        ensure!(now() - begin < 1000 * PATIENCE, "nobody traces");
        sleep_ms(1000);
    }
    Ok(())
}

fn request(line: &str) -> Result<()> {
    // Not created: without the lab there is none.
    let mut port = OpenOptions::new()
        .write(true)
        .open(REQUESTS)
        .context(REQUESTS)?;
    // In one piece: the host may look at any time.
    port.write_all(format!("{line}\n").as_bytes())?;
    Ok(())
}

/// The kernel's watchdogs that take a stall of the machine for one of the kernel's, and what turns
/// each off.
///
/// A hypervisor tells its guest that it stood still (`KVM_KVMCLOCK_CTRL`), whereupon the kernel has
/// these begin anew. QEMU without KVM has no way to tell.
const WATCHDOGS: [(&str, &str); 3] = [
    (
        "/sys/module/rcupdate/parameters/rcu_cpu_stall_suppress",
        "1",
    ),
    ("/proc/sys/kernel/soft_watchdog", "0"),
    ("/proc/sys/kernel/hung_task_timeout_secs", "0"),
];

/// The watchdogs, turned off until dropped, with their values from before.
struct Watchdogs(Vec<String>);

impl Watchdogs {
    fn turn_off() -> Result<Self> {
        let mut guard = Self(Vec::new());
        for (path, off) in WATCHDOGS {
            let value = fs::read_to_string(path).context(path)?;
            fs::write(path, off).context(path)?;
            guard.0.push(value);
        }
        Ok(guard)
    }
}

impl Drop for Watchdogs {
    fn drop(&mut self) {
        // A grace period from before the stall would be found to be late: here it has ended.
        if let Err(errno) = wait_for_grace_period() {
            eprintln!("membarrier: {errno}");
        }
        for ((path, _), value) in WATCHDOGS.iter().zip(&self.0) {
            if let Err(error) = fs::write(path, value) {
                eprintln!("{path}: {error}");
            }
        }
    }
}

fn wait_for_grace_period() -> Result<(), Errno> {
    // SAFETY: It takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    Errno::result(result).map(drop)
}
