// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a consumer was told of a stream, added up.

use std::ops::Range;

use anyhow::{bail, ensure, Context, Result};
use rtshm::State;

use super::at_least;
use crate::material::Material;
use crate::tape::{summary, Change, Entry};
use crate::time::{frames, nanos};

/// A stream as its consumer was told it: each frame was delivered or is lost, in order and in time.
pub(super) struct Account {
    pub(super) channels: usize,
    pub(super) rate: u32,
    pub(super) changes: Vec<Change>,
    /// The first position of each chunk, and its samples.
    pub(super) chunks: Vec<(u64, Vec<u32>)>,
    pub(super) lost: Vec<Range<u64>>,
    pub(super) text: String,
}

/// Takes a tape apart into streams, each from its beginning.
pub(super) fn accounts(tape: &[Entry]) -> Result<Vec<Account>> {
    tape.split_inclusive(Entry::is_end)
        .map(|entries| Account::of(entries).with_context(|| summary(tape)))
        .collect()
}

/// The one stream of a tape.
pub(super) fn account(tape: &[Entry]) -> Result<Account> {
    let mut accounts = accounts(tape)?;
    let account = accounts.pop().context("nothing was told")?;
    ensure!(
        accounts.is_empty(),
        "more than one stream: {}",
        account.text
    );
    Ok(account)
}

impl Account {
    pub(super) fn of(entries: &[Entry]) -> Result<Self> {
        let Some(Entry::Format {
            format,
            position: 0,
            resync: false,
        }) = entries.first()
        else {
            bail!("it does not begin with its format");
        };
        let mut account = Self {
            channels: format.channels as usize,
            rate: format.rate,
            changes: Vec::new(),
            chunks: Vec::new(),
            lost: Vec::new(),
            text: summary(entries),
        };
        let mut position = 0;
        // Since when and from where the stream runs.
        let mut line = None;
        let mut last = 0;
        for entry in &entries[1..] {
            let (at, time, count) = match *entry {
                Entry::State {
                    state,
                    position: at,
                    time,
                    resync: false,
                } => {
                    account.changes.push(Change {
                        state,
                        position: at,
                        time,
                    });
                    match state {
                        State::Start | State::Resume => line = Some((at, time)),
                        State::Drain => {}
                        _ => line = None,
                    }
                    (at, time, 0)
                }
                Entry::Audio { chunk, ref samples } => {
                    ensure!(
                        samples.len() as u64 == chunk.frames * u64::from(format.channels),
                        "{chunk:?} with {} samples",
                        samples.len()
                    );
                    account.chunks.push((chunk.position, samples.clone()));
                    (chunk.position, chunk.time_stamp, chunk.frames)
                }
                Entry::Lost {
                    position: at,
                    frames,
                    time,
                    spans_streams: false,
                } => {
                    account.lost.push(at..at + frames);
                    (at, time, frames)
                }
                _ => bail!("{entry:?} where it cannot be"),
            };
            ensure!(at == position, "something at {at}, {position} is next");
            if count == 0 {
                ensure!(time >= last, "at {at} from {last} back to {time} ns");
            } else {
                let Some((from, since)) = line else {
                    bail!("sound at {at} while the stream stands still");
                };
                let due = since + nanos(at - from, format.rate);
                ensure!(time.abs_diff(due) <= 1, "at {at}: {time} ns, due at {due}");
                position += count;
            }
            last = time.max(last);
        }
        Ok(account)
    }

    pub(super) fn check_states(&self, expected: &[State]) -> Result<()> {
        let states: Vec<_> = self.changes.iter().map(|change| change.state).collect();
        ensure!(states == expected, "{states:?}: {}", self.text);
        Ok(())
    }

    /// Checks that it ended, by force, where its clock was, to the frame.
    pub(super) fn check_length(&self) -> Result<()> {
        let [start, stop] = self.changes[..] else {
            bail!("no start and stop: {}", self.text);
        };
        let due = frames(stop.time - start.time, self.rate);
        ensure!(stop.position == due, "{stop:?} instead of {due}");
        Ok(())
    }

    /// Checks what was delivered, all of it, against the samples of each frame.
    pub(super) fn check_sound<'a>(&self, expected: impl Fn(u64) -> &'a [u32]) -> Result<()> {
        for (first, samples) in &self.chunks {
            for (position, got) in (*first..).zip(samples.chunks_exact(self.channels)) {
                let expected = expected(position);
                ensure!(
                    got == expected,
                    "at {position} {got:x?} instead of {expected:x?}: {}",
                    self.text
                );
            }
        }
        Ok(())
    }

    /// Checks that this was delivered, all of it.
    pub(super) fn check_all_of(&self, material: &Material) -> Result<()> {
        ensure!(self.lost.is_empty(), "lost: {}", self.text);
        let end = self.changes.last().map_or(0, |change| change.position);
        ensure!(
            end == material.frames(),
            "{end} of {} frames",
            material.frames()
        );
        self.check_sound(|position| frame(material, position))
    }

    /// The first frame from `from` on that has these samples.
    pub(super) fn find(&self, from: u64, frame: &[u32]) -> Option<u64> {
        self.chunks
            .iter()
            .flat_map(|(first, samples)| (*first..).zip(samples.chunks_exact(self.channels)))
            .find(|(position, samples)| *position >= from && *samples == frame)
            .map(|(position, _)| position)
    }
}

/// A frame of the material's.
pub(super) fn frame(material: &Material, position: u64) -> &[u32] {
    // A frame beyond the end is none that was played.
    material.expected_at(position, 1).unwrap_or(&[])
}

/// Checks that the stall is one loss, of all but what the buffer holds: a tick delivers no more.
pub(super) fn check_one_loss(account: &Account, buffer: u64) -> Result<()> {
    ensure!(account.lost.len() == 1, "{}", account.text);
    let lost = account.lost[0].end - account.lost[0].start;
    ensure!(
        lost >= at_least(account.rate) - buffer,
        "{lost} frames lost: {}",
        account.text
    );
    Ok(())
}
