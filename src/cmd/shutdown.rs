//! `shutdown`: every gateway down, in parallel, for a container stop. Intents stay.

use super::{fail, first};
use crate::context::Context;
use crate::error::{Error, Errors, Kind, Result};
use crate::gateway::event_loop::Job;
use crate::gateway::slots::{Slots, is_slot};
use crate::gateway::stop_ladder::{self, OF_ENDED_SVSCAN, Rung};
use crate::gateway::transition::Target;
use crate::manager;
use crate::manager::access::Privilege;
use crate::model::tree::Tree;
use crate::options::Opt;
use crate::sys::meta::FileKind;
use crate::text::messages::text;
use std::time::Duration;

/// What gateways get to die after SIGKILL.
const KILLED_AT_SHUTDOWN: Duration = Duration::from_secs(2);
/// What s6-svscan gets to end.
const TERMINATED: Duration = Duration::from_secs(5);

/// Runs the command: 0 if all are down, else the first failure. With `--supervisors` these
/// go too, those that an s6-svscan which was killed has left behind among them; that is
/// for the user's tree alone.
#[inline(never)]
pub(crate) fn run(context: &Context) -> Result<u64> {
    context.warn_of_settings();
    let (settings, options) = (&context.settings, &context.options);
    let place = settings.place()?;
    let supervisors = options.has(Opt::Supervisors);
    if supervisors && place.tree == Tree::Root {
        let why = text!("they are PID 1's: only with HERMES_GW_TREE=user");
        return Err(Error::new(
            Kind::Usage,
            text!("send supervisors away from"),
            &place.scandir,
            why,
        ));
    }
    // Where nothing was reconciled, there is no scandir yet, or one from before this boot.
    let privilege = if supervisors { Privilege::Boot } else { Privilege::Control };
    let slots = &manager::open_s6(context, privilege, text!("stop gateways"))?.slots;
    let mut failures = Vec::new();
    let time = options.timeout_or(settings.shutdown);
    descend(slots, b"", Target::Rest, &stop_ladder::down(time, KILLED_AT_SHUTDOWN), &mut failures)?;
    if supervisors {
        failures.extend(slots.scandir.terminate(TERMINATED).err());
        // The loggers after the gateways, which takes half the descriptors.
        descend(slots, b"", Target::Gone, &OF_ENDED_SVSCAN, &mut failures)?;
        descend(slots, b"/log", Target::Gone, &OF_ENDED_SVSCAN, &mut failures)?;
    }
    let mut code = 0;
    for error in failures {
        code = first(code, fail(context, error));
    }
    Ok(code)
}

/// Takes all slots, or that `part` of each, down a ladder to `target`.
fn descend(
    slots: &Slots,
    part: &[u8],
    target: Target,
    rungs: &[Rung],
    failures: &mut Errors,
) -> Result<()> {
    let mut jobs = Vec::new();
    for name in &slots.dir().names()? {
        // What has such a name and is no directory is no slot; what cannot be looked at may
        // be one.
        let kind = if is_slot(name) { slots.dir().kind(name) } else { Ok(None) };
        if kind.is_ok_and(|kind| kind != Some(FileKind::Directory)) {
            continue;
        }
        let name = [name, part].concat();
        failures.extend(Job::begin(slots.dir(), &name, target, &mut jobs).err());
    }
    stop_ladder::descend(&mut jobs, rungs)?;
    let what = if target == Target::Rest {
        text!("stop gateway")
    } else {
        text!("send supervisor away from")
    };
    for job in &jobs {
        failures.extend(job.result(what).err());
    }
    Ok(())
}
