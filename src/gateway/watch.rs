//! Every change of every gateway, as s6 writes it down.
//!
//! Not by s6's own events: their FIFOs would stay behind when the watcher is interrupted,
//! and they do not tell of letters that s6-supervise reads while `finish` runs. Both write
//! a status.

use super::observe::Lens;
use crate::error::Result;
use crate::model::backoff::Exit;
use crate::model::observation::{Report, State};
use crate::model::profile::Profile;
use crate::s6::death_tally::Death;
use crate::s6::service::Service;
use crate::s6::tai64n::Tai64n;
use crate::sys::{self, FifoWriter, Watches};

/// A gateway, and what was last told of it.
struct Watched {
    profile: Profile,
    /// The numbers of what is watched of it.
    numbers: Vec<i32>,
    /// What tells that its supervisor goes, while it has one.
    control: Option<FifoWriter>,
    /// The last death that is known.
    died: Tai64n,
    told: Option<Report>,
}

/// Tells how gateways stand, all if none is `named`, and then each change, until nobody
/// reads stdout any more. Every death is told, however soon it was over.
pub fn watch(
    lens: &Lens<'_>,
    named: &[Profile],
    tell: &dyn Fn(Report) -> Result<()>,
) -> Result<()> {
    let watches = Watches::new()?;
    let scandir = watches.add(lens.scandir.dir().path())?;
    let stdout = FifoWriter::stdout();
    let mut gateways: Vec<Watched> = named.iter().cloned().map(Watched::new).collect();
    let mut changed = vec![scandir];
    loop {
        let all = changed.iter().any(|number| *number == scandir || *number < 0);
        if all && named.is_empty() {
            find(&lens.scandir.profiles()?, &mut gateways);
        }
        for gateway in &mut gateways {
            if all || gateway.numbers.iter().any(|number| changed.contains(number)) {
                gateway.look(lens, &watches, tell)?;
            }
        }
        gateways.retain(|gateway| gateway.is_registered() || !named.is_empty());

        let mut heard = vec![(Some(watches.fifo()), stdout.as_ref())];
        let controls = gateways.iter().filter_map(|gateway| gateway.control.as_ref());
        heard.extend(controls.map(|control| (None, Some(control))));
        let told = sys::wait(&heard, None)?;
        if told[0].1 {
            return Ok(());
        }
        changed = watches.take();
        if told[1..].iter().any(|(_, gone)| *gone) {
            // A supervisor has gone, which happens too seldom to tell whose.
            changed.push(scandir);
        }
    }
}

/// Adds those of `profiles` that are not among the `gateways`, in their order.
fn find(profiles: &[Profile], gateways: &mut Vec<Watched>) {
    for profile in profiles {
        let at = gateways.partition_point(|it| it.profile.name() < profile.name());
        if gateways.get(at).is_none_or(|it| it.profile != *profile) {
            gateways.insert(at, Watched::new(profile.clone()));
        }
    }
}

impl Watched {
    fn new(profile: Profile) -> Watched {
        let died = Tai64n::default();
        Watched { profile, numbers: Vec::new(), control: None, died, told: None }
    }

    fn is_registered(&self) -> bool {
        self.told.as_ref().is_none_or(|told| told.state != State::NotRegistered)
    }

    /// Looks at it, and tells what is new.
    fn look(
        &mut self,
        lens: &Lens<'_>,
        watches: &Watches,
        tell: &dyn Fn(Report) -> Result<()>,
    ) -> Result<()> {
        // Each time, for it may be another slot than before, and before anything is read.
        let (dir, slot) = (lens.scandir.dir(), self.profile.slot());
        self.numbers.clear();
        for name in [&slot[..], &[&slot[..], b"/supervise"].concat()] {
            self.numbers.extend(watches.add_if_seen(&dir.path_of(name))?);
        }
        let slot = Service::open(dir, &slot);
        self.control = slot.as_ref().ok().and_then(|slot| slot.control().ok());
        let report = lens.look(&self.profile).unwrap_or_else(|_| {
            Report::new(self.profile.clone(), State::NotRegistered, String::new())
        });
        let mut deaths = slot.map(|slot| slot.deaths()).unwrap_or_default();
        // A later one has yet to reach the status.
        deaths.retain(|death| Some(death.stamp.since_unix()) <= report.since);
        let new = deaths.iter().filter(|death| death.stamp > self.died);
        for death in new.filter(|_| self.told.is_some()) {
            let died = died(&self.profile, death);
            if report.state != State::Finishing || report.since != died.since {
                tell(died)?;
            }
        }
        self.died = deaths.last().map_or(self.died, |death| death.stamp);
        let is_news = self.told.as_ref().is_none_or(|told| {
            (told.state, told.since) != (report.state, report.since) || told.text() != report.text()
        });
        if is_news {
            tell(report.clone())?;
            self.told = Some(report);
        }
        Ok(())
    }
}

/// What is told of a death that was over before it was seen.
fn died(profile: &Profile, death: &Death) -> Report {
    let exit = match death.signal {
        0 => Exit::Code(death.exit_code),
        signal => Exit::Signal(signal),
    };
    Report {
        since: Some(death.stamp.since_unix()),
        last_exit: Some(exit),
        ..Report::new(profile.clone(), State::Finishing, String::new())
    }
}
