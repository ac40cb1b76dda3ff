//! hermes-gw: supervises the gateways of Hermes Agent's profiles under s6.
//!
//! argv → a verb of [`cli`] → [`cmd`], which is given a [`context`] → one error printed → exit
//! code. [`model`] is values and functions; only [`sys`] makes system calls.
#![forbid(unsafe_code)]
// Packing texts takes the compiler a few seconds.
#![allow(long_running_const_eval)]

pub mod cli;
mod cmd;
mod context;
pub mod error;
#[cfg(any(test, fuzzing))]
#[path = "../tests/fuzz/targets/mod.rs"]
pub mod fuzz;
mod gateway;
mod hermes;
pub mod logs;
mod manager;
pub mod model;
mod options;
mod output;
pub mod s6;
mod settings;
mod sys;
mod text;

use cli::args::{self, Asked};
use context::Context;
use error::Result;
use gateway::signal;
use model::capability::Capability;
use options::Options;
use output::Output;
use std::hint;
use std::mem::ManuallyDrop;
use std::process::ExitCode;

/// Runs the verb that the process's arguments name.
///
/// The exit codes are those of [`error::Kind`], 0 for success and 1 for a negative answer.
pub fn main() -> ExitCode {
    // musl takes a page from the kernel for a few small texts, and gives it back with the last of
    // them, again and again. One that stays keeps the page. Texts of 512 bytes and of 240 do not
    // share one.
    hint::black_box(ManuallyDrop::new([512, 240].map(Vec::<u8>::with_capacity)));
    // They live as long as the process.
    let mut options = ManuallyDrop::new(Options::default());
    let asked = args::parse(std::env::args_os(), &mut options);
    let output = Output::new(&options);
    let run = |asked| -> Result<u64> {
        let text = match asked {
            Asked::Run(verb) => {
                let options = ManuallyDrop::into_inner(options);
                let context = ManuallyDrop::new(Context::new(options));
                let code = verb.run(&context);
                if signal::was_sent() {
                    output.warn_of(&Capability::Kill.lacking_and_remedy());
                }
                return code;
            }
            Asked::Help(Some(verb)) => verb.help(),
            Asked::Help(None) => cli::verbs::overview(),
            Asked::Version => concat!("hermes-gw ", env!("CARGO_PKG_VERSION")).into(),
        };
        output.answer("text", &text).map(|()| 0)
    };
    let code = asked.and_then(run).unwrap_or_else(|error| output.fail(error));
    ExitCode::from(code as u8)
}
