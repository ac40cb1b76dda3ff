//! gateway_state.json and the lifecycle record: what the last run left behind.

use super::json::{self, Flaw, Member};
use crate::error::{Error, Kind, Result};
use crate::model::backoff::{Ending, Exit};
use crate::model::calendar;
use crate::model::hermes_state::{HermesState, Platform};
use crate::model::intent::{Intent, LastExit, LastKnown};
use crate::model::values;
use crate::sys::dir::Dir;
use crate::sys::meta::FileKind;
use crate::text::cut;
use crate::text::messages::text;
use std::time::Duration;

/// The file in a profile's home that holds intent and state.
pub(crate) const STATE_FILE: &[u8] = b"gateway_state.json";
/// The key for what the operator wants.
const DESIRED: &str = "desired_state";
/// Larger ones are not read, in bytes.
const MAX_STATE: usize = 1 << 20;
/// Longer texts of the gateway's are cut, in bytes.
const MAX_TEXT: usize = 241;
/// The record that the gateway keeps of its own start and exit.
const LIFECYCLE: &[u8] = b"state/gateway.lifecycle.json";
/// Touched at the end of a shutdown that did all it had to; each start removes it.
const CLEAN_SHUTDOWN: &[u8] = b".clean_shutdown";
/// The exit code of a gateway that is to be restarted.
const RESTART: Exit = Exit::Code(75);
/// SIGTERM, on every Linux.
const TERM: Exit = Exit::Signal(15);

/// What the state file in `home` says, and what is wrong with it, if anything. A profile that
/// was never started has none.
pub(crate) fn read(home: &Dir) -> (LastKnown, Option<Box<Error>>) {
    read_and(home, &mut |_| ())
}

/// The same; what it holds is also for `other` to look at.
#[inline(never)]
pub(crate) fn read_and(
    home: &Dir,
    other: &mut dyn FnMut(&[u8]),
) -> (LastKnown, Option<Box<Error>>) {
    let (known, error) = match home.read_at_once(STATE_FILE, MAX_STATE) {
        Err(error) if error.kind == Kind::Missing => return Default::default(),
        Err(error) => (LastKnown::Nothing, Some(error)),
        Ok(content) => {
            other(&content);
            let (known, why) = parse_last_known(&content);
            (known, why.map(|why| unusable(home, &why)))
        }
    };
    let none = matches!(known, LastKnown::Nothing);
    (known, error.map(|error| if none { error.hint(text!("no prior state")) } else { error }))
}

/// What a state file with `content` says, and what is wrong with it.
#[inline(never)]
pub(crate) fn parse_last_known(content: &[u8]) -> (LastKnown, Option<String>) {
    let object = match parse(content) {
        Ok(object) => object,
        Err(flaw) => return (LastKnown::Nothing, Some(flaw.why())),
    };
    let (desired, flaw) = object.last(DESIRED);
    if let Some(word) = desired {
        return (LastKnown::Desired(word), flaw);
    }
    let (state, other_flaw) = object.last("gateway_state");
    let known = state.map_or(LastKnown::Nothing, LastKnown::State);
    (known, flaw.or(other_flaw))
}

/// Records what the operator wants of the gateway in `home`; what it did about a file
/// that could not be kept, if so. Whatever else the file holds stays, byte for byte,
/// and so do its mode and group. It has reached the disk on return. Only under the lock on the
/// home.
///
/// # Errors
/// The file cannot be read or written, and is as it was.
pub(crate) fn record(home: &Dir, desired: Intent) -> Result<Option<Box<Error>>> {
    let (mut new, mut flaw) = (only_desired(desired), None);
    match home.read_at_once(STATE_FILE, MAX_STATE) {
        Ok(content) => match with_desired(&content, desired) {
            Ok(None) => return Ok(None),
            Ok(Some(it)) => new = it,
            Err(why) => flaw = Some(unusable(home, &why)),
        },
        Err(error) if error.kind == Kind::Missing => {}
        // What is no file, or far too large, is none of the gateway's writing either.
        Err(error) if error.kind == Kind::Unusable => flaw = Some(error),
        Err(error) => return Err(error),
    }
    let old = home.look(STATE_FILE)?.filter(|old| old.kind == FileKind::Regular);
    home.replace_like(STATE_FILE, old, &new)?;
    Ok(flaw.map(|flaw| flaw.hint(text!("written anew"))))
}

/// The state file in `home` cannot be used, because of `why`.
fn unusable(home: &Dir, why: &str) -> Box<Error> {
    home.error_of(Kind::Unusable, text!("read"), STATE_FILE, why)
}

/// What a state file with `content` is to hold for `desired`; `None` if it does already.
#[inline(never)]
pub(crate) fn with_desired(
    content: &[u8],
    desired: Intent,
) -> std::result::Result<Option<Vec<u8>>, String> {
    let object = parse(content).map_err(Flaw::why)?;
    let (text, word) = (object.text, desired.word());
    let (place, key) = match (object.find(DESIRED), object.members.last()) {
        (Some(member), _) => {
            if json::string(&text[member.value.clone()]).as_deref() == Some(word) {
                return Ok(None);
            }
            (member.value.clone(), "")
        }
        (None, Some(last)) => {
            let end = last.value.end;
            (end..end, ",\"desired_state\":")
        }
        // An empty object: what may stand in it is white space.
        (None, None) => return Ok(Some(only_desired(desired))),
    };
    let start = content.len() - text.len();
    let (before, after) = (&content[..start + place.start], &content[start + place.end..]);
    let quote = &b"\""[..];
    Ok(Some([before, key.as_bytes(), quote, word.as_bytes(), quote, after].concat()))
}

#[inline(never)]
fn only_desired(desired: Intent) -> Vec<u8> {
    ["{\"desired_state\":\"", desired.word(), "\"}\n"].concat().into_bytes()
}

/// Whom the gateway in `home` serves, as an array of JSON; nothing where that is not said.
pub(crate) fn served_profiles(home: &Dir) -> String {
    home.read(STATE_FILE, MAX_STATE).map_or(String::new(), |content| parse_served(&content))
}

/// The same of a state file with `content`.
pub(crate) fn parse_served(content: &[u8]) -> String {
    parse(content).map_or(String::new(), |object| object.names(SERVED).into())
}

/// The key for whom it serves.
const SERVED: &str = "served_profiles";

/// What a state file with `content` says of the process that has this id and start time, which
/// was `started` then, since 1970 UTC; `None` if it is of another one. Platforms of an earlier run
/// stay in the file: they do not count. s6 notes the start some time after it, when it gets to it;
/// `begun` is asked where that matters.
#[inline(never)]
pub(crate) fn parse_state(
    content: &[u8],
    process: (u64, u64),
    started: Duration,
    begun: &dyn Fn() -> Option<String>,
) -> Option<Box<HermesState>> {
    let object = parse(content).ok()?;
    if (object.number("pid")?, object.number("start_time")?) != process {
        return None;
    }
    // Both in UTC, as ISO 8601 has them: to compare the texts is to compare the times.
    let started = calendar::iso(started.as_secs().cast_signed());
    let mut said = Box::new(HermesState {
        state: object.string("gateway_state"),
        exit_reason: object.string("exit_reason"),
        active_agents: object.number("active_agents"),
        served_profiles: object.names(SERVED).into(),
        platforms: Vec::new(),
        up_for: Duration::ZERO,
    });
    // What is no object says nothing.
    let Ok(platforms) = Object::of(object.value("platforms")) else { return Some(said) };
    for member in &platforms.members {
        let Ok(it) = Object::of(&platforms.text[member.value.clone()]) else { continue };
        let since = it.string("updated_at");
        let of_this = since.is_empty() || since >= started || begun().is_some_and(|it| since >= it);
        if of_this {
            said.platforms.push(Platform {
                name: shown(&platforms.text[member.key.clone()]),
                state: it.string("state"),
                error_code: it.string("error_code"),
                error: it.string("error_message"),
                since,
            });
        }
    }
    Some(said)
}

/// Writes the state file of an old-style `gateway run` container into `home`: it is
/// to run. `now` is in seconds since 1970 UTC.
pub(crate) fn seed(home: &Dir, now: i64) -> Result<()> {
    let content = format!(
        "{{\"gateway_state\":\"running\",\"desired_state\":\"running\",\
         \"timestamp\":{now},\"migrated_from\":\"legacy-container-cmd\"}}\n"
    );
    home.replace_like(STATE_FILE, None, content.as_bytes())
}

/// How the last run of the gateway in `home` ended.
pub(crate) fn read_exit(home: &Dir) -> LastExit {
    home.read(LIFECYCLE, MAX_STATE).map_or(LastExit::Unknown, |content| parse_exit(&content))
}

/// How the run ended whose lifecycle record has `content`.
pub(crate) fn parse_exit(content: &[u8]) -> LastExit {
    let Ok(object) = parse(content) else { return LastExit::Unknown };
    // Words of the gateway's own, which have nothing in them to escape.
    match object.value("phase") {
        "\"exited\"" => LastExit::Clean,
        "\"running\"" => LastExit::Unclean,
        _ => LastExit::Unknown,
    }
}

/// What the gateway in `home` has recorded of how its run ended that `started` then, since 1970
/// UTC, and ended with `exit`.
///
/// Hermes 0.19 records an end in order in two ways. Asked to restart, it ends with 75, says
/// so in its state file, and that it is `stopped`; watchdogs that give up on a stuck gateway
/// end it with 75 as well, and leave another state. Told to end, it touches [`CLEAN_SHUTDOWN`]
/// unless it had to break off what it was doing; later ones then still have the lifecycle
/// record. Whether it is to be started again is in the state: after a SIGTERM that nobody
/// announced to it, it writes `running`, whatever its exit code is (1, but 0 while it starts).
/// After its stop marker, or for another gateway that takes its place, it writes `stopped`
/// and ends with 0: to start it again would be against who told it. And so it does for a
/// platform that has failed for good, but with an `exit_reason`.
pub(crate) fn read_ending(home: &Dir, exit: Exit, started: Duration) -> Result<Ending> {
    let restart = exit == RESTART;
    match exit {
        RESTART if is_since(home, STATE_FILE, started)? => {}
        Exit::Code(_) if !restart && is_clean(home, started)? => {}
        // What a signal has killed has not written anything.
        _ => return Ok(Ending { announced: false, terminated: exit == TERM }),
    }
    let content = home.read_if_there(STATE_FILE, MAX_STATE)?;
    Ok(parse_ending(&content, restart))
}

/// Whether the gateway in `home`, which has not been killed, shut down in order after `started`.
fn is_clean(home: &Dir, started: Duration) -> Result<bool> {
    if is_since(home, CLEAN_SHUTDOWN, started)? {
        return Ok(true);
    }
    Ok(is_since(home, LIFECYCLE, started)? && read_exit(home) == LastExit::Clean)
}

/// Whether `name` in `dir` was written after `started`, and not in a run before; by the time, as
/// s6-supervise does not pass the pid. Where a file server's clock is behind, an end in order
/// counts as a crash.
fn is_since(dir: &Dir, name: &[u8], started: Duration) -> Result<bool> {
    Ok(dir.look(name)?.is_some_and(|file| file.modified >= started))
}

/// What a state file with `content` says of an end in order, which was a `restart` or a shutdown.
pub(crate) fn parse_ending(content: &[u8], restart: bool) -> Ending {
    let Ok(object) = parse(content) else { return Ending::default() };
    let state = object.value("gateway_state");
    match restart {
        true => Ending {
            announced: state == "\"stopped\"" && object.value("restart_requested") == "true",
            terminated: false,
        },
        false => Ending {
            announced: state == "\"running\"",
            terminated: matches!(object.value("exit_reason"), "" | "null"),
        },
    }
}

/// What a file holds: its text, and the members of the object that this is.
struct Object<'a> {
    text: &'a str,
    members: Vec<Member>,
}

fn parse(content: &[u8]) -> std::result::Result<Object<'_>, Flaw> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    match str::from_utf8(content) {
        Ok(text) => Object::of(text),
        Err(error) if error.error_len().is_none() => Err(Flaw::Cut),
        Err(error) => Err(Flaw::Encoding(error.valid_up_to())),
    }
}

/// The string that `literal` is, cut where it is long; empty if it is none.
#[inline(never)]
fn shown(literal: &str) -> String {
    cut(json::string(literal).unwrap_or_default(), MAX_TEXT)
}

impl<'a> Object<'a> {
    fn of(text: &'a str) -> std::result::Result<Object<'a>, Flaw> {
        Ok(Object { text, members: json::members(text)? })
    }

    /// Whether `member` is called `key`.
    fn is_called(&self, member: &Member, key: &str) -> bool {
        json::string(&self.text[member.key.clone()]).as_deref() == Some(key)
    }

    /// The member called `key`: the last one, as in Python.
    fn find(&self, key: &str) -> Option<&Member> {
        self.members.iter().rfind(|member| self.is_called(member, key))
    }

    /// The value that `key` has, as it is written; empty if it has none.
    #[inline(never)]
    fn value(&self, key: &str) -> &'a str {
        self.find(key).map_or("", |member| &self.text[member.value.clone()])
    }

    /// The number that `key` has.
    fn number(&self, key: &str) -> Option<u64> {
        values::digits(self.value(key).as_bytes())
    }

    /// The string that `key` has, cut where it is long; empty if it has none.
    #[inline(never)]
    fn string(&self, key: &str) -> String {
        shown(self.value(key))
    }

    /// The array of names that `key` has; empty where it is none. Profiles' names have nothing in
    /// them that JSON escapes; what else stands there is none of the gateway's writing.
    fn names(&self, key: &str) -> &'a str {
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b' ' | b'"' | b',' | b'-' | b'[' | b']' | b'_');
        let list = self.value(key);
        if list.starts_with('[') && list.bytes().all(is_plain) { list } else { "" }
    }

    /// The string that `key` has, and what is wrong with it.
    fn last(&self, key: &str) -> (Option<String>, Option<String>) {
        let value = self.value(key);
        let word = json::string(value);
        let flaw = if word.is_none() && !value.is_empty() && value != "null" {
            [key, text!(" is not a string").read(), ""]
        } else if self.members.iter().filter(|member| self.is_called(member, key)).count() > 1 {
            ["has ", key, text!(" more than once: the last one counts").read()]
        } else {
            return (word, None);
        };
        (word, Some(flaw.concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn desired(word: &str) -> LastKnown {
        LastKnown::Desired(word.into())
    }

    fn state(word: &str) -> LastKnown {
        LastKnown::State(word.into())
    }

    #[test]
    fn intent_comes_first_then_state() {
        let table: [(&str, LastKnown); 8] = [
            ("{\"gateway_state\":\"stopped\",\"desired_state\":\"running\"}", desired("running")),
            ("\u{feff}{\"desired_state\":\"stopped\"}", desired("stopped")),
            ("{\"gateway_state\":\"draining\",\"desired_state\":null}", state("draining")),
            ("{\"platforms\":{\"desired_state\":\"running\"},\"gateway_state\":\"x\"}", state("x")),
            ("{\"\\u0064esired_state\":\"runn\\u0069ng\"}", desired("running")),
            ("{\"gateway_state\":null}", LastKnown::Nothing),
            ("{\"pid\":1}", LastKnown::Nothing),
            ("{}", LastKnown::Nothing),
        ];
        for (text, prior) in table {
            assert_eq!(parse_last_known(text.as_bytes()), (prior, None), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_what_is_left_still_counts() {
        let table: [(&[u8], LastKnown, &str); 8] = [
            (b"", LastKnown::Nothing, "is empty"),
            (b"\xef\xbb\xbf", LastKnown::Nothing, "is empty"),
            (b"[\"running\"]", LastKnown::Nothing, "holds no JSON object"),
            (b"{\"desired_state\":\"running\"", LastKnown::Nothing, "is cut short"),
            (b"{\"desired_state\":\"run\xff\"}", LastKnown::Nothing, "is not UTF-8 at byte 21"),
            (b"{\"x\":\"\xc3", LastKnown::Nothing, "is cut short"),
            (
                b"{\"desired_state\":7,\"gateway_state\":\"running\"}",
                state("running"),
                "desired_state is not a string",
            ),
            (
                b"{\"desired_state\":\"stopped\",\"desired_state\":\"running\"}",
                desired("running"),
                "has desired_state more than once: the last one counts",
            ),
        ];
        for (content, prior, why) in table {
            assert_eq!(parse_last_known(content), (prior, Some(why.into())), "{content:?}");
        }
    }

    #[test]
    fn the_lifecycle_record_tells_how_it_ended() {
        assert_eq!(parse_exit(b"{\"phase\":\"exited\",\"exit_code\":0}"), LastExit::Clean);
        assert_eq!(parse_exit(b"{\"phase\":\"running\",\"pid\":7}"), LastExit::Unclean);
        for content in ["", "{\"phase\":7}", "{\"phase\":\"x\"}", "{\"phase\":\"exited\"", "[]"] {
            assert_eq!(parse_exit(content.as_bytes()), LastExit::Unknown, "{content}");
        }
    }

    #[test]
    fn a_gateway_says_in_its_home_how_it_ended() {
        const RESTARTS: &str = r#"{"gateway_state":"stopped","restart_requested":true}"#;
        const SIGNAL: &str = r#"{"gateway_state":"running","exit_reason":null}"#;
        const TOLD: &str = r#"{"gateway_state":"stopped","exit_reason":null}"#;
        const FAILED: &str = r#"{"gateway_state":"stopped","exit_reason":"no platform is left"}"#;
        const NEW: Option<u64> = Some(60);
        const OLD: Option<u64> = Some(0);
        let exited = "{\"phase\":\"exited\",\"pid\":7}";
        let code = Exit::Code;
        // How it ended, its state file, when it shut down, its lifecycle record, what that says.
        type Row<'a> = (Exit, &'a str, Option<u64>, &'a str, (bool, bool));
        let table: [Row<'_>; 21] = [
            // It was to restart, and did all it had to do before.
            (code(75), RESTARTS, NEW, "", (true, false)),
            (code(75), RESTARTS, None, "", (true, false)),
            (
                code(75),
                r#"{"gateway_state":"degraded","restart_requested":true}"#,
                NEW,
                exited,
                (false, false),
            ),
            (
                code(75),
                r#"{"gateway_state":"stopped","restart_requested":false}"#,
                NEW,
                "",
                (false, false),
            ),
            (
                code(75),
                r#"{"gateway_state":"stopped","restart_requested":"true"}"#,
                NEW,
                "",
                (false, false),
            ),
            (code(75), SIGNAL, NEW, "", (false, false)),
            (code(75), "{\"restart_requested\":true", NEW, "", (false, false)),
            // A signal of which it was not told.
            (code(1), SIGNAL, NEW, "", (true, true)),
            (code(0), SIGNAL, NEW, "", (true, true)),
            (code(1), SIGNAL, None, exited, (true, true)),
            (code(1), SIGNAL, OLD, exited, (true, true)),
            // Its stop marker, or another gateway that takes its place.
            (code(0), TOLD, NEW, "", (false, true)),
            // What it could do nothing about.
            (code(0), FAILED, NEW, "", (false, false)),
            (code(1), FAILED, NEW, exited, (false, false)),
            // No shutdown of this run, or none that it came to the end of.
            (code(1), SIGNAL, OLD, "", (false, false)),
            (code(1), SIGNAL, None, "", (false, false)),
            (code(1), SIGNAL, None, "{\"phase\":\"running\",\"pid\":7}", (false, false)),
            (code(1), "", NEW, "", (false, false)),
            (Exit::Signal(9), SIGNAL, NEW, exited, (false, false)),
            (Exit::Signal(11), RESTARTS, NEW, exited, (false, false)),
            (Exit::Signal(15), SIGNAL, NEW, exited, (false, true)),
        ];
        let start = Duration::from_secs(1_000_000);
        for (exit, state, shutdown, lifecycle, (announced, terminated)) in table {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path();
            let put = |name: &str, text: &str, at: u64| {
                std::fs::write(path.join(name), text).unwrap();
                let time = std::time::UNIX_EPOCH + start + Duration::from_secs(at);
                std::fs::File::open(path.join(name)).unwrap().set_modified(time).unwrap();
            };
            put("gateway_state.json", state, 60);
            shutdown.into_iter().for_each(|at| put(".clean_shutdown", "", at));
            if !lifecycle.is_empty() {
                std::fs::create_dir(path.join("state")).unwrap();
                put("state/gateway.lifecycle.json", lifecycle, 60);
            }
            let home = Dir::open(path.as_os_str().as_encoded_bytes()).unwrap();
            let ending = |after| read_ending(&home, exit, start + Duration::from_secs(after));
            let expected = Ending { announced, terminated };
            assert_eq!(ending(30), Ok(expected), "{exit:?} {state} {shutdown:?} {lifecycle}");
            assert!(!ending(61).unwrap().announced, "of another run: {exit:?} {state}");
        }
    }

    #[test]
    fn whom_it_serves_is_a_list_or_not_known() {
        let table = [
            (r#"{"served_profiles":["default","a"]}"#, r#"["default","a"]"#),
            (r#"{"served_profiles":[]}"#, "[]"),
            (r#"{"served_profiles":["a", "b-_0"] }"#, r#"["a", "b-_0"]"#),
            ("{\"served_profiles\":[\n\"a\"]}", ""),
            (r#"{"served_profiles":[NaN]}"#, ""),
            ("{\"served_profiles\":[\"a\u{202e}\"]}", ""),
            (r#"{"served_profiles":"a"}"#, ""),
            (r#"{"x":{"served_profiles":["a"]}}"#, ""),
            (r#"{"served_profiles":["a"]"#, ""),
        ];
        for (text, list) in table {
            assert_eq!(parse_served(text.as_bytes()), list, "{text}");
        }
    }

    #[test]
    fn what_its_process_says_of_itself_is_read_and_of_no_other() {
        let started = Duration::new(1_779_645_933, 999_999_999);
        let said = |text: &str| parse_state(text.as_bytes(), (7, 12345), started, &|| None);
        let own = r#""pid":7,"start_time":12345"#;
        let platform = |name: &str, state: &str, code: &str, error: &str, since: &str| {
            let [name, state, error_code, error, since] =
                [name, state, code, error, since].map(String::from);
            Platform { name, state, error_code, error, since }
        };
        let long = "é".repeat(MAX_TEXT);
        let text = format!(
            r#"{{{own},"gateway_state":"degraded","exit_reason":null,"active_agents":2,
            "served_profiles":["a"],"desired_state":"running","platforms":{{
            "telegram":{{"state":"fatal","error_code":"x","error_message":"{long}",
                "updated_at":"2026-05-24T18:05:33.000001+00:00"}},
            "of an earlier run":{{"state":"retrying","updated_at":"2026-05-24T18:05:32+00:00"}},
            "\u001b[2J":{{"state":7,"updated_at":1779645933}},
            "no object":7}}}}"#
        );
        let cut = "é".repeat(MAX_TEXT / 2) + "...";
        let expected = HermesState {
            state: "degraded".into(),
            exit_reason: String::new(),
            active_agents: Some(2),
            served_profiles: r#"["a"]"#.into(),
            platforms: vec![
                platform("telegram", "fatal", "x", &cut, "2026-05-24T18:05:33.000001+00:00"),
                platform("\u{1b}[2J", "", "", "", ""),
            ],
            up_for: Duration::ZERO,
        };
        assert_eq!(said(&text), Some(Box::new(expected)));
        assert_eq!(said(&format!("{{{own}}}")), Some(Box::default()));
        for text in [
            "",
            "[]",
            "{}",
            r#"{"pid":7}"#,
            r#"{"pid":8,"start_time":12345}"#,
            r#"{"pid":7,"start_time":12346}"#,
            r#"{"pid":7,"start_time":null}"#,
            r#"{"pid":"7","start_time":12345}"#,
            r#"{"pid":7,"start_time":12345,"pid":8}"#,
            r#"{"pid":7,"start_time":12345"#,
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }

    #[test]
    fn the_intent_alone_is_changed() {
        let table = [
            ("{}", "{\"desired_state\":\"running\"}\n"),
            ("{\"a\":1}", "{\"a\":1,\"desired_state\":\"running\"}"),
            ("{\"a\":1 }\n", "{\"a\":1,\"desired_state\":\"running\" }\n"),
            ("{\"desired_state\": null}", "{\"desired_state\": \"running\"}"),
            ("{\"desired_state\":7,\"a\":0}", "{\"desired_state\":\"running\",\"a\":0}"),
            (
                "{\"desired_state\":\"x\",\"desired_state\":\"y\"}",
                "{\"desired_state\":\"x\",\"desired_state\":\"running\"}",
            ),
            ("{\"\\u0064esired_state\":\"x\"}", "{\"\\u0064esired_state\":\"running\"}"),
        ];
        for (before, after) in table {
            let changed = with_desired(before.as_bytes(), Intent::Running).unwrap();
            assert_eq!(String::from_utf8(changed.unwrap()).unwrap(), after, "{before}");
            assert_eq!(with_desired(after.as_bytes(), Intent::Running), Ok(None), "{after}");
        }
        let same = "{\"desired_state\":\"r\\u0075nning\"}";
        assert_eq!(with_desired(same.as_bytes(), Intent::Running), Ok(None));
    }

    const REAL: &str = r#"{"kind":"hermes-gateway","pid":77,"argv":["hermes","-p","x"],"start_time":12345,
        "gateway_state":"running","exit_reason":null,"active_work":{"a":{"b":[1,{"c":2.5e-3}]}},
        "platforms":{"telegram":{"state":"connected","desired_state":"no"}},"desired_state":"running"}"#;

    /// What a JSON library of good repute makes of the same bytes.
    fn peer(content: &[u8]) -> Option<LastKnown> {
        let value: serde_json::Value = serde_json::from_slice(content).ok()?;
        let object = value.as_object()?;
        let word = |key| Some(object.get(key)?.as_str()?.to_string());
        let desired = word("desired_state").map(LastKnown::Desired);
        Some(desired.or_else(|| word("gateway_state").map(LastKnown::State)).unwrap_or_default())
    }

    #[test]
    fn every_cut_means_none_and_says_so() {
        for cut in 0..REAL.len() {
            let (prior, why) = parse_last_known(&REAL.as_bytes()[..cut]);
            let expected = if cut == 0 { "is empty" } else { "is cut short" };
            assert_eq!((prior, why.as_deref()), (LastKnown::Nothing, Some(expected)), "{cut}");
        }
        assert_eq!(parse_last_known(REAL.as_bytes()), (desired("running"), None));
        let large = REAL.replace("12345", "1e345");
        assert_eq!(parse_last_known(large.as_bytes()), (desired("running"), None));
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_read_as_the_peer_reads_it(
            damage in proptest::collection::vec((0..REAL.len(), any::<u8>()), 1..4),
        ) {
            let mut content = REAL.as_bytes().to_vec();
            damage.into_iter().for_each(|(at, byte)| content[at] = byte);
            let (prior, why) = parse_last_known(&content);
            // 1e345 is a number to Hermes, and to us.
            let error = serde_json::from_slice::<serde_json::Value>(&content).err();
            let is_too_large = |it: serde_json::Error| it.to_string().contains("number out of range");
            prop_assume!(!error.is_some_and(is_too_large));
            match peer(&content) {
                Some(expected) => prop_assert_eq!(prior, expected),
                None => prop_assert_eq!((prior, why.is_some()), (LastKnown::Nothing, true)),
            }
        }

        #[test]
        fn an_intent_is_written_into_any_document_and_nothing_else(
            members in proptest::collection::vec(("[a-c\"\\\\é]{0,3}", any::<Option<f64>>()), 0..4),
            desired in proptest::option::of(any::<bool>()),
            pretty: bool,
        ) {
            let mut object: serde_json::Map<_, _> =
                members.into_iter().map(|(key, value)| (key, value.into())).collect();
            if let Some(word) = desired {
                object.insert("desired_state".into(), word.to_string().into());
            }
            let text = if pretty {
                serde_json::to_string_pretty(&object).unwrap()
            } else {
                serde_json::to_string(&object).unwrap()
            };
            let changed = with_desired(text.as_bytes(), Intent::Stopped).unwrap().unwrap();
            let mut found: serde_json::Map<_, _> = serde_json::from_slice(&changed).unwrap();
            prop_assert_eq!(found.insert("desired_state".into(), 0.into()), Some("stopped".into()));
            object.insert("desired_state".into(), 0.into());
            prop_assert_eq!(&found, &object);
            // Before and after the one place it is the text that it was.
            let changed = String::from_utf8(changed).unwrap();
            let before = text.bytes().zip(changed.bytes()).take_while(|(a, b)| a == b).count();
            let pairs = text.bytes().rev().zip(changed.bytes().rev());
            let after = pairs.take_while(|(a, b)| a == b).count();
            let removed = text.len().saturating_sub(before + after);
            prop_assert!(removed <= "false".len(), "{text} {changed}");
        }

        #[test]
        fn no_bytes_crash_it(content: Vec<u8>) {
            if let Ok(Some(changed)) = with_desired(&content, Intent::Running) {
                prop_assert_eq!(parse_last_known(&changed).0, desired("running"));
            }
            prop_assert_eq!(parse_last_known(&content).1.is_none(), peer(&content).is_some());
        }
    }
}
