//! `standby`: takes over the gateways that another container on the same volume has let go of.

use super::reconcile::Run;
use crate::context::Context;
use crate::error::Result;
use crate::gateway::standby;
use crate::sys::clock::Deadline;
use std::time::Duration;

/// So long it goes on although nothing stands by: of two containers that start at the same time, one
/// finds out only when its gateways have begun.
const LINGER: Duration = Duration::from_secs(10);

/// Runs the command: 0 once nothing stands by.
pub(crate) fn run(context: &Context) -> Result<u8> {
    let Some(run) = Run::open(context)? else { return Ok(0) };
    let linger = Deadline::after(LINGER);
    loop {
        // Watched before it is looked at: nothing that happens in between is missed.
        let begins = run.watch_loggers()?;
        let waiting = run.take_over()?;
        let deadline = if waiting.is_empty() { linger } else { Deadline::NEVER };
        if deadline.is_over() {
            return Ok(0);
        }
        standby::wait(&begins, &waiting, deadline)?;
    }
}
