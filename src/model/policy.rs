//! Who is wanted up when the container starts: the one place that decides it.

use super::intent::LastKnown;
use super::profile::Profile;

/// Whose intents decide who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Each profile's own.
    Profiles,
    /// One root gateway serves all: named slots stay down, and default runs if anyone wants to.
    Root,
}

/// What an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum PolicySetting {
    /// As Hermes itself decides whether one gateway serves all profiles.
    #[default]
    Auto,
    /// This one, whatever Hermes does.
    Forced(Policy),
}

impl PolicySetting {
    /// The setting that `word` names.
    pub(crate) fn parse(word: &[u8]) -> Option<PolicySetting> {
        match word.trim_ascii() {
            b"auto" => Some(PolicySetting::Auto),
            b"profiles" => Some(PolicySetting::Forced(Policy::Profiles)),
            b"root" => Some(PolicySetting::Forced(Policy::Root)),
            _ => None,
        }
    }
}

impl Policy {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Policy::Profiles => "profiles",
            Policy::Root => "root",
        }
    }

    /// Whether it leaves `profile` to the gateway of default.
    pub(crate) fn folds(self, profile: &Profile) -> bool {
        self == Policy::Root && *profile != Profile::Default
    }

    /// Whether the gateway of `profile` is to be up after a start of the container. `own` is
    /// what is known of its intent; `anyone` tells whether any profile at all wants to run, and
    /// `main_is_default` whether the container's main program is default's gateway: there are
    /// never two. `None` if it depends on what is not known.
    pub(crate) fn wants_up(
        self,
        profile: &Profile,
        own: &LastKnown,
        anyone: &dyn Fn() -> Option<bool>,
        main_is_default: &dyn Fn() -> Option<bool>,
    ) -> Option<bool> {
        let up = match (self, profile) {
            (Policy::Profiles, _) => own.wants_up(),
            (Policy::Root, Profile::Named(_)) => false,
            (Policy::Root, Profile::Default) => anyone()?,
        };
        Some(up && (*profile != Profile::Default || !main_is_default()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::intent::Intent;

    #[test]
    fn under_root_only_default_runs_and_for_anyone() {
        let (running, stopped) = (Intent::Running.into(), Intent::Stopped.into());
        let named = Profile::parse(b"a").unwrap();
        let table = [
            // policy, profile, its own intent, anyone's; wanted up
            (Policy::Profiles, &named, &running, false, true),
            (Policy::Profiles, &named, &stopped, true, false),
            (Policy::Profiles, &Profile::Default, &running, false, true),
            (Policy::Profiles, &Profile::Default, &stopped, true, false),
            (Policy::Root, &named, &running, true, false),
            (Policy::Root, &Profile::Default, &stopped, true, true),
            (Policy::Root, &Profile::Default, &stopped, false, false),
        ];
        for (policy, profile, own, anyone, up) in table {
            for main in [false, true] {
                let up = up && !(main && *profile == Profile::Default);
                let got = policy.wants_up(profile, own, &|| Some(anyone), &|| Some(main));
                assert_eq!(got, Some(up), "{policy:?} {profile:?} {main}");
            }
        }
    }
}
