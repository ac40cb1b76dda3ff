//! `finish`: what becomes of a gateway that has died, and when.

use crate::cli::Options;
use crate::error::{Error, Kind, Result};
use crate::model::backoff::{self, Exit, Facts, Verdict};
use crate::render::{self, Level};
use crate::s6::notes;
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::settings::Settings;
use crate::sys::{self, Fifo};
use crate::user;
use std::time::{Duration, Instant};

/// Tells s6-supervise not to start the service again.
const PARKED: u8 = 125;
/// What s6-supervise waits by itself, once finish has ended, before the next start.
const THROTTLE: Duration = Duration::from_secs(1);
/// What s6-supervise gets to say that finish runs.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where there are no watches left, the status is looked at so often.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the command, in the service directory of a gateway that ended with `exit`: its
/// exit code is what s6-supervise goes by.
///
/// # Errors
/// [`Kind::Unsupervised`] if s6-supervise has not started this process, or does not say so.
pub fn run(options: &Options, exit: Exit) -> Result<u8> {
    let settings = Settings::read(options);
    settings.warn(options);
    // What belongs to hermes is not written as root.
    let mut may_note = true;
    if sys::is_root() {
        let dropped = user::look_up(&settings.user).and_then(|ids| sys::become_user(&ids));
        may_note = forgive(options, dropped);
    }
    let slot = Service::here()?;
    let supervisor = Supervisor::hear(&slot);
    let status = supervisor.first_word()?;
    let fresh = notes::fresh_since(&slot);
    let started = notes::started(&slot);
    let asked = fresh.zip(started).is_some_and(|(fresh, started)| fresh > started);
    let facts = Facts {
        exit,
        uptime: started.map(|started| status.stamp.since_unix().saturating_sub(started)),
        planned: asked || !status.want_up,
        deaths: &notes::deaths(&slot),
    };
    let verdict = backoff::decide(&facts, &settings.limits);

    let text = verdict.text(exit);
    let note = |text: &str, afresh| {
        if may_note {
            forgive(options, notes::decide(&slot, text));
            forgive(options, if afresh { notes::begin_afresh(&slot) } else { Ok(()) });
        }
    };
    if !text.is_empty() {
        sys::print_if_heard(format!("hermes-gw: {text}\n").as_bytes());
    }
    note(&text, !matches!(verdict, Verdict::BackOff { .. }));
    match verdict {
        Verdict::AsTold => Ok(0),
        Verdict::Park(_) => Ok(PARKED),
        Verdict::BackOff { delay, .. } => {
            if supervisor.is_told_within(delay.saturating_sub(THROTTLE), fresh) {
                note("", true);
            }
            Ok(0)
        }
    }
}

/// Warns of what could not be done; whether it could.
fn forgive(options: &Options, done: Result<()>) -> bool {
    if let Err(error) = &done {
        render::complain(Level::Warning, &error.to_string(), options.json);
    }
    done.is_ok()
}

/// The s6-supervise that has started this process.
struct Supervisor<'a> {
    slot: &'a Service,
    /// Tells of each new status; s6 has no event for that while finish runs.
    statuses: Option<Fifo>,
}

impl Supervisor<'_> {
    fn hear(slot: &Service) -> Supervisor<'_> {
        Supervisor { slot, statuses: sys::watch_renames(b"supervise").ok() }
    }

    /// Waits for another status, `time` at most; whether there is one. Without a watch
    /// nobody knows.
    fn wait(&self, time: Duration) -> Result<bool> {
        match &self.statuses {
            Some(statuses) => {
                let told = sys::wait(&[(Some(statuses), None)], Some(time))?;
                statuses.drain();
                Ok(told[0].0)
            }
            None => {
                std::thread::sleep(time.min(LOOK));
                Ok(false)
            }
        }
    }

    /// The status of a finish that runs, which s6-supervise writes once it has started it.
    fn first_word(&self) -> Result<Status> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.slot.status()?;
            if status.finishing && status.pid == u64::from(std::process::id()) {
                // That it has come to this is no news.
                self.statuses.iter().for_each(Fifo::drain);
                return Ok(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = "no s6-supervise has started this";
                return Err(Error::new(Kind::Unsupervised, "finish gateway", ".", why));
            }
            self.wait(left)?;
        }
    }

    /// Waits until somebody has a say, `time` at most; whether somebody had.
    fn is_told_within(&self, time: Duration, fresh: Option<Duration>) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let told = notes::fresh_since(self.slot) != fresh
                || !self.slot.status().is_ok_and(|status| status.want_up);
            let left = deadline.saturating_duration_since(Instant::now());
            if told || left.is_zero() {
                return told;
            }
            // Any letter counts that makes for a new status.
            if self.wait(left).unwrap_or(true) {
                return true;
            }
        }
    }
}
