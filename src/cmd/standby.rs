//! `standby`: takes over the gateways that another container on the same volume has let go of.

use super::reconcile::Run;
use crate::context::Context;
use crate::error::{Kind, Result};
use crate::gateway::standby;
use crate::sys::clock::Deadline;
use crate::sys::poll;
use std::time::Duration;

/// So long it goes on although nothing stands by: of two containers that start at the same time, one
/// finds out only when its gateways have begun.
const LINGER: Duration = Duration::from_secs(10);
/// When what has failed is tried again, and how often it is looked where no watch is left.
const RETRY: Duration = Duration::from_secs(5);

/// Runs the command: 0 once nothing stands by.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let Some(run) = Run::open(context)? else { return Ok(0) };
    let (linger, mut told) = (Deadline::after(LINGER), false);
    loop {
        // Watched before it is looked at: nothing that happens in between is missed.
        let begins = run.watch_loggers();
        let (waiting, well) = match run.take_over() {
            // Who holds the lock on changes will let it go.
            Err(error) if error.kind == Kind::TimedOut => {
                context.output.warn(error);
                (Vec::new(), false)
            }
            done => done?,
        };
        let deadline = match (well, waiting.is_empty()) {
            (false, _) => Deadline::after(RETRY),
            (true, true) => linger,
            (true, false) => Deadline::NEVER,
        };
        if deadline.is_over() {
            return Ok(0);
        }
        if let Err(error) = begins.and_then(|begins| standby::wait(&begins, &waiting, deadline)) {
            if !told {
                context.output.warn(error);
            }
            told = true;
            poll::pause(RETRY);
        }
    }
}
