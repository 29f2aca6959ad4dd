// SPDX-License-Identifier: MIT OR GPL-2.0

//! Data on standard output.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{anyhow, Error, Result};
use serde::{Serialize, Serializer};

/// Prints text.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::new(error),
            _ => anyhow!("cannot write to standard output: {error}"),
        })
}

/// Prints `value` as JSON on a line.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&json(value)?)
}

/// A path in JSON, which is text, whatever bytes it has.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// `value` as a line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string(value)?;
    text.push('\n');
    Ok(text)
}
