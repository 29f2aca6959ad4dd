// SPDX-License-Identifier: GPL-2.0

//! When chunks go out: as the mixer says it, for the next application that opens the card.

use core::ffi::CStr;

use crate::abi::sync::AtomicU32;

/// The names of the [`Mode`]s, by their numbers.
pub const MODES: &[&CStr] = &[c"Clocked", c"Eager"];

/// When a chunk goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// When the card's clock has passed its last frame.
    Clocked = 0,
    /// When the application commits it, if there is room: the application cannot take it back.
    Eager = 1,
}

impl Mode {
    /// The mode of this number.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Clocked),
            1 => Some(Self::Eager),
            _ => None,
        }
    }

    const fn as_raw(self) -> u32 {
        // CAST: To the representation.
        self as u32
    }
}

/// What the mixer says.
pub struct Delivery {
    mode: AtomicU32,
}

impl Delivery {
    /// Begins with `mode`.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode: AtomicU32::new(mode.as_raw()),
        }
    }

    /// The mode for whoever opens the card now.
    pub fn mode(&self) -> Mode {
        // ORDERING: Relaxed, here and below: the value stands by itself. Partner: the store in `set`.
        Mode::from_number(self.mode.load_relaxed()).unwrap_or(Mode::Clocked)
    }

    /// Chooses the mode; returns whether it is another one.
    pub fn set(&self, mode: Mode) -> bool {
        let before = self.mode();
        // ORDERING: As above. Partner: the load in `mode`.
        self.mode.store_relaxed(mode.as_raw());
        before != mode
    }
}
