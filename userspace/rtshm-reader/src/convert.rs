// SPDX-License-Identifier: MIT OR GPL-2.0

//! From the ring's float32 to what a sound card takes.
//!
//! Scaling is by a power of two and so exact; what lies between two values is rounded to the nearer
//! one, to the even one where both are as near; what lies beyond full scale is clipped. Samples
//! that came from an integer format of at most 24 bits come out as the same integers.

/// How a sound card wants a sample, all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// 32-bit float.
    Float,
    /// 32-bit integer.
    S32,
    /// 24-bit integer in the low bytes of four.
    S24,
    /// 24-bit integer in three bytes.
    S24Packed,
    /// 16-bit integer.
    S16,
}

impl Encoding {
    /// From the best to the worst.
    pub(crate) const BY_QUALITY: [Self; 5] = [
        Self::Float,
        Self::S32,
        Self::S24,
        Self::S24Packed,
        Self::S16,
    ];

    /// Bytes of a sample.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Float | Self::S32 | Self::S24 => 4,
            Self::S24Packed => 3,
            Self::S16 => 2,
        }
    }

    /// Whether samples look in memory as they do in the ring.
    pub(crate) fn is_native_float(self) -> bool {
        self == Self::Float && cfg!(target_endian = "little")
    }

    /// Writes each of `samples` to `bytes`, `copies` times in a row, as far as there is room.
    pub(crate) fn encode(self, samples: &[f32], copies: usize, bytes: &mut [u8]) {
        match self {
            Self::Float => each(samples, copies, bytes, f32::to_le_bytes),
            Self::S32 => each(samples, copies, bytes, |s| to_s32(s).to_le_bytes()),
            Self::S24 => each(samples, copies, bytes, |s| to_s24(s).to_le_bytes()),
            Self::S24Packed => each(samples, copies, bytes, |s| {
                let [a, b, c, _] = to_s24(s).to_le_bytes();
                [a, b, c]
            }),
            Self::S16 => each(samples, copies, bytes, |s| to_s16(s).to_le_bytes()),
        }
    }
}

fn each<const WIDTH: usize>(
    samples: &[f32],
    copies: usize,
    bytes: &mut [u8],
    encode: impl Fn(f32) -> [u8; WIDTH],
) {
    let places = bytes.chunks_exact_mut(WIDTH * copies.max(1));
    for (&sample, place) in samples.iter().zip(places) {
        let encoded = encode(sample);
        for copy in place.chunks_exact_mut(WIDTH) {
            copy.copy_from_slice(&encoded);
        }
    }
}

fn to_s32(sample: f32) -> i32 {
    // CAST: Saturates, which is the clipping; NaN becomes 0.
    (sample * 2_147_483_648.0).round_ties_even() as i32
}

fn to_s24(sample: f32) -> i32 {
    // CAST: As above; then to 24 bits.
    ((sample * 8_388_608.0).round_ties_even() as i32).clamp(-8_388_608, 8_388_607)
}

fn to_s16(sample: f32) -> i16 {
    // CAST: As above.
    (sample * 32_768.0).round_ties_even() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: Encoding, samples: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; samples.len() * encoding.width()];
        encoding.encode(samples, 1, &mut bytes);
        bytes
    }

    /// The integer in `bytes`, little-endian, sign-extended.
    fn integer(bytes: &[u8]) -> i64 {
        let sign = if bytes[bytes.len() - 1] & 0x80 != 0 {
            0xff
        } else {
            0
        };
        let mut wide = [sign; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        i64::from_le_bytes(wide)
    }

    #[test]
    fn every_s16_value_comes_back() {
        for value in i16::MIN..=i16::MAX {
            // What the module makes of it: value / 2^15, which is exact.
            let sample = (f64::from(value) / 32_768.0) as f32;
            let value = i64::from(value);
            assert_eq!(integer(&encoded(Encoding::S16, &[sample])), value);
            assert_eq!(integer(&encoded(Encoding::S24, &[sample])), value << 8);
            assert_eq!(
                integer(&encoded(Encoding::S24Packed, &[sample])),
                value << 8
            );
            assert_eq!(integer(&encoded(Encoding::S32, &[sample])), value << 16);
        }
    }

    #[test]
    fn every_s24_value_comes_back() {
        for value in -8_388_608i32..=8_388_607 {
            let sample = (f64::from(value) / 8_388_608.0) as f32;
            assert_eq!(to_s24(sample), value);
            assert_eq!(i64::from(to_s32(sample)), i64::from(value) << 8);
        }
    }

    #[test]
    fn bytes_are_little_endian_and_sign_extended() {
        // 0.5 = 0x4000 / 2^15; -2^-23 = -1 / 2^23.
        assert_eq!(encoded(Encoding::S16, &[0.5]), [0x00, 0x40]);
        assert_eq!(encoded(Encoding::S24Packed, &[0.5]), [0x00, 0x00, 0x40]);
        assert_eq!(encoded(Encoding::S24, &[0.5]), [0x00, 0x00, 0x40, 0x00]);
        assert_eq!(encoded(Encoding::S32, &[0.5]), [0x00, 0x00, 0x00, 0x40]);
        assert_eq!(encoded(Encoding::Float, &[0.5]), [0x00, 0x00, 0x00, 0x3f]);
        let least = -1.0 / 8_388_608.0;
        assert_eq!(encoded(Encoding::S24Packed, &[least]), [0xff; 3]);
        assert_eq!(encoded(Encoding::S24, &[least]), [0xff; 4]);
        assert_eq!(encoded(Encoding::S32, &[least]), [0x00, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        let s16 = |numerator: f32| to_s16(numerator / 32_768.0);
        assert_eq!([0.5, 1.5, 2.5, 3.5].map(s16), [0, 2, 2, 4]);
        assert_eq!([-0.5, -1.5, -2.5, -3.5].map(s16), [0, -2, -2, -4]);
        assert_eq!([0.51, 0.49, -0.51].map(s16), [1, 0, -1]);
    }

    #[test]
    fn what_is_beyond_full_scale_is_clipped() {
        assert_eq!([1.0, 2.0, f32::INFINITY].map(to_s16), [32_767; 3]);
        assert_eq!([-1.0, -2.0, f32::NEG_INFINITY].map(to_s16), [-32_768; 3]);
        assert_eq!([1.0, 300.0, f32::MAX].map(to_s24), [8_388_607; 3]);
        assert_eq!([-1.0, -300.0, f32::MIN].map(to_s24), [-8_388_608; 3]);
        assert_eq!([1.0, 1e10].map(to_s32), [i32::MAX; 2]);
        assert_eq!([-1.0, -1e10].map(to_s32), [i32::MIN; 2]);
        assert_eq!(
            (to_s16(f32::NAN), to_s24(f32::NAN), to_s32(f32::NAN)),
            (0, 0, 0)
        );
    }

    #[test]
    fn float_passes_unchanged() {
        let samples = [1.5, -0.0, f32::from_bits(0x7fc0_1234)];
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(encoded(Encoding::Float, &samples), bytes);
    }

    #[test]
    fn copies_stand_in_a_row() {
        let mut bytes = [0; 8];
        Encoding::S16.encode(&[0.5, -1.0], 2, &mut bytes);
        assert_eq!(bytes, [0x00, 0x40, 0x00, 0x40, 0x00, 0x80, 0x00, 0x80]);
    }

    #[test]
    fn too_little_room_takes_what_fits() {
        let mut bytes = [7; 5];
        Encoding::S16.encode(&[0.5; 10], 1, &mut bytes);
        assert_eq!(bytes, [0x00, 0x40, 0x00, 0x40, 7]);
    }
}
