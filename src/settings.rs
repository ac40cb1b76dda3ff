//! Settings: from the environment, else from the container's environment directory.
//!
//! s6-overlay runs cont-init.d scripts and oneshots without the container's
//! environment; it keeps that as one file a variable.

use crate::cli::{self, Options};
use crate::error::{Error, Kind, Result};
use crate::model::backoff::Limits;
use crate::model::plan::Policy;
use crate::render::{self, Level};
use crate::s6::death_tally;
use crate::s6::scandir::Tree;
use crate::sys::Dir;
use crate::text::Shown;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

const MAX: &str = "HERMES_GW_SERVICES_MAX";
const PARK_DEATHS: &str = "HERMES_GW_PARK_DEATHS";
const CONTAINER_ENVIRONMENT: &[u8] = b"/run/s6/container_environment";
/// The most that Linux allows for one string of an environment, in bytes.
const MAX_VALUE: usize = 128 * 1024;
/// What the gateways get to finish at a container stop: with s6's own three seconds of
/// grace it fits into the ten that `docker stop` gives.
const SHUTDOWN: Duration = Duration::from_secs(6);

/// All settings, read at once: once root is dropped, the container's environment
/// may be out of reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Hermes home, as it was given.
    pub home: Vec<u8>,
    /// s6-svscan's directory.
    pub scandir: Vec<u8>,
    /// `HERMES_GW_TREE`, or why it is none: an error for who touches a scandir.
    pub tree: Result<Tree>,
    /// The name of the user that gateways run as.
    pub user: Vec<u8>,
    /// `HERMES_GW_POLICY`, or why it is none: an error for who goes by it.
    pub policy: Result<Policy>,
    /// `HERMES_GW_SERVICES_MAX`: services, loggers included; or why it is none, likewise.
    pub services_max: Result<usize>,
    /// `HERMES_GW_SKIP_RECONCILE`.
    pub skip: bool,
    /// `HERMES_GATEWAY_NO_SUPERVISE`.
    pub no_supervise: bool,
    /// The bounds that `finish` restarts gateways within.
    pub limits: Limits,
    /// `HERMES_GW_SHUTDOWN_TIMEOUT`.
    pub shutdown: Duration,
    /// `TZ`: what the loggers go by, too.
    pub zone: Option<Vec<u8>>,
    /// What is wrong with `limits` and `shutdown`, where the defaults count instead.
    flaws: Vec<String>,
}

impl Settings {
    /// Reads them: from `options`, else the environment, else the container's environment.
    pub fn read(options: &Options) -> Settings {
        let container = Dir::open(CONTAINER_ENVIRONMENT).ok();
        let get = |name| get(name, container.as_ref());
        let path = |given: &Option<Vec<u8>>, name, default: &str| {
            given.clone().or_else(|| get(name)).unwrap_or_else(|| default.into())
        };
        let tree =
            get("HERMES_GW_TREE").map_or(Ok(Tree::default()), |word| cli::tree(word.trim_ascii()));
        let default = tree.as_ref().map_or(Tree::default(), |tree| *tree);
        let (mut limits, mut shutdown, mut flaws) = (Limits::default(), SHUTDOWN, Vec::new());
        for (name, seconds) in [
            ("HERMES_GW_BACKOFF_FIRST", &mut limits.first),
            ("HERMES_GW_BACKOFF_MAX", &mut limits.longest),
            ("HERMES_GW_BACKOFF_RESET", &mut limits.steady),
            ("HERMES_GW_EARLY_EXIT", &mut limits.early),
            ("HERMES_GW_PARK_WINDOW", &mut limits.window),
            ("HERMES_GW_SHUTDOWN_TIMEOUT", &mut shutdown),
        ] {
            let value = get(name).map(|value| cli::seconds(name, value.trim_ascii()));
            read(value, seconds, &mut flaws);
        }
        let deaths = get(PARK_DEATHS).map(|value| cli::number(PARK_DEATHS, &value));
        read(deaths, &mut limits.deaths, &mut flaws);
        limits.deaths = limits.deaths.min(death_tally::MAX_DEATHS);
        Settings {
            home: path(&options.home, "HERMES_HOME", "/opt/data"),
            scandir: path(&options.scandir, "S6_PROFILE_GATEWAY_SCANDIR", default.path()),
            tree,
            user: get("HERMES_GW_USER").unwrap_or_else(|| b"hermes".to_vec()),
            policy: get("HERMES_GW_POLICY")
                .map_or(Ok(Policy::default()), |word| cli::policy(word.trim_ascii())),
            services_max: get(MAX)
                .map_or(Ok(default.services_max()), |value| cli::number(MAX, &value)),
            skip: is_on(get("HERMES_GW_SKIP_RECONCILE")),
            no_supervise: is_on(get("HERMES_GATEWAY_NO_SUPERVISE")),
            limits,
            shutdown,
            zone: get("TZ"),
            flaws,
        }
    }

    /// Warns of settings instead of which the defaults count.
    pub fn warn(&self, options: &Options) {
        for flaw in &self.flaws {
            let text = format!("{flaw}: the default counts");
            render::complain(Level::Warning, &text, options.json);
        }
    }

    /// What is wrong with settings, and whether it keeps commands from their work.
    pub fn flaws(&self) -> Vec<(&str, bool)> {
        let fatal = [
            self.tree.as_ref().err(),
            self.policy.as_ref().err(),
            self.services_max.as_ref().err(),
        ];
        let fatal = fatal.into_iter().flatten().map(|error| (error.text(), true));
        fatal.chain(self.flaws.iter().map(|flaw| (flaw.as_str(), false))).collect()
    }

    /// Adds to an error whom to be, where that is the trouble.
    pub fn explain(&self, error: Box<Error>) -> Box<Error> {
        match error.kind {
            Kind::Denied => error.hint(&format!("run as root or {}", Shown(&self.user))),
            _ => error,
        }
    }
}

/// The value of `name`; set but empty counts as not set.
fn get(name: &str, container: Option<&Dir>) -> Option<Vec<u8>> {
    let own = std::env::var_os(name).map(OsStringExt::into_vec);
    own.filter(|value| !value.is_empty()).or_else(|| {
        let mut value = container?.read(name.as_bytes(), MAX_VALUE).ok()?;
        if value.last() == Some(&b'\n') {
            value.pop();
        }
        (!value.is_empty()).then_some(value)
    })
}

/// Whether a value is 1, true or yes, in any case.
fn is_on(value: Option<Vec<u8>>) -> bool {
    matches!(&value.unwrap_or_default().to_ascii_lowercase()[..], b"1" | b"true" | b"yes")
}

/// Takes over a `value`, if there is one.
fn read<T>(value: Option<Result<T>>, setting: &mut T, flaws: &mut Vec<String>) {
    match value {
        Some(Ok(value)) => *setting = value,
        Some(Err(flaw)) => flaws.push(flaw.to_string()),
        None => {}
    }
}
