// SPDX-License-Identifier: MIT OR GPL-2.0

//! The consumers in C and C++ compile without a warning, with every compiler that there is; what they
//! do is tested on the live device.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles an example and returns where it is; `None` where there is no such compiler.
fn compile(compiler: &str, standard: &str, source: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{compiler}-{source}"));
    let output = Command::new(compiler)
        .arg(standard)
        .args(["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg("-I")
        .arg(root.join("abi"))
        .arg("-o")
        .arg(&program)
        .arg(root.join("userspace/examples").join(source))
        .output()
        .ok()?;
    assert!(
        output.status.success(),
        "{compiler} {standard} {source}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(program)
}

/// Compiles an example and has it say what is wrong.
fn check(compilers: [&str; 3], standard: &str, source: &str) {
    let programs: Vec<_> = compilers
        .iter()
        .filter_map(|compiler| compile(compiler, standard, source))
        .collect();
    assert!(!programs.is_empty(), "none of {compilers:?} is installed");
    for program in programs {
        for (argument, expected) in [
            (
                "/dev/rtshm-of-nobody",
                "/dev/rtshm-of-nobody: No such file or directory\n",
            ),
            (
                "/dev/null",
                "RTSHM_IOC_INFO: Inappropriate ioctl for device\n",
            ),
        ] {
            let output = Command::new(&program).arg(argument).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
            assert!(output.stdout.is_empty());
        }
        let output = Command::new(&program).arg("--nonsense").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("Usage: "));
    }
}

#[test]
fn consumer_in_c11() {
    check(["cc", "gcc", "clang"], "-std=c11", "consumer.c");
}

#[test]
fn consumer_in_cxx17() {
    check(["c++", "g++", "clang++"], "-std=c++17", "consumer.cc");
}
