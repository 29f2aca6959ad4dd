// SPDX-License-Identifier: MIT OR GPL-2.0

//! What tests play: every frame can be told from its neighbours, and none is silent by chance.

use alsa::pcm::Format;

/// Sound in an application's format, and what it must be in the ring.
#[derive(Clone)]
pub(crate) struct Material {
    pub(crate) format: Format,
    pub(crate) channels: u32,
    /// What the application writes.
    pub(crate) bytes: Vec<u8>,
    /// What the consumer pops, as bits of a float32 each.
    pub(crate) expected: Vec<u32>,
}

impl Material {
    pub(crate) fn frames(&self) -> u64 {
        (self.expected.len() / self.channels as usize) as u64
    }

    /// Its first `frames` frames as if it had so many channels.
    pub(crate) fn reshaped(&self, channels: u32, frames: u64) -> Self {
        let samples = (frames * u64::from(channels)) as usize;
        Self {
            format: self.format,
            channels,
            bytes: self.bytes[..samples * sample_bytes(self.format)].to_vec(),
            expected: self.expected[..samples].to_vec(),
        }
    }

    /// So many frames of it.
    pub(crate) fn part(&self, first: u64, count: u64) -> Self {
        let channels = self.channels as usize;
        let frame = channels * sample_bytes(self.format);
        let range = |unit: usize| first as usize * unit..(first + count) as usize * unit;
        Self {
            bytes: self.bytes[range(frame)].to_vec(),
            expected: self.expected[range(channels)].to_vec(),
            ..*self
        }
    }

    /// It again and again, for so many frames and more.
    pub(crate) fn repeated(&self, frames: u64) -> Self {
        let rounds = (frames / self.frames() + 1) as usize;
        Self {
            bytes: self.bytes.repeat(rounds),
            expected: self.expected.repeat(rounds),
            ..*self
        }
    }

    /// What must come out for the frames from `first` on.
    pub(crate) fn expected_at(&self, first: u64, count: u64) -> Option<&[u32]> {
        let channels = u64::from(self.channels);
        let start = usize::try_from(first.checked_mul(channels)?).ok()?;
        let end = usize::try_from(first.checked_add(count)?.checked_mul(channels)?).ok()?;
        self.expected.get(start..end)
    }

    /// What `aplay` plays of it: whole periods, and silence to the end of the one in which it finds
    /// that there is no more.
    pub(crate) fn by_aplay(mut self, period: u32) -> Self {
        let period = u64::from(period);
        let frames = (self.frames() / period + 1) * period;
        let samples = (frames * u64::from(self.channels)) as usize;
        let width = self.bytes.len() / self.expected.len().max(1);
        let silence = if self.format == Format::U8 { 0x80 } else { 0 };
        self.bytes.resize(samples * width, silence);
        self.expected.resize(samples, 0);
        self
    }
}

/// Bytes of a sample.
pub(crate) fn sample_bytes(format: Format) -> usize {
    match format {
        Format::U8 => 1,
        Format::S16LE => 2,
        Format::S243LE => 3,
        Format::S24LE | Format::S32LE | Format::FloatLE => 4,
        other => panic!("{other} is not tested"),
    }
}

/// Noise in `format`; the first samples are the format's special values.
pub(crate) fn noise(format: Format, channels: u32, frames: u64, seed: u64) -> Material {
    let samples = (frames * u64::from(channels)) as usize;
    match format {
        Format::FloatLE => floats(channels, samples, seed),
        _ => integers(format, channels, samples, seed),
    }
}

/// Frames that say which they are: 32 bits of the frame's number in two S16 samples.
pub(crate) fn numbered(first: u32, frames: u32) -> Material {
    let values = (first..first + frames)
        .flat_map(|frame| [frame as u16 as i16, (frame >> 16) as u16 as i16])
        .collect();
    from_integers(2, values)
}

/// Every value that an S16 sample can have, in disorder.
pub(crate) fn all_integers() -> Material {
    // An odd factor visits them all.
    from_integers(
        2,
        (0..=u16::MAX)
            .map(|i| i.wrapping_mul(40_503) as i16)
            .collect(),
    )
}

fn integers(format: Format, channels: u32, samples: usize, seed: u64) -> Material {
    let bits = match format {
        Format::U8 => 8,
        Format::S16LE => 16,
        Format::S32LE => 32,
        _ => 24,
    };
    let (min, max) = (-1i64 << (bits - 1), (1i64 << (bits - 1)) - 1);
    let mut special = vec![min, max, 1, -1, 0, min + 1, 0x55, 0x2a];
    if bits == 32 {
        // Where a float has to round: halves to even, up, and over to the next power of two.
        let edge = 1i64 << 24;
        special.extend((edge..edge + 4).chain(-edge - 3..=-edge));
        special.extend((max - 0xc0..=max - 0x3e).step_by(0x20));
    }
    let random = (0..).map(|index| i64::from(mix(seed, index) as i32) >> (32 - bits));
    let values = special.into_iter().chain(random).take(samples);
    let mut material = Material {
        format,
        channels,
        bytes: Vec::with_capacity(samples * sample_bytes(format)),
        expected: Vec::with_capacity(samples),
    };
    for (index, value) in (0..).zip(values) {
        let bytes = &mut material.bytes;
        match format {
            Format::U8 => bytes.push((value + 128) as u8),
            // The byte that is not used may hold anything.
            Format::S24LE => {
                bytes.extend_from_slice(&(value as i32).to_le_bytes()[..3]);
                bytes.push(mix(!seed, index) as u8);
            }
            _ => bytes.extend_from_slice(&value.to_le_bytes()[..bits / 8]),
        }
        // The cast rounds to nearest, ties to even; the division by a power of two is exact.
        let full_scale = (1i64 << (bits - 1)) as f32;
        material
            .expected
            .push((value as f32 / full_scale).to_bits());
    }
    material
}

fn from_integers(channels: u32, values: Vec<i16>) -> Material {
    Material {
        format: Format::S16LE,
        channels,
        bytes: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        // Exact: 16 bits fit in a float's 24, and the divisor is a power of two.
        expected: values
            .iter()
            .map(|&value| (f32::from(value) / 32768.0).to_bits())
            .collect(),
    }
}

/// Any bits at all: what the application wrote must come through, sensible or not.
fn floats(channels: u32, samples: usize, seed: u64) -> Material {
    let special = [
        f32::MIN,
        f32::MAX,
        1.0,
        -1.0,
        -0.0,
        f32::from_bits(1),
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::from_bits(0x7fa0_0001), // a signalling NaN
        f32::from_bits(0xffc1_2345), // a quiet one with a payload
    ];
    let random = (0..).map(|index| mix(seed, index) as u32);
    let expected: Vec<u32> = special
        .into_iter()
        .map(f32::to_bits)
        .chain(random)
        .take(samples)
        .collect();
    Material {
        format: Format::FloatLE,
        channels,
        bytes: expected
            .iter()
            .flat_map(|bits| bits.to_le_bytes())
            .collect(),
        expected,
    }
}

/// Well-mixed bits for each index (splitmix64).
fn mix(seed: u64, index: u64) -> u64 {
    let mut z = (seed << 32 ^ index)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) >> 16
}
