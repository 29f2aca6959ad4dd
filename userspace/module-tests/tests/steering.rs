// SPDX-License-Identifier: GPL-2.0

//! `module/steering.rs`: whose word counts.

use rtshm_module_tests::{
    clock::Speed,
    steering::{Steering, PITCH_RANGE, SOURCES},
};

const FREE: u32 = 0;
const PITCH: u32 = 1;
const CONSUMER: u32 = 2;

/// 100 ppm more than nominal, times 2^32.
const REQUEST: u64 = 4_295_396_792;

#[test]
fn the_names_of_the_sources() {
    let names = SOURCES.iter().map(|name| name.to_str().unwrap());
    assert!(names.eq(["Free", "Pitch", "Consumer"]));
}

/// u_audio.c of the kernel's USB gadget: 25 % down, and 0.5 % up.
#[test]
fn the_range_of_the_pitch() {
    assert_eq!(PITCH_RANGE, (750_000, 1_005_000));
}

#[test]
fn at_first_the_consumer_steers() {
    let steering = Steering::new();
    assert_eq!((steering.source(), steering.pitch()), (CONSUMER, 1_000_000));
    assert_eq!(steering.speed(0), Speed::NOMINAL);
    assert_eq!(steering.speed(REQUEST).ratio(), REQUEST);
}

#[test]
fn a_request_is_clamped_to_a_thousand_ppm() {
    let steering = Steering::new();
    assert_eq!(steering.speed(1), Speed::from_millionths(999_000));
    assert_eq!(steering.speed(u64::MAX), Speed::from_millionths(1_001_000));
}

#[test]
fn without_a_request_the_pitch_counts() {
    let steering = Steering::new();
    assert!(steering.set_pitch(1_002_000));
    assert!(!steering.set_pitch(1_002_000));
    assert_eq!(steering.speed(0), Speed::from_millionths(1_002_000));
    assert_eq!(steering.speed(REQUEST).ratio(), REQUEST);
}

#[test]
fn the_source_decides() {
    let steering = Steering::new();
    steering.set_pitch(800_000);
    assert!(steering.set_source(PITCH));
    assert_eq!(steering.speed(REQUEST), Speed::from_millionths(800_000));
    assert!(steering.set_source(FREE));
    assert!(!steering.set_source(FREE));
    assert_eq!(steering.speed(REQUEST), Speed::NOMINAL);
}
