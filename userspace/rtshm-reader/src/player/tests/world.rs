// SPDX-License-Identifier: MIT OR GPL-2.0

//! An application, the kernel, the player and a card in simulated time, a millisecond at a time.

use std::cell::RefCell;
use std::rc::Rc;

use rtshm::ClockRatio;

use crate::fake::Fake;
use crate::player::*;
use crate::sink::{Broken, OpenError, Reading, Setup};
use crate::summary::RingUse;

pub(super) const RATE: u32 = 48_000;
pub(super) const MILLISECOND: u64 = SECOND / 1000;
/// Frames in a millisecond.
pub(super) const TICK: u64 = RATE as u64 / 1000;
pub(super) const LATENCY: u64 = 100 * TICK;
pub(super) const PERIOD: u64 = 10 * TICK;

/// A card of one channel that plays a sample every 1/48000 s.
pub(super) struct Card {
    pub(super) buffered: u64,
    pub(super) running: bool,
    /// All that was ever written to it.
    pub(super) written: Vec<f32>,
    /// The frames that were heard.
    pub(super) heard: usize,
    /// Frames written when it was started, each time.
    pub(super) started_with: Vec<u64>,
    pub(super) opened: u32,
    /// How often the configuration was to be forgotten.
    pub(super) forgotten: u32,
    pub(super) open: bool,
    /// How it fails, from now on.
    pub(super) fails: Option<Broken>,
    pub(super) absent: bool,
    pub(super) unfit: bool,
    /// It has no room, whatever it plays.
    pub(super) deaf: bool,
    /// It takes everything at once, like ALSA's null PCM.
    pub(super) bottomless: bool,
    /// The mixer of the virtual card says so.
    pub(super) clock_is_ours: bool,
    pub(super) now: u64,
    /// Frames heard before the last reset.
    before: usize,
}

impl Default for Card {
    fn default() -> Self {
        Self {
            buffered: 0,
            running: false,
            written: Vec::new(),
            heard: 0,
            started_with: Vec::new(),
            opened: 0,
            forgotten: 0,
            open: false,
            fails: None,
            absent: false,
            unfit: false,
            deaf: false,
            bottomless: false,
            clock_is_ours: true,
            now: 0,
            before: 0,
        }
    }
}

impl Card {
    fn tick(&mut self) {
        if !self.running || self.bottomless {
            return;
        }
        let played = TICK.min(self.buffered);
        self.heard += played as usize;
        self.buffered -= played;
        if played < TICK {
            self.running = false;
            self.fails = Some(Broken::Xrun);
        }
    }

    fn room(&self) -> u64 {
        if self.deaf {
            0
        } else {
            2 * LATENCY - self.buffered
        }
    }

    fn check(&self) -> Result<(), Broken> {
        assert!(self.open, "a closed card is used");
        self.fails.map_or(Ok(()), Err)
    }
}

pub(super) struct FakeSink {
    pub(super) card: Rc<RefCell<Card>>,
    setup: Setup,
}

impl Sink for FakeSink {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn write(&mut self, samples: &[f32]) -> Result<u64, Broken> {
        let mut card = self.card.borrow_mut();
        card.check()?;
        let count = card.room().min(samples.len() as u64);
        card.written.extend(&samples[..count as usize]);
        if card.bottomless {
            card.heard = card.written.len();
        } else {
            card.buffered += count;
        }
        Ok(count)
    }

    fn write_silence(&mut self, frames: u64) -> Result<u64, Broken> {
        let count = frames.min(self.card.borrow().room());
        self.write(&vec![0.0; count as usize])
    }

    fn start(&mut self) -> Result<(), Broken> {
        let mut card = self.card.borrow_mut();
        card.check()?;
        assert!(!card.running, "it is started twice");
        if card.buffered == 0 && !card.bottomless {
            return Err(Broken::Xrun);
        }
        card.running = true;
        let buffered = card.buffered;
        card.started_with.push(buffered);
        Ok(())
    }

    fn queued(&mut self) -> Result<u64, Broken> {
        let card = self.card.borrow();
        card.check()?;
        assert!(card.running, "it does not play");
        Ok(card.buffered)
    }

    fn delay(&mut self) -> Result<u64, Broken> {
        self.queued()
    }

    fn reading(&mut self) -> Option<Reading> {
        let card = self.card.borrow();
        Some(Reading {
            time: card.now,
            played: (card.heard - card.before) as u64,
            queued: card.buffered,
        })
    }

    fn reset(&mut self) -> Result<(), Broken> {
        let mut card = self.card.borrow_mut();
        if card.fails == Some(Broken::Xrun) {
            card.fails = None;
        }
        card.running = false;
        let heard = card.heard;
        card.written.truncate(heard);
        card.before = heard;
        card.buffered = 0;
        card.check()
    }
}

impl Drop for FakeSink {
    fn drop(&mut self) {
        let mut card = self.card.borrow_mut();
        card.open = false;
        card.running = false;
        card.buffered = 0;
        let heard = card.heard;
        card.written.truncate(heard);
    }
}

pub(super) struct FakeOpener(Rc<RefCell<Card>>);

impl Opener for FakeOpener {
    type Sink = FakeSink;

    fn is_clock_ours(&self) -> bool {
        self.0.borrow().clock_is_ours
    }

    fn forget(&mut self) {
        let mut card = self.0.borrow_mut();
        assert!(!card.open, "the card is in use");
        card.forgotten += 1;
    }

    fn open(&mut self, format: &Format) -> Result<FakeSink, OpenError> {
        let mut card = self.0.borrow_mut();
        if card.absent {
            return Err(OpenError::Absent("no card".into()));
        }
        if card.unfit {
            return Err(OpenError::Unfit("not this rate".into()));
        }
        card.open = true;
        card.before = card.heard;
        card.opened += 1;
        card.fails = None;
        Ok(FakeSink {
            card: self.0.clone(),
            setup: Setup {
                format: "FLOAT_LE",
                rate: format.rate,
                channels: format.channels,
                period_frames: PERIOD,
                buffer_frames: 2 * LATENCY,
                latency_frames: LATENCY,
            },
        })
    }
}

/// An application, the kernel, the player and the card.
pub(super) struct World {
    pub(super) kernel: Fake,
    pub(super) consumer: Consumer,
    pub(super) player: Player<FakeOpener>,
    pub(super) card: Rc<RefCell<Card>>,
    pub(super) now: u64,
    pub(super) wait: Wait,
    /// How often the player was woken.
    pub(super) steps: u64,
    /// Frames played by the application; each is its own number.
    pub(super) position: u64,
    /// Whether it plays: a chunk of a millisecond each millisecond.
    pub(super) playing: bool,
    /// The card's clock against the application's: one tick in this many does not happen.
    pub(super) slow: Option<u64>,
    /// Whether the application's clock goes as the player asks for.
    pub(super) obeys: bool,
    /// Ticks that the application's clock is ahead, if it obeys.
    ahead: f64,
}

impl World {
    pub(super) fn new(once: bool) -> Self {
        Self::at_volume(once, Some(Volume::unity()))
    }

    /// The player begins at this volume, or cares for none.
    pub(super) fn at_volume(once: bool, volume: Option<Volume>) -> Self {
        let kernel = Fake::new();
        let consumer = kernel.consumer().unwrap();
        let card = Rc::new(RefCell::new(Card::default()));
        let summary = Summary {
            ring: RingUse::new(consumer.capacity()),
            ..Summary::default()
        };
        let quiet = Notes::new(false, true);
        Self {
            player: Player::new(FakeOpener(card.clone()), once, volume, summary, quiet),
            kernel,
            consumer,
            card,
            now: 1000 * SECOND,
            wait: Wait::Ring(None),
            steps: 0,
            position: 0,
            playing: false,
            slow: None,
            obeys: false,
            ahead: 0.0,
        }
    }

    pub(super) fn start(&mut self) {
        self.start_with(RATE);
    }

    pub(super) fn start_with(&mut self, rate: u32) {
        assert!(self.kernel.format(rate, 1, TICK as u32));
        assert!(self.kernel.state(State::Start, 0));
        self.playing = true;
    }

    pub(super) fn change(&mut self, state: State) {
        assert!(self.kernel.state(state, self.position));
        self.playing = state == State::Resume;
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
        self.wait = self.player.step(&mut self.consumer, self.now).unwrap();
    }

    pub(super) fn is_woken(&mut self) -> bool {
        let due = |until: Option<u64>| until.is_some_and(|until| until <= self.now);
        match self.wait {
            Wait::Ring(until) => {
                due(until) || self.kernel.write_count() != self.kernel.read_count()
            }
            Wait::Sink => {
                let card = self.card.borrow();
                card.fails.is_some() || card.deaf || card.room() >= PERIOD
            }
            Wait::Until(until) => due(Some(until)),
            Wait::Done => false,
        }
    }

    /// Lets time pass; the player sleeps through it unless it is `awake`.
    pub(super) fn pass(&mut self, milliseconds: u64, awake: bool) {
        for tick in 0..milliseconds {
            if self.obeys {
                if let Some(asked) = self.asked_for() {
                    self.tell_clock(asked);
                    self.ahead += asked.ratio() - 1.0;
                }
            }
            let rests = self.ahead <= -1.0;
            if rests {
                self.ahead += 1.0;
            }
            if self.playing && !rests {
                let audio: Vec<f32> = (self.position..self.position + TICK)
                    .map(|frame| (frame + 1) as f32)
                    .collect();
                if !self.kernel.audio(1, self.position, self.now, &audio) {
                    // As the kernel does, but late: told by the test.
                }
                self.position += TICK;
            }
            self.now += MILLISECOND;
            self.card.borrow_mut().now = self.now;
            if self.slow.is_none_or(|slow| tick % slow != 0) {
                self.card.borrow_mut().tick();
            }
            if awake && self.is_woken() {
                self.step();
                assert!(
                    self.wait == Wait::Done || !self.is_woken(),
                    "it would not sleep: {:?} after {:?}",
                    self.wait,
                    self.player.phase
                );
            }
        }
    }

    pub(super) fn run(&mut self, milliseconds: u64) {
        self.pass(milliseconds, true);
    }

    /// The speed that the player asks the virtual card for.
    pub(super) fn asked_for(&self) -> Option<ClockRatio> {
        match self.kernel.consumer_page().rate_request.load_relaxed() {
            0 => None,
            // CAST: Near 2^32: exact.
            raw => ClockRatio::new(raw as f64 / 2f64.powi(32)),
        }
    }

    /// Tells the player how fast the virtual card goes.
    pub(super) fn tell_clock(&mut self, ratio: ClockRatio) {
        let raw = (ratio.ratio() * 2f64.powi(32)) as u64;
        self.kernel.page().clock_ratio.store_relaxed(raw);
    }

    pub(super) fn heard(&self) -> Vec<f32> {
        let card = self.card.borrow();
        card.written[..card.heard].to_vec()
    }

    /// How far what is heard is behind what is played.
    pub(super) fn age(&self) -> u64 {
        self.position - *self.heard().last().unwrap() as u64
    }

    /// What was heard, without the silence around it.
    pub(super) fn heard_sound(&self) -> Vec<f32> {
        let heard = self.heard();
        let first = heard.iter().position(|&sample| sample != 0.0);
        let last = heard.iter().rposition(|&sample| sample != 0.0);
        match (first, last) {
            (Some(first), Some(last)) => heard[first..=last].to_vec(),
            _ => Vec::new(),
        }
    }

    pub(super) fn summary(&mut self) -> Summary {
        self.player.summary().clone()
    }
}

/// Compares sounds without printing all of them.
#[track_caller]
pub(super) fn assert_same(heard: &[f32], expected: &[f32]) {
    if let Some(at) = heard.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("frame {at} is {} and not {}", heard[at], expected[at]);
    }
    assert_eq!(heard.len(), expected.len());
}

/// The frames `from..to` of the application's stream.
pub(super) fn frames(from: u64, to: u64) -> Vec<f32> {
    (from + 1..=to).map(|frame| frame as f32).collect()
}
