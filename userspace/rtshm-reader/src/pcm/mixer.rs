// SPDX-License-Identifier: MIT OR GPL-2.0

//! What the virtual card's mixer says of its clock.

use alsa::ctl::{ElemId, ElemIface, ElemType, ElemValue};
use alsa::Ctl;

/// The number of the source `Consumer`.
const CONSUMER: u32 = 2;

/// Whether the consumer may steer the clock of the card of this index; `None` where that cannot be
/// found out.
pub(super) fn is_clock_ours(card: u32) -> Option<bool> {
    let ctl = Ctl::new(&format!("hw:{card}"), true).ok()?;
    let mut id = ElemId::new(ElemIface::PCM);
    id.set_name(c"Clock Source");
    let mut value = ElemValue::new(ElemType::Enumerated).ok()?;
    value.set_id(&id);
    ctl.elem_read(&mut value).ok()?;
    Some(value.get_enumerated(0)? == CONSUMER)
}
