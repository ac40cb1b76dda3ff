//! hermes-gw: supervises the gateways of Hermes Agent's profiles under s6.
//!
//! argv → [`cli::Invocation`] → [`cmd`] → one error printed → exit code.
//! [`model`] is values and functions; only [`sys`] makes system calls.
#![forbid(unsafe_code)]

pub mod cli;
pub mod cmd;
pub mod error;
pub mod gateway;
pub mod hermes;
pub mod logs;
pub mod manager;
pub mod model;
pub mod render;
pub mod s6;
pub mod settings;
pub mod sys;
mod text;

use std::process::ExitCode;

/// Runs the command that the process's arguments name.
///
/// The exit codes are those of [`error::Kind`], 0 for success and 1 for a
/// negative answer.
pub fn main() -> ExitCode {
    let outcome = cli::Invocation::parse(std::env::args_os()).and_then(|it| cmd::run(&it));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // What is wrong may be the command line itself.
            let json = std::env::args_os().any(|arg| arg == "--json");
            render::complain(render::Level::Error, &error.to_string(), json);
            ExitCode::from(error.kind.exit_code())
        }
    }
}
