// SPDX-License-Identifier: GPL-2.0

//! `module/pointer.rs`, and ALSA's side of it: a pointer below the one before means the next lap.

use std::num::NonZeroU32;

use proptest::prelude::*;
use rtshm_module_tests::pointer::Pointer;

fn frames(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

#[test]
fn by_hand() {
    let mut pointer = Pointer::default();
    assert_eq!(pointer.tell(0, frames(32)), 0);
    assert_eq!(pointer.tell(20, frames(32)), 20);
    assert_eq!(pointer.tell(40, frames(32)), 8);
    // A whole buffer at once: 31 frames, and one more.
    assert_eq!(pointer.tell(72, frames(32)), 7);
    assert_eq!(pointer.told(), 71);
    assert_eq!(pointer.tell(72, frames(32)), 8);
    assert_eq!(pointer.told(), 72);
    // Many buffers and five frames: all but one lap are left out, in two looks.
    assert_eq!(pointer.tell(72 + 3205, frames(32)), 7);
    assert_eq!(pointer.tell(72 + 3205, frames(32)), 13);
    assert_eq!(pointer.told(), 72 + 3205);
    // Two buffers but for a frame.
    let position = 72 + 3205 + 63;
    assert_eq!(
        [0; 3].map(|_| pointer.tell(position, frames(32))),
        [12, 11, 12]
    );
    assert_eq!(pointer.told(), position);
    // A buffer of one frame has one place.
    assert_eq!(Pointer::default().tell(5, frames(1)), 0);
}

proptest! {
    /// ALSA's position, modulo laps that nobody could see, is where the card is after three looks: less
    /// than two buffers are told, and all but a frame of one at each.
    #[test]
    fn three_looks_tell_all(
        buffer in 2u32..100_000,
        steps in prop::collection::vec(0u64..400_000, 1..50),
    ) {
        let mut pointer = Pointer::default();
        let (mut position, mut alsa, mut last) = (0u64, 0u64, 0u64);
        for step in steps {
            position += step;
            for _ in 0..3 {
                let now = u64::from(pointer.tell(position, frames(buffer)));
                prop_assert!(now < u64::from(buffer));
                alsa += (now + u64::from(buffer) - last) % u64::from(buffer);
                last = now;
            }
            prop_assert_eq!(pointer.told(), position);
            prop_assert_eq!(alsa % u64::from(buffer), position % u64::from(buffer));
        }
    }

    /// Nothing is left out as long as less than two buffers go by.
    #[test]
    fn no_lap_is_missed(
        buffer in 2u32..100_000,
        parts in prop::collection::vec(0.0f64..1.99, 1..50),
    ) {
        let mut pointer = Pointer::default();
        let (mut position, mut alsa, mut last) = (0u64, 0u64, 0u64);
        for part in parts {
            position += (f64::from(buffer) * part) as u64;
            for _ in 0..3 {
                let now = u64::from(pointer.tell(position, frames(buffer)));
                alsa += (now + u64::from(buffer) - last) % u64::from(buffer);
                last = now;
            }
            prop_assert_eq!(alsa, position);
        }
    }
}
