//! s6: gateways in slots of a scandir.

use super::{Access, Goal, Outcomes, Patience, ServiceManager};
use crate::cli::{Options, Verbosity};
use crate::error::{Error, Kind, Result};
use crate::gateway::event_loop::{self, Outcome, Target};
use crate::gateway::observe::Lens;
use crate::gateway::slot::{self, Registration};
use crate::gateway::transition::Order;
use crate::gateway::{adopt, crash_record, retire, watch};
use crate::hermes::container::Supervisor;
use crate::hermes::{
    home::{self, Homes},
    state_file, stop_marker,
};
use crate::model::backoff::{self, Exit};
use crate::model::intent::Word;
use crate::model::observation::Report;
use crate::model::plan::Policy;
use crate::model::profile::Profile;
use crate::render::{self, Level};
use crate::s6::control::Control;
use crate::s6::scandir::{self, ScanDir, Tree};
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::settings::Settings;
use crate::sys::user;
use crate::sys::{self, Dir};
use crate::text::Shown;
use std::time::{Duration, Instant};

/// What a gateway gets to die after SIGKILL, and a new one to start.
const SOON: Duration = Duration::from_secs(5);

/// What is done with a running gateway.
struct Verb {
    /// In words, for errors.
    what: &'static str,
    order: Order,
    /// What is wrong when the time is over.
    late: &'static str,
}

const NOT_UP: &str = "it is not up in time";
const START: Verb = Verb { what: "start gateway", order: Order::Start, late: NOT_UP };
const STOP: Verb = Verb {
    what: "stop gateway",
    order: Order::Stop,
    late: "it is not down in time: it is told to stop; hermes-gw signal KILL ends it",
};
const LOOK: &str = "look at gateway";
const RESTART: Verb = Verb {
    what: "restart gateway",
    order: Order::Restart,
    late: "no new process is up in time: it is told to restart",
};

impl Goal {
    const fn verb(self) -> Verb {
        let what = "wait for gateway";
        match self {
            Goal::Up => Verb { what, order: Order::SeeUp, late: NOT_UP },
            Goal::Ready => Verb { what, order: Order::SeeReady, late: "it is not ready in time" },
            Goal::Down => Verb { what, order: Order::SeeDown, late: "it is not down in time" },
        }
    }
}

/// s6's scandir, and the homes of the profiles.
pub struct S6<'a> {
    options: &'a Options,
    settings: Settings,
    scandir: ScanDir,
}

impl<'a> S6<'a> {
    /// Opens the scandir, and drops root where `access` asks for it.
    pub fn open(options: &'a Options, access: Access) -> Result<S6<'a>> {
        let settings = Settings::read(options);
        let scandir = ScanDir::open(&settings.scandir, settings.tree.clone()?)?;
        if access != Access::Read {
            sys::clear_umask();
            sys::raise_descriptor_limit();
            if sys::is_root() {
                let ids = user::look_up(&settings.user)?;
                if access == Access::Register && scandir.tree() == Tree::Root {
                    scandir.give(&ids)?;
                }
                sys::become_user(&ids)?;
            }
        }
        Ok(S6 { options, settings, scandir })
    }

    fn lens(&self) -> Lens<'_> {
        let hint = format!("run as root or {}", Shown(&self.settings.user));
        Lens { scandir: &self.scandir, window: self.settings.limits.window, hint }
    }

    fn warn(&self, error: &Error) {
        render::complain(Level::Warning, &error.to_string(), self.options.json);
    }

    fn failed(&self, verb: &Verb, profile: &Profile, kind: Kind, why: &str) -> Box<Error> {
        Error::new(kind, verb.what, self.scandir.dir().path_of(&profile.slot()), why)
    }

    /// The service of `profile`.
    fn service(&self, verb: &Verb, profile: &Profile) -> Result<Service> {
        Service::open(self.scandir.dir(), &profile.slot()).map_err(|error| {
            if error.kind == Kind::Missing { self.unregistered(verb.what, profile) } else { error }
        })
    }

    /// There is no slot of `profile` to do `what` with.
    fn unregistered(&self, what: &str, profile: &Profile) -> Box<Error> {
        let name = profile.name();
        let makes = match home::exists(home::root_of(&self.settings.home), profile) {
            true => "hermes-gw register",
            false => "hermes profile create",
        };
        let why = format!("no such gateway '{name}': {makes} {name} makes it");
        let path = self.scandir.dir().path_of(&profile.slot());
        Error::new(Kind::NotRegistered, what, path, why)
    }

    /// Whether the gateway of `profile` comes up when the container starts the next time, as
    /// reconcile decides it; `None` if this user may not know.
    fn wants_up_at_boot(&self, homes: &Homes, profile: &Profile) -> Option<bool> {
        match (self.settings.policy.as_ref().ok()?, profile) {
            (Policy::Profiles, _) => homes.wants_up(profile),
            (Policy::Root, Profile::Named(_)) => Some(false),
            (Policy::Root, Profile::Default) => {
                let (all, _) = home::all(home::root_of(&self.settings.home)).ok()?;
                Some(all.iter().any(|profile| homes.wants_up(profile) == Some(true)))
            }
        }
    }

    fn home(&self, profile: &Profile) -> Result<Dir> {
        home::home_of(home::root_of(&self.settings.home), profile)
    }

    /// Records what the operator wants of a gateway. Control goes on without it.
    fn record(&self, profile: &Profile, desired: &Word) {
        self.forgive(self.home(profile).and_then(|home| state_file::record(&home, desired)));
    }

    fn forgive(&self, recorded: Result<Option<Box<Error>>>) {
        match recorded {
            Ok(None) => {}
            // A slot without a profile has no intent to keep.
            Err(error) if error.kind == Kind::Missing => {}
            Ok(Some(error)) => self.warn(&error),
            Err(error) => self.warn(&error.hint("the intent is not recorded")),
        }
    }

    /// Tells a gateway that is up that an operator stops it.
    fn announce_stop(&self, profile: &Profile, service: &Service) {
        let up = service.status().ok().filter(Status::is_up);
        let Some(status) = up else { return };
        match self.home(profile).and_then(|home| stop_marker::leave(&home, status.pid)) {
            Err(error) if error.kind != Kind::Missing => {
                self.warn(&error.hint("the gateway takes this stop for a crash"));
            }
            _ => {}
        }
    }

    /// Once it is so: what the gateway wrote on its way may have taken the intent along,
    /// and a call that was overtaken may have recorded another. The last one told counts.
    fn settle(&self, profile: &Profile, desired: &Word) {
        let still = || -> Result<bool> {
            let service = Service::open(self.scandir.dir(), &profile.slot())?;
            Ok(service.status()?.want_up == (*desired == Word::Running))
        };
        self.forgive(self.home(profile).and_then(|home| {
            // Looked at under the lock: of two calls the second sees what has become.
            home.lock_whole()?;
            if !still()? {
                return Ok(None);
            }
            if *desired == Word::Stopped {
                stop_marker::take_back(&home)?;
            }
            state_file::record(&home, desired)
        }));
    }

    /// Records what is wanted, has it done, and sees to it that it stays recorded.
    fn want(
        &self,
        desired: &Word,
        verb: &Verb,
        profiles: &[Profile],
        patience: Patience,
    ) -> Outcomes {
        let outcomes = self.command(verb, profiles, patience, &|profile, service| {
            self.record(profile, desired);
            // Before the letters: finish looks for it when it hears of them.
            match note(verb, service) {
                // The slot goes at this moment; that will be told.
                Err(error) if error.kind != Kind::Missing => self.warn(&error),
                _ => {}
            }
            if *desired == Word::Stopped {
                self.announce_stop(profile, service);
            }
        });
        let done = profiles.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        if patience != Patience::None {
            done.for_each(|(profile, _)| self.settle(profile, desired));
        }
        outcomes
    }

    /// Puts the gateways on their courses, `prepare`d one by one, and waits for all.
    fn command(
        &self,
        verb: &Verb,
        profiles: &[Profile],
        patience: Patience,
        prepare: &dyn Fn(&Profile, &Service),
    ) -> Outcomes {
        let begin = |profile| {
            let service = self.service(verb, profile)?;
            // Nothing is written down where nothing can be done.
            let mut target =
                Target::open(service, verb.order).map_err(|error| match error.kind {
                    Kind::Unsupervised => error.hint("hermes-gw reconcile asks for one"),
                    _ => error,
                })?;
            prepare(profile, target.service());
            target.advance();
            Ok(target)
        };
        let mut targets: Vec<_> = profiles.iter().map(begin).collect();
        let mut under_way: Vec<_> = targets.iter_mut().flatten().collect();
        let now = Instant::now();
        let waited = match patience {
            Patience::None => {
                event_loop::tell_all(&mut under_way, now + SOON);
                Ok(())
            }
            Patience::Within(time) => event_loop::drive(&mut under_way, Some(now + time)),
            Patience::Endless => event_loop::drive(&mut under_way, None),
        };
        let result = |(profile, target): (&Profile, Result<Target>)| {
            let outcome = target?.outcome();
            waited.clone()?;
            self.result(verb, profile, outcome, patience)
        };
        let results = profiles.iter().zip(targets).map(result);
        results.map(|result| result.map_err(|error| self.settings.explain(error))).collect()
    }

    /// What an outcome is to the operator.
    fn result(
        &self,
        verb: &Verb,
        profile: &Profile,
        outcome: Option<Outcome>,
        patience: Patience,
    ) -> Result<()> {
        let failed = |kind, why: &str| Err(self.failed(verb, profile, kind, why));
        match outcome {
            Some(Outcome::Done) => Ok(()),
            None if patience == Patience::None => Ok(()),
            None => failed(Kind::TimedOut, verb.late),
            Some(Outcome::Died(status)) => failed(Kind::Unusable, &obituary(&status)),
            Some(Outcome::Overruled) => failed(Kind::Unusable, "somebody else overruled it"),
            Some(Outcome::Abandoned) => failed(Kind::Unsupervised, "its s6-supervise has gone"),
            Some(Outcome::Failed(error)) => Err(error),
        }
    }

    /// Registers under the lock, and waits until the slot is supervised; whether it is new.
    fn register_only(&self, profile: &Profile, how: &Registration) -> Result<bool> {
        const REGISTER: Verb = Verb { what: "register gateway", ..START };
        let failed = |kind, why: &str| Err(self.failed(&REGISTER, profile, kind, why));
        let _lock = self.scandir.lock(self.options.json)?;
        let services_max = self.settings.services_max.clone()?;
        let dir = self.scandir.dir();
        let names = dir.names()?;
        self.scandir.heal(&names).iter().for_each(|error| self.warn(error));
        let new = dir.kind(&profile.slot())?.is_none();
        if !new && !how.if_missing {
            return failed(Kind::Registered, "it is registered already");
        }
        if new {
            let capacity = self.scandir.capacity(&names, services_max);
            if names.iter().filter(|name| scandir::is_slot(name)).count() >= capacity {
                let why = format!("s6-svscan can hold no more than {capacity} gateways");
                return failed(Kind::Unusable, &why);
            }
            slot::publish(dir, profile, &self.settings.user, how)?;
        } else if Service::open(dir, &profile.slot())?.is_supervised()? {
            return Ok(false);
        }
        let one = std::slice::from_ref(profile);
        let taken = adopt::take_up(&self.scandir, one, &self.settings.user, services_max);
        let taken = taken.and_then(|lost| match lost.is_empty() {
            true => Ok(new),
            false => failed(Kind::Unsupervised, &adopt::why_not(&self.scandir)),
        });
        taken.inspect_err(|_| {
            // What was wrong first is worth more than what is wrong now.
            if new {
                retire::remove(&self.scandir, std::slice::from_ref(profile), &mut [Ok(())]);
            }
        })
    }

    /// Registers a profile that is on disk and has no slot, and says so.
    fn register_missing(&self, profile: &Profile) -> Result<()> {
        let slot = self.scandir.dir().kind(&profile.slot())?;
        if slot.is_some() || !home::exists(home::root_of(&self.settings.home), profile) {
            return Ok(());
        }
        let how = Registration { if_missing: true, ..Registration::default() };
        match self.register_only(profile, &how)? {
            true if self.options.verbosity != Verbosity::Quiet => {
                render::say(&render::done(profile, "registered", self.options.json))
            }
            _ => Ok(()),
        }
    }
}

/// Notes for finish in which run, or after which death, somebody has a say.
fn note(verb: &Verb, service: &Service) -> Result<()> {
    let status = service.status()?;
    if status.is_down() && verb.order == Order::Stop {
        // It is not down because it is parked any more.
        crash_record::decide(service, "")?;
    }
    let at = match status.is_down() {
        true => service.deaths().last().map(|death| death.stamp),
        // Where nothing is to end, a later end is not what somebody asked for.
        false if verb.order == Order::Start && status.is_up() && status.want_up => None,
        false => Some(status.stamp),
    };
    at.map_or(Ok(()), |at| crash_record::begin_afresh(service, at))
}

/// What is said of a gateway that came up and died.
fn obituary(status: &Status) -> String {
    let exit = status.last_exit();
    let parked = exit == Exit::Code(backoff::CONFIGURATION) || !status.want_up;
    let next = if parked { "it stays down" } else { "s6 tries again" };
    format!("it started and died at once: {exit}; {next}")
}

impl ServiceManager for S6<'_> {
    fn kind(&self) -> Supervisor {
        Supervisor::S6
    }

    fn tree(&self) -> Option<(Tree, &[u8])> {
        Some((self.scandir.tree(), self.scandir.dir().path()))
    }

    fn supports_runtime_registration(&self) -> bool {
        true
    }

    fn list(&self) -> Result<Vec<Profile>> {
        self.scandir.profiles()
    }

    fn register(&self, profile: &Profile, how: &Registration) -> Result<bool> {
        let new = self.register_only(profile, how).map_err(|error| self.settings.explain(error))?;
        if new && !how.down {
            // s6 starts it by itself; whether it stays up is another matter.
            let one = std::slice::from_ref(profile);
            for up in self.command(&START, one, Patience::Within(SOON), &|_, _| ()) {
                match up {
                    Err(error) if error.kind != Kind::Unusable => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(new)
    }

    fn unregister(&self, profiles: &[Profile], timeout: Duration) -> Outcomes {
        let mut outcomes = retire::drain(&self.scandir, profiles, timeout);
        match self.scandir.lock(self.options.json) {
            Ok(_lock) => retire::remove(&self.scandir, profiles, &mut outcomes),
            Err(error) => outcomes.iter_mut().for_each(|it| *it = Err(error.clone())),
        }
        outcomes.into_iter().map(|it| it.map_err(|error| self.settings.explain(error))).collect()
    }

    fn start(&self, profiles: &[Profile], patience: Patience) -> Outcomes {
        let registered = profiles.iter().map(|profile| self.register_missing(profile));
        let registered: Vec<_> = registered.collect();
        let started = self.want(&Word::Running, &START, profiles, patience);
        let both = registered.into_iter().zip(started);
        both.map(|(registered, started)| {
            registered.map_err(|e| self.settings.explain(e)).and(started)
        })
        .collect()
    }

    fn stop(&self, profiles: &[Profile], patience: Patience) -> Outcomes {
        self.want(&Word::Stopped, &STOP, profiles, patience)
    }

    fn restart(&self, profiles: &[Profile], patience: Patience) -> Outcomes {
        self.want(&Word::Running, &RESTART, profiles, patience)
    }

    fn signal(&self, profiles: &[Profile], signal: Control) -> Outcomes {
        const SIGNAL: Verb = Verb { what: "signal gateway", ..START };
        let send = |profile: &Profile| {
            let service = self.service(&SIGNAL, profile)?;
            let control = service.control()?;
            match service.status()?.is_up() {
                true => control.write(&[signal as u8]),
                false => Err(self.failed(&SIGNAL, profile, Kind::Unusable, "it is not up")),
            }
        };
        profiles.iter().map(|it| send(it).map_err(|error| self.settings.explain(error))).collect()
    }

    fn wait(&self, profiles: &[Profile], goal: Goal, patience: Patience) -> Outcomes {
        let verb = goal.verb();
        self.command(&verb, profiles, patience, &|profile, service| {
            if goal == Goal::Ready && service.says_ready() == Ok(false) {
                let why = "it has no notification-fd, and never says that it is ready";
                self.warn(&self.failed(&verb, profile, Kind::Unusable, why));
            }
        })
    }

    fn is_running(&self, profile: &Profile) -> Result<bool> {
        let look = || -> Result<bool> {
            let service = Service::open(self.scandir.dir(), &profile.slot())?;
            Ok(service.is_supervised()? && service.status()?.is_up())
        };
        match look() {
            Err(error) if error.kind == Kind::Missing => Ok(false),
            known => known.map_err(|error| self.settings.explain(error)),
        }
    }

    fn reports(&self, profiles: &[Profile]) -> Vec<Result<Report>> {
        let look = |profile: &Profile| {
            self.lens().look(profile).map_err(|error| {
                if error.kind == Kind::Missing { self.unregistered(LOOK, profile) } else { error }
            })
        };
        let mut reports: Vec<_> = profiles.iter().map(look).collect();
        match user::become_gateways_user(&self.settings.user) {
            Ok(()) => {
                let homes = Homes::open(home::root_of(&self.settings.home));
                for report in reports.iter_mut().flatten() {
                    let homes = homes.as_ref().ok();
                    report.wanted_at_boot =
                        homes.and_then(|homes| self.wants_up_at_boot(homes, &report.profile));
                }
            }
            Err(error) => self.warn(&error),
        }
        reports
    }

    fn watch(&self, profiles: &[Profile], tell: &dyn Fn(&Report) -> Result<()>) -> Result<()> {
        watch::watch(&self.lens(), profiles, &|mut report| {
            let homes = Homes::open(home::root_of(&self.settings.home)).ok();
            report.wanted_at_boot =
                homes.and_then(|homes| self.wants_up_at_boot(&homes, &report.profile));
            tell(&report)
        })
    }
}
