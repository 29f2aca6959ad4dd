// SPDX-License-Identifier: GPL-2.0

//! Samples to float32, by integer arithmetic alone: the kernel has no floating point.
//!
//! Full scale is 1.0: an integer sample of `n` bits is divided by `2^(n - 1)`, and rounded to the
//! nearest float, ties to even, where it has more digits than one. The results are bit patterns of
//! IEEE 754 binary32. Pure arithmetic, tested on the host against the processor's own conversion.

/// The bits of the float32 that is `(value - 128) / 2^7`; always exact.
#[inline]
pub fn u8_to_f32(value: u8) -> u32 {
    exact(i32::from(value).wrapping_sub(128), 8)
}

/// The bits of the float32 that is `value / 2^15`; always exact.
#[inline]
pub fn s16_to_f32(value: i16) -> u32 {
    exact(value.into(), 16)
}

/// The bits of the float32 that is the low 24 bits of `value`, signed, `/ 2^23`; always exact.
#[inline]
pub fn s24_to_f32(value: u32) -> u32 {
    // CAST: The shift brings the sign bit to the top, and back down as the sign.
    exact((value << 8) as i32 >> 8, 24)
}

/// The bits of the float32 nearest to `value / 2^31`.
#[inline]
pub fn s32_to_f32(value: i32) -> u32 {
    let magnitude = value.unsigned_abs();
    if magnitude == 0 {
        return 0;
    }
    let zeros = magnitude.leading_zeros();
    // The highest set bit at the top: 24 digits of mantissa, and 8 to round off.
    let normal = magnitude << zeros;
    let (mantissa, rest) = (normal >> 8, normal & 0xff);
    let up = rest > 0x80 || (rest == 0x80 && mantissa & 1 == 1);
    // Rounding up to the next power of two carries into the exponent, as it should.
    encode(value < 0, 127u32.wrapping_sub(zeros), mantissa).wrapping_add(up.into())
}

/// The bits of the float32 that is `value / 2^(bits - 1)`, for a magnitude of 24 bits at most.
#[inline(always)]
fn exact(value: i32, bits: u32) -> u32 {
    let magnitude = value.unsigned_abs();
    if magnitude == 0 {
        return 0;
    }
    // OVERFLOW: `leading_zeros` is between 8 and 31.
    let zeros = magnitude.leading_zeros();
    let exponent = 159u32.wrapping_sub(bits).wrapping_sub(zeros);
    encode(value < 0, exponent, magnitude << zeros.wrapping_sub(8))
}

/// Puts a float together from its biased exponent and its 24 digits, the highest of which is 1.
#[inline(always)]
fn encode(negative: bool, exponent: u32, mantissa: u32) -> u32 {
    u32::from(negative) << 31 | exponent << 23 | mantissa & 0x007f_ffff
}
