//! What is looked at as the gateways' user: the homes, and what comes of both sides.

use super::services::{room, warn_of_settings};
use super::{Doctor, Findings};
use crate::error::{Error, Kind};
use crate::hermes::home::Homes;
use crate::model::backoff::Exit;
use crate::model::observation::State;
use crate::model::plan::MAIN_IS_DEFAULT;
use crate::model::profile::Profile;
use crate::sys::Name;
use crate::sys::dir::{self, Dir};
use crate::text::{Shown, shell_word};

/// From so many deaths on, a gateway that is up is one that does not stay up.
const RESTLESS: usize = 3;

impl Doctor<'_> {
    fn root(&self) -> &[u8] {
        &self.place.home
    }

    /// Whether the home can be used, and the logs in it.
    pub(super) fn home(&self, findings: &mut Findings) -> String {
        let root = self.root();
        let homes = match self.context.homes() {
            Ok(homes) => homes,
            Err(error) => {
                let remedy = match dir::impassable(root) {
                    Some(at) => ["as root: chmod a+x ", &shell_word(at)].concat(),
                    None => "HERMES_HOME=DIR".into(),
                };
                findings.fail_of(&error, &remedy);
                return String::new();
            }
        };
        if let Err(error) = homes.profiles() {
            findings.fail_of(&error, &["ls -ld ", &shell_word(root), "/profiles"].concat());
        }
        let remedy = format!("as root: chown -R {} {}", self.user_name(), shell_word(root));
        self.owned(findings, homes.root(), ". logs logs/gateways", &remedy);
        room(findings, homes.root())
    }

    /// Which policy counts.
    pub(super) fn policy(&self, findings: &mut Findings) -> String {
        // What keeps it from being opened was told above.
        let Ok(homes) = self.context.homes() else { return "not looked at".into() };
        let resolved = self.context.policy(&homes);
        warn_of_settings(findings, &resolved.flaws);
        resolved.text
    }

    /// Slots against profiles.
    pub(super) fn profiles(&self, findings: &mut Findings) -> String {
        let mut known = vec![Profile::Default];
        let mut unusable = Vec::new();
        let each = |homes: Homes| {
            homes.each_named(&mut |name, entry| match entry {
                Ok((profile, _)) => known.push(profile),
                Err(why) => unusable.push((name, why)),
            })?;
            Ok(homes)
        };
        // What keeps it from being opened was told above.
        let Ok(homes) = self.context.homes().and_then(each) else {
            return "not looked at".into();
        };
        for (name, why) in &unusable {
            self.unusable(findings, name, why);
        }
        for profile in &known {
            let name = profile.name();
            if !self.seen.iter().any(|it| it.observation.profile == *profile) {
                findings.warn_at(name, "a profile without a slot", "register --down");
            }
            if let Some(error) = homes.last_known(profile).1 {
                self.flaw(findings, profile, &error);
            }
        }
        for seen in self.seen.iter().filter(|it| !known.contains(&it.observation.profile)) {
            let name = seen.observation.profile.name();
            findings.warn_at(name, "a slot without a profile", "unregister");
        }
        format!("{}, each with a slot and a state file that can be read", known.len())
    }

    fn unusable(&self, findings: &mut Findings, name: &Name, why: &str) {
        let path = [self.root(), b"/profiles/", name].concat();
        if Dir::open(&path).is_err_and(|error| error.kind == Kind::Denied) {
            let (user, path) = (self.user_name(), shell_word(&path));
            return findings
                .warn(format_args!("{why}"), format_args!("as root: chown -R {user} {path}"));
        }
        // Not over what is there: a link can be called anything.
        let (from, to) = (shell_word(&path), shell_word(self.root()));
        findings.warn(format_args!("{}: {why}", Shown(&path)), format_args!("mv -n {from} {to}"));
    }

    /// A state file that is not what it should be.
    fn flaw(&self, findings: &mut Findings, profile: &Profile, error: &Error) {
        // Either writes it anew; what is so now is what is least of a surprise.
        let mut seen = self.seen.iter();
        let up =
            seen.any(|it| it.observation.profile == *profile && it.observation.state == State::Up);
        let verb = if up { "start" } else { "stop" };
        findings.warn(format_args!("{error}"), format_args!("hermes-gw {verb} {}", profile.name()));
    }

    /// Whether each gateway does what it is meant to do.
    pub(super) fn gateways(&self, findings: &mut Findings) -> String {
        let mut up = 0;
        // What cannot be read was told above.
        let main_is_default = self.context.main_is_default().unwrap_or(false);
        for seen in &self.seen {
            let it = &seen.observation;
            let (name, text) = (it.profile.name(), it.text());
            match (it.state, it.last_exit) {
                (State::Parked, Some(Exit::Code(0))) => findings.warn_at(name, &text, "start"),
                (State::Parked | State::BackingOff, _) => findings.fail_at(name, &text, "logs"),
                (State::Unreadable, _) => {
                    // s6-supervise writes its status anew for any letter, and this does no harm.
                    let slot = shell_word(&self.s6.slots.path_of(&it.profile));
                    findings.fail(
                        format_args!("{name}: {text}"),
                        format_args!("/command/s6-svc -c {slot}"),
                    );
                }
                (State::Up, _) if main_is_default && it.profile == Profile::Default => {
                    let text = ["up, and ", MAIN_IS_DEFAULT, ": two run"].concat();
                    findings.warn_at(name, &text, "stop");
                }
                // Two gateways use one token.
                (State::Up, _) if it.served => findings.warn_at(name, &text, "stop"),
                _ if it.deaths.is_none_or(|deaths| deaths >= RESTLESS) => {
                    findings.warn_at(name, &text, "logs");
                }
                _ if !it.is_well() && it.state == State::Down => {
                    findings.warn_at(name, &text, "start");
                }
                _ if it.paused => findings.warn_at(name, &text, "signal CONT"),
                _ => {}
            }
            up += usize::from(it.state == State::Up);
        }
        format!("{up} up, the others down as they are meant to be")
    }
}
