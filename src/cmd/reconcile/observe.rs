//! What a run finds before it plans.

use super::Run;
use crate::error::{Kind, Result};
use crate::gateway::slot;
use crate::gateway::{retire, slots, standby};
use crate::hermes::container::Role;
use crate::hermes::home::{self, Entry};
use crate::hermes::locks::Locks;
use crate::hermes::state_file;
use crate::manager::access;
use crate::model::plan::{Found, Observed, Slot};
use crate::model::profile::Profile;
use crate::sys::Name;
use crate::sys::dir::Dir;

/// The error of what is no directory.
const ENOTDIR: i32 = 20;

impl Run<'_> {
    /// All that the plan depends on, the homes of the profiles, `most` of which stay open, and
    /// whether all was seen that is there. Before that, where it is to `tidy`, what killed runs
    /// left behind goes.
    #[inline(never)]
    pub(super) fn observe(
        &self,
        tidy: bool,
        may_remove: bool,
        most: usize,
    ) -> Result<(Observed, Vec<Option<Dir>>, bool)> {
        let names = self.slots().dir().names()?;
        if tidy {
            self.context.output.warn_all(&retire::clean_up(self.slots(), &names));
        }
        let root = self.homes.root();
        let logged = match home::logs(root) {
            Ok(Some(logs)) => logs.names(),
            Ok(None) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let mut found = vec![self.found(&names, &logged, Profile::Default, root)];
        let mut homes = vec![None];
        let main_is_default = self.role.is_default(self.context.settings.no_supervise);
        let migrate = matches!(self.role, Role::GatewayRun { .. })
            && !main_is_default
            && root.kind(state_file::STATE_FILE).map_or_else(
                // It keeps nobody else from running.
                |error| {
                    self.warn(error);
                    false
                },
                |kind| kind.is_none(),
            );
        let mut orphans = Vec::new();
        let listed = self.homes.each_named(&mut |name, entry| {
            let why = match entry {
                Entry::Home(profile, home) => {
                    found.push(self.found(&names, &logged, profile, &home));
                    homes.push((homes.len() <= most && !self.dry).then_some(home));
                    return;
                }
                Entry::Twin(profile, other) => {
                    // Two gateways in one home would end each other.
                    if may_remove && !matches!(self.slots().has(&profile), Ok(false)) {
                        orphans.push(profile);
                    }
                    home::is_twin_of(&other)
                }
                Entry::Unusable(why) => why,
            };
            found.push(unusable(name, why));
            homes.push(None);
        });
        let known = found.iter().filter(|f| f.profile.is_ok() && f.slot != Slot::Absent).count();
        // Where profiles cannot be listed, it cannot be told whose is gone.
        let slots = match listed {
            Ok(()) if may_remove && self.prune => self.slots().profiles(),
            listed => listed.map(|()| Vec::new()),
        };
        // What is no directory has no profiles, but they may come back: nothing goes.
        let all = match &slots {
            Err(_) if self.prune => false,
            Err(error) => error.kind == Kind::Unusable || error.errno() == Some(ENOTDIR),
            Ok(_) => true,
        };
        for profile in slots.unwrap_or_else(|error| {
            self.warn(error);
            Vec::new()
        }) {
            if !found.iter().any(|found| found.name() == profile.name().as_bytes()) {
                orphans.push(profile);
            }
        }
        let observed = Observed {
            found,
            migrate,
            main_is_default,
            boot: self.boot,
            capacity: self.slots().capacity(&names, self.context.settings.services_max),
            strangers: slots::count(&names).saturating_sub(known + orphans.len()),
            orphans,
        };
        Ok((observed, homes, all))
    }

    /// What there is of `profile`; `slots` and `logs` are the names there.
    fn found(
        &self,
        slots: &[Name],
        logs: &Result<Vec<Name>>,
        profile: Profile,
        home: &Dir,
    ) -> Found {
        let (prior, mut flaw) = state_file::read(home);
        let mut slot = match is_among(slots, &profile.slot()) {
            false => Slot::Absent,
            true => slot::observe(self.slots(), &profile, self.user),
        };
        let waits = matches!(slot, Slot::Present { standing_by: true, .. });
        let (elsewhere, why) = match slot {
            // What is up here, or may be, has its locks itself.
            Slot::Present { supervised: true, .. } if !waits => (false, None),
            Slot::Unusable(_) => (false, None),
            _ => match self.is_elsewhere(home, logs, &profile) {
                // It may want to run: what cannot be read now is read by the next run.
                Ok(false) if waits => (false, flaw.take_if(|it| it.kind != Kind::Unusable)),
                Ok(elsewhere) => (elsewhere, None),
                // Whoever has it is not to be disturbed.
                Err(error) => (false, Some(error)),
            },
        };
        if let Some(why) = why {
            slot = Slot::Unusable(why.text());
        }
        if let Some(flaw) = flaw {
            self.warn(flaw);
        }
        let exit = state_file::read_exit(home);
        Found { profile: Ok(profile), prior, exit, elsewhere, slot }
    }

    /// Whether another container has `profile`. If not, a stale lock of its log goes.
    fn is_elsewhere(
        &self,
        home: &Dir,
        logs: &Result<Vec<Name>>,
        profile: &Profile,
    ) -> Result<bool> {
        let logs = logs.as_ref().map_err(Clone::clone)?;
        if !is_among(logs, profile.name().as_bytes()) {
            // No log, and no lock of it.
            return standby::runs_elsewhere(home);
        }
        let locks = Locks::open(home, self.homes.root(), profile)?;
        Ok(access::is_elsewhere(self.context, &self.homes, (&locks, profile), !self.dry))
    }
}

/// Whether `name` is one of `names`, which are in order.
#[inline(never)]
fn is_among(names: &[Name], name: &[u8]) -> bool {
    names.binary_search_by(|it| it[..].cmp(name)).is_ok()
}

fn unusable(name: Name, why: String) -> Found {
    Found {
        profile: Err((name, why)),
        prior: Default::default(),
        exit: Default::default(),
        elsewhere: false,
        slot: Slot::Absent,
    }
}
