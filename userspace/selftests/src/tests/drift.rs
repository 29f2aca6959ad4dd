// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader play` on a card whose clock is not ours: how soon and how closely the virtual card
//! follows it, and that every sample arrives.
//!
//! The card that drifts is a second instance of the module, whose consumer is the test: it has that
//! clock go as a case wants, to a part per billion, and sees all that is played on it. Another is
//! snd-aloop, whose position moves in steps of a tick; where its clock is shifted while both its sides
//! run, it goes at no certain speed, so that is for one side alone.
//!
//! The application's frames say which they are. Times are the guest's: with `scripts/vm --icount` its
//! idle time is skipped.

use std::f64::consts::PI;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use alsa::ctl::ElemType;
use alsa::pcm::Format;
use alsa::Direction;
use anyhow::{anyhow, bail, ensure, Context, Result};
use rtshm::{ClockRatio, Consumer, Device, Kind, State};
use serde_json::Value;

use super::instances::{card_id, node};
use super::tests;
use crate::app::Setup;
use crate::controls::Element;
use crate::material::numbered;
use crate::module;
use crate::process::run;
use crate::raw_pcm::RawPcm;
use crate::storm::Settings;
use crate::tape::attach_to;
use crate::time::{now, sleep_ms, wait_until, SECOND};

tests!(drift:
    minus_300,
    minus_100,
    none,
    plus_100,
    plus_300,
    wander,
    wander_in_a_minute,
    wander_in_five_minutes,
    aloop_shifted,
    aloop_recorded,
    resampled,
    taken_over,
);

/// Hours of the guest's time.
pub(crate) mod soak {
    use super::*;

    tests!(soak: minus_100, plus_100);

    /// Unless told otherwise.
    const HOURS: f64 = 24.0;

    fn case(drift: fn(f64) -> f64) -> Result<()> {
        let hours = Settings::get().soak_hours.unwrap_or(HOURS);
        // The number of a frame has 32 bits.
        ensure!(hours > 0.0 && hours <= 24.8, "{hours} hours");
        follow(drift, (hours * 3600.0).ceil() as u64, &LONG)
    }

    fn minus_100() -> Result<()> {
        case(|_| -100e-6)
    }

    fn plus_100() -> Result<()> {
        case(|_| 100e-6)
    }
}

const RATE: u32 = 48_000;

/// Seconds after which the clock has to be right.
const LOCKED_BY: f64 = 15.0;

/// Seconds of which is told how it goes.
const SHOWN: f64 = 30.0;

/// How far off nominal it may be then, compared with the card's.
const PRECISION: f64 = 1e-6;

/// How far off it may be on a card of this speed. Where both rates are the same, a position in whole
/// frames steps once in a long time, so that the rate is known less well (`Documentation/reader.rst`).
fn precision(card: f64) -> f64 {
    if (card - 1.0).abs() < 2.0 * PRECISION {
        2.0 * PRECISION
    } else {
        PRECISION
    }
}

/// How far off it may be where a wander of 30 ppm is faster than it is followed.
const FAST_PRECISION: f64 = 45e-6;

/// What the reader's memory may come to, in KiB.
const MEMORY: u64 = 8 << 10;

/// What it may grow by after the first half minute: a page or two of the kernel's own rounding.
const GROWTH: u64 = 64;

/// How a case is played.
struct Pace {
    arguments: &'static str,
    chunk: u32,
    setup: Setup,
    /// Milliseconds between two looks.
    look: u64,
    latency: &'static str,
}

const SETUP: Setup = Setup {
    format: Format::S16LE,
    channels: 2,
    rate: RATE,
    period: 1_200,
    buffer: 12_000,
    mmap: false,
    planar: false,
    start_threshold: Some(12_000),
    nonstop: false,
};

const SHORT: Pace = Pace {
    arguments: "devices=2 chunk_frames=600",
    chunk: 600,
    setup: SETUP,
    look: 100,
    latency: "100ms",
};

/// With as little work as a day wants.
const LONG: Pace = Pace {
    arguments: "devices=2 chunk_frames=4096",
    chunk: 4_000,
    setup: Setup {
        period: 4_000,
        buffer: 96_000,
        start_threshold: Some(96_000),
        ..SETUP
    },
    look: 1_000,
    latency: "400ms",
};

/// Plays on a card that is so far off nominal at each second, and follows it.
fn follow(drift: fn(f64) -> f64, seconds: u64, pace: &Pace) -> Result<()> {
    follow_within(precision, drift, seconds, pace)
}

/// The same, where it may be so far off on a card of a speed.
fn follow_within(
    precision: impl Fn(f64) -> f64,
    drift: fn(f64) -> f64,
    seconds: u64,
    pace: &Pace,
) -> Result<()> {
    module::ready_with(pace.arguments)?;
    let frames = u32::try_from(seconds * u64::from(RATE))?;
    let mut listener = Listener::start(drift, Order::new(frames))?;
    let reader = Reader::start(&format!("hw:{}", card_id(1)), pace.latency, &[])?;
    let mut app = App::start(pace, frames, numbers)?;
    let mut target = None;
    let mut memory = None;
    while app.go_on()? {
        let at = app.seconds();
        if at > 30.0 {
            let (resident, _) = reader.memory()?;
            let first = *memory.get_or_insert(resident);
            ensure!(resident <= first + GROWTH, "{first} KiB, then {resident}");
        }
        let Some(heard) = listener.heard()? else {
            ensure!(at < 5.0, "nothing is heard after {at} s");
            continue;
        };
        let (clock, card) = (clock_of(0)?, clock_of(1)?);
        let (passed, time) = app.passed()?;
        let since = (time as f64 - heard.time as f64) / SECOND as f64;
        let distance = passed - f64::from(heard.frame) - since * f64::from(RATE) * card;
        if at < SHOWN {
            // For `scripts/plot-locking`.
            println!(
                "{at:.1} s: {:+.3} ppm on a card of {:+.3} ppm, {distance:.1} frames ahead",
                (clock - 1.0) * 1e6,
                (card - 1.0) * 1e6
            );
        }
        if at < LOCKED_BY {
            continue;
        }
        let target = *target.get_or_insert(distance);
        ensure!(
            (clock - card).abs() <= precision(card),
            "after {at:.1} s: {:+.3} ppm on a card of {:+.3} ppm",
            (clock - 1.0) * 1e6,
            (card - 1.0) * 1e6
        );
        ensure!(
            (distance - target).abs() <= f64::from(pace.chunk),
            "after {at:.1} s: {distance} frames ahead, and not {target}"
        );
    }
    app.finish()?;
    let (_, most) = reader.memory()?;
    ensure!(most < MEMORY, "the reader took {most} KiB");
    let told = reader.finish()?;
    ensure!(told["sync"] == "follow", "{told}");
    check_account(&told, frames, pace)?;
    listener.finish()?;
    println!(
        "{:+.3} ppm, at most {} frames off, {most} KiB",
        told["card_ppm"], told["sync_error_max_frames"]
    );
    Ok(())
}

fn minus_300() -> Result<()> {
    follow(|_| -300e-6, 30, &SHORT)
}

fn minus_100() -> Result<()> {
    follow(|_| -100e-6, 30, &SHORT)
}

fn none() -> Result<()> {
    follow(|_| 0.0, 30, &SHORT)
}

fn plus_100() -> Result<()> {
    follow(|_| 100e-6, 30, &SHORT)
}

fn plus_300() -> Result<()> {
    follow(|_| 300e-6, 30, &SHORT)
}

/// By 30 ppm either way in an hour, here from one end to where it is fastest.
fn wander() -> Result<()> {
    follow(|at| 30e-6 * (2.0 * PI * at / 3600.0).cos(), 1_000, &LONG)
}

/// By 30 ppm either way in a minute: faster than the rate is followed, and yet within a chunk.
fn wander_in_a_minute() -> Result<()> {
    let drift = |at: f64| 30e-6 * (2.0 * PI * at / 60.0).sin();
    follow_within(|_| FAST_PRECISION, drift, 90, &SHORT)
}

/// The same in five minutes.
fn wander_in_five_minutes() -> Result<()> {
    let drift = |at: f64| 30e-6 * (2.0 * PI * at / 300.0).sin();
    follow_within(|_| FAST_PRECISION, drift, 240, &SHORT)
}

/// Another driver's card, which moves in steps of a tick.
fn aloop_shifted() -> Result<()> {
    let _aloop = Aloop::load()?;
    for (shift, seconds) in [(99_990, 30), (100_030, 30)] {
        module::ready_with(SHORT.arguments)?;
        Aloop::shift(shift)?;
        // A greater shift is a slower clock.
        let card = 100_000.0 / f64::from(shift);
        let frames = seconds * RATE;
        let reader = Reader::start("hw:Loopback,0,0", SHORT.latency, &[])?;
        let mut app = App::start(&SHORT, frames, numbers)?;
        while app.go_on()? {
            let (at, clock) = (app.seconds(), clock_of(0)?);
            ensure!(
                at < LOCKED_BY || (clock - card).abs() <= precision(card),
                "after {at:.1} s: {:+.3} ppm on a card of {:+.3} ppm",
                (clock - 1.0) * 1e6,
                (card - 1.0) * 1e6
            );
        }
        app.finish()?;
        check_account(&reader.finish()?, frames, &SHORT)?;
    }
    Ok(())
}

/// What another driver's other side hears.
fn aloop_recorded() -> Result<()> {
    let _aloop = Aloop::load()?;
    module::ready_with(SHORT.arguments)?;
    Aloop::shift(100_000)?;
    let frames = 20 * RATE;
    let recorder = Recorder::start(frames)?;
    let reader = Reader::start("hw:Loopback,0,0", SHORT.latency, &[])?;
    let mut app = App::start(&SHORT, frames, numbers)?;
    while app.go_on()? {}
    app.finish()?;
    check_account(&reader.finish()?, frames, &SHORT)?;
    recorder.finish()
}

/// Where the mixer has another source for the clock.
fn resampled() -> Result<()> {
    resample(0.0)
}

/// Where it has so from the middle of a stream on.
fn taken_over() -> Result<()> {
    resample(5.0)
}

fn resample(from: f64) -> Result<()> {
    const FREE: i32 = 0;
    const CONSUMER: i32 = 2;
    module::ready_with(SHORT.arguments)?;
    let source = Element::pcm(c"Clock Source", ElemType::Enumerated)?;
    if from == 0.0 {
        source.set(FREE)?;
    }
    let frames = 24 * RATE;
    // Beyond what the clock may be asked for.
    let drift = |_| 1e-3;
    let mut listener = Listener::start(drift, Sines::default())?;
    let reader = Reader::start(&format!("hw:{}", card_id(1)), SHORT.latency, &[])?;
    let mut app = App::start(&SHORT, frames, sine)?;
    while app.go_on()? {
        if app.seconds() > from {
            source.set(FREE)?;
        }
        listener.heard()?;
    }
    app.finish()?;
    let told = reader.finish()?;
    ensure!(told["sync"] == "resample", "{told}");
    for name in ["discarded_frames", "lost_frames", "sink_xruns"] {
        ensure!(told[name] == 0, "{name} is not 0: {told}");
    }
    let played = told["frames_out"].as_f64().context("frames_out")?;
    let expected = f64::from(frames) * 1.001;
    ensure!(played > expected - 600.0 || from > 0.0, "{told}");
    let error = told["sync_error_max_frames"].as_f64();
    let error = error.with_context(|| format!("it never locked: {told}"))?;
    ensure!(error <= f64::from(SHORT.chunk), "{told}");
    let worst = listener.finish()?;
    println!("residue {worst}, at most {error:.2} frames off");
    source.set(CONSUMER)?;
    Ok(())
}

/// The speed of a card of ours, as a ratio to nominal.
fn clock_of(number: usize) -> Result<f64> {
    let ratio = Device::open(node(number))?.status()?.clock_ratio;
    Ok(ratio.context("it stands still")?.ratio())
}

fn check_account(told: &Value, frames: u32, pace: &Pace) -> Result<()> {
    for (name, expected) in [
        ("frames_in", u64::from(frames)),
        ("frames_out", u64::from(frames)),
        ("discarded_frames", 0),
        ("lost_frames", 0),
        ("sink_xruns", 0),
        ("streams", 1),
    ] {
        ensure!(told[name] == expected, "{name} is not {expected}: {told}");
    }
    let error = told["sync_error_max_frames"].as_f64();
    let error = error.with_context(|| format!("it never locked: {told}"))?;
    ensure!(error <= f64::from(pace.chunk), "{told}");
    let status = module::status()?;
    ensure!(status.lost_frames == 0 && status.xruns == 0, "{status:?}");
    Ok(())
}

/// `rtshm-reader play`, for one stream.
struct Reader(Child);

impl Reader {
    fn start(device: &str, latency: &str, more: &[&str]) -> Result<Self> {
        let child = Command::new("rtshm-reader")
            .args(["play", "--once", "--json", "--device", device])
            .args(["--latency", latency])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = child.id();
        let reader = Self(child);
        wait_until("the reader to open the device", || {
            Ok(module::status()?.consumer_pid == Some(pid))
        })?;
        Ok(reader)
    }

    /// Resident memory in KiB: now, and at most.
    fn memory(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let of = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            Ok(number.with_context(|| format!("no {name}"))?.parse()?)
        };
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }

    fn finish(self) -> Result<Value> {
        let output = self.0.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// An application on the first card whose frames say which they are, from 1 on.
struct App {
    pcm: RawPcm,
    frames: u32,
    written: u32,
    started: u64,
    look: u64,
    sound: fn(u32, u32) -> Vec<u8>,
}

/// Frames that say which they are.
fn numbers(first: u32, count: u32) -> Vec<u8> {
    numbered(first, count).bytes
}

/// A sine at half of full scale.
fn sine(first: u32, count: u32) -> Vec<u8> {
    let phase = |frame: u32| 2.0 * PI * TONE / f64::from(RATE) * f64::from(frame);
    (first..first + count)
        .map(|frame| (phase(frame).sin() * 16_384.0).round() as i16)
        .flat_map(|sample| [sample.to_le_bytes(), sample.to_le_bytes()])
        .flatten()
        .collect()
}

impl App {
    fn start(pace: &Pace, frames: u32, sound: fn(u32, u32) -> Vec<u8>) -> Result<Self> {
        let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
        pcm.set_up(&pace.setup)?;
        let mut app = Self {
            pcm,
            frames,
            written: 0,
            started: 0,
            look: pace.look,
            sound,
        };
        app.write(pace.setup.buffer)?;
        app.started = now();
        Ok(app)
    }

    fn write(&mut self, room: u32) -> Result<()> {
        let count = room.min(self.frames - self.written);
        if count != 0 {
            let written = self.pcm.write(&(self.sound)(self.written + 1, count))?;
            self.written += u32::try_from(written)?;
        }
        Ok(())
    }

    /// Waits for the next look; returns whether there is still something to be written.
    fn go_on(&mut self) -> Result<bool> {
        sleep_ms(self.look);
        let room = self.pcm.avail().context("the application was late")?;
        self.write(u32::try_from(room)?)?;
        Ok(self.written < self.frames)
    }

    fn seconds(&self) -> f64 {
        (now() - self.started) as f64 / SECOND as f64
    }

    /// How many frames the card has passed, and when.
    fn passed(&self) -> Result<(f64, u64)> {
        let reading = self.pcm.reading()?;
        let buffer = i64::from(self.pcm.setup().buffer);
        let passed = i64::from(self.written) - (buffer - reading.avail);
        Ok((passed as f64, reading.time))
    }

    fn finish(self) -> Result<()> {
        self.pcm.drain()
    }
}

/// Checks that frames come in order, each once, between silence and silence.
struct Order {
    last: u32,
    frames: u32,
}

impl Order {
    fn new(frames: u32) -> Self {
        Self { last: 0, frames }
    }

    fn take(&mut self, frame: u32) -> Result<()> {
        let is_silence = frame == 0 && (self.last == 0 || self.last == self.frames);
        ensure!(
            is_silence || frame == self.last + 1,
            "frame {frame} behind frame {} of {}",
            self.last,
            self.frames
        );
        if !is_silence {
            self.last = frame;
        }
        Ok(())
    }

    fn check_end(&self) -> Result<String> {
        ensure!(self.last == self.frames, "{} of {}", self.last, self.frames);
        Ok(format!("{} frames", self.last))
    }
}

/// What listens to what is played on the second card.
trait Ear: Send + 'static {
    /// Takes frames of two samples.
    fn hear(&mut self, samples: &[f32]) -> Result<()>;

    /// Judges the whole.
    fn end(&self) -> Result<String>;
}

impl Ear for Order {
    fn hear(&mut self, samples: &[f32]) -> Result<()> {
        samples
            .chunks_exact(2)
            .try_for_each(|frame| self.take(number_of(frame)))
    }

    fn end(&self) -> Result<String> {
        self.check_end()
    }
}

/// Hertz.
const TONE: f64 = 997.0;

/// Frames that are compared with a sine: in so short a time a rate that is a little off does not show.
const WINDOW: usize = 960;

/// Checks that what is heard, from some time on, is a sine. Application and converter add some -90 dB.
#[derive(Default)]
struct Sines {
    window: Vec<f64>,
    heard: usize,
    judged: usize,
    /// The greatest part of a window that is no sine, in power.
    worst: f64,
    ended: bool,
}

impl Sines {
    /// Frames of the beginning and of the end that are not judged.
    const FROM: usize = 15 * RATE as usize;
    const UNTIL: usize = 23 * RATE as usize;
    const LIMIT: f64 = 1e-7;

    /// Judges a window; returns what is left of it without a sine, as a part of the power.
    fn residue(&self) -> f64 {
        let step = 2.0 * PI * TONE / f64::from(RATE) / 1.001;
        let waves = || (0..).map(|at| (f64::from(at) * step).sin_cos());
        let mut sums = [0.0; 6];
        for ((sin, cos), &sample) in waves().zip(&self.window) {
            let terms = [
                sin * sin,
                cos * cos,
                sin * cos,
                sin * sample,
                cos * sample,
                sample * sample,
            ];
            sums.iter_mut()
                .zip(terms)
                .for_each(|(sum, term)| *sum += term);
        }
        let [ss, cc, sc, sx, cx, power] = sums;
        let det = ss * cc - sc * sc;
        let (a, b) = ((sx * cc - cx * sc) / det, (cx * ss - sx * sc) / det);
        let rest: f64 = waves()
            .zip(&self.window)
            .map(|((sin, cos), &sample)| (sample - a * sin - b * cos).powi(2))
            .sum();
        rest / power
    }
}

impl Ear for Sines {
    fn hear(&mut self, samples: &[f32]) -> Result<()> {
        for frame in samples.chunks_exact(2) {
            self.heard += 1;
            ensure!(frame[0] == frame[1], "{frame:?}");
            self.window.push(f64::from(frame[0]));
            if self.window.len() < WINDOW {
                continue;
            }
            // The silence behind the end, and where it begins.
            self.ended |= self
                .window
                .iter()
                .rev()
                .take(10)
                .all(|&sample| sample == 0.0);
            if self.heard > Self::FROM && !self.ended && self.heard < Self::UNTIL {
                let residue = self.residue();
                ensure!(
                    residue < Self::LIMIT,
                    "{:.1} dB that are no sine at frame {}",
                    10.0 * residue.log10(),
                    self.heard
                );
                self.judged += 1;
                self.worst = self.worst.max(residue);
            }
            self.window.clear();
        }
        Ok(())
    }

    fn end(&self) -> Result<String> {
        ensure!(self.judged > 350, "{} windows of sound", self.judged);
        Ok(format!("{:.1} dB", 10.0 * self.worst.log10()))
    }
}

/// A frame of the application's, and when it was heard.
#[derive(Clone, Copy)]
struct Heard {
    /// Frames before it.
    frame: u32,
    time: u64,
}

/// Who hears what is played on the second card, and has its clock drift.
struct Listener {
    thread: Option<JoinHandle<Result<String>>>,
    heard: Arc<Mutex<Option<Heard>>>,
    stop: Arc<AtomicBool>,
}

impl Listener {
    fn start(drift: fn(f64) -> f64, ear: impl Ear) -> Result<Self> {
        let consumer = attach_to(&node(1))?;
        let (heard, stop) = (Arc::default(), Arc::default());
        let (tell, told) = (Arc::clone(&heard), Arc::clone(&stop));
        let thread = thread::spawn(move || listen(consumer, drift, ear, &tell, &told));
        Ok(Self {
            thread: Some(thread),
            heard,
            stop,
        })
    }

    fn heard(&mut self) -> Result<Option<Heard>> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            self.join()?;
            bail!("the listener has ended");
        }
        let heard = self.heard.lock().map_err(|_| anyhow!("it panicked"))?;
        Ok(*heard)
    }

    fn finish(mut self) -> Result<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    fn join(&mut self) -> Result<String> {
        let thread = self.thread.take().context("the listener has ended")?;
        thread
            .join()
            .map_err(|_| anyhow!("the listener panicked"))?
    }
}

fn listen(
    mut consumer: Consumer,
    drift: fn(f64) -> f64,
    mut ear: impl Ear,
    tell: &Mutex<Option<Heard>>,
    stop: &AtomicBool,
) -> Result<String> {
    let mut start = None;
    consumer.set_wake_threshold(8_192);
    loop {
        let at = start.map_or(0.0, |start| (now() - start) as f64 / SECOND as f64);
        consumer.request_rate(ClockRatio::new(1.0 + drift(at)).context("no ratio")?);
        while let Some(event) = consumer.pop()? {
            match event.kind() {
                Kind::Audio(chunk) => {
                    start.get_or_insert_with(now);
                    ear.hear(chunk.samples)?;
                    let first = chunk.samples.get(..2).map_or(0, number_of);
                    if let Some(frame) = first.checked_sub(1) {
                        let time = chunk.time_stamp;
                        let mut heard = tell.lock().map_err(|_| anyhow!("the test panicked"))?;
                        *heard = Some(Heard { frame, time });
                    }
                }
                Kind::Lost(lost) => bail!("the listener has lost {} frames", lost.frames),
                Kind::State(change) if change.state == State::Xrun => bail!("the card ran dry"),
                _ => {}
            }
        }
        if stop.load(Ordering::Relaxed) {
            return ear.end();
        }
        consumer.wait(Some(Duration::from_millis(500)))?;
    }
}

/// What a frame of two samples says.
fn number_of(frame: &[f32]) -> u32 {
    // The samples of 16 bits that they were.
    let half = |sample: f32| u32::from((sample * 32_768.0) as i16 as u16);
    half(frame[0]) | half(frame[1]) << 16
}

/// Who records what snd-aloop is played.
struct Recorder {
    thread: JoinHandle<Result<()>>,
    stop: Arc<AtomicBool>,
}

impl Recorder {
    fn start(frames: u32) -> Result<Self> {
        let mut pcm = RawPcm::open("hw:Loopback,1,0", Direction::Capture)?;
        pcm.set_up(&Setup {
            start_threshold: Some(u32::MAX),
            ..SETUP
        })?;
        pcm.start()?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            let mut order = Order::new(frames);
            let mut bytes = vec![0; SETUP.period as usize * SETUP.frame_bytes()];
            while !told.load(Ordering::Relaxed) {
                let count = pcm.read(&mut bytes).context("the recorder was late")?;
                for frame in bytes.chunks_exact(SETUP.frame_bytes()).take(count) {
                    order.take(u32::from_le_bytes(frame.try_into()?))?;
                }
            }
            order.check_end().map(drop)
        });
        Ok(Self { thread, stop })
    }

    fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("the recorder panicked"))?
    }
}

/// snd-aloop, while it is loaded.
struct Aloop;

impl Aloop {
    fn load() -> Result<Self> {
        let loaded = run("modprobe", &["snd-aloop"])?;
        ensure!(loaded.code == Some(0), "{loaded}");
        Ok(Self)
    }

    /// Has both sides go at 100000 / `shift` of the nominal rate.
    fn shift(shift: u32) -> Result<()> {
        for device in 0..2 {
            let control =
                format!("iface=PCM,name='PCM Rate Shift 100000',device={device},subdevice=0");
            let set = run(
                "amixer",
                &["-q", "-c", "Loopback", "cset", &control, &shift.to_string()],
            )?;
            ensure!(set.code == Some(0), "{set}");
        }
        Ok(())
    }
}

impl Drop for Aloop {
    fn drop(&mut self) {
        // A test that failed has its card in use.
        let _ = run("rmmod", &["snd-aloop"]);
    }
}
