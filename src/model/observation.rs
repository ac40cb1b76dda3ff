//! What is known of a gateway at one moment, and how that reads.

use super::backoff::{Deaths, Exit};
use super::profile::Profile;
use std::time::Duration;

/// What a gateway is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process is there.
    Up,
    /// It has died, and `finish` runs.
    Finishing,
    /// It has died, and its next start is delayed.
    BackingOff,
    /// It is down, and s6 is about to start it.
    Starting,
    /// It has died, and stays down until somebody starts it.
    Parked,
    /// It is down.
    Down,
    /// Nobody supervises it.
    NotSupervised,
    /// Who asks may not know.
    Denied,
    /// What s6 says of it cannot be read.
    Unreadable,
    /// There is no slot of it.
    NotRegistered,
}

impl State {
    /// The word for it in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Finishing => "finishing",
            State::BackingOff => "backing-off",
            State::Starting => "starting",
            State::Parked => "parked",
            State::Down => "down",
            State::NotSupervised => "not-supervised",
            State::Denied => "denied",
            State::Unreadable => "unreadable",
            State::NotRegistered => "not-registered",
        }
    }
}

/// A gateway at one moment. Times are since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose.
    pub profile: Profile,
    /// What it is doing.
    pub state: State,
    /// Why, where the state alone does not say: what `finish` has decided, or what went wrong.
    pub why: String,
    /// Its process, or that of `finish`.
    pub pid: Option<u64>,
    /// When it was started; once it is not up, when it died.
    pub since: Option<Duration>,
    /// It has said that it is ready.
    pub ready: bool,
    /// It got SIGSTOP.
    pub paused: bool,
    /// Whether s6 is to keep it up, if that is known.
    pub wanted: Option<bool>,
    /// Whether it comes up when the container starts the next time, if that is known.
    pub wanted_at_boot: Option<bool>,
    /// How often it died lately, since somebody last had a say.
    pub deaths: usize,
    /// How it last ended.
    pub last_exit: Option<Exit>,
}

impl Report {
    /// A report on `profile` that knows no more than this.
    pub fn new(profile: Profile, state: State, why: String) -> Report {
        Report {
            profile,
            state,
            why,
            pid: None,
            since: None,
            ready: false,
            paused: false,
            wanted: None,
            wanted_at_boot: None,
            deaths: 0,
            last_exit: None,
        }
    }

    /// Whether the gateway is, or is about to be, what it is meant to be.
    pub fn is_well(&self) -> bool {
        match self.state {
            State::Up | State::Finishing | State::Starting => true,
            State::Down => self.wanted_at_boot != Some(true),
            _ => false,
        }
    }

    /// The state in words, with the reason.
    pub fn text(&self) -> String {
        let mut text = match (self.state, self.last_exit) {
            (State::Up | State::Starting | State::Down, _) | (State::Finishing, None) => {
                self.state.word().into()
            }
            (State::Finishing, Some(exit)) => format!("finishing: {exit}"),
            (State::NotSupervised, _) => "not supervised".into(),
            (State::NotRegistered, _) => "not registered".into(),
            _ => self.why.clone(),
        };
        if self.state == State::Up {
            let facts = [
                (self.wanted == Some(false), ", wanted down"),
                (self.ready, ", ready"),
                (self.paused, ", paused (SIGSTOP)"),
                (
                    self.wanted == Some(true) && self.wanted_at_boot == Some(false),
                    ", wanted down at next boot",
                ),
            ];
            for (_, fact) in facts.iter().filter(|(is_so, _)| *is_so) {
                text += fact;
            }
        }
        if self.state == State::Down && self.wanted_at_boot == Some(true) {
            text += ", wanted up at next boot";
        }
        if let (State::Up | State::Starting, 1.., Some(exit)) =
            (self.state, self.deaths, self.last_exit)
        {
            text += &format!(", {} lately: {exit}", Deaths(self.deaths));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_in_words() {
        let report = |state, why: &str| Report::new(Profile::Default, state, why.into());
        let up = Report { wanted: Some(true), pid: Some(7), ..report(State::Up, "") };
        let died = Report { deaths: 3, last_exit: Some(Exit::Code(1)), ..up.clone() };
        let table = [
            (up.clone(), "up", true),
            (Report { ready: true, ..up.clone() }, "up, ready", true),
            (Report { wanted: Some(false), ..up.clone() }, "up, wanted down", true),
            (Report { paused: true, ..up.clone() }, "up, paused (SIGSTOP)", true),
            (
                Report { wanted_at_boot: Some(false), ..up.clone() },
                "up, wanted down at next boot",
                true,
            ),
            (Report { wanted_at_boot: Some(true), ..up.clone() }, "up", true),
            (died.clone(), "up, 3 deaths lately: exit 1", true),
            (Report { state: State::Finishing, ..died.clone() }, "finishing: exit 1", true),
            (report(State::Finishing, ""), "finishing", true),
            (
                Report { state: State::Starting, ..died.clone() },
                "starting, 3 deaths lately: exit 1",
                true,
            ),
            (
                report(State::BackingOff, "backing off 16s, 4 deaths: exit 1"),
                "backing off 16s, 4 deaths: exit 1",
                false,
            ),
            (
                report(State::Parked, "parked: exit 78 (configuration)"),
                "parked: exit 78 (configuration)",
                false,
            ),
            (report(State::Down, ""), "down", true),
            (Report { wanted_at_boot: Some(false), ..report(State::Down, "") }, "down", true),
            (
                Report { wanted_at_boot: Some(true), ..report(State::Down, "") },
                "down, wanted up at next boot",
                false,
            ),
            (report(State::NotSupervised, ""), "not supervised", false),
            (report(State::Denied, "permission denied"), "permission denied", false),
            (report(State::Unreadable, "has 3 bytes"), "has 3 bytes", false),
            (report(State::NotRegistered, ""), "not registered", false),
        ];
        for (report, text, well) in table {
            assert_eq!((report.text().as_str(), report.is_well()), (text, well), "{report:?}");
        }
    }
}
