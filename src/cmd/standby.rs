//! `standby`: takes over the gateways that another container on the same volume has let go of.

use super::reconcile::Run;
use crate::context::Context;
use crate::error::Result;
use crate::gateway::standby;
use crate::sys::clock::Deadline;
use crate::sys::poll;
use std::cell::Cell;
use std::time::Duration;

/// So long it goes on although nothing stands by: of two containers that start at the same time, one
/// finds out only when its gateways have begun.
const LINGER: Duration = Duration::from_secs(10);
/// When what has failed is tried again, and how often it is looked where no watch is left.
const RETRY: Duration = Duration::from_secs(5);

/// Runs the command: 0 once nothing stands by.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let Some(mut run) = Run::open(context)? else { return Ok(0) };
    let (linger, told) = (Deadline::after(LINGER), Cell::new(false));
    // Nothing brings it back once it has ended: what fails is said once, and tried again.
    let fails = |error| {
        if !told.replace(true) {
            context.output.warn(error);
        }
    };
    loop {
        // Watched before it is looked at: nothing that happens in between is missed.
        let begins = run.watch_loggers();
        let (waiting, all) = run.take_over().unwrap_or_else(|error| {
            fails(error);
            (Vec::new(), false)
        });
        let deadline = match (all, waiting.is_empty()) {
            (false, _) => Deadline::after(RETRY),
            (true, true) => linger,
            (true, false) => Deadline::NEVER,
        };
        if deadline.is_over() {
            return Ok(0);
        }
        if let Err(error) = begins.and_then(|begins| standby::wait(&begins, &waiting, deadline)) {
            fails(error);
            poll::pause(RETRY);
        } else if all {
            told.set(false);
        }
    }
}
