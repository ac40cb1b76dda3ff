//! s6: gateways in slots of a scandir.

use super::access::S6;
use super::bring;
use super::{Outcomes, ServiceManager, Timeout};
use crate::error::{Kind, Result};
use crate::gateway::observe::Gateway;
use crate::gateway::slot::{self, Registration};
use crate::gateway::transition::Target;
use crate::gateway::{adopt, retire, slots};
use crate::hermes::container::Supervisor;
use crate::model::profile::Profile;
use crate::options::Verbosity;
use crate::s6::service::Service;
use std::slice;
use std::time::Duration;

/// What a gateway that was just registered gets to come up.
const START_UP: Timeout = Timeout::After(Duration::from_secs(5));

impl S6<'_> {
    /// Registers under the lock, and waits until the slot is supervised; whether it is new.
    fn register_only(&self, profile: &Profile, how: &Registration) -> Result<bool> {
        const WHAT: &str = "register gateway";
        let settings = &self.context.settings;
        let user = &settings.place()?.user;
        let _lock = self.lock()?;
        let dir = self.slots.dir();
        let names = dir.names()?;
        for error in retire::clean_up(&self.slots, &names) {
            self.context.output.warn(&error);
        }
        let new = dir.kind(&profile.slot())?.is_none();
        if !new && !how.if_missing {
            let why = "it is registered already";
            return Err(self.failed(WHAT, profile, Kind::Registered, why.into()));
        }
        if new {
            let capacity = self.slots.capacity(&names, settings.services_max);
            if slots::count(&names) >= capacity {
                let why = format!("s6-svscan can hold no more than {capacity} gateways");
                return Err(self.failed(WHAT, profile, Kind::Unusable, why.into()));
            }
            slot::publish(dir, profile, user, how, &mut Vec::new())?;
        } else {
            let service = Service::open(dir, &profile.slot())?;
            self.make_ours(profile, &service, true);
            if service.is_supervised()? {
                return Ok(false);
            }
        }
        let one = slice::from_ref(profile);
        let adopted = adopt::adopt(&self.slots, one, user, settings.services_max);
        let adopted = adopted.and_then(|mut adopted| match adopted.pop() {
            Some(Ok(false)) | None => {
                let why = adopt::why_not(&self.slots);
                Err(self.failed(WHAT, profile, Kind::Unsupervised, why.into()))
            }
            Some(taken) => taken.map(|_| new),
        });
        adopted.inspect_err(|_| {
            // What was wrong first is worth more than what is wrong now.
            if new {
                retire::remove(&self.slots, one, &mut [Ok(())]);
            }
        })
    }

    /// Registers a profile that is on disk and has no slot, and says so.
    fn register_missing(&self, profile: &Profile) -> Result<()> {
        if self.slots.dir().kind(&profile.slot())?.is_some() || !self.is_on_disk(profile)? {
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

    fn explain_all(&self, outcomes: &mut Outcomes) {
        for outcome in outcomes {
            if let Err(error) = outcome {
                *outcome = Err(self.context.explain(error.clone()));
            }
        }
    }
}

impl ServiceManager for S6<'_> {
    fn kind(&self) -> Supervisor {
        Supervisor::S6
    }

    fn supports_runtime_registration(&self) -> bool {
        true
    }

    fn list(&self) -> Result<Vec<Profile>> {
        self.slots.profiles()
    }

    fn register(&self, profile: &Profile, how: &Registration) -> Result<bool> {
        let new = self.register_only(profile, how).map_err(|error| self.context.explain(error))?;
        if new && !how.down {
            // s6 starts it by itself; whether it stays up is another matter.
            let one = slice::from_ref(profile);
            for up in bring::command(self, Target::Start, one, START_UP, &|_, _| ()) {
                match up {
                    Err(error) if error.kind != Kind::Unusable => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(new)
    }

    fn unregister(&self, profiles: &[Profile], timeout: Duration) -> Outcomes {
        let mut outcomes = retire::stop(&self.slots, profiles, timeout);
        match self.lock() {
            Ok(_lock) => retire::remove(&self.slots, profiles, &mut outcomes),
            Err(error) => outcomes.iter_mut().for_each(|it| *it = Err(error.clone())),
        }
        self.explain_all(&mut outcomes);
        outcomes
    }

    fn start(&self, profiles: &[Profile], timeout: Timeout) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for profile in profiles {
            outcomes.push(self.register_missing(profile));
        }
        self.explain_all(&mut outcomes);
        let started = bring::bring(self, Target::Start, profiles, timeout);
        for (outcome, started) in outcomes.iter_mut().zip(started) {
            if outcome.is_ok() {
                *outcome = started;
            }
        }
        outcomes
    }

    fn stop(&self, profiles: &[Profile], timeout: Timeout) -> Outcomes {
        bring::bring(self, Target::Stop, profiles, timeout)
    }

    fn restart(&self, profiles: &[Profile], timeout: Timeout) -> Outcomes {
        bring::bring(self, Target::Restart, profiles, timeout)
    }

    fn is_running(&self, profile: &Profile) -> Result<bool> {
        match Gateway::open(&self.slots, profile) {
            Err(error) if error.kind == Kind::Missing => Ok(false),
            Err(error) => Err(self.context.explain(error)),
            Ok(gateway) => match gateway.status {
                Ok(status) => Ok(status.is_some_and(|status| status.is_up())),
                Err(error) => Err(self.context.explain(error)),
            },
        }
    }
}
