// SPDX-License-Identifier: GPL-2.0

//! Frames and time: where the card stands at a time, and when it gets to a frame.
//!
//! The position is a straight line from an anchor: `position(t) = anchor + (t - anchor time) * rate`.
//! It is kept in 2^-32 frames and the rate in 2^-32 frames per second, so that a whole second
//! advances by exactly the rate: nothing accumulates, however long the stream runs. The rate can
//! be set to one part in 10^14 at 48 kHz.
//!
//! Pure arithmetic, tested on the host. Times are nanoseconds of any one clock.

use core::num::NonZeroU64;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Highest rate, in frames per second, for which no product below leaves 64 bits.
pub const RATE_MAX: u32 = 960_000;

/// A position in 2^-32 frames.
type Fixed = u128;

/// The line on which the card moves while it plays.
///
/// # Invariants
///
/// `rate <= RATE_MAX << 32`, hence below 2^52.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// 2^-32 frames per second.
    rate: NonZeroU64,
    anchor_time: u64,
    anchor: Fixed,
}

impl Clock {
    /// A clock that passes frame `position` at `time` and moves at `rate` frames per second, at
    /// most [`RATE_MAX`]; at 0 it all but stands still.
    pub fn start(time: u64, position: u64, rate: u32) -> Self {
        let rate = u64::from(rate.min(RATE_MAX)) << 32;
        // INVARIANT: The rate is bounded above.
        Self {
            rate: NonZeroU64::new(rate).unwrap_or(NonZeroU64::MIN),
            anchor_time: time,
            anchor: Fixed::from(position) << 32,
        }
    }

    /// Frames that the card has wholly passed at `time`; before the anchor those at the anchor.
    pub fn position_at(&self, time: u64) -> u64 {
        // CAST: Below 2^64 by far: 2^64 ns hold fewer than 2^45 frames.
        (self.fixed_at(time) >> 32) as u64
    }

    /// The first nanosecond at which [`position_at`](Self::position_at) is at least `position`;
    /// for a position before the anchor, the anchor's time.
    pub fn time_of(&self, position: u64) -> u64 {
        let way = (Fixed::from(position) << 32).saturating_sub(self.anchor);
        // `way / rate` by long division, 12 bits at a time so that it fits: `rest < rate < 2^52`. A
        // stream may have run for days since its anchor, and then `way` is more than 64 bits: 96.
        let mut digits = way << 32;
        let (mut seconds, mut rest) = (Fixed::MIN, 0u64);
        for _ in 0..8 {
            // CAST: 12 bits.
            let scaled = rest << 12 | (digits >> 116) as u64;
            digits <<= 12;
            seconds = seconds << 12 | Fixed::from(scaled / self.rate);
            rest = scaled % self.rate;
        }
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        // `rest * 10^9 / rate`, by thousands so that it fits: `rest < rate < 2^52`.
        let mut nanos = 0u64;
        for _ in 0..3 {
            let scaled = rest.wrapping_mul(1000);
            nanos = nanos.wrapping_mul(1000).wrapping_add(scaled / self.rate);
            rest = scaled % self.rate;
        }
        self.anchor_time
            .saturating_add(seconds.saturating_mul(NANOS_PER_SEC))
            .saturating_add(nanos)
            .saturating_add(u64::from(rest != 0))
    }

    fn fixed_at(&self, time: u64) -> Fixed {
        let elapsed = time.saturating_sub(self.anchor_time);
        let (seconds, nanos) = (elapsed / NANOS_PER_SEC, elapsed % NANOS_PER_SEC);
        // `nanos * rate / 10^9`, by thousands so that it fits. The floor of nested floors is the
        // floor of the whole.
        let mut part = 0u64;
        for digits in [nanos % 1000, nanos / 1000 % 1000, nanos / 1_000_000] {
            part = digits.wrapping_mul(self.rate.get()).wrapping_add(part) / 1000;
        }
        // OVERFLOW: 2^35 seconds times 2^52 at most.
        let whole = Fixed::from(seconds).wrapping_mul(Fixed::from(self.rate.get()));
        self.anchor
            .wrapping_add(whole)
            .wrapping_add(Fixed::from(part))
    }
}
