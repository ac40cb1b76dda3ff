//! How a gateway stands, by what s6 and `finish` have written.

use super::crash_record;
use crate::error::{Kind, Result};
use crate::model::observation::{Report, State};
use crate::model::profile::Profile;
use crate::s6::scandir::ScanDir;
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::sys;
use std::time::Duration;

/// What `finish` has decided when it last ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    None,
    BackingOff,
    Parked,
}

/// What a gateway with this `status` and `verdict` is doing: the one table of it. A verdict
/// that does not fit the status is of another time.
fn state(status: &Status, verdict: Verdict) -> State {
    match (status.is_up(), status.want_up, verdict) {
        (true, _, _) => State::Up,
        (_, true, Verdict::BackingOff) => State::BackingOff,
        _ if status.finishing => State::Finishing,
        (_, true, _) => State::Starting,
        (_, false, Verdict::Parked) => State::Parked,
        _ => State::Down,
    }
}

/// What gateways are looked at through.
#[derive(Debug)]
pub struct Lens<'a> {
    /// Where their slots are.
    pub scandir: &'a ScanDir,
    /// Deaths within this time up to now count as late ones.
    pub window: Duration,
    /// What is said to who may not look.
    pub hint: String,
}

impl Lens<'_> {
    /// How the gateway of `profile` stands.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there is no slot. All else is a report, too.
    pub fn look(&self, profile: &Profile) -> Result<Report> {
        let new = |state, why| Report::new(profile.clone(), state, why);
        let looked = Service::open(self.scandir.dir(), &profile.slot()).and_then(|slot| {
            if !slot.is_supervised()? {
                return Ok(new(State::NotSupervised, String::new()));
            }
            match slot.status() {
                Ok(status) => {
                    let late = sys::time().saturating_sub(self.window);
                    Ok(report(&slot, profile.clone(), &status, late))
                }
                // Its supervisor has only just begun.
                Err(error) if error.kind == Kind::Missing => {
                    Ok(new(State::Starting, String::new()))
                }
                Err(error) => Err(error),
            }
        });
        looked.or_else(|error| match error.kind {
            Kind::Missing => Err(error),
            Kind::Denied => Ok(new(State::Denied, format!("permission denied: {}", self.hint))),
            _ => Ok(new(State::Unreadable, error.to_string())),
        })
    }
}

fn report(slot: &Service, profile: Profile, status: &Status, late: Duration) -> Report {
    let text = if status.is_up() { String::new() } else { crash_record::verdict(slot) };
    let verdict = match &text {
        text if text.starts_with("backing off") => Verdict::BackingOff,
        text if text.starts_with("parked") => Verdict::Parked,
        _ => Verdict::None,
    };
    let state = state(status, verdict);
    let mut deaths = slot.deaths();
    // s6-supervise counts a death first, and then says in its status what it was.
    deaths.retain(|death| death.stamp <= status.stamp);
    // Most have never died.
    let fresh = if deaths.is_empty() {
        late
    } else {
        crash_record::fresh_since(slot).since_unix().max(late)
    };
    Report {
        pid: (status.pid != 0).then_some(status.pid),
        since: Some(status.stamp.since_unix()),
        ready: status.ready && status.is_up(),
        paused: status.paused && status.is_up(),
        wanted: Some(status.want_up),
        deaths: deaths.iter().filter(|death| death.stamp.since_unix() > fresh).count(),
        last_exit: deaths.last().map(|_| status.last_exit()),
        ..Report::new(profile, state, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s6::tai64n::Tai64n;

    #[test]
    fn a_state_is_a_status_and_a_verdict_that_fits_it() {
        use State::*;
        let verdicts = [Verdict::None, Verdict::BackingOff, Verdict::Parked];
        // pid, finishing, want_up; the state without a verdict, when backing off, when parked
        let table = [
            (7, false, true, [Up, Up, Up]),
            (7, false, false, [Up, Up, Up]),
            (7, true, true, [Finishing, BackingOff, Finishing]),
            (7, true, false, [Finishing, Finishing, Finishing]),
            (0, false, true, [Starting, BackingOff, Starting]),
            (0, false, false, [Down, Down, Parked]),
        ];
        for (pid, finishing, want_up, states) in table {
            let status = Status {
                stamp: Tai64n::default(),
                ready_stamp: Tai64n::default(),
                pid,
                wait_status: 0,
                paused: false,
                finishing,
                want_up,
                ready: false,
            };
            let got = verdicts.map(|verdict| state(&status, verdict));
            assert_eq!(got, states, "{pid} {finishing} {want_up}");
        }
    }
}
