// SPDX-License-Identifier: GPL-2.0

//! The PCM device: a [`Player`](crate::player::Player) that applications play into, and
//! [`Recorder`](crate::recorder::Recorder)s from which others record what is played.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

use crate::{
    abi::record,
    alsa::{
        hardware::{
            Hardware,
            Layout,
            SampleFormat, //
        },
        sys, //
    },
    compat::{
        new_spinlock_irq,
        SpinLockIrq, //
    },
    delivery::{
        Delivery,
        Mode, //
    },
    outlet::Outlet,
    steering::Steering,
    tap::{
        Frames,
        Tap,
        SAMPLE_MULTIPLE, //
    }, //
};

/// Largest buffer of a stream, in bytes.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// Bytes that recorders can be behind.
const TAP_BYTES: usize = BUFFER_BYTES_MAX / SAMPLE_MULTIPLE * SAMPLE_MULTIPLE;

/// Least time between two ticks of a stream, in nanoseconds: whatever is played, the CPU has time
/// for others.
pub const TICK_MIN: u64 = 50_000;

/// What playback and capture can do; playback can do a little more.
pub const HARDWARE: Hardware = Hardware {
    info: sys::SNDRV_PCM_INFO_INTERLEAVED
        | sys::SNDRV_PCM_INFO_NONINTERLEAVED
        | sys::SNDRV_PCM_INFO_MMAP
        | sys::SNDRV_PCM_INFO_MMAP_VALID
        | sys::SNDRV_PCM_INFO_PAUSE
        | sys::SNDRV_PCM_INFO_RESUME,
    formats: &[
        SampleFormat::U8,
        SampleFormat::S16_LE,
        SampleFormat::S24_LE,
        SampleFormat::S24_3LE,
        SampleFormat::S32_LE,
        SampleFormat::FLOAT_LE,
    ],
    rates: sys::SNDRV_PCM_RATE_CONTINUOUS | sys::SNDRV_PCM_RATE_8000_768000,
    rate_range: (8_000, 768_000),
    channels_range: (1, record::CHANNELS_MAX),
    buffer_bytes_max: BUFFER_BYTES_MAX,
    period_frames_min: 16,
    period_bytes_range: (16, BUFFER_BYTES_MAX / 2),
    periods_range: (2, 1024),
};

/// How frames of this layout are stored.
pub fn frames(layout: Layout) -> Frames {
    Frames {
        rate: layout.rate,
        channels: layout.channels,
        format: layout.format.0,
        bytes: layout.frame_bytes().get(),
    }
}

/// Where the player and the recorders meet.
#[pin_data]
pub struct Monitor {
    #[pin]
    tap: SpinLockIrq<Tap<VVec<u8>>>,
    /// What the player is configured to.
    #[pin]
    layout: SpinLockIrq<Option<Layout>>,
    /// Recorders that are open. Taken before the tap.
    #[pin]
    recorders: Mutex<u32>,
}

impl Monitor {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                tap <- new_spinlock_irq!(Tap::new(), "rtshm::tap"),
                layout <- new_spinlock_irq!(None, "rtshm::layout"),
                recorders <- new_mutex!(0, "rtshm::recorders"),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `f` with the tap. For any context that does not hold it.
    pub fn with_tap<R>(&self, f: impl FnOnce(&mut Tap<VVec<u8>>) -> R) -> R {
        f(&mut self.tap.lock())
    }

    /// What the player is configured to, if there is one.
    pub fn layout(&self) -> Option<Layout> {
        *self.layout.lock()
    }

    /// Takes note of what the player is configured to.
    pub fn set_layout(&self, layout: Option<Layout>) {
        *self.layout.lock() = layout;
    }

    /// A recorder comes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn join(&self) -> Result {
        let mut recorders = self.recorders.lock();
        if *recorders == 0 {
            let storage = VVec::from_elem(0, TAP_BYTES, GFP_KERNEL)?;
            let before = self.with_tap(|tap| tap.listen(storage));
            // Memory is given back outside of the lock.
            drop(before);
        }
        // OVERFLOW: ALSA bounds the substreams.
        *recorders = recorders.wrapping_add(1);
        Ok(())
    }

    /// A recorder goes.
    pub fn part(&self) {
        let mut recorders = self.recorders.lock();
        *recorders = recorders.saturating_sub(1);
        if *recorders == 0 {
            let storage = self.with_tap(Tap::forget);
            // Memory is given back outside of the lock.
            drop(storage);
        }
    }
}

/// The PCM device.
pub struct Endpoint {
    outlet: Arc<Outlet>,
    steering: Arc<Steering>,
    delivery: Arc<Delivery>,
    monitor: Arc<Monitor>,
    /// Most frames in a chunk.
    chunk_frames: u32,
}

impl Endpoint {
    /// The endpoint that feeds `outlet` in chunks of at most `chunk_frames` frames, at the speed that
    /// `steering` gives, delivered as `delivery` says.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(
        outlet: Arc<Outlet>,
        steering: Arc<Steering>,
        delivery: Arc<Delivery>,
        chunk_frames: u32,
    ) -> Result<Self> {
        Ok(Self {
            outlet,
            steering,
            delivery,
            monitor: Monitor::new()?,
            chunk_frames,
        })
    }

    /// Where the stream goes.
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Who steers the clock.
    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    /// How chunks are delivered to whoever opens the card now.
    pub fn delivery(&self) -> Mode {
        self.delivery.mode()
    }

    /// Where recorders record from.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Most frames in a chunk of so many channels: eight chunks fit into the ring at least.
    pub fn chunk_limit(&self, channels: u32) -> u32 {
        let room = self.outlet.geometry().capacity() / 8;
        // CAST: A small constant.
        let room = room.saturating_sub(record::AUDIO_OFFSET as u64 + record::RECORD_ALIGN);
        let frames = room / 4 / u64::from(channels.max(1));
        self.chunk_frames
            .min(u32::try_from(frames).unwrap_or(u32::MAX))
    }
}
