//! What `run`, `finish` and the verbs leave in a slot for each other. s6 knows nothing of it.

use super::service::Service;
use crate::error::Result;
use std::time::Duration;

/// Emptied by `run` when the gateway starts; once it has died and there is something to
/// say, what `finish` has decided, a line for people.
const VERDICT: &[u8] = b"verdict";
/// Touched when somebody has a say, a stop, a start or a restart, and by parking: deaths
/// before that do not count.
const FRESH: &[u8] = b"fresh";
/// What the time of a file may lag behind the clock: a tick, of 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

/// Notes that somebody has a say.
pub fn begin_afresh(slot: &Service) -> Result<()> {
    slot.dir().touch(FRESH)
}

/// When somebody last had a say, since 1970 UTC, in ticks of the clock.
pub fn fresh_since(slot: &Service) -> Option<Duration> {
    Some(slot.dir().look(FRESH).ok()??.modified)
}

/// When the gateway was started that runs or has died, since 1970 UTC; `None` if `run`
/// did not get that far, or is not ours.
pub fn started(slot: &Service) -> Option<Duration> {
    let verdict = slot.dir().look(VERDICT).ok()??;
    (verdict.size == 0).then_some(verdict.modified)
}

/// Notes what `finish` has decided; nothing, if `text` is empty.
pub fn decide(slot: &Service, text: &str) -> Result<()> {
    match text {
        "" => slot.dir().remove(VERDICT).map(drop),
        text => slot.dir().replace(VERDICT, 0o644, format!("{text}\n").as_bytes()),
    }
}

/// When the gateway died since somebody last had a say, since 1970 UTC; at least the last
/// time.
pub fn deaths(slot: &Service) -> Vec<Duration> {
    let fresh = fresh_since(slot).map_or(Duration::ZERO, |at| at + TICK);
    let mut deaths: Vec<_> = slot.deaths().iter().map(|it| it.stamp.since_unix()).collect();
    let counted = deaths.iter().rposition(|at| *at <= fresh).map_or(0, |last| last + 1);
    deaths.drain(..counted.min(deaths.len().saturating_sub(1)));
    deaths
}
