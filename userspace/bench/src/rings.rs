// SPDX-License-Identifier: MIT OR GPL-2.0

//! Rings that are measured, each with one chunk that goes in and comes out.
//!
//! What is pushed is a chunk of stereo samples, with its number of frames and a time stamp where a
//! ring can carry them: those of `f32` are spared that. All hold as many bytes as fit into
//! [`CAPACITY`].

use std::hint::black_box;
use std::ops::{Deref, DerefMut};

use crossbeam_queue::ArrayQueue;
use ringbuf::traits::{Consumer as _, Producer as _, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::origin::Origin;
use crate::region::Region;

/// Samples in a frame.
pub(crate) const CHANNELS: usize = 2;

/// Bytes in each ring.
pub(crate) const CAPACITY: u32 = 64 << 10;

/// A ring, and the chunk for it.
pub(crate) trait Ring {
    /// Pushes the chunk and pops it again.
    fn push_and_pop(&mut self, time_stamp: u64);

    /// What came out last.
    #[cfg(test)]
    fn output(&mut self) -> &[f32];
}

/// What is measured: the floor, the others, and this one.
pub(crate) const NAMES: [&str; 7] = [
    "memcpy",
    "origin (C++)",
    "rtrb",
    "ringbuf",
    "ArrayQueue",
    "rtshm, copying",
    "rtshm, in place",
];

/// The ring of this name for chunks of `input`; `None` where there is no such ring.
pub(crate) fn ring(name: &str, input: &[f32]) -> Option<Box<dyn Ring>> {
    Some(match name {
        "memcpy" => Box::new(Memcpy::new(input)),
        "origin (C++)" => Box::new(Origin::new(input)),
        "rtrb" => Box::new(Rtrb::new(input)),
        "ringbuf" => Box::new(Ringbuf::new(input)),
        "ArrayQueue" => match input.len() / CHANNELS {
            16 => Box::new(Queue::<32>::new(input)),
            64 => Box::new(Queue::<128>::new(input)),
            256 => Box::new(Queue::<512>::new(input)),
            1024 => Box::new(Queue::<2048>::new(input)),
            _ => return None,
        },
        "rtshm, copying" => Box::new(Rtshm::<false>::new(input)),
        "rtshm, in place" => Box::new(Rtshm::<true>::new(input)),
        _ => return None,
    })
}

/// Samples that fit into a ring.
const SAMPLES: usize = CAPACITY as usize / size_of::<f32>();

/// Samples that start with a cache line, as those of applications do, and those of a chunk.
struct Samples {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

// SAFETY: Zero is a value of all its samples.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: An array of samples as long as its alignment: no padding, and any bits are a value.
unsafe impl bytemuck::Pod for Line {}

impl Samples {
    fn silent(len: usize) -> Self {
        Self {
            lines: vec![Line([0.0; 16]); len.div_ceil(16)],
            len,
        }
    }
}

impl From<&[f32]> for Samples {
    fn from(samples: &[f32]) -> Self {
        let mut copy = Self::silent(samples.len());
        copy.copy_from_slice(samples);
        copy
    }
}

impl Deref for Samples {
    type Target = [f32];

    #[inline]
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Samples {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// The floor: the samples are copied to a place that goes around, and from there.
struct Memcpy {
    memory: Samples,
    at: usize,
    input: Samples,
    output: Samples,
}

impl Memcpy {
    fn new(input: &[f32]) -> Self {
        Self {
            memory: Samples::silent(SAMPLES),
            at: 0,
            input: input.into(),
            output: Samples::silent(input.len()),
        }
    }
}

impl Ring for Memcpy {
    fn push_and_pop(&mut self, _time_stamp: u64) {
        let place = &mut self.memory[self.at..self.at + self.input.len()];
        place.copy_from_slice(&self.input);
        self.output.copy_from_slice(black_box(place));
        self.at = (self.at + self.input.len()) % SAMPLES;
    }

    #[cfg(test)]
    fn output(&mut self) -> &[f32] {
        &self.output
    }
}

struct Rtrb {
    producer: rtrb::Producer<f32>,
    consumer: rtrb::Consumer<f32>,
    input: Samples,
    output: Samples,
}

impl Rtrb {
    fn new(input: &[f32]) -> Self {
        let (producer, consumer) = rtrb::RingBuffer::new(SAMPLES);
        Self {
            producer,
            consumer,
            input: input.into(),
            output: Samples::silent(input.len()),
        }
    }
}

impl Ring for Rtrb {
    fn push_and_pop(&mut self, _time_stamp: u64) {
        let pushed = self.producer.push_entire_slice(&self.input);
        let popped = self.consumer.pop_entire_slice(&mut self.output);
        assert!(pushed.is_ok() && popped.is_ok());
    }

    #[cfg(test)]
    fn output(&mut self) -> &[f32] {
        &self.output
    }
}

struct Ringbuf {
    producer: HeapProd<f32>,
    consumer: HeapCons<f32>,
    input: Samples,
    output: Samples,
}

impl Ringbuf {
    fn new(input: &[f32]) -> Self {
        let (producer, consumer) = HeapRb::new(SAMPLES).split();
        Self {
            producer,
            consumer,
            input: input.into(),
            output: Samples::silent(input.len()),
        }
    }
}

impl Ring for Ringbuf {
    fn push_and_pop(&mut self, _time_stamp: u64) {
        let pushed = self.producer.push_slice(&self.input);
        let popped = self.consumer.pop_slice(&mut self.output);
        assert!(pushed == self.input.len() && popped == pushed);
    }

    #[cfg(test)]
    fn output(&mut self) -> &[f32] {
        &self.output
    }
}

/// A queue of whole chunks, since it has no slices.
struct Queue<const LEN: usize> {
    queue: ArrayQueue<Chunk<LEN>>,
    input: [f32; LEN],
    output: [f32; LEN],
}

struct Chunk<const LEN: usize> {
    time_stamp: u64,
    samples: [f32; LEN],
}

impl<const LEN: usize> Queue<LEN> {
    fn new(input: &[f32]) -> Self {
        Self {
            queue: ArrayQueue::new(SAMPLES / LEN),
            input: std::array::from_fn(|index| input[index]),
            output: [0.0; LEN],
        }
    }
}

impl<const LEN: usize> Ring for Queue<LEN> {
    fn push_and_pop(&mut self, time_stamp: u64) {
        let pushed = self.queue.push(Chunk {
            time_stamp,
            samples: self.input,
        });
        let popped = self.queue.pop();
        assert!(pushed.is_ok());
        if let Some(chunk) = popped {
            black_box(chunk.time_stamp);
            self.output = chunk.samples;
        }
    }

    #[cfg(test)]
    fn output(&mut self) -> &[f32] {
        &self.output
    }
}

/// This ring, by the library's consumer. `IN_PLACE`: the samples are made in the ring and used there,
/// so that none is copied.
struct Rtshm<const IN_PLACE: bool> {
    region: Region,
    frames: u32,
    input: Samples,
    output: Samples,
}

impl<const IN_PLACE: bool> Rtshm<IN_PLACE> {
    fn new(input: &[f32]) -> Self {
        Self {
            region: Region::new(CAPACITY.into(), CHANNELS as u32),
            frames: (input.len() / CHANNELS) as u32,
            input: input.into(),
            output: Samples::silent(input.len()),
        }
    }
}

impl<const IN_PLACE: bool> Ring for Rtshm<IN_PLACE> {
    fn push_and_pop(&mut self, time_stamp: u64) {
        let pushed = self.region.push(self.frames, time_stamp, |place| {
            let samples = bytemuck::cast_slice::<f32, u8>(&self.input);
            if !IN_PLACE {
                place[..samples.len()].copy_from_slice(samples);
            }
        });
        let popped = self.region.pop(|chunk| {
            if IN_PLACE {
                black_box(chunk.samples);
            } else {
                self.output.copy_from_slice(chunk.samples);
            }
            black_box(chunk.time_stamp);
        });
        assert!(pushed && popped.is_some());
    }

    #[cfg(test)]
    fn output(&mut self) -> &[f32] {
        if IN_PLACE {
            let samples = bytemuck::cast_slice::<f32, u8>(&self.input);
            let fill = |place: &mut [u8]| place[..samples.len()].copy_from_slice(samples);
            assert!(self.region.push(self.frames, 0, fill));
            self.region
                .pop(|chunk| self.output.copy_from_slice(chunk.samples));
        }
        &self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring that loses something would be measured for nothing.
    #[test]
    fn all_carry_the_samples() {
        for name in NAMES {
            for frames in crate::SIZES {
                let input: Vec<_> = (0..frames * CHANNELS).map(|sample| sample as f32).collect();
                let mut ring = ring(name, &input).expect("a ring");
                for time_stamp in 0..3 * SAMPLES / input.len() {
                    ring.push_and_pop(time_stamp as u64);
                    assert_eq!(ring.output(), input, "{name}, {frames} frames");
                }
            }
        }
    }
}
