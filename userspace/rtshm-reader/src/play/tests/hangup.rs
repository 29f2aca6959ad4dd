// SPDX-License-Identifier: MIT OR GPL-2.0

//! SIGHUP, with and without a terminal, in processes of their own.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tempfile::TempDir;

use super::*;

/// Where a process of these tests has its files.
const DIR: &str = "RTSHM_TEST_HANGUP";

/// What the others run: plays until a signal ends it.
#[test]
fn a_process_that_plays() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    watchdog();
    let hangup = Hangup::of_start();
    let signals =
        Signals::take_over_these(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]).unwrap();
    let kernel = Fake::new();
    let mut consumer = kernel.consumer().unwrap();
    let summary = Summary::default();
    let notes = Notes::new(true, false);
    let mut player = Player::new(opener("null"), false, None, summary, notes);
    application(kernel, u64::MAX / SECOND, false);
    play(&mut player, &mut consumer, &signals, hangup).unwrap();
    fs::write(Path::new(&dir).join("ended"), "").unwrap();
    std::process::exit(0);
}

/// Such a process, or a shell that runs one.
struct Playing {
    dir: TempDir,
    child: Child,
    /// The terminal's other side.
    master: Option<OwnedFd>,
}

/// The process as words of a shell; it has its id and what it says in files. It begins with the
/// signals blocked, in the test's other threads, too.
fn words(dir: &Path) -> String {
    format!(
        "env --block-signal=HUP --block-signal=TERM {DIR}={dir} {exe} --exact \
         play::tests::hangup::a_process_that_plays --nocapture 2>{dir}/notes",
        dir = dir.display(),
        exe = std::env::current_exe().unwrap().display(),
    )
}

impl Playing {
    /// Runs what a shell makes of `$PLAY`, on a terminal or without one.
    fn start(has_terminal: bool, shell: &[&str], script: impl Fn(&str) -> String) -> Self {
        watchdog();
        let dir = tempfile::tempdir().unwrap();
        let script = script(&words(dir.path()));
        // Whoever runs the tests may ignore SIGHUP (nohup), which is inherited.
        let mut command = Command::new("env");
        let mut master = None;
        command
            .args(["--default-signal=HUP", "setsid"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if has_terminal {
            let pty = openpty(None, None).unwrap();
            command.arg("--ctty").stdin(Stdio::from(pty.slave));
            nix::fcntl::fcntl(
                &pty.master,
                nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
            )
            .unwrap();
            master = Some(pty.master);
        } else {
            command.stdin(Stdio::null());
        }
        let child = command.args(shell).arg(script).spawn().unwrap();
        let playing = Self { dir, child, master };
        playing.wait_for_note("Start at frame");
        playing
    }

    fn notes(&self) -> String {
        fs::read_to_string(self.dir.path().join("notes")).unwrap_or_default()
    }

    fn wait_for_note(&self, text: &str) {
        while !self.notes().contains(text) {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for_end(&self) {
        while !self.dir.path().join("ended").exists() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// SIGHUP opens the card anew, and SIGTERM ends it then.
    fn assert_renews(mut self) {
        self.signal(Signal::SIGHUP);
        self.wait_for_note("opening the sound card anew");
        self.signal(Signal::SIGTERM);
        self.wait_for_end();
        assert!(self.child.wait().unwrap().success());
    }

    /// It ends, and by the signals that came.
    fn assert_ends(mut self) {
        self.wait_for_end();
        assert!(!self.notes().contains("opening the sound card anew"));
        assert!(self.child.wait().unwrap().success());
    }
}

const SH: [&str; 2] = ["sh", "-c"];

fn exec(words: &str) -> String {
    format!("exec {words}")
}

#[test]
fn without_a_terminal_the_card_is_opened_anew() {
    Playing::start(false, &SH, exec).assert_renews();
}

#[test]
fn under_nohup_the_card_is_opened_anew() {
    let nohup = |words: &str| format!("trap '' HUP; exec {words}");
    Playing::start(true, &SH, nohup).assert_renews();
}

#[test]
fn on_a_terminal_it_ends() {
    let playing = Playing::start(true, &SH, exec);
    // From a shell and from the kernel.
    playing.signal(Signal::SIGHUP);
    thread::sleep(Duration::from_millis(20));
    playing.signal(Signal::SIGHUP);
    playing.assert_ends();
}

#[test]
fn with_its_terminal_it_ends() {
    let mut playing = Playing::start(true, &SH, exec);
    drop(playing.master.take());
    playing.assert_ends();
}

/// The shell ends and the terminal does not.
#[test]
fn with_its_shell_it_ends() {
    let bash = [
        "bash",
        "--noprofile",
        "--norc",
        "-l",
        "-i",
        "-O",
        "huponexit",
        "-c",
    ];
    let playing = Playing::start(true, &bash, |words| format!("{words} & read; exit"));
    let master = File::from(playing.master.as_ref().unwrap().try_clone().unwrap());
    (&master).write_all(b"\n").unwrap();
    playing.assert_ends();
}
