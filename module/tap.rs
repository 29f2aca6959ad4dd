// SPDX-License-Identifier: GPL-2.0

//! What was played last, for those who record it.
//!
//! While recorders listen, the player leaves every frame here as it consumes it, and each recorder
//! has a [`Cursor`] of its own that follows. Neither waits for the other, and neither sees the
//! other's stream. A recording is as long as the time it took: it has silence where nothing is
//! played, and runs `lag` frames behind the player, so that the frames are there when its own clock
//! gets to them.
//!
//! Pure, tested on the host.

use core::{
    mem,
    ops::{
        DerefMut,
        Range, //
    }, //
};

use crate::clock::{
    Clock,
    Rate,
    Speed, //
};

/// Bytes that samples of every size divide, so that none is split where the storage ends.
pub const SAMPLE_MULTIPLE: usize = 12;

/// Runs that a recorder can be behind.
const RUNS: usize = 8;

/// Memory for what was played.
pub trait Storage: DerefMut<Target = [u8]> {}
impl<S: DerefMut<Target = [u8]>> Storage for S {}

/// How frames are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Frames per second.
    pub rate: u32,
    /// Samples per frame.
    pub channels: u32,
    /// ALSA's number of the sample format.
    pub format: u32,
    /// Bytes of a frame.
    pub bytes: u32,
}

impl Frames {
    /// Bytes of a frame, taken as at least 1.
    fn size(&self) -> u64 {
        u64::from(self.bytes.max(1))
    }
}

/// A time during which the player ran without a pause.
#[derive(Clone, Copy)]
struct Run {
    frames: Frames,
    /// Where the player is, and was since the clock was last steered.
    clock: Clock,
    /// The player's position at the start.
    origin: u64,
    /// Where its first byte is.
    first: u64,
    /// When recorders get to the first frame.
    begin: u64,
    /// Where its last byte ends, once it has ended.
    end: Option<u64>,
    /// Frames that recorders are behind.
    lag: u32,
}

/// The bytes played last, and which runs they belong to. All bytes ever played are numbered.
pub struct Tap<S> {
    storage: Option<S>,
    /// The number of the next byte.
    head: u64,
    /// The first byte since the storage is there.
    since: u64,
    /// The last ones, oldest first.
    runs: [Option<Run>; RUNS],
    /// Runs ever begun.
    count: u64,
}

impl<S: Storage> Tap<S> {
    /// A tap that nobody listens to.
    pub fn new() -> Self {
        Self {
            storage: None,
            head: 0,
            since: 0,
            runs: [None; RUNS],
            count: 0,
        }
    }

    /// Keeps what is played from now on in `storage`, whose length is a multiple of
    /// [`SAMPLE_MULTIPLE`]; returns an earlier one.
    pub fn listen(&mut self, storage: S) -> Option<S> {
        self.since = self.head;
        self.storage.replace(storage)
    }

    /// Keeps nothing; returns the storage.
    pub fn forget(&mut self) -> Option<S> {
        self.storage.take()
    }

    /// The player begins to play such frames, on the line `clock` and from `position` on.
    pub fn start(&mut self, frames: Frames, clock: Clock, position: u64, lag: u32) {
        self.halt();
        // CAST: A small constant.
        self.head = round_up(self.head, SAMPLE_MULTIPLE as u64);
        self.runs.rotate_left(1);
        if let Some(run) = self.runs.last_mut() {
            *run = Some(Run {
                frames,
                clock,
                origin: position,
                first: self.head,
                begin: clock.time_of(position.saturating_add(lag.into())),
                end: None,
                lag,
            });
        }
        self.count = self.count.wrapping_add(1);
    }

    /// The player goes on on another line.
    pub fn steer(&mut self, clock: Clock) {
        if let Some(run) = self.running() {
            run.clock = clock;
        }
    }

    /// The player stands still.
    pub fn halt(&mut self) {
        let head = self.head;
        if let Some(run) = self.running() {
            run.end = Some(head);
        }
    }

    /// The player has played `len` bytes. `copy` is given pieces to fill in, and how many bytes come
    /// before each; it is not called where nobody listens, or for what does not fit.
    pub fn push(&mut self, len: u64, mut copy: impl FnMut(u64, &mut [u8])) {
        let start = self.head;
        // OVERFLOW: A counter of bytes.
        self.head = start.wrapping_add(len);
        let Some(storage) = &mut self.storage else {
            return;
        };
        let storage = &mut **storage;
        // CAST: Widening.
        let mut done = len.saturating_sub(storage.len() as u64);
        while done < len {
            let piece = piece(
                storage.len(),
                start.wrapping_add(done),
                len.wrapping_sub(done),
            );
            match storage.get_mut(piece) {
                Some(place) if !place.is_empty() => {
                    copy(done, place);
                    // CAST: Widening.
                    done = done.wrapping_add(place.len() as u64);
                }
                _ => return,
            }
        }
    }

    fn running(&mut self) -> Option<&mut Run> {
        let last = self.runs.last_mut()?.as_mut()?;
        last.end.is_none().then_some(last)
    }

    /// The run with this number, or the oldest that is left of the later ones, with its number.
    fn run_from(&self, number: u64) -> Option<(u64, &Run)> {
        // CAST: A small constant.
        let oldest = self.count.saturating_sub(RUNS as u64);
        let number = number.max(oldest);
        let back = usize::try_from(self.count.checked_sub(number)?).ok()?;
        let run = self.runs.get(RUNS.checked_sub(back)?)?.as_ref()?;
        Some((number, run))
    }

    /// The first byte that is still there.
    fn tail(&self) -> u64 {
        let len = self.storage.as_ref().map_or(0, |storage| storage.len());
        // CAST: Widening.
        self.since.max(self.head.saturating_sub(len as u64))
    }
}

impl<S: Storage> Default for Tap<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// What comes next in a recording.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// So many bytes of silence.
    Silence(u64),
    /// Bytes that were played, whole samples of them.
    Sound(&'a [u8]),
}

/// Where a recorder is.
pub struct Cursor {
    frames: Frames,
    /// Bytes recorded.
    recorded: u64,
    /// Where the recording is while it is silent.
    silence: Clock,
    /// The run whose bytes come next, or after the silence.
    run: u64,
    /// The next byte of that run, while the recording follows it.
    next: Option<u64>,
    /// When it was last looked for what is due.
    looked: u64,
}

impl Cursor {
    /// A recording that begins at `now`, in nanoseconds, with frame 0.
    pub fn start<S>(tap: &Tap<S>, frames: Frames, now: u64) -> Self
    where
        S: Storage,
    {
        let mut cursor = Self {
            frames,
            recorded: 0,
            silence: Clock::start(now, 0, nominal(frames)),
            run: tap.count,
            next: None,
            looked: now,
        };
        // What is played already is joined where the recording is due.
        let last = tap.count.saturating_sub(1);
        if let Some((number, run)) = tap.run_from(last) {
            if run.frames == frames {
                let due = run.due(now).saturating_mul(frames.size());
                let next = run.first.saturating_add(due);
                if run.end.is_none_or(|end| next < end) {
                    cursor.run = number;
                    cursor.next = Some(next.max(tap.tail().max(run.first)));
                }
            }
        }
        cursor
    }

    /// Frames recorded, wholly.
    pub fn position(&self) -> u64 {
        self.recorded / self.frames.size()
    }

    /// Bytes recorded.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// The next piece that is due at `now`, in nanoseconds; it counts as recorded.
    pub fn advance<'a, S>(&mut self, tap: &'a Tap<S>, now: u64) -> Option<Piece<'a>>
    where
        S: Storage,
    {
        let looked = mem::replace(&mut self.looked, now);
        // Each run is looked at once, and left once.
        for _ in 0..=2 * RUNS {
            let Some((number, run)) = tap.run_from(self.run) else {
                return self.be_silent(now);
            };
            let Some(next) = self.next.filter(|_| number == self.run) else {
                self.pass_over(number, looked);
                if run.frames != self.frames {
                    if run.end.is_none() {
                        return self.be_silent(now);
                    }
                    self.leave(run.first, run);
                    continue;
                }
                if let Some(silence) = self.be_silent(now.min(run.begin)) {
                    return Some(silence);
                }
                if now < run.begin {
                    return None;
                }
                self.next = Some(run.first);
                continue;
            };
            if let Some(piece) = self.follow(tap, run, next, now) {
                return Some(piece);
            }
            match run.end {
                Some(end) if self.next.is_none_or(|next| next >= end) => self.leave(end, run),
                _ => return None,
            }
        }
        None
    }

    /// The next piece of a run that the recording follows.
    fn follow<'a, S>(
        &mut self,
        tap: &'a Tap<S>,
        run: &Run,
        next: u64,
        now: u64,
    ) -> Option<Piece<'a>>
    where
        S: Storage,
    {
        let size = self.frames.size();
        let end = run.end.unwrap_or(tap.head);
        let due = run.first.saturating_add(run.due(now).saturating_mul(size));
        let len = end.min(due).saturating_sub(next);
        if len == 0 {
            return None;
        }
        let tail = tap.tail().min(end);
        if tail > next {
            // Nobody has these any more: silence in their place, up to a whole frame.
            let from = run
                .first
                .saturating_add(round_up(tail.saturating_sub(run.first), size));
            return Some(Piece::Silence(self.pass(next, from.saturating_sub(next))));
        }
        let storage = tap.storage.as_ref()?;
        let bytes = storage.get(piece(storage.len(), next, len))?;
        // CAST: Widening.
        self.pass(next, bytes.len() as u64);
        Some(Piece::Sound(bytes))
    }

    /// Counts bytes of a run as recorded; returns how many.
    fn pass(&mut self, next: u64, count: u64) -> u64 {
        self.next = Some(next.saturating_add(count));
        // OVERFLOW: A counter of bytes.
        self.recorded = self.recorded.wrapping_add(count);
        count
    }

    /// Goes to the next run, or to a later one where the tap has forgotten some: then it is silent
    /// from `looked` on, when it still followed one.
    fn pass_over(&mut self, number: u64, looked: u64) {
        self.run = number;
        if self.next.take().is_some() {
            // Maybe in the middle of a frame.
            self.recorded = round_up(self.recorded, self.frames.size());
            self.silence = Clock::start(looked, self.position(), nominal(self.frames));
        }
    }

    /// The silence up to `now`.
    fn be_silent<'a>(&mut self, now: u64) -> Option<Piece<'a>> {
        let frames = self
            .silence
            .position_at(now)
            .saturating_sub(self.position());
        let bytes = frames.saturating_mul(self.frames.size());
        // OVERFLOW: A counter of bytes.
        self.recorded = self.recorded.wrapping_add(bytes);
        (bytes != 0).then_some(Piece::Silence(bytes))
    }

    /// Leaves a run, of which `end` bytes are recorded or passed over, for the silence behind it.
    fn leave(&mut self, end: u64, run: &Run) {
        if self.next.take().is_some() {
            let played = end.saturating_sub(run.first) / run.frames.size();
            let position = run.origin.saturating_add(played);
            let time = run.clock.time_of(position.saturating_add(run.lag.into()));
            self.silence = Clock::start(time, self.position(), nominal(self.frames));
        }
        self.run = self.run.wrapping_add(1);
    }

    /// The time at which the recording gets to frame `position`, as it looks at `now`.
    pub fn time_of<S>(&self, tap: &Tap<S>, position: u64) -> u64
    where
        S: Storage,
    {
        let ahead = position.saturating_sub(self.position());
        match (self.next, tap.run_from(self.run)) {
            (Some(next), Some((number, run))) if number == self.run => {
                let index = next.saturating_sub(run.first) / self.frames.size();
                let index = index.saturating_add(run.lag.into()).saturating_add(ahead);
                run.clock.time_of(run.origin.saturating_add(index))
            }
            _ => self.silence.time_of(position),
        }
    }
}

impl Run {
    /// Frames of the run that a recording has at `now`.
    fn due(&self, now: u64) -> u64 {
        let played = self.clock.position_at(now).saturating_sub(self.origin);
        played.saturating_sub(self.lag.into())
    }
}

fn nominal(frames: Frames) -> Rate {
    Rate::new(frames.rate, Speed::NOMINAL)
}

/// The next multiple of `size`, which is not 0.
fn round_up(count: u64, size: u64) -> u64 {
    let rest = count % size.max(1);
    match rest {
        0 => count,
        // OVERFLOW: A counter of bytes.
        rest => count.wrapping_add(size.wrapping_sub(rest)),
    }
}

/// Where in a storage of `capacity` bytes the byte `start` is, with as many of the `len` that follow
/// as are in one piece.
fn piece(capacity: usize, start: u64, len: u64) -> Range<usize> {
    // CAST: Widening, and back below the capacity.
    let capacity = capacity.max(1) as u64;
    let first = start % capacity;
    let end = first.saturating_add(len).min(capacity);
    first as usize..end as usize
}
