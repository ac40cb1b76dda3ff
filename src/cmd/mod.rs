//! One file a verb: observe → plan → apply → render.

mod finish;
mod reconcile;
mod shutdown;

use crate::cli::{Command, Invocation};
use crate::container::Supervisor;
use crate::error::Result;
use crate::render;

/// Runs one command; its exit code.
pub fn run(invocation: &Invocation) -> Result<u8> {
    match &invocation.command {
        Command::Reconcile(reconcile) => reconcile::run(&invocation.options, *reconcile),
        Command::Shutdown { timeout } => shutdown::run(&invocation.options, *timeout),
        Command::Finish { exit_code } => Ok(finish::exit_code(*exit_code)),
        Command::Detect => told(&format!("{}\n", Supervisor::detect().word())),
        Command::Help(topic) => told(topic.text()),
        Command::Version => told(concat!("hermes-gw ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn told(text: &str) -> Result<u8> {
    render::say(text).map(|()| 0)
}
