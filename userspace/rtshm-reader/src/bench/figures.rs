// SPDX-License-Identifier: MIT OR GPL-2.0

//! Figures of many measurements.

/// Of latencies, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) least: i64,
    pub(super) median: i64,
    /// 999 of 1000 are at most this.
    pub(super) p999: i64,
    pub(super) most: i64,
    /// Standard deviation.
    pub(super) jitter: f64,
}

impl Figures {
    /// Of these measurements, in any order; `None` where there are none.
    pub(super) fn of(mut latencies: Vec<i64>) -> Option<Self> {
        latencies.sort_unstable();
        // CAST: Far fewer than 2^53, and of less than an hour each.
        let count = latencies.len() as f64;
        let mean = latencies.iter().map(|&latency| latency as f64).sum::<f64>() / count;
        let squares = latencies
            .iter()
            .map(|&latency| (latency as f64 - mean).powi(2));
        Some(Self {
            least: *latencies.first()?,
            median: percentile(&latencies, 500)?,
            p999: percentile(&latencies, 999)?,
            most: *latencies.last()?,
            jitter: (squares.sum::<f64>() / count).sqrt(),
        })
    }
}

/// The least of the `sorted` values that at least so many in a thousand do not exceed; `None` where
/// there are none.
fn percentile(sorted: &[i64], permille: usize) -> Option<i64> {
    let rank = (sorted.len() * permille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the nearest-rank method; the first list is the usual textbook's example.
    #[test]
    fn percentiles_are_values_by_nearest_rank() {
        let list = [15, 20, 35, 40, 50];
        for (permille, value) in [(50, 15), (300, 20), (400, 20), (500, 35), (1000, 50)] {
            assert_eq!(percentile(&list, permille), Some(value), "{permille}");
        }
        let thousand: Vec<i64> = (1..=1000).collect();
        assert_eq!(percentile(&thousand, 999), Some(999));
        assert_eq!(percentile(&thousand[..999], 999), Some(999));
        let many: Vec<i64> = (1..=10_000).collect();
        assert_eq!(percentile(&many, 999), Some(9_990));
        assert_eq!(percentile(&[7], 0), Some(7));
        assert_eq!(percentile(&[], 500), None);
    }

    #[test]
    fn figures_do_not_depend_on_the_order() {
        // Mean 5, squares 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over 8: 4.
        let figures = Figures::of(vec![9, 2, 5, 4, 7, 4, 5, 4]);
        let expected = Figures {
            least: 2,
            median: 4,
            p999: 9,
            most: 9,
            jitter: 2.0,
        };
        assert_eq!(figures, Some(expected));
        assert_eq!(Figures::of(Vec::new()), None);
        assert_eq!(
            Figures::of(vec![-3]).map(|f| (f.least, f.most)),
            Some((-3, -3))
        );
    }
}
