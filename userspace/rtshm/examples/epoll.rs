// SPDX-License-Identifier: MIT OR GPL-2.0

//! Waits with an edge-triggered epoll for the card and for a signal.
//!
//! ```text
//! cargo run --example epoll -- [--once] [DEVICE] > sound.f32
//! ```

mod recorder;

use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use recorder::{Recorder, Result};
use rtshm::Consumer;

/// What epoll says has happened.
const CARD: u64 = 0;
const SIGNAL: u64 = 1;

fn main() -> ExitCode {
    recorder::main(record)
}

fn record(mut consumer: Consumer, mut recorder: Recorder) -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let signals = SignalFd::new(&signals)?;

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    // Edge-triggered, it tells once of what is there: it is not asked to wait before all is popped.
    let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(&consumer, EpollEvent::new(edge, CARD))?;
    epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNAL))?;

    let (mut is_ready, mut told_to_stop) = (false, false);
    while !told_to_stop && !recorder.is_done() {
        let mut events = [EpollEvent::empty(); 2];
        let timeout = match is_ready {
            true => EpollTimeout::ZERO,
            false => EpollTimeout::NONE,
        };
        let count = match epoll.wait(&mut events, timeout) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        for event in &events[..count] {
            match event.data() {
                CARD => is_ready = true,
                _ => told_to_stop = true,
            }
        }
        if is_ready {
            is_ready = !recorder.drain(&mut consumer)?;
        }
    }
    recorder.finish(consumer)
}
