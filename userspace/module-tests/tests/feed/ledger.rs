// SPDX-License-Identifier: GPL-2.0

//! The books: what happened at the card, and whether the records tell all of it, once, in order.
//!
//! This is the contract of `Documentation/abi.rst`, checked record by record. It knows nothing of how
//! the feed works: whatever happened is entered first, and every record must account for the oldest
//! entries.

use std::collections::VecDeque;

use rtshm_module_tests::abi::record::{
    Format,
    State,
    RESYNC,
    SPANS_STREAMS, //
};

use super::{
    card::{
        due,
        sample,
        Config, //
    },
    told::Told, //
};

/// Records that are kept one by one when they do not fit.
const KEPT: usize = 8;

/// Something that happened and was not told yet.
#[derive(Clone, Debug)]
enum Entry {
    /// Something besides frames: the very record that tells it.
    Note(Told),
    Run(Run),
}

/// Frames that the card consumed one after the other, with nothing in between.
#[derive(Clone, Debug)]
struct Run {
    /// Where it began; the next three move on as it is told.
    start: u64,
    position: u64,
    /// Number of the first frame among all that the card ever consumed.
    first: u64,
    count: u64,
    /// Whether anybody can have them: not those that the card skipped.
    audible: bool,
    /// Whether the stream was prepared anew behind it, so that nothing goes on here.
    is_over: bool,
    config: Config,
}

impl Entry {
    fn is_volume(&self) -> bool {
        matches!(self, Entry::Note(Told::Volume { .. }))
    }

    /// Whether it is told by this very record.
    fn is(&self, record: &Told) -> bool {
        matches!(self, Entry::Note(note) if note == record)
    }
}

impl Run {
    /// Tells up to `frames` frames; returns how many.
    fn take(&mut self, frames: u64) -> u64 {
        let taken = frames.min(self.count);
        self.position += taken;
        self.first += taken;
        self.count -= taken;
        taken
    }
}

/// What the mixer says: gain, switch, and since when.
type Volume = (i32, bool, u64);

/// What came when the backlog ran over, until the stream is described anew.
#[derive(Default)]
struct Collapse {
    /// A `VOLUME` was told that says so, and then a `FORMAT`.
    volume: Option<Volume>,
    format: Option<(u64, Format)>,
    /// Entries that were summed up or dropped.
    dropped: usize,
    /// When the frame behind those that were summed up is due.
    behind: Option<u64>,
}

/// The books of one consumer.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    collapse: Option<Collapse>,
    /// The stream as of the last entry that was told or dropped.
    format: Option<Format>,
    state: Option<State>,
    position: u64,
    volume: Option<Volume>,
    /// Whether the last record told a loss.
    after_loss: bool,
    /// Whether a change of the volume was the next to be told then.
    volume_waits: bool,
    /// What was told.
    pub(crate) chunks: u64,
    pub(crate) frames: u64,
    pub(crate) lost_frames: u64,
    pub(crate) lost_records: u64,
    pub(crate) collapses: u64,
}

impl Ledger {
    /// Enters something besides frames, which is told by exactly this record.
    pub(crate) fn note(&mut self, record: Told) {
        self.end_run();
        self.entries.push_back(Entry::Note(record));
    }

    /// Enters `count` frames from number `first` on.
    pub(crate) fn run(&mut self, config: Config, position: u64, first: u64, count: u64) {
        match self.entries.back_mut() {
            Some(Entry::Run(run)) if run.audible && !run.is_over => run.count += count,
            _ => {
                self.end_run();
                self.push_run(config, position, first, count, true);
            }
        }
    }

    /// Enters `count` frames that the card skipped.
    pub(crate) fn skip(&mut self, config: Config, position: u64, first: u64, count: u64) {
        self.end_run();
        self.push_run(config, position, first, count, false);
    }

    /// Enters that the stream was prepared anew, of which nothing is told.
    pub(crate) fn prepare(&mut self) {
        self.end_run();
        if let Some(Entry::Run(run)) = self.entries.back_mut() {
            run.is_over = true;
        }
    }

    fn push_run(&mut self, config: Config, position: u64, first: u64, count: u64, audible: bool) {
        self.entries.push_back(Entry::Run(Run {
            start: position,
            position,
            first,
            count,
            audible,
            is_over: false,
            config,
        }));
    }

    /// The newest run does not go on; it is done with if all of it is told.
    fn end_run(&mut self) {
        if let Some(Entry::Run(Run { count: 0, .. })) = self.entries.back() {
            self.entries.pop_back();
        }
    }

    /// Frames entered and not told.
    pub(crate) fn untold_frames(&self) -> u64 {
        let count = |entry: &Entry| match entry {
            Entry::Run(run) => run.count,
            Entry::Note(_) => 0,
        };
        self.entries.iter().map(count).sum()
    }

    /// Whether there is anything but frames that was not told.
    pub(crate) fn has_untold_notes(&self) -> bool {
        let is_note = |entry: &Entry| matches!(entry, Entry::Note(_));
        self.entries.iter().any(is_note)
    }

    /// Checks a record against the oldest entries.
    pub(crate) fn told(&mut self, record: &Told) {
        match record {
            Told::Audio {
                position,
                time,
                frames,
                samples,
            } => self.told_audio(*position, *time, *frames, &samples.0),
            Told::Lost {
                flags,
                position,
                frames,
                time,
            } => self.told_lost(*flags, *position, *frames, *time),
            Told::Format { .. } | Told::State { .. } => self.told_note(record),
            Told::Volume { flags, .. } => {
                // Of changes with nothing between them that is told the last one will do.
                while *flags == 0
                    && self.entries.front().is_some_and(|first| !first.is(record))
                    && self.drop_superseded()
                {}
                self.told_note(record);
            }
        }
        self.after_loss = matches!(record, Told::Lost { .. });
        self.volume_waits = self.entries.front().is_some_and(Entry::is_volume);
    }

    /// A chunk: the oldest frames, whole, of one run.
    fn told_audio(&mut self, position: u64, time: u64, frames: u32, samples: &[u32]) {
        assert!(self.collapse.is_none(), "audio, and not known of what");
        let is_last = self.entries.len() == 1;
        let Some(Entry::Run(run)) = self.entries.front_mut() else {
            panic!("audio, but first: {:?}", self.entries.front());
        };
        assert!(run.audible, "audio that nobody can have");
        assert_eq!(position, run.position, "the chunk's position");
        assert_eq!(time, due(run.first), "the chunk's time stamp");
        assert_ne!(frames, 0, "an empty chunk");
        let frames = u64::from(frames);
        assert!(frames <= run.count, "more frames than were consumed");
        let (config, first) = (run.config, run.first);
        let expected = (first..first + frames)
            .flat_map(|frame| (0..config.channels).map(move |channel| sample(frame, channel)));
        assert!(expected.eq(samples.iter().copied()), "the samples");

        // It begins where a chunk does, or where the frames begin; and it ends where a chunk does, or
        // where something happened.
        let begins = position == run.start || config.begins_chunk(position);
        assert!(begins, "a chunk begins at {position}");
        assert!(frames <= config.left(position).into(), "a chunk too long");
        run.take(frames);
        let is_end = run.count == 0 && (run.is_over || !is_last);
        let ends = config.begins_chunk(run.position) || is_end;
        assert!(ends, "a chunk ends at {}", run.position);
        self.position = run.position;
        self.chunks += 1;
        self.frames += frames;
        self.close_run();
    }

    /// Lost frames: the oldest ones; those of several streams only where it says so.
    fn told_lost(&mut self, flags: u16, position: u64, mut frames: u64, time: u64) {
        assert_ne!(frames, 0, "nothing was lost");
        self.lost_frames += frames;
        self.lost_records += 1;
        let spans = flags == SPANS_STREAMS;
        assert!(spans || flags == 0, "flags {flags:#x}");
        assert!(self.collapse.is_none(), "lost, and not known of what");
        let mut collapse = Collapse::default();
        let (mut is_first, mut after_note) = (true, true);
        // A change of the volume that came after the last loss was told divides the gap, even if it is
        // not told because of another one.
        let mut is_divided = false;
        while frames != 0 {
            match self.entries.front_mut() {
                None | Some(Entry::Run(Run { count: 0, .. })) => {
                    panic!("{frames} more lost frames than were consumed")
                }
                Some(Entry::Note(note)) => {
                    let note = note.clone();
                    if !spans {
                        let is_dropped = self.drop_superseded();
                        assert!(is_dropped, "lost frames on both sides of {note:?}");
                        is_divided |= is_first && !self.volume_waits;
                        continue;
                    }
                    self.entries.pop_front();
                    self.follow(&note);
                    collapse.dropped += 1;
                    after_note = true;
                }
                Some(Entry::Run(run)) => {
                    if is_first {
                        assert_eq!(position, run.position, "the position of the loss");
                        assert_eq!(time, due(run.first), "the time stamp of the loss");
                        // Only what was skipped later could not be known when the last was told.
                        let goes_on = self.after_loss && run.audible && collapse.dropped == 0;
                        assert!(!goes_on || is_divided, "one gap told in two");
                        is_first = false;
                    }
                    collapse.dropped += usize::from(after_note);
                    after_note = false;
                    frames -= run.take(frames);
                    collapse.behind = Some(due(run.first));
                    self.position = run.position;
                    self.close_run();
                }
            }
        }
        if spans {
            self.collapse = Some(collapse);
        }
    }

    /// Drops the oldest entry if that is a change of the volume with only frames between it and the
    /// next one. (Those must be lost, as they come before what is told.)
    fn drop_superseded(&mut self) -> bool {
        let mut notes = self.entries.iter().skip(1);
        let next = notes.find(|entry| matches!(entry, Entry::Note(_)));
        let first = self.entries.front();
        let is_superseded =
            first.is_some_and(Entry::is_volume) && next.is_some_and(Entry::is_volume);
        if is_superseded {
            self.entries.pop_front();
        }
        is_superseded
    }

    fn told_note(&mut self, record: &Told) {
        if self.collapse.is_none() {
            if let Some(Entry::Note(note)) = self.entries.front() {
                if note == record {
                    self.entries.pop_front();
                    self.follow(record);
                    return;
                }
            }
        }
        self.told_resync(record);
    }

    /// The stream as it is now, where not all was told of what led here.
    fn told_resync(&mut self, record: &Told) {
        let mut collapse = self.collapse.take().unwrap_or_default();
        match *record {
            Told::Volume {
                flags: RESYNC,
                gain,
                on,
                time,
                ..
            } if collapse.volume.is_none() => {
                collapse.volume = Some((gain, on, time));
                self.collapse = Some(collapse);
            }
            Told::Format {
                flags: RESYNC,
                position,
                format,
            } if collapse.volume.is_some() && collapse.format.is_none() => {
                collapse.format = Some((position, format));
                self.collapse = Some(collapse);
            }
            Told::State {
                flags: RESYNC,
                position,
                state,
                time,
            } => {
                let is_told = |entry: &Entry| match entry {
                    Entry::Note(Told::State {
                        position: at,
                        state: what,
                        time: when,
                        ..
                    }) => (*at, *what, *when) == (position, state, time),
                    Entry::Note(Told::Volume { time: when, .. }) => *when == time,
                    _ => false,
                };
                let notes = |entry: &&Entry| matches!(entry, Entry::Note(_));
                let pending = self.entries.iter().take_while(notes).position(is_told);
                match pending {
                    // It came to this with a change of state, which is the one told, or of the
                    // volume.
                    Some(index) => {
                        for entry in self.entries.drain(..=index).collect::<Vec<_>>() {
                            if let Entry::Note(note) = entry {
                                collapse.dropped += 1;
                                self.follow(&note);
                            }
                        }
                    }
                    // It came to this with lost frames.
                    None => {
                        let behind = collapse.behind.expect("a reason to resync");
                        assert_eq!(time, behind, "the time of a resync");
                    }
                }
                assert_eq!(Some(state), self.state, "the state as it is");
                assert_eq!(position, self.position, "the position as it is");
                let format = is_active(state).then(|| (position, self.format.expect("a format")));
                assert_eq!(collapse.format, format, "the format as it is");
                assert!(collapse.volume.is_some(), "the volume was not told");
                assert_eq!(collapse.volume, self.volume, "the volume as it is");
                assert!(collapse.dropped > KEPT, "{} would do", collapse.dropped);
                self.collapses += 1;
            }
            _ => panic!("{record:?}, but first: {:?}", self.entries.front()),
        }
    }

    /// Takes note of what a note says about the stream.
    fn follow(&mut self, note: &Told) {
        match *note {
            Told::Format {
                position, format, ..
            } => {
                self.format = Some(format);
                self.position = position;
            }
            Told::State {
                position, state, ..
            } => {
                self.state = Some(state);
                self.position = position;
            }
            Told::Volume {
                position,
                gain,
                on,
                time,
                ..
            } => {
                self.volume = Some((gain, on, time));
                self.position = position;
            }
            _ => unreachable!("frames are not notes"),
        }
    }

    /// Removes the oldest run if all of it is told, unless it may go on.
    fn close_run(&mut self) {
        if let Some(Entry::Run(Run { count: 0, .. })) = self.entries.front() {
            if self.entries.len() > 1 {
                self.entries.pop_front();
            }
        }
    }
}

/// Whether a stream is under way in this state.
pub(crate) fn is_active(state: State) -> bool {
    !matches!(state, State::Stop | State::Xrun)
}
