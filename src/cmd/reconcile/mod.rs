//! `reconcile`: observe → plan → apply → say.

mod actions;
mod observe;
mod report;
pub(super) mod skip;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::gateway::observe::may_run;
use crate::gateway::slot::{self, Batch, Rest};
use crate::gateway::slots::{self, Slots};
use crate::gateway::{adopt, retire, standby};
use crate::hermes::container::{self, Role};
use crate::hermes::home::{self, Homes};
use crate::hermes::locks::Locks;
use crate::hermes::{boot_log, state_file};
use crate::manager;
use crate::manager::access::{self, Privilege, S6};
use crate::model::plan::{self, Action, Effect};
use crate::model::profile::Profile;
use crate::model::tree::Tree;
use crate::options::{Opt, Verbosity};
use crate::sys::dir::Dir;
use crate::sys::identity;
use crate::sys::inotify::Watches;
use crate::sys::lock::Lock;
use crate::sys::{self, clock};
use crate::text::messages::text;
use crate::text::{Shown, contains};
use actions::{note, profiles};
use std::cell::Cell;
use std::mem;

/// So many homes stay open until the end, and new slots until there are so many, if that leaves half
/// of the descriptors.
const OPEN: usize = 200;

/// All that a run needs to know and hold.
pub(super) struct Run<'a> {
    context: &'a Context,
    boot: bool,
    dry: bool,
    prune: bool,
    user: &'a [u8],
    role: Role,
    homes: Box<Homes>,
    /// The warnings that were said.
    said: Cell<String>,
    s6: &'a S6<'a>,
}

/// Runs the command: 0 if all was seen, and everything planned was applied, else 1.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let Some(run) = Run::open(context)? else { return Ok(0) };
    let (actions, all, asked) = run.act(false)?;
    report::say(&context.output, &actions, false)?;
    asked?;
    Ok((!all || actions.iter().any(|action| action.effect == Effect::Failed)).into())
}

impl<'a> Run<'a> {
    /// Opens what it needs; `None` if this container is not to be reconciled, which is said.
    pub(super) fn open(context: &'a Context) -> Result<Option<Box<Run<'a>>>> {
        let (options, settings) = (&context.options, &context.settings);
        context.warn_of_settings();
        let role = context.role()?;
        let (boot, dry) = (options.has(Opt::Boot), options.has(Opt::DryRun));
        if let Some(why) = context.why_none()? {
            if boot && !dry {
                // The dashboard may run all the same.
                let left = context.drop_root(&mut |ids| access::leave_ids(context, ids));
                context.output.warn_unless(left);
            }
            return skip::say(context, &why).map(|()| None);
        }
        if boot && !dry && identity::is_root() && role.is_default(settings.no_supervise) {
            context.output.warn_unless(container::note_main_is_default());
        }
        let privilege = match (dry, boot) {
            (true, _) => Privilege::Control,
            (false, false) => Privilege::Register,
            (false, true) => Privilege::Boot,
        };
        let was_root = identity::is_root();
        let s6 = manager::open_s6(context, privilege, text!("make slots"))?;
        let place = settings.place()?;
        if dry {
            s6.slots.is_hindered = access::is_hindered(context, &s6.slots, identity::user_id())?;
        }
        // Where nothing can be done, nothing is tried.
        let dry = dry || s6.slots.is_hindered;
        if was_root && !dry && s6.slots.tree == Tree::Root {
            let (path, user) = (Shown(s6.slots.dir().path()), Shown(&place.user));
            if context.output.verbosity == Verbosity::Verbose && !context.output.json {
                context.output.say(&format!("reconcile: handed {path} to {user}\n"))?;
            }
        }
        let executable = s6.slots.may_execute().map_err(|error| error.hint(slots::EXECUTABLE));
        context.output.warn_unless(executable);
        let homes =
            context.homes_now().map_err(|error| error.hint(text!("set HERMES_HOME or --home")))?;
        let prune = options.has(Opt::Prune);
        let user = &place.user[..];
        let said = Cell::new(String::new());
        Ok(Some(Box::new(Run { context, boot, dry, prune, user, role, homes, said, s6 })))
    }

    /// The lock on changes, if there are any. A boot that does not get it goes on without: each
    /// of its steps leaves whole slots. It only leaves what others may be at.
    fn lock(&self) -> Result<Option<Lock>> {
        if self.dry {
            return Ok(None);
        }
        match self.s6.lock() {
            Err(error) if self.boot => {
                self.warn(error.hint(text!("goes on without it, and removes nothing")));
                Ok(None)
            }
            lock => lock.map(Some).map_err(|error| self.context.explain(error)),
        }
    }

    /// Observes, plans and applies; what was done, whether all profiles were seen, and what became
    /// of the request for a scan. Where `only_standing_by` is so, all other slots are left alone.
    fn act(&self, only_standing_by: bool) -> Result<(Vec<Action>, bool, Result<()>)> {
        let mut asked = Ok(());
        let lock = self.lock()?;
        let tidy = lock.is_some() && !only_standing_by;
        let may_remove = self.dry || lock.is_some();
        let most = OPEN.min(sys::raise_descriptor_limit() / 4);
        let (observed, homes, all) = self.observe(tidy, may_remove, most)?;
        let resolved = self.context.policy(&self.homes);
        if !only_standing_by {
            self.context.output.warn_all(&resolved.flaws);
        }
        let mut actions = plan::plan(observed, resolved.policy);
        if only_standing_by {
            actions.iter_mut().for_each(Action::leave_unless_standing_by);
        }
        if let Err(why) = self.s6.check() {
            for action in actions.iter_mut().filter(|it| it.effect != Effect::Skipped) {
                action.fail(why.text());
            }
            if !self.context.options.has(Opt::DryRun) {
                self.log(&actions);
            }
        }
        if !self.dry {
            if lock.is_some() {
                self.prune(&mut actions);
            }
            let mut batch = Batch::default();
            batch.most = most;
            if self.boot {
                let is_new = |it: &&Action| it.effect == Effect::Started;
                let pause = self.context.settings.stagger.as_millis() as u64;
                batch.turn = [pause, 0, 0, actions.iter().filter(is_new).count() as u64];
            }
            for (at, action) in actions.iter_mut().enumerate() {
                self.apply(action, homes.get(at).and_then(Option::as_ref), &mut batch);
            }
            if self.boot {
                // The process ends soon, which closes all of it at once.
                mem::forget((homes, batch));
            }
            if !only_standing_by && actions.iter().any(|it| it.effect == Effect::StandingBy) {
                standby::wake();
            }
            asked = self.adopt(&mut actions);
            self.log(&actions);
        }
        Ok((actions, all, asked))
    }

    /// What tells that a slot begins to stand by.
    pub(super) fn watch_loggers(&self) -> Result<Watches> {
        standby::watch_loggers(self.slots())
    }

    /// Takes over what is free, and says what was changed; the locks of what stands by now.
    ///
    /// # Errors
    /// Not all that has the mark is among it, and may be free.
    #[inline(never)]
    pub(super) fn take_over(&mut self) -> Result<Vec<Locks>> {
        let mut waiting = Vec::new();
        // Nobody else is kept waiting for the lock where there is nothing to do under it.
        if standby::count(self.slots())? == 0 {
            return Ok(waiting);
        }
        self.s6.wait_for_the_lock_anew();
        // Others make profiles meanwhile, and mount what holds them.
        self.homes = self.context.homes_now()?;
        let (actions, _, asked) = self.act(true)?;
        for action in &actions {
            if let (Ok(profile), true) = (&action.profile, action.standing_by) {
                waiting.push(standby::locks_in(&self.homes, profile)?);
            }
        }
        report::say(&self.context.output, &actions, true)?;
        asked?;
        if standby::count(self.slots())? == waiting.len() {
            return Ok(waiting);
        }
        let why =
            text!("one that stands by was not taken over, or has no profile that can be used");
        Err(Error::new(
            Kind::Unusable,
            text!("look after gateways in"),
            self.slots().dir().path(),
            why,
        ))
    }

    /// Warns of `error`, once: standby comes to the same again and again.
    #[inline(never)]
    pub(super) fn warn(&self, error: Box<Error>) {
        let (mut said, text) = (self.said.take(), error.text());
        if !contains(said.as_bytes(), text.as_bytes()) {
            said += &text;
            self.context.output.warn(error);
        }
        self.said.set(said);
    }

    fn slots(&self) -> &Slots {
        &self.s6.slots
    }

    /// Takes away the slots that are to go, first of all: there is room for others then, and
    /// nobody in their homes. With `--prune` supervisors whose slot somebody has deleted go too.
    #[inline(never)]
    fn prune(&self, actions: &mut [Action]) {
        let is_pruned = |action: &Action| action.effect == Effect::Pruned;
        let profiles = profiles(actions, &is_pruned);
        if !self.prune && profiles.is_empty() {
            return;
        }
        let mut outcomes = retire::stop(self.slots(), &profiles, retire::TIMEOUT);
        retire::remove(self.slots(), &profiles, &mut outcomes);
        note(actions, &profiles, outcomes, &|| None);
    }

    /// Does what `action` says, or marks it failed; `home` is the profile's, if it stayed open.
    #[inline(never)]
    fn apply(&self, action: &mut Action, home: Option<&Dir>, batch: &mut Batch) {
        let Ok(profile) = &action.profile else { return };
        let rest = Rest { down: action.down, standing_by: action.standing_by };
        let done = self.prepare(profile, action, home).and_then(|()| match action.effect {
            Effect::Started | Effect::Registered if action.present => {
                let supervised = !action.unsupervised;
                standby::take_over(self.slots(), profile, self.user, !action.down, supervised)
            }
            Effect::Started | Effect::Registered | Effect::StandingBy if !action.present => {
                slot::publish(self.slots().dir(), profile, self.user, &[], rest, batch)
            }
            Effect::Updated | Effect::StandingBy | Effect::Started | Effect::Registered => {
                slot::amend(self.slots(), profile, self.user, Some(rest))
            }
            Effect::Kept | Effect::Skipped | Effect::Pruned | Effect::Failed => Ok(()),
        });
        if let Err(error) = done {
            action.fail(error.text());
        }
    }

    /// The part of `action` that concerns the profile's home. What cannot be written
    /// there is warned of: a slot that works is worth more than a tidy home.
    #[inline(never)]
    fn prepare(&self, profile: &Profile, action: &Action, home: Option<&Dir>) -> Result<()> {
        if !action.sweep && !action.seed {
            return Ok(());
        }
        let output = &self.context.output;
        let opened;
        let home = match home {
            Some(home) => home,
            None => {
                opened = self.homes.of(profile)?;
                &opened
            }
        };
        if action.seed {
            output.warn_unless(state_file::seed(home, clock::now()));
        }
        output.warn_unless(match action.effect {
            _ if !action.sweep => Ok(()),
            Effect::Started | Effect::Registered => home::sweep(home),
            _ => home::sweep_unless(home, || may_run(self.slots(), profile)),
        });
        Ok(())
    }

    /// Adds to the boot log what a boot did, or what was changed since.
    #[inline(never)]
    fn log(&self, actions: &[Action]) {
        if !self.boot && !actions.iter().any(|action| action.effect.changes()) {
            return;
        }
        let lines = report::log_lines(actions, clock::now());
        match boot_log::append(self.homes.root(), lines.as_bytes()) {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => self.warn(error),
        }
    }

    /// Has the slots taken up that nobody supervises yet, by one scan for all.
    #[inline(never)]
    fn adopt(&self, actions: &mut [Action]) -> Result<()> {
        let is_pending = |it: &Action| it.unsupervised && it.effect != Effect::Failed;
        let profiles = profiles(actions, &is_pending);
        if self.boot || profiles.is_empty() {
            return Ok(());
        }
        let services_max = self.context.settings.services_max;
        let adopted = adopt::adopt(self.slots(), &profiles, self.user, services_max)?;
        note(actions, &profiles, adopted, &|| Some(adopt::why_not(self.slots())));
        Ok(())
    }
}
