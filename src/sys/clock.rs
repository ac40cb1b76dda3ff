//! The time of day, and deadlines.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01 UTC; 0 before that.
pub(crate) fn now() -> i64 {
    time().as_secs().cast_signed()
}

/// The time since 1970-01-01 UTC; none before that.
pub(crate) fn time() -> Duration {
    // Not rustix's clock: its search of the vDSO alone costs 2 kB.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The moment until which something is waited for, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// As long as it takes.
    pub(crate) const NEVER: Deadline = Deadline(None);

    /// So long from now on. A time beyond the clock's range never comes.
    pub(crate) fn after(time: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(time))
    }

    /// How long that is from now on; `None` for ever.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it is over.
    pub(crate) fn is_over(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    /// How long that is from now on, and `most` at most.
    pub(crate) fn left_or(self, most: Duration) -> Duration {
        self.left().map_or(most, |left| left.min(most))
    }
}
