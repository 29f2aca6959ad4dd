// SPDX-License-Identifier: MIT OR GPL-2.0

//! The contract between the rtshm kernel module and its consumers, ABI version 1.
//!
//! One source, compiled three ways: by Kbuild into the module (as the module `abi` of that crate),
//! by cargo for user space, and under [loom](https://docs.rs/loom) to prove the ring. Nothing here
//! knows ALSA, the kernel or Linux I/O. `rtshm.h` says the same for C and C++.
//!
//! The region that a consumer maps from `/dev/rtshm`, with P the page size and C the capacity:
//!
//! ```text
//! offset 0        ProducerPage   read-only    counters and the description of the stream
//! offset P        ConsumerPage   read-write   read_count and what the consumer asks for
//! offset 2P       ring[C]        read-only    records
//! offset 2P + C   ring[C] again  read-only    the same pages, so that no record is ever split
//! ```

#![cfg_attr(not(MODULE), no_std)]

pub mod ioctl;
pub mod layout;
pub mod memory;
pub mod plain;
pub mod record;
pub mod ring;
pub mod sync;
pub mod wake;
