//! Whose a profile's gateway is, across the containers that share a volume.
//!
//! Two locks tell, and the kernel lets go of either however its holder ends. A live gateway
//! holds `gateway.lock` in its home, by flock(2); but Hermes itself removes that file when it
//! cannot see the holder. s6-log holds `lock` in its log directory, by fcntl(2), from before
//! the gateway's first line until its container has ended, also while the gateway is down.

use super::container::PROC;
use super::home;
use crate::error::{Error, Kind, Result};
use crate::model::observation::Holder;
use crate::model::profile::Profile;
use crate::model::values;
use crate::sys::dir::{Dir, File};
use crate::sys::inotify::Watches;
use crate::sys::meta::Meta;
use crate::sys::{Name, if_usable};
use crate::text::{Shown, nth, parts};

const GATEWAY_LOCK: &[u8] = b"gateway.lock";
const LOG_LOCK: &[u8] = b"lock";
/// In /proc, who has locked what.
const LOCKS: &[u8] = b"locks";
/// More than /proc/locks has on any machine that still works, in bytes.
const MAX_LOCKS: usize = 1 << 20;
/// The kernel cuts the name of a command at 15 bytes.
const MAX_COMM: usize = 64;

/// The locks of one profile that are there, open.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    gateway: Option<File>,
    log: Option<File>,
}

impl Locks {
    /// Opens those of `profile`, with this `home`, and a log below the `root` home.
    ///
    /// # Errors
    /// One is there, and it cannot be told who holds it.
    pub(crate) fn open(home: &Dir, root: &Dir, profile: &Profile) -> Result<Locks> {
        // What can be no lock of theirs is not held: Hermes and s6-log open it first, too.
        let log = root.lock_file(&path_in(profile))?;
        Ok(Locks { log, ..Locks::of_gateway(home)? })
    }

    /// Opens the gateway's alone.
    pub(crate) fn of_gateway(home: &Dir) -> Result<Locks> {
        Ok(Locks { gateway: home.lock_file(GATEWAY_LOCK)?, log: None })
    }

    /// Removes the lock of the log of `profile`, if that would keep s6-log from its work, though
    /// nobody holds it.
    pub(crate) fn remove_stale(&self, root: &Dir, profile: &Profile) -> Result<()> {
        if self.logger().is_some() || if_usable(root.file_to_write(&path_in(profile)))?.is_some() {
            return Ok(());
        }
        remove_log_lock(root, profile)
    }

    /// Who holds the log's lock: `Some(None)` is a process of another container.
    fn logger(&self) -> Option<Option<u64>> {
        self.log.as_ref().and_then(File::record_lock)
    }

    /// Who holds the gateway's, as far as that is seen: it is tried only where no logger here has
    /// the log. A try may be in the way of a gateway that starts at this moment.
    pub(crate) fn seen_holder(&self) -> Option<Holder> {
        let logger = self.logger();
        if logger == Some(None) {
            return Some(Holder::Elsewhere);
        }
        let inode = self.gateway.as_ref()?.meta().ok()?.inode;
        match Dir::open(PROC).and_then(|proc| holder_in(&proc, LOCKS, inode)) {
            Ok(Some(pid)) => Some(Holder::Here(pid)),
            _ if logger.is_some() => None,
            _ => self.gateway_holder(),
        }
    }

    /// Who holds the gateway's, by trying it.
    pub(crate) fn gateway_holder(&self) -> Option<Holder> {
        let lock = self.gateway.as_ref()?;
        // Twice: the holder may end, and another one come, while it is looked for.
        for _ in 0..2 {
            if !lock.is_locked() {
                return None;
            }
            let inode = lock.meta().map_or(0, |meta| meta.inode);
            if let Ok(Some(pid)) = pid_of_flock(inode) {
                return Some(Holder::Here(pid));
            }
        }
        // One that /proc does not show is none of this container.
        lock.is_locked().then_some(Holder::Elsewhere)
    }

    /// Whether another container holds either.
    pub(crate) fn are_held_elsewhere(&self) -> bool {
        self.is_logged_elsewhere() || self.gateway_holder() == Some(Holder::Elsewhere)
    }

    /// Whether nobody here holds the gateway's, and nobody elsewhere holds either.
    pub(crate) fn are_free(&self) -> bool {
        !self.gateway.as_ref().is_some_and(File::is_locked) && !self.is_logged_elsewhere()
    }

    /// Whether another container has the log.
    fn is_logged_elsewhere(&self) -> bool {
        self.logger() == Some(None)
    }

    /// Has `watches` tell when one of them is let go, or goes.
    pub(crate) fn watch(&self, watches: &Watches) -> Result<()> {
        if let Some(file) = &self.gateway {
            watches.add_file(file)?;
        }
        self.log.as_ref().map_or(Ok(()), |file| watches.add_file(file))
    }
}

/// The path of the lock of the log of `profile`, below the root home.
fn path_in(profile: &Profile) -> Vec<u8> {
    [&home::log_of(profile), &b"/"[..], LOG_LOCK].concat()
}

/// Removes the lock of the log of `profile`, below the `root` home, whoever holds it: two loggers
/// then write to one directory.
pub(crate) fn remove_log_lock(root: &Dir, profile: &Profile) -> Result<()> {
    if_usable(root.dir(&home::log_of(profile)))?.map_or(Ok(()), |dir| dir.remove(LOG_LOCK))
}

/// The process that holds the flock(2) on a file with this inode, if it can be seen here.
#[inline(never)]
fn pid_of_flock(inode: u64) -> Result<Option<u64>> {
    let proc = Dir::open(PROC)?;
    let pid = holder_in(&proc, LOCKS, inode)?;
    if pid.is_some() {
        return Ok(pid);
    }
    // That names who has locked it. A child of a holder that has died still holds it, and is
    // found by its descriptor.
    for name in &proc.names()? {
        let pid = values::digits(name);
        if pid.is_some() && has_flock(&proc, name, inode).unwrap_or(false) {
            return Ok(pid);
        }
    }
    Ok(None)
}

/// Adds to the error of a lock that was waited for in vain who holds it, as far as that is seen:
/// the lock is a flock(2) on the file that `found` is of.
pub(crate) fn name_holder(error: Box<Error>, found: Result<Option<Meta>>) -> Box<Error> {
    let holder = || -> Result<Option<String>> {
        let Some(meta) = found? else { return Ok(None) };
        let Some(pid) = pid_of_flock(meta.inode)? else { return Ok(None) };
        let pid = pid.to_string();
        let comm = Dir::open(PROC)?.dir(pid.as_bytes())?.read(b"comm", MAX_COMM)?;
        Ok(Some(format!("process {pid} ({})", Shown(comm.trim_ascii_end()))))
    };
    match (error.kind, holder()) {
        (Kind::TimedOut, Ok(Some(holder))) => error.hint_of(&holder),
        // One of another container, or of another user where /proc hides it, has no name.
        _ => error,
    }
}

/// Whether a descriptor of process `pid` holds the flock(2) on a file with this inode. Another
/// user's process does not tell.
#[inline(never)]
fn has_flock(proc: &Dir, pid: &[u8], inode: u64) -> Result<bool> {
    let descriptors = proc.dir(&[pid, b"/fdinfo"].concat())?;
    // One that is closed meanwhile holds nothing.
    let holds = |name: &Name| matches!(holder_in(&descriptors, name, inode), Ok(Some(_)));
    Ok(descriptors.names()?.iter().any(holds))
}

/// The process that holds the flock(2) on a file with this inode, as the file `name` says.
#[inline(never)]
fn holder_in(dir: &Dir, name: &[u8], inode: u64) -> Result<Option<u64>> {
    Ok(find(&dir.read(name, MAX_LOCKS)?, inode))
}

/// The process of the first line of `locks` that is of a flock(2) on `inode`. The device is not
/// compared: some file systems have another one here than for stat(2).
fn find(locks: &[u8], inode: u64) -> Option<u64> {
    // NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END; in fdinfo with `lock:` and a tab
    // before it, and `->` before the kind for who waits.
    for line in parts(locks, b'\n') {
        let (mut is_flock, mut pid) = (false, None);
        for (at, word) in parts(line, b' ').filter(|word| !word.is_empty()).enumerate() {
            match at {
                1 => is_flock = word == b"FLOCK",
                4 => pid = values::digits(word),
                5 if is_flock
                    && pid.is_some()
                    && nth(word, b':', 2).and_then(values::digits) == Some(inode) =>
                {
                    return pid;
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_line_of_proc_locks_names_the_holder() {
        let table = [
            ("1: FLOCK  ADVISORY  WRITE 4242 08:01:77 0 EOF", Some(4242)),
            ("1: FLOCK  ADVISORY  WRITE 4242 08:01:78 0 EOF", None),
            ("1: -> FLOCK  ADVISORY  WRITE 4242 08:01:77 0 EOF", None),
            ("1: POSIX  ADVISORY  WRITE 4242 08:01:77 0 EOF", None),
            ("1: FLOCK  ADVISORY  WRITE x 08:01:77 0 EOF", None),
            ("1: FLOCK", None),
            ("pos:\t0\nlock:\t1: FLOCK  ADVISORY  WRITE 0 08:01:77 0 EOF\n", Some(0)),
            (
                "1: POSIX  ADVISORY  WRITE 1 08:01:77 0 EOF\n2: FLOCK ADVISORY READ 2 0:1:77 0 1",
                Some(2),
            ),
            ("", None),
        ];
        for (line, pid) in table {
            assert_eq!(find(line.as_bytes(), 77), pid, "{line:?}");
        }
    }

    #[test]
    fn a_holder_in_this_container_is_seen_and_nobody_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let home = || Dir::open(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        assert_eq!(
            Locks::open(&home(), &home(), &Profile::Default).unwrap().gateway_holder(),
            None
        );
        let path = dir.path().join("gateway.lock");
        let file = std::fs::File::create(&path).unwrap();
        let locks = Locks::open(&home(), &home(), &Profile::Default).unwrap();
        assert_eq!(locks.gateway_holder(), None);
        file.lock().unwrap();
        let own = u64::from(std::process::id());
        assert_eq!(locks.gateway_holder(), Some(Holder::Here(own)));
        assert!(!locks.are_held_elsewhere());
        assert_eq!(pid_of_flock(locks_inode(&file)), Ok(Some(own)));
        // Also where who has locked it has ended before it let go.
        assert_eq!(
            has_flock(&Dir::open(PROC).unwrap(), own.to_string().as_bytes(), locks_inode(&file)),
            Ok(true)
        );
        drop(file);
        assert_eq!(locks.gateway_holder(), None);
    }

    fn locks_inode(file: &std::fs::File) -> u64 {
        file.metadata().unwrap().ino()
    }

    #[test]
    fn only_a_lock_that_cannot_be_opened_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let home = || Dir::open(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        let remove_stale = || {
            let (home, profile) = (home(), Profile::Default);
            let locks = Locks::open(&home, &home, &profile).unwrap();
            locks.remove_stale(&home, &profile).unwrap();
        };
        remove_stale();
        let path = dir.path().join("logs/gateways/default/lock");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        remove_stale();
        std::fs::write(&path, "").unwrap();
        remove_stale();
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        remove_stale();
        assert!(path.symlink_metadata().is_err());
    }
}
