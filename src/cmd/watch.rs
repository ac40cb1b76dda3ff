//! `watch`: each change of gateways, as it comes.

use super::status;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::gateway;
use crate::manager;
use crate::manager::access::Privilege;
use crate::manager::bring;
use crate::model::observation::State;
use crate::sys::clock;
use crate::text::messages::{Text, text};

/// Runs the command, until it is interrupted or nobody reads it any more.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    const WHAT: Text = text!("watch gateways");
    let s6 = manager::open_s6(context, Privilege::Control, WHAT)?;
    let mut profiles = Vec::new();
    for target in super::targets(&context.options.words) {
        let profile = target?;
        bring::open(s6, WHAT, &profile)?;
        profiles.push(profile);
    }
    let mark = status::Mark::new(context);
    let ask = |it: &mut _, watches: &_| s6.watch_home(it, watches);
    gateway::watch::watch(&s6.observer(), &profiles, &ask, &|it| {
        if it.state == State::Denied {
            return Err(Error::because(Kind::Denied, WHAT, it.profile.name(), &it.why));
        }
        let now = clock::time();
        context.output.say(&match context.output.json {
            true => status::json(it, s6.slots.tree, now) + "\n",
            false => status::line(it, now, mark),
        })
    })?;
    Ok(0)
}
