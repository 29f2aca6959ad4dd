// SPDX-License-Identifier: MIT OR GPL-2.0

//! What the examples do with what they pop: samples to standard output as raw interleaved float32,
//! everything else to standard error.

use std::env;
use std::error::Error;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rtshm::{Consumer, Event, Kind, State};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs an example by its command line: `[--once] [DEVICE]`.
pub(crate) fn main(example: impl FnOnce(Consumer, Recorder) -> Result<()>) -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    let once = arguments.next_if(|argument| argument == "--once").is_some();
    let path = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => rtshm::DEFAULT_PATH.into(),
    };
    let ended = Consumer::open(path)
        .map_err(Into::into)
        .and_then(|consumer| example(consumer, Recorder::new(once)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes what is popped.
pub(crate) struct Recorder {
    output: BufWriter<Stdout>,
    /// Samples per frame, 0 before the first format.
    channels: u32,
    /// Whether one stream is enough.
    once: bool,
    done: bool,
}

impl Recorder {
    fn new(once: bool) -> Self {
        Self {
            output: BufWriter::new(io::stdout()),
            channels: 0,
            once,
            done: false,
        }
    }

    /// Whether all was written that is to be written.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Writes what is there, a full ring at most; returns whether there is nothing left.
    ///
    /// Whoever polls the device finds out here, from [`Consumer::wait`], what `POLLERR` and `POLLHUP`
    /// mean; and as that is a `poll()`, nothing that the kernel has kept stays behind.
    pub(crate) fn drain(&mut self, consumer: &mut Consumer) -> Result<bool> {
        // A record takes 64 bytes at least. With no bound, one whose output is slow would never come to
        // look for signals.
        for _ in 0..consumer.capacity() / 64 {
            if self.done {
                return Ok(true);
            }
            if let Some(event) = consumer.pop()? {
                self.write(&event)?;
                continue;
            }
            if !consumer.wait(Some(Duration::ZERO))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes what was played until now, and ends.
    pub(crate) fn finish(mut self, mut consumer: Consumer) -> Result<()> {
        self.drain(&mut consumer)?;
        self.output.flush()?;
        Ok(())
    }

    fn write(&mut self, event: &Event<'_>) -> Result<()> {
        let position = event.position();
        match event.kind() {
            Kind::Audio(chunk) => {
                for sample in chunk.samples {
                    self.output.write_all(&sample.to_ne_bytes())?;
                }
            }
            Kind::Format(format) => {
                self.channels = format.channels;
                eprintln!(
                    "{position}: {} Hz, {} channels",
                    format.rate, format.channels
                );
            }
            Kind::State(change) => {
                eprintln!("{position}: {:?}", change.state);
                self.done = self.once && matches!(change.state, State::Stop | State::Xrun);
            }
            Kind::Lost(lost) => {
                eprintln!("{position}: {} frames lost", lost.frames);
                // What follows stays where it was. Of several streams, nobody knows with how many
                // channels each.
                if !lost.spans_streams {
                    let silence = lost.frames.saturating_mul(u64::from(self.channels) * 4);
                    io::copy(
                        &mut io::Read::take(io::repeat(0), silence),
                        &mut self.output,
                    )?;
                }
            }
            Kind::Volume(volume) => {
                let muted = if volume.is_on { "" } else { ", muted" };
                eprintln!(
                    "{position}: volume {:.2} dB{muted}",
                    f64::from(volume.gain) / 100.0
                );
            }
            // A later module's.
            _ => {}
        }
        Ok(())
    }
}
