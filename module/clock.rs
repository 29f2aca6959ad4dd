// SPDX-License-Identifier: GPL-2.0

//! Frames and time: where the card stands at a time, and when it gets to a frame.
//!
//! The position is a straight line from an anchor: `position(t) = anchor + (t - anchor time) * rate`.
//! It is kept in 2^-32 frames and the rate in 2^-32 frames per second, so that a whole second
//! advances by exactly the rate: nothing accumulates, however long the stream runs.
//!
//! The rate is a nominal rate times a speed, which may change at any time: the line bends where the
//! card stands, and never steps.
//!
//! Pure arithmetic, tested on the host. Times are nanoseconds of any one clock.

use core::num::NonZeroU64;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A position in 2^-32 frames.
type Fixed = u128;

/// How fast the card moves compared with its nominal rate, in 2^-32 parts of it: a quarter of a part
/// per billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Speed(u64);

impl Speed {
    /// As nominal.
    pub const NOMINAL: Self = Self(1 << 32);

    /// `ratio / 2^32` times nominal.
    pub const fn from_ratio(ratio: u64) -> Self {
        Self(ratio)
    }

    /// The speed as a ratio to nominal, times 2^32.
    pub const fn ratio(self) -> u64 {
        self.0
    }

    /// `millionths / 10^6` times nominal, which is what ALSA's pitch controls say.
    pub const fn from_millionths(millionths: u32) -> Self {
        // CAST: Widening.
        Self(((millionths as u64) << 32) / 1_000_000)
    }

    /// The speed, or the bound that it passes: `ppm` parts per million off nominal.
    pub fn clamp_ppm(self, ppm: u32) -> Self {
        let (min, max) = (
            1_000_000u32.saturating_sub(ppm),
            1_000_000u32.saturating_add(ppm),
        );
        self.max(Self::from_millionths(min))
            .min(Self::from_millionths(max))
    }
}

/// A rate in 2^-32 frames per second.
///
/// # Invariants
///
/// Below 2^52, so that no product below leaves 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

impl Rate {
    const MAX: u64 = (1 << 52) - 1;

    /// `nominal` frames per second at `speed`; the product is taken as at least 2^-32 and less than
    /// 2^20 frames per second.
    pub fn new(nominal: u32, speed: Speed) -> Self {
        let rate = u64::from(nominal).saturating_mul(speed.0).min(Self::MAX);
        // INVARIANT: Bounded above.
        Self(NonZeroU64::new(rate).unwrap_or(NonZeroU64::MIN))
    }
}

/// The line on which the card moves while it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    rate: Rate,
    anchor_time: u64,
    anchor: Fixed,
}

impl Clock {
    /// A clock that passes frame `position` at `time` and moves at `rate`.
    pub fn start(time: u64, position: u64, rate: Rate) -> Self {
        Self {
            rate,
            anchor_time: time,
            anchor: Fixed::from(position) << 32,
        }
    }

    /// Moves at `rate` from `time` on; returns whether that is another rate.
    pub fn steer(&mut self, time: u64, rate: Rate) -> bool {
        if rate == self.rate {
            return false;
        }
        *self = Self {
            rate,
            anchor_time: time.max(self.anchor_time),
            anchor: self.fixed_at(time),
        };
        true
    }

    /// Frames that the card has wholly passed at `time`; before the anchor those at the anchor.
    pub fn position_at(&self, time: u64) -> u64 {
        // CAST: Below 2^64 by far: 2^64 ns hold fewer than 2^45 frames.
        (self.fixed_at(time) >> 32) as u64
    }

    /// The first nanosecond at which the card has wholly passed `position` frames. For a position
    /// before the anchor that is on the same line further back.
    pub fn time_of(&self, position: u64) -> u64 {
        let position = Fixed::from(position) << 32;
        match position.checked_sub(self.anchor) {
            Some(ahead) => {
                let (time, is_exact) = self.time_for(ahead);
                self.anchor_time
                    .saturating_add(time)
                    .saturating_add(u64::from(!is_exact))
            }
            None => {
                let (time, _) = self.time_for(self.anchor.saturating_sub(position));
                self.anchor_time.saturating_sub(time)
            }
        }
    }

    /// Nanoseconds that the card takes for `way`, rounded down, and whether that is exact.
    fn time_for(&self, way: Fixed) -> (u64, bool) {
        let (seconds, mut rest) = match u64::try_from(way) {
            Ok(way) => (way / self.rate.0, way % self.rate.0),
            Err(_) => self.divide(way),
        };
        // `rest * 10^9 / rate`, by thousands so that it fits: `rest < rate < 2^52`.
        let mut nanos = 0u64;
        for _ in 0..3 {
            let scaled = rest.wrapping_mul(1000);
            nanos = nanos.wrapping_mul(1000).wrapping_add(scaled / self.rate.0);
            rest = scaled % self.rate.0;
        }
        let time = seconds.saturating_mul(NANOS_PER_SEC).saturating_add(nanos);
        (time, rest == 0)
    }

    /// `way / rate` and what is left, for a way that does not fit into 64 bits: a stream may have run
    /// for days since its anchor, and then it has up to 96.
    #[cold]
    fn divide(&self, way: Fixed) -> (u64, u64) {
        // Long division, 12 bits at a time so that it fits: `rest < rate < 2^52`.
        let mut digits = way << 32;
        let (mut seconds, mut rest) = (Fixed::MIN, 0u64);
        for _ in 0..8 {
            // CAST: 12 bits.
            let scaled = rest << 12 | (digits >> 116) as u64;
            digits <<= 12;
            seconds = seconds << 12 | Fixed::from(scaled / self.rate.0);
            rest = scaled % self.rate.0;
        }
        (u64::try_from(seconds).unwrap_or(u64::MAX), rest)
    }

    fn fixed_at(&self, time: u64) -> Fixed {
        let elapsed = time.saturating_sub(self.anchor_time);
        let (seconds, nanos) = (elapsed / NANOS_PER_SEC, elapsed % NANOS_PER_SEC);
        // `nanos * rate / 10^9`, by thousands so that it fits. The floor of nested floors is the
        // floor of the whole.
        let mut part = 0u64;
        for digits in [nanos % 1000, nanos / 1000 % 1000, nanos / 1_000_000] {
            part = digits.wrapping_mul(self.rate.0.get()).wrapping_add(part) / 1000;
        }
        // OVERFLOW: 2^35 seconds times 2^52 at most.
        let whole = Fixed::from(seconds).wrapping_mul(Fixed::from(self.rate.0.get()));
        self.anchor
            .wrapping_add(whole)
            .wrapping_add(Fixed::from(part))
    }
}
