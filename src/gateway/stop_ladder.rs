//! The one way to bring services down, or their supervisors, and see them gone: tell, wait,
//! and where that is not enough, kill and wait again.

use super::event_loop::{self, Job};
use crate::error::Result;
use crate::s6::control::Control;
use crate::sys::clock::Deadline;
use std::time::Duration;

/// What is told, and how long is waited then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rung {
    tell: &'static [Control],
    wait: Duration,
}

impl Rung {
    /// Tells `letters`, and waits for `time`.
    pub(crate) const fn new(letters: &'static [Control], time: Duration) -> Rung {
        Rung { tell: letters, wait: time }
    }
}

/// For gateways that were told to go down: they get `time`, and after SIGKILL `killed`.
#[inline(never)]
pub(crate) fn down(time: Duration, killed: Duration) -> [Rung; 2] {
    [Rung::new(&[], time), Rung::new(&[Control::Kill], killed)]
}

/// What gateways get to die after SIGKILL.
pub(crate) const KILLED: Duration = Duration::from_secs(5);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// For the supervisor of a service whose slot was taken away. s6-svscan has told it to go;
/// but it does not while it cannot scan.
pub(crate) const OF_REMOVED: [Rung; 3] = [
    Rung::new(&[], seconds(1)),
    Rung::new(&[Control::Down, Control::Exit], seconds(5)),
    Rung::new(&[Control::Kill], seconds(2)),
];

/// For that of its logger, which gets longer, to read the rest. It takes still longer only if a
/// process that outlives the gateway holds the pipe open.
pub(crate) const OF_REMOVED_LOGGER: [Rung; 3] = [
    Rung::new(&[], seconds(3)),
    Rung::new(&[Control::Exit, Control::HangUp], seconds(2)),
    Rung::new(&[Control::Kill], seconds(2)),
];

/// For the supervisors of an s6-svscan that ends, or has ended.
pub(crate) const OF_ENDED_SVSCAN: [Rung; 2] =
    [Rung::new(&[Control::Exit], seconds(5)), Rung::new(&[Control::Kill], seconds(2))];

/// Takes `jobs` down the ladder of `rungs`, as far as each needs it.
pub(crate) fn descend(jobs: &mut [Box<Job<'_>>], rungs: &[Rung]) -> Result<()> {
    for rung in rungs {
        if !rung.tell.is_empty() {
            // All are told before any is waited for.
            for (others, job) in jobs.iter_mut().filter(|job| job.is_under_way()).enumerate() {
                job.tell(rung.tell, others);
            }
        }
        event_loop::drive(jobs, Deadline::after(rung.wait))?;
    }
    Ok(())
}
