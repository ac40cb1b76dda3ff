//! What is known of a gateway at one moment, and how that reads.

use super::backoff::{CrashRecord, Deaths, Decision, Exit, STANDING_BY};
use super::hermes_state::HermesState;
use super::intent::LastKnown;
use super::plan::MAIN_IS_DEFAULT;
use super::profile::Profile;
use super::usage::Usage;
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
            (_, true, Some(Decision::BackOff)) => State::BackingOff,
            _ if finishing => State::Finishing,
            (_, true, _) => State::Starting,
            (_, false, Some(what)) if what.parks() => State::Parked,
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
    /// What its home knows of its intent, if that was asked.
    pub(crate) known: LastKnown,
    /// What decides that instead, if anything does.
    pub(crate) decided: &'static str,
    /// Whether the gateway of default serves its profile.
    pub(crate) served: bool,
    /// How often it died lately, since an operator last intervened, if that is known.
    pub(crate) deaths: Option<usize>,
    /// How it last ended.
    pub(crate) last_exit: Option<Exit>,
    /// Who holds its lock although it is not up, if that is known.
    pub(crate) holder: Option<Holder>,
    /// What its process has with all that are below it, if that was asked for and is known.
    pub(crate) usage: Option<Usage>,
}

impl Observation {
    /// An observation on `profile` that knows no more than this.
    #[inline(never)]
    pub(crate) fn new(profile: &Profile, state: State) -> Observation {
        Observation {
            profile: profile.clone(),
            state,
            crash: None,
            why: String::new(),
            pid: None,
            since: None,
            ready: false,
            hermes: None,
            paused: false,
            waits: false,
            wanted: None,
            wanted_at_boot: None,
            known: LastKnown::Nothing,
            decided: "",
            served: false,
            deaths: Some(0),
            last_exit: None,
            holder: None,
            usage: None,
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

    /// What is wanted of it now and when the container starts the next time, and what says so.
    #[inline(never)]
    pub(crate) fn wish(&self) -> String {
        let (key, is_own) = match &self.known {
            _ if self.served => ("served by default", false),
            _ if !self.decided.is_empty() => (self.decided, false),
            _ if self.wanted_at_boot.is_none() => ("its intent is not known", false),
            // Nothing else keeps it down then.
            known if known.wants_up() && self.wanted_at_boot == Some(false) => {
                (MAIN_IS_DEFAULT, false)
            }
            LastKnown::Nothing => ("no intent is recorded", false),
            LastKnown::Desired(_) => ("desired_state ", true),
            LastKnown::State(_) => ("gateway_state ", true),
        };
        let own = if is_own { self.known.word() } else { String::new() };
        let (now, at_boot) = (up_or_down(self.wanted), up_or_down(self.wanted_at_boot));
        format!("{now}, at boot {at_boot} ({key}{own})")
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
            if self.wanted == Some(false) {
                text += ", wanted down";
            }
            if self.ready {
                text += ", ready";
            }
            if self.paused {
                text += ", paused (SIGSTOP)";
            }
            if down_at_boot {
                text += ", wanted down at next boot";
            }
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

#[inline(never)]
fn up_or_down(wanted: Option<bool>) -> &'static str {
    match wanted {
        Some(true) => "up",
        Some(false) => "down",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_a_status_and_a_decision_that_fits_it() {
        use State::*;
        let (exit, deaths, time) = (Exit::Code(1), 1, Duration::ZERO);
        let back_off = CrashRecord { exit, decision: Decision::BackOff, deaths, time };
        let park = CrashRecord { exit, decision: Decision::Finished, deaths, time };
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
    fn what_is_wanted_and_what_says_so() {
        let desired = |word: &str| LastKnown::Desired(word.into());
        let state = |word: &str| LastKnown::State(word.into());
        // now, at boot; what is known; what decides instead; served by default; the text
        let (up, down) = (Some(true), Some(false));
        let table = [
            ([up, up], desired("running"), "", false, "up, at boot up (desired_state running)"),
            ([up, down], desired("stopped"), "", false, "up, at boot down (desired_state stopped)"),
            ([down, up], state("degraded"), "", false, "down, at boot up (gateway_state degraded)"),
            (
                [down, down],
                state("\u{1b}[2J"),
                "",
                false,
                "down, at boot down (gateway_state ??2J)",
            ),
            (
                [down, down],
                LastKnown::Nothing,
                "",
                false,
                "down, at boot down (no intent is recorded)",
            ),
            ([up, up], desired("stopped"), "policy root", false, "up, at boot up (policy root)"),
            (
                [down, down],
                desired("running"),
                "policy root",
                true,
                "down, at boot down (served by default)",
            ),
            (
                [down, down],
                desired("running"),
                "",
                false,
                "down, at boot down (the container's main program is its gateway)",
            ),
            (
                [None, None],
                LastKnown::Nothing,
                "",
                false,
                "unknown, at boot unknown (its intent is not known)",
            ),
        ];
        for ([wanted, wanted_at_boot], known, decided, served, text) in table {
            let it = Observation::new(&Profile::Default, State::Down);
            let it = Observation { wanted, wanted_at_boot, known, decided, served, ..it };
            assert_eq!(it.wish(), text);
        }
    }

    #[test]
    fn every_state_in_words() {
        let observation = |state, why: &str| Observation {
            why: why.into(),
            ..Observation::new(&Profile::Default, state)
        };
        let up = Observation { wanted: Some(true), pid: Some(7), ..observation(State::Up, "") };
        let died = Observation { deaths: Some(3), last_exit: Some(Exit::Code(1)), ..up.clone() };
        let time = Duration::from_secs(16);
        let crashed = |code, decision| {
            Some(CrashRecord { exit: Exit::Code(code), decision, deaths: 4, time })
        };
        let backing_off = Observation {
            crash: crashed(1, Decision::BackOff),
            ..observation(State::BackingOff, "")
        };
        let parked = Observation {
            crash: crashed(78, Decision::Configuration),
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
