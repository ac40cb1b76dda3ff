//! What a directory entry is.

use crate::text::messages::{Text, text};
use rustix::fs::{FileType, Stat};
use std::time::Duration;

/// What a directory entry is. Of 64 bits, so that a result of it is returned in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum FileKind {
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
    pub(crate) const fn phrase(self) -> Text {
        match self {
            FileKind::Directory => text!("is a directory"),
            FileKind::Regular => text!("is a regular file"),
            FileKind::Fifo => text!("is a FIFO"),
            FileKind::Symlink => text!("is a symbolic link"),
            FileKind::Other => text!("is a socket or a device"),
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

/// A directory entry's kind, permissions, group and size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// What it is.
    pub(crate) kind: FileKind,
    /// Its permission bits, setgid and the like included.
    pub(crate) mode: u32,
    /// Its owner.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Its inode, which a file that takes its place does not have at first.
    pub(crate) inode: u64,
    /// The file system that the inode is one of.
    pub(crate) device: u64,
    /// Whether it has no name left: it is open still, but deleted.
    pub(crate) deleted: bool,
    /// When its content was last changed, since 1970 UTC, by the clock's last tick.
    pub(crate) modified: Duration,
}

impl From<&Stat> for Meta {
    #[inline(never)]
    fn from(stat: &Stat) -> Meta {
        Meta {
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            device: stat.st_dev,
            deleted: stat.st_nlink == 0,
            modified: Duration::new(
                u64::try_from(stat.st_mtime).unwrap_or(0),
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
        }
    }
}
