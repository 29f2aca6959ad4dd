// SPDX-License-Identifier: GPL-2.0

//! `module/clock.rs` against rational arithmetic in 128 bits.

use proptest::prelude::*;
use rtshm_module_tests::clock::{Clock, Rate, Speed};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

const RATES: [u32; 12] = [
    1, 8_000, 11_025, 22_050, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 384_000, 768_000,
];

/// One more than the highest rate.
const RATE_END: u32 = 1 << 20;

/// A clock at nominal speed.
fn nominal(time: u64, position: u64, rate: u32) -> Clock {
    Clock::start(time, position, Rate::new(rate, Speed::NOMINAL))
}

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
    let cd = nominal(0, 0, 44_100);
    assert_eq!(cd.position_at(SECOND), 44_100);
    assert_eq!(cd.position_at(SECOND - 1), 44_099);
    assert_eq!(cd.position_at(HOUR), 158_760_000);
    // 1 / 44100 s is 22675.7 ns.
    assert_eq!(cd.time_of(1), 22_676);
    assert_eq!(cd.position_at(22_675), 0);
    assert_eq!(cd.position_at(22_676), 1);
    // 10 ms, exactly.
    assert_eq!(cd.time_of(441), 10_000_000);

    let studio = nominal(0, 0, 48_000);
    // 256 / 48000 s is 5333333.3 ns.
    assert_eq!(studio.time_of(256), 5_333_334);
    assert_eq!(studio.position_at(5_333_333), 255);
    assert_eq!(studio.position_at(5_333_334), 256);
    assert_eq!(studio.time_of(48), 1_000_000);
    assert_eq!(studio.position_at(DAY), 4_147_200_000);
    assert_eq!(studio.time_of(4_147_200_000), DAY);

    // From an anchor: 12:00:00 plus half a second, frame 1000 and on.
    let later = nominal(12 * HOUR, 1000, 48_000);
    assert_eq!(later.position_at(12 * HOUR), 1000);
    assert_eq!(later.position_at(12 * HOUR + SECOND / 2), 25_000);
    assert_eq!(later.time_of(25_000), 12 * HOUR + SECOND / 2);
}

/// What overflows first in a careless implementation: 2^32 frames are a day at 48 kHz, 2^32 ns four
/// seconds, 2^64 ns * 48000 a few hours.
#[test]
fn around_powers_of_two() {
    for rate in RATES {
        let clock = nominal(0, 0, rate);
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
        let clock = nominal(start, position, rate);
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

/// Before its anchor the clock stands at it, but knows when frames on the same line were passed: at
/// 48 kHz a frame takes 20833.3 ns.
#[test]
fn before_the_anchor() {
    let clock = nominal(HOUR, 480, 48_000);
    for time in [0, 1, HOUR - 1, HOUR] {
        assert_eq!(clock.position_at(time), 480);
    }
    assert_eq!(clock.time_of(480), HOUR);
    assert_eq!(clock.time_of(479), HOUR - 20_833);
    assert_eq!(clock.time_of(477), HOUR - 62_500);
    assert_eq!(clock.time_of(0), HOUR - 10_000_000);
    assert_eq!(clock.time_of(481), HOUR + 20_834);
}

/// From 2^20 frames per second on all are the one just below.
#[test]
fn rates_are_bounded() {
    let fastest = nominal(5, 7, RATE_END);
    assert_eq!(fastest.position_at(5 + SECOND), 7 + (1 << 20) - 1);
    assert_eq!(nominal(5, 7, u32::MAX), fastest);
    assert_ne!(nominal(5, 7, RATE_END - 1), fastest);
    assert_eq!(
        nominal(5, 7, RATE_END - 1).position_at(5 + SECOND),
        7 + (1 << 20) - 1
    );
}

/// 2^32 is nominal, and a millionth of it 4294.97.
#[test]
fn speeds_by_hand() {
    assert_eq!(Speed::NOMINAL.ratio(), 4_294_967_296);
    assert_eq!(Speed::from_millionths(1_000_000), Speed::NOMINAL);
    assert_eq!(Speed::from_millionths(1_000_001).ratio(), 4_294_971_590);
    assert_eq!(Speed::from_millionths(750_000).ratio(), 3_221_225_472);
    assert_eq!(Speed::from_millionths(0).ratio(), 0);
    assert_eq!(Speed::from_millionths(u32::MAX).ratio(), 18_446_744_069_414);
    assert_eq!(Speed::from_ratio(5).ratio(), 5);
}

#[test]
fn speeds_are_clamped() {
    let (slow, fast) = (
        Speed::from_millionths(999_000),
        Speed::from_millionths(1_001_000),
    );
    assert_eq!(Speed::from_ratio(0).clamp_ppm(1000), slow);
    assert_eq!(Speed::from_ratio(u64::MAX).clamp_ppm(1000), fast);
    assert_eq!(Speed::from_millionths(998_999).clamp_ppm(1000), slow);
    assert_eq!(Speed::from_millionths(1_001_001).clamp_ppm(1000), fast);
    for inside in [999_000, 999_999, 1_000_000, 1_000_500, 1_001_000] {
        let speed = Speed::from_millionths(inside);
        assert_eq!(speed.clamp_ppm(1000), speed);
    }
}

/// A second at 48000 and two at 48000 * 0.75; an hour at 1 ppm more is 172.8 frames.
#[test]
fn steered_by_hand() {
    let mut clock = nominal(0, 0, 48_000);
    let slow = Rate::new(48_000, Speed::from_millionths(750_000));
    assert!(clock.steer(SECOND, slow));
    assert!(!clock.steer(2 * SECOND, slow), "the same rate again");
    assert_eq!(clock.position_at(SECOND), 48_000);
    assert_eq!(clock.position_at(3 * SECOND), 120_000);
    // 24000 frames at 36 kHz are two thirds of a second.
    assert_eq!(clock.time_of(72_000), SECOND + 666_666_667);

    let mut clock = nominal(0, 0, 48_000);
    clock.steer(0, Rate::new(48_000, Speed::from_millionths(1_000_001)));
    assert_eq!(clock.position_at(HOUR), 172_800_172);
}

/// A part per billion is not lost: 2^32 / 10^9 is 4.29.
#[test]
fn finer_than_a_part_per_billion() {
    let mut clock = nominal(0, 0, 48_000);
    clock.steer(0, Rate::new(48_000, Speed::from_ratio((1 << 32) + 4)));
    let more = clock.position_at(100 * HOUR) - nominal(0, 0, 48_000).position_at(100 * HOUR);
    // 100 h * 48000 / s * 4 / 2^32 = 16.09.
    assert_eq!(more, 16);
}

/// At a rate of 0 it stands, for what matters, and nothing panics.
#[test]
fn a_rate_of_zero() {
    let clock = nominal(0, 100, 0);
    assert_eq!(clock.position_at(YEAR), 100);
    assert_eq!(clock.time_of(100), 0);
    assert!(clock.time_of(101) > YEAR);
    // 2^64 seconds, and more.
    assert_eq!(clock.time_of(100 + (1 << 32)), u64::MAX);
    assert_eq!(clock.time_of(u64::MAX), u64::MAX);
}

/// That a position from the anchor on is not before its time, and one before it not after that.
fn check_side(clock: &Clock, start: u64, anchor: u64, position: u64) {
    let time = clock.time_of(position);
    let holds = if position >= anchor {
        time >= start
    } else {
        time <= start
    };
    assert!(holds, "{position} at {time}, {anchor} at {start}");
}

/// Nothing panics (there are overflow checks here), and no deadline lies before the anchor: what is
/// out of reach is at the end of time.
#[test]
fn extremes() {
    let extremes = [0, 1, u64::from(u32::MAX), 1 << 63, u64::MAX - 1, u64::MAX];
    for rate in [0, 1, 48_000, RATE_END, u32::MAX] {
        for start in extremes {
            for anchor in extremes {
                let clock = nominal(start, anchor, rate);
                for value in extremes {
                    clock.position_at(value);
                    check_side(&clock, start, anchor, value);
                }
            }
        }
    }
    assert_eq!(nominal(u64::MAX, 0, 48_000).time_of(1), u64::MAX);
    assert_eq!(nominal(0, 0, 48_000).time_of(u64::MAX), u64::MAX);
}

/// The timer's loop for three days: at each deadline exactly the chunk's end is reached, and not a
/// nanosecond earlier.
fn run_for_days(rate: u32, chunk: u64) {
    let start = 42 * SECOND + 123_456_789;
    let clock = nominal(start, 0, rate);
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
        let clock = nominal(7, 0, rate);
        for reached in [0, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 33, 1 << 34] {
            let deadlines = [0, 256, 512, 768].map(|ahead| clock.time_of(reached + ahead));
            assert!(deadlines.is_sorted_by(|a, b| a < b), "{deadlines:?}");
        }
    }
}

/// A rate that cards have, or any.
fn any_rate() -> impl Strategy<Value = u32> {
    prop_oneof![prop::sample::select(RATES.to_vec()), 1..RATE_END]
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
        let clock = nominal(start, anchor, rate);
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
        let clock = nominal(start, anchor, rate);
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
        let clock = nominal(start, 0, rate);
        let (early, late) = (a.min(b), a.max(b));
        prop_assert!(clock.position_at(early) <= clock.position_at(late));
        prop_assert!(clock.time_of(early) <= clock.time_of(late));
    }

    #[test]
    fn nothing_panics(start: u64, anchor: u64, rate: u32, value: u64) {
        let clock = nominal(start, anchor, rate);
        clock.position_at(value);
        check_side(&clock, start, anchor, value);
    }

    /// Steered as often as one likes: where it stands at a change does not move, and the position is
    /// the sum of what was passed at each speed, to the 2^-32 frames that each change may lose.
    #[test]
    fn steering_never_steps(
        begin in any_time(),
        rate in any_rate(),
        legs in prop::collection::vec((0u64..HOUR, 0u64..1 << 33), 1..50),
    ) {
        let mut clock = nominal(begin, 0, rate);
        let (mut now, mut speed) = (begin, 1u128 << 32);
        // In 2^-64 frames / 10^9.
        let mut exact = 0u128;
        for &(wait, ratio) in &legs {
            let before = clock.position_at(now);
            now += wait;
            let product = (u128::from(rate) * speed).clamp(1, (1 << 52) - 1);
            exact += product * u128::from(wait);
            let reached = clock.position_at(now);
            prop_assert!(reached >= before);
            clock.steer(now, Rate::new(rate, Speed::from_ratio(ratio)));
            prop_assert_eq!(clock.position_at(now), reached);
            prop_assert!(clock.time_of(reached + 1) >= now);
            prop_assert!(clock.time_of(reached) <= now, "the frame that is passed was passed before");
            speed = ratio.into();
        }
        let floor = |fixed: u128| ((fixed / u128::from(SECOND)) >> 32) as u64;
        let position = clock.position_at(now);
        prop_assert!(position <= floor(exact));
        prop_assert!(position >= floor(exact.saturating_sub(u128::from(SECOND) * legs.len() as u128)));
    }
}
