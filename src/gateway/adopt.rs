//! How a new slot comes under supervision: one scan for all, and each verified.

use super::retire;
use super::slot;
use crate::error::Result;
use crate::model::profile::Profile;
use crate::s6::events::Subscription;
use crate::s6::scandir::{self, Request, ScanDir};
use crate::s6::service::Service;
use crate::sys::{self, Name};
use crate::text::Shown;
use std::time::{Duration, Instant};

/// What s6-svscan gets for a scan, and for each new service after that.
const PATIENCE: Duration = Duration::from_secs(5);
/// When nothing new is supervised for so long, what is waited for is renewed, once.
const STALLED: Duration = Duration::from_millis(2500);
/// How often to look where no event can be heard.
const LOOK: Duration = Duration::from_millis(20);

/// What is to be supervised, and how far that has come.
struct Uptake<'a> {
    scandir: &'a ScanDir,
    profiles: &'a [Profile],
    user: &'a [u8],
    services_max: usize,
    supervised: usize,
    deadline: Instant,
}

/// Asks for a scan and waits until the slots of `profiles` and their loggers are
/// supervised; those that are not in time. `user` and `services_max` are the settings.
/// Only under the lock.
///
/// # Errors
/// [`Kind::Unsupervised`](crate::error::Kind::Unsupervised) if no s6-svscan listens.
pub fn take_up<'a>(
    scandir: &ScanDir,
    profiles: &'a [Profile],
    user: &[u8],
    services_max: usize,
) -> Result<Vec<&'a Profile>> {
    scandir.ask(Request::Scan)?;
    let deadline = Instant::now() + PATIENCE;
    let mut uptake = Uptake { scandir, profiles, user, services_max, supervised: 0, deadline };
    // s6-svscan starts them side by side, so it does not matter who is waited for first.
    let lost = |profile: &&Profile| !uptake.has_taken(profile).unwrap_or(false);
    Ok(profiles.iter().filter(lost).collect())
}

impl Uptake<'_> {
    fn open(&self, profile: &Profile) -> Result<Service> {
        Service::open(self.scandir.dir(), &profile.slot())
    }

    /// Waits until the slot of `profile` and its logger are supervised; whatever is puts
    /// off the deadline for the next.
    ///
    /// What s6-svscan first met in a scan that it gave up, because some other entry was in
    /// its way, it may never start; so it gets a new directory.
    fn has_taken(&mut self, profile: &Profile) -> Result<bool> {
        let mut renewed = false;
        while !wait(&self.open(profile)?, self.deadline.min(Instant::now() + STALLED))? {
            if self.has_progressed() {
                self.deadline = Instant::now() + PATIENCE;
            } else if Instant::now() >= self.deadline {
                return Ok(false);
            } else if !renewed && obstacle(self.scandir).is_none() && self.has_room()? {
                self.renew(profile)?;
                renewed = true;
            }
        }
        self.deadline = Instant::now() + PATIENCE;
        wait(&self.open(profile)?.logger()?, self.deadline)
    }

    /// Whether more is supervised than when this was last asked.
    fn has_progressed(&mut self) -> bool {
        let is_supervised = |it: &&Profile| self.open(it).and_then(|it| it.is_supervised());
        let supervised = self.profiles.iter().filter(|it| is_supervised(it) == Ok(true)).count();
        supervised > std::mem::replace(&mut self.supervised, supervised)
    }

    /// Whether s6-svscan can hold the old directory and the new one for a while.
    fn has_room(&self) -> Result<bool> {
        let names = self.scandir.dir().names()?;
        let slots = names.iter().filter(|name| scandir::is_slot(name)).count();
        Ok(slots < self.scandir.capacity(&names, self.services_max))
    }

    fn renew(&mut self, profile: &Profile) -> Result<()> {
        slot::renew(self.scandir.dir(), profile, self.user)?;
        // If it was only slow, the supervisor of the old directory is one too many.
        retire::dismiss(self.scandir);
        retire::bury(self.scandir, &profile.leaving())?;
        self.deadline = Instant::now() + PATIENCE;
        Ok(())
    }
}

/// Whether `service` is supervised, at the latest at `deadline`.
fn wait(service: &Service, deadline: Instant) -> Result<bool> {
    if service.is_supervised()? {
        return Ok(true);
    }
    let events = Subscription::open(service.dir()).ok();
    let supervised = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if service.is_supervised()? {
            break true;
        } else if left.is_zero() {
            break false;
        }
        match &events {
            Some(events) => {
                sys::wait(&[(Some(events.fifo()), None)], Some(left))?;
                events.fifo().drain();
            }
            None => std::thread::sleep(left.min(LOOK)),
        }
    };
    events.iter().for_each(|events| events.close(service.dir()));
    Ok(supervised)
}

/// What keeps s6-svscan from its scan, from 2.12 on: a link that leads nowhere.
fn obstacle(scandir: &ScanDir) -> Option<Name> {
    let names = scandir.dir().names().unwrap_or_default();
    names.into_iter().find(|name| !name.starts_with(b".") && !scandir.dir().leads(name))
}

/// Why a slot was not taken up, as far as that shows.
pub fn why_not(scandir: &ScanDir) -> String {
    let why = "s6-svscan did not take it up in time";
    match obstacle(scandir) {
        Some(name) => format!("{why}: {} leads nowhere, which keeps it from that", Shown(&name)),
        None => why.into(),
    }
}
