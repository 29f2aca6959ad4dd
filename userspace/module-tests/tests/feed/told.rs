// SPDX-License-Identifier: GPL-2.0

//! What a consumer is told: the records of the ring, taken out of it.

use std::fmt;

use rtshm_module_tests::abi::record::{
    self,
    Format,
    Lost,
    Record,
    State,
    StateChange, //
};

/// Samples, which are too many to be shown.
#[derive(Clone, PartialEq)]
pub(crate) struct Samples(pub(crate) Vec<u32>);

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {:x?} on", self.0.len(), self.0.first())
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Audio {
        position: u64,
        time: u64,
        frames: u32,
        samples: Samples,
    },
    Format {
        flags: u16,
        position: u64,
        format: Format,
    },
    State {
        flags: u16,
        position: u64,
        state: State,
        time: u64,
    },
    Lost {
        flags: u16,
        position: u64,
        frames: u64,
        time: u64,
    },
    Volume {
        flags: u16,
        position: u64,
        gain: i32,
        on: bool,
        time: u64,
    },
}

/// Takes records from bytes, as a consumer does: it knows the number of channels from the last
/// `FORMAT` and nowhere else.
#[derive(Default)]
pub(crate) struct Parser {
    channels: u32,
}

impl Parser {
    /// The first record of `bytes` and its length in the ring, or `None` where there are no bytes.
    pub(crate) fn parse(&mut self, bytes: &[u8]) -> Option<(Told, u64)> {
        let record = Record::parse(bytes).expect("a whole record")?;
        let len = record.stored_len();
        assert_eq!(len % 64, 0, "records are aligned");
        let (flags, position) = (record.header.flags, record.header.position);
        let told = match record.header.kind {
            record::AUDIO => {
                let (chunk, bytes) = record.audio(self.channels).expect("a chunk");
                assert_eq!(flags, 0, "AUDIO has no flags");
                assert_eq!(chunk.reserved, 0);
                let words = bytes.chunks_exact(4);
                Told::Audio {
                    position,
                    time: chunk.time_stamp,
                    frames: chunk.frame_count,
                    samples: Samples(
                        words
                            .map(|word| u32::from_ne_bytes(word.try_into().unwrap()))
                            .collect(),
                    ),
                }
            }
            record::FORMAT => {
                let format = record.format().expect("a format");
                assert_eq!(format.reserved, [0; 2]);
                self.channels = format.channels;
                Told::Format {
                    flags,
                    position,
                    format,
                }
            }
            record::STATE => {
                let change: StateChange = record.body().expect("a state");
                assert_eq!(change.reserved, 0);
                Told::State {
                    flags,
                    position,
                    state: State::from_raw(change.state).expect("a known state"),
                    time: change.time_stamp,
                }
            }
            record::LOST => {
                let lost: Lost = record.body().expect("a loss");
                Told::Lost {
                    flags,
                    position,
                    frames: lost.frames,
                    time: lost.time_stamp,
                }
            }
            record::VOLUME => {
                let volume = record.volume().expect("a volume");
                Told::Volume {
                    flags,
                    position,
                    gain: volume.gain,
                    on: volume.on != 0,
                    time: volume.time_stamp,
                }
            }
            kind => panic!("a record of kind {kind}"),
        };
        Some((told, len))
    }
}
