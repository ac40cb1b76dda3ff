//! `watch`: each change of gateways, as it comes.

use super::status;
use crate::context::Context;
use crate::error::Result;
use crate::gateway;
use crate::manager;
use crate::manager::access::Privilege;
use crate::sys::clock;

/// Runs the command, until it is interrupted or nobody reads it any more.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let mut profiles = Vec::new();
    for target in super::targets(&context.options.words) {
        profiles.push(target?);
    }
    let s6 = manager::open_s6(context, Privilege::Control, "watch gateways")?;
    let colour = context.output.colours();
    let ask = |it: &mut _, watches: &_| s6.watch_home(it, watches);
    gateway::watch::watch(&s6.observer(), &profiles, &ask, &|it| {
        let now = clock::time();
        context.output.say(&match context.output.json {
            true => status::json(it, s6.slots.tree, now) + "\n",
            false => status::line(it, now, colour),
        })
    })?;
    Ok(0)
}
