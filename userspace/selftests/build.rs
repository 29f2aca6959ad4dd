// SPDX-License-Identifier: MIT OR GPL-2.0

//! Compiles the consumers in C and C++, which the tests carry into the VM.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    compile("CC", "cc", "-std=c11", "consumer.c", "consumer-c");
    compile("CXX", "c++", "-std=c++17", "consumer.cc", "consumer-cxx");
}

fn compile(variable: &str, default: &str, standard: &str, source: &str, program: &str) {
    // PANIC: Cargo sets both.
    let package = env::var("CARGO_MANIFEST_DIR").expect("the package's directory");
    let out = env::var("OUT_DIR").expect("a directory for the result");
    let root = Path::new(&package).join("../..");
    let source = root.join("userspace/examples").join(source);
    let header = root.join("abi/rtshm.h");
    println!("cargo::rerun-if-env-changed={variable}");
    for file in [&source, &header] {
        println!("cargo::rerun-if-changed={}", file.display());
    }

    let compiler = env::var(variable).unwrap_or(default.to_owned());
    let status = Command::new(&compiler)
        .args([standard, "-O2", "-Wall", "-Wextra", "-Wpedantic"])
        .arg("-I")
        .arg(root.join("abi"))
        .arg("-o")
        .arg(Path::new(&out).join(program))
        .arg(&source)
        .status()
        .unwrap_or_else(|error| panic!("cannot run `{compiler}`: {error}; install gcc and g++"));
    assert!(status.success(), "{compiler} {}", source.display());
}
