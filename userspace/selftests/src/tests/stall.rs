// SPDX-License-Identifier: MIT OR GPL-2.0

//! The machine stands still for minutes, as a paused virtual machine does, while its clock goes on:
//! what the card owes then is accounted for to the frame, its work is bounded, and it works on.
//!
//! The stall is the same one for all tests: the first that is run sets every situation up, each on a
//! card of its own, and leaves what became of it for the others. Needs `scripts/vm`, without
//! `--icount`.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use alsa::pcm::Format;
use alsa::Direction;
use alsa_sys as sys;
use anyhow::{anyhow, bail, ensure, Context, Result};
use nix::errno::Errno;
use rtshm::{Consumer, Device, State};

use super::instances::{card_id, node};
use super::tracing::{Traced, Tracer};
use crate::app::Setup;
use crate::harness::Test;
use crate::machine;
use crate::material::{noise, numbered, Material};
use crate::module;
use crate::raw_pcm::RawPcm;
use crate::recording::{open_on, Microphone};
use crate::tape::{attach_to, pop_all, summary, Change, Entry, Recorder};
use crate::time::{frames, nanos, now, sleep_ms, SECOND};

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

/// A stream as its consumer was told it: each frame was delivered or is lost, in order and in time.
struct Account {
    channels: usize,
    rate: u32,
    changes: Vec<Change>,
    /// The first position of each chunk, and its samples.
    chunks: Vec<(u64, Vec<u32>)>,
    lost: Vec<Range<u64>>,
    text: String,
}

/// Takes a tape apart into streams, each from its beginning.
fn accounts(tape: &[Entry]) -> Result<Vec<Account>> {
    tape.split_inclusive(Entry::is_end)
        .map(|entries| Account::of(entries).with_context(|| summary(tape)))
        .collect()
}

/// The one stream of a tape.
fn account(tape: &[Entry]) -> Result<Account> {
    let mut accounts = accounts(tape)?;
    let account = accounts.pop().context("nothing was told")?;
    ensure!(
        accounts.is_empty(),
        "more than one stream: {}",
        account.text
    );
    Ok(account)
}

impl Account {
    fn of(entries: &[Entry]) -> Result<Self> {
        let Some(Entry::Format {
            format,
            position: 0,
            resync: false,
        }) = entries.first()
        else {
            bail!("it does not begin with its format");
        };
        let mut account = Self {
            channels: format.channels as usize,
            rate: format.rate,
            changes: Vec::new(),
            chunks: Vec::new(),
            lost: Vec::new(),
            text: summary(entries),
        };
        let mut position = 0;
        // Since when and from where the stream runs.
        let mut line = None;
        let mut last = 0;
        for entry in &entries[1..] {
            let (at, time, count) = match *entry {
                Entry::State {
                    state,
                    position: at,
                    time,
                    resync: false,
                } => {
                    account.changes.push(Change {
                        state,
                        position: at,
                        time,
                    });
                    match state {
                        State::Start | State::Resume => line = Some((at, time)),
                        State::Drain => {}
                        _ => line = None,
                    }
                    (at, time, 0)
                }
                Entry::Audio { chunk, ref samples } => {
                    ensure!(
                        samples.len() as u64 == chunk.frames * u64::from(format.channels),
                        "{chunk:?} with {} samples",
                        samples.len()
                    );
                    account.chunks.push((chunk.position, samples.clone()));
                    (chunk.position, chunk.time_stamp, chunk.frames)
                }
                Entry::Lost {
                    position: at,
                    frames,
                    time,
                    spans_streams: false,
                } => {
                    account.lost.push(at..at + frames);
                    (at, time, frames)
                }
                _ => bail!("{entry:?} where it cannot be"),
            };
            ensure!(at == position, "something at {at}, {position} is next");
            if count == 0 {
                ensure!(time >= last, "at {at} from {last} back to {time} ns");
            } else {
                let Some((from, since)) = line else {
                    bail!("sound at {at} while the stream stands still");
                };
                let due = since + nanos(at - from, format.rate);
                ensure!(time.abs_diff(due) <= 1, "at {at}: {time} ns, due at {due}");
                position += count;
            }
            last = time.max(last);
        }
        Ok(account)
    }

    fn check_states(&self, expected: &[State]) -> Result<()> {
        let states: Vec<_> = self.changes.iter().map(|change| change.state).collect();
        ensure!(states == expected, "{states:?}: {}", self.text);
        Ok(())
    }

    /// Checks that it ended, by force, where its clock was, to the frame.
    fn check_length(&self) -> Result<()> {
        let [start, stop] = self.changes[..] else {
            bail!("no start and stop: {}", self.text);
        };
        let due = frames(stop.time - start.time, self.rate);
        ensure!(stop.position == due, "{stop:?} instead of {due}");
        Ok(())
    }

    /// Checks what was delivered, all of it, against the samples of each frame.
    fn check_sound<'a>(&self, expected: impl Fn(u64) -> &'a [u32]) -> Result<()> {
        for (first, samples) in &self.chunks {
            for (position, got) in (*first..).zip(samples.chunks_exact(self.channels)) {
                let expected = expected(position);
                ensure!(
                    got == expected,
                    "at {position} {got:x?} instead of {expected:x?}: {}",
                    self.text
                );
            }
        }
        Ok(())
    }

    /// Checks that this was delivered, all of it.
    fn check_all_of(&self, material: &Material) -> Result<()> {
        ensure!(self.lost.is_empty(), "lost: {}", self.text);
        let end = self.changes.last().map_or(0, |change| change.position);
        ensure!(
            end == material.frames(),
            "{end} of {} frames",
            material.frames()
        );
        self.check_sound(|position| frame(material, position))
    }

    /// The first frame from `from` on that has these samples.
    fn find(&self, from: u64, frame: &[u32]) -> Option<u64> {
        self.chunks
            .iter()
            .flat_map(|(first, samples)| (*first..).zip(samples.chunks_exact(self.channels)))
            .find(|(position, samples)| *position >= from && *samples == frame)
            .map(|(position, _)| position)
    }
}

/// A frame of the material's.
fn frame(material: &Material, position: u64) -> &[u32] {
    // A frame beyond the end is none that was played.
    material.expected_at(position, 1).unwrap_or(&[])
}

/// A player that does not stop for want of sound.
struct Nonstop {
    pcm: RawPcm,
    recorder: Recorder,
    /// What is written after the stall.
    new: Material,
    /// Where the card's pointer was among the frames of the buffer: between two times.
    pointer: Option<(u64, u64, u64)>,
    /// Frames that were written or passed over, up to the new ones.
    ahead: u64,
}

impl Nonstop {
    fn start(pcm: RawPcm, recorder: Recorder, old: &Material, new: Material) -> Result<Self> {
        let written = pcm.write(&old.bytes)?;
        ensure!(written as u64 == old.frames(), "{written} frames written");
        pcm.start()?;
        Ok(Self {
            pcm,
            recorder,
            new,
            pointer: None,
            ahead: written as u64,
        })
    }

    fn buffer(&self) -> u64 {
        self.pcm.setup().buffer.into()
    }

    /// Looks where ALSA says it is; it is told a whole buffer in two looks.
    fn look(&mut self) -> Result<()> {
        let state = self.pcm.state();
        ensure!(state == sys::SND_PCM_STATE_RUNNING, "state {state}");
        self.pcm.avail()?;
        let before = now();
        let avail = self.pcm.avail()? as u64;
        let pointer = (self.ahead + avail) % self.buffer();
        self.pointer = Some((before, pointer, now()));
        Ok(())
    }

    /// Writes the new sound half a buffer ahead of the card, and waits until it is played.
    fn renew(&mut self) -> Result<()> {
        let half = self.buffer() / 2;
        let passed = self.pcm.avail()? - half as usize;
        ensure!(self.pcm.forward(passed)? == passed, "cannot go forward");
        self.ahead += passed as u64;
        let written = self.pcm.write(&self.new.bytes)?;
        ensure!(
            written as u64 == self.new.frames(),
            "{written} frames written"
        );
        let rate = self.pcm.setup().rate;
        sleep_ms(nanos(half + self.new.frames(), rate) / 1_000_000 + 500);
        Ok(())
    }

    /// Stops, and checks all but the sound. Returns the account, and where the new sound began.
    fn stop(self) -> Result<(Account, u64)> {
        let buffer = self.buffer();
        self.pcm.stop()?;
        let account = account(&self.recorder.finish()?)?;
        account.check_states(&[State::Start, State::Stop])?;
        account.check_length()?;
        let start = account.changes[0].time;
        if let Some((before, pointer, after)) = self.pointer {
            let (least, most) = (
                frames(before - start, account.rate),
                frames(after - start, account.rate),
            );
            ensure!(
                (pointer + buffer - least % buffer) % buffer <= most - least,
                "ALSA's pointer at {pointer} of {buffer} between {least} and {most}"
            );
        }
        let resumed = account.lost.first().context("nothing is lost")?.end;
        // The first samples of all noise are the same.
        let begin = account
            .find(resumed, frame(&self.new, 20))
            .and_then(|position| position.checked_sub(20))
            .with_context(|| format!("the new sound did not come: {}", account.text))?;
        ensure!(
            begin % buffer == self.ahead % buffer,
            "the new sound at {begin}, which is not at {} of {buffer}",
            self.ahead
        );
        Ok((account, begin))
    }
}

/// Checks that the stall is one loss, of all but what the buffer holds: a tick delivers no more.
fn check_one_loss(account: &Account, buffer: u64) -> Result<()> {
    ensure!(account.lost.len() == 1, "{}", account.text);
    let lost = account.lost[0].end - account.lost[0].start;
    ensure!(
        lost >= at_least(account.rate) - buffer,
        "{lost} frames lost: {}",
        account.text
    );
    Ok(())
}

/// A player that writes until it cannot, in a thread; returns what it wrote, in frames, and why it
/// ended.
fn write_on(pcm: RawPcm, material: Material) -> Result<(RawPcm, u64, Errno)> {
    let setup = *pcm.setup();
    let mut written = 0;
    for piece in material
        .bytes
        .chunks(setup.period as usize * setup.frame_bytes())
    {
        let mut rest = piece;
        while !rest.is_empty() {
            match pcm.write(rest) {
                Ok(frames) => {
                    written += frames as u64;
                    rest = &rest[frames * setup.frame_bytes()..];
                }
                Err(errno) => return Ok((pcm, written, errno)),
            }
        }
    }
    bail!("all was written");
}

/// A recorder that reads until it cannot; returns what it read, and why it ended.
fn read_on(pcm: RawPcm) -> (RawPcm, Vec<u8>, Errno) {
    let setup = *pcm.setup();
    let frame = setup.frame_bytes();
    let mut bytes = Vec::new();
    let mut piece = vec![0; setup.period as usize * frame];
    loop {
        match pcm.read(&mut piece) {
            Ok(frames) => bytes.extend_from_slice(&piece[..frames * frame]),
            Err(errno) => return (pcm, bytes, errno),
        }
    }
}

/// Checks that the application is told that it was late.
fn check_xrun(pcm: &RawPcm, errno: Errno) -> Result<()> {
    let state = pcm.state();
    ensure!(errno == Errno::EPIPE, "{errno}");
    ensure!(state == sys::SND_PCM_STATE_XRUN, "state {state}");
    Ok(())
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

/// The numbers of [`numbered`] frames, 0 for silence.
fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|frame| u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]))
        .collect()
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

/// Checks that a recording is a part of what was played from `from` on, by number, up to its end where
/// it is silent in the end; silence may come before.
fn check_recording(bytes: &[u8], played: &[u32], from: u64) -> Result<()> {
    let numbers = numbers(bytes);
    let silent = numbers.iter().take_while(|&&number| number == 0).count();
    let sound = &numbers[silent..];
    let after = sound
        .iter()
        .rev()
        .take_while(|&&number| number == 0)
        .count();
    let sound = &sound[..sound.len() - after];
    ensure!(sound.len() > 4_800, "{} frames of sound", sound.len());
    let starts: BTreeSet<usize> = (from as usize..played.len())
        .filter(|&at| played[at] == sound[0])
        .collect();
    let fits = |at: &usize| {
        let rest = &played[*at..];
        rest.starts_with(sound) && (after == 0 || rest.len() == sound.len())
    };
    if starts.iter().any(fits) {
        return Ok(());
    }
    let odd = sound
        .windows(2)
        .position(|pair| pair[1] != pair[0] + 1)
        .map(|at| (at, sound[at], sound[at + 1]));
    bail!(
        "{silent} silent frames, {} from {} on, {after} silent ones: nowhere in what was played from \
         {from} to {}; the first that is odd: {odd:?}",
        sound.len(),
        sound[0],
        played.len()
    );
}

/// A recorder that does not stop when nobody reads.
struct Follower {
    pcm: RawPcm,
    started: (u64, u64),
}

impl Follower {
    fn start(pcm: RawPcm) -> Result<Self> {
        let before = now();
        pcm.start()?;
        Ok(Self {
            pcm,
            started: (before, now()),
        })
    }

    /// Checks that it is as long as it took, as far as ALSA can tell: modulo the buffer. Nothing was
    /// read yet. ALSA is told a whole buffer in two looks.
    fn look(&mut self) -> Result<()> {
        let state = self.pcm.state();
        ensure!(state == sys::SND_PCM_STATE_RUNNING, "state {state}");
        let setup = self.pcm.setup();
        let (rate, buffer) = (setup.rate, u64::from(setup.buffer));
        self.pcm.avail()?;
        let before = now();
        let pointer = self.pcm.avail()? as u64 % buffer;
        let after = now();
        // A frame at each end of a silence.
        let least = frames(before - self.started.1, rate) - 2;
        let most = frames(after - self.started.0, rate) + 2;
        ensure!(
            (pointer + buffer - least % buffer) % buffer <= most - least,
            "{pointer} of {buffer} recorded in the time for {least} to {most}"
        );
        Ok(())
    }

    /// Reads what is recorded from now on.
    fn listen(self) -> Result<Microphone> {
        let avail = self.pcm.avail()?;
        ensure!(self.pcm.forward(avail)? == avail, "cannot go forward");
        Ok(Microphone::listen(self.pcm, self.started))
    }
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
