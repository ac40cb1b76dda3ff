//! The one error type: which operation, on which path, why. Kept as data; the text is made
//! when it is printed.

use crate::text::messages::{self, Text};
use crate::text::packed::Packed;
use crate::text::{Shown, parts};
use std::fmt;

/// What kind of failure it was; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wrong usage or an invalid name.
    Usage,
    /// The path does not exist.
    Missing,
    /// The path exists and should not.
    Exists,
    /// It took longer than it was given.
    TimedOut,
    /// Nobody reads the FIFO: not supervised, or no s6 here.
    Unsupervised,
    /// There is no slot of that name.
    NotRegistered,
    /// There is a slot of that name already.
    Registered,
    /// The thing is there, but is not what it should be.
    Unusable,
    /// This user may not.
    Denied,
    /// Another system call failed.
    System,
}

impl Kind {
    /// The exit code, s6's own where it has one.
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Unusable => 1,
            Kind::NotRegistered => 3,
            Kind::Registered => 4,
            Kind::TimedOut => 99,
            Kind::Usage => 100,
            Kind::Unsupervised => 102,
            Kind::Missing | Kind::Exists | Kind::Denied | Kind::System => 111,
        }
    }

    /// The kind of an errno of Linux.
    pub const fn of_errno(errno: i32) -> Kind {
        match errno {
            2 => Kind::Missing,
            17 => Kind::Exists,
            // No reader of a FIFO, or one that left before the write.
            6 | 32 => Kind::Unsupervised,
            1 | 13 => Kind::Denied,
            _ => Kind::System,
        }
    }
}

/// A failed operation.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it was.
    pub kind: Kind,
    what: Text,
    path: Vec<u8>,
    /// What the system said, if it was a system call that failed; else 0.
    errno: i32,
    /// The reason, if it is one of the table.
    why: Option<Text>,
    /// Another reason, and what was added.
    text: String,
}

/// A result whose error is ours; boxed, because every caller hands it on.
pub type Result<T> = std::result::Result<T, Box<Error>>;

/// Errors of things that were all tried, boxed as they came.
#[allow(clippy::vec_box)]
pub type Errors = Vec<Box<Error>>;

impl Error {
    /// An error of `kind`: `what` (as in "open directory") failed on `path` (or a word;
    /// any bytes; empty for nothing that has a name), because of `why`.
    pub fn new(
        kind: Kind,
        what: Text,
        path: &(impl AsRef<[u8]> + ?Sized),
        why: Text,
    ) -> Box<Error> {
        Error::of(kind, what, path.as_ref(), 0, Some(why))
    }

    /// The same, because of what is not in the table of texts.
    pub fn because(
        kind: Kind,
        what: Text,
        path: &(impl AsRef<[u8]> + ?Sized),
        why: &str,
    ) -> Box<Error> {
        Error::of(kind, what, path.as_ref(), 0, None).and(why)
    }

    /// A system call that failed with `errno` during `what` on `path`.
    pub fn system(what: Text, path: &[u8], errno: i32) -> Box<Error> {
        Error::of(Kind::of_errno(errno), what, path, errno, None)
    }

    #[inline(never)]
    fn of(kind: Kind, what: Text, path: &[u8], errno: i32, why: Option<Text>) -> Box<Error> {
        Box::new(Error { kind, what, path: path.to_vec(), errno, why, text: String::new() })
    }

    /// The same with more of a reason.
    #[inline(never)]
    fn and(mut self: Box<Self>, more: &str) -> Box<Error> {
        self.text += more;
        self
    }

    /// What the system said, if it was a system call that failed.
    pub fn errno(&self) -> Option<i32> {
        (self.errno != 0).then_some(self.errno)
    }

    /// How it reads.
    #[inline(never)]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in [self.what.read().as_bytes(), &self.path] {
            if !part.is_empty() {
                text += &Shown(part).text();
                text += ": ";
            }
        }
        if self.errno != 0 {
            text += &errno_text(self.errno);
        }
        text += self.why.map_or("", Text::read);
        text + &self.text
    }

    /// The same error with what to do about it, or what follows from it.
    #[inline(never)]
    pub fn hint(self: Box<Self>, hint: Text) -> Box<Error> {
        self.hint_of(hint.read())
    }

    /// The same with what is not in the table of texts.
    #[inline(never)]
    pub fn hint_of(self: Box<Self>, hint: &str) -> Box<Error> {
        self.and(": ").and(hint)
    }
}

/// What keeps others from their work is told to each of them.
impl Clone for Box<Error> {
    #[inline(never)]
    fn clone(&self) -> Box<Error> {
        Error::of(self.kind, self.what, &self.path, self.errno, self.why).and(&self.text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The errnos that files, FIFOs and processes give, those of network and damaged file systems
/// among them, with their names and the words of strerror(3), whose whole table would cost 5 kB.
/// It is packed.
const ERRNOS: &str = "
1 Operation not permitted (EPERM)
2 No such file or directory (ENOENT)
3 No such process (ESRCH)
5 Input/output error (EIO)
6 No such device or address (ENXIO)
11 Resource temporarily unavailable (EAGAIN)
12 Cannot allocate memory (ENOMEM)
13 Permission denied (EACCES)
16 Device or resource busy (EBUSY)
17 File exists (EEXIST)
18 Invalid cross-device link (EXDEV)
20 Not a directory (ENOTDIR)
21 Is a directory (EISDIR)
22 Invalid argument (EINVAL)
23 Too many open files in system (ENFILE)
24 Too many open files (EMFILE)
27 File too large (EFBIG)
28 No space left on device (ENOSPC)
30 Read-only file system (EROFS)
32 Broken pipe (EPIPE)
35 Resource deadlock avoided (EDEADLK)
36 File name too long (ENAMETOOLONG)
37 No locks available (ENOLCK)
38 Function not implemented (ENOSYS)
39 Directory not empty (ENOTEMPTY)
40 is a symbolic link, which is not followed (ELOOP)
74 Bad message (EBADMSG)
95 Operation not supported (EOPNOTSUPP)
107 Transport endpoint is not connected (ENOTCONN)
110 Connection timed out (ETIMEDOUT)
112 Host is down (EHOSTDOWN)
116 Stale file handle (ESTALE)
117 Structure needs cleaning (EUCLEAN)
121 Remote I/O error (EREMOTEIO)
122 Disk quota exceeded (EDQUOT)
126 Required key not available (ENOKEY)
";

const PACKING: Packed<{ ERRNOS.len() }> = Packed::new(messages::TABLE, &[ERRNOS]);
static PACKED: Packed<{ PACKING.length }> = PACKING.cut();

fn errno_text(errno: i32) -> String {
    let (table, number) = (PACKED.unpack(messages::table()), format!("{errno} "));
    for line in parts(table.as_bytes(), b'\n') {
        if let Some(words) = line.strip_prefix(number.as_bytes()) {
            return Shown(words).text();
        }
    }
    format!("errno {errno}, see errno(3)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::messages::text;

    #[test]
    fn an_error_is_one_line_that_names_operation_path_and_reason() {
        let error = Error::new(
            Kind::System,
            text!("open directory"),
            b"/a\nb\xff\\",
            text!("it is not up"),
        );
        assert_eq!(error.to_string(), "open directory: /a\\x0ab\\xff\\\\: it is not up");
        assert_eq!(error.errno(), None);
        let hinted = error.hint(text!("it is still there"));
        let all = "open directory: /a\\x0ab\\xff\\\\: it is not up: it is still there";
        assert_eq!(hinted.to_string(), all);
        assert_eq!(hinted.clone(), hinted);
        assert_eq!(
            Error::because(Kind::Usage, text!("parse option"), b"", "no").to_string(),
            "parse option: no"
        );
        assert_eq!(Error::because(Kind::Usage, text!(""), b"", "no").to_string(), "no");
    }

    #[test]
    fn the_words_are_those_of_strerror() {
        for line in ERRNOS.trim().lines() {
            let (number, words) = line.split_once(' ').unwrap();
            let words = words.split_once(" (E").unwrap().0;
            let strerror = std::io::Error::from_raw_os_error(number.parse().unwrap()).to_string();
            // Where a link is met, it is one that is not followed.
            let same = strerror == format!("{words} (os error {number})");
            assert_eq!(same, number != "40", "{line}: {strerror}");
        }
    }

    #[test]
    fn an_errno_is_kept_and_named() {
        let table = [
            (2, Kind::Missing, "read: /x: No such file or directory (ENOENT)"),
            (24, Kind::System, "read: /x: Too many open files (EMFILE)"),
            (13, Kind::Denied, "read: /x: Permission denied (EACCES)"),
            (32, Kind::Unsupervised, "read: /x: Broken pipe (EPIPE)"),
            (1, Kind::Denied, "read: /x: Operation not permitted (EPERM)"),
            (133, Kind::System, "read: /x: errno 133, see errno(3)"),
        ];
        for (errno, kind, text) in table {
            let error = Error::system(text!("read"), b"/x", errno);
            assert_eq!((error.kind, error.errno()), (kind, Some(errno)));
            assert_eq!(error.to_string(), text);
        }
    }
}
