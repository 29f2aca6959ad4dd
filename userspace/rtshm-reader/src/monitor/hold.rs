// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a meter remembers.

use super::levels::Level;
use crate::clock::SECOND;

/// How long a peak is held.
const HOLD: u64 = 2 * SECOND;

/// What the meter of a channel shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Held {
    /// Now.
    pub(crate) level: Level,
    /// The greatest peak of the last two seconds, or since then.
    pub(crate) peak: f64,
    /// Whether a sample was clipped since the meters were reset.
    pub(crate) clipped: bool,
    /// When the peak was there.
    since: u64,
}

/// Has the meters show these levels.
pub(crate) fn update(meters: &mut Vec<Held>, levels: &[Level], now: u64) {
    if meters.len() != levels.len() {
        // Other channels.
        meters.clear();
        meters.resize(levels.len(), Held::default());
    }
    for (held, level) in meters.iter_mut().zip(levels) {
        held.level = *level;
        held.clipped |= level.clipped > 0;
        if level.peak >= held.peak || now.saturating_sub(held.since) >= HOLD {
            (held.peak, held.since) = (level.peak, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_held_and_clipping_stays() {
        let level = |peak, clipped| Level {
            peak,
            rms: 0.0,
            clipped,
        };
        let mut meters = Vec::new();
        let mut show = |peak, clipped, seconds: u64| {
            update(&mut meters, &[level(peak, clipped)], seconds * SECOND);
            (meters[0].level.peak, meters[0].peak, meters[0].clipped)
        };
        assert_eq!(show(0.5, 0, 10), (0.5, 0.5, false));
        assert_eq!(show(0.25, 1, 11), (0.25, 0.5, true));
        assert_eq!(show(0.125, 0, 12), (0.125, 0.125, true));
        assert_eq!(show(0.25, 0, 13), (0.25, 0.25, true));
        assert_eq!(show(0.125, 0, 14), (0.125, 0.25, true));
        update(&mut meters, &[level(0.1, 0); 2], 14 * SECOND);
        assert_eq!(meters.len(), 2);
        assert!(!meters[0].clipped);
    }
}
