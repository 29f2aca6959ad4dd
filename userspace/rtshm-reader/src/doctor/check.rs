// SPDX-License-Identifier: MIT OR GPL-2.0

//! A check and what came of it.

use serde::Serialize;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// It works, but something is worth knowing.
    Warn,
    /// It does not work.
    Fail,
    /// Not looked at: it depends on what failed, or cannot be seen from here.
    Skip,
}

impl Verdict {
    /// As it is shown.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

/// A check that was made; the field names are the JSON's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) check: String,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) finding: String,
    /// A command that mends it, or words where there is none.
    pub(super) fix: Option<String>,
}

impl Check {
    pub(super) fn ok(check: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, finding)
    }

    pub(super) fn warn(check: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, finding)
    }

    pub(super) fn fail(check: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, finding)
    }

    pub(super) fn skip(check: impl Into<String>, finding: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skip, finding)
    }

    fn new(check: impl Into<String>, verdict: Verdict, finding: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            verdict,
            finding: finding.into(),
            fix: None,
        }
    }

    /// What mends it.
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}
