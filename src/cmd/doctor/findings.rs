//! What doctor has found, a line or an object each.

use super::Doctor;
use crate::error::{Error, Result};
use crate::options::Verbosity;
use crate::output::{self, Output, Row};
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// It is as it should be.
    Ok,
    /// It works, but may not be what was meant.
    Warning,
    /// Something does not work.
    Failure,
}

/// What a check has found.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    /// What was checked.
    check: &'static str,
    /// What is so, and why that matters.
    text: String,
    /// What to type, or to set, against it; empty for nothing.
    remedy: String,
}

/// A check: it adds what it has found; if that is nothing, what it returns is so.
pub(super) type Check<'a> = fn(&Doctor<'a>, &mut Findings) -> String;

/// Checks, and before them their names: a text for each would cost 40 bytes of relocation.
pub(super) type Checks<'a> = (&'static str, &'a [Check<'a>]);

/// What was found so far, and what is checked now.
pub(super) struct Findings {
    check: &'static str,
    all: Vec<Finding>,
}

impl Findings {
    /// Nothing yet.
    pub(super) fn new() -> Findings {
        Findings { check: "", all: Vec::new() }
    }

    fn add(&mut self, severity: Severity, text: fmt::Arguments<'_>, remedy: fmt::Arguments<'_>) {
        let (text, remedy) = (text.to_string(), remedy.to_string());
        self.all.push(Finding { severity, check: self.check, text, remedy });
    }

    /// It works, but may not be what was meant.
    #[inline(never)]
    pub(super) fn warn(&mut self, text: fmt::Arguments<'_>, remedy: fmt::Arguments<'_>) {
        self.add(Severity::Warning, text, remedy);
    }

    /// Something does not work.
    #[inline(never)]
    pub(super) fn fail(&mut self, text: fmt::Arguments<'_>, remedy: fmt::Arguments<'_>) {
        self.add(Severity::Failure, text, remedy);
    }

    /// Something failed with `error`.
    #[inline(never)]
    pub(super) fn fail_of(&mut self, error: &Error, remedy: &str) {
        self.fail(format_args!("{error}"), format_args!("{remedy}"));
    }

    /// A warning of the gateway called `name`, against which `verb` of hermes-gw helps.
    #[inline(never)]
    pub(super) fn warn_at(&mut self, name: &str, text: &str, verb: &str) {
        self.warn(format_args!("{name}: {text}"), format_args!("hermes-gw {verb} {name}"));
    }

    /// The same of a failure.
    #[inline(never)]
    pub(super) fn fail_at(&mut self, name: &str, text: &str, verb: &str) {
        self.fail(format_args!("{name}: {text}"), format_args!("hermes-gw {verb} {name}"));
    }

    /// From here on findings are those of `check`.
    pub(super) fn begin(&mut self, check: &'static str) {
        self.check = check;
    }

    /// Runs checks, each with its name.
    pub(super) fn run<'a>(&mut self, doctor: &Doctor<'a>, (names, checks): Checks<'a>) {
        for (name, check) in names.split(' ').zip(checks) {
            self.check = name;
            let before = self.all.len();
            let fine = check(doctor, self);
            if self.all.len() == before {
                self.add(Severity::Ok, format_args!("{fine}"), format_args!(""));
            }
        }
    }

    /// Whether something does not work.
    pub(super) fn any_failure(&self) -> bool {
        self.all.iter().any(|it| it.severity == Severity::Failure)
    }

    /// Prints them.
    #[inline(never)]
    pub(super) fn print(&self, output: &Output) -> Result<()> {
        let (colour, quiet) = (output.colours(), output.verbosity == Verbosity::Quiet);
        let (mut rows, mut text) = (Vec::new(), String::new());
        for finding in &self.all {
            if output.json {
                rows.push(finding.json());
            } else if !quiet || finding.severity != Severity::Ok {
                text += &finding.line(colour);
            }
        }
        output.say(&if output.json { output::array(&rows) } else { text })
    }
}

impl Finding {
    #[inline(never)]
    fn line(&self, colour: bool) -> String {
        let (word, code) = match self.severity {
            Severity::Ok => ("ok  ", "32"),
            Severity::Warning => ("warn", "33"),
            Severity::Failure => ("FAIL", "31"),
        };
        let (on, off) =
            if colour { (["\x1b[", code, "m"].concat(), "\x1b[0m") } else { Default::default() };
        let mut line = format!("{on}{word}{off}  {:<11}  {}", self.check, self.text);
        if !self.remedy.is_empty() {
            line += "; try: ";
            line += &self.remedy;
        }
        line + "\n"
    }

    /// As `doctor --json` shows it; the keys are stable.
    fn json(&self) -> String {
        let level = match self.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warn",
            Severity::Failure => "fail",
        };
        let remedy = (!self.remedy.is_empty()).then_some(&self.remedy[..]);
        let mut row = Row::new();
        row.text("check", self.check).text("level", level).text("text", &self.text);
        row.text_or_null("remedy", remedy);
        row.end()
    }
}
