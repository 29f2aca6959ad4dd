// SPDX-License-Identifier: MIT OR GPL-2.0

use std::fmt;
use std::ptr::NonNull;

use rtshm_abi::memory::Reader;
use rtshm_abi::plain::Plain;
use rtshm_abi::record::{self, Header, Malformed, Record, State};

use crate::format::Format;

/// The next event of a [`Consumer`](crate::Consumer), in place; dropping it gives its bytes back.
pub struct Event<'a> {
    reader: Release<'a>,
    header: Header,
    content: Content,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// The chunks from here on have this format.
    Format(Format),
    /// The stream changed its state.
    State(StateChange),
    /// Frames that were played.
    Audio(Chunk<'a>),
    /// Frames that were played are missing here.
    Lost(Lost),
    /// What the card's mixer says, the first event of every consumer.
    Volume(Volume),
}

/// Frames that were played, as they stand in the ring.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Chunk<'a> {
    /// Position of the first frame, in frames since the stream was prepared.
    pub position: u64,
    /// When the first frame is due at the card: `CLOCK_MONOTONIC`, nanoseconds.
    pub time_stamp: u64,
    /// Frames in this chunk.
    pub frame_count: u32,
    /// Samples per frame, at least 1.
    pub channels: u32,
    /// `frame_count * channels` samples, interleaved; full scale is 1.0.
    pub samples: &'a [f32],
}

/// A change of the stream's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateChange {
    /// What happened.
    pub state: State,
    /// When: `CLOCK_MONOTONIC`, nanoseconds.
    pub time_stamp: u64,
}

/// A number of frames that the card consumed and that did not fit into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// How many, from the event's position on.
    pub frames: u64,
    /// When the first of them was due at the card: `CLOCK_MONOTONIC`, nanoseconds.
    pub time_stamp: u64,
    /// Whether they belong to more than one stream.
    pub spans_streams: bool,
}

/// The volume that the card's mixer says, which the samples do not have: they are at unity. Whoever
/// makes those behind this event heard applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volume {
    /// The Master Playback Volume in hundredths of a decibel, from -10000 to 0.
    pub gain: i32,
    /// Whether the Master Playback Switch is on; nothing is to be heard where it is not.
    pub is_on: bool,
    /// When it became so: `CLOCK_MONOTONIC`, nanoseconds; 0 where it never was otherwise.
    pub time_stamp: u64,
}

/// What was found in a record, checked.
///
/// # Invariants
///
/// `samples` of an `Audio` are inside of the record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Format(Format),
    State(StateChange),
    Audio {
        frame_count: u32,
        channels: u32,
        time_stamp: u64,
        samples: NonNull<[f32]>,
    },
    Lost(Lost),
    Volume(Volume),
}

impl Content {
    /// The chunk in `record` of this many channels; `None` where it is anything else, or malformed.
    #[inline]
    pub(crate) fn audio(record: &Record<'_>, channels: u32) -> Option<Self> {
        if record.header.kind != record::AUDIO {
            return None;
        }
        Self::parse_audio(record, channels).ok()
    }

    #[inline]
    fn parse_audio(record: &Record<'_>, channels: u32) -> Result<Self, Malformed> {
        let (chunk, bytes) = record.audio(channels)?;
        // Misaligned only where the counters are not multiples of RECORD_ALIGN.
        let samples: &[f32] = bytemuck::try_cast_slice(bytes).map_err(|_| Malformed::Frames {
            frame_count: chunk.frame_count,
            channels,
            size: record.header.size,
        })?;
        // INVARIANT: A part of the record's body.
        Ok(Self::Audio {
            frame_count: chunk.frame_count,
            channels,
            time_stamp: chunk.time_stamp,
            samples: NonNull::from(samples),
        })
    }

    /// What stands in `record`, whose chunk would have this many channels; `None` for what this
    /// version does not know.
    pub(crate) fn parse(record: &Record<'_>, channels: u32) -> Result<Option<Self>, Malformed> {
        Ok(Some(match record.header.kind {
            record::AUDIO => Self::parse_audio(record, channels)?,
            record::FORMAT => Self::Format(record.format()?.into()),
            record::STATE => {
                let raw: record::StateChange = whole(record)?;
                let Some(state) = State::from_raw(raw.state) else {
                    return Ok(None);
                };
                Self::State(StateChange {
                    state,
                    time_stamp: raw.time_stamp,
                })
            }
            record::LOST => {
                let raw: record::Lost = whole(record)?;
                Self::Lost(Lost {
                    frames: raw.frames,
                    time_stamp: raw.time_stamp,
                    spans_streams: record.header.flags & record::SPANS_STREAMS != 0,
                })
            }
            record::VOLUME => {
                let raw = record.volume()?;
                Self::Volume(Volume {
                    gain: raw.gain,
                    is_on: raw.on != 0,
                    time_stamp: raw.time_stamp,
                })
            }
            _ => return Ok(None),
        }))
    }
}

fn whole<T: Plain>(record: &Record<'_>) -> Result<T, Malformed> {
    record.body()
}

/// Gives `len` bytes back when dropped.
struct Release<'a> {
    reader: &'a mut Reader,
    len: u64,
}

impl Drop for Release<'_> {
    #[inline]
    fn drop(&mut self) {
        self.reader.release(self.len);
    }
}

impl<'a> Event<'a> {
    /// The event at the reader's position, whose record takes `len` bytes.
    #[inline]
    pub(crate) fn new(reader: &'a mut Reader, len: u64, header: Header, content: Content) -> Self {
        Self {
            reader: Release { reader, len },
            header,
            content,
        }
    }

    /// What it is about.
    #[inline]
    pub fn kind(&self) -> Kind<'_> {
        match self.content {
            Content::Format(format) => Kind::Format(format),
            Content::State(change) => Kind::State(change),
            Content::Lost(lost) => Kind::Lost(lost),
            Content::Volume(volume) => Kind::Volume(volume),
            Content::Audio {
                frame_count,
                channels,
                time_stamp,
                samples,
            } => Kind::Audio(Chunk {
                position: self.header.position,
                time_stamp,
                frame_count,
                channels,
                // SAFETY:
                // - By the invariant the samples are inside of a record that was published and that
                //   is given back only when `self` is dropped, which ends this borrow.
                // - The region outlives `self`, which borrows the consumer that owns it.
                // - They were made from a reference, so they are aligned; any bits are an `f32`.
                samples: unsafe { samples.as_ref() },
            }),
        }
    }

    /// Where in the stream it stands, in frames since the stream was prepared.
    pub fn position(&self) -> u64 {
        self.header.position
    }

    /// Whether it describes what is already so: the consumer has just attached, or the ring was too
    /// full for what led here.
    pub fn is_resync(&self) -> bool {
        self.header.flags & record::RESYNC != 0
    }

    /// Leaves the event in the ring: the next pop returns it again.
    pub fn put_back(mut self) {
        self.reader.len = 0;
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("position", &self.position())
            .field("is_resync", &self.is_resync())
            .field("kind", &self.kind())
            .finish()
    }
}
