// SPDX-License-Identifier: MIT OR GPL-2.0

//! Client of the rtshm virtual sound card: what applications play, popped in place from shared
//! memory.
//!
//! Applications play into the ALSA card RtShm. Its kernel module writes what they play into a ring
//! of records; a process that opens `/dev/rtshm` for reading and writing is the ring's one
//! [`Consumer`], maps it and pops [`Event`]s. Any number of others may look at its [`Status`]
//! through a [`Device`].
//!
//! ```no_run
//! use rtshm::{Consumer, Kind};
//!
//! fn main() -> rtshm::Result<()> {
//!     let mut consumer = Consumer::open(rtshm::DEFAULT_PATH)?;
//!     loop {
//!         consumer.wait(None)?;
//!         while let Some(event) = consumer.pop()? {
//!             match event.kind() {
//!                 Kind::Format(format) => {
//!                     println!("{} Hz, {} channels", format.rate, format.channels);
//!                 }
//!                 Kind::Audio(chunk) => {
//!                     let peak = chunk.samples.iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
//!                     println!("frame {}: peak {peak}", chunk.position);
//!                 }
//!                 Kind::State(change) => println!("{:?}", change.state),
//!                 Kind::Lost(lost) => println!("{} frames are missing here", lost.frames),
//!                 Kind::Volume(volume) => println!("{} dB", f64::from(volume.gain) / 100.0),
//!                 _ => {}
//!             }
//!         } // An event that is dropped gives its bytes back to the kernel.
//!     }
//! }
//! ```
//!
//! # What to know
//!
//! - The ring is a new one at each open: a consumer hears what is played from then on. The first
//!   event is the [`Volume`]. Where a stream is under way it is told so by a `FORMAT` and a `STATE`
//!   event with [`is_resync`](Event::is_resync).
//! - Everything is in one ordered stream: a `FORMAT` before the first chunk that has it, a
//!   [`Lost`] where frames are missing because the ring was full.
//! - A [`Consumer`] is fit for a real-time thread: none of its functions allocates, locks or enters
//!   the kernel, but for opening it, [`wait`](Consumer::wait), what its
//!   [`device`](Consumer::device) does, and closing it by the drop. The same goes for an [`Event`].
//! - Only [`wait`](Consumer::wait), or a poller of one's own on [`AsFd`](std::os::fd::AsFd), sleeps.
//!   The crate's examples `poll`, `epoll` and `tokio` are such pollers.
//! - When the ring was too full, what the kernel owes (`LOST` among it) is written at the next
//!   `poll()` at the latest: poll, if only with a timeout of 0, before taking an empty ring for
//!   the end.
//! - The region is checked as a parser checks its input: no content of it makes this crate panic,
//!   loop without end or read outside of the ring.
//!
//! Frames, rates, channels, formats and states are ALSA's. Time is `CLOCK_MONOTONIC` in
//! nanoseconds. Samples are interleaved float32; full scale is 1.0.

mod clock;
mod consumer;
mod device;
mod error;
mod event;
mod format;
mod region;

pub use crate::clock::ClockRatio;
pub use crate::consumer::Consumer;
pub use crate::device::{paths, Device, Info, Status, DEFAULT_PATH};
pub use crate::error::{Error, Holder, Result};
pub use crate::event::{Chunk, Event, Kind, Lost, StateChange, Volume};
pub use crate::format::{Format, SampleFormat};
pub use crate::region::Region;
pub use rtshm_abi::layout::Geometry;
pub use rtshm_abi::record::{Malformed, State};
