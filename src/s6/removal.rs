//! How a slot leaves: out of s6-svscan's sight, its supervisors sent away, deleted.

use super::control::Control;
use super::course::Order;
use super::drive::{self, Target};
use super::scandir::{Request, ScanDir};
use super::service::Service;
use crate::error::{Error, Kind, Result};
use crate::model::profile::{Profile, SlotName};
use crate::sys::Dir;
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

/// Brings the gateways of `profiles` down that are to be removed; what does not go
/// within `timeout` is killed. One that is not there, or not supervised, is no error.
pub fn drain(scandir: &ScanDir, profiles: &[Profile], timeout: Duration) -> Vec<Result<()>> {
    let begin = |profile: &Profile| {
        let service = Service::open(scandir.dir(), &profile.slot());
        match service.and_then(|service| Target::begin(service, Order::Drain)) {
            Err(error) if matches!(error.kind, Kind::Missing | Kind::Unsupervised) => Ok(None),
            begun => begun.map(Some),
        }
    };
    let mut targets: Vec<_> = profiles.iter().map(begin).collect();
    let draining = targets.iter_mut().flatten().flatten().collect();
    let waited = press(draining, timeout, &[Control::Kill], SERVICE);
    targets.into_iter().map(|target| target.and(waited.clone())).collect()
}

/// Waits for `targets`; those that are not there in time get one signal after the other,
/// and some time after each.
fn press(
    mut targets: Vec<&mut Target>,
    mut time: Duration,
    signals: &[Control],
    after: Duration,
) -> Result<()> {
    let mut signals = signals.iter();
    loop {
        drive::drive(&mut targets, Some(Instant::now() + time))?;
        let Some(signal) = signals.next().filter(|_| !targets.is_empty()) else { return Ok(()) };
        targets.iter().for_each(|target| target.tell(*signal));
        time = after;
    }
}

/// Takes the slots away that could be `drained`; what became of each. Only under the lock.
pub fn remove_drained(
    scandir: &ScanDir,
    profiles: &[Profile],
    mut drained: Vec<Result<()>>,
) -> Vec<Result<()>> {
    let ready = profiles.iter().zip(&drained).filter(|(_, drained)| drained.is_ok());
    let removed = remove(scandir, &ready.map(|(profile, _)| profile).collect::<Vec<_>>());
    drained.iter_mut().filter(|it| it.is_ok()).zip(removed).for_each(|(it, removed)| *it = removed);
    drained
}

/// Takes the slots of `profiles` away, which should be down; what became of each. One
/// that is not there is no error. Only under the lock.
pub fn remove(scandir: &ScanDir, profiles: &[&Profile]) -> Vec<Result<()>> {
    let names: Vec<_> = profiles.iter().map(|profile| profile.leaving()).collect();
    let hide =
        |(profile, name): (&&Profile, &SlotName)| match scandir.dir().rename(&profile.slot(), name)
        {
            Err(error) if error.kind == Kind::Missing => Ok(()),
            renamed => renamed,
        };
    let hidden: Vec<_> = profiles.iter().zip(&names).map(hide).collect();
    let buried = bury(scandir, &names.iter().map(|name| &name[..]).collect::<Vec<_>>());
    hidden.into_iter().zip(buried).map(|(hidden, buried)| hidden.and(buried)).collect()
}

/// A service directory out of s6-svscan's sight, with the supervisors that are still there.
struct Leaving<'a> {
    name: &'a [u8],
    service: Option<Target>,
    logger: Option<Target>,
}

/// Sends away the supervisors of the directories called `names` and deletes these; what
/// became of each. One that is not there is no error.
pub fn bury(scandir: &ScanDir, names: &[&[u8]]) -> Vec<Result<()>> {
    let mut all: Vec<_> = names.iter().map(|name| Leaving::look(scandir.dir(), name)).collect();
    let supervised = |it: &Leaving<'_>| it.service.is_some() || it.logger.is_some();
    if all.iter().flatten().any(supervised) && scandir.ask(Request::ScanAndDismiss).is_err() {
        // No s6-svscan; its supervisors listen all the same.
        all.iter().flatten().for_each(Leaving::dismiss);
    }
    let services = all.iter_mut().flatten().filter_map(|it| it.service.as_mut()).collect();
    let gone = press(services, SERVICE, &[Control::Kill], SIGNALLED);
    let loggers = all.iter_mut().flatten().filter_map(|it| it.logger.as_mut()).collect();
    let gone = gone.and(press(loggers, LOGGER, &[Control::HangUp, Control::Kill], SIGNALLED));
    all.into_iter().map(|it| it.and_then(|it| it.delete(scandir.dir())).and(gone.clone())).collect()
}

impl<'a> Leaving<'a> {
    fn look(scandir: &Dir, name: &'a [u8]) -> Result<Leaving<'a>> {
        let service = match Service::open(scandir, name) {
            Err(error) if error.kind == Kind::Missing => {
                return Ok(Leaving { name, service: None, logger: None });
            }
            service => service?,
        };
        let logger = service.logger().and_then(supervised);
        Ok(Leaving { name, service: supervised(service)?, logger: logger.unwrap_or(None) })
    }

    fn dismiss(&self) {
        self.service.iter().for_each(|service| {
            service.tell(Control::Down);
            service.tell(Control::Exit);
        });
        self.logger.iter().for_each(|logger| logger.tell(Control::Exit));
    }

    fn delete(self, scandir: &Dir) -> Result<()> {
        for target in [&self.service, &self.logger].into_iter().flatten() {
            if target.is_under_way() {
                let why = "its supervisor is still there, even after SIGKILL";
                let path = target.service().dir().path();
                return Err(Error::new(Kind::TimedOut, "remove slot", path, why));
            }
        }
        // Their FIFOs go first.
        let name = self.name;
        drop(self);
        scandir.remove_tree(name)
    }
}

/// A service whose supervisor is to go; `None` if it has none.
fn supervised(service: Service) -> Result<Option<Target>> {
    match Target::begin(service, Order::SeeGone) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind == Kind::Unsupervised => Ok(None),
        Err(error) => Err(error),
    }
}
