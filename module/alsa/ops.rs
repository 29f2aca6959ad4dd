// SPDX-License-Identifier: GPL-2.0

//! The PCM operations that ALSA calls, for any [`Stream`].

use core::{
    marker::PhantomData,
    mem,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    error::from_result,
    ffi,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

use crate::compat::ebadfd;

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
/// succeeded and the end of the runtime.
///
/// That is not before `close`: ALSA (7.3) unlinks a stream after it, and until then whoever prepares,
/// starts or stops a linked one calls these functions for both. What `open` made is therefore looked
/// for, and taken away, under the stream lock.
pub(super) struct Ops<S>(PhantomData<S>);

impl<S: Stream> Ops<S> {
    pub(super) const TABLE: &'static sys::snd_pcm_ops = &sys::snd_pcm_ops {
        open: Some(Self::open),
        close: Some(Self::close),
        ioctl: None,
        hw_params: Some(Self::hw_params),
        hw_free: Some(Self::hw_free),
        prepare: Some(Self::prepare),
        trigger: Some(Self::trigger),
        sync_stop: Some(Self::sync_stop),
        pointer: Some(Self::pointer),
        get_time_info: None,
        fill_silence: None,
        copy: None,
        page: None,
        // ALSA's own, which it would call in any case. But without one it looks, to tell an application
        // what the hardware can do, at a buffer that another thread may be replacing (7.3).
        mmap: Some(sys::snd_pcm_lib_default_mmap),
        ack: if S::ACKS { Some(Self::ack) } else { None },
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
            runtime.hw.info |= state.info();
            // SAFETY: The substream outlives the object: `close` takes it away.
            let open = unsafe { Substream::<S>::new(substream, state) };
            match Arc::pin_init(open, GFP_KERNEL) {
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
        let take = |_: Option<ArcBorrow<'_, _>>| {
            // SAFETY: The runtime lives until after `close`.
            let runtime = unsafe { &mut *(*raw).runtime };
            mem::replace(&mut runtime.private_data, ptr::null_mut())
        };
        // SAFETY: By the common requirement.
        let private = unsafe { Self::with_lock(raw, take) };
        // SAFETY: `open` put it there, and nobody can borrow it any more: that takes the lock.
        let open = unsafe { <Arc<Substream<S>>>::from_foreign(private) };
        open.unset_timer();
        drop(open);
        // SAFETY: `pcm::add` put the device there, and it lives as long as the PCM.
        S::close(unsafe { &*(*(*raw).pcm).private_data.cast::<S::Device>() });
        0
    }

    /// The stream has a buffer from now on.
    ///
    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn hw_params(
        raw: *mut sys::snd_pcm_substream,
        _params: *mut sys::snd_pcm_hw_params,
    ) -> ffi::c_int {
        let configured = |open: Option<ArcBorrow<'_, Substream<S>>>| {
            // SAFETY: The stream lock is held.
            open.map(|open| unsafe { open.assume_locked() }.set_has_buffer(true))
        };
        // SAFETY: By the common requirement.
        unsafe { Self::with_lock(raw, configured) };
        0
    }

    /// The stream has none any more, when this returns.
    ///
    /// It may be running: between stopping a stream that is closed and this call, ALSA (7.3) lets
    /// whoever has a linked one prepare and start both.
    ///
    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn hw_free(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        let free = |open: Option<ArcBorrow<'_, Substream<S>>>| {
            if let Some(open) = open {
                // SAFETY: The stream lock is held.
                let mut stream = unsafe { open.assume_locked() };
                if stream.is_running() {
                    stream.stop(sys::SNDRV_PCM_STATE_SETUP);
                }
                S::free(&mut stream);
                stream.set_has_buffer(false);
            }
        };
        // SAFETY: By the common requirement.
        unsafe { Self::with_lock(raw, free) };
        0
    }

    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn prepare(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        let prepare = |open: Option<ArcBorrow<'_, Substream<S>>>| {
            let open = open.ok_or(ebadfd())?;
            // SAFETY: The stream lock is held.
            let mut stream = unsafe { open.assume_locked() };
            S::prepare(&mut stream)
        };
        // SAFETY: By the common requirement.
        from_result(|| unsafe { Self::with_lock(raw, prepare) }.map(|()| 0))
    }

    /// # Safety
    ///
    /// See [`Ops`]; under the stream lock.
    unsafe extern "C" fn trigger(raw: *mut sys::snd_pcm_substream, cmd: ffi::c_int) -> ffi::c_int {
        // SAFETY: By the common requirement; ALSA holds the stream lock.
        let open = unsafe { Self::opened(raw) };
        from_result(|| {
            let open = open.ok_or(ebadfd())?;
            // SAFETY: ALSA holds the stream lock.
            let mut stream = unsafe { open.assume_locked() };
            let what = Trigger::from_c(cmd).ok_or(EINVAL)?;
            if what == Trigger::Start && !stream.has_buffer() {
                return Err(ebadfd());
            }
            S::trigger(&mut stream, what).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// See [`Ops`]; under the stream lock.
    unsafe extern "C" fn pointer(raw: *mut sys::snd_pcm_substream) -> sys::snd_pcm_uframes_t {
        // SAFETY: By the common requirement; ALSA holds the stream lock.
        let Some(open) = (unsafe { Self::opened(raw) }) else {
            return 0;
        };
        // SAFETY: ALSA holds the stream lock.
        let mut stream = unsafe { open.assume_locked() };
        S::pointer(&mut stream)
    }

    /// # Safety
    ///
    /// See [`Ops`]; under the stream lock.
    unsafe extern "C" fn ack(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        // SAFETY: By the common requirement; ALSA holds the stream lock.
        if let Some(open) = unsafe { Self::opened(raw) } {
            // SAFETY: ALSA holds the stream lock.
            let mut stream = unsafe { open.assume_locked() };
            S::ack(&mut stream);
        }
        0
    }

    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn sync_stop(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        let keep = |open: Option<ArcBorrow<'_, _>>| open.map(Arc::from);
        // SAFETY: By the common requirement.
        let open: Option<Arc<Substream<S>>> = unsafe { Self::with_lock(raw, keep) };
        if let Some(open) = open {
            open.unset_timer();
        }
        0
    }

    /// Calls `f` under the stream lock, with what `open` made unless `close` took it away.
    ///
    /// # Safety
    ///
    /// See [`Ops`]; not under the stream lock.
    unsafe fn with_lock<R>(
        raw: *mut sys::snd_pcm_substream,
        f: impl FnOnce(Option<ArcBorrow<'_, Substream<S>>>) -> R,
    ) -> R {
        // SAFETY: The substream is valid.
        let flags = unsafe { sys::_snd_pcm_stream_lock_irqsave(raw) };
        // SAFETY: By the contract of this function; it is locked now.
        let result = f(unsafe { Self::opened(raw) });
        // SAFETY: The lock was taken above, with these flags.
        unsafe { sys::snd_pcm_stream_unlock_irqrestore(raw, flags) };
        result
    }

    /// What `open` made for the substream, unless `close` took it away.
    ///
    /// # Safety
    ///
    /// See [`Ops`]; under the stream lock, which is held as long as the result lives.
    unsafe fn opened<'a>(raw: *mut sys::snd_pcm_substream) -> Option<ArcBorrow<'a, Substream<S>>> {
        // SAFETY: The substream and its runtime are valid.
        let private = unsafe { (*(*raw).runtime).private_data };
        // SAFETY: `open` put it there, and only `close` takes it away, under the stream lock.
        (!private.is_null()).then(|| unsafe { <Arc<Substream<S>>>::borrow(private) })
    }
}
