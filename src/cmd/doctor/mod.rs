//! `doctor`: what is wrong here, why, and what to do about it. It tries what it judges, as the
//! user that does it, and leaves nothing of that behind.

mod capabilities;
mod findings;
mod homes;
mod image;
mod loggers;
mod services;

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::gateway::observe;
use crate::gateway::observe::Gateway;
use crate::gateway::{slot, slots};
use crate::hermes::container::Supervisor;
use crate::manager;
use crate::manager::access::{Privilege, S6};
use crate::model::observation::Observation;
use crate::model::profile::Profile;
use crate::s6::status;
use crate::settings::Place;
use crate::sys::dir::Dir;
use crate::sys::identity;
use crate::sys::{Name, poll, raise_descriptor_limit};
use crate::text::messages::text;
use crate::text::{Shown, shell_word};
use findings::{Findings, Found};
use loggers::Logger;
use services::room;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// So many times, and with which pause before each, slots are looked at again that are not tended:
/// a scan may be under way, as it is at the end of a boot. To hear of its end would take FIFOs in
/// event/, and doctor makes nothing that it does not take away at once.
const PAUSES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);
/// EROFS, on every Linux.
const READ_ONLY: i32 = 30;

/// All that the checks look at.
struct Doctor<'a> {
    context: &'a Context,
    s6: &'a S6<'a>,
    place: &'a Place,
    /// Whether slots came or went while it was looked what there is.
    was_changing: bool,
    names: Vec<Name>,
    /// Whether this process could become the gateways' user, if it was root.
    became_user: Result<()>,
    /// Boxed, for one is long, and handed on.
    #[allow(clippy::vec_box)]
    seen: Vec<Box<Seen>>,
}

/// What one look at a slot has shown.
struct Seen {
    slot: Result<Tended>,
    observation: Observation,
}

/// What there is of a slot.
struct Tended {
    supervised: bool,
    /// Whether its files are what we would write.
    current: bool,
    /// What reads what the gateway says.
    logger: Logger,
    /// What cannot be written to in it, and why.
    refused: Option<Box<Error>>,
    /// What a call that was killed has left in it.
    left: Vec<Vec<u8>>,
    /// How long the status is, in bytes.
    status_size: Option<u64>,
}

/// Runs the command: 1 if something fails, else 0.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    // It lives as long as the process, as what is looked at does.
    let mut findings = ManuallyDrop::new(Findings::new(&context.output));
    examine(context, &mut findings);
    let failed = findings.any_failure().into();
    findings.print().map(|()| failed)
}

/// The id of who calls, as a text.
#[inline(never)]
fn own_id() -> String {
    u64::from(identity::user_id()).to_string()
}

#[inline(never)]
fn examine(context: &Context, findings: &mut Findings) {
    findings.begin("s6");
    match manager::detect(context) {
        Ok(Supervisor::S6) => {}
        Ok(Supervisor::Systemd) => return findings.add_two(Found::NotS6, b"systemd", b""),
        Ok(Supervisor::None) => return findings.add_two(Found::NotS6, b"nothing", b" run"),
        Err(error) => return findings.add_error(Found::NoProc, &error, b""),
    }
    let place = match context.settings.place() {
        Ok(place) => place,
        Err(error) => {
            findings.begin("settings");
            findings.add_error(Found::WrongSetting, &error, b"");
            return services::warn_of_settings(findings, &context.settings.flaws);
        }
    };
    let mut doctor = match Doctor::new(context, place) {
        Ok(doctor) => ManuallyDrop::new(doctor),
        Err(error) => return findings.add_error(Found::NotPrepared, &error, b""),
    };
    let doctor = &mut *doctor;
    // Who calls, and where: nobody else is told more.
    findings.run(doctor, Doctor::s6);
    findings.run(doctor, Doctor::caller);
    findings.run(doctor, Doctor::capabilities);
    if findings.any_failure() {
        return;
    }
    // Only root may know where each of root's processes is.
    let supervisors = findings.run_apart(doctor, Doctor::supervisors);
    doctor.became_user = context.drop_root(&mut |_| Ok(()));
    if let Err(error) = doctor.look() {
        findings.begin("slots");
        return findings.end(Err(error));
    }
    // s6's side, tried as the gateways' user; root that cannot become that one only looks.
    findings.run(doctor, Doctor::user);
    findings.run(doctor, Doctor::settings);
    findings.run(doctor, Doctor::image);
    findings.run(doctor, Doctor::exec);
    findings.run(doctor, Doctor::tree);
    findings.run(doctor, Doctor::scandir);
    findings.run(doctor, Doctor::slots);
    findings.run(doctor, Doctor::capacity);
    findings.all += &supervisors;
    findings.run(doctor, Doctor::leftovers);
    findings.run(doctor, |it, findings| room(findings, it.s6.slots.dir()));
    let mut observations = doctor.seen.iter_mut().map(|it| &mut it.observation);
    // A home that cannot be opened is not known to want anything, and no home is where they cannot
    // be listed; both are told by checks of their own.
    if let Ok(homes) = context.homes() {
        let names = homes.names().unwrap_or_default();
        doctor.s6.ask_homes(homes, &names, &mut observations);
    }
    observe::add_usage(&mut doctor.seen.iter_mut().map(|it| &mut it.observation));
    // Root that cannot become the gateways' user keeps away from the homes.
    if context.is_user() {
        findings.run(doctor, Doctor::home);
        findings.run(doctor, Doctor::rights);
        findings.run(doctor, Doctor::policy);
        findings.run(doctor, Doctor::profiles);
        findings.run(doctor, Doctor::gateways);
        findings.run(doctor, Doctor::hermes);
        findings.run(doctor, Doctor::loggers);
    }
}

impl<'a> Doctor<'a> {
    fn new(context: &'a Context, place: &'a Place) -> Result<Doctor<'a>> {
        raise_descriptor_limit();
        let s6 = S6::open(context, Privilege::Read)?;
        Ok(Doctor {
            place,
            // Before the names, which are of no use then.
            was_changing: s6.slots.is_changing(),
            names: s6.slots.dir().names()?,
            became_user: Ok(()),
            seen: Vec::new(),
            context,
            s6,
        })
    }

    /// Whether slots come and go at this moment: half a slot is nobody's fault.
    fn is_changing(&self) -> bool {
        self.was_changing || self.s6.slots.is_changing()
    }

    /// Whether this process is the user that is called so in the user database. It need not
    /// have one: where PID 1 is not root, gateways run as who that is.
    fn is_named(&self) -> bool {
        self.uid() == Some(identity::user_id())
    }

    /// The id of the gateways' user, if the user database has one.
    #[inline(never)]
    fn uid(&self) -> Option<u32> {
        self.context.ids().ok().map(|ids| ids.uid)
    }

    /// What the gateways' user is called, to be shown.
    #[inline(never)]
    fn user_name(&self) -> String {
        match self.is_named() {
            true => Shown(&self.place.user).text(),
            false => own_id(),
        }
    }

    /// What gives `path` to the gateways' user.
    fn chown(&self, path: &[u8]) -> String {
        format!("as root: chown -R {} {}", self.user_name(), shell_word(path))
    }

    /// What helps against `error`: where it is that it is denied, to give `path` to the gateways'
    /// user, else `other`.
    #[inline(never)]
    fn remedy(&self, error: &Error, path: &[u8], other: &[&str]) -> String {
        match error.kind {
            Kind::Denied => self.chown(path),
            _ => other.concat(),
        }
    }

    /// Why the gateways' user cannot write to `name` in `dir`, if so. What is not there is made
    /// when it is needed.
    fn refusal(&self, dir: &Dir, name: &[u8]) -> Option<Box<Error>> {
        // Root makes nothing where the gateways' user does, and what it may tells nothing.
        let tried = if self.context.is_user() { dir.try_in(name) } else { Ok(()) };
        tried.err().filter(|error| error.kind != Kind::Missing)
    }

    /// The same as a finding, and whether there is none. Where it is denied, `path` is to be given
    /// to the gateways' user.
    fn may_write(
        &self,
        findings: &mut Findings,
        (dir, name): (&Dir, &[u8]),
        found: Found,
        path: &[u8],
    ) -> bool {
        let Some(error) = self.refusal(dir, name) else { return true };
        let remedy = match error.errno() {
            Some(READ_ONLY) => text!("mount it without :ro or readOnly").read().into(),
            _ => self.remedy(&error, path, &["df -a ", &shell_word(path)]),
        };
        findings.add_error(found, &error, remedy.as_bytes());
        false
    }

    /// Looks at each slot; at those that are not tended again, for a while.
    fn look(&mut self) -> Result<()> {
        let mut left = PAUSES;
        for profile in &self.s6.slots.profiles()? {
            let mut seen = self.look_at(profile);
            while left > 0 && seen.as_ref().is_some_and(|it| !it.is_tended()) {
                left -= 1;
                poll::pause(PAUSE);
                seen = self.look_at(profile);
            }
            if let Some(seen) = seen {
                self.seen.push(seen);
            }
        }
        Ok(())
    }

    /// What was seen of the slot of the profile called `name`; they are sorted by their names.
    #[inline(never)]
    fn seen_as(&self, name: &[u8]) -> Option<&Seen> {
        let at = self.seen.binary_search_by(|it| it.name().cmp(name)).ok()?;
        self.seen.get(at).map(|seen| &**seen)
    }

    /// One look at the slot of `profile`; `None` if it has gone meanwhile.
    #[inline(never)]
    fn look_at(&self, profile: &Profile) -> Option<Box<Seen>> {
        let observer = self.s6.observer();
        match Gateway::open(&self.s6.slots, profile) {
            Ok(gateway) => {
                let observation = observer.observe_open(&gateway, &gateway.deaths());
                Some(Box::new(Seen { slot: self.tended(&gateway), observation }))
            }
            Err(error) if error.kind == Kind::Missing => None,
            Err(error) => {
                let observation = observer.failed(profile, &error);
                Some(Box::new(Seen { slot: Err(error), observation }))
            }
        }
    }

    fn tended(&self, gateway: &Gateway<'_>) -> Result<Tended> {
        let dir = gateway.service.dir();
        let refused = self.refusal(dir, b".").or_else(|| self.refusal(dir, b"event"));
        // Then that is told, and nothing that follows from it.
        let looks = !refused.as_ref().is_some_and(|error| error.kind == Kind::Denied);
        let is_current = || slot::is_current(gateway, &self.place.user);
        Ok(Tended {
            supervised: gateway.is_supervised(),
            current: !self.context.is_user() || !looks || is_current()?,
            // Where another container's logger writes, this one's is to stay down.
            logger: match slots::is_standing_by(dir)? {
                true => Logger::Works,
                false => Logger::of(&gateway.service)?,
            },
            status_size: dir.look(status::FILE)?.map(|status| status.size),
            left: if looks { slot::leftovers(dir)? } else { Vec::new() },
            refused,
        })
    }
}

impl Seen {
    /// The name of its profile.
    fn name(&self) -> &[u8] {
        self.observation.profile.name().as_bytes()
    }

    /// Whether all is there for a gateway that s6-svscan starts.
    fn is_tended(&self) -> bool {
        self.slot.as_ref().is_ok_and(|slot| slot.supervised && slot.logger != Logger::IsDown)
    }
}
