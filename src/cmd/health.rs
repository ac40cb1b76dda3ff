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
use crate::text::cut;

/// A longer line is cut, in bytes: Docker keeps 4096 bytes of what a probe prints.
const MAX_TEXT: usize = 1000;

/// Runs the command: the code of the first gateway that is not well.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    let (output, role) = (&context.output, Role::detect(PROC)?);
    let (mut code, mut up) = (0, 0);
    let (mut bad, mut good) = (String::new(), String::new());
    let mut looked = None;
    let text = match skip::reason(context.settings.skip.clone()?, role) {
        Some(why) => "no gateways here: ".to_owned() + &why,
        None => {
            let (_, observations, _) = looked.insert(status::look(context)?);
            for it in &*observations {
                let hermes = it.hermes.as_ref();
                let is_degraded = hermes.is_some_and(|it| !it.down().is_empty());
                let is_bad = is_degraded && context.options.has(Opt::Strict)
                    || hermes.is_some_and(|it| it.is_stuck());
                // Another container has what stands by, and this one takes over.
                let stands_by = it.state == State::StandingBy;
                let one = if stands_by { 0 } else { status::code_of(it) };
                let one = if is_bad { 1 } else { one };
                code = first(code, one);
                up += usize::from(it.state == State::Up);
                let main = it.profile == Profile::Default
                    && it.state == State::Down
                    && role.is_default(context.settings.no_supervise);
                if one != 0 || main || is_degraded || it.served || stands_by {
                    let text = if main { MAIN_IS_DEFAULT.into() } else { it.text() };
                    let list = if one == 0 { &mut good } else { &mut bad };
                    for part in ["; ", it.profile.name(), ": ", &text] {
                        *list += part;
                    }
                }
            }
            let all = observations.len().to_string();
            [&up.to_string(), " of ", &all, " up", &bad, &good].concat()
        }
    };
    let mut text = cut(text, MAX_TEXT);
    if output.json {
        let mut row = Row::new();
        row.flag("healthy", code == 0).text("text", &text);
        text = row.end();
        text.pop();
        text += ",\"gateways\":[";
        let ends = [&text, ",", "]}\n"];
        match &looked {
            Some((s6, observations, _)) => status::say_rows(context, s6, observations, ends),
            None => output.say(&[&text, "]}\n"].concat()),
        }?;
    } else if output.verbosity != Verbosity::Quiet {
        output.say(&(text + "\n"))?;
    }
    Ok(code)
}
