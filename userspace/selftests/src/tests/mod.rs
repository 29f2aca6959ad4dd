// SPDX-License-Identifier: MIT OR GPL-2.0

//! The tests, in the order in which they run.

mod allocations;
mod appearance;
mod bad_input;
mod bench;
mod bits;
mod callers_32_bit;
mod changes;
mod clients;
mod clock;
mod consumers;
mod doctor;
mod drift;
mod eager;
mod economy;
mod examples;
mod faults;
mod hotplug;
mod hours;
mod insight;
mod instances;
mod integration;
mod load;
mod loss;
mod mapping;
mod matrix;
mod mixer;
mod monitor;
mod node;
mod parameters;
mod pipewire;
mod realtime;
mod record;
mod recording;
mod removal;
mod sink;
mod stall;
mod steering;
mod storm;
mod storm_seeded;
mod suspend;
mod tool;
mod tracing;
mod transport;
mod unloading;
mod waiting;

use crate::harness::Test;
use crate::latency;

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
pub(crate) use tests;

/// All tests of the card.
pub(crate) fn all() -> Vec<Test> {
    // Those that load the module with other parameters last, to reload it seldom.
    [
        appearance::TESTS,
        bits::TESTS,
        clients::TESTS,
        matrix::TESTS,
        transport::TESTS,
        recording::TESTS,
        changes::TESTS,
        clock::TESTS,
        steering::TESTS,
        consumers::TESTS,
        mixer::TESTS,
        waiting::TESTS,
        faults::TESTS,
        node::TESTS,
        bad_input::TESTS,
        callers_32_bit::TESTS,
        mapping::TESTS,
        tool::TESTS,
        examples::TESTS,
        realtime::TESTS,
        record::TESTS,
        bench::TESTS,
        doctor::TESTS,
        monitor::TESTS,
        sink::TESTS,
        hotplug::TESTS,
        loss::TESTS,
        parameters::TESTS,
        eager::TESTS,
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

/// Those that suspend the machine's devices.
pub(crate) fn suspend() -> Vec<Test> {
    suspend::TESTS.to_vec()
}

/// Those that need PipeWire, WirePlumber or udev.
pub(crate) fn pipewire() -> Vec<Test> {
    [pipewire::TESTS, integration::TESTS].concat()
}

/// Those that let hours pass, which only a guest whose idle time is skipped has.
pub(crate) fn hours() -> Vec<Test> {
    hours::TESTS.to_vec()
}

/// The reader on a card whose clock drifts, which only a guest whose idle time is skipped has.
pub(crate) fn drift() -> Vec<Test> {
    drift::TESTS.to_vec()
}

/// The same for a day.
pub(crate) fn soak() -> Vec<Test> {
    drift::soak::TESTS.to_vec()
}

/// As much as the card can carry, and what it costs.
pub(crate) fn load() -> Vec<Test> {
    [load::TESTS, economy::TESTS, latency::checks::TESTS].concat()
}

/// Those that have the machine stand still.
pub(crate) fn stall() -> Vec<Test> {
    stall::TESTS.to_vec()
}
