// SPDX-License-Identifier: GPL-2.0

//! rtshm: virtual sound cards whose output user space reads from shared memory.
//!
//! See `Documentation/module.rst`.

#![crate_name = "rtshm"]

use kernel::prelude::*;

use crate::{
    instance::Instance,
    params::{
        Params,
        DEVICES_MAX, //
    }, //
};

#[path = "../abi/src/lib.rs"]
pub mod abi;
pub mod alsa;
pub mod backlog;
pub mod clock;
pub mod compat;
pub mod delivery;
pub mod endpoint;
pub mod feed;
pub mod grid;
pub mod instance;
pub mod misc;
pub mod mixer;
pub mod node;
pub mod outlet;
pub mod pages;
pub mod params;
pub mod player;
pub mod pointer;
pub mod proc;
pub mod recorder;
pub mod sample;
pub mod steering;
pub mod tap;
pub mod trace;

module! {
    type: RtShm,
    name: "rtshm",
    authors: ["the rtshm authors"],
    description: "Virtual sound card with a shared-memory ring",
    license: "GPL v2",
    params: {
        devices: u32 {
            default: 1,
            description: "Number of cards, 1 to 8",
        },
        index: i32 {
            default: -1,
            description: "ALSA index of the first card, the others follow; -1 for free ones, -2 for free ones but 0",
        },
        ring_kib: u32 {
            default: 1024,
            description: "Size of the ring in KiB, a power of two from 64 to 65536",
        },
        chunk_frames: u32 {
            default: 256,
            description: "Most frames in a chunk, 16 to 4096",
        },
        eager: u32 {
            default: 0,
            description: "1 to have chunks go out when the application commits them, 0 when they are due",
        },
    },
}

/// The module: its cards.
pub struct RtShm {
    // Never read: dropped with the module.
    _instances: [Option<Pin<KBox<Instance>>>; DEVICES_MAX],
}

impl kernel::Module for RtShm {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let params = Params::read()?;
        let mut instances = [const { None }; DEVICES_MAX];
        for (number, place) in instances.iter_mut().enumerate().take(params.devices) {
            // Where one fails, those before it go as they would with the module.
            let instance = KBox::pin_init(Instance::new(&params, number), GFP_KERNEL)?;
            *place = Some(instance);
        }
        node::announce();
        Ok(Self {
            _instances: instances,
        })
    }
}
