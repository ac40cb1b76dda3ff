//! What reconcile will do: a pure function of what was observed.

use super::intent::{Intent, LastExit, LastKnown};
use super::policy::Policy;
use super::profile::Profile;
use crate::text::part;

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
        /// It stands by.
        standing_by: bool,
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
    /// Another container has it: its gateway, or at least its log.
    pub(crate) elsewhere: bool,
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
    /// The container's main program is default's gateway.
    pub(crate) main_is_default: bool,
    /// The container has just been started, and its main program was not.
    pub(crate) boot: bool,
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
    /// Another container runs it: its slot stays down, and its logger.
    StandingBy,
    /// The slot was there; its files are made what they should be.
    Updated,
    /// The slot was there as it should be.
    Kept,
    /// Nothing can be done for it.
    Skipped,
    /// Its slot goes, for there is no such profile, or its home is another one's.
    Pruned,
    /// It was tried and did not work.
    Failed,
}

/// The words for them.
const EFFECTS: &str = "started registered standing-by updated kept skipped pruned failed";

impl Effect {
    /// Whether anything was changed, or was to be.
    pub(crate) fn changes(self) -> bool {
        !matches!(self, Effect::Kept | Effect::Skipped)
    }

    /// The word for reports.
    pub(crate) fn word(self) -> &'static str {
        part(EFFECTS, ' ', self as usize)
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
    /// Why it is skipped or failed, or down whatever its intent says.
    pub(crate) reason: Option<String>,
    /// Whether the slot gets (or keeps) a `down` file.
    pub(crate) down: bool,
    /// Whether its logger stays down, too, for another container has the profile.
    pub(crate) standing_by: bool,
    /// Whether the slot is there already.
    pub(crate) present: bool,
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

    /// The same action, if it is about a slot that stands by, or did; else none.
    pub(crate) fn leave_unless_standing_by(&mut self) {
        let stood_by =
            self.standing_by || matches!(self.effect, Effect::Started | Effect::Registered);
        if !self.present || !stood_by {
            (self.effect, self.seed, self.standing_by) = (Effect::Kept, false, false);
            (self.sweep, self.unsupervised) = (false, false);
        }
    }

    /// The same action, failed: nothing came of it.
    pub(crate) fn fail(&mut self, reason: String) {
        (self.effect, self.standing_by) = (Effect::Failed, false);
        self.reason = Some(reason);
    }
}

/// Why default stays down where that is so.
pub(crate) const MAIN_IS_DEFAULT: &str = "the container's main program is its gateway";

/// The actions, in the order of what was found.
pub(crate) fn plan(observed: Observed, policy: Policy) -> Vec<Action> {
    let Observed { mut found, migrate, main_is_default, boot, capacity, strangers, orphans } =
        observed;
    if let Some(default) = found.first_mut().filter(|_| migrate) {
        default.prior = Intent::Running.into();
    }
    let anyone = found.iter().any(|f| f.profile.is_ok() && f.prior.wants_up());
    let wants_up = |found: &Found| match &found.profile {
        Ok(profile) => {
            let main = || Some(main_is_default);
            policy.wants_up(profile, &found.prior, &|| Some(anyone), &main) == Some(true)
        }
        Err(_) => false,
    };
    let (mut taken, mut reserved_up, mut folded) = (strangers, 0, Vec::new());
    for found in &found {
        let Ok(profile) = &found.profile else { continue };
        if found.slot != Slot::Absent {
            taken += 1;
        } else if wants_up(found) || *profile == Profile::Default {
            reserved_up += 1;
        }
        if policy.folds(profile) && found.prior.wants_up() {
            folded.push(profile.clone());
        }
    }
    let mut places = Places { capacity, reserved_up, free: capacity.saturating_sub(taken) };
    let mut actions = Vec::with_capacity(found.len());
    for found in found {
        // Without a state file nobody has asked for it to be down: an earlier run did not know
        // that it is to be migrated.
        let missed = migrate && actions.is_empty();
        let up = wants_up(&found);
        actions.push(act(found, up, missed, &mut places));
    }
    if let Some(default) = actions.first_mut() {
        default.seed = migrate && default.effect != Effect::Skipped;
        // Once the main program runs, the pid files are its own.
        default.sweep &= boot || !main_is_default;
        let says_why = !default.standing_by && default.effect != Effect::Skipped;
        if main_is_default && default.down && says_why {
            default.reason = Some(MAIN_IS_DEFAULT.into());
        }
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
        standing_by: false,
        present: true,
        sweep: false,
        seed: false,
        unsupervised: false,
        folded: Vec::new(),
    }
}

/// Why there is no slot where s6-svscan has room for `capacity` gateways, and not for one more.
#[inline(never)]
pub(crate) fn no_room(capacity: usize) -> String {
    format!("s6-svscan can hold no more than {capacity} gateways")
}

#[inline(never)]
fn act(found: Found, up: bool, missed: bool, places: &mut Places) -> Action {
    let Found { profile, prior, exit, elsewhere, slot } = found;
    let (present, current, was_down, marked, supervised, running) = match slot {
        Slot::Present { current, down, standing_by, supervised, up } => {
            (true, current, down, standing_by, supervised, up)
        }
        _ => (false, false, false, false, false, false),
    };
    let reason = match (&profile, slot) {
        (Err((_, why)), _) => Some(why.clone()),
        (Ok(_), Slot::Unusable(why)) => Some(why),
        (Ok(profile), Slot::Absent) if !places.take(profile, up) => Some(no_room(places.capacity)),
        _ => None,
    };
    let skipped = reason.is_some();
    let missed = missed && was_down && !running && !elsewhere;
    let effect = match () {
        () if skipped => Effect::Skipped,
        // What its own supervisor may have started, its own finish has to sort out.
        () if elsewhere && !marked && !supervised => Effect::StandingBy,
        () if elsewhere && marked && current => Effect::Kept,
        () if elsewhere && marked => Effect::Updated,
        () if (marked || !present || missed) && up => Effect::Started,
        () if marked || !present => Effect::Registered,
        // On a live slot `down` is the operator's latest wish, newer than any state file.
        () if current && (supervised || was_down != up) => Effect::Kept,
        () => Effect::Updated,
    };
    let standing_by = effect == Effect::StandingBy || marked && elsewhere;
    let down = if supervised && !marked && !missed { was_down } else { !up };
    Action {
        profile: profile.map_err(|(name, _)| name),
        prior,
        exit,
        effect,
        reason,
        down: down || standing_by,
        standing_by,
        present,
        sweep: !skipped && !running && !standing_by,
        seed: false,
        unsupervised: !skipped && !supervised,
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

    const LIVE: Slot = Slot::Present {
        current: true,
        down: false,
        standing_by: false,
        supervised: true,
        up: true,
    };

    fn found(name: &str, prior: LastKnown, slot: Slot) -> Found {
        let profile = Profile::parse(name.as_bytes())
            .map_err(|why| (name.as_bytes().to_vec(), why.why().read().to_string()));
        Found { profile, prior, exit: LastExit::Unknown, elsewhere: false, slot }
    }

    fn running() -> LastKnown {
        Intent::Running.into()
    }

    fn state(word: &str) -> LastKnown {
        LastKnown::State(word.into())
    }

    fn observed(found: Vec<Found>) -> Observed {
        let (migrate, main_is_default, boot) = (false, false, false);
        let (capacity, strangers, orphans) = (498, 0, vec![]);
        Observed { found, migrate, main_is_default, boot, capacity, strangers, orphans }
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
        let slot = |current, down, supervised, up| Slot::Present {
            current,
            down,
            standing_by: false,
            supervised,
            up,
        };
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
    fn what_another_container_has_stands_by_until_it_is_free() {
        use Effect::*;
        let marked = |supervised, current| Slot::Present {
            current,
            down: true,
            standing_by: true,
            supervised,
            up: false,
        };
        let plain = |supervised, up| Slot::Present {
            current: true,
            down: false,
            standing_by: false,
            supervised,
            up,
        };
        let table = [
            // elsewhere, slot, prior → effect, down, stands by, sweep
            (true, Slot::Absent, running(), (StandingBy, true, true, false)),
            (true, Slot::Absent, state("stopped"), (StandingBy, true, true, false)),
            (true, plain(false, false), running(), (StandingBy, true, true, false)),
            (true, plain(true, true), running(), (Kept, false, false, false)),
            (true, marked(true, true), running(), (Kept, true, true, false)),
            (true, marked(false, true), running(), (Kept, true, true, false)),
            (true, marked(true, false), running(), (Updated, true, true, false)),
            (false, marked(true, true), running(), (Started, false, false, true)),
            (false, marked(false, true), running(), (Started, false, false, true)),
            (false, marked(true, true), state("stopped"), (Registered, true, false, true)),
            (true, Slot::Unusable("x".into()), running(), (Skipped, false, false, false)),
        ];
        for (elsewhere, slot, prior, expected) in table {
            let found = Found { elsewhere, ..found("a", prior.clone(), slot.clone()) };
            let default = self::found("default", LastKnown::Nothing, LIVE);
            let action = &plan(observed(vec![default, found]), Policy::Profiles)[1];
            let got = (action.effect, action.down, action.standing_by, action.sweep);
            assert_eq!(got, expected, "{elsewhere} {slot:?} {prior:?}");
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
        // One that an earlier run registered, down, is started; what runs or may is not touched.
        let slot = |down, supervised, up| Slot::Present {
            current: true,
            down,
            standing_by: false,
            supervised,
            up,
        };
        let table = [
            // (slot) → (effect, down)
            (slot(true, true, false), (Effect::Started, false)),
            (slot(false, true, true), (Effect::Kept, false)),
            (slot(false, true, false), (Effect::Kept, false)),
            (slot(true, true, true), (Effect::Kept, true)),
            (slot(true, false, true), (Effect::Updated, false)),
        ];
        for (slot, expected) in table {
            let mut all = all();
            all.found[0].slot = slot.clone();
            let action = &plan(all, Policy::Profiles)[0];
            assert_eq!((action.effect, action.down), expected, "{slot:?}");
        }
    }

    #[test]
    fn where_the_main_program_is_its_gateway_default_stays_down_and_says_why() {
        let down = |up| Slot::Present {
            current: true,
            down: true,
            standing_by: false,
            supervised: true,
            up,
        };
        let table = [
            // (its intent, slot, boot) → (effect, down, the reason is told, sweep)
            (running(), Slot::Absent, true, (Effect::Registered, true, true, true)),
            (running(), Slot::Absent, false, (Effect::Registered, true, true, false)),
            (state("stopped"), Slot::Absent, true, (Effect::Registered, true, true, true)),
            (running(), down(false), false, (Effect::Kept, true, true, false)),
            (running(), LIVE, false, (Effect::Kept, false, false, false)),
            (running(), Slot::Unusable("x".into()), true, (Effect::Skipped, true, false, false)),
        ];
        for policy in [Policy::Profiles, Policy::Root] {
            for (prior, slot, boot, expected) in &table {
                let default = found("default", prior.clone(), slot.clone());
                let rows = vec![default, found("a", running(), Slot::Absent)];
                let all = Observed { main_is_default: true, boot: *boot, ..observed(rows) };
                let actions = plan(all, policy);
                let told = actions[0].reason.as_deref() == Some(MAIN_IS_DEFAULT);
                let got = (actions[0].effect, actions[0].down, told, actions[0].sweep);
                assert_eq!(got, *expected, "{policy:?} {prior:?} {slot:?}");
                // The others as ever.
                let started = actions[1].effect == Effect::Started;
                assert_eq!(started, policy == Policy::Profiles);
                assert_eq!((&actions[1].reason, actions[1].sweep), (&None, true));
            }
        }
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
        let present = any::<(bool, bool, bool, bool, bool)>().prop_map(
            |(current, down, marked, supervised, up)| Slot::Present {
                current,
                down,
                standing_by: marked,
                supervised,
                up,
            },
        );
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
            rows in proptest::collection::vec((any_prior(), any_slot(), any::<bool>()), 1..20),
            capacity in 0usize..20,
            strangers in 0usize..5,
            root: bool,
            main_is_default: bool,
        ) {
            let policy = if root { Policy::Root } else { Policy::Profiles };
            let rows: Vec<_> = rows.into_iter().enumerate().map(|(i, (prior, slot, elsewhere))| {
                let name = if i == 0 { "default".into() } else { format!("p{i}") };
                Found { elsewhere, ..found(&name, prior, slot) }
            }).collect();
            let before = rows.iter().filter(|f| f.slot != Slot::Absent).count();
            let all = Observed { capacity, strangers, main_is_default, ..observed(rows.clone()) };
            let actions = plan(all, policy);
            prop_assert_eq!(actions.len(), rows.len());

            let new = |a: &&Action| matches!(
                a.effect, Effect::Started | Effect::Registered | Effect::StandingBy,
            ) && !a.present;
            let added = actions.iter().filter(new).count();
            prop_assert!(added == 0 || before + strangers + added <= capacity);
            let skipped = actions.iter().zip(&rows)
                .any(|(a, f)| a.effect == Effect::Skipped && f.slot == Slot::Absent);
            prop_assert!(!skipped || before + strangers + added >= capacity);

            // Apply it to what was observed, and plan again.
            let rows: Vec<_> = rows.into_iter().zip(&actions).map(|(mut f, a)| {
                f.slot = match (f.slot, a.effect) {
                    (slot, Effect::Skipped) => slot,
                    (Slot::Present { supervised, up, .. }, _) => Slot::Present {
                        current: true, down: a.down, standing_by: a.standing_by, supervised, up,
                    },
                    _ => Slot::Present {
                        current: true,
                        down: a.down,
                        standing_by: a.standing_by,
                        supervised: false,
                        up: false,
                    },
                };
                f
            }).collect();
            let again = plan(Observed { capacity, strangers, main_is_default, ..observed(rows) }, policy);
            for (first, second) in actions.iter().zip(&again) {
                let settled = matches!(second.effect, Effect::Kept | Effect::Skipped);
                prop_assert!(settled, "{:?} then {:?}", first, second);
            }
        }
    }
}
