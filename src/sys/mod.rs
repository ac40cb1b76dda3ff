//! The only user of rustix: directory handles, small reads, FIFOs, identity, clock.
//!
//! Every file operation is relative to an open directory, takes one path
//! component or a path of our own making, and follows no symbolic link.
//! Only [`Dir::open`], for paths that the image's author chose, follows them.

pub mod user;
use crate::error::{Error, Kind, Result};
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::Errno;
use rustix::process::{self, Resource, Rlimit};
use rustix::thread;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A file name.
pub type Name = Vec<u8>;

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
    /// Its group.
    pub gid: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its inode, which a file that takes its place does not have at first.
    pub inode: u64,
    /// Whether it has no name left: it is open still, but deleted.
    pub deleted: bool,
    /// When its content was last changed, since 1970 UTC, by the clock's last tick.
    pub modified: Duration,
}

impl From<fs::Stat> for Meta {
    fn from(stat: fs::Stat) -> Meta {
        Meta {
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            deleted: stat.st_nlink == 0,
            modified: Duration::new(
                u64::try_from(stat.st_mtime).unwrap_or(0),
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
        }
    }
}

/// An open directory and the path it was opened by, for messages.
#[derive(Debug)]
pub struct Dir(Box<Opened>);

/// A descriptor and its path; boxed where it is moved about, for code size.
#[derive(Debug)]
struct Opened {
    fd: OwnedFd,
    path: Vec<u8>,
}

impl Opened {
    fn meta(&self) -> Result<Meta> {
        let stat = fs::fstat(&self.fd).map_err(|errno| failed("look at", &self.path, errno))?;
        Ok(stat.into())
    }
}

/// An open regular file.
#[derive(Debug)]
pub struct File(Box<Opened>);

impl File {
    /// What it is now.
    pub fn meta(&self) -> Result<Meta> {
        self.0.meta()
    }

    /// Reads from the byte `at` on until `buffer` is full or the file ends; how many bytes.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize> {
        let mut length = 0;
        while length < buffer.len() {
            match rustix::io::pread(&self.0.fd, &mut buffer[length..], at + length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("read", &self.0.path, errno)),
            }
        }
        Ok(length)
    }
}

/// A FIFO open for reading, and for writing too, so that it never ends.
#[derive(Debug)]
pub struct Fifo {
    fd: OwnedFd,
}

impl Fifo {
    /// Takes out what is in it.
    pub fn drain(&self) {
        // Large enough for what inotify tells of the longest name.
        let mut buffer = [0; 512];
        while matches!(rustix::io::read(&self.fd, &mut buffer), Ok(1..)) {}
    }
}

/// What tells of changes in directories.
#[derive(Debug)]
pub struct Watches {
    fifo: Fifo,
}

impl Watches {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// There are too many of these already, for one.
    pub fn new() -> Result<Watches> {
        let flags = CreateFlags::NONBLOCK.union(CreateFlags::CLOEXEC);
        let fd = inotify::init(flags).map_err(|errno| unwatched(b"directories", errno))?;
        Ok(Watches { fifo: Fifo { fd } })
    }

    /// Tells of files that get or lose their names in the directory `path`, too; its number.
    pub fn add(&self, path: &[u8]) -> Result<i32> {
        let names = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE;
        inotify::add_watch(&self.fifo.fd, &*c(path), names | WatchFlags::ONLYDIR)
            .map_err(|errno| unwatched(path, errno))
    }

    /// The same; `None` if there is no such directory, or this user may not look into it.
    pub fn add_if_seen(&self, path: &[u8]) -> Result<Option<i32>> {
        match self.add(path) {
            Err(error) if error.kind != Kind::Unusable => Ok(None),
            added => added.map(Some),
        }
    }

    /// Tells of files that are new or grow in `dir`, too.
    pub fn add_files_of(&self, dir: &Dir) -> Result<()> {
        // By descriptor: what has its path by now may be something else.
        let path = format!("/proc/self/fd/{}", dir.0.fd.as_raw_fd());
        let flags = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO;
        let added = inotify::add_watch(&self.fifo.fd, &*c(path.as_bytes()), flags);
        added.map(drop).map_err(|errno| unwatched(dir.path(), errno))
    }

    /// What can be read while there is something to tell.
    pub fn fifo(&self) -> &Fifo {
        &self.fifo
    }

    /// The numbers of the directories that something has happened in; one that is none's if
    /// some of it was lost.
    pub fn take(&self) -> Vec<i32> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fifo.fd, &mut buffer);
        let mut numbers = Vec::new();
        while let Ok(event) = reader.next() {
            numbers.push(event.wd());
        }
        numbers
    }
}

/// The writing end of a FIFO that somebody else reads.
#[derive(Debug)]
pub struct FifoWriter(Box<Opened>);

impl FifoWriter {
    /// Writes `bytes`.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if the reader has gone.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        write_all(&self.0.fd, bytes).map_err(|errno| failed("write to", &self.0.path, errno))
    }

    /// stdout, whatever it is; what is no pipe has no reader that can go.
    pub fn stdout() -> Option<FifoWriter> {
        let fd = rustix::stdio::stdout().try_clone_to_owned().ok()?;
        Some(FifoWriter(Box::new(Opened { fd, path: b"stdout".to_vec() })))
    }

    /// Whether its reader has taken out all that was written.
    pub fn is_drained(&self) -> bool {
        rustix::io::ioctl_fionread(&self.0.fd) == Ok(0)
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
        fds.extend(writer.map(|writer| PollFd::new(&writer.0.fd, PollFlags::empty())));
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

/// How many files a process here may have open, if it asks for it.
pub fn descriptor_limit() -> usize {
    let limit = process::getrlimit(Resource::Nofile).maximum;
    limit.and_then(|limit| limit.try_into().ok()).unwrap_or(usize::MAX)
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
        let fd = fs::open(&*c(path), OPEN_DIR, Mode::empty())
            .map_err(|errno| failed("open directory", path, errno))?;
        Ok(Dir(Box::new(Opened { fd, path: path.to_vec() })))
    }

    /// Opens the directory `name` in this one; a symbolic link is an error.
    pub fn dir(&self, name: &[u8]) -> Result<Dir> {
        const WHAT: &str = "open directory";
        let opened = self.open_at(WHAT, name, OPEN_DIR | OFlags::NOFOLLOW, 0);
        let fd = opened.map_err(|error| match self.kind(name) {
            Ok(Some(FileKind::Symlink)) => self.failed(WHAT, name, Errno::LOOP),
            _ => error,
        })?;
        Ok(Dir(Box::new(Opened { fd, path: self.path_of(name) })))
    }

    fn open_at(&self, what: &str, name: &[u8], flags: OFlags, mode: u32) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        fs::openat(&self.0.fd, &*c(name), flags, Mode::from_raw_mode(mode))
            .map_err(|errno| self.failed(what, name, errno))
    }

    /// The path of `name` in this directory, for messages.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        [self.0.path.strip_suffix(b"/").unwrap_or(&self.0.path), b"/", name].concat()
    }

    /// The path this directory was opened by.
    pub fn path(&self) -> &[u8] {
        &self.0.path
    }

    /// The names in this directory, without `.` and `..`, in byte order.
    pub fn names(&self) -> Result<Vec<Name>> {
        let failed = |errno| failed("list directory", &self.0.path, errno);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut names = Vec::new();
        fs::seek(&self.0.fd, fs::SeekFrom::Start(0)).map_err(failed)?;
        let mut entries = RawDir::new(&self.0.fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What `name` is, itself and not what it may point to; `None` if absent.
    pub fn look(&self, name: &[u8]) -> Result<Option<Meta>> {
        match fs::statat(&self.0.fd, &*c(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
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
        self.read_as(name, OPEN_FILE, limit)
    }

    fn read_as(&self, name: &[u8], flags: OFlags, limit: usize) -> Result<Vec<u8>> {
        const WHAT: &str = "read";
        let fd = self.open_at(WHAT, name, OFlags::RDONLY | flags, 0)?;
        let size = self.size_of(&fd, WHAT, name, FileKind::Regular)?;
        let too_large = || {
            let why = format!("is larger than {limit} bytes");
            Error::new(Kind::Unusable, WHAT, self.path_of(name), why)
        };
        if size > limit {
            return Err(too_large());
        }
        // Files of /proc say 0, and those that grow while they are read say too little. Most that
        // say 0 are empty, and musl takes pages for larger pieces, each time.
        let mut content = Vec::with_capacity(if size == 0 { 64 } else { size + 1 });
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
                Err(errno) => return Err(self.failed(WHAT, name, errno)),
            }
        }
    }

    /// Opens the regular file `name`; never blocks. Anything else is [`Kind::Unusable`].
    pub fn file(&self, name: &[u8]) -> Result<File> {
        const WHAT: &str = "open";
        let fd = self.open_at(WHAT, name, OFlags::RDONLY | OPEN_FILE, 0)?;
        self.size_of(&fd, WHAT, name, FileKind::Regular)?;
        Ok(File(Box::new(Opened { fd, path: self.path_of(name) })))
    }

    /// What this directory is now.
    pub fn meta(&self) -> Result<Meta> {
        self.0.meta()
    }

    /// The size of what is open as `fd`, in bytes; [`Kind::Unusable`] if it is not of `kind`.
    fn size_of(&self, fd: &OwnedFd, what: &str, name: &[u8], kind: FileKind) -> Result<usize> {
        let stat = fs::fstat(fd).map_err(|errno| self.failed(what, name, errno))?;
        let found = FileKind::from(FileType::from_raw_mode(stat.st_mode));
        if found == kind {
            return Ok(usize::try_from(stat.st_size).unwrap_or(usize::MAX));
        }
        let wanted = if kind == FileKind::Fifo { "FIFO" } else { "regular file" };
        let why = format!("{}, not a {wanted}", found.phrase());
        Err(Error::new(Kind::Unusable, what, self.path_of(name), why))
    }

    /// Makes the directory `name`. The process's umask applies; setgid does not survive it.
    pub fn make_dir(&self, name: &[u8], mode: u32) -> Result<()> {
        let (path, mode) = (c(name), Mode::from_raw_mode(mode));
        let made = fs::mkdirat(&self.0.fd, &*path, mode).and_then(|()| {
            let setgid = mode.contains(Mode::SGID);
            if setgid { fs::chmodat(&self.0.fd, &*path, mode, AtFlags::empty()) } else { Ok(()) }
        });
        made.map_err(|errno| self.failed("make directory", name, errno))
    }

    /// Makes the FIFO `name`.
    pub fn make_fifo(&self, name: &[u8], mode: u32) -> Result<()> {
        fs::mkfifoat(&self.0.fd, &*c(name), Mode::from_raw_mode(mode))
            .map_err(|errno| self.failed("make FIFO", name, errno))
    }

    /// Makes the file `name` with `content`; it must not exist.
    pub fn create(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.put("create", name, OFlags::CREATE | OFlags::EXCL, mode, content).map(drop)
    }

    /// Makes or replaces the file `name`, so that a reader sees the old
    /// content or the new.
    pub fn replace(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.replace_as(name, mode, None, content)
    }

    /// The same; it has reached the disk on return, and belongs to the group of `like`,
    /// where this user may give it.
    pub fn replace_like(&self, name: &[u8], like: Option<Meta>, content: &[u8]) -> Result<()> {
        let mode = like.map_or(0o644, |like| like.mode & 0o777);
        self.replace_as(name, mode, Some(like.map(|like| like.gid)), content)
    }

    /// `durable` with a group or none.
    fn replace_as(
        &self,
        name: &[u8],
        mode: u32,
        durable: Option<Option<u32>>,
        content: &[u8],
    ) -> Result<()> {
        let staged = [name, b".hermes-gw.tmp"].concat();
        self.remove(&staged)?;
        let flags = OFlags::CREATE | OFlags::EXCL;
        let put = self.put("create", &staged, flags, mode, content).and_then(|fd| {
            let Some(group) = durable else { return Ok(()) };
            let group = group.map(process::Gid::from_raw);
            let _ = fs::fchown(&fd, None, group);
            fs::fsync(&fd).map_err(|errno| self.failed("write", &staged, errno))
        });
        put.and_then(|()| self.rename(&staged, name)).inspect_err(|_| {
            let _ = self.remove(&staged);
        })
    }

    /// Appends to the regular file `name`, making it if need be.
    pub fn append(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.put("append to", name, OFlags::CREATE | OFlags::APPEND, mode, content).map(drop)
    }

    /// Opens the FIFO `name` for writing, without blocking.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] without a reader, [`Kind::Unusable`] if it is no FIFO.
    pub fn open_fifo_writer(&self, name: &[u8]) -> Result<FifoWriter> {
        let fd = self.open_fifo_as(name, OFlags::WRONLY)?;
        Ok(FifoWriter(Box::new(Opened { fd, path: self.path_of(name) })))
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
        fs::renameat(&self.0.fd, &*c(from), &self.0.fd, &*c(to))
            .map_err(|errno| self.failed("rename", from, errno))
    }

    /// Renames `from` to `to`, unless there is a `to` already ([`Kind::Exists`]).
    pub fn rename_new(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let (old, new) = (c(from), c(to));
        match fs::renameat_with(&self.0.fd, &*old, &self.0.fd, &*new, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(self.failed("rename", from, Errno::EXIST)),
            // Not every file system knows the flag.
            Err(_) => self.rename(from, to),
        }
    }

    /// Removes the file `name`; whether it was there.
    pub fn remove(&self, name: &[u8]) -> Result<bool> {
        match fs::unlinkat(&self.0.fd, &*c(name), AtFlags::empty()) {
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
        // Who had it open already may still put a file into it.
        for tries in (0..8).rev() {
            dir.names()?.iter().try_for_each(|entry| dir.remove_tree_within(entry, depth))?;
            match fs::unlinkat(&self.0.fd, &*c(name), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => break,
                Err(Errno::NOTEMPTY) if tries > 0 => {}
                Err(errno) => return Err(self.failed("remove", name, errno)),
            }
        }
        Ok(())
    }

    /// Takes the exclusive lock on the file `name`; `waiting` is called if somebody holds it.
    pub fn lock(&self, name: &[u8], waiting: impl FnOnce()) -> Result<Lock> {
        let fd = self.open_at("lock", name, OFlags::RDWR | OFlags::CREATE | OPEN_FILE, 0o600)?;
        if fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            waiting();
        }
        // Who holds the lock already gets it again.
        lock(&fd).map_err(|errno| self.failed("lock", name, errno))?;
        Ok(Lock { _fd: fd })
    }

    /// Whether somebody holds the lock on the file `name`, as far as this user may know.
    pub fn is_locked(&self, name: &[u8]) -> bool {
        let fd = self.open_at("lock", name, OFlags::RDONLY | OPEN_FILE, 0);
        fd.is_ok_and(|fd| {
            fs::flock(&fd, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    /// Takes the exclusive lock on this directory itself, until it is closed; whoever may
    /// open it can hold it, so after a second this is an error.
    pub fn lock_whole(&self) -> Result<()> {
        let mut tries = 200;
        loop {
            match fs::flock(&self.0.fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) if tries > 0 => tries -= 1,
                Err(errno) => return Err(failed("lock", &self.0.path, errno)),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where the symbolic link `name` leads, as it is written.
    pub fn link(&self, name: &[u8]) -> Result<Vec<u8>> {
        let target = fs::readlinkat(&self.0.fd, &*c(name), Vec::new());
        target.map(CString::into_bytes).map_err(|errno| self.failed("read link", name, errno))
    }

    /// What this user can still write to the file system of this directory: bytes, and files,
    /// if that is bounded.
    pub fn room(&self) -> Result<(u64, Option<u64>)> {
        let stat =
            fs::fstatvfs(&self.0.fd).map_err(|errno| failed("look at", &self.0.path, errno))?;
        let files = (stat.f_files > 0).then_some(stat.f_favail);
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), files))
    }

    /// Whether `name` leads somewhere: a link may lead nowhere.
    pub fn leads(&self, name: &[u8]) -> bool {
        fs::statat(&self.0.fd, &*c(name), AtFlags::empty()).is_ok()
    }

    /// Gives this directory to `to`, and `mode` if given.
    pub fn give(&self, to: &Ids, mode: Option<u32>) -> Result<()> {
        let failed = |errno| failed("hand over", &self.0.path, errno);
        let (uid, gid) = ids(to);
        fs::fchown(&self.0.fd, Some(uid), Some(gid)).map_err(failed)?;
        match mode {
            Some(mode) => fs::fchmod(&self.0.fd, Mode::from_raw_mode(mode)).map_err(failed),
            None => Ok(()),
        }
    }

    /// Gives the FIFO `name` to `to`; [`Kind::Unusable`] if it is no FIFO.
    pub fn give_fifo(&self, name: &[u8], to: &Ids) -> Result<()> {
        let failed = |errno| self.failed("hand over", name, errno);
        let fd = self.open_at("hand over", name, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        self.size_of(&fd, "hand over", name, FileKind::Fifo)?;
        let (uid, gid) = ids(to);
        fs::chownat(&fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(failed)
    }

    fn put(
        &self,
        what: &str,
        name: &[u8],
        flags: OFlags,
        mode: u32,
        content: &[u8],
    ) -> Result<OwnedFd> {
        let fd = self.open_at(what, name, OFlags::WRONLY | OPEN_FILE | flags, mode)?;
        write_all(&fd, content).map_err(|errno| self.failed(what, name, errno))?;
        Ok(fd)
    }

    fn open_fifo_as(&self, name: &[u8], access: OFlags) -> Result<OwnedFd> {
        let fd = self.open_at("open", name, access | OPEN_FILE, 0)?;
        self.size_of(&fd, "open", name, FileKind::Fifo)?;
        Ok(fd)
    }

    fn failed(&self, what: &str, name: &[u8], errno: Errno) -> Box<Error> {
        failed(what, &self.path_of(name), errno)
    }
}

/// The whole of the regular file at the absolute `path`, which the image's author chose:
/// symbolic links are followed. Else it is [`Dir::read`].
pub fn read_followed(path: &[u8], limit: usize) -> Result<Vec<u8>> {
    let flags = OPEN_FILE.difference(OFlags::NOFOLLOW);
    Dir::open(b"/")?.read_as(path.strip_prefix(b"/").unwrap_or(path), flags, limit)
}

/// The path for the kernel. One with a NUL in it, which comes from nowhere, names nothing.
fn c(path: &[u8]) -> CString {
    CString::new(path).unwrap_or_default()
}

fn lock(fd: &OwnedFd) -> rustix::io::Result<()> {
    loop {
        match fs::flock(fd, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd.as_fd(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[inline(never)]
fn failed(what: &str, path: &[u8], errno: Errno) -> Box<Error> {
    let kind = match errno {
        Errno::NOENT => Kind::Missing,
        Errno::EXIST => Kind::Exists,
        // No reader, or one that left before the write.
        Errno::NXIO | Errno::PIPE => Kind::Unsupervised,
        Errno::ACCESS | Errno::PERM => Kind::Denied,
        _ => Kind::System,
    };
    Error::new(kind, what, path, reason(errno))
}

/// Nothing tells of changes of `path`; [`Kind::Unusable`] if that is for want of a watch.
fn unwatched(path: &[u8], errno: Errno) -> Box<Error> {
    let bound = match errno {
        Errno::NOSPC => "watches=524288",
        Errno::MFILE => "instances=1024",
        errno => return failed("watch", path, errno),
    };
    let why = format!("no inotify watch is left: on the host: sysctl fs.inotify.max_user_{bound}");
    Error::new(Kind::Unusable, "watch", path, why)
}

/// The reasons that there are for files, in the words of strerror(3), which with the
/// rest of its texts would cost 5 kB.
const REASONS: &str = "
1 Operation not permitted
2 No such file or directory
4 Interrupted system call
5 Input/output error
6 No such device or address
9 Bad file descriptor
11 Resource temporarily unavailable
12 Cannot allocate memory
13 Permission denied
16 Device or resource busy
17 File exists
18 Invalid cross-device link
20 Not a directory
21 Is a directory
22 Invalid argument
23 Too many open files in system
24 Too many open files
27 File too large
28 No space left on device
30 Read-only file system
31 Too many links
32 Broken pipe
36 File name too long
38 Function not implemented
39 Directory not empty
40 is a symbolic link, which is not followed
75 Value too large for defined data type
95 Operation not supported
116 Stale file handle
122 Disk quota exceeded
";

fn reason(errno: Errno) -> String {
    let number = errno.raw_os_error().to_string();
    let known = REASONS
        .split('\n')
        .find_map(|line| line.strip_prefix(&*number).and_then(|text| text.strip_prefix(' ')));
    known.map_or_else(|| format!("error {number}, see errno(3)"), str::to_string)
}

fn ids(of: &Ids) -> (process::Uid, process::Gid) {
    (process::Uid::from_raw(of.uid), process::Gid::from_raw(of.gid))
}

/// Writes `bytes` to stdout; a reader that has gone is no error.
pub fn print(bytes: &[u8]) -> Result<()> {
    print_while_heard(bytes).map(drop)
}

/// The same; whether there is a reader.
pub fn print_while_heard(bytes: &[u8]) -> Result<bool> {
    match write_all(rustix::stdio::stdout(), bytes) {
        Ok(()) => Ok(true),
        Err(Errno::PIPE) => Ok(false),
        Err(errno) => Err(failed("print", b"stdout", errno)),
    }
}

/// Writes `line`, of 4096 bytes at most, to stdout, unless nobody takes it.
pub fn print_if_heard(line: &[u8]) {
    write_if_heard(rustix::stdio::stdout(), line);
}

/// Who reads what we write may have stopped; a pipe that can be written to at all takes
/// 4096 bytes.
fn write_if_heard(to: BorrowedFd<'_>, bytes: &[u8]) {
    let mut fds = [PollFd::new(&to, PollFlags::OUT)];
    if event::poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) == Ok(1) {
        let _ = write_all(to, bytes);
    }
}

/// Writes `bytes` to stderr, for what that is worth.
pub fn print_error(bytes: &[u8]) {
    write_if_heard(rustix::stdio::stderr(), bytes);
}

/// The effective user id of this process.
pub fn user_id() -> u32 {
    process::geteuid().as_raw()
}

/// Whether this process is root, by its effective user id.
pub fn is_root() -> bool {
    user_id() == 0
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
    time().as_secs().cast_signed()
}

/// The time since 1970-01-01 UTC; none before that.
pub fn time() -> Duration {
    // Not rustix's clock: its search of the vDSO alone costs 2 kB.
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
