//! s6's side: the scandir, service directories, and the wire.

pub mod events;
pub mod scandir;
pub mod service;
pub mod slot;
pub mod status;
