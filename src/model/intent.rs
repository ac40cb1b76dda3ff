//! What an operator wants of a gateway, and what the last container left behind about it.

use crate::text::part;

/// What an operator wants of a gateway: all that can be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// It is to run.
    Running,
    /// It is to stay down.
    Stopped,
}

impl Intent {
    /// The word for it in a state file.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Intent::Running => "running",
            Intent::Stopped => "stopped",
        }
    }
}

/// What a state file says of a gateway: its intent, or its last state where no intent was
/// recorded. Either may be any word.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum LastKnown {
    /// Nothing.
    #[default]
    Nothing,
    /// `desired_state`: what the operator wants.
    Desired(String),
    /// `gateway_state` alone: what the gateway last was.
    State(String),
}

impl From<Intent> for LastKnown {
    fn from(intent: Intent) -> LastKnown {
        LastKnown::Desired(intent.word().into())
    }
}

impl LastKnown {
    /// Whether the gateway is meant to run.
    ///
    /// A gateway is only ever draining or degraded while it is up, so as a last state they
    /// mean running. As an intent nobody ever writes them.
    pub(crate) fn wants_up(&self) -> bool {
        match self {
            LastKnown::Nothing => false,
            LastKnown::Desired(word) => word == "running",
            LastKnown::State(word) => matches!(&word[..], "running" | "draining" | "degraded"),
        }
    }

    /// The word for reports: one token of at most 32 bytes, whatever the file held.
    pub(crate) fn word(&self) -> String {
        let (LastKnown::Desired(word) | LastKnown::State(word)) = self else {
            return "none".into();
        };
        let mut token = String::new();
        for c in word.chars().take(32) {
            let is_plain = c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            token.push(if is_plain { c } else { '?' });
        }
        if token.is_empty() { "?".into() } else { token }
    }
}

/// How the gateway's last run ended, by its lifecycle record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum LastExit {
    /// It recorded its own exit.
    Clean,
    /// It was still running when everything ended: killed, or out of memory.
    Unclean,
    /// No record, or none that can be read.
    #[default]
    Unknown,
}

impl LastExit {
    /// The word for reports.
    pub(crate) fn word(self) -> &'static str {
        part("clean unclean unknown", ' ', self as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intent_decides_and_a_state_only_without_one() {
        let table = [
            ("running", true, true),
            ("draining", false, true),
            ("degraded", false, true),
            ("stopped", false, false),
            ("starting", false, false),
            ("startup_failed", false, false),
            ("Running", false, false),
            ("", false, false),
        ];
        for (word, desired, state) in table {
            assert_eq!(LastKnown::Desired(word.into()).wants_up(), desired, "desired {word:?}");
            assert_eq!(LastKnown::State(word.into()).wants_up(), state, "state {word:?}");
        }
        assert!(!LastKnown::Nothing.wants_up());
    }

    #[test]
    fn a_reported_word_cannot_forge_a_line() {
        let word = |text: &str| LastKnown::State(text.into()).word();
        assert_eq!(word("startup_failed"), "startup_failed");
        assert_eq!(word("x\nprofile=y a=\u{1b}[31m"), "x?profile?y?a???31m");
        assert_eq!(word(&"y".repeat(100)).len(), 32);
        assert_eq!(word(""), "?");
        assert_eq!(LastKnown::Nothing.word(), "none");
    }
}
