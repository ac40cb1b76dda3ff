//! Several services, each on its way to a target, in one poll loop.

use super::crash_record;
use super::ends::{Acknowledgement, Ends};
use super::outcome::Outcome;
use super::signal;
use super::slots;
use super::transition::{Step, Target, Transition};
use super::turn;
use crate::error::{Error, Kind, Result};
use crate::s6::control::{self, Control};
use crate::s6::events;
use crate::s6::status::Status;
use crate::sys::Name;
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::poll::{self, Fifo};
use crate::text::messages::{Text, text};
use std::time::Duration;

/// How long to wait for what comes without an event: at first, and at most.
pub(super) const SHORTEST: Duration = Duration::from_micros(250);
pub(crate) const LONGEST: Duration = Duration::from_millis(50);
/// How long a process gets to end before it is looked closer who may tell it so.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a gateway is to be up before it counts as started, where that is not sure.
const FIRST: Duration = Duration::from_secs(1);

/// A service on its way to a target.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    scandir: &'a Dir,
    name: Name,
    /// What is open of it; `None` while descriptors are few, and others come first.
    ends: Option<Box<Ends>>,
    transition: Transition,
    outcome: Option<Outcome>,
    doubt: Doubt,
    /// It may die as soon as it is up.
    pub(crate) is_unproven: bool,
}

/// Several of them, boxed as they came.
#[allow(clippy::vec_box)]
pub(crate) type Jobs<'a> = Vec<Box<Job<'a>>>;

/// Whether the process that was told to end may not have been, for want of a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// Nothing was told yet, or no process was there.
    Open,
    /// By the rights of this process it was told.
    Likely,
    /// It was told.
    Settled,
}

impl<'a> Job<'a> {
    /// Subscribes to the service `name` in `scandir`; nothing is told yet.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there is none, [`Kind::Unsupervised`] if nobody supervises it.
    pub(crate) fn open(scandir: &'a Dir, name: &[u8], target: Target) -> Result<Box<Job<'a>>> {
        let ends = Some(Ends::open(scandir, name)?);
        let transition = Transition::new(target);
        let (name, doubt) = (name.to_vec(), Doubt::Open);
        let (outcome, is_unproven) = (None, false);
        Ok(Box::new(Job { scandir, name, ends, transition, outcome, doubt, is_unproven }))
    }

    /// The same, tells it where to go, and adds it to `jobs`; not if there is no such service,
    /// or nobody supervises it. Whether there is none.
    pub(crate) fn begin(
        scandir: &'a Dir,
        name: &[u8],
        target: Target,
        jobs: &mut Jobs<'a>,
    ) -> Result<bool> {
        match Job::open(scandir, name, target) {
            Err(error) if poll::means_no_reader(error.kind) => Ok(error.kind == Kind::Missing),
            job => {
                job?.set_out(jobs);
                Ok(false)
            }
        }
    }

    /// Tells it where to go, and adds it to `jobs`. What there is no descriptor for is waited
    /// for later, but told now.
    #[inline(never)]
    pub(crate) fn set_out(mut self: Box<Job<'a>>, jobs: &mut Jobs<'a>) {
        let others = jobs.len();
        self.advance();
        jobs.push(self);
        if others >= slots::at_once(others + 1) {
            tell_all(&mut jobs[others..], Deadline::after(LONGEST));
            jobs[others].ends = None;
        }
    }

    /// Closes it, if there is no descriptor for it besides so many `others`.
    fn make_room(&mut self, others: usize) {
        if others >= slots::at_once(others + 1) {
            self.ends = None;
        }
    }

    /// Opens again what was closed, and looks how far it has come.
    fn resume(&mut self) {
        if self.ends.is_some() || !self.is_under_way() {
            return;
        }
        match Ends::open(self.scandir, &self.name) {
            Ok(ends) => {
                self.ends = Some(ends);
                self.advance();
            }
            Err(error) => self.outcome = Some(Outcome::of(error)),
        }
    }

    /// Has one that got where it was to get go on to `target`.
    pub(crate) fn go_on(&mut self, target: Target) {
        if let Some(Outcome::Done) = self.outcome {
            self.transition = Transition::new(target);
            self.outcome = None;
        }
    }

    /// Ends it, for its gateway has said that it is ready, or else why it never will be.
    pub(crate) fn end(&mut self, why_not: Option<String>) {
        self.outcome = Some(why_not.map_or(Outcome::Done, Outcome::Died));
    }

    /// What is open of it.
    pub(crate) fn ends(&mut self) -> Option<&mut Ends> {
        self.ends.as_deref_mut()
    }

    /// Why there is no FIFO of ours in its event/, if that is so: its status is read from time
    /// to time instead.
    #[allow(clippy::borrowed_box)] // To be cloned as it is.
    pub(crate) fn events_error(&self) -> Option<&Box<Error>> {
        // A directory that goes at this moment is told by its outcome.
        let error = self.ends.as_ref()?.events.as_ref().err()?;
        (error.kind != Kind::Missing).then_some(error)
    }

    /// Whether nothing became of it yet.
    pub(crate) fn is_under_way(&self) -> bool {
        self.outcome.is_none()
    }

    /// Whether nothing became of it yet, and it was not even told what to do, for its supervisor
    /// does not read.
    fn is_untold(&self) -> bool {
        self.is_under_way() && !self.transition.is_begun()
    }

    /// Whether nothing became of it yet, but it was told what to do.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.is_under_way() && self.transition.is_begun()
    }

    /// Whether it was where it was to get before it was told.
    pub(crate) fn was_there(&self) -> bool {
        self.transition.was_there
    }

    /// Whether it got where it was to get, to whoever wanted to do `what`. What is still on its
    /// way is late.
    pub(crate) fn result(&self, what: Text) -> Result<()> {
        let target = self.transition.target();
        let is_to_end = matches!(target, Target::Rest | Target::Gone);
        let (kind, why) = match &self.outcome {
            Some(Outcome::Done) => return Ok(()),
            // A supervisor that goes has seen its gateway end.
            Some(Outcome::Abandoned | Outcome::Removed) if is_to_end => return Ok(()),
            Some(Outcome::Removed) if target == Target::Down => return Ok(()),
            Some(Outcome::Died(_)) if target == Target::Rest => return Ok(()),
            Some(Outcome::Failed(error)) => return Err(error.clone()),
            Some(Outcome::Died(why)) => (Kind::Unusable, &why[..]),
            Some(Outcome::Overruled) => {
                (Kind::Unusable, text!("another caller overruled it").read())
            }
            Some(Outcome::Abandoned | Outcome::Removed) => {
                (Kind::Unsupervised, text!("its s6-supervise has gone").read())
            }
            None if self.is_untold() => {
                let why = text!("its s6-supervise does not read what it is told");
                (Kind::Unsupervised, why.read())
            }
            None => (Kind::TimedOut, target.late().read()),
        };
        Err(self.scandir.error_of(kind, what, &self.name, why))
    }

    /// Tells its supervisor `letters`, after so many `others`, and its process what that may not
    /// tell it. Whether that has worked shows in its status.
    pub(crate) fn tell(&mut self, letters: &[Control], others: usize) {
        self.resume();
        if let Some(ends) = &self.ends {
            for letter in letters {
                let _ = signal::send(&ends.service, Some(&ends.control), *letter);
            }
        }
        self.make_room(others);
    }

    /// Looks whether its process, which is to end by `status`, may not have been told so. One
    /// system call, where all is well.
    fn doubt(&mut self, status: &Status) {
        if self.doubt == Doubt::Open && self.transition.is_ending(status) {
            self.doubt = Doubt::Likely;
            if signal::may_be_needed() {
                self.settle();
            }
        }
    }

    /// Tells its process to end where its supervisor, which was told so, may not.
    fn settle(&mut self) {
        if let (Doubt::Likely, Some(ends)) = (self.doubt, &self.ends) {
            self.doubt = Doubt::Settled;
            let sent = signal::send(&ends.service, None, Control::Down);
            self.outcome = sent.err().map(Outcome::Failed);
        }
    }

    /// Goes as far as its status allows.
    fn advance(&mut self) {
        let Some(ends) = &mut self.ends else { return };
        while self.outcome.is_none() && ends.has_answered() {
            let status = match ends.looked.take().map_or_else(|| ends.service.status(), Ok) {
                Ok(status) => status,
                // Its supervisor has only just begun, or is at its end; either is told.
                Err(error) if error.kind == Kind::Missing => return,
                Err(error) => return self.outcome = Some(Outcome::Failed(error)),
            };
            let rises =
                matches!(self.transition.target(), Target::Start | Target::Restart | Target::Up);
            // Where that cannot be read, what s6 says counts.
            let waits = rises && turn::awaits(ends.service.dir(), &status).unwrap_or(false);
            self.outcome = match self.transition.next(&status, waits) {
                Step::Wait => return self.doubt(&status),
                Step::Recheck => return ends.acknowledgement = Acknowledgement::Read,
                Step::Done => Some(Outcome::Done),
                Step::Died => match crash_record::died_at_once(&ends.service, &status) {
                    None if status.finishing => {
                        return ends.acknowledgement = Acknowledgement::Read;
                    }
                    None => {
                        self.transition.excuse(&status);
                        None
                    }
                    why => why.map(Outcome::Died),
                },
                Step::Overruled => Some(Outcome::Overruled),
                Step::Tell(letters) => {
                    ends.acknowledgement = Acknowledgement::Unread;
                    control::tell(&ends.control, letters).err().map(Outcome::of)
                }
            };
        }
    }

    /// Takes notice of what [`poll::wait`] told of it, or that its time is over.
    #[inline(never)]
    fn notice(&mut self, (event, gone): (bool, bool), time_is_over: bool) {
        let Some(ends) = &mut self.ends else { return };
        if let (true, Ok(events)) = (event, &ends.events) {
            let last = events.fifo().drain();
            // It is not there yet: finish runs, whose end is told, too.
            if last == events::DIED && self.transition.falls() && !gone {
                return;
            }
        }
        if gone {
            // Nobody is left to read a letter.
            ends.acknowledgement = Acknowledgement::Acted;
        }
        if event || gone || ends.is_silent() && time_is_over {
            self.advance();
        }
        if let (true, Some(ends), None) = (gone, &self.ends, &self.outcome) {
            // With its slot, its status has gone.
            let status = ends.service.status();
            self.outcome = Some(status.err().map_or(Outcome::Abandoned, Outcome::of));
        }
    }
}

/// Waits until those of `jobs` that are up and may die have been up for a while, or have died, and
/// finish has decided what becomes of them.
pub(crate) fn see_them_stay(jobs: &mut [Box<Job<'_>>], deadline: Deadline) -> Result<()> {
    for job in &mut *jobs {
        if job.is_unproven && matches!(job.outcome, Some(Outcome::Done)) {
            job.outcome = None;
        }
    }
    drive(jobs, Deadline::after(deadline.left_or(FIRST)))?;
    for job in &mut *jobs {
        if job.is_under_way() && job.transition.stays() {
            job.outcome = Some(Outcome::Done);
        }
    }
    drive(jobs, deadline)
}

/// Waits until all `jobs` were told what to do, or until `deadline`.
pub(crate) fn tell_all(jobs: &mut [Box<Job<'_>>], deadline: Deadline) {
    while jobs.iter().any(|job| job.is_untold()) && !deadline.is_over() {
        poll::pause(SHORTEST);
        for (others, job) in jobs.iter_mut().enumerate().filter(|(_, job)| job.is_untold()) {
            job.resume();
            job.advance();
            job.make_room(others);
        }
    }
}

/// Waits until something became of each of `jobs`, at the latest at `deadline`. As many are open
/// as there may be; then come the next.
pub(crate) fn drive(jobs: &mut [Box<Job<'_>>], deadline: Deadline) -> Result<()> {
    drive_until(jobs, deadline, None)
}

/// The same, at most until something happens: to one of them, or to `other`.
pub(crate) fn drive_until(
    jobs: &mut [Box<Job<'_>>],
    deadline: Deadline,
    other: Option<&Fifo>,
) -> Result<()> {
    let under_way = jobs.iter().filter(|job| job.is_under_way()).count();
    // Who asks for more each time does so less often.
    let first = if other.is_some() { LONGEST } else { SHORTEST };
    let (mut pause, at_once) = (first, slots::at_once(under_way));
    loop {
        let (mut under_way, over) = (0, deadline.is_over());
        for job in &mut *jobs {
            if over || under_way < at_once {
                job.resume();
            }
            // When the time is over, there is one look at each.
            if !job.is_under_way() || under_way >= at_once {
                job.ends = None;
            }
            under_way += usize::from(job.is_under_way());
        }
        if under_way == 0 || over {
            return Ok(());
        }
        let silent = jobs.iter().any(|job| job.ends.as_ref().is_some_and(|it| it.is_silent()));
        let likely = jobs.iter().any(|job| job.is_under_way() && job.doubt == Doubt::Likely);
        let timeout = match (silent, likely) {
            (true, _) => Some(deadline.left_or(pause)),
            (false, true) => Some(deadline.left_or(PATIENCE)),
            (false, false) => deadline.left(),
        };
        let mut heard = Vec::with_capacity(jobs.len() + 1);
        for job in &*jobs {
            heard.push(match &job.ends {
                Some(it) => (it.events.as_ref().ok().map(|it| it.fifo()), Some(&it.control)),
                None => (None, None),
            });
        }
        heard.push((other, None));
        let told = poll::wait(&heard, timeout)?;
        let nothing = told.iter().all(|told| *told == (false, false));
        for (job, told) in jobs.iter_mut().zip(told) {
            job.notice(told, nothing);
        }
        if let Some(other) = other {
            other.drain();
            return Ok(());
        }
        if silent && nothing {
            pause = LONGEST.min(2 * pause);
        } else if nothing {
            jobs.iter_mut().for_each(|job| job.settle());
        }
    }
}
