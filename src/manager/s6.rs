//! s6: gateways in slots of a scandir.

use super::access::{S6, is_elsewhere};
use super::bring;
use super::{Outcomes, Timeout, all_failed};
use crate::error::{Kind, Result};
use crate::gateway::observe::Gateway;
use crate::gateway::slot::{self, Batch, Registration, Rest};
use crate::gateway::transition::Target;
use crate::gateway::{adopt, retire, slots, standby};
use crate::hermes::home::Homes;
use crate::hermes::locks::{self, Locks};
use crate::model::backoff::STANDING_BY;
use crate::model::plan::{MAIN_IS_DEFAULT, no_room};
use crate::model::profile::Profile;
use crate::options::{Opt, Verbosity};
use crate::s6::service::Service;
use crate::sys::dir::Dir;
use crate::sys::{if_there, unless_missing};
use crate::text::messages::{Text, text};
use std::slice;
use std::time::Duration;

/// What a gateway that was just registered gets to come up.
const START_UP: Timeout = Timeout::After(Duration::from_secs(5));

impl S6<'_> {
    /// Registers, and waits until the slot is supervised; whether it is new, and this
    /// container's to start.
    fn register_only(&self, profile: &Profile, how: &Registration<'_>) -> Result<bool> {
        let (new, elsewhere) = self.register_locked(profile, how)?;
        if elsewhere {
            self.context.output.tell(profile.name(), STANDING_BY)?;
        }
        Ok(new && !elsewhere)
    }

    /// The same, under the lock, where nothing is said; whether it is new, and whether another
    /// container has it.
    fn register_locked(&self, profile: &Profile, how: &Registration<'_>) -> Result<(bool, bool)> {
        const WHAT: Text = text!("register gateway");
        let settings = &self.context.settings;
        let user = &settings.place()?.user;
        let _lock = self.lock()?;
        let dir = self.slots.dir();
        let names = dir.names()?;
        self.context.output.warn_all(&retire::clean_up(&self.slots, &names));
        let (new, mut elsewhere) = (!self.slots.has(profile)?, false);
        if !new && !how.if_missing {
            let why = text!("it is registered already").read();
            return Err(self.failed(WHAT, profile, Kind::Registered, why));
        }
        // Nor does this make a slot that a boot would not; a profile that is yet to come gets one
        // only if that is meant.
        let is_there = self.is_on_disk(profile)?;
        if new {
            if !is_there && !how.forced {
                let why =
                    text!("it has no SOUL.md on disk: --force registers it all the same").read();
                let error = self.failed(WHAT, profile, Kind::NotRegistered, why);
                return Err(error.hint_of(&self.way_out(profile)));
            }
            let capacity = self.slots.capacity(&names, settings.services_max);
            if slots::count(&names) >= capacity {
                return Err(self.failed(WHAT, profile, Kind::Unusable, &no_room(capacity)));
            }
            elsewhere = self.is_elsewhere(profile)?;
            let rest = Rest { down: how.down, standing_by: elsewhere };
            slot::publish(dir, profile, user, how.environment, rest, &mut Batch::default())?;
            if elsewhere {
                standby::wake();
            }
        } else {
            let service = self.slots.service(profile)?;
            self.make_ours(profile, &service, true);
            if service.is_supervised()? {
                return Ok((false, false));
            }
        }
        let adopted = adopt::adopt_one(&self.slots, profile, user, settings.services_max);
        let error = match adopted {
            Ok(true) => return Ok((new, elsewhere)),
            Ok(false) => {
                self.failed(WHAT, profile, Kind::Unsupervised, &adopt::why_not(&self.slots))
            }
            Err(error) => error,
        };
        // What was wrong first is worth more than what is wrong now.
        if new {
            let mut outcome = [Ok(false)];
            retire::remove(&self.slots, slice::from_ref(profile), &mut outcome);
            if let [Err(why)] = outcome {
                self.context.output.warn(why.hint(text!("not all was taken back")));
            }
        }
        Err(error)
    }

    /// Registers a profile that is on disk and has no slot, and says so.
    pub(super) fn register_missing(&self, profile: &Profile) -> Result<()> {
        if self.slots.has(profile)? || !self.is_on_disk(profile)? {
            return Ok(());
        }
        let how = Registration { if_missing: true, ..Registration::default() };
        match self.register_only(profile, &how)? {
            true if self.context.output.verbosity != Verbosity::Quiet => {
                self.context.output.tell(profile.name(), "registered")
            }
            _ => Ok(()),
        }
    }

    /// Whether another container has `profile`: its gateway, or at least its log.
    fn is_elsewhere(&self, profile: &Profile) -> Result<bool> {
        let Some(homes) = if_there(self.context.homes())? else { return Ok(false) };
        let locks = standby::locks_in(homes, profile)?;
        Ok(is_elsewhere(self.context, homes, (&locks, profile), true))
    }

    /// Refuses to start what another container, or the main program, runs, unless that is to be
    /// done all the same. What stood by for nobody any more has a logger again.
    #[inline(never)]
    pub(super) fn may_start(
        &self,
        (what, profile): (Text, &Profile),
        service: &Service,
        homes: &Result<&Homes>,
        home: &Result<Dir>,
    ) -> Result<()> {
        let forced = self.context.options.has(Opt::Force);
        let refused = |why| Err(self.failed(what, profile, Kind::Unusable, why));
        if *profile == Profile::Default && !forced && self.context.main_is_default()? {
            return refused(MAIN_IS_DEFAULT);
        }
        // Where the homes cannot be opened nothing is known; the intent's record tells of that.
        if let Ok(homes) = homes {
            let locks = match home {
                Err(error) if error.kind == Kind::Missing => Locks::default(),
                home => Locks::open(home.as_ref().map_err(Clone::clone)?, homes.root(), profile)?,
            };
            if locks.are_held_elsewhere() {
                if !forced {
                    return refused(
                        text!(
                            "another container runs it: start and stop it there, or give --force"
                        )
                        .read(),
                    );
                }
                locks::remove_log_lock(homes.root(), profile)?;
            }
        }
        match slots::is_standing_by(service.dir())? {
            true => {
                let _lock = self.lock()?;
                let user = &self.context.settings.place()?.user;
                // One that goes meanwhile is told by what comes next.
                unless_missing(standby::take_over(&self.slots, profile, user, false, false))
            }
            false => Ok(()),
        }
    }

    pub(super) fn register(&self, profile: &Profile, how: &Registration<'_>) -> Result<bool> {
        let register = || -> Result<bool> {
            let new = self.register_only(profile, how)?;
            if new && !how.down {
                // s6 starts it by itself; whether it stays up is another matter.
                let one = slice::from_ref(profile);
                let mut up =
                    bring::command(self, Target::Start, one, START_UP, &mut |_, _| Ok(false));
                if let Some(Err(error)) = up.pop()
                    && error.kind != Kind::Unusable
                {
                    return Err(error);
                }
            }
            Ok(new)
        };
        register().map_err(|error| self.context.explain(error))
    }

    pub(super) fn unregister(&self, profiles: &[Profile], timeout: Duration) -> Outcomes {
        let mut outcomes = retire::stop(&self.slots, profiles, timeout);
        match self.lock() {
            Ok(_lock) => retire::remove(&self.slots, profiles, &mut outcomes),
            Err(error) => outcomes = all_failed(outcomes.len(), &error),
        }
        outcomes
    }

    /// Whether a gateway is up at this moment.
    pub(crate) fn is_running(&self, profile: &Profile) -> Result<bool> {
        let is_up = match Gateway::open(&self.slots, profile) {
            Ok(gateway) => gateway.is_up(),
            Err(error) if error.kind == Kind::Missing => Ok(false),
            Err(error) => Err(error),
        };
        is_up.map_err(|error| self.context.explain(error))
    }
}
