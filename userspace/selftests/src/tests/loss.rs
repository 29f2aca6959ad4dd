// SPDX-License-Identifier: MIT OR GPL-2.0

//! A consumer that does not read loses sound, is told exactly which, and holds nobody up.
//!
//! The ring has its smallest size, 64 KiB: 160 ms of stereo at 48 kHz.

use std::time::Duration;

use alsa::pcm::Format;
use anyhow::{bail, ensure, Context, Result};
use rtshm::{Consumer, State};

use super::tests;
use crate::app::{aplay, Aplay, App, Setup};
use crate::material::{noise, numbered, Material};
use crate::module;
use crate::tape::{attach, check_samples, pop_all, summary, takes, Entry};
use crate::time::{nanos, sleep_ms, wait_until};

tests!(loss: never_reads, stops_and_goes_on, reads_too_slowly, sleeps_through_pause, sleeps_through_streams, recovers);

const SMALL_RING: &str = "ring_kib=64";

/// What a tape accounts for.
#[derive(Debug, Default)]
struct Account {
    audio: u64,
    lost: u64,
    lost_records: u64,
}

impl Account {
    /// Accounts for a tape of one stream: each frame of the material is either there, and right, or
    /// in one `LOST` record, in order.
    fn of(tape: &[Entry], material: &Material) -> Result<Self> {
        let mut account = Self::default();
        let mut position = 0;
        let mut start = None;
        for entry in tape {
            match entry {
                Entry::Audio { chunk, samples } => {
                    ensure!(
                        chunk.position == position,
                        "a chunk at {}, {position} is next",
                        chunk.position
                    );
                    check_samples(material, position, samples)?;
                    position += chunk.frames;
                    account.audio += chunk.frames;
                }
                Entry::Lost {
                    position: at,
                    frames,
                    spans_streams,
                    time,
                } => {
                    ensure!(!spans_streams, "there is one stream only");
                    ensure!(
                        *at == position && *frames > 0,
                        "{frames} lost at {at}, {position} is next"
                    );
                    let due = start.context("lost before it began")? + nanos(position, 48_000);
                    ensure!(time.abs_diff(due) <= 1, "{entry:?} off the line");
                    position += frames;
                    account.lost += frames;
                    account.lost_records += 1;
                }
                Entry::State {
                    position: at,
                    state,
                    time,
                    ..
                } => {
                    match state {
                        State::Start => start = Some(*time),
                        // The line begins anew, at this frame.
                        State::Resume => start = Some(*time - nanos(*at, 48_000)),
                        _ => {}
                    }
                    ensure!(may_be_at(*at, position), "{entry:?}, {position} is next");
                }
                Entry::Volume { position: at, .. } => {
                    ensure!(may_be_at(*at, position), "{entry:?}, {position} is next");
                }
                Entry::Format { .. } => {}
            }
        }
        ensure!(
            position == material.frames(),
            "{position} of {} frames accounted for: {}",
            material.frames(),
            summary(tape)
        );
        Ok(account)
    }

    /// Checks that the module counted the same since `before`.
    fn check_counters(&self, before: &rtshm::Status) -> Result<()> {
        let after = module::status()?;
        let counted = (
            after.frames - before.frames,
            after.lost_frames - before.lost_frames,
            after.lost_records - before.lost_records,
        );
        let told = (self.audio, self.lost, self.lost_records);
        ensure!(counted == told, "counted {counted:?}, told {told:?}");
        ensure!(after.xruns == before.xruns, "the application was held up");
        Ok(())
    }
}

/// Whether a change may be told at a position: at the next frame's, or behind it where frames were sent
/// ahead.
fn may_be_at(position: u64, next: u64) -> bool {
    position == next || module::is_eager() && position < next
}

fn check_begin(tape: &[Entry]) -> Result<()> {
    match tape {
        [Entry::Format {
            position: 0,
            resync: false,
            ..
        }, Entry::State {
            state: State::Start,
            position: 0,
            resync: false,
            ..
        }, ..] => Ok(()),
        _ => bail!("no start: {}", summary(tape)),
    }
}

fn states(tape: &[Entry]) -> Vec<State> {
    tape.iter()
        .filter_map(|entry| match entry {
            Entry::State { state, .. } => Some(*state),
            _ => None,
        })
        .collect()
}

/// The consumer looks for the first time when all is over. It gets what the ring held, and is told
/// of all the rest in as few records as can be: one up to each change of state.
fn never_reads() -> Result<()> {
    module::ready_with(SMALL_RING)?;
    let before = module::status()?;
    let material = numbered(0, 24_000);
    let mut consumer = attach()?;
    aplay(&Setup::default(), &material)?;
    let material = material.by_aplay(1024);
    let mut tape = Vec::new();
    pop_all(&mut consumer, &mut tape)?;
    check_begin(&tape)?;
    let account = Account::of(&tape, &material)?;
    let lost = |entry: &Entry| matches!(entry, Entry::Lost { .. });
    ensure!(
        account.lost_records >= 1 && !tape.windows(2).any(|pair| pair.iter().all(lost)),
        "{}",
        summary(&tape)
    );
    ensure!(
        account.audio > 7_000 && account.lost > 12_000,
        "{account:?}"
    );
    ensure!(
        states(&tape) == [State::Start, State::Drain, State::Stop],
        "{}",
        summary(&tape)
    );
    account.check_counters(&before)
}

/// The consumer sleeps three times for longer than the ring lasts, and reads in between.
fn stops_and_goes_on() -> Result<()> {
    module::ready_with(SMALL_RING)?;
    let before = module::status()?;
    let material = numbered(0, 64_000);
    let mut consumer = attach()?;
    let mut player = Aplay::start(&Setup::default(), &material)?;
    let material = material.by_aplay(1024);
    let mut tape = Vec::new();
    let mut naps = 0;
    while !tape.last().is_some_and(Entry::is_end) {
        consumer.wait(Some(Duration::from_millis(100)))?;
        pop_all(&mut consumer, &mut tape)?;
        if !tape.is_empty() && naps < 3 && !player.has_ended()? {
            sleep_ms(260);
            naps += 1;
        }
    }
    player.finish()?;
    let account = Account::of(&tape, &material)?;
    ensure!(account.lost_records >= 2, "{account:?}: {}", summary(&tape));
    account.check_counters(&before)
}

/// The consumer reads, but a record at a time and too slowly.
fn reads_too_slowly() -> Result<()> {
    module::ready_with(SMALL_RING)?;
    let before = module::status()?;
    let material = numbered(1_000_000, 40_000);
    let mut consumer = attach()?;
    let mut player = Aplay::start(&Setup::default(), &material)?;
    let material = material.by_aplay(1024);
    let mut tape = Vec::new();
    while !player.has_ended()? {
        // 256 frames, a chunk at most, in twice the time that they last.
        sleep_ms(11);
        pop_one(&mut consumer, &mut tape)?;
    }
    player.finish()?;
    pop_all(&mut consumer, &mut tape)?;
    let account = Account::of(&tape, &material)?;
    ensure!(account.lost_records > 1, "{account:?}: {}", summary(&tape));
    account.check_counters(&before)
}

fn pop_one(consumer: &mut Consumer, tape: &mut Vec<Entry>) -> Result<()> {
    if let Some(event) = consumer.pop()? {
        tape.push(Entry::of(&event)?);
    }
    Ok(())
}

/// Changes of state are owed like lost frames, in their place.
fn sleeps_through_pause() -> Result<()> {
    module::ready_with(SMALL_RING)?;
    let before = module::status()?;
    let material = numbered(0, 30_000);
    let mut consumer = attach()?;
    let app = App::open(&Setup::default())?;
    // Longer than the ring lasts.
    app.write(&material)?;
    app.pcm.pause(true)?;
    sleep_ms(20);
    app.pcm.pause(false)?;
    app.pcm.drain()?;
    let mut tape = Vec::new();
    pop_all(&mut consumer, &mut tape)?;
    let account = Account::of(&tape, &material)?;
    let expected = [
        State::Start,
        State::Pause,
        State::Resume,
        State::Drain,
        State::Stop,
    ];
    ensure!(states(&tape) == expected, "{}", summary(&tape));
    account.check_counters(&before)
}

/// The consumer sleeps through more streams than the module keeps account of one by one: then the
/// frames are told in sum, none twice and none forgotten.
fn sleeps_through_streams() -> Result<()> {
    module::ready_with(SMALL_RING)?;
    let before = module::status()?;
    let mut consumer = attach()?;
    let material = noise(Format::S16LE, 2, 12_287, 1);
    aplay(&Setup::default(), &material)?;
    let short = noise(Format::S16LE, 2, 1_024, 2);
    let app = App::open(&Setup::default())?;
    for _ in 0..8 {
        app.pcm.prepare()?;
        app.play(&short)?;
    }
    drop(app);
    let mut tape = Vec::new();
    pop_all(&mut consumer, &mut tape)?;
    let (mut audio, mut lost, mut lost_records) = (0, 0, 0);
    for entry in &tape {
        match entry {
            Entry::Audio { chunk, .. } => audio += chunk.frames,
            Entry::Lost { frames, .. } => {
                lost += frames;
                lost_records += 1;
            }
            _ => {}
        }
    }
    let played = 12_288 + 8 * 1_024;
    ensure!(
        audio + lost == played,
        "{audio} + {lost} of {played} frames: {}",
        summary(&tape)
    );
    ensure!(
        tape.iter().any(|entry| matches!(
            entry,
            Entry::Lost {
                spans_streams: true,
                ..
            }
        )),
        "nothing was told in sum: {}",
        summary(&tape)
    );
    let account = Account {
        audio,
        lost,
        lost_records,
    };
    account.check_counters(&before)?;
    // And the next stream is as if nothing had been.
    let recorder = crate::tape::Recorder::start(consumer, 1);
    App::open(&Setup::default())?.play(&short)?;
    let takes = takes(&recorder.finish()?)?;
    takes.last().context("no stream")?.check_all_of(&short)
}

/// When the consumer reads again, it is told of the gap before the next sound, and nothing is lost
/// any more.
fn recovers() -> Result<()> {
    module::ready_with(SMALL_RING)?;
    let material = numbered(0, 60_000);
    let mut consumer = attach()?;
    let before = module::status()?;
    let player = Aplay::start(&Setup::default(), &material)?;
    let material = material.by_aplay(1024);
    wait_until("a loss", || {
        Ok(module::status()?.lost_frames > before.lost_frames + 3_000)
    })?;
    let mut tape = Vec::new();
    while !tape.last().is_some_and(Entry::is_end) {
        consumer.wait(Some(Duration::from_millis(100)))?;
        pop_all(&mut consumer, &mut tape)?;
    }
    player.finish()?;
    let account = Account::of(&tape, &material)?;
    ensure!(account.lost_records >= 1, "{account:?}: {}", summary(&tape));
    account.check_counters(&before)
}
