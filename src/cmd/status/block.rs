//! A gateway as systemctl shows a unit: a block of lines, and the last lines of its log.

use super::{Mark, age};
use crate::cmd::logs;
use crate::context::Context;
use crate::error::Result;
use crate::hermes::container::{self, PROC};
use crate::model::backoff::Exit;
use crate::model::observation::{Observation, State};
use crate::model::{calendar, signal, usage};
use crate::settings::Place;
use crate::sys::dir::Dir;
use crate::text::Shown;
use std::fmt::Write;
use std::time::Duration;

/// So many lines of the log are shown, unless it is said otherwise.
const LINES: usize = 5;
/// So many columns are left for a process.
const VALUE: usize = 68;

/// Prints `observations`, a block each; `now` is what times are counted back from.
#[inline(never)]
pub(super) fn print(
    context: &Context,
    place: &Place,
    observations: &[Observation],
    now: Duration,
) -> Result<()> {
    let (mark, mut text) = (Mark::new(context), String::new());
    for it in observations {
        add(&mut text, it, mark, now);
        // To write to a string never fails.
        if it.state != State::NotRegistered {
            let slot = Shown(&it.profile.slot()).text();
            let _ = writeln!(text, "      Slot: {}/{slot}", Shown(&place.scandir));
        }
        let _ = writeln!(
            text,
            "       Log: {}/logs/gateways/{}",
            Shown(&place.home),
            it.profile.name()
        );
        context.output.say(&text)?;
        logs::print_last(context, &it.profile, LINES)?;
        text = "\n".into();
    }
    Ok(())
}

/// Adds what is known of `it`, a line each.
#[inline(never)]
fn add(text: &mut String, it: &Observation, mark: Mark, now: Duration) {
    let _ = write!(text, "● {}\n     State: {}", it.profile.name(), mark.state(it));
    if let Some(since) = it.since {
        let stamp = calendar::date_and_time(since.as_secs().cast_signed(), " ");
        let _ = write!(text, ", since {stamp} UTC; {} ago", age(now.saturating_sub(since)));
    }
    if let Some(pid) = it.pid {
        let _ = write!(text, "\n       PID: {:.VALUE$}", with_command(pid));
    }
    if let Some(usage) = &it.usage {
        let _ = write!(
            text,
            "\n    Memory: {}\n       CPU: {}\n Processes: {}",
            mark.memory(it, usage::size(usage.memory)),
            age(Duration::from_secs(usage.cpu_seconds())),
            usage.processes
        );
    }
    if let Some(hermes) = &it.hermes {
        for platform in &hermes.platforms {
            let _ = write!(text, "\n  Platform: {}", platform.text());
        }
    }
    let _ = write!(text, "\n    Wanted: {}\n", it.wish());
    match (it.deaths, it.last_exit) {
        (None, _) => *text += "    Deaths: unknown\n",
        (_, None) => {}
        (Some(deaths), Some(exit)) => {
            let by = if matches!(exit, Exit::Signal(_)) { "killed by " } else { "" };
            let is_short = exit == Exit::Signal(signal::KILL) && container::ran_out_of_memory();
            let why = if is_short { ": out of memory?" } else { "" };
            let _ = writeln!(text, "    Deaths: {deaths} lately, the last: {by}{exit}{why}");
        }
    }
}

/// A pid and its command line. What has gone, or this user may not read, is not shown.
#[inline(never)]
fn with_command(pid: u64) -> String {
    let pid = pid.to_string();
    let cmdline = Dir::open(PROC).and_then(|proc| container::cmdline(&proc, pid.as_bytes()));
    let mut words = cmdline.unwrap_or_default();
    words.truncate(VALUE);
    for byte in &mut words {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    [&pid, " ", &Shown(&words).text()].concat().trim_ascii_end().into()
}
