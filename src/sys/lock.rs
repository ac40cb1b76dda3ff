//! Locks that go with the process that holds them: flock(2), and those of fcntl(2).

use super::clock::Deadline;
use super::dir::{Dir, File};
use super::opened::{OPEN_FILE, Opened};
use super::poll::wait_until;
use super::{failed, if_usable};
use crate::error::{Error, Kind, Result};
use crate::text::messages::{Text, text};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::time::Duration;

/// How often it is tried to take what somebody holds: nothing tells that a lock is free.
const PAUSE: Duration = Duration::from_millis(5);

/// For so long it is waited for without a word: most hold it no longer.
const MOMENT: Duration = Duration::from_secs(1);

/// What is done, for errors.
const WHAT: Text = text!("lock");

/// An exclusive lock, released when dropped or when the holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Box<Opened>,
}

impl Dir {
    /// Takes the exclusive lock on the file `name`. If somebody holds it, it is waited for until
    /// `deadline`; `waiting` is called where that takes longer than a moment.
    ///
    /// # Errors
    /// [`Kind::TimedOut`] if it is still held then.
    pub(crate) fn lock(&self, name: &[u8], deadline: Deadline, waiting: &dyn Fn()) -> Result<Lock> {
        let file = self.open_at(WHAT, name, OFlags::RDWR | OFlags::CREATE | OPEN_FILE, 0o600)?;
        take(&file, deadline, waiting)?;
        Ok(Lock { _file: file })
    }

    /// Whether somebody holds the lock on the file `name`, as far as this user may know.
    pub(crate) fn is_locked(&self, name: &[u8]) -> bool {
        let file = self.open_at(text!("lock"), name, OFlags::RDONLY | OPEN_FILE, 0);
        file.is_ok_and(|file| {
            flock(&file.fd, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    /// Takes the exclusive lock on this directory itself, until it is closed. Whoever may open
    /// it can hold it, so after `deadline` this is [`Kind::TimedOut`].
    pub(crate) fn lock_whole(&self, deadline: Deadline) -> Result<()> {
        take(&self.0, deadline, &|| ())
    }

    /// Opens the file `name` to ask who has locked it. What kind it is of is not checked: locks that
    /// count are on regular files, and nobody has locked anything else.
    pub(crate) fn lock_file(&self, name: &[u8]) -> Result<Option<File>> {
        Ok(if_usable(self.open_at(WHAT, name, OFlags::RDONLY | OPEN_FILE, 0))?.map(File))
    }

    /// The process id of who holds an fcntl(2) lock on the file `name`, as far as this user may
    /// know.
    pub(crate) fn lock_holder(&self, name: &[u8]) -> Result<Option<u64>> {
        Ok(self.lock_file(name)?.and_then(|file| file.record_lock()).flatten())
    }
}

/// Takes the exclusive flock(2) on `file`, and waits for it until `deadline`.
fn take(file: &Opened, deadline: Deadline, waiting: &dyn Fn()) -> Result<()> {
    let try_it = || match flock(&file.fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(failed(WHAT, &file.path, errno)),
    };
    let soon = Deadline::after(deadline.left_or(MOMENT));
    if wait_until(soon, None, PAUSE, &mut { try_it })? {
        return Ok(());
    }
    if !deadline.is_over() {
        waiting();
        if wait_until(deadline, None, PAUSE, &mut { try_it })? {
            return Ok(());
        }
    }
    Err(Error::new(Kind::TimedOut, WHAT, &file.path, text!("another process holds the lock")))
}

impl File {
    /// Whether somebody holds the exclusive flock(2) on it. Where such locks do not work, nobody
    /// does.
    pub(crate) fn is_locked(&self) -> bool {
        match flock(&self.0.fd, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                // What was just taken can be given back.
                let _ = flock(&self.0.fd, FlockOperation::Unlock);
                false
            }
            Err(errno) => errno == Errno::WOULDBLOCK,
        }
    }

    /// Who holds an fcntl(2) lock on it: `Some(None)` is a process that this one cannot see.
    /// Where such locks do not work, nobody does.
    pub(crate) fn record_lock(&self) -> Option<Option<u64>> {
        let lock = fcntl_getlk(&self.0.fd, &Flock::from(FlockType::WriteLock)).ok()??;
        Some(lock.pid.map(|pid| u64::from(pid.as_raw_nonzero().get().unsigned_abs())))
    }
}
