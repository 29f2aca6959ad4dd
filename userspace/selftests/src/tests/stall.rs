// SPDX-License-Identifier: MIT OR GPL-2.0

//! The machine stands still for minutes, as a paused virtual machine does, while its clock goes on:
//! what the card owes then is accounted for to the frame, its work is bounded, and it works on.
//!
//! The stall is the same one for all tests: the first that is run sets every situation up, each on a
//! card of its own, and leaves what became of it for the others. Needs `scripts/vm`, without
//! `--icount`.

mod account;
mod recorded;
mod streams;

use std::fs;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use alsa::pcm::Format;
use alsa::Direction;
use alsa_sys as sys;
use anyhow::{anyhow, bail, ensure, Context, Result};
use rtshm::{Consumer, Device, State};

use self::account::{account, accounts, check_one_loss, frame};
use self::recorded::check_recording;
use self::streams::{check_xrun, read_on, write_on, Follower, Nonstop};
use super::instances::{card_id, node};
use super::tracing::{Traced, Tracer};
use crate::app::Setup;
use crate::harness::Test;
use crate::machine;
use crate::material::{noise, numbered};
use crate::module;
use crate::raw_pcm::RawPcm;
use crate::recording::{open_on, Microphone};
use crate::tape::{attach_to, pop_all, Entry, Recorder};
use crate::time::{now, sleep_ms, SECOND};

/// Seconds that the machine stands still: longer than any watchdog of the kernel's waits, and than
/// its clock's 32 bits would last at 100 MHz.
const STALL: u64 = 130;

/// Frames at `rate` that are due in the stall at least: the guest's clock is not the host's.
fn at_least(rate: u32) -> u64 {
    u64::from(rate) * (STALL - 1)
}

/// Two seconds of stereo at 48 kHz, five of mono; the longest chunks, to have few of them.
const MODULE: &str = "devices=8 ring_kib=2048 chunk_frames=4096";

/// How long a consumer records, stall included.
const PATIENCE: Duration = Duration::from_secs(500);

/// What there is to check when the machine goes on.
type Check = Box<dyn FnOnce(&Stalled) -> Result<()>>;

/// What is known of the stall.
struct Stalled {
    /// When the machine was seen to run last before, in nanoseconds.
    before: u64,
    /// What the module traced from the set-up until shortly after the stall.
    traced: Vec<Traced>,
}

impl Stalled {
    /// Checks that what a card could not deliver any more was one loss, not one a chunk: then its
    /// work is that of a buffer.
    fn check_one_skip(&self, card: Card, setup: &Setup) -> Result<()> {
        let index = u64::from(Device::open(node(card.0))?.info()?.card);
        let gone = at_least(setup.rate) - u64::from(setup.buffer);
        let mut skips = 0;
        for event in &self.traced {
            if event.name == "rtshm_lost" && event.number("card")? == index {
                skips += usize::from(event.number("frames")? >= gone);
            }
        }
        ensure!(skips == 1, "{skips} times {gone} frames were lost at once");
        Ok(())
    }
}

/// A card.
#[derive(Clone, Copy)]
struct Card(usize);

impl Card {
    fn name(&self) -> String {
        format!("hw:{}", card_id(self.0))
    }

    fn consumer(&self) -> Result<Consumer> {
        attach_to(&node(self.0))
    }

    /// Has a thread record so many streams.
    fn recorder(&self, streams: usize) -> Result<Recorder> {
        let consumer = self.consumer()?;
        Ok(Recorder::start_with_patience(consumer, streams, PATIENCE))
    }

    fn player(&self, setup: &Setup) -> Result<RawPcm> {
        let mut pcm = RawPcm::open(&self.name(), Direction::Playback)?;
        pcm.set_up(setup).context("cannot set up to play")?;
        Ok(pcm)
    }
}

/// Lists situations, each of which is a test and has a card.
macro_rules! situations {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const TESTS: &[Test] = &[$(
            Test {
                name: concat!("stall::", stringify!($name)),
                run: || outcome(stringify!($name)),
            }
        ),+];

        const SITUATIONS: &[(&str, fn(Card) -> Result<Check>)] =
            &[$((stringify!($name), $name)),+];
    };
}

// Draining last, as it lasts the shortest time.
situations!(
    playing,
    recorded,
    unplayed,
    silence,
    larger_than_the_ring,
    unread,
    paused,
    draining,
);

/// How the situation of this name ended.
fn outcome(name: &str) -> Result<()> {
    // The parent runs the tests, each in a process of its own.
    let dir = PathBuf::from(format!("/run/rtshm-selftest.stall.{}", parent_id()));
    if !dir.exists() {
        fs::create_dir(&dir)?;
        for (name, result) in stand_still() {
            let text = match result {
                Ok(()) => String::new(),
                Err(error) => format!("{error:#}"),
            };
            fs::write(dir.join(name), text)?;
        }
    }
    let text = fs::read_to_string(dir.join(name)).context("the stall was not survived")?;
    ensure!(text.is_empty(), text);
    Ok(())
}

/// Sets everything up, stands still, and checks what became of it.
fn stand_still() -> Vec<(&'static str, Result<()>)> {
    let words = |error| format!("{error:#}");
    let tracer = module::ready_with(MODULE).and_then(|()| Tracer::start(true));
    let tracer = tracer.map_err(words);
    let begun: Vec<_> = SITUATIONS
        .iter()
        .enumerate()
        .map(|(number, (name, begin))| {
            let ready = tracer.as_ref().map_err(|error| anyhow!(error.clone()));
            (*name, ready.and_then(|_| begin(Card(number))))
        })
        .collect();
    let stall = tracer
        .map_err(|error| anyhow!(error))
        .and_then(|tracer| stalled(&tracer))
        .map_err(words);
    begun
        .into_iter()
        .map(|(name, check)| {
            let result = check.and_then(|check| match &stall {
                Ok(stall) => check(stall),
                Err(error) => bail!("{error}"),
            });
            (name, result)
        })
        .collect()
}

fn stalled(tracer: &Tracer) -> Result<Stalled> {
    let before = machine::stall(STALL)?;
    // Every card has had a tick.
    sleep_ms(200);
    Ok(Stalled {
        before,
        traced: tracer.read()?,
    })
}

/// The application is late, after everything that it had written was played; it begins anew.
fn playing(card: Card) -> Result<Check> {
    // Full before it starts: the stall is to be what makes it late.
    let setup = Setup {
        buffer: 65_536,
        start_threshold: Some(65_536),
        ..Setup::default()
    };
    let material = noise(setup.format, 2, 60 * 48_000, 1);
    let recorder = card.recorder(2)?;
    let pcm = card.player(&setup)?;
    let player = thread::spawn({
        let material = material.clone();
        move || write_on(pcm, material)
    });
    Ok(Box::new(move |stall| {
        let (pcm, written, errno) = player.join().map_err(|_| anyhow!("a panic"))??;
        check_xrun(&pcm, errno)?;
        pcm.prepare()?;
        let second = noise(setup.format, 2, 10_000, 2);
        pcm.write(&second.bytes)?;
        pcm.start()?;
        pcm.drain()?;
        let accounts = accounts(&recorder.finish()?)?;
        let [first, last] = &accounts[..] else {
            bail!("{} streams", accounts.len());
        };
        first.check_states(&[State::Start, State::Xrun])?;
        first.check_all_of(&material.reshaped(2, written))?;
        let xrun = first.changes[1].time;
        ensure!(xrun > stall.before + STALL * SECOND / 2, "xrun at {xrun}");
        last.check_states(&[State::Start, State::Drain, State::Stop])?;
        last.check_all_of(&second)
    }))
}

/// A player that goes round its buffer, and two who record it: one is late, the other goes on, too.
fn recorded(card: Card) -> Result<Check> {
    let setup = Setup {
        period: 4_800,
        buffer: 192_000,
        nonstop: true,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let old = numbered(1, setup.buffer);
    let new = numbered(1_000_001, 24_000);
    let pcm = card.player(&setup)?;
    let nonstop = open_on(
        &card.name(),
        &Setup {
            buffer: 65_536,
            period: 4_096,
            ..setup
        },
    )?;
    let ordinary = open_on(
        &card.name(),
        &Setup {
            nonstop: false,
            ..setup
        },
    )?;
    let mut nonstop = Follower::start(nonstop)?;
    ordinary.start()?;
    let reader = thread::spawn(move || read_on(ordinary));
    let mut player = Nonstop::start(pcm, card.recorder(1)?, &old, new.clone())?;
    Ok(Box::new(move |stall| {
        stall.check_one_skip(card, &setup)?;
        player.look()?;
        nonstop.look()?;
        let (ordinary, early, errno) = reader.join().map_err(|_| anyhow!("a panic"))?;
        check_xrun(&ordinary, errno).context("the recorder")?;
        ordinary.prepare()?;
        let recorders = [Microphone::start_with(ordinary)?, nonstop.listen()?];
        sleep_ms(1_000);
        player.renew()?;
        let (account, begin) = player.stop()?;
        // Recorders are a chunk and a little behind.
        sleep_ms(300);
        let buffer = old.frames();
        check_one_loss(&account, buffer)?;
        let number = |position: u64| {
            let round = position.checked_sub(begin).map(|since| since % buffer);
            match round.filter(|&at| at < new.frames()) {
                Some(at) => (&new, at),
                None => (&old, position % buffer),
            }
        };
        account.check_sound(|position| {
            let (material, at) = number(position);
            frame(material, at)
        })?;
        let end = account.changes[1].position;
        let expected: Vec<u32> = (0..end)
            .map(|position| match number(position) {
                (material, at) if std::ptr::eq(material, &raw const new) => 1_000_001 + at as u32,
                (_, at) => 1 + at as u32,
            })
            .collect();
        check_recording(&early, &expected, 0).context("before the stall")?;
        for (microphone, which) in recorders.into_iter().zip(["anew", "on"]) {
            let recording = microphone.stop()?;
            check_recording(&recording.bytes, &expected, account.lost[0].end)
                .with_context(|| format!("recording {which}"))?;
        }
        Ok(())
    }))
}

/// Two record where nobody plays, and a consumer waits.
fn unplayed(card: Card) -> Result<Check> {
    let setup = Setup {
        rate: 44_100,
        nonstop: true,
        planar: true,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let late = Setup {
        nonstop: false,
        planar: false,
        ..setup
    };
    let name = card.name();
    let mut nonstop = Follower::start(open_on(&name, &setup)?)?;
    let ordinary = open_on(&name, &late)?;
    ordinary.start()?;
    let reader = thread::spawn(move || read_on(ordinary));
    let mut consumer = card.consumer()?;
    let waiter = thread::spawn(move || -> Result<_> {
        consumer.wait(None)?;
        let woken = now();
        Ok((
            woken,
            consumer.pop()?.map(|event| Entry::of(&event)).transpose()?,
        ))
    });
    Ok(Box::new(move |_| {
        nonstop.look()?;
        let (ordinary, early, errno) = reader.join().map_err(|_| anyhow!("a panic"))?;
        check_xrun(&ordinary, errno)?;
        ensure!(early.iter().all(|&byte| byte == 0), "not silent");
        ordinary.prepare()?;
        let recorders = [Microphone::start_with(ordinary)?, nonstop.listen()?];
        let material = noise(setup.format, 2, 20_000, 3);
        let played = now();
        let pcm = card.player(&Setup {
            buffer: 32_768,
            start_threshold: None,
            ..late
        })?;
        pcm.write(&material.bytes)?;
        pcm.drain()?;
        sleep_ms(300);
        for microphone in recorders {
            microphone.stop()?.check_only(&material)?;
        }
        let (woken, first) = waiter.join().map_err(|_| anyhow!("a panic"))??;
        ensure!(
            woken >= played && matches!(first, Some(Entry::Format { .. })),
            "woken at {woken} instead of {played} for {first:?}"
        );
        Ok(())
    }))
}

/// A player that does not stop, and plays silence for want of sound.
fn silence(card: Card) -> Result<Check> {
    let setup = Setup {
        format: Format::S32LE,
        rate: 44_100,
        period: 4_410,
        buffer: 176_400,
        planar: true,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let pcm = card.player(&setup)?;
    pcm.play_silence()?;
    let old = noise(setup.format, 2, 20_000, 4);
    let new = noise(setup.format, 2, 30_000, 5);
    let mut player = Nonstop::start(pcm, card.recorder(1)?, &old, new.clone())?;
    Ok(Box::new(move |stall| {
        stall.check_one_skip(card, &setup)?;
        player.look()?;
        player.renew()?;
        let (account, begin) = player.stop()?;
        check_one_loss(&account, setup.buffer.into())?;
        account.check_sound(|position| {
            let new = position
                .checked_sub(begin)
                .and_then(|at| new.expected_at(at, 1));
            new.or_else(|| old.expected_at(position, 1))
                .unwrap_or(&[0; 2])
        })
    }))
}

/// A player whose buffer is longer than the ring, so that not even that fits.
fn larger_than_the_ring(card: Card) -> Result<Check> {
    let setup = Setup {
        channels: 8,
        period: 4_800,
        buffer: 192_000,
        nonstop: true,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let old = noise(setup.format, 8, setup.buffer.into(), 6);
    let new = noise(setup.format, 8, 24_000, 7);
    let pcm = card.player(&setup)?;
    let mut player = Nonstop::start(pcm, card.recorder(1)?, &old, new.clone())?;
    Ok(Box::new(move |stall| {
        stall.check_one_skip(card, &setup)?;
        player.look()?;
        player.renew()?;
        let (account, begin) = player.stop()?;
        let buffer = old.frames();
        let lost: u64 = account.lost.iter().map(|lost| lost.end - lost.start).sum();
        ensure!(lost >= at_least(setup.rate) - buffer, "{}", account.text);
        account.check_sound(|position| {
            let round = position.checked_sub(begin).map(|since| since % buffer);
            round
                .and_then(|at| new.expected_at(at, 1))
                .unwrap_or_else(|| frame(&old, position % buffer))
        })
    }))
}

/// A consumer that does not look from before the stall until after it, while the card goes as fast as
/// it can: a hundred million frames.
fn unread(card: Card) -> Result<Check> {
    let setup = Setup {
        format: Format::U8,
        channels: 1,
        rate: 768_000,
        period: 65_536,
        buffer: 1 << 21,
        nonstop: true,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let material = noise(setup.format, 1, setup.buffer.into(), 8);
    let mut consumer = card.consumer()?;
    let pcm = card.player(&setup)?;
    pcm.write(&material.bytes)?;
    pcm.start()?;
    Ok(Box::new(move |stall| {
        stall.check_one_skip(card, &setup)?;
        let mut tape = Vec::new();
        pop_all(&mut consumer, &mut tape)?;
        // The ring has room again.
        sleep_ms(100);
        pop_all(&mut consumer, &mut tape)?;
        pcm.stop()?;
        pop_all(&mut consumer, &mut tape)?;
        let account = account(&tape)?;
        account.check_states(&[State::Start, State::Stop])?;
        account.check_length()?;
        let lost = account.lost.first().context("nothing is lost")?;
        ensure!(
            lost.end - lost.start >= at_least(setup.rate) - u64::from(setup.buffer),
            "{}",
            account.text
        );
        ensure!(
            account
                .chunks
                .iter()
                .any(|(position, _)| *position >= lost.end),
            "nothing after it: {}",
            account.text
        );
        let buffer = material.frames();
        account.check_sound(|position| frame(&material, position % buffer))
    }))
}

/// A stream that pauses does not notice, nor does its consumer, which waits for it.
fn paused(card: Card) -> Result<Check> {
    let setup = Setup {
        format: Format::S243LE,
        period: 1_000,
        buffer: 96_000,
        start_threshold: Some(u32::MAX),
        ..Setup::default()
    };
    let material = noise(setup.format, 2, 90_000, 9);
    let mut consumer = card.consumer()?;
    let pcm = card.player(&setup)?;
    let waiter = thread::spawn(move || -> Result<_> {
        let (mut tape, mut woken) = (Vec::new(), Vec::new());
        while !tape.last().is_some_and(Entry::is_end) {
            consumer.wait(None)?;
            woken.push(now());
            pop_all(&mut consumer, &mut tape)?;
        }
        Ok((tape, woken))
    });
    pcm.write(&material.bytes)?;
    pcm.start()?;
    sleep_ms(300);
    pcm.pause(true)?;
    Ok(Box::new(move |stall| {
        let state = pcm.state();
        ensure!(state == sys::SND_PCM_STATE_PAUSED, "state {state}");
        let resumed = now();
        pcm.pause(false)?;
        pcm.drain()?;
        let (tape, woken) = waiter.join().map_err(|_| anyhow!("a panic"))??;
        let account = account(&tape)?;
        account.check_states(&[
            State::Start,
            State::Pause,
            State::Resume,
            State::Drain,
            State::Stop,
        ])?;
        ensure!(
            woken.iter().all(|&at| at <= stall.before || at >= resumed),
            "woken in {:?}: {woken:?}",
            stall.before..resumed
        );
        account.check_all_of(&material)
    }))
}

/// A stream that drains has come to its end.
fn draining(card: Card) -> Result<Check> {
    let setup = Setup {
        format: Format::U8,
        channels: 1,
        rate: 8_000,
        period: 4_000,
        buffer: 320_000,
        ..Setup::default()
    };
    let material = noise(setup.format, 1, setup.buffer.into(), 10);
    let recorder = card.recorder(1)?;
    let pcm = card.player(&setup)?;
    pcm.write(&material.bytes)?;
    pcm.begin_drain()?;
    Ok(Box::new(move |stall| {
        let state = pcm.state();
        ensure!(state == sys::SND_PCM_STATE_SETUP, "state {state}");
        let account = account(&recorder.finish()?)?;
        account.check_states(&[State::Start, State::Drain, State::Stop])?;
        let stop = account.changes[2].time;
        ensure!(stop > stall.before + STALL * SECOND / 2, "stop at {stop}");
        account.check_all_of(&material)
    }))
}
