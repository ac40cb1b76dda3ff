//! `status`: how gateways stand; and how one is shown, as text and as JSON.

use super::fail;
use crate::context::Context;
use crate::error::{Kind, Result};
use crate::manager;
use crate::manager::access::Privilege;
use crate::model::backoff::Exit;
use crate::model::calendar;
use crate::model::observation::{Observation, State};
use crate::model::tree::Tree;
use crate::options::Verbosity;
use crate::output::Row;
use crate::sys::clock;
use crate::text::messages::{Text, text};
use crate::text::{Shown, part};
use std::time::Duration;

const WHAT: Text = text!("look at gateway");

/// How gateways stand, and the exit code.
pub(super) type Looked = (Vec<Observation>, u64);

/// Runs the command: 0 if each gateway is as it is meant to be, else the first one's code
/// that is not.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let (observations, code) = look(context)?;
    show(context, &observations)?;
    Ok(code)
}

/// How the gateways stand that are named, else all that have a slot and then those that should
/// have one; with the first code that is not 0. What keeps one from being looked at is told.
pub(super) fn look(context: &Context) -> Result<Looked> {
    context.warn_of_settings();
    let s6 = match manager::open_s6(context, Privilege::Read, WHAT) {
        // What keeps a boot from making slots keeps it from making the user's own scandir, too.
        Err(error) if error.kind == Kind::Unsupervised => {
            manager::refuse_host(context, WHAT)?;
            context.homes_as_user()?;
            return Err(error);
        }
        s6 => s6?,
    };
    let observer = s6.observer();
    let names = &context.options.words;
    let all = names.is_empty();
    let mut targets = super::targets(names);
    if all {
        for profile in s6.slots.profiles()? {
            targets.push(Ok(profile));
        }
    }
    // What is told of the first that is not as it should be, and how many were before it.
    let (mut code, mut before, mut rows) = (0, usize::MAX, Vec::with_capacity(targets.len()));
    for target in targets {
        match target {
            Ok(profile) => rows.push(observer.observe(&profile)),
            Err(error) => {
                let one = fail(context, error);
                if code == 0 {
                    (code, before) = (one, rows.len());
                }
            }
        }
    }
    match context.homes_as_user() {
        Ok(homes) => {
            if all {
                for profile in &homes.listed() {
                    if !rows.iter().any(|it: &Observation| it.profile == *profile) {
                        rows.push(observer.observe(profile));
                    }
                }
            }
            s6.ask_homes(&mut rows.iter_mut());
        }
        // No boot could make slots.
        Err(error) if all && rows.is_empty() => return Err(error),
        // Then nothing is known of what is wanted.
        Err(error) => context.output.warn(error),
    }
    let mut kept = 0;
    for at in 0..rows.len() {
        let it = &rows[at];
        let is_none = it.state == State::NotRegistered && it.wanted_at_boot != Some(true);
        let one = match is_none {
            // It is not meant to run, or was removed while all were looked at.
            true if all => 0,
            true => fail(context, s6.not_registered(WHAT, &it.profile)),
            false => code_of(it),
        };
        if one != 0 && at < before {
            (code, before) = (one, at);
        }
        if !is_none {
            rows.swap(kept, at);
            kept += 1;
        }
    }
    rows.truncate(kept);
    Ok((rows, code))
}

/// Prints them, with what they are observed in.
///
/// # Errors
/// There are none, and something keeps a boot from making them.
fn show(context: &Context, observations: &[Observation]) -> Result<()> {
    let (output, place, now) = (&context.output, context.settings.place()?, clock::time());
    let (none, mut after) = (observations.is_empty(), String::new());
    if none && context.options.words.is_empty() {
        let why = context.why_none()?;
        if let (true, Some(why)) = (output.json, &why) {
            output.warn_of(why);
        }
        let why = why
            .as_deref()
            .unwrap_or(text!("hermes-gw reconcile makes one for every profile").read());
        after = ["No gateways: ", why, ".\n"].concat();
    }
    if output.json {
        return say_rows(context, observations, ["[", ",", "]\n"]);
    }
    // Where some are named, there may be others.
    if output.verbosity == Verbosity::Quiet || none && after.is_empty() {
        return Ok(());
    }
    let (whose, scandir) = (place.tree.whose(), Shown(&place.scandir));
    let head = format!("Manager: s6 (container supervisor)\nTree: {whose}, {scandir}\n");
    output.say_all(&mut table(observations, now, output.colours()), [&head, "", &after])
}

/// Prints them as JSON, with what is before, between and after them.
pub(super) fn say_rows(
    context: &Context,
    observations: &[Observation],
    ends: [&str; 3],
) -> Result<()> {
    let (tree, now) = (context.settings.place()?.tree, clock::time());
    context.output.say_all(&mut observations.iter().map(|it| json(it, tree, now)), ends)
}

/// What a script hears of a gateway.
pub(super) fn code_of(observation: &Observation) -> u64 {
    let kind = match observation.state {
        _ if observation.is_well() => return 0,
        State::NotSupervised => Kind::Unsupervised,
        State::Denied => Kind::Denied,
        _ => Kind::Unusable,
    };
    kind.exit_code().into()
}

/// What `it` knows, at `at`, as an object of JSON; the keys are stable.
pub(super) fn json(it: &Observation, tree: Tree, at: Duration) -> String {
    let wish = |up: Option<bool>| up.map(|up| if up { "up" } else { "down" });
    let exit = match it.last_exit {
        None => "null".into(),
        Some(exit) => {
            let (code, signal) = match exit {
                Exit::Code(code) => (Some(code.into()), None),
                Exit::Signal(signal) => (None, Some(signal.into())),
            };
            let mut row = Row::new();
            row.number("code", code).number("signal", signal);
            row.end()
        }
    };
    let since = it.since.map(calendar::precise);
    let mut row = Row::new();
    row.text("profile", it.profile.name()).text("state", it.state.word()).text("text", &it.text());
    row.number("pid", it.pid).text_or_null("since", since.as_deref());
    row.flag("ready", it.is_ready()).flag("paused", it.paused);
    row.raw("hermes", &hermes(it));
    row.text_or_null("wanted", wish(it.wanted));
    row.text_or_null("wanted_at_boot", wish(it.wanted_at_boot));
    row.text_or_null("served_by", it.served.then_some("default"));
    row.number("restarts", it.deaths.map(|deaths| deaths as u64)).raw("last_exit", &exit);
    row.text("tree", tree.word()).text("at", &calendar::precise(at));
    row.end()
}

/// What Hermes says of `it`, as JSON.
fn hermes(it: &Observation) -> String {
    let Some(said) = &it.hermes else { return "null".into() };
    let mut platforms = String::from("[");
    for it in &said.platforms {
        let mut row = Row::new();
        row.text("name", &it.name).text("state", &it.state);
        row.text_unless_empty("error_code", &it.error_code);
        row.text_unless_empty("error", &it.error).text_unless_empty("since", &it.since);
        platforms += if platforms.len() == 1 { "" } else { "," };
        platforms += &row.end();
    }
    let served = if said.served_profiles.is_empty() { "null" } else { &said.served_profiles };
    let mut row = Row::new();
    row.text("state", &said.state).text_unless_empty("exit_reason", &said.exit_reason);
    row.raw("platforms", &(platforms + "]"));
    row.number("active_agents", said.active_agents).raw("served_profiles", served);
    row.end()
}

/// What has become of a gateway, at `at`, as a line.
pub(super) fn line(it: &Observation, at: Duration, colour: bool) -> String {
    let text = it.text();
    let (on, off) = if colour { colours(it.state) } else { ("", "") };
    let pid = it.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
    let at = calendar::precise(at);
    let millis = at.get(..23).unwrap_or_default();
    format!("{millis}Z {}: {on}{text}{off}{pid}\n", it.profile.name())
}

/// The observations as the lines of a table, with what is before each state as wide as it has to
/// be; `now` is what the times are counted back from.
///
/// In 80 columns, whatever the names: one that is too long has a line of its own.
fn table(
    observations: &[Observation],
    now: Duration,
    colour: bool,
) -> impl Iterator<Item = String> {
    const WIDTH: usize = 80;
    // A line with tabs between; there is none in what is shown.
    let cells = move |at: usize| match observations.get(at.wrapping_sub(1)) {
        None => "PROFILE\tPID\tSINCE\tSTATE".into(),
        Some(it) => {
            let none = || "-".into();
            let pid = it.pid.map_or_else(none, |pid| pid.to_string());
            let since = it.since.map_or_else(none, |since| age(now.saturating_sub(since)));
            format!("{}\t{pid}\t{since}\t{}", it.profile.name(), it.text())
        }
    };
    let rows = if observations.is_empty() { 0 } else { 1 + observations.len() };
    let mut widths = [0; 4];
    for at in 0..rows {
        for (width, cell) in widths.iter_mut().zip(cells(at).split('\t')) {
            *width = cell.len().max(*width);
        }
    }
    let [longest, pid, since, state] = widths;
    let name = longest.min(WIDTH.saturating_sub(pid + since + state + 6).max(16));
    (0..rows).map(move |at| {
        let row = cells(at);
        let cell = |at| part(&row, '\t', at);
        let mut text = String::from(cell(0));
        let mut used = text.len();
        if used > name {
            text += "\n";
            used = 0;
        }
        let (on, off) = match observations.get(at.wrapping_sub(1)) {
            Some(it) if colour => colours(it.state),
            _ => ("", ""),
        };
        right(cell(1), name - used + 2 + pid, &mut text);
        right(cell(2), 2 + since, &mut text);
        for part in ["  ", on, cell(3), off, "\n"] {
            text += part;
        }
        text
    })
}

/// Appends `cell` at the right of a column that is so wide.
fn right(cell: &str, width: usize, text: &mut String) {
    for _ in cell.len()..width {
        text.push(' ');
    }
    *text += cell;
}

/// What begins and ends the colour of a state: green for what runs, yellow for what will, red
/// for what will not.
fn colours(state: State) -> (&'static str, &'static str) {
    let on = match state {
        State::Up => "\x1b[32m",
        State::Finishing | State::Starting | State::BackingOff | State::StandingBy => "\x1b[33m",
        State::Down => "\x1b[2m",
        _ => "\x1b[31m",
    };
    (on, "\x1b[0m")
}

/// A time as people read it, in its two largest units.
fn age(time: Duration) -> String {
    const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let (mut rest, mut text) = (time.as_secs(), String::new());
    for (unit, name) in &UNITS {
        let is_first = text.is_empty();
        if rest >= *unit || is_first && *unit == 1 {
            text += if is_first { "" } else { " " };
            text += &(rest / unit).to_string();
            text.push(*name);
        }
        rest %= unit;
        if !is_first {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::backoff::{CrashRecord, Decision};
    use crate::model::profile::Profile;

    fn observation(name: &str, state: State, why: &str) -> Observation {
        Observation::new(Profile::parse(name.as_bytes()).unwrap(), state, why.into())
    }

    #[test]
    fn ages_have_two_units_at_most() {
        let table = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3600, "1h"),
            (3659, "1h"),
            (3660, "1h 1m"),
            (86_399, "23h 59m"),
            (86_400, "1d"),
            (90_000, "1d 1h"),
            (400 * 86_400 + 59 * 60, "400d"),
        ];
        for (seconds, text) in table {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn the_table_is_aligned_and_long_names_stand_alone() {
        let since = Some(Duration::from_secs(1000));
        let up = Observation { pid: Some(1234), since, ..observation("default", State::Up, "") };
        let decision = Decision::BackOff { delay: Duration::from_secs(16), deaths: 4 };
        let crash = Some(CrashRecord { exit: Exit::Code(1), decision });
        let coder = Observation { since, crash, ..observation("coder", State::BackingOff, "") };
        let long = "a-profile-whose-name-goes-on-and-on-and-on";
        let observations = [up, coder, observation(long, State::NotSupervised, "")];
        let now = Duration::from_secs(4 * 3600 + 1000);
        assert_eq!(
            table(&observations, now, false).collect::<String>(),
            format!(
                "PROFILE                            PID  SINCE  STATE\n\
                 default                           1234     4h  up\n\
                 coder                                -     4h  backing off 16s, 4 deaths: exit 1\n\
                 {long}\n\
                 {:33}    -      -  not supervised\n",
                ""
            )
        );
        let table_of = |all: &[Observation], colour| table(all, now, colour).collect::<String>();
        assert!(table_of(&observations, false).lines().all(|line| line.len() <= 80));
        let coloured = table_of(&observations[..1], true);
        assert_eq!(
            coloured,
            "PROFILE   PID  SINCE  STATE\ndefault  1234     4h  \x1b[32mup\x1b[0m\n"
        );
    }

    #[test]
    fn rows_are_json_that_others_can_read() {
        let at = Duration::new(1_779_645_933, 5_000_000);
        let delay = Duration::from_secs(8);
        let died = Observation {
            since: Some(Duration::from_secs(1_779_645_930)),
            wanted: Some(true),
            deaths: Some(4),
            crash: Some(CrashRecord {
                exit: Exit::Signal(9),
                decision: Decision::BackOff { delay, deaths: 4 },
            }),
            last_exit: Some(Exit::Signal(9)),
            ..observation("coder", State::BackingOff, "")
        };
        let row: serde_json::Value = serde_json::from_str(&json(&died, Tree::Root, at)).unwrap();
        assert_eq!(
            row,
            serde_json::json!({
                "profile": "coder", "state": "backing-off",
                "text": "backing off 8s, 4 deaths: SIGKILL", "pid": null,
                "since": "2026-05-24T18:05:30.000000000Z", "ready": false, "paused": false,
                "hermes": null, "wanted": "up", "wanted_at_boot": null, "served_by": null, "restarts": 4,
                "last_exit": {"code": null, "signal": 9}, "tree": "root",
                "at": "2026-05-24T18:05:33.005000000Z",
            })
        );
    }
}
