//! Processes by their ids: a signal for one, and for no other.

use super::failed;
use crate::error::Result;
use crate::model::capability::Capability;
use crate::text::messages::text;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use rustix::thread::{CapabilitySet, capability_is_in_bounding_set};
use std::os::fd::OwnedFd;

/// A process that is no other one although its id may be given again, if there is such a handle.
#[derive(Debug)]
pub(crate) struct Handle {
    pid: Option<Pid>,
    fd: Option<OwnedFd>,
}

impl Handle {
    /// That of no process.
    pub(crate) const NOBODY: Handle = Handle { pid: None, fd: None };

    /// That of the process with this id.
    pub(crate) fn open(pid: u64) -> Handle {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // An old kernel has none, and an old filter of system calls forbids them.
        Handle { pid, fd: pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) }
    }

    /// Sends it the signal of this number; whether it was still there.
    pub(crate) fn signal(&self, number: u8) -> Result<bool> {
        let (Some(pid), Some(signal)) = (self.pid, Signal::from_named_raw(number.into())) else {
            return Ok(false);
        };
        let sent = match &self.fd {
            Some(fd) => pidfd_send_signal(fd, signal),
            None => Err(Errno::NOSYS),
        };
        match sent {
            Err(Errno::NOSYS | Errno::PERM) => kill_process(pid, signal),
            sent => sent,
        }
        .map(|()| true)
        .or_else(|errno| match errno {
            Errno::SRCH => Ok(false),
            _ => Err(failed(text!("signal process"), b"", errno)),
        })
    }
}

/// Whether nothing that this process begins can ever have `capability`; so it is in the whole
/// container, as a rule.
pub(crate) fn is_out_of_bounds(capability: Capability) -> bool {
    let set = CapabilitySet::from_bits_retain(1 << capability as u8);
    // Where the kernel does not say, nothing was taken away.
    capability_is_in_bounding_set(set) == Ok(false)
}
