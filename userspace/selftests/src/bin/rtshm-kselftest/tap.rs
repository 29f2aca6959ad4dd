// SPDX-License-Identifier: MIT OR GPL-2.0

//! What the kernel's ALSA tests print: TAP, with comments that say more.

/// How a test ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// For the reason in the comment next to it: `mixer-test` says it before, `pcm-test` after.
    Skipped(String),
}

/// A test and its end.
#[derive(Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// What a program told.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many tests it said that it would run.
    pub(crate) planned: Option<usize>,
    pub(crate) tests: Vec<Test>,
    /// The ids of the cards that it found.
    pub(crate) cards: Vec<String>,
    /// The elements whose names `mixer-test` has checked.
    pub(crate) elements: Vec<String>,
}

impl Report {
    /// Takes a program's output apart. A line that is not understood is no test, so that the plan
    /// is not met.
    pub(crate) fn parse(text: &str) -> Self {
        let mut report = Self::default();
        let lines: Vec<_> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let comment = |index: usize| lines.get(index)?.strip_prefix("# ");
            if let Some(comment) = comment(index) {
                report.note(comment);
            } else if let Some(count) = line.strip_prefix("1..") {
                report.planned = count.parse().ok();
            } else if let Some((name, end)) = result(line) {
                let said = || {
                    let before = index.checked_sub(1).and_then(comment);
                    let why = before.filter(|why| is_reason(why)).or(comment(index + 1));
                    why.unwrap_or("no reason given").to_string()
                };
                report.tests.push(Test {
                    name: name.to_string(),
                    outcome: match end {
                        End::Ok => Outcome::Passed,
                        End::NotOk => Outcome::Failed,
                        End::Skip => Outcome::Skipped(said()),
                    },
                });
            }
        }
        report
    }

    /// `Card 1/RtShm - name (long name)`, or the element's `RtShm.3 Master Playback Volume`.
    fn note(&mut self, comment: &str) {
        if let Some((_, id)) = comment
            .strip_prefix("Card ")
            .and_then(|rest| rest.split_once(" - "))
            .and_then(|(card, _)| card.split_once('/'))
        {
            self.cards.push(id.to_string());
        } else if let Some((place, name)) = comment.split_once(' ') {
            let number = place.rsplit_once('.').map(|(_, number)| number);
            if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
                self.elements.push(name.to_string());
            }
        }
    }
}

enum End {
    Ok,
    NotOk,
    Skip,
}

/// A line with a test's name and end: `ok 1 name`, `not ok 2 name`, `ok 3 # SKIP name`.
fn result(line: &str) -> Option<(&str, End)> {
    let (rest, end) = match line.strip_prefix("not ok ") {
        Some(rest) => (rest, End::NotOk),
        None => (line.strip_prefix("ok ")?, End::Ok),
    };
    let (number, name) = rest.split_once(' ')?;
    number.parse::<u32>().ok()?;
    match name.strip_prefix("# SKIP ") {
        Some(name) => Some((name, End::Skip)),
        None => Some((name, end)),
    }
}

/// Whether a comment says why `mixer-test` skips the test that follows.
fn is_reason(comment: &str) -> bool {
    [
        "is inactive",
        "is not readable",
        "is not writeable",
        "couldn't read default",
    ]
    .iter()
    .any(|reason| comment.ends_with(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(name: &str, reason: &str) -> Test {
        Test {
            name: name.to_string(),
            outcome: Outcome::Skipped(reason.to_string()),
        }
    }

    #[test]
    fn pcm_test_gives_the_reason_after() {
        let report = Report::parse(
            "TAP version 13\n\
             # Card 1/RtShm - Name (Long - name)\n\
             # RtShm.0 - RtShm\n\
             1..3\n\
             # default.time1.RtShm.0.0.PLAYBACK - 8kHz mono large periods\n\
             ok 1 # SKIP default.time1.RtShm.0.0.PLAYBACK\n\
             # rate mismatch 8000 != 44100\n\
             ok 2 default.time2.RtShm.0.0.PLAYBACK\n\
             not ok 3 default.time3.RtShm.0.0.PLAYBACK\n\
             # time mismatch: expected 2000ms got 2500\n",
        );
        assert_eq!(report.planned, Some(3));
        assert_eq!(report.cards, ["RtShm"]);
        assert_eq!(report.tests.len(), 3);
        assert_eq!(
            report.tests[0],
            skipped(
                "default.time1.RtShm.0.0.PLAYBACK",
                "rate mismatch 8000 != 44100"
            )
        );
        assert_eq!(report.tests[1].outcome, Outcome::Passed);
        assert_eq!(report.tests[2].outcome, Outcome::Failed);
    }

    #[test]
    fn mixer_test_gives_the_reason_before() {
        let report = Report::parse(
            "1..7\n\
             ok 1 get_value.RtShm.4\n\
             # RtShm.4 Playback Channel Map\n\
             ok 2 name.RtShm.4\n\
             # Playback Channel Map is not writeable\n\
             ok 3 # SKIP write_default.RtShm.4\n\
             # Totals: pass:2\n",
        );
        assert_eq!(report.elements, ["Playback Channel Map"]);
        assert_eq!(
            report.tests[2],
            skipped(
                "write_default.RtShm.4",
                "Playback Channel Map is not writeable"
            )
        );
        assert_eq!(report.planned, Some(7));
    }

    #[test]
    fn a_line_that_is_broken_is_no_test() {
        let report = Report::parse("1..2\nok 1 one\nok\nok x y\nnot ok\n");
        assert_eq!(report.tests.len(), 1);
    }
}
