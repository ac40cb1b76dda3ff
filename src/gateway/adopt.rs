//! How a new slot comes under supervision: one scan for all, and each verified.

use super::retire;
use super::slot;
use super::slots::{self, Slots};
use crate::error::Result;
use crate::model::profile::Profile;
use crate::s6::events::Subscription;
use crate::s6::scandir::Request;
use crate::s6::service::Service;
use crate::s6::status;
use crate::sys::Name;
use crate::sys::clock::Deadline;
use crate::sys::poll;
use crate::text::Shown;
use crate::text::messages::text;
use std::slice;
use std::time::Duration;

/// What s6-svscan gets for a scan, and for each new service after that.
const TIMEOUT: Duration = Duration::from_secs(10);
/// All services of a scan together get so many seconds, even if new ones come all the time, and one
/// second more for so many services.
const TOGETHER: u64 = 30;
const FOR_A_SECOND: u64 = 8;
/// When nothing new is supervised for so long, what is waited for is renewed, once.
const STALLED: Duration = Duration::from_secs(5);
/// How often to look where no FIFO of ours can be made in event/.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to be supervised, and how far that has come.
struct Adoption<'a> {
    slots: &'a Slots,
    profiles: &'a [Profile],
    user: &'a [u8],
    services_max: usize,
    /// The most that were supervised at any time.
    supervised: usize,
    deadline: Deadline,
    /// The deadline is never put off beyond this.
    end: Deadline,
}

/// Asks for a scan and waits until the slots of `profiles` and their loggers are supervised;
/// for each of them whether it is, in time. `user` and `services_max` are the settings. Only
/// under the lock.
///
/// # Errors
/// [`Kind::Unsupervised`](crate::error::Kind::Unsupervised) if no s6-svscan listens.
pub(crate) fn adopt(
    slots: &Slots,
    profiles: &[Profile],
    user: &[u8],
    services_max: usize,
) -> Result<Vec<Result<bool>>> {
    let mut adoption = Adoption::begin(slots, profiles, user, services_max)?;
    // s6-svscan starts them side by side, so it does not matter who is waited for first.
    let mut adopted = Vec::with_capacity(profiles.len());
    for profile in profiles {
        adopted.push(adoption.wait_for(profile));
    }
    Ok(adopted)
}

/// The same of one.
pub(crate) fn adopt_one(
    slots: &Slots,
    profile: &Profile,
    user: &[u8],
    services_max: usize,
) -> Result<bool> {
    Adoption::begin(slots, slice::from_ref(profile), user, services_max)?.wait_for(profile)
}

impl<'a> Adoption<'a> {
    /// Asks for a scan.
    #[inline(never)]
    fn begin(
        slots: &'a Slots,
        profiles: &'a [Profile],
        user: &'a [u8],
        services_max: usize,
    ) -> Result<Box<Adoption<'a>>> {
        slots.scandir.ask(Request::Scan)?;
        let deadline = Deadline::after(TIMEOUT);
        let together = TOGETHER + profiles.len() as u64 / FOR_A_SECOND;
        let end = Deadline::after(Duration::from_secs(together));
        let supervised = 0;
        Ok(Box::new(Adoption { slots, profiles, user, services_max, supervised, deadline, end }))
    }

    /// Waits until the slot of `profile` and its logger are supervised. If slots come meanwhile, the
    /// deadline is put off for all.
    ///
    /// If a scan fails halfway, because of another entry, s6-svscan may never start what it first
    /// saw in that scan: such a slot is made anew, with a new inode.
    #[inline(never)]
    fn wait_for(&mut self, profile: &Profile) -> Result<bool> {
        let mut renewed = false;
        loop {
            let stalled = Deadline::after(self.deadline.left_or(STALLED));
            let is_supervised = wait(self.slots.service(profile), stalled)?;
            let logger = || self.slots.service(profile).and_then(|slot| slot.logger());
            if is_supervised && wait(logger(), stalled)? {
                return Ok(true);
            }
            if !self.has_progressed() {
                if self.deadline.is_over() {
                    return Ok(false);
                }
                if renewed
                    || is_supervised
                    || obstacle(self.slots)?.is_some()
                    || !self.has_room()?
                {
                    continue;
                }
                self.renew(profile)?;
                renewed = true;
            }
            self.deadline = Deadline::after(self.end.left_or(TIMEOUT));
        }
    }

    /// Whether more slots are supervised than ever before; one that goes and comes again does not
    /// count.
    fn has_progressed(&mut self) -> bool {
        // What is wrong with one of them is told when it is waited for.
        let mut supervised = 0;
        for profile in self.profiles {
            let is_supervised = self.slots.service(profile).and_then(|it| it.is_supervised());
            supervised += usize::from(is_supervised.unwrap_or(false));
        }
        let before = self.supervised;
        self.supervised = before.max(supervised);
        supervised > before
    }

    /// Whether s6-svscan can hold the old directory and the new one for a while.
    fn has_room(&self) -> Result<bool> {
        let names = self.slots.dir().names()?;
        Ok(slots::count(&names) < self.slots.capacity(&names, self.services_max))
    }

    #[inline(never)]
    fn renew(&mut self, profile: &Profile) -> Result<()> {
        slot::renew(self.slots.dir(), profile, self.user)?;
        // If it was only slow, the supervisor of the old directory is one too many.
        retire::send_away(self.slots);
        let mut outcome = Ok(false);
        retire::delete(self.slots, &[profile.leaving()], slice::from_mut(&mut outcome));
        outcome.map(drop)
    }
}

/// Whether `service` is supervised, at the latest at `deadline`. Its supervisor listens before it
/// writes its first status, and tells when that is there.
fn wait(service: Result<Service>, deadline: Deadline) -> Result<bool> {
    let service = service?;
    let mut is_supervised =
        || Ok(service.is_supervised()? && service.dir().look(status::FILE)?.is_some());
    if is_supervised()? {
        return Ok(true);
    }
    // Without a FIFO it is looked each PAUSE; that costs time, and nothing else.
    let events = Subscription::open(service.dir()).ok();
    let fifo = events.as_ref().map(|events| events.fifo());
    let supervised = poll::wait_until(deadline, fifo, PAUSE, &mut is_supervised);
    events.iter().for_each(|events| events.close(service.dir()));
    supervised
}

/// What keeps s6-svscan from its scan, from 2.12 on: a link that leads nowhere.
fn obstacle(slots: &Slots) -> Result<Option<Name>> {
    // Whatever makes our stat fail makes that of s6-svscan fail, too.
    for name in &slots.dir().names()? {
        if !name.starts_with(b".") && !slots.dir().leads(name).unwrap_or(false) {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Why a slot was not taken up, as far as that shows.
pub(crate) fn why_not(slots: &Slots) -> String {
    let why = text!("s6-svscan did not take it up in time").read();
    let more = match obstacle(slots) {
        Ok(Some(name)) => Shown(&name).text() + " leads nowhere, which keeps it from that",
        Ok(None) => return why.into(),
        Err(error) => error.text(),
    };
    [why, ": ", &more].concat()
}
