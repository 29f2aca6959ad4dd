// SPDX-License-Identifier: MIT OR GPL-2.0

use super::*;
use crate::monitor::hold;
use crate::monitor::levels::Level;
use crate::monitor::tap::Meters;
use crate::monitor::tests::{idle, playing};

const ASCII: Canvas = Canvas {
    columns: 80,
    rows: 24,
    unicode: false,
};

fn level(peak: f64, rms: f64) -> Level {
    Level {
        peak,
        rms,
        clipped: u64::from(peak >= 1.0),
    }
}

/// What is seen of these levels, the greater ones half a second before.
fn screen(before: &[Level], now: &[Level], canvas: Canvas) -> Vec<String> {
    let mut meters = Vec::new();
    hold::update(&mut meters, before, 0);
    hold::update(&mut meters, now, 500_000_000);
    text(&render(
        &playing(Meters::Seen(now.to_vec(), 24_000)),
        &meters,
        canvas,
    ))
}

fn text(lines: &[Line]) -> Vec<String> {
    let text = |line: &Line| -> String { line.0.iter().map(|(_, text)| text.as_str()).collect() };
    lines
        .iter()
        .map(|line| text(line).trim_end().into())
        .collect()
}

/// The scale has 60 dB in 56 characters: -6.02 dB are 50.4 of them, -9.03 dB 47.6, -20 dB 37.3.
#[test]
fn two_channels_have_a_line_each() {
    let before = [level(1.0, 0.5), level(0.1, 0.1)];
    let now = [level(0.5, 0.125f64.sqrt()), level(0.0, 0.0)];
    let expected = [
        "/dev/rtshm  card 1 (RtShm)  running                 r resets the meters, q quits",
        "stream    S16_LE, 48000 Hz, 2 channels, period 1024, buffer 4096",
        "consumer  a player (pid 4711), 94.0 wake-ups/s",
        "ring      9504 of 1048576 bytes unread, 0.9 %, 24.0 ms",
        "latency   at most 114.7 ms: buffer 85.3, chunk 5.3, ring 24.0",
        "clock     -12.500 ppm   volume 0 dB",
        "played    25000 frames in 94 chunks, 48000 frames/s, streams 3",
        "lost      0 frames in 0 places   xruns 0   faulty consumers 0",
        "",
        "    -60  -54   -48   -42  -36   -30   -24  -18   -12   -6     0   peak    rms",
        "  1 ================================================--     |    0.0   -9.0 CLIP",
        "  2                                     |                     -20.0   -inf",
    ];
    let seen = screen(&before, &now, ASCII);
    for (seen, expected) in seen
        .iter()
        .zip(expected)
        .filter(|(_, e)| !e.contains("-54"))
    {
        assert_eq!(seen, expected);
    }
    assert_eq!(seen.len(), expected.len());
    assert!(seen[9].trim_start().starts_with("-60 ") && seen[9].contains("  0   peak    rms"));
    let unicode = screen(
        &before,
        &now,
        Canvas {
            unicode: true,
            ..ASCII
        },
    );
    let expected = format!("  1 {}░░     │    0.0   -9.0 CLIP", "█".repeat(48));
    assert_eq!(unicode[10], expected);
}

/// From 0 dB down, by one decibel each; the RMS is 3 dB below.
fn stairs(count: u32) -> Vec<Level> {
    let level = |index: f64| level(10f64.powf(-index / 20.0), 10f64.powf(-(index + 3.0) / 20.0));
    (0..count).map(|index| level(index.into())).collect()
}

#[test]
fn many_channels_share_the_lines() {
    let many = stairs(64);
    let seen = screen(&many, &many, ASCII);
    assert_eq!(seen.len(), 9 + 13);
    // In 5 characters of 12 dB each: -13 dB are 3.9, -16 dB 3.7.
    assert_eq!(
        seen[9],
        "  1 ====|    0!  14 ===|   -13   27 ==|    -26   40 =|     -39   53 |      -52"
    );
    assert!(
        seen[20].contains(" 64 ") && seen[20].ends_with("-63"),
        "{}",
        seen[20]
    );
}

#[test]
fn what_has_no_room_is_told() {
    let many = stairs(64);
    for (columns, rows) in [(40, 16), (20, 24), (10, 12), (80, 10), (1, 1), (300, 100)] {
        let seen = screen(
            &many,
            &many,
            Canvas {
                columns,
                rows,
                unicode: true,
            },
        );
        assert!(seen.len() <= rows, "{columns}x{rows}: {seen:?}");
        for line in &seen {
            assert!(line.chars().count() <= columns, "{columns}x{rows}: {line}");
        }
    }
    let seen = screen(
        &many,
        &many,
        Canvas {
            columns: 40,
            rows: 16,
            ..ASCII
        },
    );
    // Two columns of six.
    assert_eq!(seen[15], "52 more channels in a larger terminal");
    assert!(seen[14].starts_with("  6 ") && seen[14].contains(" 12 "));
    // Room for all.
    let seen = screen(
        &many,
        &many,
        Canvas {
            columns: 300,
            rows: 100,
            ..ASCII
        },
    );
    assert!(seen[9 + 64].starts_with(" 64 "), "{seen:?}");
}

#[test]
fn what_is_missing_is_told() {
    let told = |snapshot: &Snapshot| text(&render(snapshot, &[], ASCII)).join("\n");
    let blind = told(&playing(Meters::Blind("all are in use".into())));
    assert!(blind.ends_with("\n\nno meters: all are in use"), "{blind}");
    let idle = told(&idle());
    for line in [
        "stream    none yet",
        "consumer  none, 0.0 wake-ups/s",
        "latency   none",
        "nothing plays",
    ] {
        assert!(idle.lines().any(|found| found == line), "{idle}");
    }
}

#[test]
fn colours_say_how_loud() {
    let mut line = Line::default();
    for db in [-60.0, -18.5, -17.5, -6.5, -5.5] {
        let sound = level(10f64.powf(db / 20.0), 0.0);
        let mut held = Vec::new();
        hold::update(&mut held, &[sound], 0);
        let lines = meters::render(&held, ASCII);
        let number = lines[1]
            .0
            .iter()
            .rev()
            .find(|(_, text)| text.contains(&format!("{db:.1}")));
        line.push(number.unwrap().0, "x");
    }
    let paints: Vec<_> = line
        .0
        .iter()
        .map(|(paint, text)| (*paint, text.len()))
        .collect();
    assert_eq!(
        paints,
        [(Paint::Good, 2), (Paint::Warning, 2), (Paint::Alarm, 1)]
    );
}
