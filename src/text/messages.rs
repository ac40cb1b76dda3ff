//! What is said to people: every text of errors and warnings, once, in messages.txt. In the
//! program they are packed, and unpacked when the first is said; what is handed about is a number.

use super::packed::Packed;
use super::part;
use std::sync::OnceLock;

/// All texts, a line each, in byte order.
pub(crate) const TABLE: &str = include_str!("messages.txt");

const PACKING: Packed<{ TABLE.len() }> = Packed::new("", &[TABLE]);
static PACKED: Packed<{ PACKING.length }> = PACKING.cut();
static UNPACKED: OnceLock<String> = OnceLock::new();

/// All texts, unpacked; what other texts are packed behind, too.
pub(crate) fn table() -> &'static str {
    UNPACKED.get_or_init(|| PACKED.unpack(""))
}

/// A text of the table; [`text!`](crate::text!) makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(u16);

/// The text of the table that reads so; one that is not in messages.txt does not compile.
macro_rules! text {
    ($text:literal) => {
        const { $crate::text::messages::Text::of($text) }
    };
}
pub(crate) use text;

impl Text {
    /// The one that reads like `text`.
    pub(crate) const fn of(text: &str) -> Text {
        let (table, text) = (TABLE.as_bytes(), text.as_bytes());
        let (mut line, mut at) = (0, 0);
        while at < table.len() {
            let mut same = 0;
            while same < text.len() && table[at + same] == text[same] {
                same += 1;
            }
            if same == text.len() && table[at + same] == b'\n' {
                return Text(line);
            }
            while table[at] != b'\n' {
                at += 1;
            }
            at += 1;
            line += 1;
        }
        panic!("it is not in messages.txt")
    }

    /// How it reads.
    #[inline(never)]
    pub(crate) fn read(self) -> &'static str {
        part(table(), '\n', self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// All sources.
    fn sources(dir: &Path) -> String {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: PathBuf| match path.is_dir() {
            true => sources(&path),
            false => fs::read_to_string(path).unwrap(),
        };
        entries.map(text).collect()
    }

    #[test]
    fn every_text_is_said_somewhere() {
        // However it is broken into lines.
        let joined = |text: &str| text.replace("\\\n", "").split_whitespace().collect::<String>();
        let all = joined(&sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
        let is_said = |line: &&str| all.contains(&joined(&format!("text!({line:?}")));
        let unsaid: Vec<_> = TABLE.lines().filter(|line| !is_said(line)).collect();
        assert_eq!(unsaid, [""; 0], "nobody says these");
    }

    #[test]
    fn the_texts_are_in_order_and_come_out_as_they_are() {
        let lines: Vec<&str> = TABLE.lines().collect();
        assert!(lines.is_sorted_by(|a, b| a < b), "sort messages.txt: LC_ALL=C sort -u");
        for line in lines {
            assert_eq!(Text::of(line).read(), line);
        }
    }
}
