// SPDX-License-Identifier: MIT OR GPL-2.0

//! What may not be in the module, read off its object file.
//!
//! The object is the one before the final link: there the relocations still name what is called.
//! [`graph`] makes a graph of it, [`rules`] says what must be true of that.

pub mod graph;
pub mod rules;
