// SPDX-License-Identifier: GPL-2.0

//! `module/sample.rs` against the processor's own floating point.

use rtshm_module_tests::sample::s16_to_f32;

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
