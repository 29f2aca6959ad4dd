// SPDX-License-Identifier: MIT OR GPL-2.0

//! An application that changes everything again and again, while the same consumer stays attached.

use alsa::pcm::Format;
use alsa::Direction;
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use rtshm::State;

use super::tests;
use crate::app::Setup;
use crate::material::{noise, Material};
use crate::module;
use crate::raw_pcm::RawPcm;
use crate::storm::dice::Dice;
use crate::tape::{attach, check_samples, pop_all, summary, takes, Entry, Recorder, Take};
use crate::time::{sleep_ms, wait_until};

tests!(changes: every_configuration_is_told, every_frame_is_accounted_for, what_is_not_played_is_not_told);

const FORMATS: [Format; 6] = [
    Format::U8,
    Format::S16LE,
    Format::S24LE,
    Format::S243LE,
    Format::S32LE,
    Format::FloatLE,
];

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is drained.
    Drained,
    /// It pauses, goes on, and is drained.
    Paused,
    /// It is stopped in the middle.
    Stopped,
    /// The application is late.
    Late,
}

/// A stream that was played.
struct Played {
    setup: Setup,
    material: Material,
    end: End,
}

/// A configuration, and something to play with it: of up to 40 ms, in a buffer that holds all of it.
fn any(dice: &mut Dice) -> (Setup, Material) {
    let format = dice.pick(&FORMATS);
    let channels = dice.pick(&[1, 2, 2, 3, 6, 8, 17, 64]);
    let rate = dice.pick(&[8_000, 11_025, 12_347, 44_100, 48_000, 96_000, 192_000]);
    // No more than half of the ring.
    let most = u64::from(rate / 25).min(131_072 / u64::from(channels));
    let frames = dice.within(most / 2, most);
    let period = dice.within(16, 700.min(frames)) as u32;
    let periods = frames.div_ceil(period.into()).max(2) as u32;
    let setup = Setup {
        format,
        channels,
        rate,
        period,
        buffer: period * (periods + dice.below(3) as u32).min(1024),
        mmap: dice.one_in(2),
        planar: dice.one_in(2),
        start_threshold: Some(u32::MAX),
        nonstop: false,
    };
    let frames = frames.min(setup.buffer.into());
    let material = noise(format, channels, frames, dice.below(1 << 20));
    (setup, material)
}

/// What the application does with a stream that ended before it could do what it wanted.
fn or_late(result: Result<(), Errno>, end: End) -> Result<End> {
    match result {
        Ok(()) => Ok(end),
        // A busy host let it run out.
        Err(Errno::EPIPE | Errno::EBADFD) => Ok(End::Late),
        Err(errno) => Err(errno.into()),
    }
}

/// Plays a stream to its end; returns which.
fn play(pcm: &RawPcm, material: &Material, end: End) -> Result<End> {
    let written = pcm.write(&material.bytes).context("write")?;
    ensure!(written as u64 == material.frames(), "{written} frames");
    if end == End::Drained {
        pcm.drain()?;
        return Ok(end);
    }
    pcm.start().context("start")?;
    let mut end = end;
    if matches!(end, End::Paused | End::Stopped) {
        sleep_ms(4);
    }
    if end == End::Paused {
        end = or_late(pcm.pause(true), end)?;
    }
    if end == End::Paused {
        sleep_ms(3);
        pcm.pause(false).context("resume")?;
        end = match pcm.drain() {
            Ok(()) => end,
            // As above.
            Err(_) if pcm.state() == XRUN => End::Late,
            Err(error) => return Err(error),
        };
    }
    if end == End::Stopped {
        if pcm.state() == XRUN {
            end = End::Late;
        } else {
            or_late(pcm.stop(), end)?;
        }
    }
    if end == End::Late {
        wait_until("the xrun", || Ok(pcm.state() == XRUN))?;
    }
    Ok(end)
}

/// `SND_PCM_STATE_XRUN`.
const XRUN: u32 = 4;

/// Sets the PCM up anew, from whatever state the last stream left.
fn set_up(pcm: &mut RawPcm, setup: &Setup, dice: &mut Dice) -> Result<(), Errno> {
    if pcm.state() == XRUN {
        // As ALSA wants it: either will do.
        match dice.one_in(2) {
            true => pcm.prepare()?,
            false => pcm.stop()?,
        }
    }
    pcm.set_up(setup)
}

/// Checks what the consumer was told of a stream.
fn check(take: &Take, played: &Played) -> Result<()> {
    let Played {
        setup,
        material,
        end,
    } = played;
    take.check_format(setup)?;
    let states: Vec<_> = take.changes.iter().map(|change| change.state).collect();
    let whole = match (end, states.as_slice()) {
        (End::Drained, [State::Start, State::Drain, State::Stop])
        | (
            End::Paused,
            [State::Start, State::Pause, State::Resume, State::Drain, State::Stop]
            // It had all been played when it was to be drained.
            | [State::Start, State::Pause, State::Resume, State::Stop],
        )
        | (End::Late, [State::Start, .., State::Xrun]) => true,
        // Maybe it ran out just before.
        (End::Stopped, [State::Start, State::Xrun]) => true,
        (End::Stopped, [State::Start, State::Stop]) => false,
        _ => bail!("{states:?}"),
    };
    match whole {
        true => take.check_all_of(material),
        false => take.check_part_of(material),
    }
}

/// Sixty configurations, set up from whatever state the last stream left, prepared again or not, after
/// one that is never played or not, through the same handle or a new one.
fn every_configuration_is_told() -> Result<()> {
    const COUNT: usize = 60;
    module::ready()?;
    let mut dice = Dice::new(1, "changes", 0);
    let recorder = Recorder::open(COUNT)?;
    let mut all = Vec::new();
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    for number in 0..COUNT {
        if dice.one_in(8) {
            drop(pcm);
            pcm = RawPcm::open(module::PCM, Direction::Playback)?;
        }
        if dice.one_in(4) {
            let (never, _) = any(&mut dice);
            set_up(&mut pcm, &never, &mut dice).with_context(|| format!("{never:?}"))?;
        }
        let (setup, material) = any(&mut dice);
        let end = dice.pick(&[End::Drained, End::Paused, End::Stopped, End::Late]);
        let mut step = || {
            set_up(&mut pcm, &setup, &mut dice)?;
            for _ in 0..dice.below(3) {
                pcm.prepare()?;
            }
            play(&pcm, &material, end)
        };
        let end = step().with_context(|| format!("stream {number}: {setup:?}, {end:?}"))?;
        all.push(Played {
            setup,
            material,
            end,
        });
    }
    let tape = recorder.finish()?;
    let takes = takes(&tape)?;
    ensure!(takes.len() == COUNT, "{} streams", takes.len());
    for (number, (take, played)) in takes.iter().zip(&all).enumerate() {
        check(take, played)
            .with_context(|| format!("stream {number}: {:?}, {:?}", played.setup, played.end))?;
    }
    Ok(())
}

/// Where a consumer is in all that was played.
struct Cursor<'a> {
    all: &'a [Played],
    stream: usize,
    position: u64,
    audio: u64,
    lost: u64,
}

impl Cursor<'_> {
    /// Whether all frames of the stream are accounted for.
    fn at_end(&self) -> bool {
        self.position == self.all[self.stream].material.frames()
    }

    /// Takes frames out of the account; `spans` where they may belong to more than one stream.
    fn lose(&mut self, frames: u64, spans: bool) -> Result<()> {
        self.lost += frames;
        let mut rest = frames;
        while rest != 0 {
            let here = self.all[self.stream].material.frames() - self.position;
            let count = rest.min(here);
            self.position += count;
            rest -= count;
            if rest != 0 {
                ensure!(spans, "{frames} lost at the end of stream {}", self.stream);
                ensure!(self.stream + 1 < self.all.len(), "more lost than played");
                (self.stream, self.position) = (self.stream + 1, 0);
            }
        }
        Ok(())
    }

    /// Whether a change may be told at `position`: where the card is, which frames were sent ahead of.
    fn is_behind(&self, position: u64) -> bool {
        module::is_eager() && position < self.position
    }

    fn follow(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Format {
                format,
                position,
                resync,
            } => {
                let begins = *position == 0 && self.stream + 1 < self.all.len();
                if self.at_end() && begins {
                    (self.stream, self.position) = (self.stream + 1, 0);
                }
                ensure!(
                    *position == self.position || *resync && self.is_behind(*position),
                    "a format at {position}, {} is next",
                    self.position
                );
                ensure!(*resync || *position == 0, "a format in the middle");
                let Setup { rate, channels, .. } = self.all[self.stream].setup;
                ensure!(
                    (format.rate, format.channels) == (rate, channels),
                    "{format:?}"
                );
            }
            Entry::State {
                position, state, ..
            } => ensure!(
                *position == self.position || self.is_behind(*position),
                "{state:?} at {position}, {} is next",
                self.position
            ),
            Entry::Audio { chunk, samples } => {
                ensure!(
                    chunk.position == self.position,
                    "{chunk:?}, {} is next",
                    self.position
                );
                let material = &self.all[self.stream].material;
                check_samples(material, chunk.position, samples)?;
                self.position += chunk.frames;
                self.audio += chunk.frames;
            }
            Entry::Lost {
                position,
                frames,
                spans_streams,
                ..
            } => {
                // The first of them may be the first of the next stream.
                if *spans_streams && self.at_end() && *position == 0 {
                    (self.stream, self.position) = (self.stream + 1, 0);
                }
                ensure!(
                    *position == self.position && *frames != 0,
                    "{frames} lost at {position}, {} is next",
                    self.position
                );
                self.lose(*frames, *spans_streams)?;
            }
            Entry::Volume { .. } => {}
        }
        Ok(())
    }
}

/// A consumer that does not keep up, while everything changes: each frame that the card consumed is
/// in the ring exactly once, and right, or in exactly one `LOST`.
fn every_frame_is_accounted_for() -> Result<()> {
    const COUNT: u64 = 80;
    module::ready_with("ring_kib=64")?;
    let before = module::status()?;
    let mut dice = Dice::new(2, "changes", 0);
    let mut consumer = attach()?;
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    let (mut tape, mut all) = (Vec::new(), Vec::new());
    for number in 0..COUNT {
        let (setup, material) = any(&mut dice);
        // Those after which it is known what was played: all of it.
        let end = dice.pick(&[End::Drained, End::Paused, End::Late]);
        let mut step = || {
            set_up(&mut pcm, &setup, &mut dice)?;
            play(&pcm, &material, end)
        };
        let end = step().with_context(|| format!("stream {number}: {setup:?}, {end:?}"))?;
        all.push(Played {
            setup,
            material,
            end,
        });
        // Sometimes nothing, sometimes a little, sometimes all.
        match dice.below(5) {
            0 => pop_all(&mut consumer, &mut tape)?,
            1 => {
                for _ in 0..dice.below(40) {
                    if let Some(event) = consumer.pop()? {
                        tape.push(Entry::of(&event)?);
                    }
                }
            }
            _ => {}
        }
    }
    pop_all(&mut consumer, &mut tape)?;
    let mut cursor = Cursor {
        all: &all,
        stream: 0,
        position: 0,
        audio: 0,
        lost: 0,
    };
    let mut first = tape.iter();
    ensure!(matches!(
        first.next(),
        Some(Entry::Format { position: 0, .. })
    ));
    for entry in first {
        let stream = cursor.stream;
        cursor.follow(entry).with_context(|| {
            format!("stream {stream}, {}", summary(std::slice::from_ref(entry)))
        })?;
    }
    let played: u64 = all.iter().map(|played| played.material.frames()).sum();
    let Cursor { audio, lost, .. } = cursor;
    ensure!(
        audio + lost == played,
        "{audio} frames and {lost} lost of {played}"
    );
    ensure!(
        lost > 10_000 && audio > 10_000,
        "{audio} frames, {lost} lost"
    );
    let after = module::status()?;
    let counted = (
        after.frames - before.frames,
        after.lost_frames - before.lost_frames,
    );
    ensure!(counted == (audio, lost), "counted {counted:?}");
    Ok(())
}

/// Configurations that are never played leave no trace in the ring.
fn what_is_not_played_is_not_told() -> Result<()> {
    module::ready()?;
    let mut dice = Dice::new(3, "changes", 0);
    let mut consumer = attach()?;
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    for _ in 0..20 {
        let (setup, material) = any(&mut dice);
        pcm.set_up(&setup)?;
        pcm.prepare()?;
        pcm.write(&material.bytes)?;
        pcm.stop()?;
    }
    drop(pcm);
    let mut tape = Vec::new();
    pop_all(&mut consumer, &mut tape)?;
    ensure!(tape.is_empty(), "{}", summary(&tape));
    Ok(())
}
