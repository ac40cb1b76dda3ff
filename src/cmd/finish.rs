//! `finish`: what becomes of a gateway that has died, and when.

use crate::cli::Options;
use crate::error::{Error, Kind, Result};
use crate::gateway::crash_record;
use crate::model::backoff::{self, Exit, Facts, Limits, Verdict};
use crate::render::{self, Level};
use crate::s6::service::Service;
use crate::s6::status::{self, Status};
use crate::settings::Settings;
use crate::sys::user;
use crate::sys::{self, Watches};
use std::time::{Duration, Instant};

/// Tells s6-supervise not to start the service again.
const PARKED: u8 = 125;
/// What s6-supervise gets to say that finish runs.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where there are no watches left, the status is looked at so often.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the command, in the service directory of a gateway that ended with `exit`: its
/// exit code is what s6-supervise goes by.
///
/// # Errors
/// [`Kind::Unsupervised`] if s6-supervise has not started this process, or cannot say so.
pub fn run(options: &Options, exit: Exit) -> Result<u8> {
    let settings = Settings::read(options);
    settings.warn(options);
    // What belongs to hermes is not written as root.
    let may_note = forgive(options, user::become_gateways_user(&settings.user));
    let slot = Service::here()?;
    if !becomes(&|| is_this(&slot), PATIENCE)? {
        // Another start would not help, whoever has started this.
        if exit == Exit::Code(backoff::CONFIGURATION) {
            return Ok(PARKED);
        }
        slot.status()?;
        let why = "no s6-supervise says that it has started this";
        return Err(Error::new(Kind::Unsupervised, "finish gateway", ".", why));
    }
    let first = slot.dir().look(status::FILE);
    let status = slot.status()?;
    let verdict = judge(&slot, &status, exit, &settings.limits);
    let text = verdict.text(exit);
    if !text.is_empty() {
        sys::print_if_heard(format!("hermes-gw: {text}\n").as_bytes());
    }
    let note = |text: &str, afresh: bool| {
        if may_note {
            forgive(options, crash_record::decide(&slot, text));
        }
        if may_note && afresh {
            forgive(options, crash_record::begin_afresh(&slot, status.stamp));
        }
    };
    note(&text, !matches!(verdict, Verdict::BackOff { .. }));
    match verdict {
        Verdict::AsTold => Ok(0),
        Verdict::Park(_) => Ok(PARKED),
        Verdict::BackOff { delay, .. } => {
            // Any letter makes for another status.
            let told = || slot.dir().look(status::FILE) != first;
            // It may have come from another s6-supervise, for which this is none.
            if becomes(&told, delay.saturating_sub(backoff::THROTTLE))? && is_this(&slot) {
                note("", true);
            }
            Ok(0)
        }
    }
}

/// The verdict on the gateway in `slot`, which ended with `exit`; `status` is that of its
/// death.
fn judge(slot: &Service, status: &Status, exit: Exit, limits: &Limits) -> Verdict {
    let died = status.stamp;
    let deaths: Vec<_> = slot.deaths().iter().map(|death| death.stamp).collect();
    let earlier = deaths.iter().rfind(|at| **at != died).copied().unwrap_or_default();
    let fresh = crash_record::fresh_since(slot);
    let counted = deaths.iter().filter(|at| **at > fresh);
    let counted: Vec<_> = counted.map(|at| at.since_unix()).collect();
    let uptime = |started| died.since_unix().saturating_sub(started);
    let facts = Facts {
        exit,
        uptime: crash_record::started(slot).map(uptime),
        // Said in this run, or about its death.
        planned: !status.want_up || earlier < fresh && fresh <= died,
        deaths: &counted,
    };
    backoff::decide(&facts, limits)
}

/// Whether `slot` is where this process is the finish that runs.
fn is_this(slot: &Service) -> bool {
    let own = u64::from(std::process::id());
    slot.status().is_ok_and(|status| status.finishing && status.pid == own)
}

/// Warns of what could not be done; whether it could.
fn forgive(options: &Options, done: Result<()>) -> bool {
    if let Err(error) = &done {
        render::complain(Level::Warning, &error.to_string(), options.json);
    }
    done.is_ok()
}

/// Waits until something `is` so, `time` at most, and looks at each new status; whether it
/// is so. s6 has no event for what it is told while finish runs.
fn becomes(is: &dyn Fn() -> bool, time: Duration) -> Result<bool> {
    // Not one watch more than there must be: the end of one takes the kernel milliseconds.
    if is() || time.is_zero() {
        return Ok(is());
    }
    let watch = || -> Result<Watches> {
        let watches = Watches::new()?;
        watches.add(b"supervise").map(|_| watches)
    };
    let statuses = watch().ok();
    let deadline = Instant::now() + time;
    loop {
        if is() {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        match &statuses {
            Some(statuses) => {
                sys::wait(&[(Some(statuses.fifo()), None)], Some(left))?;
                statuses.fifo().drain();
            }
            None => std::thread::sleep(left.min(LOOK)),
        }
    }
}
