//! A live service: its supervisor, its status, its control FIFO.

use super::death_tally;
use super::status::{self, Status};
use super::tai64n::Tai64n;
use crate::error::{Kind, Result};
use crate::sys::dir::Dir;
use crate::sys::if_there;
use crate::sys::poll::{FifoWriter, means_no_reader};
use crate::text::messages::text;

const CONTROL: &[u8] = b"supervise/control";
const LOCK: &[u8] = b"supervise/lock";
/// s6-supervise's own mode for event/: its group may subscribe, and remove only its own FIFOs.
pub(crate) const EVENT_MODE: u32 = 0o3730;

/// An open service directory.
#[derive(Debug)]
pub(crate) struct Service {
    dir: Dir,
}

impl Service {
    /// Opens the service directory `name` of a scandir.
    pub(crate) fn open(scandir: &Dir, name: &[u8]) -> Result<Service> {
        Ok(Service { dir: scandir.dir(name)? })
    }

    /// Opens the service directory at `path`.
    pub(crate) fn at(path: &[u8]) -> Result<Service> {
        Ok(Service { dir: Dir::open(path)? })
    }

    /// Opens its logger.
    pub(crate) fn logger(&self) -> Result<Service> {
        Service::open(&self.dir, b"log")
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Whether an s6-supervise runs on it.
    pub(crate) fn is_supervised(&self) -> Result<bool> {
        self.dir.fifo_has_reader(CONTROL)
    }

    /// The process id of its s6-supervise, if this user may know.
    pub(crate) fn supervisor(&self) -> Result<Option<u64>> {
        self.dir.lock_holder(LOCK)
    }

    /// Opens the FIFO that its supervisor reads.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if it has none.
    pub(crate) fn control(&self) -> Result<FifoWriter> {
        self.dir.open_fifo_writer(CONTROL).map_err(|error| match means_no_reader(error.kind) {
            true => {
                let why = text!("no s6-supervise runs on it");
                self.dir.error(Kind::Unsupervised, text!("open"), CONTROL, why)
            }
            false => error,
        })
    }

    /// Its status.
    ///
    /// # Errors
    /// [`Kind::Unusable`] if the file has no size that is known.
    pub(crate) fn status(&self) -> Result<Status> {
        Service::status_in(&self.dir, status::FILE)
    }

    /// The status of the service `name` in `scandir`.
    pub(crate) fn status_of(scandir: &Dir, name: &[u8]) -> Result<Status> {
        Service::status_in(scandir, &[name, b"/", status::FILE].concat())
    }

    fn status_in(dir: &Dir, path: &[u8]) -> Result<Status> {
        let bytes = dir.read_at_once(path, status::MAX_SIZE)?;
        Status::parse(&bytes).ok_or_else(|| {
            let why = format!("has {} bytes, which no known s6 writes", bytes.len());
            dir.error_of(Kind::Unusable, text!("read"), path, &why)
        })
    }

    /// When and how it died, the last time last. A tally that is cut short is none: so
    /// s6-supervise takes it, too.
    pub(crate) fn deaths(&self) -> Result<Vec<death_tally::Death>> {
        let bytes = if_there(self.dir.read_at_once(death_tally::FILE, death_tally::MAX_SIZE))?
            .unwrap_or_default();
        Ok(death_tally::parse(&bytes).unwrap_or_default())
    }

    /// When it last died, if it ever did.
    pub(crate) fn last_death(&self) -> Result<Option<Tai64n>> {
        Ok(self.deaths()?.last().map(|death| death.stamp))
    }
}
