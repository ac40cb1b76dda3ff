//! What reconcile will do: a pure function of what was observed.

use super::intent::{Intent, LastExit, LastKnown};
use super::policy::Policy;
use super::profile::Profile;

/// A profile's service directory as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// There is none.
    Absent,
    /// What has its name is none, or cannot be looked into; why.
    Unusable(String),
    /// It is there.
    Present {
        /// Its files are the ones we would write.
        current: bool,
        /// It has a `down` file.
        down: bool,
        /// An s6-supervise runs it.
        supervised: bool,
        /// Its gateway is up, or may be: pid files are not to be touched.
        up: bool,
    },
}

/// One directory of `profiles/`, or the root profile, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The profile, or a name that can be none, and why it cannot be used.
    pub(crate) profile: Result<Profile, (Vec<u8>, String)>,
    /// Its last intent or state.
    pub(crate) prior: LastKnown,
    /// How its last run ended.
    pub(crate) exit: LastExit,
    /// Its service directory.
    pub(crate) slot: Slot,
}

impl Found {
    /// The name, valid or not.
    pub(crate) fn name(&self) -> &[u8] {
        match &self.profile {
            Ok(profile) => profile.name().as_bytes(),
            Err((name, _)) => name,
        }
    }
}

/// All that the plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Default first, then the others in name order.
    pub(crate) found: Vec<Found>,
    /// An old-style `gateway run` container without a state file.
    pub(crate) migrate: bool,
    /// How many gateways the scandir can hold in all.
    pub(crate) capacity: usize,
    /// Slots in the scandir whose profile is not among `found`, and that stay.
    pub(crate) strangers: usize,
    /// Those that go.
    pub(crate) orphans: Vec<Profile>,
}

/// What becomes of one profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A new slot that s6 will start.
    Started,
    /// A new slot that stays down.
    Registered,
    /// The slot was there; its files are made what they should be.
    Updated,
    /// The slot was there as it should be.
    Kept,
    /// Nothing can be done for it.
    Skipped,
    /// Its slot goes, for there is no such profile.
    Pruned,
    /// It was tried and did not work.
    Failed,
}

impl Effect {
    /// The word for reports.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Effect::Started => "started",
            Effect::Registered => "registered",
            Effect::Updated => "updated",
            Effect::Kept => "kept",
            Effect::Skipped => "skipped",
            Effect::Pruned => "pruned",
            Effect::Failed => "failed",
        }
    }
}

/// What is to be done for one profile, and what is reported of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// The profile, or the name that can be none.
    pub(crate) profile: Result<Profile, Vec<u8>>,
    /// Its last intent or state.
    pub(crate) prior: LastKnown,
    /// How its last run ended.
    pub(crate) exit: LastExit,
    /// What becomes of it.
    pub(crate) effect: Effect,
    /// Why it is skipped or failed.
    pub(crate) reason: Option<String>,
    /// Whether the slot gets (or keeps) a `down` file.
    pub(crate) down: bool,
    /// Whether the pid files of its last run are to go.
    pub(crate) sweep: bool,
    /// Whether its state file is to be seeded with the intent to run.
    pub(crate) seed: bool,
    /// Whether s6-svscan has yet to take its slot up.
    pub(crate) unsupervised: bool,
    /// Under policy root, for default: the others that want to run.
    pub(crate) folded: Vec<Profile>,
}

impl Action {
    /// The profile's name as bytes, valid or not.
    pub(crate) fn name(&self) -> &[u8] {
        match &self.profile {
            Ok(profile) => profile.name().as_bytes(),
            Err(name) => name,
        }
    }

    /// The same action, failed.
    pub(crate) fn fail(&mut self, reason: String) {
        self.effect = Effect::Failed;
        self.reason = Some(reason);
    }
}

/// The actions, in the order of what was found.
pub(crate) fn plan(observed: Observed, policy: Policy) -> Vec<Action> {
    let Observed { mut found, migrate, capacity, strangers, orphans } = observed;
    if let Some(default) = found.first_mut().filter(|_| migrate) {
        default.prior = Intent::Running.into();
    }
    let anyone = found.iter().any(|f| f.profile.is_ok() && f.prior.wants_up());
    let wants_up = |found: &Found| match &found.profile {
        Ok(profile) => policy.wants_up(profile, &found.prior, || anyone),
        Err(_) => false,
    };
    let mut places = Places::new(&found, capacity, strangers, wants_up);
    let (mut actions, mut folded) = (Vec::with_capacity(found.len()), Vec::new());
    for found in found {
        let up = wants_up(&found);
        if let Ok(profile) = &found.profile
            && policy.folds(profile)
            && found.prior.wants_up()
        {
            folded.push(profile.clone());
        }
        actions.push(act(found, up, &mut places));
    }
    if let Some(default) = actions.first_mut() {
        default.seed = migrate && default.effect != Effect::Skipped;
        default.folded = folded;
    }
    for profile in orphans {
        actions.push(prune(profile));
    }
    actions
}

fn prune(profile: Profile) -> Action {
    Action {
        profile: Ok(profile),
        prior: LastKnown::Nothing,
        exit: LastExit::Unknown,
        effect: Effect::Pruned,
        reason: None,
        down: false,
        sweep: false,
        seed: false,
        unsupervised: false,
        folded: Vec::new(),
    }
}

fn act(found: Found, up: bool, places: &mut Places) -> Action {
    let Found { profile, prior, exit, slot } = found;
    let (effect, reason) = match (&profile, &slot) {
        (Err((_, why)), _) => (Effect::Skipped, Some(why.clone())),
        (Ok(_), Slot::Unusable(why)) => (Effect::Skipped, Some(why.clone())),
        (Ok(profile), Slot::Absent) if !places.take(profile, up) => {
            let why = format!("s6-svscan can hold no more than {} gateways", places.capacity);
            (Effect::Skipped, Some(why))
        }
        (Ok(_), Slot::Absent) if up => (Effect::Started, None),
        (Ok(_), Slot::Absent) => (Effect::Registered, None),
        // On a live slot `down` is the operator's latest wish, newer than any state file.
        (Ok(_), Slot::Present { current: true, supervised: true, .. }) => (Effect::Kept, None),
        (Ok(_), Slot::Present { current: true, down, .. }) if *down != up => (Effect::Kept, None),
        (Ok(_), Slot::Present { .. }) => (Effect::Updated, None),
    };
    let (down, supervised, running) = match slot {
        Slot::Present { down, supervised: true, up, .. } => (down, true, up),
        Slot::Present { up: running, .. } => (!up, false, running),
        Slot::Absent | Slot::Unusable(_) => (!up, false, false),
    };
    Action {
        profile: profile.map_err(|(name, _)| name),
        prior,
        exit,
        effect,
        reason,
        down,
        sweep: effect != Effect::Skipped && !running,
        seed: false,
        unsupervised: effect != Effect::Skipped && !supervised,
        folded: Vec::new(),
    }
}

/// The places left in the scandir: default's first, then those of who wants to run.
struct Places {
    capacity: usize,
    reserved_up: usize,
    free: usize,
}

impl Places {
    fn new(
        found: &[Found],
        capacity: usize,
        strangers: usize,
        wants_up: impl Fn(&Found) -> bool,
    ) -> Places {
        let present = |f: &&Found| f.profile.is_ok() && f.slot != Slot::Absent;
        let newcomer = |f: &&Found| f.profile.is_ok() && f.slot == Slot::Absent;
        let taken = strangers + found.iter().filter(present).count();
        let first = |f: &&Found| f.profile == Ok(Profile::Default) || wants_up(f);
        let reserved_up = found.iter().filter(newcomer).filter(first).count();
        Places { capacity, reserved_up, free: capacity.saturating_sub(taken) }
    }

    fn take(&mut self, profile: &Profile, up: bool) -> bool {
        let first = up || *profile == Profile::Default;
        let granted = if first { self.free > 0 } else { self.free > self.reserved_up };
        self.free -= usize::from(granted);
        self.reserved_up -= usize::from(first);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIVE: Slot = Slot::Present { current: true, down: false, supervised: true, up: true };

    fn found(name: &str, prior: LastKnown, slot: Slot) -> Found {
        let profile = Profile::parse(name.as_bytes())
            .map_err(|why| (name.as_bytes().to_vec(), why.why().to_string()));
        Found { profile, prior, exit: LastExit::Unknown, slot }
    }

    fn running() -> LastKnown {
        Intent::Running.into()
    }

    fn state(word: &str) -> LastKnown {
        LastKnown::State(word.into())
    }

    fn observed(found: Vec<Found>) -> Observed {
        Observed { found, migrate: false, capacity: 498, strangers: 0, orphans: vec![] }
    }

    fn effects(actions: &[Action]) -> Vec<(&str, Effect, bool)> {
        actions.iter().map(|a| (str::from_utf8(a.name()).unwrap(), a.effect, a.down)).collect()
    }

    #[test]
    fn new_slots_start_by_intent() {
        let actions = plan(
            observed(vec![
                found("default", LastKnown::Nothing, Slot::Absent),
                found("a", running(), Slot::Absent),
                found("b", state("draining"), Slot::Absent),
                found("c", state("starting"), Slot::Absent),
                found("D", running(), Slot::Absent),
            ]),
            Policy::Profiles,
        );
        assert_eq!(
            effects(&actions),
            [
                ("default", Effect::Registered, true),
                ("a", Effect::Started, false),
                ("b", Effect::Started, false),
                ("c", Effect::Registered, true),
                ("D", Effect::Skipped, true),
            ]
        );
        assert!(actions[4].reason.as_ref().unwrap().contains("invalid name"));
        assert!(actions[..4].iter().all(|a| a.sweep && a.unsupervised && a.reason.is_none()));
        assert!(!actions[4].sweep && !actions[4].unsupervised);
    }

    #[test]
    fn slots_without_a_profile_go_last_and_make_room() {
        let gone = Profile::parse(b"gone").unwrap();
        let all = Observed {
            capacity: 2,
            orphans: vec![gone],
            ..observed(vec![found("default", running(), LIVE), found("a", running(), Slot::Absent)])
        };
        let effects_of =
            |all| plan(all, Policy::Profiles).iter().map(|a| a.effect).collect::<Vec<_>>();
        assert_eq!(effects_of(all.clone()), [Effect::Kept, Effect::Started, Effect::Pruned]);
        let full = Observed { strangers: 1, orphans: vec![], ..all };
        assert_eq!(effects_of(full), [Effect::Kept, Effect::Skipped]);
    }

    #[test]
    fn a_live_slot_keeps_its_down_file_and_a_running_one_its_pid_files() {
        let slot = |current, down, supervised, up| Slot::Present { current, down, supervised, up };
        let table = [
            // (prior, slot) → (effect, down, sweep, unsupervised)
            (running(), LIVE, (Effect::Kept, false, false, false)),
            (LastKnown::Nothing, LIVE, (Effect::Kept, false, false, false)),
            (running(), slot(true, true, true, false), (Effect::Kept, true, true, false)),
            (running(), slot(false, true, true, true), (Effect::Updated, true, false, false)),
            (running(), slot(true, false, false, false), (Effect::Kept, false, true, true)),
            (running(), slot(true, true, false, false), (Effect::Updated, false, true, true)),
            (
                LastKnown::Nothing,
                slot(true, false, false, false),
                (Effect::Updated, true, true, true),
            ),
            (
                LastKnown::Nothing,
                slot(false, true, false, false),
                (Effect::Updated, true, true, true),
            ),
            (running(), Slot::Unusable("x".into()), (Effect::Skipped, false, false, false)),
        ];
        for (prior, slot, expected) in table {
            let all = observed(vec![found("default", prior.clone(), slot.clone())]);
            let action = &plan(all, Policy::Profiles)[0];
            let got = (action.effect, action.down, action.sweep, action.unsupervised);
            assert_eq!(got, expected, "{prior:?} {slot:?}");
        }
    }

    #[test]
    fn under_policy_root_default_runs_for_all() {
        let all = |prior| {
            observed(vec![
                found("default", LastKnown::Nothing, Slot::Absent),
                found("a", prior, Slot::Absent),
            ])
        };
        let actions = plan(all(running()), Policy::Root);
        assert_eq!(
            effects(&actions),
            [("default", Effect::Started, false), ("a", Effect::Registered, true)]
        );
        assert_eq!(actions[0].folded, [Profile::parse(b"a").unwrap()]);
        assert!(actions[1].folded.is_empty());
        assert!(plan(all(running()), Policy::Profiles)[0].folded.is_empty());
        assert_eq!(
            effects(&plan(all(state("stopped")), Policy::Root)),
            [("default", Effect::Registered, true), ("a", Effect::Registered, true)]
        );
    }

    #[test]
    fn an_unusable_slot_keeps_its_intent_and_its_reason() {
        let all = observed(vec![
            found("default", LastKnown::Nothing, Slot::Absent),
            found("a", running(), Slot::Unusable("is a file".into())),
        ]);
        let actions = plan(all, Policy::Root);
        assert_eq!(actions[0].effect, Effect::Started);
        assert_eq!(
            (actions[1].effect, actions[1].prior.word()),
            (Effect::Skipped, "running".into())
        );
        assert_eq!(actions[1].reason.as_deref(), Some("is a file"));
    }

    #[test]
    fn a_name_that_can_be_no_profile_makes_nobody_run() {
        let all = observed(vec![
            found("default", LastKnown::Nothing, Slot::Absent),
            found("Bad", running(), Slot::Absent),
        ]);
        let actions = plan(all, Policy::Root);
        assert_eq!((actions[0].effect, &actions[0].folded[..]), (Effect::Registered, &[][..]));
    }

    #[test]
    fn an_old_style_container_starts_and_seeds_default() {
        let all = || Observed {
            migrate: true,
            ..observed(vec![
                found("default", LastKnown::Nothing, Slot::Absent),
                found("a", LastKnown::Nothing, Slot::Absent),
            ])
        };
        let actions = plan(all(), Policy::Profiles);
        assert_eq!(actions[0].effect, Effect::Started);
        assert_eq!(actions[0].prior.word(), "running");
        assert!(actions[0].seed && !actions[1].seed);
    }

    #[test]
    fn what_does_not_fit_is_skipped_and_those_who_run_come_first() {
        let mut all = observed(vec![
            found("default", LastKnown::Nothing, Slot::Absent),
            found("a", LastKnown::Nothing, Slot::Absent),
            found("b", LastKnown::Nothing, LIVE),
            found("c", LastKnown::Nothing, Slot::Absent),
            found("d", running(), Slot::Absent),
        ]);
        all.capacity = 5;
        all.strangers = 1;
        assert_eq!(
            effects(&plan(all, Policy::Profiles)),
            [
                ("default", Effect::Registered, true),
                ("a", Effect::Registered, true),
                ("b", Effect::Kept, false),
                ("c", Effect::Skipped, true),
                ("d", Effect::Started, false),
            ]
        );
    }

    fn any_slot() -> impl Strategy<Value = Slot> {
        let present =
            any::<(bool, bool, bool, bool)>().prop_map(|(current, down, supervised, up)| {
                Slot::Present { current, down, supervised, up }
            });
        prop_oneof![Just(Slot::Absent), Just(Slot::Unusable("x".into())), present]
    }

    fn any_prior() -> impl Strategy<Value = LastKnown> {
        prop_oneof![
            Just(LastKnown::Nothing),
            "running|stopped|draining|x".prop_map(LastKnown::Desired),
            "running|stopped|draining|x".prop_map(LastKnown::State),
        ]
    }

    proptest! {
        #[test]
        fn the_scandir_never_overflows_and_a_second_run_keeps_all(
            rows in proptest::collection::vec((any_prior(), any_slot()), 1..20),
            capacity in 0usize..20,
            strangers in 0usize..5,
            root: bool,
        ) {
            let policy = if root { Policy::Root } else { Policy::Profiles };
            let rows: Vec<_> = rows.into_iter().enumerate().map(|(i, (prior, slot))| {
                found(&if i == 0 { "default".into() } else { format!("p{i}") }, prior, slot)
            }).collect();
            let before = rows.iter().filter(|f| f.slot != Slot::Absent).count();
            let all = Observed { found: rows.clone(), migrate: false, capacity, strangers, orphans: vec![] };
            let actions = plan(all, policy);
            prop_assert_eq!(actions.len(), rows.len());

            let added = actions.iter()
                .filter(|a| matches!(a.effect, Effect::Started | Effect::Registered)).count();
            prop_assert!(added == 0 || before + strangers + added <= capacity);
            let skipped = actions.iter().zip(&rows)
                .any(|(a, f)| a.effect == Effect::Skipped && f.slot == Slot::Absent);
            prop_assert!(!skipped || before + strangers + added >= capacity);

            // Apply it to what was observed, and plan again.
            let rows: Vec<_> = rows.into_iter().zip(&actions).map(|(mut f, a)| {
                f.slot = match (f.slot, a.effect) {
                    (slot, Effect::Skipped) => slot,
                    (Slot::Present { supervised, up, .. }, _) =>
                        Slot::Present { current: true, down: a.down, supervised, up },
                    _ => Slot::Present { current: true, down: a.down, supervised: false, up: false },
                };
                f
            }).collect();
            let again = plan(Observed { found: rows, migrate: false, capacity, strangers, orphans: vec![] }, policy);
            for (first, second) in actions.iter().zip(&again) {
                let settled = matches!(second.effect, Effect::Kept | Effect::Skipped);
                prop_assert!(settled, "{:?} then {:?}", first, second);
            }
        }
    }
}
