// SPDX-License-Identifier: GPL-2.0

//! Samples to float32, by integer arithmetic alone: the kernel has no floating point.
//!
//! Full scale is 1.0: an integer sample of `n` bits is divided by `2^(n - 1)`. The results are bit
//! patterns of IEEE 754 binary32. Pure arithmetic, tested on the host against the processor's own
//! conversion.

/// The bits of the float32 that is `value / 2^15`; always exact.
#[inline]
pub fn s16_to_f32(value: i16) -> u32 {
    let magnitude = u32::from(value.unsigned_abs());
    if magnitude == 0 {
        return 0;
    }
    let sign = u32::from(value < 0) << 31;
    // The highest set bit becomes the hidden one. Bit 15 stands for 1.0, whose exponent is 127.
    // OVERFLOW: `leading_zeros` is between 16 and 31.
    let zeros = magnitude.leading_zeros();
    let exponent = 127u32.wrapping_add(16).wrapping_sub(zeros);
    let mantissa = magnitude << zeros.wrapping_sub(8) & 0x007f_ffff;
    sign | exponent << 23 | mantissa
}
