//! Several services, each on its course, in one poll loop.

use super::transition::{Course, Order, Step};
use crate::error::{Error, Kind, Result};
use crate::s6::control::Control;
use crate::s6::events::Subscription;
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::sys::{self, FifoWriter};
use std::time::{Duration, Instant};

/// How long to wait for what comes without an event: at first, and at most.
const SHORTEST: Duration = Duration::from_micros(250);
const LONGEST: Duration = Duration::from_millis(50);

/// What became of a service.
#[derive(Debug)]
pub enum Outcome {
    /// It is where it should be.
    Done,
    /// It came up, and died at once.
    Died(Status),
    /// Somebody else told it otherwise meanwhile.
    Overruled,
    /// Its supervisor has gone.
    Abandoned,
    /// It cannot be told, or looked at.
    Failed(Box<Error>),
}

/// A service on its way.
#[derive(Debug)]
pub struct Target {
    service: Service,
    control: FifoWriter,
    events: Option<Subscription>,
    course: Course,
    hearing: Hearing,
    outcome: Option<Outcome>,
}

/// How far a supervisor has come with what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// It may have letters to read.
    Open,
    /// It has read them, and may not have acted on them yet.
    Read,
    /// Its status is the answer.
    Done,
}

impl Target {
    /// Listens to `service`; nothing is told yet.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if nobody supervises it.
    pub fn open(service: Service, order: Order) -> Result<Target> {
        let control = service.control()?;
        // Where no FIFO can be made in event/, the status is looked at from time to time.
        let events = Subscription::open(service.dir()).ok();
        let course = Course::new(order);
        let hearing = if control.is_drained() { Hearing::Done } else { Hearing::Open };
        Ok(Target { service, control, events, course, hearing, outcome: None })
    }

    /// The same, already on its way.
    pub fn begin(service: Service, order: Order) -> Result<Target> {
        let mut target = Target::open(service, order)?;
        target.advance();
        Ok(target)
    }

    /// The service.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Whether nothing became of it yet.
    pub fn is_under_way(&self) -> bool {
        self.outcome.is_none()
    }

    /// Whether nothing became of it yet, and it was not even told what to do.
    pub fn is_untold(&self) -> bool {
        self.is_under_way() && !self.course.is_begun()
    }

    /// What became of it; `None` if it is still on its way.
    pub fn outcome(mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// Tells its supervisor something, for what that is worth: how it goes on shows
    /// in its status.
    pub fn tell(&self, control: Control) {
        let _ = self.control.write(&[control as u8]);
    }

    /// Whether it is looked at again without an event.
    fn is_silent(&self) -> bool {
        self.events.is_none() || self.hearing != Hearing::Done
    }

    /// Whether its status counts: no letter is on its way, from us or anybody else, that
    /// will change it without an event.
    fn has_answered(&mut self) -> bool {
        self.hearing = match self.hearing {
            Hearing::Done => return true,
            _ if !self.control.is_drained() => Hearing::Open,
            Hearing::Open => Hearing::Read,
            Hearing::Read => Hearing::Done,
        };
        self.hearing == Hearing::Done
    }

    /// Goes as far as its status allows.
    pub fn advance(&mut self) {
        while self.outcome.is_none() && self.has_answered() {
            let status = match self.service.status() {
                Ok(status) => status,
                // Its supervisor has only just begun, or is at its end; either is told.
                Err(error) if error.kind == Kind::Missing => return,
                Err(error) => return self.outcome = Some(Outcome::Failed(error)),
            };
            self.outcome = match self.course.next(&status) {
                Step::Wait => return,
                Step::Doubt => return self.hearing = Hearing::Read,
                Step::Done => Some(Outcome::Done),
                Step::Died => Some(Outcome::Died(status)),
                Step::Overruled => Some(Outcome::Overruled),
                Step::Tell(letters) => {
                    let letters: Vec<_> = letters.iter().map(|letter| *letter as u8).collect();
                    self.hearing = Hearing::Open;
                    match self.control.write(&letters) {
                        Ok(()) => None,
                        Err(error) if error.kind == Kind::Unsupervised => Some(Outcome::Abandoned),
                        Err(error) => Some(Outcome::Failed(error)),
                    }
                }
            };
        }
    }

    /// Takes notice of what [`sys::wait`] told of it, or that its time is over.
    fn notice(&mut self, (event, gone): (bool, bool), time_is_over: bool) {
        if let Some(events) = self.events.as_ref().filter(|_| event) {
            events.fifo().drain();
        }
        if gone {
            // Nobody is left to hear anything.
            self.hearing = Hearing::Done;
        }
        if event || gone || self.is_silent() && time_is_over {
            self.advance();
        }
        if gone && self.outcome.is_none() {
            self.outcome = Some(Outcome::Abandoned);
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(events) = &self.events {
            events.close(self.service.dir());
        }
    }
}

/// Waits until all `targets` were told what to do, or until `deadline`.
pub fn tell_all(targets: &mut [&mut Target], deadline: Instant) {
    while targets.iter().any(|target| target.is_untold()) && Instant::now() < deadline {
        std::thread::sleep(SHORTEST);
        targets.iter_mut().filter(|target| target.is_untold()).for_each(|target| target.advance());
    }
}

/// Waits until something became of each of `targets`, at most until `deadline`; those
/// that are still on their way stay in it.
pub fn drive(targets: &mut Vec<&mut Target>, deadline: Option<Instant>) -> Result<()> {
    let mut pause = SHORTEST;
    loop {
        targets.retain(|target| target.outcome.is_none());
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if targets.is_empty() || left == Some(Duration::ZERO) {
            return Ok(());
        }
        let silent = targets.iter().any(|target| target.is_silent());
        let timeout = if silent { Some(left.map_or(pause, |left| left.min(pause))) } else { left };
        let heard: Vec<_> = targets
            .iter()
            .map(|target| (target.events.as_ref().map(Subscription::fifo), Some(&target.control)))
            .collect();
        let told = sys::wait(&heard, timeout)?;
        let nothing = told.iter().all(|told| *told == (false, false));
        for (target, told) in targets.iter_mut().zip(told) {
            target.notice(told, nothing);
        }
        if silent && nothing {
            pause = LONGEST.min(2 * pause);
        }
    }
}
