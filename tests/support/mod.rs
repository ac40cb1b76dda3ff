//! Throw-away homes and a real s6 tree in namespaces; nothing is left behind.
// Each test file uses its part.
#![allow(dead_code, unused_imports)]

mod container;
mod image;
mod volume;

pub use container::{Container, HERMES, Output, Spec, link, wait_until};
pub use image::{copy_image, run, workspace};
pub use volume::Volume;

use std::path::PathBuf;

/// The program under test: the static binary where `make` built it, else cargo's.
pub fn binary() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_hermes-gw").map(PathBuf::from);
    let named = std::env::var_os("HERMES_GW").map(PathBuf::from);
    named.or(built).expect("HERMES_GW names no binary: use `make demo`")
}
