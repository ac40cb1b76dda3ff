//! Text and JSON out.

use crate::error::{Result, Shown};
use crate::model::plan::Action;
use crate::model::profile::Profile;
use crate::sys;
use nanoserde::SerJson;

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
        log += &format!("{} {} prior_exit={}", utc(now), facts(action), action.exit.word());
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

/// `2026-05-24T18:05:33+0000` for seconds since 1970 UTC.
pub fn utc(seconds: i64) -> String {
    timestamp(seconds) + "+0000"
}

/// `2026-05-24T18:05:33+00:00` for seconds since 1970 UTC, which Python reads too.
pub fn iso(seconds: i64) -> String {
    timestamp(seconds) + "+00:00"
}

fn timestamp(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second % 60)
}

/// Year, month and day for days since 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March put the leap day last; 400 of them are an era.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
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

    #[test]
    fn days_are_counted_over_leap_years() {
        let table = [
            (0, "1970-01-01T00:00:00+0000"),
            (951_782_399, "2000-02-28T23:59:59+0000"),
            (951_782_400, "2000-02-29T00:00:00+0000"),
            (1_709_251_199, "2024-02-29T23:59:59+0000"),
            (4_107_542_400, "2100-03-01T00:00:00+0000"),
            (-1, "1969-12-31T23:59:59+0000"),
        ];
        for (seconds, text) in table {
            assert_eq!(utc(seconds), text);
        }
    }
}
