// SPDX-License-Identifier: MIT OR GPL-2.0

//! Storms: workers that do at random whatever the interfaces of the card allow or forbid.
//!
//! A worker's round follows from the seed, the worker's name and the number of the round alone, so it
//! can be had again; how the rounds of several workers fall together cannot. Each writes down what it
//! is about to do. Where the storm ends badly, the last of that is printed.

pub(crate) mod call;
pub(crate) mod consumer;
pub(crate) mod dice;
pub(crate) mod journal;
pub(crate) mod mixer;
pub(crate) mod pcm;
pub(crate) mod player;
pub(crate) mod visitor;

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::OnceLock;
use std::thread;

use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};

use dice::Dice;
use journal::Journal;

use crate::kernel_log::{self, Listener};
use crate::time::{now, sleep_ms, SECOND};

/// How storms are.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Settings {
    /// What all chance in the storms follows from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Let each storm last so long, rather than a number of rounds and some seconds at most
    #[arg(long, value_name = "SECONDS")]
    pub(crate) storm_seconds: Option<u64>,

    /// Let each test of the suite soak last so long
    #[arg(long, value_name = "HOURS")]
    pub(crate) soak_hours: Option<f64>,

    /// Have chunks delivered eagerly where a test does not say otherwise
    #[arg(long)]
    pub(crate) eager: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

impl Settings {
    /// Sets them for this process, once.
    pub(crate) fn set(self) {
        SETTINGS.get_or_init(|| self);
    }

    /// Those of this process.
    pub(crate) fn get() -> Self {
        SETTINGS.get().copied().unwrap_or_default()
    }

    /// As arguments for another process of this program.
    pub(crate) fn arguments(self) -> Vec<String> {
        let mut arguments = vec![format!("--seed={}", self.seed)];
        arguments.extend(
            self.storm_seconds
                .map(|seconds| format!("--storm-seconds={seconds}")),
        );
        arguments.extend(self.soak_hours.map(|hours| format!("--soak-hours={hours}")));
        arguments.extend(self.eager.then(|| "--eager".to_string()));
        arguments
    }
}

/// Something that a worker can do to a `T`.
pub(crate) struct Action<T> {
    pub(crate) name: &'static str,
    /// How often, compared with others.
    pub(crate) weight: u64,
    pub(crate) run: fn(&mut T, &mut Dice, &mut Journal) -> Result<(), Errno>,
}

/// Does one action at random.
pub(crate) fn step<T>(
    actions: &[Action<T>],
    state: &mut T,
    round: u64,
    dice: &mut Dice,
    journal: &mut Journal,
) {
    let mut chance = dice.below(actions.iter().map(|action| action.weight).sum());
    for (index, action) in actions.iter().enumerate() {
        if chance < action.weight {
            return act(actions, index, state, round, dice, journal);
        }
        chance -= action.weight;
    }
}

/// Does this action.
pub(crate) fn act<T>(
    actions: &[Action<T>],
    index: usize,
    state: &mut T,
    round: u64,
    dice: &mut Dice,
    journal: &mut Journal,
) {
    journal.begin(round, actions[index].name);
    let result = (actions[index].run)(state, dice, journal);
    journal.end(index, result);
}

/// What a worker does in the round of this number.
type Round<'a> = dyn FnMut(u64, &mut Dice, &mut Journal) -> Result<()> + Send + 'a;

/// Who takes part in a storm.
pub(crate) struct Worker<'a> {
    pub(crate) name: String,
    /// Rounds that it does unless the storm is one of a given time.
    pub(crate) rounds: u64,
    pub(crate) round: Box<Round<'a>>,
}

/// How long a storm lasts at most where nothing is said.
const SECONDS: u64 = 15;

/// A worker that does nothing for so long hangs.
const PATIENCE: u64 = 40 * SECOND;

/// Failures of an action after which one should have gone well.
const TRIES: u64 = 200;

/// Where ALSA (7.3) looks for a stream's buffer before it locks the stream, and warns, with
/// `CONFIG_SND_DEBUG`, where another thread is configuring the stream at this moment.
const UNLOCKED_LOOK: &str = "WARNING: at __snd_pcm_lib_xfer+";

/// What the kernel says when something is wrong with it.
const COMPLAINTS: [&str; 10] = [
    "BUG:",
    "WARNING:",
    "Oops",
    "KASAN",
    "KFENCE",
    "UBSAN",
    "possible circular",
    "possible recursive",
    "inconsistent",
    "refcount_t:",
];

/// Runs workers side by side until all have done their part, and interrupts them now and then.
///
/// # Errors
///
/// Where one fails or hangs, or the kernel complains: with what all of them did last.
pub(crate) fn run(workers: Vec<Worker<'_>>) -> Result<()> {
    let settings = Settings::get();
    let names: Vec<_> = workers.iter().map(|worker| worker.name.clone()).collect();
    println!("storm of seed {}: {}", settings.seed, names.join(", "));
    kernel_log::say(&format!("storm of seed {}", settings.seed));
    Journal::create(&names)?;
    let journals: Vec<_> = names
        .iter()
        .map(|name| Journal::open(name))
        .collect::<Result<_>>()?;
    let mut log = Listener::new()?;
    let result = run_watched(workers, settings, &journals);
    let complaint = log
        .lines_with("")
        .into_iter()
        .filter(|line| !line.contains(UNLOCKED_LOOK))
        .find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
    let result = result.and_then(|()| match complaint {
        Some(complaint) => bail!("the kernel complained: {complaint}"),
        None => Ok(()),
    });
    if result.is_err() {
        tell(&names, &journals);
    }
    result
}

fn tell(names: &[String], journals: &[Journal]) {
    println!("seed {}; what each did last:", Settings::get().seed);
    for (name, journal) in names.iter().zip(journals) {
        println!("{name}, {} actions:", journal.progress());
        for line in journal.last() {
            println!("    {line}");
        }
    }
}

fn run_watched(workers: Vec<Worker<'_>>, settings: Settings, journals: &[Journal]) -> Result<()> {
    allow_interruptions()?;
    let names: Vec<_> = workers.iter().map(|worker| worker.name.clone()).collect();
    let end = now() + settings.storm_seconds.unwrap_or(SECONDS) * SECOND;
    let failed = AtomicBool::new(false);
    let threads: Vec<_> = names.iter().map(|_| AtomicI32::new(0)).collect();
    thread::scope(|scope| {
        let mut handles = Vec::new();
        for (mut worker, thread) in workers.into_iter().zip(&threads) {
            let failed = &failed;
            handles.push(
                thread::Builder::new()
                    .name(worker.name.clone())
                    .spawn_scoped(scope, move || -> Result<()> {
                        thread.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
                        let mut journal = Journal::open(&worker.name)?;
                        let rounds = match settings.storm_seconds {
                            Some(_) => u64::MAX,
                            None => worker.rounds,
                        };
                        let mut round = 0;
                        while round < rounds && now() < end && !failed.load(Ordering::Relaxed) {
                            let mut dice = Dice::new(settings.seed, &worker.name, round);
                            let result = (worker.round)(round, &mut dice, &mut journal);
                            failed.fetch_or(result.is_err(), Ordering::Relaxed);
                            result.with_context(|| format!("{}, round {round}", worker.name))?;
                            round += 1;
                        }
                        Ok(())
                    })?,
            );
        }
        let mut seen: Vec<_> = names.iter().map(|_| (0, now())).collect();
        let mut dice = Dice::new(settings.seed, "interruptions", 0);
        while let Some(index) = handles.iter().position(|handle| !handle.is_finished()) {
            for (at, ((steps, since), journal)) in seen.iter_mut().zip(journals).enumerate() {
                let progress = journal.progress();
                if progress != *steps || handles[at].is_finished() {
                    (*steps, *since) = (progress, now());
                } else if now() - *since > PATIENCE {
                    println!("{} hangs", names[at]);
                    tell(&names, journals);
                    // Its thread cannot be joined.
                    std::process::exit(1);
                }
            }
            let chosen = dice.below(threads.len() as u64) as usize;
            for at in [chosen, index] {
                interrupt(threads[at].load(Ordering::Relaxed));
            }
            sleep_ms(dice.within(1, 8));
        }
        for (handle, name) in handles.into_iter().zip(&names) {
            match handle.join() {
                Ok(result) => result?,
                Err(_) => bail!("{name} panicked"),
            }
        }
        Ok(())
    })
}

/// Has `SIGUSR1` end system calls with `EINTR`, and do nothing else.
fn allow_interruptions() -> Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: The handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    Ok(())
}

fn interrupt(thread: i32) {
    if thread != 0 {
        // It may be gone; another thread of ours then has its number, or none.
        let _ = call::interrupt(thread);
    }
}

/// Checks that actions of these names have gone well, in one of the journals; what is said of others
/// is for the curious.
pub(crate) fn check_done<T>(
    workers: &[String],
    actions: &[Action<T>],
    must: &[&str],
) -> Result<()> {
    let journals: Vec<_> = workers
        .iter()
        .map(|worker| Journal::open(worker))
        .collect::<Result<_>>()?;
    for (index, action) in actions.iter().enumerate() {
        let counts = journals.iter().map(|journal| journal.count(index));
        let (good, bad) = counts.fold((0, 0), |sum, count| (sum.0 + count.good, sum.1 + count.bad));
        println!("{:20} {good:6} went well, {bad:6} did not", action.name);
        // On a slow machine a storm may come to little.
        ensure!(
            good > 0 || bad < TRIES || !must.contains(&action.name),
            "hardly a storm: {} went well never, and failed {bad} times",
            action.name
        );
    }
    Ok(())
}
