//! Locks that go with the process that holds them: flock(2), and those of fcntl(2).

use super::clock::Deadline;
use super::dir::{Dir, File, OPEN_FILE};
use super::poll::wait_until;
use super::{failed, if_usable, retry};
use crate::error::{Error, Kind, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// An exclusive lock, released when dropped or when the holder dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _fd: OwnedFd,
}

impl Dir {
    /// Takes the exclusive lock on the file `name`; `waiting` is called if somebody holds it.
    pub(crate) fn lock(&self, name: &[u8], waiting: &dyn Fn()) -> Result<Lock> {
        const WHAT: &str = "lock";
        let fd = self.open_at(WHAT, name, OFlags::RDWR | OFlags::CREATE | OPEN_FILE, 0o600)?;
        let taken = match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                waiting();
                retry(|| flock(&fd, FlockOperation::LockExclusive))
            }
            taken => taken,
        };
        taken.map_err(|errno| self.failed(WHAT, name, errno))?;
        Ok(Lock { _fd: fd })
    }

    /// Whether somebody holds the lock on the file `name`, as far as this user may know.
    pub(crate) fn is_locked(&self, name: &[u8]) -> bool {
        let fd = self.open_at("lock", name, OFlags::RDONLY | OPEN_FILE, 0);
        fd.is_ok_and(|fd| {
            flock(&fd, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    /// Takes the exclusive lock on this directory itself, until it is closed. Whoever may open
    /// it can hold it, so after a second this is [`Kind::TimedOut`].
    pub(crate) fn lock_whole(&self) -> Result<()> {
        let mut take = || match flock(self.fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(failed("lock", self.path(), errno)),
        };
        let (second, pause) = (Duration::from_secs(1), Duration::from_millis(5));
        if wait_until(Deadline::after(second), None, pause, &mut take)? {
            return Ok(());
        }
        Err(Error::new(Kind::TimedOut, "lock", self.path(), "another process holds the lock"))
    }
}

impl Dir {
    /// The process id of who holds an fcntl(2) lock on the file `name`, as far as this user may
    /// know.
    pub(crate) fn lock_holder(&self, name: &[u8]) -> Result<Option<u64>> {
        let file = if_usable(self.file(name))?;
        Ok(file.and_then(|file| file.record_lock()).flatten())
    }
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
