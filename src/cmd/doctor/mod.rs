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
use crate::gateway::observe::Gateway;
use crate::gateway::{slot, slots};
use crate::hermes::container::Supervisor;
use crate::manager;
use crate::manager::access::{Privilege, S6};
use crate::model::observation::Observation;
use crate::model::profile::Profile;
use crate::s6::status;
use crate::settings::Place;
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::identity;
use crate::sys::{Name, poll, raise_descriptor_limit};
use crate::text::messages::text;
use crate::text::{Shown, shell_word};
use findings::{Checks, Findings, Found};
use loggers::Logger;
use services::room;
use std::time::Duration;

/// How long slots are looked at again that are not tended, and with which pause: a scan may be
/// under way, as it is at the end of a boot. To hear of its end would take FIFOs in event/, and
/// doctor makes nothing that it does not take away at once.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);
/// EROFS, on every Linux.
const READ_ONLY: i32 = 30;

/// All that the checks look at.
struct Doctor<'a> {
    context: &'a Context,
    s6: S6<'a>,
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
    let mut findings = Findings::new(&context.output);
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
        Ok(Supervisor::Systemd) => return findings.add(Found::NotS6, &[b"systemd", b""]),
        Ok(Supervisor::None) => return findings.add(Found::NotS6, &[b"nothing", b" run"]),
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
        Ok(doctor) => doctor,
        Err(error) => return findings.add_error(Found::NotPrepared, &error, b""),
    };
    findings.run(&doctor, Doctor::ENTITLED);
    if findings.any_failure() {
        return;
    }
    // Only root may know where each of root's processes is.
    let supervisors = findings.run_apart(&doctor, ("supervisors", &[Doctor::supervisors]));
    doctor.became_user = context.drop_root(&mut |_| Ok(()));
    if let Err(error) = doctor.look() {
        findings.begin("slots");
        return findings.end(Err(error));
    }
    findings.run(&doctor, Doctor::OUTSIDE);
    findings.all += &supervisors;
    findings.run(&doctor, Doctor::REST);
    let mut observations = doctor.seen.iter_mut().map(|it| &mut it.observation);
    doctor.s6.ask_homes(&mut observations);
    // Root that cannot become the gateways' user keeps away from the homes.
    if context.is_user() {
        findings.run(&doctor, Doctor::INSIDE);
    }
}

impl<'a> Doctor<'a> {
    /// Who calls, and where: nobody else is told more.
    const ENTITLED: Checks<'a> =
        ("s6 caller capability", &[Doctor::s6, Doctor::caller, Doctor::capabilities]);

    /// s6's side, tried as the gateways' user; root that cannot become that one only looks.
    const OUTSIDE: Checks<'a> = (
        "user settings image exec tree scandir slots capacity",
        &[
            Doctor::user,
            Doctor::settings,
            Doctor::image,
            Doctor::exec,
            Doctor::tree,
            Doctor::scandir,
            Doctor::slots,
            Doctor::capacity,
        ],
    );

    /// The rest of it.
    const REST: Checks<'a> =
        ("leftovers room", &[Doctor::leftovers, |it, findings| room(findings, it.s6.slots.dir())]);

    /// What is looked at as the gateways' user: the homes, and what comes of both.
    const INSIDE: Checks<'a> = (
        "home root policy profiles gateways hermes loggers",
        &[
            Doctor::home,
            Doctor::rights,
            Doctor::policy,
            Doctor::profiles,
            Doctor::gateways,
            Doctor::hermes,
            Doctor::loggers,
        ],
    );

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
        identity::look_up(&self.place.user).is_ok_and(|ids| ids.uid == identity::user_id())
    }

    /// What the gateways' user is called, to be shown.
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

    /// Looks at each slot once; at those that are not tended again, for a while.
    fn look(&mut self) -> Result<()> {
        for profile in &self.s6.slots.profiles()? {
            if let Some(seen) = self.look_at(profile) {
                self.seen.push(seen);
            }
        }
        let deadline = Deadline::after(PATIENCE);
        while !deadline.is_over() && !self.seen.iter().all(|it| it.is_tended()) {
            poll::pause(PAUSE);
            // From the end on, for one that has gone is removed.
            for at in (0..self.seen.len()).rev() {
                if !self.seen[at].is_tended() {
                    match self.look_at(&self.seen[at].observation.profile) {
                        Some(seen) => self.seen[at] = seen,
                        None => drop(self.seen.remove(at)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Where among the slots that were seen, which are sorted by their names, that of the profile
    /// called `name` is.
    fn seen_as(&self, name: &[u8]) -> Option<usize> {
        let found = |profile: &Profile| profile.name().as_bytes().cmp(name);
        self.seen.binary_search_by(|it| found(&it.observation.profile)).ok()
    }

    /// One look at the slot of `profile`; `None` if it has gone meanwhile.
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
        Ok(Tended {
            supervised: gateway.is_supervised(),
            current: !self.context.is_user() || slot::is_current(gateway, &self.place.user)?,
            // Where another container's logger writes, this one's is to stay down.
            logger: match slots::is_standing_by(dir)? {
                true => Logger::Works,
                false => Logger::of(&gateway.service)?,
            },
            status_size: dir.look(status::FILE)?.map(|status| status.size),
            left: slot::leftovers(dir)?,
            refused: self.refusal(dir, b".").or_else(|| self.refusal(dir, b"event")),
        })
    }
}

impl Seen {
    /// Whether all is there for a gateway that s6-svscan starts.
    fn is_tended(&self) -> bool {
        self.slot.as_ref().is_ok_and(|slot| slot.supervised && slot.logger != Logger::IsDown)
    }
}
