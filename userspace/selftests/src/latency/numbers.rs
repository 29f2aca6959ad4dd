// SPDX-License-Identifier: MIT OR GPL-2.0

//! The numbers that frames carry, and what is made of many times.

use std::fmt;

use serde::Serialize;

/// Bits of a number in a sample: what is positive in 16 bits, and exact in a float.
const BITS: u32 = 15;

/// Full scale of S16_LE.
const SCALE: f32 = 32_768.0;

/// The two samples in which a frame carries its number; 0 is silence.
pub(super) fn parts(number: u64) -> [u16; 2] {
    let mask = (1 << BITS) - 1;
    [(number & mask) as u16, (number >> BITS & mask) as u16]
}

/// The number that these samples carry.
pub(super) fn number(parts: [u16; 2]) -> u64 {
    u64::from(parts[0]) | u64::from(parts[1]) << BITS
}

/// A part as a sample of FLOAT_LE.
pub(super) fn as_float(part: u16) -> f32 {
    f32::from(part) / SCALE
}

/// The part in a sample of FLOAT_LE; what is none becomes another number.
pub(super) fn from_float(sample: f32) -> u16 {
    (sample * SCALE) as u16
}

/// Percentiles that are drawn.
const DRAWN: usize = 100;

/// What is said of many times, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) minimum: f64,
    pub(super) median: f64,
    pub(super) most_of_1000: f64,
    pub(super) maximum: f64,
    /// 0, 1, 2, ... 100 %.
    pub(super) percentiles: Vec<f64>,
}

impl Summary {
    /// Of times in nanoseconds, each as often as it says. `None` without any.
    pub(super) fn of(mut times: Vec<(i64, u64)>) -> Option<Self> {
        times.sort_unstable();
        let all: u64 = times.iter().map(|(_, count)| count).sum();
        // The least time that so many thousandths are not beyond.
        let at = |thousandths: u64| {
            let rank = (all * thousandths).div_ceil(1000).max(1);
            let mut passed = 0;
            let found = times.iter().find(|(_, count)| {
                passed += count;
                passed >= rank
            });
            found.map(|(time, _)| micros(*time))
        };
        Some(Self {
            minimum: at(0)?,
            median: at(500)?,
            most_of_1000: at(999)?,
            maximum: at(1000)?,
            percentiles: (0..=DRAWN)
                .filter_map(|part| at(part as u64 * 10))
                .collect(),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            minimum,
            median,
            most_of_1000,
            maximum,
            percentiles: _,
        } = self;
        write!(
            f,
            "{minimum} to {maximum} us, median {median}, 99.9 % {most_of_1000}"
        )
    }
}

fn micros(nanos: i64) -> f64 {
    nanos as f64 / 1e3
}

/// How times lie about a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Jitter {
    /// From the earliest to the latest, in microseconds.
    pub(super) spread: f64,
    /// Standard deviation, in microseconds.
    pub(super) deviation: f64,
}

impl Jitter {
    /// Of the times, in nanoseconds, at which positions were reached at this rate. `None` for less
    /// than two.
    pub(super) fn of(points: &[(u64, u64)], rate: u32) -> Option<Self> {
        let (&(position, time), rest) = points.split_first()?;
        if rest.is_empty() {
            return None;
        }
        let off = |point: &(u64, u64)| {
            let due = (point.0 - position) as f64 * 1e9 / f64::from(rate);
            ((point.1 - time) as f64 - due) / 1e3
        };
        let offs: Vec<f64> = points.iter().map(off).collect();
        let mean = offs.iter().sum::<f64>() / offs.len() as f64;
        let square = |off: &f64| (off - mean) * (off - mean);
        let variance = offs.iter().map(square).sum::<f64>() / offs.len() as f64;
        let (least, most) = offs
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), off| {
                (least.min(*off), most.max(*off))
            });
        Some(Self {
            spread: most - least,
            deviation: variance.sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for n in [1, 2, 32_767, 32_768, 65_537, 4_000_000, (1 << 30) - 1] {
            assert_eq!(number(parts(n)), n);
            assert_eq!(number(parts(n).map(as_float).map(from_float)), n);
            assert!(parts(n).iter().all(|part| *part < 32_768));
        }
    }

    #[test]
    fn percentiles_count_every_time() {
        // 998 times 1 us, once 5, once 9.
        let summary = Summary::of(vec![(9_000, 1), (1_000, 998), (5_000, 1)]).unwrap();
        assert_eq!(
            (
                summary.minimum,
                summary.median,
                summary.most_of_1000,
                summary.maximum
            ),
            (1.0, 1.0, 5.0, 9.0)
        );
        assert_eq!(summary.percentiles.len(), 101);
        assert_eq!(summary.percentiles[99..], [1.0, 9.0]);
        // Of an even number the lower one.
        let summary = Summary::of(vec![(-2_000, 1), (4_000, 1)]).unwrap();
        assert_eq!((summary.minimum, summary.median), (-2.0, -2.0));
        assert_eq!(Summary::of(Vec::new()), None);
    }

    #[test]
    fn a_straight_line_has_no_jitter() {
        let jitter = Jitter::of(&[(48, 5_000), (96, 1_005_000), (480, 9_005_000)], 48_000);
        assert_eq!(
            jitter,
            Some(Jitter {
                spread: 0.0,
                deviation: 0.0
            })
        );
        // 0, 0, 3 and -1 us: the mean is 0.5, the variance (0.25 + 0.25 + 6.25 + 2.25) / 4.
        let late = [(0, 0), (48, 1_000_000), (96, 2_003_000), (144, 2_999_000)];
        let jitter = Jitter::of(&late, 48_000).unwrap();
        assert!((jitter.spread - 4.0).abs() < 1e-9);
        assert!((jitter.deviation - 1.5).abs() < 1e-9);
        assert_eq!(Jitter::of(&[(0, 0)], 48_000), None);
    }
}
