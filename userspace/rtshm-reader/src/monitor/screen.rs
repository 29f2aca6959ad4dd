// SPDX-License-Identifier: MIT OR GPL-2.0

//! The terminal: taken over, painted, and given back whatever happens.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::panic;

use anyhow::{anyhow, Result};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{cursor, execute, queue};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::view::{Canvas, Line, Paint};

/// A terminal that is ours until this is dropped, but while others have it: a shell that has stopped
/// us, or has us in the background.
pub(super) struct Screen {
    unicode: bool,
    is_taken: bool,
    painting: Painting,
}

/// What is on a screen.
struct Painting {
    colour: bool,
    canvas: Canvas,
    lines: Vec<Line>,
}

/// Whether standard output can be painted on.
pub(super) fn is_there() -> bool {
    let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && !is_dumb
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn enter() -> Result<Self> {
        let said = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            leave();
            said(panic);
        }));
        let mut screen = Self {
            unicode: is_utf8(|name| env::var(name).ok()),
            is_taken: false,
            // https://no-color.org: whatever its value.
            painting: Painting::new(env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())),
        };
        screen.take_back()?;
        Ok(screen)
    }

    /// Whether the terminal is ours now.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// What there is to paint on.
    pub(super) fn canvas(&self) -> Canvas {
        // One whose size is not known is taken for an old one.
        let (columns, rows) = match terminal::size() {
            Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
            _ => (80, 24),
        };
        Canvas {
            columns: columns.into(),
            rows: rows.into(),
            unicode: self.unicode,
        }
    }

    /// Takes the terminal over, also after somebody else has had it; not in the background, where
    /// that would stop us, or paint over what is there.
    pub(super) fn take_back(&mut self) -> Result<()> {
        if !is_foreground() {
            return Ok(());
        }
        self.painting = Painting::new(self.painting.colour);
        // Or it would be taken for raw still, whatever a shell has made of it.
        if io::stdin().is_terminal() {
            terminal::disable_raw_mode()?;
        }
        take()?;
        self.is_taken = true;
        Ok(())
    }

    /// Gives the terminal back.
    pub(super) fn give_back(&mut self) {
        if std::mem::take(&mut self.is_taken) {
            leave();
        }
    }

    /// Shows these lines, made for this canvas, where the terminal is ours; what is on the screen
    /// already is left alone.
    pub(super) fn paint(&mut self, lines: Vec<Line>, canvas: Canvas) -> Result<()> {
        if !self.is_taken {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.painting
            .change(&mut bytes, lines, canvas)
            .and_then(|()| match bytes.as_slice() {
                [] => Ok(()),
                bytes => show(bytes),
            })
            .map_err(|error| anyhow!("cannot write to the terminal: {error}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Painting {
    /// Of a screen with anything on it.
    fn new(colour: bool) -> Self {
        Self {
            colour,
            canvas: Canvas {
                columns: 0,
                rows: 0,
                unicode: false,
            },
            lines: Vec::new(),
        }
    }

    /// Composes what makes these lines of what is there.
    fn change(&mut self, bytes: &mut Vec<u8>, lines: Vec<Line>, canvas: Canvas) -> io::Result<()> {
        if canvas != self.canvas {
            queue!(bytes, Clear(ClearType::All))?;
            self.lines.clear();
        }
        let before = std::mem::take(&mut self.lines);
        let none = Line::default();
        for row in 0..lines.len().max(before.len()) {
            let line = lines.get(row).unwrap_or(&none);
            if before.get(row) == Some(line) {
                continue;
            }
            queue!(
                bytes,
                cursor::MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX))
            )?;
            for (paint, text) in &line.0 {
                self.brush(bytes, *paint)?;
                queue!(bytes, Print(text))?;
                self.rest(bytes)?;
            }
            queue!(bytes, Clear(ClearType::UntilNewLine))?;
        }
        self.lines = lines;
        self.canvas = canvas;
        Ok(())
    }

    fn brush(&self, bytes: &mut Vec<u8>, paint: Paint) -> io::Result<()> {
        let colour = match paint {
            Paint::Plain => return Ok(()),
            // These are no colours.
            Paint::Title => return queue!(bytes, SetAttribute(Attribute::Bold)),
            Paint::Label => return queue!(bytes, SetAttribute(Attribute::Dim)),
            Paint::Good => Color::DarkGreen,
            Paint::Warning => Color::DarkYellow,
            Paint::Alarm => Color::DarkRed,
        };
        if self.colour {
            queue!(bytes, SetForegroundColor(colour))?;
        }
        Ok(())
    }

    fn rest(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        queue!(bytes, SetAttribute(Attribute::Reset))?;
        if self.colour {
            queue!(bytes, ResetColor)?;
        }
        Ok(())
    }
}

/// Whether the terminal's foreground is ours, as far as it has one.
fn is_foreground() -> bool {
    tcgetpgrp(io::stdout()).map_or(true, |group| group == getpgrp())
}

fn take() -> Result<()> {
    let taken = || {
        // Keys are only read from there.
        if io::stdin().is_terminal() {
            terminal::enable_raw_mode()?;
        }
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            DisableLineWrap,
            cursor::Hide
        )
    };
    taken().map_err(|error: io::Error| {
        leave();
        anyhow!("cannot set up the terminal: {error}: use --batch")
    })
}

/// Gives the terminal back as it was.
fn leave() {
    // It may be gone.
    let _ = execute!(
        io::stdout(),
        cursor::Show,
        EnableLineWrap,
        LeaveAlternateScreen
    );
    let _ = terminal::disable_raw_mode();
}

/// All at once, so that nobody sees half of it.
fn show(bytes: &[u8]) -> io::Result<()> {
    let mut all = Vec::with_capacity(bytes.len() + 32);
    queue!(all, BeginSynchronizedUpdate)?;
    all.extend_from_slice(bytes);
    queue!(all, EndSynchronizedUpdate)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&all)?;
    stdout.flush()
}

/// Whether the locale is one of UTF-8, by the first of its variables that is set.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_is_the_locale() {
        let is_utf8 = |all: &[(&str, &str)]| {
            is_utf8(|name| {
                let found = all.iter().find(|(other, _)| *other == name)?;
                Some(found.1.to_string())
            })
        };
        assert!(is_utf8(&[("LANG", "en_GB.UTF-8")]));
        assert!(is_utf8(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]));
        assert!(!is_utf8(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(!is_utf8(&[("LANG", "de_DE.ISO-8859-1")]));
        assert!(!is_utf8(&[]));
    }

    const CANVAS: Canvas = Canvas {
        columns: 80,
        rows: 24,
        unicode: true,
    };

    /// Alarming lines that take the place of these.
    fn change(colour: bool, from: &[&str], to: &[&str], canvas: Canvas) -> String {
        let painted = |lines: &[&str]| {
            let line = |text: &&str| Line(vec![(Paint::Alarm, text.to_string())]);
            lines.iter().map(line).collect()
        };
        let mut painting = Painting::new(colour);
        painting
            .change(&mut Vec::new(), painted(from), CANVAS)
            .unwrap();
        let mut bytes = Vec::new();
        painting.change(&mut bytes, painted(to), canvas).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// By ECMA-48: CSI row ; column H goes there, CSI K erases to the end of the line, CSI 2 J all.
    #[test]
    fn only_what_has_changed_is_painted() {
        let before = ["a", "b", "c"];
        assert_eq!(change(false, &before, &before, CANVAS), "");
        let changed = change(false, &before, &["a", "B"], CANVAS);
        assert_eq!(changed, "\x1b[2;1HB\x1b[0m\x1b[K\x1b[3;1H\x1b[K");
        let wider = Canvas {
            columns: 81,
            ..CANVAS
        };
        let resized = change(false, &before, &before, wider);
        assert!(resized.starts_with("\x1b[2J\x1b[1;1Ha"), "{resized:?}");
    }

    /// CSI 38;5;1 m is the second of the terminal's colours, red.
    #[test]
    fn colours_are_optional() {
        assert!(change(true, &[], &["a"], CANVAS).contains("\x1b[38;5;1ma"));
        assert!(!change(false, &[], &["a"], CANVAS).contains("38;5"));
    }
}
