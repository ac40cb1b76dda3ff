//! What the last container left behind about a gateway.

/// The words for a gateway's state that decide something; all others are [`Word::Other`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Up, or wanted up.
    Running,
    /// Down, or wanted down.
    Stopped,
    /// Up and finishing its work.
    Draining,
    /// Up with some platforms missing.
    Degraded,
    /// Any other word, as it stands in the file.
    Other(String),
}

impl Word {
    /// The word for `text`.
    pub fn new(text: String) -> Word {
        match text.as_str() {
            "running" => Word::Running,
            "stopped" => Word::Stopped,
            "draining" => Word::Draining,
            "degraded" => Word::Degraded,
            _ => Word::Other(text),
        }
    }

    /// The word itself.
    pub fn text(&self) -> &str {
        match self {
            Word::Running => "running",
            Word::Stopped => "stopped",
            Word::Draining => "draining",
            Word::Degraded => "degraded",
            Word::Other(text) => text,
        }
    }
}

/// The last intent, or the last state where no intent was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Prior {
    /// Nothing is known.
    #[default]
    None,
    /// `desired_state`: what the operator wants.
    Desired(Word),
    /// `gateway_state` alone: what the gateway last was.
    State(Word),
}

impl Prior {
    /// Whether the gateway is meant to run.
    ///
    /// A gateway is only ever draining or degraded while it is up, so as a
    /// last state they mean running. As an intent nobody ever writes them.
    pub fn wants_up(&self) -> bool {
        matches!(
            self,
            Prior::Desired(Word::Running)
                | Prior::State(Word::Running | Word::Draining | Word::Degraded)
        )
    }

    /// The word for reports: one token of at most 32 bytes, whatever the file held.
    pub fn word(&self) -> String {
        let (Prior::Desired(word) | Prior::State(word)) = self else { return "none".into() };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let safe = |c| if plain(c) { c } else { '?' };
        let token: String = word.text().chars().take(32).map(safe).collect();
        if token.is_empty() { "?".into() } else { token }
    }
}

/// How the gateway's last run ended, by its lifecycle record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PriorExit {
    /// It recorded its own exit.
    Clean,
    /// It was still running when everything ended: killed, or out of memory.
    Unclean,
    /// No record, or none that can be read.
    #[default]
    Unknown,
}

impl PriorExit {
    /// The word for reports.
    pub const fn word(self) -> &'static str {
        match self {
            PriorExit::Clean => "clean",
            PriorExit::Unclean => "unclean",
            PriorExit::Unknown => "unknown",
        }
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
            let word = Word::new(word.into());
            assert_eq!(Prior::Desired(word.clone()).wants_up(), desired, "desired {word:?}");
            assert_eq!(Prior::State(word.clone()).wants_up(), state, "state {word:?}");
        }
        assert!(!Prior::None.wants_up());
    }

    #[test]
    fn a_reported_word_cannot_forge_a_line() {
        let word = |text: &str| Prior::State(Word::new(text.into())).word();
        assert_eq!(word("startup_failed"), "startup_failed");
        assert_eq!(word("x\nprofile=y a=\u{1b}[31m"), "x?profile?y?a???31m");
        assert_eq!(word(&"y".repeat(100)).len(), 32);
        assert_eq!(word(""), "?");
        assert_eq!(Prior::None.word(), "none");
    }
}
