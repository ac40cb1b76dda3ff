//! How one gateway gets where it should be: what to tell its supervisor, and when it
//! is there. Pure: a status in, a step out.

use crate::s6::control::Control;
use crate::s6::status::Status;
use crate::s6::tai64n::Tai64n;

/// What a gateway can be made to do, or waited for to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Up, also after a restart of its supervisor.
    Start,
    /// Down, also after a restart of its supervisor.
    Stop,
    /// Up by a new process.
    Restart,
    /// Down; its supervisor may start it anew when it restarts itself.
    Rest,
    /// Up by itself.
    SeeUp,
    /// Up and ready by itself.
    SeeReady,
    /// Down by itself, `finish` included.
    SeeDown,
    /// Its supervisor has gone; no status tells that.
    SeeGone,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Tell the supervisor this, and look again once it has heard.
    Tell(&'static [Control]),
    /// Wait for an event.
    Wait,
    /// Look again soon: it is not as it was told to be, but may be about to.
    Doubt,
    /// It is where it should be.
    Done,
    /// It came up, and died at once.
    Died,
    /// It was told so, and then somebody else told it otherwise.
    Overruled,
}

/// A gateway on its way.
#[derive(Clone, Debug)]
pub struct Course {
    order: Order,
    phase: Phase,
    doubts: u8,
}

/// So often is looked again before somebody else is blamed: s6-supervise has read a
/// letter before it acts on it, and on a busy machine well before.
const DOUBTS: u8 = 10;

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
        nudged: bool,
    },
}

impl Course {
    /// The course for `order`.
    pub fn new(order: Order) -> Course {
        Course { order, phase: Phase::Begin, doubts: 0 }
    }

    /// Whether anything was told.
    pub fn is_begun(&self) -> bool {
        !matches!(self.phase, Phase::Begin)
    }

    /// What to do, now that the status is `now` and its supervisor has read everything
    /// that it was told before.
    pub fn next(&mut self, now: &Status) -> Step {
        match self.next_at_face_value(now) {
            Step::Overruled if self.doubts < DOUBTS => {
                self.doubts += 1;
                Step::Doubt
            }
            step => {
                self.doubts = 0;
                step
            }
        }
    }

    fn next_at_face_value(&mut self, now: &Status) -> Step {
        match (self.order, &mut self.phase) {
            (Order::SeeUp, _) => Step::when(now.is_up()),
            (Order::SeeReady, _) => Step::when(now.is_up() && now.ready),
            (Order::SeeDown, _) => Step::when(now.is_down()),
            (Order::SeeGone, _) => Step::Wait,

            // Both in one breath: who is killed in between leaves nothing down.
            (Order::Restart, Phase::Begin) if now.is_up() && now.want_up => {
                self.rise(now, true, &[Control::Down, Control::UpForGood])
            }
            // What is up but not wanted up is on its way down.
            (Order::Start | Order::Restart, Phase::Begin) => {
                self.rise(now, now.is_up() && !now.want_up, &[Control::UpForGood])
            }
            (order, Phase::Begin) => {
                self.phase = Phase::Fall;
                let for_good = order == Order::Stop;
                Step::Tell(if for_good { &[Control::DownForGood] } else { &[Control::Down] })
            }

            (_, Phase::Fall) if now.want_up => Step::Overruled,
            (_, Phase::Fall) => Step::when(now.is_down()),

            (_, Phase::Rise { old, died, nudged }) => {
                if now.is_up() && *old == Some(now.stamp) {
                    return Step::Wait;
                }
                if now.is_up() {
                    return if now.want_up { Step::Done } else { Step::Overruled };
                }
                match died {
                    Some(before) if *before != now.stamp => return Step::Died,
                    _ => *died = Some(now.stamp),
                }
                match (now.is_down(), *nudged) {
                    // Of its own accord s6-supervise would wait a second.
                    (true, false) => {
                        *nudged = true;
                        Step::Tell(&[Control::Up])
                    }
                    (true, true) if !now.want_up => Step::Overruled,
                    _ => Step::Wait,
                }
            }
        }
    }

    /// Tells it to come up; if it is `leaving`, the run of now is to end first.
    fn rise(&mut self, now: &Status, leaving: bool, letters: &'static [Control]) -> Step {
        self.phase = Phase::Rise {
            old: leaving.then_some(now.stamp),
            died: (!now.is_up()).then_some(now.stamp),
            nudged: now.is_down(),
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
    use Order::*;
    use Step::*;

    /// A status in short: `u`p, `f`inishing or `d`own; `+` wanted up, `-` not; `!`
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
    fn every_order_from_every_state() {
        let table: [(Order, &[(&str, Step)]); 30] = [
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
            // The first death of a run that was leaving is not that of the new one.
            (Start, &[("u-1", UP), ("f+2", Wait), ("d+2", U), ("f+3", Died)]),
            // Finish has parked it, and it is told once more.
            (Start, &[("f+1", UP), ("d-1", U), ("d+1", Wait), ("u+2", Done)]),
            // Somebody else wants it otherwise.
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
            (Rest, &[("u+1", D), ("u-1", Wait), ("d-2", Done)]),
            (Rest, &[("d+1", D), ("d-1", Done)]),
            (SeeUp, &[("d+1", Wait), ("f+1", Wait), ("u+2", Done)]),
            (SeeReady, &[("d+1!", Wait), ("u+2", Wait), ("u+2!", Done)]),
        ];
        let seen = [("u+1", Wait), ("f+2", Wait), ("d+2", Done)];
        for (order, steps) in table.into_iter().chain([(SeeDown, &seen[..])]) {
            let mut course = Course::new(order);
            for (at, (now, step)) in steps.iter().enumerate() {
                let doubted = course.clone().next(&status(now)) == Doubt;
                assert_eq!(doubted, *step == Overruled, "{order:?} {steps:?} at {at}");
                course.doubts = DOUBTS;
                assert_eq!(course.next(&status(now)), *step, "{order:?} {steps:?} at {at}");
            }
        }
    }
}
