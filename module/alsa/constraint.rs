// SPDX-License-Identifier: GPL-2.0

//! What restricts the configurations of a substream beyond its [`Hardware`](super::hardware).
//!
//! C header: [`include/sound/pcm_params.h`](srctree/include/sound/pcm_params.h)
//!
//! ALSA keeps the configurations that are still possible as masks and intervals, and calls rules
//! that narrow them whenever something has changed.

use core::ptr;

use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi,
    prelude::*, //
};

use super::{
    pcm::Stream,
    sys, //
};

const FORMAT: u32 = sys::SNDRV_PCM_HW_PARAM_FORMAT;
const CHANNELS: u32 = sys::SNDRV_PCM_HW_PARAM_CHANNELS;
const RATE: u32 = sys::SNDRV_PCM_HW_PARAM_RATE;

/// Restricts a substream that is being opened: to whole periods of a least length, and to the layout
/// that [`Stream::dictated`] tells.
///
/// # Safety
///
/// `runtime` is that of a substream which is being opened, of a PCM whose `private_data` is
/// `device` and whose streams in this direction are `S`.
pub(super) unsafe fn add<S: Stream>(
    runtime: *mut sys::snd_pcm_runtime,
    device: *const S::Device,
) -> Result {
    // CAST: Small constants, here and below.
    let periods = sys::SNDRV_PCM_HW_PARAM_PERIODS as ffi::c_int;
    // SAFETY: The runtime is valid and being opened.
    to_result(unsafe { sys::snd_pcm_hw_constraint_integer(runtime, periods) })?;
    let period_size = sys::SNDRV_PCM_HW_PARAM_PERIOD_SIZE as ffi::c_int;
    let min = S::HARDWARE.period_frames_min;
    // SAFETY: As above.
    to_result(unsafe { sys::snd_pcm_hw_constraint_minmax(runtime, period_size, min, u32::MAX) })?;
    for parameter in [FORMAT, CHANNELS, RATE] {
        let var = parameter as ffi::c_int;
        let end: ffi::c_int = -1;
        let private = device.cast_mut().cast();
        // SAFETY: The runtime is valid and being opened, the rule is for a device like this one,
        // which outlives the substream, and what it depends on is a list that ends with -1.
        to_result(unsafe {
            sys::snd_pcm_hw_rule_add(runtime, 0, var, Some(rule::<S>), private, var, end)
        })?;
    }
    Ok(())
}

/// Narrows one parameter to what the device dictates; returns whether that changed anything.
///
/// # Safety
///
/// Called by ALSA for a rule made by [`add`] of an `S`.
unsafe extern "C" fn rule<S: Stream>(
    params: *mut sys::snd_pcm_hw_params,
    rule: *mut sys::snd_pcm_hw_rule,
) -> ffi::c_int {
    // SAFETY: ALSA gives us structures of its own.
    let (params, rule) = unsafe { (&mut *params, &*rule) };
    // SAFETY: `add` put the device there.
    let device = unsafe { &*rule.private.cast::<S::Device>() };
    let Some(layout) = S::dictated(device) else {
        return 0;
    };
    let value = match rule.var.unsigned_abs() {
        RATE => layout.rate,
        CHANNELS => layout.channels,
        _ => {
            // CAST: A small constant.
            let index = (FORMAT - sys::SNDRV_PCM_HW_PARAM_FIRST_MASK) as usize;
            let mask = params.masks.get_mut(index);
            return from_result(|| narrow_mask(mask.ok_or(EINVAL)?, layout.format.bit()));
        }
    };
    let index = rule
        .var
        .unsigned_abs()
        .wrapping_sub(sys::SNDRV_PCM_HW_PARAM_FIRST_INTERVAL);
    // CAST: Widening.
    let interval = params.intervals.get_mut(index as usize);
    let mut only = sys::snd_interval {
        min: value,
        max: value,
        ..Default::default()
    };
    only.set_integer(1);
    match interval {
        // SAFETY: Both are intervals.
        Some(interval) => unsafe { sys::snd_interval_refine(interval, ptr::from_ref(&only)) },
        None => EINVAL.to_errno(),
    }
}

fn narrow_mask(mask: &mut sys::snd_mask, bits: u64) -> Result<ffi::c_int> {
    // CAST: The halves of 64 bits; ALSA has no formats beyond.
    let allowed = [bits as u32, (bits >> 32) as u32];
    let mut changed = false;
    let mut left = 0;
    for (index, word) in mask.bits.iter_mut().enumerate() {
        let allowed = allowed.get(index).copied().unwrap_or(0);
        changed |= *word & !allowed != 0;
        *word &= allowed;
        left |= *word;
    }
    match left {
        0 => Err(EINVAL),
        _ => Ok(changed.into()),
    }
}
