// SPDX-License-Identifier: MIT OR GPL-2.0

//! Every allocation fails once, and every copy from or to user space: the call reports it or does
//! without, nothing is left behind, and the card works afterwards. The kernel's own detectors look
//! for leaks at the end of the run.
//!
//! Needs a kernel with fault injection, as the debug kernel of `scripts/vm` is: its `fail-nth` lets
//! the n-th of these from now on, of one thread, fail.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use alsa::pcm::{Access, Format, HwParams, PCM};
use alsa::{Direction, ValueOr};
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::kmod::{finit_module, ModuleInitFlags};
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::sys::stat::Mode;

use super::tests;
use crate::app::{App, Setup};
use crate::kernel_log::Listener;
use crate::material::noise;
use crate::module;
use crate::raw::{Node, READ, WRITE};
use crate::tape::{only_take, Recorder};

tests!(allocations: load, open_as_consumer, open_as_observer, open_pcm, open_control, set_up_pcm, map_windows);

/// More than in any call.
const ENDLESS: u32 = 20_000;

/// Lets allocations and copies of this thread fail.
struct Injector {
    nth: File,
    log: Listener,
}

/// What was made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Allocation,
    Copy,
}

impl Failure {
    /// How a system call reports it.
    fn errno(self) -> Errno {
        match self {
            Self::Allocation => Errno::ENOMEM,
            Self::Copy => Errno::EFAULT,
        }
    }
}

impl Injector {
    fn new() -> Result<Self> {
        for (place, value) in [
            // Those that may wait, too.
            ("failslab/ignore-gfp-wait", "N"),
            ("fail_page_alloc/ignore-gfp-wait", "N"),
            ("fail_page_alloc/ignore-gfp-highmem", "N"),
            ("fail_page_alloc/min-order", "0"),
            // One record each, and no stack, which would look like a warning.
            ("failslab/verbose", "1"),
            ("fail_page_alloc/verbose", "1"),
            ("fail_usercopy/verbose", "1"),
            ("failslab/verbose_ratelimit_interval_ms", "0"),
            ("fail_page_alloc/verbose_ratelimit_interval_ms", "0"),
            ("fail_usercopy/verbose_ratelimit_interval_ms", "0"),
        ] {
            fs::write(format!("/sys/kernel/debug/{place}"), value)
                .with_context(|| format!("this kernel has no fault injection ({place})"))?;
        }
        let nth = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth")
            .context("this kernel has no fault injection (fail-nth)")?;
        let log = Listener::new()?;
        Ok(Self { nth, log })
    }

    /// Does something of which the n-th part fails. Also tells what that was, if there was an n-th.
    fn with_failure<T>(
        &mut self,
        n: u32,
        action: impl FnOnce() -> T,
    ) -> Result<(T, Option<Failure>)> {
        self.nth.write_all_at(n.to_string().as_bytes(), 0)?;
        let outcome = action();
        let mut text = [0; 16];
        // Reading it is a copy, too: where that is the n-th, the action had less than n parts.
        let left = self.nth.read_at(&mut text, 0);
        // So is this, and the last one that can fail.
        if self.nth.write_all_at(b"0", 0).is_err() {
            self.nth.write_all_at(b"0", 0)?;
        }
        let records = self.log.lines_with("FAULT_INJECTION: forcing a failure");
        let failed = left.is_ok_and(|len| text[..len].trim_ascii() == b"0");
        let failure = match &records[..] {
            _ if !failed => None,
            [record] if record.contains("name fail_usercopy") => Some(Failure::Copy),
            // Without a record where the caller wants no warning.
            [] | [_] => Some(Failure::Allocation),
            _ => bail!("more than one failure: {records:?}"),
        };
        Ok((outcome, failure))
    }
}

/// Does something again and again, in which first the first part fails, then the second, and so on.
/// It must report that or succeed, and report at least one failed allocation. `opaque` is what it
/// may report of an allocation where the kernel does not say what was wrong.
///
/// `prepare` comes before each time, `check` after it, with what came out.
fn fail_each<P, T>(
    opaque: &[Errno],
    mut prepare: impl FnMut() -> Result<P>,
    action: impl Fn(&P) -> Result<T, Errno>,
    mut check: impl FnMut(P, Option<T>) -> Result<()>,
) -> Result<()> {
    let mut injector = Injector::new()?;
    let mut reported = 0;
    for n in 1..ENDLESS {
        let prepared = prepare().with_context(|| format!("before failure {n}"))?;
        let (outcome, failure) = injector.with_failure(n, || action(&prepared))?;
        let outcome = match (outcome, failure) {
            (Ok(outcome), None) => {
                check(prepared, Some(outcome))?;
                println!("{} failures, {reported} failed allocations reported", n - 1);
                ensure!(reported > 0, "no failed allocation was reported");
                return Ok(());
            }
            (Ok(outcome), Some(_)) => Some(outcome),
            (Err(error), Some(failure)) if error == failure.errno() => None,
            (Err(error), Some(Failure::Allocation)) if opaque.contains(&error) => None,
            (Err(error), _) => bail!("failure {n} ({failure:?}): {error}"),
        };
        reported += u32::from(outcome.is_none() && failure == Some(Failure::Allocation));
        check(prepared, outcome).with_context(|| format!("after failure {n} ({failure:?})"))?;
    }
    bail!("no end after {ENDLESS} failures")
}

/// The module loads, plays and goes.
fn check_health() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let material = noise(Format::S16LE, 2, 3_000, 9);
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)?;
    module::unload()
}

fn load() -> Result<()> {
    module::ready()?;
    module::unload()?;
    let path = Command::new("modinfo")
        .args(["--field", "filename", "rtshm"])
        .output()?;
    let file = File::open(String::from_utf8(path.stdout)?.trim())?;
    fail_each(
        // Of a faux device the kernel only says that there is none. A device without a name, which
        // ALSA does not look at, is invalid.
        &[Errno::ENODEV, Errno::EINVAL],
        || Ok(()),
        |()| finit_module(&file, c"", ModuleInitFlags::empty()),
        |(), loaded| {
            ensure!(
                module::is_loaded() == loaded.is_some(),
                "the module is half there"
            );
            match loaded {
                Some(()) => module::unload(),
                None => Ok(()),
            }
        },
    )?;
    check_health()
}

/// Opens a node in which each allocation fails, then sees whether it can be opened.
fn fail_open(path: PathBuf, mode: OFlag) -> Result<()> {
    let open = || {
        open(
            &path,
            mode | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK,
            Mode::empty(),
        )
    };
    fail_each(
        &[],
        || Ok(()),
        |()| open(),
        |(), opened| {
            drop(opened);
            open()?;
            Ok(())
        },
    )?;
    module::unload()?;
    check_health()
}

/// With a small ring, as every one of its pages is an allocation.
fn open_as_consumer() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    fail_open(module::NODE.into(), OFlag::O_RDWR)
}

fn open_as_observer() -> Result<()> {
    module::ready()?;
    fail_open(module::NODE.into(), OFlag::O_RDONLY)
}

/// A node of the card.
fn sound_node(name: &str) -> Result<PathBuf> {
    let card = module::device()?.info()?.card;
    Ok(format!("/dev/snd/{}", name.replace('#', &card.to_string())).into())
}

fn open_pcm() -> Result<()> {
    module::ready()?;
    fail_open(sound_node("pcmC#D0p")?, OFlag::O_RDWR)
}

fn open_control() -> Result<()> {
    module::ready()?;
    fail_open(sound_node("controlC#")?, OFlag::O_RDWR)
}

/// Sets the card up, which allocates its buffer, and starts it.
fn set_up_pcm() -> Result<()> {
    module::ready()?;
    fail_each(
        &[],
        || Ok(PCM::new(module::PCM, Direction::Playback, false)?),
        |pcm| {
            let set_up = || {
                let hw = HwParams::any(pcm)?;
                hw.set_access(Access::RWInterleaved)?;
                hw.set_format(Format::S16LE)?;
                hw.set_channels(2)?;
                hw.set_rate(48_000, ValueOr::Nearest)?;
                hw.set_buffer_size(16_384)?;
                pcm.hw_params(&hw)?;
                pcm.io_bytes().writei(&[0; 4096])
            };
            set_up().map_err(|error: alsa::Error| Errno::from_raw(error.errno().abs()))
        },
        |pcm, _| {
            drop(pcm);
            ensure!(module::refcount()? == 0, "the PCM is still open");
            Ok(())
        },
    )?;
    module::unload()?;
    check_health()
}

fn map_windows() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let node = Node::consumer()?;
    let geometry = node.geometry()?;
    let page = geometry.page_size();
    let windows: [(u64, u64, ProtFlags); 3] = [
        (geometry.producer_offset(), page, READ),
        (geometry.consumer_offset(), page, WRITE),
        (geometry.ring_offset(), geometry.ring_len(), READ),
    ];
    for (offset, len, rights) in windows {
        let map = || node.map(offset, len, rights, MapFlags::MAP_SHARED);
        fail_each(
            &[],
            || Ok(()),
            |()| map(),
            |(), mapped| {
                drop(mapped);
                map()?.copy();
                Ok(())
            },
        )
        .with_context(|| format!("the window at {offset}"))?;
    }
    drop(node);
    module::unload()?;
    check_health()
}
