// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader monitor`: a card looked at in intervals, while others play and consume.
//!
//! The counters are the module's, which any process may ask for; what is measured comes from the
//! card's capture PCM. The device is opened at each look, so that neither a module that shall go nor
//! one that was loaded anew is held up.

mod batch;
mod hold;
mod levels;
mod screen;
mod snapshot;
mod tap;
mod view;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{bail, Context, Result};
use clap::error::ErrorKind;
use clap::Args;
use nix::errno::Errno;
use nix::libc::PIPE_BUF;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use rtshm::{Device, Holder, Status};

use self::hold::Held;
use self::screen::Screen;
use self::snapshot::{Rates, Snapshot};
use self::tap::Tap;
use crate::cli;
use crate::clock::{nanos, now, SECOND};
use crate::exit::Outcome;
use crate::signals::{self, Signals};
use crate::status::Report;
use crate::stdout;

/// What `monitor --help` says behind the options.
pub(crate) const HELP: &str = "\
Keys: q, Esc and Ctrl-C quit, Ctrl-Z stops until the shell's fg, r resets held
peaks and clip marks. A meter's bar is solid up to the RMS, lighter up to the
peak, and has a mark where the peak was in the last two seconds. The scale is
dBFS: a sine of full scale has a peak of 0 and an RMS of -3.01.

Columns of --batch; what there is not is -, and of several channels it is the
loudest:
  TIME                       seconds since 1970
  STATE                      as of `status`
  FORMAT, RATE, CH           of the stream, or of the last one
  FILL, FILL%, FILL_MS       what is unread in the ring: bytes, part of its
                             capacity, milliseconds
  LAT_MS                     latency_ms, below
  PPM                        speed of the card's clock, off nominal
  CHUNKS, FRAMES, LOST, XRUNS, FAULTS
                             chunks and frames delivered, frames lost, streams
                             that ended because the application was late,
                             consumers found faulty, since the module was
                             loaded
  WAKE/S                     wake-ups of the consumer a second
  PEAK, RMS                  dBFS in the interval; -inf is silence
  CLIP                       samples at full scale in the interval, of all
                             channels
  PID, CONSUMER              the process that reads; spaces in its name are _

Fields of the JSON (--json), an object a line: those of `status --json`, and
  time                       seconds since 1970
  ring_fill_percent, ring_fill_ms
                             what is unread in the ring; ms is null before the
                             first stream
  latency_ms                 how long a frame takes at most from the
                             application's write to the consumer's read: its
                             buffer, a chunk, and what is in the ring
  wakeups_per_second, frames_per_second
                             in the interval
  measured_frames            frames in the interval that the levels are of
  peak_dbfs, rms_dbfs, clipped_samples
                             an array with a level for each channel, which is
                             null for silence; null where nothing is measured
  meters_missing             why nothing is measured of a stream; null where it
                             is, or there is none

`rtshm-reader --help` lists the exit codes.";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print a line for each interval on standard output, until SIGINT or SIGTERM
    #[arg(short, long)]
    batch: bool,

    /// Print JSON for each interval, an object a line
    #[arg(long)]
    json: bool,

    /// Time between two looks, such as 50ms or 10s; by default 100ms, or 1s for lines
    #[arg(short, long, value_name = "TIME", value_parser = parse_interval)]
    interval: Option<Duration>,

    /// Exit after so many lines
    #[arg(short = 'n', long, value_name = "LINES", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

const INTERVAL_MIN: Duration = Duration::from_millis(10);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

fn parse_interval(text: &str) -> Result<Duration, String> {
    let time = cli::parse_time(text).ok_or("write a number and ms, s, min or h, such as 100ms")?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&time) {
        Ok(time)
    } else {
        Err("it can be 10ms to 1h".into())
    }
}

impl Options {
    fn prints_lines(&self) -> bool {
        self.batch || self.json
    }

    fn interval(&self) -> Duration {
        let default = match self.prints_lines() {
            true => Duration::from_secs(1),
            false => Duration::from_millis(100),
        };
        self.interval.unwrap_or(default)
    }

    /// What is wrong with them on this standard output.
    fn check(&self) -> Result<(), clap::Error> {
        let wrong = |text| cli::wrong_usage(ErrorKind::ArgumentConflict, text);
        if self.prints_lines() {
            Ok(())
        } else if self.count.is_some() {
            Err(wrong("--count is for lines: use --batch or --json with it"))
        } else if !screen::is_there() {
            Err(wrong(
                "standard output is no terminal: use --batch or --json for lines",
            ))
        } else {
            Ok(())
        }
    }
}

pub(crate) fn run(path: &Path, options: &Options) -> Outcome {
    options.check().unwrap_or_else(|error| cli::refuse(&error));
    let mut monitor = Monitor::new(path, options.interval());
    if options.prints_lines() {
        print_lines(&mut monitor, options)
    } else {
        let interval = monitor.interval;
        show(&mut monitor, interval)
    }
}

fn print_lines(monitor: &mut Monitor, options: &Options) -> Outcome {
    let mut ends = vec![Signal::SIGINT, Signal::SIGTERM];
    // Once taken over it would come under `nohup`, too.
    if !signals::is_ignored(Signal::SIGHUP) {
        ends.push(Signal::SIGHUP);
    }
    let signals = Signals::take_over_these(&ends)?;
    let stdout = io::stdout();
    let mut pace = Pace::new(options.interval());
    monitor.look()?;
    if !options.json && !print(&batch::heading(), &stdout, &signals)? {
        return Ok(());
    }
    let mut rest = options.count;
    while rest != Some(0) {
        // What is known of an interval is known at its end.
        pace.begin();
        while let Some(pause) = pace.pause(monitor.tap.patience()) {
            let [signal, reader] = wait(
                pause,
                &[
                    (&signals, PollFlags::POLLIN),
                    // For nothing but the news that nobody reads any more.
                    (&stdout, PollFlags::empty()),
                ],
            )?;
            if signal || reader {
                return Ok(());
            }
            monitor.tap.drain();
        }
        let snapshot = monitor.look()?;
        let line = match options.json {
            true => stdout::json(&snapshot)?,
            false => batch::line(&snapshot),
        };
        if !print(&line, &stdout, &signals)? {
            return Ok(());
        }
        rest = rest.map(|rest| rest - 1);
    }
    Ok(())
}

/// Prints text as `output` takes it; returns false where that ended before all was out, by a signal
/// or because nobody reads any more.
fn print(text: &str, output: &impl AsFd, signals: &Signals) -> Result<bool> {
    // At most what a pipe takes at once where it takes anything: a write that sleeps sees no signal.
    for mut piece in text.as_bytes().chunks(PIPE_BUF) {
        while !piece.is_empty() {
            let files: &[(&dyn AsFd, PollFlags); 2] =
                &[(signals, PollFlags::POLLIN), (output, PollFlags::POLLOUT)];
            let [signal, has_room] = wait(u64::MAX, files)?;
            if signal {
                return Ok(false);
            }
            if !has_room {
                continue;
            }
            match nix::unistd::write(output, piece) {
                Ok(count) => piece = piece.get(count..).unwrap_or_default(),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(Errno::EPIPE) => return Ok(false),
                Err(errno) => bail!("cannot write to standard output: {}", errno.desc()),
            }
        }
    }
    Ok(true)
}

/// What is shown, look by look.
trait Watch {
    fn look(&mut self) -> rtshm::Result<Snapshot>;

    /// How long [`drain`](Self::drain) can wait, in nanoseconds.
    fn patience(&self) -> Option<u64>;

    /// Takes in what does not keep until the next look.
    fn drain(&mut self);
}

fn show(watch: &mut impl Watch, interval: Duration) -> Outcome {
    let mut taken = vec![
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGWINCH,
        Signal::SIGCONT,
    ];
    // As for a program that knows nothing of it: nobody could continue it.
    let can_stop = !signals::is_ignored(Signal::SIGTSTP);
    if can_stop {
        taken.push(Signal::SIGTSTP);
    }
    let signals = Signals::take_over_these(&taken)?;
    // Says what is wrong where the user can read it.
    let mut snapshot = watch.look()?;
    let stdin = io::stdin();
    let has_keys = stdin.is_terminal();
    let mut screen = Screen::enter()?;
    let mut meters = Vec::new();
    let mut pace = Pace::new(interval);
    loop {
        hold::update(&mut meters, &snapshot.levels, now());
        if !screen.is_taken() {
            // A shell may bring us to the foreground without a signal.
            screen.take_back()?;
        }
        paint(&mut screen, &snapshot, &meters)?;
        pace.begin();
        while let Some(pause) = pace.pause(watch.patience()) {
            // In the background to read keys would stop us.
            let has_keys = has_keys && screen.is_taken();
            let keys: &dyn AsFd = if has_keys { &stdin } else { &signals };
            let [_, key] = wait(
                pause,
                &[(&signals, PollFlags::POLLIN), (keys, PollFlags::POLLIN)],
            )?;
            watch.drain();
            let mut stops = false;
            while let Some(number) = signals.next_number() {
                match number {
                    number if number == Signal::SIGWINCH as i32 => {}
                    number if number == Signal::SIGCONT as i32 => screen.take_back()?,
                    number if number == Signal::SIGTSTP as i32 => stops = true,
                    _ => return Ok(()),
                }
                paint(&mut screen, &snapshot, &meters)?;
            }
            if key && has_keys {
                match read_key() {
                    Key::Quit => return Ok(()),
                    Key::Reset => meters.fill(Held::default()),
                    Key::Stop => stops = can_stop,
                    Key::Other => {}
                }
            }
            if stops {
                screen.give_back();
                signals::stop()?;
            }
        }
        snapshot = watch.look()?;
    }
}

fn paint(screen: &mut Screen, snapshot: &Snapshot, meters: &[Held]) -> Result<()> {
    let canvas = screen.canvas();
    screen.paint(view::render(snapshot, meters, canvas), canvas)
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Quit,
    Reset,
    Stop,
    Other,
}

/// What was typed, from a terminal that has something.
fn read_key() -> Key {
    let mut bytes = [0; 64];
    match nix::unistd::read(io::stdin(), &mut bytes) {
        Ok(count) => key(bytes.get(..count).unwrap_or_default()),
        Err(Errno::EINTR | Errno::EAGAIN) => Key::Other,
        Err(_) => Key::Quit,
    }
}

fn key(bytes: &[u8]) -> Key {
    match bytes {
        // The terminal is gone.
        [] => Key::Quit,
        // A key that is more than a letter begins with what Esc is alone.
        [0x1b] => Key::Quit,
        [0x1b, ..] => Key::Other,
        // Ctrl-C.
        _ if bytes.iter().any(|byte| matches!(byte, b'q' | b'Q' | 3)) => Key::Quit,
        // Ctrl-Z.
        _ if bytes.contains(&26) => Key::Stop,
        _ if bytes.iter().any(|byte| matches!(byte, b'r' | b'R')) => Key::Reset,
        _ => Key::Other,
    }
}

/// When to look.
struct Pace {
    interval: u64,
    deadline: u64,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self {
            interval: nanos(interval),
            deadline: now(),
        }
    }

    /// Begins an interval: where the last one ended, or now where that is long ago.
    fn begin(&mut self) {
        let next = self.deadline + self.interval;
        let now = now();
        self.deadline = if next > now {
            next
        } else {
            now + self.interval
        };
    }

    /// Time to sleep for, at most `patience`; `None` where the interval has ended.
    fn pause(&self, patience: Option<u64>) -> Option<u64> {
        let rest = self.deadline.saturating_sub(now());
        (rest > 0).then(|| patience.map_or(rest, |patience| patience.min(rest)))
    }
}

/// Sleeps for so many nanoseconds, or until something happens to one of the files; returns to which.
fn wait<const N: usize>(nanos: u64, files: &[(&dyn AsFd, PollFlags); N]) -> Result<[bool; N]> {
    let mut fds = files.map(|(file, events)| PollFd::new(file.as_fd(), events));
    // In milliseconds, rounded up.
    let timeout = nanos.div_ceil(SECOND / 1000);
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno).context("poll failed"),
    }
    Ok(fds.map(|fd| fd.revents().is_some_and(|events| !events.is_empty())))
}

/// Who looks at a card.
struct Monitor {
    path: PathBuf,
    interval: Duration,
    tap: Tap,
    /// The last look, and when it was.
    last: Option<(Status, u64)>,
}

impl Monitor {
    fn new(path: &Path, interval: Duration) -> Self {
        Self {
            path: path.into(),
            interval,
            tap: Tap::new(interval),
            last: None,
        }
    }
}

impl Watch for Monitor {
    /// Looks at the card.
    ///
    /// # Errors
    ///
    /// Those of [`Device::open`]: also where the card was taken away.
    fn look(&mut self) -> rtshm::Result<Snapshot> {
        let device = Device::open(&self.path)?;
        let info = device.info()?;
        let status = device.status()?;
        let now = now();
        let rates = match &self.last {
            None => Rates::default(),
            Some((before, then)) => Rates::between(before, &status, now - then),
        };
        let meters = self.tap.look(info.card, &status, now);
        let holder = status.consumer_pid.map(Holder::of_pid);
        self.last = Some((status.clone(), now));
        let report = Report::new(&self.path, info, status, holder);
        Ok(Snapshot::new(wall_clock(), report, rates, meters))
    }

    fn patience(&self) -> Option<u64> {
        self.tap.patience()
    }

    fn drain(&mut self) {
        self.tap.drain();
    }
}

/// Seconds since 1970, to a millisecond.
fn wall_clock() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // CAST: Less than 2^53.
    since.unwrap_or_default().as_millis() as f64 / 1000.0
}

#[cfg(test)]
pub(crate) mod tests;
