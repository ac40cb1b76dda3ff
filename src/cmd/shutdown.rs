//! `shutdown`: every gateway down, in parallel, for a container stop. Intents stay.

use crate::cli::Options;
use crate::error::{Error, Kind, Result};
use crate::gateway::event_loop::{self, Outcome, Target};
use crate::gateway::transition::Order;
use crate::render::{self, Level};
use crate::s6::control::Control;
use crate::s6::scandir::{self, ScanDir, Tree};
use crate::s6::service::Service;
use crate::settings::Settings;
use crate::sys::user;
use crate::sys::{self, FileKind, Name};
use std::time::{Duration, Instant};

/// What they get to die after SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// What supervisors that are sent away get to go, by themselves and after SIGKILL.
const DISMISSED: [(Control, Duration); 2] =
    [(Control::Exit, Duration::from_secs(5)), (Control::Kill, Duration::from_secs(2))];

/// Runs the command: 0 if all are down, else the first failure. With `supervisors` these
/// go too, those that an s6-svscan which was killed has left behind among them; that is
/// for the user's tree alone.
pub fn run(options: &Options, timeout: Option<Duration>, supervisors: bool) -> Result<u8> {
    let settings = Settings::read(options);
    settings.warn(options);
    let (tree, path) = (settings.tree.clone()?, &settings.scandir[..]);
    if supervisors && tree == Tree::Root {
        let why = "they are PID 1's: only with HERMES_GW_TREE=user";
        return Err(Error::new(Kind::Usage, "send supervisors away from", path, why));
    }
    let ids = sys::is_root().then(|| user::look_up(&settings.user)).transpose()?;
    // Where nothing was reconciled, there is no scandir yet, or one from before this boot.
    let stale = supervisors && ScanDir::make(path, ids.as_ref())?;
    let scandir = ScanDir::open(path, tree)?;
    sys::raise_descriptor_limit();
    if let Some(ids) = ids {
        sys::become_user(&ids)?;
    }
    let mut failures = if stale { scandir.clear() } else { Vec::new() };
    let mut targets = Vec::new();
    for name in scandir.dir().names()?.iter().filter(|name| scandir::is_slot(name)) {
        match ask(&scandir, name) {
            Ok(target) => targets.extend(target),
            Err(error) => failures.push(error),
        }
    }
    let mut going = targets.iter_mut().collect();
    event_loop::drive(&mut going, Some(Instant::now() + timeout.unwrap_or(settings.shutdown)))?;
    going.iter().for_each(|target| target.tell(Control::Kill));
    event_loop::drive(&mut going, Some(Instant::now() + AFTER_KILL))?;
    failures.extend(targets.into_iter().filter_map(failure));
    if supervisors {
        dismiss(&scandir, &mut failures)?;
    }
    let first = failures.first().map_or(0, |error| error.kind.exit_code());
    for error in &failures {
        render::complain(Level::Error, &error.to_string(), options.json);
    }
    Ok(first)
}

/// Asks the gateway in the slot `name` to go down; `None` if it is none, or nobody
/// supervises it.
fn ask(scandir: &ScanDir, name: &[u8]) -> Result<Option<Target>> {
    if scandir.dir().kind(name)? != Some(FileKind::Directory) {
        return Ok(None);
    }
    let service = Service::open(scandir.dir(), name);
    match service.and_then(|service| Target::begin(service, Order::Rest)) {
        // Nobody supervises it, or it is removed at this moment.
        Err(error) if matches!(error.kind, Kind::Unsupervised | Kind::Missing) => Ok(None),
        target => target.map(Some),
    }
}

/// Sends s6-svscan away, and the supervisors of gateways that are down; why one stays
/// goes to `failures`.
fn dismiss(scandir: &ScanDir, failures: &mut impl Extend<Box<Error>>) -> Result<()> {
    let [(_, patience), _] = DISMISSED;
    failures.extend(scandir.terminate(patience).err());
    let mut names = scandir.dir().names()?;
    let directory = |name: &Name| scandir.dir().kind(name) == Ok(Some(FileKind::Directory));
    names.retain(|name| scandir::is_slot(name) && directory(name));
    // The loggers after the gateways, which takes half the descriptors.
    for part in [&b""[..], b"/log"] {
        let mut targets = Vec::new();
        for name in &names {
            let service = Service::open(scandir.dir(), &[name, part].concat());
            match service.and_then(|service| Target::begin(service, Order::SeeGone)) {
                Ok(target) => targets.push(target),
                Err(error) if matches!(error.kind, Kind::Unsupervised | Kind::Missing) => {}
                Err(error) => failures.extend([error]),
            }
        }
        let mut going: Vec<_> = targets.iter_mut().collect();
        for (letter, patience) in DISMISSED {
            going.iter().for_each(|target| target.tell(letter));
            event_loop::drive(&mut going, Some(Instant::now() + patience))?;
        }
        failures.extend(going.iter().map(|target| {
            let why = "its supervisor is still there, even after SIGKILL";
            let path = target.service().dir().path();
            Error::new(Kind::TimedOut, "send supervisor away from", path, why)
        }));
    }
    Ok(())
}

fn failure(target: Target) -> Option<Box<Error>> {
    let path = target.service().dir().path().to_vec();
    match target.outcome() {
        // A supervisor that goes has seen its gateway end.
        Some(Outcome::Done | Outcome::Died(_) | Outcome::Abandoned) => None,
        Some(Outcome::Failed(error)) => Some(error),
        Some(Outcome::Overruled) => {
            let why = "somebody else started it meanwhile";
            Some(Error::new(Kind::Unusable, "stop gateway", path, why))
        }
        None => {
            let why = "it is not down, even after SIGKILL";
            Some(Error::new(Kind::TimedOut, "stop gateway", path, why))
        }
    }
}
