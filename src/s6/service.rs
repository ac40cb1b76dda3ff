//! A live service: its supervisor, its status, its control FIFO.

use super::death_tally;
use super::status::{self, Status};
use crate::error::{Error, Kind, Result};
use crate::sys::{Dir, FifoWriter};

const CONTROL: &[u8] = b"supervise/control";
const NOTIFICATION: &[u8] = b"notification-fd";

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

    /// The service directory that this process runs in.
    pub fn here() -> Result<Service> {
        Ok(Service { dir: Dir::open(b".")? })
    }

    /// Opens its logger.
    pub fn logger(&self) -> Result<Service> {
        Service::open(&self.dir, b"log")
    }

    /// The directory itself.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Whether an s6-supervise runs on it.
    pub fn is_supervised(&self) -> Result<bool> {
        self.dir.fifo_has_reader(CONTROL)
    }

    /// Opens the FIFO that its supervisor reads.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if it has none.
    pub fn control(&self) -> Result<FifoWriter> {
        self.dir.open_fifo_writer(CONTROL).map_err(|error| match error.kind {
            Kind::Missing | Kind::Unsupervised => {
                let why = "no s6-supervise runs on it";
                Error::new(Kind::Unsupervised, "open", self.dir.path_of(CONTROL), why)
            }
            _ => error,
        })
    }

    /// Its status.
    ///
    /// # Errors
    /// [`Kind::Unusable`] if the file has no size that is known.
    pub fn status(&self) -> Result<Status> {
        let bytes = self.dir.read(status::FILE, status::MAX_SIZE)?;
        Status::parse(&bytes).ok_or_else(|| {
            let why = format!("has {} bytes, which no known s6 writes", bytes.len());
            Error::new(Kind::Unusable, "read", self.dir.path_of(status::FILE), why)
        })
    }

    /// How often it died, the last time last; what cannot be read counts as never.
    pub fn deaths(&self) -> Vec<death_tally::Death> {
        let bytes = self.dir.read(death_tally::FILE, death_tally::MAX_SIZE).unwrap_or_default();
        death_tally::parse(&bytes).unwrap_or_default()
    }

    /// Whether the service is up or about to be, or its state cannot be told: a killed
    /// s6-supervise leaves it running, and a slot just published may start it.
    pub fn may_be_up(&self) -> bool {
        let status = || self.status().map_or(true, |status| status.may_be_up());
        !matches!(self.is_supervised(), Ok(true)) || status()
    }

    /// Whether the service will ever say that it is ready.
    pub fn says_ready(&self) -> Result<bool> {
        Ok(self.dir.kind(NOTIFICATION)?.is_some())
    }
}
