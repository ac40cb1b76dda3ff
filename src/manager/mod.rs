//! Who supervises gateways here, and what can be asked of them.

pub(crate) mod access;
pub(crate) mod bring;
mod host;
mod s6;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::gateway::slot::Registration;
use crate::gateway::transition::Target;
use crate::hermes::container::{PROC, Supervisor};
use crate::model::profile::Profile;
use crate::text::messages::{Text, text};
use access::{Privilege, S6};
use std::time::Duration;

/// What became of each of several gateways, in the order they were named, and whether that was so
/// already.
pub(crate) type Outcomes = Vec<Result<bool>>;

/// The service manager of this machine, and what is done with gateways while the container runs.
/// All gateways of one call proceed at once.
///
/// # Errors
/// [`NotRegistered`](crate::error::Kind::NotRegistered), [`Registered`](crate::error::Kind::Registered),
/// [`Unsupervised`](crate::error::Kind::Unsupervised), [`Denied`](crate::error::Kind::Denied),
/// [`TimedOut`](crate::error::Kind::TimedOut), and what system calls fail of.
pub(crate) enum ServiceManager<'a> {
    /// Gateways are in slots of a scandir.
    S6(&'a S6<'a>),
    /// It is not ours to command: everything is refused.
    Host(Supervisor),
}

impl<'a> ServiceManager<'a> {
    /// Whether gateways can be registered, and started and stopped.
    pub(crate) fn is_s6(&self) -> bool {
        matches!(self, ServiceManager::S6(_))
    }

    /// s6; where it is not there, the error is made by `refuse`, for `what`.
    fn s6(&self, refuse: Refuse, what: Text) -> Result<&S6<'a>> {
        match self {
            ServiceManager::S6(s6) => Ok(s6),
            ServiceManager::Host(other) => Err(refuse(*other, what)),
        }
    }

    /// Makes a slot and has it supervised, or leaves nothing behind; whether it is new.
    pub(crate) fn register(&self, profile: &Profile, how: &Registration<'_>) -> Result<bool> {
        self.s6(host::unsupported, text!("register gateway"))?.register(profile, how)
    }

    /// Stops gateways and takes their slots away; those not there are gone already.
    /// What is not down in time is killed.
    pub(crate) fn unregister(&self, profiles: &[Profile], timeout: Duration) -> Outcomes {
        match self.s6(host::unsupported, text!("unregister gateway")) {
            Ok(s6) => s6.unregister(profiles, timeout),
            Err(error) => all_failed(profiles.len(), &error),
        }
    }

    /// Brings gateways to `target`: up, and those that are on disk only are registered; down,
    /// `finish` included; or to run in a new process, also those that are down.
    pub(crate) fn bring(&self, target: Target, profiles: &[Profile], timeout: Timeout) -> Outcomes {
        match self.s6(host::refusal, target.what()) {
            Ok(s6) => bring::bring(s6, target, profiles, timeout),
            Err(error) => all_failed(profiles.len(), &error),
        }
    }
}

/// What becomes of so many gateways where `error` keeps all from their work.
#[allow(clippy::borrowed_box)] // To be cloned as it is.
#[inline(never)]
fn all_failed(count: usize, error: &Box<Error>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for _ in 0..count {
        outcomes.push(Err(error.clone()));
    }
    outcomes
}

/// What makes the error where s6 is not there.
type Refuse = fn(Supervisor, Text) -> Box<Error>;

/// How long is waited for what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// Not at all: it is asked for, and that is all.
    NoWait,
    /// So long.
    After(Duration),
    /// As long as it takes.
    Never,
}

/// The kind of service manager of this machine; a scandir that is named is s6's in any case.
pub(crate) fn detect(context: &Context) -> Result<Supervisor> {
    match context.options.scandir.is_some() || context.settings.names_scandir() {
        true => Ok(Supervisor::S6),
        false => Supervisor::detect(PROC),
    }
}

/// Opens the service manager of this machine. As root this is where root is dropped.
pub(crate) fn open(context: &Context, privilege: Privilege) -> Result<ServiceManager<'_>> {
    Ok(match detect(context)? {
        Supervisor::S6 => {
            let s6 = S6::open(context, privilege)?;
            s6.check()?;
            ServiceManager::S6(s6)
        }
        other => ServiceManager::Host(other),
    })
}

/// The same, for `what` only s6 can do.
pub(crate) fn open_s6<'a>(
    context: &'a Context,
    privilege: Privilege,
    what: Text,
) -> Result<&'a mut S6<'a>> {
    refuse_host(context, what)?;
    S6::open(context, privilege)
}

/// Refuses to do `what` where s6 is not.
#[inline(never)]
pub(crate) fn refuse_host(context: &Context, what: Text) -> Result<()> {
    match detect(context)? {
        Supervisor::S6 => Ok(()),
        other => Err(host::refusal(other, what)),
    }
}
