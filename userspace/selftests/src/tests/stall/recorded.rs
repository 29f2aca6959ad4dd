// SPDX-License-Identifier: MIT OR GPL-2.0

//! What was recorded, by the number in each frame.

use std::collections::BTreeSet;

use anyhow::{bail, ensure, Result};

/// The numbers of [`numbered`](crate::material::numbered) frames, 0 for silence.
fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|frame| u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]))
        .collect()
}

/// Checks that a recording is a part of what was played from `from` on, by number, up to its end where
/// it is silent in the end; silence may come before.
pub(super) fn check_recording(bytes: &[u8], played: &[u32], from: u64) -> Result<()> {
    let numbers = numbers(bytes);
    let silent = numbers.iter().take_while(|&&number| number == 0).count();
    let sound = &numbers[silent..];
    let after = sound
        .iter()
        .rev()
        .take_while(|&&number| number == 0)
        .count();
    let sound = &sound[..sound.len() - after];
    ensure!(sound.len() > 4_800, "{} frames of sound", sound.len());
    let starts: BTreeSet<usize> = (from as usize..played.len())
        .filter(|&at| played[at] == sound[0])
        .collect();
    let fits = |at: &usize| {
        let rest = &played[*at..];
        rest.starts_with(sound) && (after == 0 || rest.len() == sound.len())
    };
    if starts.iter().any(fits) {
        return Ok(());
    }
    let odd = sound
        .windows(2)
        .position(|pair| pair[1] != pair[0] + 1)
        .map(|at| (at, sound[at], sound[at + 1]));
    bail!(
        "{silent} silent frames, {} from {} on, {after} silent ones: nowhere in what was played from \
         {from} to {}; the first that is odd: {odd:?}",
        sound.len(),
        sound[0],
        played.len()
    );
}
