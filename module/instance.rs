// SPDX-License-Identifier: GPL-2.0

//! One card and its device node.

use kernel::{
    device::{
        Bound,
        Device, //
    },
    faux,
    module::this_module,
    prelude::*, //
};

use crate::{
    abi::{
        ioctl::Info,
        layout::ABI_VERSION, //
    },
    alsa::{
        card::{
            Card,
            Names,
            NewCard, //
        },
        pcm,
        sys, //
    },
    endpoint::Endpoint,
    misc::Registration,
    node::{
        Handle,
        Node, //
    },
    outlet::Outlet,
    params::Params,
    LocalModule, //
};

/// A card, its ring, and the node that the ring is mapped from.
#[pin_data]
pub struct Instance {
    // Fields are dropped in this order: first nobody can open the node any more, then the card goes,
    // then its parent. The outlet lives as long as anybody uses it.
    #[pin]
    node: Registration<Handle>,
    card: Card,
    parent: faux::Registration,
}

impl Instance {
    /// Registers a card and its node.
    ///
    /// # Errors
    ///
    /// As [`Outlet::new`], [`NewCard::new`], [`Card`] and [`Registration::new`].
    pub fn new(params: &Params) -> impl PinInit<Self, Error> {
        let assembled = assemble(params);
        pin_init::pin_init_scope(move || {
            let (parent, card, node) = assembled?;
            Ok(try_pin_init!(Self {
                node <- Registration::new(c"rtshm", node),
                card,
                parent,
            }))
        })
    }
}

fn assemble(params: &Params) -> Result<(faux::Registration, Card, Node)> {
    // Not a platform device: udev would call that one built-in.
    let parent = faux::Registration::new(c"rtshm", None)?;
    let outlet = Outlet::new(params.capacity)?;
    let device: &Device<Bound> = parent.as_ref().as_ref();
    let names = Names {
        id: c"RtShm",
        driver: c"RtShm",
        short: c"rtshm shared memory",
        long: c"rtshm: audio to user space through a ring in shared memory",
    };
    let mut card = NewCard::new(device, params.index, &names, this_module::<LocalModule>())?;
    let endpoint = Endpoint::new(outlet.clone(), params.chunk_frames);
    pcm::add_playback(&mut card, 0, c"RtShm", c"rtshm playback", endpoint)?;
    let card = card.register()?;

    let geometry = outlet.geometry();
    let info = Info {
        abi_version: ABI_VERSION,
        // CAST: The size of a page.
        page_size: geometry.page_size() as u32,
        capacity: geometry.capacity(),
        region_len: geometry.region_len(),
        card: card.index(),
        reserved: 0,
        card_id: card.id(),
        module_version: version(),
    };
    pr_info!("card {}, ring of {} KiB\n", info.card, info.capacity / 1024);
    Ok((parent, card, Node { outlet, info }))
}

/// The module's version, NUL-padded.
fn version() -> [u8; 16] {
    // SAFETY: An array of `shim.c` that never changes.
    unsafe { sys::rtshm_version }
}
