// SPDX-License-Identifier: MIT OR GPL-2.0

//! A terminal with a program in it: a pty, and what a user would see.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};

use anyhow::{bail, ensure, Context, Result};
use nix::fcntl::{fcntl, FcntlArg, FdFlag, OFlag};
use nix::libc;
use nix::pty::{openpty, Winsize};
use nix::sys::termios::{tcgetattr, LocalFlags};
use nix::unistd::write;

use crate::time::wait_for;

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);

/// A program in a terminal.
pub(crate) struct Terminal {
    master: File,
    /// Keeps the terminal there when the program has ended.
    slave: OwnedFd,
    child: Child,
    screen: Screen,
}

impl Terminal {
    /// Starts a program in a terminal of so many columns and rows.
    pub(crate) fn start(
        program: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
        size: (u16, u16),
    ) -> Result<Self> {
        let pty = openpty(Some(&window(size)), None)?;
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // The program has the terminal's side alone.
        for side in [&pty.master, &pty.slave] {
            fcntl(side, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        // It is the program's controlling terminal.
        let mut command = Command::new("setsid");
        command.args(["--ctty", program]).args(arguments);
        command
            .env("TERM", "xterm-256color")
            .envs(variables.iter().copied());
        command.stdin(pty.slave.try_clone()?);
        command.stdout(pty.slave.try_clone()?);
        command.stderr(pty.slave.try_clone()?);
        Ok(Self {
            master: pty.master.into(),
            slave: pty.slave,
            child: command.spawn().context("cannot start setsid")?,
            screen: Screen::new(size),
        })
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types something.
    pub(crate) fn type_in(&self, keys: &str) -> Result<()> {
        write(&self.master, keys.as_bytes())?;
        Ok(())
    }

    /// Makes it another size.
    pub(crate) fn resize(&mut self, size: (u16, u16)) -> Result<()> {
        // SAFETY: The descriptor is a terminal's, and the size is there until it returns.
        unsafe { set_window_size(self.slave.as_raw_fd(), &window(size)) }?;
        self.screen = Screen {
            cells: Screen::new(size).cells,
            ..std::mem::replace(&mut self.screen, Screen::new(size))
        };
        Ok(())
    }

    /// Waits until the screen satisfies; returns it.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        satisfies: impl Fn(&[String]) -> bool,
    ) -> Result<Vec<String>> {
        let found = wait_for(what, || {
            self.follow()?;
            let lines = self.screen.lines();
            Ok(satisfies(&lines).then_some(lines))
        });
        found.with_context(|| format!("on the screen:\n{}", self.screen.lines().join("\n")))
    }

    /// Takes the terminal away, and waits for the program's end.
    pub(crate) fn hang_up(mut self) -> Result<ExitStatus> {
        let null = File::open("/dev/null")?;
        self.slave = null.try_clone()?.into();
        self.master = null;
        wait_for("the program's end", || Ok(self.child.try_wait()?))
    }

    /// Whether colours were used.
    pub(crate) fn is_coloured(&self) -> bool {
        self.screen.coloured
    }

    /// Takes in what was written.
    fn follow(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        loop {
            match self.master.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(count) => self.screen.take(&bytes[..count])?,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the program's end; checks that the terminal is as it was, and returns what it shows.
    pub(crate) fn finish(&mut self) -> Result<(ExitStatus, Vec<String>)> {
        let status = wait_for("the program's end", || {
            self.follow()?;
            Ok(self.child.try_wait()?)
        })?;
        self.follow()?;
        let flags = tcgetattr(self.slave.as_fd())?.local_flags;
        ensure!(
            flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG),
            "the terminal is raw: {flags:?}"
        );
        ensure!(!self.screen.alternate, "the alternate screen is left on");
        ensure!(self.screen.cursor, "the cursor is hidden");
        ensure!(self.screen.wraps, "lines are cut off");
        Ok((status, self.screen.lines()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn window((columns, rows): (u16, u16)) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// What is on a screen, as far as ECMA-48 and xterm's modes are used.
struct Screen {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    alternate: bool,
    cursor: bool,
    /// Whether a line that is too long goes on in the next.
    wraps: bool,
    /// Bytes of a sequence or a character that is not whole.
    rest: Vec<u8>,
    /// Whether colours were used.
    coloured: bool,
}

impl Screen {
    fn new((columns, rows): (u16, u16)) -> Self {
        Self {
            cells: vec![vec![' '; columns.into()]; rows.into()],
            row: 0,
            column: 0,
            alternate: false,
            cursor: true,
            wraps: true,
            rest: Vec::new(),
            coloured: false,
        }
    }

    fn lines(&self) -> Vec<String> {
        let text = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_string();
        self.cells.iter().map(text).collect()
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&all) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => bail!("not UTF-8: {error}"),
        };
        let text = String::from_utf8(all[..whole].to_vec())?;
        let mut left = text.as_str();
        while let Some(next) = left.chars().next() {
            left = match next {
                '\x1b' => match self.sequence(left)? {
                    Some(left) => left,
                    None => break,
                },
                _ => {
                    self.print(next)?;
                    &left[next.len_utf8()..]
                }
            };
        }
        self.rest = [left.as_bytes(), &all[whole..]].concat();
        Ok(())
    }

    /// Obeys a sequence; returns what is behind it, or `None` where it is not whole.
    fn sequence<'a>(&mut self, text: &'a str) -> Result<Option<&'a str>> {
        let Some(body) = text.strip_prefix("\x1b[") else {
            ensure!(text == "\x1b", "not a control sequence: {text:?}");
            return Ok(None);
        };
        let Some(end) = body.find(|c: char| c.is_ascii_alphabetic()) else {
            return Ok(None);
        };
        let (arguments, function) = (&body[..end], &body[end..=end]);
        let number = |index: usize, default: usize| -> usize {
            let text = arguments.split(';').nth(index).unwrap_or_default();
            text.parse().unwrap_or(default)
        };
        match (function, arguments) {
            ("H", _) => {
                (self.row, self.column) = (number(0, 1) - 1, number(1, 1) - 1);
            }
            ("J", "2") => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            ("K", "" | "0") => {
                let row = self.cells.get_mut(self.row);
                row.into_iter().for_each(|row| row[self.column..].fill(' '));
            }
            ("m", _) => self.coloured |= arguments.starts_with("38;"),
            ("h" | "l", "?1049") => {
                // What was there before is not kept.
                self.cells.iter_mut().for_each(|row| row.fill(' '));
                (self.row, self.column) = (0, 0);
                self.alternate = function == "h";
            }
            ("h" | "l", "?25") => self.cursor = function == "h",
            ("h" | "l", "?7") => self.wraps = function == "h",
            // Updates at once.
            ("h" | "l", "?2026") => {}
            _ => bail!("an unknown control sequence: {arguments}{function}"),
        }
        Ok(Some(&body[end + 1..]))
    }

    fn print(&mut self, what: char) -> Result<()> {
        match what {
            '\n' => self.row += 1,
            '\r' => self.column = 0,
            _ => {
                let width = self.cells.first().map_or(0, Vec::len);
                if self.column == width && self.wraps {
                    (self.row, self.column) = (self.row + 1, 0);
                }
                let (row, column) = (self.row, self.column);
                let line = self.cells.get_mut(row);
                let cell = line.and_then(|line| line.get_mut(column));
                *cell
                    .with_context(|| format!("{what:?} beyond the screen at {column}, {row}"))? =
                    what;
                self.column += 1;
            }
        }
        Ok(())
    }
}
