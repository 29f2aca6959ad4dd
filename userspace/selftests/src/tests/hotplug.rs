// SPDX-License-Identifier: MIT OR GPL-2.0

//! The CPU that a stream's timer is on goes away, and comes back.

use std::fs;
use std::path::Path;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::sched::{sched_setaffinity, CpuSet};
use nix::unistd::Pid;
use rtshm::State;

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::tape::{only_take, Recorder};
use crate::time::{sleep_ms, wait_until};

tests!(hotplug: while_playing);

const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

/// The second CPU, which is there again when this is dropped.
struct SecondCpu;

impl SecondCpu {
    fn take() -> Result<Self> {
        ensure!(
            Path::new(ONLINE).exists(),
            "there is no second CPU: run this with `scripts/vm --smp 2`"
        );
        Ok(Self)
    }

    fn set(&self, online: bool) -> Result<()> {
        fs::write(ONLINE, if online { "1" } else { "0" }).context(ONLINE)
    }

    /// Whether a timer of the module is set on it.
    fn has_timer(&self) -> Result<bool> {
        let timers = fs::read_to_string("/proc/timer_list")?;
        let (_, ours) = timers.split_once("\ncpu: 1\n").context("no CPU 1")?;
        let end = ours.find("\ncpu: ").unwrap_or(ours.len());
        Ok(ours[..end].contains("rtshm"))
    }
}

impl Drop for SecondCpu {
    fn drop(&mut self) {
        // It may be there.
        let _ = self.set(true);
    }
}

/// Has this thread run on that CPU only.
fn run_on(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Several times, and with the timer there each time.
fn while_playing() -> Result<()> {
    const ROUNDS: usize = 4;
    module::ready()?;
    let cpu = SecondCpu::take()?;
    let recorder = Recorder::open(1)?;
    let setup = Setup {
        // It plays for long: a slow machine takes seconds for a round.
        rate: 16_000,
        period: 1_000,
        buffer: 240_000,
        ..Setup::default()
    };
    let material = noise(Format::S16LE, 2, 200_000, 1);
    let app = App::open(&setup)?;
    app.write(&material)?;
    let mut states = vec![State::Start];
    for _ in 0..ROUNDS {
        // Going on sets the timer where the caller runs, and from then on each tick sets the next;
        // but a timer whose tick is under way elsewhere stays there.
        run_on(1)?;
        wait_until("a timer on the second CPU", || {
            app.pcm.pause(true)?;
            app.pcm.pause(false)?;
            states.extend([State::Pause, State::Resume]);
            cpu.has_timer()
        })?;
        run_on(0)?;
        cpu.set(false)?;
        let before = module::status()?.frames;
        wait_until("sound without the second CPU", || {
            Ok(module::status()?.frames > before + 2_000)
        })?;
        cpu.set(true)?;
        sleep_ms(50);
    }
    app.pcm.drain()?;
    states.extend([State::Drain, State::Stop]);
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&states)?;
    take.check_all_of(&material)
}
