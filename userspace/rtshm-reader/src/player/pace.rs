// SPDX-License-Identifier: MIT OR GPL-2.0

//! The player's pace: how the virtual card and the sink are kept together.

use rtshm::{Chunk, Consumer, Format};

use super::{Phase, Player};
use crate::cli::SyncMode;
use crate::resample::Converter;
use crate::sink::{Opener, Sink};
use crate::sync::Sync;

/// What keeps the cards together.
pub(super) struct Pace {
    /// As the user wants it.
    mode: SyncMode,
    pub(super) sync: Sync,
    /// Where one may be needed.
    converter: Option<Box<Converter>>,
    /// Whether it is used.
    converts: bool,
    /// Whether it was told that the virtual card's clock does not follow.
    refused: bool,
}

impl<O: Opener> Player<O> {
    /// Keeps the two cards together in this way.
    pub(crate) fn synced(mut self, mode: SyncMode) -> Self {
        self.summary.sync = mode;
        self.pace = (mode != SyncMode::None).then(|| Pace {
            mode,
            sync: Sync::new(),
            converter: None,
            converts: false,
            refused: false,
        });
        self
    }

    /// Gets ready for a sink that was just opened.
    pub(super) fn open_pace(&mut self, format: &Format, consumer: &mut Consumer) {
        let Some(pace) = &mut self.pace else {
            return;
        };
        pace.sync.opened(format.rate, format.chunk_frames);
        pace.refused = false;
        // All memory at this time, and none later.
        pace.converter = match pace.mode {
            SyncMode::Follow | SyncMode::None => None,
            SyncMode::Auto | SyncMode::Resample => {
                Some(Box::new(Converter::new(format.channels as usize)))
            }
        };
        let resample = match pace.mode {
            SyncMode::Resample => true,
            SyncMode::Auto => !self.opener.is_clock_ours(),
            SyncMode::Follow | SyncMode::None => false,
        };
        self.convert(resample, consumer);
    }

    /// Resamples from here on, or has the virtual card's clock follow.
    fn convert(&mut self, resample: bool, consumer: &mut Consumer) {
        let Some(pace) = &mut self.pace else {
            return;
        };
        let mode = if resample {
            SyncMode::Resample
        } else {
            SyncMode::Follow
        };
        if resample {
            pace.sync.ask_for_nothing(consumer);
            if self.summary.sync != mode || !pace.converts {
                self.notes.note(format_args!(
                    "resampling: what is played is not bit for bit what comes in"
                ));
            }
        }
        if pace.converts != resample {
            // By what went wrong until then, and by what the filter holds.
            pace.sync.displaced();
        }
        pace.converts = resample;
        self.summary.sync = mode;
    }

    /// Sees where the sink stands, and has the virtual card or the converter go as fast.
    pub(super) fn keep_pace(&mut self, consumer: &mut Consumer, now: u64) {
        let (Some(pace), Some(open)) = (&mut self.pace, &mut self.sink) else {
            return;
        };
        if self.phase != Phase::Playing || !self.active || self.late {
            return;
        }
        let (Some(reading), Some(clock)) = (open.sink.reading(), consumer.clock_ratio()) else {
            return;
        };
        let held = match &pace.converter {
            Some(converter) if pace.converts => self.owed + converter.held(),
            _ => self.owed,
        };
        let sync = &mut pace.sync;
        let was_known = sync.card_ppm().is_some();
        let Some(speed) = sync.see(reading, held, clock) else {
            return;
        };
        self.summary.card_ppm = sync.card_ppm().or(self.summary.card_ppm);
        self.summary.sync_error_max_frames = sync.error_max();
        if let (false, Some(ppm)) = (was_known, sync.card_ppm()) {
            self.notes.detail(format_args!(
                "the card's clock is {ppm:+.2} ppm off nominal"
            ));
        }
        if pace.converts {
            if let Some(converter) = &mut pace.converter {
                converter.set_ratio((1.0 + speed) / clock.ratio());
            }
        } else if !sync.ask_for(speed, consumer, now) && !pace.refused {
            pace.refused = true;
            let mode = pace.mode;
            self.notes.note(format_args!(
                "the virtual card's clock does not follow: its mixer's Clock Source is not Consumer"
            ));
            if mode == SyncMode::Auto {
                self.convert(true, consumer);
            }
        }
    }

    /// Puts the next samples of the stream into the converter, where one is used, and writes what
    /// comes out. Returns how many frames were taken, and whether the sink is full; `Some(None)`
    /// where none is used, and `None` where the sink broke.
    pub(super) fn resample(&mut self, samples: &[f32], now: u64) -> Option<Option<(u64, bool)>> {
        if !self.pace.as_ref().is_some_and(|pace| pace.converts) {
            return Some(None);
        }
        if !self.write_converted(now)? {
            return Some(Some((0, true)));
        }
        let converter = self.pace.as_mut().and_then(|pace| pace.converter.as_mut());
        let taken = converter.map_or(0, |converter| converter.push(samples));
        let is_full = !self.write_converted(now)?;
        // CAST: Widening.
        Some(Some((taken as u64, is_full)))
    }

    /// Writes what the converter has ready; returns whether that was all.
    fn write_converted(&mut self, now: u64) -> Option<bool> {
        let Some(mut converter) = self.pace.as_mut().and_then(|pace| pace.converter.take()) else {
            return Some(true);
        };
        let written = match converter.ready() {
            [] => Some(0),
            ready => self.try_sink(now, |sink| sink.write(ready)),
        };
        match written {
            // CAST: At most what was offered.
            Some(frames) => converter.take(frames as usize),
            None => converter.reset(),
        }
        let is_all = converter.ready().is_empty();
        if let Some(pace) = &mut self.pace {
            pace.converter = Some(converter);
        }
        self.wrote(written?, now);
        Some(is_all)
    }

    /// Writes the end of a stream that is still in the converter.
    pub(super) fn finish_converting(&mut self, now: u64) {
        if !self.pace.as_ref().is_some_and(|pace| pace.converts) {
            return;
        }
        for _ in 0..=Converter::TAIL {
            // What finds no room is silence but for a filter's length.
            if self.write_converted(now) != Some(true) {
                break;
            }
            let converter = self.pace.as_mut().and_then(|pace| pace.converter.as_mut());
            converter
                .into_iter()
                .for_each(|converter| converter.push_silence());
        }
        if let Some(converter) = self.pace.as_mut().and_then(|pace| pace.converter.as_mut()) {
            converter.reset();
        }
    }

    /// Takes note of what a chunk says of the virtual card's clock.
    pub(super) fn note_time(&mut self, chunk: &Chunk<'_>) {
        if let Some(pace) = &mut self.pace {
            pace.sync.passes(chunk.position, chunk.time_stamp);
        }
    }

    /// Takes note that `taken` frames of a chunk are dealt with.
    pub(super) fn note_progress(&mut self, chunk: &Chunk<'_>, taken: u64) {
        if let Some(pace) = &mut self.pace {
            pace.sync.comes_to(chunk.position.saturating_add(taken));
        }
    }

    /// Takes note that frames were left out, or that silence was put in.
    pub(super) fn displace(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.sync.displaced();
        }
    }
}
