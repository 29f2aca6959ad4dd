// SPDX-License-Identifier: MIT OR GPL-2.0

//! As much as the card can carry, and what it costs. What a test says is in
//! `Documentation/performance.rst`.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use alsa::pcm::Format;
use alsa::{Direction, ValueOr, PCM};
use anyhow::{anyhow, ensure, Context, Result};
use nix::unistd::{gettid, Pid};
use rtshm::{Consumer, Device, Kind};

use super::instances::{card_id, node};
use super::recording::records_at_768000;
use super::tests;
use crate::app::{App, Setup};
use crate::material::{noise, Material};
use crate::meter::{Meter, Spent};
use crate::module;
use crate::process::run;
use crate::tape::{attach_to, Entry};
use crate::time::sleep_ms;

tests!(load:
    who_is_late_is_noticed,
    float_64_channels_192000,
    s32_64_channels_192000,
    eight_instances_1_ms,
    records_at_768000,
    one_instance,
    other_drivers,
);

/// How long is measured, in milliseconds.
const MEASURED: u64 = 500;

/// Milliseconds for all to get going before, and as many afterwards.
const MARGIN: u64 = 250;

/// How long is compared, in milliseconds.
const COMPARED: u64 = 3000;

/// How long a consumer waits for sound. Time runs away while the host reads a file for the guest.
const PATIENCE: Duration = Duration::from_secs(120);

/// Periods of 10 ms.
const PERIODS_PER_SECOND: u32 = 100;

/// Periods of sound before it comes again: far more than a chunk, so that none is taken for another.
const DIFFERENT_PERIODS: u32 = 7;

/// 64 channels at 192 kHz are 49 MB/s in the ring. This holds 170 ms of them, twice what the
/// application can have in its buffer of 4 MiB, so that the consumer is not the one who has to hurry.
const LARGE_RING: &str = "ring_kib=8192";

/// A job: what is played, in periods of 10 ms and a buffer of four.
#[derive(Clone, Copy)]
struct Job {
    format: Format,
    channels: u32,
    rate: u32,
}

const STEREO: Job = Job {
    format: Format::S16LE,
    channels: 2,
    rate: 48_000,
};

impl Job {
    fn period(self) -> u32 {
        self.rate / PERIODS_PER_SECOND
    }

    fn setup(self) -> Setup {
        Setup {
            format: self.format,
            channels: self.channels,
            rate: self.rate,
            period: self.period(),
            buffer: self.period() * 4,
            start_threshold: Some(self.period() * 4),
            ..Setup::default()
        }
    }

    fn material(self, seed: u64) -> Material {
        let frames = u64::from(self.period() * DIFFERENT_PERIODS);
        match self.format {
            Format::S32LE => {
                let bits = noise(Format::FloatLE, self.channels, frames, seed);
                // Exact in 64 bits; the one rounding is the processor's.
                let float = |bits: &u32| (f64::from(*bits as i32) / 2f64.powi(31)) as f32;
                Material {
                    format: self.format,
                    expected: bits
                        .expected
                        .iter()
                        .map(|bits| float(bits).to_bits())
                        .collect(),
                    ..bits
                }
            }
            format => noise(format, self.channels, frames, seed),
        }
    }
}

/// A thread of the load.
struct Worker<T> {
    id: Pid,
    thread: JoinHandle<Result<T>>,
}

impl<T: Send + 'static> Worker<T> {
    fn start(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Self> {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            // Whoever waits for it fails without.
            let _ = tell.send(gettid());
            work()
        });
        let id = told.recv()?;
        Ok(Self { id, thread })
    }

    fn finish(self) -> Result<T> {
        self.thread
            .join()
            .map_err(|_| anyhow!("a thread of the load panicked"))?
    }
}

/// Plays so many periods into a PCM. One that comes too late is an error.
fn player(pcm: &str, job: Job, material: &Material, periods: u32) -> Result<Worker<()>> {
    let app = App::open_on(pcm, &job.setup())?;
    let bytes = material.bytes.clone();
    Worker::start(move || {
        let io = app.pcm.io_bytes();
        let blocks = bytes.chunks_exact(bytes.len() / DIFFERENT_PERIODS as usize);
        for block in blocks.cycle().take(periods as usize) {
            let written = io.writei(block).context("the player was late")?;
            ensure!(written == job.period() as usize, "{written} frames written");
        }
        app.pcm.drain().context("drain")
    })
}

/// What a consumer saw of a stream.
#[derive(Debug)]
struct Seen {
    frames: u64,
    chunks: u64,
    /// Times it waited.
    waits: u64,
}

/// Pops a stream to its end, in which nothing may be lost, and compares all of it where there is
/// something to compare it with.
fn consume(mut consumer: Consumer, material: Option<&Material>) -> Result<Seen> {
    let mut seen = Seen {
        frames: 0,
        chunks: 0,
        waits: 0,
    };
    loop {
        while let Some(event) = consumer.pop()? {
            if let Kind::Audio(chunk) = event.kind() {
                let (position, count) = (chunk.position, u64::from(chunk.frame_count));
                ensure!(position == seen.frames, "{position} behind {}", seen.frames);
                if let Some(material) = material {
                    let expected = material
                        .expected_at(position % material.frames(), count)
                        .context("a chunk across the end of a period")?;
                    ensure!(
                        bytemuck::cast_slice::<f32, u32>(chunk.samples) == expected,
                        "other samples in the chunk at {position}"
                    );
                }
                seen.frames += count;
                seen.chunks += 1;
                continue;
            }
            let entry = Entry::of(&event)?;
            ensure!(!matches!(entry, Entry::Lost { .. }), "{entry:?}");
            if entry.is_end() {
                return Ok(seen);
            }
        }
        seen.waits += 1;
        ensure!(
            consumer.wait(Some(PATIENCE))?,
            "nothing comes after {seen:?}"
        );
    }
}

/// What a job cost, in instructions per second of sound.
struct Cost {
    spent: Spent,
    players: usize,
    seen: Vec<Seen>,
}

impl Cost {
    /// Says it in a line, less what the machine does anyway.
    fn tell(&self, name: &str, idle: u64) {
        let (players, consumers) = self.spent.threads.split_at(self.players);
        let (players, consumers) = (players.iter().sum::<u64>(), consumers.iter().sum::<u64>());
        let all = self.spent.all.saturating_sub(idle);
        println!(
            "{name}: {:.3} million = application {:.3} + consumer {:.3} + interrupts {:.3}",
            millions(all),
            millions(players),
            millions(consumers),
            millions(all.saturating_sub(players + consumers)),
        );
    }
}

fn millions(count: u64) -> f64 {
    count as f64 / 1e6
}

/// What the machine does when it has nothing to do.
fn idle(meter: &Meter) -> Result<u64> {
    let idle = meter.measure(MEASURED, &[])?.all;
    println!("nothing: {:.3} million", millions(idle));
    Ok(idle)
}

/// Plays a job on so many cards, with a consumer on each or none: all of it compared, or measured.
fn play(job: Job, cards: usize, consumers: bool, meter: Option<&Meter>) -> Result<Cost> {
    let millis = meter.map_or(COMPARED, |_| MEASURED + 2 * MARGIN);
    let periods = u32::try_from(millis)? * PERIODS_PER_SECOND / 1000;
    let frames = u64::from(periods * job.period());
    let before = statuses(cards)?;
    let (mut players, mut listeners) = (Vec::new(), Vec::new());
    let materials: Vec<_> = (0..cards).map(|card| job.material(card as u64)).collect();
    for (card, material) in materials.iter().enumerate() {
        if consumers {
            let consumer = attach_to(&node(card))?;
            let compared = meter.is_none().then(|| material.clone());
            listeners.push(Worker::start(move || consume(consumer, compared.as_ref()))?);
        }
    }
    for (card, material) in materials.iter().enumerate() {
        let pcm = format!("hw:{}", card_id(card));
        players.push(player(&pcm, job, material, periods)?);
    }
    let threads: Vec<_> = players
        .iter()
        .map(|worker| worker.id)
        .chain(listeners.iter().map(|worker| worker.id))
        .collect();
    let spent = match meter {
        Some(meter) => {
            sleep_ms(MARGIN);
            meter.measure(MEASURED, &threads)?
        }
        None => Spent::default(),
    };
    for player in players {
        player.finish()?;
    }
    let seen: Vec<_> = listeners
        .into_iter()
        .map(Worker::finish)
        .collect::<Result<_>>()?;
    for (card, seen) in seen.iter().enumerate() {
        ensure!(seen.frames == frames, "card {card}: {seen:?} of {frames}");
    }
    for (before, after) in before.iter().zip(statuses(cards)?) {
        ensure!(
            after.xruns == before.xruns
                && after.lost_frames == before.lost_frames
                && after.streams == before.streams + 1,
            "{before:?}, then {after:?}"
        );
    }
    Ok(Cost {
        spent,
        players: cards,
        seen,
    })
}

fn statuses(cards: usize) -> Result<Vec<rtshm::Status>> {
    (0..cards)
        .map(|card| Ok(Device::open(node(card))?.status()?))
        .collect()
}

/// Compares all of a job, and then tells what it costs.
fn carry(name: &str, arguments: &str, job: Job, cards: usize) -> Result<()> {
    module::ready_with(arguments)?;
    play(job, cards, true, None)?;
    let meter = Meter::new()?;
    let idle = idle(&meter)?;
    let cost = play(job, cards, true, Some(&meter))?;
    cost.tell(name, idle);
    let (chunks, waits) = cost.seen.iter().fold((0, 0), |(chunks, waits), seen| {
        (chunks + seen.chunks, waits + seen.waits)
    });
    println!("{name}: {chunks} chunks, waited for {waits} times");
    play(job, cards, false, Some(&meter))?.tell(&format!("{name}, to nobody"), idle);
    Ok(())
}

/// That nothing was lost and nobody late is no accident of how that is looked for.
fn who_is_late_is_noticed() -> Result<()> {
    // Five times what the ring holds, and what the application has in its buffer.
    module::ready_with("ring_kib=64")?;
    let material = STEREO.material(0);
    let consumer = attach_to(&node(0))?;
    let listener = Worker::start(move || {
        sleep_ms(1000);
        consume(consumer, None)
    })?;
    let player = player(&format!("hw:{}", card_id(0)), STEREO, &material, 120)?;
    player.finish()?;
    let error = listener.finish().err().context("it lost nothing")?;
    ensure!(format!("{error:#}").starts_with("Lost"), "{error:#}");

    let app = App::open(&STEREO.setup())?;
    let io = app.pcm.io_bytes();
    io.writei(&material.bytes[..material.bytes.len() / DIFFERENT_PERIODS as usize * 4])?;
    sleep_ms(200);
    let late = io.writei(&material.bytes);
    ensure!(late.is_err() && module::status()?.xruns == 1, "{late:?}");
    Ok(())
}

fn float_64_channels_192000() -> Result<()> {
    let job = Job {
        format: Format::FloatLE,
        channels: 64,
        rate: 192_000,
    };
    carry("64 channels, FLOAT_LE", LARGE_RING, job, 1)
}

fn s32_64_channels_192000() -> Result<()> {
    let job = Job {
        format: Format::S32LE,
        channels: 64,
        rate: 192_000,
    };
    carry("64 channels, S32_LE", LARGE_RING, job, 1)
}

fn eight_instances_1_ms() -> Result<()> {
    carry(
        "8 instances, 1 ms chunks",
        "devices=8 chunk_frames=48",
        STEREO,
        8,
    )
}

fn one_instance() -> Result<()> {
    carry("1 instance, 1 ms chunks", "chunk_frames=48", STEREO, 1)?;
    carry("1 instance, 4 ms chunks", "chunk_frames=192", STEREO, 1)?;
    carry("1 instance, default chunks", "", STEREO, 1)
}

/// The same application on cards of the kernel's: one that throws it all away, and one from which
/// another application records it.
fn other_drivers() -> Result<()> {
    let meter = Meter::new()?;
    let idle = idle(&meter)?;
    for arguments in [&["snd-dummy", "fake_buffer=0"][..], &["snd-aloop"]] {
        let loaded = run("modprobe", arguments)?;
        ensure!(loaded.code == Some(0), "{loaded}");
    }
    let sleeper = Worker::start(|| {
        (0..MEASURED + MARGIN).for_each(|_| sleep_ms(1));
        Ok(())
    })?;
    let cost = Cost {
        spent: meter.measure(MEASURED, &[sleeper.id])?,
        players: 1,
        seen: Vec::new(),
    };
    sleeper.finish()?;
    cost.tell("a thread that sleeps for 1 ms at a time", idle);
    let periods = u32::try_from(MEASURED + 2 * MARGIN)? * PERIODS_PER_SECOND / 1000;
    let material = STEREO.material(0);
    for (name, pcm, capture) in [
        ("snd-dummy", "hw:Dummy", None),
        ("snd-aloop", "hw:Loopback,0,0", Some("hw:Loopback,1,0")),
    ] {
        let recorder = match capture {
            Some(capture) => Some(recorder(capture, STEREO, periods)?),
            None => None,
        };
        let player = player(pcm, STEREO, &material, periods)?;
        let mut threads = vec![player.id];
        threads.extend(recorder.iter().map(|recorder| recorder.id));
        sleep_ms(MARGIN);
        let cost = Cost {
            spent: meter.measure(MEASURED, &threads)?,
            players: 1,
            seen: Vec::new(),
        };
        player.finish()?;
        cost.tell(name, idle);
        if let Some(recorder) = recorder {
            recorder.finish()?;
        }
    }
    for name in ["snd-dummy", "snd-aloop"] {
        let removed = run("rmmod", &[name])?;
        ensure!(removed.code == Some(0), "{removed}");
    }
    Ok(())
}

/// Records for as long as is played, in periods of a millisecond.
fn recorder(pcm: &str, job: Job, periods: u32) -> Result<Worker<()>> {
    let pcm = PCM::new(pcm, Direction::Capture, false)?;
    let period = job.rate / 1000;
    {
        let hw = alsa::pcm::HwParams::any(&pcm)?;
        hw.set_access(alsa::pcm::Access::RWInterleaved)?;
        hw.set_format(job.format)?;
        hw.set_channels(job.channels)?;
        hw.set_rate(job.rate, ValueOr::Nearest)?;
        hw.set_period_size(period.into(), ValueOr::Nearest)?;
        hw.set_buffer_size((job.period() * 4).into())?;
        pcm.hw_params(&hw)?;
    }
    Worker::start(move || {
        let io = pcm.io_i16()?;
        let mut samples = vec![0; (period * job.channels) as usize];
        let mut sound = false;
        for _ in 0..periods * job.period() / period {
            io.readi(&mut samples).context("the recorder was late")?;
            sound |= samples.iter().any(|&sample| sample != 0);
        }
        ensure!(sound, "only silence was recorded");
        Ok(())
    })
}
