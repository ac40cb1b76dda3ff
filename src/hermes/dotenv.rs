//! .env in a home, read as python-dotenv reads it, by which Hermes loads it.

/// What `text` sets `name` to: the last line of that name counts, and one without `=` sets
/// nothing. Escapes and `${...}` stand in it as they are written. A byte order mark belongs to the
/// first name, which is then another one.
#[inline(never)]
pub(crate) fn value<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut reader = Reader(text);
    let mut found = None;
    loop {
        reader.take(is_space);
        if reader.0.is_empty() {
            return found;
        }
        match reader.binding() {
            Some((key, value)) if key == name => found = value,
            Some(_) => {}
            // A comment, or what is no line of a .env.
            None => drop(reader.take(|byte| !is_break(byte))),
        }
    }
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Takes off the first `count` bytes.
    fn cut(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    /// Takes off what is `such`.
    fn take(&mut self, such: fn(u8) -> bool) -> &'a [u8] {
        self.cut(self.0.iter().position(|byte| !such(*byte)).unwrap_or(self.0.len()))
    }

    /// A name and its value, with the rest of the line. On `None` part of it may be taken off.
    fn binding(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        if let Some(rest) = self.0.strip_prefix(b"export")
            && rest.first().is_some_and(|byte| is_blank(*byte))
        {
            self.0 = rest;
            self.take(is_blank);
        }
        let key = match self.0.first()? {
            b'\'' => self.quoted(b'\'', true)?,
            _ => self.take(|byte| !is_space(byte) && !matches!(byte, b'=' | b'#')),
        };
        if key.is_empty() {
            return None;
        }
        self.take(is_blank);
        let mut value = None;
        if self.0.first() == Some(&b'=') {
            self.cut(1);
            self.take(is_blank);
            value = Some(match self.0.first() {
                Some(quote @ (b'\'' | b'"')) => self.quoted(*quote, false)?,
                _ => unquoted(self.take(|byte| !is_break(byte))),
            });
        }
        self.take(is_blank);
        if self.0.first() == Some(&b'#') {
            self.take(|byte| !is_break(byte));
        }
        let is_whole = self.0.first().is_none_or(|byte| is_break(*byte));
        is_whole.then_some((key, value))
    }

    /// What stands between quotes, over lines if need be. A quote behind a backslash ends it,
    /// where it is no name, only if no other one does.
    fn quoted(&mut self, quote: u8, is_name: bool) -> Option<&'a [u8]> {
        let (mut end, mut before) = (None, quote);
        for (at, byte) in self.0.iter().enumerate().skip(1) {
            if *byte == quote {
                end = Some(at);
                if is_name || before != b'\\' {
                    break;
                }
            }
            before = *byte;
        }
        let taken = self.cut(end? + 1);
        Some(&taken[1..taken.len() - 1])
    }
}

/// A value without quotes, up to a comment.
fn unquoted(line: &[u8]) -> &[u8] {
    let (mut end, mut before) = (0, b'=');
    for (at, byte) in line.iter().enumerate() {
        if *byte == b'#' && is_space(before) {
            break;
        }
        if !is_space(*byte) {
            end = at + 1;
        }
        before = *byte;
    }
    &line[..end]
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Whether `byte` is white space to Python; of what is not ASCII, nothing is to us.
#[inline(never)]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0x1c..=0x1f)
}

fn is_blank(byte: u8) -> bool {
    is_space(byte) && !is_break(byte)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::peer;
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) const NAME: &str = "GATEWAY_MULTIPLEX_PROFILES";

    fn read(text: &str) -> Option<&str> {
        value(text.as_bytes(), NAME.as_bytes()).map(|value| str::from_utf8(value).unwrap())
    }

    /// Lines, with N for the name, and what they set it to.
    const TABLE: [(&str, Option<&str>); 39] = [
        ("", None),
        ("N=1", Some("1")),
        ("N=1\n", Some("1")),
        ("\u{feff}N=1\n", None),
        ("\u{feff}#\nN=1\n", Some("1")),
        ("A=2\r\nN=1\r\nB=3\r\n", Some("1")),
        ("  export\tN =  yes  # a comment\n", Some("yes")),
        ("N=a#b", Some("a#b")),
        ("N= #b", Some("#b")),
        ("N=\n", Some("")),
        ("N=", Some("")),
        ("N\n", None),
        ("N=1\nN\n", None),
        ("N=1\nN=0\n", Some("0")),
        ("'N'=1", Some("1")),
        ("N='on' # x", Some("on")),
        ("N=\"on\"", Some("on")),
        ("N=\"on\" x\n", None),
        ("N=\"on\nA=1", None),
        ("N=1\nN=\"on\n", Some("1")),
        ("# N=1\n", None),
        ("#\nN=1\n", Some("1")),
        ("A=\"\nN=1\n\"\n", None),
        ("A='\nN=1\n'\nN=2", Some("2")),
        ("A='it\\'s\nN=1\n'", None),
        ("A='it\\'\nN=1\n", Some("1")),
        ("A=\"it's\"\nN=1", Some("1")),
        ("A=it's\nN=1", Some("1")),
        ("A=\"x\" y\nN=1", Some("1")),
        ("A B=\"\nN=1\n\"", Some("1")),
        ("XN=1\nNX=1\nn=1", None),
        ("=1\nN=1", Some("1")),
        ("exportN=1", None),
        ("export=1\nN=1", Some("1")),
        ("N =1\nA", Some("1")),
        ("\x1cN\x0b=\x0b1\x1f", Some("1")),
        ("N=1\x0b# a comment", Some("1")),
        ("=\"\nN=1\n\"", Some("1")),
        ("'\\'\n'N'=1\n'", Some("1")),
    ];

    fn named(text: &str) -> String {
        text.replace('N', NAME)
    }

    #[test]
    fn lines_of_every_kind() {
        for (text, expected) in TABLE {
            assert_eq!(read(&named(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn it_is_read_as_python_dotenv_reads_it() {
        let parts =
            ["N", "=", "1", "on", "\n", "\n", " ", "\t", "'", "\"", "\\", "#", "A", "export "];
        let mut texts: Vec<_> = TABLE.iter().map(|(text, _)| named(text)).collect();
        texts.extend(peer::texts(&parts, 4000).iter().map(|text| named(text)));
        let script = "from dotenv import dotenv_values\n\
            def answer(text):\n\
            \x20   return dotenv_values(stream=io.StringIO(text), interpolate=False)\
            .get('GATEWAY_MULTIPLEX_PROFILES')\n";
        let Some(answers) = peer::ask(script, &texts) else { return };
        for (text, answer) in texts.iter().zip(answers) {
            // What escapes stand for is nothing to a word.
            if !text.contains('\\') || read(text).is_none() {
                assert_eq!(read(text), answer.as_str(), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_crash_it(text: Vec<u8>) {
            let _ = value(&text, b"N");
        }
    }
}
