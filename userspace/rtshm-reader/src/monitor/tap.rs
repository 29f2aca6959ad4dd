// SPDX-License-Identifier: MIT OR GPL-2.0

//! What is played, recorded from the card's capture PCM to measure it.
//!
//! The card records what is played as it is, and nothing else: so the PCM is opened in the layout of
//! the stream, and anew for each other one. Player and consumer do not notice. It is closed when no
//! stream is there, because a recorder's timer runs on in silence.

use std::time::Duration;

use alsa::pcm::{Access, Format as PcmFormat, HwParams, PCM};
use alsa::{Direction, ValueOr};
use nix::errno::Errno;
use rtshm::{Format, State, Status};

use super::levels::{Layout, Level, Levels};
use crate::clock::{frames_to_nanos, SECOND};
use crate::pcm::quiet_alsa;

/// Time between two attempts to open the PCM.
const RETRY: u64 = SECOND;

/// What the PCM's buffer is to hold, at least and at most; the card may have less.
const BUFFER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));

/// Frames that are read at a time.
const PIECE: usize = 1024;

/// What is measured in an interval.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meters {
    /// No stream is there.
    Idle,
    /// It cannot be measured: why.
    Blind(String),
    /// The levels of each channel, and of how many frames.
    Seen(Vec<Level>, u64),
}

/// The card's capture PCM, open while a stream is there.
pub(super) struct Tap {
    interval: Duration,
    recording: Option<Recording>,
    /// Why there is none, where there should be one.
    trouble: Option<String>,
    retry: u64,
}

impl Tap {
    /// A tap that is looked at in such intervals.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            recording: None,
            trouble: None,
            retry: 0,
        }
    }

    /// Measures what has come since the last call; then opens or closes the PCM of the card as its
    /// stream needs it.
    pub(super) fn look(&mut self, card: u32, status: &Status, now: u64) -> Meters {
        let stream = status.format.filter(|_| is_there(status.state));
        self.drain();
        let seen = self.recording.as_mut().map(|tap| tap.levels.take());
        let fits = match (&self.recording, &stream) {
            (Some(recording), Some(stream)) => recording.fits(card, stream),
            (None, None) => true,
            _ => false,
        };
        if !fits {
            self.recording = None;
        }
        let Some(stream) = stream else {
            (self.trouble, self.retry) = (None, 0);
            return Meters::Idle;
        };
        if self.recording.is_none() && now >= self.retry {
            match Recording::start(card, &stream, self.interval) {
                Ok(recording) => {
                    self.recording = Some(recording);
                    self.trouble = None;
                }
                Err(trouble) => {
                    self.trouble = Some(trouble);
                    self.retry = now + RETRY;
                }
            }
        }
        match (&self.trouble, seen.filter(|_| fits)) {
            (Some(trouble), _) => Meters::Blind(trouble.clone()),
            (None, Some((levels, frames))) => Meters::Seen(levels, frames),
            // It has begun just now.
            // CAST: At most 64.
            (None, None) => Meters::Seen(vec![Level::default(); stream.channels as usize], 0),
        }
    }

    /// Measures what has come.
    pub(super) fn drain(&mut self) {
        if let Some(recording) = &mut self.recording {
            if let Err(errno) = recording.drain() {
                self.trouble = Some(format!("the card's capture PCM failed: {}", errno.desc()));
                self.recording = None;
            }
        }
    }

    /// Time after which the PCM has to be drained, so that it does not overrun.
    pub(super) fn patience(&self) -> Option<u64> {
        self.recording.as_ref().map(|recording| recording.patience)
    }
}

/// Whether a stream has begun and not ended.
fn is_there(state: Option<State>) -> bool {
    !matches!(state, None | Some(State::Stop | State::Xrun))
}

/// A running capture stream.
struct Recording {
    pcm: PCM,
    card: u32,
    stream: Format,
    levels: Levels,
    piece: Box<[u8]>,
    /// Half of what the buffer holds, in nanoseconds.
    patience: u64,
}

impl Recording {
    fn start(card: u32, stream: &Format, interval: Duration) -> Result<Self, String> {
        let levels = Levels::new(stream).filter(|_| stream.channels > 0);
        let (Some(levels), Some(format)) = (levels, pcm_format(stream)) else {
            return Err(format!("{} is not measured", stream.sample_format));
        };
        // Whatever it says is in the error.
        let _messages = quiet_alsa().map_err(|error| error.to_string())?;
        let pcm = PCM::new(&format!("hw:{card}"), Direction::Capture, true)
            .map_err(|error| why_not_open(Errno::from_raw(error.errno())))?;
        let buffer = set_up(&pcm, format, stream, interval)
            .and_then(|buffer| pcm.start().map(|()| buffer))
            .map_err(|error| {
                let reason = Errno::from_raw(error.errno()).desc();
                format!("cannot record: {} says: {reason}", error.func())
            })?;
        Ok(Self {
            pcm,
            card,
            stream: *stream,
            piece: vec![0; PIECE * levels.frame_bytes()].into_boxed_slice(),
            levels,
            patience: frames_to_nanos(buffer / 2, stream.rate),
        })
    }

    /// Whether it records such a stream.
    fn fits(&self, card: u32, stream: &Format) -> bool {
        let layout = |format: &Format| (format.rate, format.channels, format.sample_format);
        self.card == card && layout(&self.stream) == layout(stream)
    }

    fn drain(&mut self) -> Result<(), Errno> {
        loop {
            let read = self.pcm.io_bytes().readi(&mut self.piece);
            match read.map_err(|error| Errno::from_raw(error.errno())) {
                Ok(0) | Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
                Ok(frames) => {
                    let bytes = frames * self.levels.frame_bytes();
                    self.levels.add(self.piece.get(..bytes).unwrap_or_default());
                    if frames < PIECE {
                        return Ok(());
                    }
                }
                // Nobody has looked for long, or the machine has slept.
                Err(Errno::EPIPE | Errno::ESTRPIPE) => {
                    let again = self.pcm.prepare().and_then(|()| self.pcm.start());
                    return again.map_err(|error| Errno::from_raw(error.errno()));
                }
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Sets the PCM up for a stream; returns how many frames its buffer holds.
fn set_up(pcm: &PCM, format: PcmFormat, stream: &Format, interval: Duration) -> alsa::Result<u64> {
    let hw = HwParams::any(pcm)?;
    hw.set_access(Access::RWInterleaved)?;
    hw.set_format(format)?;
    hw.set_channels(stream.channels)?;
    hw.set_rate(stream.rate, ValueOr::Nearest)?;
    let (least, most) = BUFFER;
    let time = interval.saturating_mul(2).clamp(least, most);
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    hw.set_buffer_time_near(micros, ValueOr::Nearest)?;
    pcm.hw_params(&hw)?;
    let buffer = hw.get_buffer_size()?;
    Ok(u64::try_from(buffer).unwrap_or(0))
}

fn pcm_format(stream: &Format) -> Option<PcmFormat> {
    Some(match Layout::of(stream.sample_format)? {
        Layout::U8 => PcmFormat::U8,
        Layout::S16 => PcmFormat::S16LE,
        Layout::S24 => PcmFormat::S24LE,
        Layout::S32 => PcmFormat::S32LE,
        Layout::S24Packed => PcmFormat::S243LE,
        Layout::Float => PcmFormat::FloatLE,
    })
}

fn why_not_open(errno: Errno) -> String {
    match errno {
        Errno::EBUSY | Errno::EAGAIN => {
            "all of the card's eight recorders are in use: stop one of them".into()
        }
        Errno::EACCES | Errno::EPERM => {
            "not allowed to record from the card: join the group audio".into()
        }
        errno => format!("cannot open the card's capture PCM: {}", errno.desc()),
    }
}
