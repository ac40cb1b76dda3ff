//! What is known of a gateway at one moment, and how that reads.

use super::backoff::{CrashRecord, Deaths, Decision, Exit, STANDING_BY};
use super::hermes_state::HermesState;
use super::profile::Profile;
use crate::text::part;
use std::time::Duration;

/// What a gateway is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its process is there.
    Up,
    /// It has died, and `finish` runs.
    Finishing,
    /// It has died, and its next start is delayed.
    BackingOff,
    /// It is down, and s6 is about to start it.
    Starting,
    /// It has died, and stays down until it is started.
    Parked,
    /// Another container runs the gateway; this one takes over when that has ended.
    StandingBy,
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

/// The words for them.
const STATES: &str = "up finishing backing-off starting parked standing-by down not-supervised \
                      denied unreadable not-registered";

/// Who holds the lock that a gateway holds while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// This process of this container.
    Here(u64),
    /// A process of another container.
    Elsewhere,
}

impl State {
    /// The word for it in JSON.
    pub(crate) fn word(self) -> &'static str {
        part(STATES, ' ', self as usize)
    }
}

impl State {
    /// What a gateway that is supervised is doing: the one table of it. What `finish` has decided
    /// counts only where it fits the rest; else it is of another time. One that is `marked` stands
    /// by, unless it was started all the same.
    pub(crate) fn of(
        up: bool,
        finishing: bool,
        wanted_up: bool,
        marked: bool,
        crash: Option<&CrashRecord>,
    ) -> State {
        match (up, wanted_up, crash.map(|crash| crash.decision)) {
            (true, _, _) => State::Up,
            (_, false, _) if marked && !finishing => State::StandingBy,
            (_, true, Some(Decision::BackOff { .. })) => State::BackingOff,
            _ if finishing => State::Finishing,
            (_, true, _) => State::Starting,
            (_, false, Some(Decision::Park(_))) => State::Parked,
            _ => State::Down,
        }
    }
}

/// A gateway at one moment. Times are since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Whose.
    pub(crate) profile: Profile,
    /// What it is doing.
    pub(crate) state: State,
    /// What `finish` has decided when it last died, while that counts.
    pub(crate) crash: Option<CrashRecord>,
    /// What went wrong when it was looked at, or what it waits for.
    pub(crate) why: String,
    /// Its process, or that of `finish`.
    pub(crate) pid: Option<u64>,
    /// When it was started; once it is not up, when it died.
    pub(crate) since: Option<Duration>,
    /// It has told s6 that it is ready.
    pub(crate) ready: bool,
    /// What its process says in its home; `None` where that says nothing, or is of another one.
    pub(crate) hermes: Option<Box<HermesState>>,
    /// It got SIGSTOP.
    pub(crate) paused: bool,
    /// It waits for its turn to start.
    pub(crate) waits: bool,
    /// Whether s6 is to keep it up, if that is known.
    pub(crate) wanted: Option<bool>,
    /// Whether it comes up when the container starts the next time, if that is known.
    pub(crate) wanted_at_boot: Option<bool>,
    /// Whether the gateway of default serves its profile.
    pub(crate) served: bool,
    /// How often it died lately, since an operator last intervened, if that is known.
    pub(crate) deaths: Option<usize>,
    /// How it last ended.
    pub(crate) last_exit: Option<Exit>,
    /// Who holds its lock although it is not up, if that is known.
    pub(crate) holder: Option<Holder>,
}

impl Observation {
    /// An observation on `profile` that knows no more than this.
    #[inline(never)]
    pub(crate) fn new(profile: Profile, state: State, why: String) -> Observation {
        Observation {
            profile,
            state,
            crash: None,
            why,
            pid: None,
            since: None,
            ready: false,
            hermes: None,
            paused: false,
            waits: false,
            wanted: None,
            wanted_at_boot: None,
            served: false,
            deaths: Some(0),
            last_exit: None,
            holder: None,
        }
    }

    /// What Hermes adds to the state in words.
    pub(crate) fn hermes_text(&self) -> String {
        self.hermes.as_ref().map_or(String::new(), |it| it.text())
    }

    /// Whether it has said that it is ready, to s6 or in its home.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready || self.hermes.as_ref().is_some_and(|it| it.is_ready())
    }

    /// Whether the gateway is, or is about to be, what it is meant to be.
    pub(crate) fn is_well(&self) -> bool {
        match self.state {
            State::Up | State::Finishing | State::Starting => true,
            State::Down => self.wanted_at_boot != Some(true),
            _ => false,
        }
    }

    /// The state in words, with the reason.
    pub(crate) fn text(&self) -> String {
        let mut text = match (self.state, self.last_exit, &self.crash) {
            (State::BackingOff | State::Parked, _, Some(crash)) => crash.text(),
            (State::Finishing, Some(exit), _) => format!("finishing: {exit}"),
            (State::NotSupervised, ..) => "not supervised".into(),
            (State::NotRegistered, ..) if self.wanted_at_boot == Some(true) => {
                "no slot, wanted up".into()
            }
            (State::NotRegistered, ..) => "not registered".into(),
            (State::StandingBy, ..) => STANDING_BY.into(),
            _ if !self.why.is_empty() => self.why.clone(),
            _ => self.state.word().into(),
        };
        if self.state == State::Up {
            text += &self.hermes_text();
            let down_at_boot = self.wanted == Some(true) && self.wanted_at_boot == Some(false);
            text += if self.wanted == Some(false) { ", wanted down" } else { "" };
            text += if self.ready { ", ready" } else { "" };
            text += if self.paused { ", paused (SIGSTOP)" } else { "" };
            text += if down_at_boot { ", wanted down at next boot" } else { "" };
        }
        match self.holder {
            Some(Holder::Here(pid)) => text += &format!(", runs outside s6 (pid {pid})"),
            Some(Holder::Elsewhere) if self.state != State::StandingBy => {
                text += ", another container runs it";
            }
            _ => {}
        }
        if self.state == State::Down && self.wanted_at_boot == Some(true) {
            text += ", wanted up at next boot";
        }
        if self.served {
            text +=
                if self.state == State::Up { ", beside default" } else { ", served by default" };
        }
        match (self.state, self.deaths, self.last_exit) {
            (State::Up | State::Starting, Some(deaths @ 1..), Some(exit)) => {
                text += &format!(", {} lately: {exit}", Deaths(deaths));
            }
            (_, None, _) => text += ", deaths unknown",
            _ => {}
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::backoff::Reason;
    use super::*;

    #[test]
    fn a_state_is_a_status_and_a_decision_that_fits_it() {
        use State::*;
        let (exit, delay) = (Exit::Code(1), Duration::ZERO);
        let back_off = CrashRecord { exit, decision: Decision::BackOff { delay, deaths: 1 } };
        let park = CrashRecord { exit, decision: Decision::Park(Reason::Finished) };
        let crashes = [None, Some(&back_off), Some(&park)];
        // up, finishing, wanted up; the state without a decision, when backing off, when parked
        let table = [
            (true, false, true, [Up, Up, Up]),
            (true, false, false, [Up, Up, Up]),
            (false, true, true, [Finishing, BackingOff, Finishing]),
            (false, true, false, [Finishing, Finishing, Finishing]),
            (false, false, true, [Starting, BackingOff, Starting]),
            (false, false, false, [Down, Down, Parked]),
        ];
        for (up, finishing, wanted_up, states) in table {
            let got = crashes.map(|crash| State::of(up, finishing, wanted_up, false, crash));
            assert_eq!(got, states, "{up} {finishing} {wanted_up}");
            // One that was told to stand by is as it would be without, but where it rests.
            let marked = crashes.map(|crash| State::of(up, finishing, wanted_up, true, crash));
            let rests = !up && !finishing && !wanted_up;
            let expected = if rests { [StandingBy; 3] } else { states };
            assert_eq!(marked, expected, "{up} {finishing} {wanted_up}");
        }
    }

    #[test]
    fn every_state_in_words() {
        let observation = |state, why: &str| Observation::new(Profile::Default, state, why.into());
        let up = Observation { wanted: Some(true), pid: Some(7), ..observation(State::Up, "") };
        let died = Observation { deaths: Some(3), last_exit: Some(Exit::Code(1)), ..up.clone() };
        let crashed = |code, decision| Some(CrashRecord { exit: Exit::Code(code), decision });
        let delay = Duration::from_secs(16);
        let backing_off = Observation {
            crash: crashed(1, Decision::BackOff { delay, deaths: 4 }),
            ..observation(State::BackingOff, "")
        };
        let parked = Observation {
            crash: crashed(78, Decision::Park(Reason::Configuration)),
            ..observation(State::Parked, "")
        };
        let table = [
            (up.clone(), "up", true),
            (Observation { ready: true, ..up.clone() }, "up, ready", true),
            (Observation { wanted: Some(false), ..up.clone() }, "up, wanted down", true),
            (Observation { paused: true, ..up.clone() }, "up, paused (SIGSTOP)", true),
            (
                Observation { wanted_at_boot: Some(false), ..up.clone() },
                "up, wanted down at next boot",
                true,
            ),
            (Observation { wanted_at_boot: Some(true), ..up.clone() }, "up", true),
            (died.clone(), "up, 3 deaths lately: exit 1", true),
            (Observation { state: State::Finishing, ..died.clone() }, "finishing: exit 1", true),
            (observation(State::Finishing, ""), "finishing", true),
            (
                Observation { state: State::Starting, ..died.clone() },
                "starting, 3 deaths lately: exit 1",
                true,
            ),
            (Observation { deaths: None, ..up.clone() }, "up, deaths unknown", true),
            (backing_off, "backing off 16s, 4 deaths: exit 1", false),
            (parked, "parked: exit 78 (configuration)", false),
            (observation(State::Down, ""), "down", true),
            (
                Observation { wanted_at_boot: Some(false), ..observation(State::Down, "") },
                "down",
                true,
            ),
            (
                Observation { wanted_at_boot: Some(true), ..observation(State::Down, "") },
                "down, wanted up at next boot",
                false,
            ),
            (observation(State::StandingBy, ""), STANDING_BY, false),
            (
                Observation {
                    holder: Some(Holder::Elsewhere),
                    ..observation(State::StandingBy, "")
                },
                STANDING_BY,
                false,
            ),
            (
                Observation { holder: Some(Holder::Here(12)), ..observation(State::Down, "") },
                "down, runs outside s6 (pid 12)",
                true,
            ),
            (
                Observation { holder: Some(Holder::Elsewhere), ..observation(State::Down, "") },
                "down, another container runs it",
                true,
            ),
            (
                Observation {
                    wanted_at_boot: Some(false),
                    served: true,
                    ..observation(State::Down, "")
                },
                "down, served by default",
                true,
            ),
            (observation(State::NotSupervised, ""), "not supervised", false),
            (observation(State::Denied, "permission denied"), "permission denied", false),
            (observation(State::Unreadable, "has 3 bytes"), "has 3 bytes", false),
            (observation(State::NotRegistered, ""), "not registered", false),
            (
                Observation { wanted_at_boot: Some(true), ..observation(State::NotRegistered, "") },
                "no slot, wanted up",
                false,
            ),
            (
                observation(State::Starting, "starting in 9s (turn 4 of 7)"),
                "starting in 9s (turn 4 of 7)",
                true,
            ),
        ];
        for (observation, text, well) in table {
            assert_eq!(
                (observation.text().as_str(), observation.is_well()),
                (text, well),
                "{observation:?}"
            );
        }
    }
}
