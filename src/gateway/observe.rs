//! One look at a gateway, which reconcile, status, watch and doctor all share: its slot is
//! opened once, and all that is asked of it is asked there.

use super::crash_record;
use super::slots::{self, Slots};
use super::turn;
use crate::error::{Error, Kind, Result};
use crate::hermes::container::{self, PROC};
use crate::hermes::home::{Homes, Names};
use crate::hermes::state_file;
use crate::hermes::stop_marker::{begun, start_time};
use crate::model::backoff;
use crate::model::hermes_state::HermesState;
use crate::model::observation::{Observation, State};
use crate::model::policy::Policy;
use crate::model::profile::Profile;
use crate::s6::death_tally::Death;
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::sys::poll::FifoWriter;
use crate::sys::{clock, if_there};
use std::time::Duration;

/// A slot that was opened.
#[derive(Debug)]
pub(crate) struct Gateway<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) service: Service,
    /// What tells its supervisor something; `None` if nobody supervises it.
    pub(crate) control: Option<FifoWriter>,
    /// What its supervisor says; `None` while that has said nothing yet, or is not there.
    pub(crate) status: Result<Option<Status>>,
}

impl<'a> Gateway<'a> {
    /// Opens the slot of `profile`.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there is none.
    pub(crate) fn open(slots: &Slots, profile: &'a Profile) -> Result<Box<Gateway<'a>>> {
        let service = slots.service(profile)?;
        let control = match service.control() {
            // What is no FIFO is nobody's.
            Err(error) if matches!(error.kind, Kind::Unsupervised | Kind::Unusable) => None,
            control => Some(control?),
        };
        let status = match control {
            Some(_) => if_there(service.status()),
            None => Ok(None),
        };
        Ok(Box::new(Gateway { profile, service, control, status }))
    }

    /// Whether an s6-supervise runs on it.
    pub(crate) fn is_supervised(&self) -> bool {
        self.control.is_some()
    }

    /// Whether it is up or about to be, or its state cannot be told: a killed s6-supervise
    /// leaves it running, and a slot just published may start it.
    pub(crate) fn may_be_up(&self) -> bool {
        match &self.status {
            Ok(Some(status)) => status.may_be_up(),
            _ => true,
        }
    }

    /// Whether it is up, and does not only wait for its turn.
    pub(crate) fn is_up(&self) -> Result<bool> {
        match &self.status {
            Ok(Some(status)) if status.is_up() => Ok(!turn::awaits(self.service.dir(), status)?),
            Ok(_) => Ok(false),
            Err(error) => Err(error.clone()),
        }
    }

    /// When and how it died, up to what the status says, the last time last.
    pub(crate) fn deaths(&self) -> Result<Vec<Death>> {
        let Ok(Some(status)) = &self.status else { return Ok(Vec::new()) };
        let mut deaths = self.service.deaths()?;
        // s6-supervise counts a death first, and then says in its status what it was. One that is
        // later than now is from before the clock was set back.
        let is_ahead = |death: &mut Death| {
            death.stamp > status.stamp && death.stamp.since_unix() <= clock::time()
        };
        deaths.pop_if(is_ahead);
        Ok(deaths)
    }
}

/// Whether the gateway of `profile` may be up at this moment.
pub(crate) fn may_run(slots: &Slots, profile: &Profile) -> bool {
    match Gateway::open(slots, profile) {
        Ok(gateway) => gateway.may_be_up(),
        Err(error) => error.kind != Kind::Missing,
    }
}

/// What is said of gateways that are looked at.
#[derive(Debug)]
pub(crate) struct Observer<'a> {
    /// Where their slots are.
    pub(crate) slots: &'a Slots,
    /// Deaths within this time up to now count as late ones.
    pub(crate) window: Duration,
    /// What is said to who may not look.
    pub(crate) hint: String,
}

impl Observer<'_> {
    /// How the gateway of `profile` stands.
    #[inline(never)]
    pub(crate) fn observe(&self, profile: &Profile) -> Observation {
        match Gateway::open(self.slots, profile) {
            Ok(gateway) => self.observe_open(&gateway, &gateway.deaths()),
            Err(error) => self.failed(profile, &error),
        }
    }

    /// How `gateway` stands, which had these `deaths`.
    pub(crate) fn observe_open(
        &self,
        gateway: &Gateway<'_>,
        deaths: &Result<Vec<Death>>,
    ) -> Observation {
        // Its supervisor has only just begun, where it says nothing.
        let state = if gateway.is_supervised() { State::Starting } else { State::NotSupervised };
        let mut it = Observation::new(gateway.profile, state);
        let added = match &gateway.status {
            Ok(Some(status)) => self.add_status(&mut it, gateway, status, deaths),
            Ok(None) => Ok(()),
            Err(error) => Err(error.clone()),
        };
        match added {
            Ok(()) => it,
            Err(error) => self.failed(gateway.profile, &error),
        }
    }

    /// What an error that kept us from looking comes to.
    pub(crate) fn failed(&self, profile: &Profile, error: &Error) -> Observation {
        let mut it = Observation::new(profile, State::NotRegistered);
        match error.kind {
            Kind::Missing => {}
            Kind::Denied => {
                it.state = State::Denied;
                it.why = ["permission denied: ", &self.hint].concat();
            }
            _ => {
                it.state = State::Unreadable;
                it.why = error.text();
            }
        }
        it
    }

    /// Adds to `it` what the status of `gateway` says, and what is in its slot.
    fn add_status(
        &self,
        it: &mut Observation,
        gateway: &Gateway<'_>,
        status: &Status,
        deaths: &Result<Vec<Death>>,
    ) -> Result<()> {
        let service = &gateway.service;
        it.why = turn::read(service.dir(), status)?;
        it.waits = !it.why.is_empty();
        let up = status.is_up() && !it.waits;
        let mut marked = false;
        if !up {
            it.crash = crash_record::read(service)?;
            marked = slots::is_standing_by(service.dir())?;
        }
        it.state =
            State::of(up, status.finishing && !it.waits, status.want_up, marked, it.crash.as_ref());
        it.pid = (status.pid != 0).then_some(status.pid);
        it.since = Some(status.stamp.since_unix());
        it.ready = status.ready && up;
        it.paused = status.paused && up;
        it.wanted = Some(status.want_up);
        match deaths {
            // Most have never died.
            Ok(deaths) if deaths.is_empty() => {}
            Ok(deaths) => {
                it.deaths = self.count(service, deaths).ok();
                it.last_exit = Some(status.last_exit());
            }
            // A number that is not known is shown as such: null, or nothing.
            Err(_) => it.deaths = None,
        }
        Ok(())
    }

    /// How many of `deaths` were lately, and count.
    fn count(&self, service: &Service, deaths: &[Death]) -> Result<usize> {
        let counted = crash_record::Notes::read(service)?.counted(deaths);
        Ok(backoff::recent(&counted, clock::time(), self.window))
    }
}

/// Adds to `it` what its process says in its home; and whether it comes up when the container
/// starts the next time, as reconcile decides it, which skips those of `names` that are second
/// ones: `None` if this user may not know. `main_is_default` looks whether the container's main
/// program is default's gateway.
pub(crate) fn add_home(
    homes: &Homes,
    names: &Names,
    policy: Policy,
    it: &mut Observation,
    main_is_default: &dyn Fn() -> Option<bool>,
) {
    if policy == Policy::Root {
        it.decided = "policy root";
    }
    it.wanted_at_boot = if names.check(&it.profile).is_err() {
        it.decided = "its home is another's";
        Some(false)
    } else {
        let mut hermes = None;
        let known = homes.last_known(&it.profile, &mut |content| hermes = said(it, content));
        it.hermes = hermes;
        it.known = known.0;
        wanted_at_boot(homes, policy, it, known.1, main_is_default)
    };
}

/// What a state file with `content` says of the process of `it`.
fn said(it: &Observation, content: &[u8]) -> Option<Box<HermesState>> {
    let (State::Up, Some(own), Some(since)) = (it.state, it.pid, it.since) else { return None };
    let start = start_time(own)?;
    let mut said = state_file::parse_state(content, (own, start), since, &|| begun(start, since))?;
    said.up_for = clock::time().saturating_sub(since);
    Some(said)
}

/// Adds to `observations` what the gateways cost, where that can be known: /proc may be hidden.
pub(crate) fn add_usage(observations: &mut dyn Iterator<Item = &mut Observation>) {
    let mut processes = None;
    for it in observations {
        if let Some(pid) = it.pid {
            let all = processes.get_or_insert_with(|| container::processes(PROC));
            it.usage = all.of(pid);
        }
    }
}

fn wanted_at_boot(
    homes: &Homes,
    policy: Policy,
    it: &Observation,
    flaw: Option<Box<Error>>,
    main_is_default: &dyn Fn() -> Option<bool>,
) -> Option<bool> {
    if flaw.is_some_and(|flaw| flaw.kind == Kind::Denied) {
        return None;
    }
    policy.wants_up(&it.profile, &it.known, &|| homes.anyone_wants_up().ok(), main_is_default)
}
