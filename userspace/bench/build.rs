// SPDX-License-Identifier: MIT OR GPL-2.0

//! Compiles the ring that this one goes back to.

fn main() {
    println!("cargo::rerun-if-changed=src/origin.cpp");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .warnings_into_errors(true)
        .file("src/origin.cpp")
        .compile("origin");
}
