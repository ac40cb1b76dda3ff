//! Every change of every gateway, as s6 writes it down, and the gateway itself in its home.
//!
//! Not by s6's own events: their FIFOs would stay behind when the watcher is interrupted,
//! and they do not tell of letters that s6-supervise reads while `finish` runs. Both write
//! a status.

use super::crash_record;
use super::observe::{Gateway, Observer};
use super::slots;
use crate::error::{Kind, Result};
use crate::model::backoff::Exit;
use crate::model::observation::{Observation, State};
use crate::model::profile::Profile;
use crate::s6::death_tally::Death;
use crate::s6::tai64n::Tai64n;
use crate::sys::inotify::{Watch, Watches};
use crate::sys::poll::{self, FifoWriter};
use std::mem::ManuallyDrop;
use std::time::Duration;

/// Adds to an observation what the home knows, and has that watched; the watch descriptor.
type Ask<'a> = &'a dyn Fn(&mut Observation, &Watches) -> Result<Option<Watch>>;

/// What is done with each change.
type Tell<'a> = &'a dyn Fn(&Observation) -> Result<()>;

/// A gateway, and what was last told of it.
struct Watched {
    profile: Profile,
    /// The watch descriptors of what is watched of it.
    descriptors: Vec<Watch>,
    /// What tells that its supervisor goes, while it has one.
    control: Option<FifoWriter>,
    /// Whether it waited for its turn when it was last looked at.
    waits: bool,
    /// The last death that is known.
    died: Tai64n,
    /// State, since when, and the text.
    told: Option<(State, Option<Duration>, String)>,
}

/// Tells how gateways stand, all if none is `named`, and then each change, until nobody
/// reads stdout any more. Every death is told, however soon it was over.
pub(crate) fn watch(
    observer: &Observer<'_>,
    named: &[Profile],
    ask: Ask<'_>,
    tell: Tell<'_>,
) -> Result<()> {
    // They live as long as the process.
    let watches = ManuallyDrop::new(Watches::new()?);
    let scandir = watches.add(observer.slots.dir().path())?;
    let stdout = ManuallyDrop::new(FifoWriter::stdout()?);
    let mut gateways = ManuallyDrop::new(Vec::new());
    for profile in named {
        gateways.push(Watched::new(profile));
    }
    let mut changed = vec![scandir];
    loop {
        let all = changed.iter().any(|number| *number == scandir || *number < 0);
        if all && named.is_empty() {
            find(&observer.slots.profiles()?, &mut gateways);
        }
        // What is short of them would be told of some of the gateways, as if it was theirs.
        slots::for_watching(observer.slots, gateways.len())?;
        for gateway in gateways.iter_mut() {
            if all || gateway.descriptors.iter().any(|it| changed.contains(it)) {
                gateway.look(observer, &watches, ask, tell)?;
            }
        }
        gateways.retain(|gateway| gateway.is_registered() || !named.is_empty());

        let mut heard = vec![(Some(watches.fifo()), Some(&*stdout))];
        for gateway in gateways.iter() {
            heard.push((None, gateway.control.as_ref()));
        }
        let told = poll::wait(&heard, None)?;
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
#[allow(clippy::vec_box)] // They are moved when others come and go.
fn find(profiles: &[Profile], gateways: &mut Vec<Box<Watched>>) {
    let mut at = 0;
    for profile in profiles {
        while gateways.get(at).is_some_and(|it| it.profile.name() < profile.name()) {
            at += 1;
        }
        if gateways.get(at).is_none_or(|it| it.profile != *profile) {
            gateways.insert(at, Watched::new(profile));
        }
    }
}

impl Watched {
    #[inline(never)]
    fn new(profile: &Profile) -> Box<Watched> {
        Box::new(Watched {
            profile: profile.clone(),
            descriptors: Vec::new(),
            control: None,
            waits: false,
            died: Tai64n::default(),
            told: None,
        })
    }

    fn is_registered(&self) -> bool {
        self.told.as_ref().is_none_or(|told| told.0 != State::NotRegistered)
    }

    /// Looks at it, and tells what is new.
    #[inline(never)]
    fn look(
        &mut self,
        observer: &Observer<'_>,
        watches: &Watches,
        ask: Ask<'_>,
        tell: Tell<'_>,
    ) -> Result<()> {
        self.watch(observer, watches)?;
        let gateway = Gateway::open(observer.slots, &self.profile);
        let deaths = gateway.as_ref().map_or_else(|_| Ok(Vec::new()), |it| it.deaths());
        let mut now = match &gateway {
            Ok(gateway) => observer.observe_open(gateway, &deaths),
            Err(error) => observer.failed(&self.profile, error),
        };
        self.control = gateway.ok().and_then(|gateway| gateway.control);
        // That they are not known is part of what is told.
        let deaths = deaths.as_deref().unwrap_or_default();
        // What waited has not died of that.
        let is_death = self.told.is_some() && !self.waits && !now.waits;
        for death in if is_death { crash_record::after(deaths, self.died) } else { &[] } {
            let mut died = died(&self.profile, death);
            if now.state != State::Finishing || now.since != died.since {
                ask(&mut died, watches)?;
                tell(&died)?;
            }
        }
        self.waits = now.waits;
        if let Some(last) = deaths.last() {
            self.died = last.stamp;
        }
        // What else the home knows is no news.
        let mut text = now.text();
        if let Some(descriptor) = ask(&mut now, watches)? {
            self.descriptors.push(descriptor);
        }
        text += &now.hermes_text();
        let is_old = self.told.as_ref().is_some_and(|(state, since, old)| {
            *state == now.state && *since == now.since && *old == text
        });
        if is_old {
            return Ok(());
        }
        self.told = Some((now.state, now.since, text));
        tell(&now)
    }

    /// Has `watches` tell of it. Each time, for it may be another slot than before, and before
    /// anything is read.
    fn watch(&mut self, observer: &Observer<'_>, watches: &Watches) -> Result<()> {
        let mut path = observer.slots.path_of(&self.profile);
        self.descriptors.clear();
        self.watch_at(watches, &path)?;
        path.extend_from_slice(b"/supervise");
        self.watch_at(watches, &path)
    }

    #[inline(never)]
    fn watch_at(&mut self, watches: &Watches, path: &[u8]) -> Result<()> {
        match watches.add(path) {
            Ok(descriptor) => self.descriptors.push(descriptor),
            // No watch is left.
            Err(error) if error.kind == Kind::Unusable => return Err(error),
            // It is not there, or this user may not look: that is what will be told.
            Err(_) => {}
        }
        Ok(())
    }
}

/// What is told of a death that was over before it was seen.
fn died(profile: &Profile, death: &Death) -> Observation {
    let exit = match death.signal {
        0 => Exit::Code(death.exit_code),
        signal => Exit::Signal(signal),
    };
    let mut it = Observation::new(profile, State::Finishing);
    it.since = Some(death.stamp.since_unix());
    it.last_exit = Some(exit);
    it
}
