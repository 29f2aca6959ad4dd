// SPDX-License-Identifier: MIT OR GPL-2.0

//! What stands in the ring: records, each a [`Header`], a body and padding up to [`RECORD_ALIGN`].
//!
//! All that a consumer must know is in this one ordered stream: at which frame the format changed,
//! the stream paused, or frames went missing. A consumer skips kinds that it does not know and
//! ignores bytes of a body behind those that it knows; that is how version 1 grows.
//!
//! All numbers are in the machine's byte order.

use super::plain::{
    self,
    plain_struct,
    Plain, //
};

/// Records start at multiples of this many bytes, so that two never share a cache line, and the
/// samples of an `AUDIO` record start with one.
pub const RECORD_ALIGN: u64 = 64;

/// Most samples per frame.
pub const CHANNELS_MAX: u32 = 64;

/// `kind` of a record with an [`AudioChunk`] and its samples.
pub const AUDIO: u16 = 1;
/// `kind` of a record with a [`Format`].
pub const FORMAT: u16 = 2;
/// `kind` of a record with a [`StateChange`].
pub const STATE: u16 = 3;
/// `kind` of a record with a [`Lost`].
pub const LOST: u16 = 4;
/// `kind` of a record with a [`Volume`].
pub const VOLUME: u16 = 5;

/// `flags` of a `FORMAT`, `STATE` or `VOLUME` record that describes what is already so: the consumer
/// has just attached, or the ring was too full for what led here.
pub const RESYNC: u16 = 1 << 0;

/// `flags` of a `LOST` record whose frames may belong to more than one stream; its position is that
/// of the first of them.
pub const SPANS_STREAMS: u16 = 1 << 1;

/// Least [`gain`](Volume::gain) in a `VOLUME` record, in hundredths of a decibel.
pub const GAIN_MIN: i32 = -10_000;
/// Largest [`gain`](Volume::gain) in a `VOLUME` record: unity.
pub const GAIN_MAX: i32 = 0;

plain_struct! {
    /// How every record starts.
    pub struct Header {
        /// Bytes of the body, without this header and without the padding.
        pub size: u32,
        /// [`AUDIO`], [`FORMAT`], [`STATE`], [`LOST`], [`VOLUME`]; others are to be skipped.
        pub kind: u16,
        /// [`RESYNC`], [`SPANS_STREAMS`]; others are to be ignored.
        pub flags: u16,
        /// Frames since the stream was prepared.
        pub position: u64,
    }

    /// How the body of an `AUDIO` record starts; `frame_count * channels` float32 samples follow,
    /// interleaved, at unity whatever the mixer says.
    pub struct AudioChunk {
        /// Frames in this chunk.
        pub frame_count: u32,
        /// 0.
        pub reserved: u32,
        /// When the first of them is due at the card: `CLOCK_MONOTONIC`, nanoseconds.
        pub time_stamp: u64,
        /// 0.
        pub reserved2: [u64; 4],
    }

    /// The body of a `FORMAT` record: what the chunks after it look like.
    pub struct Format {
        /// Frames per second.
        pub rate: u32,
        /// Samples per frame, 1 to [`CHANNELS_MAX`].
        pub channels: u32,
        /// The application's sample format, an `SNDRV_PCM_FORMAT_*`; the chunks are float32 always.
        pub format: u32,
        /// The application's period in frames.
        pub period_frames: u32,
        /// The application's buffer in frames.
        pub buffer_frames: u32,
        /// Largest number of frames in a chunk.
        pub chunk_frames: u32,
        /// 0.
        pub reserved: [u32; 2],
    }

    /// The body of a `STATE` record.
    pub struct StateChange {
        /// A [`State`].
        pub state: u32,
        /// 0.
        pub reserved: u32,
        /// When: `CLOCK_MONOTONIC`, nanoseconds.
        pub time_stamp: u64,
    }

    /// The body of a `LOST` record: frames that the card consumed and that did not fit.
    pub struct Lost {
        /// How many, from the record's position on.
        pub frames: u64,
        /// When the first of them was due at the card: `CLOCK_MONOTONIC`, nanoseconds.
        pub time_stamp: u64,
    }

    /// The body of a `VOLUME` record: what the mixer says. The samples are at unity all the same;
    /// whoever makes them heard applies it to those behind this record.
    pub struct Volume {
        /// The Master Playback Volume in hundredths of a decibel, [`GAIN_MIN`] to [`GAIN_MAX`].
        pub gain: i32,
        /// The Master Playback Switch: 1 is on, 0 is muted.
        pub on: u32,
        /// When it became so: `CLOCK_MONOTONIC`, nanoseconds; 0 where it never was otherwise.
        pub time_stamp: u64,
    }
}

/// What happened to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum State {
    /// It plays, from the record's position on.
    Start = 1,
    /// It stands still.
    Pause = 2,
    /// It plays again.
    Resume = 3,
    /// It ended: all was played, or the application stopped it.
    Stop = 4,
    /// The application has written its last frame; what is buffered still plays.
    Drain = 5,
    /// It ended because the application was late.
    Xrun = 6,
    /// The machine suspends: it stands still, and plays again (`Resume`) or ends (`Stop`).
    Suspend = 7,
}

impl State {
    /// The state with this number in a record.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Start,
            2 => Self::Pause,
            3 => Self::Resume,
            4 => Self::Stop,
            5 => Self::Drain,
            6 => Self::Xrun,
            7 => Self::Suspend,
            _ => return None,
        })
    }

    /// The state's number in a record.
    pub const fn as_raw(self) -> u32 {
        // CAST: To the representation.
        self as u32
    }
}

/// Bytes of a header.
pub const HEADER_LEN: usize = size_of::<Header>();

/// Bytes from the start of an `AUDIO` record to its first sample.
pub const AUDIO_OFFSET: usize = HEADER_LEN + size_of::<AudioChunk>();

const _: () = {
    assert!(HEADER_LEN == 16);
    assert!(AUDIO_OFFSET as u64 == RECORD_ALIGN);
    assert!(size_of::<Format>() == 32);
    assert!(size_of::<StateChange>() == 16);
    assert!(size_of::<Lost>() == 16);
    assert!(size_of::<Volume>() == 16);
};

/// Bytes in the ring that a record with a body of `size` bytes takes.
#[inline]
pub const fn stored_len(size: u32) -> u64 {
    // CAST: Widening. OVERFLOW: Far below 2^64.
    let len = (size as u64).wrapping_add(HEADER_LEN as u64);
    len.wrapping_add(RECORD_ALIGN - 1) & !(RECORD_ALIGN - 1)
}

/// Bytes of the body of an `AUDIO` record, or `None` where no record can be that large.
#[inline]
pub const fn audio_size(frames: u32, channels: u32) -> Option<u32> {
    let Some(samples) = frames.checked_mul(channels) else {
        return None;
    };
    let Some(bytes) = samples.checked_mul(4) else {
        return None;
    };
    bytes.checked_add((AUDIO_OFFSET - HEADER_LEN) as u32)
}

/// Writes `value` to the start of `bytes`; returns whether it fitted.
#[inline]
pub fn put<T: Plain>(bytes: &mut [u8], value: &T) -> bool {
    match bytes.get_mut(..size_of::<T>()) {
        Some(place) => {
            place.copy_from_slice(plain::bytes_of(value));
            true
        }
        None => false,
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// It claims to be longer than what was published.
    Overlong {
        /// Bytes of the body by the header.
        size: u32,
        /// Bytes that are readable, the header included.
        readable: u64,
    },
    /// Its body is shorter than its kind needs.
    Short {
        /// The kind.
        kind: u16,
        /// Bytes of the body by the header.
        size: u32,
    },
    /// Its frames are not what its body holds.
    Frames {
        /// Frames by the chunk's header.
        frame_count: u32,
        /// Samples per frame by the last `FORMAT`, 0 where there was none.
        channels: u32,
        /// Bytes of the body by the header.
        size: u32,
    },
    /// No stream has such a rate or number of channels.
    Format {
        /// Frames per second.
        rate: u32,
        /// Samples per frame.
        channels: u32,
    },
    /// No mixer has such a volume.
    Volume {
        /// Hundredths of a decibel.
        gain: i32,
        /// The switch.
        on: u32,
    },
}

/// A record in the ring, not yet looked into.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its header, copied out: what was checked is what is used.
    pub header: Header,
    /// Its body, in place.
    pub body: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the start of `readable`, which is all that is published; `None` where nothing
    /// is.
    ///
    /// # Errors
    ///
    /// [`Malformed::Overlong`] where it is not wholly inside.
    #[inline]
    pub fn parse(readable: &'a [u8]) -> Result<Option<Self>, Malformed> {
        if readable.is_empty() {
            return Ok(None);
        }
        let overlong = |size| Malformed::Overlong {
            size,
            // CAST: Widening.
            readable: readable.len() as u64,
        };
        let header: Header = plain::read(readable).ok_or(overlong(0))?;
        // CAST: Widening.
        if stored_len(header.size) > readable.len() as u64 {
            return Err(overlong(header.size));
        }
        // CAST: Bounded by the length above. OVERFLOW: Likewise.
        let end = HEADER_LEN.wrapping_add(header.size as usize);
        let body = readable.get(HEADER_LEN..end).ok_or(overlong(header.size))?;
        Ok(Some(Self { header, body }))
    }

    /// Bytes to give back for this record; never 0.
    #[inline]
    pub fn stored_len(&self) -> u64 {
        stored_len(self.header.size)
    }

    /// The structure that the body starts with.
    ///
    /// # Errors
    ///
    /// [`Malformed::Short`] where it does not fit.
    #[inline]
    pub fn body<T: Plain>(&self) -> Result<T, Malformed> {
        plain::read(self.body).ok_or(Malformed::Short {
            kind: self.header.kind,
            size: self.header.size,
        })
    }

    /// The body of a `FORMAT` record, checked.
    ///
    /// # Errors
    ///
    /// [`Malformed::Format`] for a rate or a number of channels of 0 or beyond all bounds.
    pub fn format(&self) -> Result<Format, Malformed> {
        let format: Format = self.body()?;
        let Format { rate, channels, .. } = format;
        if rate == 0 || channels == 0 || channels > CHANNELS_MAX {
            return Err(Malformed::Format { rate, channels });
        }
        Ok(format)
    }

    /// The body of a `VOLUME` record, checked.
    ///
    /// # Errors
    ///
    /// [`Malformed::Volume`] for a gain beyond its bounds or a switch that is neither on nor off.
    pub fn volume(&self) -> Result<Volume, Malformed> {
        let volume: Volume = self.body()?;
        let Volume { gain, on, .. } = volume;
        if !(GAIN_MIN..=GAIN_MAX).contains(&gain) || on > 1 {
            return Err(Malformed::Volume { gain, on });
        }
        Ok(volume)
    }

    /// The chunk of an `AUDIO` record and its samples' bytes, of `channels` samples per frame.
    ///
    /// # Errors
    ///
    /// [`Malformed::Frames`] where the body holds another number of frames than it says.
    #[inline]
    pub fn audio(&self, channels: u32) -> Result<(AudioChunk, &'a [u8]), Malformed> {
        let chunk: AudioChunk = self.body()?;
        let size = self.header.size;
        match self.body.get(size_of::<AudioChunk>()..) {
            Some(samples)
                if channels != 0 && audio_size(chunk.frame_count, channels) == Some(size) =>
            {
                Ok((chunk, samples))
            }
            _ => Err(Malformed::Frames {
                frame_count: chunk.frame_count,
                channels,
                size,
            }),
        }
    }
}
