// SPDX-License-Identifier: MIT OR GPL-2.0

//! Waits with `poll()` for the card and for a signal, whichever comes first.
//!
//! ```text
//! cargo run --example poll -- [--once] [DEVICE] > sound.f32
//! ```
//!
//! A program that waits for nothing else needs no more than `Consumer::wait`.

mod recorder;

use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use recorder::{Recorder, Result};
use rtshm::Consumer;

fn main() -> ExitCode {
    recorder::main(record)
}

fn record(mut consumer: Consumer, mut recorder: Recorder) -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let signals = SignalFd::new(&signals)?;

    // A recorder is in no hurry: audio wakes it once a quarter of the ring is full. All other
    // events, as the end of a stream, do so at once.
    let quarter = u32::try_from(consumer.capacity() / 4)?;
    consumer.set_wake_threshold(quarter);

    while !recorder.is_done() {
        let mut fds = [
            PollFd::new(consumer.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let told_to_stop = fds[1].any() == Some(true);
        // What is left makes the next poll() return at once.
        recorder.drain(&mut consumer)?;
        if told_to_stop {
            break;
        }
    }
    // Whatever there is counts now.
    consumer.set_wake_threshold(0);
    recorder.finish(consumer)
}
