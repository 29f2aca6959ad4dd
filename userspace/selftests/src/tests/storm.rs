// SPDX-License-Identifier: MIT OR GPL-2.0

//! Everything at once: what it proves is that nothing breaks, which the kernel's log tells.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use alsa::pcm::{Format, PCM};
use alsa::Direction;
use anyhow::{anyhow, ensure, Context, Result};
use nix::fcntl::OFlag;
use rtshm::{Consumer, Device};

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module::{self, NODE};
use crate::raw::Node;
use crate::tape::{only_take, Entry, Recorder};
use crate::time::{now, sleep_ms, SECOND};

tests!(storm: applications_and_consumers, unloading);

/// Repeats a job until told to stop; returns how often.
fn repeat(stop: &AtomicBool, mut job: impl FnMut(u64) -> Result<()>) -> Result<u64> {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        job(rounds).with_context(|| format!("round {rounds}"))?;
        rounds += 1;
    }
    Ok(rounds)
}

/// Does something again and again until told to stop; returns how often.
type Job<'a> = dyn Fn(&AtomicBool) -> Result<u64> + Sync + 'a;

/// Runs jobs side by side for so long, and until it was enough; returns how often each was done.
fn storm<const N: usize>(
    seconds: u64,
    enough: impl Fn() -> bool,
    jobs: [&Job<'_>; N],
) -> Result<[u64; N]> {
    let stop = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let threads = jobs.map(|job| scope.spawn(|| job(&stop)));
        let end = now() + seconds * SECOND;
        while (now() < end || !enough()) && !threads.iter().any(|thread| thread.is_finished()) {
            sleep_ms(20);
        }
        stop.store(true, Ordering::Relaxed);
        threads.map(|thread| thread.join())
    });
    let mut counts = [0; N];
    for (count, rounds) in counts.iter_mut().zip(rounds) {
        *count = rounds.map_err(|_| anyhow!("a thread panicked"))??;
    }
    Ok(counts)
}

/// A stream that ends in one of all the ways in which streams end; returns whether there was one.
fn play_somehow(round: u64) -> Result<bool> {
    let setup = Setup {
        channels: 1 + (round % 2) as u32,
        rate: if round % 3 == 0 { 44_100 } else { 48_000 },
        format: if round % 5 == 0 {
            Format::FloatLE
        } else {
            Format::S16LE
        },
        period: 64 << (round % 4),
        buffer: 4096,
        mmap: round % 7 == 0,
        nonstop: round % 11 == 0,
        ..Setup::default()
    };
    let material = noise(
        setup.format,
        setup.channels,
        100 + round * 37 % 3_000,
        round,
    );
    let Ok(app) = App::open(&setup) else {
        // Somebody else has it at this moment.
        thread::yield_now();
        return Ok(false);
    };
    // An xrun may be first, here and below.
    let _ = app.write(&material);
    match round % 6 {
        0 => drop(app.pcm.drain()),
        1 => drop(app.pcm.drop()),
        2 => drop(app.pcm.pause(true)),
        3 => {
            let _ = app.pcm.pause(true);
            let _ = app.pcm.pause(false);
            let _ = app.pcm.drain();
        }
        4 => {
            let _ = app.pcm.drop();
            let _ = app.pcm.prepare();
        }
        _ => {}
    }
    Ok(true)
}

/// Applications, consumers and observers come and go at their own paces.
fn applications_and_consumers() -> Result<()> {
    module::ready()?;
    let play = |stop: &AtomicBool| {
        let mut streams = 0;
        repeat(stop, |_| {
            streams += u64::from(play_somehow(streams)?);
            Ok(())
        })?;
        Ok(streams)
    };
    let ask = |stop: &AtomicBool| {
        repeat(stop, |_| {
            // Busy most of the time.
            if let Ok(pcm) = PCM::new(module::PCM, Direction::Playback, true) {
                drop(pcm);
            }
            sleep_ms(3);
            Ok(())
        })
    };
    let frames = AtomicU64::new(0);
    let consume = |stop: &AtomicBool| {
        repeat(stop, |round| {
            let mut consumer = Consumer::open(NODE)?;
            consumer.set_wake_threshold((round % 5 * 4_000) as u32);
            for _ in 0..round % 8 {
                consumer.wait(Some(Duration::from_millis(10)))?;
                while let Some(event) = consumer.pop()? {
                    if let Entry::Audio { chunk, .. } = Entry::of(&event)? {
                        frames.fetch_add(chunk.frames, Ordering::Relaxed);
                    }
                }
            }
            Ok(())
        })
    };
    let observe = |stop: &AtomicBool| {
        repeat(stop, |_| {
            let node = Node::observer()?;
            node.status()?;
            node.fdinfo()?;
            sleep_ms(2);
            Ok(())
        })
    };
    let counts = storm(4, || true, [&play, &ask, &consume, &observe])?;
    let frames = frames.into_inner();
    ensure!(
        counts.iter().all(|count| *count >= 3) && frames > 1_000,
        "hardly a storm: {counts:?}, {frames} frames"
    );
    check_health()
}

/// The module is unloaded and loaded while others try to use it.
fn unloading() -> Result<()> {
    module::ready()?;
    // How often each job had its way.
    let counts = [const { AtomicU64::new(0) }; 4];
    let [unloaded, consumed, observed, played] = &counts;
    let unload = |stop: &AtomicBool| {
        repeat(stop, |_| {
            if module::try_unload().is_ok() {
                unloaded.fetch_add(1, Ordering::Relaxed);
                module::load("")?;
            }
            thread::yield_now();
            Ok(())
        })
    };
    let consume = |stop: &AtomicBool| {
        repeat(stop, |_| {
            if let Ok(node) = Node::open(OFlag::O_RDWR) {
                consumed.fetch_add(1, Ordering::Relaxed);
                let ring = node.ring()?;
                drop(node);
                drop(ring);
            }
            sleep_ms(1);
            Ok(())
        })
    };
    let observe = |stop: &AtomicBool| {
        repeat(stop, |_| {
            if let Ok(device) = Device::open(NODE) {
                device.status()?;
                observed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    };
    let play = |stop: &AtomicBool| {
        repeat(stop, |round| {
            if let Ok(app) = App::open(&Setup::default()) {
                app.write(&noise(Format::S16LE, 2, 300, round))?;
                played.fetch_add(1, Ordering::Relaxed);
            }
            sleep_ms(7);
            Ok(())
        })
    };
    let enough = || {
        counts
            .iter()
            .all(|count| count.load(Ordering::Relaxed) >= 2)
    };
    storm(5, enough, [&unload, &consume, &observe, &play])?;
    check_health()
}

/// Checks that the card plays bit for bit.
pub(super) fn check_health() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 3_000, 9);
    let recorder = Recorder::open(1)?;
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)
}
