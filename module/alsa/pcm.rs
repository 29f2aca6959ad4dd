// SPDX-License-Identifier: GPL-2.0

//! PCM devices for playback.
//!
//! C header: [`include/sound/pcm.h`](srctree/include/sound/pcm.h)
//!
//! A driver implements [`Playback`]. ALSA's contexts, which the trait's methods inherit:
//!
//! - `open` and `prepare`: process context, may sleep; `prepare` is given the stream lock;
//! - `trigger`, `pointer`, `tick`: under the stream lock with interrupts off, never sleep.
//!
//! Lock order: the stream lock, then whatever locks the driver takes in these methods.

use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi,
    prelude::*,
    types::ForeignOwnable, //
};

use super::{
    card::NewCard,
    substream::{
        Locked,
        Substream, //
    },
    sys, //
};

/// A sample format, an `SNDRV_PCM_FORMAT_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SampleFormat(pub u32);

impl SampleFormat {
    /// Signed 16-bit integers, little-endian.
    pub const S16_LE: Self = Self(sys::SNDRV_PCM_FORMAT_S16_LE);
    /// 32-bit floats, little-endian.
    pub const FLOAT_LE: Self = Self(sys::SNDRV_PCM_FORMAT_FLOAT_LE);

    const fn bit(self) -> u64 {
        // OVERFLOW: ALSA numbers formats from 0 to 63.
        1u64.wrapping_shl(self.0)
    }
}

/// What a PCM can do, as `struct snd_pcm_hardware` says it. Buffers hold a whole number of periods.
pub struct Hardware {
    /// Bits `SNDRV_PCM_INFO_*`.
    pub info: u32,
    /// The sample formats.
    pub formats: &'static [SampleFormat],
    /// Bits `SNDRV_PCM_RATE_*`.
    pub rates: u32,
    /// Lowest and highest rate, in frames per second.
    pub rate_range: (u32, u32),
    /// Fewest and most samples per frame.
    pub channels_range: (u32, u32),
    /// Largest buffer, in bytes.
    pub buffer_bytes_max: usize,
    /// Smallest and largest period, in bytes.
    pub period_bytes_range: (usize, usize),
    /// Fewest and most periods in a buffer.
    pub periods_range: (u32, u32),
}

impl Hardware {
    fn to_c(&self) -> sys::snd_pcm_hardware {
        let bits = |all, format: &SampleFormat| all | format.bit();
        sys::snd_pcm_hardware {
            info: self.info,
            formats: self.formats.iter().fold(0, bits),
            rates: self.rates,
            rate_min: self.rate_range.0,
            rate_max: self.rate_range.1,
            channels_min: self.channels_range.0,
            channels_max: self.channels_range.1,
            buffer_bytes_max: self.buffer_bytes_max,
            period_bytes_min: self.period_bytes_range.0,
            period_bytes_max: self.period_bytes_range.1,
            periods_min: self.periods_range.0,
            periods_max: self.periods_range.1,
            ..Default::default()
        }
    }
}

/// What a stream is told to do; see `SNDRV_PCM_TRIGGER_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Play from the position that `prepare` left.
    Start,
    /// Stop for good; also where the system goes to sleep, since the application has to prepare the
    /// stream anew then.
    Stop,
    /// Stand still.
    PausePush,
    /// Play on.
    PauseRelease,
    /// The application has written its last frame. Only with `SNDRV_PCM_INFO_DRAIN_TRIGGER`, and not
    /// for a stream that draining itself starts, since ALSA forgets who triggers (7.3).
    Drain,
}

impl Trigger {
    fn from_c(cmd: ffi::c_int) -> Option<Self> {
        Some(match cmd.unsigned_abs() {
            sys::SNDRV_PCM_TRIGGER_START => Self::Start,
            sys::SNDRV_PCM_TRIGGER_STOP | sys::SNDRV_PCM_TRIGGER_SUSPEND => Self::Stop,
            sys::SNDRV_PCM_TRIGGER_PAUSE_PUSH => Self::PausePush,
            sys::SNDRV_PCM_TRIGGER_PAUSE_RELEASE => Self::PauseRelease,
            sys::SNDRV_PCM_TRIGGER_DRAIN => Self::Drain,
            _ => return None,
        })
    }
}

/// The playback direction of a PCM device.
pub trait Playback: Sized + Send + Sync + 'static {
    /// What an open substream keeps, guarded by its stream lock.
    type State: Send;

    /// What the device can do.
    const HARDWARE: Hardware;

    /// An application opens a substream.
    fn open(&self) -> Result<Self::State>;

    /// The application has configured the stream; position 0 is next.
    fn prepare(stream: &mut Locked<'_, Self>) -> Result;

    /// Start, stop and what lies between.
    fn trigger(stream: &mut Locked<'_, Self>, what: Trigger) -> Result;

    /// The frame in the buffer that plays now, below `buffer_frames`.
    fn pointer(stream: &mut Locked<'_, Self>) -> usize;

    /// The substream's timer, see [`Locked::set_timer`], has fired.
    fn tick(stream: &mut Locked<'_, Self>);
}

/// Adds a PCM device with one playback substream to `card`.
///
/// `id` and `name` are what `/proc/asound/pcm` and menus show. The card owns `device` from now on.
///
/// # Errors
///
/// `ENOMEM`; `EBUSY` where the card has a PCM with this number.
pub fn add_playback<P: Playback>(
    card: &mut NewCard,
    number: i32,
    id: &CStr,
    name: &CStr,
    device: P,
) -> Result {
    let device = KBox::new(device, GFP_KERNEL)?;
    let mut pcm = ptr::null_mut();
    // SAFETY: The card is valid and not registered; the id is copied; `pcm` is valid for a write.
    to_result(unsafe {
        sys::snd_pcm_new(card.as_ptr(), id.as_char_ptr(), number, 1, 0, &mut pcm)
    })?;
    // SAFETY: `snd_pcm_new` succeeded. The card is not registered, so nobody else looks at the PCM.
    let raw = unsafe { &mut *pcm };
    super::card::copy_name(&mut raw.name, name);
    raw.private_data = KBox::into_raw(device).cast();
    raw.private_free = Some(private_free::<P>);
    // CAST: The constant has a type of bindgen's making.
    let direction = sys::SNDRV_PCM_STREAM_PLAYBACK as ffi::c_int;
    // SAFETY: The PCM is valid and the table lives for ever.
    unsafe { sys::snd_pcm_set_ops(pcm, direction, Ops::<P>::TABLE) };
    // CAST: A small constant.
    let kind = sys::SNDRV_DMA_TYPE_VMALLOC as ffi::c_int;
    // SAFETY: The PCM is valid; this kind of memory needs no device. Nothing is allocated now.
    to_result(unsafe { sys::snd_pcm_set_managed_buffer_all(pcm, kind, ptr::null_mut(), 0, 0) })
}

/// # Safety
///
/// Called by ALSA once, for a PCM made by [`add_playback`] of a `P`, when nobody uses it any more.
unsafe extern "C" fn private_free<P: Playback>(pcm: *mut sys::snd_pcm) {
    // SAFETY: `add_playback` put the box there.
    let device = unsafe { KBox::<P>::from_raw((*pcm).private_data.cast()) };
    drop(device);
}

/// The functions that ALSA calls. Each rebuilds references, calls the trait and translates errors.
///
/// Their common safety requirement: ALSA calls them for a substream of a PCM made by
/// [`add_playback`] of a `P`; those behind `open` between an `open` that succeeded and `close`.
struct Ops<P>(PhantomData<P>);

impl<P: Playback> Ops<P> {
    const TABLE: &'static sys::snd_pcm_ops = &sys::snd_pcm_ops {
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
            runtime.hw = P::HARDWARE.to_c();
            // CAST: A small constant.
            let periods = sys::SNDRV_PCM_HW_PARAM_PERIODS as ffi::c_int;
            // SAFETY: The runtime is valid and being opened.
            to_result(unsafe { sys::snd_pcm_hw_constraint_integer(runtime, periods) })?;
            // SAFETY: `add_playback` put a `P` there, and it lives as long as the PCM.
            let device = unsafe { &*(*(*raw).pcm).private_data.cast::<P>() };
            let state = device.open()?;
            // SAFETY: The substream outlives the object: `close` takes it away.
            let open = unsafe { Substream::<P>::new(substream, state) };
            runtime.private_data = KBox::pin_init(open, GFP_KERNEL)?.into_foreign();
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
        let open = unsafe { <Pin<KBox<Substream<P>>>>::from_foreign(runtime.private_data) };
        runtime.private_data = ptr::null_mut();
        drop(open);
        0
    }

    /// # Safety
    ///
    /// See [`Ops`].
    unsafe extern "C" fn prepare(raw: *mut sys::snd_pcm_substream) -> ffi::c_int {
        // SAFETY: By the common requirement.
        let open = unsafe { Self::opened(raw) };
        from_result(|| open.with_lock(P::prepare).map(|()| 0))
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
            P::trigger(&mut stream, what).map(|()| 0)
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
        P::pointer(&mut stream)
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
    unsafe fn opened<'a>(raw: *mut sys::snd_pcm_substream) -> Pin<&'a Substream<P>> {
        // SAFETY: The substream and its runtime are valid while it is open.
        let private = unsafe { (*(*raw).runtime).private_data };
        // SAFETY: `open` put the box there, and only `close` takes it away.
        unsafe { <Pin<KBox<Substream<P>>>>::borrow(private) }
    }
}
