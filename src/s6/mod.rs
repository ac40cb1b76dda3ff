//! The wire, as s6 documents it.

pub mod control;
pub mod death_tally;
pub mod events;
pub mod scandir;
pub mod service;
pub mod status;
pub mod tai64n;
