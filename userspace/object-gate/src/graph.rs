// SPDX-License-Identifier: MIT OR GPL-2.0

//! Who refers to whom in a relocatable object for x86-64.
//!
//! An edge is any reference from a function's instructions: a call, a jump, or an address that is
//! taken. Local functions are called without a relocation, hence the decoder. What an indirect call
//! reaches is not known, so it is an edge to a name of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, ensure, Context, Result};
use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, OpKind,
};
use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    Architecture, Object, ObjectKind, ObjectSection, ObjectSymbol, Relocation, RelocationTarget,
    SectionKind, SymbolKind,
};

/// The name of what an indirect call or jump goes to.
pub const INDIRECT: &str = "[indirect call]";

/// A function of the object.
#[derive(Debug, Default)]
pub struct Function {
    /// Its names, demangled; equal functions may be one.
    pub names: BTreeSet<String>,
    /// The functions that it refers to.
    pub local: BTreeSet<usize>,
    /// The symbols of other objects that it refers to.
    pub external: BTreeSet<String>,
    /// Mnemonics of its instructions that belong to the floating-point or a vector unit.
    pub floating: BTreeSet<String>,
}

/// The functions of an object.
#[derive(Debug, Default)]
pub struct Graph {
    /// All of them.
    pub functions: Vec<Function>,
    /// Those whose address is in a table or is taken: who is not called by name.
    pub callbacks: BTreeSet<usize>,
}

/// A section's number and an offset in it.
type Place = (usize, u64);

/// Functions by where they start, with their ends.
type Starts = BTreeMap<Place, (u64, usize)>;

type File<'a> = ElfFile64<'a>;

enum Target {
    Local(Place),
    External(String),
}

impl Graph {
    /// Reads an object file.
    ///
    /// # Errors
    ///
    /// Where it is not a relocatable ELF for x86-64, or has code that cannot be decoded or belongs to
    /// no function.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let file = File::parse(bytes)?;
        ensure!(
            file.architecture() == Architecture::X86_64 && file.kind() == ObjectKind::Relocatable,
            "not a relocatable object for x86-64"
        );
        let mut graph = Self::default();
        let starts = graph.name_functions(&file)?;
        for section in file.sections() {
            let name = section.name()?;
            if section.kind() == SectionKind::Text {
                graph
                    .read_code(&file, &starts, &section)
                    .with_context(|| format!("section {name}"))?;
            } else if [".rodata", ".data", ".init.data", ".exit.data"]
                .iter()
                .any(|data| name.starts_with(data))
            {
                // The kernel's own tables about code are in sections of other names.
                for (_, relocation) in section.relocations() {
                    if let Target::Local(place) = resolve(&file, &relocation, 0)? {
                        graph.callbacks.extend(function_at(&starts, place));
                    }
                }
            }
        }
        Ok(graph)
    }

    fn name_functions(&mut self, file: &File<'_>) -> Result<Starts> {
        let mut starts = Starts::new();
        for symbol in file.symbols() {
            let Some(section) = symbol.section_index() else {
                continue;
            };
            // What the kernel has in front of functions is padding.
            let name = symbol.name()?;
            if symbol.kind() != SymbolKind::Text || name.starts_with("__pfx_") {
                continue;
            }
            let end = symbol.address() + symbol.size();
            let (known_end, index) = *starts
                .entry((section.0, symbol.address()))
                .or_insert((end, self.functions.len()));
            ensure!(known_end == end, "two functions at one place");
            if index == self.functions.len() {
                self.functions.push(Function::default());
            }
            self.functions[index].names.insert(demangle(name));
        }
        Ok(starts)
    }

    fn read_code(
        &mut self,
        file: &File<'_>,
        starts: &Starts,
        section: &ElfSection64<'_, '_>,
    ) -> Result<()> {
        let mut relocations: BTreeMap<_, _> = section.relocations().collect();
        let mut info = InstructionInfoFactory::new();
        let mut decoder = Decoder::new(64, section.data()?, DecoderOptions::NONE);
        while decoder.can_decode() {
            let code = decoder.decode();
            let here = (section.index().0, code.ip());
            let Some(index) = function_at(starts, here) else {
                let padding = matches!(code.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
                ensure!(padding, "code of no function at {:#x}", code.ip());
                continue;
            };
            ensure!(!code.is_invalid(), "no instruction at {:#x}", code.ip());
            if is_floating(&code, &mut info) {
                let mnemonic = format!("{:?}", code.mnemonic()).to_lowercase();
                self.functions[index].floating.insert(mnemonic);
            }
            let fields = relocations.split_off(&code.next_ip());
            let mut targets = Vec::new();
            for (field, relocation) in std::mem::replace(&mut relocations, fields) {
                targets.push(resolve(file, &relocation, code.next_ip() - field)?);
            }
            let is_branch = code.op_kinds().any(|kind| kind == OpKind::NearBranch64);
            if targets.is_empty() && (is_branch || code.is_ip_rel_memory_operand()) {
                let address = match is_branch {
                    true => code.near_branch_target(),
                    false => code.ip_rel_memory_address(),
                };
                targets.push(Target::Local((section.index().0, address)));
            }
            for target in targets {
                match target {
                    Target::External(name) => {
                        self.functions[index].external.insert(name);
                    }
                    Target::Local(place) => {
                        let callee = function_at(starts, place).filter(|callee| *callee != index);
                        self.functions[index].local.extend(callee);
                        self.callbacks.extend(callee.filter(|_| !is_branch));
                    }
                }
            }
            if matches!(
                code.flow_control(),
                FlowControl::IndirectCall | FlowControl::IndirectBranch
            ) {
                self.functions[index].external.insert(INDIRECT.to_string());
            }
        }
        Ok(())
    }
}

/// The function that a place is in.
fn function_at(starts: &Starts, place: Place) -> Option<usize> {
    let (start, (end, index)) = starts.range(..=place).next_back()?;
    (start.0 == place.0 && place.1 < *end).then_some(*index)
}

/// What a relocation refers to, where the field's instruction ends `rest` bytes behind its start.
fn resolve(file: &File<'_>, relocation: &Relocation, rest: u64) -> Result<Target> {
    let RelocationTarget::Symbol(symbol) = relocation.target() else {
        bail!("a relocation without a symbol");
    };
    let symbol = file.symbol_by_index(symbol)?;
    let Some(section) = symbol.section_index() else {
        return Ok(Target::External(demangle(symbol.name()?)));
    };
    let relative = matches!(
        relocation.kind(),
        object::RelocationKind::Relative | object::RelocationKind::PltRelative
    );
    let addend = relocation
        .addend()
        .wrapping_add_unsigned(if relative { rest } else { 0 });
    Ok(Target::Local((
        section.0,
        symbol.address().wrapping_add_signed(addend),
    )))
}

fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Whether an instruction belongs to the x87, MMX, SSE or AVX units.
fn is_floating(code: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    // Of the same extensions, but for general registers and memory alone.
    if matches!(
        code.mnemonic(),
        Mnemonic::Lfence
            | Mnemonic::Mfence
            | Mnemonic::Sfence
            | Mnemonic::Movnti
            | Mnemonic::Prefetchnta
            | Mnemonic::Prefetcht0
            | Mnemonic::Prefetcht1
            | Mnemonic::Prefetcht2
    ) {
        return false;
    }
    let of_unit = |feature: &CpuidFeature| {
        let name = format!("{feature:?}");
        ["FPU", "MMX", "SSE", "AVX"]
            .iter()
            .any(|unit| name.starts_with(unit))
    };
    code.cpuid_features().iter().any(of_unit)
        || info.info(code).used_registers().iter().any(|used| {
            let register = used.register();
            register.is_vector_register() || register.is_mm() || register.is_st() || register.is_k()
        })
}
