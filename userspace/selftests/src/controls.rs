// SPDX-License-Identifier: MIT OR GPL-2.0

//! The card's mixer elements.

use std::ffi::{CStr, CString};

use alsa::ctl::{ElemId, ElemIface, ElemType, ElemValue};
use alsa::Ctl;
use anyhow::{bail, Context, Result};
use nix::errno::Errno;

use crate::module::CARD;

/// A mixer element with one value.
pub(crate) struct Element {
    ctl: Ctl,
    name: CString,
    iface: ElemIface,
    kind: ElemType,
}

impl Element {
    /// An element that mixers show.
    pub(crate) fn mixer(name: &CStr, kind: ElemType) -> Result<Self> {
        Self::open(name, ElemIface::Mixer, kind)
    }

    /// An element of the PCM.
    pub(crate) fn pcm(name: &CStr, kind: ElemType) -> Result<Self> {
        Self::open(name, ElemIface::PCM, kind)
    }

    fn open(name: &CStr, iface: ElemIface, kind: ElemType) -> Result<Self> {
        let ctl =
            Ctl::new(&format!("hw:{CARD}"), false).context("cannot open the card's control")?;
        let name = name.to_owned();
        Ok(Self {
            ctl,
            name,
            iface,
            kind,
        })
    }

    fn id(&self) -> ElemId {
        let mut id = ElemId::new(self.iface);
        id.set_name(&self.name);
        id
    }

    /// Its value; of an enumeration, the number of the name.
    pub(crate) fn get(&self) -> Result<i32> {
        let mut value = ElemValue::new(self.kind)?;
        value.set_id(&self.id());
        self.ctl
            .elem_read(&mut value)
            .with_context(|| format!("{:?}", self.name))?;
        let read = match self.kind {
            ElemType::Boolean => value.get_boolean(0).map(i32::from),
            ElemType::Integer => value.get_integer(0),
            ElemType::Enumerated => value.get_enumerated(0).map(|item| item as i32),
            _ => None,
        };
        read.context("no value")
    }

    /// Sets its value.
    pub(crate) fn set(&self, number: i32) -> Result<(), Errno> {
        let errno = |error: alsa::Error| Errno::from_raw(error.errno());
        let mut value = ElemValue::new(self.kind).map_err(errno)?;
        value.set_id(&self.id());
        match self.kind {
            ElemType::Enumerated => value.set_enumerated(0, number as u32),
            ElemType::Boolean => value.set_boolean(0, number != 0),
            _ => value.set_integer(0, number),
        }
        .ok_or(Errno::ENOTSUP)?;
        self.ctl.elem_write(&value).map_err(errno)
    }

    /// What a value means, in hundredths of a decibel.
    pub(crate) fn to_db(&self, value: i64) -> Result<i64> {
        Ok(self.ctl.convert_to_db(&self.id(), value)?.0)
    }

    /// The range, in hundredths of a decibel.
    pub(crate) fn db_range(&self) -> Result<(i64, i64)> {
        let (min, max) = self.ctl.get_db_range(&self.id())?;
        Ok((min.0, max.0))
    }
}

/// Who is told when an element changes.
pub(crate) struct Events(Ctl);

impl Events {
    /// Is told from now on.
    pub(crate) fn new() -> Result<Self> {
        let ctl = Ctl::new(&format!("hw:{CARD}"), true)?;
        ctl.subscribe_events(true)?;
        Ok(Self(ctl))
    }

    /// The names of the elements whose value has changed since the last call, in order.
    pub(crate) fn changed(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        loop {
            match self.0.read() {
                Ok(Some(event)) if event.get_mask().value() => {
                    names.push(event.get_id().get_name()?.to_string());
                }
                Ok(Some(event)) => bail!("an event that is no change: {:?}", event.get_mask().0),
                Ok(None) => return Ok(names),
                Err(error) if error.errno() == Errno::EAGAIN as i32 => return Ok(names),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
