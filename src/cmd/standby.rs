//! `standby`: takes over the gateways that another container on the same volume has let go of.

use super::reconcile::Run;
use crate::context::Context;
use crate::error::Result;
use crate::gateway::standby;
use crate::sys::clock::Deadline;
use crate::sys::poll;
use std::time::Duration;

/// So long it goes on although nothing stands by: of two containers that start at the same time, one
/// finds out only when its gateways have begun.
const LINGER: Duration = Duration::from_secs(10);
/// When what has failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Runs the command: 0 once nothing stands by.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let Some(mut run) = Run::open(context)? else { return Ok(0) };
    let (linger, mut failed) = (Deadline::after(LINGER), false);
    // Nothing brings it back once it has ended: what fails is tried again.
    loop {
        // Watched before it is looked at: nothing that happens in between is missed.
        let begins = run.watch_loggers();
        let mut ends = false;
        let waited = run.take_over().and_then(|waiting| {
            let deadline = if waiting.is_empty() { linger } else { Deadline::NEVER };
            ends = deadline.is_over();
            standby::wait(&begins?, &waiting, deadline)
        });
        if ends {
            return Ok(0);
        }
        // What fails once may be what another changes at the same moment: it is not told.
        let Err(error) = waited else {
            failed = false;
            continue;
        };
        if failed {
            run.warn(error);
        }
        failed = true;
        poll::pause(RETRY);
    }
}
