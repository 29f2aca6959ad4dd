// SPDX-License-Identifier: MIT OR GPL-2.0

//! One file of a recording, or standard output.
//!
//! Samples are collected and written in large blocks. The header says at any time what a reader
//! finds: never more than was written, so that the file is good whenever the process ends.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};

use super::channels::Layout;
use super::wav::{self, Spec, HEADER_LEN, SAMPLE_LEN};

/// Bytes that are written at a time.
const BLOCK: usize = 256 << 10;

/// What is around the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Container {
    /// WAV of float32; RF64 beyond 4 GiB
    Wav,
    /// The samples alone: float32, little-endian, interleaved
    Raw,
}

/// What a take is written to.
pub(crate) trait Storage: Write + Seek {
    /// Cuts it off at `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Waits until all of it is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// What is being written.
#[derive(Debug)]
pub(crate) struct Take<S> {
    storage: S,
    container: Container,
    /// Whether what is written can be changed.
    is_file: bool,
    spec: Spec,
    layout: Layout,
    /// Samples that are not written yet.
    block: Vec<u8>,
    /// Bytes of samples that are written.
    written: u64,
    /// Frames that the header counts.
    told: u64,
}

impl<S: Storage> Take<S> {
    /// Begins to write; `is_file` where there can be sought.
    pub(crate) fn begin(
        storage: S,
        container: Container,
        is_file: bool,
        spec: Spec,
    ) -> io::Result<Self> {
        let layout = match container {
            Container::Wav => Layout::wav(spec.channels),
            Container::Raw => Layout::discrete(),
        };
        let mut take = Self {
            storage,
            container,
            is_file,
            spec,
            layout,
            block: Vec::with_capacity(BLOCK),
            written: 0,
            told: 0,
        };
        if container == Container::Wav {
            let frames = is_file.then_some(0);
            let header = wav::header(spec, take.layout.mask, frames);
            take.storage.write_all(&header)?;
        }
        Ok(take)
    }

    /// What the samples are.
    pub(crate) fn spec(&self) -> Spec {
        self.spec
    }

    /// Whole frames that are written.
    fn frames(&self) -> u64 {
        // CAST: Widening.
        self.written / self.spec.frame_len() as u64
    }

    /// Whole frames that a reader finds.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// Whether there is something that [`save`](Self::save) would do.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.block.is_empty() || self.told != self.frames()
    }

    /// Takes whole frames, as they are in the ring.
    pub(crate) fn write(&mut self, samples: &[f32]) -> io::Result<()> {
        // CAST: Small.
        let channels = self.spec.channels as usize;
        for piece in samples.chunks(BLOCK / SAMPLE_LEN / channels * channels) {
            let start = self.make_room(piece.len() * SAMPLE_LEN)?;
            let place = self.block[start..].chunks_exact_mut(SAMPLE_LEN);
            match &self.layout.order {
                None => place
                    .zip(piece)
                    .for_each(|(place, sample)| place.copy_from_slice(&sample.to_le_bytes())),
                Some(order) => {
                    let reordered = piece
                        .chunks_exact(channels)
                        .flat_map(|frame| order.iter().map(|&channel| frame[channel]));
                    place
                        .zip(reordered)
                        .for_each(|(place, sample)| place.copy_from_slice(&sample.to_le_bytes()));
                }
            }
        }
        Ok(())
    }

    /// Takes frames of silence.
    pub(crate) fn write_silence(&mut self, frames: u64) -> io::Result<()> {
        // CAST: Widening.
        let frame_len = self.spec.frame_len() as u64;
        let mut rest = frames.saturating_mul(frame_len);
        while rest > 0 {
            // CAST: At most BLOCK.
            let piece = rest.min(BLOCK as u64 / frame_len * frame_len) as usize;
            self.make_room(piece)?;
            rest -= piece as u64;
        }
        Ok(())
    }

    /// Makes the block longer by `len` zeros, at most a block; returns where they begin.
    fn make_room(&mut self, len: usize) -> io::Result<usize> {
        if self.block.len() + len > BLOCK {
            self.flush()?;
        }
        let start = self.block.len();
        self.block.resize(start + len, 0);
        Ok(start)
    }

    /// Writes what was taken.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        let result = loop {
            if done == self.block.len() {
                break Ok(());
            }
            match self.storage.write(&self.block[done..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        // What could not be written never will be.
        self.block.clear();
        // CAST: Widening.
        self.written += done as u64;
        result
    }

    /// Writes what was taken, and has the header count it.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        self.flush()?;
        self.tell()
    }

    /// As [`save`](Self::save), and waits until it is on the disk.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.save()?;
        if self.is_file {
            self.storage.sync()?;
        }
        Ok(())
    }

    /// Ends in order after a write that failed: with whole frames, all of which the header counts.
    pub(crate) fn salvage(&mut self) -> io::Result<()> {
        self.block.clear();
        if self.is_file {
            // CAST: Both widening.
            self.written = self.frames() * self.spec.frame_len() as u64;
            let end = self.samples_start() + self.written;
            self.storage.truncate(end)?;
        }
        self.tell()
    }

    /// Has the header count what is written.
    fn tell(&mut self) -> io::Result<()> {
        let frames = self.frames();
        if self.is_file && self.container == Container::Wav {
            let header = wav::header(self.spec, self.layout.mask, Some(frames));
            self.storage.rewind()?;
            // In one write: nobody sees half of it.
            self.storage.write_all(&header)?;
            let end = self.samples_start() + self.written;
            self.storage.seek(SeekFrom::Start(end))?;
        }
        self.told = frames;
        Ok(())
    }

    fn samples_start(&self) -> u64 {
        match self.container {
            // CAST: Small.
            Container::Wav => HEADER_LEN as u64,
            Container::Raw => 0,
        }
    }
}

#[cfg(test)]
mod tests;
