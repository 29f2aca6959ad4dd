// SPDX-License-Identifier: GPL-2.0

//! `Documentation/clock.svg` shows what `module/clock.rs` and `module/grid.rs` compute.

use rtshm_module_tests::{
    clock::{
        Clock,
        Rate,
        Speed, //
    },
    grid::Grid, //
};

const DRAWING: &str = include_str!("../../../Documentation/clock.svg");

const RATE: u32 = 48_000;
const PERIOD: u32 = 1024;

/// A millionth of a second, in nanoseconds.
const MICRO: u64 = 1000;

/// What a group of the drawing says, text by text.
fn texts(id: &str) -> Vec<&'static str> {
    let (_, group) = DRAWING
        .split_once(&format!("<g id=\"{id}\">"))
        .unwrap_or_else(|| panic!("no {id} in the drawing"));
    let (group, _) = group.split_once("</g>").expect("a group ends");
    group
        .split("</text>")
        .filter_map(|text| text.rsplit_once('>'))
        .map(|(_, text)| text)
        .filter(|text| !text.trim().is_empty())
        .collect()
}

/// The value of an attribute of the element that `start` begins.
fn attribute(start: &str, name: &str) -> &'static str {
    let (_, element) = DRAWING.split_once(start).expect("it is drawn");
    let (_, value) = element
        .split_once(&format!(" {name}=\""))
        .expect("it has that");
    value.split_once('"').expect("it ends").0
}

/// Where a time and a position are drawn.
fn place(time: u64, position: u64) -> [f64; 2] {
    let millis = time as f64 / 1e6;
    [90.0 + 26.0 * millis, 400.0 - 0.32 * position as f64]
}

/// As exact as it is written; a frame is a third of that.
fn assert_near(drawn: &[f64], expected: &[f64]) {
    assert_eq!(drawn.len(), expected.len());
    for (drawn, expected) in drawn.iter().zip(expected) {
        assert!((drawn - expected).abs() < 0.5, "{drawn} is not {expected}");
    }
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

#[test]
fn the_clock_is_drawn_as_it_goes() {
    let grid = Grid::new(PERIOD, 256);
    let slower = Rate::new(RATE, Speed::from_millionths(750_000));
    let mut clock = Clock::start(0, 0, Rate::new(RATE, Speed::NOMINAL));
    let mut ends = vec![0];
    let mut ticks = vec![0];
    while ends.last() != Some(&u64::from(PERIOD)) {
        let position = ends[ends.len() - 1];
        let end = position + u64::from(grid.left(position));
        let time = clock.time_of(end);
        if ends.len() == 2 {
            clock.steer(time, slower);
        }
        ends.push(end);
        ticks.push(time);
    }

    let chunks: Vec<_> = ends[1..].iter().map(u64::to_string).collect();
    assert_eq!(texts("grid"), chunks);
    let deadlines = ticks[1..].iter().map(|time| {
        let micros = (time + MICRO / 2) / MICRO;
        format!("{}.{:03}", micros / 1000, micros % 1000)
    });
    assert_eq!(texts("deadlines"), deadlines.collect::<Vec<_>>());
    assert_eq!(texts("rates"), ["48000/s", "36000/s"]);

    let drawn: Vec<_> = attribute("<polyline id=\"line\"", "points")
        .split([' ', ','])
        .map(number)
        .collect();
    let line = [0, 2, 4].map(|tick| place(ticks[tick], ends[tick]));
    assert_near(&drawn, &line.concat());

    let asked = 14_300 * MICRO;
    let answer = clock.position_at(asked);
    assert_eq!(texts("query"), ["14.3", &format!("query: {answer}")]);
    let drawn = ["cx", "cy"].map(|name| number(attribute("<circle class=\"query\"", name)));
    assert_near(&drawn, &place(asked, answer));
}
