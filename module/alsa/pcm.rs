// SPDX-License-Identifier: GPL-2.0

//! PCM devices.
//!
//! C header: [`include/sound/pcm.h`](srctree/include/sound/pcm.h)
//!
//! A driver implements [`Stream`] for what it keeps of a substream, once for each direction. ALSA's
//! contexts, which the trait's functions inherit:
//!
//! - `open`, `close`, `dictated` and `prepare`: process context, may sleep; but `prepare` is given
//!   the stream lock;
//! - `trigger`, `pointer`, `ack`, `tick`: under the stream lock with interrupts off, never sleep.
//!
//! Lock order: the stream lock, then whatever locks the driver takes in these functions. Where
//! streams are linked ALSA holds the locks of all of them, so none may take another's.

use core::ptr;

use kernel::{
    error::to_result,
    ffi,
    prelude::*, //
};

use super::{
    card::NewCard,
    channels,
    hardware::{
        Hardware,
        Layout, //
    },
    ops::Ops,
    substream::Locked,
    sys, //
};

/// What a stream is told to do; see `SNDRV_PCM_TRIGGER_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Run from the position that `prepare` left.
    Start,
    /// Stop for good.
    Stop,
    /// Stand still.
    PausePush,
    /// Run on.
    PauseRelease,
    /// The system goes to sleep: stand still.
    Suspend,
    /// It has come back, and the application wants to go on. Only with `SNDRV_PCM_INFO_RESUME`.
    Resume,
    /// The application has written its last frame. Only with `SNDRV_PCM_INFO_DRAIN_TRIGGER`, and not
    /// for a stream that draining itself starts, since ALSA forgets who triggers (7.3).
    Drain,
}

impl Trigger {
    pub(super) fn from_c(cmd: ffi::c_int) -> Option<Self> {
        Some(match cmd.unsigned_abs() {
            sys::SNDRV_PCM_TRIGGER_START => Self::Start,
            sys::SNDRV_PCM_TRIGGER_STOP => Self::Stop,
            sys::SNDRV_PCM_TRIGGER_PAUSE_PUSH => Self::PausePush,
            sys::SNDRV_PCM_TRIGGER_PAUSE_RELEASE => Self::PauseRelease,
            sys::SNDRV_PCM_TRIGGER_SUSPEND => Self::Suspend,
            sys::SNDRV_PCM_TRIGGER_RESUME => Self::Resume,
            sys::SNDRV_PCM_TRIGGER_DRAIN => Self::Drain,
            _ => return None,
        })
    }
}

/// A direction of a PCM device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Applications play.
    Playback,
    /// Applications record.
    Capture,
}

impl Direction {
    pub(super) fn to_c(self) -> ffi::c_int {
        // CAST: Small constants, of a type that bindgen made up.
        match self {
            Self::Playback => sys::SNDRV_PCM_STREAM_PLAYBACK as ffi::c_int,
            Self::Capture => sys::SNDRV_PCM_STREAM_CAPTURE as ffi::c_int,
        }
    }
}

/// What a driver keeps for an open substream, guarded by its stream lock, and what it does.
pub trait Stream: Sized + Send + 'static {
    /// The PCM device that the substream is one of.
    type Device: Send + Sync + 'static;

    /// The direction.
    const DIRECTION: Direction;

    /// What the device can do in this direction.
    const HARDWARE: Hardware;

    /// Whether [`ack`](Self::ack) is to be called.
    const ACKS: bool = false;

    /// An application opens a substream.
    ///
    /// # Errors
    ///
    /// Whatever the application is to get.
    fn open(device: &Self::Device) -> Result<Self>;

    /// What this open substream can do beyond [`HARDWARE`](Self::HARDWARE), bits `SNDRV_PCM_INFO_*`.
    fn info(&self) -> u32 {
        0
    }

    /// An open substream is about to lose its configuration and its buffer; under the stream lock. It
    /// may still run, where ALSA refused to stop it.
    fn free(_stream: &mut Locked<'_, Self>) {}

    /// A substream that was opened is closed; it runs no more.
    fn close(_device: &Self::Device) {}

    /// The one layout that is possible at this moment, where others are not.
    fn dictated(_device: &Self::Device) -> Option<Layout> {
        None
    }

    /// The application has configured the stream; position 0 is next.
    ///
    /// # Errors
    ///
    /// Whatever the application is to get.
    fn prepare(stream: &mut Locked<'_, Self>) -> Result;

    /// Start, stop and what lies between.
    ///
    /// # Errors
    ///
    /// Whatever the application is to get; what stops cannot fail.
    fn trigger(stream: &mut Locked<'_, Self>, what: Trigger) -> Result;

    /// The frame in the buffer that is played or recorded now, below `buffer_frames`.
    fn pointer(stream: &mut Locked<'_, Self>) -> usize;

    /// The application has moved its pointer, in any state. It does so without a call, in memory that
    /// it shares with ALSA, unless [`info`](Self::info) has `SNDRV_PCM_INFO_SYNC_APPLPTR`.
    fn ack(_stream: &mut Locked<'_, Self>) {}

    /// The substream's timer, see [`Locked::set_timer`], has fired.
    fn tick(stream: &mut Locked<'_, Self>);
}

/// How a PCM device presents itself.
pub struct Names {
    /// What `/proc/asound/pcm` shows.
    pub id: &'static CStr,
    /// For menus, at most 79 bytes.
    pub name: &'static CStr,
}

/// Adds a PCM device to `card`, with one playback substream, of `P`, and `captures` capture
/// substreams, of `C`, and with their channel maps. The card owns `device` from now on.
///
/// # Errors
///
/// `ENOMEM`; `EBUSY` where the card has a PCM with this number.
pub fn add<P: Stream, C: Stream<Device = P::Device>>(
    card: &mut NewCard,
    number: i32,
    names: &Names,
    captures: u8,
    device: P::Device,
) -> Result {
    let device = KBox::new(device, GFP_KERNEL)?;
    let mut pcm = ptr::null_mut();
    // SAFETY: The card is valid and not registered; the id is copied; `pcm` is valid for a write.
    to_result(unsafe {
        let id = names.id.as_char_ptr();
        sys::snd_pcm_new(card.as_ptr(), id, number, 1, captures.into(), &mut pcm)
    })?;
    // SAFETY: `snd_pcm_new` succeeded. The card is not registered, so nobody else looks at the PCM.
    let raw = unsafe { &mut *pcm };
    super::card::copy_name(&mut raw.name, names.name);
    raw.private_data = KBox::into_raw(device).cast();
    raw.private_free = Some(private_free::<P::Device>);
    // SAFETY: The PCM is valid and the tables live for ever.
    unsafe {
        sys::snd_pcm_set_ops(pcm, P::DIRECTION.to_c(), Ops::<P>::TABLE);
        sys::snd_pcm_set_ops(pcm, C::DIRECTION.to_c(), Ops::<C>::TABLE);
    }
    // CAST: A small constant.
    let kind = sys::SNDRV_DMA_TYPE_VMALLOC as ffi::c_int;
    // SAFETY: The PCM is valid; this kind of memory needs no device. Nothing is allocated now.
    to_result(unsafe { sys::snd_pcm_set_managed_buffer_all(pcm, kind, ptr::null_mut(), 0, 0) })?;
    for (direction, hardware) in [(P::DIRECTION, P::HARDWARE), (C::DIRECTION, C::HARDWARE)] {
        // SAFETY: The PCM is valid and its card not registered.
        unsafe { channels::add_maps(pcm, direction, hardware.channels_range.1) }?;
    }
    Ok(())
}

/// Takes the device nodes of a PCM's streams away, where they are there.
///
/// # Safety
///
/// `pcm` must be valid.
pub(super) unsafe fn unregister(pcm: *mut sys::snd_pcm) {
    // SAFETY: As the caller promises; ALSA has made a device for each stream that has substreams. It
    // looks the device up among those that are registered.
    unsafe {
        for device in [(*pcm).streams[0].dev, (*pcm).streams[1].dev] {
            if !device.is_null() {
                sys::snd_unregister_device(device);
            }
        }
    }
}

/// # Safety
///
/// Called by ALSA once, for a PCM made by [`add`] for a `D`, when nobody uses it any more.
unsafe extern "C" fn private_free<D>(pcm: *mut sys::snd_pcm) {
    // SAFETY: `add` put the box there.
    let device = unsafe { KBox::<D>::from_raw((*pcm).private_data.cast()) };
    drop(device);
}
