//! What is asked of whole paths, which the image's author chose: symbolic links are followed.

use super::meta::FileKind;
use super::opened::{OPEN_FILE, Opened, READING, look_at};
use super::{c, failed};
use crate::error::{Kind, Result};
use crate::text::messages::text;
use rustix::fs::{self, AtFlags, OFlags};

/// Whether there is a directory at `path`, or a link to one; in one call, for each verb asks.
pub(crate) fn is_dir(path: &[u8]) -> Result<bool> {
    let looked = look_at(fs::CWD, path, AtFlags::empty());
    let meta = looked.map_err(|errno| failed(text!("look at"), path, errno))?;
    Ok(meta.is_some_and(|meta| meta.kind == FileKind::Directory))
}

/// The first directory on the way to `path` that this user may not pass.
pub(crate) fn impassable(path: &[u8]) -> Option<&[u8]> {
    // To look at anything in it takes to pass it.
    above(path, &|at| is_dir(at).is_err_and(|error| error.kind == Kind::Denied))
}

/// The first directory on the way to `path` that this user may write to.
pub(crate) fn writable(path: &[u8]) -> Option<&[u8]> {
    // The process's ids are all the same: the real ones, which count here, too.
    let may = |at: &[u8]| fs::accessat(fs::CWD, &*c(at), fs::Access::WRITE_OK, AtFlags::empty());
    above(path, &|at| may(at).is_ok())
}

/// The first directory above `path` that `is` so.
#[inline(never)]
fn above<'a>(path: &'a [u8], is: &dyn Fn(&[u8]) -> bool) -> Option<&'a [u8]> {
    let at = |at: &usize| path[*at] == b'/' && is(&[&path[..*at], b"/."].concat());
    (0..path.len()).find(at).map(|at| &path[..at])
}

/// More than any file in /proc has that is read here, in bytes.
const MAX_PROC: usize = 1 << 20;

/// The whole of the file at `path` in /proc, which the kernel gives as one piece.
#[inline(never)]
pub(crate) fn read_proc(path: &[u8]) -> Result<Vec<u8>> {
    read_followed(path, MAX_PROC)
}

/// The whole of the regular file at the absolute `path`, which the image's author chose:
/// symbolic links are followed. Else it is [`Dir::read`](super::dir::Dir::read).
pub(crate) fn read_followed(path: &[u8], limit: usize) -> Result<Vec<u8>> {
    let flags = OPEN_FILE.difference(OFlags::NOFOLLOW);
    let file = Opened::new(fs::CWD, READING, path, path.to_vec(), flags, 0)?;
    match file.read_at_once(limit) {
        // /dev/null reads as empty, too; that is an error.
        Ok(content) if content.is_empty() => file.read(limit),
        content => content,
    }
}
