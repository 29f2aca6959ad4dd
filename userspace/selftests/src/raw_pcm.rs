// SPDX-License-Identifier: MIT OR GPL-2.0

//! A PCM through alsa-lib's C functions: all four ways to write and to read, and both directions.

use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use alsa::Direction;
use alsa_sys as sys;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc::{c_int, c_long, c_void, pollfd, timespec};

use crate::app::Setup;
use crate::time::{wait_until, SECOND};

/// A PCM, configured or not.
pub(crate) struct RawPcm {
    handle: NonNull<sys::snd_pcm_t>,
    setup: Setup,
}

// SAFETY: alsa-lib's PCMs belong to no thread.
unsafe impl Send for RawPcm {}

/// What a PCM said of itself at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// An `SND_PCM_STATE_*`.
    pub(crate) state: u32,
    /// Frames that can be written or read.
    pub(crate) avail: i64,
    /// Frames between the application and the sound.
    pub(crate) delay: i64,
    /// When this was so: `CLOCK_MONOTONIC`, nanoseconds.
    pub(crate) time: u64,
}

/// Memory of alsa-lib's, freed when dropped.
struct Params<T> {
    params: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Params<T> {
    fn new(
        malloc: unsafe extern "C" fn(*mut *mut T) -> c_int,
        free: unsafe extern "C" fn(*mut T),
    ) -> Result<Self, Errno> {
        let mut params = ptr::null_mut();
        // SAFETY: There is a place for the pointer.
        check(unsafe { malloc(&mut params) })?;
        Ok(Self { params, free })
    }
}

impl<T> Drop for Params<T> {
    fn drop(&mut self) {
        // SAFETY: Allocated by the function that goes with this one.
        unsafe { (self.free)(self.params) };
    }
}

/// What a function of alsa-lib's returned.
fn check(result: impl Into<c_long>) -> Result<usize, Errno> {
    let result = result.into();
    usize::try_from(result).map_err(|_| Errno::from_raw(-result as c_int))
}

impl RawPcm {
    /// Opens the PCM of this name.
    pub(crate) fn open(name: &str, direction: Direction) -> Result<Self, Errno> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let stream = match direction {
            Direction::Playback => sys::SND_PCM_STREAM_PLAYBACK,
            Direction::Capture => sys::SND_PCM_STREAM_CAPTURE,
        };
        let mut handle = ptr::null_mut();
        // A substream that is not there now is refused, not waited for.
        let mode = sys::SND_PCM_NONBLOCK as c_int;
        // SAFETY: The name ends with a NUL, and there is a place for the handle.
        check(unsafe { sys::snd_pcm_open(&mut handle, name.as_ptr(), stream, mode) })?;
        let handle = NonNull::new(handle).ok_or(Errno::ENOMEM)?;
        let pcm = Self {
            handle,
            setup: Setup::default(),
        };
        // SAFETY: The handle is open.
        check(unsafe { sys::snd_pcm_nonblock(pcm.handle.as_ptr(), 0) })?;
        Ok(pcm)
    }

    /// What it was set up to last.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The open file of a card's PCM.
    pub(crate) fn file(&self) -> Result<BorrowedFd<'_>, Errno> {
        let mut file = pollfd {
            fd: -1,
            events: 0,
            revents: 0,
        };
        let place = (&raw mut file).cast();
        // SAFETY: The handle is open, and there is a place for one descriptor.
        let count = check(unsafe { sys::snd_pcm_poll_descriptors(self.as_ptr(), place, 1) })?;
        if count != 1 || file.fd < 0 {
            return Err(Errno::EBADF);
        }
        // SAFETY: It is open as long as the handle.
        Ok(unsafe { BorrowedFd::borrow_raw(file.fd) })
    }

    /// Has calls sleep, as they do from the beginning, or not.
    pub(crate) fn set_blocking(&self, blocking: bool) -> Result<(), Errno> {
        // SAFETY: The handle is open.
        check(unsafe { sys::snd_pcm_nonblock(self.as_ptr(), (!blocking).into()) }).map(drop)
    }

    fn as_ptr(&self) -> *mut sys::snd_pcm_t {
        self.handle.as_ptr()
    }

    /// Sets the PCM up.
    pub(crate) fn set_up(&mut self, setup: &Setup) -> Result<(), Errno> {
        self.set_hardware_up(setup)?;
        let sw = Params::new(sys::snd_pcm_sw_params_malloc, sys::snd_pcm_sw_params_free)?;
        let (pcm, params) = (self.as_ptr(), sw.params);
        let start = setup.start_threshold.unwrap_or(1).into();
        // SAFETY: Both are valid; so below.
        check(unsafe { sys::snd_pcm_sw_params_current(pcm, params) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params_set_start_threshold(pcm, params, start) })?;
        let enable = sys::SND_PCM_TSTAMP_ENABLE;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params_set_tstamp_mode(pcm, params, enable) })?;
        let monotonic = sys::SND_PCM_TSTAMP_TYPE_MONOTONIC;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params_set_tstamp_type(pcm, params, monotonic) })?;
        if setup.nonstop {
            let mut boundary = 0;
            // SAFETY: As above, and there is a place for the result.
            check(unsafe { sys::snd_pcm_sw_params_get_boundary(params, &mut boundary) })?;
            // SAFETY: As above.
            check(unsafe { sys::snd_pcm_sw_params_set_stop_threshold(pcm, params, boundary) })?;
        }
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params(pcm, params) })?;
        Ok(())
    }

    /// Has ALSA put silence behind what has been played, for ever, in place of stopping there.
    pub(crate) fn play_silence(&self) -> Result<(), Errno> {
        let sw = Params::new(sys::snd_pcm_sw_params_malloc, sys::snd_pcm_sw_params_free)?;
        let (pcm, params) = (self.as_ptr(), sw.params);
        let mut boundary = 0;
        // SAFETY: Both are valid; so below.
        check(unsafe { sys::snd_pcm_sw_params_current(pcm, params) })?;
        // SAFETY: As above, and there is a place for the result.
        check(unsafe { sys::snd_pcm_sw_params_get_boundary(params, &mut boundary) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params_set_stop_threshold(pcm, params, boundary) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params_set_silence_threshold(pcm, params, 0) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params_set_silence_size(pcm, params, boundary) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_sw_params(pcm, params) }).map(drop)
    }

    fn set_hardware_up(&mut self, setup: &Setup) -> Result<(), Errno> {
        self.setup = *setup;
        let hw = Params::new(sys::snd_pcm_hw_params_malloc, sys::snd_pcm_hw_params_free)?;
        let (pcm, params) = (self.as_ptr(), hw.params);
        let access = match (setup.mmap, setup.planar) {
            (false, false) => sys::SND_PCM_ACCESS_RW_INTERLEAVED,
            (false, true) => sys::SND_PCM_ACCESS_RW_NONINTERLEAVED,
            (true, false) => sys::SND_PCM_ACCESS_MMAP_INTERLEAVED,
            (true, true) => sys::SND_PCM_ACCESS_MMAP_NONINTERLEAVED,
        };
        let format = setup.format as c_int;
        let (period, buffer) = (setup.period.into(), setup.buffer.into());
        // SAFETY: Both are valid; so below.
        check(unsafe { sys::snd_pcm_hw_params_any(pcm, params) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params_set_rate_resample(pcm, params, 0) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params_set_access(pcm, params, access) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params_set_format(pcm, params, format) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params_set_channels(pcm, params, setup.channels) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params_set_rate(pcm, params, setup.rate, 0) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params_set_period_size(pcm, params, period, 0) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params_set_buffer_size(pcm, params, buffer) })?;
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_params(pcm, params) })?;
        Ok(())
    }

    /// Writes interleaved frames, as many as there is room for at once or all, as the PCM blocks;
    /// returns how many.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let frame = self.setup.frame_bytes();
        let frames = (bytes.len() / frame) as u64;
        let pcm = self.as_ptr();
        if !self.setup.planar {
            let call = match self.setup.mmap {
                true => sys::snd_pcm_mmap_writei,
                false => sys::snd_pcm_writei,
            };
            // SAFETY: There are so many frames.
            return check(unsafe { call(pcm, bytes.as_ptr().cast(), frames) });
        }
        let sample = self.setup.sample_bytes();
        let mut planes: Vec<Vec<u8>> = (0..self.setup.channels as usize)
            .map(|channel| {
                let samples = bytes.chunks_exact(frame);
                let samples = samples.map(|frame| &frame[channel * sample..][..sample]);
                samples.flatten().copied().collect()
            })
            .collect();
        let mut pointers = pointers(&mut planes);
        let call = match self.setup.mmap {
            true => sys::snd_pcm_mmap_writen,
            false => sys::snd_pcm_writen,
        };
        // SAFETY: Each channel has so many frames.
        check(unsafe { call(pcm, pointers.as_mut_ptr(), frames) })
    }

    /// Reads interleaved frames until `bytes` is full, or as far as it comes where the PCM does not
    /// block; returns how many.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let frame = self.setup.frame_bytes();
        let frames = bytes.len() / frame;
        let pcm = self.as_ptr();
        if !self.setup.planar {
            let call = match self.setup.mmap {
                true => sys::snd_pcm_mmap_readi,
                false => sys::snd_pcm_readi,
            };
            // SAFETY: There is room for so many frames.
            return check(unsafe { call(pcm, bytes.as_mut_ptr().cast(), frames as u64) });
        }
        let sample = self.setup.sample_bytes();
        let mut planes = vec![vec![0; frames * sample]; self.setup.channels as usize];
        let mut pointers = pointers(&mut planes);
        let call = match self.setup.mmap {
            true => sys::snd_pcm_mmap_readn,
            false => sys::snd_pcm_readn,
        };
        // SAFETY: There is room for so many frames of each channel.
        let read = check(unsafe { call(pcm, pointers.as_mut_ptr(), frames as u64) })?;
        for (at, frame) in bytes.chunks_exact_mut(frame).take(read).enumerate() {
            for (plane, place) in planes.iter().zip(frame.chunks_exact_mut(sample)) {
                place.copy_from_slice(&plane[at * sample..][..sample]);
            }
        }
        Ok(read)
    }

    /// Makes the PCM ready to start.
    pub(crate) fn prepare(&self) -> Result<(), Errno> {
        // SAFETY: The handle is open; so below.
        check(unsafe { sys::snd_pcm_prepare(self.as_ptr()) }).map(drop)
    }

    /// Starts.
    pub(crate) fn start(&self) -> Result<(), Errno> {
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_start(self.as_ptr()) }).map(drop)
    }

    /// Has the PCM play what is queued and stop, and does not wait for it.
    pub(crate) fn begin_drain(&self) -> Result<(), Errno> {
        // SAFETY: As above, here and below.
        check(unsafe { sys::snd_pcm_nonblock(self.as_ptr(), 1) })?;
        // SAFETY: As above.
        let result = check(unsafe { sys::snd_pcm_drain(self.as_ptr()) });
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_nonblock(self.as_ptr(), 0) })?;
        match result {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Has the PCM play what is queued and stop, however long that takes: ALSA itself gives up with
    /// `EIO` where a short buffer has not been played in a tenth of a second, which a busy host is
    /// enough for.
    pub(crate) fn drain(&self) -> Result<()> {
        self.begin_drain().context("drain")?;
        wait_until("the end of the drain", || {
            Ok(self.state() != sys::SND_PCM_STATE_DRAINING)
        })
    }

    /// Passes over frames: what is written or read next is so much further on.
    pub(crate) fn forward(&self, frames: usize) -> Result<usize, Errno> {
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_forward(self.as_ptr(), frames as u64) })
    }

    /// Stops at once.
    pub(crate) fn stop(&self) -> Result<(), Errno> {
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_drop(self.as_ptr()) }).map(drop)
    }

    /// Gives the buffer back.
    pub(crate) fn free(&self) -> Result<(), Errno> {
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_hw_free(self.as_ptr()) }).map(drop)
    }

    /// Pauses, or goes on.
    pub(crate) fn pause(&self, pause: bool) -> Result<(), Errno> {
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_pause(self.as_ptr(), pause.into()) }).map(drop)
    }

    /// Has both start, stop and pause together.
    pub(crate) fn link(&self, other: &Self) -> Result<(), Errno> {
        // SAFETY: As above, for both.
        check(unsafe { sys::snd_pcm_link(self.as_ptr(), other.as_ptr()) }).map(drop)
    }

    /// The state, an `SND_PCM_STATE_*`.
    pub(crate) fn state(&self) -> u32 {
        // SAFETY: As above.
        unsafe { sys::snd_pcm_state(self.as_ptr()) }
    }

    /// Frames that can be written or read now.
    pub(crate) fn avail(&self) -> Result<usize, Errno> {
        // SAFETY: As above.
        check(unsafe { sys::snd_pcm_avail(self.as_ptr()) })
    }

    /// Where it is, and when that was.
    pub(crate) fn reading(&self) -> Result<Reading, Errno> {
        let status = Params::new(sys::snd_pcm_status_malloc, sys::snd_pcm_status_free)?;
        let status = status.params;
        // SAFETY: Both are valid.
        check(unsafe { sys::snd_pcm_status(self.as_ptr(), status) })?;
        let mut time = timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: The status is filled, and there is a place for the time; so below.
        unsafe { sys::snd_pcm_status_get_htstamp(status, (&raw mut time).cast()) };
        // SAFETY: As above.
        let avail = unsafe { sys::snd_pcm_status_get_avail(status) };
        // SAFETY: As above.
        let delay = unsafe { sys::snd_pcm_status_get_delay(status) };
        // SAFETY: As above.
        let state = unsafe { sys::snd_pcm_status_get_state(status) };
        Ok(Reading {
            state,
            avail: avail as i64,
            delay,
            time: time.tv_sec as u64 * SECOND + time.tv_nsec as u64,
        })
    }
}

/// alsa-lib's pointers to the channels.
fn pointers(planes: &mut [Vec<u8>]) -> Vec<*mut c_void> {
    planes
        .iter_mut()
        .map(|plane| plane.as_mut_ptr().cast())
        .collect()
}

impl Drop for RawPcm {
    fn drop(&mut self) {
        // SAFETY: The handle is open, and nobody else has it.
        unsafe { sys::snd_pcm_close(self.as_ptr()) };
    }
}
