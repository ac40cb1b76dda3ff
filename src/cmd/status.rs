//! `status`: how gateways stand; and how one is shown, as text and as JSON.

mod block;

use super::fail;
use crate::context::Context;
use crate::error::{Kind, Result};
use crate::gateway::observe;
use crate::manager;
use crate::manager::access::Privilege;
use crate::model::backoff::Exit;
use crate::model::calendar;
use crate::model::observation::{Observation, State};
use crate::model::tree::Tree;
use crate::model::usage;
use crate::options::{Opt, Verbosity};
use crate::output::Row;
use crate::sys::clock;
use crate::text::messages::{Text, text};
use crate::text::{Shown, part};
use std::fmt::Write;
use std::mem::ManuallyDrop;
use std::time::Duration;

const WHAT: Text = text!("look at gateway");

/// How gateways stand, which is known as long as the process lives, and the exit code.
pub(super) type Looked = (ManuallyDrop<Vec<Observation>>, u64);

/// Runs the command: 0 if each gateway is as it is meant to be, else the first one's code
/// that is not.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let (mut observations, code) = look(context)?;
    if context.output.json || context.output.verbosity != Verbosity::Quiet {
        observe::add_usage(&mut observations.iter_mut());
    }
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
    let profiles = if all { s6.slots.profiles()? } else { Vec::new() };
    let mut rows = Vec::with_capacity(profiles.len());
    for profile in &profiles {
        rows.push(observer.observe(profile));
    }
    // What is told of the first that is not as it should be, and how many were before it.
    let (mut code, mut before) = (0, usize::MAX);
    for target in super::targets(names) {
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
            // Where they cannot be listed, nothing is known of them.
            let names = homes.names().unwrap_or_default();
            if all {
                for profile in &names.profiles() {
                    if !rows.iter().any(|it: &Observation| it.profile == *profile) {
                        rows.push(observer.observe(profile));
                    }
                }
            }
            s6.ask_homes(homes, &names, &mut rows.iter_mut());
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
    Ok((ManuallyDrop::new(rows), code))
}

/// Prints them, with what they are observed in.
///
/// # Errors
/// There are none, and something keeps a boot from making them.
#[inline(never)]
fn show(context: &Context, observations: &[Observation]) -> Result<()> {
    let (output, place, now) = (&context.output, context.settings.place()?, clock::time());
    let (none, mut after) = (observations.is_empty(), String::new());
    let named = !context.options.words.is_empty();
    if none && !named {
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
        return say_rows(context, observations, "[", "]\n");
    }
    // Where some are named, there may be others.
    if output.verbosity == Verbosity::Quiet || none && named {
        return Ok(());
    }
    if named && !context.options.has(Opt::Table) {
        return block::print(context, place, observations, now);
    }
    let (tree, scandir) = (place.tree.whose(), Shown(&place.scandir).text());
    let head = ["Manager: s6 (container supervisor)\nTree: ", tree, ", ", &scandir, "\n"].concat();
    let mark = Mark::new(context);
    output.say_all(&mut table(observations, now, mark), &head, &after)
}

/// Prints them as JSON, with what is before and after them.
pub(super) fn say_rows(
    context: &Context,
    observations: &[Observation],
    before: &str,
    after: &str,
) -> Result<()> {
    let (tree, now) = (context.settings.place()?.tree, clock::time());
    let mut rows = observations.iter().map(|it| json(it, tree, now));
    context.output.say_all(&mut rows, before, after)
}

/// What is marked by colours, if they may be used: states, and what is too much.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    colour: bool,
    /// More memory than this is too much, in bytes.
    most: u64,
}

impl Mark {
    pub(super) fn new(context: &Context) -> Mark {
        Mark { colour: context.output.colours(), most: context.settings.warn_memory }
    }

    /// The state of `it` in words: green for what runs, yellow for what will, red for what will
    /// not.
    #[inline(never)]
    fn state(self, it: &Observation) -> String {
        let colour = match it.state {
            State::Up => "\x1b[32m",
            State::Finishing | State::Starting | State::BackingOff | State::StandingBy => {
                "\x1b[33m"
            }
            State::Down => "\x1b[2m",
            _ => RED,
        };
        self.paint(colour, it.text())
    }

    /// A `text` on how much memory `it` has: red for too much.
    #[inline(never)]
    fn memory(self, it: &Observation, text: String) -> String {
        match it.usage {
            Some(usage) if usage.memory > self.most => self.paint(RED, text),
            _ => text,
        }
    }

    /// `text` in a colour, if colours may be used.
    #[inline(never)]
    fn paint(self, colour: &str, text: String) -> String {
        if self.colour { [colour, &text, "\x1b[0m"].concat() } else { text }
    }
}

const RED: &str = "\x1b[31m";

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

/// The keys of what is known of a gateway, and of what Hermes says of it and of its platforms;
/// they are stable.
const KEYS: &str = "profile state text pid since ready paused hermes wanted wanted_at_boot \
                    served_by restarts last_exit memory_bytes cpu_seconds processes tree at";
const SAID_KEYS: &str = "state exit_reason platforms active_agents served_profiles";
const PLATFORM_KEYS: &str = "name state error_code error since";
const EXIT_KEYS: &str = "code signal";

/// What `it` knows, at `at`, as an object of JSON.
pub(super) fn json(it: &Observation, tree: Tree, at: Duration) -> String {
    let mut row = Row::of(KEYS);
    row.text(it.profile.name()).text(it.state.word()).text(&it.text()).number(it.pid);
    add_time(&mut row, it.since);
    row.flag(it.is_ready()).flag(it.paused).raw(&hermes(it));
    add_wish(&mut row, it.wanted);
    add_wish(&mut row, it.wanted_at_boot);
    row.text_or_null(it.served.then_some("default"));
    row.number(it.deaths.map(|deaths| deaths as u64));
    match it.last_exit {
        None => row.null(),
        Some(exit) => {
            let (code, signal) = match exit {
                Exit::Code(code) => (Some(code.into()), None),
                Exit::Signal(signal) => (None, Some(signal.into())),
            };
            let mut exit = Row::of(EXIT_KEYS);
            exit.number(code).number(signal);
            row.raw(&exit.end())
        }
    };
    let usage = it.usage;
    row.number(usage.map(|usage| usage.memory));
    row.number(usage.map(|usage| usage.cpu_seconds()));
    row.number(usage.map(|usage| usage.processes));
    row.text(tree.word());
    add_time(&mut row, Some(at));
    row.end()
}

/// Adds a time, if it is known.
#[inline(never)]
fn add_time(row: &mut Row, time: Option<Duration>) {
    match time {
        Some(time) => row.text(&calendar::precise(time)),
        None => row.null(),
    };
}

/// Adds what is wanted, if that is known.
#[inline(never)]
fn add_wish(row: &mut Row, up: Option<bool>) {
    row.text_or_null(up.map(|up| if up { "up" } else { "down" }));
}

/// What Hermes says of `it`, as JSON.
fn hermes(it: &Observation) -> String {
    let Some(said) = &it.hermes else { return "null".into() };
    let mut platforms = String::from("[");
    for it in &said.platforms {
        let mut row = Row::of(PLATFORM_KEYS);
        row.text(&it.name).text(&it.state).text_unless_empty(&it.error_code);
        row.text_unless_empty(&it.error).text_unless_empty(&it.since);
        platforms += if platforms.len() == 1 { "" } else { "," };
        platforms += &row.end();
    }
    let served = if said.served_profiles.is_empty() { "null" } else { &said.served_profiles };
    let mut row = Row::of(SAID_KEYS);
    row.text(&said.state).text_unless_empty(&said.exit_reason).raw(&(platforms + "]"));
    row.number(said.active_agents).raw(served);
    row.end()
}

/// What has become of a gateway, at `at`, as a line.
pub(super) fn line(it: &Observation, at: Duration, mark: Mark) -> String {
    let (millis, name, state) = (at.subsec_millis(), it.profile.name(), mark.state(it));
    let mut line = calendar::date_and_time(at.as_secs().cast_signed(), "T");
    // To write to a string never fails.
    let _ = write!(line, ".{millis:03}Z {name}: {state}");
    if let Some(pid) = it.pid {
        let _ = write!(line, " (pid {pid})");
    }
    line + "\n"
}

/// The observations as the lines of a table, with what is before each state as wide as it has to
/// be; `now` is what the times are counted back from.
///
/// In 80 columns, whatever the names: one that is too long has a line of its own. How much memory
/// each has is shown where there is room for it.
fn table(observations: &[Observation], now: Duration, mark: Mark) -> impl Iterator<Item = String> {
    const WIDTH: usize = 80;
    // A line with tabs between; there is none in what is shown.
    let cells = move |at: usize| {
        let Some(it) = observations.get(at.wrapping_sub(1)) else {
            return "PROFILE\tPID\tSINCE\tMEM\tSTATE".into();
        };
        let none = || "-".into();
        let pid = it.pid.map_or_else(none, |pid| pid.to_string());
        let since = it.since.map_or_else(none, |since| age(now.saturating_sub(since)));
        let memory = it.usage.map_or_else(none, |usage| usage::size(usage.memory));
        format!("{}\t{pid}\t{since}\t{memory}\t{}", it.profile.name(), it.text())
    };
    let rows = if observations.is_empty() { 0 } else { 1 + observations.len() };
    let mut widths = [0; 5];
    for at in 0..rows {
        let row = cells(at);
        for (at, width) in widths.iter_mut().enumerate() {
            *width = part(&row, '\t', at).len().max(*width);
        }
    }
    let [longest, pid, since, mut memory, state] = widths;
    let rest = pid + since + state + 6;
    memory = if longest + rest + 2 + memory <= WIDTH { memory + 2 } else { 0 };
    let name = longest.min(WIDTH.saturating_sub(rest).max(16));
    (0..rows).map(move |at| {
        let row = cells(at);
        let cell = |at| part(&row, '\t', at);
        let mut text = String::from(cell(0));
        let mut used = text.len();
        if used > name {
            text += "\n";
            used = 0;
        }
        right(cell(1), name - used + 2 + pid, &mut text);
        right(cell(2), 2 + since, &mut text);
        let (mut size, mut state) = (String::new(), String::from(cell(4)));
        if memory > 0 {
            right(cell(3), memory, &mut size);
        }
        if let Some(it) = observations.get(at.wrapping_sub(1)) {
            state = mark.state(it);
            if memory > 0 {
                size = mark.memory(it, size);
            }
        }
        text + &size + "  " + &state + "\n"
    })
}

/// Appends `cell` at the right of a column that is so wide.
fn right(cell: &str, width: usize, text: &mut String) {
    for _ in cell.len()..width {
        text.push(' ');
    }
    *text += cell;
}

/// A time as people read it, in its two largest units.
fn age(time: Duration) -> String {
    const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let (mut rest, mut text) = (time.as_secs(), String::new());
    for (unit, name) in &UNITS {
        let is_first = text.is_empty();
        let count = rest / unit;
        rest %= unit;
        if count > 0 || is_first && *unit == 1 {
            text += if is_first { "" } else { " " };
            text += &count.to_string();
            text.push(*name);
        }
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
    use crate::model::usage::Usage;

    fn observation(name: &str, state: State, why: &str) -> Observation {
        let profile = Profile::parse(name.as_bytes()).unwrap();
        Observation { why: why.into(), ..Observation::new(&profile, state) }
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

    const PLAIN: Mark = Mark { colour: false, most: u64::MAX };

    fn using(memory: u64) -> Option<Usage> {
        Some(Usage { processes: 2, memory, cpu: 305 })
    }

    #[test]
    fn the_table_is_aligned_and_long_names_stand_alone() {
        let since = Some(Duration::from_secs(1000));
        let up = Observation { pid: Some(1234), since, ..observation("default", State::Up, "") };
        let up = Observation { usage: using(412 << 20), ..up };
        let (exit, time) = (Exit::Code(1), Duration::from_secs(16));
        let crash = Some(CrashRecord { exit, decision: Decision::BackOff, deaths: 4, time });
        let coder = Observation { since, crash, ..observation("coder", State::BackingOff, "") };
        let long = "a-profile-whose-name-goes-on-and-on-and-on";
        let observations = [up, coder, observation(long, State::NotSupervised, "")];
        let now = Duration::from_secs(4 * 3600 + 1000);
        let table_of = |all: &[Observation], mark| table(all, now, mark).collect::<String>();
        assert_eq!(
            table_of(&observations, PLAIN),
            format!(
                "PROFILE                            PID  SINCE  STATE\n\
                 default                           1234     4h  up\n\
                 coder                                -     4h  backing off 16s, 4 deaths: exit 1\n\
                 {long}\n\
                 {:33}    -      -  not supervised\n",
                ""
            )
        );
        assert!(table_of(&observations, PLAIN).lines().all(|line| line.len() <= 80));
        assert_eq!(
            table_of(&observations[..2], PLAIN),
            "PROFILE   PID  SINCE   MEM  STATE\n\
             default  1234     4h  412M  up\n\
             coder       -     4h     -  backing off 16s, 4 deaths: exit 1\n"
        );
        for (most, shown) in [(412 << 20, "  412M"), ((412 << 20) - 1, "\x1b[31m  412M\x1b[0m")] {
            assert_eq!(
                table_of(&observations[..1], Mark { colour: true, most }),
                format!(
                    "PROFILE   PID  SINCE   MEM  STATE\n\
                     default  1234     4h{shown}  \x1b[32mup\x1b[0m\n"
                )
            );
        }
    }

    #[test]
    fn memory_is_shown_where_80_columns_have_room_for_it() {
        for length in 1..100 {
            let up = observation(&"x".repeat(length), State::Up, "");
            let observations = [Observation { usage: using(5 << 30), ..up }];
            let shown: Vec<_> = table(&observations, Duration::ZERO, PLAIN).collect();
            assert_eq!(shown[1].contains("5.0G"), length <= 80 - 3 - 5 - 4 - 5 - 8, "{length}");
            assert!(length > 76 || shown.iter().all(|it| it.lines().all(|it| it.len() <= 80)));
        }
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
                decision: Decision::BackOff,
                deaths: 4,
                time: delay,
            }),
            last_exit: Some(Exit::Signal(9)),
            usage: using(4096),
            ..observation("coder", State::BackingOff, "")
        };
        let row: serde_json::Value = serde_json::from_str(&json(&died, Tree::Root, at)).unwrap();
        assert_eq!(
            row,
            serde_json::json!({
                "profile": "coder", "state": "backing-off",
                "text": "backing off 8s, 4 deaths: SIGKILL", "pid": null,
                "since": "2026-05-24T18:05:30.000000000Z", "ready": false, "paused": false,
                "hermes": null, "wanted": "up", "wanted_at_boot": null, "served_by": null,
                "restarts": 4, "last_exit": {"code": null, "signal": 9}, "memory_bytes": 4096,
                "cpu_seconds": 3, "processes": 2, "tree": "root",
                "at": "2026-05-24T18:05:33.005000000Z",
            })
        );
    }
}
