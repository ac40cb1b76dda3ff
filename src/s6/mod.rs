//! s6's side: the scandir, service directories, and the wire.

pub mod control;
pub mod course;
pub mod drive;
pub mod events;
pub mod look;
pub mod notes;
pub mod removal;
pub mod scandir;
pub mod service;
pub mod slot;
pub mod stamp;
pub mod status;
pub mod tai;
pub mod tally;
pub mod uptake;
pub mod watch;
