//! Hermes' files, against serde_json and the readers that Hermes itself uses.

use super::peers::{Peer, python};
use crate::hermes::{config, dotenv as env_file, state_file as state};
use crate::model::intent::{Intent, LastKnown};
use crate::text::is_unsafe;
use serde_json::{Map, Value};
use std::time::Duration;

/// A state file: read, rewritten for either intent, and read again.
pub(super) fn state_file(data: &[u8]) {
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let peer = serde_json::from_slice::<Map<String, Value>>(text);
    let known = state::parse_last_known(data);
    if let Ok(members) = &peer {
        let word = |key| members.get(key).and_then(Value::as_str).map(str::to_string);
        let expected = match (word("desired_state"), word("gateway_state")) {
            (Some(word), _) => LastKnown::Desired(word),
            (None, Some(word)) => LastKnown::State(word),
            (None, None) => LastKnown::Nothing,
        };
        assert_eq!(known.0, expected);
    }
    for (desired, word) in [(Intent::Running, "running"), (Intent::Stopped, "stopped")] {
        match (state::with_desired(data, desired), &peer) {
            (Ok(Some(new)), peer) => rewritten(data, &new, desired, word, peer.as_ref().ok()),
            (Ok(None), Ok(members)) => assert_eq!(members["desired_state"], word),
            (Ok(None), Err(_)) => {}
            (Err(why), peer) => {
                assert!(peer.is_err(), "{why}");
                assert_eq!(known, (LastKnown::Nothing, Some(why)));
            }
        }
    }
    if let Err(why) = &peer
        && state::with_desired(data, Intent::Running).is_ok()
    {
        is_only_python(text, &why.to_string());
    }
    let served = state::parse_served(data);
    if let Ok(members) = &peer {
        // An array of anything but names of profiles is none.
        if !served.is_empty() {
            assert_eq!(
                serde_json::from_str::<Value>(&served).ok().as_ref(),
                members.get("served_profiles")
            );
        }
    }
    if let Ok(members) = &peer
        && let Some(pid) = members.get("pid").and_then(Value::as_u64)
        && let Some(start) = members.get("start_time").and_then(Value::as_u64)
        && let Some(said) = state::parse_state(data, (pid, start), Duration::ZERO, &|| None)
    {
        let all = members.get("platforms").and_then(Value::as_object);
        assert!(said.platforms.len() >= all.map_or(0, Map::len));
        assert_eq!(said.served_profiles, served);
        assert!(!said.text().contains(is_unsafe));
    }
    let _ = state::parse_exit(data);
    for restart in [true, false] {
        let _ = state::parse_ending(data, restart);
    }
}

/// What must hold of `new`, which records `desired` in `old`.
fn rewritten(
    old: &[u8],
    new: &[u8],
    desired: Intent,
    word: &str,
    peer: Option<&Map<String, Value>>,
) {
    assert_eq!(state::with_desired(new, desired), Ok(None), "it is recorded once");
    assert_eq!(state::parse_last_known(new).0, LastKnown::Desired(word.into()));
    let Some(peer) = peer else { return };
    let mut expected = peer.clone();
    let was = expected.insert("desired_state".into(), word.into());
    let text = new.strip_prefix(b"\xef\xbb\xbf").unwrap_or(new);
    assert_eq!(serde_json::from_slice::<Map<String, Value>>(text).unwrap(), expected);
    // An object without members may be written anew.
    if was.is_none() && !peer.is_empty() {
        let before = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        assert!(new.ends_with(&old[before..]), "what was there stays");
    }
}

/// Fails unless `why` serde_json refuses `text` is something that Python takes, too.
fn is_only_python(text: &[u8], why: &str) {
    const REASONS: [&str; 5] =
        ["number out of range", "surrogate", "hex escape", "recursion limit", "unicode code point"];
    let has = |word: &str| text.windows(word.len()).any(|it| it == word.as_bytes());
    let is_known = REASONS.iter().any(|reason| why.contains(reason));
    assert!(is_known || has("NaN") || has("Infinity"), "{why}");
}

/// config.yaml, with M and G for the two keys.
pub(super) fn config(data: &[u8]) {
    static PYYAML: Peer = Peer::new(|| {
        python(
            "
import io, logging, yaml
logging.disable()
from gateway.config import _coerce_bool
def answer(data):
    text = io.StringIO(data.decode(), newline=None).read()
    config = yaml.load(text, yaml.SafeLoader) or {}
    if not isinstance(config, dict):
        return b'nothing'
    section = config.get('gateway')
    if 'multiplex_profiles' not in config:
        config = section if isinstance(section, dict) else {}
    if 'multiplex_profiles' not in config:
        return b'nothing'
    return b'yes' if _coerce_bool(config['multiplex_profiles'], False) else b'no'
",
        )
    });
    let mut text = Vec::new();
    for byte in data {
        match byte {
            b'M' => text.extend_from_slice(b"multiplex_profiles"),
            b'G' => text.extend_from_slice(b"gateway"),
            byte => text.push(*byte),
        }
    }
    let Ok(said) = config::multiplex(&text) else { return };
    // What is no YAML at all Hermes ignores, and says so.
    let Some(answer) = PYYAML.ask(&text) else { return };
    let yes = said.is_some_and(|said| said.yes);
    // A key without even a colon, as in `{M}`, is taken for a word; it means no.
    assert_eq!(yes, answer == b"yes", "{said:?} {:?}", String::from_utf8_lossy(&text));
}

/// .env, with N for the variable.
pub(super) fn dotenv(data: &[u8]) {
    static DOTENV: Peer = Peer::new(|| {
        python(
            "
import io, logging
logging.disable()
from dotenv import dotenv_values
def answer(data):
    text = io.StringIO(data.decode())
    value = dotenv_values(stream=text, interpolate=False).get('NAME')
    return b'-' if value is None else b'=' + value.encode()
",
        )
    });
    let text = data
        .iter()
        .map(|byte| if *byte == b'N' { &b"NAME"[..] } else { std::slice::from_ref(byte) });
    let text = text.collect::<Vec<_>>().concat();
    let value = env_file::value(&text, b"NAME");
    // White space that is not ASCII is none to us.
    if String::from_utf8_lossy(&text).contains(|c: char| !c.is_ascii() && c.is_whitespace()) {
        return;
    }
    // What escapes stand for is nothing to a word.
    if text.contains(&b'\\') && value.is_some() {
        return;
    }
    let Some(answer) = DOTENV.ask(&text) else { return };
    let said = value.map_or(b"-".to_vec(), |value| [b"=", value].concat());
    assert_eq!(said, answer, "{:?}", String::from_utf8_lossy(&text));
}
