//! What the kernel tells of changes in directories: inotify(7).

use super::dir::{Dir, File};
use super::opened::Opened;
use super::poll::Fifo;
use super::{c, failed};
use crate::error::{Error, Kind, Result};
use crate::text::messages::text;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// A watch descriptor. Of 64 bits, so that a result of it is returned in registers.
pub(crate) type Watch = i64;

/// What tells of changes in directories.
#[derive(Debug)]
pub(crate) struct Watches {
    fifo: Fifo,
}

impl Watches {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// [`Kind::Unusable`] if the user has too many of these already.
    pub(crate) fn new() -> Result<Watches> {
        let flags = CreateFlags::NONBLOCK.union(CreateFlags::CLOEXEC);
        let path = b"directories".to_vec();
        match inotify::init(flags) {
            Ok(fd) => Ok(Watches { fifo: Fifo(Opened::of(fd, path)) }),
            Err(errno) => Err(unwatched(&path, errno)),
        }
    }

    /// Also watches the directory `path` for names that are made, moved or removed; its watch
    /// descriptor.
    pub(crate) fn add(&self, path: &[u8]) -> Result<Watch> {
        let names = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE;
        self.add_as(path, path, names | WatchFlags::ONLYDIR)
    }

    /// Also watches `dir` for files that are new or grow.
    pub(crate) fn add_files_of(&self, dir: &Dir) -> Result<()> {
        let new = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO;
        self.add_opened(&dir.0, new).map(drop)
    }

    /// Also watches `dir` for files that are replaced as a whole; its watch descriptor.
    pub(crate) fn add_replaced_in(&self, dir: &Dir) -> Result<Watch> {
        self.add_opened(&dir.0, WatchFlags::MOVED_TO)
    }

    /// Also watches `file` for who closes it, and for its name to be taken from it.
    pub(crate) fn add_file(&self, file: &File) -> Result<()> {
        self.add_opened(&file.0, WatchFlags::CLOSE | WatchFlags::ATTRIB).map(drop)
    }

    /// By descriptor: what has its path by now may be something else.
    #[inline(never)]
    fn add_opened(&self, opened: &Opened, flags: WatchFlags) -> Result<Watch> {
        let path = format!("/proc/self/fd/{}", opened.fd.as_raw_fd());
        self.add_as(path.as_bytes(), &opened.path, flags)
    }

    fn add_as(&self, path: &[u8], shown: &[u8], flags: WatchFlags) -> Result<Watch> {
        match inotify::add_watch(&self.fifo.0.fd, &*c(path), flags) {
            Ok(descriptor) => Ok(descriptor.into()),
            Err(errno) => Err(unwatched(shown, errno)),
        }
    }

    /// What can be read while there is something to tell.
    pub(crate) fn fifo(&self) -> &Fifo {
        &self.fifo
    }

    /// The watch descriptors of the directories that something has happened in; -1 among them if
    /// events were lost.
    #[inline(never)]
    pub(crate) fn take(&self) -> Vec<Watch> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fifo.0.fd, &mut buffer);
        let mut descriptors = Vec::new();
        while let Ok(event) = reader.next() {
            descriptors.push(event.wd().into());
        }
        descriptors
    }
}

/// Nothing tells of changes of `path`; [`Kind::Unusable`] if that is for want of a watch.
fn unwatched(path: &[u8], errno: Errno) -> Box<Error> {
    let why = match errno {
        Errno::NOSPC => text!(
            "no inotify watch is left: on the host: sysctl fs.inotify.max_user_watches=524288"
        ),
        Errno::MFILE => text!(
            "no inotify watch is left: on the host: sysctl fs.inotify.max_user_instances=1024"
        ),
        errno => return failed(text!("watch"), path, errno),
    };
    Error::new(Kind::Unusable, text!("watch"), path, why)
}
