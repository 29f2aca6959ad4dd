// SPDX-License-Identifier: MIT OR GPL-2.0

use std::fmt;
use std::num::NonZeroU64;

use rtshm_abi::layout::{CLOCK_NOMINAL, CLOCK_SPAN};

/// How fast a card's clock runs: the ratio to its nominal rate, in steps of 2^-32, and never 0.
///
/// Shown as `nominal`, or as its distance from that in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockRatio(NonZeroU64);

impl ClockRatio {
    /// The clock runs at its nominal rate.
    pub const NOMINAL: Self = Self::constant(CLOCK_NOMINAL);
    /// The least ratio that can be asked for: 1000 ppm slow.
    pub const MIN: Self = Self::constant(CLOCK_NOMINAL - CLOCK_SPAN);
    /// The largest ratio that can be asked for: 1000 ppm fast.
    pub const MAX: Self = Self::constant(CLOCK_NOMINAL + CLOCK_SPAN);

    const fn constant(raw: u64) -> Self {
        match NonZeroU64::new(raw) {
            Some(raw) => Self(raw),
            None => panic!("a constant of 0"),
        }
    }

    /// The ratio nearest to `ratio`, from [`MIN`](Self::MIN) to [`MAX`](Self::MAX): what is beyond
    /// is taken as these. `None` for what is not a number.
    pub fn new(ratio: f64) -> Option<Self> {
        Self::nominal_plus(ratio - 1.0)
    }

    /// As [`new`](Self::new), for a clock that is `ppm` parts per million fast.
    pub fn from_ppm(ppm: f64) -> Option<Self> {
        Self::nominal_plus(ppm / 1e6)
    }

    fn nominal_plus(part: f64) -> Option<Self> {
        if part.is_nan() {
            return None;
        }
        // CAST: Both are exact in an `f64`; the result is in between.
        let span = CLOCK_SPAN as f64;
        let steps = (part * CLOCK_NOMINAL as f64).round().clamp(-span, span) as i64;
        CLOCK_NOMINAL
            .checked_add_signed(steps)
            .and_then(Self::from_raw)
    }

    /// The ratio that stands in a page; `None` where that is 0.
    pub(crate) fn from_raw(raw: u64) -> Option<Self> {
        NonZeroU64::new(raw).map(Self)
    }

    pub(crate) fn as_raw(self) -> u64 {
        self.0.get()
    }

    /// The ratio to the nominal rate.
    pub fn ratio(self) -> f64 {
        // CAST: To the nearest; exact below 2^53.
        self.as_raw() as f64 / CLOCK_NOMINAL as f64
    }

    /// How much faster than nominal, in parts per million; negative where slower.
    pub fn ppm(self) -> f64 {
        // CAST: As above. The difference fits, whatever stood in the page.
        let steps = i128::from(self.as_raw()) - i128::from(CLOCK_NOMINAL);
        steps as f64 / CLOCK_NOMINAL as f64 * 1e6
    }
}

impl fmt::Display for ClockRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NOMINAL => f.pad("nominal"),
            _ => write!(f, "{:+.3} ppm", self.ppm()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(ratio: Option<ClockRatio>) -> u64 {
        ratio.expect("a number").as_raw()
    }

    /// A step is 2^-32, or 0.000233 ppm.
    #[test]
    fn ratios_are_rounded_to_the_nearest_step() {
        assert_eq!(raw(ClockRatio::new(1.0)), 0x1_0000_0000);
        assert_eq!(raw(ClockRatio::from_ppm(0.0)), 0x1_0000_0000);
        // 100 ppm of 4294967296 are 429496.7, and 0.001 ppm 4.3.
        assert_eq!(raw(ClockRatio::from_ppm(100.0)), 4_295_396_793);
        assert_eq!(raw(ClockRatio::new(1.0001)), 4_295_396_793);
        assert_eq!(raw(ClockRatio::from_ppm(-100.0)), 4_294_537_799);
        assert_eq!(raw(ClockRatio::from_ppm(0.001)), 4_294_967_300);
    }

    #[test]
    fn what_is_beyond_1000_ppm_is_that() {
        for ppm in [1000.0, 1000.1, 1e9, f64::MAX, f64::INFINITY] {
            assert_eq!(raw(ClockRatio::from_ppm(ppm)), 4_299_262_263, "{ppm}");
            assert_eq!(raw(ClockRatio::from_ppm(-ppm)), 4_290_672_329, "{ppm}");
        }
        for ratio in [2.0, f64::MAX, f64::INFINITY] {
            assert_eq!(raw(ClockRatio::new(ratio)), 4_299_262_263, "{ratio}");
            assert_eq!(raw(ClockRatio::new(-ratio)), 4_290_672_329, "{ratio}");
        }
        assert_eq!(raw(ClockRatio::new(0.0)), 4_290_672_329);
    }

    #[test]
    fn what_is_not_a_number_is_no_ratio() {
        assert_eq!(ClockRatio::new(f64::NAN), None);
        assert_eq!(ClockRatio::from_ppm(-f64::NAN), None);
        assert_eq!(ClockRatio::from_raw(0), None);
    }

    #[test]
    fn ratios_are_shown_in_ppm() {
        let text = |raw| ClockRatio::from_raw(raw).unwrap().to_string();
        assert_eq!(text(1 << 32), "nominal");
        assert_eq!(text((1 << 32) + 53_687), "+12.500 ppm");
        assert_eq!(text((1 << 32) - 53_687), "-12.500 ppm");
        assert_eq!(text(1 << 31), "-500000.000 ppm");
        assert_eq!(ClockRatio::from_raw(3 << 31).unwrap().ratio(), 1.5);
        assert!(ClockRatio::from_raw(u64::MAX).unwrap().ppm() > 4e15);
    }
}
