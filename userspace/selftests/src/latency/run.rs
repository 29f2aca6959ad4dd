// SPDX-License-Identifier: MIT OR GPL-2.0

//! An application and a consumer, and what happened.
//!
//! Two threads of a process: so each frame's time of writing is known without a word between them.
//! What two processes would add to a switch is the change of the address space.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{mpsc, Arc};
use std::thread::{self, JoinHandle};

use alsa::pcm::Format;
use anyhow::{anyhow, ensure, Result};
use nix::poll::{poll, PollFd, PollFlags};
use nix::unistd::{gettid, Pid};

use super::account::{hurry, Account};
use super::link::{self, Piece, Sink, Source, Stamp, Way};
use super::numbers::{as_float, from_float, number, parts};
use crate::machine;
use crate::meter::{spin, Meter, Spent};
use crate::time::{now, sleep_ms, wait_until};

/// Periods at the beginning that do not count.
pub(super) const WARM_UP: u32 = 50;

/// A stream ends with silence for a second by this many, and what the buffer holds.
const TAILS: u32 = 50;

/// The longest sleep of a consumer, in milliseconds: then it looks whether all is over.
const NAP: u16 = 1000;

/// What is played, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) way: Way,
    pub(super) format: Format,
    pub(super) channels: u32,
    pub(super) rate: u32,
    /// Frames.
    pub(super) period: u32,
    /// Periods that the application keeps in the card's buffer.
    pub(super) queue: u32,
    /// Periods to be played, without `WARM_UP`.
    pub(super) periods: u32,
    pub(super) trouble: Trouble,
}

/// What is made worse on purpose, to see it in the numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// Milliseconds that the consumer sleeps before it takes what is there, every second time.
    pub(super) every_second_take: u64,
    /// And every time.
    pub(super) every_take: u64,
    /// The consumer executes as many instructions more as `spin()` has, at each piece.
    pub(super) spins: bool,
    /// Milliseconds that the application sleeps before one of its periods.
    pub(super) one_write: u64,
}

impl Job {
    /// 256 frames of 48 kHz S16_LE stereo, two of them in the buffer.
    pub(super) const fn usual(way: Way) -> Self {
        Self {
            way,
            format: Format::S16LE,
            channels: 2,
            rate: 48_000,
            period: 256,
            queue: 2,
            periods: 1000,
            trouble: Trouble {
                every_second_take: 0,
                every_take: 0,
                spins: false,
                one_write: 0,
            },
        }
    }

    fn frames(&self) -> u64 {
        u64::from(self.periods + WARM_UP) * u64::from(self.period)
    }

    /// The frame that the counting begins with.
    fn first_counted(&self) -> u64 {
        u64::from(WARM_UP) * u64::from(self.period)
    }

    /// Seconds of sound that count.
    pub(super) fn seconds(&self) -> f64 {
        (self.frames() - self.first_counted()) as f64 / f64::from(self.rate)
    }
}

/// Frames that became visible at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The first of them, from 0.
    pub(super) first: u64,
    pub(super) count: u64,
    /// When they were visible: `CLOCK_MONOTONIC`, nanoseconds.
    pub(super) time: u64,
}

/// What the application noted.
pub(super) struct Played {
    /// For each period, when its write returned.
    pub(super) returned: Vec<u64>,
    /// Times that the card ran dry.
    pub(super) xruns: u64,
    pub(super) account: Account,
}

/// What the consumer noted.
pub(super) struct Heard {
    pub(super) runs: Vec<Run>,
    pub(super) stamps: Vec<Stamp>,
    /// The last frame that came, counted from 1.
    end: u64,
    /// Frames that came once more.
    pub(super) repeated: u64,
    /// Frames that the source says are missing.
    pub(super) told_lost: u64,
    /// Times that the consumer was too late.
    pub(super) overruns: u64,
    pub(super) account: Account,
}

/// What happened on one card.
pub(super) struct Outcome {
    pub(super) job: Job,
    pub(super) played: Played,
    pub(super) heard: Heard,
}

impl Outcome {
    /// Frames that were written and never visible.
    pub(super) fn lost(&self) -> u64 {
        self.job.frames() - self.heard.runs.iter().map(|run| run.count).sum::<u64>()
    }

    /// From a write's return to its frames being visible, in nanoseconds, with how many frames.
    pub(super) fn latencies(&self) -> Vec<(i64, u64)> {
        let period = u64::from(self.job.period);
        let mut latencies = Vec::new();
        for run in self.counted() {
            let (mut first, end) = (run.first, run.first + run.count);
            while first < end {
                let index = first / period;
                let next = ((index + 1) * period).min(end);
                let returned = self.played.returned[index as usize];
                latencies.push((run.time as i64 - returned as i64, next - first));
                first = next;
            }
        }
        latencies
    }

    /// When which frame was the last to be visible.
    pub(super) fn line(&self) -> Vec<(u64, u64)> {
        let end = |run: &Run| (run.first + run.count, run.time);
        self.counted().map(end).collect()
    }

    fn counted(&self) -> impl Iterator<Item = &Run> {
        let first = self.job.first_counted();
        self.heard.runs.iter().filter(move |run| run.first >= first)
    }

    /// How far a time stamp is off the line from the first of them, at most, in nanoseconds; `None`
    /// without stamps, or where there is more than one stream.
    pub(super) fn stamps_off(&self) -> Option<f64> {
        if self.played.xruns != 0 {
            return None;
        }
        let (&(position, time), rest) = self.heard.stamps.split_first()?;
        let off = |stamp: &Stamp| {
            let due = (stamp.0 - position) as f64 * 1e9 / f64::from(self.job.rate);
            ((stamp.1 - time) as f64 - due).abs()
        };
        Some(rest.iter().map(off).fold(0.0, f64::max))
    }
}

/// What to find out of a job.
pub(super) enum Study<'a> {
    /// When what was written and heard.
    Times,
    /// What is spent, for so many milliseconds.
    Spent(u64, &'a Meter),
    /// Which instructions are executed, in so many MiB (see [`machine::trace`]), for as long as that
    /// takes.
    Instructions(u32),
}

/// Does a job on so many cards at once; returns what was spent, too, where that is studied.
pub(super) fn run(
    job: Job,
    cards: usize,
    study: Study<'_>,
) -> Result<(Vec<Outcome>, Option<Spent>)> {
    let notes = matches!(study, Study::Times);
    let over = Arc::new(AtomicU32::new(0));
    let enough = Arc::new(AtomicU32::new(0));
    let warm = Arc::new(AtomicU32::new(0));
    let (mut consumers, mut applications, mut sinks) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..cards {
        let (sink, source) = link::open(&job, index)?;
        let over = over.clone();
        let warm = warm.clone();
        sinks.push(sink);
        consumers.push(Worker::start(move || {
            consume(source, &job, notes, &warm, &over)
        })?);
    }
    for sink in sinks {
        let (warm, enough) = (warm.clone(), enough.clone());
        applications.push(Worker::start(move || {
            play(sink, &job, notes, &warm, &enough)
        })?);
    }
    let threads: Vec<_> = applications
        .iter()
        .map(|worker| worker.id)
        .chain(consumers.iter().map(|worker| worker.id))
        .collect();
    if !notes {
        wait_until("the job to get going", || {
            // ORDERING: Relaxed, here and in the threads; the number stands by itself.
            Ok(warm.load(Ordering::Relaxed) as usize == threads.len())
        })?;
    }
    let spent = match study {
        Study::Times => None,
        Study::Spent(millis, meter) => Some(meter.measure(millis, &threads)?),
        Study::Instructions(mebibytes) => {
            machine::trace(mebibytes)?;
            // More than that has room for.
            sleep_ms(5000);
            // ORDERING: Relaxed; it stands by itself.
            enough.store(1, Ordering::Relaxed);
            None
        }
    };
    let played: Vec<_> = applications
        .into_iter()
        .map(Worker::finish)
        .collect::<Result<_>>()?;
    // What is under way comes, or is not to come.
    sleep_ms(300);
    // ORDERING: Relaxed; it stands by itself.
    over.store(1, Ordering::Relaxed);
    let heard: Vec<_> = consumers
        .into_iter()
        .map(Worker::finish)
        .collect::<Result<_>>()?;
    if let Study::Spent(..) = study {
        let frames = job.frames();
        for heard in &heard {
            ensure!(heard.end == frames, "{} of {frames} frames came", heard.end);
        }
    }
    let pairs = played.into_iter().zip(heard);
    let outcomes = pairs.map(|(played, heard)| Outcome { job, played, heard });
    Ok((outcomes.collect(), spent))
}

struct Worker<T> {
    id: Pid,
    thread: JoinHandle<Result<T>>,
}

impl<T: Send + 'static> Worker<T> {
    fn start(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Self> {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            // Whoever waits for it fails without.
            let _ = tell.send(gettid());
            hurry()?;
            work()
        });
        let id = told.recv()?;
        Ok(Self { id, thread })
    }

    fn finish(self) -> Result<T> {
        self.thread
            .join()
            .map_err(|_| anyhow!("a thread panicked"))?
    }
}

// `scripts/count-instructions` knows these by their names.
#[inline(never)]
fn play(
    mut sink: Sink,
    job: &Job,
    notes: bool,
    warm: &AtomicU32,
    enough: &AtomicU32,
) -> Result<Played> {
    let mut all = job.periods + WARM_UP;
    let mut returned = Vec::with_capacity(if notes { all as usize } else { 0 });
    let mut period = vec![0; job.period as usize * job.channels as usize * bytes_of(job.format)];
    let mut xruns = 0;
    let mut account = Account::begin()?;
    for index in 0..all {
        // ORDERING: Relaxed; see `run()`.
        if enough.load(Ordering::Relaxed) != 0 {
            all = index;
            break;
        }
        let first = u64::from(index) * u64::from(job.period);
        fill(&mut period, job, first);
        if index == WARM_UP {
            // ORDERING: Relaxed; see `run()`.
            warm.fetch_add(1, Ordering::Relaxed);
            account = Account::begin()?;
        }
        if index == WARM_UP + job.periods / 2 && job.trouble.one_write != 0 {
            sleep_ms(job.trouble.one_write);
        }
        let late = sink.write(&period, first, &mut account)?;
        if notes {
            returned.push(now());
        }
        xruns += u64::from(late);
    }
    let account = account.end()?;
    // What a card does with a stream's last frames, of which snd-aloop drops some, is not measured:
    // these are silence.
    period.fill(0);
    for index in all..all + job.queue + job.rate / TAILS / job.period {
        let first = u64::from(index) * u64::from(job.period);
        sink.write(&period, first, &mut { account })?;
    }
    sink.finish(job.way)?;
    Ok(Played {
        returned,
        xruns,
        account,
    })
}

fn bytes_of(format: Format) -> usize {
    match format {
        Format::FloatLE => 4,
        _ => 2,
    }
}

/// Has each frame carry its number, from `first` + 1 on.
#[inline(never)]
fn fill(bytes: &mut [u8], job: &Job, first: u64) {
    let sample = bytes_of(job.format);
    let frames = bytes.chunks_exact_mut(sample * job.channels as usize);
    for (n, frame) in (first + 1..).zip(frames) {
        for (place, part) in frame.chunks_exact_mut(sample).zip(parts(n)) {
            match job.format {
                Format::FloatLE => place.copy_from_slice(&as_float(part).to_le_bytes()),
                _ => place.copy_from_slice(&part.to_le_bytes()),
            }
        }
    }
}

#[inline(never)]
fn consume(
    mut source: Source,
    job: &Job,
    notes: bool,
    warm: &AtomicU32,
    over: &AtomicU32,
) -> Result<Heard> {
    let frames = job.frames();
    let room = if notes { frames as usize } else { 0 };
    let mut account = Account::begin()?;
    let mut heard = Heard {
        // Not to be allocated on the way.
        runs: Vec::with_capacity(room / 8),
        stamps: Vec::with_capacity(room / 16),
        end: 0,
        repeated: 0,
        told_lost: 0,
        overruns: 0,
        account,
    };
    let (mut next, mut counting) = (0, false);
    let channels = job.channels as usize;
    let mut take_number = 0_u64;
    // ORDERING: Relaxed; see `run()`.
    while next < frames && over.load(Ordering::Relaxed) == 0 {
        if !counting && next >= job.first_counted() {
            counting = true;
            // ORDERING: Relaxed; see `run()`.
            warm.fetch_add(1, Ordering::Relaxed);
            account = Account::begin()?;
        }
        if let Some(fd) = source.fd() {
            let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
            account.call(|| poll(&mut fds, NAP))?;
        }
        take_number += 1;
        let sleep = match take_number % 2 {
            0 => job.trouble.every_take + job.trouble.every_second_take,
            _ => job.trouble.every_take,
        };
        if sleep != 0 {
            sleep_ms(sleep);
        }
        let taken = source.take(&mut account, |piece, stamp| {
            let time = if notes { now() } else { 0 };
            if job.trouble.spins {
                spin();
            }
            if !notes {
                // The last of a piece is enough to know how far it is.
                next = next.max(last(&piece, channels));
                return Ok(());
            }
            heard.stamps.extend(stamp);
            match piece {
                Piece::Words(words) => {
                    let frames = words.chunks_exact(channels);
                    let parts = frames.map(|frame| [frame[0] as u16, frame[1] as u16]);
                    heard.repeated += note(parts, time, &mut next, &mut heard.runs);
                }
                Piece::Floats(floats) => {
                    let frames = floats.chunks_exact(channels);
                    let parts = frames.map(|frame| [from_float(frame[0]), from_float(frame[1])]);
                    heard.repeated += note(parts, time, &mut next, &mut heard.runs);
                }
            }
            Ok(())
        })?;
        heard.told_lost += taken.lost;
        heard.overruns += taken.overruns;
    }
    heard.account = account.end()?;
    heard.end = next;
    Ok(heard)
}

/// The number of the last frame of a piece that has one, 0 without.
fn last(piece: &Piece<'_>, channels: usize) -> u64 {
    let found = match piece {
        Piece::Words(words) => {
            let mut frames = words.chunks_exact(channels).rev();
            frames.find_map(|frame| numbered([frame[0] as u16, frame[1] as u16]))
        }
        Piece::Floats(floats) => {
            let mut frames = floats.chunks_exact(channels).rev();
            frames.find_map(|frame| numbered([from_float(frame[0]), from_float(frame[1])]))
        }
    };
    found.unwrap_or(0)
}

fn numbered(parts: [u16; 2]) -> Option<u64> {
    let number = number(parts);
    (number != 0).then_some(number)
}

/// Notes the frames of a piece, which may have silence in between and skip some; returns how many
/// have come before: snd-aloop plays its buffer once more where it runs dry.
fn note(
    frames: impl Iterator<Item = [u16; 2]>,
    time: u64,
    next: &mut u64,
    runs: &mut Vec<Run>,
) -> u64 {
    let mut repeated = 0;
    let mut run = Run {
        first: *next,
        count: 0,
        time,
    };
    for number in frames.filter_map(numbered) {
        let frame = number - 1;
        if frame < *next {
            repeated += 1;
            continue;
        }
        if frame != *next && run.count != 0 {
            runs.push(run);
            run.count = 0;
        }
        if run.count == 0 {
            run.first = frame;
        }
        run.count += 1;
        *next = frame + 1;
    }
    if run.count != 0 {
        runs.push(run);
    }
    repeated
}

/// Whether all of it came, and nobody was late: otherwise what it cost says little.
pub(super) fn check_whole(outcome: &Outcome) -> Result<()> {
    ensure!(
        outcome.played.xruns == 0 && outcome.heard.overruns == 0 && outcome.heard.told_lost == 0,
        "{} xruns, {} overruns, {} frames told to be lost",
        outcome.played.xruns,
        outcome.heard.overruns,
        outcome.heard.told_lost
    );
    Ok(())
}
