// SPDX-License-Identifier: GPL-2.0

//! What a PCM can do.

use core::{
    num::NonZeroU32,
    slice, //
};

use kernel::{
    bindings,
    prelude::*, //
};

use super::sys;

/// A sample format, an `SNDRV_PCM_FORMAT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleFormat(pub u32);

impl SampleFormat {
    /// Unsigned 8-bit integers.
    pub const U8: Self = Self(sys::SNDRV_PCM_FORMAT_U8);
    /// Signed 16-bit integers, little-endian.
    pub const S16_LE: Self = Self(sys::SNDRV_PCM_FORMAT_S16_LE);
    /// Signed 24-bit integers in the low bits of 32, little-endian.
    pub const S24_LE: Self = Self(sys::SNDRV_PCM_FORMAT_S24_LE);
    /// Signed 24-bit integers in three bytes, little-endian.
    pub const S24_3LE: Self = Self(sys::SNDRV_PCM_FORMAT_S24_3LE);
    /// Signed 32-bit integers, little-endian.
    pub const S32_LE: Self = Self(sys::SNDRV_PCM_FORMAT_S32_LE);
    /// 32-bit floats, little-endian.
    pub const FLOAT_LE: Self = Self(sys::SNDRV_PCM_FORMAT_FLOAT_LE);

    /// ALSA's name of the format, as in `S16_LE`.
    pub fn name(self) -> &'static CStr {
        // CAST: ALSA numbers formats from 0 to 63, and has a name for any number.
        let format = self.0 as sys::snd_pcm_format_t;
        // SAFETY: The function only looks its argument up, and returns a string that lives as long as
        // ALSA does.
        let bytes = unsafe {
            let name = sys::snd_pcm_format_name(format);
            // OVERFLOW: The length of an object in memory. `CStr::from_ptr()` would check.
            slice::from_raw_parts(name, bindings::strlen(name).wrapping_add(1))
        };
        // SAFETY: They end with the first NUL.
        unsafe { CStr::from_bytes_with_nul_unchecked(bytes) }
    }

    /// The byte that silence consists of, in the formats above.
    pub fn silence(self) -> u8 {
        match self {
            Self::U8 => 0x80,
            _ => 0,
        }
    }

    /// Bytes of a sample, of the formats above.
    pub const fn bytes(self) -> NonZeroU32 {
        const ONE: NonZeroU32 = NonZeroU32::MIN;
        match self {
            Self::U8 => ONE,
            Self::S16_LE => ONE.saturating_add(1),
            Self::S24_3LE => ONE.saturating_add(2),
            _ => ONE.saturating_add(3),
        }
    }

    pub(super) const fn bit(self) -> u64 {
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
    /// Fewest frames in a period.
    pub period_frames_min: u32,
    /// Smallest and largest period, in bytes.
    pub period_bytes_range: (usize, usize),
    /// Fewest and most periods in a buffer.
    pub periods_range: (u32, u32),
}

impl Hardware {
    pub(super) fn to_c(&self) -> sys::snd_pcm_hardware {
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

/// What all streams of a device have in common at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Frames per second.
    pub rate: u32,
    /// Samples per frame.
    pub channels: u32,
    /// How samples are stored.
    pub format: SampleFormat,
}

impl Layout {
    /// Bytes of a frame; of a sample, where there are no channels yet.
    pub const fn frame_bytes(&self) -> NonZeroU32 {
        match NonZeroU32::new(self.channels) {
            Some(channels) => self.format.bytes().saturating_mul(channels),
            None => self.format.bytes(),
        }
    }
}
