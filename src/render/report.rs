//! How gateways stand, as a table and as JSON.

use crate::model::backoff::Exit;
use crate::model::calendar;
use crate::model::observation::{Report, State};
use nanoserde::SerJson;
use std::time::Duration;

/// A gateway as `status --json` and `watch --json` show it; the keys are stable.
#[derive(SerJson)]
struct ReportRow {
    profile: String,
    state: String,
    text: String,
    #[nserde(serialize_none_as_null)]
    pid: Option<u64>,
    #[nserde(serialize_none_as_null)]
    since: Option<String>,
    ready: bool,
    paused: bool,
    #[nserde(serialize_none_as_null)]
    wanted: Option<String>,
    #[nserde(serialize_none_as_null)]
    wanted_at_boot: Option<String>,
    restarts: usize,
    #[nserde(serialize_none_as_null)]
    last_exit: Option<ExitRow>,
    tree: String,
    at: String,
}

#[derive(SerJson)]
struct ExitRow {
    #[nserde(serialize_none_as_null)]
    code: Option<u8>,
    #[nserde(serialize_none_as_null)]
    signal: Option<u8>,
}

/// What `report` knows, at `at`, as a JSON object; `tree` is whose s6-svscan it is.
pub fn json(report: &Report, tree: &str, at: Duration) -> String {
    let wish = |up: bool| if up { "up" } else { "down" }.to_string();
    let row = ReportRow {
        profile: report.profile.name().into(),
        state: report.state.word().into(),
        text: report.text(),
        pid: report.pid,
        since: report.since.map(calendar::precise),
        ready: report.ready,
        paused: report.paused,
        wanted: report.wanted.map(wish),
        wanted_at_boot: report.wanted_at_boot.map(wish),
        restarts: report.deaths,
        last_exit: report.last_exit.map(|exit| match exit {
            Exit::Code(code) => ExitRow { code: Some(code), signal: None },
            Exit::Signal(signal) => ExitRow { code: None, signal: Some(signal) },
        }),
        tree: tree.into(),
        at: calendar::precise(at),
    };
    row.serialize_json()
}

/// What has become of a gateway, at `at`, as a line.
pub fn line(report: &Report, at: Duration, colour: bool) -> String {
    let text = report.text();
    let text = if colour { painted(&text, report.state) } else { text };
    let pid = report.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
    let at = calendar::precise(at);
    let millis = at.get(..23).unwrap_or_default();
    format!("{millis}Z {}: {text}{pid}\n", report.profile.name())
}

/// The reports as a table, with what is before each state as wide as it has to be; `now` is
/// what the times are counted back from.
///
/// In 80 columns, whatever the names: one that is too long has a line of its own.
pub fn table(reports: &[Report], now: Duration, colour: bool) -> String {
    const WIDTH: usize = 80;
    let rows: Vec<_> = reports.iter().map(|report| Row::new(report, now)).collect();
    let head =
        Row { cells: ["PROFILE", "PID", "SINCE", "STATE"].map(str::to_string), state: State::Down };
    let longest = |column: usize| {
        rows.iter().chain([&head]).map(|row| row.cells[column].len()).max().unwrap_or(0)
    };
    let (pid, since) = (longest(1), longest(2));
    let name = longest(0).min(WIDTH.saturating_sub(pid + since + longest(3) + 6).max(16));
    let mut text = String::new();
    for (at, row) in [&head].into_iter().chain(&rows).enumerate() {
        let [profile, process, age, state] = &row.cells;
        text += profile;
        let mut used = profile.len();
        if used > name {
            text.push('\n');
            used = 0;
        }
        let state = if at > 0 && colour { painted(state, row.state) } else { state.clone() };
        text += &" ".repeat(name - used);
        text += &format!("  {process:>pid$}  {age:>since$}  {state}\n");
    }
    text
}

struct Row {
    cells: [String; 4],
    state: State,
}

impl Row {
    fn new(report: &Report, now: Duration) -> Row {
        let pid = report.pid.map_or("-".into(), |pid| pid.to_string());
        let since = report.since.map_or("-".into(), |since| age(now.saturating_sub(since)));
        let cells = [report.profile.name().into(), pid, since, report.text()];
        Row { cells, state: report.state }
    }
}

/// A state in its colour: green for what runs, yellow for what will, red for what will not.
fn painted(text: &str, state: State) -> String {
    let colour = match state {
        State::Up => "32",
        State::Finishing | State::Starting | State::BackingOff => "33",
        State::Down | State::NotRegistered => "2",
        State::Parked | State::NotSupervised | State::Denied | State::Unreadable => "31",
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

/// A time as people read it, in its two largest units.
fn age(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let seconds = time.as_secs();
    let mut text = String::new();
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
    let mut rest = seconds;
    for (unit, name) in &UNITS[largest..UNITS.len().min(largest + 2)] {
        if text.is_empty() || rest >= *unit {
            text += &format!("{}{}{name}", if text.is_empty() { "" } else { " " }, rest / unit);
        }
        rest %= unit;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::profile::Profile;

    fn report(name: &str, state: State, why: &str) -> Report {
        Report::new(Profile::parse(name.as_bytes()).unwrap(), state, why.into())
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
        let up = Report { pid: Some(1234), since, ..report("default", State::Up, "") };
        let why = "backing off 16s, 4 deaths: exit 1";
        let coder = Report { since, ..report("coder", State::BackingOff, why) };
        let long = "a-profile-whose-name-goes-on-and-on-and-on";
        let reports = [up, coder, report(long, State::NotSupervised, "")];
        let now = Duration::from_secs(4 * 3600 + 1000);
        assert_eq!(
            table(&reports, now, false),
            format!(
                "PROFILE                            PID  SINCE  STATE\n\
                 default                           1234     4h  up\n\
                 coder                                -     4h  backing off 16s, 4 deaths: exit 1\n\
                 {long}\n\
                 {:33}    -      -  not supervised\n",
                ""
            )
        );
        assert!(table(&reports, now, false).lines().all(|line| line.len() <= 80));
        let coloured = table(&reports[..1], now, true);
        assert_eq!(
            coloured,
            "PROFILE   PID  SINCE  STATE\ndefault  1234     4h  \x1b[32mup\x1b[0m\n"
        );
    }

    #[test]
    fn rows_are_json_that_others_can_read() {
        let at = Duration::new(1_779_645_933, 5_000_000);
        let died = Report {
            since: Some(Duration::from_secs(1_779_645_930)),
            wanted: Some(true),
            deaths: 4,
            last_exit: Some(Exit::Signal(9)),
            ..report("coder", State::BackingOff, "backing off 8s, 4 deaths: signal 9")
        };
        let row: serde_json::Value = serde_json::from_str(&json(&died, "root", at)).unwrap();
        assert_eq!(
            row,
            serde_json::json!({
                "profile": "coder", "state": "backing-off",
                "text": "backing off 8s, 4 deaths: signal 9", "pid": null,
                "since": "2026-05-24T18:05:30.000000000Z", "ready": false, "paused": false,
                "wanted": "up", "wanted_at_boot": null, "restarts": 4,
                "last_exit": {"code": null, "signal": 9}, "tree": "root",
                "at": "2026-05-24T18:05:33.005000000Z",
            })
        );
    }
}
