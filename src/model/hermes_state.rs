//! What Hermes itself says of a gateway that runs.

use super::values::place_in;
use crate::text::Shown;
use std::time::Duration;

/// One that starts for longer than this does not come up any more.
pub(crate) const SLOW_START: Duration = Duration::from_secs(300);

const WORDS: &str = "startup_failed starting stopped running degraded";
const FAILED: Option<usize> = Some(0);
const STARTING: Option<usize> = Some(1);
const STOPPED: Option<usize> = Some(2);
const RUNNING: Option<usize> = Some(3);
const DEGRADED: Option<usize> = Some(4);

/// What a gateway's state file says while the process lives that wrote it. The texts are the
/// file's own, cut where they are long: what is in them may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HermesState {
    /// starting, running, draining, degraded, stopped, startup_failed, or a word of later ones.
    pub(crate) state: String,
    /// Why it ends; empty where it says nothing.
    pub(crate) exit_reason: String,
    /// How many agents are at work.
    pub(crate) active_agents: Option<u64>,
    /// Whom it serves, as an array of JSON; empty where it says nothing.
    pub(crate) served_profiles: String,
    /// The platforms that it has connected in this run, or tried to, in the file's order.
    pub(crate) platforms: Vec<Platform>,
    /// How long its process was there when this was read.
    pub(crate) up_for: Duration,
}

/// A platform of a gateway: telegram, discord, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    /// Its name.
    pub(crate) name: String,
    /// connecting, connected, retrying, disconnected, paused, disabled, fatal, or a word of later
    /// ones.
    pub(crate) state: String,
    /// A word for what is wrong; empty for nothing.
    pub(crate) error_code: String,
    /// What is wrong; empty for nothing.
    pub(crate) error: String,
    /// When that was written, as it is written.
    pub(crate) since: String,
}

impl Platform {
    /// Whether nobody is reached by it, and somebody is meant to be.
    pub(crate) fn is_down(&self) -> bool {
        let is = |words| place_in(words, self.state.as_bytes()).is_some();
        is("retrying disconnected paused fatal")
            || !self.error.is_empty() && !is("connecting connected disabled")
    }

    /// Its name and state, with what is wrong.
    pub(crate) fn text(&self) -> String {
        let why = if self.error.is_empty() { &self.error_code } else { &self.error };
        let [open, close] = if why.is_empty() { [""; 2] } else { [" (", ")"] };
        shown(&[&self.name, " ", &self.state, open, why, close].concat())
    }
}

impl HermesState {
    /// Which of the words its state is.
    fn word(&self) -> Option<usize> {
        place_in(WORDS, self.state.as_bytes())
    }

    /// Whether it takes what comes in.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.word(), RUNNING | DEGRADED)
    }

    /// Whether it has given up to start, as it says.
    pub(crate) fn has_failed(&self) -> bool {
        self.word() == FAILED
    }

    /// Whether it does not work, and will not.
    pub(crate) fn is_stuck(&self) -> bool {
        self.has_failed() || self.word() == STARTING && self.up_for > SLOW_START
    }

    /// Its platforms that are down.
    #[inline(never)]
    pub(crate) fn down(&self) -> Vec<&Platform> {
        let mut down = Vec::new();
        for platform in &self.platforms {
            if self.is_ready() && platform.is_down() {
                down.push(platform);
            }
        }
        down
    }

    /// What is to be said of one that is up besides that; nothing of one that just runs.
    pub(crate) fn text(&self) -> String {
        let (down, minutes) = (self.down(), self.up_for.as_secs() / 60);
        let (word, more) = match (self.word(), &down[..]) {
            (FAILED, _) if !self.exit_reason.is_empty() => {
                ("startup failed: ", shown(&self.exit_reason))
            }
            (STARTING, _) if minutes > 0 => ("", format!("starting for {minutes}m")),
            // It is about to end.
            (STOPPED, _) => ("stopping", String::new()),
            (_, [one]) => ("degraded: ", one.text()),
            (_, [_, ..]) => {
                ("", format!("{} of {} platforms down", down.len(), self.platforms.len()))
            }
            (RUNNING, _) => return String::new(),
            _ if self.state.is_empty() => return String::new(),
            _ => ("", shown(&self.state)),
        };
        [", ", word, &more].concat()
    }
}

/// A text of Hermes' on a line.
fn shown(text: &str) -> String {
    Shown(text.as_bytes()).text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(name: &str, state: &str, error_code: &str, error: &str) -> Platform {
        let [name, state, error_code, error] = [name, state, error_code, error].map(String::from);
        Platform { name, state, error_code, error, since: String::new() }
    }

    #[test]
    fn what_hermes_says_in_words() {
        let one = [platform("telegram", "disconnected", "x", "Unauthorized")];
        let coded =
            [platform("telegram", "fatal", "bad_token", ""), platform("x", "connected", "", "")];
        let most = [
            platform("telegram", "retrying", "", "no route"),
            platform("discord", "connected", "", ""),
            platform("slack", "paused", "", "by hand"),
        ];
        let fine = [
            platform("relay", "disabled", "relay_disabled", "revoked"),
            platform("discord", "connecting", "", ""),
            platform("new", "sleeping", "", ""),
        ];
        let hostile = [platform("a\u{1b}[2J", "retrying", "", "x\ny\u{202e}")];
        // state, why it ends, seconds up, platforms; the text, whether it is ready, and stuck
        type Row<'a> = (&'a str, &'a str, u64, &'a [Platform], &'a str, bool, bool);
        let table: [Row<'_>; 17] = [
            ("running", "", 9, &[], "", true, false),
            ("running", "old", 9, &fine, "", true, false),
            ("", "", 9, &[], "", false, false),
            ("degraded", "", 9, &[], ", degraded", true, false),
            (
                "running",
                "",
                9,
                &one,
                ", degraded: telegram disconnected (Unauthorized)",
                true,
                false,
            ),
            ("degraded", "", 9, &coded, ", degraded: telegram fatal (bad_token)", true, false),
            ("running", "", 9, &most, ", 2 of 3 platforms down", true, false),
            (
                "running",
                "",
                9,
                &hostile,
                ", degraded: a\\x1b[2J retrying (x\\x0ay\\xe2\\x80\\xae)",
                true,
                false,
            ),
            ("draining", "", 9, &most, ", draining", false, false),
            ("starting", "", 59, &most, ", starting", false, false),
            ("starting", "", 60, &[], ", starting for 1m", false, false),
            ("starting", "", 300, &[], ", starting for 5m", false, false),
            ("starting", "", 301, &[], ", starting for 5m", false, true),
            ("stopped", "asked to", 9, &[], ", stopping", false, false),
            (
                "startup_failed",
                "no token\n",
                9,
                &most,
                ", startup failed: no token\\x0a",
                false,
                true,
            ),
            ("startup_failed", "", 9, &[], ", startup_failed", false, true),
            ("a\tb", "", 9, &[], ", a\\x09b", false, false),
        ];
        for (state, reason, seconds, platforms, text, ready, stuck) in table {
            let it = HermesState {
                state: state.into(),
                exit_reason: reason.into(),
                platforms: platforms.to_vec(),
                up_for: Duration::from_secs(seconds),
                ..HermesState::default()
            };
            assert_eq!(
                (&it.text()[..], it.is_ready(), it.is_stuck()),
                (text, ready, stuck),
                "{it:?}"
            );
        }
    }
}
