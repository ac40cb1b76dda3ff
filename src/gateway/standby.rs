//! Slots that stand by while another container on the same volume has their profile: how one comes
//! to that, what it waits for, and how it takes over.

use super::observe::Gateway;
use super::slot::{self, Rest};
use super::slots::Slots;
use crate::error::{Kind, Result};
use crate::hermes::home::{self, Homes};
use crate::hermes::locks::{self, Locks};
use crate::model::observation::{Holder, Observation, State};
use crate::model::profile::Profile;
use crate::s6::control::{self, Control};
use crate::s6::service::Service;
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::inotify::Watches;
use crate::sys::{if_there, poll};
use std::time::Duration;

/// Where the longrun is that takes over what has become free.
const LONGRUN: &[u8] = b"/run/service/hermes-standby";
/// What the kernel gets to let go of a lock whose file was closed, and how often that is looked at.
const LET_GO: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// The locks of `profile`, whose `home` it is; `logs` is the directory of all logs, if it is there.
pub(crate) fn locks_of(home: &Dir, logs: Option<&Dir>, profile: &Profile) -> Locks {
    // A log directory that cannot be opened has no lock that can.
    let log = logs.and_then(|logs| logs.dir(profile.name().as_bytes()).ok());
    Locks::open(home, log.as_ref())
}

/// The same, from the homes of all. A profile without a home has none.
pub(crate) fn locks_in(homes: &Homes, profile: &Profile) -> Result<Locks> {
    match if_there(homes.of(profile))? {
        Some(home) => Ok(locks_of(&home, home::logs(homes.root()).as_ref(), profile)),
        None => Ok(Locks::default()),
    }
}

/// Adds to `it` who holds the lock of its gateway, where that should be nobody.
pub(crate) fn add_holder(homes: &Homes, it: &mut Observation) {
    use State::{BackingOff, Down, Parked, StandingBy, Starting};
    if matches!(it.state, BackingOff | Down | Parked | StandingBy | Starting) {
        // A home that cannot be opened does not tell.
        let home = homes.of(&it.profile).ok();
        it.holder = home.and_then(|home| Locks::open(&home, None).gateway_holder());
    }
}

/// Whether another container runs the gateway with this `home`, which is not up here.
pub(crate) fn runs_elsewhere(home: &Dir) -> bool {
    Locks::open(home, None).gateway_holder() == Some(Holder::Elsewhere)
}

/// Has the service `slot` stand by: it and its logger stay down, or go down.
pub(crate) fn stand_by(slot: &Service) -> Result<()> {
    Rest { down: true, standing_by: true }.put(slot.dir())?;
    // s6-log ignores SIGTERM, for it reads on until nobody can write any more.
    tell(&slot.logger()?, &[Control::Down, Control::HangUp])?;
    tell(slot, &[Control::Down])?;
    wake();
    Ok(())
}

/// Has the slot of `profile`, which stood by, run here: up if it is to be. Only under the lock.
pub(crate) fn take_over(slots: &Slots, profile: &Profile, user: &[u8], up: bool) -> Result<()> {
    slot::amend(slots, profile, user, Some(Rest { down: !up, standing_by: false }))?;
    let gateway = Gateway::open(slots, profile)?;
    tell(&gateway.service.logger()?, &[Control::Up])?;
    if up { tell(&gateway.service, &[Control::Up]) } else { Ok(()) }
}

/// Tells the supervisor of `service` something. Where there is none yet, the files tell it.
fn tell(service: &Service, letters: &[Control]) -> Result<()> {
    match service.control() {
        Err(error) if error.kind == Kind::Unsupervised => Ok(()),
        control => control::tell(&control?, letters),
    }
}

/// Has the longrun look after what stands by. Where it is not there, or this user may not tell it
/// anything, `reconcile` takes over what is free.
pub(crate) fn wake() {
    let _ = Dir::open(LONGRUN)
        .and_then(|dir| dir.dir(b"supervise"))
        .and_then(|dir| dir.open_fifo_writer(b"control")?.write(&[Control::Up as u8]));
}

/// Removes a stale lock from the log of `profile`, which nobody else has.
pub(crate) fn remove_stale_lock(logs: Option<&Dir>, profile: &Profile) -> Result<()> {
    let Some(logs) = logs else { return Ok(()) };
    match if_there(logs.dir(profile.name().as_bytes()))? {
        Some(log) => locks::remove_stale(&log),
        None => Ok(()),
    }
}

/// What tells that a slot begins to stand by.
pub(crate) fn watch_loggers(slots: &Slots) -> Result<Watches> {
    let watches = Watches::new()?;
    for profile in &slots.profiles()? {
        match watches.add(&[&slots.path_of(profile)[..], b"/log"].concat()) {
            // It has gone meanwhile.
            Err(error) if error.kind == Kind::Missing => {}
            watched => drop(watched?),
        }
    }
    Ok(watches)
}

/// Waits until one of `waiting` is free, `watches` tell something, or `deadline` is over.
pub(crate) fn wait(watches: &Watches, waiting: &[Locks], deadline: Deadline) -> Result<()> {
    for locks in waiting {
        locks.watch(watches)?;
    }
    // The locks stay open: a look at them closes no file, and so tells of nothing itself.
    let is_free = || waiting.iter().any(|locks| !locks.are_held_elsewhere());
    let told = poll::wait(&[(Some(watches.fifo()), None)], deadline.left())?;
    if told[0].0 {
        // The kernel tells that a file is closed before it lets go of its lock.
        poll::wait_until(Deadline::after(LET_GO), None, PAUSE, &mut || Ok(is_free()))?;
    }
    Ok(())
}
