//! `start`, `stop`, `restart`, `signal`, `is-running`, `wait`: gateways that there are.

use super::{named, outcomes, outcomes_of, targets};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::gateway::signal;
use crate::gateway::transition::Target;
use crate::manager::access::{Privilege, S6};
use crate::manager::bring::{self, open};
use crate::manager::{self, Outcomes, Timeout};
use crate::model::profile::Profile;
use crate::options::Opt;
use crate::s6::control::{self, Control};
use crate::text::messages::{Text, text};
use crate::text::part;
use std::time::Duration;

/// What a gateway gets to come up, by default.
const UP: Duration = Duration::from_secs(10);
/// What a gateway gets to finish, by default.
const DOWN: Duration = Duration::from_secs(60);

/// Runs `start`.
pub(crate) fn start(context: &Context) -> Result<u64> {
    change(context, Target::Start)
}

/// Runs `stop`.
pub(crate) fn stop(context: &Context) -> Result<u64> {
    change(context, Target::Stop)
}

/// Runs `restart`.
pub(crate) fn restart(context: &Context) -> Result<u64> {
    change(context, Target::Restart)
}

fn change(context: &Context, target: Target) -> Result<u64> {
    let options = &context.options;
    // What is said where it is waited for, where it is not, and where nothing was to be done.
    let (privilege, default, said) = match target {
        Target::Start => (Privilege::Register, UP, "started;told to start;was up already"),
        Target::Stop => (Privilege::Control, DOWN, "stopped;told to stop;was down already"),
        _ => (Privilege::Control, DOWN, "restarted;told to restart;"),
    };
    let all = options.has(Opt::All);
    let default = if options.has(Opt::WaitReady) { DOWN } else { default };
    let no_wait = options.has(Opt::NoWait);
    let timeout = match no_wait {
        true => Timeout::NoWait,
        false => Timeout::After(options.timeout_or(default)),
    };
    let said = (part(said, ';', no_wait.into()), part(said, ';', 2));
    let manager = manager::open(context, privilege)?;
    // Not to start what is not to be started.
    let careful = target != Target::Stop && !options.has(Opt::Force);
    let is_refused = careful && super::default_serves_all(context, &manager);
    let mut named = match manager.is_s6() {
        true => named(context, &options.words)?,
        // For whom it is refused.
        false if all => vec![Ok(Profile::Default)],
        false => targets(&options.words),
    };
    if all && careful {
        let main_is_default = manager.is_s6() && context.main_is_default()?;
        // Nobody has asked for one that is not to be started.
        let mut at = 0;
        while let Some(it) = named.get(at) {
            let is_default = matches!(it, Ok(Profile::Default));
            if if is_default { main_is_default } else { is_refused } {
                drop(named.remove(at));
            } else {
                at += 1;
            }
        }
    }
    for it in if is_refused { &mut named[..] } else { &mut [] } {
        if let Ok(Profile::Named(name)) = it {
            let why = text!(
                "policy root: default serves it, and a second gateway would use the same \
                       token: --force starts it all the same"
            );
            *it = Err(Error::new(Kind::Unusable, target.what(), &**name, why));
        }
    }
    outcomes(context, named, said, &|profiles| manager.bring(target, profiles, timeout))
}

fn wrong(verb: &str, why: Text) -> Box<Error> {
    Error::new(Kind::Usage, text!("parse arguments"), verb, why)
}

/// Runs `signal`.
#[inline(never)]
pub(crate) fn signal(context: &Context) -> Result<u64> {
    let Some((word, names)) = context.options.words.split_first() else {
        return Err(wrong("signal", text!("needs a signal")));
    };
    let signal = control::signal(word).ok_or_else(|| {
        let why = text!("unknown signal; known");
        Error::new(Kind::Usage, text!("parse signal"), word, why).hint_of(control::NAMES)
    })?;
    let s6 = manager::open_s6(context, Privilege::Control, SIGNAL)?;
    outcomes_of(context, names, "signalled", &|profiles| {
        let mut outcomes = Outcomes::new();
        for profile in profiles {
            outcomes.push(send(s6, profile, signal).map(|()| false));
        }
        outcomes
    })
}

const SIGNAL: Text = text!("signal gateway");

fn send(s6: &S6<'_>, profile: &Profile, letter: Control) -> Result<()> {
    let service = open(s6, SIGNAL, profile)?;
    let control = service.control()?;
    let refused = |why| Err(s6.failed(SIGNAL, profile, Kind::Unusable, why));
    if !service.status()?.is_up() {
        return refused(text!("it is not up").read());
    }
    match signal::send(&service, Some(&control), letter)? {
        true => Ok(()),
        false => refused(
            text!("not sent: its s6-supervise may not, and its process was not found").read(),
        ),
    }
}

/// Runs `is-running`.
#[inline(never)]
pub(crate) fn is_running(context: &Context) -> Result<u64> {
    let profile = super::first_named(context)?;
    let s6 = manager::open_s6(context, Privilege::Read, text!("look at gateway"))?;
    Ok((!s6.is_running(&profile)?).into())
}

/// Runs `wait`.
#[inline(never)]
pub(crate) fn wait(context: &Context) -> Result<u64> {
    let options = &context.options;
    let (up, ready, down) = (options.has(Opt::Up), options.has(Opt::Ready), options.has(Opt::Down));
    let (target, done) = match (up, ready, down) {
        (true, false, false) => (Target::Up, "up"),
        (false, true, false) => (Target::Ready, "ready"),
        (false, false, true) => (Target::Down, "down"),
        _ => return Err(wrong("wait", text!("needs one of --up, --ready and --down"))),
    };
    let timeout = options.timeout.map_or(Timeout::Never, Timeout::After);
    let s6 = manager::open_s6(context, Privilege::Control, text!("wait for gateway"))?;
    outcomes_of(context, &options.words, done, &|profiles| {
        bring::command(s6, target, profiles, timeout, &mut |_, _| Ok(false))
    })
}
