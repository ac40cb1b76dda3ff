//! What each verb does, a file for each or for a few that are alike. They are not inlined: the
//! largest frame would make all of them larger. Their exit code has 64 bits, for a result of fewer
//! is not returned in registers.

pub(crate) mod doctor;
pub(crate) mod finish;
pub(crate) mod health;
pub(crate) mod lifecycle;
pub(crate) mod logs;
pub(crate) mod reconcile;
pub(crate) mod registration;
pub(crate) mod shutdown;
pub(crate) mod standby;
pub(crate) mod status;
pub(crate) mod watch;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::hermes::container::{PROC, Supervisor};
use crate::manager::{Outcomes, ServiceManager};
use crate::model::policy::Policy;
use crate::model::profile::Profile;
use crate::options::Opt;
use crate::text::messages::text;

/// Runs `detect`.
#[inline(never)]
pub(crate) fn detect(context: &Context) -> Result<u64> {
    context.output.answer("supervisor", Supervisor::detect(PROC)?.word()).map(|()| 0)
}

/// The profile that a word of the command line names.
fn profile(name: &[u8]) -> Result<Profile> {
    Profile::parse(name)
        .map_err(|why| Error::new(Kind::Usage, text!("find profile"), name, why.why()))
}

/// The profile that the first word names.
fn first_named(context: &Context) -> Result<Profile> {
    profile(context.options.words.first().map_or(b"", |name| name))
}

/// Whether default serves all profiles: then others are not to be started. Where the homes
/// cannot be opened nothing is known. Only once root is dropped.
fn default_serves_all(context: &Context, manager: &ServiceManager<'_>) -> bool {
    if !manager.is_s6() {
        return false;
    }
    let Ok(homes) = context.homes() else { return false };
    let resolved = context.policy(homes);
    context.output.warn_all(&resolved.flaws);
    resolved.policy == Policy::Root
}

/// Does something to all profiles that `named` are; the others are failures too. What
/// went wrong is printed, and the exit code is the first failure's. What is said of the others is
/// `done`, or `was` where nothing was to be done. `act` gives one outcome for each, in their order.
fn outcomes(
    context: &Context,
    named: Vec<Result<Profile>>,
    (done, was): (&'static str, &'static str),
    act: &dyn Fn(&[Profile]) -> Outcomes,
) -> Result<u64> {
    let acted = act(&profiles(&named));
    let (mut at, mut code) = (0, 0);
    for profile in &named {
        let result = match profile {
            Ok(profile) => {
                at += 1;
                match &acted[at - 1] {
                    Ok(true) => context.output.did(profile.name(), was),
                    Ok(false) => context.output.did(profile.name(), done),
                    Err(error) => Err(error.clone()),
                }
            }
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = result {
            code = first(code, fail(context, error));
        }
    }
    Ok(code)
}

/// The same to what `names` are, or to all.
#[inline(never)]
fn outcomes_of(
    context: &Context,
    names: &[Vec<u8>],
    done: &'static str,
    act: &dyn Fn(&[Profile]) -> Outcomes,
) -> Result<u64> {
    outcomes(context, named(context, names)?, (done, ""), act)
}

/// What `names` are, each once; with --all, all profiles that are registered.
fn named(context: &Context, names: &[Vec<u8>]) -> Result<Vec<Result<Profile>>> {
    let mut named = targets(names);
    if context.options.has(Opt::All) {
        for profile in context.slots()?.profiles()? {
            named.push(Ok(profile));
        }
    }
    Ok(named)
}

/// What `names` are, each once.
fn targets(names: &[Vec<u8>]) -> Vec<Result<Profile>> {
    let mut targets = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if !names[..at].contains(name) {
            targets.push(profile(name));
        }
    }
    targets
}

/// The profiles among `targets`.
fn profiles(targets: &[Result<Profile>]) -> Vec<Profile> {
    let mut profiles = Vec::new();
    for profile in targets.iter().flatten() {
        profiles.push(profile.clone());
    }
    profiles
}

/// The exit code of two, of which the first failure's counts.
fn first(one: u64, other: u64) -> u64 {
    if one == 0 { other } else { one }
}

/// Prints what has failed, and whom to be where that is the trouble; its exit code.
fn fail(context: &Context, error: Box<Error>) -> u64 {
    context.output.fail(context.explain(error))
}
