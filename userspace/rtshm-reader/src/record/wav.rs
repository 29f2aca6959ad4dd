// SPDX-License-Identifier: MIT OR GPL-2.0

//! The header of a WAV file of float32, which can grow beyond 4 GiB where it stands.
//!
//! ```text
//!   0  RIFF | RF64, size, WAVE
//!  12  JUNK | ds64, 28 bytes: sizes of 64 bits, where those of 32 do not do (EBU Tech 3306)
//!  48  fmt , 40 bytes: WAVE_FORMAT_EXTENSIBLE, IEEE float
//!  96  fact, 4 bytes: frames
//! 108  data, size
//! 116  samples
//! ```

/// Bytes before the samples.
pub(crate) const HEADER_LEN: usize = 116;

/// Bytes of a sample.
pub(crate) const SAMPLE_LEN: usize = 4;

/// What stands for a size that is told elsewhere, or is not known.
const ELSEWHERE: u32 = u32::MAX;

/// `KSDATAFORMAT_SUBTYPE_IEEE_FLOAT`.
const IEEE_FLOAT: [u8; 16] = [
    0x03, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71,
];

/// What the samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Frames per second.
    pub(crate) rate: u32,
    /// Samples per frame, at most 64.
    pub(crate) channels: u32,
}

impl Spec {
    /// Bytes of a frame.
    pub(crate) fn frame_len(self) -> usize {
        // CAST: Widening.
        self.channels as usize * SAMPLE_LEN
    }
}

/// The header of so many frames; `None` for a stream without an end.
pub(crate) fn header(spec: Spec, mask: u32, frames: Option<u64>) -> [u8; HEADER_LEN] {
    // CAST: Both widening.
    let frame_len = spec.frame_len() as u64;
    let data = frames.map(|frames| frames.saturating_mul(frame_len));
    // All behind the size itself.
    let riff = data.map(|data| data.saturating_add(HEADER_LEN as u64 - 8));
    let large = riff.is_some_and(|riff| riff >= ELSEWHERE.into());
    let small = |size: Option<u64>| match size {
        Some(size) if !large => u32::try_from(size).unwrap_or(ELSEWHERE),
        _ => ELSEWHERE,
    };

    let mut bytes = Bytes(Vec::with_capacity(HEADER_LEN));
    bytes.id(if large { b"RF64" } else { b"RIFF" });
    bytes.u32(small(riff));
    bytes.id(b"WAVE");

    let ds64 = |size: Option<u64>| if large { size.unwrap_or(0) } else { 0 };
    bytes.id(if large { b"ds64" } else { b"JUNK" });
    bytes.u32(28);
    bytes.u64(ds64(riff));
    bytes.u64(ds64(data));
    bytes.u64(ds64(frames));
    bytes.u32(0); // no table of other large chunks

    // CAST: At most 64 channels.
    let (channels, block) = (spec.channels as u16, frame_len as u16);
    bytes.id(b"fmt ");
    bytes.u32(40);
    bytes.u16(0xfffe);
    bytes.u16(channels);
    bytes.u32(spec.rate);
    bytes.u32(spec.rate.saturating_mul(block.into()));
    bytes.u16(block);
    bytes.u16(32);
    bytes.u16(22); // bytes of what follows
    bytes.u16(32); // valid bits
    bytes.u32(mask);
    bytes.0.extend_from_slice(&IEEE_FLOAT);

    bytes.id(b"fact");
    bytes.u32(4);
    bytes.u32(small(frames));

    bytes.id(b"data");
    bytes.u32(small(data));

    let mut header = [0; HEADER_LEN];
    // PANIC: Its length does not depend on the arguments.
    header.copy_from_slice(&bytes.0);
    header
}

/// Numbers in little-endian, one after the other.
struct Bytes(Vec<u8>);

impl Bytes {
    fn id(&mut self, id: &[u8; 4]) {
        self.0.extend_from_slice(id);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEREO: Spec = Spec {
        rate: 48_000,
        channels: 2,
    };

    /// The bytes, worked out by hand from Microsoft's and the EBU's descriptions.
    #[test]
    fn a_header_is_byte_for_byte_right() {
        #[rustfmt::skip]
        let expected = [
            // 1000 frames of 8 bytes: 8000 = 0x1f40; and 108 more are 8108 = 0x1fac.
            b'R', b'I', b'F', b'F', 0xac, 0x1f, 0, 0, b'W', b'A', b'V', b'E',
            b'J', b'U', b'N', b'K', 28, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            b'f', b'm', b't', b' ', 40, 0, 0, 0,
            0xfe, 0xff, 2, 0, // extensible, channels
            0x80, 0xbb, 0, 0, // 48000
            0x00, 0xdc, 0x05, 0, // 384000
            8, 0, 32, 0, 22, 0, 32, 0, // bytes of a frame, bits, extension, valid bits
            3, 0, 0, 0, // front left, front right
            // {00000003-0000-0010-8000-00aa00389b71}
            3, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71,
            b'f', b'a', b'c', b't', 4, 0, 0, 0, 0xe8, 0x03, 0, 0,
            b'd', b'a', b't', b'a', 0x40, 0x1f, 0, 0,
        ];
        assert_eq!(header(STEREO, 3, Some(1000)), expected);
    }

    fn word(header: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(header[at..at + 4].try_into().unwrap())
    }

    fn long(header: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(header[at..at + 8].try_into().unwrap())
    }

    /// The last frame that fits into 32 bits, and the next.
    #[test]
    fn beyond_4_gib_it_is_rf64() {
        // 108 + 8 n < 2^32 - 1.
        let most = (u64::from(u32::MAX) - 1 - 108) / 8;
        let small = header(STEREO, 3, Some(most));
        assert_eq!((&small[..4], &small[12..16]), (&b"RIFF"[..], &b"JUNK"[..]));
        assert_eq!(u64::from(word(&small, 4)), 108 + 8 * most);
        assert_eq!(u64::from(word(&small, 112)), 8 * most);
        assert_eq!(small[20..48], [0; 28]);

        let large = header(STEREO, 3, Some(most + 1));
        assert_eq!((&large[..4], &large[12..16]), (&b"RF64"[..], &b"ds64"[..]));
        assert_eq!(word(&large, 16), 28);
        for size in [4, 104, 112] {
            assert_eq!(word(&large, size), u32::MAX);
        }
        assert_eq!(long(&large, 20), 108 + 8 * (most + 1));
        assert_eq!(long(&large, 28), 8 * (most + 1));
        assert_eq!(long(&large, 36), most + 1);
        assert_eq!(word(&large, 44), 0);
        // The rest is as it was.
        assert_eq!(large[48..104], small[48..104]);
    }

    #[test]
    fn a_stream_has_no_length() {
        let stream = header(STEREO, 3, None);
        assert_eq!(
            (&stream[..4], &stream[12..16]),
            (&b"RIFF"[..], &b"JUNK"[..])
        );
        for size in [4, 104, 112] {
            assert_eq!(word(&stream, size), u32::MAX);
        }
    }
}
