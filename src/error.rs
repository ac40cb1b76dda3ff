//! The one error type: which operation, on which path, why.

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

/// Bytes as one printable line: what is not printable UTF-8 becomes `\xNN`.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_control() => {
                        let mut utf8 = [0; 4];
                        hex(c.encode_utf8(&mut utf8).as_bytes(), f)?;
                    }
                    c => fmt::Write::write_char(f, c)?,
                }
            }
            hex(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

/// A path as a word that can be typed at a shell, whoever has given it its name: quoted, unless
/// it is plain. What is not printable is as `$'...'` spells it; a shell that does not know that
/// finds no such file.
pub fn typed(path: &[u8]) -> String {
    let text = Shown(path).to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&b);
    match text.contains('\\') {
        true => format!("$'{}'", text.replace('\'', "\\x27")),
        false if text.bytes().all(plain) => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "\\x{b:02x}"))
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

    #[test]
    fn what_is_typed_is_one_word_with_the_bytes_of_the_path() {
        let table: [(&[u8], &str); 4] = [
            (b"/run/service/gateway-a_b.c", "/run/service/gateway-a_b.c"),
            (b"/a b;$(c)", "'/a b;$(c)'"),
            (b"/it's", r"'/it'\''s'"),
            (b"/a'\n\\\xff", r"$'/a\x27\x0a\\\xff'"),
        ];
        for (path, word) in table {
            assert_eq!(typed(path), word);
            let printf = format!("printf %s {word}");
            let said = std::process::Command::new("bash").args(["-c", &printf]).output().unwrap();
            assert_eq!(said.stdout, path, "{word}");
        }
    }

    #[test]
    fn control_characters_beyond_ascii_are_escaped_too() {
        assert_eq!(Shown("é\u{85}".as_bytes()).to_string(), "é\\xc2\\x85");
    }
}
