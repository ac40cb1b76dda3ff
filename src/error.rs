//! The one error type: which operation, on which path, why.

use crate::text::Shown;
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
}

/// A failed operation, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it was.
    pub kind: Kind,
    text: String,
}

/// A result whose error is ours; boxed, for every caller moves it on.
pub type Result<T> = std::result::Result<T, Box<Error>>;

impl Error {
    /// An error of `kind`: `what` (as in "open directory") failed on `path` (or a word;
    /// any bytes), because of `why`.
    pub fn new(kind: Kind, what: &str, path: impl AsRef<[u8]>, why: impl AsRef<str>) -> Box<Error> {
        Error::of(kind, what, path.as_ref(), why.as_ref())
    }

    #[inline(never)]
    fn of(kind: Kind, what: &str, path: &[u8], why: &str) -> Box<Error> {
        Box::new(Error { kind, text: format!("{what}: {}: {why}", Shown(path)) })
    }

    /// The whole of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same error with the way out added.
    pub fn hint(mut self: Box<Self>, way_out: &str) -> Box<Error> {
        self.text.push_str(": ");
        self.text.push_str(way_out);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_names_operation_path_and_reason() {
        let error = Error::new(Kind::System, "open directory", b"/a\nb\xff\\", "no");
        assert_eq!(error.to_string(), "open directory: /a\\x0ab\\xff\\\\: no");
        assert_eq!(error.hint("try c").to_string(), "open directory: /a\\x0ab\\xff\\\\: no: try c");
    }
}
