// SPDX-License-Identifier: GPL-2.0

//! The PCM operations that ALSA calls, for any [`Stream`].

use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    error::from_result,
    ffi,
    prelude::*,
    types::ForeignOwnable, //
};

use super::{
    constraint,
    pcm::{
        Stream,
        Trigger, //
    },
    substream::Substream,
    sys, //
};

/// The functions that ALSA calls. Each rebuilds references, calls the trait and translates errors.
///
/// Their common safety requirement: ALSA calls them for a substream of a PCM made by
/// [`pcm::add`](super::pcm::add) in the direction of `S`; those behind `open` between an `open` that
/// succeeded and `close`.
pub(super) struct Ops<S>(PhantomData<S>);

impl<S: Stream> Ops<S> {
    pub(super) const TABLE: &'static sys::snd_pcm_ops = &sys::snd_pcm_ops {
        open: Some(Self::open),
        close: Some(Self::close),
        ioctl: None,
        hw_params: None,
        hw_free: None,
        prepare: Some(Self::prepare),
        trigger: Some(Self::trigger),
        sync_stop: Some(Self::sync_stop),
        pointer: Some(Self::pointer),
        get_time_info: None,
        fill_silence: None,
        copy: None,
        page: None,
        mmap: None,
        ack: None,
    };

    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn open(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        from_result(|| {
            let substream = NonNull::new(raw).ok_or(EINVAL)?;
            // SAFETY: ALSA holds the PCM's open mutex, and gave the substream a runtime.
            let runtime = unsafe { &mut *(*raw).runtime };
            runtime.hw = S::HARDWARE.to_c();
            // SAFETY: `pcm::add` put the device there, and it lives as long as the PCM.
            let device = unsafe { &*(*(*raw).pcm).private_data.cast::<S::Device>() };
            // SAFETY: The runtime is being opened, and its PCM has this device.
            unsafe { constraint::add::<S>(runtime, device) }?;
            let state = S::open(device)?;
            // SAFETY: The substream outlives the object: `close` takes it away.
            let open = unsafe { Substream::<S>::new(substream, state) };
            match KBox::pin_init(open, GFP_KERNEL) {
                Ok(open) => runtime.private_data = open.into_foreign(),
                Err(error) => {
                    S::close(device);
                    return Err(error);
                }
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn close(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        // SAFETY: The runtime lives until after `close`.
        let runtime = unsafe { &mut *(*raw).runtime };
        // SAFETY: `open` put the box there; no other operation runs now or later, and its drop
        // waits for the timer.
        let open = unsafe { <Pin<KBox<Substream<S>>>>::from_foreign(runtime.private_data) };
        runtime.private_data = ptr::null_mut();
        drop(open);
        // SAFETY: `pcm::add` put the device there, and it lives as long as the PCM.
        S::close(unsafe { &*(*(*raw).pcm).private_data.cast::<S::Device>() });
        0
    }

    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn prepare(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        // SAFETY: By the common requirement.
        let open = unsafe { Self::opened(raw) };
        from_result(|| open.with_lock(S::prepare).map(|()| 0))
    }

    /// # Safety
    ///
    /// See [`Ops`]; under the stream lock.
    unsafe extern "C" fn trigger(raw: *mut sys::snd_pcm_substream, cmd: ffi::c_int) -> ffi::c_int {
        // SAFETY: By the common requirement.
        let open = unsafe { Self::opened(raw) };
        // SAFETY: ALSA holds the stream lock.
        let mut stream = unsafe { open.assume_locked() };
        from_result(|| {
            let what = Trigger::from_c(cmd).ok_or(EINVAL)?;
            if what == Trigger::Start && stream.is_being_configured() {
                return Err(EBADFD);
            }
            S::trigger(&mut stream, what).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// See [`Ops`]; under the stream lock.
    unsafe extern "C" fn pointer(raw: *mut sys::snd_pcm_substream) -> sys::snd_pcm_uframes_t {
        // SAFETY: By the common requirement.
        let open = unsafe { Self::opened(raw) };
        // SAFETY: ALSA holds the stream lock.
        let mut stream = unsafe { open.assume_locked() };
        S::pointer(&mut stream)
    }

    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn sync_stop(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        // SAFETY: By the common requirement.
        let open = unsafe { Self::opened(raw) };
        open.unset_timer();
        0
    }

    /// The object that `open` made for the substream.
    ///
    /// # Safety
    ///
    /// See [`Ops`].
    unsafe fn opened<'a>(raw: *mut sys::snd_pcm_substream) -> Pin<&'a Substream<S>> {
        // SAFETY: The substream and its runtime are valid while it is open.
        let private = unsafe { (*(*raw).runtime).private_data };
        // SAFETY: `open` put the box there, and only `close` takes it away.
        unsafe { <Pin<KBox<Substream<S>>>>::borrow(private) }
    }
}
