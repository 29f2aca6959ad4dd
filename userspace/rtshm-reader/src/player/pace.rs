// SPDX-License-Identifier: MIT OR GPL-2.0

//! The player's pace: how the virtual card and the sink are kept together.

use rtshm::{Chunk, Consumer};

use super::{Phase, Player};
use crate::cli::SyncMode;
use crate::sink::{Opener, Sink};
use crate::sync::{Means, Sync};

impl<O: Opener> Player<O> {
    /// Keeps the two cards together in this way.
    pub(crate) fn synced(mut self, mode: SyncMode) -> Self {
        self.sync = (mode != SyncMode::None).then(Sync::new);
        self.summary.sync = mode;
        self
    }

    /// Sees where the sink stands, and has the virtual card go as fast.
    pub(super) fn keep_pace(&mut self, consumer: &mut Consumer, now: u64) {
        let (Some(sync), Some(open)) = (&mut self.sync, &mut self.sink) else {
            return;
        };
        if self.phase != Phase::Playing || !self.active || self.late {
            return;
        }
        let Some(reading) = open.sink.reading() else {
            return;
        };
        let was_locked = sync.card_ppm().is_some();
        let means = sync.see(reading, self.owed, consumer, now);
        self.summary.card_ppm = sync.card_ppm().or(self.summary.card_ppm);
        self.summary.sync_error_max_frames = sync.error_max();
        if let (false, Some(ppm)) = (was_locked, sync.card_ppm()) {
            self.notes.detail(format_args!(
                "the card's clock is {ppm:+.2} ppm off nominal"
            ));
        }
        if means == Means::Refused && !self.refused {
            self.refused = true;
            self.notes.note(format_args!(
                "the virtual card's clock does not follow: its mixer's Clock Source is not Consumer"
            ));
        }
    }

    /// Takes note of what a chunk says of the virtual card's clock.
    pub(super) fn note_time(&mut self, chunk: &Chunk<'_>) {
        if let Some(sync) = &mut self.sync {
            sync.passes(chunk.position, chunk.time_stamp);
        }
    }

    /// Takes note that `written` frames of a chunk are dealt with.
    pub(super) fn note_progress(&mut self, chunk: &Chunk<'_>, written: u64) {
        if let Some(sync) = &mut self.sync {
            sync.comes_to(chunk.position.saturating_add(written));
        }
    }

    /// Takes note that frames were left out, or that silence was put in.
    pub(super) fn displace(&mut self) {
        if let Some(sync) = &mut self.sync {
            sync.displaced();
        }
    }
}
