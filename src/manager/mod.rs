//! Who supervises gateways here, and what can be asked of them.

pub(crate) mod access;
pub(crate) mod bring;
mod host;
mod s6;

use crate::context::Context;
use crate::error::Result;
use crate::gateway::slot::Registration;
use crate::hermes::container::{PROC, Supervisor};
use crate::model::profile::Profile;
use access::{Privilege, S6};
use std::time::Duration;

/// What became of each of several gateways, in the order they were named.
pub(crate) type Outcomes = Vec<Result<()>>;

/// What is done with gateways while the container runs. All gateways of one call proceed at
/// once.
///
/// # Errors
/// [`NotRegistered`](crate::error::Kind::NotRegistered), [`Registered`](crate::error::Kind::Registered),
/// [`Unsupervised`](crate::error::Kind::Unsupervised), [`Denied`](crate::error::Kind::Denied),
/// [`TimedOut`](crate::error::Kind::TimedOut), and what system calls fail of.
pub(crate) trait ServiceManager {
    /// Who it is.
    fn kind(&self) -> Supervisor;
    /// Whether gateways can be registered while the container runs.
    fn supports_runtime_registration(&self) -> bool;
    /// The profiles that are registered, in byte order.
    fn list(&self) -> Result<Vec<Profile>>;
    /// Makes a slot and has it supervised, or leaves nothing behind; whether it is new.
    fn register(&self, profile: &Profile, how: &Registration<'_>) -> Result<bool>;
    /// Stops gateways and takes their slots away; those not there are gone already.
    /// What is not down in time is killed.
    fn unregister(&self, profiles: &[Profile], timeout: Duration) -> Outcomes;
    /// Brings gateways up, and registers those that are on disk only.
    fn start(&self, profiles: &[Profile], timeout: Timeout) -> Outcomes;
    /// Brings gateways down, `finish` included.
    fn stop(&self, profiles: &[Profile], timeout: Timeout) -> Outcomes;
    /// Has gateways run in a new process, also those that are down.
    fn restart(&self, profiles: &[Profile], timeout: Timeout) -> Outcomes;
    /// Whether a gateway is up at this moment.
    fn is_running(&self, profile: &Profile) -> Result<bool>;
}

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
    match context.options.scandir {
        Some(_) => Ok(Supervisor::S6),
        None => Supervisor::detect(PROC),
    }
}

/// Opens the service manager of this machine. As root this is where root is dropped.
pub(crate) fn open(
    context: &Context,
    privilege: Privilege,
) -> Result<Box<dyn ServiceManager + '_>> {
    Ok(match detect(context)? {
        Supervisor::S6 => {
            let s6 = S6::open(context, privilege)?;
            s6.check()?;
            Box::new(s6)
        }
        other => Box::new(host::Host(other)),
    })
}

/// The same, for `what` only s6 can do.
pub(crate) fn open_s6<'a>(
    context: &'a Context,
    privilege: Privilege,
    what: &'static str,
) -> Result<S6<'a>> {
    match detect(context)? {
        Supervisor::S6 => S6::open(context, privilege),
        other => Err(host::refusal(other, what)),
    }
}
