//! The command line: argv in, a verb and its options out.

pub mod args;
mod topics;
pub mod verbs;
