//! `watch`: each change of gateways, as it comes.

use super::status;
use crate::context::Context;
use crate::error::Result;
use crate::gateway;
use crate::gateway::observe::wanted_at_boot;
use crate::gateway::standby::add_holder;
use crate::manager;
use crate::manager::access::Privilege;
use crate::sys::clock;

/// Runs the command, until it is interrupted or nobody reads it any more.
pub(crate) fn run(context: &Context) -> Result<u8> {
    let targets = super::targets(&context.options.words);
    if let Some(Err(error)) = targets.iter().find(|target| target.is_err()) {
        return Err(error.clone());
    }
    let profiles = super::profiles(&targets);
    let s6 = manager::open_s6(context, Privilege::Control, "watch gateways")?;
    let colour = context.output.colours();
    gateway::watch::watch(&s6.observer(), &profiles, &|mut it| {
        // A home that cannot be opened is not known to want anything.
        let homes = context.homes().ok();
        if let Some(homes) = homes {
            let main = || context.main_is_default();
            it.wanted_at_boot = wanted_at_boot(&homes, context.settings.policy, &it.profile, &main);
            add_holder(&homes, &mut it);
        }
        let now = clock::time();
        context.output.say(&match context.output.json {
            true => status::json(&it, s6.slots.tree, now) + "\n",
            false => status::line(&it, now, colour),
        })
    })?;
    Ok(0)
}
