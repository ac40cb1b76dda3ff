//! Hermes' files and roles.

pub mod boot_log;
pub mod container;
pub mod home;
pub mod json;
pub mod state_file;
pub mod stop_marker;
