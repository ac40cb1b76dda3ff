//! Signals to gateways that their s6-supervise may not send: it runs as root, but may lack
//! CAP_KILL. hermes-gw is the gateways' user, and needs no right for that.

use crate::error::Result;
use crate::hermes::container::Process;
use crate::model::capability::Capability;
use crate::s6::control::Control;
use crate::s6::service::Service;
use crate::sys::poll::FifoWriter;
use crate::sys::process::{self, Handle};
use std::sync::atomic::{AtomicBool, Ordering};

/// SIGCONT.
const CONTINUE: u8 = 18;

/// Whether a signal was sent for an s6-supervise, by this whole run.
static SENT: AtomicBool = AtomicBool::new(false);

/// Whether this run had to send a signal itself, which is to be said once.
pub(crate) fn was_sent() -> bool {
    SENT.load(Ordering::Relaxed)
}

/// Whether no s6-supervise of root's is likely to have CAP_KILL; in one system call.
pub(crate) fn may_be_needed() -> bool {
    process::is_out_of_bounds(Capability::Kill)
}

/// Has the process of `service` get the signal that `control` stands for: tells that to its
/// s6-supervise by a letter in `letters`, if that was not told yet, and sends it where that may
/// not. Whether there was somebody to send it, and to get it.
pub(crate) fn send(
    service: &Service,
    letters: Option<&FifoWriter>,
    control: Control,
) -> Result<bool> {
    // Before the letter, which may end it.
    let found = find(service);
    if let Some(letters) = letters {
        letters.write(&[control as u8])?;
    }
    let Some(handle) = found? else { return Ok(true) };
    SENT.store(true, Ordering::Relaxed);
    let sent = handle.signal(control.number());
    // One that is stopped is to hear of it, as s6-supervise does it.
    if control == Control::Down { handle.signal(CONTINUE) } else { sent }
}

/// Whom to signal in place of the s6-supervise of `service`, if that may not: a child of its own
/// or nobody.
fn find(service: &Service) -> Result<Option<Box<Handle>>> {
    let pid = service.status()?.pid;
    // From here on it is that process or none, whoever gets its id.
    let mut handle = Box::new(Handle::open(pid));
    let supervisor = service.supervisor()?.unwrap_or(0);
    // One that has gone meanwhile, as it was told to, needs no signal.
    let Some(target) = Process::of(pid)? else { return Ok(None) };
    // Where /proc hides it, it has what anybody here may have.
    let its = Process::of(supervisor)?;
    if its.map_or(!may_be_needed(), |its| its.may(Capability::Kill, target.uid())) {
        return Ok(None);
    }
    if target.parent != supervisor || service.status()?.pid != pid {
        *handle = Handle::NOBODY;
    }
    Ok(Some(handle))
}
