//! Bytes as people and shells may read them, whoever chose the bytes.

pub(crate) mod messages;
pub(crate) mod packed;

use std::fmt;

/// Bytes as one printable line: what is not UTF-8, or could do something to a terminal,
/// is shown as `\xNN`.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl Shown<'_> {
    /// How they read.
    #[inline(never)]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => text += "\\\\",
                    c if is_unsafe(c) => text += &hex(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    c => text.push(c),
                }
            }
            text += &hex(chunk.invalid());
        }
        text
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Each of `bytes` as `\xNN`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        text += "\\x";
        text += &hex_digits(u64::from(*byte), 2);
    }
    text
}

/// The last `count` hexadecimal digits of `number`.
pub(crate) fn hex_digits(number: u64, count: u32) -> String {
    let mut text = String::new();
    for at in (0..count).rev() {
        text.push(char::from(b"0123456789abcdef"[(number >> (4 * at) & 15) as usize]));
    }
    text
}

/// Whether a terminal may do something else than show `c`: control characters, line
/// separators, and the marks that turn the direction of text.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What stands between the bytes `separator` in `bytes`.
pub(crate) fn parts(bytes: &[u8], separator: u8) -> Parts<'_> {
    Parts { rest: Some(bytes), separator }
}

/// Goes through them.
pub(crate) struct Parts<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let bytes = self.rest?;
        let end = bytes.iter().position(|byte| *byte == self.separator);
        self.rest = end.and_then(|end| bytes.get(end + 1..));
        bytes.get(..end.unwrap_or(bytes.len()))
    }
}

/// What stands between the characters `separator` in `text`: the one `at` that place, from 0 on;
/// nothing if there are fewer.
#[inline(never)]
pub(crate) fn part(text: &str, separator: char, at: usize) -> &str {
    let part = nth(text.as_bytes(), separator as u8, at);
    part.and_then(|part| str::from_utf8(part).ok()).unwrap_or_default()
}

/// What stands between the bytes `separator` in `bytes`: the one `at` that place, from 0 on.
#[inline(never)]
pub(crate) fn nth(bytes: &[u8], separator: u8, at: usize) -> Option<&[u8]> {
    parts(bytes, separator).nth(at)
}

/// `text`, cut after so many bytes or a few less.
#[inline(never)]
pub(crate) fn cut(mut text: String, mut most: usize) -> String {
    if text.len() > most {
        while !text.is_char_boundary(most) {
            most -= 1;
        }
        text.truncate(most);
        text += "...";
    }
    text
}

/// Whether `part` is somewhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    // The first byte alone tells of most places, without a call.
    bytes.windows(part.len()).any(|it| it[0] == part[0] && it == part)
}

/// Which of those that are `known`, with form feeds between, none of which is `word`, was meant by
/// it, if one is near; else `otherwise`.
#[inline(never)]
pub(crate) fn did_you_mean(word: &[u8], known: &str, otherwise: &str) -> String {
    for edits in 1..=2.min(word.len() / 2) {
        for it in parts(known.as_bytes(), b'\x0c') {
            if is_near(word, it, edits) {
                return ["did you mean '", &Shown(it).text(), "'?"].concat();
            }
        }
    }
    otherwise.into()
}

/// Whether so many edits of a character, at most, make `one` the other.
fn is_near(one: &[u8], other: &[u8], edits: usize) -> bool {
    match (one, other) {
        ([x, one @ ..], [y, other @ ..]) if x == y => is_near(one, other, edits),
        ([_, one_less @ ..], [_, other_less @ ..]) => {
            edits > 0
                && (is_near(one_less, other_less, edits - 1)
                    || is_near(one_less, other, edits - 1)
                    || is_near(one, other_less, edits - 1))
        }
        _ => one.len() + other.len() <= edits,
    }
}

/// Whether a shell takes `byte` for itself wherever it stands in a word.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:@%+,".contains(byte)
}

/// Appends `bytes` to a script as one word of any shell; plain words stay bare.
pub(crate) fn quote(bytes: &[u8], script: &mut Vec<u8>) {
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return script.extend_from_slice(bytes);
    }
    script.push(b'\'');
    for &byte in bytes {
        match byte {
            b'\'' => script.extend_from_slice(b"'\\''"),
            byte => script.push(byte),
        }
    }
    script.push(b'\'');
}

/// A path as a word that a person can type at a shell. What is not printable is written as
/// `$'...'` has it; a shell that does not know that form finds no such file.
pub(crate) fn shell_word(path: &[u8]) -> String {
    let shown = Shown(path).text();
    let (open, apostrophe, close) = match shown.contains('\\') {
        true => ("$'", "\\x27", "'"),
        false if !shown.is_empty() && shown.bytes().all(|byte| is_plain(&byte)) => return shown,
        false => ("'", "'\\''", "'"),
    };
    let mut word = String::from(open);
    for c in shown.chars() {
        match c {
            '\'' => word += apostrophe,
            c => word.push(c),
        }
    }
    word + close
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_word_has_the_bytes_of_the_path() {
        let table: [(&[u8], &str); 6] = [
            (b"", "''"),
            (b"/run/service/gateway-a_b.c", "/run/service/gateway-a_b.c"),
            (b"/a b;$(c)", "'/a b;$(c)'"),
            (b"/it's", r"'/it'\''s'"),
            (b"/a'\n\\\xff", r"$'/a\x27\x0a\\\xff'"),
            ("/\u{202e}x".as_bytes(), r"$'/\xe2\x80\xaex'"),
        ];
        for (path, word) in table {
            assert_eq!(shell_word(path), word);
            let printf = format!("printf %s {word}");
            let said = std::process::Command::new("bash").args(["-c", &printf]).output().unwrap();
            assert_eq!(said.stdout, path, "{word}");
        }
    }

    #[test]
    fn what_was_meant_is_two_edits_away_at_most() {
        const KNOWN: &str = "coder\x0cstart\x0crestart\x0cstop\x0cx\x0c";
        let table = [
            ("coderr", "coder"),
            ("coer", "coder"),
            ("cdoer", "coder"),
            ("oder", "coder"),
            ("strat", "start"),
            ("stat", "start"),
            ("restrat", "restart"),
            ("STOP", ""),
            ("sop", "stop"),
            ("stops", "stop"),
            ("coders-x", ""),
            ("y", ""),
            ("", ""),
            ("frobnicate", ""),
        ];
        for (word, meant) in table {
            let said = did_you_mean(word.as_bytes(), KNOWN, "no");
            let expected = match meant {
                "" => "no".to_string(),
                meant => format!("did you mean '{meant}'?"),
            };
            assert_eq!(said, expected, "{word}");
        }
    }

    #[test]
    fn nothing_that_moves_a_terminal_is_shown_as_it_is() {
        for c in ['\0', '\x1b', '\x7f', '\u{85}', '\u{9b}', '\u{2028}', '\u{2029}'] {
            assert!(is_unsafe(c), "{c:?}");
        }
        for c in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            assert!(is_unsafe(c), "{c:?}");
        }
        for c in ['a', 'é', '\u{2027}', '\u{202f}', '\u{2065}', '\u{206a}', '😀'] {
            assert!(!is_unsafe(c), "{c:?}");
        }
        assert_eq!(Shown("é\u{85}\u{202e}".as_bytes()).to_string(), "é\\xc2\\x85\\xe2\\x80\\xae");
    }
}
