// SPDX-License-Identifier: MIT OR GPL-2.0

//! Time: `CLOCK_MONOTONIC` in nanoseconds, as in the ring.

use std::time::Duration;

use nix::time::{clock_gettime, ClockId};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Now.
pub(crate) fn now() -> u64 {
    // PANIC: Linux has this clock, and `clock_gettime` fails for nothing else.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("no CLOCK_MONOTONIC");
    nanos(now.into())
}

/// `duration` in nanoseconds; at most 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long `frames` last.
pub(crate) fn frames_to_nanos(frames: u64, rate: u32) -> u64 {
    let nanos = u128::from(frames) * u128::from(SECOND) / u128::from(rate.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// How many whole frames fit into `nanos`.
pub(crate) fn nanos_to_frames(nanos: u64, rate: u32) -> u64 {
    let frames = u128::from(nanos) * u128::from(rate) / u128::from(SECOND);
    // At most 2^64 * 2^32 / 10^9.
    u64::try_from(frames).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_nanos_agree() {
        assert_eq!(frames_to_nanos(48_000, 48_000), SECOND);
        assert_eq!(frames_to_nanos(441, 44_100), 10_000_000);
        assert_eq!(nanos_to_frames(SECOND / 100, 44_100), 441);
        assert_eq!(nanos_to_frames(SECOND - 1, 48_000), 47_999);
        assert_eq!(frames_to_nanos(u64::MAX, 1), u64::MAX);
        assert_eq!(frames_to_nanos(1, 0), SECOND);
    }
}
