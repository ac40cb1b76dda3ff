//! Who supervises gateways here, and what can be asked of them.

mod host;
mod s6;

use crate::cli::Options;
use crate::error::Result;
use crate::gateway::slot::Registration;
use crate::hermes::container::Supervisor;
use crate::model::observation::Report;
use crate::model::profile::Profile;
use crate::s6::control::Control;
use crate::s6::scandir::Tree;
use std::time::Duration;

/// What became of each of several gateways, in the order they were named.
pub type Outcomes = Vec<Result<()>>;

/// What is done with gateways while the container runs. All gateways of one call
/// proceed at once.
///
/// # Errors
/// [`NotRegistered`](crate::error::Kind::NotRegistered), [`Registered`](crate::error::Kind::Registered),
/// [`Unsupervised`](crate::error::Kind::Unsupervised), [`Denied`](crate::error::Kind::Denied),
/// [`TimedOut`](crate::error::Kind::TimedOut), and what system calls fail of.
pub trait ServiceManager {
    /// Who it is.
    fn kind(&self) -> Supervisor;
    /// Whose s6-svscan it is, and where.
    fn tree(&self) -> Option<(Tree, &[u8])>;
    /// Whether gateways can be registered while the container runs.
    fn supports_runtime_registration(&self) -> bool;
    /// The profiles that are registered, in byte order.
    fn list(&self) -> Result<Vec<Profile>>;
    /// Makes a slot and has it supervised, or leaves nothing behind; whether it is new.
    fn register(&self, profile: &Profile, how: &Registration) -> Result<bool>;
    /// Stops gateways and takes their slots away; those not there are gone already.
    /// What is not down in time is killed.
    fn unregister(&self, profiles: &[Profile], timeout: Duration) -> Outcomes;
    /// Brings gateways up, and registers those that are on disk only.
    fn start(&self, profiles: &[Profile], patience: Patience) -> Outcomes;
    /// Brings gateways down, `finish` included.
    fn stop(&self, profiles: &[Profile], patience: Patience) -> Outcomes;
    /// Has gateways run in a new process, also those that are down.
    fn restart(&self, profiles: &[Profile], patience: Patience) -> Outcomes;
    /// Sends a signal to gateways that are up.
    fn signal(&self, profiles: &[Profile], signal: Control) -> Outcomes;
    /// Waits until gateways are, by themselves, as they should be.
    fn wait(&self, profiles: &[Profile], goal: Goal, patience: Patience) -> Outcomes;
    /// Whether a gateway is up at this moment.
    fn is_running(&self, profile: &Profile) -> Result<bool>;
    /// How gateways stand at this moment. Root is dropped on the way, once s6 was looked at.
    fn reports(&self, profiles: &[Profile]) -> Vec<Result<Report>>;
    /// Tells how gateways stand, all if none is named, and then each change, until nobody
    /// reads stdout any more.
    fn watch(&self, profiles: &[Profile], tell: &dyn Fn(&Report) -> Result<()>) -> Result<()>;
}

/// How long is waited for what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: it is asked for, and that is all.
    None,
    /// So long.
    Within(Duration),
    /// As long as it takes.
    Endless,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The gateway's process is there.
    Up,
    /// It has said that it is ready, by its notification-fd.
    Ready,
    /// It is not there any more, nor is `finish`.
    Down,
}

/// How much a command may do as root before it becomes the gateways' user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads s6's own files, and stays who it is.
    Read,
    /// It talks to supervisors and writes into homes.
    Control,
    /// It adds or removes slots: the scandir is handed over first.
    Register,
}

/// The service manager of this machine; a scandir that is named is s6's in any case.
pub fn detect(options: &Options) -> Supervisor {
    if options.scandir.is_some() { Supervisor::S6 } else { Supervisor::detect() }
}

/// Opens the service manager of this machine. As root this is where root is dropped.
pub fn open(options: &Options, access: Access) -> Result<Box<dyn ServiceManager + '_>> {
    Ok(match detect(options) {
        Supervisor::S6 => Box::new(s6::S6::open(options, access)?),
        other => Box::new(host::Host(other)),
    })
}
