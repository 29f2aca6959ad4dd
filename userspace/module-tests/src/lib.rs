// SPDX-License-Identifier: GPL-2.0

//! The files of the kernel module that know no kernel, compiled for the host as they are.
//!
//! There is no code here but a stand-in for the tracepoints: `tests/` has a file, or a directory, for
//! each of them, and one for what is drawn of them.

pub use rtshm_abi as abi;

#[path = "../../../module/backlog.rs"]
pub mod backlog;
#[path = "../../../module/clock.rs"]
pub mod clock;
#[path = "../../../module/feed.rs"]
pub mod feed;
#[path = "../../../module/grid.rs"]
pub mod grid;
#[path = "../../../module/pointer.rs"]
pub mod pointer;
#[path = "../../../module/sample.rs"]
pub mod sample;
#[path = "../../../module/steering.rs"]
pub mod steering;
#[path = "../../../module/tap.rs"]
pub mod tap;
pub mod trace;
