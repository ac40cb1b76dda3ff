//! `watch`: each change of gateways, as it comes.

use super::status;
use crate::context::Context;
use crate::error::Result;
use crate::gateway;
use crate::manager;
use crate::manager::access::Privilege;
use crate::sys::clock::{self, Deadline};
use crate::sys::poll::FifoWriter;

/// Runs the command, until it is interrupted or nobody reads it any more.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let mut profiles = Vec::new();
    for target in super::targets(&context.options.words) {
        profiles.push(target?);
    }
    let s6 = manager::open_s6(context, Privilege::Control, "watch gateways")?;
    let colour = context.output.colours();
    let stdout = FifoWriter::stdout()?;
    let until = (Deadline::NEVER, Some(&stdout));
    let ask = |it: &mut _, watches: &_| s6.watch_home(it, watches);
    gateway::watch::watch(&s6.observer(), &profiles, until, &ask, &mut |it, is_new| {
        let now = clock::time();
        let text = match context.output.json {
            _ if !is_new => return Ok(true),
            true => status::json(&it, s6.slots.tree, now) + "\n",
            false => status::line(&it, now, colour),
        };
        context.output.say(&text).map(|()| true)
    })?;
    Ok(0)
}
