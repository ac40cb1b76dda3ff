//! Open directories, and what is read in them.
//!
//! Every operation is relative to an open directory, takes one path component or a path of our own
//! making, and follows no symbolic link, on the way neither. Only [`Dir::open`], for paths that
//! the image's author chose, follows them, and [`Dir::read_followed`], [`Dir::dir_followed`] and
//! [`Dir::look_followed`], for what may well be a link and is looked at as nobody but the
//! gateways' user.

use super::meta::{FileKind, Meta};
use super::opened::{OPEN_FILE, Opened, READING, look_at};
use super::poll::{Fifo, FifoWriter};
use super::{Name, c, failed, if_there, retry};
use crate::error::{Error, Kind, Result};
use crate::text::Shown;
use crate::text::messages::{Text, text};
use rustix::fs::{self, AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// How many bytes a name that is listed needs, at most, with all that is done with it; and with how
/// many names that is no matter.
const FOR_EACH: usize = 512;
const FEW: usize = 256;
/// What is done, in words, for errors.
const OPENING: Text = text!("open directory");

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(pub(super) Box<Opened>);

impl Dir {
    /// Opens the directory at `path`, following symbolic links.
    pub(crate) fn open(path: &[u8]) -> Result<Dir> {
        Ok(Dir(Opened::new(fs::CWD, OPENING, path, path.to_vec(), OPEN_DIR, 0)?))
    }

    /// Opens the directory at `path`, whose last part is no symbolic link.
    pub(crate) fn open_itself(path: &[u8]) -> Result<Dir> {
        let opened = fs::openat(fs::CWD, &*c(path), OPEN_DIR | OFlags::NOFOLLOW, Mode::empty());
        let fd = opened.map_err(|errno| failed(OPENING, path, errno))?;
        Ok(Dir(Opened::of(fd, path.to_vec())))
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
        let target = self.link(name);
        let target = Shown(target.as_deref().unwrap_or_default()).text();
        error.hint_of(&["a symbolic link to ", &target].concat())
    }

    fn dir_as(&self, name: &[u8], flags: OFlags) -> Result<Dir> {
        Ok(Dir(self.open_at(OPENING, name, flags, 0)?))
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
    ) -> Result<Box<Opened>> {
        Opened::new(self.fd(), what, name, self.path_of(name), flags, mode)
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

    /// What `what` on `name` comes to, which was `done`.
    #[inline(never)]
    pub(super) fn done(&self, what: Text, name: &[u8], done: rustix::io::Result<()>) -> Result<()> {
        done.map_err(|errno| self.failed(what, name, errno))
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
        if self.0.listed.replace(true) {
            fs::seek(self.fd(), fs::SeekFrom::Start(0))?;
        }
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
        // Asked for now, and given back: where it lacks later, the process dies without a word.
        let wanted = if names.len() < FEW { 0 } else { names.len() * FOR_EACH };
        black_box(Name::new()).try_reserve(wanted).map_err(|_| Errno::NOMEM)
    }

    /// What `name` is, itself and not what it may point to; `None` if it is not there.
    pub(crate) fn look(&self, name: &[u8]) -> Result<Option<Meta>> {
        if !name.contains(&b'/') {
            return self.look_as(name, AtFlags::SYMLINK_NOFOLLOW);
        }
        match self.open_at(text!("look at"), name, OFlags::PATH | OFlags::NOFOLLOW, 0) {
            Ok(opened) => opened.meta().map(Some),
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
        self.read_as(name, OPEN_FILE, limit)
    }

    /// The same as [`Dir::read`]; nothing if it is not there.
    #[inline(never)]
    pub(crate) fn read_if_there(&self, name: &[u8], limit: usize) -> Result<Vec<u8>> {
        match self.read(name, limit) {
            Err(error) if error.kind == Kind::Missing => Ok(Vec::new()),
            content => content,
        }
    }

    /// The same as [`Dir::read`], in fewer system calls where the file has less than 4096 bytes.
    pub(crate) fn read_at_once(&self, name: &[u8], limit: usize) -> Result<Vec<u8>> {
        self.open_at(READING, name, OFlags::RDONLY | OPEN_FILE, 0)?.read_at_once(limit)
    }

    /// The same as [`Dir::read`]; symbolic links are followed.
    pub(crate) fn read_followed(&self, name: &[u8], limit: usize) -> Result<Vec<u8>> {
        self.read_as(name, OPEN_FILE.difference(OFlags::NOFOLLOW), limit)
    }

    fn read_as(&self, name: &[u8], flags: OFlags, limit: usize) -> Result<Vec<u8>> {
        self.open_at(READING, name, OFlags::RDONLY | flags, 0)?.read(limit)
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
        let opened = self.open_at(WHAT, name, access | OPEN_FILE, 0)?;
        opened.meta_as(WHAT, kind)?;
        Ok(opened)
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
        Ok(Fifo(self.open_as(name, OFlags::RDWR, FileKind::Fifo)?))
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
