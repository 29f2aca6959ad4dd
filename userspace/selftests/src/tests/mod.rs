// SPDX-License-Identifier: MIT OR GPL-2.0

//! The tests, in the order in which they run.

mod allocations;
mod appearance;
mod bits;
mod clients;
mod clock;
mod consumers;
mod faults;
mod hotplug;
mod insight;
mod instances;
mod load;
mod loss;
mod mapping;
mod node;
mod parameters;
mod pipewire;
mod removal;
mod storm;
mod storm_seeded;
mod tool;
mod tracing;
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

/// All tests of the card.
pub(crate) fn all() -> Vec<Test> {
    // Those that load the module with other parameters last, to reload it seldom.
    [
        appearance::TESTS,
        bits::TESTS,
        clients::TESTS,
        transport::TESTS,
        clock::TESTS,
        consumers::TESTS,
        waiting::TESTS,
        faults::TESTS,
        node::TESTS,
        mapping::TESTS,
        tool::TESTS,
        hotplug::TESTS,
        loss::TESTS,
        parameters::TESTS,
        insight::TESTS,
        tracing::TESTS,
        instances::TESTS,
        removal::TESTS,
        unloading::TESTS,
        storm::TESTS,
        storm_seeded::TESTS,
    ]
    .concat()
}

/// Those that need a kernel with fault injection.
pub(crate) fn allocations() -> Vec<Test> {
    allocations::TESTS.to_vec()
}

/// What gets the files into memory that PipeWire's tests need. With --icount the guest's time runs
/// away while the host reads a file for it, and a program's own timeouts expire.
pub(crate) const WARM_UP: &[Test] = pipewire::WARM_UP;

/// Those that need PipeWire.
pub(crate) fn pipewire() -> Vec<Test> {
    pipewire::TESTS.to_vec()
}

/// As much as the card can carry.
pub(crate) fn load() -> Vec<Test> {
    load::TESTS.to_vec()
}
