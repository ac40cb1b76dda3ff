//! A live service: its supervisor, its status, its control FIFO.

use super::events::Listener;
use super::status::{self, Status};
use crate::error::{Error, Kind, Result};
use crate::sys::Dir;

const CONTROL: &[u8] = b"supervise/control";
const STATUS: &[u8] = b"supervise/status";
const EVENT: &[u8] = b"event";

/// What a supervisor can be told; the byte is what s6-supervise reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// Bring it down and leave it down.
    Down = b'd',
    /// Send the process SIGKILL.
    Kill = b'k',
}

/// An open service directory.
#[derive(Debug)]
pub struct Service {
    dir: Dir,
}

impl Service {
    /// Opens the service directory `name` of a scandir.
    pub fn open(scandir: &Dir, name: &[u8]) -> Result<Service> {
        Ok(Service { dir: scandir.dir(name)? })
    }

    /// The directory itself.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Whether an s6-supervise runs on it.
    pub fn is_supervised(&self) -> Result<bool> {
        self.dir.fifo_has_reader(CONTROL)
    }

    /// Its status.
    ///
    /// # Errors
    /// [`Kind::Unusable`] if the file has no size that is known.
    pub fn status(&self) -> Result<Status> {
        let bytes = self.dir.read(STATUS, status::MAX_SIZE)?;
        Status::parse(&bytes).ok_or_else(|| {
            let why = format!("has {} bytes, which no known s6 writes", bytes.len());
            Error::new(Kind::Unusable, "read", self.dir.path_of(STATUS), why)
        })
    }

    /// Whether the service is up or about to be, or its state cannot be told: a killed
    /// s6-supervise leaves it running, and a slot just published may start it.
    pub fn may_be_up(&self) -> bool {
        !matches!(self.is_supervised(), Ok(true)) || self.status().map_or(true, Status::may_be_up)
    }

    /// Tells its supervisor something.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if it has none.
    pub fn control(&self, what: Control) -> Result<()> {
        self.dir.write_fifo(CONTROL, &[what as u8])
    }

    /// Listens to its events from now on; what happened before is in its status.
    pub fn listen(&self) -> Result<Listener> {
        Listener::open(self.dir.dir(EVENT)?)
    }
}
