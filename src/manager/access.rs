//! How the verbs come to s6: the scandir opened, what only root can do done, root dropped.

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::gateway::observe::{Observer, add_home};
use crate::gateway::script;
use crate::gateway::slot;
use crate::gateway::slots::{self, Slots, is_slot};
use crate::gateway::standby;
use crate::gateway::user_tree;
use crate::hermes::container::Process;
use crate::hermes::home::{Homes, Names};
use crate::hermes::locks::Locks;
use crate::hermes::state_file;
use crate::model::capability::Capability;
use crate::model::observation::{Observation, State};
use crate::model::policy::Policy;
use crate::model::profile::Profile;
use crate::model::tree::Tree;
use crate::s6::handover;
use crate::s6::service::Service;
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::identity::Ids;
use crate::sys::inotify::{Watch, Watches};
use crate::sys::lock::Lock;
use crate::sys::{identity, path, unless_missing};
use crate::text::messages::{Text, text};
use crate::text::{contains, did_you_mean, parts};
use std::cell::Cell;
use std::iter;
use std::time::Duration;

/// How much a verb does as root before it becomes the gateways' user; each more than the one
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Privilege {
    /// It only reads s6's own files, and stays who it is.
    Read,
    /// It talks to supervisors and writes into homes: nothing is done as root.
    Control,
    /// It adds or removes slots: the scandir is handed over.
    Register,
    /// The container has just been started: also the image's static services are handed over,
    /// and the scandir of the user tree is made.
    Boot,
}

/// How long the lock on changes is waited for.
const LOCK: Duration = Duration::from_secs(10);
/// Where s6-rc keeps the service directories of the image's static services.
const STATIC_SERVICES: &[u8] = b"/run/s6-rc/servicedirs";
/// How the names begin of those that stay root's: s6-overlay's own, and the one that runs the
/// user tree.
const KEPT: &[u8] = b"s6rc- s6-linux- hermes-svscan";

/// s6's scandir, and the homes of the profiles.
pub(crate) struct S6<'a> {
    pub(crate) context: &'a Context,
    pub(crate) slots: Slots,
    /// How long the lock on changes is still waited for.
    lock_time: Cell<Duration>,
}

impl<'a> S6<'a> {
    /// Opens the scandir, and drops root where `privilege` asks for it. It is open as long as the
    /// process lives.
    pub(crate) fn open(context: &'a Context, privilege: Privilege) -> Result<&'a mut S6<'a>> {
        let (mut opened, mut uncleared) = (None, None);
        let mut as_root = |ids: Option<&Ids>| {
            let place = context.settings.place()?;
            if privilege >= Privilege::Register {
                context.output.warn_unless(leave_ids(context, ids));
            }
            if privilege == Privilege::Boot && place.tree == Tree::User {
                uncleared = user_tree::make(&place.scandir, ids)?;
            }
            let slots = &mut opened.insert(S6::of(context)?).slots;
            if privilege >= Privilege::Register {
                let uid = ids.map_or_else(identity::user_id, |ids| ids.uid);
                slots.is_hindered = is_hindered(context, slots, uid)?;
                if let (Some(ids), false) = (ids, slots.is_hindered) {
                    return hand_over(context, slots, ids, privilege);
                }
            }
            Ok(())
        };
        // Who only reads stays who it is.
        if privilege > Privilege::Read {
            identity::clear_umask();
            context.drop_root(&mut as_root)?;
        }
        let s6 = opened.map_or_else(|| S6::of(context), Ok)?;
        if let Some(at) = uncleared {
            context.output.warn_all(&user_tree::clear(&s6.slots, &at)?);
        }
        Ok(s6)
    }

    #[inline(never)]
    fn of(context: &'a Context) -> Result<&'a mut S6<'a>> {
        let (slots, lock_time) = (context.slots()?, Cell::default());
        let s6 = Box::leak(Box::new(S6 { context, slots, lock_time }));
        s6.wait_for_the_lock_anew();
        Ok(s6)
    }

    /// Has the lock on changes waited for as long as at first.
    pub(crate) fn wait_for_the_lock_anew(&self) {
        self.lock_time.set(self.context.options.timeout_or(LOCK));
    }

    /// Refuses where nothing can be added or removed, for nobody would supervise it.
    #[inline(never)]
    pub(crate) fn check(&self) -> Result<()> {
        match self.slots.is_hindered {
            true => {
                let why = Capability::DacOverride.lacking_and_remedy();
                Err(Error::because(
                    Kind::Unusable,
                    text!("use scandir"),
                    self.slots.dir().path(),
                    &why,
                ))
            }
            false => Ok(()),
        }
    }

    /// What looks at gateways here.
    pub(crate) fn observer(&self) -> Observer<'_> {
        let window = self.context.settings.limits.window;
        Observer { slots: &self.slots, window, hint: self.context.whom_to_be() }
    }

    /// Adds to `observations` whether each is wanted up at the next boot, and whether default
    /// serves it now.
    pub(crate) fn ask_homes(
        &self,
        homes: &Homes,
        names: &Names,
        observations: &mut dyn Iterator<Item = &mut Observation>,
    ) {
        let policy = self.context.policy(homes).policy;
        // What cannot be looked at serves nobody.
        let is_up = || {
            self.is_running(&Profile::Default).unwrap_or(false)
                || self.context.main_is_default().unwrap_or(false)
        };
        let serves = policy == Policy::Root && is_up();
        let served = if serves { state_file::served_profiles(homes.root()) } else { String::new() };
        for it in observations {
            let main = || self.context.main_is_default().ok();
            // No boot wants up what only has the name of a profile, or anything where it skips all.
            let is_meant = it.state != State::NotRegistered
                || homes.has(&it.profile, names).unwrap_or(false)
                    && matches!(self.context.why_none(), Ok(None));
            if is_meant {
                add_home(homes, names, policy, it, &main);
            }
            it.served = serves && policy.folds(&it.profile) && is_in(&served, it.profile.name());
            standby::add_holder(homes, it);
        }
    }

    /// The same of one; `watches` tell what it says in its home from now on, by the descriptor that
    /// is returned.
    #[inline(never)]
    pub(crate) fn watch_home(
        &self,
        it: &mut Observation,
        watches: &Watches,
    ) -> Result<Option<Watch>> {
        // What cannot be opened says nothing.
        let Ok(homes) = self.context.homes_now() else { return Ok(None) };
        let home = homes.of(&it.profile);
        let descriptor = match home.map(|home| watches.add_replaced_in(&home)) {
            // No watch is left.
            Ok(Err(error)) if error.kind == Kind::Unusable => return Err(error),
            Ok(Ok(descriptor)) => Some(descriptor),
            _ => None,
        };
        self.ask_homes(&homes, &homes.names().unwrap_or_default(), &mut iter::once(it));
        Ok(descriptor)
    }

    /// Something is wrong with the slot of `profile`.
    pub(crate) fn failed(
        &self,
        what: Text,
        profile: &Profile,
        kind: Kind,
        why: &str,
    ) -> Box<Error> {
        self.slots.dir().error_of(kind, what, &profile.slot(), why)
    }

    /// Whether `profile` is on disk; nobody is where there is no home. One that is there and that
    /// a boot skips is an error.
    pub(super) fn is_on_disk(&self, profile: &Profile) -> Result<bool> {
        match self.context.homes() {
            Ok(homes) => homes.has(profile, &homes.names()?),
            Err(error) if error.kind == Kind::Missing => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// There is no slot of `profile` to do `what` with. The homes are looked at for a way out,
    /// so root is to be dropped by now.
    pub(crate) fn not_registered(&self, what: Text, profile: &Profile) -> Box<Error> {
        let name = profile.name();
        let makes = match self.is_on_disk(profile) {
            Ok(true) => ["hermes-gw register ", name, text!(" makes it").read()].concat(),
            Ok(false) => self.way_out(profile),
            Err(error) => error.text(),
        };
        let why = ["no such gateway '", name, "': ", &makes].concat();
        self.failed(what, profile, Kind::NotRegistered, &why)
    }

    /// What to do about a profile that is not there: another name, or to make it.
    pub(crate) fn way_out(&self, profile: &Profile) -> String {
        // What cannot be listed is no way out.
        let mut known = String::new();
        for it in self.slots.profiles().as_deref().unwrap_or_default() {
            known += it.name();
            known += "\x0c";
        }
        let name = profile.name();
        let makes =
            [text!("hermes profile create ").read(), name, text!(" makes it").read()].concat();
        did_you_mean(name.as_bytes(), &known, &makes)
    }

    /// Brings the files of `profile`'s slot up to date, as `reconcile` does, if Hermes' own
    /// layer made it; `locked` says whether the caller has the lock. The verb goes on without
    /// it. What only a new process reads counts from then on: nothing is started anew.
    pub(super) fn make_ours(&self, profile: &Profile, service: &Service, locked: bool) {
        let make = || -> Result<()> {
            if slots::is_made_here(service.dir())? {
                return Ok(());
            }
            let _lock = if locked { None } else { Some(self.lock()?) };
            slot::amend(&self.slots, profile, &self.context.settings.place()?.user, None)
        };
        // If the slot goes at this moment, that will be told.
        let made = unless_missing(make());
        self.context.output.warn_unless(
            made.map_err(|error| error.hint(text!("the slot keeps the files of Hermes' layer"))),
        );
    }

    /// The lock on changes to the scandir. Who may write there can hold it for ever, so it is
    /// not waited for for ever.
    ///
    /// # Errors
    /// [`Kind::TimedOut`] after `--timeout`, where the verb has one; else after 10 seconds. So long
    /// it is waited for in all, however often it is taken; then it is only tried.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let time = self.lock_time.get();
        let deadline = Deadline::after(time);
        let lock = self.slots.lock(deadline, &|| {
            let why = text!("waiting for another hermes-gw that changes the scandir");
            self.context.output.warn_of(why.read());
        });
        self.lock_time.set(deadline.left_or(time));
        lock
    }
}

/// Whether another container has `profile`, whose `locks` these are. If not, a stale one of its log
/// goes, if it `may`.
#[inline(never)]
pub(crate) fn is_elsewhere(
    context: &Context,
    homes: &Homes,
    (locks, profile): (&Locks, &Profile),
    may: bool,
) -> bool {
    let elsewhere = locks.are_held_elsewhere();
    if !elsewhere && may {
        context.output.warn_unless(locks.remove_stale(homes.root(), profile));
    }
    elsewhere
}

/// Whether those that an array of JSON names, all if it is empty, are with `name`.
fn is_in(names: &str, name: &str) -> bool {
    // No name has anything in it that JSON escapes.
    let name = ["\"", name, "\""].concat();
    names.is_empty() || contains(names.as_bytes(), name.as_bytes())
}

/// Leaves for the scripts that drop root which `ids` to drop to, if this is root. A scandir that
/// is named, and is not the layout's own, may be none of this container's.
pub(crate) fn leave_ids(context: &Context, ids: Option<&Ids>) -> Result<()> {
    let (place, named) = (context.settings.place()?, &context.options.scandir);
    let Some(ids) = ids else { return Ok(()) };
    if named.as_ref().is_some_and(|it| it != place.tree.path().as_bytes()) {
        return Ok(());
    }
    let (name, content) = (script::ids_of(&place.user), script::ids(ids).into_bytes());
    let path = [b"/", &name[..]].concat();
    if path::read_followed(&path, content.len()).is_ok_and(|known| known == content) {
        return Ok(());
    }
    Dir::open(b"/")?.replace(&name, 0o644, &content)
}

/// Whether the s6-svscan of `slots` can do nothing with a slot of the user's with this `uid`.
/// Then it is handed nothing either: s6 could not go on with that.
pub(crate) fn is_hindered(context: &Context, slots: &Slots, uid: u32) -> Result<bool> {
    let is_named = slots.dir().path() != slots.tree.path().as_bytes();
    let its = match slots.tree {
        Tree::Root if !is_named => context.init()?,
        // It runs as who has made its FIFO.
        Tree::User if !is_named && slots.scandir.is_controlled_by(uid)? => return Ok(false),
        // Where this user may not know: PID 1 is that of the one tree, and of the other there is
        // none.
        tree => Process::of(slots.scandir.scanner()?.unwrap_or(u64::from(tree == Tree::Root)))?,
    };
    // Of one that /proc hides nothing is known.
    Ok(its.is_some_and(|its| !its.may(Capability::DacOverride, uid.into())))
}

/// Gives to `ids` what hermes needs of PID 1's tree. The user tree is its user's already.
fn hand_over(context: &Context, slots: &Slots, ids: &Ids, privilege: Privilege) -> Result<()> {
    if slots.tree == Tree::User {
        return Ok(());
    }
    // The FIFO is given last: who has it has the way to it, too. The scandir may be root's again.
    match privilege < Privilege::Boot && slots.scandir.is_controlled_by(ids.uid)? {
        true => slots.dir().give(ids, None),
        false => handover::give_scandir(&slots.scandir, ids, &is_slot),
    }?;
    if privilege == Privilege::Boot {
        let kept = |name: &[u8]| parts(KEPT, b' ').any(|it| name.starts_with(it));
        context.output.warn_all(&handover::give_services(STATIC_SERVICES, ids, &kept));
    }
    Ok(())
}
