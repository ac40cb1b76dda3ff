//! What reconcile will do: a pure function of what was observed.

use super::intent::{Prior, PriorExit};
use super::profile::Profile;

/// Whose intents decide who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// Each profile's own.
    #[default]
    Profiles,
    /// One root gateway serves all: named slots stay down, and default runs if anyone wants to.
    Root,
}

/// A profile's service directory as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
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
pub struct Found {
    /// The profile, or a name that can be none, and why it cannot be used.
    pub profile: Result<Profile, (Vec<u8>, String)>,
    /// Its last intent or state.
    pub prior: Prior,
    /// How its last run ended.
    pub exit: PriorExit,
    /// Its service directory.
    pub slot: Slot,
}

impl Found {
    /// The name, valid or not.
    pub fn name(&self) -> &[u8] {
        match &self.profile {
            Ok(profile) => profile.name().as_bytes(),
            Err((name, _)) => name,
        }
    }
}

/// All that the plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Default first, then the others in name order.
    pub found: Vec<Found>,
    /// An old-style `gateway run` container without a state file.
    pub migrate: bool,
    /// How many gateways the scandir can hold in all.
    pub capacity: usize,
    /// Slots in the scandir whose profile is not among `found`, and that stay.
    pub strangers: usize,
    /// Those that go.
    pub orphans: Vec<Profile>,
}

/// What becomes of one profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
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

impl Verb {
    /// The word for reports.
    pub const fn word(self) -> &'static str {
        match self {
            Verb::Started => "started",
            Verb::Registered => "registered",
            Verb::Updated => "updated",
            Verb::Kept => "kept",
            Verb::Skipped => "skipped",
            Verb::Pruned => "pruned",
            Verb::Failed => "failed",
        }
    }
}

/// What is to be done for one profile, and what is reported of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The profile, or the name that can be none.
    pub profile: Result<Profile, Vec<u8>>,
    /// Its last intent or state.
    pub prior: Prior,
    /// How its last run ended.
    pub exit: PriorExit,
    /// What becomes of it.
    pub verb: Verb,
    /// Why it is skipped or failed.
    pub reason: Option<String>,
    /// Whether the slot gets (or keeps) a `down` file.
    pub down: bool,
    /// Whether the pid files of its last run are to go.
    pub sweep: bool,
    /// Whether its state file is to be seeded with the intent to run.
    pub seed: bool,
    /// Whether s6-svscan has yet to take its slot up.
    pub unsupervised: bool,
}

impl Action {
    /// The profile's name as bytes, valid or not.
    pub fn name(&self) -> &[u8] {
        match &self.profile {
            Ok(profile) => profile.name().as_bytes(),
            Err(name) => name,
        }
    }

    /// The same action, failed.
    pub fn fail(&mut self, reason: String) {
        self.verb = Verb::Failed;
        self.reason = Some(reason);
    }
}

/// The actions, in the order of what was found.
pub fn plan(observed: Observed, policy: Policy) -> Vec<Action> {
    let Observed { mut found, migrate, capacity, strangers, orphans } = observed;
    if let Some(default) = found.first_mut().filter(|_| migrate) {
        default.prior = Prior::Desired(super::intent::Word::Running);
    }
    let anyone = found.iter().any(|f| f.profile.is_ok() && f.prior.wants_up());
    let wants_up = |f: &Found| match (policy, &f.profile) {
        (Policy::Profiles, _) => f.prior.wants_up(),
        (Policy::Root, Ok(Profile::Default)) => anyone,
        (Policy::Root, _) => false,
    };
    let mut places = Places::new(&found, capacity, strangers, wants_up);
    let mut actions: Vec<_> = found
        .into_iter()
        .map(|found| {
            let up = wants_up(&found);
            act(found, up, &mut places)
        })
        .collect();
    if let Some(default) = actions.first_mut() {
        default.seed = migrate && default.verb != Verb::Skipped;
    }
    actions.extend(orphans.into_iter().map(prune));
    actions
}

fn prune(profile: Profile) -> Action {
    Action {
        profile: Ok(profile),
        prior: Prior::None,
        exit: PriorExit::Unknown,
        verb: Verb::Pruned,
        reason: None,
        down: false,
        sweep: false,
        seed: false,
        unsupervised: false,
    }
}

fn act(found: Found, up: bool, places: &mut Places) -> Action {
    let Found { profile, prior, exit, slot } = found;
    let (verb, reason) = match (&profile, &slot) {
        (Err((_, why)), _) => (Verb::Skipped, Some(why.clone())),
        (Ok(_), Slot::Unusable(why)) => (Verb::Skipped, Some(why.clone())),
        (Ok(profile), Slot::Absent) if !places.take(profile, up) => {
            let why = format!("s6-svscan can hold no more than {} gateways", places.capacity);
            (Verb::Skipped, Some(why))
        }
        (Ok(_), Slot::Absent) if up => (Verb::Started, None),
        (Ok(_), Slot::Absent) => (Verb::Registered, None),
        // On a live slot `down` is the operator's latest wish, newer than any state file.
        (Ok(_), Slot::Present { current: true, supervised: true, .. }) => (Verb::Kept, None),
        (Ok(_), Slot::Present { current: true, down, .. }) if *down != up => (Verb::Kept, None),
        (Ok(_), Slot::Present { .. }) => (Verb::Updated, None),
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
        verb,
        reason,
        down,
        sweep: verb != Verb::Skipped && !running,
        seed: false,
        unsupervised: verb != Verb::Skipped && !supervised,
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
    use super::super::intent::Word;
    use super::*;
    use proptest::prelude::*;

    const LIVE: Slot = Slot::Present { current: true, down: false, supervised: true, up: true };

    fn found(name: &str, prior: Prior, slot: Slot) -> Found {
        let profile = Profile::parse(name.as_bytes())
            .map_err(|why| (name.as_bytes().to_vec(), why.why().to_string()));
        Found { profile, prior, exit: PriorExit::Unknown, slot }
    }

    fn running() -> Prior {
        Prior::Desired(Word::Running)
    }

    fn state(word: &str) -> Prior {
        Prior::State(Word::new(word.into()))
    }

    fn observed(found: Vec<Found>) -> Observed {
        Observed { found, migrate: false, capacity: 498, strangers: 0, orphans: vec![] }
    }

    fn verbs(actions: &[Action]) -> Vec<(&str, Verb, bool)> {
        actions.iter().map(|a| (str::from_utf8(a.name()).unwrap(), a.verb, a.down)).collect()
    }

    #[test]
    fn new_slots_start_by_intent() {
        let actions = plan(
            observed(vec![
                found("default", Prior::None, Slot::Absent),
                found("a", running(), Slot::Absent),
                found("b", state("draining"), Slot::Absent),
                found("c", state("starting"), Slot::Absent),
                found("D", running(), Slot::Absent),
            ]),
            Policy::Profiles,
        );
        assert_eq!(
            verbs(&actions),
            [
                ("default", Verb::Registered, true),
                ("a", Verb::Started, false),
                ("b", Verb::Started, false),
                ("c", Verb::Registered, true),
                ("D", Verb::Skipped, false),
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
        let verbs_of = |all| plan(all, Policy::Profiles).iter().map(|a| a.verb).collect::<Vec<_>>();
        assert_eq!(verbs_of(all.clone()), [Verb::Kept, Verb::Started, Verb::Pruned]);
        let full = Observed { strangers: 1, orphans: vec![], ..all };
        assert_eq!(verbs_of(full), [Verb::Kept, Verb::Skipped]);
    }

    #[test]
    fn a_live_slot_keeps_its_down_file_and_a_running_one_its_pid_files() {
        let slot = |current, down, supervised, up| Slot::Present { current, down, supervised, up };
        let table = [
            // (prior, slot) → (verb, down, sweep, unsupervised)
            (running(), LIVE, (Verb::Kept, false, false, false)),
            (Prior::None, LIVE, (Verb::Kept, false, false, false)),
            (running(), slot(true, true, true, false), (Verb::Kept, true, true, false)),
            (running(), slot(false, true, true, true), (Verb::Updated, true, false, false)),
            (running(), slot(true, false, false, false), (Verb::Kept, false, true, true)),
            (running(), slot(true, true, false, false), (Verb::Updated, false, true, true)),
            (Prior::None, slot(true, false, false, false), (Verb::Updated, true, true, true)),
            (Prior::None, slot(false, true, false, false), (Verb::Updated, true, true, true)),
            (running(), Slot::Unusable("x".into()), (Verb::Skipped, false, false, false)),
        ];
        for (prior, slot, expected) in table {
            let all = observed(vec![found("default", prior.clone(), slot.clone())]);
            let action = &plan(all, Policy::Profiles)[0];
            let got = (action.verb, action.down, action.sweep, action.unsupervised);
            assert_eq!(got, expected, "{prior:?} {slot:?}");
        }
    }

    #[test]
    fn under_policy_root_default_runs_for_all() {
        let all = |prior| {
            observed(vec![
                found("default", Prior::None, Slot::Absent),
                found("a", prior, Slot::Absent),
            ])
        };
        assert_eq!(
            verbs(&plan(all(running()), Policy::Root)),
            [("default", Verb::Started, false), ("a", Verb::Registered, true)]
        );
        assert_eq!(
            verbs(&plan(all(state("stopped")), Policy::Root)),
            [("default", Verb::Registered, true), ("a", Verb::Registered, true)]
        );
    }

    #[test]
    fn an_unusable_slot_keeps_its_intent_and_its_reason() {
        let all = observed(vec![
            found("default", Prior::None, Slot::Absent),
            found("a", running(), Slot::Unusable("is a file".into())),
        ]);
        let actions = plan(all, Policy::Root);
        assert_eq!(actions[0].verb, Verb::Started);
        assert_eq!((actions[1].verb, actions[1].prior.word()), (Verb::Skipped, "running".into()));
        assert_eq!(actions[1].reason.as_deref(), Some("is a file"));
    }

    #[test]
    fn a_name_that_can_be_no_profile_makes_nobody_run() {
        let all = observed(vec![
            found("default", Prior::None, Slot::Absent),
            found("Bad", running(), Slot::Absent),
        ]);
        assert_eq!(plan(all, Policy::Root)[0].verb, Verb::Registered);
    }

    #[test]
    fn an_old_style_container_starts_and_seeds_default() {
        let all = || Observed {
            migrate: true,
            ..observed(vec![
                found("default", Prior::None, Slot::Absent),
                found("a", Prior::None, Slot::Absent),
            ])
        };
        let actions = plan(all(), Policy::Profiles);
        assert_eq!(actions[0].verb, Verb::Started);
        assert_eq!(actions[0].prior.word(), "running");
        assert!(actions[0].seed && !actions[1].seed);
    }

    #[test]
    fn what_does_not_fit_is_skipped_and_those_who_run_come_first() {
        let mut all = observed(vec![
            found("default", Prior::None, Slot::Absent),
            found("a", Prior::None, Slot::Absent),
            found("b", Prior::None, LIVE),
            found("c", Prior::None, Slot::Absent),
            found("d", running(), Slot::Absent),
        ]);
        all.capacity = 5;
        all.strangers = 1;
        assert_eq!(
            verbs(&plan(all, Policy::Profiles)),
            [
                ("default", Verb::Registered, true),
                ("a", Verb::Registered, true),
                ("b", Verb::Kept, false),
                ("c", Verb::Skipped, true),
                ("d", Verb::Started, false),
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

    fn any_prior() -> impl Strategy<Value = Prior> {
        prop_oneof![
            Just(Prior::None),
            "running|stopped|draining|x".prop_map(|w| Prior::Desired(Word::new(w))),
            "running|stopped|draining|x".prop_map(|w| Prior::State(Word::new(w))),
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
                .filter(|a| matches!(a.verb, Verb::Started | Verb::Registered)).count();
            prop_assert!(added == 0 || before + strangers + added <= capacity);
            let skipped = actions.iter().zip(&rows)
                .any(|(a, f)| a.verb == Verb::Skipped && f.slot == Slot::Absent);
            prop_assert!(!skipped || before + strangers + added >= capacity);

            // Apply it to what was observed, and plan again.
            let rows: Vec<_> = rows.into_iter().zip(&actions).map(|(mut f, a)| {
                f.slot = match (f.slot, a.verb) {
                    (slot, Verb::Skipped) => slot,
                    (Slot::Present { supervised, up, .. }, _) =>
                        Slot::Present { current: true, down: a.down, supervised, up },
                    _ => Slot::Present { current: true, down: a.down, supervised: false, up: false },
                };
                f
            }).collect();
            let again = plan(Observed { found: rows, migrate: false, capacity, strangers, orphans: vec![] }, policy);
            for (first, second) in actions.iter().zip(&again) {
                let settled = matches!(second.verb, Verb::Kept | Verb::Skipped);
                prop_assert!(settled, "{:?} then {:?}", first, second);
            }
        }
    }
}
