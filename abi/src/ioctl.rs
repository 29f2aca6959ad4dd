// SPDX-License-Identifier: MIT OR GPL-2.0

//! The ioctls of `/dev/rtshm`. Both only read, on any open file, with or without a consumer.

use super::plain::plain_struct;

/// The type of all ioctl numbers of `/dev/rtshm`.
pub const MAGIC: u8 = 0xD7;
/// The number of the ioctl that fills an [`Info`]: `_IOR(MAGIC, 0, struct rtshm_info)`.
pub const INFO: u8 = 0;
/// The number of the ioctl that fills a [`Status`]: `_IOR(MAGIC, 1, struct rtshm_status)`.
pub const STATUS: u8 = 1;

plain_struct! {
    /// What a device is: constant while the module is loaded.
    pub struct Info {
        /// [`ABI_VERSION`](super::layout::ABI_VERSION) of the module.
        pub abi_version: u32,
        /// Bytes in a page of this machine: where the windows of the region start.
        pub page_size: u32,
        /// Bytes in the ring.
        pub capacity: u64,
        /// Bytes in the whole region.
        pub region_len: u64,
        /// Index of the ALSA card, as in `hw:N`.
        pub card: u32,
        /// 0.
        pub reserved: u32,
        /// Id of the ALSA card, as in `hw:ID`, NUL-padded.
        pub card_id: [u8; 16],
        /// Version of the module, NUL-padded.
        pub module_version: [u8; 16],
    }

    /// How a device does. The counters are those of [`Counters`](super::layout::Counters).
    pub struct Status {
        /// The last [`State`](super::record::State), 0 before the first stream.
        pub state: u32,
        /// Process that has the device open for reading and writing, 0 where there is none.
        pub consumer_pid: u32,
        /// Frames per second; 0, like the next five, before the first stream.
        pub rate: u32,
        /// Samples per frame.
        pub channels: u32,
        /// The application's sample format, an `SNDRV_PCM_FORMAT_*`.
        pub format: u32,
        /// The application's period in frames.
        pub period_frames: u32,
        /// The application's buffer in frames.
        pub buffer_frames: u32,
        /// Largest number of frames in a chunk.
        pub chunk_frames: u32,
        /// Bytes ever written for this consumer.
        pub write_count: u64,
        /// Bytes it has read, as it says itself.
        pub read_count: u64,
        /// `AUDIO` records written.
        pub chunks: u64,
        /// Frames inside them.
        pub frames: u64,
        /// Frames that did not fit; `LOST` records tell which.
        pub lost_frames: u64,
        /// `LOST` records written.
        pub lost_records: u64,
        /// Streams started by applications.
        pub streams: u64,
        /// Streams stopped because the application was late.
        pub xruns: u64,
        /// Consumers found faulty.
        pub faults: u64,
        /// Times those who wait in `poll()` or epoll were woken.
        pub wakeups: u64,
        /// The speed at which the card's clock runs, as a ratio to the nominal rate times 2^32; 0
        /// while it stands still.
        pub clock_ratio: u64,
        /// The Master Playback Volume in hundredths of a decibel.
        pub volume_gain: i32,
        /// The Master Playback Switch: 1 is on, 0 is muted.
        pub volume_on: u32,
    }
}

const _: () = {
    assert!(size_of::<Info>() == 64);
    assert!(size_of::<Status>() == 128);
};
