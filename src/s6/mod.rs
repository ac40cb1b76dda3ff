//! s6's files and FIFOs, as s6 documents them. Nothing here prints, or knows Hermes.

pub(crate) mod control;
pub mod death_tally;
pub(crate) mod events;
pub(crate) mod handover;
pub(crate) mod scandir;
pub(crate) mod service;
pub mod status;
pub mod tai64n;
