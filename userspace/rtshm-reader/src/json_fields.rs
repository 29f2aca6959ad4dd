// SPDX-License-Identifier: MIT OR GPL-2.0

//! The JSON's fields as they are documented, in `--help` and in `Documentation/reader.rst`, and as
//! they are.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{bench, cli, doctor, list, monitor, record, status, summary};

const BOOK: &str = include_str!("../../../Documentation/reader.rst");

/// Where the columns of its table end.
const NAMES: usize = 33;
const COMMANDS: usize = 65;

/// Each command with JSON, its help, and an object of it in which nothing is null that has fields.
fn commands() -> [(&'static str, String, Value); 7] {
    let status = cli::STATUS_JSON;
    [
        ("play", cli::PLAY_HELP.into(), summary::tests::json()),
        ("record", record::HELP.into(), record::summary_json()),
        (
            "monitor",
            format!(
                "{status}
{}",
                monitor::HELP
            ),
            monitor::tests::json(),
        ),
        ("status", status.into(), status::tests::json()),
        ("list", cli::LIST_JSON.into(), list::tests::json()),
        ("doctor", doctor::HELP.into(), doctor::tests::json()),
        ("bench", bench::HELP.into(), bench::report_json()),
    ]
}

/// The names of all fields, those of objects in them with a point between.
fn names(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = format!("{prefix}{name}");
                match value {
                    Value::Object(_) => names(value, &format!("{name}."), found),
                    Value::Array(all) if all.first().is_some_and(Value::is_object) => {
                        names(&all[0], &format!("{name}[]."), found);
                    }
                    _ => {}
                }
                found.insert(name);
            }
        }
        other => panic!("no object: {other}"),
    }
}

fn names_of(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    names(value, "", &mut found);
    found
}

/// What help says of them: names are at the beginning of lines that are indented by two.
fn names_in_help(help: &str) -> BTreeSet<String> {
    let mut is_list = false;
    let mut found = BTreeSet::new();
    for line in help.lines() {
        is_list = line.starts_with("Fields of the JSON") || is_list && !line.is_empty();
        let Some(row) = line
            .strip_prefix("  ")
            .filter(|row| is_list && !row.starts_with(' '))
        else {
            continue;
        };
        let names = row.split("  ").next().unwrap_or_default();
        found.extend(names.split(", ").map(String::from));
    }
    found
}

/// The table in the book: a field's name, the commands that have it, and what it is.
fn rows_of_the_book() -> Vec<(String, Vec<String>)> {
    let (_, text) = BOOK.split_once("\nJSON\n====\n").expect("a section");
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("====="))
        .skip(3);
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in lines.by_ref().take_while(|line| !line.starts_with("=====")) {
        // Where the first cell is empty, the others go on.
        let cell = |range: std::ops::Range<usize>| {
            let cell = line.get(range.start..range.end.min(line.len()));
            cell.unwrap_or_default().trim().to_string()
        };
        let commands = cell(NAMES..COMMANDS);
        match cell(0..NAMES).trim_matches('`') {
            "" => rows.last_mut().expect("a row").1.push_str(&commands),
            name => rows.push((name.to_string(), commands)),
        }
    }
    let split = |commands: String| {
        let commands = commands
            .split(',')
            .map(|command| command.trim().to_string());
        commands.collect()
    };
    rows.into_iter()
        .map(|(name, commands)| (name, split(commands)))
        .collect()
}

/// A path may have any bytes.
#[test]
fn paths_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::PathBuf::from(OsStr::from_bytes(b"/dev/\xff\"\n"));
    let summary = summary::Summary {
        rtshm: path,
        ..summary::Summary::default()
    };
    let text = crate::stdout::json(&summary).unwrap();
    assert!(
        text.contains("\"rtshm\":\"/dev/\u{fffd}\\\"\\n\""),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn help_names_every_field_and_no_others() {
    for (command, help, json) in commands() {
        let real = names_of(&json);
        let told = names_in_help(&help);
        let top: BTreeSet<_> = real
            .iter()
            .filter(|name| !name.contains('.'))
            .cloned()
            .collect();
        assert_eq!(told, top, "{command}");
        for name in real.iter().filter_map(|name| name.rsplit_once('.')) {
            let mut words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            assert!(words.any(|word| word == name.1), "{command}: {name:?}");
        }
    }
}

#[test]
fn the_book_names_every_field_and_no_others() {
    let rows = rows_of_the_book();
    let unique: BTreeSet<_> = rows.iter().map(|(name, _)| name).collect();
    assert_eq!(unique.len(), rows.len(), "a row for each name");
    for (command, _, json) in commands() {
        let told: BTreeSet<_> = rows
            .iter()
            .filter(|(_, commands)| commands.iter().any(|of| of == command))
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(told, names_of(&json), "{command}");
    }
    let known = commands().map(|(command, ..)| command);
    for (name, commands) in &rows {
        for command in commands {
            assert!(known.contains(&command.as_str()), "{name}: {command}");
        }
    }
}

/// That would be the node or the PCM: they are `rtshm` and `pcm`.
#[test]
fn no_field_is_called_a_device() {
    for (command, _, json) in commands() {
        let names = names_of(&json);
        assert!(!names.contains("device"), "{command}");
        assert_eq!(names.contains("rtshm"), command != "doctor", "{command}");
    }
}
