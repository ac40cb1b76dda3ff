//! How a new slot comes under supervision: one scan for all, and each verified.

use super::events::Subscription;
use super::scandir::{Request, ScanDir};
use super::service::Service;
use crate::error::{Kind, Result, Shown};
use crate::model::profile::Profile;
use crate::sys::{self, Dir, FileKind, Name};
use std::time::{Duration, Instant};

/// What s6-svscan gets for a scan, and for each new service after that.
const PATIENCE: Duration = Duration::from_secs(5);
/// With nothing new for so long, it is cured.
const STALLED: Duration = Duration::from_secs(1);
/// What a scan takes at most; s6-svscan does not say when one ends.
const SCAN: Duration = Duration::from_millis(50);
/// How often to look where no event can be heard.
const LOOK: Duration = Duration::from_millis(20);

/// A service, or a logger, without a supervisor.
struct Waiting<'a> {
    profile: &'a Profile,
    service: Service,
    events: Option<Subscription>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(events) = &self.events {
            events.close(self.service.dir());
        }
    }
}

impl<'a> Waiting<'a> {
    /// `None` if it has its supervisor by now.
    fn new(profile: &'a Profile, service: Service) -> Result<Option<Waiting<'a>>> {
        let events = Subscription::open(service.dir()).ok();
        let waiting = Waiting { profile, service, events };
        Ok((!waiting.service.is_supervised()?).then_some(waiting))
    }

    /// The services of `profile` that are waiting.
    fn of(scandir: &ScanDir, profile: &'a Profile) -> Result<Vec<Waiting<'a>>> {
        let service = Service::open(scandir.dir(), &profile.slot())?;
        let logger = Waiting::new(profile, service.logger()?)?;
        Ok(Waiting::new(profile, service)?.into_iter().chain(logger).collect())
    }

    fn is_over(&self) -> bool {
        if let Some(events) = &self.events {
            events.fifo().drain();
        }
        // What is removed meanwhile has nothing to wait for.
        matches!(self.service.is_supervised(), Ok(true))
    }
}

/// Asks for a scan and waits until the slots of `profiles` and their loggers are
/// supervised; those that are not in time. Only under the lock.
///
/// # Errors
/// [`Kind::Unsupervised`] if no s6-svscan listens.
pub fn take_up<'a>(scandir: &ScanDir, profiles: &'a [Profile]) -> Result<Vec<&'a Profile>> {
    let (mut waiting, mut lost) = (Vec::new(), Vec::new());
    for profile in profiles {
        match Waiting::of(scandir, profile) {
            Ok(parts) => waiting.extend(parts),
            Err(_) => lost.push(profile),
        }
    }
    scandir.ask(Request::Scan)?;
    let mut news = Instant::now();
    let mut cure_at = news + STALLED;
    while !waiting.is_empty() && news.elapsed() < PATIENCE {
        let left = cure_at.saturating_duration_since(Instant::now());
        let deaf = waiting.iter().any(|it| it.events.is_none());
        let heard: Vec<_> =
            waiting.iter().map(|it| (it.events.as_ref().map(Subscription::fifo), None)).collect();
        sys::wait(&heard, Some(if deaf { left.min(LOOK) } else { left }))?;
        let before = waiting.len();
        waiting.retain(|it| !it.is_over());
        if waiting.len() < before {
            news = Instant::now();
            cure_at = news + STALLED;
        } else if Instant::now() >= cure_at {
            cure(scandir, &waiting)?;
            cure_at = Instant::now() + STALLED;
        }
    }
    lost.extend(waiting.iter().map(|it| it.profile));
    lost.dedup();
    Ok(lost)
}

/// Makes s6-svscan forget the slots and find them anew: one that it first met in a scan
/// that it gave up, because some other entry was in its way, it may never start.
fn cure(scandir: &ScanDir, waiting: &[Waiting<'_>]) -> Result<()> {
    let mut slots: Vec<_> = waiting.iter().map(|it| it.profile).collect();
    slots.dedup();
    let mut hidden = Vec::new();
    for profile in slots {
        let (slot, staging) = (profile.slot(), profile.staging());
        if scandir.dir().rename(&slot, &staging).is_ok() {
            hidden.push((slot, staging));
        }
    }
    let asked = scandir.ask(Request::Scan);
    std::thread::sleep(SCAN);
    for (slot, staging) in hidden {
        match scandir.dir().rename_new(&staging, &slot) {
            Err(error) if error.kind != Kind::Exists => return Err(error),
            _ => {}
        }
    }
    asked.and_then(|()| scandir.ask(Request::Scan))
}

/// Why a slot was not taken up, as far as that shows.
pub fn why_not(scandir: &ScanDir) -> String {
    let dangles = |name: &&Name| {
        let path = scandir.dir().path_of(name);
        scandir.dir().kind(name) == Ok(Some(FileKind::Symlink))
            && Dir::open(&path).is_err_and(|error| error.kind == Kind::Missing)
    };
    let names = scandir.dir().names().unwrap_or_default();
    let why = "s6-svscan did not take it up in time";
    match names.iter().find(dangles) {
        Some(name) => {
            format!("{why}: {} is a dangling link, which keeps it from that", Shown(name))
        }
        None => why.into(),
    }
}
