// SPDX-License-Identifier: MIT OR GPL-2.0

//! A consumer on a region that anybody writes to; see the body.

#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

#[path = "../../tests/common/attack.rs"]
mod attack;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| attack::run(bytes));
