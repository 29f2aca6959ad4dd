// SPDX-License-Identifier: MIT OR GPL-2.0

//! The ways from an application to a consumer.
//!
//! What moves sound is a plain system call, or none: so what is measured is the kernel's, and not
//! alsa-lib's.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

use alsa::pcm::Format;
use alsa::Direction;
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{clock_nanosleep, ClockId, ClockNanosleepFlags};
use rtshm::{Consumer, Kind};

use super::account::Account;
use super::pcm::Pcm;
use super::run::Job;
use crate::app::Setup;
use crate::tape::attach_to;
use crate::time::{nanos, now, sleep_ms};

/// A way from an application to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// snd-aloop; the consumer sleeps in `poll()`, and reads what is there.
    Aloop,
    /// snd-aloop; the consumer reads period by period and sleeps in that, as `arecord` does.
    AloopRead,
    /// Our card, as it is loaded.
    Rtshm,
    /// Memory of the process, at the pace of a sleeping application: S16_LE stereo alone.
    Memory,
}

/// What a consumer got at once.
pub(super) enum Piece<'a> {
    Words(&'a [i16]),
    Floats(&'a [f32]),
}

/// A piece's stamp: the position of its first frame, and when that is due.
pub(super) type Stamp = (u64, u64);

/// Where the application writes to.
pub(super) enum Sink {
    Pcm(Pcm),
    Memory(Arc<Memory>, u64),
}

/// Where the consumer gets it from.
pub(super) enum Source {
    Pcm {
        pcm: Pcm,
        bytes: Vec<u8>,
        float: bool,
        blocks: bool,
    },
    Ring(Consumer),
    Memory(Arc<Memory>, u64, Vec<i16>),
}

/// Frames of S16_LE stereo.
pub(super) struct Memory {
    frames: Vec<AtomicU32>,
    written: AtomicU64,
    filled: EventFd,
    rate: u32,
}

/// Frames that the memory, and the buffer of a consumer, has room for: far more than is under way.
const ROOM: u32 = 16_384;

/// Makes the way number `index`.
pub(super) fn open(job: &Job, index: usize) -> Result<(Sink, Source)> {
    let setup = Setup {
        format: job.format,
        channels: job.channels,
        rate: job.rate,
        period: job.period,
        buffer: job.period * job.queue,
        start_threshold: Some(job.period * job.queue),
        ..Setup::default()
    };
    let suffix = match index {
        0 => String::new(),
        _ => index.to_string(),
    };
    let source = match job.way {
        Way::Memory => {
            let memory = Arc::new(Memory {
                frames: (0..ROOM).map(|_| AtomicU32::new(0)).collect(),
                written: AtomicU64::new(0),
                filled: EventFd::from_flags(EfdFlags::EFD_NONBLOCK)?,
                rate: job.rate,
            });
            let source = Source::Memory(memory.clone(), 0, vec![0; 2 * ROOM as usize]);
            return Ok((Sink::Memory(memory, now()), source));
        }
        Way::Rtshm => Source::Ring(attach_to(&format!("/dev/rtshm{suffix}"))?),
        Way::Aloop | Way::AloopRead => {
            let blocks = job.way == Way::AloopRead;
            let room = ROOM / job.period * job.period;
            let setup = Setup {
                buffer: room,
                start_threshold: Some(u32::MAX),
                ..setup
            };
            let name = format!("hw:Loopback,1,{index}");
            let pcm = Pcm::open(&name, Direction::Capture, &setup).context(name)?;
            pcm.set_blocking(blocks)?;
            // The kernel looks at that when a PCM is prepared.
            pcm.prepare()?;
            pcm.start()?;
            let piece = if blocks { job.period } else { room };
            Source::Pcm {
                bytes: vec![0; piece as usize * setup.frame_bytes()],
                float: job.format == Format::FloatLE,
                pcm,
                blocks,
            }
        }
    };
    let name = match job.way {
        Way::Rtshm => format!("hw:RtShm{suffix}"),
        _ => format!("hw:Loopback,0,{index}"),
    };
    let pcm = Pcm::open(&name, Direction::Playback, &setup).context(name)?;
    Ok((Sink::Pcm(pcm), source))
}

impl Sink {
    /// Writes a period that carries numbers from `first` on, as soon as there is room for it; returns
    /// whether the card had run dry.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        first: u64,
        account: &mut Account,
    ) -> Result<bool> {
        match self {
            Self::Pcm(pcm) => {
                let mut late = false;
                let mut rest = bytes;
                while !rest.is_empty() {
                    match account.call(|| pcm.write(rest)) {
                        Ok(written) => rest = &rest[written..],
                        // EIO: ALSA waited in vain, as a pointer that moves by whole
                        // buffers does not seem to move.
                        Err(Errno::EPIPE | Errno::EIO) => {
                            late = true;
                            // After EIO it runs on, and ALSA prepares none that runs.
                            account.call(|| pcm.stop())?;
                            account.call(|| pcm.prepare())?;
                        }
                        Err(errno) => bail!("write: {errno}"),
                    }
                }
                Ok(late)
            }
            Self::Memory(memory, start) => {
                let due = *start + nanos(first, memory.rate);
                let due = TimeSpec::nanoseconds(due.try_into()?);
                account.call(|| {
                    let absolute = ClockNanosleepFlags::TIMER_ABSTIME;
                    clock_nanosleep(ClockId::CLOCK_MONOTONIC, absolute, &due)
                })?;
                // ORDERING: Relaxed; only this thread writes it.
                let written = memory.written.load(Ordering::Relaxed);
                let mut at = written;
                for frame in bytes.chunks_exact(4) {
                    let word = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
                    // ORDERING: Relaxed; the store of `written` publishes it.
                    memory.at(at).store(word, Ordering::Relaxed);
                    at += 1;
                }
                // ORDERING: Release; pairs with the load in `Source::take`, which sees the frames.
                memory.written.store(at, Ordering::Release);
                account.call(|| memory.filled.write(1))?;
                Ok(false)
            }
        }
    }

    /// Has all that is written played.
    pub(super) fn finish(&self, way: Way) -> Result<()> {
        match self {
            // It may never come to its end: ALSA sees no move where the buffer was played whole.
            Self::Pcm(pcm) if matches!(way, Way::Aloop | Way::AloopRead) => {
                sleep_ms(100);
                Ok(pcm.stop()?)
            }
            Self::Pcm(pcm) => pcm.drain(),
            Self::Memory(..) => Ok(()),
        }
    }
}

impl Memory {
    fn at(&self, frame: u64) -> &AtomicU32 {
        &self.frames[(frame % u64::from(ROOM)) as usize]
    }
}

/// What is taken from a source at once, beside its pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// Frames that the source says are missing.
    pub(super) lost: u64,
    /// The consumer came too late for its buffer.
    pub(super) overruns: u64,
}

impl Source {
    /// What tells that there is something; `None` where taking it waits for that.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pcm { blocks: true, .. } => None,
            Self::Pcm { pcm, .. } => Some(pcm.as_fd()),
            Self::Ring(consumer) => Some(consumer.as_fd()),
            Self::Memory(memory, ..) => Some(memory.filled.as_fd()),
        }
    }

    /// Takes what is there.
    pub(super) fn take(
        &mut self,
        account: &mut Account,
        mut piece: impl FnMut(Piece<'_>, Option<Stamp>) -> Result<()>,
    ) -> Result<Taken> {
        let mut taken = Taken::default();
        match self {
            Self::Pcm {
                pcm, bytes, float, ..
            } => match account.call(|| pcm.read(bytes)) {
                Ok(read) => {
                    let bytes = &bytes[..read];
                    // PANIC: A vector of bytes this long is aligned for any scalar; the kernel
                    // gives whole frames.
                    match float {
                        true => piece(Piece::Floats(bytemuck::cast_slice(bytes)), None)?,
                        false => piece(Piece::Words(bytemuck::cast_slice(bytes)), None)?,
                    }
                }
                Err(Errno::EAGAIN) => {}
                Err(Errno::EPIPE) => {
                    taken.overruns += 1;
                    pcm.prepare()?;
                    pcm.start()?;
                }
                Err(errno) => bail!("read: {errno}"),
            },
            Self::Ring(consumer) => {
                while let Some(event) = consumer.pop()? {
                    match event.kind() {
                        Kind::Audio(chunk) => {
                            let stamp = (chunk.position, chunk.time_stamp);
                            piece(Piece::Floats(chunk.samples), Some(stamp))?;
                        }
                        Kind::Lost(lost) => taken.lost += lost.frames,
                        _ => {}
                    }
                }
            }
            Self::Memory(memory, read, words) => {
                match account.call(|| memory.filled.read()) {
                    Ok(_) | Err(Errno::EAGAIN) => {}
                    Err(errno) => bail!("eventfd: {errno}"),
                }
                // ORDERING: Acquire; pairs with the store in `Sink::write`.
                let written = memory.written.load(Ordering::Acquire);
                let count = (written - *read) as usize;
                ensure!(count <= ROOM as usize, "the memory was overrun");
                for (at, frame) in (*read..written).zip(words.chunks_exact_mut(2)) {
                    // ORDERING: Relaxed; the load of `written` ordered it.
                    let word = memory.at(at).load(Ordering::Relaxed).to_le_bytes();
                    frame[0] = i16::from_le_bytes([word[0], word[1]]);
                    frame[1] = i16::from_le_bytes([word[2], word[3]]);
                }
                *read = written;
                piece(Piece::Words(&words[..2 * count]), None)?;
            }
        }
        Ok(taken)
    }
}
