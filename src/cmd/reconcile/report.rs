//! What is said of the actions: lines for stdout and for the boot log, and JSON.

use crate::error::Result;
use crate::model::calendar;
use crate::model::plan::Action;
use crate::model::profile::Profile;
use crate::options::Verbosity;
use crate::output::{Output, Row};
use crate::text::{Shown, hex_digits};

/// So many bytes of names are said of those whose wish default takes over.
const MAX_FOLDED: usize = 300;

/// Prints what was done; with `only_changes` nothing of what is as it was.
pub(super) fn say(output: &Output, actions: &[Action], only_changes: bool) -> Result<()> {
    let said = actions.iter().filter(|action| !only_changes || action.effect.changes());
    let show = if output.json { json } else { line };
    match output.verbosity {
        Verbosity::Quiet => Ok(()),
        _ => output.say_list(&mut said.map(show)),
    }
}

/// An action as `--json` shows it; the keys are stable.
fn json(action: &Action) -> String {
    let mut row = Row::of("profile prior_state action prior_exit reason folded_into_root");
    row.text(&Shown(action.name()).text());
    row.text(&action.prior.word()).text(action.effect.word());
    row.text(action.exit.word()).text_or_null(action.reason.as_deref());
    match &action.folded[..] {
        [] => row.null(),
        all => {
            let names = names(all, "\",\"", usize::MAX);
            row.raw(&["[\"", &names, "\"]"].concat())
        }
    };
    row.end()
}

/// An action as text for stdout, a line.
fn line(action: &Action) -> String {
    let mut text = String::from("reconcile: ");
    facts(action, "", &mut text);
    text
}

/// The actions as lines of the boot log, stamped with `now` (seconds since 1970 UTC).
pub(super) fn log_lines(actions: &[Action], now: i64) -> String {
    let (mut text, stamp) = (String::new(), calendar::utc(now));
    for action in actions {
        text += &stamp;
        text.push(' ');
        facts(action, action.exit.word(), &mut text);
    }
    text
}

/// Appends what is to be said of an action, and the end of its line.
fn facts(action: &Action, exit: &str, text: &mut String) {
    put(text, "profile=", &token(action.name()));
    put(text, " prior_state=", &action.prior.word());
    put(text, " action=", action.effect.word());
    put(text, " prior_exit=", exit);
    put(text, " folded_into_root=", &names(&action.folded, ",", MAX_FOLDED));
    put(text, " reason=", action.reason.as_deref().unwrap_or_default());
    *text += "\n";
}

/// The names of `profiles`; once that is over `most` bytes, what follows is left out.
fn names(profiles: &[Profile], between: &str, most: usize) -> String {
    let mut names = String::new();
    for profile in profiles {
        if !names.is_empty() {
            names += between;
        }
        if names.len() > most {
            return names + "...";
        }
        names += profile.name();
    }
    names
}

/// Appends a fact, if there is one.
fn put(text: &mut String, key: &str, value: &str) {
    if !value.is_empty() {
        *text += key;
        *text += value;
    }
}

/// A name as one word of printable ASCII, so that it cannot pass for another fact.
fn token(name: &[u8]) -> String {
    let mut token = String::new();
    for byte in Shown(name).text().bytes() {
        match byte {
            b'!'..=b'~' => token.push(byte.into()),
            _ => {
                token += "\\x";
                token += &hex_digits(byte.into(), 2);
            }
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(actions: &[Action]) -> String {
        actions.iter().map(line).collect()
    }
    use crate::model::intent::{Intent, LastExit, LastKnown};
    use crate::model::plan::Effect;

    fn actions() -> Vec<Action> {
        let started = Action {
            profile: Ok(Profile::Default),
            prior: Intent::Running.into(),
            exit: LastExit::Unclean,
            effect: Effect::Started,
            reason: None,
            down: false,
            standing_by: false,
            present: false,
            sweep: true,
            seed: false,
            unsupervised: true,
            folded: Vec::new(),
        };
        let skipped = Action {
            profile: Err("Bad \n\\é".bytes().chain([0xff]).collect()),
            prior: LastKnown::Nothing,
            exit: LastExit::Unknown,
            effect: Effect::Skipped,
            reason: Some("invalid \"name\"".into()),
            ..started.clone()
        };
        vec![started, skipped]
    }

    #[test]
    fn actions_are_a_line_each() {
        assert_eq!(
            lines(&actions()),
            "reconcile: profile=default prior_state=running action=started\n\
             reconcile: profile=Bad\\x20\\x0a\\\\\\xc3\\xa9\\xff prior_state=none action=skipped reason=invalid \"name\"\n"
        );
        assert_eq!(
            log_lines(&actions()[..1], 1_779_645_933),
            "2026-05-24T18:05:33+0000 profile=default prior_state=running action=started \
             prior_exit=unclean\n"
        );
    }

    #[test]
    fn whose_wish_it_was_is_said_of_some_where_they_are_many() {
        let profile = |name: String| Profile::parse(name.as_bytes()).unwrap();
        let mut started = actions().swap_remove(0);
        started.folded = ["coder", "writer"].map(|name| profile(name.into())).into();
        assert_eq!(
            lines(&[started.clone()]),
            "reconcile: profile=default prior_state=running action=started \
             folded_into_root=coder,writer\n"
        );
        let row: serde_json::Value = serde_json::from_str(&json(&started)).unwrap();
        assert_eq!(row["folded_into_root"], serde_json::json!(["coder", "writer"]));
        let many: Vec<_> = (0..300).map(|number| profile(format!("p{number:09}"))).collect();
        let text = names(&many, ",", MAX_FOLDED);
        assert!(
            text.starts_with("p000000000,p000000001,") && text.ends_with(",p000000027,..."),
            "{text}"
        );
    }

    #[test]
    fn actions_are_json_that_others_can_read() {
        let rows: Vec<_> = actions().iter().map(json).collect();
        let json: serde_json::Value =
            serde_json::from_str(&format!("[{}]", rows.join(","))).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"profile": "default", "prior_state": "running", "action": "started",
                 "prior_exit": "unclean", "reason": null, "folded_into_root": null},
                {"profile": "Bad \\x0a\\\\é\\xff", "prior_state": "none", "action": "skipped",
                 "prior_exit": "unknown", "reason": "invalid \"name\"", "folded_into_root": null},
            ])
        );
    }
}
