// SPDX-License-Identifier: MIT OR GPL-2.0

//! Eager delivery: chunks are in the ring when the application has written them, and all else is as
//! ever.

use std::os::fd::RawFd;
use std::time::Duration;

use alsa::ctl::ElemType;
use alsa::pcm::{Format, State as PcmState, PCM};
use alsa::poll::Descriptors;
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use rtshm::{Consumer, State};

use super::tests;
use crate::app::{aplay, App, Setup};
use crate::controls::Element;
use crate::material::{noise, numbered, Material};
use crate::module;
use crate::recording::Microphone;
use crate::storm::call::{ioctl, request};
use crate::tape::{attach, only_take, pop_all, summary, takes, Entry, Recorder, Take};
use crate::time::{nanos, now, sleep_ms, wait_until};

tests!(eager: in_the_ring_at_once, mapped, small_writes, drain, pause, drop_cancels, late, nonstop, formats, small_ring, read_when_due, hoarder, joins_in_the_middle, next_consumer, two_modes, no_way_back, recorded, recorded_closely, chunk_by_chunk);

const EAGER: &str = "eager=1";
const EAGER_SMALL_RING: &str = "ring_kib=64 eager=1";

/// More than the tests play, so that all of it can be written at once.
const LONG: Setup = Setup {
    format: Format::S16LE,
    channels: 2,
    rate: 48_000,
    period: 1024,
    buffer: 131_072,
    mmap: false,
    planar: false,
    start_threshold: None,
    nonstop: false,
};

fn delivery() -> Result<Element> {
    Element::pcm(c"Delivery", ElemType::Enumerated)
}

fn all_there_is(consumer: &mut Consumer) -> Result<Vec<Entry>> {
    let mut tape = Vec::new();
    pop_all(consumer, &mut tape)?;
    Ok(tape)
}

fn frames(tape: &[Entry]) -> u64 {
    tape.iter()
        .map(|entry| match entry {
            Entry::Audio { chunk, .. } => chunk.frames,
            _ => 0,
        })
        .sum()
}

/// Where the card was at the change of this state.
fn position_of(take: &Take, state: State) -> Result<u64> {
    let change = take.changes.iter().find(|change| change.state == state);
    Ok(change.with_context(|| format!("no {state:?}"))?.position)
}

/// All that was written is there when the call returns, be it less than a chunk: with a period of
/// 1024 frames the clock delivers the first 256 after 5 ms, and all of it lasts 1.4 s.
fn at_once(setup: &Setup) -> Result<()> {
    module::ready_with(EAGER)?;
    let material = numbered(0, 66_000);
    let mut consumer = attach()?;
    let app = App::open(setup)?;
    let mut tape = Vec::new();
    // A third of a second first, so that a busy host does not make the application late.
    let writes = [16_000, 1, 64, 911, 1_024].into_iter().chain([8_000; 6]);
    for (index, count) in writes.enumerate() {
        let done = frames(&tape);
        let start = now();
        app.write(&material.part(done, count))?;
        let written = now() - start;
        tape.extend(all_there_is(&mut consumer)?);
        ensure!(
            frames(&tape) == done + count,
            "{} of {} frames after write {index}: {}",
            frames(&tape),
            done + count,
            summary(&tape)
        );
        println!(
            "write {index}: {count} frames, {written} ns, popped after {} ns",
            now() - start
        );
    }
    app.pcm.drain()?;
    tape.extend(all_there_is(&mut consumer)?);
    let take = only_take(&tape)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    take.check_all_of(&material)
}

fn in_the_ring_at_once() -> Result<()> {
    at_once(&LONG)
}

/// An application that writes into the mapped buffer, and so has to tell where it is.
fn mapped() -> Result<()> {
    at_once(&Setup { mmap: true, ..LONG })?;
    let recorder = Recorder::open(1)?;
    let setup = Setup {
        mmap: true,
        ..Setup::default()
    };
    let material = noise(Format::S16LE, 2, 40_000, 1);
    aplay(&setup, &material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material.by_aplay(setup.period))
}

/// Writes of a few frames: a record for each, while half the ring is free.
fn small_writes() -> Result<()> {
    /// So long that a busy host does not make the application late.
    const FIRST: u64 = 60_000;
    const ALL: u64 = FIRST + 7 * 800;

    module::ready_with(EAGER_SMALL_RING)?;
    let before = module::status()?;
    let material = numbered(0, ALL as u32);
    let mut consumer = attach()?;
    let mut tape = Vec::new();
    let app = App::open(&LONG)?;
    app.write(&material.part(0, FIRST))?;
    wait_until("more than the ring has room for", || {
        pop_all(&mut consumer, &mut tape)?;
        Ok(frames(&tape) == FIRST)
    })?;
    for first in (FIRST..ALL).step_by(7) {
        app.write(&material.part(first, 7))?;
    }
    wait_until("the rest", || {
        pop_all(&mut consumer, &mut tape)?;
        Ok(frames(&tape) == ALL)
    })?;
    app.pcm.drain()?;
    pop_all(&mut consumer, &mut tape)?;
    let take = only_take(&tape)?;
    let small = take.chunks.iter().filter(|chunk| chunk.frames == 7).count();
    // Half of 64 KiB, 128 bytes for each: 256 records. Among these, 7 chunks of the grid (256 frames)
    // end, 6 of which cut a write in two.
    ensure!(small == 256 - 2 * 6, "{small} small chunks");
    ensure!(module::status()?.lost_frames == before.lost_frames);
    take.check_all_of(&material)
}

/// The end comes when all is played, not when all is sent, and to the frame.
fn drain() -> Result<()> {
    module::ready_with(EAGER)?;
    for count in [1u64, 300, 1_024, 10 * 1_024 + 300] {
        let material = noise(Format::S16LE, 2, count, count);
        let recorder = Recorder::open(1)?;
        // Draining starts it.
        let setup = Setup {
            start_threshold: Some(u32::MAX),
            ..Setup::default()
        };
        App::open(&setup)?.play(&material)?;
        let take = only_take(&recorder.finish()?)?;
        take.check_all_of(&material)?;
        let (start, stop) = (take.changes[0], take.changes[take.changes.len() - 1]);
        ensure!(
            stop.state == State::Stop && stop.position == count,
            "{:?}",
            take.changes
        );
        let end = start.time + nanos(count, 48_000);
        ensure!(stop.time + 1 >= end, "{stop:?}, played at {end}");
    }
    Ok(())
}

/// A pause takes nothing back, and nothing goes out in it: what was sent is due later then.
fn pause() -> Result<()> {
    module::ready_with(EAGER)?;
    let material = noise(Format::S16LE, 2, 30_000, 1);
    let mut consumer = attach()?;
    let app = App::open(&LONG)?;
    app.write(&material.part(0, 20_000))?;
    sleep_ms(30);
    app.pcm.pause(true)?;
    let mut tape = all_there_is(&mut consumer)?;
    ensure!(frames(&tape) == 20_000, "{}", summary(&tape));
    app.write(&material.part(20_000, 10_000))?;
    sleep_ms(30);
    let quiet = all_there_is(&mut consumer)?;
    ensure!(quiet.is_empty(), "in the pause: {}", summary(&quiet));
    app.pcm.pause(false)?;
    tape.extend(all_there_is(&mut consumer)?);
    ensure!(frames(&tape) == 30_000, "{}", summary(&tape));
    app.pcm.drain()?;
    tape.extend(all_there_is(&mut consumer)?);
    let take = only_take(&tape)?;
    let states = [
        State::Start,
        State::Pause,
        State::Resume,
        State::Drain,
        State::Stop,
    ];
    take.check_states(&states)?;
    let (pause, resume) = (take.changes[1], take.changes[2]);
    ensure!(
        pause.position == resume.position && pause.position < 20_000,
        "{pause:?}, {resume:?}"
    );
    take.check_all_of(&material)?;
    // What is left after the pause is played after it.
    let end = resume.time + nanos(30_000 - resume.position, 48_000);
    let stop = take.changes[4];
    ensure!(
        stop.time + 1 >= end && stop.position == 30_000,
        "{stop:?}, played at {end}"
    );
    Ok(())
}

/// What was sent and not due when the stream is dropped was never played: the end says from which
/// frame on.
fn drop_cancels() -> Result<()> {
    module::ready_with(EAGER)?;
    let before = module::status()?;
    let material = noise(Format::S16LE, 2, 100_000, 1);
    let recorder = Recorder::open(2)?;
    let app = App::open(&LONG)?;
    app.write(&material)?;
    sleep_ms(70);
    app.pcm.drop()?;
    app.pcm.prepare()?;
    let next = noise(Format::S16LE, 2, 3_000, 2);
    app.play(&next)?;
    let takes = takes(&recorder.finish()?)?;
    let dropped = takes.first().context("no stream")?;
    dropped.check_states(&[State::Start, State::Stop])?;
    dropped.check_all_of(&material)?;
    let (start, stop) = (dropped.changes[0], dropped.changes[1]);
    let played = crate::time::frames(stop.time - start.time, 48_000);
    ensure!(
        stop.position == played.min(100_000),
        "{stop:?}, but time for {played} frames"
    );
    takes
        .get(1)
        .context("no second stream")?
        .check_all_of(&next)?;
    ensure!(
        module::status()?.lost_frames == before.lost_frames,
        "cancelled is not lost"
    );
    Ok(())
}

/// The application is late when its last frame has been played, as ever.
fn late() -> Result<()> {
    module::ready_with(EAGER)?;
    for count in [5_000u64, 4_096, 4_097] {
        let material = noise(Format::S16LE, 2, count, count);
        let recorder = Recorder::open(1)?;
        let app = App::open(&Setup::default())?;
        app.write(&material)?;
        let take = only_take(&recorder.finish()?)?;
        take.check_states(&[State::Start, State::Xrun])?;
        take.check_all_of(&material)?;
        let (start, xrun) = (take.changes[0], take.changes[1]);
        ensure!(xrun.position == count, "{xrun:?}");
        let end = start.time + nanos(count, 48_000);
        ensure!(xrun.time + 1 >= end, "{xrun:?}, expected at {end}");
        ensure!(app.pcm.state() == PcmState::XRun);
    }
    Ok(())
}

/// What the card plays beyond what was written goes out by the clock.
fn nonstop() -> Result<()> {
    module::ready_with(EAGER)?;
    let setup = Setup::round();
    let material = noise(Format::S16LE, 2, 4_096, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    sleep_ms(200);
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(take.frames() > 8_192, "{} frames", take.frames());
    ensure!(take.frames() == position_of(&take, State::Stop)?);
    take.check_part_of(&material.repeated(take.frames()))
}

/// One application that sets the card up anew, and anew; each time with what half the ring has room for.
fn formats() -> Result<()> {
    module::ready_with(EAGER)?;
    let formats = [
        (Format::U8, 1, 8_000, 160),
        (Format::S16LE, 2, 44_100, 441),
        (Format::S24LE, 3, 48_000, 1_000),
        (Format::S243LE, 2, 96_000, 64),
        (Format::S32LE, 8, 192_000, 512),
        (Format::FloatLE, 12, 48_000, 500),
    ];
    let recorder = Recorder::open(formats.len())?;
    let mut app = App::open(&Setup::default())?;
    let mut played = Vec::new();
    for (index, (format, channels, rate, period)) in formats.into_iter().enumerate() {
        let setup = Setup {
            format,
            channels,
            rate,
            period,
            buffer: period * 16,
            mmap: index % 2 == 1,
            ..Setup::default()
        };
        let material = noise(format, channels, u64::from(period) * 15 + 7, index as u64);
        app.pcm.drop()?;
        app.set_up(&setup)?;
        app.play(&material)?;
        played.push((setup, material));
    }
    let takes = takes(&recorder.finish()?)?;
    ensure!(takes.len() == played.len(), "{} streams", takes.len());
    for (take, (setup, material)) in takes.iter().zip(&played) {
        take.check_format(setup)?;
        take.check_all_of(material)
            .with_context(|| format!("{setup:?}"))?;
    }
    Ok(())
}

/// A ring of 160 ms and 2 s at once: the rest follows as there is room, and nothing is lost.
fn small_ring() -> Result<()> {
    module::ready_with(EAGER_SMALL_RING)?;
    let before = module::status()?.lost_frames;
    let material = numbered(0, 100_000);
    let recorder = Recorder::open(1)?;
    App::open(&LONG)?.play(&material)?;
    let take = only_take(&recorder.finish()?)?;
    take.check_all_of(&material)?;
    ensure!(module::status()?.lost_frames == before);
    Ok(())
}

/// A consumer that leaves each chunk in the ring until it is due, and so always has a full one.
fn read_when_due() -> Result<()> {
    module::ready_with("ring_kib=256 eager=1")?;
    let before = module::status()?.lost_frames;
    let material = numbered(0, 100_000);
    let mut consumer = attach()?;
    let app = App::open(&LONG)?;
    let player = std::thread::spawn(move || {
        app.play(&material)?;
        Ok::<_, anyhow::Error>(material)
    });
    let mut tape = Vec::new();
    let mut is_ahead = false;
    while !tape.last().is_some_and(Entry::is_end) {
        let Some(event) = consumer.pop()? else {
            consumer.wait(Some(Duration::from_millis(100)))?;
            continue;
        };
        let entry = Entry::of(&event)?;
        if let Entry::Audio { chunk, .. } = &entry {
            let wait = chunk.time_stamp.saturating_sub(now());
            if wait != 0 {
                is_ahead = true;
                event.put_back();
                std::thread::sleep(Duration::from_nanos(wait));
                continue;
            }
        }
        tape.push(entry);
    }
    let material = player
        .join()
        .map_err(|_| anyhow::anyhow!("the player panicked"))??;
    ensure!(is_ahead, "nothing came before it was due");
    ensure!(module::status()?.lost_frames == before);
    only_take(&tape)?.check_all_of(&material)
}

/// A consumer that does not read at all: what does not fit is lost when it is due, and told.
fn hoarder() -> Result<()> {
    module::ready_with(EAGER_SMALL_RING)?;
    let before = module::status()?;
    let material = numbered(0, 30_000);
    let mut consumer = attach()?;
    App::open(&LONG)?.play(&material)?;
    let tape = all_there_is(&mut consumer)?;
    let (mut next, mut lost) = (0, 0);
    for entry in &tape {
        match entry {
            Entry::Audio { chunk, samples } => {
                ensure!(chunk.position == next, "{}", summary(&tape));
                crate::tape::check_samples(&material, next, samples)?;
                next += chunk.frames;
            }
            Entry::Lost {
                position, frames, ..
            } => {
                ensure!(*position == next, "{}", summary(&tape));
                next += frames;
                lost += frames;
            }
            _ => {}
        }
    }
    ensure!(next == 30_000 && lost > 15_000, "{}", summary(&tape));
    let after = module::status()?;
    ensure!(after.lost_frames - before.lost_frames == lost);
    ensure!(after.frames - before.frames == 30_000 - lost);
    ensure!(after.xruns == before.xruns);
    Ok(())
}

/// A consumer that comes to a stream under way begins with what is due from then on.
fn joins_in_the_middle() -> Result<()> {
    module::ready_with(EAGER)?;
    let material = numbered(0, 60_000);
    let app = App::open(&LONG)?;
    app.write(&material)?;
    sleep_ms(100);
    let time = now();
    let recorder = Recorder::open(1)?;
    app.pcm.drain()?;
    check_joined(&recorder.finish()?, time, &material)
}

fn check_joined(tape: &[Entry], time: u64, material: &Material) -> Result<()> {
    let take = only_take(tape)?;
    ensure!(take.resync && take.first > 0, "{}", summary(tape));
    let first = take.chunks.first().context("no sound")?;
    ensure!(first.time_stamp >= time && first.position == take.first);
    ensure!(take.first + take.frames() == material.frames());
    take.check_part_of(material)
}

/// What one consumer was sent ahead is not withheld from the next, however long the period is and
/// however small the ring.
fn next_consumer() -> Result<()> {
    let long_period = Setup {
        period: 65_536,
        ..LONG
    };
    for (arguments, setup) in [(EAGER, LONG), (EAGER_SMALL_RING, long_period)] {
        module::ready_with(arguments)?;
        let material = numbered(0, 60_000);
        let mut consumer = attach()?;
        let app = App::open(&setup)?;
        app.write(&material)?;
        let mut had = 0;
        wait_until("all to be sent", || {
            had += frames(&all_there_is(&mut consumer)?);
            Ok(had == 60_000)
        })?;
        sleep_ms(50);
        drop(consumer);
        let time = now();
        let recorder = Recorder::open(1)?;
        app.pcm.drain()?;
        check_joined(&recorder.finish()?, time, &material)?;
    }
    Ok(())
}

/// The mixer chooses the mode for the next application; the consumer stays.
fn two_modes() -> Result<()> {
    module::ready_with("eager=0")?;
    let element = delivery()?;
    ensure!(element.get()? == 0, "the default is not Clocked");
    let material = numbered(0, 16_000);
    let mut consumer = attach()?;
    for mode in [0, 1, 0, 1] {
        element.set(mode)?;
        let app = App::open(&LONG)?;
        // It counts for the next application.
        element.set(1 - mode)?;
        app.write(&material)?;
        let mut tape = all_there_is(&mut consumer)?;
        let is_all = frames(&tape) == 16_000;
        ensure!(is_all == (mode == 1), "mode {mode}: {}", summary(&tape));
        let recorder = Recorder::start(consumer, 1);
        app.pcm.drain()?;
        let (kept, rest) = recorder.finish_and_keep()?;
        consumer = kept;
        tape.extend(rest);
        check_tape(&tape, &material)?;
    }
    element.set(0)?;
    drop((consumer, element));
    module::ready_with(EAGER)?;
    ensure!(delivery()?.get()? == 1, "the parameter is not the default");
    Ok(())
}

/// Checks a tape of one whole stream, of either mode.
fn check_tape(tape: &[Entry], material: &Material) -> Result<()> {
    let mut next = 0;
    for entry in tape {
        if let Entry::Audio { chunk, samples } = entry {
            ensure!(chunk.position == next, "{}", summary(tape));
            crate::tape::check_samples(material, next, samples)?;
            next += chunk.frames;
        }
        ensure!(!matches!(entry, Entry::Lost { .. }), "{}", summary(tape));
    }
    ensure!(next == material.frames(), "{}", summary(tape));
    Ok(())
}

const SYNC_PTR: usize = request(3, b'A', 0x23, 136);
const REWIND: usize = request(1, b'A', 0x46, 8);

fn descriptor(pcm: &PCM) -> Result<RawFd> {
    Ok(pcm.get()?.first().context("no descriptor")?.fd)
}

/// Tells ALSA where the application is; returns the pointer that ALSA has then.
fn tell(pcm: &PCM, pointer: u64) -> Result<u64, Errno> {
    /// `SNDRV_PCM_SYNC_PTR_AVAIL_MIN`: that one is read.
    const AVAIL_MIN: u32 = 4;
    let fd = descriptor(pcm).map_err(|_| Errno::EBADF)?;
    // struct snd_pcm_sync_ptr: flags, then 64 bytes of status, then the application's pointer.
    let mut bytes = [0; 136];
    bytes[..4].copy_from_slice(&AVAIL_MIN.to_le_bytes());
    bytes[72..80].copy_from_slice(&pointer.to_le_bytes());
    ioctl(fd, SYNC_PTR, &mut bytes)?;
    Ok(u64::from_le_bytes(
        bytes[72..80].try_into().expect("8 bytes"),
    ))
}

/// The application takes nothing back, and what it says of its pointer is either possible or refused.
fn no_way_back() -> Result<()> {
    module::ready_with(EAGER)?;
    let setup = Setup {
        nonstop: true,
        ..Setup::default()
    };
    let buffer = u64::from(setup.buffer);
    let material = noise(Format::S16LE, 2, 8_000, 1);
    let mut consumer = attach()?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    let mut tape = all_there_is(&mut consumer)?;
    let boundary = u64::try_from(app.pcm.sw_params_current()?.get_boundary()?)?;
    let mut rewound = 4_000u64.to_le_bytes();
    ioctl(descriptor(&app.pcm)?, REWIND, &mut rewound)?;
    ensure!(u64::from_le_bytes(rewound) == 0, "taken back: {rewound:?}");
    for pointer in [
        boundary,
        boundary + 9_000,
        u64::MAX,
        1 << 63,
        boundary - 1,
        8_000 + buffer + 1,
        7_999,
        0,
    ] {
        let result = tell(&app.pcm, pointer);
        ensure!(result == Err(Errno::EINVAL), "{pointer}: {result:?}");
    }
    // Each step is no longer than the buffer, and so allowed; together they are beyond what there can
    // be, and nothing of that goes out before its time.
    for step in 1..=4 {
        let pointer = 8_000 + step * buffer;
        let result = tell(&app.pcm, pointer);
        ensure!(result == Ok(pointer), "{pointer}: {result:?}");
    }
    tape.extend(all_there_is(&mut consumer)?);
    sleep_ms(100);
    app.pcm.drop()?;
    tape.extend(all_there_is(&mut consumer)?);
    let take = only_take(&tape)?;
    ensure!(
        take.frames() <= 8_000 + buffer + position_of(&take, State::Stop)?,
        "{}",
        summary(&tape)
    );
    drop(app);
    let recorder = Recorder::start(consumer, 1);
    App::open(&Setup::default())?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)
}

/// What is recorded from the card is what the clock has passed, and nothing is recorded twice.
fn recorded() -> Result<()> {
    module::ready_with(EAGER)?;
    let material = noise(Format::S16LE, 2, 20_000, 1);
    let setup = Setup {
        buffer: 65_536,
        ..Setup::default()
    };
    let microphone = Microphone::start(&setup)?;
    let recorder = Recorder::open(1)?;
    App::open(&LONG)?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)?;
    // It lags by a chunk and 2 ms.
    sleep_ms(100);
    microphone.stop()?.check_only(&material)
}

/// The card looks at its clock as seldom as every period or four chunks; a recorder whose buffer is
/// smaller than that gets its periods evenly all the same.
fn recorded_closely() -> Result<()> {
    module::ready_with("eager=1 chunk_frames=4096")?;
    let material = noise(Format::S16LE, 2, 100_000, 1);
    let microphone = Microphone::start(&Setup {
        period: 4_096,
        buffer: 8_192,
        ..Setup::default()
    })?;
    let recorder = Recorder::open(1)?;
    App::open(&Setup {
        period: 16_384,
        ..LONG
    })?
    .play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)?;
    // A period of the player and 2 ms.
    sleep_ms(500);
    microphone.stop()?.check_only(&material)
}

/// An application that never moves its pointer, as dmix, commits nothing: its chunks go out by the
/// clock, one by one as with clocked delivery.
fn chunk_by_chunk() -> Result<()> {
    module::ready_with(EAGER)?;
    let setup = Setup {
        nonstop: true,
        period: 2_048,
        buffer: 4_096,
        ..Setup::default()
    };
    let mut consumer = attach()?;
    let app = App::open(&setup)?;
    app.write(&noise(Format::S16LE, 2, 4_096, 1))?;
    wait_until("the end of what was written", || {
        Ok(module::status()?.frames > 8_192)
    })?;
    all_there_is(&mut consumer)?;
    let mut at_once = Vec::new();
    for _ in 0..40 {
        ensure!(consumer.wait(Some(Duration::from_secs(10)))?, "no sound");
        at_once.push(all_there_is(&mut consumer)?.len());
    }
    // A busy host may delay some of them.
    ensure!(at_once.contains(&1), "chunks at a time: {at_once:?}");
    Ok(())
}
