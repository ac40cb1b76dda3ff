//! `start`, `stop`, `restart`, `signal`, `is-running`, `wait`: gateways that there are.

use super::{outcomes, targets};
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
    let (verb, privilege, default, done, told) = match target {
        Target::Start => ("start", Privilege::Register, UP, "started", "told to start"),
        Target::Stop => ("stop", Privilege::Control, DOWN, "stopped", "told to stop"),
        _ => ("restart", Privilege::Control, DOWN, "restarted", "told to restart"),
    };
    let all = options.has(Opt::All);
    match (all, options.words.is_empty()) {
        (true, false) => return Err(wrong(verb, "takes profiles or --all, and not both")),
        (false, true) => {
            let why = "needs a profile, or --all; the root profile is called default";
            return Err(wrong(verb, why));
        }
        _ => {}
    }
    let default = if options.has(Opt::WaitReady) { DOWN } else { default };
    let (timeout, done) = match options.has(Opt::NoWait) {
        true => (Timeout::NoWait, told),
        false => (Timeout::After(options.timeout.unwrap_or(default)), done),
    };
    let manager = manager::open(context, privilege)?;
    let is_refused = target != Target::Stop
        && !options.has(Opt::Force)
        && super::default_serves_all(context, &manager);
    let mut named = match all {
        false => targets(&options.words),
        true => super::all(&manager)?,
    };
    if all && target != Target::Stop && !options.has(Opt::Force) {
        let main_is_default = manager.is_s6() && context.main_is_default()?;
        // Nobody has asked for one that is not to be started.
        named.retain(|it| match it {
            Ok(Profile::Default) => !main_is_default,
            _ => !is_refused,
        });
    }
    for it in named.iter_mut().filter(|_| is_refused) {
        if let Ok(Profile::Named(name)) = it {
            let why = "policy root: default serves it, and a second gateway would use the same \
                       token: --force starts it all the same";
            *it = Err(Error::new(Kind::Unusable, target.what(), &**name, why));
        }
    }
    outcomes(context, named, done, &|profiles| manager.bring(target, profiles, timeout))
}

fn wrong(verb: &str, why: &str) -> Box<Error> {
    Error::new(Kind::Usage, "parse arguments", verb, why)
}

/// Runs `signal`.
#[inline(never)]
pub(crate) fn signal(context: &Context) -> Result<u64> {
    let Some((word, names)) = context.options.words.split_first() else {
        return Err(wrong("signal", "needs a signal"));
    };
    let signal = control::signal(word).ok_or_else(|| {
        let why = String::from("unknown signal; known: ") + control::NAMES;
        Error::new(Kind::Usage, "parse signal", word, &why)
    })?;
    let s6 = manager::open_s6(context, Privilege::Control, SIGNAL)?;
    outcomes(context, targets(names), "signalled", &|profiles| {
        let mut outcomes = Outcomes::new();
        for profile in profiles {
            let sent = send(&s6, profile, signal);
            outcomes.push(sent.map_err(|error| context.explain(error)));
        }
        outcomes
    })
}

const SIGNAL: &str = "signal gateway";

fn send(s6: &S6<'_>, profile: &Profile, letter: Control) -> Result<()> {
    let service = open(s6, SIGNAL, profile)?;
    let control = service.control()?;
    let refused = |why| Err(s6.failed(SIGNAL, profile, Kind::Unusable, why));
    if !service.status()?.is_up() {
        return refused("it is not up");
    }
    match signal::send(&service, Some(&control), letter)? {
        true => Ok(()),
        false => refused("not sent: its s6-supervise may not, and its process was not found"),
    }
}

/// Runs `is-running`.
#[inline(never)]
pub(crate) fn is_running(context: &Context) -> Result<u64> {
    let name = context.options.words.first().map_or(&b""[..], |name| name);
    let profile = super::profile(name)?;
    let running = manager::open(context, Privilege::Read)?.is_running(&profile)?;
    Ok((!running).into())
}

/// Runs `wait`.
#[inline(never)]
pub(crate) fn wait(context: &Context) -> Result<u64> {
    let options = &context.options;
    let (target, done) = match [Opt::Up, Opt::Ready, Opt::Down].map(|it| options.has(it)) {
        [true, false, false] => (Target::Up, "up"),
        [false, true, false] => (Target::Ready, "ready"),
        [false, false, true] => (Target::Down, "down"),
        _ => return Err(wrong("wait", "needs one of --up, --ready and --down")),
    };
    let timeout = options.timeout.map_or(Timeout::Never, Timeout::After);
    let s6 = manager::open_s6(context, Privilege::Control, "wait for gateway")?;
    outcomes(context, targets(&options.words), done, &|profiles| {
        bring::command(&s6, target, profiles, timeout, &mut |_, _| ())
    })
}
