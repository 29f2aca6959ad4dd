// SPDX-License-Identifier: MIT OR GPL-2.0

//! What the command line does without a module.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::prelude::*;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, is_match, starts_with};

fn reader(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rtshm-reader").unwrap();
    command.args(arguments).env_remove("RTSHM_DEVICE");
    command
}

fn without_module() -> bool {
    !(0..8).any(|index| Path::new(&format!("/dev/rtshm{index}")).exists())
        && !Path::new("/dev/rtshm").exists()
}

/// One line, from us.
fn one_line() -> impl Predicate<str> {
    is_match(r"\Artshm-reader: [^\n]+\n\z").unwrap()
}

#[test]
fn without_a_device_it_says_how_to_get_one() {
    for command in [
        &["play"][..],
        &["status"],
        &["monitor", "--batch"],
        &["monitor", "--json"],
    ] {
        reader(command)
            .args(["--rtshm", "/dev/rtshm-of-nobody"])
            .assert()
            .code(3)
            .stdout(is_empty())
            .stderr(one_line())
            .stderr(starts_with("rtshm-reader: no /dev/rtshm-of-nobody: "));
    }
    if without_module() {
        for command in ["play", "status", "list"] {
            reader(&[command])
                .assert()
                .code(3)
                .stdout(is_empty())
                .stderr(
                    "rtshm-reader: no /dev/rtshm: load the module with `modprobe rtshm`; \
                     `rtshm-reader doctor` checks the rest\n",
                );
        }
        reader(&["list", "--json"]).assert().code(3).stdout("[]\n");
    }
}

#[test]
fn the_device_comes_from_the_environment_unless_it_is_given() {
    reader(&["status"])
        .env("RTSHM_DEVICE", "/dev/rtshm-from-environment")
        .assert()
        .code(3)
        .stderr(contains("no /dev/rtshm-from-environment"));
    reader(&["status", "--rtshm", "/dev/rtshm-given"])
        .env("RTSHM_DEVICE", "/dev/rtshm-from-environment")
        .assert()
        .code(3)
        .stderr(contains("no /dev/rtshm-given"));
}

#[test]
fn other_files_are_no_devices() {
    for path in ["/dev/null", "/etc/passwd", "/dev"] {
        for command in ["play", "status"] {
            reader(&[command, "--rtshm", path])
                .assert()
                .failure()
                .stdout(is_empty())
                .stderr(one_line());
        }
    }
    reader(&["play", "--rtshm", "/dev/null"])
        .assert()
        .code(3)
        .stderr("rtshm-reader: /dev/null is not an rtshm device: name one such as /dev/rtshm\n");
}

#[test]
fn wrong_usage_is_told_apart() {
    for arguments in [
        &[][..],
        &["sing"],
        &["play", "--latency", "20"],
        &["play", "--latency", "-1ms"],
        &["play", "--latency", "11s"],
        &["play", "--device"],
        &["play", "--realtime", "100"],
        &["status", "--quiet", "--verbose"],
        &["status", "more"],
        &["record"],
        &["record", "song"],
        &["record", "song.mp3"],
        &["record", "-", "--json"],
        &["record", "song.wav", "--duration", "0s"],
        &["record", "song.wav", "--duration", "10"],
        &["doctor", "more"],
        &["bench", "--rate", "7999"],
        &["bench", "--channels", "65"],
        &["bench", "--period", "15"],
        &["bench", "--duration", "10"],
        &["bench", "--channels", "64", "--period", "16384"],
        &["monitor"],
        &["monitor", "--batch", "--interval", "5ms"],
        &["monitor", "--batch", "--interval", "2h"],
        &["monitor", "--batch", "--count", "0"],
    ] {
        reader(arguments).assert().code(2).stdout(is_empty());
    }
    reader(&["play", "--latency", "20"])
        .assert()
        .stderr(contains("write a number and us, ms or s, such as 20ms"));
    reader(&["monitor"])
        .assert()
        .stderr(contains("no terminal: use --batch or --json"));
}

/// Whoever tells it, the parser or a command: how the command is used, and where more is said.
#[test]
fn wrong_usage_is_of_the_command() {
    for (arguments, usage) in [
        (&["sing"][..], "[OPTIONS] <COMMAND>"),
        (&["--rtshm", "play", "sing"], "[OPTIONS] <COMMAND>"),
        (&["--verbose", "--quiet", "play"], "play [OPTIONS]"),
        (&["--rtshm", "status", "play", "more"], "play [OPTIONS]"),
        (&["play", "--latency", "20"], "play [OPTIONS]"),
        (&["play", "--sync", "maybe"], "play [OPTIONS]"),
        (&["play", "--device"], "play [OPTIONS]"),
        (&["record"], "record [OPTIONS] <FILE>"),
        (&["record", "song"], "record [OPTIONS] <FILE>"),
        (&["record", "-", "--json"], "record [OPTIONS] <FILE>"),
        (
            &["record", "a.wav", "--gaps", "no"],
            "record [OPTIONS] <FILE>",
        ),
        (&["monitor"], "monitor [OPTIONS]"),
        (&["monitor", "--count", "3"], "monitor [OPTIONS]"),
        (&["monitor", "--interval", "5ms"], "monitor [OPTIONS]"),
        (&["status", "--color"], "status [OPTIONS]"),
        (&["list", "more"], "list [OPTIONS]"),
        (&["doctor", "more"], "doctor [OPTIONS]"),
        (
            &["bench", "--channels", "64", "--period", "16384"],
            "bench [OPTIONS]",
        ),
        (&["completions", "sh"], "completions [OPTIONS] <SHELL>"),
        (&["man", "sing"], "man [OPTIONS] [NAME]"),
        (&["man", "play", "--dir", "."], "man [OPTIONS] [NAME]"),
    ] {
        let told = reader(arguments).assert().code(2).stdout(is_empty());
        let told = String::from_utf8_lossy(&told.get_output().stderr).into_owned();
        let command = usage
            .split(' ')
            .next()
            .filter(|word| !word.starts_with('['));
        let command = command.map_or(String::new(), |word| format!(" {word}"));
        let end = format!(
            "\n\nUsage: rtshm-reader {usage}\n\n\
             For more information, try 'rtshm-reader{command} --help'.\n"
        );
        assert!(told.starts_with("error: "), "{arguments:?}: {told}");
        assert!(told.ends_with(&end), "{arguments:?}: {told}");
        assert_eq!(told.matches("Usage:").count(), 1, "{told}");
    }
}

#[test]
fn help_names_the_exit_codes_and_the_fields() {
    let help = reader(&["--help"]).assert().success().stderr(is_empty());
    for code in [
        "0    done",
        "1    another error",
        "2    wrong usage",
        "3    no such device",
        "4    module and program",
        "5    the device is in use",
        "6    the sound card",
        "7    permission denied",
        "8    the recording",
        "9    doctor",
        "130  ",
    ] {
        let help = String::from_utf8_lossy(&help.get_output().stdout);
        assert!(help.contains(code), "{code}");
    }
    reader(&["play", "--help"])
        .assert()
        .success()
        .stdout(contains("ring_fill_max_bytes"));
    reader(&["record", "--help"])
        .assert()
        .success()
        .stdout(contains("silence_frames"));
    reader(&["monitor", "--help"])
        .assert()
        .success()
        .stdout(contains("meters_missing").and(contains("WAKE/S")));
}

/// Before the device is opened: nothing is recorded in vain.
#[test]
fn a_recording_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let song = dir.path().join("song.wav");
    std::fs::write(&song, "precious").unwrap();
    let song = song.to_str().unwrap();
    let record = |arguments: &[&str]| {
        let device = ["--rtshm", "/dev/rtshm-of-nobody", "record"];
        reader(&[&device, arguments].concat()).assert()
    };
    record(&[song])
        .code(8)
        .stdout(is_empty())
        .stderr(one_line())
        .stderr(contains("song.wav: it exists; --force overwrites"));
    record(&["/nowhere/song.wav"])
        .code(8)
        .stderr("rtshm-reader: cannot write /nowhere/song.wav: No such file or directory\n");
    record(&[song, "--force"]).code(3);
    record(&["-"]).code(3).stdout(is_empty());
    assert_eq!(std::fs::read(song).unwrap(), b"precious");
}

/// Samples are nothing to look at, and may be anything to a terminal.
#[test]
fn no_sound_is_written_to_a_terminal() {
    let pty = nix::pty::openpty(None, None).unwrap();
    reader(&["record", "-"])
        .stdout(Stdio::from(pty.slave))
        .assert()
        .code(2)
        .stderr(contains("standard output is a terminal: name a file"));
}

#[test]
fn manual_pages_are_clean() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    reader(&["man", "--dir", path])
        .assert()
        .success()
        .stdout(is_empty())
        .stderr(is_empty());
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Documentation/rtshm.4");
    let mut pages = vec![Path::new(driver).to_path_buf()];
    for command in [
        "", "-play", "-record", "-monitor", "-status", "-list", "-doctor", "-bench",
    ] {
        pages.push(dir.path().join(format!("rtshm-reader{command}.1")));
    }
    for page in &pages {
        assert!(page.exists(), "{}", page.display());
        let checked = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-z"])
            .arg(page)
            .output();
        // Not on every machine.
        if let Ok(checked) = checked {
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success() && said.is_empty(), "{said}");
        }
    }
    let page = std::fs::read_to_string(dir.path().join("rtshm-reader-record.1")).unwrap();
    assert!(page.contains("duration") && page.contains("silence_frames"));
}

#[test]
fn a_manual_page_is_called_by_its_name() {
    let page = |arguments: &[&str]| {
        let told = reader(&["man"]).args(arguments).assert().success();
        String::from_utf8_lossy(&told.get_output().stdout).into_owned()
    };
    for command in [
        "play", "record", "monitor", "status", "list", "doctor", "bench",
    ] {
        let text = page(&[command]);
        let title = format!(".TH rtshm-reader-{command} 1 ");
        assert!(text.contains(&title), "{command}");
        assert_eq!(page(&[&format!("rtshm-reader-{command}")]), text);
    }
    assert!(page(&["rtshm-reader"]).contains(".TH rtshm-reader 1 "));
    assert_eq!(page(&["rtshm-reader"]), page(&[]));
    for wrong in [
        "sing",
        "",
        "man",
        "rtshm-reader-",
        "rtshm-reader-rtshm-reader",
    ] {
        reader(&["man", wrong])
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains(format!("no page '{wrong}'")))
            .stderr(contains(
                "rtshm-reader, play, record, monitor, status, list, doctor, bench",
            ));
    }
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = reader(&["completions", shell]).assert().success();
        let script = String::from_utf8_lossy(&script.get_output().stdout).into_owned();
        for word in [
            "play", "record", "monitor", "status", "list", "doctor", "bench", "duration",
            "interval", "latency",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    reader(&["completions", "sh"]).assert().code(2);
}

#[test]
fn bash_completes_options_of_commands() {
    const ASK: &str = r#"
        eval "$("$0" completions bash)"
        ask() {
            COMP_WORDS=(rtshm-reader "$@") COMP_CWORD=$# COMPREPLY=()
            _rtshm__reader rtshm-reader "${@: -1}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "$* ${COMPREPLY[*]}"
        }
        ask re
        ask play --lat
        ask monitor --
        ask completions z
    "#;
    let program = env!("CARGO_BIN_EXE_rtshm-reader");
    Command::new("bash")
        .args(["--norc", "-c", ASK, program])
        .assert()
        .success()
        .stdout(contains("re record\n"))
        .stdout(contains("play --lat --latency\n"))
        .stdout(contains(" --interval "))
        .stdout(contains("completions z zsh\n"));
}

/// The writing end of a pipe that nobody reads.
fn broken_pipe() -> Stdio {
    let (read, write) = nix::unistd::pipe().unwrap();
    drop(read);
    write.into()
}

#[test]
fn a_closed_standard_output_is_no_error() {
    reader(&["man", "play"])
        .stdout(broken_pipe())
        .assert()
        .success()
        .stderr(is_empty());
}

/// What failed has failed, whoever reads about it.
#[test]
fn a_closed_standard_output_hides_no_failure() {
    if without_module() {
        reader(&["doctor"]).stdout(broken_pipe()).assert().code(9);
        reader(&["doctor", "--json"])
            .stdout(broken_pipe())
            .assert()
            .code(9);
        reader(&["list", "--json"])
            .stdout(broken_pipe())
            .assert()
            .code(3);
    }
}

#[test]
fn a_closed_standard_error_changes_nothing() {
    reader(&["status", "--rtshm", "/dev/rtshm-of-nobody"])
        .stderr(broken_pipe())
        .assert()
        .code(3);
}

#[test]
fn a_full_disk_is_told() {
    reader(&["man", "play"])
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .assert()
        .code(1)
        .stderr(contains("cannot write to standard output: "));
}
