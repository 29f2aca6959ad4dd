// SPDX-License-Identifier: MIT OR GPL-2.0

//! Which channel is which loudspeaker: in the ring by the card's channel map, in a WAV file by its
//! mask, whose order is another one.

/// The card's positions in ALSA's order, as bits of `dwChannelMask`: front, rear, centre and LFE,
/// side, front of centre, top front, top rear, rear centre.
const POSITIONS: [u32; 15] = [
    0x1, 0x2, 0x10, 0x20, 0x4, 0x8, 0x200, 0x400, 0x40, 0x80, 0x1000, 0x4000, 0x8000, 0x2_0000,
    0x100,
];

const CENTRE: u32 = 0x4;
const LFE: u32 = 0x8;
const REAR_CENTRE: u32 = 0x100;

/// How the channels of a frame are laid out in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// `dwChannelMask`; 0 where channels are no loudspeakers.
    pub(crate) mask: u32,
    /// The ring's channel for each of the file's; `None` where these are the same.
    pub(crate) order: Option<Vec<usize>>,
}

impl Layout {
    /// As in the ring, with no positions.
    pub(crate) fn discrete() -> Self {
        Self {
            mask: 0,
            order: None,
        }
    }

    /// In the order of WAV; discrete where the card has no map, with more than 15 channels.
    pub(crate) fn wav(channels: u32) -> Self {
        let Some(positions) = positions(channels) else {
            return Self::discrete();
        };
        let mut order: Vec<usize> = (0..positions.len()).collect();
        order.sort_by_key(|&channel| positions[channel]);
        Self {
            mask: positions.iter().fold(0, |mask, position| mask | position),
            order: (!order.is_sorted()).then_some(order),
        }
    }
}

/// The positions that the card tells applications.
fn positions(channels: u32) -> Option<Vec<u32>> {
    let count = usize::try_from(channels).ok()?;
    let mut positions = POSITIONS.get(..count)?.to_vec();
    // With an odd number the last is no half of a pair.
    let odd = match count {
        1 => CENTRE,
        3 => LFE,
        7 => REAR_CENTRE,
        _ => return Some(positions),
    };
    positions[count - 1] = odd;
    Some(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masks by `KSAUDIO_SPEAKER_*` of `<ksmedia.h>`.
    #[test]
    fn layouts_are_the_usual_ones() {
        let layout = |channels| {
            let Layout { mask, order } = Layout::wav(channels);
            (mask, order.unwrap_or_default())
        };
        assert_eq!(layout(1), (0x4, vec![])); // MONO
        assert_eq!(layout(2), (0x3, vec![])); // STEREO
        assert_eq!(layout(3), (0xb, vec![])); // 2POINT1
        assert_eq!(layout(4), (0x33, vec![])); // QUAD
        assert_eq!(layout(5), (0x37, vec![0, 1, 4, 2, 3])); // 5POINT0 with the back
        assert_eq!(layout(6), (0x3f, vec![0, 1, 4, 5, 2, 3])); // 5POINT1
        assert_eq!(layout(7), (0x13f, vec![0, 1, 4, 5, 2, 3, 6]));
        assert_eq!(layout(8), (0x63f, vec![0, 1, 4, 5, 2, 3, 6, 7])); // 7POINT1_SURROUND
        assert_eq!(
            layout(10),
            (0x6ff, vec![0, 1, 4, 5, 2, 3, 8, 9, 6, 7]) // before the sides: front of centre
        );
    }

    #[test]
    fn each_channel_has_a_bit_of_its_own() {
        for channels in 1..=15 {
            let Layout { mask, order } = Layout::wav(channels);
            assert_eq!(mask.count_ones(), channels);
            assert!(mask < 1 << 18);
            let mut order = order.unwrap_or_else(|| (0..channels as usize).collect());
            order.sort_unstable();
            assert!(order.into_iter().eq(0..channels as usize));
        }
        for channels in [16, 18, 64] {
            assert_eq!(Layout::wav(channels), Layout::discrete());
        }
    }
}
