// SPDX-License-Identifier: MIT OR GPL-2.0

//! The gate on small objects that are put together by hand.

use object::write::{Object, Relocation, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind,
    SymbolFlags, SymbolKind, SymbolScope,
};
use rtshm_object_gate::{graph::Graph, rules};

const TIMER: &str = "rtshm::alsa::timer::expired::<S>";

/// One function for each entry that the rules ask for.
const ENTRIES: [&str; 7] = [
    TIMER,
    "<rtshm::alsa::pcm::Ops<E>>::trigger",
    "<rtshm::alsa::pcm::Ops<E>>::pointer",
    "<rtshm::alsa::pcm::Ops<E>>::ack",
    "<E as rtshm::alsa::pcm::Playback>::prepare",
    "<rtshm::misc::Table<H>>::poll",
    "<rtshm::feed::Feed>::state",
];

const CALL: &[u8] = &[0xe8, 0, 0, 0, 0];
const JUMP: &[u8] = &[0xe9, 0, 0, 0, 0];
const RETURN: &[u8] = &[0xc3];

/// An object file in the making.
struct Maker(Object<'static>);

impl Maker {
    fn new() -> Self {
        Self(Object::new(
            BinaryFormat::Elf,
            Architecture::X86_64,
            Endianness::Little,
        ))
    }

    /// With all entries but `left_out`, doing nothing.
    fn with_entries(left_out: &str) -> Self {
        let mut maker = Self::new();
        for entry in ENTRIES.into_iter().filter(|entry| *entry != left_out) {
            maker.function(entry, RETURN);
        }
        maker
    }

    fn symbol(&mut self, name: &str, kind: SymbolKind, section: SymbolSection) -> SymbolId {
        self.0.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind,
            scope: SymbolScope::Linkage,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    fn external(&mut self, name: &str) -> SymbolId {
        self.symbol(name, SymbolKind::Unknown, SymbolSection::Undefined)
    }

    fn function(&mut self, name: &str, code: &[u8]) -> SymbolId {
        let section = self.0.section_id(StandardSection::Text);
        let symbol = self.symbol(name, SymbolKind::Text, SymbolSection::Undefined);
        self.0.add_symbol_data(symbol, section, code, 1);
        symbol
    }

    /// A function that is one call or jump.
    fn caller(&mut self, name: &str, code: &[u8], callee: SymbolId) -> SymbolId {
        let symbol = self.function(name, code);
        let section = self.0.section_id(StandardSection::Text);
        let offset = self.0.symbol(symbol).value + 1;
        let relocation = Relocation {
            offset,
            symbol: callee,
            addend: -4,
            flags: RelocationFlags::Generic {
                kind: RelocationKind::PltRelative,
                encoding: RelocationEncoding::X86Branch,
                size: 32,
            },
        };
        self.0.add_relocation(section, relocation).unwrap();
        symbol
    }

    /// A table with the address of a function.
    fn table(&mut self, function: SymbolId) {
        let section = self.0.section_id(StandardSection::ReadOnlyData);
        let offset = self.0.append_section_data(section, &[0; 8], 8);
        let relocation = Relocation {
            offset,
            symbol: function,
            addend: 0,
            flags: RelocationFlags::Generic {
                kind: RelocationKind::Absolute,
                encoding: RelocationEncoding::Generic,
                size: 64,
            },
        };
        self.0.add_relocation(section, relocation).unwrap();
    }

    fn complaints(&self) -> Vec<String> {
        let bytes = self.0.write().unwrap();
        rules::check(&Graph::read(&bytes).unwrap()).complaints
    }
}

#[test]
fn harmless() {
    let mut maker = Maker::with_entries("");
    let sleeper = maker.external("mutex_lock");
    // In process context, which may sleep.
    let open = maker.caller("<rtshm::alsa::pcm::Ops<E>>::open", CALL, sleeper);
    maker.table(open);
    assert_eq!(maker.complaints(), [""; 0]);
}

#[test]
fn entries_that_are_missing() {
    for entry in ENTRIES {
        let complaints = Maker::with_entries(entry).complaints();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains("was it renamed?"), "{complaints:?}");
    }
}

#[test]
fn a_panic_anywhere() {
    for panic in [
        "core::panicking::panic_bounds_check",
        "core::option::unwrap_failed",
        "<[u8]>::copy_from_slice::len_mismatch_fail",
        "rust_begin_panic",
    ] {
        let mut maker = Maker::with_entries("");
        let external = maker.external(panic);
        maker.caller("rtshm::anything", CALL, external);
        let expected = format!("rtshm::anything may panic: {panic}");
        assert_eq!(maker.complaints(), [expected]);
    }
}

#[test]
fn sleep_behind_calls_and_tail_calls() {
    let mut maker = Maker::with_entries(TIMER);
    let sleeper = maker.external("mutex_lock");
    let far = maker.caller("far", CALL, sleeper);
    let near = maker.caller("near", JUMP, far);
    maker.caller(TIMER, CALL, near);
    let expected = format!("in atomic context: {TIMER} -> near -> far -> mutex_lock");
    assert_eq!(maker.complaints(), [expected]);
}

#[test]
fn sleep_behind_a_call_without_relocation() {
    let mut maker = Maker::with_entries(TIMER);
    let sleeper = maker.external("mutex_lock");
    let near = maker.caller("near", CALL, sleeper);
    let start = i32::try_from(maker.0.symbol(near).value).unwrap();
    // To the end of the call, which comes next.
    let distance = start - (start + 5 + 5);
    let call = [&[0xe8][..], &distance.to_le_bytes()].concat();
    maker.function(TIMER, &call);
    let expected = format!("in atomic context: {TIMER} -> near -> mutex_lock");
    assert_eq!(maker.complaints(), [expected]);
}

#[test]
fn indirect_call() {
    let mut maker = Maker::with_entries(TIMER);
    maker.function(TIMER, &[0xff, 0xd0]); // call rax
    let expected = format!("in atomic context: {TIMER} -> [indirect call]");
    assert_eq!(maker.complaints(), [expected]);
}

#[test]
fn floating_point() {
    for (code, mnemonic) in [
        (&[0x0f, 0x57, 0xc0][..], "xorps"),
        (&[0xf2, 0x0f, 0x59, 0xc1], "mulsd"),
        (&[0xd9, 0x00], "fld"),
        (&[0x0f, 0x6f, 0x00], "movq"),
        (&[0xc5, 0xfc, 0x58, 0xc1], "vaddps"),
        (&[0x0f, 0xae, 0x10], "ldmxcsr"),
    ] {
        let mut maker = Maker::with_entries("");
        maker.function("rtshm::anything", code);
        let expected = format!("rtshm::anything uses floating-point registers: {mnemonic}");
        assert_eq!(maker.complaints(), [expected]);
    }
    for name in ["__mulsf3", "__floatsidf", "__fixdfdi", "__extendsfdf2"] {
        let mut maker = Maker::with_entries("");
        let external = maker.external(name);
        maker.caller("rtshm::anything", CALL, external);
        let expected = format!("rtshm::anything computes with floating point: {name}");
        assert_eq!(maker.complaints(), [expected]);
    }
}

#[test]
fn fences_are_no_floating_point() {
    let mut maker = Maker::with_entries("");
    maker.function("rtshm::anything", &[0x0f, 0xae, 0xf0]); // mfence
    assert_eq!(maker.complaints(), [""; 0]);
}

#[test]
fn callback_of_unknown_context() {
    let mut maker = Maker::with_entries("");
    let callback = maker.function("rtshm::new_callback", RETURN);
    maker.table(callback);
    let expected = "rtshm::new_callback is called back in a context that is not listed";
    assert_eq!(maker.complaints(), [expected]);
}

#[test]
fn objects_that_cannot_be_judged() {
    assert!(Graph::read(b"no object").is_err());
    let mut maker = Maker::with_entries("");
    let text = maker.0.section_id(StandardSection::Text);
    maker.0.append_section_data(text, &[0x90, 0xc3], 1);
    let bytes = maker.0.write().unwrap();
    assert!(Graph::read(&bytes).is_err(), "code of no function");
}
