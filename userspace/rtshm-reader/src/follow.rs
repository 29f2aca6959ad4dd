// SPDX-License-Identifier: MIT OR GPL-2.0

//! Following a sound card: how fast it runs, and how fast another has to run so that the distance
//! between them stays as it is.
//!
//! ```text
//! what the card says -> line through it -> rate ------------(+)-> speed
//!                              |                             |
//!                              +-> distance, less the target / time constant
//! ```
//!
//! The line is fitted by least squares. At first it is through all that was seen, and then through
//! what was seen last: a sight counts less by a factor of e with each `memory`. So the bandwidth
//! narrows while the loop locks. What a card says may be smooth or jump in steps; the memory is as
//! long as that needs, so that noise gets no further.
//!
//! The rate goes straight to the speed. The distance is only what is left to correct: mistakes of the
//! first seconds and the lag of the line. So the loop is stable with any memory.
//!
//! Pure arithmetic, without a clock; nothing here allocates.

/// Parts per million.
const PPM: f64 = 1e-6;

/// Bounds of the memory, in seconds.
const MEMORY: (f64, f64) = (10.0, 60.0);

/// Noise that the rate may have, which decides about the memory.
const NOISE: f64 = 0.2 * PPM;

/// The loop is locked when the rate is known this well.
const LOCKED: f64 = 0.5 * PPM;

/// Seconds before which it is not: what jumps may look smooth for a while.
const LOCK_TIME: f64 = 5.0;

/// Seconds after which a distance becomes the target, though the rate is not known well.
const PATIENCE: f64 = 10.0;

/// How far off nominal a card is expected, and one whose rate was known already.
const STRANGER: f64 = 200.0 * PPM;
const ACQUAINTANCE: f64 = 10.0 * PPM;

/// Jitter that a card is expected to have, in seconds, and how many sights that counts for.
const JITTER: f64 = 30e-6;
const JITTER_WEIGHT: f64 = 4.0;

/// The time in which a wrong distance is corrected to a third, in memories.
const CORRECTION_TIME: f64 = 3.0;

/// The most that the distance may add to the speed.
const CORRECTION: f64 = 50.0 * PPM;

/// A sight that is off by more than so many times the jitter counts as if it were off by that.
const OUTLIER: f64 = 4.0;

/// So many outliers in a row are no outliers: the card has jumped.
const JUMP: u32 = 25;

/// What is known of a card at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// When: nanoseconds of any one clock.
    pub(crate) time: u64,
    /// Frames that the card has played since it was started.
    pub(crate) played: u64,
    /// How many frames the other card was ahead of it at that time.
    pub(crate) distance: f64,
}

/// A loop that follows a card.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Nominal, frames per second.
    rate: f64,
    line: Line,
    /// The distance to keep, in frames.
    target: Option<f64>,
    /// The distance at the last sight, without jitter.
    distance: f64,
}

impl Follower {
    /// Follows a card whose nominal rate is `rate` frames per second.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            rate: f64::from(rate),
            line: Line::new(0.0, STRANGER),
            target: None,
            distance: 0.0,
        }
    }

    /// Takes note that the card was started anew: its count of frames begins at 0.
    pub(crate) fn restart(&mut self) {
        self.line = match self.is_locked() {
            true => Line::new(self.line.slope(), ACQUAINTANCE),
            false => Line::new(self.line.prior.0, self.line.prior.1),
        };
        self.target = None;
    }

    /// Takes note that the distance has changed for a reason, and that the new one is to be kept.
    pub(crate) fn retarget(&mut self) {
        self.target = None;
    }

    /// Sees the card; returns the speed that the other should have, as its distance from nominal.
    /// Sights that are not newer than the last are ignored.
    pub(crate) fn see(&mut self, sight: Sight) -> f64 {
        self.line.add(sight.time, sight.played, self.rate);
        let off = self.line.height() * self.rate;
        self.distance = sight.distance - off;
        if self.is_locked() || self.line.span > PATIENCE {
            self.target.get_or_insert(self.distance);
        }
        let time = self.line.memory * CORRECTION_TIME;
        let correction = -self.error() / self.rate / time;
        self.line.slope() + correction.clamp(-CORRECTION, CORRECTION)
    }

    /// How far the card's rate is off nominal, as a part of that.
    pub(crate) fn card(&self) -> f64 {
        self.line.slope()
    }

    /// Whether the card's rate is known to a part per million.
    pub(crate) fn is_locked(&self) -> bool {
        self.line.is_settled()
    }

    /// The distance to keep, in frames; `None` before it is known.
    #[cfg(test)]
    pub(crate) fn target(&self) -> Option<f64> {
        self.target
    }

    /// By how many frames the distance is greater than the target.
    pub(crate) fn error(&self) -> f64 {
        self.target.map_or(0.0, |target| self.distance - target)
    }
}

/// A line through what a card said, as its distance from a card that is exact: seconds over seconds,
/// with the last sight at 0, 0.
#[derive(Clone, Debug)]
struct Line {
    /// The last sight.
    last: Option<(u64, u64)>,
    /// Sums over all sights, weighted: of 1, x, y, xx, xy, yy.
    sums: [f64; 6],
    /// What is expected of the slope, and the standard deviation of that.
    prior: (f64, f64),
    /// Seconds.
    memory: f64,
    /// Seconds between two sights, on average.
    interval: f64,
    /// Seconds between the first sight and the last.
    span: f64,
    /// In a row.
    outliers: u32,
}

impl Line {
    fn new(slope: f64, deviation: f64) -> Self {
        Self {
            last: None,
            sums: [0.0; 6],
            prior: (slope, deviation),
            memory: MEMORY.0,
            interval: 0.0,
            span: 0.0,
            outliers: 0,
        }
    }

    fn add(&mut self, time: u64, played: u64, rate: f64) {
        let Some((last_time, last_played)) = self.last else {
            self.last = Some((time, played));
            self.sums[0] = 1.0;
            return;
        };
        let (Some(nanos @ 1..), Some(frames)) =
            (time.checked_sub(last_time), played.checked_sub(last_played))
        else {
            return;
        };
        // CAST: To the nearest; exact for days.
        let dx = nanos as f64 / 1e9;
        let dy = frames as f64 / rate - dx;

        // How far it is from where it was expected, and where it counts.
        let expected = self.height() + self.slope() * dx;
        let limit = if self.is_settled() {
            OUTLIER * self.jitter()
        } else {
            f64::INFINITY
        };
        let innovation = dy - expected;
        let counted = innovation.clamp(-limit, limit);
        self.outliers = if counted == innovation {
            0
        } else {
            self.outliers + 1
        };
        if self.outliers > JUMP {
            *self = Self::new(self.slope(), STRANGER);
            self.last = Some((time, played));
            self.sums[0] = 1.0;
            return;
        }

        self.last = Some((time, played));
        self.span += dx;
        self.interval += (dx - self.interval) * (dx / self.span.min(self.memory)).min(1.0);
        self.shift(dx, dy);
        self.forget(dx);
        let y = counted - innovation;
        self.sums[0] += 1.0;
        self.sums[2] += y;
        self.sums[5] += y * y;
        let memory = (self.jitter() / NOISE * self.interval.sqrt()).powf(2.0 / 3.0);
        self.memory = memory.clamp(MEMORY.0, MEMORY.1);
    }

    /// Moves the origin.
    fn shift(&mut self, dx: f64, dy: f64) {
        let [n, x, y, xx, xy, yy] = self.sums;
        self.sums = [
            n,
            x - n * dx,
            y - n * dy,
            xx - 2.0 * x * dx + n * dx * dx,
            xy - x * dy - y * dx + n * dx * dy,
            yy - 2.0 * y * dy + n * dy * dy,
        ];
    }

    fn forget(&mut self, dx: f64) {
        let factor = (-dx / self.memory).exp();
        self.sums.iter_mut().for_each(|sum| *sum *= factor);
    }

    /// Sums of squares about the mean: of x, of xy, of y.
    fn moments(&self) -> (f64, f64, f64) {
        let [n, x, y, xx, xy, yy] = self.sums;
        let n = n.max(1.0);
        (
            (xx - x * x / n).max(0.0),
            xy - x * y / n,
            (yy - y * y / n).max(0.0),
        )
    }

    /// The standard deviation of a sight, in seconds.
    fn jitter(&self) -> f64 {
        let (xx, xy, yy) = self.moments();
        let explained = if xx > 0.0 { xy * xy / xx } else { 0.0 };
        let squares = (yy - explained).max(0.0) + JITTER_WEIGHT * JITTER * JITTER;
        (squares / (self.sums[0] + JITTER_WEIGHT - 2.0).max(1.0)).sqrt()
    }

    /// What the expectation counts for, as a sum of squares of x.
    fn prior_weight(&self) -> f64 {
        (self.jitter() / self.prior.1).powi(2)
    }

    fn slope(&self) -> f64 {
        let (xx, xy, _) = self.moments();
        let weight = self.prior_weight();
        (xy + self.prior.0 * weight) / (xx + weight)
    }

    /// The standard deviation of the slope.
    fn slope_error(&self) -> f64 {
        let (xx, _, _) = self.moments();
        self.jitter() / (xx + self.prior_weight()).sqrt()
    }

    fn is_settled(&self) -> bool {
        self.span > LOCK_TIME && self.slope_error() < LOCKED
    }

    /// The line at the last sight.
    fn height(&self) -> f64 {
        let [n, x, y, ..] = self.sums;
        let n = n.max(1.0);
        y / n - self.slope() * x / n
    }
}

#[cfg(test)]
mod tests;
