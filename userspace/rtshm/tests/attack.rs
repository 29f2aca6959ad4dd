// SPDX-License-Identifier: MIT OR GPL-2.0

//! The body of the fuzz target (`../fuzz`), with random programs, and with those that fuzzing has
//! found worth keeping.

mod common;

#[path = "common/attack.rs"]
mod attack;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[test]
fn seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut count = 0;
    for entry in fs::read_dir(seeds).unwrap() {
        attack::run(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert_ne!(count, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn programs(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        attack::run(&bytes);
    }
}
