// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-object-gate OBJECT`: fails where the module's object file has what it may not have.

use std::process::ExitCode;

use anyhow::{bail, Context, Result};
use rtshm_object_gate::{graph::Graph, rules};

fn main() -> ExitCode {
    match check() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("object-gate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the object passes; says why not.
fn check() -> Result<bool> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [path] = &arguments[..] else {
        bail!("usage: rtshm-object-gate OBJECT");
    };
    let name = path.to_string_lossy();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let graph = Graph::read(&bytes).with_context(|| format!("cannot analyse {name}"))?;
    let verdict = rules::check(&graph);
    for complaint in &verdict.complaints {
        eprintln!("object-gate: {complaint}");
    }
    println!(
        "object-gate: {} functions, {} of them in atomic context from {} entries",
        graph.functions.len(),
        verdict.atomic,
        verdict.entries
    );
    Ok(verdict.complaints.is_empty())
}
