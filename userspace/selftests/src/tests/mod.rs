// SPDX-License-Identifier: MIT OR GPL-2.0

//! The tests, in the order in which they run.

mod appearance;
mod bits;
mod clients;
mod clock;
mod consumers;
mod faults;
mod instances;
mod loss;
mod mapping;
mod matrix;
mod mixer;
mod node;
mod parameters;
mod recording;
mod removal;
mod storm;
mod tool;
mod transport;
mod unloading;
mod waiting;

use crate::harness::Test;

/// Lists functions of a module as tests named after both.
macro_rules! tests {
    ($group:ident: $($name:ident),+ $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] = &[$(
            $crate::harness::Test {
                name: concat!(stringify!($group), "::", stringify!($name)),
                run: $name,
            }
        ),+];
    };
}
use tests;

/// All tests.
pub(crate) fn all() -> Vec<Test> {
    // Those that load the module with other parameters last, to reload it seldom.
    [
        appearance::TESTS,
        bits::TESTS,
        clients::TESTS,
        matrix::TESTS,
        transport::TESTS,
        recording::TESTS,
        clock::TESTS,
        consumers::TESTS,
        mixer::TESTS,
        waiting::TESTS,
        faults::TESTS,
        node::TESTS,
        mapping::TESTS,
        tool::TESTS,
        loss::TESTS,
        parameters::TESTS,
        instances::TESTS,
        removal::TESTS,
        unloading::TESTS,
        storm::TESTS,
    ]
    .concat()
}
