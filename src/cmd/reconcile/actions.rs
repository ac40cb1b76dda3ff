//! Actions of several profiles: whose they are, and which have failed.

use crate::error::Result;
use crate::model::plan::Action;
use crate::model::profile::Profile;

/// The profiles of those actions that are `such`.
pub(super) fn profiles(actions: &[Action], such: &dyn Fn(&Action) -> bool) -> Vec<Profile> {
    let mut profiles = Vec::new();
    for action in actions {
        if let (Ok(profile), true) = (&action.profile, such(action)) {
            profiles.push(profile.clone());
        }
    }
    profiles
}

/// Notes which of the actions for `profiles` have failed; `why_not` says whether, and why, where
/// the outcome is false.
pub(super) fn note(
    actions: &mut [Action],
    profiles: &[Profile],
    outcomes: Vec<Result<bool>>,
    why_not: &dyn Fn() -> Option<String>,
) {
    for (profile, outcome) in profiles.iter().zip(outcomes) {
        let why = match outcome {
            Ok(true) => None,
            Ok(false) => why_not(),
            Err(error) => Some(error.text()),
        };
        let Some(why) = why else { continue };
        for action in &mut *actions {
            if matches!(&action.profile, Ok(it) if it == profile) {
                action.fail(why.clone());
            }
        }
    }
}
