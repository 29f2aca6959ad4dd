// SPDX-License-Identifier: GPL-2.0

//! ALSA for drivers in safe Rust: cards, PCM devices, mixer elements and files in `/proc/asound`.
//!
//! C headers: [`include/sound/core.h`](srctree/include/sound/core.h),
//! [`include/sound/pcm.h`](srctree/include/sound/pcm.h),
//! [`include/sound/control.h`](srctree/include/sound/control.h),
//! [`include/sound/info.h`](srctree/include/sound/info.h)
//!
//! This layer knows nothing of rtshm. All unsafe code that ALSA needs is in here.

pub mod area;
pub mod card;
mod channels;
mod constraint;
pub mod control;
pub mod hardware;
pub mod info;
mod ops;
pub mod pcm;
pub mod substream;
pub mod sys;
pub mod timer;
