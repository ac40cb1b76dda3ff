//! What every verb is given: options, settings, output; and the one place that drops root.

use crate::error::{Error, Kind, Result};
use crate::gateway::slots::Slots;
use crate::hermes::container::{NO_GATEWAYS, PROC, Process, Role};
use crate::hermes::home::Homes;
use crate::hermes::multiplex::{self, Resolved};
use crate::options::Options;
use crate::output::Output;
use crate::settings::{CONTAINER_ENVIRONMENT, POLICY, Settings};
use crate::sys::identity::{self, Ids};
use crate::sys::path;
use crate::text::messages::text;
use crate::text::{Shown, part};
use std::cell::Cell;

/// What a verb works with.
pub(crate) struct Context {
    /// What was given on the command line.
    pub(crate) options: Options,
    /// What the environment says.
    pub(crate) settings: Settings,
    /// How to say things.
    pub(crate) output: Output,
    /// Whether root was dropped.
    dropped: Cell<bool>,
    /// What the main program is, once it was asked: it stays the same.
    role: Cell<Option<Role>>,
    /// What /proc says of PID 1, if that was read for the ids.
    init: Cell<Option<Process>>,
    /// The homes, once they were opened: open as long as the process lives.
    homes: Cell<Option<&'static Homes>>,
}

impl Context {
    /// Reads the settings, before anything else is done.
    pub(crate) fn new(options: Options) -> Context {
        let settings = Settings::read(&options, CONTAINER_ENVIRONMENT);
        let output = Output::new(&options);
        let (dropped, role) = (Cell::new(false), Cell::new(None));
        let (init, homes) = (Cell::new(None), Cell::new(None));
        Context { output, settings, options, dropped, role, init, homes }
    }

    /// Makes this process the gateways' user for good, if it is root. What only root can do is
    /// done first: `as_root` gets the ids that it may hand things to, or `None` for a caller
    /// who is not root.
    ///
    /// # Errors
    /// [`Kind::Unusable`] if the user database does not have that user: then nothing was done.
    pub(crate) fn drop_root(
        &self,
        as_root: &mut dyn FnMut(Option<&Ids>) -> Result<()>,
    ) -> Result<()> {
        if self.is_user() {
            return as_root(None);
        }
        let ids = self.ids()?;
        if let Some(flaw) = &ids.flaw {
            self.output.warn_of(&flaw.text());
        }
        as_root(Some(&ids))?;
        identity::become_user(&ids)?;
        self.dropped.set(true);
        Ok(())
    }

    /// The ids of the gateways' user.
    pub(crate) fn ids(&self) -> Result<Ids> {
        let status = path::read_proc(b"/proc/1/status");
        self.init.set(status.as_ref().ok().and_then(|status| Process::parse(status)));
        identity::look_up(&self.settings.place()?.user, status)
    }

    /// What /proc says of PID 1, if this user may know.
    pub(crate) fn init(&self) -> Result<Option<Process>> {
        match self.init.get() {
            None => Process::of(1),
            known => Ok(known),
        }
    }

    /// Whether root was dropped, or not there to be dropped.
    #[inline(never)]
    pub(crate) fn is_user(&self) -> bool {
        self.dropped.get() || !identity::is_root()
    }

    /// The Hermes home, and what is below it, opened once; never as root.
    pub(crate) fn homes(&self) -> Result<&'static Homes> {
        if let Some(homes) = self.homes.get() {
            return Ok(homes);
        }
        let homes = Box::leak(self.homes_now()?);
        self.homes.set(Some(homes));
        Ok(homes)
    }

    /// The same, opened anew: for who goes on while others make and remove them.
    pub(crate) fn homes_now(&self) -> Result<Box<Homes>> {
        let home = &self.settings.place()?.home;
        if !self.is_user() {
            let why = text!("not as root");
            return Err(Error::new(Kind::Denied, text!("open"), home, why));
        }
        Homes::open(home)
    }

    /// Drops root, and opens them.
    ///
    /// # Errors
    /// What keeps a boot from making slots.
    #[inline(never)]
    pub(crate) fn homes_as_user(&self) -> Result<&'static Homes> {
        self.drop_root(&mut |_| Ok(()))?;
        self.homes()
    }

    /// Why no gateway is meant to run here, so that nothing is reconciled, if that is so.
    #[inline(never)]
    pub(crate) fn why_none(&self) -> Result<Option<String>> {
        let skip = self.settings.skip.clone()?;
        Ok(match self.role()? {
            _ if skip => Some("HERMES_GW_SKIP_RECONCILE is set".into()),
            Role::NoGateways(at) => {
                let word = part(NO_GATEWAYS, ' ', at.into());
                let why = "; another one runs the gateways";
                Some(["this container runs hermes ", word, why].concat())
            }
            _ => None,
        })
    }

    /// What the container's main program is.
    #[inline(never)]
    pub(crate) fn role(&self) -> Result<Role> {
        if let Some(role) = self.role.get() {
            return Ok(role);
        }
        let role = Role::detect(PROC)?;
        self.role.set(Some(role));
        Ok(role)
    }

    /// Whether the container's main program is the root profile's gateway.
    pub(crate) fn main_is_default(&self) -> Result<bool> {
        Ok(self.role()?.is_default(self.settings.no_supervise))
    }

    /// The policy that counts, in `homes`.
    pub(crate) fn policy(&self, homes: &Homes) -> Resolved {
        let set = match self.options.policy {
            Some(setting) => (setting, "--policy"),
            None => (self.settings.policy, POLICY),
        };
        multiplex::policy(set, self.settings.multiplex.as_deref(), homes.root())
    }

    /// Opens the scandir of the layout that is set.
    pub(crate) fn slots(&self) -> Result<Slots> {
        let place = self.settings.place()?;
        Slots::open(&place.scandir, place.tree)
    }

    /// Warns of settings instead of which the defaults count.
    pub(crate) fn warn_of_settings(&self) {
        self.output.warn_all(&self.settings.flaws);
    }

    /// Adds to an error whom to be, where that is the trouble.
    pub(crate) fn explain(&self, error: Box<Error>) -> Box<Error> {
        match error.kind {
            Kind::Denied => error.hint_of(&self.whom_to_be()),
            _ => error,
        }
    }

    /// Whom to be to be allowed what gateways' users are.
    pub(crate) fn whom_to_be(&self) -> String {
        match self.settings.place() {
            Ok(place) => format!("run as root or {}", Shown(&place.user)),
            Err(_) => "run as root".into(),
        }
    }
}
