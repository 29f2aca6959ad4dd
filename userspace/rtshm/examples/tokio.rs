// SPDX-License-Identifier: MIT OR GPL-2.0

//! Waits in a tokio task for the card and for a signal.
//!
//! ```text
//! cargo run --example tokio -- [--once] [DEVICE] > sound.f32
//! ```

mod recorder;

use std::process::ExitCode;

use recorder::{Recorder, Result};
use rtshm::Consumer;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::runtime;
use tokio::signal::unix::{signal, SignalKind};

fn main() -> ExitCode {
    recorder::main(|consumer, recorder| {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(record(consumer, recorder))
    })
}

async fn record(consumer: Consumer, mut recorder: Recorder) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // With ERROR it also learns that the kernel has found the consumer faulty.
    let interest = Interest::READABLE | Interest::ERROR;
    // SAFETY: A consumer keeps the descriptor that it has opened, and closes it when dropped.
    let mut consumer = unsafe { AsyncFd::register_with_interest(consumer, interest) }?;

    while !recorder.is_done() {
        tokio::select! {
            guard = consumer.ready_mut(interest) => {
                let mut guard = guard?;
                if recorder.drain(guard.get_inner_mut())? {
                    // What came since is told anew.
                    guard.clear_ready();
                }
            }
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    recorder.finish(consumer.into_inner())
}
