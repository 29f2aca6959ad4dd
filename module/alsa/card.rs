// SPDX-License-Identifier: GPL-2.0

//! Sound cards.
//!
//! C header: [`include/sound/core.h`](srctree/include/sound/core.h)

use core::ptr::{
    self,
    NonNull, //
};

use kernel::{
    container_of,
    device::{
        Bound,
        Device, //
    },
    error::to_result,
    prelude::*, //
};

use super::{
    pcm,
    sys, //
};

/// How a card presents itself.
pub struct Names {
    /// The card's id, as in `hw:ID`; ALSA makes it unique by a suffix.
    pub id: &'static CStr,
    /// The driver's name, at most 15 bytes; what card configurations are looked up by.
    pub driver: &'static CStr,
    /// A name for menus, at most 31 bytes.
    pub short: &'static CStr,
    /// A name with details, at most 79 bytes.
    pub long: &'static CStr,
    /// The mixer's name, at most 79 bytes.
    pub mixer: &'static CStr,
}

/// A card that is being put together and that nobody can see yet.
///
/// # Invariants
///
/// The pointer is to a card that this object owns.
pub struct NewCard(NonNull<sys::snd_card>);

// SAFETY: A card is not tied to a thread.
unsafe impl Send for NewCard {}

impl NewCard {
    /// Creates a card below `parent`, with a control device, at ALSA's index `index` or, where that
    /// is negative, at the first free one.
    ///
    /// # Errors
    ///
    /// `EBUSY` where the index is taken, `ENODEV` where none is free, `EINVAL` for an index beyond
    /// ALSA's limit, `ENOMEM`.
    pub fn new(
        parent: &Device<Bound>,
        index: i32,
        names: &Names,
        module: &'static ThisModule,
    ) -> Result<Self> {
        let mut card = ptr::null_mut();
        // SAFETY:
        // - `Device` is a transparent wrapper of `struct device`, and `parent` outlives the call;
        //   ALSA takes a reference of its own.
        // - The id is NUL-terminated and copied; `card` is valid for a write.
        to_result(unsafe {
            sys::snd_card_new(
                ptr::from_ref(parent).cast_mut().cast(),
                index,
                names.id.as_char_ptr(),
                module.as_ptr(),
                0,
                &mut card,
            )
        })?;
        // INVARIANT: `snd_card_new` gave us the card.
        let card = Self(NonNull::new(card).ok_or(ENOMEM)?);
        // SAFETY: The card is ours and not registered, so that nobody else looks at its names.
        let raw = unsafe { &mut *card.as_ptr() };
        copy_name(&mut raw.driver, names.driver);
        copy_name(&mut raw.shortname, names.short);
        copy_name(&mut raw.longname, names.long);
        copy_name(&mut raw.mixername, names.mixer);
        Ok(card)
    }

    /// The card's index, as in `hw:N`.
    pub fn index(&self) -> u32 {
        // SAFETY: By the invariant the card is valid, and its number never changes.
        let number = unsafe { (*self.as_ptr()).number };
        // CAST: ALSA numbers cards from 0 on.
        number.unsigned_abs()
    }

    pub(super) fn as_ptr(&self) -> *mut sys::snd_card {
        self.0.as_ptr()
    }

    /// Makes the card and its devices visible to user space.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what creating a device node fails with.
    pub fn register(self) -> Result<Card> {
        // SAFETY: By the invariant the card is valid.
        let registered = to_result(unsafe { sys::snd_card_register(self.as_ptr()) });
        if let Err(error) = registered {
            self.unregister_halves();
            return Err(error);
        }
        // INVARIANT: The card is registered.
        Ok(Card(self))
    }

    /// Unregisters the streams of PCM devices of which ALSA has registered only some, which it leaves
    /// as they are (7.3): one that stays registered holds the card, and freeing that never ends.
    fn unregister_halves(&self) {
        // SAFETY: By the invariant the card is valid. Its list of devices is only changed by who puts
        // the card together, which is us.
        unsafe {
            let head = &raw mut (*self.as_ptr()).devices;
            let mut entry = (*head).next;
            while !ptr::eq(entry, head) {
                let device = container_of!(entry, sys::snd_device, list);
                if (*device).type_ == sys::snd_device_type_SNDRV_DEV_PCM {
                    pcm::unregister((*device).device_data.cast());
                }
                entry = (*entry).next;
            }
        }
    }
}

impl Drop for NewCard {
    fn drop(&mut self) {
        // SAFETY: By the invariant the card is ours. ALSA disconnects it, waits until user space has
        // closed its devices, and calls their `private_free`.
        unsafe { sys::snd_card_free(self.as_ptr()) };
    }
}

/// A card that user space can use; dropping it waits until nobody does.
///
/// # Invariants
///
/// The card is registered, or disconnected after that.
pub struct Card(NewCard);

// SAFETY: What `&self` gives access to does not change after registration.
unsafe impl Sync for Card {}

impl Card {
    /// Takes the card away from user space, whoever uses it: its devices go, streams stop, and open
    /// files are good for nothing but closing. What belongs to the card lives until it is dropped.
    ///
    /// For process context; more than once is as good as once. Takes ALSA's locks, the stream locks
    /// among them, and waits for calls of the card's controls that are under way.
    ///
    /// It is left to the drop to free the card, and not to the last user to go: ALSA puts a file's
    /// reference to the module before the file's reference to the card, so that the module might be
    /// gone when the card calls it to be freed.
    pub fn disconnect(&self) {
        // SAFETY: By the invariants the card is valid. ALSA does its own locking, against users as
        // well as against another caller.
        unsafe { sys::snd_card_disconnect(self.0.as_ptr()) };
    }

    /// The card's index, as in `hw:N`.
    pub fn index(&self) -> u32 {
        self.0.index()
    }

    /// The card's id, NUL-padded.
    pub fn id(&self) -> [u8; 16] {
        // SAFETY: By the invariants the card is valid. Root can rename a card through sysfs; a copy
        // made just then may be of both names, and is terminated all the same.
        unsafe { (*self.0.as_ptr()).id }
    }
}

/// Copies as much of `name` as fits before the last byte, which stays NUL like the rest.
pub(super) fn copy_name(place: &mut [u8], name: &CStr) {
    if let Some((_, room)) = place.split_last_mut() {
        for (to, from) in room.iter_mut().zip(name.to_bytes_with_nul()) {
            *to = *from;
        }
    }
}
