//! What is looked at as the gateways' user: the homes, and what comes of both sides.

use super::services::{room, warn_of_settings};
use super::{Doctor, Findings, Found};
use crate::error::{Error, Kind, Result};
use crate::hermes::home::{self, Entry, Homes};
use crate::hermes::state_file::{self, STATE_FILE};
use crate::model::backoff::Exit;
use crate::model::hermes_state::SLOW_START;
use crate::model::observation::{Observation, State};
use crate::model::plan::MAIN_IS_DEFAULT;
use crate::model::profile::{MAX_NAME, Profile};
use crate::model::usage;
use crate::sys::clock;
use crate::sys::dir::Dir;
use crate::sys::if_there;
use crate::sys::meta::FileKind;
use crate::sys::path;
use crate::text::shell_word;
use std::iter;

/// Makes of the `path` of an entry, whose name begins at `start`, one where it can be used.
fn make_usable(path: &mut Vec<u8>, start: usize) {
    let mut is_other = false;
    for (at, byte) in path.iter_mut().enumerate().skip(start) {
        let new = match byte.to_ascii_lowercase() {
            new @ (b'a'..=b'z' | b'0'..=b'9') => new,
            _ if at == start => b'p',
            _ => b'-',
        };
        is_other |= new != *byte;
        *byte = new;
    }
    path.truncate(start + MAX_NAME - 1);
    if !is_other {
        path.push(b'2');
    }
}

/// From so many deaths on, a gateway that is up is one that does not stay up.
const RESTLESS: usize = 3;

impl Doctor<'_> {
    fn root(&self) -> &[u8] {
        &self.place.home
    }

    /// Whether the home can be used, and the logs in it.
    pub(super) fn home(&self, findings: &mut Findings) {
        let root = self.root();
        let homes = match self.context.homes() {
            Ok(homes) => homes,
            Err(error) => {
                let remedy = match path::impassable(root) {
                    Some(at) => ["as root: chmod a+x ", &shell_word(at)].concat(),
                    None => "HERMES_HOME=DIR".into(),
                };
                return findings.fail_of(&error, &remedy);
            }
        };
        if let Err(error) = homes.profiles() {
            findings.add_error(Found::NoProfiles, &error, root);
        }
        if self.may_write(findings, (homes.root(), b"."), Found::NoState, root) {
            self.may_write(findings, (homes.root(), b"logs"), Found::NoLog, root);
            self.may_write(findings, (homes.root(), home::LOGS), Found::NoLog, root);
        }
        room(findings, homes.root());
    }

    /// Which policy counts.
    pub(super) fn policy(&self, findings: &mut Findings) {
        // What keeps it from being opened was told above.
        let Ok(homes) = self.context.homes() else {
            return findings.add_plain(Found::NotLookedAt);
        };
        let resolved = self.context.policy(homes);
        warn_of_settings(findings, &resolved.flaws);
        findings.add_one(Found::Policy, resolved.text.as_bytes());
    }

    /// Slots against profiles.
    pub(super) fn profiles(&self, findings: &mut Findings) {
        if self.each_profile(findings).is_err() {
            // What keeps it from being opened was told above.
            findings.add_plain(Found::NotLookedAt);
        }
    }

    fn each_profile(&self, findings: &mut Findings) -> Result<()> {
        let homes = self.context.homes()?;
        let mut known = vec![Profile::Default];
        // A home that cannot be used is not gone.
        let mut unusable = Vec::new();
        homes.each_named(&mut |name, entry| {
            let (why, twin) = match entry {
                Entry::Home(profile, _) => return known.push(profile),
                Entry::Twin(_, other) => (home::is_twin_of(&other), true),
                Entry::Unusable(why) => (why, false),
            };
            self.unusable(findings, homes, &name, &why, twin);
            if !twin {
                unusable.push(name);
            }
        })?;
        // Where the root home cannot be written to, that was told above.
        let tried = self.refusal(homes.root(), b".").is_none();
        // What keeps the logs from being opened was told above, too.
        let logs = if tried { home::logs(homes.root()).ok().flatten() } else { None };
        let (none, names) = (self.context.why_none()?, homes.names()?);
        for profile in &known {
            let name = profile.name();
            let seen = self.seen_as(name.as_bytes());
            if seen.is_none() && none.is_none() {
                let mut it = Observation::new(profile, State::Down);
                self.s6.ask_homes(homes, &names, &mut iter::once(&mut it));
                let down: &[u8] = if it.wanted_at_boot == Some(true) { b"" } else { b"--down " };
                findings.add_two(Found::SlotMissing, name.as_bytes(), down);
            }
            let slot = seen.and_then(|seen| seen.slot.as_ref().ok());
            // Why it does is told by its own check.
            let dies = slot.is_some_and(|slot| slot.logger.dies());
            match if_there(homes.of(profile)) {
                Ok(Some(home)) => {
                    let logs = logs.as_ref().filter(|_| !dies);
                    self.home_of(findings, profile, &home, tried, logs);
                }
                Ok(None) => {}
                Err(error) => self.flaw(findings, profile, &error),
            }
        }
        for seen in &self.seen {
            let name = seen.observation.profile.name().as_bytes();
            if !known.contains(&seen.observation.profile) && !unusable.iter().any(|it| it == name) {
                findings.add_one(Found::ProfileMissing, name);
            }
        }
        if let Some(why) = &none {
            findings.add_one(Found::NotMeant, why.as_bytes());
        }
        findings.add_count(Found::Profiles, known.len());
        Ok(())
    }

    /// Whether the `home` of `profile` can be used, if it is to be `tried`, and its log in `logs`.
    #[inline(never)]
    fn home_of(
        &self,
        findings: &mut Findings,
        profile: &Profile,
        home: &Dir,
        tried: bool,
        logs: Option<&Dir>,
    ) {
        if *profile != Profile::Default && tried {
            self.may_write(findings, (home, b"."), Found::NoState, home.path());
        }
        if let Some(logs) = logs {
            let name = profile.name().as_bytes();
            self.may_write(findings, (logs, name), Found::NoLog, &logs.path_of(name));
        }
        let state = &home.path_of(STATE_FILE);
        if home.is_mount(STATE_FILE) {
            findings.add_one(Found::MountedAlone, state);
        }
        if let Some(error) = state_file::read(home).1 {
            self.flaw(findings, profile, &error);
        }
    }

    /// The entry `name` of `profiles/`, which is skipped: `why`, and whether that is for another
    /// one's sake.
    #[inline(never)]
    fn unusable(&self, findings: &mut Findings, homes: &Homes, name: &[u8], why: &str, twin: bool) {
        let at = [&b"profiles/"[..], name].concat();
        let path = homes.root().path_of(&at);
        let is_link = matches!(homes.root().kind(&at), Ok(Some(FileKind::Symlink)));
        let why = why.as_bytes();
        if !is_link && Dir::open(&path).is_err_and(|error| error.kind == Kind::Denied) {
            return findings.add_two(Found::Warns, why, self.chown(&path).as_bytes());
        }
        // namei shows where a path leads, link by link; mv is not to go over what is there.
        let found = if is_link || twin { Found::BadLink } else { Found::BadEntry };
        let mut other = path.clone();
        make_usable(&mut other, path.len() - name.len());
        findings.add(found, &[&path, why, &other]);
    }

    /// A state file that is not what it should be.
    fn flaw(&self, findings: &mut Findings, profile: &Profile, error: &Error) {
        // Either writes it anew; what is so now is what is least of a surprise.
        let seen = self.seen_as(profile.name().as_bytes());
        let up = seen.is_some_and(|it| it.observation.state == State::Up);
        let verb = if up { "start" } else { "stop" };
        let (found, remedy) = match error.kind {
            Kind::Denied => (Found::Warns, self.chown(self.root())),
            _ => (Found::BadState, [verb, " ", profile.name()].concat()),
        };
        findings.add_error(found, error, remedy.as_bytes());
    }

    /// Whether each gateway does what it is meant to do.
    pub(super) fn gateways(&self, findings: &mut Findings) {
        let mut up = 0;
        // What cannot be read was told above.
        let main_is_default = self.context.main_is_default().unwrap_or(false);
        let most = self.context.settings.warn_memory;
        for seen in &self.seen {
            let it = &seen.observation;
            let memory = it.usage.unwrap_or_default().memory;
            if memory > most {
                let size = usage::size(memory);
                findings.add_two(Found::MuchMemory, it.profile.name().as_bytes(), size.as_bytes());
            }
            up += usize::from(it.state == State::Up);
            let slot = self.s6.slots.path_of(&it.profile);
            let (found, place): (_, &[u8]) = match (it.state, it.last_exit) {
                (State::Parked, Some(Exit::Code(0))) => (Found::GatewayWarns, b"start"),
                (State::Parked | State::BackingOff, _) => (Found::GatewayFails, b"logs"),
                // s6-supervise writes its status anew for any letter, and this does no harm.
                (State::Unreadable, _) => (Found::BadStatus, &slot),
                (State::Up, _) if main_is_default && it.profile == Profile::Default => {
                    (Found::TwoRun, MAIN_IS_DEFAULT.as_bytes())
                }
                // Two gateways use one token.
                (State::Up, _) if it.served => (Found::GatewayWarns, b"stop"),
                _ if it.deaths.is_none_or(|deaths| deaths >= RESTLESS) => {
                    (Found::GatewayWarns, b"logs")
                }
                _ if !it.is_well() && it.state == State::Down => (Found::GatewayWarns, b"start"),
                _ if it.paused => (Found::GatewayWarns, b"signal CONT"),
                _ => continue,
            };
            findings.add(found, &[it.profile.name().as_bytes(), it.text().as_bytes(), place]);
        }
        findings.add_count(Found::Gateways, up);
    }

    /// What gateways that are up say of themselves.
    pub(super) fn hermes(&self, findings: &mut Findings) {
        for seen in &self.seen {
            let it = &seen.observation;
            let name = it.profile.name().as_bytes();
            let mut add =
                |found, text: &str| findings.add(found, &[name, text.as_bytes(), b"logs"]);
            if let Some(said) = &it.hermes {
                if said.is_stuck() {
                    add(Found::GatewayFails, &it.text());
                }
                for platform in said.down() {
                    add(Found::GatewayWarns, &platform.text());
                }
            } else if let (State::Up, Some(since)) = (it.state, it.since)
                && clock::time().saturating_sub(since) > SLOW_START
            {
                add(Found::Silent, "");
            }
        }
        findings.add_plain(Found::Hermes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_entry_has_a_name_that_can_be_used() {
        let usable = |name: &[u8]| {
            let mut path = [b"/a/", name].concat();
            make_usable(&mut path, 3);
            path[3..].to_vec()
        };
        for (name, expected) in [
            ("Bad Name", "bad-name"),
            ("-x", "px"),
            ("_Old_one", "pold-one"),
            ("default", "default2"),
            ("a.b", "a-b"),
            ("\u{fc}", "p-"),
        ] {
            assert_eq!(usable(name.as_bytes()), expected.as_bytes(), "{name}");
        }
        for long in ["a", "A"] {
            assert!(Profile::parse(&usable(long.repeat(MAX_NAME + 1).as_bytes())).is_ok());
        }
    }
}
