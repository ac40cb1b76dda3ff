//! Settings: from the environment, else from the container's environment directory. They are
//! read once, whole, before anything else is done: once root is dropped, that directory may
//! be out of reach.
//!
//! s6-overlay runs cont-init.d scripts and oneshots without the container's environment; it
//! keeps that as one file a variable. Only what is not there counts as not set.

use crate::error::{Error, Errors, Kind, Result};
use crate::hermes::{home, multiplex};
use crate::model::backoff::Limits;
use crate::model::policy::PolicySetting;
use crate::model::tree::Tree;
use crate::model::values;
use crate::options::{Options, POLICIES};
use crate::s6::death_tally;
use crate::sys::dir::Dir;
use crate::sys::{Name, if_there};
use crate::text::messages::{Text, text};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// Where s6-overlay keeps the container's environment.
pub(crate) const CONTAINER_ENVIRONMENT: &[u8] = b"/run/s6/container_environment";
/// The most that Linux allows for one string of an environment, in bytes.
const MAX_VALUE: usize = 128 * 1024;
/// What the gateways get to finish at a container stop: with s6's own three seconds of
/// grace it fits into the ten that `docker stop` gives.
const SHUTDOWN: Duration = Duration::from_secs(6);

const TREE: &str = "HERMES_GW_TREE";
/// What forces a policy.
pub(crate) const POLICY: &str = "HERMES_GW_POLICY";

/// All settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where everything is; if that is not known, nothing is done.
    place: Result<Place>,
    /// `HERMES_GW_POLICY`.
    pub(crate) policy: PolicySetting,
    /// `GATEWAY_MULTIPLEX_PROFILES`, Hermes' own; what it says is not all that counts.
    pub(crate) multiplex: Option<Vec<u8>>,
    /// `HERMES_GW_SERVICES_MAX`: services, loggers included.
    pub(crate) services_max: usize,
    /// `HERMES_GW_SKIP_RECONCILE`.
    pub(crate) skip: Result<bool>,
    /// `HERMES_GATEWAY_NO_SUPERVISE`, as Hermes reads it.
    pub(crate) no_supervise: bool,
    /// The bounds that `finish` restarts gateways within.
    pub(crate) limits: Limits,
    /// `HERMES_GW_SHUTDOWN_TIMEOUT`.
    pub(crate) shutdown: Duration,
    /// `HERMES_GW_STAGGER`: how long a boot waits from one start to the next.
    pub(crate) stagger: Duration,
    /// `HERMES_GW_WARN_MEMORY`, in bytes.
    pub(crate) warn_memory: u64,
    /// `TZ`: what the loggers go by, too.
    pub(crate) zone: Option<Vec<u8>>,
    /// What is wrong with settings that need not be right: what counts instead is said.
    pub(crate) flaws: Errors,
}

/// Where everything is, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The Hermes home: the root profile's.
    pub(crate) home: Vec<u8>,
    /// s6-svscan's directory.
    pub(crate) scandir: Vec<u8>,
    /// `HERMES_GW_TREE`.
    pub(crate) tree: Tree,
    /// The name of the user that gateways run as.
    pub(crate) user: Vec<u8>,
}

impl Settings {
    /// Reads them: from `options`, else the environment, else the container's environment, which
    /// is in the directory `container`.
    #[inline(never)]
    pub(crate) fn read(options: &Options, container: &[u8]) -> Settings {
        let mut it = Reader { container: Container::open(container), flaws: Vec::new() };
        let place = it.place(options);
        if let (Ok(_), Err(error)) = (&place, it.container.as_ref().map_err(Clone::clone)) {
            it.flaws.push(error.hint(text!("the defaults count")));
        }
        let mut services_max = place.as_ref().map_or(Tree::Root, |it| it.tree).services_max();
        let (mut limits, mut policy) = (Limits::default(), PolicySetting::default());
        let (mut shutdown, mut stagger, mut warn_memory) = (SHUTDOWN, Duration::ZERO, u64::MAX);
        it.seconds("HERMES_GW_BACKOFF_FIRST", &mut limits.first);
        it.seconds("HERMES_GW_BACKOFF_MAX", &mut limits.longest);
        it.seconds("HERMES_GW_BACKOFF_RESET", &mut limits.steady);
        it.seconds("HERMES_GW_EARLY_EXIT", &mut limits.early);
        it.seconds("HERMES_GW_PARK_WINDOW", &mut limits.window);
        it.seconds("HERMES_GW_SHUTDOWN_TIMEOUT", &mut shutdown);
        it.seconds("HERMES_GW_STAGGER", &mut stagger);
        it.number("HERMES_GW_PARK_DEATHS", &mut limits.deaths);
        limits.deaths = limits.deaths.min(death_tally::MAX_DEATHS);
        it.number("HERMES_GW_SERVICES_MAX", &mut services_max);
        it.set("HERMES_GW_WARN_MEMORY", text!("is not a size like 512M"), &mut |word| {
            put(values::size(word), &mut warn_memory)
        });
        it.set(POLICY, POLICIES, &mut |word| put(PolicySetting::parse(word), &mut policy));
        // In the order in which their flaws are told.
        Settings {
            multiplex: it.word(multiplex::VARIABLE, text!("it counts as not set")),
            skip: it.skip(),
            no_supervise: it.no_supervise(),
            zone: it.word("TZ", text!("the machine's zone counts")),
            place,
            policy,
            services_max,
            limits,
            shutdown,
            stagger,
            warn_memory,
            flaws: it.flaws,
        }
    }

    /// Whether the scandir is another one than the layout's own.
    pub(crate) fn names_scandir(&self) -> bool {
        matches!(&self.place, Ok(it) if it.scandir != it.tree.path().as_bytes())
    }

    /// Where everything is.
    ///
    /// # Errors
    /// A setting that says so cannot be read, or not be understood.
    #[inline(never)]
    pub(crate) fn place(&self) -> Result<&Place> {
        match &self.place {
            Ok(place) => Ok(place),
            Err(error) => Err(error.clone()),
        }
    }
}

struct Reader {
    container: Result<Option<Container>>,
    flaws: Errors,
}

/// The container's environment, as s6-overlay keeps it, and what variables there are.
struct Container {
    dir: Dir,
    names: Vec<Name>,
}

impl Container {
    fn open(path: &[u8]) -> Result<Option<Container>> {
        let Some(dir) = if_there(Dir::open(path))? else { return Ok(None) };
        Ok(Some(Container { names: dir.names()?, dir }))
    }
}

impl Reader {
    #[inline(never)]
    fn place(&self, options: &Options) -> Result<Place> {
        let tree = match self.get(TREE)? {
            None => Tree::default(),
            Some(word) => Tree::parse(&word)
                .ok_or_else(|| flaw(TREE, &word, text!("must be root or user")))?,
        };
        let mut home = self.path(&options.home, "HERMES_HOME", home::DEFAULT)?;
        // The root is what it begins with.
        home.truncate(home::root_of(&home).len());
        Ok(Place {
            home,
            scandir: self.path(&options.scandir, "S6_PROFILE_GATEWAY_SCANDIR", tree.path())?,
            tree,
            user: self.path(&None, "HERMES_GW_USER", "hermes")?,
        })
    }

    /// What is `given`, else what `name` says, else `default`.
    #[inline(never)]
    fn path(&self, given: &Option<Vec<u8>>, name: &'static str, default: &str) -> Result<Vec<u8>> {
        match given {
            Some(path) => Ok(path.clone()),
            None => Ok(self.get(name)?.unwrap_or_else(|| default.into())),
        }
    }

    /// The value of `name`; set but empty counts as not set.
    fn get(&self, name: &'static str) -> Result<Option<Vec<u8>>> {
        let own = std::env::var_os(name).map(OsStringExt::into_vec);
        if let Some(own) = own.filter(|value| !value.is_empty()) {
            return Ok(Some(own));
        }
        let Some(Container { dir, names }) = self.container.as_ref().map_err(Clone::clone)? else {
            return Ok(None);
        };
        if !names.iter().any(|known| known == name.as_bytes()) {
            return Ok(None);
        }
        let mut value = dir.read_if_there(name.as_bytes(), MAX_VALUE)?;
        if value.last() == Some(&b'\n') {
            value.pop();
        }
        Ok((!value.is_empty()).then_some(value))
    }

    /// Hands what `name` says to `take`, which tells whether that is something that it knows.
    fn set(&mut self, name: &'static str, why: Text, take: &mut dyn FnMut(&[u8]) -> bool) {
        let error = match self.get(name) {
            Ok(None) => return,
            Ok(Some(word)) if take(&word) => return,
            Ok(Some(word)) => flaw(name, &word, why),
            Err(error) => error,
        };
        self.forgive(error, text!("the default counts"));
    }

    #[inline(never)]
    fn seconds(&mut self, name: &'static str, setting: &mut Duration) {
        let why = text!("is not a time in seconds");
        self.set(name, why, &mut |word| put(values::seconds(word), setting));
    }

    #[inline(never)]
    fn number(&mut self, name: &'static str, setting: &mut usize) {
        self.set(name, text!("is not a number"), &mut |word| put(values::number(word), setting));
    }

    fn forgive(&mut self, error: Box<Error>, instead: Text) {
        // That there is no container's environment to look into is said once for all.
        if self.container.is_ok() || error.kind == Kind::Usage {
            self.flaws.push(error.hint(instead));
        }
    }

    /// Whoever set something here meant to keep hermes-gw away.
    fn skip(&mut self) -> Result<bool> {
        const NAME: &str = "HERMES_GW_SKIP_RECONCILE";
        let error = match self.get(NAME) {
            Ok(word) => {
                let word = word.unwrap_or_default();
                match values::boolean(&word) {
                    Some(skip) => return Ok(skip),
                    None => flaw(NAME, &word, text!("is neither yes nor no")),
                }
            }
            Err(error) if self.container.is_err() => return Err(error),
            Err(error) => error,
        };
        self.forgive(error, text!("reconcile is skipped"));
        Ok(true)
    }

    /// True only for Hermes' own three words.
    fn no_supervise(&mut self) -> bool {
        match self.get("HERMES_GATEWAY_NO_SUPERVISE") {
            Ok(word) => values::place_in("1 true yes", &word.unwrap_or_default()).is_some(),
            Err(error) => {
                self.forgive(error, text!("it counts as set"));
                true
            }
        }
    }

    /// What `name` says; where that cannot be read, `instead`.
    fn word(&mut self, name: &'static str, instead: Text) -> Option<Vec<u8>> {
        self.get(name).unwrap_or_else(|error| {
            self.forgive(error, instead);
            None
        })
    }
}

/// Takes over a value, if there is one; whether there is.
fn put<T>(value: Option<T>, setting: &mut T) -> bool {
    value.map(|value| *setting = value).is_some()
}

fn flaw(name: &str, word: &[u8], why: Text) -> Box<Error> {
    let both = [name.as_bytes(), b"=", word].concat();
    Error::new(Kind::Usage, text!("read setting"), &both, why)
}
