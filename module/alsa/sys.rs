// SPDX-License-Identifier: GPL-2.0

//! ALSA's C declarations, made by bindgen at build time; see `module/Kbuild`.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    clippy::as_underscore,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unnameable_test_items,
    unsafe_op_in_unsafe_fn
)]

use kernel::{
    bindings::*,
    ffi, //
};

include!(concat!(env!("RTSHM_GENERATED"), "/snd_bindings.rs"));
