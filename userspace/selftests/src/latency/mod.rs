// SPDX-License-Identifier: MIT OR GPL-2.0

//! From an application's write to a consumer, through this card and others: how long it takes and
//! what it costs. `Documentation/performance.rst` has the numbers, and says what they mean.

mod account;
pub(crate) mod checks;
mod link;
mod numbers;
mod pcm;
mod run;

use std::fs;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use serde::Serialize;

use crate::meter::Meter;
use crate::module;
use crate::process::run as run_program;
use crate::time::sleep_ms;
use link::Way;
use numbers::{Jitter, Summary};
use run::{check_whole, Job, Outcome, Study};

/// Rates, and the periods that are measured at each.
const GRID: [(u32, &[u32]); 4] = [
    (48_000, &[32, 64, 128, 256, 1024]),
    (44_100, &[128]),
    (96_000, &[128]),
    (192_000, &[128]),
];

/// Periods in the buffer that are tried where fewer run dry.
const QUEUES: [u32; 10] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48];

/// Periods that a number of them in the buffer is tried for.
const TRIED: u32 = 400;

/// How long is measured what is spent, in milliseconds, and the sound that takes.
const MEASURED: u64 = 300;
const MEASURED_SOUND: f64 = 0.7;

/// More periods than are played until the host traces: it may be busy.
const TRACED: u32 = 1_000_000;

/// What can be traced.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Traced {
    Aloop,
    Clocked,
    Eager,
    Memory,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Card {
    name: &'static str,
    way: Way,
    /// Of our module.
    arguments: &'static str,
}

const ALOOP: Card = Card {
    name: "snd-aloop",
    way: Way::Aloop,
    arguments: "",
};
const ALOOP_READ: Card = Card {
    name: "snd-aloop, read as by arecord",
    way: Way::AloopRead,
    arguments: "",
};
const CLOCKED: Card = Card {
    name: "rtshm, clocked",
    way: Way::Rtshm,
    arguments: "",
};
const EAGER: Card = Card {
    name: "rtshm, eager",
    way: Way::Rtshm,
    arguments: "eager=1",
};
const MEMORY: Card = Card {
    name: "memory",
    way: Way::Memory,
    arguments: "",
};

/// What was measured.
#[derive(Serialize)]
struct Report {
    /// Whether time was counted in instructions.
    icount: bool,
    /// Whether the module can deliver eagerly.
    eager: bool,
    rows: Vec<Row>,
    growth: Vec<Growth>,
}

/// A card at a rate and a period.
#[derive(Serialize)]
struct Row {
    card: &'static str,
    rate: u32,
    period: u32,
    /// Periods that the application kept in the buffer.
    queue: u32,
    /// Times that the card ran dry in `TRIED` periods with two of them in the buffer.
    xruns_with_two: u64,
    periods: u32,
    /// In microseconds, of all frames.
    latency: Summary,
    /// Of the times at which frames became visible, where none are missing.
    jitter: Option<Jitter>,
    /// Nanoseconds that a time stamp was off the line, at most.
    stamps_off: Option<f64>,
    xruns: u64,
    overruns: u64,
    lost_frames: u64,
    /// Frames that came once more.
    repeated_frames: u64,
    cost: Option<Cost>,
}

/// What some cards at once cost.
#[derive(Serialize)]
struct Growth {
    card: &'static str,
    cards: usize,
    channels: u32,
    format: &'static str,
    period: u32,
    queue: u32,
    cost: Cost,
}

/// What is spent in a second of sound, less what the machine does anyway.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    /// Instructions.
    instructions: Shares,
    application_calls: f64,
    application_wakeups: f64,
    consumer_calls: f64,
    consumer_wakeups: f64,
}

/// Who executes them.
#[derive(Clone, Copy, Debug, Serialize)]
struct Shares {
    all: f64,
    /// Outside of the kernel.
    application: f64,
    consumer: f64,
    /// All else.
    kernel: f64,
}

/// Measures all of it, and prints it as JSON.
pub(crate) fn bench(periods: u32) -> Result<()> {
    ensure!(periods >= 100, "too few periods to say much");
    load_aloop()?;
    let meter = Meter::new().ok();
    // A busy host makes everybody late now and then where time is its own.
    let tolerated = if meter.is_some() {
        0
    } else {
        u64::from(TRIED) / 20
    };
    let mut cards = vec![ALOOP, CLOCKED, MEMORY];
    let eager = has_eager()?;
    if eager {
        cards.insert(2, EAGER);
    }
    let idle = match &meter {
        Some(meter) => idle(meter)?,
        None => 0,
    };
    let bench = Bench {
        meter,
        idle: idle as f64,
        periods,
        tolerated,
    };
    let rows = bench.rows(&cards)?;
    let growth = bench.growth(eager)?;
    let report = Report {
        icount: bench.meter.is_some(),
        eager,
        rows,
        growth,
    };
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// The host's directory; see `scripts/vm --share`.
const SHARE: &str = "/host";

/// Plays through a card, with four periods of 256 frames in the buffer, while the host writes so many
/// MiB of which instructions are executed; and leaves there what it needs to know whose they are.
pub(crate) fn trace(card: Traced, mebibytes: u32) -> Result<()> {
    let card = match card {
        Traced::Aloop => ALOOP_READ,
        Traced::Clocked => CLOCKED,
        Traced::Eager => EAGER,
        Traced::Memory => MEMORY,
    };
    if card.way == Way::AloopRead {
        load_aloop()?;
    }
    card.get_ready(1)?;
    for (from, to) in [("kallsyms", "kernel"), ("self/maps", "maps")] {
        // Not by `fs::copy`, which believes in the size of files.
        fs::write(format!("{SHARE}/{to}"), fs::read(format!("/proc/{from}"))?)?;
    }
    let job = Job {
        queue: 4,
        periods: TRACED,
        ..Job::usual(card.way)
    };
    run::run(job, 1, Study::Instructions(mebibytes))?;
    Ok(())
}

/// Instructions of a second in which nothing is played: the least of some, since what was loaded
/// goes on for a while.
fn idle(meter: &Meter) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..5 {
        sleep_ms(1000);
        least = least.min(meter.measure(MEASURED, &[])?.all);
    }
    eprintln!("nothing: {least}");
    Ok(least)
}

/// Whether the module has the parameter.
fn has_eager() -> Result<bool> {
    let parameters = run_program("modinfo", &["-F", "parm", "rtshm"])?;
    ensure!(parameters.code == Some(0), "{parameters}");
    let mut names = parameters.stdout.lines();
    Ok(names.any(|line| line.starts_with("eager:")))
}

fn load_aloop() -> Result<()> {
    let loaded = run_program("modprobe", &["snd-aloop"])?;
    ensure!(loaded.code == Some(0), "{loaded}");
    Ok(())
}

impl Card {
    fn get_ready(self, cards: usize) -> Result<()> {
        if self.way != Way::Rtshm {
            return Ok(());
        }
        let devices = match cards {
            1 => String::new(),
            _ => format!("devices={cards} "),
        };
        module::ready_with(format!("{devices}{}", self.arguments).trim_end())
    }
}

struct Bench {
    /// Where instructions are counted.
    meter: Option<Meter>,
    /// Instructions of a second in which nothing is played.
    idle: f64,
    periods: u32,
    /// Times that a card may run dry in a trial.
    tolerated: u64,
}

impl Bench {
    fn rows(&self, cards: &[Card]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for card in cards {
            card.get_ready(1)?;
            for (rate, periods) in GRID {
                for &period in periods {
                    let job = Job {
                        rate,
                        period,
                        ..Job::usual(card.way)
                    };
                    let row = self.row(*card, job);
                    rows.push(row.with_context(|| format!("{} {rate} {period}", card.name))?);
                }
            }
        }
        Ok(rows)
    }

    fn row(&self, card: Card, job: Job) -> Result<Row> {
        let (queue, xruns_with_two) = self.least_queue(job)?;
        let job = Job {
            queue,
            periods: self.periods,
            ..job
        };
        let outcome = one(run::run(job, 1, Study::Times)?.0)?;
        let (lost_frames, xruns) = (outcome.lost(), outcome.played.xruns);
        let overruns = outcome.heard.overruns;
        let whole = lost_frames == 0 && xruns == 0 && overruns == 0;
        let row = Row {
            card: card.name,
            rate: job.rate,
            period: job.period,
            queue,
            xruns_with_two,
            periods: job.periods,
            latency: Summary::of(outcome.latencies()).context("nothing was heard")?,
            jitter: whole
                .then(|| Jitter::of(&outcome.line(), job.rate))
                .flatten(),
            stamps_off: outcome.stamps_off(),
            xruns,
            overruns,
            lost_frames,
            repeated_frames: outcome.heard.repeated,
            cost: self.cost(job, 1)?,
        };
        eprintln!(
            "{}, {} Hz, {} x {}: median {} us, {} xruns",
            row.card, row.rate, row.queue, row.period, row.latency.median, row.xruns
        );
        Ok(row)
    }

    /// The least number of periods in the buffer with which nobody is late and nothing comes twice, and
    /// how often somebody is late with two.
    fn least_queue(&self, job: Job) -> Result<(u32, u64)> {
        let mut with_two = None;
        for queue in QUEUES {
            let trial = Job {
                queue,
                periods: TRIED,
                ..job
            };
            let outcome = one(run::run(trial, 1, Study::Times)?.0)?;
            let late = outcome.played.xruns;
            let with_two = *with_two.get_or_insert(late);
            // snd-aloop may play its buffer several times without saying that it ran dry.
            let again = outcome.heard.repeated + outcome.lost();
            let frames = u64::from(trial.period) * self.tolerated;
            if late <= self.tolerated && again <= frames {
                return Ok((queue, with_two));
            }
        }
        let last = QUEUES[QUEUES.len() - 1];
        Ok((last, with_two.unwrap_or_default()))
    }

    /// What a job costs, where that can be told.
    fn cost(&self, job: Job, cards: usize) -> Result<Option<Cost>> {
        let Some(meter) = &self.meter else {
            return Ok(None);
        };
        let sound = MEASURED_SOUND * f64::from(job.rate) / f64::from(job.period);
        let job = Job {
            periods: sound as u32,
            ..job
        };
        let (outcomes, spent) = run::run(job, cards, Study::Spent(MEASURED, meter))?;
        let spent = spent.context("not measured")?;
        outcomes.iter().try_for_each(check_whole)?;
        let seconds = job.seconds();
        let sum = |what: &dyn Fn(&Outcome) -> u64| {
            outcomes.iter().map(what).sum::<u64>() as f64 / seconds
        };
        let instructions = |ticks: f64| meter.instructions(ticks);
        let all = spent.all as f64 - self.idle;
        let application = instructions(sum(&|outcome| outcome.played.account.outside));
        let consumer = instructions(sum(&|outcome| outcome.heard.account.outside));
        Ok(Some(Cost {
            instructions: Shares {
                all,
                application,
                consumer,
                kernel: all - application - consumer,
            },
            application_calls: sum(&|outcome| outcome.played.account.calls),
            application_wakeups: sum(&|outcome| outcome.played.account.wakeups),
            consumer_calls: sum(&|outcome| outcome.heard.account.calls),
            consumer_wakeups: sum(&|outcome| outcome.heard.account.wakeups),
        }))
    }

    /// What more cards, channels, and other samples cost, with four periods of 256 frames.
    fn growth(&self, eager: bool) -> Result<Vec<Growth>> {
        let mut rows = Vec::new();
        if self.meter.is_none() {
            return Ok(rows);
        }
        let mut cards = vec![ALOOP_READ, CLOCKED];
        cards.extend(eager.then_some(EAGER));
        for card in cards {
            // snd-aloop has no more.
            let most = if card.way == Way::Rtshm { 64 } else { 32 };
            for (format, count, channels) in [
                (Format::S16LE, 1, 2),
                (Format::S16LE, 1, 8),
                (Format::S16LE, 1, most),
                (Format::S16LE, 8, 2),
                (Format::FloatLE, 1, 2),
                (Format::FloatLE, 1, most),
            ] {
                card.get_ready(count)?;
                let job = Job {
                    format,
                    channels,
                    queue: 4,
                    ..Job::usual(card.way)
                };
                let name = format!("{count} {}, {channels} channels {format}", card.name);
                let cost = self.cost(job, count).with_context(|| name.clone())?;
                let cost = cost.context("not measured")?;
                eprintln!("{name}: {:.0}", cost.instructions.all);
                rows.push(Growth {
                    card: card.name,
                    cards: count,
                    channels,
                    format: match format {
                        Format::FloatLE => "FLOAT_LE",
                        _ => "S16_LE",
                    },
                    period: job.period,
                    queue: job.queue,
                    cost,
                });
            }
        }
        Ok(rows)
    }
}

fn one(outcomes: Vec<Outcome>) -> Result<Outcome> {
    outcomes.into_iter().next().context("no card")
}
