// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a worker did last, in a file that outlives it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::Result;
use nix::errno::Errno;

/// Where the journals are.
const DIRECTORY: &str = "/run/rtshm-storm";

/// Entries that are kept, and bytes in each.
const ENTRIES: u64 = 24;
const WIDTH: usize = 120;

/// Actions that can be counted, in front of the entries: a pair of numbers each.
const ACTIONS: u64 = 64;
const COUNTS: u64 = 8;
const START: u64 = COUNTS + ACTIONS * 16;

/// The journal of one worker.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    steps: u64,
    text: String,
}

/// How often an action went well, and how often it failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) good: u64,
    pub(crate) bad: u64,
}

fn path(worker: &str) -> PathBuf {
    PathBuf::from(DIRECTORY).join(worker)
}

impl Journal {
    /// Makes the journals of these workers, empty.
    pub(crate) fn create(workers: &[String]) -> Result<()> {
        fs::create_dir_all(DIRECTORY)?;
        for worker in workers {
            fs::write(path(worker), [0; START as usize])?;
        }
        Ok(())
    }

    /// Opens the journal of a worker, to read it or to go on with it.
    pub(crate) fn open(worker: &str) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path(worker))?;
        let mut journal = Self {
            file,
            steps: 0,
            text: String::new(),
        };
        journal.steps = journal.number(0);
        Ok(journal)
    }

    fn number(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        // A file that is too short counts as empty.
        let _ = self.file.read_exact_at(&mut bytes, offset);
        u64::from_le_bytes(bytes)
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        // A journal that cannot be written is seen to be empty when it is read.
        let _ = self.file.write_all_at(bytes, offset);
    }

    fn put_text(&self) {
        let mut line: Vec<u8> = self.text.bytes().take(WIDTH - 1).collect();
        line.resize(WIDTH - 1, b' ');
        line.push(b'\n');
        self.put(START + self.steps % ENTRIES * WIDTH as u64, &line);
    }

    /// An action begins.
    pub(crate) fn begin(&mut self, round: u64, name: &str) {
        self.steps += 1;
        self.text = format!("round {round}: {name}");
        self.put_text();
        self.put(0, &self.steps.to_le_bytes());
    }

    /// What the action is done with.
    pub(crate) fn detail(&mut self, text: &str) {
        self.text.push(' ');
        self.text.push_str(text);
        self.put_text();
    }

    /// The action, the `index`th of its worker's, has ended.
    pub(crate) fn end(&mut self, index: usize, result: Result<(), Errno>) {
        match result {
            Ok(()) => self.text.push_str(" ok"),
            Err(error) => self.text.push_str(&format!(" {error:?}")),
        }
        self.put_text();
        let place = COUNTS + index as u64 * 16 + if result.is_ok() { 0 } else { 8 };
        self.put(place, &(self.number(place) + 1).to_le_bytes());
    }

    /// Actions begun so far, by whoever writes the journal.
    pub(crate) fn progress(&self) -> u64 {
        self.number(0)
    }

    /// How often the `index`th action was done.
    pub(crate) fn count(&self, index: usize) -> Count {
        let place = COUNTS + index as u64 * 16;
        Count {
            good: self.number(place),
            bad: self.number(place + 8),
        }
    }

    /// The last actions, in order.
    pub(crate) fn last(&self) -> Vec<String> {
        let steps = self.progress();
        let mut line = [0; WIDTH];
        let mut lines = Vec::new();
        for step in steps.saturating_sub(ENTRIES - 1).max(1)..=steps {
            let place = START + step % ENTRIES * WIDTH as u64;
            if self.file.read_exact_at(&mut line, place).is_ok() {
                lines.push(String::from_utf8_lossy(&line).trim_end().to_string());
            }
        }
        lines
    }
}
