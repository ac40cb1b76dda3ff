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
        Command::Detect => Ok(told(&format!("{}\n", Supervisor::detect().word()))),
        Command::Help(topic) => Ok(told(topic.text())),
        Command::Version => Ok(told(concat!("hermes-gw ", env!("CARGO_PKG_VERSION"), "\n"))),
    }
}

fn told(text: &str) -> u8 {
    render::say(text);
    0
}
