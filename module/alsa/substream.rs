// SPDX-License-Identifier: GPL-2.0

//! An open substream and the stream lock that guards it.

use core::{
    cell::UnsafeCell,
    mem::offset_of,
    num::NonZeroU32,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    bindings,
    prelude::*,
    types::Opaque, //
};

use super::{
    area::Area,
    hardware::{
        Layout,
        SampleFormat, //
    },
    pcm::Stream,
    sys,
    timer::{
        HasTimer,
        Timer, //
    }, //
};

/// What the application configured.
#[derive(Clone, Copy)]
pub struct Config {
    /// Rate, channels and format.
    pub layout: Layout,
    /// Frames in a period.
    pub period_frames: NonZeroU32,
    /// Frames in the buffer, a whole number of periods.
    pub buffer_frames: NonZeroU32,
}

/// What a driver keeps for a substream while it is open.
///
/// # Invariants
///
/// - `raw` is an open substream with a runtime, of a PCM whose `private_data` is an `S::Device`.
/// - `state` and `has_buffer` are accessed under the stream lock of `raw` only.
#[pin_data]
pub struct Substream<S: Stream> {
    raw: NonNull<sys::snd_pcm_substream>,
    state: UnsafeCell<S>,
    /// From the end of `hw_params` to `hw_free`; ALSA may be replacing it even then.
    has_buffer: UnsafeCell<bool>,
    #[pin]
    timer: Timer,
}

// SAFETY: ALSA's substreams belong to no thread, and the state may move between threads.
unsafe impl<S: Stream> Send for Substream<S> {}
// SAFETY: By the second invariant.
unsafe impl<S: Stream> Sync for Substream<S> {}

impl<S: Stream> Substream<S> {
    /// # Safety
    ///
    /// The first invariant holds for `raw` as long as the object lives.
    pub(super) unsafe fn new(raw: NonNull<sys::snd_pcm_substream>, state: S) -> impl PinInit<Self> {
        // INVARIANT: By the contract of this function; nobody else has the state yet.
        pin_init!(Self {
            raw,
            state: UnsafeCell::new(state),
            has_buffer: UnsafeCell::new(false),
            timer <- Timer::new::<Self>(),
        })
    }

    /// Calls `f` under the stream lock.
    pub(super) fn with_lock<R>(&self, f: impl FnOnce(&mut Locked<'_, S>) -> R) -> R {
        // SAFETY: By the invariants the substream is valid.
        let flags = unsafe { sys::_snd_pcm_stream_lock_irqsave(self.raw.as_ptr()) };
        // SAFETY: It is locked now.
        let mut stream = unsafe { self.assume_locked() };
        let result = f(&mut stream);
        // SAFETY: The lock was taken above, with these flags.
        unsafe { sys::snd_pcm_stream_unlock_irqrestore(self.raw.as_ptr(), flags) };
        result
    }

    /// # Safety
    ///
    /// The stream lock is held as long as the result lives, and there is no other result in use.
    pub(super) unsafe fn assume_locked(&self) -> Locked<'_, S> {
        // INVARIANT: By the contract of this function.
        Locked { open: self }
    }

    /// Unsets the timer and waits for a tick to end. Not under the stream lock.
    pub(super) fn unset_timer(&self) {
        self.timer.unset();
    }
}

// SAFETY: `from_timer` goes back by the offset of the field.
unsafe impl<S: Stream> HasTimer for Substream<S> {
    unsafe fn from_timer(timer: *mut bindings::hrtimer) -> *const Self {
        let timer = Opaque::cast_from(timer.cast_const()).cast::<u8>();
        let offset = offset_of!(Self, timer).wrapping_add(Timer::OFFSET);
        // SAFETY: By the contract of this function the timer is that field of a `Self`.
        unsafe { timer.sub(offset) }.cast()
    }

    fn expired(&self) {
        self.with_lock(S::tick);
    }
}

/// An open substream while its stream lock is held and interrupts are off.
///
/// # Invariants
///
/// The stream lock is held.
pub struct Locked<'a, S: Stream> {
    open: &'a Substream<S>,
}

impl<S: Stream> Locked<'_, S> {
    /// The PCM device.
    pub fn device(&self) -> &S::Device {
        // SAFETY: By the invariants of `Substream`; the PCM outlives its substreams.
        unsafe {
            &*(*(*self.open.raw.as_ptr()).pcm)
                .private_data
                .cast::<S::Device>()
        }
    }

    /// What the driver keeps.
    pub fn state(&mut self) -> &mut S {
        // SAFETY: The stream lock is held, and `&mut self` keeps this from being called again, also
        // by an operation that ALSA calls from inside of `period_elapsed`.
        unsafe { &mut *self.open.state.get() }
    }

    fn runtime(&self) -> *mut sys::snd_pcm_runtime {
        // SAFETY: By the invariants of `Substream` there is one.
        unsafe { (*self.open.raw.as_ptr()).runtime }
    }

    /// What the application configured; before it did, sizes of 1 and the rest 0.
    pub fn config(&self) -> Config {
        let runtime = self.runtime();
        // ALSA bounds the sizes by `buffer_bytes_max`.
        let frames = |size: sys::snd_pcm_uframes_t| {
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            NonZeroU32::new(size).unwrap_or(NonZeroU32::MIN)
        };
        // SAFETY: The runtime is valid, and these fields do not change in a stream that can be
        // locked by one of our operations or our timer.
        unsafe {
            Config {
                layout: Layout {
                    rate: (*runtime).rate,
                    channels: (*runtime).channels,
                    format: SampleFormat((*runtime).format.unsigned_abs()),
                },
                period_frames: frames((*runtime).period_size),
                buffer_frames: frames((*runtime).buffer_size),
            }
        }
    }

    /// For playback: frames that the application has queued behind the frame that [`Stream::pointer`] returned
    /// last; 0 where it is late, or says something impossible.
    pub fn queued(&self) -> u64 {
        let runtime = self.runtime();
        // SAFETY: The runtime and its status and control pages are valid. The application may write
        // the control page at any time, hence a volatile read, once.
        let (hw_ptr, appl_ptr) = unsafe {
            (
                (*(*runtime).status).hw_ptr,
                ptr::read_volatile(&raw const (*(*runtime).control).appl_ptr),
            )
        };
        // SAFETY: The runtime is valid.
        let (boundary, buffer_size) = unsafe { ((*runtime).boundary, (*runtime).buffer_size) };
        let mut queued = appl_ptr.wrapping_sub(hw_ptr);
        if appl_ptr < hw_ptr {
            queued = queued.wrapping_add(boundary);
        }
        if queued > buffer_size {
            queued = 0;
        }
        // CAST: `unsigned long` is 64 bits at most.
        queued as u64
    }

    /// Whether the stream ends when nothing is queued: it drains, or ALSA will stop it for an xrun.
    pub fn ends_when_empty(&self) -> bool {
        let runtime = self.runtime();
        // SAFETY: The runtime is valid.
        let (threshold, size) = unsafe { ((*runtime).stop_threshold, (*runtime).buffer_size) };
        threshold <= size || self.is_draining()
    }

    /// Whether ALSA stops the stream for an xrun, if it stops it now.
    pub fn is_late(&self) -> bool {
        let runtime = self.runtime();
        // SAFETY: The runtime is valid.
        let (threshold, size) = unsafe { ((*runtime).stop_threshold, (*runtime).buffer_size) };
        // CAST: `unsigned long` is 64 bits at most.
        let free = (size as u64).saturating_sub(self.queued());
        !self.is_draining() && free >= threshold as u64
    }

    /// Whether the application has written its last frame.
    pub fn is_draining(&self) -> bool {
        self.alsa_state() == sys::SNDRV_PCM_STATE_DRAINING
    }

    /// Whether the card is taken away.
    pub fn is_disconnected(&self) -> bool {
        self.alsa_state() == sys::SNDRV_PCM_STATE_DISCONNECTED
    }

    pub(super) fn is_running(&self) -> bool {
        self.alsa_state() == sys::SNDRV_PCM_STATE_RUNNING || self.is_draining()
    }

    /// An `SNDRV_PCM_STATE_*`.
    fn alsa_state(&self) -> u32 {
        // SAFETY: The runtime is valid, and its state changes under the stream lock.
        unsafe { (*self.runtime()).state }.unsigned_abs()
    }

    /// Notes whether there is a buffer.
    pub(super) fn set_has_buffer(&mut self, has_buffer: bool) {
        // SAFETY: The stream lock is held.
        unsafe { *self.open.has_buffer.get() = has_buffer };
    }

    /// Whether there is a buffer that stays while the stream is locked. A stream without one that
    /// draining starts is started all the same by ALSA (7.3).
    pub(super) fn has_buffer(&self) -> bool {
        // SAFETY: The stream lock is held.
        unsafe { *self.open.has_buffer.get() && !self.is_being_configured() }
    }

    /// Whether another thread is configuring the stream or freeing its buffer, which it does without
    /// the stream lock.
    fn is_being_configured(&self) -> bool {
        // SAFETY: The runtime is valid, and the counter is one word.
        let accessing =
            unsafe { ptr::read_volatile(&raw const (*self.runtime()).buffer_accessing.counter) };
        // ORDERING: By the stream lock. Whoever configures makes it negative before looking at the
        // state under this lock: either that came first and is seen here, or our start is seen there.
        accessing < 0
    }

    /// Whether nobody may configure the stream (ALSA 7.3: `snd_pcm_hw_params()`,
    /// `snd_pcm_hw_free()`). Who wants to, or resets a stream that runs, counts as configuring it all
    /// the same until that is found out.
    fn is_beyond_configuring(&self) -> bool {
        matches!(
            self.alsa_state(),
            sys::SNDRV_PCM_STATE_RUNNING
                | sys::SNDRV_PCM_STATE_XRUN
                | sys::SNDRV_PCM_STATE_DRAINING
                | sys::SNDRV_PCM_STATE_PAUSED
                | sys::SNDRV_PCM_STATE_SUSPENDED
        )
    }

    /// The buffer; empty where there is none, and while another thread is configuring the stream.
    pub fn area(&self) -> Area<'_> {
        // SAFETY: The stream lock is held.
        let has_buffer = unsafe { *self.open.has_buffer.get() };
        if !has_buffer || (self.is_being_configured() && !self.is_beyond_configuring()) {
            return Area::empty();
        }
        // SAFETY: The runtime is valid, and the stream lock is held as long as `self` lives. Who
        // configures looks at the state under that lock after announcing it, and gives up or is seen
        // here; who closes takes it to call `hw_free`. Neither frees the buffer before then.
        unsafe { Area::new(self.runtime()) }
    }

    /// Tells ALSA that the position has crossed a period, or that what was queued is played. ALSA
    /// asks for the pointer, and may stop the stream, before this returns.
    pub fn period_elapsed(&mut self) {
        // SAFETY: The substream is valid and the stream lock held.
        unsafe { sys::snd_pcm_period_elapsed_under_stream_lock(self.open.raw.as_ptr()) };
    }

    /// Ends the stream: it has drained, or the application was late. ALSA calls
    /// [`Stream::trigger`] before this returns.
    pub fn end(&mut self) {
        self.stop(match self.is_draining() {
            true => sys::SNDRV_PCM_STATE_SETUP,
            false => sys::SNDRV_PCM_STATE_XRUN,
        });
    }

    /// Stops the stream, and those linked to it, where they run.
    pub(super) fn stop(&mut self, state: u32) {
        // CAST: A small constant.
        let state = state as sys::snd_pcm_state_t;
        // SAFETY: The substream is valid and the stream lock held.
        unsafe { sys::snd_pcm_stop(self.open.raw.as_ptr(), state) };
    }

    /// Has [`Stream::tick`] called at `time`, in nanoseconds of `CLOCK_MONOTONIC`; replaces an
    /// earlier setting.
    pub fn set_timer(&self, time: u64) {
        self.open.timer.set(time);
    }

    /// Unsets the timer; a tick that waits for the stream lock already will still be called.
    pub fn unset_timer(&self) {
        self.open.timer.try_unset();
    }
}
