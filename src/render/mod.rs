//! Text and JSON out.

pub mod finding;
pub mod report;

use crate::error::Result;
use crate::model::calendar;
use crate::model::plan::Action;
use crate::model::profile::Profile;
use crate::sys;
use crate::text::Shown;
use nanoserde::SerJson;
use std::io::IsTerminal;

/// One action of reconcile, as `--json` shows it; the keys are stable.
#[derive(SerJson)]
struct ActionRow {
    profile: String,
    prior_state: String,
    action: String,
    prior_exit: String,
    #[nserde(serialize_none_as_null)]
    reason: Option<String>,
}

/// What a verb has done, as `--json` shows it; the keys are stable.
#[derive(SerJson)]
struct DoneRow {
    profile: String,
    action: String,
}

#[derive(SerJson)]
struct ErrorRow {
    error: String,
}

#[derive(SerJson)]
struct WarningRow {
    warning: String,
}

/// The actions as a JSON array, a line.
pub fn actions_json(actions: &[Action]) -> String {
    let rows: Vec<_> = actions
        .iter()
        .map(|action| ActionRow {
            profile: Shown(action.name()).to_string(),
            prior_state: action.prior.word(),
            action: action.verb.word().into(),
            prior_exit: action.exit.word().into(),
            reason: action.reason.clone(),
        })
        .collect();
    rows.serialize_json() + "\n"
}

/// The actions as text for stdout, a line each.
pub fn actions_text(actions: &[Action]) -> String {
    let mut text = String::new();
    for action in actions {
        text += &format!("reconcile: {}", facts(action));
        if let Some(reason) = &action.reason {
            text += &format!(" reason={reason}");
        }
        text.push('\n');
    }
    text
}

/// The actions as lines of the boot log, stamped with `now` (seconds since 1970 UTC).
pub fn actions_log(actions: &[Action], now: i64) -> String {
    let mut log = String::new();
    for action in actions {
        log +=
            &format!("{} {} prior_exit={}", calendar::utc(now), facts(action), action.exit.word());
        if let Some(reason) = &action.reason {
            log += &format!(" reason={reason}");
        }
        log.push('\n');
    }
    log
}

/// What a verb has done for `profile`, a line.
pub fn done(profile: &Profile, action: &str, json: bool) -> String {
    let profile = profile.name();
    match json {
        true => DoneRow { profile: profile.into(), action: action.into() }.serialize_json() + "\n",
        false => format!("{profile}: {action}\n"),
    }
}

/// Profiles as a JSON array, a line.
pub fn names_json(profiles: &[Profile]) -> String {
    let names: Vec<_> = profiles.iter().map(|profile| profile.name().to_string()).collect();
    names.serialize_json() + "\n"
}

fn facts(action: &Action) -> String {
    format!(
        "profile={} prior_state={} action={}",
        token(action.name()),
        action.prior.word(),
        action.verb.word()
    )
}

/// A name as one word of printable ASCII, so that it cannot pass for another fact.
fn token(name: &[u8]) -> String {
    let escape = |&byte: &u8| match byte {
        b'\\' => "\\\\".to_string(),
        b if b.is_ascii_graphic() => char::from(b).to_string(),
        b => format!("\\x{b:02x}"),
    };
    name.iter().map(escape).collect()
}

/// Whether stdout may have colours: it is a terminal that knows some, and nobody objects.
pub fn colours() -> bool {
    let is = |name, value: &str| std::env::var_os(name).is_some_and(|it| it == value);
    let unset = |name| std::env::var_os(name).is_none_or(|it| it.is_empty());
    std::io::stdout().is_terminal() && unset("NO_COLOR") && !is("TERM", "dumb")
}

/// Prints to stdout; a reader that has gone is no error.
pub fn say(text: &str) -> Result<()> {
    sys::print(text.as_bytes())
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The command failed.
    Error,
    /// It went on.
    Warning,
}

/// Prints one line to stderr: `hermes-gw: text`, or an object with the key `level`.
pub fn complain(level: Level, text: &str, json: bool) {
    let text = text.to_string();
    let line = match (json, level) {
        (true, Level::Error) => ErrorRow { error: text }.serialize_json(),
        (true, Level::Warning) => WarningRow { warning: text }.serialize_json(),
        (false, Level::Error) => format!("hermes-gw: {text}"),
        (false, Level::Warning) => format!("hermes-gw: warning: {text}"),
    };
    // In one piece, for others write there too.
    sys::print_error((line + "\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::intent::{Prior, PriorExit, Word};
    use crate::model::plan::Verb;

    fn actions() -> Vec<Action> {
        let started = Action {
            profile: Ok(Profile::Default),
            prior: Prior::Desired(Word::Running),
            exit: PriorExit::Unclean,
            verb: Verb::Started,
            reason: None,
            down: false,
            sweep: true,
            seed: false,
            unsupervised: true,
        };
        let skipped = Action {
            profile: Err(b"Bad \n\xff".to_vec()),
            prior: Prior::None,
            exit: PriorExit::Unknown,
            verb: Verb::Skipped,
            reason: Some("invalid \"name\"".into()),
            ..started.clone()
        };
        vec![started, skipped]
    }

    #[test]
    fn actions_are_a_line_each() {
        assert_eq!(
            actions_text(&actions()),
            "reconcile: profile=default prior_state=running action=started\n\
             reconcile: profile=Bad\\x20\\x0a\\xff prior_state=none action=skipped reason=invalid \"name\"\n"
        );
        assert_eq!(
            actions_log(&actions()[..1], 1_779_645_933),
            "2026-05-24T18:05:33+0000 profile=default prior_state=running action=started \
             prior_exit=unclean\n"
        );
    }

    #[test]
    fn actions_are_json_that_others_can_read() {
        let json: serde_json::Value = serde_json::from_str(&actions_json(&actions())).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"profile": "default", "prior_state": "running", "action": "started",
                 "prior_exit": "unclean", "reason": null},
                {"profile": "Bad \\x0a\\xff", "prior_state": "none", "action": "skipped",
                 "prior_exit": "unknown", "reason": "invalid \"name\""},
            ])
        );
        assert_eq!(actions_json(&[]), "[]\n");
    }
}
