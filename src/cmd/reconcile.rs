//! `reconcile`: observe → plan → apply → report.

use crate::cli::{self, Options, Reconcile, Verbosity};
use crate::container::Role;
use crate::error::{Error, Kind, Result, Shown};
use crate::home::{self, bootlog, state};
use crate::model::plan::{self, Action, Found, Observed, Slot, Verb};
use crate::model::profile::Profile;
use crate::render;
use crate::s6::{scandir, scandir::ScanDir, slot};
use crate::settings::Settings;
use crate::sys::{self, Dir, Name};
use crate::user;

/// Where s6-rc keeps the service directories of the image's static services.
const STATIC_SERVICES: &[u8] = b"/run/s6-rc/servicedirs";

/// All that a run needs to know and hold.
struct Run<'a> {
    options: &'a Options,
    reconcile: Reconcile,
    settings: Settings,
    role: Role,
    user: Vec<u8>,
    home: Dir,
    profiles: Option<Dir>,
    scandir: ScanDir,
}

/// Runs the command: 0 if everything planned was applied, else 1.
pub fn run(options: &Options, reconcile: Reconcile) -> Result<u8> {
    let settings = Settings::open();
    let role = Role::detect();
    if let Some(why) = reason_to_skip(&settings, role) {
        match (options.json, options.verbosity) {
            (true, _) => {
                render::complain("warning", &format!("skipped: {why}"), true);
                render::say("[]\n");
            }
            (false, Verbosity::Quiet) => {}
            (false, _) => render::say(&format!("reconcile: skipped: {why}\n")),
        }
        return Ok(0);
    }
    let policy = match reconcile.policy {
        Some(policy) => policy,
        None => {
            settings.get("HERMES_GW_POLICY").map_or(Ok(Default::default()), |w| cli::policy(&w))?
        }
    };
    let user = settings.user();

    sys::clear_umask();
    let scandir = ScanDir::open(&settings.scandir(options))?;
    if sys::is_root() {
        become_hermes(options, reconcile, &user, &scandir)?;
    }
    let home = Dir::open(home::root_of(&settings.home(options)))
        .map_err(|error| error.hint("set HERMES_HOME or --home"))?;
    let profiles = home::profiles(&home).unwrap_or_else(|error| {
        warn(options, &error);
        None
    });
    let run = Run { options, reconcile, settings, role, user, home, profiles, scandir };

    let _lock = if reconcile.dry_run { None } else { Some(run.lock()?) };
    let mut actions = plan::plan(run.observe()?, policy);
    let mut asked = Ok(());
    if !reconcile.dry_run {
        actions.iter_mut().for_each(|action| run.apply(action));
        run.log(&actions);
        asked = run.rescan(&actions);
    }
    run.report(&actions);
    asked?;
    Ok(actions.iter().any(|action| action.verb == Verb::Failed).into())
}

/// Why this container is not to be reconciled at all, if so.
fn reason_to_skip(settings: &Settings, role: Role) -> Option<&'static str> {
    if settings.is_on("HERMES_GW_SKIP_RECONCILE") {
        Some("HERMES_GW_SKIP_RECONCILE is set")
    } else if role == Role::Dashboard {
        Some("this container runs the dashboard; another one runs the gateways")
    } else {
        None
    }
}

/// Does what only root can do, then becomes the user of the gateways for good.
fn become_hermes(
    options: &Options,
    reconcile: Reconcile,
    user: &[u8],
    scandir: &ScanDir,
) -> Result<()> {
    let ids = user::look_up(user)?;
    if !reconcile.dry_run {
        scandir.give(&ids)?;
        if let (true, Ok(services)) = (reconcile.boot, Dir::open(STATIC_SERVICES)) {
            for error in scandir::give_static_services(&services, &ids) {
                warn(options, &error);
            }
        }
        if options.verbosity == Verbosity::Verbose && !options.json {
            let (path, user) = (Shown(scandir.dir().path()), Shown(user));
            render::say(&format!("reconcile: handed {path} to {user}\n"));
        }
    }
    sys::become_user(&ids)
}

fn warn(options: &Options, error: &Error) {
    render::complain("warning", &error.to_string(), options.json);
}

impl Run<'_> {
    fn warn(&self, error: &Error) {
        warn(self.options, error);
    }

    fn lock(&self) -> Result<sys::Lock> {
        self.scandir.lock().map_err(|error| {
            let user = Shown(&self.user);
            error.hint(&format!("run as root or {user}"))
        })
    }

    fn observe(&self) -> Result<Observed> {
        let names = self.scandir.dir().names()?;
        if !self.reconcile.dry_run {
            self.scandir.heal(&names).iter().for_each(|error| self.warn(error));
        }
        let services_max = match self.settings.get("HERMES_GW_SERVICES_MAX") {
            None => scandir::SERVICES_MAX,
            Some(number) => {
                str::from_utf8(&number).ok().and_then(|n| n.parse().ok()).ok_or_else(|| {
                    Error::new(Kind::Usage, "parse HERMES_GW_SERVICES_MAX", number, "is no number")
                })?
            }
        };
        let mut found = vec![self.found(&names, Profile::Default, &self.home)];
        let migrate = self.role == Role::GatewayRun
            && !self.settings.is_on("HERMES_GATEWAY_NO_SUPERVISE")
            && self.home.kind(state::STATE_FILE) == Ok(None);
        if let Some(profiles) = &self.profiles {
            let entries = profiles.names().unwrap_or_else(|error| {
                self.warn(&error);
                Vec::new()
            });
            found.extend(entries.iter().filter_map(|name| self.named(&names, profiles, name)));
        }
        let known = found.iter().filter(|f| f.profile.is_ok() && f.slot != Slot::Absent).count();
        let slots = names.iter().filter(|name| scandir::is_slot(name)).count();
        Ok(Observed {
            found,
            migrate,
            capacity: self.scandir.capacity(&names, services_max),
            strangers: slots.saturating_sub(known),
        })
    }

    /// The entry `name` of `profiles/`, if it is a profile or looks like one.
    fn named(&self, slots: &[Name], profiles: &Dir, name: &[u8]) -> Option<Found> {
        let opened = home::profile(profiles, name)?;
        let usable = opened.and_then(|home| match Profile::parse(name) {
            Ok(Profile::Default) => Err("default is the root profile".to_string()),
            Ok(profile) => Ok((profile, home)),
            Err(why) => Err(why.why().to_string()),
        });
        Some(match usable {
            Ok((profile, home)) => self.found(slots, profile, &home),
            Err(why) => unusable(name, why),
        })
    }

    fn found(&self, slots: &[Name], profile: Profile, home: &Dir) -> Found {
        let (prior, flaw) = state::read_prior(home);
        if let Some(flaw) = flaw {
            self.warn(&flaw);
        }
        let present = slots.binary_search_by(|name| name[..].cmp(&profile.slot()[..])).is_ok();
        let slot = match present {
            false => Ok(Slot::Absent),
            true => slot::observe(self.scandir.dir(), &profile, &self.user),
        };
        match slot {
            Ok(slot) => Found { profile: Ok(profile), prior, exit: state::read_exit(home), slot },
            Err(error) => unusable(profile.name().as_bytes(), error.to_string()),
        }
    }

    /// Does what `action` says, or marks it failed.
    fn apply(&self, action: &mut Action) {
        let Ok(profile) = &action.profile else { return };
        let (scandir, user) = (self.scandir.dir(), &self.user[..]);
        let done = self.prepare(profile, action).and_then(|()| match action.verb {
            Verb::Started | Verb::Registered => slot::publish(scandir, profile, user, action.down),
            Verb::Updated => slot::amend(scandir, profile, user, action.down),
            Verb::Kept | Verb::Skipped | Verb::Failed => Ok(()),
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
                named = profiles.dir(name)?;
                &named
            }
            (Profile::Named(_), None) => return Ok(()), // and none was found
            (Profile::Default, _) => &self.home,
        };
        if action.seed {
            self.forgive(state::seed(home, sys::now()));
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

    fn log(&self, actions: &[Action]) {
        let lines = render::actions_log(actions, sys::now());
        match bootlog::append(&self.home, lines.as_bytes()) {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => self.warn(&error),
        }
    }

    /// Asks for one scan for all slots that nobody supervises yet.
    fn rescan(&self, actions: &[Action]) -> Result<()> {
        let pending = actions.iter().any(|a| a.unsupervised && a.verb != Verb::Failed);
        if self.reconcile.boot || !pending { Ok(()) } else { self.scandir.rescan() }
    }

    fn report(&self, actions: &[Action]) {
        if self.options.verbosity == Verbosity::Quiet {
            return;
        }
        render::say(&match self.options.json {
            true => render::actions_json(actions),
            false => render::actions_text(actions),
        });
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
