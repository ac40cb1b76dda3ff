//! Brings gateways to a target: records what is wanted, tells their supervisors, waits, and
//! says what has become of each.

use super::access::S6;
use super::{Outcomes, Timeout};
use crate::error::{Error, Kind, Result};
use crate::gateway::crash_record::{self, Intervened};
use crate::gateway::ends::Ends;
use crate::gateway::event_loop::{self, Job, Jobs};
use crate::gateway::slots;
use crate::gateway::transition::Target;
use crate::hermes::{state_file, stop_marker};
use crate::model::backoff::STANDING_BY;
use crate::model::intent::Intent;
use crate::model::profile::Profile;
use crate::options::Opt;
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::s6::tai64n::Tai64n;
use crate::sys::clock::{self, Deadline};
use crate::sys::dir::Dir;
use crate::sys::inotify::Watches;
use crate::text::messages::{Text, text};
use std::time::Duration;

/// How long `--no-wait` tries to tell all supervisors.
const TELL_ALL: Duration = Duration::from_secs(5);

/// How long the locks of all homes together are waited for, before and after; and before, also
/// supervisors that have not read what others have told them.
const LOCKED: Duration = Duration::from_secs(2);

impl Target {
    /// What is done, in words, for errors.
    pub(crate) const fn what(self) -> Text {
        match self {
            Target::Start => text!("start gateway"),
            Target::Stop | Target::Rest => text!("stop gateway"),
            Target::Restart => text!("restart gateway"),
            _ => text!("wait for gateway"),
        }
    }

    /// What an operator wants who asks for this.
    const fn intent(self) -> Option<Intent> {
        match self {
            Target::Start | Target::Restart => Some(Intent::Running),
            Target::Stop => Some(Intent::Stopped),
            _ => None,
        }
    }
}

/// What is done before a gateway is told, by its place among all; whether it may die as soon as it
/// is up, or why it is not told. Where there is no slot, it may make one.
type Prepare<'a> = &'a mut dyn FnMut(usize, Option<&mut Ends>) -> Result<bool>;

/// Records what is wanted, has it done, and sees to it that it stays recorded.
pub(crate) fn bring(
    s6: &S6<'_>,
    target: Target,
    profiles: &[Profile],
    timeout: Timeout,
) -> Outcomes {
    let Some(intent) = target.intent() else {
        return command(s6, target, profiles, timeout, &mut |_, _| Ok(false));
    };
    let homes = s6.context.homes();
    let of = |profile: &Profile| homes.as_ref().map_err(Clone::clone)?.of(profile);
    // Until it is closed it is locked: another hermes-gw may be at it.
    let mut left = LOCKED;
    let locked = |home: Result<Dir>, deadline: Deadline| -> Result<Dir> {
        let home = home?;
        home.lock_whole(deadline).map(|()| home)
    };
    // Where the profiles cannot be listed, none is known to be a second one.
    let list = || homes.as_ref().ok().and_then(|homes| homes.names().ok()).unwrap_or_default();
    let mut names = None;
    // Whose wish was to be recorded, and why it could not be.
    let mut wishes = Vec::new();
    let mut outcomes = command(s6, target, profiles, timeout, &mut |at, ends| {
        let profile = &profiles[at];
        let Some(ends) = ends else {
            // What is on disk only is registered first.
            let registers = target == Target::Start;
            return if registers { s6.register_missing(profile) } else { Ok(()) }.map(|()| false);
        };
        // What another container has is that one's affair.
        if intent == Intent::Stopped && slots::is_standing_by(ends.service.dir()).unwrap_or(false) {
            let why = s6.failed(target.what(), profile, Kind::Unusable, STANDING_BY);
            s6.context.output.warn(why.hint(text!("nothing is recorded")));
            return Ok(false);
        }
        let home = of(profile);
        let mut down = None;
        if intent == Intent::Running {
            // Two gateways in one home would end each other.
            names.get_or_insert_with(list).check(profile)?;
            // What is up, or about to be, or cannot be told, is not kept from it.
            if let Ok(status) = ends.look()
                && !status.may_be_up()
            {
                s6.may_start((target.what(), profile), &ends.service, &homes, &home)?;
                down = Some(status);
            }
        }
        let deadline = Deadline::after(left);
        let home = locked(home, deadline);
        // s6-supervise acts on what others have told it first; the note is about what comes of that.
        ends.hear_out(deadline);
        left = deadline.left_or(left);
        let unrecorded = unrecorded(s6, record(&home, intent));
        wishes.push((at, unrecorded));
        // Before the letters: finish looks for it when it reads them. And by the status of now:
        // to record may take a while. What no event tells of is as it was.
        // After the deaths: the run that it says is up is the one after the last of them.
        let died = ends.service.last_death();
        let down = down.filter(|_| ends.is_unchanged());
        let looked = died.and_then(|died| Ok((died, down.map_or_else(|| ends.look(), Ok)?)));
        let is_unproven = intent == Intent::Running && is_unproven(target, looked.as_ref().ok());
        match looked.and_then(|(died, status)| {
            if intent == Intent::Stopped && status.is_up() {
                announce_stop(s6, &home, &status);
            }
            intervene(target, &ends.service, died, &status)
        }) {
            // The slot goes at this moment; that will be told.
            Err(error) if error.kind != Kind::Missing => s6.context.output.warn(error),
            _ => {}
        }
        Ok(is_unproven)
    });
    left = LOCKED;
    for (at, error) in &mut wishes {
        let (profile, outcome) = (&profiles[*at], &mut outcomes[*at]);
        let mut error = error.take();
        if outcome.is_ok() && timeout != Timeout::NoWait {
            let deadline = Deadline::after(left);
            let home = locked(of(profile), deadline);
            left = deadline.left_or(left);
            error = unrecorded(s6, settle(s6, home, profile, intent));
        }
        match error {
            Some(error) if outcome.is_ok() => *outcome = Err(not_kept(error)),
            Some(error) => s6.context.output.warn(error.hint(text!("the intent is not recorded"))),
            None => {}
        }
    }
    outcomes
}

/// Puts the gateways on their way, `prepare`d one by one, which tells whether one may die as soon
/// as it is up, and waits for all.
pub(crate) fn command(
    s6: &S6<'_>,
    target: Target,
    profiles: &[Profile],
    timeout: Timeout,
    prepare: Prepare<'_>,
) -> Outcomes {
    let (mut outcomes, mut jobs) = (Outcomes::new(), Vec::with_capacity(profiles.len()));
    for profile in profiles {
        let at = outcomes.len();
        outcomes.push(begin(s6, target, (at, profile), &mut jobs, prepare));
    }
    if let Some(error) = jobs.iter().find_map(|job| job.events_error()) {
        const { assert!(event_loop::LONGEST.as_millis() == 50) };
        let instead = text!("statuses are read every 50 ms instead");
        s6.context.output.warn(error.clone().hint(instead));
    }
    let deadline = match timeout {
        Timeout::NoWait => Deadline::after(TELL_ALL),
        Timeout::After(time) => Deadline::after(time),
        Timeout::Never => Deadline::NEVER,
    };
    let waited = match (timeout, target) {
        (Timeout::NoWait, _) => {
            event_loop::tell_all(&mut jobs, deadline);
            Ok(())
        }
        (_, Target::Ready) => hear(s6, target, profiles, &outcomes, &mut jobs, deadline),
        _ => event_loop::drive(&mut jobs, deadline).and_then(|()| {
            if !s6.context.options.has(Opt::WaitReady) {
                return event_loop::see_them_stay(&mut jobs, deadline);
            }
            jobs.iter_mut().for_each(|job| job.go_on(Target::Work));
            hear(s6, Target::Work, profiles, &outcomes, &mut jobs, deadline)
        }),
    };
    let mut jobs = jobs.iter();
    for (outcome, profile) in outcomes.iter_mut().zip(profiles) {
        let job = if outcome.is_ok() { jobs.next() } else { None };
        let Some(job) = job else { continue };
        let ended = match &waited {
            Ok(()) if timeout == Timeout::NoWait && job.is_on_its_way() => Ok(()),
            Ok(()) => job.result(target.what()),
            Err(error) => Err(error.clone()),
        };
        *outcome = match ended {
            Ok(()) => Ok(job.was_there()),
            Err(error)
                if error.kind == Kind::TimedOut
                    && matches!(target, Target::Stop | Target::Restart) =>
            {
                let ends = ["hermes-gw signal KILL ", profile.name(), " ends it"].concat();
                Err(error.hint_of(&ends))
            }
            Err(error) => Err(error),
        };
    }
    outcomes
}

/// Waits until `jobs`, which are of those of `profiles` that have `begun`, are ready, as they say
/// to s6 or in their homes.
#[inline(never)]
fn hear(
    s6: &S6<'_>,
    target: Target,
    profiles: &[Profile],
    begun: &Outcomes,
    jobs: &mut [Box<Job<'_>>],
    deadline: Deadline,
) -> Result<()> {
    let watches = Watches::new()?;
    let observer = s6.observer();
    loop {
        let mut others = jobs.iter_mut();
        for (profile, begun) in profiles.iter().zip(begun) {
            let job = if begun.is_ok() { others.next() } else { None };
            let Some(job) = job.filter(|job| job.is_under_way()) else { continue };
            let mut it = observer.observe(profile);
            s6.watch_home(&mut it, &watches)?;
            match &it.hermes {
                Some(said) if said.is_ready() => job.end(None),
                Some(said) if said.has_failed() && target == Target::Work => {
                    job.end(Some(it.text()));
                }
                _ => {}
            }
        }
        if deadline.is_over() || !jobs.iter().any(|job| job.is_under_way()) {
            return Ok(());
        }
        event_loop::drive_until(jobs, deadline, Some(watches.fifo()))?;
    }
}

/// Puts one gateway on its way, after other `jobs`, and adds it to them.
fn begin<'a>(
    s6: &'a S6<'_>,
    target: Target,
    (at, profile): (usize, &Profile),
    jobs: &mut Jobs<'a>,
    prepare: Prepare<'_>,
) -> Result<bool> {
    // Nothing is written down where nothing can be done.
    let open = || Job::open(s6.slots.dir(), &profile.slot(), target);
    let mut job = open();
    if matches!(&job, Err(error) if error.kind == Kind::Missing) {
        prepare(at, None)?;
        job = open();
    }
    let mut job = job.map_err(|error| match error.kind {
        Kind::Unsupervised => error.hint(text!("hermes-gw reconcile asks for one")),
        _ => not_there(s6, target.what(), profile, error),
    })?;
    if let Some(ends) = job.ends() {
        if target.intent().is_some() {
            s6.make_ours(profile, &ends.service, false);
        }
        job.is_unproven = prepare(at, Some(ends))?;
    }
    job.set_out(jobs);
    Ok(false)
}

/// Whether a gateway that is to come up may die at once, by its last death and its status, if they
/// can be read. One that last ended as it was to, or that is up for a while, is not waited for.
fn is_unproven(target: Target, looked: Option<&(Option<Tai64n>, Status)>) -> bool {
    let Some((died, status)) = looked else { return true };
    let is_young = clock::now() - status.stamp.unix() < 2;
    let may_die = !status.is_up() || target == Target::Start && is_young;
    may_die && (died.is_none() || status.ended_badly())
}

/// The service of `profile`.
pub(crate) fn open(s6: &S6<'_>, what: Text, profile: &Profile) -> Result<Service> {
    s6.slots.service(profile).map_err(|error| not_there(s6, what, profile, error))
}

/// `error`, or what it means where there is no slot.
fn not_there(s6: &S6<'_>, what: Text, profile: &Profile, error: Box<Error>) -> Box<Error> {
    match error.kind {
        Kind::Missing => s6.not_registered(what, profile),
        _ => error,
    }
}

/// Records what the operator wants of a gateway; what became of a file that could not be kept.
fn record(home: &Result<Dir>, intent: Intent) -> Result<Option<Box<Error>>> {
    state_file::record(home.as_ref().map_err(Clone::clone)?, intent)
}

/// Why an intent is not recorded, if it is not. A file that was written anew is warned of.
fn unrecorded(s6: &S6<'_>, recorded: Result<Option<Box<Error>>>) -> Option<Box<Error>> {
    match recorded {
        Ok(None) => None,
        // A slot without a profile has no intent to keep.
        Err(error) if error.kind == Kind::Missing => None,
        Ok(Some(error)) => {
            s6.context.output.warn(error);
            None
        }
        Err(error) => Some(error),
    }
}

/// What was asked for is done, but because of `error` it is not recorded: it ends with the
/// container.
fn not_kept(mut error: Box<Error>) -> Box<Error> {
    error.kind = Kind::Unusable;
    error.hint(text!(
        "what was asked for is done, but not recorded: the next container start will not know"
    ))
}

/// Notes for finish in which run, or after which death, an operator intervenes; `died` is the
/// stamp of the last one.
fn intervene(
    target: Target,
    service: &Service,
    died: Option<Tai64n>,
    status: &Status,
) -> Result<()> {
    if status.is_down() && target == Target::Stop {
        // From now on it is down because it was stopped, not parked.
        crash_record::clear(service)?;
    }
    let (after, in_run) = match (status.is_up(), died) {
        // Where nothing is to end, a later end is not what the operator asked for.
        (true, _) if target == Target::Start && status.want_up => return Ok(()),
        (true, died) => (died.unwrap_or_default(), true),
        (false, _) if status.finishing => (status.stamp, false),
        (false, Some(died)) => (died, false),
        (false, None) => return Ok(()),
    };
    crash_record::intervene(service, &Intervened { after, in_run })
}

/// Tells a gateway that is up that an operator stops it.
fn announce_stop(s6: &S6<'_>, home: &Result<Dir>, status: &Status) {
    let home = home.as_ref().map_err(Clone::clone);
    match home.and_then(|home| stop_marker::leave(home, status.pid)) {
        // Who has no home does not look for it there.
        Err(error) if error.kind != Kind::Missing => {
            s6.context.output.warn(error.hint(text!("the gateway takes this stop for a crash")));
        }
        _ => {}
    }
}

/// Records the intent once more: what the gateway wrote on its way, or another call, may have
/// replaced it. What s6 wants now decides.
#[inline(never)]
fn settle(
    s6: &S6<'_>,
    home: Result<Dir>,
    profile: &Profile,
    intent: Intent,
) -> Result<Option<Box<Error>>> {
    // Looked at under the lock: of two calls the second sees what has become.
    let home = home?;
    let status = Service::status_of(s6.slots.dir(), &profile.slot())?;
    if status.want_up != (intent == Intent::Running) {
        return Ok(None);
    }
    if intent == Intent::Stopped {
        stop_marker::take_back(&home)?;
    }
    state_file::record(&home, intent)
}
