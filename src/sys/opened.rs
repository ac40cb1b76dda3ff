//! What is open: how it is opened, what it is, and what is in it.

use super::meta::{FileKind, Meta};
use super::{c, failed, retry};
use crate::error::{Error, Kind, Result};
use crate::text::messages::{Text, text};
use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(super) const OPEN_FILE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A directory on the way to something else.
const OPEN_WAY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is done, in words, for errors.
pub(super) const READING: Text = text!("read");

/// What a file is read into at first whose size is not known, in bytes: enough for most, and
/// little enough for the allocator to have it at hand, without a call.
const UNKNOWN_SIZE: usize = 480;

/// A descriptor, and the path that it was opened by, for messages. Boxed where it is moved
/// about, for code size.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) path: Vec<u8>,
    /// Whether it was listed, and stands at its end.
    pub(super) listed: Cell<bool>,
}

impl Opened {
    /// What is open as `fd`; messages call it `path`.
    pub(super) fn of(fd: OwnedFd, path: Vec<u8>) -> Box<Opened> {
        Box::new(Opened { fd, path, listed: Cell::new(false) })
    }

    /// Opens `name` in `dir`; messages call it `path`.
    #[inline(never)]
    pub(super) fn new(
        dir: BorrowedFd<'_>,
        what: Text,
        name: &[u8],
        path: Vec<u8>,
        flags: OFlags,
        mode: u32,
    ) -> Result<Box<Opened>> {
        let (flags, mode) = (flags | OFlags::CLOEXEC, Mode::from_raw_mode(mode));
        match retry(|| open_in(dir, name, flags, mode)) {
            Ok(fd) => Ok(Opened::of(fd, path)),
            Err(errno) => Err(failed(what, &path, errno)),
        }
    }

    /// Whether this FIFO has nothing in it.
    pub(super) fn is_drained(&self) -> bool {
        rustix::io::ioctl_fionread(&self.fd) == Ok(0)
    }

    /// What it is now.
    pub(super) fn meta(&self) -> Result<Meta> {
        self.meta_for(text!("look at"))
    }

    /// What it is; [`Kind::Unusable`] if that is not of `kind`.
    pub(super) fn meta_as(&self, what: Text, kind: FileKind) -> Result<Meta> {
        let meta = self.meta_for(what)?;
        if meta.kind == kind {
            return Ok(meta);
        }
        let wanted = if kind == FileKind::Fifo { "FIFO" } else { "regular file" };
        let why = [meta.kind.phrase().read(), ", not a ", wanted].concat();
        Err(Error::because(Kind::Unusable, what, &self.path, &why))
    }

    /// The same as [`Opened::read`], in fewer system calls where it has less than 4096 bytes.
    #[inline(never)]
    pub(super) fn read_at_once(&self, limit: usize) -> Result<Vec<u8>> {
        let mut buffer = [0; 4096];
        // What cannot be read so is told by what follows.
        match rustix::io::pread(&self.fd, &mut buffer, 0) {
            Ok(read) if read < buffer.len() && read <= limit => Ok(buffer[..read].to_vec()),
            _ => self.read(limit),
        }
    }

    /// The whole of it, if that is a regular file of at most `limit` bytes.
    pub(super) fn read(&self, limit: usize) -> Result<Vec<u8>> {
        let size = self.meta_as(READING, FileKind::Regular)?.size;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // Files of /proc say 0, and those that grow while they are read say too little.
        let mut room = if size == 0 { UNKNOWN_SIZE } else { size.min(limit) + 1 };
        let mut content = Vec::new();
        while size <= limit && content.len() <= limit {
            if content.len() == content.capacity() {
                let reserved = content.try_reserve(room);
                reserved.map_err(|_| failed(READING, &self.path, Errno::NOMEM))?;
                room = 4096;
            }
            let room = rustix::buffer::spare_capacity(&mut content);
            match rustix::io::read(&self.fd, room) {
                Ok(0) => return Ok(content),
                Ok(_) if content.len() == size => return Ok(content),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(READING, &self.path, errno)),
            }
        }
        let why = format!("is larger than {limit} bytes");
        Err(Error::because(Kind::Unusable, READING, &self.path, &why))
    }

    #[inline(never)]
    fn meta_for(&self, what: Text) -> Result<Meta> {
        let stat = fs::fstat(&self.fd).map_err(|errno| failed(what, &self.path, errno))?;
        Ok(Meta::from(&stat))
    }
}

/// Opens `name` in `dir`. If no links are followed, it is beneath `dir`, and there is none on the
/// way to it.
fn open_in(
    dir: BorrowedFd<'_>,
    mut name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let follows = !flags.contains(OFlags::NOFOLLOW);
    if !follows && name.contains(&b'/') {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match fs::openat2(dir, &*c(name), flags, mode, resolve) {
            // A kernel before 5.6, or a seccomp profile of that time.
            Err(Errno::NOSYS | Errno::PERM) => {}
            opened => return opened,
        }
    }
    let mut way = None;
    loop {
        let at = way.as_ref().map_or(dir, AsFd::as_fd);
        let slash = name.iter().position(|&byte| byte == b'/' && !follows);
        let (part, flags) = slash.map_or((name, flags), |slash| (&name[..slash], OPEN_WAY));
        let opened = fs::openat(at, &*c(part), flags, mode)?;
        let Some(slash) = slash else { return Ok(opened) };
        (way, name) = (Some(opened), &name[slash + 1..]);
    }
}

/// What there is at `path` in `dir`; `None` if nothing is there.
#[inline(never)]
pub(super) fn look_at(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: AtFlags,
) -> rustix::io::Result<Option<Meta>> {
    match fs::statat(dir, &*c(path), flags) {
        Ok(stat) => Ok(Some(Meta::from(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
