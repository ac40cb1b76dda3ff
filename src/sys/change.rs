//! What is made, changed and removed in directories.

use super::dir::Dir;
use super::identity::Ids;
use super::meta::{FileKind, Meta};
use super::opened::{OPEN_FILE, Opened};
use super::{c, failed, not_permitted, poll, write_all};
use crate::error::{Kind, Result};
use crate::model::capability::Capability;
use crate::text::messages::{Text, text};
use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::process::Gid;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Directories nested deeper than anything of ours are not removed.
const REMOVE_DEPTH: u8 = 8;
/// How often it is tried to replace a file that another replaces at the same time, and how long
/// that one gets in between.
const REPLACE_TRIES: u8 = 10;
const REPLACE_PAUSE: Duration = Duration::from_millis(2);
/// What is made in a directory to see whether that works: nobody minds a name with a dot.
const TRIAL: &[u8] = b"/.hermes-gw.trial";
const HAND_OVER: Text = text!("hand over");

impl Dir {
    /// Makes the directory `name`. The process's umask applies, but not to setgid.
    pub(crate) fn make_dir(&self, name: &[u8], mode: u32) -> Result<()> {
        let (path, mode) = (c(name), Mode::from_raw_mode(mode));
        let made = fs::mkdirat(self.fd(), &*path, mode).and_then(|()| {
            // mkdir(2) does not know it.
            let setgid = mode.contains(Mode::SGID);
            if setgid { fs::chmodat(self.fd(), &*path, mode, AtFlags::empty()) } else { Ok(()) }
        });
        self.done(text!("make directory"), name, made)
    }

    /// Gives `name`, which is no link, the mode `mode`.
    pub(crate) fn set_mode(&self, name: &[u8], mode: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(mode);
        let set = fs::chmodat(self.fd(), &*c(name), mode, AtFlags::empty());
        self.done(text!("set mode of"), name, set)
    }

    /// Makes the FIFO `name`.
    pub(crate) fn make_fifo(&self, name: &[u8], mode: u32) -> Result<()> {
        let made = fs::mkfifoat(self.fd(), &*c(name), Mode::from_raw_mode(mode));
        self.done(text!("make FIFO"), name, made)
    }

    /// Makes the file `name` with `content`; it must not exist.
    pub(crate) fn create(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.put(text!("create"), name, OFlags::CREATE | OFlags::EXCL, mode, content).map(drop)
    }

    /// Makes or replaces the file `name`, so that a reader sees the old content or the new.
    pub(crate) fn replace(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.replace_by(name, mode, content, &|_| Ok(()))
    }

    /// The same; it has reached the disk on return, and belongs to the group of `like`, where
    /// this user may give it.
    pub(crate) fn replace_like(
        &self,
        name: &[u8],
        like: Option<Meta>,
        content: &[u8],
    ) -> Result<()> {
        let mode = like.map_or(0o644, |like| like.mode & 0o777);
        self.replace_by(name, mode, content, &|fd| {
            // A group that is not this user's cannot be kept, and the content counts more.
            let _ = fs::fchown(fd, None, like.map(|like| Gid::from_raw(like.gid)));
            fs::fsync(fd)
        })
    }

    /// Replaces `name`; `finish` is done to the new file before it gets its name.
    fn replace_by(
        &self,
        name: &[u8],
        mode: u32,
        content: &[u8],
        finish: &dyn Fn(&OwnedFd) -> rustix::io::Result<()>,
    ) -> Result<()> {
        let staged = [name, b".hermes-gw.tmp"].concat();
        let mut tries = REPLACE_TRIES;
        loop {
            let flags = OFlags::CREATE | OFlags::EXCL;
            let put = self.put(text!("create"), &staged, flags, mode, content);
            let put = put.and_then(|file| self.done(text!("write"), &staged, finish(&file.fd)));
            let Err(error) = put.and_then(|()| self.rename(&staged, name)) else { return Ok(()) };
            tries -= 1;
            match error.kind {
                // Another replaces it at this moment, it seems.
                Kind::Exists if tries > 1 => poll::pause(REPLACE_PAUSE),
                // Nobody does: a killed call has left it.
                Kind::Exists if tries == 1 => self.remove(&staged)?,
                // Another took it for that.
                Kind::Missing if tries > 0 => {}
                _ => {
                    // The first error is the one to tell; the next call removes what stays.
                    let _ = self.remove(&staged);
                    return Err(error);
                }
            }
        }
    }

    /// Makes `name` in `dir` a hard link to the file `from` in this one.
    pub(crate) fn link_to(&self, from: &[u8], dir: &Dir, name: &[u8]) -> Result<()> {
        let linked = fs::linkat(self.fd(), &*c(from), dir.fd(), &*c(name), AtFlags::empty());
        dir.done(text!("link"), name, linked)
    }

    /// Appends to the regular file `name`, making it if need be.
    pub(crate) fn append(&self, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
        self.put(text!("append to"), name, OFlags::CREATE | OFlags::APPEND, mode, content).map(drop)
    }

    fn put(
        &self,
        what: Text,
        name: &[u8],
        flags: OFlags,
        mode: u32,
        content: &[u8],
    ) -> Result<Box<Opened>> {
        let file = self.open_at(what, name, OFlags::WRONLY | OPEN_FILE | flags, mode)?;
        self.done(what, name, write_all(file.fd.as_fd(), content)).map(|()| file)
    }

    /// Renames `from` to `to`, both in this directory.
    pub(crate) fn rename(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let renamed = fs::renameat(self.fd(), &*c(from), self.fd(), &*c(to));
        self.done(text!("rename"), from, renamed)
    }

    /// Renames the file `from` to `to`, unless there is a `to` already ([`Kind::Exists`]).
    pub(crate) fn rename_new(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let (fd, old, new) = (self.fd(), c(from), c(to));
        let renamed = match fs::renameat_with(fd, &*old, fd, &*new, RenameFlags::NOREPLACE) {
            // Where the file system or the kernel does not know the flag: link(2) replaces
            // nothing either.
            Err(Errno::INVAL | Errno::NOSYS) => fs::linkat(fd, &*old, fd, &*new, AtFlags::empty())
                .and_then(|()| fs::unlinkat(fd, &*old, AtFlags::empty())),
            renamed => renamed,
        };
        self.done(text!("rename"), from, renamed)
    }

    /// Removes the file `name`, if it is there.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<()> {
        match fs::unlinkat(self.fd(), &*c(name), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            // So the kernel says also of what is not there.
            Err(Errno::ROFS) if self.kind(name)?.is_none() => Ok(()),
            removed => self.done(text!("remove"), name, removed),
        }
    }

    /// Tries whether this user may make and remove something in `name`, this directory (`.`) or
    /// one below it. What it makes is gone on return.
    pub(crate) fn try_in(&self, name: &[u8]) -> Result<()> {
        let path = c(&[name, TRIAL].concat());
        let tried = match fs::mkdirat(self.fd(), &*path, Mode::RWXU) {
            // What one has left that was killed is removed by whoever may make it.
            Ok(()) | Err(Errno::EXIST) => {
                match fs::unlinkat(self.fd(), &*path, AtFlags::REMOVEDIR) {
                    // Another that tries at this moment was first.
                    Err(Errno::NOENT) => Ok(()),
                    removed => removed,
                }
            }
            made => made,
        };
        tried.map_err(|errno| match name {
            b"." => failed(text!("write to"), self.path(), errno),
            _ => self.failed(text!("write to"), name, errno),
        })
    }

    /// Removes `name` and all below it, at most eight levels deep.
    pub(crate) fn remove_tree(&self, name: &[u8]) -> Result<()> {
        self.remove_tree_within(name, REMOVE_DEPTH)
    }

    fn remove_tree_within(&self, name: &[u8], depth: u8) -> Result<()> {
        if self.kind(name)? != Some(FileKind::Directory) {
            return self.remove(name);
        }
        let Some(depth) = depth.checked_sub(1) else {
            let why = text!("is nested too deep to be a leftover of ours");
            return Err(self.error(Kind::Unusable, text!("remove"), name, why));
        };
        let dir = self.dir(name)?;
        // Who had it open already may still put a file into it.
        for tries in (0..8).rev() {
            for entry in &dir.names()? {
                dir.remove_tree_within(entry, depth)?;
            }
            match fs::unlinkat(self.fd(), &*c(name), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => break,
                Err(Errno::NOTEMPTY) if tries > 0 => {}
                Err(errno) => return Err(self.failed(text!("remove"), name, errno)),
            }
        }
        Ok(())
    }

    /// Gives this directory to `to`, and `mode` if given. The mode first: of what is another's it
    /// takes one more capability.
    pub(crate) fn give(&self, to: &Ids, mode: Option<u32>) -> Result<()> {
        let (uid, gid) = to.raw();
        let wanted = mode.filter(|mode| self.meta().is_ok_and(|it| it.mode != *mode));
        let changed =
            wanted.map_or(Ok(()), |mode| fs::fchmod(self.fd(), Mode::from_raw_mode(mode)));
        let given = changed.and_then(|()| fs::fchown(self.fd(), uid, gid));
        given.map_err(|errno| not_permitted(HAND_OVER, self.path(), errno, Capability::Chown))
    }

    /// Gives the FIFO `name` to `to`, once it is open and `first` is done; [`Kind::Unusable`] if it
    /// is no FIFO.
    pub(crate) fn give_fifo(
        &self,
        name: &[u8],
        to: &Ids,
        first: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        const WHAT: Text = HAND_OVER;
        let fifo = self.open_at(WHAT, name, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        fifo.meta_as(WHAT, FileKind::Fifo)?;
        first()?;
        let (uid, gid) = to.raw();
        fs::chownat(&fifo.fd, "", uid, gid, AtFlags::EMPTY_PATH)
            .map_err(|errno| not_permitted(WHAT, &fifo.path, errno, Capability::Chown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn two_that_replace_a_file_at_the_same_time_both_do_so() {
        let tempdir = tempfile::tempdir().unwrap();
        let path = tempdir.path();
        let both = Barrier::new(2);
        thread::scope(|scope| {
            for text in ["the one", "the other"] {
                let dir = Dir::open(path.as_os_str().as_bytes()).unwrap();
                let both = &both;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        both.wait();
                        dir.replace(b"file", 0o644, text.as_bytes()).unwrap();
                    }
                });
            }
        });
        let content = std::fs::read_to_string(path.join("file")).unwrap();
        assert!(["the one", "the other"].contains(&&content[..]), "{content:?}");
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 1);
    }
}
