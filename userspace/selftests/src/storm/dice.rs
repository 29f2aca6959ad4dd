// SPDX-License-Identifier: MIT OR GPL-2.0

//! Chance that can be had again.

/// A source of numbers that follow from its seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The numbers of one round of one worker; other rounds and workers do not change them.
    pub(crate) fn new(seed: u64, worker: &str, round: u64) -> Self {
        let mut dice = Self(seed);
        for part in worker.bytes().map(u64::from).chain([round]) {
            dice.0 ^= part;
            dice.0 = dice.next();
        }
        dice
    }

    /// Any 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `min` to `max`.
    pub(crate) fn within(&mut self, min: u64, max: u64) -> u64 {
        match max.wrapping_sub(min).wrapping_add(1) {
            0 => self.next(),
            count => min.wrapping_add(self.below(count)),
        }
    }

    /// Whether a chance of one in `times` comes true.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// A number that a careless program does not expect: edges of types, of pages, of `near`, or any.
    pub(crate) fn hostile(&mut self, near: u64) -> u64 {
        let base = match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => u64::from(u32::MAX),
            4 => i64::MAX as u64,
            5 => self.next(),
            _ => near,
        };
        match self.below(4) {
            0 => base,
            1 => base.wrapping_add(self.below(9)).wrapping_sub(4),
            2 => base.wrapping_add(4096),
            _ => base.wrapping_sub(4096),
        }
    }
}
