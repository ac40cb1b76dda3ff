//! `register`, `unregister`, `list`, `hook`, `install`: which gateways there are.

use super::{outcomes, targets};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::gateway::retire;
use crate::gateway::slot::Registration;
use crate::hermes::container::Supervisor;
use crate::manager;
use crate::manager::access::Privilege;
use crate::model::profile::Profile;
use crate::options::{Opt, Verbosity};
use crate::output;
use crate::text::messages::text;
use std::slice;

/// Runs `register`.
#[inline(never)]
pub(crate) fn register(context: &Context) -> Result<u64> {
    context.warn_of_settings();
    let options = &context.options;
    let profile = super::first_named(context)?;
    let mut how = Registration {
        environment: &options.environment,
        down: options.has(Opt::Down),
        if_missing: options.has(Opt::IfMissing),
        forced: options.has(Opt::Force),
    };
    let manager = manager::open(context, Privilege::Register)?;
    let served =
        !how.down && profile != Profile::Default && super::default_serves_all(context, &manager);
    how.down |= served;
    if manager.register(&profile, &how)? {
        let (output, name) = (&context.output, profile.name());
        match served && output.verbosity != Verbosity::Quiet {
            true => {
                output.tell(name, text!("registered, down: default serves it (policy root)").read())
            }
            false => output.did(name, "registered"),
        }?;
    }
    Ok(0)
}

/// Runs `unregister`.
#[inline(never)]
pub(crate) fn unregister(context: &Context) -> Result<u64> {
    let timeout = context.options.timeout_or(retire::TIMEOUT);
    let manager = manager::open(context, Privilege::Register)?;
    let said = ("unregistered", "was not registered");
    outcomes(context, targets(&context.options.words), said, &|profiles| {
        manager.unregister(profiles, timeout)
    })
}

/// Runs `list`.
#[inline(never)]
pub(crate) fn list(context: &Context) -> Result<u64> {
    let s6 = manager::open_s6(context, Privilege::Read, text!("list gateways"))?;
    let profiles = s6.slots.profiles()?;
    let json = context.output.json;
    let mut lines = profiles.iter().map(|it| match json {
        true => output::quoted(it.name()),
        false => [it.name(), "\n"].concat(),
    });
    context.output.say_list(&mut lines).map(|()| 0)
}

/// Runs `hook`: what it does for a profile must not keep the profile from being made
/// or deleted.
#[inline(never)]
pub(crate) fn hook(context: &Context) -> Result<u64> {
    let [hook, name] = &context.options.words[..] else { return Ok(0) };
    let create = hook == b"profile-create";
    if !create && hook != b"profile-delete" {
        let why = text!("must be profile-create or profile-delete");
        return Err(Error::new(Kind::Usage, text!("parse hook"), hook, why));
    }
    context.output.warn_unless(call(context, create, name));
    Ok(0)
}

fn call(context: &Context, create: bool, name: &[u8]) -> Result<()> {
    let manager = manager::open(context, Privilege::Register)?;
    if !manager.is_s6() {
        return Ok(());
    }
    let profile: Profile = super::profile(name)?;
    match create {
        true => {
            let how = Registration { down: true, if_missing: true, forced: true, environment: &[] };
            manager.register(&profile, &how).map(drop)
        }
        false => {
            let one = slice::from_ref(&profile);
            match manager.unregister(one, retire::TIMEOUT).pop() {
                Some(Err(error)) => Err(context.explain(error)),
                _ => Ok(()),
            }
        }
    }
}

/// Runs `install` or `uninstall`, as `verb` says, which have nothing to do under s6, and give
/// `guidance`.
#[inline(never)]
pub(crate) fn install(context: &Context, verb: &'static str, guidance: &str) -> Result<u64> {
    match manager::detect(context)? {
        Supervisor::S6 => context.output.answer("text", guidance).map(|()| 0),
        other => {
            let why =
                [other.word(), text!(": is not ours: use hermes gateway ").read(), verb].concat();
            Err(Error::because(Kind::Unsupervised, text!(""), verb, &why))
        }
    }
}
