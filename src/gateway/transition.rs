//! How one gateway gets where it should be: what to tell its supervisor, and when it
//! is there. Pure: a status in, a step out.

use crate::s6::control::Control;
use crate::s6::status::Status;
use crate::s6::tai64n::Tai64n;
use crate::text::messages::{Text, text};

/// Where a gateway is to get: the first four by letters to its supervisor, the others by
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Up, also after a restart of its supervisor.
    Start,
    /// Down, also after a restart of its supervisor.
    Stop,
    /// Up by a new process.
    Restart,
    /// Down; its supervisor may start it anew when it restarts itself.
    Rest,
    /// Up.
    Up,
    /// Up and ready.
    Ready,
    /// The same, unless it comes to rest.
    Work,
    /// Down, `finish` included.
    Down,
    /// Its supervisor has gone; no status tells that.
    Gone,
}

impl Target {
    /// What is wrong when the time is over.
    pub(crate) const fn late(self) -> Text {
        match self {
            Target::Start | Target::Up => text!("it is not up in time"),
            Target::Ready | Target::Work => text!("it is not ready in time"),
            Target::Stop => text!("it is not down in time: it is told to stop"),
            Target::Restart => text!("no new process is up in time: it is told to restart"),
            Target::Down => text!("it is not down in time"),
            Target::Rest => text!("it is not down, even after SIGKILL"),
            Target::Gone => text!("its supervisor is still there, even after SIGKILL"),
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell the supervisor this, and look again once it has heard.
    Tell(&'static [Control]),
    /// Wait for an event.
    Wait,
    /// Read the status again soon: it is not as it was told to be, but may be about to.
    Recheck,
    /// It is where it should be.
    Done,
    /// It came up, and died at once.
    Died,
    /// It was told so, and then another caller told it otherwise.
    Overruled,
}

/// A gateway on its way to a target.
#[derive(Clone, Debug)]
pub(crate) struct Transition {
    target: Target,
    phase: Phase,
    rechecks: u8,
    /// It was there before it was told to get there.
    pub(crate) was_there: bool,
}

/// How often the status is read again before another caller is blamed: s6-supervise reads a
/// letter before it acts on it, and on a busy machine well before.
const RECHECKS: u8 = 10;

#[derive(Clone, Debug)]
enum Phase {
    /// Nothing was told yet.
    Begin,
    /// Told to go down.
    Fall,
    /// Told to come up.
    Rise {
        /// The start of the run that is to end first.
        old: Option<Tai64n>,
        /// The death that was seen; a later one means that it was up in between.
        died: Option<Tai64n>,
        /// It was told to come up since it was last seen down.
        told_up: bool,
    },
    /// Up, and maybe to be seen to stay so.
    Stay {
        /// Its start.
        started: Tai64n,
        /// It was seen dead.
        died: bool,
    },
}

impl Transition {
    /// The transition for `target`.
    pub(crate) fn new(target: Target) -> Transition {
        Transition { target, phase: Phase::Begin, rechecks: 0, was_there: false }
    }

    /// Where it is to get.
    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// Whether anything was told, or nothing is to be.
    pub(crate) fn is_begun(&self) -> bool {
        let tells =
            matches!(self.target, Target::Start | Target::Restart | Target::Stop | Target::Rest);
        !(tells && matches!(self.phase, Phase::Begin))
    }

    /// Whether it came up, and was not seen dead since.
    pub(crate) fn stays(&self) -> bool {
        matches!(self.phase, Phase::Stay { died: false, .. })
    }

    /// Whether it was told to go down.
    pub(crate) fn falls(&self) -> bool {
        matches!(self.phase, Phase::Fall)
    }

    /// Whether the process of `now` was told to end, and is still there.
    pub(crate) fn is_ending(&self, now: &Status) -> bool {
        let told = match &self.phase {
            Phase::Begin | Phase::Stay { .. } => false,
            Phase::Fall => true,
            Phase::Rise { old, .. } => *old == Some(now.stamp),
        };
        told && now.is_up()
    }

    /// What to do, now that the status is `now` and its supervisor has read everything
    /// that it was told before; what is up may only be one that `waits` for its turn.
    pub(crate) fn next(&mut self, now: &Status, waits: bool) -> Step {
        match self.step(now, waits) {
            Step::Overruled if self.rechecks < RECHECKS => {
                self.rechecks += 1;
                Step::Recheck
            }
            step => {
                self.rechecks = 0;
                step
            }
        }
    }

    #[inline(never)]
    fn step(&mut self, now: &Status, waits: bool) -> Step {
        // Both in one write: a caller that is killed in between leaves nothing down.
        const ANEW: &[Control] = &[Control::Down, Control::UpForGood];
        match (self.target, &mut self.phase) {
            (Target::Up, _) => Step::when(now.is_up() && !waits),
            (Target::Work, _) if now.is_down() && !now.want_up => Step::Died,
            (Target::Ready | Target::Work, _) => Step::when(now.is_up() && now.ready),
            (Target::Down, _) => Step::when(now.is_down()),
            (Target::Gone, _) => Step::Wait,

            (Target::Start | Target::Restart, Phase::Begin)
                if now.is_up() && now.want_up && (waits || self.target == Target::Restart) =>
            {
                self.rise(now, true, ANEW)
            }
            // What is up but not wanted up is on its way down.
            (Target::Start | Target::Restart, Phase::Begin) => {
                self.was_there = self.target == Target::Start && now.is_up() && now.want_up;
                self.rise(now, now.is_up() && !now.want_up, &[Control::UpForGood])
            }
            (target, Phase::Begin) => {
                self.phase = Phase::Fall;
                self.was_there = now.is_down() && !now.want_up;
                let for_good = target == Target::Stop;
                Step::Tell(if for_good { &[Control::DownForGood] } else { &[Control::Down] })
            }

            (_, Phase::Fall) if now.want_up => Step::Overruled,
            (_, Phase::Fall) => Step::when(now.is_down()),

            (_, Phase::Rise { old, died, told_up }) => {
                if now.is_up() && *old == Some(now.stamp) {
                    return Step::Wait;
                }
                if now.is_up() && waits {
                    // It had not read that it had a turn.
                    return self.rise(now, true, ANEW);
                }
                if now.is_up() && now.want_up {
                    self.phase = Phase::Stay { started: now.stamp, died: false };
                    return Step::Done;
                }
                if now.is_up() {
                    return Step::Overruled;
                }
                match died {
                    Some(before) if *before != now.stamp => return Step::Died,
                    _ => *died = Some(now.stamp),
                }
                match (now.is_down(), *told_up) {
                    // Of its own accord s6-supervise would wait a second.
                    (true, false) => {
                        *told_up = true;
                        Step::Tell(&[Control::Up])
                    }
                    (true, true) if !now.want_up => Step::Overruled,
                    _ => Step::Wait,
                }
            }

            (_, Phase::Stay { started, .. }) if now.is_up() && *started == now.stamp => Step::Wait,
            (_, Phase::Stay { died, .. }) => {
                *died = true;
                Step::Died
            }
        }
    }

    /// The death that `now` tells of, or that was before it, was asked for: it is to come up anew.
    pub(crate) fn excuse(&mut self, now: &Status) {
        let died = (!now.is_up()).then_some(now.stamp);
        self.phase = Phase::Rise { old: None, died, told_up: false };
    }

    /// Tells it to come up; if it is `ending`, the run of now is to end first.
    fn rise(&mut self, now: &Status, ending: bool, letters: &'static [Control]) -> Step {
        self.phase = Phase::Rise {
            old: ending.then_some(now.stamp),
            died: (!now.is_up()).then_some(now.stamp),
            told_up: now.is_down(),
        };
        Step::Tell(letters)
    }
}

impl Step {
    fn when(there: bool) -> Step {
        if there { Step::Done } else { Step::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::*;
    use Target::*;

    #[test]
    fn what_was_there_before_is_known() {
        let table = [
            (Start, "u+1", true),
            (Start, "u-1", false),
            (Start, "d+1", false),
            (Stop, "d-1", true),
            (Stop, "d+1", false),
            (Stop, "f-1", false),
            (Stop, "u+1", false),
            (Restart, "u+1", false),
        ];
        for (target, now, was_there) in table {
            let mut transition = Transition::new(target);
            transition.next(&status(now), false);
            assert_eq!(transition.was_there, was_there, "{target:?} {now}");
        }
    }

    #[test]
    fn one_whose_end_was_asked_for_comes_up_anew() {
        // What is seen of the end, and what is done about it and about the next run.
        for (seen, steps) in [("d+2", [U, Done]), ("u+3", [Done, Wait])] {
            let mut transition = Transition::new(Start);
            let up = Tell(&[Control::UpForGood]);
            for (now, step) in [("u+1", up), ("u+1", Done), (seen, Died)] {
                assert_eq!(transition.next(&status(now), false), step, "{seen} {now}");
            }
            transition.excuse(&status(seen));
            assert_eq!([seen, "u+3"].map(|now| transition.next(&status(now), false)), steps);
            assert!(transition.stays());
        }
    }

    /// A status in short: `u`p, `w`aiting for its turn, `f`inishing or `d`own; `+` wanted up, `-` not; `!`
    /// ready; and the number of its stamp.
    fn status(short: &str) -> Status {
        let state = short.as_bytes()[0];
        let ready = short.ends_with('!');
        Status {
            stamp: Tai64n::from_unix(short[2..].trim_end_matches('!').parse().unwrap(), 0),
            ready_stamp: Tai64n::default(),
            pid: if state == b'd' { 0 } else { 7 },
            wait_status: 0,
            paused: false,
            finishing: state == b'f',
            want_up: short.as_bytes()[1] == b'+',
            ready,
        }
    }

    const U: Step = Tell(&[Control::Up]);
    const UP: Step = Tell(&[Control::UpForGood]);
    const D: Step = Tell(&[Control::Down]);
    const DOWN: Step = Tell(&[Control::DownForGood]);
    const BOTH: Step = Tell(&[Control::Down, Control::UpForGood]);

    #[test]
    #[rustfmt::skip]
    fn every_target_from_every_state() {
        let table: [(Target, &[(&str, Step)]); 43] = [
            // Down → up.
            (Start, &[("d-1", UP), ("d+1", Wait), ("u+2", Done)]),
            // Up already: the wish is recorded all the same.
            (Start, &[("u+1", UP), ("u+1", Done)]),
            // Wanted up, a second after it died.
            (Start, &[("d+1", UP), ("d+1", Wait), ("u+2", Done)]),
            // In finish: the throttle of a second is skipped.
            (Start, &[("f+1", UP), ("f+1", Wait), ("d+1", U), ("u+2", Done)]),
            // On its way down: a new run is waited for.
            (Start, &[("u-1", UP), ("u+1", Wait), ("f+2", Wait), ("d+2", U), ("d+2", Wait), ("u+3", Done)]),
            (Start, &[("u-1", UP), ("u+1", Wait), ("u+3", Done)]),
            // It died before it was seen up.
            (Start, &[("d-1", UP), ("f+2", Died)]),
            (Start, &[("d-1", UP), ("d-2", Died)]),
            (Start, &[("f+1", UP), ("d+1", U), ("d+2", Died)]),
            // The first death of a run that was ending is not that of the new one.
            (Start, &[("u-1", UP), ("f+2", Wait), ("d+2", U), ("f+3", Died)]),
            // Finish has parked it, and it is told once more.
            (Start, &[("f+1", UP), ("d-1", U), ("d+1", Wait), ("u+2", Done)]),
            // Another caller wants it otherwise.
            (Start, &[("u+1", UP), ("u-1", Overruled)]),
            (Start, &[("d-1", UP), ("d-1", Overruled)]),
            (Start, &[("d-1", UP), ("u-2", Overruled)]),
            (Stop, &[("u+1", DOWN), ("u-1", Wait), ("f-2", Wait), ("d-2", Done)]),
            (Stop, &[("d-1", DOWN), ("d-1", Done)]),
            (Stop, &[("d+1", DOWN), ("d-1", Done)]),
            (Stop, &[("f+1", DOWN), ("f-1", Wait), ("d-1", Done)]),
            (Stop, &[("u+1", DOWN), ("u+1", Overruled)]),
            (Stop, &[("u+1", DOWN), ("u-1", Wait), ("u+3", Overruled)]),
            (Restart, &[("u+1", BOTH), ("u-1", Wait), ("u+1", Wait), ("f+2", Wait), ("d+2", U), ("u+3", Done)]),
            (Restart, &[("u+1", BOTH), ("u+3", Done)]),
            (Restart, &[("d-1", UP), ("u+2", Done)]),
            (Restart, &[("f+1", UP), ("f+1", Wait), ("d+1", U), ("u+2", Done)]),
            (Restart, &[("u-1", UP), ("u+1", Wait), ("d+2", U), ("u+3", Done)]),
            (Restart, &[("u+1", BOTH), ("d+2", U), ("f+3", Died)]),
            // Who asks again once it is up is told whether it stays.
            (Start, &[("d-1", UP), ("u+2", Done), ("u+2", Wait), ("f+3", Died), ("d-3", Died)]),
            (Start, &[("u+1", UP), ("u+1", Done), ("u+1", Wait), ("d+2", Died)]),
            (Start, &[("d-1", UP), ("u+2", Done), ("u+4", Died)]),
            (Rest, &[("u+1", D), ("u-1", Wait), ("d-2", Done)]),
            (Rest, &[("d+1", D), ("d-1", Done)]),
            (Up, &[("d+1", Wait), ("f+1", Wait), ("u+2", Done)]),
            // Who waits for its turn is not up; to start it is to end that, however often it begins.
            (Start, &[("w+1", BOTH), ("w-1", Wait), ("f+2", Wait), ("d+2", U), ("u+3", Done)]),
            (Start, &[("w+1", BOTH), ("u+2", Done)]),
            (Start, &[("d-1", UP), ("w+2", BOTH), ("d+3", U), ("u+4", Done)]),
            (Restart, &[("w+1", BOTH), ("w+1", Wait), ("w+2", BOTH), ("f+3", Wait), ("d+3", U), ("u+4", Done)]),
            (Stop, &[("w+1", DOWN), ("w-1", Wait), ("f-2", Wait), ("d-2", Done)]),
            (Rest, &[("w+1", D), ("d-2", Done)]),
            (Up, &[("w+1", Wait), ("f+2", Wait), ("d+2", Wait), ("u+3", Done)]),
            (Ready, &[("d+1!", Wait), ("u+2", Wait), ("u+2!", Done)]),
            (Ready, &[("u+1", Wait), ("f+2", Wait), ("d-2", Wait)]),
            (Work, &[("u+1", Wait), ("f+2", Wait), ("d+2", Wait), ("u+3!", Done)]),
            (Work, &[("u+1", Wait), ("f+2", Wait), ("d-2", Died)]),
        ];
        let seen = [("u+1", Wait), ("f+2", Wait), ("d+2", Done)];
        for (target, steps) in table.into_iter().chain([(Down, &seen[..])]) {
            let mut transition = Transition::new(target);
            for (at, (now, step)) in steps.iter().enumerate() {
                let waits = now.starts_with('w');
                let rechecked = transition.clone().next(&status(now), waits) == Recheck;
                assert_eq!(rechecked, *step == Overruled, "{target:?} {steps:?} at {at}");
                transition.rechecks = RECHECKS;
                assert_eq!(transition.next(&status(now), waits), *step, "{target:?} {steps:?} at {at}");
            }
        }
    }
}
