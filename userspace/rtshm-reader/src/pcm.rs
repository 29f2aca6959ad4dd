// SPDX-License-Identifier: MIT OR GPL-2.0

//! A sound card, through ALSA.
//!
//! The card's buffer is at least twice the latency: the player fills it to the latency and starts
//! it, and the other half takes what comes early. The card is never waited for in here; it is set
//! to non-blocking.

mod mixer;
mod position;
mod setup;

use std::cell::RefCell;
use std::ffi::CString;
use std::rc::Rc;
use std::time::Duration;

use alsa::pcm::PCM;
use alsa::poll::{pollfd, Descriptors};
use alsa::{Direction, Output};
use nix::errno::Errno;
use rtshm::Format;

use crate::convert::Encoding;
use crate::notes::Notes;
use crate::sink::{Broken, OpenError, Opener, Reading, Setup, Sink};

use self::position::Position;
use self::setup::{configure, size};

/// Frames that are converted at a time.
const STAGING_FRAMES: usize = 1024;

/// Opens one PCM by name.
pub(crate) struct PcmOpener {
    name: String,
    /// Index of the card that is read from.
    own_card: u32,
    latency: Duration,
    messages: Rc<RefCell<Output>>,
    notes: Notes,
}

impl PcmOpener {
    /// Prepares to open the PCM `name`, which must not lead to the card `own_card`, and to have
    /// `latency` of sound written ahead.
    pub(crate) fn new(
        name: &str,
        own_card: u32,
        latency: Duration,
        notes: Notes,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            name: name.into(),
            own_card,
            latency,
            messages: quiet_alsa()?,
            notes,
        })
    }

    /// Finds out whether the PCM can be opened at all.
    pub(crate) fn probe(&mut self) -> Result<(), OpenError> {
        self.open_pcm().map(|_| ())
    }

    fn open_pcm(&mut self) -> Result<PCM, OpenError> {
        let opened = CString::new(self.name.as_str())
            .map_err(|_| Errno::EINVAL)
            .and_then(|name| {
                PCM::open(&name, Direction::Playback, true)
                    .map_err(|error| Errno::from_raw(error.errno()))
            });
        self.pass_on_messages();
        let pcm = opened.map_err(|errno| OpenError::Absent(why_not_open(&self.name, errno)))?;
        let card = pcm.info().map(|info| info.get_card());
        if card.is_ok_and(|card| u32::try_from(card) == Ok(self.own_card)) {
            return Err(OpenError::Unfit(format!(
                "PCM {} is the rtshm card itself and would play to itself: choose another with \
                 --device",
                self.name
            )));
        }
        Ok(pcm)
    }

    /// What alsa-lib would have printed is for those who want details.
    fn pass_on_messages(&mut self) {
        let text = self.messages.borrow().to_string();
        if text.is_empty() {
            return;
        }
        for line in text.lines() {
            self.notes.detail(format_args!("alsa: {line}"));
        }
        if let Ok(messages) = quiet_alsa() {
            self.messages = messages;
        }
    }
}

/// Lets alsa-lib write its messages to a buffer, a new one.
pub(crate) fn quiet_alsa() -> anyhow::Result<Rc<RefCell<Output>>> {
    Output::local_error_handler().map_err(|error| anyhow::anyhow!("no buffer for ALSA: {error}"))
}

fn why_not_open(name: &str, errno: Errno) -> String {
    match errno {
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => {
            format!("no PCM {name}: choose another with --device; `aplay -L` lists them")
        }
        Errno::EBUSY => format!(
            "PCM {name} is in use by another program: stop that, or choose another with --device"
        ),
        Errno::EACCES | Errno::EPERM => format!(
            "not allowed to open PCM {name}: join the group audio with \
             `sudo usermod -aG audio $USER` and log in again"
        ),
        _ => format!(
            "cannot open PCM {name}: {}: choose another with --device",
            errno.desc()
        ),
    }
}

impl Opener for PcmOpener {
    type Sink = PcmSink;

    fn is_clock_ours(&self) -> bool {
        mixer::is_clock_ours(self.own_card).unwrap_or(true)
    }

    fn forget(&mut self) {
        // alsa-lib looks at the date of its own file alone, and not at those that it includes. What
        // cannot be read will be told when the PCM is opened.
        let _ = alsa::config::update_free_global();
    }

    fn open(&mut self, format: &Format) -> Result<PcmSink, OpenError> {
        let pcm = self.open_pcm()?;
        let sink = PcmSink::new(&self.name, pcm, format, self.latency);
        self.pass_on_messages();
        sink
    }
}

/// A PCM that is set up.
pub(crate) struct PcmSink {
    /// Before the PCM, which is closed only when nobody maps its pages.
    position: Position,
    pcm: PCM,
    encoding: Encoding,
    /// How often each sample is written: 2 for a mono stream on a card that has no mono.
    copies: usize,
    channels_in: usize,
    frame_bytes: usize,
    setup: Setup,
    /// Converted frames on their way to the PCM.
    staging: Box<[u8]>,
    silence: Box<[u8]>,
}

impl PcmSink {
    fn new(name: &str, pcm: PCM, format: &Format, latency: Duration) -> Result<Self, OpenError> {
        let (encoding, setup) = configure(name, &pcm, format, latency)?;
        let frame_bytes = encoding.width() * setup.channels as usize;
        let staging = vec![0; STAGING_FRAMES * frame_bytes].into_boxed_slice();
        Ok(Self {
            position: Position::new(&pcm),
            encoding,
            copies: (setup.channels / format.channels) as usize,
            channels_in: format.channels as usize,
            frame_bytes,
            setup,
            silence: staging.clone(),
            staging,
            pcm,
        })
    }

    /// How many descriptors [`fill_poll`](Self::fill_poll) fills in.
    pub(crate) fn poll_count(&self) -> usize {
        self.pcm.count()
    }

    /// Fills in what to poll for to be told of room for a period.
    pub(crate) fn fill_poll(&self, fds: &mut [pollfd]) {
        if self.pcm.fill(fds).is_err() {
            fds.fill(NO_FD);
        }
    }

    /// Lets the PCM see what has become of the descriptors; some need that to go on.
    pub(crate) fn polled(&self, fds: &[pollfd]) {
        // What comes of it shows at the next write.
        let _ = self.pcm.revents(fds);
    }
}

/// Writes whole frames in the PCM's encoding; returns how many.
fn write_bytes(pcm: &PCM, bytes: &[u8]) -> Result<usize, Broken> {
    match pcm.io_bytes().writei(bytes) {
        Ok(frames) => Ok(frames),
        Err(error) => match Errno::from_raw(error.errno()) {
            Errno::EAGAIN | Errno::EINTR => Ok(0),
            errno => Err(broken(errno)),
        },
    }
}

/// Lets `write` write `total` frames, in pieces given by where they start and how many they are,
/// until one is not taken whole; returns how many frames were.
fn in_pieces(
    total: usize,
    mut write: impl FnMut(usize, usize) -> Result<usize, Broken>,
) -> Result<u64, Broken> {
    let mut done = 0;
    while done < total {
        let piece = STAGING_FRAMES.min(total - done);
        match write(done, piece) {
            Ok(written) => {
                done += written;
                if written < piece {
                    break;
                }
            }
            // It shows again at the next call; what was written counts.
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done as u64)
}

/// A descriptor that `poll()` ignores.
pub(crate) const NO_FD: pollfd = pollfd {
    fd: -1,
    events: 0,
    revents: 0,
};

fn broken(errno: Errno) -> Broken {
    match errno {
        // A suspended card is prepared and filled anew like one that ran dry.
        Errno::EPIPE | Errno::ESTRPIPE => Broken::Xrun,
        errno => Broken::Lost(errno as i32),
    }
}

fn checked<T>(result: alsa::Result<T>) -> Result<T, Broken> {
    result.map_err(|error| broken(Errno::from_raw(error.errno())))
}

impl Sink for PcmSink {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn write(&mut self, samples: &[f32]) -> Result<u64, Broken> {
        let written = if self.encoding.is_native_float() && self.copies == 1 {
            write_bytes(&self.pcm, bytemuck::cast_slice(samples)).map(|frames| frames as u64)
        } else {
            in_pieces(samples.len() / self.channels_in, |start, frames| {
                let samples = &samples[start * self.channels_in..][..frames * self.channels_in];
                let bytes = &mut self.staging[..frames * self.frame_bytes];
                self.encoding.encode(samples, self.copies, bytes);
                write_bytes(&self.pcm, bytes)
            })
        }?;
        self.position.wrote(written);
        Ok(written)
    }

    fn write_silence(&mut self, frames: u64) -> Result<u64, Broken> {
        let total = usize::try_from(frames).unwrap_or(usize::MAX);
        let written = in_pieces(total, |_, frames| {
            write_bytes(&self.pcm, &self.silence[..frames * self.frame_bytes])
        })?;
        self.position.wrote(written);
        Ok(written)
    }

    fn start(&mut self) -> Result<(), Broken> {
        match self.pcm.start() {
            // It has started by itself: the buffer was full.
            Err(error) if error.errno() == Errno::EBADFD as i32 => Ok(()),
            result => checked(result),
        }
    }

    fn queued(&mut self) -> Result<u64, Broken> {
        let room = checked(self.pcm.avail())?;
        self.position.asked();
        Ok(self.setup.buffer_frames.saturating_sub(size(room)))
    }

    fn delay(&mut self) -> Result<u64, Broken> {
        let delay = checked(self.pcm.delay())?;
        self.position.asked();
        // Negative right before an xrun is noticed.
        Ok(size(delay))
    }

    fn reading(&mut self) -> Option<Reading> {
        self.position.read(&self.pcm, &self.setup)
    }

    fn reset(&mut self) -> Result<(), Broken> {
        // It may be in any state; what `prepare` needs, `drop` brings about.
        let _ = self.pcm.drop();
        let prepared = checked(self.pcm.prepare());
        self.position.reset();
        prepared
    }
}

#[cfg(test)]
pub(crate) mod tests;
