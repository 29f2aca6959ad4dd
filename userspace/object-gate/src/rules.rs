// SPDX-License-Identifier: MIT OR GPL-2.0

//! What must be true of the module.
//!
//! 1. Nothing in it can panic: it refers to no function of `core` but for formatting.
//! 2. Nothing in it computes with floating point, neither by instructions nor by the functions that
//!    stand in for them.
//! 3. What runs in atomic context (the timer's callback, under the stream lock, under the feed's
//!    spinlock) reaches only functions that neither sleep, allocate nor print, and makes no indirect
//!    call, tracepoints aside. These are listed, rather than those that may not be called: a new one
//!    wants a thought.
//! 4. Whatever others call by its address is known to be called in atomic or in process context.

use std::collections::BTreeSet;

use crate::graph::{Function, Graph};

/// Functions by the start and the end of a part of their name.
struct Pattern(&'static str, &'static str);

/// Where atomic context begins. Each must match.
const ATOMIC: &[Pattern] = &[
    Pattern("rtshm::alsa::timer::expired::<", ""),
    Pattern("rtshm::alsa::", ">::trigger"),
    Pattern("rtshm::alsa::", ">::pointer"),
    Pattern("rtshm::alsa::", ">::ack"),
    // A driver's, called with the stream lock held by `Ops::prepare`.
    Pattern(" as rtshm::alsa::", ">::prepare"),
    // Process context, but in the midst of the caller's preparing to sleep.
    Pattern("rtshm::misc::Table<", ">::poll"),
    // Under its spinlock, whoever calls.
    Pattern("<rtshm::feed::Feed>::", ""),
];

/// Other callbacks: in process context, without a spinlock.
const PROCESS: &[Pattern] = &[
    Pattern("rtshm::alsa::", ">::open"),
    Pattern("rtshm::alsa::", ">::close"),
    Pattern("rtshm::alsa::", ">::hw_params"),
    Pattern("rtshm::alsa::", ">::hw_free"),
    Pattern("rtshm::alsa::", ">::prepare"),
    Pattern("rtshm::alsa::", ">::sync_stop"),
    Pattern("rtshm::alsa::pcm::private_free::<", ""),
    Pattern("rtshm::alsa::constraint::rule::<", ""),
    Pattern("rtshm::alsa::channels::get", ""),
    Pattern("rtshm::alsa::control::Ops<", ">::info"),
    Pattern("rtshm::alsa::control::Ops<", ">::get"),
    Pattern("rtshm::alsa::control::Ops<", ">::put"),
    Pattern("rtshm::alsa::control::Ops<", ">::private_free"),
    Pattern("rtshm::alsa::info::Calls<", ">::read"),
    Pattern("rtshm::alsa::info::Calls<", ">::free"),
    Pattern("rtshm::misc::Table<", ">::remove"),
    Pattern("kernel::miscdevice::MiscdeviceVTable<", ""),
    Pattern("kernel::fmt::", "::fmt"),
    Pattern("init_module", ""),
    Pattern("cleanup_module", ""),
];

/// How the names begin of what the kernel's macros make of a tracepoint's declaration. It is good in
/// any context, and calls whoever traces.
const TRACEPOINT: &[&str] = &[
    "rust_do_trace_rtshm_",
    "__traceiter_rtshm_",
    "trace_raw_output_rtshm_",
];

/// Functions of the kernel that are good in atomic context.
const GOOD: &[&str] = &[
    "__x86_return_thunk",
    "memcpy",
    "memmove",
    "memset",
    // The function tracer, for any context.
    "__fentry__",
    // It prints only of a number that is no errno, which nobody has.
    "<kernel::error::Error>::from_errno",
    // Time.
    "ktime_get",
    "hrtimer_start_range_ns",
    "hrtimer_try_to_cancel",
    // ALSA's, which want the stream lock, or take it.
    "_snd_pcm_stream_lock_irqsave",
    "snd_pcm_stream_unlock_irqrestore",
    "snd_pcm_period_elapsed_under_stream_lock",
    "snd_pcm_stop",
    // Spinlocks and waking. Registering sleeps only where the file's poller allows that.
    "_raw_spin_lock_irqsave",
    "_raw_spin_unlock_irqrestore",
    "rust_helper_smp_mb",
    "rust_helper_spin_assert_is_held",
    "rust_helper_spin_lock_irq_disable",
    "rust_helper_spin_unlock_irq_enable",
    "<kernel::sync::condvar::CondVar>::notify",
    "<kernel::sync::poll::PollTable>::register_wait",
];

/// So are those that begin like this.
const GOOD_START: &str = "rust_helper_atomic";

/// What came out.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong, a sentence each.
    pub complaints: Vec<String>,
    /// Functions where atomic context begins.
    pub entries: usize,
    /// Functions that run in atomic context.
    pub atomic: usize,
}

impl Pattern {
    fn matches(&self, function: &Function) -> bool {
        function.names.iter().any(|name| {
            name.find(self.0)
                .is_some_and(|start| name[start + self.0.len()..].ends_with(self.1))
        })
    }
}

/// Checks all rules.
pub fn check(graph: &Graph) -> Verdict {
    let mut verdict = Verdict::default();
    let mut complain = |text: String| verdict.complaints.push(text);
    for function in &graph.functions {
        let name = name(function);
        for external in &function.external {
            if may_panic(external) {
                complain(format!("{name} may panic: {external}"));
            }
            if is_soft_float(external) {
                complain(format!("{name} computes with floating point: {external}"));
            }
        }
        for mnemonic in &function.floating {
            complain(format!("{name} uses floating-point registers: {mnemonic}"));
        }
    }
    let mut entries = BTreeSet::new();
    for pattern in ATOMIC {
        let matching = indices(graph, |function| pattern.matches(function));
        if matching.is_empty() {
            let Pattern(start, end) = pattern;
            complain(format!("no function {start}...{end}: was it renamed?"));
        }
        entries.extend(matching);
    }
    for &callback in &graph.callbacks {
        let function = &graph.functions[callback];
        let is_known = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(function));
        if !is_known(ATOMIC) && !is_known(PROCESS) && !is_tracepoint(function) {
            let name = name(function);
            complain(format!(
                "{name} is called back in a context that is not listed"
            ));
        }
    }
    let reached = walk(graph, &entries);
    let mut told = BTreeSet::new();
    for (index, way) in &reached {
        for external in &graph.functions[*index].external {
            let is_good = external.starts_with(GOOD_START) || GOOD.contains(&external.as_str());
            if !is_good && told.insert(external) {
                complain(format!("in atomic context: {way} -> {external}"));
            }
        }
    }
    verdict.entries = entries.len();
    verdict.atomic = reached.len();
    verdict
}

/// What is reached from `entries`, the nearest first, and the shortest way there in words.
fn walk(graph: &Graph, entries: &BTreeSet<usize>) -> Vec<(usize, String)> {
    let mut reached: Vec<_> = entries
        .iter()
        .map(|&entry| (entry, name(&graph.functions[entry]).to_string()))
        .collect();
    let mut seen = entries.clone();
    let mut next = 0;
    while let Some((index, way)) = reached.get(next).cloned() {
        for &callee in &graph.functions[index].local {
            if !is_tracepoint(&graph.functions[callee]) && seen.insert(callee) {
                let name = name(&graph.functions[callee]);
                reached.push((callee, format!("{way} -> {name}")));
            }
        }
        next += 1;
    }
    reached
}

fn indices(graph: &Graph, predicate: impl Fn(&Function) -> bool) -> BTreeSet<usize> {
    (0..graph.functions.len())
        .filter(|&index| predicate(&graph.functions[index]))
        .collect()
}

fn name(function: &Function) -> &str {
    function.names.first().map_or("?", String::as_str)
}

fn is_tracepoint(function: &Function) -> bool {
    let begins = |name: &String| TRACEPOINT.iter().any(|start| name.starts_with(start));
    function.names.iter().any(begins)
}

/// Whether a symbol of another object is one of `core`'s ways to panic, which are many. What is of
/// the kernel's crate is the kernel's affair.
fn may_panic(symbol: &str) -> bool {
    let is_rust = symbol.contains("::");
    symbol.contains("panic")
        || is_rust && !symbol.contains("kernel::") && !symbol.contains("core::fmt::")
}

/// Whether a symbol is a function of the compiler's that computes with floating point, as in
/// `__mulsf3` or `__floatsidf`.
fn is_soft_float(symbol: &str) -> bool {
    let Some(name) = symbol.strip_prefix("__") else {
        return false;
    };
    let name = name.trim_end_matches(|end: char| end.is_ascii_digit());
    let ends = |ends: [&str; 3]| ends.iter().any(|end| name.ends_with(end));
    ends(["sf", "df", "tf"]) || name.starts_with("fix") && ends(["si", "di", "ti"])
}
