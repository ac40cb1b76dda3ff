//! The directory that s6-svscan watches, and s6-svscan itself.

use crate::error::{Error, Kind, Result};
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::if_usable;
use crate::sys::meta::FileKind;
use crate::sys::poll::{self, FifoWriter, means_no_reader};
use crate::text::messages::text;
use std::time::Duration;

/// s6-svscan's own directory in a scandir.
pub(crate) const CONTROL_DIR: &[u8] = b".s6-svscan";
pub(super) const CONTROL: &[u8] = b"control";
const LOCK: &[u8] = b".s6-svscan/lock";
/// The FIFO that s6-svscan is asked by, in a scandir.
pub(crate) const CONTROL_FIFO: &[u8] = b".s6-svscan/control";

/// What s6-svscan can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Take up what is new.
    Scan,
    /// The same, then send away the supervisors of what is not there any more.
    ScanAndSendAway,
}

/// An open scandir.
#[derive(Debug)]
pub(crate) struct ScanDir {
    dir: Dir,
}

impl ScanDir {
    /// Opens the scandir at `path`.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if there is none: then there is no s6 here.
    pub(crate) fn open(path: &[u8]) -> Result<ScanDir> {
        // The last part is not to be a link: as root, we give away what it names.
        let (parent, name) = split(path);
        let opened =
            Dir::open_itself(&[parent, name].concat()).or_else(|_| Dir::open(parent)?.dir(name));
        let dir = opened.map_err(|mut error| {
            if error.kind == Kind::Missing {
                error.kind = Kind::Unsupervised;
                error = error.hint(text!("no s6 here, or another --scandir"));
            }
            error
        })?;
        Ok(ScanDir { dir })
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Whether an s6-svscan runs on it.
    pub(crate) fn is_scanned(&self) -> Result<bool> {
        self.dir.fifo_has_reader(CONTROL_FIFO)
    }

    /// Whether the FIFO that it reads is the user's with this `uid`, as far as this one may know.
    pub(crate) fn is_controlled_by(&self, uid: u32) -> Result<bool> {
        let fifo = if_usable(self.dir.look(CONTROL_FIFO))?.flatten();
        Ok(fifo.is_some_and(|it| (it.kind, it.uid) == (FileKind::Fifo, uid)))
    }

    /// The process id of the s6-svscan that runs on it, if this user may know.
    pub(crate) fn scanner(&self) -> Result<Option<u64>> {
        self.dir.lock_holder(LOCK)
    }

    /// Opens the FIFO that it reads.
    #[inline(never)]
    fn control(&self) -> Result<FifoWriter> {
        self.dir.dir(CONTROL_DIR)?.open_fifo_writer(CONTROL)
    }

    /// Asks s6-svscan for something.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if no s6-svscan listens.
    pub(crate) fn ask(&self, request: Request) -> Result<()> {
        let letters: &[u8] = match request {
            Request::Scan => b"a",
            Request::ScanAndSendAway => b"an",
        };
        let asked = self.control().and_then(|control| control.write(letters));
        asked.map_err(|error| match means_no_reader(error.kind) {
            true => {
                let why = text!("no s6-svscan runs on this scandir");
                Error::new(Kind::Unsupervised, text!("ask for a scan of"), self.dir.path(), why)
            }
            false => error,
        })
    }

    /// Has s6-svscan end, with all that it supervises, and waits for that, `time` at most; where
    /// there is none, there is nothing to do.
    pub(crate) fn terminate(&self, time: Duration) -> Result<()> {
        let control = match self.control() {
            Err(error) if means_no_reader(error.kind) => return Ok(()),
            control => control?,
        };
        control.write(b"t")?;
        let deadline = Deadline::after(time);
        while !deadline.is_over() {
            if poll::wait(&[(None, Some(&control))], deadline.left())?[0].1 {
                return Ok(());
            }
        }
        let why = text!("it is still there");
        Err(Error::new(Kind::TimedOut, text!("end s6-svscan of"), self.dir.path(), why))
    }
}

/// The directory that `path` is in, and its name there.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|&b| b != b'/').map_or(path.len(), |last| last + 1);
    match path[..end].iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..=at], &path[at + 1..end]),
        None => (b"./", &path[..end]),
    }
}
