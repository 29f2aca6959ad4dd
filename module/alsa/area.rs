// SPDX-License-Identifier: GPL-2.0

//! The buffer of a substream, which the application may be using at this moment.

use core::{
    marker::PhantomData,
    num::{
        NonZeroU64,
        NonZeroUsize, //
    },
    ptr, //
};

use kernel::{
    bindings,
    prelude::*, //
};

use super::sys;

/// The buffer of a configured substream.
///
/// Interleaved, it is one row of `frames * channels` samples. Otherwise each channel has a row of
/// its own, and the rows lie `plane` bytes apart.
///
/// # Invariants
///
/// The rows lie in memory of ALSA's that stays while the stream is locked. They are aligned to a
/// sample, unless that has three bytes.
pub struct Area<'a> {
    start: *mut u8,
    frames: usize,
    channels: usize,
    /// Bytes of a sample.
    sample: usize,
    /// Bytes from one channel to the next where they are not interleaved.
    plane: Option<usize>,
    _buffer: PhantomData<&'a ()>,
}

impl Area<'_> {
    /// No buffer.
    pub(super) fn empty() -> Self {
        // INVARIANT: There are no rows.
        Self {
            start: ptr::null_mut(),
            frames: 0,
            channels: 0,
            sample: 0,
            plane: None,
            _buffer: PhantomData,
        }
    }

    /// The buffer of `runtime`; empty before it is configured.
    ///
    /// # Safety
    ///
    /// The runtime is valid, and its stream stays locked as long as the result lives.
    pub(super) unsafe fn new(runtime: *const sys::snd_pcm_runtime) -> Self {
        // SAFETY: By the contract of this function.
        let (start, bytes, sample_bits, channels, frames, access) = unsafe {
            (
                (*runtime).dma_area,
                (*runtime).dma_bytes,
                (*runtime).sample_bits,
                (*runtime).channels,
                (*runtime).buffer_size,
                (*runtime).access,
            )
        };
        // CAST: Widening.
        let channels = channels as usize;
        let sample = (sample_bits / 8) as usize;
        let interleaved = matches!(
            access.unsigned_abs(),
            sys::SNDRV_PCM_ACCESS_MMAP_INTERLEAVED | sys::SNDRV_PCM_ACCESS_RW_INTERLEAVED
        );
        let plane = match interleaved {
            true => None,
            false => Some(bytes / channels.max(1)),
        };
        let row = match interleaved {
            true => sample.saturating_mul(channels).saturating_mul(frames),
            false => sample.saturating_mul(frames),
        };
        let fits = !start.is_null()
            && sample != 0
            && row <= plane.unwrap_or(bytes)
            && plane.is_none_or(|plane| plane % sample == 0);
        // INVARIANT: ALSA's buffers are page-aligned, and hold `dma_bytes`.
        Self {
            start,
            frames: if fits { frames } else { 0 },
            channels,
            sample,
            plane,
            _buffer: PhantomData,
        }
    }

    /// Whether it has no frames.
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Bytes of a frame.
    pub fn frame_bytes(&self) -> usize {
        self.sample.wrapping_mul(self.channels)
    }

    /// Writes the samples from frame `first` on to `out`, interleaved, each converted by `f`, as far
    /// as the buffer and the whole frames of `out` go. `T` has the size of a sample.
    #[inline]
    pub fn convert<T: Word>(&self, first: usize, out: &mut [u32], f: impl Fn(T) -> u32) {
        let frames = self.frames.saturating_sub(first);
        if self.sample != size_of::<T>() {
            return;
        }
        let Some(plane) = self.plane else {
            let start = first.wrapping_mul(self.channels);
            let count = out.len().min(frames.wrapping_mul(self.channels));
            let (places, _) = out.split_at_mut(count);
            let row = self.start.wrapping_add(start.wrapping_mul(size_of::<T>()));
            let mut fours = places.chunks_exact_mut(4);
            let mut index = 0usize;
            for four in &mut fours {
                for to in four {
                    // SAFETY: By the invariant: it is in the row.
                    *to = f(unsafe { read(row, index) });
                    index = index.wrapping_add(1);
                }
            }
            for to in fours.into_remainder() {
                // SAFETY: As above.
                *to = f(unsafe { read(row, index) });
                index = index.wrapping_add(1);
            }
            return;
        };
        let Some(channels) = NonZeroUsize::new(self.channels) else {
            return;
        };
        let frames = frames.min(out.len() / channels);
        for channel in 0..channels.get() {
            let row = self.start.wrapping_add(plane.wrapping_mul(channel));
            // An iterator over every so manieth place would look for the end at each.
            let mut to = out.as_mut_ptr().wrapping_add(channel);
            for index in first..first.wrapping_add(frames) {
                // SAFETY:
                // - By the invariant: the sample is in the channel's row.
                // - `out` has so many frames, and this is the channel's place in one of them.
                unsafe { *to = f(read(row, index)) };
                to = to.wrapping_add(channels.get());
            }
        }
    }

    /// Copies whole samples as they are to `out`, from byte `offset` of the interleaved buffer on,
    /// which is taken to repeat for ever.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        if self.plane.is_none() {
            self.pieces(offset, out.len(), |from, done, len| {
                if let Some(to) = out.get_mut(done..done.wrapping_add(len)) {
                    // SAFETY: `pieces` says that there are so many bytes; user space may write them
                    // meanwhile, hence no copy of Rust's.
                    unsafe {
                        bindings::memcpy(to.as_mut_ptr().cast(), from.cast_const().cast(), len)
                    };
                }
            });
            return;
        }
        match self.sample {
            1 => self.gather::<u8>(offset, out),
            2 => self.gather::<u16>(offset, out),
            3 => self.gather::<[u8; 3]>(offset, out),
            _ => self.gather::<u32>(offset, out),
        }
    }

    /// Copies whole samples as they are from `data`, to byte `offset` as above.
    pub fn write(&self, offset: u64, data: &[u8]) {
        if self.plane.is_none() {
            self.pieces(offset, data.len(), |to, done, len| {
                if let Some(from) = data.get(done..done.wrapping_add(len)) {
                    // SAFETY: As in `read`.
                    unsafe { bindings::memcpy(to.cast(), from.as_ptr().cast(), len) };
                }
            });
            return;
        }
        match self.sample {
            1 => self.scatter::<u8>(offset, data),
            2 => self.scatter::<u16>(offset, data),
            3 => self.scatter::<[u8; 3]>(offset, data),
            _ => self.scatter::<u32>(offset, data),
        }
    }

    /// Fills `len` bytes, whole samples, with `byte`, from byte `offset` as above on.
    pub fn fill(&self, offset: u64, len: u64, byte: u8) {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.bytes());
        let set = |to: *mut u8, bytes| {
            // SAFETY: `pieces` and `rows` say that there are so many bytes; see `read`.
            unsafe { bindings::memset(to.cast(), byte.into(), bytes) };
        };
        match self.plane {
            None => self.pieces(offset, len, |to, _, len| set(to, len)),
            Some(_) => self.rows(offset, len, |to, _, count| {
                set(to, count.wrapping_mul(self.sample))
            }),
        }
    }

    /// `read` from rows of samples of the size of `T`.
    fn gather<T: Word>(&self, offset: u64, out: &mut [u8]) {
        let len = out.len();
        let Ok(out) = <[T]>::mut_from_bytes(out) else {
            return;
        };
        self.rows(offset, len, |row, first, count| {
            let mut to = out.as_mut_ptr().wrapping_add(first);
            for index in 0..count {
                // SAFETY: `rows` says that both are there.
                unsafe { *to = read(row, index) };
                to = to.wrapping_add(self.channels);
            }
        });
    }

    /// `write` to rows of samples of the size of `T`.
    fn scatter<T: Word>(&self, offset: u64, data: &[u8]) {
        let len = data.len();
        let Ok(data) = <[T]>::ref_from_bytes(data) else {
            return;
        };
        self.rows(offset, len, |row, first, count| {
            let mut from = data.as_ptr().wrapping_add(first);
            for index in 0..count {
                // SAFETY: As in `gather`, and as in `read`.
                unsafe { ptr::write_volatile(row.cast::<T>().add(index), *from) };
                from = from.wrapping_add(self.channels);
            }
        });
    }

    fn bytes(&self) -> usize {
        self.frames.wrapping_mul(self.frame_bytes())
    }

    /// Interleaved: calls `f` for each piece of `len` bytes from byte `offset` as above on, with the
    /// place of so many bytes in memory, and how many came before.
    #[inline]
    fn pieces(&self, offset: u64, len: usize, mut f: impl FnMut(*mut u8, usize, usize)) {
        let Some(all) = NonZeroU64::new(self.bytes() as u64) else {
            return;
        };
        let mut done = 0usize;
        while done < len {
            // CAST: Widening, and back below the bytes of the buffer.
            let at = (offset.wrapping_add(done as u64) % all) as usize;
            let count = self.bytes().wrapping_sub(at).min(len.wrapping_sub(done));
            f(self.start.wrapping_add(at), done, count);
            done = done.wrapping_add(count);
        }
    }

    /// Not interleaved: calls `f` for each row of samples among `len` bytes from byte `offset` as
    /// above on. It is given the place of so many samples in memory, and before those the index of
    /// the first among the interleaved ones; the next are a frame apart, and all are among the `len`
    /// bytes.
    #[inline]
    fn rows(&self, offset: u64, len: usize, mut f: impl FnMut(*mut u8, usize, usize)) {
        let (Some(sample), Some(channels), Some(frames), Some(plane)) = (
            NonZeroUsize::new(self.sample),
            NonZeroUsize::new(self.channels),
            NonZeroUsize::new(self.frames),
            self.plane,
        ) else {
            return;
        };
        let Some(all) = NonZeroU64::new(self.bytes() as u64) else {
            return;
        };
        // CAST: Below the bytes of the buffer.
        let start = (offset % all) as usize / sample;
        let count = len / sample;
        for channel in 0..channels.get() {
            let ahead = channel.wrapping_add(channels.get());
            let mut first = ahead.wrapping_sub(start % channels) % channels;
            if first >= count {
                continue;
            }
            let mut left = (count.wrapping_sub(first).wrapping_sub(1) / channels).wrapping_add(1);
            let mut frame = start.wrapping_add(first) / channels % frames;
            let row = self.start.wrapping_add(plane.wrapping_mul(channel));
            while left != 0 {
                let some = left.min(frames.get().wrapping_sub(frame));
                f(
                    row.wrapping_add(frame.wrapping_mul(sample.get())),
                    first,
                    some,
                );
                first = first.wrapping_add(some.wrapping_mul(channels.get()));
                left = left.wrapping_sub(some);
                frame = 0;
            }
        }
    }
}

/// Reads a sample.
///
/// # Safety
///
/// The sample `index` of a row that starts at `start` is in a buffer of ALSA's.
#[inline]
unsafe fn read<T: Word>(start: *const u8, index: usize) -> T {
    // SAFETY:
    // - It is in the buffer, by the contract of this function, and aligned: rows are.
    // - User space may write it meanwhile, hence volatile; any value is one.
    unsafe { ptr::read_volatile(start.cast::<T>().add(index)) }
}

/// What a sample is read as; any bits are a value.
pub trait Word:
    Copy + zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + 'static
{
}
impl Word for u8 {}
impl Word for [u8; 3] {}
impl Word for u16 {}
impl Word for u32 {}
