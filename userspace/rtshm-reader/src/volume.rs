// SPDX-License-Identifier: MIT OR GPL-2.0

//! The volume that the mixer of the virtual card says, for samples that come at unity.
//!
//! A change is spread over some frames, so that it does not click. At 0 dB samples pass bit for bit;
//! where the switch is off all are zero.

/// The volume of the frames that come next.
///
/// Frames are counted from there, so that a caller who gets rid of a part of a chunk can come back
/// for the rest.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    /// Factors: where it goes from and to.
    from: f32,
    to: f32,
    /// Frames on the way: how many are behind, and how many there are.
    done: u64,
    len: u64,
}

impl Volume {
    /// 0 dB.
    pub(crate) fn unity() -> Self {
        Self {
            from: 1.0,
            to: 1.0,
            done: 0,
            len: 0,
        }
    }

    /// Goes to `gain` hundredths of a decibel, or to silence where it is not `on`, within the next
    /// `frames` frames.
    pub(crate) fn go_to(&mut self, gain: i32, on: bool, frames: u64) {
        self.from = self.factor_behind(0);
        self.to = factor(gain, on);
        (self.done, self.len) = (0, frames);
    }

    /// Whether samples pass as they are, for ever.
    pub(crate) fn is_unity(&self) -> bool {
        self.done >= self.len && self.to == 1.0
    }

    /// Takes note that `frames` frames are gone.
    pub(crate) fn advance(&mut self, frames: u64) {
        self.done = self.done.saturating_add(frames);
    }

    /// Writes `samples`, of `channels` per frame, at their volume to `out`. There are `ahead` frames
    /// before them.
    pub(crate) fn apply(&self, samples: &[f32], channels: usize, ahead: u64, out: &mut [f32]) {
        let frames = samples.chunks(channels).zip(out.chunks_mut(channels));
        for (ahead, (from, to)) in (ahead..).zip(frames) {
            let factor = self.factor_behind(ahead.saturating_add(1));
            for (from, to) in from.iter().zip(to) {
                // Whatever the sample is, not a number included.
                *to = if factor == 0.0 { 0.0 } else { from * factor };
            }
        }
    }

    /// The factor that is reached with so many more frames.
    fn factor_behind(&self, frames: u64) -> f32 {
        let done = self.done.saturating_add(frames);
        if done >= self.len {
            return self.to;
        }
        // CAST: A ramp is far shorter than 2^24 frames.
        self.from + (self.to - self.from) * (done as f32 / self.len as f32)
    }
}

/// What samples are multiplied by for `gain` hundredths of a decibel.
fn factor(gain: i32, on: bool) -> f32 {
    if !on {
        return 0.0;
    }
    // CAST: To the nearest.
    10f64.powf(f64::from(gain) / 2000.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `samples` of one channel, all at once.
    fn apply(volume: &Volume, samples: &[f32]) -> Vec<f32> {
        let mut out = vec![7.0; samples.len()];
        volume.apply(samples, 1, 0, &mut out);
        out
    }

    fn at(gain: i32, on: bool) -> Volume {
        let mut volume = Volume::unity();
        volume.go_to(gain, on, 0);
        volume
    }

    /// From a table of decibels: the factor is 10^(dB/20).
    #[test]
    fn decibels_are_factors() {
        for (gain, expected) in [
            (0, 1.0),
            (-50, 0.944_060_9),
            (-600, 0.501_187_2),
            (-2000, 0.1),
            (-4000, 0.01),
            (-6400, 0.000_630_957_3),
        ] {
            let [heard] = apply(&at(gain, true), &[1.0])[..] else {
                panic!("one sample makes one");
            };
            assert!((heard / expected - 1.0).abs() < 2e-7, "{gain}: {heard}");
        }
        assert_eq!(apply(&at(-2000, true), &[0.5, -1.0]), [0.05, -0.1]);
    }

    #[test]
    fn unity_changes_no_bit() {
        assert!(Volume::unity().is_unity());
        let mut volume = at(-600, true);
        assert!(!volume.is_unity());
        volume.go_to(0, true, 0);
        assert!(volume.is_unity());
        let samples = [1.0, -0.0, f32::MIN_POSITIVE / 2.0, 1.5, f32::MAX];
        let heard = apply(&volume, &samples);
        assert_eq!(
            heard.iter().map(|s| s.to_bits()).collect::<Vec<_>>(),
            samples.map(f32::to_bits)
        );
    }

    #[test]
    fn off_is_zero() {
        let samples = [1.0, -1.0, -0.0, f32::NAN, f32::INFINITY];
        for gain in [0, -6400] {
            let volume = at(gain, false);
            assert!(!volume.is_unity());
            assert!(apply(&volume, &samples).iter().all(|s| s.to_bits() == 0));
        }
    }

    /// In equal steps, the last of which arrives; both channels of a frame alike.
    #[test]
    fn a_change_is_spread() {
        let mut volume = Volume::unity();
        volume.go_to(0, false, 4);
        assert_eq!(apply(&volume, &[1.0; 6]), [0.75, 0.5, 0.25, 0.0, 0.0, 0.0]);
        let mut out = [7.0; 6];
        volume.apply(&[1.0, -1.0, 2.0, -2.0, 4.0, -4.0], 2, 0, &mut out);
        assert_eq!(out, [0.75, -0.75, 1.0, -1.0, 1.0, -1.0]);
        // And back from the middle of it, until nothing more is to be done.
        volume.advance(2);
        volume.go_to(0, true, 2);
        assert_eq!(apply(&volume, &[1.0; 4]), [0.75, 1.0, 1.0, 1.0]);
        assert!(!volume.is_unity());
        volume.advance(1);
        assert!(!volume.is_unity());
        assert_eq!(apply(&volume, &[1.0; 2]), [1.0, 1.0]);
        volume.advance(1);
        assert!(volume.is_unity());
    }

    /// A chunk that is taken in pieces sounds like one that is taken whole.
    #[test]
    fn pieces_are_as_the_whole() {
        let samples: Vec<f32> = (1..=40).map(|n| n as f32).collect();
        let mut volume = Volume::unity();
        volume.go_to(-1200, true, 15);
        let mut whole = vec![0.0; 40];
        volume.apply(&samples, 2, 0, &mut whole);
        let mut pieces = vec![0.0; 40];
        for (first, end) in [(0, 3), (3, 4), (4, 16), (16, 20)] {
            let place = 2 * first..2 * end;
            volume.apply(&samples[place.clone()], 2, first as u64, &mut pieces[place]);
        }
        assert_eq!(pieces, whole);
        volume.advance(u64::MAX);
        volume.advance(u64::MAX);
        assert_eq!(volume.factor_behind(u64::MAX), factor(-1200, true));
    }
}
