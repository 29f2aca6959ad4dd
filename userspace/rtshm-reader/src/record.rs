// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader record`: the recorder, woken by what it waits for.

mod channels;
mod recorder;
mod summary;
mod take;
mod target;
mod wav;

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use rtshm::Consumer;

use self::recorder::{Recorder, Settings, Wait};
use self::summary::Summary;
use self::take::Container;
use self::target::Target;
use crate::cli::{self, VolumeUse};
use crate::clock::{now, SECOND};
use crate::exit::{self, Outcome};
use crate::notes::Notes;
use crate::signals::{Hangup, Signals};
use crate::stdout;
use crate::summary::RingUse;

pub(crate) use self::target::WriteError;

#[cfg(test)]
pub(crate) use self::summary::tests::json as summary_json;

/// What `record --help` says behind the options.
pub(crate) const HELP: &str = "\
Files are WAV of float32 (RF64 beyond 4 GiB) or raw: float32, little-endian,
interleaved. A stream of another rate or number of channels begins the next
file: NAME-2.wav, NAME-3.wav, ... (those that exist are passed over, unless
--force). So does SIGHUP without a terminal (a service, setsid) and under nohup;
on a terminal it ends the recording, as SIGTERM does. Nothing is written while nothing plays. A file is
good whenever this process ends, be it killed; then it lacks half a second at
most.

Fields of the JSON (--json), counted since the start of this process:
  rtshm                      the device read from
  format_in                  of the last stream: format, rate, channels; null
                             before the first
  files                      those written: file, container (wav, raw), rate,
                             channels, frames
  streams, chunks            streams begun, chunks popped
  frames_out                 frames in all files
  silence_frames             frames of silence written in the place of lost
                             ones
  lost_frames, lost_records  frames that had not fitted into the ring, places
                             where they are missing
  ring_bytes                 capacity of the ring
  ring_fill_min_bytes, ring_fill_max_bytes, ring_free_min_bytes
                             its fill and free space when this process woke;
                             null if never
  seconds                    how long this process ran

`rtshm-reader --help` lists the exit codes.";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// File to record to; - for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What to write; by default wav for NAME.wav and for -, where it has no length, and raw for
    /// NAME.raw and NAME.f32
    #[arg(long, value_name = "FORMAT")]
    format: Option<Container>,

    /// How much to record, such as 30s, 5min or 2h: exactly as many frames as last that long
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// What to write for frames that did not fit into the ring
    #[arg(long, value_name = "WHAT", default_value = "silence")]
    gaps: Gaps,

    /// What to do with the volume that the mixer of the virtual card says
    #[arg(long, value_name = "WHAT", default_value = "ignore")]
    volume: VolumeUse,

    /// Exit when the first stream has been recorded to its end
    #[arg(long)]
    once: bool,

    /// Overwrite files that exist
    #[arg(short, long)]
    force: bool,

    /// Print a summary as JSON on standard output at the end
    #[arg(long)]
    json: bool,
}

/// What to write for frames that did not fit into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gaps {
    /// As many frames of silence
    Silence,
    /// Nothing
    Skip,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match cli::parse_time(text) {
        None => Err("write a number and us, ms, s, min or h, such as 30s".into()),
        Some(Duration::ZERO) => Err("it must be more than 0".into()),
        Some(time) => Ok(time),
    }
}

impl Options {
    /// What to write.
    ///
    /// # Errors
    ///
    /// Wrong usage.
    fn container(&self) -> Result<Container, clap::Error> {
        let is_output = self.file == Path::new("-");
        if is_output && self.json {
            return Err(cli::wrong_usage(
                ErrorKind::ArgumentConflict,
                "--json cannot be used with -, which has the sound on standard output",
            ));
        }
        let extension = self.file.extension().map(|e| e.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            _ if self.format.is_some() => {}
            _ if is_output => return Ok(Container::Wav),
            Some("wav") => return Ok(Container::Wav),
            Some("raw" | "f32") => return Ok(Container::Raw),
            _ => {}
        }
        self.format.ok_or_else(|| {
            cli::wrong_usage(
                ErrorKind::MissingRequiredArgument,
                "name the file .wav, .raw or .f32, or say what to write with --format",
            )
        })
    }
}

pub(crate) fn run(path: &Path, options: &Options, notes: Notes) -> Outcome {
    let container = options
        .container()
        .unwrap_or_else(|error| cli::refuse(&error));
    if options.file == Path::new("-") && std::io::stdout().is_terminal() {
        cli::refuse(&cli::wrong_usage(
            ErrorKind::InvalidValue,
            "standard output is a terminal: name a file, or pipe it into a program",
        ));
    }
    let target = Target::new(&options.file, options.force)?;
    let is_output = target.is_output();
    let signals = watch_signals()?;
    let mut consumer = Consumer::open(path)?;
    if !is_output {
        // There is time: the file is brought up to date twice a second.
        let quarter = consumer.capacity() / 4;
        consumer.set_wake_threshold(u32::try_from(quarter).unwrap_or(u32::MAX));
    }

    let summary = Summary {
        rtshm: path.into(),
        ring: RingUse::new(consumer.capacity()),
        ..Summary::default()
    };
    let settings = Settings {
        container,
        gaps: options.gaps,
        apply_volume: options.volume == VolumeUse::Apply,
        once: options.once,
        duration: options.duration,
    };
    let mut recorder = Recorder::new(settings, target, summary, notes);
    let start = now();
    notes.detail(format_args!("waiting for a stream on {}", path.display()));
    let done = record(&mut recorder, &mut consumer, &signals, is_output);
    // Whatever it was that ended it, what was recorded is there.
    let done = done.and(recorder.conclude());

    let summary = recorder.summary();
    summary.seconds = (now() - start) as f64 / SECOND as f64;
    notes.text(&summary.text());
    let told = match options.json {
        true => stdout::print_json(summary),
        false => Ok(()),
    };
    // What failed has failed, whoever reads about it.
    done.and(told)
}

fn record(
    recorder: &mut Recorder,
    consumer: &mut Consumer,
    mut signals: &UnixStream,
    is_output: bool,
) -> Result<()> {
    let stdout = std::io::stdout();
    loop {
        let Wait::Ring(until) = recorder.step(consumer, now())? else {
            return Ok(());
        };
        let timeout = match until {
            None => PollTimeout::NONE,
            // In milliseconds, rounded up.
            Some(until) => {
                let rest = until.saturating_sub(now()).div_ceil(SECOND / 1000);
                PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = [
            PollFd::new(consumer.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            // For nothing but the news that nobody reads any more.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        let count = if is_output { 3 } else { 2 };
        match poll(&mut fds[..count], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("poll failed"),
        }
        let [ring, signal, reader] = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        if ring.contains(PollFlags::POLLIN) {
            let unread = consumer.unread()?;
            recorder.summary().ring.woke_at(unread);
        }
        if ring.intersects(!PollFlags::POLLIN) {
            // Says which, when what there is has been popped.
            recorder.step(consumer, now())?;
            consumer.wait(Some(Duration::ZERO))?;
        }
        if reader.contains(PollFlags::POLLERR) {
            return Ok(());
        }
        if !signal.is_empty() {
            let mut numbers = [0];
            signals.read_exact(&mut numbers)?;
            if numbers[0] == RENEW {
                recorder.step(consumer, now())?;
                recorder.split()?;
            } else {
                recorder.finish(now());
            }
        }
    }
}

/// Bytes in the stream of signals: to end, and to begin the next file.
const END: u8 = 0;
const RENEW: u8 = 1;

/// Has a thread wait for signals, each of which becomes a byte to be read. A second one to end is
/// obeyed at once there, also while a disk or a pipe holds the other threads up.
fn watch_signals() -> Result<UnixStream> {
    let hangup = Hangup::of_start();
    let signals = Signals::take_over_these(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let (ours, mut theirs) = UnixStream::pair().context("cannot make a socket")?;
    let watch = move || {
        let mut asked = false;
        loop {
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::NONE);
            while let Some(number) = signals.next_number() {
                let renews = hangup.renews(number);
                if asked && Hangup::is_repeated(number) {
                    continue;
                }
                if !renews && asked {
                    process::exit(exit::FORCED);
                }
                asked |= !renews;
                // The other end is there as long as the process.
                let _ = theirs.write_all(&[if renews { RENEW } else { END }]);
            }
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(watch)
        .context("cannot start a thread")?;
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(arguments: &[&str]) -> Options {
        let all = ["rtshm-reader", "record"].iter().chain(arguments);
        match Cli::parse_from(all).command {
            Command::Record(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_name_says_what_to_write() {
        let container = |arguments: &[&str]| options(arguments).container().ok();
        assert_eq!(container(&["a.wav"]), Some(Container::Wav));
        assert_eq!(container(&["A.WAV"]), Some(Container::Wav));
        assert_eq!(container(&["a.raw"]), Some(Container::Raw));
        assert_eq!(container(&["a.f32"]), Some(Container::Raw));
        assert_eq!(container(&["-"]), Some(Container::Wav));
        assert_eq!(container(&["-", "--format", "raw"]), Some(Container::Raw));
        assert_eq!(
            container(&["a.wav", "--format", "raw"]),
            Some(Container::Raw)
        );
        assert_eq!(container(&["a", "--format", "wav"]), Some(Container::Wav));
        for wrong in [&["a"][..], &["a.mp3"], &["-", "--json"]] {
            assert_eq!(container(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn durations_are_not_empty() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(parse_duration("0s").is_err());
        assert!(parse_duration("10").is_err());
    }
}
