//! Hermes' files and roles.

pub(crate) mod boot_log;
pub(crate) mod config;
pub(crate) mod container;
pub(crate) mod dotenv;
pub(crate) mod home;
pub(crate) mod json;
pub(crate) mod locks;
pub(crate) mod multiplex;
#[cfg(test)]
mod peer;
pub(crate) mod state_file;
pub(crate) mod stop_marker;
