//! `register`, `unregister`, `list`, `hook`, `install`: which gateways there are.

use super::outcomes;
use crate::cli::{Hook, Options, Register};
use crate::error::{Error, Kind, Result};
use crate::gateway::retire::PATIENCE;
use crate::gateway::slot::Registration;
use crate::hermes::container::Supervisor;
use crate::manager::{self, Access};
use crate::model::profile::Profile;
use crate::render::{self, Level};
use std::time::Duration;

/// Runs `register`.
pub fn register(options: &Options, register: &Register) -> Result<u8> {
    let profile = super::profile(&register.profile)?;
    if manager::open(options, Access::Register)?.register(&profile, &register.how)? {
        super::did(options, &profile, "registered")?;
    }
    Ok(0)
}

/// Runs `unregister`.
pub fn unregister(options: &Options, names: &[Vec<u8>], timeout: Option<Duration>) -> Result<u8> {
    let timeout = timeout.unwrap_or(PATIENCE);
    let manager = manager::open(options, Access::Register)?;
    outcomes(options, names, "unregistered", &|profiles| manager.unregister(profiles, timeout))
}

/// Runs `list`.
pub fn list(options: &Options) -> Result<u8> {
    let profiles = manager::open(options, Access::Read)?.list()?;
    let lines = || profiles.iter().map(|profile| format!("{}\n", profile.name())).collect();
    render::say(&if options.json { render::names_json(&profiles) } else { lines() })?;
    Ok(0)
}

/// Runs `hook`: what it does for a profile must not keep the profile from being made
/// or deleted.
pub fn hook(options: &Options, hook: Hook, name: &[u8]) -> Result<u8> {
    if manager::detect(options) != Supervisor::S6 {
        return Ok(0);
    }
    let run = |profile: &Profile| match hook {
        Hook::ProfileCreate => {
            let how = Registration { down: true, if_missing: true, environment: Vec::new() };
            manager::open(options, Access::Register)?.register(profile, &how).map(drop)
        }
        Hook::ProfileDelete => {
            let manager = manager::open(options, Access::Register)?;
            manager.unregister(std::slice::from_ref(profile), PATIENCE).into_iter().collect()
        }
    };
    if let Err(error) = super::profile(name).and_then(|profile| run(&profile)) {
        render::complain(Level::Warning, &error.to_string(), options.json);
    }
    Ok(0)
}

/// Runs `install` and `uninstall`, which have nothing to do under s6.
pub fn install(options: &Options) -> Result<u8> {
    match manager::detect(options) {
        Supervisor::S6 => render::say(GUIDANCE).map(|()| 0),
        other => {
            let why = "is not ours to install into: use hermes gateway install";
            Err(Error::new(Kind::Unsupervised, "install service", other.word(), why))
        }
    }
}

const GUIDANCE: &str = "\
s6 supervises the gateways of this container; there is nothing to install or uninstall.
A gateway's service comes and goes with its profile: hermes profile create, hermes
profile delete. hermes-gw start and hermes-gw stop say whether it runs, also after a
restart of the container.
";
