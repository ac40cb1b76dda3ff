//! Settings: from the environment, else from the container's environment directory.
//!
//! s6-overlay runs cont-init.d scripts and oneshots without the container's
//! environment; it keeps that as one file a variable.

use crate::cli::{self, Options};
use crate::error::{Error, Kind, Result, Shown};
use crate::model::plan::Policy;
use crate::s6::scandir::SERVICES_MAX;
use crate::sys::Dir;
use std::os::unix::ffi::OsStringExt;

const CONTAINER_ENVIRONMENT: &[u8] = b"/run/s6/container_environment";
/// The most that Linux allows for one string of an environment, in bytes.
const MAX_VALUE: usize = 128 * 1024;

/// All settings, read at once: once root is dropped, the container's environment
/// may be out of reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Hermes home, as it was given.
    pub home: Vec<u8>,
    /// s6-svscan's directory.
    pub scandir: Vec<u8>,
    /// The name of the user that gateways run as.
    pub user: Vec<u8>,
    /// `HERMES_GW_POLICY`.
    pub policy: Policy,
    /// `HERMES_GW_SERVICES_MAX`: services, loggers included.
    pub services_max: usize,
    /// `HERMES_GW_SKIP_RECONCILE`.
    pub skip: bool,
    /// `HERMES_GATEWAY_NO_SUPERVISE`.
    pub no_supervise: bool,
}

impl Settings {
    /// Reads them: from `options`, else the environment, else the container's environment.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a policy or a number that is none.
    pub fn read(options: &Options) -> Result<Settings> {
        let container = Dir::open(CONTAINER_ENVIRONMENT).ok();
        let get = |name| get(name, container.as_ref());
        let path = |given: &Option<Vec<u8>>, name, default: &str| {
            given.clone().or_else(|| get(name)).unwrap_or_else(|| default.into())
        };
        Ok(Settings {
            home: path(&options.home, "HERMES_HOME", "/opt/data"),
            scandir: path(&options.scandir, "S6_PROFILE_GATEWAY_SCANDIR", "/run/service"),
            user: get("HERMES_GW_USER").unwrap_or_else(|| b"hermes".to_vec()),
            policy: get("HERMES_GW_POLICY")
                .map_or(Ok(Policy::default()), |word| cli::policy(word.trim_ascii()))?,
            services_max: get("HERMES_GW_SERVICES_MAX").map_or(Ok(SERVICES_MAX), number)?,
            skip: is_on(get("HERMES_GW_SKIP_RECONCILE")),
            no_supervise: is_on(get("HERMES_GATEWAY_NO_SUPERVISE")),
        })
    }
}

impl Settings {
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

fn number(value: Vec<u8>) -> Result<usize> {
    let text = str::from_utf8(value.trim_ascii()).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::new(Kind::Usage, "parse HERMES_GW_SERVICES_MAX", value, "is no number")
    })
}
