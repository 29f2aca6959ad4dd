// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm.h`, the Rust sources and the drawings say the same, the first two to a C11 and to a C++17
//! compiler and to rustc.
//!
//! A program that includes the header prints what the compiler makes of it; that is compared with
//! what rustc makes of the sources. So that nothing can be forgotten, the names to compare come
//! from the text of both: what stands in one and not in the other fails, and so does what stands in both
//! and is missing from the tables here.

#![cfg(not(loom))]

use rtshm_abi::{
    ioctl::{
        self,
        Info,
        Status, //
    },
    layout::{
        self,
        ConsumerPage,
        Counters,
        Geometry,
        ProducerPage,
        Stream, //
    },
    record::{
        self,
        AudioChunk,
        Format,
        Header,
        Lost,
        State,
        StateChange,
        Volume, //
    },
    ring::Consumer,
};

use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    fmt::Write as _,
    fs,
    mem::offset_of,
    path::PathBuf,
    process::Command, //
};

const HEADER: &str = include_str!("../rtshm.h");
const LAYOUT: &str = include_str!("../src/layout.rs");
const RECORD: &str = include_str!("../src/record.rs");
const IOCTL: &str = include_str!("../src/ioctl.rs");
const MEMORY_MAP: &str = include_str!("../../Documentation/memory-map.svg");
const RECORD_DRAWN: &str = include_str!("../../Documentation/record.svg");
const DOCUMENT: &str = include_str!("../../Documentation/abi.rst");

/// A structure of the contract as rustc lays it out.
struct Layout {
    rust_name: &'static str,
    c_name: &'static str,
    source: &'static str,
    size: usize,
    align: usize,
    /// Name, offset and size of each field that is public.
    fields: Vec<(&'static str, usize, usize)>,
}

fn width<S, F>(_: impl Fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layouts {
    ($($source:ident $c:literal $rust:ident { $($field:ident)* })*) => {
        vec![$(Layout {
            rust_name: stringify!($rust),
            c_name: $c,
            source: $source,
            size: size_of::<$rust>(),
            align: align_of::<$rust>(),
            fields: vec![$((
                stringify!($field),
                offset_of!($rust, $field),
                width(|value: &$rust| &value.$field),
            )),*],
        }),*]
    };
}

fn layouts() -> Vec<Layout> {
    layouts! {
        LAYOUT "rtshm_producer_page" ProducerPage {
            abi_version header_size capacity write_count counters stream clock_ratio
        }
        LAYOUT "rtshm_counters" Counters {
            chunks frames lost_frames lost_records streams xruns faults wakeups
        }
        LAYOUT "rtshm_stream" Stream {
            state rate channels format period_frames buffer_frames chunk_frames
        }
        LAYOUT "rtshm_consumer_page" ConsumerPage { read_count wake_bytes rate_request }
        RECORD "rtshm_header" Header { size kind flags position }
        RECORD "rtshm_audio_chunk" AudioChunk { frame_count reserved time_stamp reserved2 }
        RECORD "rtshm_format" Format {
            rate channels format period_frames buffer_frames chunk_frames reserved
        }
        RECORD "rtshm_state_change" StateChange { state reserved time_stamp }
        RECORD "rtshm_lost" Lost { frames time_stamp }
        RECORD "rtshm_volume" Volume { gain on time_stamp }
        IOCTL "rtshm_info" Info {
            abi_version page_size capacity region_len card reserved card_id module_version
        }
        IOCTL "rtshm_status" Status {
            state consumer_pid rate channels format period_frames buffer_frames chunk_frames
            write_count read_count chunks frames lost_frames lost_records streams xruns faults
            wakeups clock_ratio volume_gain volume_on
        }
    }
}

/// What `_IOR(0xD7, number, size)` is, written out: this checks the header's use of the macro and
/// the sizes that go into it, so it must not be computed from either.
fn ioctls() -> [(&'static str, u64); 2] {
    if cfg!(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc64",
    )) {
        [("IOC_INFO", 0x4040_D700), ("IOC_STATUS", 0x4080_D701)]
    } else {
        [("IOC_INFO", 0x8040_D700), ("IOC_STATUS", 0x8080_D701)]
    }
}

/// The source of a constant, its name there, its name in C behind `RTSHM_`, and its value.
type Constant = (&'static str, &'static str, &'static str, u64);

fn constants() -> Vec<Constant> {
    macro_rules! constants {
        ($source:ident $module:ident $($name:ident)*) => {
            [$((
                $source,
                stringify!($name),
                stringify!($name),
                $module::$name.try_into().expect("it is small"),
            )),*]
        };
    }
    let mut all: Vec<Constant> = Vec::new();
    all.extend(constants!(LAYOUT layout ABI_VERSION CAPACITY_MIN CAPACITY_MAX));
    all.extend(constants!(LAYOUT layout CLOCK_NOMINAL CLOCK_SPAN));
    all.extend(constants!(RECORD record RECORD_ALIGN CHANNELS_MAX HEADER_LEN AUDIO_OFFSET));
    all.extend(constants!(RECORD record AUDIO FORMAT STATE LOST VOLUME RESYNC SPANS_STREAMS));
    for (name, gain) in [
        ("GAIN_MIN", record::GAIN_MIN),
        ("GAIN_MAX", record::GAIN_MAX),
    ] {
        // As the C program prints it: all numbers as `unsigned long long`.
        all.push((RECORD, name, name, i64::from(gain) as u64));
    }
    all.push((IOCTL, "MAGIC", "IOC_MAGIC", u64::from(ioctl::MAGIC)));
    for (name, (c_name, number)) in ["INFO", "STATUS"].into_iter().zip(ioctls()) {
        all.push((IOCTL, name, c_name, number));
    }
    all
}

fn states() -> impl Iterator<Item = (&'static str, u64)> {
    let name = |state| match state {
        State::Start => "STATE_START",
        State::Pause => "STATE_PAUSE",
        State::Resume => "STATE_RESUME",
        State::Stop => "STATE_STOP",
        State::Drain => "STATE_DRAIN",
        State::Xrun => "STATE_XRUN",
        State::Suspend => "STATE_SUSPEND",
        _ => panic!("{state:?} is not in the table of this test"),
    };
    (0..=u32::from(u16::MAX))
        .filter_map(State::from_raw)
        .map(move |state| (name(state), u64::from(state.as_raw())))
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").expect("a comment ends").1;
    }
    code + rest
}

/// The fields of a Rust structure, in order; private ones keep their `_`.
fn fields_in_rust<'a>(source: &'a str, name: &str) -> Vec<&'a str> {
    let opening = format!("pub struct {name} {{");
    let (_, body) = source.split_once(&opening).expect("it is there");
    body.lines()
        .map(str::trim)
        .take_while(|line| *line != "}")
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name.trim_start_matches("pub "))
        .collect()
}

/// The fields of a C structure, in order.
fn fields_in_c<'a>(code: &'a str, name: &str) -> Vec<&'a str> {
    let opening = format!("struct {name} {{");
    let (_, body) = code.split_once(&opening).expect("it is there");
    let (body, _) = body.split_once('}').expect("it ends");
    body.split_terminator(';')
        .filter_map(|field| field.split_whitespace().last())
        .filter_map(|name| name.split('[').next())
        .collect()
}

/// A language, its compiler and what it is asked for.
struct Language {
    variable: &'static str,
    default: &'static str,
    standard: &'static str,
    extension: &'static str,
}

const C11: Language = Language {
    variable: "CC",
    default: "cc",
    standard: "-std=c11",
    extension: "c",
};

const CXX17: Language = Language {
    variable: "CXX",
    default: "c++",
    standard: "-std=c++17",
    extension: "cc",
};

/// Compiles a program and returns where it is.
fn compile(language: &Language, name: &str, text: &str) -> PathBuf {
    let compiler = std::env::var(language.variable).unwrap_or(language.default.to_owned());
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = program.with_extension(language.extension);
    fs::write(&source, text).expect("the target directory is writable");
    let output = Command::new(&compiler)
        .arg(language.standard)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"])
        // The example uses POSIX, which a strict C11 leaves out.
        .args(["-D_DEFAULT_SOURCE", "-I", env!("CARGO_MANIFEST_DIR")])
        .args(["-o".as_ref(), program.as_os_str(), source.as_os_str()])
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "cannot run `{compiler}`: {error}; rtshm.h is tested with real compilers: install \
                 gcc and g++, or name others in CC and CXX"
            )
        });
    assert!(
        output.status.success(),
        "{compiler} {} {}:\n{}",
        language.standard,
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

/// Runs a program that prints lines of a name and numbers.
fn run(program: PathBuf) -> BTreeMap<String, Vec<u64>> {
    let output = Command::new(&program).output().expect("it runs");
    assert!(output.status.success(), "{}", program.display());
    let text = String::from_utf8(output.stdout).expect("it prints ASCII");
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().expect("a line has a name").to_owned();
            let numbers = words.map(|word| word.parse().expect("a number"));
            (name, numbers.collect())
        })
        .collect()
}

/// A C program that prints `name numbers...` for each of the expressions.
fn printing<'a>(prelude: &str, lines: impl Iterator<Item = (&'a str, Vec<String>)>) -> String {
    let mut text = String::from("#include <stdio.h>\n#include \"rtshm.h\"\n");
    writeln!(text, "int main(void)\n{{\n{prelude}").unwrap();
    for (name, expressions) in lines {
        write!(text, "\tfputs(\"{name}\", stdout);").unwrap();
        for expression in expressions {
            write!(
                text,
                " printf(\" %llu\", (unsigned long long)({expression}));"
            )
            .unwrap();
        }
        text.push_str(" puts(\"\");\n");
    }
    text + "\treturn 0;\n}\n"
}

/// Compares structures and constants.
fn compare(language: &Language, name: &str) {
    let layouts = layouts();
    let mut lines = Vec::new();
    for layout in &layouts {
        let c_struct = format!("struct {}", layout.c_name);
        // C11's `alignof` needs a header, C++'s does not; GCC's and clang's own needs none in both.
        let sizes = vec![
            format!("sizeof({c_struct})"),
            format!("__alignof__({c_struct})"),
        ];
        lines.push((layout.c_name.to_owned(), sizes));
        for field in fields_in_rust(layout.source, layout.rust_name) {
            let field = field.trim_start_matches('_');
            let places = vec![
                format!("offsetof({c_struct}, {field})"),
                format!("sizeof((({c_struct} *)0)->{field})"),
            ];
            lines.push((format!("{}.{field}", layout.c_name), places));
        }
    }
    let constants: Vec<_> = constants()
        .into_iter()
        .map(|(_, _, c_name, value)| (c_name, value))
        .chain(states())
        .collect();
    for (c_name, _) in &constants {
        lines.push(((*c_name).to_owned(), vec![format!("RTSHM_{c_name}")]));
    }

    let text = printing("", lines.iter().map(|(n, e)| (n.as_str(), e.clone())));
    let c = run(compile(language, name, &text));

    for layout in &layouts {
        assert_eq!(
            c[layout.c_name],
            [layout.size as u64, layout.align as u64],
            "size and alignment of {}",
            layout.c_name
        );
        let public: BTreeMap<_, _> = layout
            .fields
            .iter()
            .map(|&(name, offset, size)| (name, [offset as u64, size as u64]))
            .collect();
        let mut end = 0;
        for field in fields_in_rust(layout.source, layout.rust_name) {
            let name = format!("{}.{}", layout.c_name, field.trim_start_matches('_'));
            match public.get(field) {
                Some(place) => assert_eq!(c[&name], place, "offset and size of {name}"),
                // `offset_of!` does not see it, but with no gap in C and its neighbours in place it
                // can only be where it is in Rust.
                None => assert!(
                    field.starts_with("_reserved"),
                    "{}.{field} is not in the table of this test",
                    layout.rust_name
                ),
            }
            assert_eq!(c[&name][0], end, "there is a gap before {name}");
            end += c[&name][1];
        }
    }
    for (c_name, value) in constants {
        assert_eq!(c[c_name], [value], "RTSHM_{c_name}");
    }
}

#[test]
fn c11_sees_what_rust_sees() {
    compare(&C11, "layout-c11");
}

#[test]
fn cxx17_sees_what_rust_sees() {
    compare(&CXX17, "layout-cxx17");
}

#[test]
fn both_have_the_same_fields() {
    let code = without_comments(HEADER);
    for layout in layouts() {
        let rust: Vec<_> = fields_in_rust(layout.source, layout.rust_name)
            .into_iter()
            .map(|field| field.trim_start_matches('_'))
            .collect();
        let c = fields_in_c(&code, layout.c_name);
        assert!(!rust.is_empty() && rust == c, "{rust:?} is not {c:?}");
    }
}

/// The first word behind each occurrence of `before`.
fn names_after<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    text.match_indices(before)
        .map(|(at, _)| &text[at + before.len()..])
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter_map(|mut words| words.next())
        .collect()
}

#[test]
fn nothing_is_left_out() {
    let layouts = layouts();
    let constants = constants();
    for source in [LAYOUT, RECORD, IOCTL] {
        // The geometry is arithmetic, and a record in place a view: neither lies in memory.
        let mut structs = names_after(source, "pub struct ");
        structs.retain(|name| !matches!(*name, "Geometry" | "Record"));
        let compared = layouts.iter().filter(|layout| layout.source == source);
        assert_eq!(structs, compared.map(|layout| layout.rust_name).collect());

        let mut consts = names_after(source, "pub const ");
        consts.remove("fn");
        let compared = constants.iter().filter(|constant| constant.0 == source);
        assert_eq!(consts, compared.map(|constant| constant.1).collect());
    }

    let code = without_comments(HEADER);
    let opened = |line: &str| {
        let name = line.strip_prefix("struct ")?.strip_suffix(" {")?;
        Some(name.to_owned())
    };
    let structs: BTreeSet<_> = code.lines().filter_map(opened).collect();
    let compared = layouts.iter().map(|layout| layout.c_name.to_owned());
    assert_eq!(structs, compared.collect());

    let mut names = names_after(&code, "RTSHM_");
    names.remove("H");
    let compared = constants
        .iter()
        .map(|constant| constant.2)
        .chain(states().map(|(name, _)| name));
    assert_eq!(names, compared.collect());
}

/// Runs the inline functions where they could go wrong and compares with the Rust ones.
fn functions(language: &Language, name: &str) {
    const SIZES: [u32; 8] = [0, 1, 16, 48, 49, 112, 113, u32::MAX];
    const CAPACITY: u64 = layout::CAPACITY_MIN;
    const COUNTS: [u64; 5] = [0, 64, CAPACITY - 64, CAPACITY, u64::MAX - 63];

    let prelude = "\tstatic struct rtshm_producer_page producer;\n\
                   \tstatic struct rtshm_consumer_page consumer;\n\
                   \tstruct rtshm_header record = { 0, 0, 0, 0 };\n\
                   \tconst char *start = (const char *)&record;";
    let len = |size| format!("record.size = {size}u, rtshm_record_len(&record)");
    let place = |count| format!("(const char *)rtshm_record(start, {CAPACITY}u, {count}u) - start");
    let readable = |count: u64| {
        let write_count = count.wrapping_add(CAPACITY);
        format!("producer.write_count = {write_count}u, rtshm_readable(&producer, {count}u)")
    };
    let request =
        |ratio| format!("(rtshm_request_rate(&consumer, {ratio}u), consumer.rate_request)");
    let release = |count| format!("(rtshm_release(&consumer, {count}u), consumer.read_count)");
    let lines = [
        ("len", SIZES.map(len).to_vec()),
        ("place", COUNTS.map(place).to_vec()),
        ("readable", COUNTS.map(readable).to_vec()),
        ("release", COUNTS.map(release).to_vec()),
        (
            "bodies",
            ["audio", "format", "state", "lost", "volume"]
                .map(|kind| format!("(const char *)rtshm_as_{kind}(&record) - start"))
                .into_iter()
                .chain(["(const char *)rtshm_samples(&record) - start".to_owned()])
                .collect(),
        ),
        ("request", COUNTS.map(request).to_vec()),
    ];
    let c = run(compile(
        language,
        name,
        &printing(prelude, lines.into_iter()),
    ));

    assert_eq!(c["len"], SIZES.map(record::stored_len));
    let place = |count| Consumer::new(CAPACITY, count).offset();
    assert_eq!(c["place"], COUNTS.map(place));
    assert_eq!(c["readable"], COUNTS.map(|_| CAPACITY));
    assert_eq!(c["release"], COUNTS);
    assert_eq!(c["bodies"], [16, 16, 16, 16, 16, 64]);
    assert_eq!(c["request"], COUNTS);
}

#[test]
fn functions_in_c11() {
    functions(&C11, "functions-c11");
}

#[test]
fn functions_in_cxx17() {
    functions(&CXX17, "functions-cxx17");
}

/// The program in the header's comment.
fn example() -> String {
    let (_, text) = HEADER
        .split_once("A complete consumer")
        .expect("the header has an example");
    let code = text
        .lines()
        .take_while(|line| *line != " */")
        .filter_map(|line| line.strip_prefix(" *"))
        .filter(|line| line.is_empty() || line.starts_with('\t'));
    code.fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn example_compiles_in_c11() {
    compile(&C11, "example-c11", &example());
}

#[test]
fn example_compiles_in_cxx17() {
    compile(&CXX17, "example-cxx17", &example());
}

/// Offset, size and name of a field, as drawn or as it is.
type Field = (usize, usize, String);

/// What a group of a drawing says, text by text.
fn drawn(svg: &str, id: &str) -> Vec<String> {
    let opening = format!("<g id=\"{id}\">");
    let (_, group) = svg
        .split_once(&opening)
        .unwrap_or_else(|| panic!("no {id} in the drawing"));
    let (group, _) = group.split_once("</g>").expect("a group ends");
    group
        .split("<text")
        .skip(1)
        .map(|text| {
            let (text, _) = text.split_once("</text>").expect("a text ends");
            // Whatever is outside of the tags, of which the first has lost its start.
            let words = text
                .split('<')
                .flat_map(|part| part.split_once('>').expect("a tag").1.split_whitespace());
            words.collect::<Vec<_>>().join(" ")
        })
        .collect()
}

/// A field from its offset, type and name, such as `0x40 u64 write_count`.
fn field(words: &[&str]) -> Field {
    let [offset, kind, name] = words else {
        panic!("{words:?} is no offset, type and name");
    };
    let offset = match offset.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16),
        None => offset.parse(),
    };
    let (kind, count) = match kind.trim_end_matches(']').split_once('[') {
        Some((kind, count)) => (kind, count.parse().expect("a number of elements")),
        None => (*kind, 1),
    };
    let bits: usize = kind[1..].parse().expect("a type with its width");
    (
        offset.expect("an offset"),
        bits / 8 * count,
        (*name).to_owned(),
    )
}

fn drawn_fields(svg: &str, id: &str) -> Vec<Field> {
    let texts = drawn(svg, id);
    let words = texts.iter().map(|text| text.split_whitespace());
    words
        .map(|words| field(&words.collect::<Vec<_>>()))
        .collect()
}

/// The fields of a structure that starts at `start`; `prefix` is in front of their names.
fn fields(c_name: &str, start: usize, prefix: &str) -> Vec<Field> {
    let layouts = layouts();
    let layout = layouts.iter().find(|layout| layout.c_name == c_name);
    let fields = &layout.expect("it is in the table").fields;
    fields
        .iter()
        .map(|&(name, offset, size)| (start + offset, size, format!("{prefix}{name}")))
        .collect()
}

#[test]
fn memory_map_is_drawn_as_it_is() {
    let producer: Vec<_> = fields("rtshm_producer_page", 0, "")
        .into_iter()
        .flat_map(|field| match &*field.2 {
            "counters" => fields("rtshm_counters", field.0, "counters."),
            "stream" => fields("rtshm_stream", field.0, "stream."),
            _ => vec![field],
        })
        .collect();
    assert_eq!(drawn_fields(MEMORY_MAP, "rtshm_producer_page"), producer);
    let consumer = fields("rtshm_consumer_page", 0, "");
    assert_eq!(drawn_fields(MEMORY_MAP, "rtshm_consumer_page"), consumer);

    let (page, capacity) = (4096, 1 << 20);
    let geometry = Geometry::new(page, capacity).expect("a geometry");
    let term = |term: &str| match (term.strip_suffix('P'), term.strip_suffix('C')) {
        (Some(""), _) => page,
        (_, Some("")) => capacity,
        (Some(count), _) => count.parse::<u64>().expect("a number of pages") * page,
        (_, Some(count)) => count.parse::<u64>().expect("a number of rings") * capacity,
        _ => term.parse().expect("a number"),
    };
    let offsets = drawn(MEMORY_MAP, "offsets");
    let offsets: Vec<u64> = offsets
        .iter()
        .map(|sum| sum.split(" + ").map(term).sum())
        .collect();
    let expected = [
        geometry.producer_offset(),
        geometry.consumer_offset(),
        geometry.ring_offset(),
        geometry.ring_offset() + geometry.ring_len() / 2,
        geometry.region_len(),
    ];
    assert_eq!(offsets, expected);
}

#[test]
fn records_are_drawn_as_they_are() {
    for layout in layouts() {
        let start = match layout.source {
            RECORD if layout.c_name == "rtshm_header" => 0,
            RECORD => record::HEADER_LEN,
            _ => continue,
        };
        assert_eq!(
            drawn_fields(RECORD_DRAWN, layout.c_name),
            fields(layout.c_name, start, ""),
            "{}",
            layout.c_name
        );
    }
    let samples = drawn(RECORD_DRAWN, "samples").concat();
    let (offset, what) = samples.split_once(' ').expect("an offset");
    assert!(what.starts_with("f32 "), "{what}");
    assert_eq!(offset.parse(), Ok(record::AUDIO_OFFSET));
}

/// The lines of the document between two others, as words.
fn lines<'a>(first: &str, last: &str) -> impl Iterator<Item = Vec<&'a str>> {
    let (_, text) = DOCUMENT.split_once(first).expect("it is there");
    let (text, _) = text.split_once(last).expect("it ends");
    text.lines().map(|line| line.split_whitespace().collect())
}

#[test]
fn the_document_says_the_same() {
    let mut said: Vec<_> = lines("  consumer page\n", ".. image")
        .flat_map(|words| words.chunks(3).map(field).collect::<Vec<_>>())
        .collect();
    let mut pages = fields("rtshm_producer_page", 0, "");
    pages.extend(fields("rtshm_consumer_page", 0, ""));
    said.sort();
    pages.sort();
    assert_eq!(said, pages);

    let said: Vec<_> = lines("start with one. ::\n\n", "    16  body")
        .filter(|words| !words.is_empty())
        .map(|words| field(&words[..3]))
        .collect();
    assert_eq!(said, fields("rtshm_header", 0, ""));
}
