// SPDX-License-Identifier: MIT OR GPL-2.0

//! Whether a recording is what was played.

use std::fmt;

use crate::wav::{Frame, Recording, Sound};

const SILENCE: Frame = [0; 2];

/// What a comparison found.
#[derive(Debug, PartialEq)]
pub(crate) struct Comparison {
    /// Frames of the recording but for the silence around them, of which as much counts as was
    /// played.
    pub(crate) frames_out: u64,
    pub(crate) difference: Option<Difference>,
}

/// The first place where a recording is not what was played.
#[derive(Debug, PartialEq)]
pub(crate) struct Difference {
    /// Which sound.
    pub(crate) sound: usize,
    /// Which frame of it; one more than it has where the recording should be silent.
    pub(crate) frame: u64,
    played: Option<Frame>,
    recorded: Option<Frame>,
    guess: Option<Guess>,
}

/// What may have happened.
#[derive(Debug, PartialEq)]
enum Guess {
    OtherRate(u32),
    Missing(usize),
    Inserted(usize),
    NothingPlayed,
}

/// Compares. Silence is allowed before, between and after the sounds, and nothing else: each frame
/// must be there once, in order, unchanged.
pub(crate) fn compare(sounds: &[Sound], recording: &Recording) -> Comparison {
    let difference = first_difference(sounds, recording);
    let played = sounds.iter().map(|sound| sound.frames.len()).sum();
    let frames_out = match difference {
        None => played,
        Some(_) => frames_out(sounds, &recording.frames),
    };
    Comparison {
        frames_out: frames_out as u64,
        difference,
    }
}

fn first_difference(sounds: &[Sound], recording: &Recording) -> Option<Difference> {
    let out = &recording.frames[..];
    let mut at = 0;
    for (index, sound) in sounds.iter().enumerate() {
        let sounding = sounding(&sound.frames);
        // All of a silent sound.
        let lead = leading_silence(&sound.frames);
        let silence = leading_silence(&out[at..]);
        let rest = &out[at + silence..];
        let same = sounding
            .iter()
            .zip(rest)
            .take_while(|(played, recorded)| played == recorded)
            .count();
        if silence < lead || same < sounding.len() {
            let frame = if silence < lead { silence } else { lead + same };
            let guess = if sound.rate != recording.rate {
                Some(Guess::OtherRate(recording.rate))
            } else {
                guess(&sounding[same..], &rest[same..])
            };
            return Some(Difference {
                sound: index,
                frame: frame as u64,
                played: sound.frames.get(frame).copied(),
                recorded: rest.get(same).copied(),
                guess,
            });
        }
        at += silence + sounding.len();
    }
    let last = &sounds.last()?.frames;
    let tail = trailing_silence(last);
    let rest = &out[at..];
    let silence = leading_silence(rest);
    (silence < rest.len() || silence < tail).then(|| Difference {
        sound: sounds.len() - 1,
        frame: (last.len() - tail + silence) as u64,
        played: (silence < tail).then_some(SILENCE),
        recorded: rest.get(silence).copied(),
        guess: None,
    })
}

/// Frames of a recording but for the silence around them, of which as much counts as was played.
fn frames_out(sounds: &[Sound], out: &[Frame]) -> usize {
    let least = |count: fn(&[Frame]) -> usize, sound: Option<&Sound>| {
        count(out).min(sound.map_or(0, |sound| count(&sound.frames)))
    };
    let middle = sounding(out).len();
    match middle {
        0 => 0,
        _ => {
            least(leading_silence, sounds.first()) + middle + least(trailing_silence, sounds.last())
        }
    }
}

fn leading_silence(frames: &[Frame]) -> usize {
    frames.iter().take_while(|frame| **frame == SILENCE).count()
}

/// The silence at the end of frames that are not all silent.
fn trailing_silence(frames: &[Frame]) -> usize {
    frames.len() - leading_silence(frames) - sounding(frames).len()
}

/// The frames but for silence before and after.
fn sounding(frames: &[Frame]) -> &[Frame] {
    let rest = &frames[leading_silence(frames)..];
    let end = rest.iter().rposition(|frame| *frame != SILENCE);
    &rest[..end.map_or(0, |last| last + 1)]
}

/// Looks for the place where what was played goes on in the recording, or the other way round.
fn guess(played: &[Frame], recorded: &[Frame]) -> Option<Guess> {
    /// Frames that must be the same to count as the same place.
    const LANDMARK: usize = 48;
    /// How far to look: several seconds.
    const REACH: usize = 1 << 18;
    if recorded.is_empty() {
        return Some(match played.is_empty() {
            true => Guess::NothingPlayed,
            false => Guess::Missing(played.len()),
        });
    }
    let find = |landmark: &[Frame], among: &[Frame]| {
        among[..among.len().min(REACH)]
            .windows(landmark.len())
            .position(|window| window == landmark)
    };
    if let Some(landmark) = played.get(..LANDMARK) {
        if let Some(extra) = find(landmark, recorded) {
            return Some(Guess::Inserted(extra));
        }
    }
    let landmark = recorded.get(..LANDMARK)?;
    find(landmark, played).map(Guess::Missing)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |frame: Option<Frame>| match frame {
            Some([left, right]) => format!("({left}, {right})"),
            None => "nothing".to_string(),
        };
        write!(
            f,
            "frame {}: played {}, recorded {}",
            self.frame,
            text(self.played),
            text(self.recorded)
        )?;
        match &self.guess {
            None => Ok(()),
            Some(Guess::OtherRate(rate)) => write!(f, "; the recording has {rate} Hz"),
            Some(Guess::Missing(count)) => write!(f, "; {count} frames are missing"),
            Some(Guess::Inserted(count)) => write!(f, "; {count} frames were inserted"),
            Some(Guess::NothingPlayed) => write!(f, "; the recording ends"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(frames: &[i16]) -> Sound {
        Sound {
            rate: 48_000,
            channels: 1,
            float: false,
            frames: frames.iter().map(|sample| [*sample; 2]).collect(),
        }
    }

    fn compared(sounds: &[&[i16]], recorded: &[i16]) -> Comparison {
        let sounds: Vec<_> = sounds.iter().map(|frames| sound(frames)).collect();
        let recording = Recording {
            rate: 48_000,
            frames: sound(recorded).frames,
        };
        compare(&sounds, &recording)
    }

    fn difference(sounds: &[&[i16]], recorded: &[i16]) -> Option<(usize, u64)> {
        let difference = compared(sounds, recorded).difference?;
        Some((difference.sound, difference.frame))
    }

    #[test]
    fn silence_around_is_allowed() {
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 2, 3]), None);
        assert_eq!(difference(&[&[1, 2, 3]], &[0, 0, 1, 2, 3, 0]), None);
        assert_eq!(difference(&[&[0, 1, 0, 3, 0]], &[0, 0, 1, 0, 3, 0]), None);
        assert_eq!(
            compared(&[&[0, 1, 0, 3, 0]], &[0, 0, 1, 0, 3, 0]).frames_out,
            5
        );
    }

    #[test]
    fn silence_of_the_sound_must_be_there() {
        assert_eq!(difference(&[&[0, 0, 1, 2]], &[0, 1, 2]), Some((0, 1)));
        assert_eq!(difference(&[&[1, 2, 0, 0]], &[1, 2, 0]), Some((0, 3)));
        assert_eq!(difference(&[&[0, 0]], &[0, 0, 0]), None);
        assert_eq!(difference(&[&[0, 0]], &[0]), Some((0, 1)));
    }

    #[test]
    fn frames_are_counted() {
        let count = |recorded: &[i16]| compared(&[&[0, 0, 1, 2, 3, 0]], recorded).frames_out;
        assert_eq!(count(&[0, 0, 0, 1, 2, 3, 0, 0]), 6);
        assert_eq!(count(&[0, 0, 0, 1, 9, 3, 0, 0]), 6);
        assert_eq!(count(&[0, 1, 2, 3]), 4);
        assert_eq!(count(&[0, 0, 0, 1, 2, 0, 0]), 5);
        assert_eq!(count(&[0, 0, 0, 0, 0, 0, 0]), 0);
    }

    #[test]
    fn differences_are_found() {
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 2, 4]), Some((0, 2)));
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 3]), Some((0, 1)));
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 2]), Some((0, 2)));
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 0, 2, 3]), Some((0, 1)));
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 1, 2, 3]), Some((0, 1)));
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 2, 3, 0, 9]), Some((0, 4)));
        assert_eq!(difference(&[&[1, 2, 3]], &[]), Some((0, 0)));
        assert_eq!(difference(&[&[1, 2, 3]], &[1, 2, 3, 1, 2, 3]), Some((0, 3)));
    }

    #[test]
    fn sounds_follow_each_other() {
        assert_eq!(difference(&[&[1, 2], &[3]], &[0, 1, 2, 0, 0, 3, 0]), None);
        assert_eq!(difference(&[&[1, 2], &[3]], &[1, 2, 3]), None);
        assert_eq!(difference(&[&[1, 2], &[3]], &[3, 1, 2]), Some((0, 0)));
        assert_eq!(difference(&[&[1, 2], &[3]], &[1, 2]), Some((1, 0)));
    }

    #[test]
    fn what_happened_is_guessed() {
        let played: Vec<i16> = (1..400).collect();
        let mut recorded = played.clone();
        recorded.drain(100..130);
        let text = |recorded: &[i16]| {
            compared(&[&played], recorded)
                .difference
                .unwrap()
                .to_string()
        };
        assert!(
            text(&recorded).ends_with("; 30 frames are missing"),
            "{}",
            text(&recorded)
        );
        let mut recorded = played.clone();
        recorded.splice(100..100, [0; 77]);
        assert!(
            text(&recorded).ends_with("; 77 frames were inserted"),
            "{}",
            text(&recorded)
        );
    }
}
