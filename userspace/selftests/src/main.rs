// SPDX-License-Identifier: MIT OR GPL-2.0

//! Tests of the rtshm virtual sound card, to be run as root in the VM: `scripts/vm -- rtshm-selftest`.
//!
//! Nothing is mocked: applications are `aplay` or alsa-lib, the consumer is our library or plain
//! system calls, the card is the module's.

mod app;
mod compat;
mod controls;
mod desktop;
mod harness;
mod hw_params;
mod kernel_log;
mod latency;
mod machine;
mod material;
mod meter;
mod module;
mod process;
mod raw;
mod raw_pcm;
mod recording;
mod storm;
mod tape;
mod terminal;
mod tests;
mod time;
mod wav;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Tests the rtshm virtual sound card; as root, in a VM, with the module installed.
///
/// Prints KTAP, and `N passed, N failed` at the end.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Which tests
    #[arg(long, value_enum, default_value_t = Suite::Card)]
    suite: Suite,

    /// List the tests and run none
    #[arg(long)]
    list: bool,

    /// Run only tests whose name contains one of these texts
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,

    /// Run only tests whose name contains none of these texts
    #[arg(long, value_name = "TEXT")]
    except: Vec<String>,

    /// Show what tests that pass say, too
    #[arg(short, long)]
    verbose: bool,

    /// Measure latency and cost over so many periods in place of testing, and print JSON
    #[arg(long, value_name = "PERIODS", conflicts_with_all = ["list", "filter", "except"])]
    bench_latency: Option<u32>,

    /// Play through this card while the host writes down the instructions that are executed
    #[arg(long, value_name = "CARD", conflicts_with_all = ["list", "filter", "except"])]
    trace: Option<latency::Traced>,

    /// How much of that it is to write, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 300, requires = "trace")]
    trace_size: u32,

    /// Run one test in this process (what the program starts itself with)
    #[arg(long, value_name = "NAME", hide = true, conflicts_with_all = ["list", "filter", "except"])]
    run: Option<String>,

    #[command(flatten)]
    storms: storm::Settings,

    /// Be a hostile consumer of a storm, until killed: whose, and in which round
    #[arg(long, num_args = 2, value_names = ["NAME", "ROUND"], hide = true)]
    storm_consumer: Option<Vec<String>>,

    /// Be a process that tests need
    #[arg(long, value_name = "ROLE", hide = true)]
    play_role: Option<process::Role>,
}

/// Tests that are run together.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Suite {
    /// The card, its device and rtshm-reader
    Card,
    /// What happens when an allocation fails; needs a kernel with fault injection
    Allocations,
    /// PipeWire and WirePlumber on the card
    Pipewire,
    /// The card's clock over hours, with --icount
    Hours,
    /// The machine's devices are suspended; needs a root that survives it
    Suspend,
    /// rtshm-reader on a card whose clock drifts, with --icount
    Drift,
    /// The same for a day, with --icount
    Soak,
    /// As much as the card can carry, and what it costs; with --icount
    Load,
    /// The machine stands still for minutes, which scripts/vm sees to; not with --icount
    Stall,
}

impl Suite {
    fn tests(self) -> Vec<harness::Test> {
        match self {
            Self::Card => tests::all(),
            Self::Allocations => tests::allocations(),
            Self::Pipewire => tests::pipewire(),
            Self::Hours => tests::hours(),
            Self::Suspend => tests::suspend(),
            Self::Load => tests::load(),
            Self::Stall => tests::stall(),
            Self::Drift => tests::drift(),
            Self::Soak => tests::soak(),
        }
    }

    /// What the machine needs before the first test.
    fn get_ready(self) -> anyhow::Result<()> {
        match self {
            Self::Card
            | Self::Allocations
            | Self::Hours
            | Self::Suspend
            | Self::Load
            | Self::Stall
            | Self::Drift
            | Self::Soak => Ok(()),
            Self::Pipewire => desktop::bring_into_memory(),
        }
    }

    /// After this long a test hangs. The slowest takes a tenth of it on the debug kernel and an idle
    /// machine, but for PipeWire's one that plays for a minute.
    fn limit(self) -> Duration {
        match self {
            Self::Card | Self::Suspend => Duration::from_secs(300),
            Self::Pipewire => Duration::from_secs(1800),
            Self::Load => Duration::from_secs(1800),
            // With the stall, which the guest's clock counts.
            Self::Stall => Duration::from_secs(600),
            Self::Allocations => Duration::from_secs(1200),
            // Of the guest's time, which flies.
            Self::Hours | Self::Drift => Duration::from_secs(24 * 3600),
            Self::Soak => Duration::from_secs(48 * 3600),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.storms.set();
    let tests = cli.suite.tests();
    if let Some([worker, round]) = cli.storm_consumer.as_deref() {
        let round = round.parse().unwrap_or_default();
        return harness::conclude(storm::consumer::live(worker, round));
    }
    if let Some(periods) = cli.bench_latency {
        return harness::conclude(latency::bench(periods));
    }
    if let Some(card) = cli.trace {
        return harness::conclude(latency::trace(card, cli.trace_size));
    }
    if let Some(role) = cli.play_role {
        return harness::conclude(process::play(role));
    }
    if let Some(name) = &cli.run {
        return harness::run_here(name);
    }
    let chosen: Vec<_> = tests
        .into_iter()
        .filter(|test| {
            let has = |text: &String| test.name.contains(text);
            (cli.filter.is_empty() || cli.filter.iter().any(has)) && !cli.except.iter().any(has)
        })
        .collect();
    if cli.list {
        for test in &chosen {
            println!("{}", test.name);
        }
    } else if !chosen.is_empty() {
        if let Err(error) = cli.suite.get_ready() {
            return harness::conclude(Err(error));
        }
        return harness::run_all(&chosen, cli.suite.limit(), cli.verbose);
    }
    if chosen.is_empty() {
        eprintln!("rtshm-selftest: no test matches (see --list)");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
