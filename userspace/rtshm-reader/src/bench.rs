// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader bench`: plays into the card and reads what it plays, in one process.

mod figures;
mod listener;
mod pattern;
mod player;
mod report;

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{anyhow, Result};
use clap::error::ErrorKind;
use clap::{value_parser, Args};
use nix::sys::resource::{getrusage, UsageWho};
use rtshm::{Consumer, Device, Error};

use self::listener::{listen, processor_time, Heard, Raise};
use self::player::{holder, Player, Setup, BUFFER_BYTES, SAMPLE};
use self::report::Report;
use crate::cli;
use crate::clock::{nanos, nanos_to_frames};
use crate::exit::{self, Outcome};
use crate::notes::Notes;
use crate::realtime::Realtime;
use crate::signals::Signals;
use crate::stdout;

#[cfg(test)]
pub(crate) use self::report::tests::json as report_json;

/// What `bench --help` says behind the options.
pub(crate) const HELP: &str = "\
Plays a known sound into the card, is its reader, compares every sample and
measures. Nothing is heard. Refuses, with status 5, where an application plays
or another reader has the device.

Latency is from when a chunk's last frame is due at the card (its time stamp,
and its length) to when the reader has it; jitter is the latency's standard
deviation. System calls are those that the reader makes to wait; it makes no
others. Wake-ups are the times that its thread slept, as the kernel counts them:
voluntary context switches. SIGINT and SIGTERM end the sound early: what was not
played by then is not counted. A second one ends at once with status 130.

Fields of the JSON (--json):
  rtshm, card, module_version
                             the device, index of its card, the module's
                             version
  rate, channels, period_frames, buffer_frames, chunk_frames
                             how it was played; chunk_frames is the most in a
                             chunk
  seconds_written, frames_written
                             into the card
  frames, chunks             out of the ring
  lost_frames                that had not fitted into the ring
  xruns                      times that the player was late
  differing_samples          that came out other than they went in
  latency_min_us, latency_median_us, latency_p999_us, latency_max_us
                             in microseconds; as all that follows null where no
                             chunk came. 999 of 1000 chunks have at most
                             latency_p999_us
  jitter_us                  in microseconds
  reader_wakeups, reader_system_calls
                             the times that the reader slept, its calls
  reader_wakeups_per_chunk, reader_system_calls_per_chunk
                             these by chunks
  reader_cpu_us_per_second, cpu_us_per_second
                             processor time for a second of sound, of the
                             reader's thread and of the whole process, in
                             microseconds

`rtshm-reader --help` lists the exit codes.";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How much to play, 100ms to 1h
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    duration: Duration,

    /// Frames per second
    #[arg(long, value_name = "HZ", default_value = "48000",
        value_parser = value_parser!(u32).range(8_000..=768_000))]
    rate: u32,

    /// Samples per frame
    #[arg(long, value_name = "COUNT", default_value = "2",
        value_parser = value_parser!(u32).range(1..=64))]
    channels: u32,

    /// Frames in a period, at least 16; no chunk is larger
    #[arg(long, value_name = "FRAMES", default_value = "256",
        value_parser = value_parser!(u32).range(16..=524_288))]
    period: u32,

    /// Real-time priority of the reader, 1 to 99, where the system allows it, or no
    #[arg(long, value_name = "PRIO", default_value = "10")]
    realtime: Realtime,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Sound came out other than it went in; the report has told how.
#[derive(Debug)]
pub(crate) struct Differs;

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sound came out of the ring other than it went into the card: report this")
    }
}

impl std::error::Error for Differs {}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let time = cli::parse_time(text).ok_or("write a number and ms, s, min or h, such as 10s")?;
    if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&time) {
        Ok(time)
    } else {
        Err("it can be 100ms to 1h".into())
    }
}

impl Options {
    /// How to play.
    ///
    /// # Errors
    ///
    /// Wrong usage.
    fn setup(&self) -> Result<Setup, clap::Error> {
        let bytes = u64::from(self.period) * u64::from(self.channels) * SAMPLE;
        // Two periods are the least.
        if bytes > BUFFER_BYTES / 2 {
            let most = BUFFER_BYTES / 2 / SAMPLE / u64::from(self.channels);
            return Err(cli::wrong_usage(
                ErrorKind::ValueValidation,
                format!("--period can be up to {most} with so many channels"),
            ));
        }
        Ok(Setup {
            rate: self.rate,
            channels: self.channels,
            period: self.period,
        })
    }
}

pub(crate) fn run(path: &Path, options: &Options, notes: Notes) -> Outcome {
    let setup = options.setup().unwrap_or_else(|error| cli::refuse(&error));
    let signals = Signals::take_over()?;
    let card = free_card(path)?;
    let mut player = Player::open(card, setup)?;
    let mut consumer = Consumer::open(path)?;
    let info = consumer.device().info()?;
    let report = Report {
        rtshm: path.into(),
        card,
        module_version: info.module_version,
        ..Report::default()
    };

    let period = u64::from(setup.period);
    let frames = nanos_to_frames(nanos(options.duration), setup.rate);
    // Whole periods, of which each is cut alike.
    let total = frames.div_ceil(period) * period;
    // As the module has it by default.
    let chunks = total / period * period.div_ceil(256);
    let heard = Heard::with_capacity(usize::try_from(chunks)?);
    let before = getrusage(UsageWho::RUSAGE_SELF)?;
    let (is_deaf, is_played) = (AtomicBool::new(false), AtomicBool::new(false));
    let is_asked = Cell::new(false);
    let (played, heard) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            // Nobody shall play on to one who has failed.
            let deaf = Raise(&is_deaf);
            let realtime = options.realtime;
            let heard = listen(&mut consumer, heard, total, &is_played, realtime, notes)?;
            mem::forget(deaf);
            Ok(heard)
        });
        let is_over = || {
            while signals.next_number().is_some() {
                if is_asked.replace(true) {
                    process::exit(exit::FORCED);
                }
            }
            // ORDERING: Relaxed; the flag stands by itself.
            is_asked.get() || is_deaf.load(Ordering::Relaxed)
        };
        let end = Raise(&is_played);
        let played = player.play(total, is_over);
        drop(end);
        let heard = reader
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the reader panicked")));
        (played, heard)
    });
    let (heard, played) = (heard?, played?);
    let written = (heard.frames + heard.lost).clamp(*played.start(), *played.end());
    let after = getrusage(UsageWho::RUSAGE_SELF)?;
    let whole = processor_time(&after).saturating_sub(processor_time(&before));
    let report = report.measured(setup, written, player.xruns, heard, whole);
    let told = match options.json {
        true => stdout::print_json(&report),
        false => stdout::print(&report.text()),
    };
    match report.is_equal() {
        true => told,
        false => Err(Differs.into()),
    }
}

/// The index of the card at `path`, where nobody uses it. It is not touched to find that out.
fn free_card(path: &Path) -> Result<u32> {
    let device = Device::open(path)?;
    let card = device.info()?.card;
    let busy = |path: PathBuf, holder| Err(Error::Busy { path, holder }.into());
    if let Some(reader) = device.holder() {
        return busy(path.into(), Some(reader));
    }
    if let Some(player) = holder(card) {
        return busy(format!("hw:{card}").into(), Some(player));
    }
    Ok(card)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_bounds() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("100ms").is_ok() && parse_duration("1h").is_ok());
        for wrong in ["99ms", "61min", "0s", "10"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
