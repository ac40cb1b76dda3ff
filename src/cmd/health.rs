//! `health`: whether all is well, as one line and an exit code, for who probes a container.

use super::reconcile::skip;
use super::{first, status};
use crate::context::Context;
use crate::error::Result;
use crate::hermes::container::{PROC, Role};
use crate::model::observation::State;
use crate::model::plan::MAIN_IS_DEFAULT;
use crate::model::profile::Profile;
use crate::options::{Opt, Verbosity};
use crate::output::Row;
use crate::sys::clock;
use crate::text::cut;

/// A longer line is cut, in bytes: Docker keeps 4096 bytes of what a probe prints.
const MAX_TEXT: usize = 1000;

/// Runs the command: the code of the first gateway that is not well.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let role = Role::detect(PROC)?;
    if let Some(why) = skip::reason(context.settings.skip.clone()?, role) {
        return say(context, "no gateways here: ".to_owned() + &why, "", 0);
    }
    let (s6, observations, _) = status::look(context)?;
    let (main_is_default, now) = (role.is_default(context.settings.no_supervise), clock::time());
    let (mut code, mut up) = (0, 0);
    let (mut bad, mut good, mut rows) = (String::new(), String::new(), String::new());
    for it in &observations {
        let hermes = it.hermes.as_ref();
        let is_degraded = hermes.is_some_and(|it| !it.down().is_empty());
        let is_bad = hermes.is_some_and(|it| it.is_stuck())
            || is_degraded && context.options.has(Opt::Strict);
        let one = match it.state {
            // Another container has it, and this one takes over.
            State::StandingBy => 0,
            _ if is_bad => 1,
            _ => status::code_of(it),
        };
        code = first(code, one);
        up += usize::from(it.state == State::Up);
        let main = main_is_default && it.profile == Profile::Default && it.state == State::Down;
        let text = if main { MAIN_IS_DEFAULT.into() } else { it.text() };
        let list = if one == 0 { &mut good } else { &mut bad };
        if one != 0 || main || is_degraded || it.served || it.state == State::StandingBy {
            *list += &["; ", it.profile.name(), ": ", &text].concat();
        }
        if context.output.json {
            rows += if rows.is_empty() { "" } else { "," };
            rows += &status::json(it, s6.slots.tree, now);
        }
    }
    say(context, format!("{up} of {} up{bad}{good}", observations.len()), &rows, code)
}

/// Prints `text`, or an object with it and the `rows` of the gateways; the exit code.
fn say(context: &Context, text: String, rows: &str, code: u64) -> Result<u64> {
    let mut text = cut(text, MAX_TEXT);
    match (context.output.json, context.output.verbosity) {
        (true, _) => {
            let mut row = Row::new();
            row.flag("healthy", code == 0).text("text", &text);
            row.raw("gateways", &["[", rows, "]"].concat());
            text = row.end();
        }
        (false, Verbosity::Quiet) => return Ok(code),
        _ => {}
    }
    context.output.say(&(text + "\n")).map(|()| code)
}
