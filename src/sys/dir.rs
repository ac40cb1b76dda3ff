//! Open directories, and what is read in them.
//!
//! Every operation is relative to an open directory, takes one path component or a path of our own
//! making, and follows no symbolic link, on the way neither. Only [`Dir::open`], for paths that
//! the image's author chose, follows them, and [`Dir::read_followed`], [`Dir::dir_followed`] and
//! [`Dir::look_followed`], for what may well be a link and is looked at as nobody but the
//! gateways' user.

use super::meta::{FileKind, Meta};
use super::poll::{Fifo, FifoWriter};
use super::{Name, Opened, c, failed, if_there, retry};
use crate::error::{Error, Kind, Result};
use crate::text::Shown;
use crate::text::messages::{Text, text};
use rustix::fs::{self, AtFlags, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
pub(super) const OPEN_FILE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A directory on the way to something else.
const OPEN_WAY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is done, in words, for errors.
const OPENING: Text = text!("open directory");

/// What a file is read into at first whose size is not known, in bytes: enough for most, and
/// little enough for the allocator to have it at hand, without a call.
const UNKNOWN_SIZE: usize = 480;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(pub(super) Box<Opened>);

impl Dir {
    /// Opens the directory at `path`, following symbolic links.
    pub(crate) fn open(path: &[u8]) -> Result<Dir> {
        let fd = fs::open(&*c(path), OPEN_DIR, Mode::empty())
            .map_err(|errno| failed(OPENING, path, errno))?;
        Ok(Dir(Box::new(Opened { fd, path: path.to_vec() })))
    }

    /// Opens the directory `name` in this one; a symbolic link is an error.
    pub(crate) fn dir(&self, name: &[u8]) -> Result<Dir> {
        self.dir_as(name, OPEN_DIR | OFlags::NOFOLLOW).map_err(|error| {
            // The kernel says of a link, too, that it is no directory.
            let no_dir = error.errno() == Some(Errno::NOTDIR.raw_os_error());
            match no_dir && matches!(self.kind(name), Ok(Some(FileKind::Symlink))) {
                true => self.failed(OPENING, name, Errno::LOOP),
                false => error,
            }
        })
    }

    /// Opens the directory `name` in this one, or the one that a symbolic link of this name leads
    /// to.
    ///
    /// # Errors
    /// [`Kind::Missing`] only where nothing is called so: a link that leads to no directory is
    /// [`Kind::Unusable`].
    pub(crate) fn dir_followed(&self, name: &[u8]) -> Result<Dir> {
        self.dir_as(name, OPEN_DIR).map_err(|error| match self.kind(name) {
            Ok(Some(FileKind::Symlink)) => self.is_bad_link(name, error),
            // It cannot be told that nothing is there.
            Err(unknown) => unknown,
            _ => error,
        })
    }

    /// What is wrong with the link `name` that `error` came of.
    #[inline(never)]
    fn is_bad_link(&self, name: &[u8], mut error: Box<Error>) -> Box<Error> {
        match error.errno().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR) => error.kind = Kind::Unusable,
            Some(Errno::LOOP) => {
                error =
                    self.error(Kind::Unusable, OPENING, name, text!("leads in a circle (ELOOP)"));
            }
            _ => {}
        }
        // Where that cannot be read, the rest says enough.
        let target = self.link(name).unwrap_or_default();
        error.hint_of(&["a symbolic link to ", &Shown(&target).text()].concat())
    }

    fn dir_as(&self, name: &[u8], flags: OFlags) -> Result<Dir> {
        let fd = self.open_at(OPENING, name, flags, 0)?;
        Ok(Dir(self.opened(fd, name)))
    }

    /// The same; `None` if there is none.
    pub(crate) fn dir_if_there(&self, name: &[u8]) -> Result<Option<Dir>> {
        if_there(self.dir(name))
    }

    pub(super) fn open_at(
        &self,
        what: Text,
        name: &[u8],
        flags: OFlags,
        mode: u32,
    ) -> Result<OwnedFd> {
        let (flags, mode) = (flags | OFlags::CLOEXEC, Mode::from_raw_mode(mode));
        retry(|| open_in(self.fd(), name, flags, mode))
            .map_err(|errno| self.failed(what, name, errno))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    /// The path of `name` in this directory, for messages.
    pub(crate) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        [self.path().strip_suffix(b"/").unwrap_or(self.path()), b"/", name].concat()
    }

    /// The path this directory was opened by.
    pub(crate) fn path(&self) -> &[u8] {
        &self.0.path
    }

    pub(super) fn failed(&self, what: Text, name: &[u8], errno: Errno) -> Box<Error> {
        failed(what, &self.path_of(name), errno)
    }

    /// An error of `kind` about `name` in this directory: `what` failed because of `why`.
    #[inline(never)]
    pub(crate) fn error(&self, kind: Kind, what: Text, name: &[u8], why: Text) -> Box<Error> {
        Error::new(kind, what, &self.path_of(name), why)
    }

    /// The same, because of what is not in the table of texts.
    #[inline(never)]
    pub(crate) fn error_of(&self, kind: Kind, what: Text, name: &[u8], why: &str) -> Box<Error> {
        Error::because(kind, what, &self.path_of(name), why)
    }

    /// The names in this directory, without `.` and `..`, in byte order.
    pub(crate) fn names(&self) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        self.add_names(&mut names)
            .map_err(|errno| failed(text!("list directory"), self.path(), errno))?;
        names.sort_unstable();
        Ok(names)
    }

    fn add_names(&self, names: &mut Vec<Name>) -> rustix::io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        fs::seek(self.fd(), fs::SeekFrom::Start(0))?;
        let mut entries = RawDir::new(self.fd(), &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let mut own = Name::new();
                let reserved = names.try_reserve(1).and_then(|()| own.try_reserve(name.len()));
                reserved.map_err(|_| Errno::NOMEM)?;
                own.extend_from_slice(name);
                names.push(own);
            }
        }
        Ok(())
    }

    /// What `name` is, itself and not what it may point to; `None` if it is not there.
    pub(crate) fn look(&self, name: &[u8]) -> Result<Option<Meta>> {
        if !name.contains(&b'/') {
            return self.look_as(name, AtFlags::SYMLINK_NOFOLLOW);
        }
        match self.open_at(text!("look at"), name, OFlags::PATH | OFlags::NOFOLLOW, 0) {
            Ok(fd) => self.opened(fd, name).meta().map(Some),
            Err(error) => match error.errno().map(Errno::from_raw_os_error) {
                // What is on the way is no directory, so that nothing is beneath it.
                Some(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The same of what a link of this name leads to; `None` if that is not there.
    pub(crate) fn look_followed(&self, name: &[u8]) -> Result<Option<Meta>> {
        self.look_as(name, AtFlags::empty())
    }

    /// Whether `name` leads somewhere: a link may lead nowhere.
    pub(crate) fn leads(&self, name: &[u8]) -> Result<bool> {
        Ok(self.look_followed(name)?.is_some())
    }

    fn look_as(&self, name: &[u8], flags: AtFlags) -> Result<Option<Meta>> {
        look_at(self.fd(), name, flags).map_err(|errno| self.failed(text!("look at"), name, errno))
    }

    /// The kind of `name`; `None` if it is not there.
    pub(crate) fn kind(&self, name: &[u8]) -> Result<Option<FileKind>> {
        Ok(self.look(name)?.map(|meta| meta.kind))
    }

    /// What this directory is now.
    pub(crate) fn meta(&self) -> Result<Meta> {
        self.0.meta()
    }

    /// The whole of the regular file `name`, if it has at most `limit` bytes; never blocks.
    ///
    /// # Errors
    /// [`Kind::Unusable`] for anything but a regular file, or one over the limit;
    /// [`Kind::Missing`] if it is not there.
    pub(crate) fn read(&self, name: &[u8], limit: usize) -> Result<Vec<u8>> {
        self.content(name, OPEN_FILE, limit)
    }

    /// The same, and what the file is.
    pub(crate) fn read_with_meta(&self, name: &[u8], limit: usize) -> Result<(Vec<u8>, Meta)> {
        self.read_as(name, OPEN_FILE, limit)
    }

    /// The same; symbolic links are followed.
    pub(crate) fn read_followed(&self, name: &[u8], limit: usize) -> Result<Vec<u8>> {
        self.content(name, OPEN_FILE.difference(OFlags::NOFOLLOW), limit)
    }

    #[inline(never)]
    fn content(&self, name: &[u8], flags: OFlags, limit: usize) -> Result<Vec<u8>> {
        Ok(self.read_as(name, flags, limit)?.0)
    }

    fn read_as(&self, name: &[u8], flags: OFlags, limit: usize) -> Result<(Vec<u8>, Meta)> {
        const WHAT: Text = text!("read");
        let fd = self.open_at(WHAT, name, OFlags::RDONLY | flags, 0)?;
        let meta = self.meta_of(&fd, WHAT, name, FileKind::Regular)?;
        let size = usize::try_from(meta.size).unwrap_or(usize::MAX);
        // Files of /proc say 0, and those that grow while they are read say too little.
        let mut room = if size == 0 { UNKNOWN_SIZE } else { size.min(limit) + 1 };
        let mut content = Vec::new();
        while size <= limit && content.len() <= limit {
            if content.len() == content.capacity() {
                let reserved = content.try_reserve(room);
                reserved.map_err(|_| self.failed(WHAT, name, Errno::NOMEM))?;
                room = 4096;
            }
            let room = rustix::buffer::spare_capacity(&mut content);
            match rustix::io::read(&fd, room) {
                Ok(0) => return Ok((content, meta)),
                Ok(_) if content.len() == size => return Ok((content, meta)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed(WHAT, name, errno)),
            }
        }
        let why = format!("is larger than {limit} bytes");
        Err(self.error_of(Kind::Unusable, WHAT, name, &why))
    }

    /// Opens the regular file `name`; never blocks. Anything else is [`Kind::Unusable`].
    pub(crate) fn file(&self, name: &[u8]) -> Result<File> {
        self.file_as(name, OFlags::RDONLY)
    }

    /// The same, by who may write to it.
    pub(crate) fn file_to_write(&self, name: &[u8]) -> Result<File> {
        self.file_as(name, OFlags::RDWR)
    }

    fn file_as(&self, name: &[u8], access: OFlags) -> Result<File> {
        Ok(File(self.open_as(name, access, FileKind::Regular)?))
    }

    /// Opens `name`, which is to be of `kind`, without blocking.
    #[inline(never)]
    fn open_as(&self, name: &[u8], access: OFlags, kind: FileKind) -> Result<Box<Opened>> {
        const WHAT: Text = text!("open");
        let fd = self.open_at(WHAT, name, access | OPEN_FILE, 0)?;
        self.meta_of(&fd, WHAT, name, kind)?;
        Ok(self.opened(fd, name))
    }

    #[inline(never)]
    fn opened(&self, fd: OwnedFd, name: &[u8]) -> Box<Opened> {
        Box::new(Opened { fd, path: self.path_of(name) })
    }

    /// What is open as `fd`; [`Kind::Unusable`] if it is not of `kind`.
    pub(super) fn meta_of(
        &self,
        fd: &OwnedFd,
        what: Text,
        name: &[u8],
        kind: FileKind,
    ) -> Result<Meta> {
        let stat = fs::fstat(fd).map_err(|errno| self.failed(what, name, errno))?;
        let meta = Meta::from(&stat);
        if meta.kind == kind {
            return Ok(meta);
        }
        let wanted = if kind == FileKind::Fifo { "FIFO" } else { "regular file" };
        let why = [meta.kind.phrase().read(), ", not a ", wanted].concat();
        Err(self.error_of(Kind::Unusable, what, name, &why))
    }

    /// Opens the FIFO `name` for writing, without blocking.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] without a reader, [`Kind::Unusable`] if it is no FIFO.
    pub(crate) fn open_fifo_writer(&self, name: &[u8]) -> Result<FifoWriter> {
        Ok(FifoWriter(self.open_as(name, OFlags::WRONLY, FileKind::Fifo)?))
    }

    /// Whether somebody has the FIFO `name` open for reading; nobody has what is no FIFO.
    pub(crate) fn fifo_has_reader(&self, name: &[u8]) -> Result<bool> {
        use Kind::{Missing, Unsupervised, Unusable};
        match self.open_fifo_writer(name) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind, Missing | Unsupervised | Unusable) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens both ends of the FIFO `name`, without blocking.
    pub(crate) fn open_fifo(&self, name: &[u8]) -> Result<Fifo> {
        Ok(Fifo { fd: self.open_as(name, OFlags::RDWR, FileKind::Fifo)?.fd })
    }

    /// Where the symbolic link `name` leads, as it is written.
    // Inlined, its buffer would make the frame of who calls it large.
    #[inline(never)]
    pub(crate) fn link(&self, name: &[u8]) -> Result<Vec<u8>> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        match fs::readlinkat_raw(self.fd(), &*c(name), &mut buffer) {
            Ok((target, _)) => Ok(target.to_vec()),
            Err(errno) => Err(self.failed(text!("read link"), name, errno)),
        }
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
        let Some(slash) = slash else { return fs::openat(at, &*c(name), flags, mode) };
        way = Some(fs::openat(at, &*c(&name[..slash]), OPEN_WAY, Mode::empty())?);
        name = &name[slash + 1..];
    }
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct File(pub(super) Box<Opened>);

impl File {
    /// What it is now.
    pub(crate) fn meta(&self) -> Result<Meta> {
        self.0.meta()
    }

    /// Reads from the byte `at` on until `buffer` is full or the file ends; how many bytes.
    pub(crate) fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize> {
        let mut length = 0;
        while length < buffer.len() {
            match retry(|| rustix::io::pread(&self.0.fd, &mut buffer[length..], at + length as u64))
            {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(errno) => return Err(failed(text!("read"), &self.0.path, errno)),
            }
        }
        Ok(length)
    }
}

impl Opened {
    fn meta(&self) -> Result<Meta> {
        let stat =
            fs::fstat(&self.fd).map_err(|errno| failed(text!("look at"), &self.path, errno))?;
        Ok(Meta::from(&stat))
    }
}

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
