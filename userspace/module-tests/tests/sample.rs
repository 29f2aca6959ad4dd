// SPDX-License-Identifier: GPL-2.0

//! `module/sample.rs` against the processor's own floating point.

use proptest::prelude::*;
use rtshm_module_tests::sample::{s16_to_f32, s24_to_f32, s32_to_f32, u8_to_f32};

/// What C's `(float)` cast and a division by full scale make of it: the cast rounds to the nearest,
/// ties to even, and the division by a power of two is exact.
fn cast(value: i32, full_scale: f32) -> u32 {
    (value as f32 / full_scale).to_bits()
}

/// A division by a power of two is exact, so there is one right answer for each of the values.
#[test]
fn every_s16_is_what_the_processor_makes_of_it() {
    for value in i16::MIN..=i16::MAX {
        let expected = (f32::from(value) / 32768.0).to_bits();
        assert_eq!(s16_to_f32(value), expected, "{value}");
    }
}

/// By hand, from the format of IEEE 754: sign, 8 bits of exponent + 127, 23 bits of mantissa.
#[test]
fn some_s16_by_hand() {
    assert_eq!(s16_to_f32(0), 0x0000_0000, "silence is positive zero");
    assert_eq!(s16_to_f32(1), 0x3800_0000, "2^-15");
    assert_eq!(s16_to_f32(-1), 0xb800_0000, "-2^-15");
    assert_eq!(s16_to_f32(16384), 0x3f00_0000, "0.5");
    assert_eq!(s16_to_f32(24576), 0x3f40_0000, "0.75");
    assert_eq!(s16_to_f32(32767), 0x3f7f_fe00, "1 - 2^-15");
    assert_eq!(s16_to_f32(-32768), 0xbf80_0000, "-1.0");
}

#[test]
fn every_u8() {
    for value in u8::MIN..=u8::MAX {
        assert_eq!(
            u8_to_f32(value),
            cast(i32::from(value) - 128, 128.0),
            "{value}"
        );
    }
    assert_eq!(u8_to_f32(0x80), 0x0000_0000, "silence is positive zero");
    assert_eq!(u8_to_f32(0), 0xbf80_0000, "-1.0");
    assert_eq!(u8_to_f32(0xff), 0x3f7e_0000, "1 - 2^-7");
}

/// The upper byte is to be ignored, whatever it is.
#[test]
fn every_s24() {
    for value in -(1 << 23)..1 << 23 {
        let expected = cast(value, 8_388_608.0);
        let low = value as u32 & 0x00ff_ffff;
        for high in [0, 0x0100_0000, 0x8000_0000, 0xff00_0000] {
            assert_eq!(s24_to_f32(low | high), expected, "{value}");
        }
    }
    assert_eq!(s24_to_f32(0x007f_ffff), 0x3f7f_fffe, "1 - 2^-23");
    assert_eq!(s24_to_f32(0x0080_0000), 0xbf80_0000, "-1.0");
    assert_eq!(s24_to_f32(0x0000_0001), 0x3400_0000, "2^-23");
}

/// Where the magnitude has 25 bits and more, digits are rounded off: by hand.
#[test]
fn s32_by_hand() {
    assert_eq!(s32_to_f32(0), 0);
    assert_eq!(s32_to_f32(1), 0x3000_0000, "2^-31");
    assert_eq!(s32_to_f32(i32::MIN), 0xbf80_0000, "-1.0");
    assert_eq!(s32_to_f32(i32::MAX), 0x3f80_0000, "rounded up to 1.0");
    // 2^24 + 1 lies in the middle, and goes to the even 2^24; 2^24 + 3 to 2^24 + 4.
    assert_eq!(s32_to_f32(16_777_217), s32_to_f32(16_777_216));
    assert_eq!(s32_to_f32(16_777_219), s32_to_f32(16_777_220));
    assert_eq!(s32_to_f32(16_777_216), 0x3c00_0000, "2^-7");
    assert_eq!(s32_to_f32(0x7fff_ffc0), 0x3f80_0000, "a tie, up to 1.0");
    assert_eq!(s32_to_f32(0x7fff_ffbf), 0x3f7f_ffff, "just below it");
}

/// Around every power of two, and around every place where rounding decides.
#[test]
fn s32_at_all_edges() {
    let check = |value: i64| {
        let value = i32::try_from(value).unwrap_or(i32::MAX);
        assert_eq!(s32_to_f32(value), cast(value, 2_147_483_648.0), "{value}");
    };
    for bit in 0..31 {
        let power = 1i64 << bit;
        for rest in 0..bit {
            let low = 1i64 << rest;
            for off in -2..=2 {
                for value in [power, power + low, 2 * power - low] {
                    check(value + off);
                    check(-value - off);
                }
            }
        }
    }
    for off in 0..1024 {
        check(i64::from(i32::MAX) - off);
        check(i64::from(i32::MIN) + off);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Ten million of all magnitudes.
    #[test]
    fn s32_at_random(seed: u64) {
        let mut state = seed | 1;
        for _ in 0..100_000 {
            // A xorshift generator's next number.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = (state >> 32) as i32 >> (state & 31);
            prop_assert_eq!(s32_to_f32(value), cast(value, 2_147_483_648.0), "{}", value);
        }
    }
}
