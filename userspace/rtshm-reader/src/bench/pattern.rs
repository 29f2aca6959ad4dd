// SPDX-License-Identifier: MIT OR GPL-2.0

//! Sound that says which sample it is.

/// The sample at `index`, counted from the first of the first frame: never silent, within full scale,
/// and another at each of millions of neighbours.
pub(super) fn sample(index: u64) -> f32 {
    // An odd factor permutes the 23 bits that an f32 has behind its first.
    const FACTOR: u64 = 0x5b_d1e9;
    let bits = index.wrapping_mul(FACTOR) & 0x7f_ffff;
    // CAST: 24 bits are exact.
    let value = (bits * 2 + 1) as f32 / 16_777_216.0;
    if index >> 23 & 1 == 0 {
        value
    } else {
        -value
    }
}

/// How many of the `samples` are not those from `index` on, bit for bit.
pub(super) fn differing(samples: &[f32], index: u64) -> u64 {
    let wrong = samples
        .iter()
        .zip(index..)
        .filter(|(found, index)| found.to_bits() != sample(*index).to_bits());
    // CAST: Widening.
    wrong.count() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_sample_is_silent_beyond_full_scale_or_like_another() {
        let mut seen = HashSet::new();
        for index in (0..100_000).chain((1 << 23) - 1000..(1 << 23) + 1000) {
            let sample = sample(index);
            assert!(sample != 0.0 && sample.abs() < 1.0, "{index}: {sample}");
            assert!(seen.insert(sample.to_bits()), "{index}: {sample}");
        }
    }

    #[test]
    fn what_differs_is_counted() {
        let mut samples: Vec<_> = (1000..1100).map(sample).collect();
        assert_eq!(differing(&samples, 1000), 0);
        assert_eq!(differing(&samples, 1001), 100);
        samples[17] = -samples[17];
        samples[99] = 0.0;
        assert_eq!(differing(&samples, 1000), 2);
    }
}
