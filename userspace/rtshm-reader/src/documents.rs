// SPDX-License-Identifier: MIT OR GPL-2.0

//! Manual pages and completions, from the command line's own definition.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::{self, Cli};
use crate::stdout;

#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// Shell to complete in
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManOptions {
    /// Page to print, such as play; by default the program's own
    #[arg(value_name = "NAME", conflicts_with = "dir")]
    page: Option<String>,

    /// Write a page for the program and one for each command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(options: &CompletionsOptions) -> Result<()> {
    let mut bytes = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), NAME, &mut bytes);
    let mut script = String::from_utf8(bytes)?;
    if options.shell == Shell::Bash {
        // A hyphen in the program's name makes it look for commands under another name than the
        // one that it gives them: github.com/clap-rs/clap/issues/6421.
        script = script.replace("rtshm__subcmd__reader", "rtshm__reader");
    }
    stdout::print(&script)
}

pub(crate) fn man(options: &ManOptions) -> Result<()> {
    let pages = pages()?;
    if let Some(dir) = &options.dir {
        return pages.iter().try_for_each(|(name, text)| {
            let path = dir.join(format!("{name}.1"));
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        });
    }
    let wanted = options.page.as_deref().unwrap_or(NAME);
    let found = pages
        .iter()
        .find(|(name, _)| name == wanted || short(name) == wanted);
    let (_, text) = found.unwrap_or_else(|| {
        let names: Vec<_> = pages.iter().map(|(name, _)| short(name)).collect();
        let text = format!("no page '{wanted}': there are {}", names.join(", "));
        cli::refuse(&cli::wrong_usage(ErrorKind::InvalidValue, text))
    });
    stdout::print(text)
}

/// The name of a command's page without the program's.
fn short(name: &str) -> &str {
    name.strip_prefix("rtshm-reader-").unwrap_or(name)
}

const NAME: &str = "rtshm-reader";

/// The pages' names and text.
fn pages() -> Result<Vec<(String, String)>> {
    // Gives the commands what is global, too.
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let commands: Vec<_> = program
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| (format!("{NAME}-{}", command.get_name()), command.clone()))
        .collect();
    let all = [(NAME.to_string(), program)].into_iter().chain(commands);
    all.map(|(name, command)| Ok((name, page(command)?)))
        .collect()
}

fn page(command: Command) -> Result<String> {
    let notes = command.get_after_help().map(ToString::to_string);
    let has_commands = command.has_subcommands();
    let name = command.get_display_name().unwrap_or(NAME).to_string();
    let man = Man::new(command);
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    if has_commands {
        man.render_subcommands_section(&mut bytes)?;
    }
    // Without a date clap's title has the others in its place.
    let version = env!("CARGO_PKG_VERSION");
    let title = format!(".TH {name} 1 \"\" \"{NAME} {version}\" \"User Commands\"");
    let mut text = String::new();
    for line in String::from_utf8(bytes)?.lines() {
        text.push_str(if line.starts_with(".TH ") {
            &title
        } else {
            line
        });
        text.push('\n');
    }
    text.push_str(&notes_sections(&notes.unwrap_or_default()));
    if has_commands {
        text.push_str(ENVIRONMENT);
    }
    text.push_str(".SH \"SEE ALSO\"\n");
    text.push_str(if has_commands {
        ".BR rtshm (4),\n.BR kernel\\-rust\\-prep (8)\n"
    } else {
        ".BR rtshm\\-reader (1),\n.BR rtshm (4)\n"
    });
    Ok(text)
}

/// The heading of the exit codes in the help, which have a section of their own in a page.
const EXIT_CODES: &str = "Exit codes:";

const ENVIRONMENT: &str = "\
.SH ENVIRONMENT
.TP
.B RTSHM_DEVICE
Device to read from, where \\fB\\-\\-rtshm\\fR is not given.
";

/// What the help says behind the options: paragraphs, and tables, whose lines are indented.
fn notes_sections(notes: &str) -> String {
    let mut text = String::new();
    let mut in_table = false;
    if !notes.starts_with(EXIT_CODES) {
        text.push_str(".SH NOTES\n");
    }
    for line in notes.lines() {
        let is_row = line.starts_with(' ');
        if is_row != in_table && !line.is_empty() {
            text.push_str(if is_row { ".nf\n" } else { ".fi\n" });
            in_table = is_row;
        }
        match line {
            "" => text.push_str(".PP\n"),
            EXIT_CODES => text.push_str(".SH \"EXIT STATUS\"\n"),
            _ => {
                // Neither a request nor an escape.
                let line = line.replace('\\', "\\e").replace('-', "\\-");
                text.push_str("\\&");
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
    if in_table {
        text.push_str(".fi\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_page() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "", "-play", "-record", "-monitor", "-status", "-list", "-doctor", "-bench",
        ];
        assert_eq!(names, expected.map(|command| format!("{NAME}{command}")));
    }

    #[test]
    fn tables_keep_their_lines() {
        assert_eq!(
            notes_sections("Text\n  a  1\n  .b -2\n\nmore \\"),
            ".SH NOTES\n\\&Text\n.nf\n\\&  a  1\n\\&  .b \\-2\n.PP\n.fi\n\\&more \\e\n"
        );
    }
}
