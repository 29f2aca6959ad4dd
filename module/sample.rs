// SPDX-License-Identifier: GPL-2.0

//! Samples to float32, by integer arithmetic alone: the kernel has no floating point.
//!
//! Full scale is 1.0: an integer sample of `n` bits is divided by `2^(n - 1)`, and rounded to the
//! nearest float, ties to even, where it has more digits than one. The results are bit patterns of
//! IEEE 754 binary32. Pure arithmetic, tested on the host against the processor's own conversion.

/// The bits of the float32 that is `(value - 128) / 2^7`; always exact.
#[inline]
pub fn u8_to_f32(value: u8) -> u32 {
    lines(i32::from(value).wrapping_sub(128), &U8)
}

/// The bits of the float32 that is `value / 2^15`; always exact.
#[inline]
pub fn s16_to_f32(value: i16) -> u32 {
    lines(value.into(), &S16)
}

/// The bits of the float32 that is the low 24 bits of `value`, signed, `/ 2^23`; always exact.
#[inline]
pub fn s24_to_f32(value: u32) -> u32 {
    // CAST: The shift brings the sign bit to the top, and back down as the sign.
    lines((value << 8) as i32 >> 8, &S24)
}

/// The bits of the float32 nearest to `value / 2^31`.
#[inline]
pub fn s32_to_f32(value: i32) -> u32 {
    let magnitude = u64::from(value.unsigned_abs());
    // 0 for 0, and otherwise 1 more than the number of the highest bit.
    let class = 63 ^ (magnitude << 1 | 1).leading_zeros();
    // The highest bit at bit 31: 24 digits of mantissa, and 8 to round off.
    let normal = magnitude.wrapping_shl(32u32.wrapping_sub(class));
    // Rounding up to the next power of two carries into the exponent, as it should.
    let is_odd = normal >> 8 & 1;
    let rounded = normal.wrapping_add(0x7f).wrapping_add(is_odd) >> 8;
    // CAST: 25 bits at most; an index below 64; and a sign.
    (rounded as u32)
        .wrapping_add(EXPONENTS[class as usize])
        .wrapping_add(u32::from(value < 0) << 31)
}

/// The exponents for the classes above, less the highest bit of the mantissa, which carries into it.
static EXPONENTS: [u32; 64] = {
    let mut exponents = [0u32; 64];
    let mut class = 1;
    while class <= 32 {
        // CAST: A small constant.
        exponents[class] = (94 + class as u32) << 23;
        class += 1;
    }
    exponents
};

/// Between two powers of two the bit patterns of floats are on a straight line: the factor and offset
/// of each for integers of some size, by twice the number of bits above the highest one that is not
/// as the sign, and 1 more for negative ones. The last of a negative line is the next power of two,
/// which fits both.
struct Lines([(u32, u32); 64]);

static U8: Lines = Lines::of(8);
static S16: Lines = Lines::of(16);
static S24: Lines = Lines::of(24);

impl Lines {
    /// For `bits` bits, 24 at most.
    const fn of(bits: u32) -> Self {
        let mut lines = [(0u32, 0u32); 64];
        // 0, and -1.
        lines[63].1 = 1 << 31 | (128 - bits) << 23;
        let mut zeros = 30;
        while zeros > 31 - bits {
            let factor = 1u32 << (zeros - 7);
            let offset = (157 - zeros - bits) << 23;
            // CAST: Small constants.
            lines[2 * zeros as usize] = (factor, offset);
            lines[2 * zeros as usize + 1] = (factor.wrapping_neg(), 1 << 31 | offset);
            zeros -= 1;
        }
        Self(lines)
    }
}

#[inline(always)]
fn lines(value: i32, lines: &Lines) -> u32 {
    // CAST: The same bits, and the sign bit.
    let (bits, is_negative) = (value as u32, (value as u32 >> 31) as usize);
    let zeros = (bits ^ bits << 1 | 1).leading_zeros();
    // CAST: Below 32, hence an index below 64.
    let (factor, offset) = lines.0[(zeros << 1) as usize | is_negative];
    bits.wrapping_mul(factor).wrapping_add(offset)
}
