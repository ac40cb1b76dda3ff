//! What is open of a service that is waited for: where its supervisor is told something, where it is
//! heard, and how far it has come with what it was told.

use super::event_loop::{LONGEST, SHORTEST};
use crate::error::Result;
use crate::s6::events::Subscription;
use crate::s6::service::Service;
use crate::s6::status::Status;
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::poll::{self, FifoWriter};

/// What is open of a service that is waited for.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) service: Service,
    pub(super) control: FifoWriter,
    pub(super) events: Result<Box<Subscription>>,
    pub(super) acknowledgement: Acknowledgement,
    /// Its status, if it is known before it is told anything.
    pub(super) looked: Option<Status>,
}

/// How far a supervisor has come with what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// It may have letters to read.
    Unread,
    /// It has read them, and may not have acted on them yet.
    Read,
    /// Its status is the answer.
    Acted,
}

impl Ends {
    /// Subscribes to the service `name` in `scandir`.
    #[inline(never)]
    pub(super) fn open(scandir: &Dir, name: &[u8]) -> Result<Box<Ends>> {
        let service = Service::open(scandir, name)?;
        let control = service.control()?;
        let events = Subscription::open(service.dir());
        let acknowledgement = match control.is_drained() {
            true => Acknowledgement::Acted,
            false => Acknowledgement::Unread,
        };
        Ok(Box::new(Ends { service, control, events, acknowledgement, looked: None }))
    }

    /// Its status, which will be read no more before it is told anything.
    pub(crate) fn look(&mut self) -> Result<Status> {
        let status = self.service.status()?;
        let counts = self.acknowledgement == Acknowledgement::Acted;
        self.looked = counts.then_some(status);
        Ok(status)
    }

    /// Waits until its supervisor has acted on what others have told it, at the latest at
    /// `deadline`. Not every letter makes an event: it gets [`LONGEST`] from when it was read.
    pub(crate) fn hear_out(&mut self, deadline: Deadline) {
        if self.acknowledgement == Acknowledgement::Acted {
            return;
        }
        while !self.has_answered() && !deadline.is_over() {
            poll::pause(SHORTEST);
        }
        poll::pause(deadline.left_or(LONGEST));
    }

    /// Whether nothing has happened to it since it was opened.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.events.as_ref().is_ok_and(|events| events.fifo().is_empty())
    }

    /// Whether it is looked at again without an event.
    pub(super) fn is_silent(&self) -> bool {
        self.events.is_err() || self.acknowledgement != Acknowledgement::Acted
    }

    /// Whether its status counts: no letter is on its way, from us or anybody else, that
    /// will change it without an event.
    pub(super) fn has_answered(&mut self) -> bool {
        self.acknowledgement = match self.acknowledgement {
            Acknowledgement::Acted => return true,
            _ if !self.control.is_drained() => Acknowledgement::Unread,
            Acknowledgement::Unread => Acknowledgement::Read,
            Acknowledgement::Read => Acknowledgement::Acted,
        };
        self.acknowledgement == Acknowledgement::Acted
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Ok(events) = &self.events {
            events.close(self.service.dir());
        }
    }
}
