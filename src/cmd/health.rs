//! `health`: whether all is well, as one line and an exit code, for who probes a container.

use super::{first, status};
use crate::context::Context;
use crate::error::Result;
use crate::gateway::observe;
use crate::model::observation::{Observation, State};
use crate::model::plan::MAIN_IS_DEFAULT;
use crate::model::profile::Profile;
use crate::options::{Opt, Verbosity};
use crate::output::Row;
use crate::text::cut;
use std::mem::ManuallyDrop;

/// A longer line is cut, in bytes: Docker keeps 4096 bytes of what a probe prints.
const MAX_TEXT: usize = 1000;

/// Runs the command: the code of the first gateway that is not well.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    if let Some(why) = context.why_none()? {
        return say(context, ["no gateways here: ", &why].concat(), 0, &[]);
    }
    let (mut gateways, _) = status::look(context)?;
    if context.output.json {
        observe::add_usage(&mut gateways.iter_mut());
    }
    // It lives as long as the process, too.
    let mut sum = ManuallyDrop::new(Sum::default());
    for it in gateways.iter() {
        sum.add(context, it)?;
    }
    let text = format!("{} of {} up{}{}", sum.up, gateways.len(), sum.bad, sum.good);
    say(context, text, sum.code, &gateways)
}

/// What all gateways come to.
#[derive(Default)]
struct Sum {
    code: u64,
    up: usize,
    /// What is said of those that are not well, and of others.
    bad: String,
    good: String,
}

impl Sum {
    #[inline(never)]
    fn add(&mut self, context: &Context, it: &Observation) -> Result<()> {
        let (is_down, stuck) = match &it.hermes {
            Some(said) => (!said.down().is_empty(), said.is_stuck()),
            None => (false, false),
        };
        // Another container has what stands by, and this one takes over.
        let stands_by = it.state == State::StandingBy;
        let code = match stands_by {
            true => 0,
            _ if stuck || is_down && context.options.has(Opt::Strict) => 1,
            _ => status::code_of(it),
        };
        self.code = first(self.code, code);
        self.up += usize::from(it.state == State::Up);
        let may_be_main = it.profile == Profile::Default && it.state == State::Down;
        let is_main = may_be_main && context.main_is_default()?;
        if code != 0 || is_down || stands_by || is_main || it.served {
            let list = if code == 0 { &mut self.good } else { &mut self.bad };
            let text = if is_main { MAIN_IS_DEFAULT.into() } else { it.text() };
            *list += &["; ", it.profile.name(), ": ", &text].concat();
        }
        Ok(())
    }
}

/// Prints `text`, as JSON with all `gateways`; the exit code.
#[inline(never)]
fn say(context: &Context, text: String, code: u64, gateways: &[Observation]) -> Result<u64> {
    let (output, text) = (&context.output, cut(text, MAX_TEXT));
    if output.json {
        let mut row = Row::of("healthy text gateways");
        row.flag(code == 0).text(&text);
        status::say_rows(context, gateways, &row.up_to_array(), "]}\n")?;
    } else if output.verbosity != Verbosity::Quiet {
        output.say(&(text + "\n"))?;
    }
    Ok(code)
}
