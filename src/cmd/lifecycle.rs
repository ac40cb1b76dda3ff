//! `start`, `stop`, `restart`, `signal`, `is-running`, `wait`: gateways that there are.

use super::outcomes;
use crate::cli::{Change, Lifecycle, Options};
use crate::error::Result;
use crate::manager::{self, Access, Goal, Patience};
use crate::s6::control::Control;
use std::time::Duration;

/// What a gateway gets to come up, by default.
const UP: Duration = Duration::from_secs(10);
/// What a gateway gets to finish, by default.
const DOWN: Duration = Duration::from_secs(60);

/// Runs `start`, `stop` or `restart`.
pub fn change(options: &Options, it: &Lifecycle) -> Result<u8> {
    let (access, default, done, told) = match it.change {
        Change::Start => (Access::Register, UP, "started", "told to start"),
        Change::Stop => (Access::Control, DOWN, "stopped", "told to stop"),
        Change::Restart => (Access::Control, DOWN, "restarted", "told to restart"),
    };
    let done = if it.no_wait { told } else { done };
    let patience = match it.no_wait {
        true => Patience::None,
        false => Patience::Within(it.timeout.unwrap_or(default)),
    };
    let manager = manager::open(options, access)?;
    let names = if it.all { super::all(&*manager)? } else { it.names.clone() };
    outcomes(options, &names, done, &|profiles| match it.change {
        Change::Start => manager.start(profiles, patience),
        Change::Stop => manager.stop(profiles, patience),
        Change::Restart => manager.restart(profiles, patience),
    })
}

/// Runs `signal`.
pub fn signal(options: &Options, signal: Control, names: &[Vec<u8>]) -> Result<u8> {
    let manager = manager::open(options, Access::Control)?;
    outcomes(options, names, "signalled", &|profiles| manager.signal(profiles, signal))
}

/// Runs `is-running`.
pub fn is_running(options: &Options, name: &[u8]) -> Result<u8> {
    let profile = super::profile(name)?;
    let running = manager::open(options, Access::Read)?.is_running(&profile)?;
    Ok((!running).into())
}

/// Runs `wait`.
pub fn wait(
    options: &Options,
    goal: Goal,
    names: &[Vec<u8>],
    timeout: Option<Duration>,
) -> Result<u8> {
    let patience = timeout.map_or(Patience::Endless, Patience::Within);
    let manager = manager::open(options, Access::Control)?;
    let done = match goal {
        Goal::Up => "up",
        Goal::Ready => "ready",
        Goal::Down => "down",
    };
    outcomes(options, names, done, &|profiles| manager.wait(profiles, goal, patience))
}
