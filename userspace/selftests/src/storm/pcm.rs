// SPDX-License-Identifier: MIT OR GPL-2.0

//! A PCM by the ioctls of `<sound/asound.h>`, which, unlike alsa-lib, take any argument.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use bytemuck::{Pod, Zeroable};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::call::{ioctl, request};
use super::dice::Dice;
use crate::module::CARD;

const fn pcm(direction: usize, number: u8, size: usize) -> usize {
    request(direction, b'A', number, size)
}

const VERSION: usize = pcm(2, 0x00, 4);
pub(crate) const HW_REFINE: usize = pcm(3, 0x10, size_of::<HwParams>());
pub(crate) const HW_PARAMS: usize = pcm(3, 0x11, size_of::<HwParams>());
pub(crate) const HW_FREE: usize = pcm(0, 0x12, 0);
pub(crate) const SW_PARAMS: usize = pcm(3, 0x13, size_of::<SwParams>());
pub(crate) const STATUS: usize = pcm(2, 0x20, 152);
pub(crate) const DELAY: usize = pcm(2, 0x21, 8);
pub(crate) const HWSYNC: usize = pcm(0, 0x22, 0);
pub(crate) const SYNC_PTR: usize = pcm(3, 0x23, size_of::<SyncPtr>());
pub(crate) const CHANNEL_INFO: usize = pcm(2, 0x32, 24);
pub(crate) const PREPARE: usize = pcm(0, 0x40, 0);
pub(crate) const RESET: usize = pcm(0, 0x41, 0);
pub(crate) const START: usize = pcm(0, 0x42, 0);
pub(crate) const DROP: usize = pcm(0, 0x43, 0);
pub(crate) const DRAIN: usize = pcm(0, 0x44, 0);
pub(crate) const PAUSE: usize = pcm(1, 0x45, 4);
pub(crate) const REWIND: usize = pcm(1, 0x46, 8);
pub(crate) const RESUME: usize = pcm(0, 0x47, 0);
pub(crate) const XRUN: usize = pcm(0, 0x48, 0);
pub(crate) const FORWARD: usize = pcm(1, 0x49, 8);
pub(crate) const WRITEI: usize = pcm(1, 0x50, size_of::<Transfer>());
pub(crate) const READI: usize = pcm(2, 0x51, size_of::<Transfer>());
pub(crate) const WRITEN: usize = pcm(1, 0x52, size_of::<Transfer>());
pub(crate) const READN: usize = pcm(2, 0x53, size_of::<Transfer>());
pub(crate) const LINK: usize = pcm(1, 0x60, 4);
pub(crate) const UNLINK: usize = pcm(0, 0x61, 0);

/// What can be mapped, by its offset: the buffer, the status page, the control page.
pub(crate) const DATA: usize = 0;
pub(crate) const STATUS_PAGE: usize = 0x8200_0000;
pub(crate) const CONTROL_PAGE: usize = 0x8300_0000;

/// Places in [`HwParams`].
const ACCESS: usize = 0;
const FORMAT: usize = 1;
const CHANNELS: usize = 2;
const RATE: usize = 3;
const PERIOD_SIZE: usize = 5;
const PERIODS: usize = 7;
const BUFFER_SIZE: usize = 9;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Interval {
    min: u32,
    max: u32,
    /// openmin, openmax, integer, empty.
    flags: u32,
}

/// `struct snd_pcm_hw_params`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct HwParams {
    flags: u32,
    masks: [[u32; 8]; 8],
    intervals: [Interval; 21],
    asked: u32,
    changed: u32,
    info: u32,
    significant_bits: u32,
    rate: [u32; 2],
    fifo: u64,
    sync: [u8; 16],
    reserved: [[u8; 16]; 3],
}

/// `struct snd_pcm_sw_params`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SwParams {
    tstamp_mode: i32,
    period_step: u32,
    sleep_min: u32,
    padding: u32,
    avail_min: u64,
    align: u64,
    start_threshold: u64,
    stop_threshold: u64,
    silence_threshold: u64,
    silence_size: u64,
    boundary: u64,
    protocol: u32,
    tstamp_type: u32,
    reserved: [u64; 7],
}

/// `struct snd_pcm_sync_ptr`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SyncPtr {
    flags: u32,
    padding: u32,
    status: [u64; 8],
    appl_ptr: u64,
    avail_min: u64,
    reserved: [u64; 6],
}

/// `struct snd_xferi`, and `struct snd_xfern`, which has an address for each channel.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Transfer {
    pub(crate) result: u64,
    pub(crate) address: u64,
    pub(crate) frames: u64,
}

const _: () = assert!(size_of::<HwParams>() == 608 && size_of::<SwParams>() == 136);
const _: () = assert!(size_of::<SyncPtr>() == 136 && size_of::<Transfer>() == 24);

/// The number of one of the cards, which come and go.
pub(crate) fn card(dice: &mut Dice) -> Result<u32, Errno> {
    let mut links: Vec<_> = fs::read_dir("/proc/asound")
        .map_err(|_| Errno::ENODEV)?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(CARD))
        .map(|entry| entry.path())
        .collect();
    links.sort();
    if links.is_empty() {
        return Err(Errno::ENODEV);
    }
    let link = fs::read_link(dice.pick(&links.iter().collect::<Vec<_>>()));
    let link = link.map_err(|_| Errno::ENODEV)?;
    let number = link.to_str().and_then(|name| name.strip_prefix("card"));
    number
        .and_then(|number| number.parse().ok())
        .ok_or(Errno::ENODEV)
}

/// Opens a device of a card, as in `pcmC%D0p` with a number for the percent sign.
pub(crate) fn open(name: &str, flags: OFlag, dice: &mut Dice) -> Result<File, Errno> {
    let path = format!("/dev/snd/{name}").replace('%', &card(dice)?.to_string());
    // Not by the standard library, which tries again where a signal interrupts it.
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | flags;
    Ok(nix::fcntl::open(&*path, flags, Mode::empty())?.into())
}

/// Whether the card of a stream is still there.
pub(crate) fn is_alive(stream: &File) -> bool {
    ioctl(stream.as_raw_fd(), VERSION, &mut [0; 4]).is_ok()
}

impl HwParams {
    fn any() -> Self {
        Self {
            masks: [[u32::MAX; 8]; 8],
            intervals: [Interval {
                min: 0,
                max: u32::MAX,
                flags: 0,
            }; 21],
            asked: u32::MAX,
            ..Self::zeroed()
        }
    }

    fn ioctl(&mut self, file: &File, request: usize) -> Result<(), Errno> {
        self.asked = u32::MAX;
        self.changed = 0;
        ioctl(file.as_raw_fd(), request, bytemuck::bytes_of_mut(self)).map(|_| ())
    }

    /// Tries a choice, and takes it back where the card does not accept it.
    fn narrow(&mut self, file: &File, choose: impl FnOnce(&mut Self)) -> Result<(), Errno> {
        let before = *self;
        choose(self);
        match self.ioctl(file, HW_REFINE) {
            Err(Errno::EINVAL) => *self = before,
            result => result?,
        }
        Ok(())
    }

    /// Chooses at random from what the card accepts, one parameter after the other.
    pub(crate) fn choose(file: &File, dice: &mut Dice) -> Result<Self, Errno> {
        let mut params = Self::any();
        params.ioctl(file, HW_REFINE)?;
        let mut order = [
            ACCESS,
            FORMAT,
            CHANNELS,
            RATE,
            PERIOD_SIZE,
            BUFFER_SIZE,
            PERIODS,
        ];
        for index in (1..order.len()).rev() {
            order.swap(index, dice.below(index as u64 + 1) as usize);
        }
        for what in order {
            let mut dice = Dice::new(dice.next(), "parameter", what as u64);
            params.narrow(file, |params| match what {
                ACCESS | FORMAT => {
                    let bits =
                        (0..256).filter(|bit| params.masks[what][bit / 32] >> (bit % 32) & 1 != 0);
                    let bits: Vec<_> = bits.collect();
                    let bit = dice.pick(&bits);
                    params.masks[what] = [0; 8];
                    params.masks[what][bit / 32] = 1 << (bit % 32);
                }
                _ => {
                    let Interval { min, max, .. } = params.intervals[what];
                    let near = min.max(u32::MAX >> dice.within(16, 31));
                    let value = match dice.below(5) {
                        0 => min,
                        1 => max,
                        2 => near.min(max),
                        // Mostly what is not too large, to have it soon over.
                        _ => dice.within(min.into(), near.min(max).into()) as u32,
                    };
                    (params.intervals[what].min, params.intervals[what].max) = (value, value);
                    params.intervals[what].flags = 0;
                }
            })?;
        }
        Ok(params)
    }

    /// Has the card set up like this; what was left open is chosen by ALSA.
    pub(crate) fn set(mut self, file: &File) -> Result<(), Errno> {
        self.ioctl(file, HW_PARAMS)
    }

    /// Nonsense.
    pub(crate) fn scramble(&mut self, dice: &mut Dice) {
        let bytes = bytemuck::bytes_of_mut(self);
        for _ in 0..dice.within(1, 8) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] = dice.next() as u8;
        }
    }
}

impl std::fmt::Display for HwParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bit = |mask: [u32; 8]| mask[0].trailing_zeros();
        let from = |what: usize| self.intervals[what].min;
        write!(
            f,
            "access {} format {} channels {} rate {} period {} buffer {}",
            bit(self.masks[ACCESS]),
            bit(self.masks[FORMAT]),
            from(CHANNELS),
            from(RATE),
            from(PERIOD_SIZE),
            from(BUFFER_SIZE)
        )
    }
}

/// Sets software parameters, to extremes more often than not; those for silence on request.
pub(crate) fn set_software(
    file: &File,
    silence: bool,
    dice: &mut Dice,
) -> Result<(u64, u64, u64), Errno> {
    // What ALSA makes of a buffer of 4096 frames, and what it tells of the real one.
    let near = dice.pick(&[0, 1, 4096, 16_384, 1 << 62]);
    let mut value = || dice.hostile(near);
    let mut params = SwParams {
        period_step: 1,
        avail_min: value(),
        start_threshold: value(),
        stop_threshold: value(),
        silence_threshold: value(),
        silence_size: value(),
        boundary: value(),
        tstamp_mode: (value() & 1) as i32,
        tstamp_type: (value() & 3) as u32,
        protocol: 0x0002_000f,
        ..Zeroable::zeroed()
    };
    match dice.below(4) {
        // As most applications have it: ALSA refuses most of the rest.
        0 => (params.silence_threshold, params.silence_size) = (0, 0),
        // Filled up with silence whatever the application does.
        1 => (params.silence_threshold, params.silence_size) = (0, params.boundary),
        2 => params.silence_threshold = params.silence_size,
        _ => {}
    }
    if !silence {
        (params.silence_threshold, params.silence_size) = (0, 0);
    }
    params.avail_min = params.avail_min.max(1);
    ioctl(
        file.as_raw_fd(),
        SW_PARAMS,
        bytemuck::bytes_of_mut(&mut params),
    )?;
    Ok((
        params.start_threshold,
        params.stop_threshold,
        params.silence_size,
    ))
}

/// Exchanges pointers with the kernel.
pub(crate) fn sync_pointers(
    file: &File,
    flags: u32,
    appl_ptr: u64,
    avail_min: u64,
) -> Result<u64, Errno> {
    let mut pointers = SyncPtr {
        flags,
        appl_ptr,
        avail_min,
        ..Zeroable::zeroed()
    };
    ioctl(
        file.as_raw_fd(),
        SYNC_PTR,
        bytemuck::bytes_of_mut(&mut pointers),
    )?;
    // Where the hardware is.
    Ok(pointers.status[1])
}
