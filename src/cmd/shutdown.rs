//! `shutdown`: every gateway down, in parallel, for a container stop. Intents stay.

use crate::cli::Options;
use crate::error::{Error, Kind, Result};
use crate::render::{self, Level};
use crate::s6::events::Listener;
use crate::s6::scandir::{self, ScanDir};
use crate::s6::service::{Control, Service};
use crate::settings::Settings;
use crate::sys::{self, FileKind};
use crate::user;
use std::time::{Duration, Instant};

/// What the gateways get to finish, by default: with s6's own three seconds of
/// grace it fits into the ten that `docker stop` gives.
const TIMEOUT: Duration = Duration::from_secs(6);
/// What they get to die after SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(2);
/// A supervisor that was about to start its service gives up silently: no event.
const SILENT: Duration = Duration::from_millis(50);

/// A gateway on its way down.
struct Target {
    service: Service,
    events: Option<Listener>,
}

/// Runs the command: 0 if all are down, else the first failure.
pub fn run(options: &Options, timeout: Option<Duration>) -> Result<u8> {
    let settings = Settings::read(options)?;
    let scandir = ScanDir::open(&settings.scandir)?;
    if sys::is_root() {
        sys::become_user(&user::look_up(&settings.user)?)?;
    }
    let mut failures = Vec::new();
    let mut targets = Vec::new();
    for name in scandir.dir().names()?.iter().filter(|name| scandir::is_slot(name)) {
        match Target::ask(&scandir, name) {
            Ok(target) => targets.extend(target),
            Err(error) => failures.push(error),
        }
    }
    wait_down(&mut targets, timeout.unwrap_or(TIMEOUT))?;
    if !targets.is_empty() {
        for target in &targets {
            failures.extend(target.kill().err());
        }
        wait_down(&mut targets, AFTER_KILL)?;
        failures.extend(targets.iter().map(Target::stuck));
    }
    let first = failures.first().map_or(0, |error| error.kind.exit_code());
    for error in &failures {
        render::complain(Level::Error, &error.to_string(), options.json);
    }
    Ok(first)
}

impl Target {
    /// Asks the gateway in the slot `name` to go down; `None` if it is none, or
    /// nobody supervises it.
    fn ask(scandir: &ScanDir, name: &[u8]) -> Result<Option<Target>> {
        if scandir.dir().kind(name)? != Some(FileKind::Directory) {
            return Ok(None);
        }
        let service = Service::open(scandir.dir(), name)?;
        if !service.is_supervised()? {
            return Ok(None);
        }
        // Without a subscription its status is looked at from time to time.
        let events = service.listen().ok();
        service.control(Control::Down)?;
        Ok(Some(Target { service, events }))
    }

    fn is_down(&self) -> bool {
        match self.service.status() {
            Ok(status) => status.pid == 0 && !status.want_up,
            // Its supervisor is going, and its directory with it.
            Err(_) => !matches!(self.service.is_supervised(), Ok(true)),
        }
    }

    /// Whether it may go down without an event.
    fn is_silent(&self) -> bool {
        self.events.is_none() || self.service.status().is_ok_and(|status| status.pid == 0)
    }

    fn kill(&self) -> Result<()> {
        self.service.control(Control::Kill)
    }

    fn stuck(&self) -> Box<Error> {
        let why = "it is not down, even after SIGKILL";
        Error::new(Kind::TimedOut, "stop gateway", self.service.dir().path(), why)
    }
}

/// Waits for `timeout` until all are down; those that are not, stay in `targets`.
fn wait_down(targets: &mut Vec<Target>, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        targets.retain(|target| !target.is_down());
        let left = deadline.saturating_duration_since(Instant::now());
        if targets.is_empty() || left.is_zero() {
            return Ok(());
        }
        let silent = targets.iter().any(Target::is_silent);
        let listeners = targets.iter().filter_map(|target| target.events.as_ref());
        Listener::wait(listeners, if silent { left.min(SILENT) } else { left })?;
    }
}
