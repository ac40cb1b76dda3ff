//! How a slot goes: out of s6-svscan's sight, its supervisors sent away, deleted.

use super::event_loop::Job;
use super::slots::Slots;
use super::stop_ladder::{self, KILLED, OF_REMOVED, OF_REMOVED_LOGGER, Rung};
use super::transition::Target;
use crate::error::{Errors, Result};
use crate::model::profile::{self, Profile};
use crate::s6::scandir::Request;
use crate::sys::{Name, unless_missing};
use crate::text::messages::text;
use std::slice;
use std::time::Duration;

/// What a gateway that is unregistered gets to finish, by default.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Brings the gateways of `profiles` down that are to be removed, all at once; what does
/// not go within `timeout` is killed. One that is not supervised is no error, nor is one that is not
/// there, which is told.
pub(crate) fn stop(slots: &Slots, profiles: &[Profile], timeout: Duration) -> Vec<Result<bool>> {
    let (mut outcomes, mut jobs) = (Vec::new(), Vec::new());
    for profile in profiles {
        outcomes.push(Job::begin(slots.dir(), &profile.slot(), Target::Rest, &mut jobs));
    }
    // What cannot be waited for together is removed all the same: `delete` waits for each.
    let _ = stop_ladder::descend(&mut jobs, &stop_ladder::down(timeout, KILLED));
    outcomes
}

/// Takes those slots of `profiles` away whose outcome is good so far, and which should be
/// down. One that is not there is no error. Only under the lock.
pub(crate) fn remove(slots: &Slots, profiles: &[Profile], outcomes: &mut [Result<bool>]) {
    let mut names = Vec::new();
    for profile in profiles {
        names.push(profile.leaving());
    }
    // Left by a killed run.
    if names.iter().any(|name| !matches!(slots.dir().kind(name), Ok(None))) {
        send_away(slots);
        delete(slots, &names, outcomes);
    }
    for (at, outcome) in outcomes.iter_mut().enumerate() {
        if outcome.is_ok() {
            let (profile, name) = (&profiles[at], &names[at]);
            let hide = || unless_missing(slots.dir().rename(&profile.slot(), name));
            let hidden = hide().or_else(|error| match slots.dir().kind(name)? {
                None => Err(error),
                // It is the place of another one, too: names that are long differ at the end.
                Some(_) => {
                    let mut other = Ok(false);
                    send_away(slots);
                    delete(slots, slice::from_ref(name), slice::from_mut(&mut other));
                    other.and_then(|_| hide())
                }
            });
            fail_of(hidden, outcome);
        }
    }
    send_away(slots);
    delete(slots, &names, outcomes);
}

/// Has s6-svscan send away the supervisors of what is out of its sight. Where it cannot, or
/// is not there, [`delete`] tells them itself.
pub(crate) fn send_away(slots: &Slots) {
    let _ = slots.scandir.ask(Request::ScanAndSendAway);
}

/// Waits until the supervisors of the directories called `names` have gone, which were sent
/// away, and deletes those whose outcome is good so far: all at once, so that one that stays keeps
/// no other waiting. One that is not there is no error.
pub(crate) fn delete(slots: &Slots, names: &[Name], outcomes: &mut [Result<bool>]) {
    see_gone(slots, names, b"", &OF_REMOVED, outcomes);
    see_gone(slots, names, b"/log", &OF_REMOVED_LOGGER, outcomes);
    for (at, outcome) in outcomes.iter_mut().enumerate() {
        if outcome.is_ok() {
            fail_of(slots.dir().remove_tree(&names[at]), outcome);
        }
    }
}

/// Takes the supervisors of `part` of each slot (of the slot itself where that is empty) whose
/// outcome is good so far down the ladder of `rungs`.
#[inline(never)]
fn see_gone(
    slots: &Slots,
    names: &[Name],
    part: &[u8],
    rungs: &[Rung],
    outcomes: &mut [Result<bool>],
) {
    let (mut jobs, mut whose) = (Vec::new(), Vec::new());
    for (at, outcome) in outcomes.iter_mut().enumerate() {
        if outcome.is_ok() {
            let name = [&names[at][..], part].concat();
            let begun = Job::begin(slots.dir(), &name, Target::Gone, &mut jobs);
            fail_of(begun.map(drop), outcome);
            if whose.len() < jobs.len() {
                whose.push(at);
            }
        }
    }
    let waited = stop_ladder::descend(&mut jobs, rungs);
    for (job, at) in jobs.iter().zip(&whose) {
        let gone = waited.clone().and_then(|()| job.result(text!("remove slot")));
        fail_of(gone, &mut outcomes[*at]);
    }
}

/// What has failed becomes the outcome.
fn fail_of(done: Result<()>, outcome: &mut Result<bool>) {
    if let Err(error) = done {
        *outcome = Err(error);
    }
}

/// Removes what killed runs left behind among `names`, staging directories and slots half
/// removed; what stays is returned with the reason. Only under the lock.
pub(crate) fn clean_up(slots: &Slots, names: &[Name]) -> Errors {
    let (mut failures, mut leaving, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        if profile::is_staging(name) {
            failures.extend(slots.dir().remove_tree(name).err());
        } else if profile::is_leaving(name) {
            leaving.push(name.clone());
            outcomes.push(Ok(false));
        }
    }
    if !leaving.is_empty() {
        send_away(slots);
        delete(slots, &leaving, &mut outcomes);
        for outcome in outcomes {
            failures.extend(outcome.err());
        }
    }
    failures
}
