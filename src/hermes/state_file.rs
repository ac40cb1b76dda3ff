//! gateway_state.json and the lifecycle record: what the last run left behind.

use super::json::{self, Member};
use crate::error::{Error, Kind, Result};
use crate::model::intent::{Intent, LastExit, LastKnown};
use crate::sys::dir::Dir;
use crate::sys::meta::FileKind;
use std::ops::Range;

/// The file in a profile's home that holds intent and state.
pub(crate) const STATE_FILE: &[u8] = b"gateway_state.json";
/// The key for what the operator wants.
const DESIRED: &str = "desired_state";
/// Larger ones are not read, in bytes.
const MAX_STATE: usize = 1 << 20;
/// The record that the gateway keeps of its own start and exit.
const LIFECYCLE_DIR: &[u8] = b"state";
const LIFECYCLE_FILE: &[u8] = b"gateway.lifecycle.json";

/// What the state file in `home` says, and what is wrong with it, if anything.
pub(crate) fn read(home: &Dir) -> (LastKnown, Option<Box<Error>>) {
    let flaw = |why: String| home.error(Kind::Unusable, "read", STATE_FILE, why);
    let (known, error) = match home.read(STATE_FILE, MAX_STATE) {
        Err(error) => (LastKnown::Nothing, Some(error)),
        Ok(content) => {
            let (known, why) = parse_last_known(&content);
            (known, why.map(flaw))
        }
    };
    let none = known == LastKnown::Nothing;
    (known, error.map(|error| if none { error.hint("no prior state") } else { error }))
}

/// What a state file with `content` says, and what is wrong with it.
pub(crate) fn parse_last_known(content: &[u8]) -> (LastKnown, Option<String>) {
    let (text, members) = match parse(content) {
        Ok(parsed) => parsed,
        Err(why) => return (LastKnown::Nothing, Some(why)),
    };
    let (desired, flaw) = last(text, &members, DESIRED);
    if let Some(word) = desired {
        return (LastKnown::Desired(word), flaw);
    }
    let (state, other_flaw) = last(text, &members, "gateway_state");
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
    let flaw = |why| home.error(Kind::Unusable, "read", STATE_FILE, why);
    let (content, flaw) = match home.read(STATE_FILE, MAX_STATE) {
        Ok(content) => match with_desired(&content, desired) {
            Ok(None) => return Ok(None),
            Ok(Some(content)) => (content, None),
            Err(why) => (only_desired(desired), Some(flaw(why))),
        },
        Err(error) if error.kind == Kind::Missing => (only_desired(desired), None),
        // What is no file, or far too large, is none of the gateway's writing either.
        Err(error) if error.kind == Kind::Unusable => (only_desired(desired), Some(error)),
        Err(error) => return Err(error),
    };
    let old = home.look(STATE_FILE)?.filter(|old| old.kind == FileKind::Regular);
    home.replace_like(STATE_FILE, old, &content)?;
    Ok(flaw.map(|flaw| flaw.hint("written anew")))
}

/// What a state file with `content` is to hold for `desired`; `None` if it does already.
pub(crate) fn with_desired(
    content: &[u8],
    desired: Intent,
) -> std::result::Result<Option<Vec<u8>>, String> {
    let (text, members) = parse(content)?;
    let value = format!("\"{}\"", desired.word());
    let start = content.len() - text.len();
    let splice = |range: Range<usize>, new: &str| {
        let (before, after) = (&content[..start + range.start], &content[start + range.end..]);
        Some([before, new.as_bytes(), after].concat())
    };
    let same = |member: &Member| {
        json::string(&text[member.value.clone()]).as_deref() == Some(desired.word())
    };
    Ok(match (find(text, &members, DESIRED).next_back(), members.last()) {
        (Some(member), _) if same(member) => None,
        (Some(member), _) => splice(member.value.clone(), &value),
        (None, Some(last)) => {
            splice(last.value.end..last.value.end, &format!(",\"{DESIRED}\":{value}"))
        }
        // An empty object: what may stand in it is white space.
        (None, None) => Some(only_desired(desired)),
    })
}

fn only_desired(desired: Intent) -> Vec<u8> {
    format!("{{\"{DESIRED}\":\"{}\"}}\n", desired.word()).into_bytes()
}

/// Whom the gateway in `home` serves, as an array of JSON; nothing where that is not said.
pub(crate) fn served_profiles(home: &Dir) -> String {
    home.read(STATE_FILE, MAX_STATE).map_or(String::new(), |content| parse_served(&content))
}

fn parse_served(content: &[u8]) -> String {
    let Ok((text, members)) = parse(content) else { return String::new() };
    let value = find(text, &members, "served_profiles").next_back();
    let value = value.map_or("", |member| &text[member.value.clone()]);
    if value.starts_with('[') { value.into() } else { String::new() }
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
    let content = home.dir(LIFECYCLE_DIR).and_then(|dir| dir.read(LIFECYCLE_FILE, MAX_STATE));
    content.map_or(LastExit::Unknown, |content| parse_exit(&content))
}

/// How the run ended whose lifecycle record has `content`.
pub(crate) fn parse_exit(content: &[u8]) -> LastExit {
    let Ok((text, members)) = parse(content) else { return LastExit::Unknown };
    match last(text, &members, "phase").0.as_deref() {
        Some("exited") => LastExit::Clean,
        Some("running") => LastExit::Unclean,
        _ => LastExit::Unknown,
    }
}

fn parse(content: &[u8]) -> std::result::Result<(&str, Vec<Member>), String> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let text = str::from_utf8(content).map_err(|error| match error.error_len() {
        Some(_) => format!("is not UTF-8 at byte {}", error.valid_up_to()),
        None => "is cut short".into(),
    })?;
    let members = json::members(text).map_err(json::Flaw::why)?;
    Ok((text, members))
}

/// The members called `key`.
fn find<'a>(
    text: &'a str,
    members: &'a [Member],
    key: &'a str,
) -> impl DoubleEndedIterator<Item = &'a Member> {
    members.iter().filter(move |member| {
        let literal = &text[member.key.clone()];
        literal[1..literal.len() - 1] == *key
            || literal.contains('\\') && json::string(literal).as_deref() == Some(key)
    })
}

/// The string that `key` has, the last one as in Python, and what is wrong with it.
fn last(text: &str, members: &[Member], key: &str) -> (Option<String>, Option<String>) {
    let mut found = find(text, members, key);
    let Some(member) = found.next_back() else { return (None, None) };
    let value = &text[member.value.clone()];
    let word = json::string(value);
    let flaw = if word.is_none() && value != "null" {
        Some(format!("{key} is not a string"))
    } else if found.next().is_some() {
        Some(format!("has {key} more than once: the last one counts"))
    } else {
        None
    };
    (word, flaw)
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
    fn whom_it_serves_is_a_list_or_not_known() {
        let table = [
            (r#"{"served_profiles":["default","a"]}"#, r#"["default","a"]"#),
            (r#"{"served_profiles":[]}"#, "[]"),
            (r#"{"served_profiles":"a"}"#, ""),
            (r#"{"x":{"served_profiles":["a"]}}"#, ""),
            (r#"{"served_profiles":["a"]"#, ""),
        ];
        for (text, list) in table {
            assert_eq!(parse_served(text.as_bytes()), list, "{text}");
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
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_read_as_the_peer_reads_it(
            damage in proptest::collection::vec((0..REAL.len(), any::<u8>()), 1..4),
        ) {
            let mut content = REAL.as_bytes().to_vec();
            damage.into_iter().for_each(|(at, byte)| content[at] = byte);
            let (prior, why) = parse_last_known(&content);
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
