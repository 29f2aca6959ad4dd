// SPDX-License-Identifier: GPL-2.0

//! The card's mixer.

use core::ffi::CStr;

use kernel::{
    prelude::*,
    sync::Arc, //
};

use crate::{
    alsa::{
        card::NewCard,
        control::{
            self,
            Control,
            Interface,
            Values, //
        },
        sys,
        timer, //
    },
    delivery::{
        Delivery,
        Mode,
        MODES, //
    },
    outlet::Outlet,
    steering::{
        Steering,
        PITCH_RANGE,
        SOURCES, //
    }, //
};

/// Adds the mixer's elements to `card`.
///
/// # Errors
///
/// As [`control::add`].
pub fn add(
    card: &mut NewCard,
    outlet: &Arc<Outlet>,
    steering: &Arc<Steering>,
    delivery: &Arc<Delivery>,
) -> Result {
    control::add(card, Volume(outlet.clone()))?;
    control::add(card, Switch(outlet.clone()))?;
    control::add(card, Pitch(steering.clone()))?;
    control::add(card, ClockSource(steering.clone()))?;
    control::add(card, DeliveryMode(delivery.clone()))
}

/// The volume: the consumer is told, and the samples stay as they are.
struct Volume(Arc<Outlet>);

impl Volume {
    /// The value that is 0 dB.
    const UNITY: i32 = 256;
    /// Hundredths of a decibel from one value to the next. PipeWire takes the next higher value as it
    /// is where that is less than a hundredth of the slider's way off, and scales otherwise; the way
    /// is the cube root of the factor, so that this is always near enough.
    const STEP: i32 = 25;
}

impl Control for Volume {
    const NAME: &'static CStr = c"Master Playback Volume";
    const VALUES: Values = Values::Integer {
        min: 0,
        max: Self::UNITY,
    };
    const TLV: Option<&'static [u32; 4]> = Some(&[
        sys::SNDRV_CTL_TLVT_DB_SCALE,
        8,
        // CAST: The same bits.
        (-Self::UNITY * Self::STEP) as u32,
        Self::STEP as u32,
    ]);

    fn get(&self) -> i32 {
        let gain = self.0.with_feed(|feed| feed.last_volume().gain);
        (gain / Self::STEP).wrapping_add(Self::UNITY)
    }

    fn set(&self, value: i32) -> bool {
        let gain = value.wrapping_sub(Self::UNITY).wrapping_mul(Self::STEP);
        let now = timer::now();
        self.0.with_feed(|feed| {
            let before = feed.last_volume();
            feed.volume(gain, before.on != 0, now);
            before.gain != gain
        })
    }
}

/// Whether it is heard at all: the consumer is told, and the samples stay as they are.
struct Switch(Arc<Outlet>);

impl Control for Switch {
    const NAME: &'static CStr = c"Master Playback Switch";
    const VALUES: Values = Values::Boolean;

    fn get(&self) -> i32 {
        let on = self.0.with_feed(|feed| feed.last_volume().on) != 0;
        on.into()
    }

    fn set(&self, value: i32) -> bool {
        let now = timer::now();
        self.0.with_feed(|feed| {
            let before = feed.last_volume();
            feed.volume(before.gain, value != 0, now);
            (before.on != 0) != (value != 0)
        })
    }
}

/// The pitch, by the name and in the unit of the USB gadget's, which PipeWire, alsaloop and
/// CamillaDSP steer.
struct Pitch(Arc<Steering>);

impl Control for Pitch {
    const NAME: &'static CStr = c"Playback Pitch 1000000";
    const INTERFACE: Interface = Interface::Pcm;
    const VALUES: Values = Values::Integer {
        min: PITCH_RANGE.0,
        max: PITCH_RANGE.1,
    };

    fn get(&self) -> i32 {
        // CAST: Inside of the range.
        self.0.pitch() as i32
    }

    fn set(&self, value: i32) -> bool {
        self.0.set_pitch(value.unsigned_abs())
    }
}

/// Who steers the clock.
struct ClockSource(Arc<Steering>);

impl Control for ClockSource {
    const NAME: &'static CStr = c"Clock Source";
    const INTERFACE: Interface = Interface::Pcm;
    const VALUES: Values = Values::Enumerated(SOURCES);

    fn get(&self) -> i32 {
        // CAST: Inside of the range.
        self.0.source() as i32
    }

    fn set(&self, value: i32) -> bool {
        self.0.set_source(value.unsigned_abs())
    }
}

/// When chunks go out, from the next time on that an application opens the card.
struct DeliveryMode(Arc<Delivery>);

impl Control for DeliveryMode {
    const NAME: &'static CStr = c"Delivery";
    const INTERFACE: Interface = Interface::Pcm;
    const VALUES: Values = Values::Enumerated(MODES);

    fn get(&self) -> i32 {
        // CAST: An index.
        self.0.mode() as i32
    }

    fn set(&self, value: i32) -> bool {
        Mode::from_number(value.unsigned_abs()).is_some_and(|mode| self.0.set(mode))
    }
}
