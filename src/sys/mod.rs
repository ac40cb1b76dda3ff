//! System calls: only these modules use rustix.

mod change;
pub(crate) mod clock;
pub(crate) mod dir;
mod file_system;
pub(crate) mod identity;
pub(crate) mod inotify;
pub(crate) mod lock;
pub(crate) mod meta;
mod opened;
pub(crate) mod path;
pub(crate) mod poll;
pub(crate) mod print;
pub(crate) mod process;

use crate::error::{Error, Result};
use crate::model::capability::Capability;
use crate::text::messages::{Text, text};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A file name.
pub(crate) type Name = Vec<u8>;

/// The path for the kernel. One with a NUL in it, which comes from nowhere, names nothing.
fn c(path: &[u8]) -> CString {
    CString::from_vec_with_nul([path, b"\0"].concat()).unwrap_or_default()
}

#[inline(never)]
fn failed(what: Text, path: &[u8], errno: Errno) -> Box<Error> {
    let error = Error::system(what, path, errno.raw_os_error());
    if errno != Errno::MFILE {
        return error;
    }
    error.hint_of(&format!("no more than {}", raise_descriptor_limit())).hint(MORE_DESCRIPTORS)
}

/// More files would be open than may be.
pub(crate) fn too_many_open(what: Text, path: &[u8]) -> Box<Error> {
    failed(what, path, Errno::MFILE)
}

/// The same, of what needs `capability`.
fn not_permitted(what: Text, path: &[u8], errno: Errno, needs: Capability) -> Box<Error> {
    let error = failed(what, path, errno);
    match errno {
        Errno::PERM if process::is_out_of_bounds(needs) => {
            error.hint_of(&needs.lacking_and_remedy())
        }
        _ => error,
    }
}

/// Calls again what a signal has interrupted.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let written = retry(|| rustix::io::write(fd, bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// What to do where descriptors are too few.
pub(crate) const MORE_DESCRIPTORS: Text = text!("docker run --ulimit nofile=65536");

/// The id of this process, which the kernel is asked for once.
pub(crate) fn process_id() -> u32 {
    static ID: AtomicU32 = AtomicU32::new(0);
    if ID.load(Relaxed) == 0 {
        ID.store(std::process::id(), Relaxed);
    }
    ID.load(Relaxed)
}

/// Lets this process open as many files as it ever may, for it holds some for each gateway; how
/// many that are.
pub(crate) fn raise_descriptor_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where it cannot be raised, the open that is one too many says so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    limit.maximum.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX)
}

/// A result for who may go on without: what is not there is `None`, all else an error.
pub(crate) fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(it) => Ok(Some(it)),
        Err(error) => unless_missing(Err(error)).map(|()| None),
    }
}

/// The same of what is done to what may not be there: then there is nothing to do.
#[inline(never)]
pub(crate) fn unless_missing(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.kind == crate::error::Kind::Missing => Ok(()),
        done => done,
    }
}

/// A result for who has no use for what cannot be opened: what is not there, is something else,
/// or may not be opened is `None`, all else an error.
pub(crate) fn if_usable<T>(result: Result<T>) -> Result<Option<T>> {
    match if_such(result) {
        Err(error) if error.kind == crate::error::Kind::Denied => Ok(None),
        such => such,
    }
}

/// The same for who may open it: what is not there or is something else is `None`.
pub(crate) fn if_such<T>(result: Result<T>) -> Result<Option<T>> {
    use crate::error::Kind::{Missing, Unusable};
    match result {
        Ok(it) => Ok(Some(it)),
        Err(error) if matches!(error.kind, Missing | Unusable) => Ok(None),
        Err(error) => match error.errno().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR) => Ok(None),
            _ => Err(error),
        },
    }
}
