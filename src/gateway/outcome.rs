//! What became of a service that was on its way to a target.

use crate::error::{Error, Kind};
use crate::sys::poll;

/// What became of a service.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is where it should be.
    Done,
    /// It came up, and died at once.
    Died(String),
    /// Another caller told it otherwise meanwhile.
    Overruled,
    /// Its supervisor has gone.
    Abandoned,
    /// The same, and its slot: that is removed only once it is down.
    Removed,
    /// It cannot be told, or looked at.
    Failed(Box<Error>),
}

impl Outcome {
    /// What an error comes to that keeps it from being told.
    pub(super) fn of(error: Box<Error>) -> Outcome {
        match error.kind {
            Kind::Missing => Outcome::Removed,
            kind if poll::means_no_reader(kind) => Outcome::Abandoned,
            _ => Outcome::Failed(error),
        }
    }
}
