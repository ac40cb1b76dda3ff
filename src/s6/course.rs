//! How one gateway gets where it should be: what to tell its supervisor, and when it
//! is there. Pure: a status in, a step out.

use super::control::Control;
use super::status::Status;
use super::tai::Tai64n;

/// What a gateway can be made to do, or waited for to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Up, also after a restart of its supervisor.
    Start,
    /// Down, also after a restart of its supervisor.
    Stop,
    /// Up by a new process.
    Restart,
    /// The same, without anybody to wait for it: s6-supervise starts it when it has
    /// throttled for a second.
    RestartLater,
    /// Down; its supervisor may start it anew when it restarts itself.
    Rest,
    /// The process of now has ended, whatever comes after it.
    Drain,
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
    /// Tell the supervisor this, then look again.
    Tell(Control),
    /// Wait for an event.
    Wait,
    /// Wait, though none will come: a supervisor that was about to start its service
    /// gives that up without a word.
    WaitSilently,
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
}

#[derive(Clone, Debug)]
enum Phase {
    /// Nothing was told or seen yet.
    Begin,
    /// Told to go down.
    Fall {
        /// When the run that is to end began, or had ended.
        run: Tai64n,
        /// Its supervisor has heard it.
        heard: bool,
    },
    /// Told to come up.
    Rise {
        /// The start of the run that is to end first.
        old: Option<Tai64n>,
        /// The death that was seen; a later one means that it was up in between.
        died: Option<Tai64n>,
        /// It was told to come up since it was last seen down.
        nudged: bool,
        /// Its supervisor has heard it.
        heard: bool,
    },
}

impl Course {
    /// The course for `order`.
    pub fn new(order: Order) -> Course {
        Course { order, phase: Phase::Begin }
    }

    /// What to do, now that the status is `now`.
    pub fn next(&mut self, now: &Status) -> Step {
        use Order::{
            Drain, Rest, Restart, RestartLater, SeeDown, SeeGone, SeeReady, SeeUp, Start, Stop,
        };
        match (self.order, &mut self.phase) {
            (SeeUp, _) => Step::when(now.is_up()),
            (SeeReady, _) => Step::when(now.is_up() && now.ready),
            (SeeDown, _) => Step::when(now.is_down()),
            (SeeGone, _) => Step::Wait,

            (Start, Phase::Begin) => self.rise(now),
            (Restart | RestartLater, Phase::Begin) if now.is_down() => self.rise(now),
            (Stop, Phase::Begin) => self.fall(now, Control::DownForGood),
            (Drain, Phase::Begin) if now.is_down() => Step::Done,
            (Restart | RestartLater | Rest | Drain, Phase::Begin) => self.fall(now, Control::Down),

            (RestartLater, Phase::Fall { .. }) => self.rise(now),
            (Restart, Phase::Fall { .. }) if now.is_down() => self.rise(now),
            (Restart | Drain, Phase::Fall { run, .. }) => {
                Step::when(now.is_down() || now.is_up() && now.want_up && now.stamp != *run)
            }
            (_, Phase::Fall { heard, .. }) => {
                if now.want_up && *heard {
                    return Step::Overruled;
                }
                *heard |= !now.want_up;
                match now.is_down() && now.want_up {
                    true => Step::WaitSilently,
                    false => Step::when(now.is_down()),
                }
            }

            (_, Phase::Rise { old, died, nudged, heard }) => {
                let overruled = *heard && !now.want_up;
                *heard |= now.want_up;
                if now.is_up() && now.want_up && *old != Some(now.stamp) {
                    return Step::Done;
                }
                if !now.is_up() {
                    if died.is_some_and(|before| before != now.stamp) {
                        return Step::Died;
                    }
                    *died = Some(now.stamp);
                    if now.is_down() && !*nudged {
                        // Of its own accord s6-supervise would wait a second.
                        (*nudged, *heard) = (true, false);
                        return Step::Tell(Control::Up);
                    }
                }
                if overruled { Step::Overruled } else { Step::Wait }
            }
        }
    }

    fn fall(&mut self, now: &Status, control: Control) -> Step {
        self.phase = Phase::Fall { run: now.stamp, heard: false };
        Step::Tell(control)
    }

    fn rise(&mut self, now: &Status) -> Step {
        // What is up but not wanted up is on its way down.
        let leaving = now.is_up() && !now.want_up;
        self.phase = Phase::Rise {
            old: leaving.then_some(now.stamp),
            died: (!now.is_up()).then_some(now.stamp),
            nudged: now.is_down(),
            heard: false,
        };
        Step::Tell(Control::UpForGood)
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
    use Control::{Down, DownForGood, Up, UpForGood};
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

    #[test]
    fn every_order_from_every_state() {
        let table: [(Order, &[(&str, Step)]); 36] = [
            // Down → up.
            (Start, &[("d-1", Tell(UpForGood)), ("d-1", Wait), ("d+1", Wait), ("u+2", Done)]),
            // Up already: the wish is recorded all the same.
            (Start, &[("u+1", Tell(UpForGood)), ("u+1", Done)]),
            // Wanted up, a second after it died.
            (Start, &[("d+1", Tell(UpForGood)), ("d+1", Wait), ("u+2", Done)]),
            // In finish: the throttle of a second is skipped.
            (Start, &[("f+1", Tell(UpForGood)), ("f+1", Wait), ("d+1", Tell(Up)), ("u+2", Done)]),
            // On its way down: a new run is waited for.
            (
                Start,
                &[
                    ("u-1", Tell(UpForGood)),
                    ("u+1", Wait),
                    ("f+2", Wait),
                    ("d+2", Tell(Up)),
                    ("d+2", Wait),
                    ("u+3", Done),
                ],
            ),
            (Start, &[("u-1", Tell(UpForGood)), ("u+1", Wait), ("u+3", Done)]),
            // It died before it was seen up.
            (Start, &[("d-1", Tell(UpForGood)), ("f+2", Died)]),
            (Start, &[("d-1", Tell(UpForGood)), ("d-2", Died)]),
            (Start, &[("f+1", Tell(UpForGood)), ("d+1", Tell(Up)), ("d+2", Died)]),
            // The first death of a run that was leaving is not that of the new one.
            (Start, &[("u-1", Tell(UpForGood)), ("f+2", Wait), ("d+2", Tell(Up)), ("f+3", Died)]),
            // Stop.
            (Stop, &[("u+1", Tell(DownForGood)), ("u-1", Wait), ("f-2", Wait), ("d-2", Done)]),
            (Stop, &[("d-1", Tell(DownForGood)), ("d-1", Done)]),
            (Stop, &[("d+1", Tell(DownForGood)), ("d+1", WaitSilently), ("d-1", Done)]),
            // The letter is not read yet, and the gateway is just started.
            (Stop, &[("d+1", Tell(DownForGood)), ("u+2", Wait), ("u-2", Wait), ("d-3", Done)]),
            (Stop, &[("f+1", Tell(DownForGood)), ("f-1", Wait), ("d-1", Done)]),
            // Restart.
            (
                Restart,
                &[
                    ("u+1", Tell(Down)),
                    ("u-1", Wait),
                    ("f-2", Wait),
                    ("d-2", Tell(UpForGood)),
                    ("d-2", Wait),
                    ("u+3", Done),
                ],
            ),
            (Restart, &[("d-1", Tell(UpForGood)), ("u+2", Done)]),
            (Restart, &[("d+1", Tell(UpForGood)), ("u+2", Done)]),
            (Restart, &[("f+1", Tell(Down)), ("d-1", Tell(UpForGood)), ("u+2", Done)]),
            (Restart, &[("u+1", Tell(Down)), ("d-2", Tell(UpForGood)), ("f+3", Died)]),
            (RestartLater, &[("u+1", Tell(Down)), ("u+1", Tell(UpForGood)), ("u-1", Wait)]),
            (RestartLater, &[("d-1", Tell(UpForGood)), ("d+1", Wait)]),
            // Finish would park it, and it is told once more.
            (Start, &[("f+1", Tell(UpForGood)), ("f+1", Wait), ("d-1", Tell(Up)), ("d+1", Wait)]),
            // Somebody else wants it otherwise.
            (Start, &[("u-1", Tell(UpForGood)), ("u+1", Wait), ("u-1", Overruled)]),
            (Start, &[("d-1", Tell(UpForGood)), ("d+1", Wait), ("d-1", Overruled)]),
            (Stop, &[("u+1", Tell(DownForGood)), ("u-1", Wait), ("u+1", Overruled)]),
            (Stop, &[("u+1", Tell(DownForGood)), ("u-1", Wait), ("u+3", Overruled)]),
            (Restart, &[("u+1", Tell(Down)), ("u-1", Wait), ("u+1", Wait), ("u+3", Done)]),
            // For a container stop, and before a slot is removed.
            (Rest, &[("u+1", Tell(Down)), ("d-2", Done)]),
            (Rest, &[("d-1", Tell(Down)), ("d-1", Done)]),
            (Rest, &[("d+1", Tell(Down)), ("d+1", WaitSilently), ("d-1", Done)]),
            (Drain, &[("u+1", Tell(Down)), ("f-2", Wait), ("d-2", Done)]),
            // Somebody else started it since.
            (Drain, &[("u+1", Tell(Down)), ("u+3", Done)]),
            (Drain, &[("d+1", Done)]),
            // Only watched.
            (SeeUp, &[("d+1", Wait), ("f+1", Wait), ("u+2", Done)]),
            (SeeReady, &[("d+1!", Wait), ("u+2", Wait), ("u+2!", Done)]),
        ];
        for (order, steps) in table {
            let mut course = Course::new(order);
            for (at, (now, step)) in steps.iter().enumerate() {
                assert_eq!(course.next(&status(now)), *step, "{order:?} {steps:?} at {at}");
            }
        }
        let mut course = Course::new(SeeDown);
        for (now, step) in [("u+1", Wait), ("f+2", Wait), ("d+2", Done)] {
            assert_eq!(course.next(&status(now)), step, "{now}");
        }
    }
}
