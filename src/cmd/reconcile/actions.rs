//! Actions of several profiles: whose they are, and which have failed.

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

/// Notes that the action for `profile` has failed.
pub(super) fn fail(actions: &mut [Action], profile: &Profile, why: &str) {
    for action in actions {
        if matches!(&action.profile, Ok(it) if it == profile) {
            action.fail(why.into());
        }
    }
}
