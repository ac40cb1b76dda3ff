//! `reconcile`: observe → plan → apply → report.

use crate::cli::{Options, Reconcile, Verbosity};
use crate::error::{Error, Result};
use crate::gateway::slot::{self, Registration};
use crate::gateway::{adopt, retire};
use crate::hermes::container::Role;
use crate::hermes::{boot_log, home, state_file};
use crate::model::plan::{self, Action, Found, Observed, Slot, Verb};
use crate::model::profile::Profile;
use crate::render::{self, Level};
use crate::s6::scandir::{self, ScanDir, Tree};
use crate::settings::Settings;
use crate::sys::user;
use crate::sys::{self, Dir, Ids, Name};
use crate::text::Shown;

/// Where s6-rc keeps the service directories of the image's static services.
const STATIC_SERVICES: &[u8] = b"/run/s6-rc/servicedirs";

/// All that a run needs to know and hold.
struct Run<'a> {
    options: &'a Options,
    reconcile: Reconcile,
    settings: Settings,
    services_max: usize,
    role: Role,
    home: Dir,
    profiles: Option<Dir>,
    scandir: ScanDir,
}

/// Runs the command: 0 if everything planned was applied, else 1.
pub fn run(options: &Options, reconcile: Reconcile) -> Result<u8> {
    let settings = Settings::read(options);
    settings.warn(options);
    let policy = reconcile.policy.map_or_else(|| settings.policy.clone(), Ok)?;
    let services_max = settings.services_max.clone()?;
    let role = Role::detect();
    if let Some(why) = reason_to_skip(&settings, role) {
        return skip(options, why).map(|()| 0);
    }
    sys::clear_umask();
    let scandir = become_hermes(options, reconcile, &settings)?;
    let home = Dir::open(home::root_of(&settings.home))
        .map_err(|error| error.hint("set HERMES_HOME or --home"))?;
    let mut prune = reconcile.prune;
    let profiles = home::profiles(&home).unwrap_or_else(|error| {
        warn(options, &error);
        // Whose profile is gone cannot be told.
        prune = false;
        None
    });
    let reconcile = Reconcile { prune, ..reconcile };
    let run = Run { options, reconcile, settings, services_max, role, home, profiles, scandir };

    let _lock = if reconcile.dry_run { None } else { Some(run.lock()?) };
    let mut actions = plan::plan(run.observe()?, policy);
    let mut asked = Ok(());
    if !reconcile.dry_run {
        run.prune(&mut actions);
        actions.iter_mut().for_each(|action| run.apply(action));
        asked = run.take_up(&mut actions);
        run.log(&actions);
    }
    run.report(&actions)?;
    asked?;
    Ok(actions.iter().any(|action| action.verb == Verb::Failed).into())
}

/// Says that nothing is done, and why.
fn skip(options: &Options, why: &str) -> Result<()> {
    match (options.json, options.verbosity) {
        (true, _) => {
            render::complain(Level::Warning, &format!("skipped: {why}"), true);
            render::say("[]\n")
        }
        (false, Verbosity::Quiet) => Ok(()),
        (false, _) => render::say(&format!("reconcile: skipped: {why}\n")),
    }
}

/// Why this container is not to be reconciled at all, if so.
fn reason_to_skip(settings: &Settings, role: Role) -> Option<&'static str> {
    if settings.skip {
        Some("HERMES_GW_SKIP_RECONCILE is set")
    } else if role == Role::Dashboard {
        Some("this container runs the dashboard; another one runs the gateways")
    } else {
        None
    }
}

/// Opens the scandir and, as root, does what only root can do, then becomes the user of the
/// gateways for good.
fn become_hermes(options: &Options, reconcile: Reconcile, settings: &Settings) -> Result<ScanDir> {
    let (user, tree) = (&settings.user[..], settings.tree.clone()?);
    let ids = sys::is_root().then(|| user::look_up(user)).transpose()?;
    let stale = tree == Tree::User
        && reconcile.boot
        && !reconcile.dry_run
        && ScanDir::make(&settings.scandir, ids.as_ref())?;
    let scandir = ScanDir::open(&settings.scandir, tree)?;
    if let Some(ids) = ids {
        hand_over(options, reconcile, user, &scandir, &ids)?;
        sys::become_user(&ids)?;
    }
    if stale {
        scandir.clear().iter().for_each(|error| warn(options, error));
    }
    Ok(scandir)
}

/// Gives to `user` what hermes needs of PID 1's tree.
fn hand_over(
    options: &Options,
    reconcile: Reconcile,
    user: &[u8],
    scandir: &ScanDir,
    ids: &Ids,
) -> Result<()> {
    if scandir.tree() == Tree::Root && !reconcile.dry_run {
        scandir.give(ids)?;
        if let (true, Ok(services)) = (reconcile.boot, Dir::open(STATIC_SERVICES)) {
            for error in scandir::give_static_services(&services, ids) {
                warn(options, &error);
            }
        }
        if options.verbosity == Verbosity::Verbose && !options.json {
            let (path, user) = (Shown(scandir.dir().path()), Shown(user));
            render::say(&format!("reconcile: handed {path} to {user}\n"))?;
        }
    }
    Ok(())
}

fn warn(options: &Options, error: &Error) {
    render::complain(Level::Warning, &error.to_string(), options.json);
}

impl Run<'_> {
    fn warn(&self, error: &Error) {
        warn(self.options, error);
    }

    fn lock(&self) -> Result<sys::Lock> {
        self.scandir.lock(self.options.json).map_err(|error| self.settings.explain(error))
    }

    fn observe(&self) -> Result<Observed> {
        let names = self.scandir.dir().names()?;
        if !self.reconcile.dry_run {
            self.scandir.heal(&names).iter().for_each(|error| self.warn(error));
        }
        let mut found = vec![self.found(&names, Profile::Default, &self.home)];
        let migrate = self.role == Role::GatewayRun
            && !self.settings.no_supervise
            && self.home.kind(state_file::STATE_FILE) == Ok(None);
        let mut prune = self.reconcile.prune;
        if let Some(profiles) = &self.profiles {
            let entries = profiles.names().unwrap_or_else(|error| {
                self.warn(&error);
                prune = false;
                Vec::new()
            });
            found.extend(entries.iter().filter_map(|name| self.named(&names, profiles, name)));
        }
        let known = found.iter().filter(|f| f.profile.is_ok() && f.slot != Slot::Absent).count();
        let slots = names.iter().filter(|name| scandir::is_slot(name)).count();
        let mut orphans = if prune { self.scandir.profiles()? } else { Vec::new() };
        orphans
            .retain(|profile| found.iter().all(|found| found.name() != profile.name().as_bytes()));
        Ok(Observed {
            found,
            migrate,
            capacity: self.scandir.capacity(&names, self.services_max),
            strangers: slots.saturating_sub(known + orphans.len()),
            orphans,
        })
    }

    /// The entry `name` of `profiles/`, if it is a profile or looks like one.
    fn named(&self, slots: &[Name], profiles: &Dir, name: &[u8]) -> Option<Found> {
        Some(match home::named(profiles, name)? {
            Ok((profile, home)) => self.found(slots, profile, &home),
            Err(why) => unusable(name, why),
        })
    }

    fn found(&self, slots: &[Name], profile: Profile, home: &Dir) -> Found {
        let (prior, flaw) = state_file::read_prior(home);
        if let Some(flaw) = flaw {
            self.warn(&flaw);
        }
        let present = slots.binary_search_by(|name| name[..].cmp(&profile.slot()[..])).is_ok();
        let slot = match present {
            false => Slot::Absent,
            true => slot::observe(self.scandir.dir(), &profile, &self.settings.user),
        };
        Found { profile: Ok(profile), prior, exit: state_file::read_exit(home), slot }
    }

    /// Takes away the slots that are to go, first of all: there is room for others then.
    /// Supervisors whose slot somebody has deleted go too.
    fn prune(&self, actions: &mut [Action]) {
        if !self.reconcile.prune {
            return;
        }
        let mut pruned: Vec<_> = actions.iter_mut().filter(|a| a.verb == Verb::Pruned).collect();
        let profiles: Vec<_> = pruned.iter().filter_map(|a| a.profile.clone().ok()).collect();
        let mut outcomes = retire::drain(&self.scandir, &profiles, retire::PATIENCE);
        retire::remove(&self.scandir, &profiles, &mut outcomes);
        for (action, outcome) in pruned.iter_mut().zip(outcomes) {
            if let Err(error) = outcome {
                action.fail(error.to_string());
            }
        }
    }

    /// Does what `action` says, or marks it failed.
    fn apply(&self, action: &mut Action) {
        let Ok(profile) = &action.profile else { return };
        let (scandir, user) = (self.scandir.dir(), &self.settings.user[..]);
        let done = self.prepare(profile, action).and_then(|()| match action.verb {
            Verb::Started | Verb::Registered => {
                let how = Registration { down: action.down, ..Registration::default() };
                slot::publish(scandir, profile, user, &how)
            }
            Verb::Updated => slot::amend(scandir, profile, user, action.down),
            Verb::Kept | Verb::Skipped | Verb::Pruned | Verb::Failed => Ok(()),
        });
        if let Err(error) = done {
            action.fail(error.to_string());
        }
    }

    /// The part of `action` that concerns the profile's home. What cannot be written
    /// there is warned of: a slot that works is worth more than a tidy home.
    fn prepare(&self, profile: &Profile, action: &Action) -> Result<()> {
        if !action.sweep && !action.seed {
            return Ok(());
        }
        let named;
        let home = match (profile, &self.profiles) {
            (Profile::Named(name), Some(profiles)) => {
                named = profiles.dir(name.as_bytes())?;
                &named
            }
            (Profile::Named(_), None) => return Ok(()), // and none was found
            (Profile::Default, _) => &self.home,
        };
        if action.seed {
            self.forgive(state_file::seed(home, sys::now()));
        }
        self.forgive(match action.verb {
            _ if !action.sweep => Ok(()),
            Verb::Started | Verb::Registered => home::sweep(home),
            _ => home::sweep_unless(home, || slot::may_run(self.scandir.dir(), profile)),
        });
        Ok(())
    }

    fn forgive(&self, result: Result<()>) {
        if let Err(error) = result {
            self.warn(&error);
        }
    }

    /// Adds to the boot log what a boot did, or what was changed since.
    fn log(&self, actions: &[Action]) {
        let unchanged = |action: &Action| matches!(action.verb, Verb::Kept | Verb::Skipped);
        if !self.reconcile.boot && actions.iter().all(unchanged) {
            return;
        }
        let lines = render::actions_log(actions, sys::now());
        match boot_log::append(&self.home, lines.as_bytes()) {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => self.warn(&error),
        }
    }

    /// Has the slots taken up that nobody supervises yet, by one scan for all.
    fn take_up(&self, actions: &mut [Action]) -> Result<()> {
        let pending = |a: &&Action| a.unsupervised && a.verb != Verb::Failed;
        let profiles = actions.iter().filter(pending).filter_map(|a| a.profile.clone().ok());
        let profiles: Vec<_> = profiles.collect();
        if self.reconcile.boot || profiles.is_empty() {
            return Ok(());
        }
        let lost =
            adopt::take_up(&self.scandir, &profiles, &self.settings.user, self.services_max)?;
        let is_lost = |a: &&mut Action| a.profile.as_ref().is_ok_and(|it| lost.contains(&it));
        for action in actions.iter_mut().filter(is_lost) {
            action.fail(adopt::why_not(&self.scandir));
        }
        Ok(())
    }

    fn report(&self, actions: &[Action]) -> Result<()> {
        match (self.options.verbosity, self.options.json) {
            (Verbosity::Quiet, _) => Ok(()),
            (_, true) => render::say(&render::actions_json(actions)),
            (_, false) => render::say(&render::actions_text(actions)),
        }
    }
}

fn unusable(name: &[u8], why: String) -> Found {
    Found {
        profile: Err((name.to_vec(), why)),
        prior: Default::default(),
        exit: Default::default(),
        slot: Slot::Absent,
    }
}
