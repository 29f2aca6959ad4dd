// SPDX-License-Identifier: MIT OR GPL-2.0

//! The live view as a job of a shell: stopped, in the background, and resized.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::libc;
use nix::pty::{openpty, Winsize};
use nix::sys::termios::{tcgetattr, LocalFlags};

use super::*;

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);

/// Says that a process shall be the view and no test.
const VIEW: &str = "RTSHM_TEST_VIEW";

/// A card that is always the same.
struct Still;

impl Watch for Still {
    fn look(&mut self) -> rtshm::Result<Snapshot> {
        Ok(playing(heard()))
    }

    fn patience(&self) -> Option<u64> {
        None
    }

    fn drain(&mut self) {}
}

/// What the shell runs.
#[test]
fn a_process_that_is_the_view() {
    if std::env::var_os(VIEW).is_some() {
        nix::unistd::alarm::set(600);
        show(&mut Still, Duration::from_millis(20)).unwrap();
        std::process::exit(7);
    }
}

/// By xterm's modes: the alternate screen.
const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";

/// What the view shows of its card.
const SHOWN: &str = "S16_LE";

struct Shell {
    child: Child,
    master: File,
    slave: OwnedFd,
    /// What came since it was last waited for.
    said: String,
}

impl Shell {
    fn start() -> Self {
        nix::unistd::alarm::set(600);
        let pty = openpty(Some(&window(80)), None).unwrap();
        for side in [&pty.master, &pty.slave] {
            fcntl(side, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).unwrap();
        }
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new("setsid")
            .args([
                "--ctty",
                "bash",
                "--noprofile",
                "--norc",
                "--noediting",
                "-i",
            ])
            .env("TERM", "xterm")
            .env("PS1", "")
            .env(VIEW, "1")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        Self {
            child,
            master: pty.master.into(),
            slave: pty.slave,
            said: String::new(),
        }
    }

    /// Runs the view. Signals are blocked in the test's other threads, too.
    fn run_view(&mut self, redirection: &str) {
        let blocked =
            ["INT", "TSTP", "CONT", "WINCH"].map(|name| format!("--block-signal={name} "));
        let exe = std::env::current_exe().unwrap();
        self.type_in(&format!(
            "env {}{} --exact monitor::tests::job::a_process_that_is_the_view --nocapture \
             {redirection}\n",
            blocked.concat(),
            exe.display()
        ));
        self.wait_for(TAKEN);
        self.wait_for(SHOWN);
    }

    fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is written, and forgets what was written up to then.
    fn wait_for(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.said.find(text) {
                self.said.drain(..at + text.len());
                return;
            }
            let count = self.master.read(&mut bytes).unwrap();
            self.said
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Has the shell say something, and checks that the view has written nothing before.
    fn assert_is_quiet(&mut self) {
        std::thread::sleep(Duration::from_millis(200));
        // As it is typed it is no answer.
        self.type_in("echo qui''et\n");
        let mut bytes = [0; 4096];
        while !self.said.contains("quiet") {
            let count = self.master.read(&mut bytes).unwrap();
            self.said
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        assert!(!self.said.contains(SHOWN), "{:?}", self.said);
        assert!(!self.said.contains(TAKEN), "{:?}", self.said);
        self.said.clear();
    }

    fn is_raw(&self) -> bool {
        let flags = tcgetattr(&self.slave).unwrap().local_flags;
        !flags.contains(LocalFlags::ICANON) && !flags.contains(LocalFlags::ISIG)
    }

    /// The view may have painted before it hears that it goes on, and takes the terminal anew then.
    fn wait_until_raw(&self, raw: bool) {
        while self.is_raw() != raw {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the shell by the status of what it ran last.
    fn finish(mut self) {
        self.wait_for(GIVEN_BACK);
        self.wait_until_raw(false);
        self.type_in("exit $?\n");
        // The view's own.
        assert_eq!(self.child.wait().unwrap().code(), Some(7));
    }
}

fn window(columns: u16) -> Winsize {
    Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

#[test]
fn it_stops_and_comes_back() {
    let mut shell = Shell::start();
    shell.run_view("");
    shell.wait_until_raw(true);
    for _ in 0..2 {
        shell.type_in("\x1a");
        shell.wait_for(GIVEN_BACK);
        shell.wait_for("Stopped");
        assert!(!shell.is_raw());
        shell.assert_is_quiet();
        shell.type_in("fg\n");
        shell.wait_for(TAKEN);
        shell.wait_for(SHOWN);
        shell.wait_until_raw(true);
    }
    shell.type_in("q");
    shell.finish();
}

/// Then the terminal is not raw, and sends the signal by itself.
#[test]
fn it_stops_without_keys() {
    let mut shell = Shell::start();
    shell.run_view("</dev/null");
    assert!(!shell.is_raw());
    shell.type_in("\x1a");
    shell.wait_for(GIVEN_BACK);
    shell.wait_for("Stopped");
    shell.assert_is_quiet();
    shell.type_in("fg\n");
    shell.wait_for(TAKEN);
    shell.wait_for(SHOWN);
    shell.type_in("\x03");
    shell.finish();
}

/// In the background it waits; the shell brings it back without a signal.
#[test]
fn it_leaves_the_terminal_alone_in_the_background() {
    for redirection in ["", "</dev/null"] {
        let mut shell = Shell::start();
        shell.run_view(redirection);
        shell.type_in("\x1a");
        shell.wait_for("Stopped");
        shell.type_in("bg\n");
        shell.assert_is_quiet();
        shell.type_in("fg\n");
        shell.wait_for(TAKEN);
        shell.wait_for(SHOWN);
        shell.type_in(if redirection.is_empty() { "q" } else { "\x03" });
        shell.finish();
    }
}

#[test]
fn it_is_painted_anew_when_its_size_changes() {
    for redirection in ["", "</dev/null"] {
        let mut shell = Shell::start();
        shell.run_view(redirection);
        shell.said.clear();
        // SAFETY: The descriptor is a terminal's, and the size is there until it returns.
        unsafe { set_window_size(shell.slave.as_raw_fd(), &window(120)) }.unwrap();
        // Erases all, by ECMA-48.
        shell.wait_for("\x1b[2J");
        shell.wait_for(SHOWN);
        shell.type_in(if redirection.is_empty() { "q" } else { "\x03" });
        shell.finish();
    }
}
