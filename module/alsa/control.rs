// SPDX-License-Identifier: GPL-2.0

//! Mixer elements.
//!
//! C header: [`include/sound/control.h`](srctree/include/sound/control.h)

use core::marker::PhantomData;

use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi,
    prelude::*, //
};

use super::{
    card::NewCard,
    sys, //
};

/// Where an element belongs, an `SNDRV_CTL_ELEM_IFACE_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// What mixers show.
    Mixer,
    /// The card's first PCM device.
    Pcm,
}

/// What the values of an element may be.
pub enum Values {
    /// 0 and 1.
    Boolean,
    /// All between two bounds.
    Integer {
        /// The least.
        min: i32,
        /// The greatest.
        max: i32,
    },
    /// The index of one of these names, each of at most 63 bytes.
    Enumerated(&'static [&'static CStr]),
}

impl Values {
    fn contain(&self, value: i64) -> bool {
        match self {
            Self::Boolean => (0..=1).contains(&value),
            Self::Integer { min, max } => (i64::from(*min)..=i64::from(*max)).contains(&value),
            Self::Enumerated(names) => usize::try_from(value).is_ok_and(|at| at < names.len()),
        }
    }
}

/// A mixer element with one value.
pub trait Control: Send + Sync + 'static {
    /// Its name, by ALSA's rules: `Master Playback Volume`.
    const NAME: &'static CStr;

    /// Where it belongs.
    const INTERFACE: Interface = Interface::Mixer;

    /// What it can be.
    const VALUES: Values;

    /// What the values mean in decibels: an `SNDRV_CTL_TLVT_*` with its length and data.
    const TLV: Option<&'static [u32; 4]> = None;

    /// The value.
    fn get(&self) -> i32;

    /// Sets the value, one of [`VALUES`](Self::VALUES), and returns whether it is another one.
    /// Process context, one at a time.
    fn set(&self, value: i32) -> bool;
}

/// Adds an element to `card`, which owns `control` from now on.
///
/// # Errors
///
/// `ENOMEM`; `EBUSY` where the card has an element of this name.
pub fn add<C: Control>(card: &mut NewCard, control: C) -> Result {
    let control = KBox::new(control, GFP_KERNEL)?;
    let iface = match C::INTERFACE {
        Interface::Mixer => sys::SNDRV_CTL_ELEM_IFACE_MIXER,
        Interface::Pcm => sys::SNDRV_CTL_ELEM_IFACE_PCM,
    };
    let mut access = sys::SNDRV_CTL_ELEM_ACCESS_READWRITE;
    let mut template = sys::snd_kcontrol_new {
        // CAST: Small constants.
        iface: iface as sys::snd_ctl_elem_iface_t,
        name: C::NAME.as_char_ptr(),
        info: Some(Ops::<C>::info),
        get: Some(Ops::<C>::get),
        put: Some(Ops::<C>::put),
        ..Default::default()
    };
    if let Some(tlv) = C::TLV {
        access |= sys::SNDRV_CTL_ELEM_ACCESS_TLV_READ;
        template.tlv.p = tlv.as_ptr();
    }
    template.access = access;
    let control = KBox::into_raw(control);
    // SAFETY: The template is copied; its strings, functions and data live for ever.
    let element = unsafe { sys::snd_ctl_new1(&template, control.cast()) };
    if element.is_null() {
        // SAFETY: It came from `into_raw`, and there is no element that has it.
        drop(unsafe { KBox::from_raw(control) });
        return Err(ENOMEM);
    }
    // SAFETY: The element is new and ours.
    unsafe { (*element).private_free = Some(Ops::<C>::private_free) };
    // SAFETY: Both are valid. From here on the card owns the element, also where this fails.
    to_result(unsafe { sys::snd_ctl_add(card.as_ptr(), element) })
}

/// The functions that ALSA calls, for elements made by [`add`] of a `C`.
struct Ops<C>(PhantomData<C>);

impl<C: Control> Ops<C> {
    /// # Safety
    ///
    /// See [`Ops`]; `element` is valid.
    unsafe fn control<'a>(element: *mut sys::snd_kcontrol) -> &'a C {
        // SAFETY: `add` put the box there, and it lives as long as the element.
        unsafe { &*(*element).private_data.cast::<C>() }
    }

    /// # Safety
    ///
    /// See [`Ops`]; called once, at the end.
    unsafe extern "C" fn private_free(element: *mut sys::snd_kcontrol) {
        // SAFETY: `add` put the box there.
        let control = unsafe { KBox::<C>::from_raw((*element).private_data.cast()) };
        drop(control);
    }

    /// # Safety
    ///
    /// See [`Ops`]; `info` is valid.
    unsafe extern "C" fn info(
        _element: *mut sys::snd_kcontrol,
        info: *mut sys::snd_ctl_elem_info,
    ) -> ffi::c_int {
        // SAFETY: ALSA gives us a structure of its own.
        let info = unsafe { &mut *info };
        info.count = 1;
        let (kind, min, max) = match &C::VALUES {
            Values::Boolean => (sys::SNDRV_CTL_ELEM_TYPE_BOOLEAN, 0, 1),
            Values::Integer { min, max } => (sys::SNDRV_CTL_ELEM_TYPE_INTEGER, *min, *max),
            Values::Enumerated(names) => {
                // CAST: Small constants.
                info.type_ = sys::SNDRV_CTL_ELEM_TYPE_ENUMERATED as sys::snd_ctl_elem_type_t;
                // SAFETY: Any bits are a value of the union's members; user space has put an index
                // into this one, and the rest is ours to fill.
                let value = unsafe { info.value.enumerated.as_mut() };
                // CAST: A few names.
                let item = (value.item as usize).min(names.len().saturating_sub(1));
                value.items = names.len() as u32;
                value.item = item as u32;
                if let Some(name) = names.get(item) {
                    super::card::copy_name(&mut value.name, name);
                }
                return 0;
            }
        };
        // CAST: Small constants.
        info.type_ = kind as sys::snd_ctl_elem_type_t;
        // SAFETY: Any bits are a value of the union's members, and it is ours to fill.
        let value = unsafe { info.value.integer.as_mut() };
        // CAST: Widening.
        value.min = min as ffi::c_long;
        value.max = max as ffi::c_long;
        value.step = 1;
        0
    }

    /// # Safety
    ///
    /// See [`Ops`]; `value` is valid.
    unsafe extern "C" fn get(
        element: *mut sys::snd_kcontrol,
        value: *mut sys::snd_ctl_elem_value,
    ) -> ffi::c_int {
        // SAFETY: By the contract of this function.
        let now = unsafe { Self::control(element) }.get();
        // SAFETY: ALSA gives us a structure of its own, to fill one of the union's members.
        unsafe {
            match &C::VALUES {
                // CAST: An index.
                Values::Enumerated(_) => (*value).value.enumerated.item[0] = now.unsigned_abs(),
                // CAST: Widening.
                _ => (*value).value.integer.value[0] = now as ffi::c_long,
            }
        }
        0
    }

    /// # Safety
    ///
    /// See [`Ops`]; `value` is valid.
    unsafe extern "C" fn put(
        element: *mut sys::snd_kcontrol,
        value: *mut sys::snd_ctl_elem_value,
    ) -> ffi::c_int {
        // SAFETY: ALSA gives us a copy of what user space wrote; any bits are integers.
        let wanted = unsafe {
            let value = &(*value).value;
            match &C::VALUES {
                Values::Enumerated(_) => i64::from(value.enumerated.item[0]),
                // CAST: `long` is 64 bits at most.
                _ => value.integer.value[0] as i64,
            }
        };
        // SAFETY: By the contract of this function.
        let control = unsafe { Self::control(element) };
        from_result(|| match i32::try_from(wanted) {
            Ok(value) if C::VALUES.contain(wanted) => Ok(control.set(value).into()),
            _ => Err(EINVAL),
        })
    }
}
