// SPDX-License-Identifier: MIT OR GPL-2.0

//! What the player needs of a sound card, so that it can be tested without one.

use rtshm::Format;
use serde::Serialize;

/// Where sound goes: an open card, set up for one format.
///
/// All counts are in frames. Nothing here sleeps.
pub(crate) trait Sink {
    /// How it is set up.
    fn setup(&self) -> &Setup;

    /// Writes the beginning of `samples`, as much as there is room for; returns how much.
    fn write(&mut self, samples: &[f32]) -> Result<u64, Broken>;

    /// Writes silence, up to `frames`; returns how much.
    fn write_silence(&mut self, frames: u64) -> Result<u64, Broken>;

    /// Begins to play what was written.
    fn start(&mut self) -> Result<(), Broken>;

    /// What is written and the card has not fetched yet; only while it plays.
    fn queued(&mut self) -> Result<u64, Broken>;

    /// How long until a frame that is written now is heard; only while it plays.
    fn delay(&mut self) -> Result<u64, Broken>;

    /// Where it was when it last said so, by itself and not because it was asked; `None` where that
    /// is no news. Only while it plays, and before it is written to.
    fn reading(&mut self) -> Option<Reading>;

    /// Makes it empty and ready to be written to again.
    fn reset(&mut self) -> Result<(), Broken>;
}

/// Where a card was at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub(crate) time: u64,
    /// Frames that the card had fetched since it was set up or reset.
    pub(crate) played: u64,
    /// Frames that are written now and that the card had not fetched then.
    pub(crate) queued: u64,
}

/// Makes sinks.
pub(crate) trait Opener {
    /// What it makes.
    type Sink: Sink;

    /// Whether the virtual card's mixer lets its consumer steer the clock, as far as is known.
    fn is_clock_ours(&self) -> bool;

    /// Forgets what it knows of the system's configuration, which may have changed; nothing is open.
    fn forget(&mut self);

    /// Opens the card for sound of this format.
    fn open(&mut self, format: &Format) -> Result<Self::Sink, OpenError>;
}

/// How a card is set up; the field names are those of `play --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setup {
    /// ALSA's name of the sample format.
    pub(crate) format: &'static str,
    /// Frames per second.
    pub(crate) rate: u32,
    /// Samples per frame.
    pub(crate) channels: u32,
    /// The card's period in frames.
    pub(crate) period_frames: u64,
    /// The card's buffer in frames.
    pub(crate) buffer_frames: u64,
    /// Frames to have written before playing starts.
    pub(crate) latency_frames: u64,
}

/// Why a card that was playing does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It ran out of sound.
    Xrun,
    /// It is gone, or as good as gone: the error number.
    Lost(i32),
}

/// Why a card cannot be used.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It cannot be opened: it is not there, or in use; that may change.
    Absent(String),
    /// It cannot play such a stream.
    Unfit(String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Absent(text) | Self::Unfit(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for OpenError {}
