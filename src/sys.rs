//! The only user of rustix: directory handles, small reads, FIFOs, identity, clock.
//!
//! Every file operation is relative to an open directory, takes one path
//! component or a path of our own making, and follows no symbolic link.
//! Only [`Dir::open`], for paths that the image's author chose, follows them.

use crate::error::{Error, Kind, Result};
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::Errno;
use rustix::process::{self, Resource, Rlimit};
use rustix::thread;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tinyvec::TinyVec;

/// A file name: without heap up to 30 bytes.
pub type Name = TinyVec<[u8; 30]>;

/// User and group ids; they carry no unit and no validity of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user id.
    pub uid: u32,
    /// The primary group id.
    pub gid: u32,
    /// All supplementary group ids.
    pub groups: Vec<u32>,
}

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A FIFO.
    Fifo,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// A socket or a device.
    Other,
}

impl FileKind {
    /// The kind in words, as in "is a FIFO".
    pub const fn phrase(self) -> &'static str {
        match self {
            FileKind::Directory => "is a directory",
            FileKind::Regular => "is a regular file",
            FileKind::Fifo => "is a FIFO",
            FileKind::Symlink => "is a symbolic link",
            FileKind::Other => "is a socket or a device",
        }
    }
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> FileKind {
        match kind {
            FileType::Directory => FileKind::Directory,
            FileType::RegularFile => FileKind::Regular,
            FileType::Fifo => FileKind::Fifo,
            FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Other,
        }
    }
}

/// A directory entry's kind, permissions, owner and size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: FileKind,
    /// Its permission bits, setgid and the like included.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its size in bytes.
    pub size: u64,
}

/// An open directory and the path it was opened by, for messages.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: Vec<u8>,
}

/// A FIFO open for reading, and for writing too, so that it never ends.
#[derive(Debug)]
pub struct Fifo {
    fd: OwnedFd,
}

impl Fifo {
    /// Takes out what is in it.
    pub fn drain(&self) {
        let mut buffer = [0; 64];
        while matches!(rustix::io::read(&self.fd, &mut buffer), Ok(1..)) {}
    }
}

/// The writing end of a FIFO that somebody else reads.
#[derive(Debug)]
pub struct FifoWriter {
    fd: OwnedFd,
    path: Vec<u8>,
}

impl FifoWriter {
    /// Writes `bytes`.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if the reader has gone.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        write_all(&self.fd, bytes).map_err(|errno| failed("write to", &self.path, errno))
    }
}

/// What [`wait`] listens to, either or both: a FIFO that gets bytes, another that
/// loses its last reader.
pub type Heard<'a> = (Option<&'a Fifo>, Option<&'a FifoWriter>);

/// Waits until something happens to one of `all`, a signal comes, or `timeout` is over.
/// For each: whether there is something to read, and whether the reader has gone.
pub fn wait(all: &[Heard<'_>], timeout: Option<Duration>) -> Result<Vec<(bool, bool)>> {
    let mut fds = Vec::with_capacity(2 * all.len());
    for (fifo, writer) in all {
        fds.extend(fifo.map(|fifo| PollFd::new(&fifo.fd, PollFlags::IN)));
        // That its reader has gone is told unasked.
        fds.extend(writer.map(|writer| PollFd::new(&writer.fd, PollFlags::empty())));
    }
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs().cast_signed(),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(failed("wait for events on", b"event/", errno)),
    }
    let mut fds = fds.iter();
    let mut told = |there| there && fds.next().is_some_and(|fd| !fd.revents().is_empty());
    Ok(all.iter().map(|(fifo, writer)| (told(fifo.is_some()), told(writer.is_some()))).collect())
}

/// Lets this process open as many files as it ever may: it holds some for each gateway.
pub fn raise_descriptor_limit() {
    let limit = process::getrlimit(Resource::Nofile);
    // Where it cannot be raised, the open that is one too many says so.
    let _ = process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// An exclusive lock, released when dropped or when the holder dies.
#[derive(Debug)]
pub struct Lock {
    _fd: OwnedFd,
}

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const OPEN_FILE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// Directories nested deeper than anything of ours are not removed.
const REMOVE_DEPTH: u8 = 8;

impl Dir {
    /// Opens the directory at `path`, following symbolic links.
    pub fn open(path: &[u8]) -> Result<Dir> {
        let fd = fs::open(path, OPEN_DIR, Mode::empty())
            .map_err(|errno| failed("open directory", path, errno))?;
        Ok(Dir { fd, path: path.to_vec() })
    }

    /// Opens the directory `name` in this one; a symbolic link is an error.
    pub fn dir(&self, name: &[u8]) -> Result<Dir> {
        let opened = fs::openat(&self.fd, name, OPEN_DIR | OFlags::NOFOLLOW, Mode::empty());
        let fd = opened.map_err(|errno| match self.kind(name) {
            Ok(Some(FileKind::Symlink)) => self.failed("open directory", name, Errno::LOOP),
            _ => self.failed("open directory", name, errno),
        })?;
        Ok(Dir { fd, path: self.path_of(name) })
    }

    /// The path of `name` in this directory, for messages.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        [self.path.strip_suffix(b"/").unwrap_or(&self.path), b"/", name].concat()
    }

    /// The path this directory was opened by.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The names in this directory, without `.` and `..`, in byte order.
    pub fn names(&self) -> Result<Vec<Name>> {
        let failed = |errno| failed("list directory", &self.path, errno);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut names = Vec::new();
        fs::seek(&self.fd, fs::SeekFrom::Start(0)).map_err(failed)?;
        let mut entries = RawDir::new(&self.fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(Name::from(name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What `name` is, itself and not what it may point to; `None` if absent.
    pub fn look(&self, name: &[u8]) -> Result<Option<Meta>> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Meta {
                kind: FileType::from_raw_mode(stat.st_mode).into(),
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                size: u64::try_from(stat.st_size).unwrap_or(0),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("look at", name, errno)),
        }
    }

    /// The kind of `name`; `None` if absent.
    pub fn kind(&self, name: &[u8]) -> Result<Option<FileKind>> {
        Ok(self.look(name)?.map(|meta| meta.kind))
    }

    /// The whole of the regular file `name`, if it has at most `limit` bytes.
    ///
    /// Never blocks: anything but a regular file is [`Kind::Unusable`], as is
    /// a file over the limit. An absent one is [`Kind::Missing`].
    pub fn read(&self, name: &[u8], limit: usize) -> Result<Vec<u8>> {
        let fd = fs::openat(&self.fd, name, OFlags::RDONLY | OPEN_FILE, Mode::empty())
            .map_err(|errno| self.failed("read", name, errno))?;
        let stat = fs::fstat(&fd).map_err(|errno| self.failed("read", name, errno))?;
        let unusable = |why: String| Error::new(Kind::Unusable, "read", self.path_of(name), why);
        match FileKind::from(FileType::from_raw_mode(stat.st_mode)) {
            FileKind::Regular => {}
            other => return Err(unusable(format!("{}, not a regular file", other.phrase()))),
        }
        let too_large = || unusable(format!("is larger than {limit} bytes"));
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(too_large());
        }
        // Files of /proc say 0, and those that grow while they are read say too little.
        let mut content = Vec::with_capacity(if size == 0 { 4096 } else { size + 1 });
        loop {
            if content.len() == content.capacity() {
                content.reserve(4096);
            }
            let room = rustix::buffer::spare_capacity(&mut content);
            match rustix::io::read(&fd, room) {
                Ok(0) => return Ok(content),
                Ok(_) if content.len() > limit => return Err(too_large()),
                Ok(_) if content.len() == size => return Ok(content),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed("read", name, errno)),
            }
        }
    }

    /// Makes the directory `name`. The process's umask applies; setgid does not survive it.
    pub fn make_dir(&self, name: &[u8], mode: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(mode);
        fs::mkdirat(&self.fd, name, mode)
            .map_err(|errno| self.failed("make directory", name, errno))?;
        if mode.contains(Mode::SGID) {
            fs::chmodat(&self.fd, name, mode, AtFlags::empty())
                .map_err(|errno| self.failed("set mode of", name, errno))?;
        }
        Ok(())
    }

    /// Makes the FIFO `name`.
    pub fn make_fifo(&self, name: &[u8], mode: u32) -> Result<()> {
        fs::mkfifoat(&self.fd, name, Mode::from_raw_mode(mode))
            .map_err(|errno| self.failed("make FIFO", name, errno))
    }

    /// Makes the file `name` with `content`; it must not exist.
    pub fn create(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.put("create", name, OFlags::CREATE | OFlags::EXCL, mode, content, false)
    }

    /// Makes or replaces the file `name`, so that a reader sees the old
    /// content or the new. With `durable`, it has reached the disk on return.
    pub fn replace(&self, name: &[u8], mode: u32, content: &[u8], durable: bool) -> Result<()> {
        let staged = [name, b".hermes-gw.tmp"].concat();
        self.remove(&staged)?;
        self.put("create", &staged, OFlags::CREATE | OFlags::EXCL, mode, content, durable)?;
        self.rename(&staged, name).inspect_err(|_| {
            let _ = self.remove(&staged);
        })
    }

    /// Appends to the regular file `name`, making it if need be.
    pub fn append(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.put("append to", name, OFlags::CREATE | OFlags::APPEND, mode, content, false)
    }

    /// Opens the FIFO `name` for writing, without blocking.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] without a reader, [`Kind::Unusable`] if it is no FIFO.
    pub fn open_fifo_writer(&self, name: &[u8]) -> Result<FifoWriter> {
        let fd = self.open_fifo_as(name, OFlags::WRONLY)?;
        Ok(FifoWriter { fd, path: self.path_of(name) })
    }

    /// Whether somebody has the FIFO `name` open for reading; nobody has what is no FIFO.
    pub fn fifo_has_reader(&self, name: &[u8]) -> Result<bool> {
        use Kind::{Missing, Unsupervised, Unusable};
        match self.open_fifo_as(name, OFlags::WRONLY) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind, Missing | Unsupervised | Unusable) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens both ends of the FIFO `name`, without blocking.
    pub fn open_fifo(&self, name: &[u8]) -> Result<Fifo> {
        Ok(Fifo { fd: self.open_fifo_as(name, OFlags::RDWR)? })
    }

    /// Renames `from` to `to`, both in this directory.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<()> {
        fs::renameat(&self.fd, from, &self.fd, to)
            .map_err(|errno| self.failed("rename", from, errno))
    }

    /// Renames `from` to `to`, unless there is a `to` already ([`Kind::Exists`]).
    pub fn rename_new(&self, from: &[u8], to: &[u8]) -> Result<()> {
        match fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(self.failed("rename", from, Errno::EXIST)),
            // Not every file system knows the flag.
            Err(_) => self.rename(from, to),
        }
    }

    /// Removes the file `name`; whether it was there.
    pub fn remove(&self, name: &[u8]) -> Result<bool> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.failed("remove", name, errno)),
        }
    }

    /// Removes `name` and all below it, at most eight levels deep.
    pub fn remove_tree(&self, name: &[u8]) -> Result<()> {
        self.remove_tree_within(name, REMOVE_DEPTH)
    }

    fn remove_tree_within(&self, name: &[u8], depth: u8) -> Result<()> {
        if self.kind(name)? != Some(FileKind::Directory) {
            return self.remove(name).map(drop);
        }
        let Some(depth) = depth.checked_sub(1) else {
            let why = "is nested too deep to be a leftover of ours";
            return Err(Error::new(Kind::Unusable, "remove", self.path_of(name), why));
        };
        let dir = self.dir(name)?;
        dir.names()?.iter().try_for_each(|entry| dir.remove_tree_within(entry, depth))?;
        fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
            .map_err(|errno| self.failed("remove", name, errno))
    }

    /// Takes the exclusive lock on the file `name`; `waiting` is called if somebody holds it.
    pub fn lock(&self, name: &[u8], waiting: impl FnOnce()) -> Result<Lock> {
        let flags = OFlags::RDWR | OFlags::CREATE | OPEN_FILE;
        let fd = fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| self.failed("lock", name, errno))?;
        if fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            waiting();
        }
        // Who holds the lock already gets it again.
        lock(&fd).map_err(|errno| self.failed("lock", name, errno))?;
        Ok(Lock { _fd: fd })
    }

    /// Takes the exclusive lock on this directory itself, until it is closed.
    pub fn lock_whole(&self) -> Result<()> {
        lock(&self.fd).map_err(|errno| failed("lock", &self.path, errno))
    }

    /// Gives this directory to `to`, and `mode` if given.
    pub fn give(&self, to: &Ids, mode: Option<u32>) -> Result<()> {
        let failed = |errno| failed("hand over", &self.path, errno);
        let (uid, gid) = ids(to);
        fs::fchown(&self.fd, Some(uid), Some(gid)).map_err(failed)?;
        match mode {
            Some(mode) => fs::fchmod(&self.fd, Mode::from_raw_mode(mode)).map_err(failed),
            None => Ok(()),
        }
    }

    /// Gives the FIFO `name` to `to`; [`Kind::Unusable`] if it is no FIFO.
    pub fn give_fifo(&self, name: &[u8], to: &Ids) -> Result<()> {
        let failed = |errno| self.failed("hand over", name, errno);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.fd, name, flags, Mode::empty()).map_err(failed)?;
        self.must_be_fifo(&fd, "hand over", name)?;
        let (uid, gid) = ids(to);
        fs::chownat(&fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(failed)
    }

    fn put(
        &self,
        what: &'static str,
        name: &[u8],
        flags: OFlags,
        mode: u32,
        content: &[u8],
        durable: bool,
    ) -> Result<()> {
        let failed = |errno| self.failed(what, name, errno);
        let flags = OFlags::WRONLY | OPEN_FILE | flags;
        let fd = fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode)).map_err(failed)?;
        write_all(&fd, content).map_err(failed)?;
        if durable {
            fs::fsync(&fd).map_err(failed)?;
        }
        Ok(())
    }

    fn open_fifo_as(&self, name: &[u8], access: OFlags) -> Result<OwnedFd> {
        let fd = fs::openat(&self.fd, name, access | OPEN_FILE, Mode::empty())
            .map_err(|errno| self.failed("open", name, errno))?;
        self.must_be_fifo(&fd, "open", name)?;
        Ok(fd)
    }

    fn must_be_fifo(&self, fd: &OwnedFd, what: &'static str, name: &[u8]) -> Result<()> {
        let stat = fs::fstat(fd).map_err(|errno| self.failed(what, name, errno))?;
        match FileKind::from(FileType::from_raw_mode(stat.st_mode)) {
            FileKind::Fifo => Ok(()),
            other => {
                let why = format!("{}, not a FIFO", other.phrase());
                Err(Error::new(Kind::Unusable, what, self.path_of(name), why))
            }
        }
    }

    fn failed(&self, what: &'static str, name: &[u8], errno: Errno) -> Box<Error> {
        failed(what, &self.path_of(name), errno)
    }
}

fn lock(fd: &OwnedFd) -> rustix::io::Result<()> {
    loop {
        match fs::flock(fd, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn failed(what: &'static str, path: &[u8], errno: Errno) -> Box<Error> {
    let kind = match errno {
        Errno::NOENT => Kind::Missing,
        Errno::EXIST => Kind::Exists,
        // No reader, or one that left before the write.
        Errno::NXIO | Errno::PIPE => Kind::Unsupervised,
        Errno::ACCESS | Errno::PERM => Kind::Denied,
        _ => Kind::System,
    };
    let text = match errno {
        Errno::LOOP => "is a symbolic link, which is not followed".into(),
        errno => reason(&errno.into()),
    };
    Error::new(kind, what, path, text)
}

/// An error of std's own writing to `path`.
pub fn io_error(what: &'static str, path: &[u8], error: &std::io::Error) -> Box<Error> {
    Error::new(Kind::System, what, path, reason(error))
}

/// The reason, without the " (os error N)" that std appends and helps nobody here.
fn reason(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.bytes().rposition(|b| b == b'(').map_or(text.len(), |at| at - 1));
    text
}

fn ids(of: &Ids) -> (process::Uid, process::Gid) {
    (process::Uid::from_raw(of.uid), process::Gid::from_raw(of.gid))
}

/// Whether this process is root, by its effective user id.
pub fn is_root() -> bool {
    process::geteuid().is_root()
}

/// Makes this process `to` for good: real, effective and saved ids, and groups.
///
/// The process has one thread, so what Linux sets for a thread is set for it.
pub fn become_user(to: &Ids) -> Result<()> {
    let failed = |what| move |errno| failed(what, to.uid.to_string().as_bytes(), errno);
    let groups: Vec<_> = to.groups.iter().map(|&gid| process::Gid::from_raw(gid)).collect();
    let (uid, gid) = ids(to);
    thread::set_thread_groups(&groups).map_err(failed("set groups for user"))?;
    thread::set_thread_res_gid(gid, gid, gid).map_err(failed("set group ids for user"))?;
    thread::set_thread_res_uid(uid, uid, uid).map_err(failed("set user ids for user"))
}

/// From here on, files get exactly the modes they are made with.
pub fn clear_umask() {
    process::umask(Mode::empty());
}

/// Seconds since 1970-01-01 UTC; 0 before that.
pub fn now() -> i64 {
    // Not rustix's clock: its search of the vDSO alone costs 2 kB.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
