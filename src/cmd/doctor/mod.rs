//! `doctor`: what is wrong here, why, and what to do about it. It changes nothing.

mod capabilities;
mod findings;
mod homes;
mod services;

use crate::context::Context;
use crate::error::{Kind, Result};
use crate::gateway::observe::Gateway;
use crate::gateway::{slot, slots};
use crate::hermes::container::Supervisor;
use crate::manager;
use crate::manager::access::{Privilege, S6};
use crate::model::observation::Observation;
use crate::model::profile::Profile;
use crate::s6::service::Service;
use crate::s6::status;
use crate::settings::Place;
use crate::sys::dir::Dir;
use crate::sys::identity::{self, Ids};
use crate::sys::{Name, poll, raise_descriptor_limit};
use crate::text::Shown;
use findings::{Checks, Findings};
use services::room;
use std::time::Duration;

/// How often slots are looked at that are not tended, and with which pause: a scan may be under
/// way, as it is at the end of a boot. To hear of its end would take FIFOs in event/, and
/// doctor makes nothing.
const LOOKS: usize = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// All that the checks look at.
struct Doctor<'a> {
    context: &'a Context,
    s6: S6<'a>,
    place: &'a Place,
    ids: Result<Ids>,
    /// Whether slots came or went while it was looked what there is.
    was_changing: bool,
    names: Vec<Name>,
    seen: Vec<Seen>,
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
    /// Whether what the gateway says goes somewhere.
    logged: bool,
    /// What is not the gateways' user's, and whose it is.
    strange: Vec<(Vec<u8>, u32)>,
    /// How long the status is, in bytes.
    status_size: Option<u64>,
}

/// Runs the command: 1 if something fails, else 0.
pub(crate) fn run(context: &Context) -> Result<u8> {
    let mut findings = Findings::new();
    examine(context, &mut findings);
    findings.print(&context.output)?;
    Ok(findings.any_failure().into())
}

fn examine(context: &Context, findings: &mut Findings) {
    findings.begin("s6");
    let not_ours = |what: &str, instead: &str, findings: &mut Findings| {
        findings.fail(format_args!("{what} supervises services here"), format_args!("{instead}"));
    };
    match manager::detect(context) {
        Ok(Supervisor::S6) => {}
        Ok(Supervisor::Systemd) => return not_ours("systemd", "hermes gateway", findings),
        Ok(Supervisor::None) => return not_ours("nothing", "hermes gateway run", findings),
        Err(error) => return findings.fail_of(&error, "mount /proc"),
    }
    let place = match context.settings.place() {
        Ok(place) => place,
        Err(error) => {
            findings.begin("settings");
            findings.fail_of(&error, "man hermes-gw");
            return services::warn_of_settings(findings, &context.settings.flaws);
        }
    };
    let mut doctor = match Doctor::new(context, place) {
        Ok(doctor) => doctor,
        Err(error) => {
            return findings.fail_of(&error, "as root: hermes-gw reconcile --boot");
        }
    };
    findings.run(&doctor, Doctor::ENTITLED);
    if findings.any_failure() {
        return;
    }
    if let Err(error) = doctor.look() {
        findings.begin("slots");
        return findings.fail_of(&error, "");
    }
    findings.run(&doctor, Doctor::OUTSIDE);
    let mut observations = doctor.seen.iter_mut().map(|it| &mut it.observation);
    doctor.s6.drop_root_and_ask_homes(&mut observations);
    // Root that cannot become the gateways' user keeps away from the homes.
    if context.is_user() {
        findings.run(&doctor, Doctor::INSIDE);
    }
}

impl<'a> Doctor<'a> {
    /// Who calls, and where: nobody else is told more.
    const ENTITLED: Checks<'a> =
        ("s6 caller capability", &[Doctor::s6, Doctor::caller, Doctor::capabilities]);

    /// What is looked at as who calls: s6's side.
    const OUTSIDE: Checks<'a> = (
        "user settings image tree scandir slots capacity supervisors leftovers room",
        &[
            Doctor::user,
            Doctor::settings,
            Doctor::image,
            Doctor::tree,
            Doctor::scandir,
            Doctor::slots,
            Doctor::capacity,
            Doctor::supervisors,
            Doctor::leftovers,
            |it, findings| room(findings, it.s6.slots.dir()),
        ],
    );

    /// What is looked at as the gateways' user: the homes, and what comes of both.
    const INSIDE: Checks<'a> = (
        "home policy profiles gateways",
        &[Doctor::home, Doctor::policy, Doctor::profiles, Doctor::gateways],
    );

    fn new(context: &'a Context, place: &'a Place) -> Result<Doctor<'a>> {
        raise_descriptor_limit();
        let s6 = S6::open(context, Privilege::Read)?;
        Ok(Doctor {
            ids: identity::look_up(&place.user),
            place,
            // Before the names, which are of no use then.
            was_changing: s6.slots.is_changing(),
            names: s6.slots.dir().names()?,
            seen: Vec::new(),
            context,
            s6,
        })
    }

    /// Whether slots come and go at this moment: half a slot is nobody's fault.
    fn is_changing(&self) -> bool {
        self.was_changing || self.s6.slots.is_changing()
    }

    fn uid(&self) -> Option<u32> {
        self.ids.as_ref().ok().map(|ids| ids.uid)
    }

    /// The name of the gateways' user, to be shown.
    fn user_name(&self) -> String {
        Shown(&self.place.user).to_string()
    }

    /// Looks at each slot once; at those that are not tended again, for a while.
    fn look(&mut self) -> Result<()> {
        for profile in &self.s6.slots.profiles()? {
            if let Some(seen) = self.look_at(profile) {
                self.seen.push(seen);
            }
        }
        let mut looks = 1;
        while looks < LOOKS && !self.seen.iter().all(Seen::is_tended) {
            poll::pause(PAUSE);
            looks += 1;
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

    /// One look at the slot of `profile`; `None` if it has gone meanwhile.
    fn look_at(&self, profile: &Profile) -> Option<Seen> {
        let observer = self.s6.observer();
        match Gateway::open(&self.s6.slots, profile) {
            Ok(gateway) => {
                let observation = observer.observe_open(&gateway, &gateway.deaths());
                Some(Seen { slot: self.tended(&gateway), observation })
            }
            Err(error) if error.kind == Kind::Missing => None,
            Err(error) => {
                let observation = observer.failed(profile, &error);
                Some(Seen { slot: Err(error), observation })
            }
        }
    }

    fn tended(&self, gateway: &Gateway<'_>) -> Result<Tended> {
        let dir = gateway.service.dir();
        let mut strange = Vec::new();
        for name in ["supervise/control", "event"] {
            strange.extend(self.strange(dir, name)?);
        }
        Ok(Tended {
            supervised: gateway.is_supervised(),
            current: self.ids.is_err() || slot::is_current(gateway, &self.place.user)?,
            // Where another container's logger writes, this one's is to stay down.
            logged: slots::is_standing_by(dir)? || has_logger(&gateway.service)?,
            strange,
            status_size: dir.look(status::FILE)?.map(|status| status.size),
        })
    }

    /// The path of `name` in `dir`, and whose it is, if it is there and not the gateways'
    /// user's.
    fn strange(&self, dir: &Dir, name: &str) -> Result<Option<(Vec<u8>, u32)>> {
        let name = name.as_bytes();
        let (Some(uid), Some(meta)) = (self.uid(), dir.look(name)?) else { return Ok(None) };
        let path = if name == b"." { dir.path().to_vec() } else { dir.path_of(name) };
        Ok((meta.uid != uid).then_some((path, meta.uid)))
    }

    /// Fails what of `names`, with a blank between, is there and is not the gateways' user's.
    fn owned(&self, findings: &mut Findings, dir: &Dir, names: &str, remedy: &str) {
        for name in names.split(' ') {
            match self.strange(dir, name) {
                Ok(strange) => self.not_owned(findings, strange.as_slice(), remedy),
                Err(error) => findings.fail_of(&error, remedy),
            }
        }
    }

    fn not_owned(&self, findings: &mut Findings, strange: &[(Vec<u8>, u32)], remedy: &str) {
        let uid = self.uid().unwrap_or_default();
        for (path, owner) in strange {
            let path = Shown(path);
            findings.fail(
                format_args!("{path} belongs to user {owner}, not to user {uid}"),
                format_args!("{remedy}"),
            );
        }
    }
}

impl Seen {
    /// Whether all is there for a gateway that s6-svscan starts.
    fn is_tended(&self) -> bool {
        self.slot.as_ref().is_ok_and(|slot| slot.supervised && slot.logged)
    }
}

/// Whether what `service` says goes somewhere.
fn has_logger(service: &Service) -> Result<bool> {
    let logs = || -> Result<bool> {
        let logger = service.logger()?;
        Ok(logger.is_supervised()? && logger.status()?.is_up())
    };
    match logs() {
        // There is no log/, or its supervisor has only just begun.
        Err(error) if matches!(error.kind, Kind::Missing | Kind::Unusable) => Ok(false),
        known => known,
    }
}
