// SPDX-License-Identifier: MIT OR GPL-2.0

//! A user's session with PipeWire and WirePlumber, as on a desktop: udev knows the cards, the user
//! is in the group `audio` and may have real-time priority.

use std::fs::{self, Permissions};
use std::os::unix::fs::{chown, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::{Pid, User};
use serde_json::Value;

use crate::module;
use crate::process::{run, Outcome};
use crate::time::wait_for_within;

const USER: &str = "listener";
const RUNTIME_DIR: &str = "/run/listener";

/// The class of the node that plays.
pub(crate) const SINK: &str = "Audio/Sink";

/// The class of the node that records.
pub(crate) const SOURCE: &str = "Audio/Source";

/// The name of the node that the card follows; see [`Desktop::lead`].
pub(crate) const LEADER: &str = "leader";

/// How long things may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// The session. Its processes end with the test.
pub(crate) struct Desktop {
    pipewire: Child,
}

/// PipeWire's view of our card, or of one direction of it.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) id: u64,
    pub(crate) props: Value,
}

impl Object {
    /// A property that is a text.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.props[name].as_str().unwrap_or_default()
    }
}

/// What `pw-top` tells of a node.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) running: bool,
    pub(crate) errors: u64,
}

impl Row {
    /// `R   45   2048  48000  13.5us 106.2us  0.00  0.00    0    F32LE 2 48000  + name`
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_whitespace().collect();
        Some(Self {
            name: words.last()?.to_string(),
            running: *words.first()? == "R",
            errors: words.get(8)?.parse().ok()?,
        })
    }
}

impl Desktop {
    /// Logs in, and waits until PipeWire has our card's sink.
    pub(crate) fn start() -> Result<Self> {
        start_udev()?;
        add_user()?;
        let _ = fs::remove_dir_all(RUNTIME_DIR);
        fs::create_dir(RUNTIME_DIR)?;
        fs::set_permissions(RUNTIME_DIR, Permissions::from_mode(0o700))?;
        let user = User::from_name(USER)?.context("no user")?;
        chown(
            RUNTIME_DIR,
            Some(user.uid.as_raw()),
            Some(user.gid.as_raw()),
        )?;
        start(&[
            "dbus-daemon",
            "--session",
            "--nofork",
            "--nopidfile",
            &format!("--address={}", bus()),
        ])?;
        wait_until("the session bus", || Ok(in_runtime_dir("bus")))?;
        let pipewire = start(&["pipewire"])?;
        wait_until("PipeWire's socket", || Ok(in_runtime_dir("pipewire-0")))?;
        start(&["wireplumber"])?;
        let desktop = Self { pipewire };
        desktop.node(SINK)?;
        Ok(desktop)
    }

    /// Our card, as soon as PipeWire has it.
    pub(crate) fn device(&self) -> Result<Object> {
        self.object("Audio/Device")
    }

    /// A direction of our card, as soon as PipeWire has it.
    pub(crate) fn node(&self, class: &str) -> Result<Object> {
        self.object(class)
    }

    /// Waits until PipeWire has nothing of our card.
    pub(crate) fn wait_for_departure(&self) -> Result<()> {
        wait_until("PipeWire to drop our card", || {
            Ok(self.objects()?.is_empty())
        })
    }

    fn object(&self, class: &str) -> Result<Object> {
        let what = format!("PipeWire to have our card's {class}");
        wait_for_within(PATIENCE, &what, || {
            let mut objects = self.objects()?.into_iter();
            Ok(objects.find(|object| object.text("media.class") == class))
        })
    }

    /// What PipeWire has of our card.
    fn objects(&self) -> Result<Vec<Object>> {
        let dump = self.succeed(&["pw-dump"])?;
        // While something changes it prints more than one array.
        let objects: Vec<Value> = serde_json::from_str(&dump).unwrap_or_default();
        let objects = objects.into_iter().map(|object| Object {
            id: object["id"].as_u64().unwrap_or_default(),
            props: object["info"]["props"].clone(),
        });
        Ok(objects
            .filter(|object| object.text("alsa.id") == module::CARD)
            .collect())
    }

    /// Runs a program as the user.
    pub(crate) fn run(&self, argv: &[&str]) -> Result<Outcome> {
        let output = as_user(argv).output();
        Ok(output.with_context(|| argv.join(" "))?.into())
    }

    /// Runs a program as the user, which must succeed; returns what it says.
    pub(crate) fn succeed(&self, argv: &[&str]) -> Result<String> {
        let outcome = self.run(argv)?;
        ensure!(outcome.code == Some(0), "{}: {outcome}", argv.join(" "));
        Ok(outcome.stdout)
    }

    /// Starts a program as the user.
    pub(crate) fn spawn(&self, argv: &[&str]) -> Result<Child> {
        start(argv)
    }

    /// Sets the volume of a node, as a desktop's slider does.
    pub(crate) fn set_volume(&self, node: &Object, volume: &str) -> Result<()> {
        self.succeed(&["wpctl", "set-volume", &node.id.to_string(), volume])?;
        Ok(())
    }

    /// Makes the graph run at this rate.
    pub(crate) fn force_rate(&self, rate: u32) -> Result<()> {
        self.set("clock.force-rate", rate)
    }

    /// Makes the graph run in steps of so many frames.
    pub(crate) fn force_quantum(&self, frames: u32) -> Result<()> {
        self.set("clock.force-quantum", frames)
    }

    fn set(&self, name: &str, value: u32) -> Result<()> {
        let value = value.to_string();
        self.succeed(&["pw-metadata", "-n", "settings", "0", name, &value])?;
        Ok(())
    }

    /// Looks at all nodes by `pw-top`, once a second.
    pub(crate) fn watch(&self, times: u32) -> Result<Vec<Row>> {
        let text = self.succeed(&["pw-top", "--batch-mode", "--iterations", &times.to_string()])?;
        let rows = text.lines().filter(|line| !line.starts_with("S   ID"));
        rows.map(|line| Row::parse(line).with_context(|| format!("pw-top: {line:?}")))
            .collect()
    }

    /// Makes a sink of the same graph with a clock that the others follow, and links what it plays to
    /// `follower`.
    pub(crate) fn lead(&self, follower: &Object) -> Result<()> {
        let node = format!(
            "{{ factory.name=support.null-audio-sink node.name={LEADER} media.class={SINK} \
             audio.position=[FL FR] priority.driver=20000 object.linger=true }}"
        );
        self.succeed(&["pw-cli", "create-node", "adapter", &node])?;
        let follower = follower.text("node.name");
        for channel in ["FL", "FR"] {
            let from = format!("{LEADER}:monitor_{channel}");
            let to = format!("{follower}:playback_{channel}");
            wait_until("the leader's ports", || {
                Ok(self.run(&["pw-link", &from, &to])?.code == Some(0))
            })?;
        }
        Ok(())
    }

    /// Ends PipeWire by a signal.
    pub(crate) fn end(&mut self, with: Signal) -> Result<()> {
        signal(&self.pipewire, with)?;
        self.pipewire.wait()?;
        Ok(())
    }
}

/// Brings the guest's files into memory: with --icount its time runs away while the host opens one for
/// it, and a session is a lot of files, and full of timeouts.
pub(crate) fn bring_into_memory() -> Result<()> {
    // A file that is changed is copied to the file system on top, a tmpfs.
    let script = "find /etc /usr -xdev -path '*/kernel' -prune -o -type f -exec touch -ac {} +";
    let outcome = run("sh", &["-c", script])?;
    ensure!(outcome.code == Some(0), "{outcome}");
    Ok(())
}

/// Sends a signal.
pub(crate) fn signal(program: &Child, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(program.id())?), signal)?;
    Ok(())
}

/// Waits until `done` returns true.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for_within(PATIENCE, what, || Ok(done()?.then_some(())))
}

/// Starts udev, without which WirePlumber sees no card.
pub(crate) fn start_udev() -> Result<()> {
    fs::create_dir_all("/run/udev")?;
    let _ = fs::remove_file("/run/udev/control");
    Command::new("/usr/lib/systemd/systemd-udevd")
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start udevd")?;
    wait_until("udevd", || Ok(Path::new("/run/udev/control").exists()))?;
    for argv in [
        &["trigger", "--action=add", "--subsystem-match=sound"][..],
        &["settle"],
    ] {
        let status = Command::new("udevadm").args(argv).status()?;
        ensure!(status.success(), "udevadm {}: {status}", argv.join(" "));
    }
    Ok(())
}

/// Makes the user, who is in the group `audio`.
pub(crate) fn add_user() -> Result<()> {
    if User::from_name(USER)?.is_none() {
        let status = Command::new("useradd")
            .args(["--create-home", "--groups", "audio", USER])
            .status()?;
        ensure!(status.success(), "useradd: {status}");
    }
    Ok(())
}

fn bus() -> String {
    format!("unix:path={RUNTIME_DIR}/bus")
}

fn in_runtime_dir(name: &str) -> bool {
    Path::new(RUNTIME_DIR).join(name).exists()
}

/// The user's process, which is not root in anything.
pub(crate) fn as_user(argv: &[&str]) -> Command {
    let mut command = Command::new("prlimit");
    command
        .args(["--rtprio=95", "--nice=-19", "setpriv"])
        .args(["--reuid", USER, "--regid", USER, "--init-groups", "--"])
        .args(argv)
        .current_dir("/home/listener")
        .env("WIREPLUMBER_DEBUG", "W")
        .env("HOME", "/home/listener")
        .env("XDG_RUNTIME_DIR", RUNTIME_DIR)
        .env("DBUS_SESSION_BUS_ADDRESS", bus())
        .stdin(Stdio::null());
    command
}

fn start(argv: &[&str]) -> Result<Child> {
    let child = as_user(argv).spawn();
    child.with_context(|| argv.join(" "))
}

#[cfg(test)]
mod tests {
    use super::Row;

    #[test]
    fn rows_of_pw_top() {
        let row = Row::parse(
            "R   45   2048  48000  13.5us 106.2us  0.00  0.00    7    F32LE 2 48000  + pw-play",
        );
        let row = row.unwrap();
        assert_eq!(
            (row.name.as_str(), row.running, row.errors),
            ("pw-play", true, 7)
        );
        let row = Row::parse(
            "S   30      0      0    ---     ---   ---   ---     0                  Dummy-Driver",
        );
        let row = row.unwrap();
        assert_eq!(
            (row.name.as_str(), row.running, row.errors),
            ("Dummy-Driver", false, 0)
        );
        assert!(Row::parse("S   30      0      0").is_none());
    }
}
