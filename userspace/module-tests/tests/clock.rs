// SPDX-License-Identifier: GPL-2.0

//! `module/clock.rs` against rational arithmetic in 128 bits.

use proptest::prelude::*;
use rtshm_module_tests::clock::{
    Clock,
    RATE_MAX, //
};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

const RATES: [u32; 12] = [
    1, 8_000, 11_025, 22_050, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 384_000, 768_000,
];

/// Frames wholly passed in `elapsed` nanoseconds: `floor(elapsed * rate / 10^9)`.
fn frames_in(elapsed: u64, rate: u32) -> u64 {
    (u128::from(elapsed) * u128::from(rate) / u128::from(SECOND)) as u64
}

/// The first nanosecond by which `frames` frames are wholly passed: `ceil(frames * 10^9 / rate)`.
fn time_for(frames: u64, rate: u32) -> u128 {
    (u128::from(frames) * u128::from(SECOND)).div_ceil(u128::from(rate))
}

/// That `time_of` gives the first time at which `position_at` is there, by the formula and by asking.
fn check_time_of(clock: &Clock, start: u64, frames: u64, rate: u32) {
    let time = clock.time_of(frames);
    let exact = u128::from(start) + time_for(frames, rate);
    assert_eq!(u128::from(time), exact, "frame {frames} at {rate} Hz");
    assert!(clock.position_at(time) >= frames);
    if frames != 0 {
        assert!(clock.position_at(time - 1) < frames);
    }
}

#[test]
fn by_hand() {
    let cd = Clock::start(0, 0, 44_100);
    assert_eq!(cd.position_at(SECOND), 44_100);
    assert_eq!(cd.position_at(SECOND - 1), 44_099);
    assert_eq!(cd.position_at(HOUR), 158_760_000);
    // 1 / 44100 s is 22675.7 ns.
    assert_eq!(cd.time_of(1), 22_676);
    assert_eq!(cd.position_at(22_675), 0);
    assert_eq!(cd.position_at(22_676), 1);
    // 10 ms, exactly.
    assert_eq!(cd.time_of(441), 10_000_000);

    let studio = Clock::start(0, 0, 48_000);
    // 256 / 48000 s is 5333333.3 ns.
    assert_eq!(studio.time_of(256), 5_333_334);
    assert_eq!(studio.position_at(5_333_333), 255);
    assert_eq!(studio.position_at(5_333_334), 256);
    assert_eq!(studio.time_of(48), 1_000_000);
    assert_eq!(studio.position_at(DAY), 4_147_200_000);
    assert_eq!(studio.time_of(4_147_200_000), DAY);

    // From an anchor: 12:00:00 plus half a second, frame 1000 and on.
    let later = Clock::start(12 * HOUR, 1000, 48_000);
    assert_eq!(later.position_at(12 * HOUR), 1000);
    assert_eq!(later.position_at(12 * HOUR + SECOND / 2), 25_000);
    assert_eq!(later.time_of(25_000), 12 * HOUR + SECOND / 2);
}

/// What overflows first in a careless implementation: 2^32 frames are a day at 48 kHz, 2^32 ns four
/// seconds, 2^64 ns * 48000 a few hours.
#[test]
fn around_powers_of_two() {
    for rate in RATES {
        let clock = Clock::start(0, 0, rate);
        for bit in 0..64 {
            for time in [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                assert_eq!(clock.position_at(time), frames_in(time, rate), "{time} ns");
            }
        }
        let end = frames_in(u64::MAX, rate);
        for frames in (0..45)
            .map(|bit| 1 << bit)
            .take_while(|&frames| frames < end)
        {
            check_time_of(&clock, 0, frames - 1, rate);
            check_time_of(&clock, 0, frames, rate);
        }
    }
}

#[test]
fn around_whole_seconds() {
    for rate in RATES {
        let (start, position) = (987_654_321_012, 13);
        let clock = Clock::start(start, position, rate);
        for seconds in [
            1,
            2,
            59,
            60,
            3599,
            86_400,
            90_000,
            31_536_000,
            3_000_000_000,
        ] {
            let whole = seconds * u64::from(rate);
            let time = start + seconds * SECOND;
            assert_eq!(clock.position_at(time), position + whole);
            assert_eq!(clock.position_at(time - 1), position + whole - 1);
            assert_eq!(clock.position_at(time + 1), position + whole);
            assert_eq!(clock.time_of(position + whole), time);
        }
    }
}

/// Before its anchor the clock stands at it.
#[test]
fn before_the_anchor() {
    let clock = Clock::start(HOUR, 480, 48_000);
    for time in [0, 1, HOUR - 1, HOUR] {
        assert_eq!(clock.position_at(time), 480);
    }
    for position in [0, 479, 480] {
        assert_eq!(clock.time_of(position), HOUR);
    }
    assert_eq!(clock.time_of(481), HOUR + 20_834);
}

#[test]
fn rates_are_bounded() {
    assert_eq!(RATE_MAX, 960_000);
    let fastest = Clock::start(5, 7, RATE_MAX);
    assert_eq!(fastest.position_at(5 + SECOND), 7 + 960_000);
    assert_eq!(
        fastest.position_at(u64::MAX),
        7 + frames_in(u64::MAX - 5, RATE_MAX)
    );
    assert_eq!(Clock::start(5, 7, RATE_MAX + 1), fastest);
    assert_eq!(Clock::start(5, 7, u32::MAX), fastest);
    assert_ne!(Clock::start(5, 7, RATE_MAX - 1), fastest);
}

/// At a rate of 0 it stands, for what matters, and nothing panics.
#[test]
fn a_rate_of_zero() {
    let clock = Clock::start(0, 100, 0);
    assert_eq!(clock.position_at(YEAR), 100);
    assert_eq!(clock.time_of(100), 0);
    assert!(clock.time_of(101) > YEAR);
    // 2^64 seconds, and more.
    assert_eq!(clock.time_of(100 + (1 << 32)), u64::MAX);
    assert_eq!(clock.time_of(u64::MAX), u64::MAX);
}

/// Nothing panics (there are overflow checks here), and no deadline lies before the anchor: what is
/// out of reach is at the end of time.
#[test]
fn extremes() {
    let extremes = [0, 1, u64::from(u32::MAX), 1 << 63, u64::MAX - 1, u64::MAX];
    for rate in [0, 1, 48_000, RATE_MAX, u32::MAX] {
        for start in extremes {
            for anchor in extremes {
                let clock = Clock::start(start, anchor, rate);
                for value in extremes {
                    clock.position_at(value);
                    assert!(clock.time_of(value) >= start);
                }
            }
        }
    }
    assert_eq!(Clock::start(u64::MAX, 0, 48_000).time_of(1), u64::MAX);
    assert_eq!(Clock::start(0, 0, 48_000).time_of(u64::MAX), u64::MAX);
}

/// The timer's loop for three days: at each deadline exactly the chunk's end is reached, and not a
/// nanosecond earlier.
fn run_for_days(rate: u32, chunk: u64) {
    let start = 42 * SECOND + 123_456_789;
    let clock = Clock::start(start, 0, rate);
    let end = 3 * 86_400 * u64::from(rate);
    let mut position = 0;
    while position < end {
        position += chunk;
        check_time_of(&clock, start, position, rate);
        assert_eq!(clock.position_at(clock.time_of(position)), position);
    }
}

#[test]
fn no_drift_in_days() {
    run_for_days(44_100, 44_101);
    run_for_days(48_000, 65_521);
    run_for_days(192_000, 262_139);
}

/// A chunk is due later than the one before it, wherever the stream has got to.
#[test]
fn deadlines_move_on() {
    for rate in RATES {
        let clock = Clock::start(7, 0, rate);
        for reached in [0, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 33, 1 << 34] {
            let deadlines = [0, 256, 512, 768].map(|ahead| clock.time_of(reached + ahead));
            assert!(deadlines.is_sorted_by(|a, b| a < b), "{deadlines:?}");
        }
    }
}

/// A rate that cards have, or any.
fn any_rate() -> impl Strategy<Value = u32> {
    prop_oneof![prop::sample::select(RATES.to_vec()), 1..=RATE_MAX]
}

/// Times of all magnitudes up to 2^63 ns, which are 292 years.
fn any_time() -> impl Strategy<Value = u64> {
    (any::<u64>(), 1u32..64).prop_map(|(value, shift)| value >> shift)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn position_is_exact(
        start in any_time(),
        elapsed in any_time(),
        anchor in 0u64..1 << 62,
        rate in any_rate(),
    ) {
        let clock = Clock::start(start, anchor, rate);
        prop_assert_eq!(clock.position_at(start + elapsed), anchor + frames_in(elapsed, rate));
    }

    /// The first time, to the nanosecond, up to the end of 64-bit time.
    #[test]
    fn time_is_the_first(
        start in any_time(),
        elapsed in any_time(),
        anchor in 0u64..1 << 62,
        rate in any_rate(),
    ) {
        let clock = Clock::start(start, anchor, rate);
        let frames = frames_in(elapsed, rate);
        let exact = u128::from(start) + time_for(frames, rate);
        let time = clock.time_of(anchor + frames);
        prop_assert_eq!(u128::from(time), exact.min(u64::MAX.into()));
        prop_assert!(clock.position_at(time) >= anchor + frames);
        prop_assert!(frames == 0 || clock.position_at(time - 1) < anchor + frames);
    }

    #[test]
    fn neither_direction_goes_back(
        rate in any_rate(),
        start in any_time(),
        a in any::<u64>(),
        b in any::<u64>(),
    ) {
        let clock = Clock::start(start, 0, rate);
        let (early, late) = (a.min(b), a.max(b));
        prop_assert!(clock.position_at(early) <= clock.position_at(late));
        prop_assert!(clock.time_of(early) <= clock.time_of(late));
    }

    #[test]
    fn nothing_panics(start: u64, anchor: u64, rate: u32, value: u64) {
        let clock = Clock::start(start, anchor, rate);
        clock.position_at(value);
        prop_assert!(clock.time_of(value) >= start);
    }
}
