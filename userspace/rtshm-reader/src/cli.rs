// SPDX-License-Identifier: MIT OR GPL-2.0

//! The command line.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::realtime::Realtime;
use crate::{bench, doctor, documents, monitor, record};

const EXIT_CODES: &str = "\
Exit codes:
  0    done; also after SIGINT or SIGTERM
  1    another error
  2    wrong usage
  3    no such device: the rtshm module is not loaded, the card was taken away,
       or the file is no device of rtshm's
  4    module and program do not go together, or the ring is corrupt
  5    the device is in use by another process
  6    the sound card cannot be used
  7    permission denied
  8    the recording cannot be written
  9    doctor: a check failed; bench: sound came out other than it went in, or
       none
  130  a second SIGINT or SIGTERM: stopped at once";

pub(crate) const PLAY_HELP: &str = "\
SIGINT and SIGTERM play out what is there and end; a second one ends at once.
SIGHUP does the same where the program was started on a terminal, which sends it
when it closes, and so does the shell. Without one (a service, setsid), and
under nohup, it opens the sound card anew, by what ALSA's configuration says
then.

Fields of the JSON (--json), counted since the start of this process:
  pcm, rtshm                 the PCM played on, the device read from
  format_in                  of the last stream: format, rate, channels; null
                             before the first
  format_out                 of the sound card: also period_frames,
                             buffer_frames, latency_frames
  streams, chunks            streams begun, chunks popped
  frames_in, frames_out      frames popped, frames of them written to the sound
                             card (after conversion, where that is resampling)
  discarded_frames           the others: the card was lost, or they came too
                             late to be played
  lost_frames, lost_records  frames that had not fitted into the ring, places
                             where they are missing
  sink_xruns, sink_losses    underruns of the sound card, times that it was
                             lost or could not open
  sync                       how the cards were kept together at last: follow,
                             resample, none; auto where nothing was played
  card_ppm                   how fast the sound card runs, as its distance from
                             nominal in parts per million; null before that is
                             known
  sync_error_max_frames      by how many frames the distance between the cards
                             was off at most since it is known; null before
  ring_bytes                 capacity of the ring
  ring_fill_min_bytes, ring_fill_max_bytes, ring_free_min_bytes
                             its fill and free space when audio woke this
                             process; null if never
  seconds                    how long this process ran

`rtshm-reader --help` lists the exit codes.";

pub(crate) const STATUS_JSON: &str = "\
Fields of the JSON (--json); the counters are the module's since it was loaded:
  rtshm                      the device
  card, card_id              index and id of its ALSA card
  module_version, abi_version
                             the module's
  state                      none (before the first stream), running, paused,
                             draining, stopped, xrun, suspended
  stream                     of the last stream: format, rate, channels,
                             period_frames, buffer_frames, chunk_frames; null
                             before the first
  consumer_pid, consumer_name
                             the process that reads; null if none
  ring_bytes, ring_fill_bytes
                             capacity of the ring, bytes written and not read
  write_count, read_count    bytes ever written for this consumer, bytes ever
                             read by it
  chunks, frames             chunks delivered, frames in them
  lost_frames, lost_records  frames that did not fit into the ring, places
                             where they are missing
  streams, xruns             streams begun, streams that ended because the
                             application was late
  faults, wakeups            consumers found faulty, times that a sleeping one
                             was woken
  clock_ppm                  speed of the card's clock, as its distance from
                             nominal in parts per million; null while it stands
                             still
  volume_db, muted           the mixer's Master Playback Volume and Switch";

pub(crate) const LIST_JSON: &str = "\
Fields of the JSON (--json), an array with an object for each device:
  rtshm                      the device
  card, card_id              index and id of its ALSA card
  module_version, abi_version
                             the module's
  ring_bytes                 capacity of the ring
  consumer_pid, consumer_name
                             the process that reads; null if none";

/// Plays what applications play into the rtshm virtual sound card.
///
/// Applications play into the ALSA card RtShm (`aplay -D hw:RtShm ...`); the rtshm kernel module
/// hands their sound through shared memory to this program.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 80)]
pub(crate) struct Cli {
    /// Device to read from
    #[arg(
        long,
        global = true,
        help_heading = "Common options",
        value_name = "PATH",
        env = "RTSHM_DEVICE",
        default_value = rtshm::DEFAULT_PATH
    )]
    pub(crate) rtshm: PathBuf,

    /// Say more on standard error
    #[arg(short, long, global = true, help_heading = "Common options")]
    pub(crate) verbose: bool,

    /// Say nothing but errors on standard error
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Common options",
        conflicts_with = "verbose"
    )]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play on a sound card until SIGINT or SIGTERM
    #[command(after_help = PLAY_HELP)]
    Play(PlayOptions),
    /// Record to files or standard output until SIGINT or SIGTERM
    #[command(after_help = record::HELP)]
    Record(record::Options),
    /// Watch a card: stream, consumer, ring, clock, a meter for each channel
    #[command(after_help = monitor::HELP)]
    Monitor(monitor::Options),
    /// Show what a device does
    #[command(after_help = STATUS_JSON)]
    Status(OutputOptions),
    /// List the devices
    #[command(after_help = LIST_JSON)]
    List(OutputOptions),
    /// Check all that has to be right, and say how to mend what is not
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::Options),
    /// Measure what a device and a reader do on this machine
    #[command(after_help = bench::HELP)]
    Bench(bench::Options),
    /// Print a shell's completions
    #[command(hide = true)]
    Completions(documents::CompletionsOptions),
    /// Print a manual page, or write all of them
    #[command(hide = true)]
    Man(documents::ManOptions),
}

#[derive(Debug, Args)]
pub(crate) struct PlayOptions {
    /// ALSA PCM to play on
    #[arg(short = 'D', long, value_name = "PCM", default_value = "default")]
    pub(crate) device: String,

    /// Sound to have ready before playing starts, such as 50ms or 0.5s, from 1ms to 10s; at least
    /// two of the card's periods, of 10 ms or more, and a chunk of the module's
    #[arg(short, long, value_name = "TIME", default_value = "100ms", value_parser = parse_latency)]
    pub(crate) latency: Duration,

    /// How the virtual card and the real one, each with a clock of its own, are kept together
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) sync: SyncMode,

    /// What to do with the volume that the mixer of the virtual card says
    #[arg(long, value_name = "WHAT", default_value = "apply")]
    pub(crate) volume: VolumeUse,

    /// Real-time priority, 1 to 99, where the system allows it, or no
    #[arg(long, value_name = "PRIO", default_value = "10")]
    pub(crate) realtime: Realtime,

    /// Exit when the first stream has been played to its end
    #[arg(long)]
    pub(crate) once: bool,

    /// Print a summary as JSON on standard output at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// How two clocks are kept together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SyncMode {
    /// Follow, or resample where the mixer has another source for the virtual card's clock
    #[default]
    Auto,
    /// Have the virtual card run as fast as the real one, which changes no sample
    Follow,
    /// Leave the clocks alone and convert the rate
    Resample,
    /// Not at all: the latency drifts until the card runs dry or the ring is full
    None,
}

/// What to do with the mixer's volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VolumeUse {
    /// Bring samples to that volume
    Apply,
    /// Leave samples as they are, at full volume
    Ignore,
}

#[derive(Debug, Args)]
pub(crate) struct OutputOptions {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Cli {
    /// What the program was called with; where that is wrong usage, ends it.
    pub(crate) fn of_arguments() -> Self {
        Self::try_parse().unwrap_or_else(|error| refuse(&error))
    }
}

/// Wrong usage that the parser cannot see.
pub(crate) fn wrong_usage(kind: ErrorKind, text: impl std::fmt::Display) -> clap::Error {
    Cli::command().error(kind, text)
}

/// Ends the program because of its arguments, and says how the command in question is used.
pub(crate) fn refuse(error: &clap::Error) -> ! {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help || !error.use_stderr() {
        error.exit();
    }
    let mut program = Cli::command();
    program.build();
    // The parser names no usage of a wrong value, and the program's where a command finds fault.
    let known = Cli::command().ignore_errors(true).try_get_matches();
    let name = known
        .as_ref()
        .ok()
        .and_then(|known| known.subcommand_name());
    let command = name.and_then(|name| program.find_subcommand(name).cloned());
    let mut command = command.unwrap_or(program);
    let text = error.render().to_string();
    let mut reason = text.as_str();
    for end in ["\n\nUsage:", "\n\nFor more information"] {
        reason = reason.split_once(end).map_or(reason, |(reason, _)| reason);
    }
    let usage = command.render_usage();
    let name = command.get_bin_name().unwrap_or(command.get_name());
    // Where nobody reads it the status says it.
    let _ = writeln!(
        io::stderr(),
        "{reason}\n\n{usage}\n\nFor more information, try '{name} --help'."
    );
    process::exit(error.exit_code())
}

const LATENCY_MIN: Duration = Duration::from_millis(1);
const LATENCY_MAX: Duration = Duration::from_secs(10);

fn parse_latency(text: &str) -> Result<Duration, String> {
    let time = parse_time(text).ok_or("write a number and us, ms or s, such as 20ms")?;
    if (LATENCY_MIN..=LATENCY_MAX).contains(&time) {
        Ok(time)
    } else {
        Err("it can be 1ms to 10s".into())
    }
}

/// A time as people write it; `None` where it is none.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
    let unit = match &text[digits.len()..] {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let number: f64 = digits.trim_end().parse().ok()?;
    Duration::try_from_secs_f64(number * unit).ok()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Help and book have the same list.
    #[test]
    fn exit_codes_are_documented() {
        let codes = |lines: &str| -> Vec<u8> {
            let code = |line: &str| line.split_whitespace().next()?.parse().ok();
            lines.lines().filter_map(code).collect()
        };
        let book = include_str!("../../../Documentation/reader.rst");
        let (_, table) = book.split_once("\nExit status\n").unwrap();
        let known = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130];
        assert_eq!(codes(table), known);
        assert_eq!(codes(EXIT_CODES), known);
        assert_eq!(
            known.last().copied(),
            u8::try_from(crate::exit::FORCED).ok()
        );
    }

    /// The services' options, and those that their files suggest.
    #[test]
    fn services_are_used_right() {
        let root = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../scripts/packaging/system/"
        );
        let mut found = 0;
        for file in [
            "rtshm-reader.system.service",
            "rtshm-reader.user.service",
            "default",
        ] {
            let text = std::fs::read_to_string(format!("{root}{file}")).unwrap();
            let options = text
                .lines()
                .filter_map(|line| line.split_once("RTSHM_PLAY="))
                .map(|(_, value)| value.trim_matches('"'));
            for value in options {
                let words = ["rtshm-reader", "play"].into_iter();
                let parsed = Cli::try_parse_from(words.chain(value.split_whitespace()));
                assert!(parsed.is_ok(), "{file}: {value}");
                found += 1;
            }
        }
        assert_eq!(found, 3);
    }

    #[test]
    fn times_have_units() {
        let micros = |micros| Some(Duration::from_micros(micros));
        assert_eq!(parse_time("20ms"), micros(20_000));
        assert_eq!(parse_time(" 20 ms "), micros(20_000));
        assert_eq!(parse_time("0.5s"), micros(500_000));
        assert_eq!(parse_time("1.5min"), micros(90_000_000));
        assert_eq!(parse_time("2h"), micros(7_200_000_000));
        assert_eq!(parse_time("250us"), micros(250));
        assert_eq!(parse_time("250µs"), micros(250));
        for wrong in [
            "", "20", "ms", "20 m", "-1s", "nans", "infs", "1e400s", "20msms", "20 ms x",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn latencies_have_bounds() {
        assert!(parse_latency("1ms").is_ok());
        assert!(parse_latency("10s").is_ok());
        assert!(parse_latency("0ms").is_err());
        assert!(parse_latency("10.1s").is_err());
    }
}
