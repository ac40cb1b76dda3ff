//! Settings: from the environment, else from the container's environment directory.
//!
//! s6-overlay runs cont-init.d scripts and oneshots without the container's
//! environment; it keeps that as one file a variable.

use crate::cli::Options;
use crate::sys::Dir;
use std::os::unix::ffi::OsStringExt;

const CONTAINER_ENVIRONMENT: &[u8] = b"/run/s6/container_environment";
/// The most that execve allows for one string on Linux, in bytes.
const MAX_VALUE: usize = 128 * 1024;

/// Where settings are looked up.
#[derive(Debug)]
pub struct Settings {
    container: Option<Dir>,
}

impl Settings {
    /// The process's environment and, where there is one, the container's.
    pub fn open() -> Settings {
        Settings { container: Dir::open(CONTAINER_ENVIRONMENT).ok() }
    }

    /// The value of `name`; set but empty counts as not set.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let own = std::env::var_os(name).map(OsStringExt::into_vec);
        own.filter(|value| !value.is_empty()).or_else(|| {
            let mut value = self.container.as_ref()?.read(name.as_bytes(), MAX_VALUE).ok()?;
            if value.last() == Some(&b'\n') {
                value.pop();
            }
            (!value.is_empty()).then_some(value)
        })
    }

    /// Where the root Hermes home is.
    pub fn home(&self, options: &Options) -> Vec<u8> {
        self.path(&options.home, "HERMES_HOME", "/opt/data")
    }

    /// Where s6-svscan's directory is.
    pub fn scandir(&self, options: &Options) -> Vec<u8> {
        self.path(&options.scandir, "S6_PROFILE_GATEWAY_SCANDIR", "/run/service")
    }

    fn path(&self, given: &Option<Vec<u8>>, name: &str, default: &str) -> Vec<u8> {
        given.clone().or_else(|| self.get(name)).unwrap_or_else(|| default.into())
    }

    /// The name of the user that gateways run as.
    pub fn user(&self) -> Vec<u8> {
        self.get("HERMES_GW_USER").unwrap_or_else(|| b"hermes".to_vec())
    }

    /// Whether `name` is 1, true or yes, in any case.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            ["1", "true", "yes"].iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        })
    }
}
