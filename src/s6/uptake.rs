//! How a new slot comes under supervision: one scan for all, and each verified.

use super::events::Subscription;
use super::removal;
use super::scandir::{Request, ScanDir};
use super::service::Service;
use super::slot;
use crate::error::{Result, Shown};
use crate::model::profile::Profile;
use crate::sys::{self, Name};
use std::time::{Duration, Instant};

/// What s6-svscan gets for a scan, and for each new service after that.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is not supervised for so long is renewed, once.
const STALLED: Duration = Duration::from_millis(2500);
/// How often to look where no event can be heard.
const LOOK: Duration = Duration::from_millis(20);

/// Asks for a scan and waits until the slots of `profiles` and their loggers are
/// supervised; those that are not in time. Only under the lock.
///
/// # Errors
/// [`Kind::Unsupervised`] if no s6-svscan listens.
pub fn take_up<'a>(
    scandir: &ScanDir,
    profiles: &'a [Profile],
    user: &[u8],
) -> Result<Vec<&'a Profile>> {
    scandir.ask(Request::Scan)?;
    let mut lost = Vec::new();
    // s6-svscan starts them side by side, so it does not matter who is waited for first.
    let mut deadline = Instant::now() + PATIENCE;
    for profile in profiles {
        match is_taken(scandir, profile, user, &mut deadline) {
            Ok(true) => {}
            _ => lost.push(profile),
        }
    }
    Ok(lost)
}

/// Waits until the slot of `profile` and its logger are supervised; whatever is puts
/// off the `deadline` for the next.
///
/// What s6-svscan first met in a scan that it gave up, because some other entry was in
/// its way, it may never start; so it gets a new directory.
fn is_taken(
    scandir: &ScanDir,
    profile: &Profile,
    user: &[u8],
    deadline: &mut Instant,
) -> Result<bool> {
    let open = || Service::open(scandir.dir(), &profile.slot());
    let mut renewed = false;
    while !wait(&open()?, (*deadline).min(Instant::now() + STALLED))? {
        if Instant::now() >= *deadline {
            return Ok(false);
        }
        // While the obstacle is there, each new directory would only fill its tables.
        if !renewed && obstacle(scandir).is_none() {
            slot::renew(scandir.dir(), profile, user)?;
            // If it was only slow, the supervisor of the old directory is one too many.
            removal::dismiss(scandir);
            removal::bury(scandir, &profile.leaving())?;
            (renewed, *deadline) = (true, Instant::now() + PATIENCE);
        }
    }
    *deadline = Instant::now() + PATIENCE;
    wait(&open()?.logger()?, *deadline)
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
