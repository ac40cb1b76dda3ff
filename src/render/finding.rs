//! What doctor finds, a line or an object each.

use nanoserde::SerJson;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// It works, but may not be what was meant.
    Warning,
    /// Something does not work.
    Failure,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was checked.
    pub check: &'static str,
    /// What is so, and why that matters.
    pub text: String,
    /// What to type, or to set, against it.
    pub remedy: Option<String>,
}

/// A finding as `doctor --json` shows it; the keys are stable.
#[derive(SerJson)]
struct FindingRow {
    check: String,
    level: String,
    text: String,
    #[nserde(serialize_none_as_null)]
    remedy: Option<String>,
}

/// The finding as a line.
pub fn line(finding: &Finding, colour: bool) -> String {
    let (word, code) = match finding.severity {
        Severity::Ok => ("ok  ", "32"),
        Severity::Warning => ("warn", "33"),
        Severity::Failure => ("FAIL", "31"),
    };
    let mut line = match colour {
        true => format!("\x1b[{code}m{word}\x1b[0m  "),
        false => format!("{word}  "),
    };
    line += &format!("{:<11}  {}", finding.check, finding.text);
    if let Some(remedy) = &finding.remedy {
        line += &format!("; try: {remedy}");
    }
    line + "\n"
}

/// The findings as a JSON array, a line.
pub fn json(findings: &[Finding]) -> String {
    let row = |finding: &Finding| FindingRow {
        check: finding.check.into(),
        level: match finding.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warn",
            Severity::Failure => "fail",
        }
        .into(),
        text: finding.text.clone(),
        remedy: finding.remedy.clone(),
    };
    findings.iter().map(row).collect::<Vec<_>>().serialize_json() + "\n"
}
