// SPDX-License-Identifier: GPL-2.0

//! `module/feed.rs` with the contract's own `Writer` and `Reader` over real, twice-mapped memory.
//!
//! Every frame is another one, and every record has to account for the oldest that happened and was
//! not told: see [`ledger`]. On this stand scenes with records written out, random play, and the feed
//! behind the clock and the grid as the card has it.

mod card;
mod clocked;
mod eager;
mod ledger;
mod mixer;
mod random;
mod region;
mod rig;
mod scenes;
mod told;
mod traced;
