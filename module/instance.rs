// SPDX-License-Identifier: GPL-2.0

//! One card and its device node.

use kernel::{
    c_str,
    faux,
    prelude::*,
    sync::Arc, //
};

use crate::{
    abi::{
        ioctl::Info,
        layout::ABI_VERSION, //
    },
    alsa::{
        card::{
            Names,
            NewCard, //
        },
        pcm,
        sys, //
    },
    compat::{
        device_of,
        this_module, //
    },
    delivery::Delivery,
    endpoint::Endpoint,
    misc::Registration,
    mixer,
    node::{
        Handle,
        Node, //
    },
    outlet::Outlet,
    params::{
        Params,
        DEVICES_MAX, //
    },
    player::Player,
    proc,
    recorder::Recorder,
    steering::Steering, //
};

/// The names of the instance with this suffix. Desktops show the short one, so that it tells the
/// instances apart.
macro_rules! names {
    ($suffix:literal) => {
        (
            c_str!(concat!("rtshm", $suffix)),
            Names {
                id: c_str!(concat!("RtShm", $suffix)),
                driver: c"RtShm",
                short: c_str!(concat!("RtShm", $suffix, " Virtual Sound Card")),
                long: c_str!(concat!(
                    "RtShm",
                    $suffix,
                    " Virtual Sound Card at /dev/rtshm",
                    $suffix
                )),
                mixer: c"RtShm Mixer",
            },
        )
    };
}

/// How instances are called: the node, as its parent, and the card.
const NAMES: [(&CStr, Names); DEVICES_MAX] = [
    names!(""),
    names!("1"),
    names!("2"),
    names!("3"),
    names!("4"),
    names!("5"),
    names!("6"),
    names!("7"),
];

/// Recorders that a card can have at a time.
const RECORDERS: u8 = 8;

/// A card, its ring, and the node that the ring is mapped from.
#[pin_data]
pub struct Instance {
    // Fields are dropped in this order: first nobody can open the node or write to its attribute any
    // more, then the card goes, which waits until it is closed, then its parent. The outlet lives as
    // long as anybody uses it.
    #[pin]
    node: Registration<Handle>,
    parent: faux::Registration,
}

impl Instance {
    /// Registers a card and its node, those of `number`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number beyond [`DEVICES_MAX`]; as [`Outlet::new`], [`NewCard::new`],
    /// [`NewCard::register`] and [`Registration::new`].
    pub fn new(params: &Params, number: usize) -> impl PinInit<Self, Error> {
        let assembled = assemble(params, number);
        pin_init::pin_init_scope(move || {
            let (name, parent, node) = assembled?;
            Ok(try_pin_init!(Self {
                node <- Registration::new(name, node),
                parent,
            }))
        })
    }
}

fn assemble(params: &Params, number: usize) -> Result<(&'static CStr, faux::Registration, Node)> {
    let &(name, ref names) = NAMES.get(number).ok_or(EINVAL)?;
    // Not a platform device: udev would call that one built-in.
    let parent = faux::Registration::new(name, None)?;
    let index = params.card_index(number);
    let mut card = NewCard::new(device_of(&parent), index, names, this_module())?;
    let outlet = Outlet::new(params.capacity, card.index())?;
    add_devices(&mut card, &outlet, params)?;
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
    let ring_kib = info.capacity / 1024;
    pr_info!("/dev/{name}: card {}, ring of {ring_kib} KiB\n", info.card);
    Ok((name, parent, Node::new(outlet, info, card)))
}

/// Adds the PCM device, the mixer, and files that tell of them.
fn add_devices(card: &mut NewCard, outlet: &Arc<Outlet>, params: &Params) -> Result {
    let steering = Arc::new(Steering::new(), GFP_KERNEL)?;
    let delivery = Arc::new(Delivery::new(params.delivery), GFP_KERNEL)?;
    let names = pcm::Names {
        id: c"RtShm",
        name: c"RtShm",
    };
    let endpoint = Endpoint::new(
        outlet.clone(),
        steering.clone(),
        delivery.clone(),
        params.chunk_frames,
    )?;
    pcm::add::<Player, Recorder>(card, 0, &names, RECORDERS, endpoint)?;
    mixer::add(card, outlet, &steering, &delivery)?;
    proc::add_files(card, outlet, &steering)
}

/// The module's version, NUL-padded.
fn version() -> [u8; 16] {
    // SAFETY: An array of `shim.c` that never changes.
    unsafe { sys::rtshm_version }
}
