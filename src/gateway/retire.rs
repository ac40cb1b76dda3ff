//! How a slot goes: out of s6-svscan's sight, its supervisors sent away, deleted.

use super::event_loop::Job;
use super::slots::Slots;
use super::stop_ladder::{self, KILLED, OF_REMOVED, OF_REMOVED_LOGGER};
use super::transition::Target;
use crate::error::{Errors, Kind, Result};
use crate::model::profile::{self, Profile};
use crate::s6::scandir::Request;
use crate::sys::Name;
use std::time::Duration;

/// What a gateway that is unregistered gets to finish, by default.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Brings the gateways of `profiles` down that are to be removed, all at once; what does
/// not go within `timeout` is killed. One that is not there, or not supervised, is no error.
pub(crate) fn stop(slots: &Slots, profiles: &[Profile], timeout: Duration) -> Vec<Result<()>> {
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
pub(crate) fn remove(slots: &Slots, profiles: &[Profile], outcomes: &mut [Result<()>]) {
    for (profile, outcome) in profiles.iter().zip(&mut *outcomes) {
        if outcome.is_ok() {
            *outcome = hide(slots, profile);
        }
    }
    send_away(slots);
    for (profile, outcome) in profiles.iter().zip(outcomes) {
        if outcome.is_ok() {
            *outcome = delete(slots, &profile.leaving());
        }
    }
}

fn hide(slots: &Slots, profile: &Profile) -> Result<()> {
    let leaving = profile.leaving();
    // Left by a killed run, or by a name of which only the end differs.
    if slots.dir().kind(&leaving)?.is_some() {
        send_away(slots);
        delete(slots, &leaving)?;
    }
    match slots.dir().rename(&profile.slot(), &leaving) {
        Err(error) if error.kind == Kind::Missing => Ok(()),
        renamed => renamed,
    }
}

/// Has s6-svscan send away the supervisors of what is out of its sight. Where it cannot, or
/// is not there, [`delete`] tells them itself.
pub(crate) fn send_away(slots: &Slots) {
    let _ = slots.scandir.ask(Request::ScanAndSendAway);
}

/// Waits until the supervisors of the directory called `name` have gone, which were sent
/// away, and deletes it.
pub(crate) fn delete(slots: &Slots, name: &[u8]) -> Result<()> {
    let log = [name, b"/log"].concat();
    for (part, rungs) in [(name, &OF_REMOVED), (&log[..], &OF_REMOVED_LOGGER)] {
        let mut jobs = Vec::new();
        Job::begin(slots.dir(), part, Target::Gone, &mut jobs)?;
        stop_ladder::descend(&mut jobs, rungs)?;
        jobs.first().map_or(Ok(()), |job| job.result("remove slot"))?;
    }
    slots.dir().remove_tree(name)
}

/// Removes what killed runs left behind among `names`, staging directories and slots half
/// removed; what stays is returned with the reason. Only under the lock.
pub(crate) fn clean_up(slots: &Slots, names: &[Name]) -> Errors {
    let mut failures = Vec::new();
    for name in names {
        if profile::is_staging(name) {
            failures.extend(slots.dir().remove_tree(name).err());
        } else if profile::is_leaving(name) {
            send_away(slots);
            failures.extend(delete(slots, name).err());
        }
    }
    failures
}
