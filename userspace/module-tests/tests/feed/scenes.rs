// SPDX-License-Identifier: GPL-2.0

//! Scenes: what happens, and the records that tell it, written out.

use rtshm_module_tests::{
    abi::record::{
        State,
        RESYNC,
        SPANS_STREAMS, //
    },
    feed::Feed, //
};

use super::{
    card::{
        due,
        sample,
        Config, //
    },
    rig::Rig,
    told::{
        Samples,
        Told, //
    }, //
};

/// A ring with room for everything in a scene.
pub(crate) const AMPLE: u64 = 1 << 20;
/// A ring of 64 records of the smallest size.
pub(crate) const TIGHT: u64 = 4096;

const MONO: Config = Config::new(44_100, 1, 441, 221);
pub(crate) const STEREO: Config = Config::new(48_000, 2, 1024, 256);
const WIDE: Config = Config::new(48_000, 64, 48, 24);
/// Chunks of 128 bytes in the ring: 16 frames, and 32 bytes of headers.
pub(crate) const SMALL: Config = Config::new(48_000, 1, 64, 16);

pub(crate) fn format(config: Config) -> Told {
    format_again(config, 0, 0)
}

pub(crate) fn format_again(config: Config, flags: u16, position: u64) -> Told {
    Told::Format {
        flags,
        position,
        format: config.format(),
    }
}

pub(crate) fn state(state: State, position: u64, time: u64) -> Told {
    state_again(state, 0, position, time)
}

pub(crate) fn state_again(state: State, flags: u16, position: u64, time: u64) -> Told {
    Told::State {
        flags,
        position,
        state,
        time,
    }
}

/// The volume at `position`, which never was any other.
fn unity_again(position: u64) -> Told {
    Told::Volume {
        flags: RESYNC,
        position,
        gain: 0,
        on: true,
        time: 0,
    }
}

/// A chunk that begins with frame number `first` of all, at `position` of the stream.
pub(crate) fn audio(config: Config, position: u64, first: u64, frames: u32) -> Told {
    let numbers = first..first + u64::from(frames);
    let samples = numbers.flat_map(|frame| (0..config.channels).map(move |c| sample(frame, c)));
    Told::Audio {
        position,
        time: due(first),
        frames,
        samples: Samples(samples.collect()),
    }
}

pub(crate) fn lost(position: u64, first: u64, frames: u64) -> Told {
    lost_with(0, position, first, frames)
}

pub(crate) fn lost_with(flags: u16, position: u64, first: u64, frames: u64) -> Told {
    Told::Lost {
        flags,
        position,
        frames,
        time: due(first),
    }
}

/// Plays and starts streams until the ring has no room for a `SMALL` chunk and for no other record,
/// and reads nothing. The consumer has been told all that happened, up to the frame at the result.
pub(crate) fn fill(rig: &mut Rig) -> u64 {
    rig.start(SMALL);
    while rig.free() >= 128 {
        rig.play(16);
    }
    let position = rig.position();
    assert_eq!(
        rig.free(),
        0,
        "notes and chunks fill a ring of 4096 bytes to the end"
    );
    position
}

// Streams.

#[test]
fn a_stream_from_start_to_stop() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(STEREO);
    let start = rig.now();
    rig.play(300);
    // The chunk under way is not published yet, and the frames are the very ones that were played.
    let expected = [
        format(STEREO),
        state(State::Start, 0, start),
        audio(STEREO, 0, 0, 256),
    ];
    assert_eq!(rig.read_all(), expected);

    rig.play(1000);
    rig.change(State::Drain);
    let drain = rig.now();
    rig.play(7);
    rig.change(State::Stop);
    let expected = [
        audio(STEREO, 256, 256, 256),
        audio(STEREO, 512, 512, 256),
        audio(STEREO, 768, 768, 256),
        audio(STEREO, 1024, 1024, 256),
        audio(STEREO, 1280, 1280, 20),
        state(State::Drain, 1300, drain),
        audio(STEREO, 1300, 1300, 7),
        state(State::Stop, 1307, rig.now()),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// The consumer may see a chunk only when it is whole.
#[test]
fn a_chunk_comes_with_its_last_frame() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(MONO);
    rig.read_all();
    for _ in 0..220 {
        rig.play(1);
        assert_eq!(rig.unread(), 0);
    }
    rig.play(1);
    assert_eq!(rig.read_all(), [audio(MONO, 0, 0, 221)]);
    rig.play(220);
    assert_eq!(rig.read_all(), [audio(MONO, 221, 221, 220)]);
    rig.play(221);
    assert_eq!(rig.read_all(), [audio(MONO, 441, 441, 221)]);
}

/// Every change of state ends the chunk under way; after it a chunk goes on to where it would have
/// ended.
#[test]
fn changes_of_state_divide_chunks() {
    for change in [State::Pause, State::Suspend, State::Drain] {
        let mut rig = Rig::attached(AMPLE);
        rig.start(STEREO);
        rig.read_all();
        rig.play(100);
        rig.change(change);
        let changed = rig.now();
        rig.change(State::Resume);
        let resumed = rig.now();
        rig.play(156);
        let expected = [
            audio(STEREO, 0, 0, 100),
            state(change, 100, changed),
            state(State::Resume, 100, resumed),
            audio(STEREO, 100, 100, 156),
        ];
        assert_eq!(rig.read_all(), expected);
    }
    for end in [State::Stop, State::Xrun] {
        let mut rig = Rig::attached(AMPLE);
        rig.start(STEREO);
        rig.read_all();
        rig.play(257);
        rig.change(end);
        let expected = [
            audio(STEREO, 0, 0, 256),
            audio(STEREO, 256, 256, 1),
            state(end, 257, rig.now()),
        ];
        assert_eq!(rig.read_all(), expected);
    }
}

/// Where nothing was played in between there is no empty chunk.
#[test]
fn states_without_frames() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(STEREO);
    let start = rig.now();
    rig.change(State::Drain);
    let drain = rig.now();
    rig.change(State::Stop);
    let expected = [
        format(STEREO),
        state(State::Start, 0, start),
        state(State::Drain, 0, drain),
        state(State::Stop, 0, rig.now()),
    ];
    assert_eq!(rig.read_all(), expected);
}

#[test]
fn a_format_comes_before_every_stream() {
    let mut rig = Rig::attached(AMPLE);
    let mut first = 0;
    for config in [MONO, STEREO, STEREO, WIDE, MONO] {
        rig.start(config);
        let start = rig.now();
        rig.play(config.chunk);
        rig.change(State::Stop);
        let expected = [
            format(config),
            state(State::Start, 0, start),
            audio(config, 0, first, config.chunk),
            state(State::Stop, config.chunk.into(), rig.now()),
        ];
        assert_eq!(rig.read_all(), expected);
        first += u64::from(config.chunk);
    }
}

/// What was prepared and not started is not worth a record; the last one counts.
#[test]
fn prepared_anew() {
    let mut rig = Rig::attached(AMPLE);
    rig.prepare(MONO);
    rig.prepare(WIDE);
    rig.prepare(STEREO);
    assert_eq!(rig.unread(), 0);
    rig.change(State::Start);
    let expected = [format(STEREO), state(State::Start, 0, rig.now())];
    assert_eq!(rig.read_all(), expected);
}

/// 64 channels, many times around the ring.
#[test]
fn many_times_around() {
    let mut rig = Rig::attached(64 << 10);
    rig.start(WIDE);
    let (mut chunks, mut rounds) = (0, 0);
    while rounds < 50 * rig.capacity() {
        rig.play(17);
        for told in rig.read_all() {
            if let Told::Audio { frames, .. } = told {
                chunks += 1;
                rounds += WIDE.stored(frames);
            }
        }
    }
    assert_eq!(rig.feed.totals().chunks, chunks);
    assert_eq!(rig.feed.totals().lost_frames, 0);
}

/// A chunk that is open when the application prepares anew is told as what it was. (ALSA stops the
/// stream before.)
#[test]
fn prepared_in_mid_chunk() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(STEREO);
    rig.read_all();
    rig.play(100);
    rig.prepare(MONO);
    assert_eq!(rig.read_all(), [audio(STEREO, 0, 0, 100)]);
    rig.change(State::Start);
    let started = rig.now();
    rig.play(221);
    let expected = [
        format(MONO),
        state(State::Start, 0, started),
        audio(MONO, 0, 100, 221),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// To skip nothing is nothing, also inside of a chunk, whatever comes of that.
#[test]
fn nothing_skipped() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(STEREO);
    rig.read_all();
    rig.play(100);
    rig.skip(0);
    rig.play(156);
    assert_eq!(rig.read_all(), [audio(STEREO, 0, 0, 256)]);

    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(5);
    rig.read_all();
    rig.skip(0);
    assert!(!rig.settle());
    rig.play(11 + 16);
    let expected = [lost(end, end, 16), audio(SMALL, end + 16, end + 16, 16)];
    assert_eq!(rig.read_all(), expected);
}

#[test]
fn skipped_frames_are_lost() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(STEREO);
    rig.play(300);
    rig.read_all();
    rig.skip(1000);
    rig.skip(0);
    rig.play(236 + 1);
    let expected = [
        audio(STEREO, 256, 256, 44),
        lost(300, 300, 1000),
        audio(STEREO, 1300, 1300, 236),
    ];
    assert_eq!(rig.read_all(), expected);
}

// Consumers that come and go.

/// A consumer that was not there sees nothing of what was played before.
#[test]
fn attached_in_mid_chunk() {
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.play(1024 + 100);
    rig.attach();
    assert_eq!(rig.unread(), 0, "nothing is known yet of what it comes to");
    rig.play(156 + 256 + 5);
    let expected = [
        format_again(STEREO, RESYNC, 1124),
        state_again(State::Start, RESYNC, 1124, due(1124)),
        audio(STEREO, 1124, 1124, 156),
        audio(STEREO, 1280, 1280, 256),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// The stream is told with the first frames, or at once where none will come.
#[test]
fn attached_in_every_state() {
    for (changes, last) in [
        (&[State::Start][..], State::Start),
        (&[State::Start, State::Pause], State::Pause),
        (&[State::Start, State::Suspend], State::Suspend),
        (&[State::Start, State::Pause, State::Resume], State::Resume),
        (&[State::Start, State::Drain], State::Drain),
    ] {
        let mut rig = Rig::new(AMPLE);
        rig.prepare(MONO);
        for &change in changes {
            rig.change(change);
            if ![State::Pause, State::Suspend].contains(&change) {
                rig.play(10);
            }
        }
        rig.attach();
        let (position, attached) = (rig.position(), rig.now());
        let is_paused = [State::Pause, State::Suspend].contains(&last);
        assert_eq!(rig.unread(), if is_paused { 2 * 64 } else { 0 });
        if is_paused {
            rig.change(State::Resume);
        }
        let resumed = rig.now();
        rig.settle();
        let left = 221 - position as u32;
        rig.play(left);
        let time = if is_paused { attached } else { due(position) };
        let mut expected = vec![
            format_again(MONO, RESYNC, position),
            state_again(last, RESYNC, position, time),
        ];
        if is_paused {
            expected.push(state(State::Resume, position, resumed));
        }
        expected.push(audio(MONO, position, position, left));
        assert_eq!(rig.read_all(), expected);
    }
}

/// A consumer comes between two pieces of a chunk. What is handed over later and was due earlier is
/// not for it, and is not lost either.
#[test]
fn attached_ahead_of_what_is_due() {
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.play(100);
    // In the middle of the frame before the one at 140.
    rig.attach_at(due(139) + 5000);
    for _ in 0..4 {
        rig.play(10);
        assert!(rig.settle());
        assert_eq!(rig.unread(), 0);
    }
    assert_eq!(rig.take_news(), None);
    rig.play(10);
    assert_eq!(rig.take_news(), Some(true), "FORMAT and STATE");
    rig.play(106);
    let expected = [
        format_again(STEREO, RESYNC, 140),
        state_again(State::Start, RESYNC, 140, due(140)),
        audio(STEREO, 140, 140, 116),
    ];
    assert_eq!(rig.read_all(), expected);
    let totals = rig.feed.totals();
    assert_eq!((totals.frames, totals.lost_frames), (116, 0));
}

/// It is the first frame of a piece that counts: a piece that was due in part is not taken apart.
#[test]
fn attached_inside_of_a_piece() {
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.attach_at(due(0) + 1);
    rig.play(256 + 256);
    let expected = [
        format_again(STEREO, RESYNC, 256),
        state_again(State::Start, RESYNC, 256, due(256)),
        audio(STEREO, 256, 256, 256),
    ];
    assert_eq!(rig.read_all(), expected);

    // The same where it is skipped.
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.attach_at(due(0) + 1);
    rig.skip(300);
    assert_eq!((rig.unread(), rig.feed.is_owing()), (0, false));
    rig.play(212);
    let expected = [
        format_again(STEREO, RESYNC, 300),
        state_again(State::Start, RESYNC, 300, due(300)),
        audio(STEREO, 300, 300, 212),
    ];
    assert_eq!(rig.read_all(), expected);
    assert_eq!(rig.feed.totals().lost_frames, 0);
}

/// To the nanosecond: a frame that is due as the consumer comes is for it.
#[test]
fn attached_just_as_a_frame_is_due() {
    for (nanos, first) in [(-1, 64), (0, 64), (1, 80)] {
        let mut rig = Rig::new(AMPLE);
        rig.start(SMALL);
        rig.play(48);
        rig.attach_at(due(64).saturating_add_signed(nanos));
        rig.play(16);
        assert_eq!(rig.unread(), 0);
        rig.play(32);
        let expected = [
            format_again(SMALL, RESYNC, first),
            state_again(State::Start, RESYNC, first, due(first)),
            audio(SMALL, first, first, 16),
        ];
        assert_eq!(rig.read_all()[..3], expected);
    }
}

/// What nobody can have is lost to a consumer that is there when it is due.
#[test]
fn attached_and_then_skipped() {
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.play(100);
    rig.attach_at(due(100));
    rig.skip(0);
    assert_eq!((rig.unread(), rig.feed.is_owing()), (0, false));
    rig.skip(300);
    let expected = [
        format_again(STEREO, RESYNC, 100),
        state_again(State::Start, RESYNC, 100, due(100)),
    ];
    assert_eq!(rig.read_all(), expected);
    rig.play(112);
    let expected = [lost(100, 100, 300), audio(STEREO, 400, 400, 112)];
    assert_eq!(rig.read_all(), expected);
}

/// A change of state comes before any frame, whether or not frames were due earlier: the consumer
/// learns what it was that changed, there and then.
#[test]
fn attached_right_before_a_change_of_state() {
    for change in [State::Pause, State::Drain, State::Stop, State::Xrun] {
        for passed in [0, 10] {
            let mut rig = Rig::new(AMPLE);
            rig.start(STEREO);
            rig.play(100);
            rig.attach_at(due(110));
            rig.play(passed);
            let position = 100 + u64::from(passed);
            rig.change(change);
            let changed = rig.now();
            let expected = [
                format_again(STEREO, RESYNC, position),
                state_again(State::Start, RESYNC, position, changed),
                state(change, position, changed),
            ];
            assert_eq!(rig.read_all(), expected);
            if ![State::Pause, State::Drain].contains(&change) {
                continue;
            }
            // From here on it is a consumer as any other, also for what was due before it came.
            rig.change(State::Resume);
            let resumed = rig.now();
            rig.play(256 - position as u32);
            let expected = [
                state(State::Resume, position, resumed),
                audio(STEREO, position, position, 256 - position as u32),
            ];
            assert_eq!(rig.read_all(), expected);
        }
    }
}

/// Who goes before anything was due is forgotten, and so is when it came.
#[test]
fn attached_and_gone_again() {
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.attach_at(due(1000));
    rig.play(100);
    rig.detach();
    rig.play(28);
    rig.attach_at(due(128));
    rig.play(128);
    let expected = [
        format_again(STEREO, RESYNC, 128),
        state_again(State::Start, RESYNC, 128, due(128)),
        audio(STEREO, 128, 128, 128),
    ];
    assert_eq!(rig.read_all(), expected);

    // It was for a stream that is over when the next one comes.
    rig.detach();
    rig.attach_at(due(5000));
    rig.detach();
    rig.change(State::Stop);
    rig.attach();
    assert_eq!(rig.unread(), 0);
    rig.start(MONO);
    let started = rig.now();
    rig.play(221);
    let expected = [
        format(MONO),
        state(State::Start, 0, started),
        audio(MONO, 0, 256, 221),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// Where no stream is under way there is nothing to tell, until one starts.
#[test]
fn attached_between_streams() {
    for end in [None, Some(State::Stop), Some(State::Xrun)] {
        let mut rig = Rig::new(AMPLE);
        if let Some(end) = end {
            rig.start(MONO);
            rig.play(500);
            rig.change(end);
        }
        rig.prepare(STEREO);
        rig.attach();
        assert_eq!(rig.read_all(), []);
        rig.change(State::Start);
        let expected = [format(STEREO), state(State::Start, 0, rig.now())];
        assert_eq!(rig.read_all(), expected);
    }
}

/// What was under way for one consumer is not for the next, and neither is what was owed.
#[test]
fn one_consumer_after_the_other() {
    let mut rig = Rig::attached(TIGHT);
    let position = fill(&mut rig);
    rig.play(40);
    assert!(rig.feed.is_owing());
    rig.detach();
    rig.play(3);
    rig.change(State::Pause);
    rig.attach();
    let attached = rig.now();
    rig.change(State::Resume);
    let resumed = rig.now();
    let position = position + 43;
    rig.play(5);
    rig.detach();
    rig.play(16);
    rig.attach();
    rig.play(16);
    let again = position + 21;
    let expected = [
        format_again(SMALL, RESYNC, again),
        state_again(State::Resume, RESYNC, again, due(again)),
        audio(SMALL, again, again, 16 - (again % 16) as u32),
    ];
    assert_eq!(rig.read_all(), expected);
    assert!(attached < resumed);
}

#[test]
fn nobody_listens() {
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.play(1000);
    rig.skip(1000);
    rig.change(State::Pause);
    rig.change(State::Resume);
    rig.change(State::Xrun);
    assert!(rig.settle());
    assert!(!rig.inspect());
    assert_eq!(rig.take_news(), None);
    let totals = rig.feed.totals();
    assert_eq!((totals.streams, totals.xruns), (1, 1));
    assert_eq!(
        (totals.chunks, totals.frames, totals.lost_frames),
        (0, 0, 0)
    );
}

// Consumers that are slow.

/// Losses are in whole chunks, and told with the next chunk that fits.
#[test]
fn a_full_ring_loses_chunks() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16 + 16 + 5);
    assert_eq!(rig.free(), 0);
    let before = rig.read_all();
    assert_eq!(before.len(), 2 + (TIGHT as usize - 2 * 64) / 128);
    // The chunk under way is lost to its end, although there is room now.
    rig.play(11 + 16);
    let expected = [lost(end, end, 48), audio(SMALL, end + 48, end + 48, 16)];
    assert_eq!(rig.read_all(), expected);
}

/// A poll inside of a chunk that is being refused finds room and tells nothing: what is left of the
/// chunk belongs to the same gap.
#[test]
fn a_poll_does_not_divide_a_gap() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16 + 5);
    assert!(!rig.settle(), "it cannot fit");
    rig.read_all();
    rig.take_news();
    assert!(!rig.settle(), "there is room, but more is lost already");
    rig.play(10);
    assert!(!rig.settle());
    assert_eq!((rig.unread(), rig.take_news()), (0, None));
    rig.play(1 + 16);
    let expected = [lost(end, end, 32), audio(SMALL, end + 32, end + 32, 16)];
    assert_eq!(rig.read_all(), expected);
    assert_eq!(rig.feed.totals().lost_records, 1);
}

/// As soon as the chunk is over, the gap may be told at a poll.
#[test]
fn a_gap_is_told_at_a_poll() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16 + 5);
    rig.read_all();
    rig.play(11);
    assert!(rig.settle());
    assert_eq!(rig.read_all(), [lost(end, end, 32)]);
    rig.play(16);
    assert_eq!(rig.read_all(), [audio(SMALL, end + 32, end + 32, 16)]);
}

/// A change of state ends the chunk and with it the gap.
#[test]
fn a_gap_ends_with_the_state() {
    for change in [State::Pause, State::Drain, State::Stop] {
        let mut rig = Rig::attached(TIGHT);
        let end = fill(&mut rig);
        rig.play(5);
        rig.read_all();
        assert!(!rig.settle());
        rig.change(change);
        let expected = [lost(end, end, 5), state(change, end + 5, rig.now())];
        assert_eq!(rig.read_all(), expected);
    }
}

/// Frames that nobody can have go on with the gap. What then comes of the chunk fits again.
#[test]
fn a_gap_with_skipped_frames() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(5);
    rig.read_all();
    rig.skip(3);
    rig.play(8 + 16);
    let expected = [
        lost(end, end, 8),
        audio(SMALL, end + 8, end + 8, 8),
        audio(SMALL, end + 16, end + 16, 16),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// A loss is not told before a chunk fits behind it: however slowly the consumer reads, one gap is
/// one record.
#[test]
fn a_gap_is_one_loss() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    let mut lost_frames = 0;
    // 64 bytes for the loss and 128 for a chunk: what is read brings 64, 64, and 128.
    for fits in [false, false, true] {
        rig.play(16);
        assert_eq!(rig.free() % 64, 0);
        lost_frames += 16;
        assert!(!rig.settle());
        rig.read();
        assert_eq!(rig.free() >= 64 + 128, fits);
    }
    rig.play(16);
    assert_eq!(rig.free(), 256 - 64 - 128);
    let told = rig.read_all();
    let expected = [
        lost(end, end, lost_frames),
        audio(SMALL, end + lost_frames, end + lost_frames, 16),
    ];
    assert_eq!(told[told.len() - 2..], expected);
}

/// Of a stream that is over everything is told as soon as it fits.
#[test]
fn after_the_end_no_chunk_need_fit() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    rig.change(State::Stop);
    assert!(!rig.settle());
    rig.read();
    assert!(!rig.settle(), "it is two records");
    rig.read();
    assert!(rig.settle());
    assert_eq!(rig.free(), 0);
    let told = rig.read_all();
    let expected = [lost(end, end, 16), state(State::Stop, end + 16, rig.now())];
    assert_eq!(told[told.len() - 2..], expected);
}

/// A chunk that can never fit is lost, always, and told in the end. (The card has no such chunks.)
#[test]
fn a_chunk_larger_than_the_ring() {
    let mut rig = Rig::attached(TIGHT);
    let capacity = rig.capacity() as u32;
    let feed = &mut rig.feed;
    feed.prepare(Config::new(48_000, 1, capacity, capacity).format());
    feed.state(State::Start, 1);
    for _ in 0..100 {
        feed.audio(77, capacity, |_| 2, |_| panic!("there is no place for it"));
        assert!(!feed.settle());
    }
    feed.state(State::Stop, 3);
    assert!(!feed.is_owing());
    assert_eq!(feed.totals().lost_frames, 7700);
    // VOLUME, FORMAT, STATE, LOST, STATE.
    assert_eq!(feed.write_count(), 5 * 64);
}

/// A chunk that fits exactly into what is free fits.
#[test]
fn the_last_free_byte() {
    let mut rig = Rig::attached(TIGHT);
    fill(&mut rig);
    rig.read_bytes(127);
    let lost = rig.feed.totals().lost_frames;
    rig.play(16);
    assert_eq!(rig.feed.totals().lost_frames, lost + 16);

    let mut rig = Rig::attached(TIGHT);
    fill(&mut rig);
    rig.read_bytes(128);
    rig.play(16);
    assert_eq!(rig.free(), 0);
    assert_eq!(rig.feed.totals().lost_frames, 0);
}

/// Eight records are kept one by one.
#[test]
fn a_stall_of_eight_records() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    rig.change(State::Stop);
    let stop = rig.now();
    let first = rig.consumed();
    rig.start(STEREO);
    let start = rig.now();
    rig.play(100);
    rig.change(State::Pause);
    let pause = rig.now();
    rig.change(State::Resume);
    let resume = rig.now();
    rig.play(1);
    // Whatever is played now continues the last one. It ends with a chunk.
    rig.play(1000 + 179);
    rig.read_all();
    assert!(rig.settle());
    let expected = [
        lost(end, end, 16),
        state(State::Stop, end + 16, stop),
        format(STEREO),
        state(State::Start, 0, start),
        lost(0, first, 100),
        state(State::Pause, 100, pause),
        state(State::Resume, 100, resume),
        lost(100, first + 100, 1180),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// With a ninth all losses are one, and the stream is described anew: here by a change of state.
#[test]
fn a_stall_that_ends_in_a_change_of_state() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    rig.change(State::Pause);
    rig.change(State::Stop);
    rig.start(MONO);
    rig.play(221 + 1);
    rig.change(State::Stop);
    // Seven so far; these are the eighth and the ninth.
    rig.start(STEREO);
    let start = rig.now();
    let frames = 16 + 222;
    rig.read_all();
    assert!(rig.settle());
    rig.play(256);
    let expected = [
        lost_with(SPANS_STREAMS, end, end, frames),
        unity_again(0),
        format_again(STEREO, RESYNC, 0),
        state_again(State::Start, RESYNC, 0, start),
        audio(STEREO, 0, end + frames, 256),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// As above, but it is a loss that is one too many. The stream is told as it is behind the loss.
#[test]
fn a_stall_that_ends_in_a_loss() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    rig.change(State::Stop);
    rig.start(STEREO);
    rig.play(200);
    rig.change(State::Pause);
    rig.change(State::Resume);
    rig.change(State::Drain);
    // Eight so far; this is the ninth.
    rig.play(56);
    let told = rig.read_all();
    assert_eq!(told.last(), Some(&audio(SMALL, end - 16, end - 16, 16)));
    assert!(rig.settle());
    rig.play(256);
    let behind = end + 16 + 256;
    let expected = [
        lost_with(SPANS_STREAMS, end, end, 16 + 256),
        unity_again(256),
        format_again(STEREO, RESYNC, 256),
        state_again(State::Drain, RESYNC, 256, due(behind)),
        audio(STEREO, 256, behind, 256),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// The same with frames that are skipped.
#[test]
fn a_stall_that_ends_in_a_skip() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    for _ in 0..3 {
        rig.change(State::Pause);
        rig.change(State::Resume);
    }
    rig.change(State::Drain);
    // Eight so far; this is the ninth.
    rig.skip(1000);
    // And this is one of its own, as the stream was described in between.
    rig.play(16 - (end as u32 + 1016) % 16);
    rig.read_all();
    assert!(rig.settle());
    let behind = end + 1016;
    let told = rig.read_all();
    let expected = [
        lost_with(SPANS_STREAMS, end, end, 1016),
        unity_again(behind),
        format_again(SMALL, RESYNC, behind),
        state_again(State::Drain, RESYNC, behind, due(behind)),
        lost(behind, behind, rig.position() - behind),
    ];
    assert_eq!(told, expected);
}

/// A stall over many streams, however long, comes to four records.
#[test]
fn a_stall_of_a_hundred_streams() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    for round in 0..100 {
        rig.play(37);
        rig.change(State::Pause);
        rig.change(State::Resume);
        rig.change(if round % 3 == 0 {
            State::Xrun
        } else {
            State::Stop
        });
        rig.start(if round % 2 == 0 { MONO } else { SMALL });
        rig.skip(round % 5);
    }
    let skipped = 20 * (1 + 2 + 3 + 4);
    assert_eq!(rig.consumed(), end + 3700 + skipped);
    rig.change(State::Stop);
    while rig.feed.is_owing() {
        rig.start(STEREO);
        rig.read_all();
        rig.settle();
    }
    rig.play(1);
    rig.change(State::Stop);
    let spanning = |told: &&Told| {
        matches!(
            told,
            Told::Lost {
                flags: SPANS_STREAMS,
                ..
            }
        )
    };
    let told = rig.read_all();
    assert!(told.iter().filter(spanning).count() <= 1);
    assert_eq!(rig.ledger.lost_frames, 3700 + skipped);
    assert_eq!(rig.ledger.untold_frames(), 0);
}

/// Where no stream is under way there is no format to tell.
#[test]
fn a_stall_that_ends_in_silence() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    for _ in 0..3 {
        rig.change(State::Stop);
        rig.start(MONO);
    }
    let last = rig.consumed();
    rig.play(221);
    rig.change(State::Xrun);
    let xrun = rig.now();
    rig.read_all();
    assert!(rig.settle());
    let told = rig.read_all();
    assert_eq!(last, end + 16);
    // Collapsed when the third stream started; the rest is told one by one.
    let expected = [lost(0, last, 221), state(State::Xrun, 221, xrun)];
    assert_eq!(told[told.len() - 2..], expected);

    // And now so that it is the end of a stream that is one too many.
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    rig.change(State::Stop);
    rig.start(MONO);
    rig.play(221);
    for change in [State::Pause, State::Resume, State::Drain, State::Stop] {
        rig.change(change);
    }
    rig.read_all();
    assert!(rig.settle());
    let expected = [
        lost_with(SPANS_STREAMS, end, end, 16 + 221),
        unity_again(221),
        state_again(State::Stop, RESYNC, 221, rig.now()),
    ];
    assert_eq!(rig.read_all(), expected);
    rig.start(STEREO);
    let expected = [format(STEREO), state(State::Start, 0, rig.now())];
    assert_eq!(rig.read_all(), expected);
}

/// Too many records and no frame among them: only the stream is described anew.
#[test]
fn a_stall_without_a_loss() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    for _ in 0..5 {
        rig.change(State::Pause);
        rig.change(State::Resume);
    }
    rig.read_all();
    assert!(rig.settle());
    rig.change(State::Pause);
    let told = rig.read_all();
    assert_eq!(told[0], unity_again(end));
    assert_eq!(told[1], format_again(SMALL, RESYNC, end));
    assert!(matches!(
        told[2],
        Told::State {
            flags: RESYNC,
            state: State::Pause,
            ..
        }
    ));
    assert_eq!(told.last(), Some(&state(State::Pause, end, rig.now())));
}

// Consumers that lie.

/// A counter that passes what was written, or goes back behind what was given back.
#[test]
fn a_hostile_consumer_is_found_once() {
    let too_far = |_: &Rig| u64::MAX;
    let a_record_too_far = |rig: &Rig| rig.feed.write_count() + 64;
    let half_the_numbers = |rig: &Rig| rig.feed.write_count() + (1 << 63);
    let back = |rig: &Rig| rig.feed.write_count() - rig.capacity() - 64;
    let back_to_nothing = |_: &Rig| 0;
    let lies: [&dyn Fn(&Rig) -> u64; 5] = [
        &too_far,
        &a_record_too_far,
        &half_the_numbers,
        &back,
        &back_to_nothing,
    ];
    for lie in lies {
        let mut rig = Rig::attached(TIGHT);
        for _ in 0..4 {
            // A few times around, and full: the producer knows how far the consumer was.
            while rig.free() >= 128 || rig.feed.totals().chunks == 0 {
                if rig.state().is_none() {
                    rig.start(SMALL);
                }
                rig.play(16);
            }
            rig.play(16);
            rig.read_all();
            rig.settle();
            rig.read_all();
        }
        while rig.free() >= 128 {
            rig.play(16);
        }
        rig.play(16);
        rig.take_news();
        assert_eq!(rig.feed.totals().faults, 0);

        let write_count = rig.feed.write_count();
        let count = lie(&rig);
        rig.write_read_count(count);
        rig.play(16);
        assert!(rig.feed.is_faulty());
        assert_eq!(rig.take_news(), Some(true), "somebody has to be told");
        // It is not believed again, and neither is it counted again; the application goes on.
        rig.write_read_count(write_count);
        for _ in 0..20 {
            rig.play(50);
            rig.change(State::Pause);
            rig.change(State::Resume);
            rig.settle();
            assert!(rig.inspect());
        }
        rig.change(State::Stop);
        rig.start(STEREO);
        rig.play(1000);
        assert_eq!(rig.feed.write_count(), write_count);
        assert_eq!(rig.take_news(), None);
        let totals = rig.feed.totals();
        assert_eq!((totals.faults, totals.streams), (1, 2));

        // The next consumer is not to blame.
        rig.detach();
        assert!(!rig.feed.is_faulty());
        rig.attach();
        assert!(!rig.feed.is_faulty());
        rig.play(24 + 256);
        assert_eq!(rig.read_all().len(), 2 + 2);
        rig.write_read_count(u64::MAX);
        assert!(rig.inspect());
        assert_eq!(rig.feed.totals().faults, 2);
    }
}

/// The kernel looks when it is asked to, also while it fills a chunk. Nothing is written any more,
/// not even that chunk: its frames count as lost.
#[test]
fn a_hostile_consumer_is_found_in_mid_chunk() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(STEREO);
    rig.play(100);
    assert!(!rig.inspect());
    let write_count = rig.feed.write_count();
    rig.write_read_count(write_count + 1);
    assert!(rig.inspect());
    assert!(rig.inspect());
    assert_eq!(rig.feed.totals().faults, 1);
    rig.play(156);
    rig.play(44);
    rig.change(State::Stop);
    assert_eq!(rig.feed.write_count(), write_count);
    let totals = rig.feed.totals();
    assert_eq!((totals.frames, totals.lost_frames), (0, 300));
}

// Waking, and the rest.

#[test]
fn news_are_urgent_unless_they_are_audio() {
    let mut rig = Rig::attached(TIGHT);
    assert_eq!(rig.take_news(), None);
    rig.prepare(SMALL);
    assert_eq!(rig.take_news(), None);
    rig.change(State::Start);
    assert_eq!(rig.take_news(), Some(true), "FORMAT and STATE");
    rig.play(15);
    assert_eq!(rig.take_news(), None, "nothing is published");
    rig.play(1);
    assert_eq!(rig.take_news(), Some(false), "AUDIO");
    rig.play(5);
    rig.change(State::Pause);
    assert_eq!(rig.take_news(), Some(true), "AUDIO and STATE");
    rig.change(State::Resume);
    rig.play(11);
    assert_eq!(rig.take_news(), Some(true), "STATE and AUDIO");
    while rig.free() >= 128 {
        rig.play(16);
    }
    rig.play(5);
    assert_eq!(rig.take_news(), Some(false));
    rig.play(11);
    assert_eq!(rig.take_news(), None, "it did not fit");
    rig.read_all();
    rig.settle();
    assert_eq!(rig.take_news(), Some(true), "LOST");
    rig.detach();
    rig.attach();
    assert_eq!(rig.take_news(), None, "nothing is due yet");
    rig.play(15);
    assert_eq!(rig.take_news(), Some(true), "FORMAT and STATE again");
    rig.play(1);
    rig.detach();
    assert_eq!(rig.take_news(), None, "news are for the one who is there");
}

#[test]
fn wakeups_are_counted() {
    let mut rig = Rig::attached(AMPLE);
    rig.wake();
    rig.start(STEREO);
    rig.wake();
    rig.detach();
    rig.wake();
    rig.attach();
    assert_eq!(rig.feed.totals().wakeups, 3);
}

/// A feed before anything happened to it.
#[test]
fn nothing_at_all() {
    let mut feed = Feed::new(0);
    assert!(feed.settle());
    assert!(!feed.inspect());
    assert!(!feed.is_owing());
    assert!(!feed.is_faulty());
    assert!(feed.take_news().is_none());
    assert_eq!(feed.last_state(), None);
    assert_eq!(feed.write_count(), 0);
    feed.detach();

    let mut rig = Rig::attached(AMPLE);
    assert_eq!(rig.read_all(), []);
    assert!(rig.settle());
    assert!(!rig.inspect());
    rig.detach();
}

/// Positions at the end of all numbers: nothing panics, with overflow checks.
#[test]
fn extremes() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(SMALL);
    rig.play(16);
    rig.read_all();
    let feed = &mut rig.feed;
    for _ in 0..3 {
        feed.skip(u64::MAX, |_| u64::MAX);
        feed.audio(0, 16, |_| 0, |_| panic!("there is nothing to convert"));
        feed.audio(16, 16, |_| u64::MAX, |out| assert_eq!(out.len(), 16));
    }
    assert!(feed.settle());
}
