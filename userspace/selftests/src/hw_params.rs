// SPDX-License-Identifier: MIT OR GPL-2.0

//! A PCM's parameters by plain system calls, as no alsa-lib would pass them.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

use alsa::Direction;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

use crate::module;

/// Parameters that are masks: `SNDRV_PCM_HW_PARAM_*`.
pub(crate) const ACCESS: usize = 0;
/// As above.
pub(crate) const FORMAT: usize = 1;
/// As above.
pub(crate) const SUBFORMAT: usize = 2;
/// Parameters that are intervals: `SNDRV_PCM_HW_PARAM_*`.
pub(crate) const SAMPLE_BITS: usize = 8;
/// As above.
pub(crate) const CHANNELS: usize = 10;
/// As above.
pub(crate) const RATE: usize = 11;
/// As above.
pub(crate) const PERIOD_SIZE: usize = 13;
/// As above.
pub(crate) const PERIOD_BYTES: usize = 14;
/// As above.
pub(crate) const PERIODS: usize = 15;
/// As above.
pub(crate) const BUFFER_SIZE: usize = 17;
/// As above.
pub(crate) const BUFFER_BYTES: usize = 18;

const FIRST_INTERVAL: usize = 8;

/// `struct snd_interval`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    /// The least value.
    pub(crate) min: u32,
    /// The greatest.
    pub(crate) max: u32,
    /// Bits: the minimum and the maximum are excluded, all are integers, there is none.
    pub(crate) bits: u32,
}

impl Interval {
    /// An integer.
    pub(crate) fn exactly(value: u32) -> Self {
        Self {
            min: value,
            max: value,
            bits: 0b100,
        }
    }
}

/// `struct snd_pcm_hw_params`, as a 64-bit (`W = u64`) or 32-bit (`u32`) program passes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HwParams<W = u64> {
    flags: u32,
    masks: [[u32; 8]; 3 + 5],
    intervals: [Interval; 12 + 9],
    /// Which parameters have changed.
    pub(crate) rmask: u32,
    cmask: u32,
    /// `SNDRV_PCM_INFO_*`.
    pub(crate) info: u32,
    msbits: u32,
    rate_num: u32,
    rate_den: u32,
    fifo_size: W,
    reserved: [u8; 64],
}

impl<W: Default> HwParams<W> {
    /// All that is possible.
    pub(crate) fn any() -> Self {
        let all = Interval {
            min: 0,
            max: u32::MAX,
            bits: 0,
        };
        let mut params = Self {
            flags: 0,
            masks: [[0; 8]; 8],
            intervals: [Interval::default(); 21],
            rmask: u32::MAX,
            cmask: 0,
            info: u32::MAX,
            msbits: 0,
            rate_num: 0,
            rate_den: 0,
            fifo_size: W::default(),
            reserved: [0; 64],
        };
        params.masks[..3].fill([u32::MAX; 8]);
        params.intervals[..12].fill(all);
        params
    }

    /// The values of one parameter that are possible.
    pub(crate) fn mask(&self, parameter: usize) -> u64 {
        let [low, high, ..] = self.masks[parameter];
        u64::from(low) | u64::from(high) << 32
    }

    /// The values of one parameter that are possible.
    pub(crate) fn interval(&self, parameter: usize) -> Interval {
        self.intervals[parameter - FIRST_INTERVAL]
    }

    /// Allows one value.
    pub(crate) fn set_value(&mut self, parameter: usize, value: u32) {
        let mut mask = [0; 8];
        mask[value as usize / 32] = 1 << (value % 32);
        self.masks[parameter] = mask;
    }

    /// Allows no value.
    pub(crate) fn set_none(&mut self, parameter: usize) {
        self.masks[parameter] = [0; 8];
    }

    /// Allows these values.
    pub(crate) fn set_interval(&mut self, parameter: usize, interval: Interval) {
        self.intervals[parameter - FIRST_INTERVAL] = interval;
    }
}

/// The number of an ioctl of kind `A` that reads and writes `T`.
pub(crate) const fn read_write<T>(number: u8) -> u64 {
    3 << 30 | (size_of::<T>() as u64) << 16 | (b'A' as u64) << 8 | number as u64
}

/// The number of `HW_REFINE`, which narrows parameters down to what is possible.
pub(crate) const HW_REFINE: u8 = 0x10;
/// The number of `HW_PARAMS`, which sets them.
pub(crate) const HW_PARAMS: u8 = 0x11;

/// PCM 0 of our card.
pub(crate) struct Device(File);

impl Device {
    /// Opens it.
    pub(crate) fn open(direction: Direction) -> Result<Self> {
        let path = path(direction)?;
        let file = OpenOptions::new().read(true).write(true).open(&path);
        Ok(Self(file.with_context(|| path)?))
    }

    /// Narrows `params` down to what is possible.
    pub(crate) fn refine(&self, params: &mut HwParams) -> Result<(), Errno> {
        self.call(HW_REFINE, params)
    }

    /// Sets the PCM up.
    pub(crate) fn set_up(&self, params: &mut HwParams) -> Result<(), Errno> {
        self.call(HW_PARAMS, params)
    }

    fn call(&self, number: u8, params: &mut HwParams) -> Result<(), Errno> {
        let number = read_write::<HwParams>(number) as libc::c_ulong;
        // SAFETY: The structure has the size that the number says.
        Errno::result(unsafe { libc::ioctl(self.0.as_raw_fd(), number as _, params) }).map(drop)
    }
}

/// Where PCM 0 of our card is.
pub(crate) fn path(direction: Direction) -> Result<String> {
    let letter = match direction {
        Direction::Playback => 'p',
        Direction::Capture => 'c',
    };
    let card = module::device()?.info()?.card;
    Ok(format!("/dev/snd/pcmC{card}D0{letter}"))
}
