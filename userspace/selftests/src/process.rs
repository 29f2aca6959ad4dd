// SPDX-License-Identifier: MIT OR GPL-2.0

//! Other processes.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;

use anyhow::{ensure, Context, Result};
use rtshm::{ClockRatio, Consumer};

use crate::app::Setup;
use crate::module;
use crate::recording;

/// What another process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// It pops whatever comes.
    Consumer,
    /// It pops nothing, and has the clock go as fast as can be.
    Steerer,
    /// It records whatever is played.
    Recorder,
}

/// Plays a role, until killed.
pub(crate) fn play(role: Role) -> Result<()> {
    match role {
        Role::Consumer => {
            let mut consumer = Consumer::open(module::NODE)?;
            println!("ready");
            loop {
                consumer.wait(None)?;
                while consumer.pop()?.is_some() {}
            }
        }
        Role::Steerer => {
            let mut consumer = Consumer::open(module::NODE)?;
            consumer.request_rate(ClockRatio::MAX);
            println!("ready");
            loop {
                thread::park();
            }
        }
        Role::Recorder => {
            let setup = Setup::default();
            let pcm = recording::open(&setup)?;
            pcm.start()?;
            println!("ready");
            let mut period = vec![0; setup.period as usize * setup.frame_bytes()];
            loop {
                pcm.read(&mut period)?;
            }
        }
    }
}

/// A process with a role.
pub(crate) struct Player(Child);

impl Player {
    /// Starts a process and waits until it is ready.
    pub(crate) fn start(role: Role) -> Result<Self> {
        let name = match role {
            Role::Consumer => "consumer",
            Role::Steerer => "steerer",
            Role::Recorder => "recorder",
        };
        let mut child = Command::new("/proc/self/exe")
            .args(["--play-role", name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "the {name} did not start");
        Ok(Self(child))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It may be dead.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program did.
pub(crate) struct Outcome {
    /// With the signal that it died of, if it did.
    status: ExitStatus,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, ", {name}: {:?}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Runs a program.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<Outcome> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(output.into())
}

/// Sets the mixer's pitch, in millionths of the nominal rate.
pub(crate) fn set_pitch(pitch: u32) -> Result<()> {
    let card = module::CARD;
    let control = "iface=PCM,name='Playback Pitch 1000000'";
    let set = run(
        "amixer",
        &["-q", "-c", card, "cset", control, &pitch.to_string()],
    )?;
    ensure!(set.code == Some(0), "{set}");
    Ok(())
}
