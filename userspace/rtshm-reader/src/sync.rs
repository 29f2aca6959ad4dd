// SPDX-License-Identifier: MIT OR GPL-2.0

//! Two cards that are to run at one speed: the virtual card, whose chunks come with their times, and
//! the real one, which says where it stands.
//!
//! What is kept is the distance between the frame that the virtual card passes and the one that the
//! real card fetches: everything in between is in the ring, in hand, or in the card's buffer. It is
//! taken at the time that the real card's own stamp says.

use rtshm::{ClockRatio, Consumer};

use crate::clock::{frames_to_nanos, SECOND};
use crate::follow::{Follower, Sight};
use crate::sink::Reading;

/// Least time between two requests: the clock is set at the end of a chunk.
const REQUEST_INTERVAL: u64 = SECOND / 10;

/// So many requests in a row that the clock did not obey are a refusal.
const REFUSAL: u32 = 5;

/// The state of keeping two cards together.
pub(crate) struct Sync {
    follower: Follower,
    rate: u32,
    chunk_frames: u64,
    /// A frame of the stream, and when it is due at the virtual card.
    passed: Option<(u64, u64)>,
    /// The frame of the stream that is written to the real card next.
    next: u64,
    /// The last request, and when it was made.
    request: Option<(ClockRatio, u64)>,
    disobeyed: u32,
    error_max: f64,
}

impl Sync {
    pub(crate) fn new() -> Self {
        Self {
            follower: Follower::new(1),
            rate: 1,
            chunk_frames: 0,
            passed: None,
            next: 0,
            request: None,
            disobeyed: 0,
            error_max: 0.0,
        }
    }

    /// The real card was opened for streams of this rate, in chunks of at most so many frames.
    pub(crate) fn opened(&mut self, rate: u32, chunk_frames: u32) {
        if rate == self.rate {
            self.follower.restart();
        } else {
            self.follower = Follower::new(rate);
            self.rate = rate;
        }
        self.chunk_frames = chunk_frames.into();
        self.disobeyed = 0;
    }

    /// The real card was stopped, and begins anew.
    pub(crate) fn restarted(&mut self) {
        self.follower.restart();
    }

    /// The distance has changed for a reason: frames were left out, or silence was put in.
    pub(crate) fn displaced(&mut self) {
        self.follower.retarget();
    }

    /// Another stream, or the same one after a pause.
    pub(crate) fn new_stream(&mut self) {
        self.passed = None;
        self.displaced();
    }

    /// Frame `position` is due at the virtual card at `time`.
    pub(crate) fn passes(&mut self, position: u64, time: u64) {
        self.passed = Some((position, time));
    }

    /// What comes next is frame `position` of the stream.
    pub(crate) fn comes_to(&mut self, position: u64) {
        self.next = position;
    }

    /// Frames are missing in the stream, and are replaced by silence.
    pub(crate) fn skips(&mut self, frames: u64) {
        self.next = self.next.saturating_add(frames);
    }

    /// The real card has said where it stands. `held` frames of what was taken from the stream, or of
    /// silence, are to be written to it, and the virtual card's clock goes at `clock`. Returns the
    /// speed at which the distance stays as it is, off nominal.
    pub(crate) fn see(&mut self, reading: Reading, held: u64, clock: ClockRatio) -> Option<f64> {
        let (position, time) = self.passed?;
        // CAST: Small differences, which may be negative; to the nearest.
        let since = reading.time.wrapping_sub(time) as i64 as f64 / SECOND as f64;
        let passed = since * f64::from(self.rate) * clock.ratio();
        let waiting = position.wrapping_sub(self.next) as i64 as f64;
        let distance = passed + waiting + (held + reading.queued) as f64;
        let speed = self.follower.see(Sight {
            time: reading.time,
            played: reading.played,
            distance,
        });
        if self.follower.is_locked() {
            self.error_max = self.error_max.max(self.follower.error().abs());
        }
        Some(speed)
    }

    /// Asks for this speed, now and then; returns whether the virtual card does what it is asked for.
    pub(crate) fn ask_for(&mut self, speed: f64, consumer: &mut Consumer, now: u64) -> bool {
        let due = match self.request {
            None => true,
            Some((asked, at)) => {
                let chunks = frames_to_nanos(2 * self.chunk_frames, self.rate);
                let due = now.saturating_sub(at) >= REQUEST_INTERVAL.max(chunks);
                if due {
                    let obeys = consumer.clock_ratio() == Some(asked);
                    self.disobeyed = if obeys { 0 } else { self.disobeyed + 1 };
                }
                due
            }
        };
        if let Some(ratio) = ClockRatio::new(1.0 + speed).filter(|_| due) {
            consumer.request_rate(ratio);
            self.request = Some((ratio, now));
        }
        self.disobeyed < REFUSAL
    }

    /// Takes back what was asked for.
    pub(crate) fn ask_for_nothing(&mut self, consumer: &mut Consumer) {
        consumer.clear_rate_request();
        self.request = None;
        self.disobeyed = 0;
    }

    /// How fast the real card runs, in parts per million off nominal; `None` before it is known.
    pub(crate) fn card_ppm(&self) -> Option<f64> {
        self.follower
            .is_locked()
            .then(|| self.follower.card() * 1e6)
    }

    /// The greatest difference between the distance and the one to keep since the loop has locked, in
    /// frames; `None` where it never has.
    pub(crate) fn error_max(&self) -> Option<f64> {
        (self.error_max > 0.0).then_some(self.error_max)
    }
}
