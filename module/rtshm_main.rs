// SPDX-License-Identifier: GPL-2.0

//! rtshm: a virtual sound card whose output user space reads from shared memory.
//!
//! See `Documentation/module.rst`.

#![crate_name = "rtshm"]

use kernel::prelude::*;

use crate::{
    instance::Instance,
    params::Params, //
};

#[path = "../abi/src/lib.rs"]
pub mod abi;
pub mod alsa;
pub mod backlog;
pub mod clock;
pub mod endpoint;
pub mod feed;
pub mod grid;
pub mod instance;
pub mod misc;
pub mod node;
pub mod outlet;
pub mod pages;
pub mod params;
pub mod sample;

module! {
    type: RtShm,
    name: "rtshm",
    authors: ["the rtshm authors"],
    description: "Virtual sound card with a shared-memory ring",
    license: "GPL v2",
    params: {
        index: i32 {
            default: -1,
            description: "ALSA index of the card, -1 for the first free one",
        },
        ring_kib: u32 {
            default: 1024,
            description: "Size of the ring in KiB, a power of two from 64 to 65536",
        },
        chunk_frames: u32 {
            default: 256,
            description: "Most frames in a chunk, 16 to 4096",
        },
    },
}

/// The module: its card.
#[pin_data]
pub struct RtShm {
    #[pin]
    instance: Instance,
}

impl kernel::InPlaceModule for RtShm {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let params = Params::read()?;
            Ok(try_pin_init!(Self {
                instance <- Instance::new(&params),
            }))
        })
    }
}
