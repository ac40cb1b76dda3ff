//! What each verb does: observe → plan → apply → render.

mod completion;
mod doctor;
mod finish;
mod lifecycle;
mod logs;
mod reconcile;
mod registration;
mod shutdown;
mod status;
mod watch;

use crate::cli::help;
use crate::cli::{Command, Invocation, Options, Verbosity};
use crate::error::{Error, Kind, Result};
use crate::hermes::container::Supervisor;
use crate::manager::{Outcomes, ServiceManager};
use crate::model::profile::Profile;
use crate::render::{self, Level};

/// Runs one command; its exit code.
pub fn run(invocation: &Invocation) -> Result<u8> {
    let options = &invocation.options;
    match &invocation.command {
        Command::Reconcile(reconcile) => reconcile::run(options, *reconcile),
        Command::Register(register) => registration::register(options, register),
        Command::Unregister { names, timeout } => {
            registration::unregister(options, names, *timeout)
        }
        Command::List => registration::list(options),
        Command::Lifecycle(lifecycle) => lifecycle::change(options, lifecycle),
        Command::Signal { signal, names } => lifecycle::signal(options, *signal, names),
        Command::IsRunning { name } => lifecycle::is_running(options, name),
        Command::Wait { goal, names, timeout } => lifecycle::wait(options, *goal, names, *timeout),
        Command::Status { names } => status::run(options, names),
        Command::Watch { names } => watch::run(options, names),
        Command::Doctor => doctor::run(options),
        Command::Logs(logs) => logs::run(options, logs),
        Command::Hook { hook, name } => registration::hook(options, *hook, name),
        Command::Install => registration::install(options),
        Command::Shutdown { timeout, supervisors } => {
            shutdown::run(options, *timeout, *supervisors)
        }
        Command::Finish { exit } => finish::run(options, *exit),
        Command::Detect => told(&format!("{}\n", Supervisor::detect().word())),
        Command::Completion { shell } => told(completion::script(*shell)),
        Command::Help { about } => told(help::text(*about)),
        Command::Version => told(concat!("hermes-gw ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn told(text: &str) -> Result<u8> {
    render::say(text).map(|()| 0)
}

/// The profile that a word of the command line names.
fn profile(name: &[u8]) -> Result<Profile> {
    Profile::parse(name).map_err(|why| Error::new(Kind::Usage, "find profile", name, why.why()))
}

/// Does something to all profiles that `names` are; the others are failures too. What
/// went wrong is printed, and the exit code is the first failure's.
fn outcomes(
    options: &Options,
    names: &[Vec<u8>],
    done: &str,
    act: &dyn Fn(&[Profile]) -> Outcomes,
) -> Result<u8> {
    let (parsed, profiles) = targets(names);
    let mut acted = act(&profiles).into_iter();
    let mut code = 0;
    for profile in parsed {
        let done = profile.and_then(|profile| {
            acted.next().unwrap_or(Ok(()))?;
            did(options, &profile, done)
        });
        if let Err(error) = done {
            complain(options, &error);
            code = first(code, error.kind.exit_code());
        }
    }
    Ok(code)
}

/// The names of all profiles that are registered.
fn all(manager: &dyn ServiceManager) -> Result<Vec<Vec<u8>>> {
    let mut all = manager.list()?;
    if !manager.supports_runtime_registration() {
        all.push(Profile::Default); // for whom it is refused
    }
    Ok(all.iter().map(|profile| profile.name().into()).collect())
}

/// What `names` are, each once, and the profiles among them.
fn targets(names: &[Vec<u8>]) -> (Vec<Result<Profile>>, Vec<Profile>) {
    let (mut parsed, mut profiles) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        if !names[..at].contains(name) {
            let profile = profile(name);
            profiles.extend(profile.clone());
            parsed.push(profile);
        }
    }
    (parsed, profiles)
}

/// The exit code of two, of which the first failure's counts.
fn first(one: u8, other: u8) -> u8 {
    if one == 0 { other } else { one }
}

fn complain(options: &Options, error: &Error) {
    render::complain(Level::Error, &error.to_string(), options.json);
}

/// Says with `-v` what was done.
fn did(options: &Options, profile: &Profile, done: &str) -> Result<()> {
    match options.verbosity {
        Verbosity::Verbose => render::say(&render::done(profile, done, options.json)),
        _ => Ok(()),
    }
}
