// SPDX-License-Identifier: GPL-2.0

//! Text files of a card, in `/proc/asound/ID/`.
//!
//! C header: [`include/sound/info.h`](srctree/include/sound/info.h)

use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    error::to_result,
    ffi,
    prelude::*,
    seq_file::SeqFile, //
};

use super::{
    card::NewCard,
    sys, //
};

/// What a file shows.
pub trait Text: Send + Sync + 'static {
    /// Writes the text, as it is at this moment. In process context, by any number of readers at once
    /// and until the card is disconnected, which waits for them.
    fn show(&self, to: &SeqFile);
}

/// A file, owned by the card as one of its devices: ALSA (7.3) forgets the files of a card that is
/// disconnected, so whoever made them has to free them.
struct Entry<T> {
    raw: NonNull<sys::snd_info_entry>,
    text: T,
}

/// Adds a file `name`, readable by all, that shows `text`; it appears with the card.
///
/// # Errors
///
/// `ENOMEM`.
pub fn add_text<T: Text>(card: &mut NewCard, name: &CStr, text: T) -> Result {
    // SAFETY: The card is valid and not registered; the name is copied. No parent means the card's
    // own directory.
    let raw = unsafe {
        sys::snd_info_create_card_entry(card.as_ptr(), name.as_char_ptr(), ptr::null_mut())
    };
    let raw = NonNull::new(raw).ok_or(ENOMEM)?;
    let free = || {
        // SAFETY: The entry is ours, and nobody has seen it.
        unsafe { sys::snd_info_free_entry(raw.as_ptr()) }
    };
    let entry = KBox::new(Entry { raw, text }, GFP_KERNEL).inspect_err(|_| free())?;
    let entry = KBox::into_raw(entry);
    // SAFETY: The entry is valid, and nobody sees it before the card is registered.
    unsafe {
        (*raw.as_ptr()).private_data = entry.cast();
        (*raw.as_ptr()).c.text.read = Some(Calls::<T>::read);
    }
    // SAFETY: The card is valid and not registered, the table lives for ever, and the pointer is to
    // what `free` expects.
    to_result(unsafe {
        sys::snd_device_new(
            card.as_ptr(),
            sys::snd_device_type_SNDRV_DEV_LOWLEVEL,
            entry.cast(),
            Calls::<T>::DEVICE,
        )
    })
    .inspect_err(|_| {
        free();
        // SAFETY: It came from `into_raw`, and nobody else has it.
        drop(unsafe { KBox::from_raw(entry) });
    })
}

/// The functions that ALSA calls for an [`Entry`] of a `T`.
struct Calls<T>(PhantomData<T>);

impl<T: Text> Calls<T> {
    const DEVICE: &'static sys::snd_device_ops = &sys::snd_device_ops {
        dev_free: Some(Self::free),
        dev_register: None,
        dev_disconnect: None,
    };

    /// # Safety
    ///
    /// Called by ALSA for an entry made by [`add_text`] of a `T`, as long as its file exists, with
    /// the buffer of a reader.
    unsafe extern "C" fn read(raw: *mut sys::snd_info_entry, buffer: *mut sys::snd_info_buffer) {
        // SAFETY: `add_text` put it there, and `free` comes after the file has gone.
        let entry = unsafe { &*(*raw).private_data.cast::<Entry<T>>() };
        // SAFETY: What ALSA calls the buffer is the reader's sequential file, as `snd_iprintf()` has
        // it, and this thread has it during this call.
        let to = unsafe { SeqFile::from_raw((*buffer).buffer.cast()) };
        entry.text.show(to);
    }

    /// # Safety
    ///
    /// Called by ALSA once, for a device made by [`add_text`] of a `T`.
    unsafe extern "C" fn free(device: *mut sys::snd_device) -> ffi::c_int {
        // SAFETY: `add_text` put the box there.
        let entry = unsafe { KBox::<Entry<T>>::from_raw((*device).device_data.cast()) };
        // SAFETY: The entry is valid: nobody else frees it before the card's devices are freed.
        unsafe { sys::snd_info_free_entry(entry.raw.as_ptr()) };
        0
    }
}
