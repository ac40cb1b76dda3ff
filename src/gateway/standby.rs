//! Slots that stand by while another container on the same volume has their profile: how one comes
//! to that, what it waits for, and how it takes over.

use super::slot::{self, Rest};
use super::slots::{DOWN, LOGGER_DOWN, Slots};
use crate::error::{Kind, Result};
use crate::hermes::home::Homes;
use crate::hermes::locks::Locks;
use crate::model::observation::{Holder, Observation, State};
use crate::model::profile::Profile;
use crate::s6::control::{self, Control};
use crate::s6::service::Service;
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::inotify::Watches;
use crate::sys::{if_there, poll, unless_missing};
use std::time::Duration;

/// Where the longrun is that takes over what has become free.
const LONGRUN: &[u8] = b"/run/service/hermes-standby";
/// What the kernel gets to let go of a lock whose file was closed, and how often that is looked at.
const LET_GO: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// The locks of `profile`; it has none without a home.
pub(crate) fn locks_in(homes: &Homes, profile: &Profile) -> Result<Locks> {
    match if_there(homes.of(profile))? {
        Some(home) => Locks::open(&home, homes.root(), profile),
        None => Ok(Locks::default()),
    }
}

/// Adds to `it` who holds the lock of its gateway, where that should be nobody.
pub(crate) fn add_holder(homes: &Homes, it: &mut Observation) {
    use State::{BackingOff, Down, Parked, StandingBy};
    if matches!(it.state, BackingOff | Down | Parked | StandingBy) {
        // What cannot be opened does not tell.
        it.holder = locks_in(homes, &it.profile).ok().and_then(|locks| locks.seen_holder());
    }
}

/// Whether another container runs the gateway with this `home`, which is not up here.
pub(crate) fn runs_elsewhere(home: &Dir) -> Result<bool> {
    Ok(Locks::of_gateway(home)?.gateway_holder() == Some(Holder::Elsewhere))
}

/// Has the service `slot` stand by: it and its logger stay down, or go down.
pub(crate) fn stand_by(slot: &Service) -> Result<()> {
    Rest { down: true, standing_by: true }.put(slot.dir(), false)?;
    // s6-log ignores SIGTERM, for it reads on until nobody can write any more.
    tell(&slot.logger()?, &[Control::Down, Control::HangUp], false)?;
    tell(slot, &[Control::Down], false)?;
    wake();
    Ok(())
}

/// Has the slot of `profile`, which stood by, run here: up if it is to be. Only under the lock.
///
/// # Errors
/// Among others [`Kind::Unsupervised`], where it was seen `supervised`: it stands by as before.
pub(crate) fn take_over(
    slots: &Slots,
    profile: &Profile,
    user: &[u8],
    up: bool,
    supervised: bool,
) -> Result<()> {
    slot::amend(slots, profile, user, None)?;
    let service = slots.service(profile)?;
    if up {
        service.dir().remove(DOWN)?;
    }
    tell(&service.logger()?, &[Control::Up], supervised)?;
    if up {
        tell(&service, &[Control::Up], supervised)?;
    }
    // The mark goes last: as long as it is there, the next run does all this again.
    service.dir().remove(LOGGER_DOWN)
}

/// Tells the supervisor of `service` something. Where there may be none yet, the files tell it;
/// where there is none any more, but it was seen `supervised`, that is an error.
fn tell(service: &Service, letters: &[Control], supervised: bool) -> Result<()> {
    match service.control() {
        Err(error) if error.kind == Kind::Unsupervised && !supervised => Ok(()),
        control => control::tell(&control?, letters),
    }
}

/// Has the longrun look after what stands by. Where it is not there, or this user may not tell it
/// anything, `reconcile` takes over what is free.
pub(crate) fn wake() {
    let service = Service::at(LONGRUN);
    let _ = service.and_then(|service| tell(&service, &[Control::Up], false));
}

/// How many slots stand by. What cannot be looked at may do so.
#[inline(never)]
pub(crate) fn count(slots: &Slots) -> Result<usize> {
    let mut count = 0;
    for profile in &slots.profiles()? {
        let mut mark = profile.slot();
        mark.push(b'/');
        mark.extend_from_slice(LOGGER_DOWN);
        count += usize::from(!matches!(slots.dir().kind(&mark), Ok(None)));
    }
    Ok(count)
}

/// What tells that a slot begins to stand by: that a logger's changes, or that it is new.
pub(crate) fn watch_loggers(slots: &Slots) -> Result<Watches> {
    let watches = Watches::new()?;
    watches.add_replaced_in(slots.dir())?;
    for profile in &slots.profiles()? {
        let mut log = slots.path_of(profile);
        log.extend_from_slice(b"/log");
        let watched = watches.add(&log);
        // One that goes meanwhile does not.
        unless_missing(watched.map(drop))?;
    }
    Ok(watches)
}

/// Waits until one of `waiting` is free, `begins` tells that a slot begins to stand by, or
/// `deadline` is over.
#[inline(never)]
pub(crate) fn wait(begins: &Watches, waiting: &[Locks], deadline: Deadline) -> Result<()> {
    let closes = Watches::new()?;
    for locks in waiting {
        locks.watch(&closes)?;
    }
    // The locks stay open: to look at them closes no file, and so tells nobody of anything.
    let mut is_free = || Ok(waiting.iter().any(Locks::are_free));
    while !is_free()? && !deadline.is_over() {
        let heard = [(Some(begins.fifo()), None), (Some(closes.fifo()), None)];
        if poll::wait(&heard, deadline.left())?[0].0 {
            break;
        }
        closes.fifo().drain();
        // The kernel tells that a file is closed before it lets go of its lock.
        if poll::wait_until(Deadline::after(LET_GO), None, PAUSE, &mut is_free)? {
            break;
        }
    }
    Ok(())
}
