// SPDX-License-Identifier: MIT OR GPL-2.0

//! The kernel's log.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use nix::libc;

/// Writes a line into the log, so that what follows can be told to belong to it.
pub(crate) fn say(text: &str) {
    // Nothing depends on it.
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        // A record is what one call writes.
        let _ = log.write_all(format!("<6>rtshm-selftest: {text}\n").as_bytes());
    }
}

/// Reads what the kernel says from now on.
pub(crate) struct Listener(File);

impl Listener {
    pub(crate) fn new() -> Result<Self> {
        let mut log = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("cannot open the kernel log")?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self(log))
    }

    /// The lines since the last call that contain `text`, without their prefixes.
    pub(crate) fn lines_with(&mut self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut record = [0; 8192];
        // Each read returns one record; an error means that there is none, or that some are gone.
        while let Ok(len) = self.0.read(&mut record) {
            let record = String::from_utf8_lossy(&record[..len]);
            let message = record.split_once(';').map_or("", |(_, message)| message);
            let line = message.lines().next().unwrap_or_default();
            if line.contains(text) {
                found.push(line.to_string());
            }
        }
        found
    }
}
