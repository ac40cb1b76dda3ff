//! How a slot leaves: out of s6-svscan's sight, its supervisors sent away, deleted.

use super::control::Control;
use super::course::Order;
use super::drive::{self, Target};
use super::scandir::{Request, ScanDir};
use super::service::Service;
use crate::error::{Error, Kind, Result};
use crate::model::profile::Profile;
use std::time::{Duration, Instant};

/// What a gateway that is removed gets to finish, by default.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What it gets once more after SIGKILL, or when somebody has started it meanwhile.
const SERVICE: Duration = Duration::from_secs(5);
/// What its logger gets to read the rest, once the gateway is gone. Longer only
/// lasts what a process that outlives the gateway holds open.
const LOGGER: Duration = Duration::from_secs(3);
/// What either gets after a signal.
const SIGNALLED: Duration = Duration::from_secs(2);

/// Brings the gateways of `profiles` down that are to be removed, all at once; what does
/// not go within `timeout` is killed. One that is not there, or not supervised, is no error.
pub fn drain(scandir: &ScanDir, profiles: &[Profile], timeout: Duration) -> Vec<Result<()>> {
    let (mut outcomes, mut targets) = (Vec::new(), Vec::new());
    for profile in profiles {
        let service = Service::open(scandir.dir(), &profile.slot());
        outcomes.push(match service.and_then(|it| Target::begin(it, Order::Drain)) {
            Ok(target) => {
                targets.push(target);
                Ok(())
            }
            Err(error) if matches!(error.kind, Kind::Missing | Kind::Unsupervised) => Ok(()),
            Err(error) => Err(error),
        });
    }
    press(targets.iter_mut().collect(), timeout, &[Control::Kill], SERVICE);
    outcomes
}

/// Waits for `targets`; those that are not there in time get one signal after the other,
/// and some time after each. Whether all are there in the end.
fn press(
    mut targets: Vec<&mut Target>,
    mut time: Duration,
    signals: &[Control],
    after: Duration,
) -> bool {
    for signal in signals.iter().map(Some).chain([None]) {
        // What cannot be waited for is not there.
        let _ = drive::drive(&mut targets, Some(Instant::now() + time));
        if let Some(signal) = signal {
            targets.iter().for_each(|target| target.tell(*signal));
        }
        time = after;
    }
    targets.is_empty()
}

/// Takes those slots of `profiles` away whose outcome is good so far, and which should be
/// down. One that is not there is no error. Only under the lock.
pub fn remove(scandir: &ScanDir, profiles: &[Profile], outcomes: &mut [Result<()>]) {
    for (profile, outcome) in profiles.iter().zip(&mut *outcomes) {
        let hidden = || match scandir.dir().rename(&profile.slot(), &profile.leaving()) {
            Err(error) if error.kind == Kind::Missing => Ok(()),
            renamed => renamed,
        };
        *outcome = outcome.clone().and_then(|()| hidden());
    }
    let scanned = scandir.ask(Request::ScanAndDismiss).is_ok();
    for (profile, outcome) in profiles.iter().zip(outcomes) {
        if outcome.is_ok() {
            *outcome = bury(scandir, &profile.leaving(), scanned);
        }
    }
}

/// Waits until the supervisors of the directory called `name` have gone, and deletes it.
/// Unless s6-svscan has sent them away, which has `scanned`, they are sent away here.
pub fn bury(scandir: &ScanDir, name: &[u8], scanned: bool) -> Result<()> {
    let log = [name, b"/log"].concat();
    let exit = [Control::Down, Control::Exit];
    for (part, letters, time, signals) in [
        (name, &exit[..], SERVICE, &[Control::Kill][..]),
        (&log, &exit[1..], LOGGER, &[Control::HangUp, Control::Kill]),
    ] {
        let service = Service::open(scandir.dir(), part);
        let mut target = match service.and_then(|it| Target::begin(it, Order::SeeGone)) {
            Err(error) if matches!(error.kind, Kind::Missing | Kind::Unsupervised) => continue,
            target => target?,
        };
        if !scanned {
            letters.iter().for_each(|letter| target.tell(*letter));
        }
        if !press(vec![&mut target], time, signals, SIGNALLED) {
            let why = "its supervisor is still there, even after SIGKILL";
            let path = target.service().dir().path();
            return Err(Error::new(Kind::TimedOut, "remove slot", path, why));
        }
    }
    scandir.dir().remove_tree(name)
}
