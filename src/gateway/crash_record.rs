//! What `run`, `finish` and the verbs leave in a slot for each other. s6 knows nothing of it.

use crate::error::Result;
use crate::s6::service::Service;
use crate::s6::tai64n::Tai64n;
use crate::text::Shown;
use std::time::Duration;

/// Emptied by `run` when the gateway starts; once it has died and there is something to
/// say, what `finish` has decided, a line for people.
const VERDICT: &[u8] = b"verdict";
/// When the run began, or the death was, in which somebody last had a say, as in s6's
/// status: a stop, a start, a restart; or a verdict that ends a row of deaths. Deaths up to
/// this moment do not count, and a run that began at it ends as somebody asked.
const FRESH: &[u8] = b"fresh";

/// Notes that somebody has a say in the run that began `at`, or in what follows on the
/// death that was `at`.
pub fn begin_afresh(slot: &Service, at: Tai64n) -> Result<()> {
    slot.dir().replace(FRESH, 0o644, format!("{}\n", at.hex()).as_bytes())
}

/// When somebody last had a say.
pub fn fresh_since(slot: &Service) -> Tai64n {
    let note = slot.dir().read(FRESH, 64).unwrap_or_default();
    Tai64n::parse(note.trim_ascii()).unwrap_or_default()
}

/// When the gateway was started that runs or has died, since 1970 UTC, by the clock's last
/// tick; `None` if `run` did not get that far, or is not ours.
pub fn started(slot: &Service) -> Option<Duration> {
    let verdict = slot.dir().look(VERDICT).ok()??;
    (verdict.size == 0).then_some(verdict.modified)
}

/// What `finish` has decided when it last ran, a line for people; empty if nothing, or if the
/// gateway was started since.
pub fn verdict(slot: &Service) -> String {
    let text = slot.dir().read(VERDICT, 256).unwrap_or_default();
    Shown(text.trim_ascii_end()).to_string()
}

/// Notes what `finish` has decided; nothing, if `text` is empty.
pub fn decide(slot: &Service, text: &str) -> Result<()> {
    match text {
        "" => slot.dir().remove(VERDICT).map(drop),
        text => slot.dir().replace(VERDICT, 0o644, format!("{text}\n").as_bytes()),
    }
}
