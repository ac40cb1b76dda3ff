//! s6's side: the scandir, service directories, and the wire.

pub mod scandir;
pub mod slot;
pub mod status;
