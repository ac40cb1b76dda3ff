//! How a slot leaves: out of s6-svscan's sight, its supervisors sent away, deleted.

use super::event_loop::{self, Outcome, Target};
use super::transition::Order;
use crate::error::{Error, Kind, Result};
use crate::model::profile::Profile;
use crate::s6::control::Control;
use crate::s6::scandir::{Request, ScanDir};
use crate::s6::service::Service;
use std::time::{Duration, Instant};

/// What a gateway that is removed gets to finish, by default.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What it gets to die after SIGKILL.
const KILLED: Duration = Duration::from_secs(5);

/// What supervisors of a service and its logger are told, one after the other, and the
/// seconds that each gets after that. s6-svscan has told them first; but it does not while
/// it cannot scan. A logger gets longer, to read the rest; longer than that only lasts
/// what a process that outlives the gateway holds open.
const SERVICE: &[(&[Control], u64)] =
    &[(&[], 1), (&[Control::Down, Control::Exit], 5), (&[Control::Kill], 2)];
const LOGGER: &[(&[Control], u64)] =
    &[(&[], 3), (&[Control::Exit, Control::HangUp], 2), (&[Control::Kill], 2)];

/// Brings the gateways of `profiles` down that are to be removed, all at once; what does
/// not go within `timeout` is killed. One that is not there, or not supervised, is no error.
pub fn drain(scandir: &ScanDir, profiles: &[Profile], timeout: Duration) -> Vec<Result<()>> {
    let (mut outcomes, mut targets) = (Vec::new(), Vec::new());
    for profile in profiles {
        let service = Service::open(scandir.dir(), &profile.slot());
        outcomes.push(match service.and_then(|it| Target::begin(it, Order::Rest)) {
            Ok(target) => {
                targets.push(target);
                Ok(())
            }
            Err(error) if matches!(error.kind, Kind::Missing | Kind::Unsupervised) => Ok(()),
            Err(error) => Err(error),
        });
    }
    let mut under_way = targets.iter_mut().collect();
    // What cannot be waited for is removed all the same.
    let _ = event_loop::drive(&mut under_way, Some(Instant::now() + timeout));
    under_way.iter().for_each(|target| target.tell(Control::Kill));
    let _ = event_loop::drive(&mut under_way, Some(Instant::now() + KILLED));
    outcomes
}

/// Takes those slots of `profiles` away whose outcome is good so far, and which should be
/// down. One that is not there is no error. Only under the lock.
pub fn remove(scandir: &ScanDir, profiles: &[Profile], outcomes: &mut [Result<()>]) {
    for (profile, outcome) in profiles.iter().zip(&mut *outcomes) {
        if outcome.is_ok() {
            *outcome = hide(scandir, profile);
        }
    }
    dismiss(scandir);
    for (profile, outcome) in profiles.iter().zip(outcomes) {
        if outcome.is_ok() {
            *outcome = bury(scandir, &profile.leaving());
        }
    }
}

fn hide(scandir: &ScanDir, profile: &Profile) -> Result<()> {
    let leaving = profile.leaving();
    // Left by a killed run, or by a name of which only the end differs.
    if scandir.dir().kind(&leaving)?.is_some() {
        dismiss(scandir);
        bury(scandir, &leaving)?;
    }
    match scandir.dir().rename(&profile.slot(), &leaving) {
        Err(error) if error.kind == Kind::Missing => Ok(()),
        renamed => renamed,
    }
}

/// Has s6-svscan send away the supervisors of what is out of its sight. Where there is
/// none, [`bury`] does.
pub fn dismiss(scandir: &ScanDir) {
    let _ = scandir.ask(Request::ScanAndDismiss);
}

/// Waits until the supervisors of the directory called `name` have gone, which were
/// dismissed, and deletes it.
pub fn bury(scandir: &ScanDir, name: &[u8]) -> Result<()> {
    let log = [name, b"/log"].concat();
    for (part, steps) in [(name, SERVICE), (&log[..], LOGGER)] {
        let service = Service::open(scandir.dir(), part);
        let mut target = match service.and_then(|it| Target::begin(it, Order::SeeGone)) {
            Err(error) if matches!(error.kind, Kind::Missing | Kind::Unsupervised) => continue,
            target => target?,
        };
        for (letters, seconds) in steps {
            if !target.is_under_way() {
                break;
            }
            letters.iter().for_each(|letter| target.tell(*letter));
            let deadline = Instant::now() + Duration::from_secs(*seconds);
            event_loop::drive(&mut vec![&mut target], Some(deadline))?;
        }
        let path = target.service().dir().path().to_vec();
        match target.outcome() {
            Some(Outcome::Abandoned) => {}
            Some(Outcome::Failed(error)) => return Err(error),
            _ => {
                let why = "its supervisor is still there, even after SIGKILL";
                return Err(Error::new(Kind::TimedOut, "remove slot", path, why));
            }
        }
    }
    scandir.dir().remove_tree(name)
}
