//! config.yaml, for the one thing that it says about supervision: whether one gateway serves
//! all profiles.
//!
//! Not a reader of YAML. It goes through the text token by token, as PyYAML does, to know where
//! each key stands, and makes nothing of the rest. Where a key or what it means depends on more
//! than that (anchors, tags, several documents), it says so instead of guessing. A text that is
//! no YAML may be taken for some.

use crate::model::values;
use crate::text::messages::{Text, text};
use crate::text::{contains, parts};

/// The key, at the top, or in the section.
const KEY: &[u8] = b"multiplex_profiles";
/// Where `hermes config set gateway.multiplex_profiles true` writes it.
const SECTION: &[u8] = b"gateway";
/// How Hermes calls the key there; and at the top, from there on.
const IN_SECTION: &str = "gateway.multiplex_profiles";
const AT_TOP: &str = "multiplex_profiles";

/// What a config says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Whether one gateway serves all.
    pub(crate) yes: bool,
    /// By which key, as Hermes calls it.
    pub(crate) key: &'static str,
}

/// A result, or why it cannot be told what a config says.
pub(crate) type Result<T> = std::result::Result<T, Text>;

const TAB: Text = text!("has a tab where YAML has none");
const PROPERTY: Text = text!("has an anchor, an alias or a tag");
const VALUE: Text = text!("has a value that is neither yes nor no");
const OTHER: Text = text!("has more of YAML than is understood here");

/// What ends a line besides those of ASCII, in YAML and nowhere else.
const BREAKS: &str = "\u{85} \u{2028} \u{2029}";

/// What a config with the content `text` says, if anything. Hermes goes by the key at the top
/// wherever that is there, whatever it says, and else by that in the section.
pub(crate) fn multiplex(text: &[u8]) -> Result<Option<Said>> {
    // Most have no such key, and may be as odd as they like.
    if !contains(text, KEY) {
        return Ok(None);
    }
    let mut reader = Reader { text, ..Reader::default() };
    reader.read()?;
    let said = |yes: Option<bool>, key| yes.map(|yes| Said { yes, key });
    Ok(said(reader.top, AT_TOP).or(said(reader.nested, IN_SECTION)))
}

/// Where it is, as for the section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Not in it.
    #[default]
    Outside,
    /// Behind its key: what comes next is its value.
    Before,
    /// Among its keys, which stand in this column.
    Inside(usize),
}

/// Goes through a text.
#[derive(Default)]
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the line begins.
    line: usize,
    /// The column at which what belongs to the last key or dash begins, at the least.
    least: usize,
    /// How many brackets are open. What is in them has no columns; it counts as if each opening
    /// bracket began a column of its own.
    depth: usize,
    /// Whether the document has begun.
    begun: bool,
    /// The column of an anchor or a tag on this line that belongs to what comes next.
    property: Option<usize>,
    /// The column of the keys at the top.
    root: Option<usize>,
    place: Place,
    top: Option<bool>,
    nested: Option<bool>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Whether a white space or the end is at `at`.
    #[inline(never)]
    fn is_blank(&self, at: usize) -> bool {
        self.text.get(at).is_none_or(|byte| is_blank(*byte))
    }

    /// The place of the first byte from `from` on that is `such`, or the end.
    #[inline(never)]
    fn find(&self, from: usize, such: fn(u8) -> bool) -> usize {
        let rest = &self.text[from..];
        rest.iter().position(|byte| such(*byte)).map_or(self.text.len(), |count| from + count)
    }

    /// Goes on to the first byte that is `such`, or to the end.
    fn skip_to(&mut self, such: fn(u8) -> bool) {
        self.at = self.find(self.at, such);
    }

    #[inline(never)]
    fn read(&mut self) -> Result<()> {
        let has_other_break = parts(BREAKS.as_bytes(), b' ').any(|it| contains(self.text, it));
        if str::from_utf8(self.text).is_err() || has_other_break {
            return Err(OTHER);
        }
        if self.text.starts_with(b"\xef\xbb\xbf") {
            (self.at, self.line) = (3, 3);
        }
        loop {
            self.skip_to(is_no_space);
            match self.peek() {
                None if self.depth > 0 => return Err(OTHER),
                None => return Ok(()),
                Some(byte) if is_break(byte) => {
                    self.at += 1;
                    self.line = self.at;
                    self.property = None;
                }
                Some(b'#') => self.skip_to(is_break),
                Some(byte) => self.token(byte)?,
            }
        }
    }

    fn token(&mut self, byte: u8) -> Result<()> {
        let (column, in_flow) = (self.at - self.line, self.depth > 0);
        let is_alone = self.is_blank(self.at + 1);
        if column == 0 && !in_flow && self.is_blank(self.at + 3) {
            match self.text.get(self.at..self.at + 3) {
                Some(b"---") if !self.begun => {
                    self.begun = true;
                    self.at += 3;
                    return Ok(());
                }
                Some(b"---" | b"...") => return Err(OTHER),
                _ => {}
            }
        }
        self.begun = true;
        match byte {
            b'\t' => return Err(TAB),
            b'{' | b'[' => {
                self.at += 1;
                self.depth += 1;
                if byte == b'[' {
                    self.entry()?;
                }
            }
            b'}' | b']' if in_flow => {
                self.at += 1;
                self.depth -= 1;
            }
            b',' | b':' if in_flow => self.at += 1,
            b'-' if is_alone && !in_flow => {
                self.entry()?;
                self.at += 1;
                self.least = column + 1;
                self.property = None;
            }
            b'&' | b'*' | b'!' => {
                if self.place == Place::Before {
                    return Err(PROPERTY);
                }
                self.property.get_or_insert(column);
                let start = self.at + 1;
                self.skip_to(|byte| is_blank(byte) || is_flow(byte));
                // PyYAML ends the name of an anchor before what is not of these, and reads on.
                let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
                if byte != b'!' && !self.text[start..self.at].iter().all(is_of_name) {
                    return Err(OTHER);
                }
            }
            b'|' | b'>' if !in_flow => self.skip_lines(),
            b'"' | b'\'' => {
                let word = self.quoted(byte)?;
                self.skip_to(is_no_space);
                if self.peek() == Some(b':') && (in_flow || self.is_blank(self.at + 1)) {
                    self.key(column, word)?;
                }
            }
            b'?' | b':' if is_alone || in_flow => return Err(OTHER),
            b',' | b'}' | b']' | b'%' | b'@' | b'`' => return Err(OTHER),
            _ => self.plain(column)?,
        }
        Ok(())
    }

    /// What stands between quotes, over lines if need be, as it is written.
    fn quoted(&mut self, quote: u8) -> Result<&'a [u8]> {
        let start = self.at + 1;
        self.at = start;
        loop {
            let byte = self.peek().ok_or(OTHER)?;
            let next = self.text.get(self.at + 1);
            self.at += 1;
            match byte {
                b'\\' if quote == b'"' => self.at += 1,
                b'\'' if quote == byte && next == Some(&quote) => self.at += 1,
                byte if byte == quote => return Ok(&self.text[start..self.at - 1]),
                _ => {}
            }
        }
    }

    /// Skips the rest of the line, and those that belong to it: all that are empty, or begin far
    /// enough to the right.
    fn skip_lines(&mut self) {
        self.skip_to(is_break);
        while self.peek().is_some() {
            let start = self.at + 1;
            let text = self.find(start, is_no_space);
            let is_empty = self.text.get(text).is_none_or(|byte| is_break(*byte));
            if !is_empty && text - start < self.least.max(1) {
                break;
            }
            self.at = self.find(text, is_break);
        }
    }

    /// Words without quotes: a key, or a value, over lines if need be.
    fn plain(&mut self, column: usize) -> Result<()> {
        let (start, in_flow) = (self.at, self.depth > 0);
        while let Some(byte) = self.peek() {
            let is_last = |it: &u8| is_blank(*it) || in_flow && is_flow(*it);
            match byte {
                b':' if self.text.get(self.at + 1).is_none_or(is_last) => {
                    return self.key(column, self.text[start..self.at].trim_ascii_end());
                }
                b'\t' => return Err(TAB),
                b'#' if is_blank(self.text[self.at - 1]) => break,
                byte if if in_flow { is_flow(byte) } else { is_break(byte) } => break,
                _ => self.at += 1,
            }
        }
        if !in_flow {
            self.skip_lines();
        }
        Ok(())
    }

    /// A key that begins in `column`, at its colon.
    fn key(&mut self, mut column: usize, word: &[u8]) -> Result<()> {
        self.at += 1;
        if self.depth > 0 {
            column = self.least + self.depth - 1;
        } else {
            // With an anchor or a tag it begins there.
            column = self.property.take().unwrap_or(column);
            self.least = column + 1;
        }
        let root = *self.root.get_or_insert(column);
        if column <= root {
            self.place = Place::Outside;
            if word == KEY {
                self.top = Some(self.value()?);
            } else if word == SECTION {
                // A second section replaces the first one.
                (self.place, self.nested) = (Place::Before, None);
            }
        } else if self.place == Place::Before {
            self.place = Place::Inside(column);
        }
        let in_section = self.place == Place::Inside(column);
        if in_section && word == KEY {
            self.nested = Some(self.value()?);
        }
        // It would merge in another mapping.
        match word == b"<<" && (in_section || column <= root) {
            true => Err(PROPERTY),
            false => Ok(()),
        }
    }

    /// An item of a list.
    fn entry(&mut self) -> Result<()> {
        if self.place == Place::Before {
            self.place = Place::Outside;
        }
        self.root.map(drop).ok_or(OTHER)
    }

    /// The value of the key that was just read, if it is a word and nothing else. Nothing is
    /// taken off.
    ///
    /// Of what is no boolean Hermes takes words as it takes them from a variable, and any other
    /// word, and nothing, for no. A number is yes unless it is zero, and a list unless it is
    /// empty; who writes that may mean anything.
    fn value(&self) -> Result<bool> {
        let start = self.find(self.at, is_no_space);
        let is_other = |byte: u8| !(byte.is_ascii_alphanumeric() || b"~\"'".contains(&byte));
        let end = self.find(start, is_other);
        let word = &self.text[start..end];
        let inner = match word {
            [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
            // Quotes that end elsewhere, and numbers.
            [b'"' | b'\'', ..] | [b'2'..=b'9', ..] | [b'0' | b'1', _, ..] => return Err(VALUE),
            _ => word,
        };
        match self.ends_at(end) {
            true => Ok(values::boolean(inner) == Some(true)),
            false => Err(VALUE),
        }
    }

    /// Whether nothing more of a value comes from `at` on; between brackets, on its line.
    #[inline(never)]
    fn ends_at(&self, mut at: usize) -> bool {
        let mut line = self.line;
        loop {
            let Some(byte) = self.text.get(at) else { return true };
            match byte {
                b' ' => at += 1,
                _ if self.depth > 0 => return matches!(byte, b',' | b'}' | b']'),
                b'#' if is_blank(self.text[at - 1]) => at = self.find(at, is_break),
                byte if is_break(*byte) => {
                    at += 1;
                    line = at;
                }
                _ if line == self.line => return false,
                // Such a value may begin in any column.
                b'|' | b'>' => return false,
                // A list may begin in the column of its key.
                b'-' if self.is_blank(at + 1) => return at - line + 1 < self.least,
                _ => return at - line < self.least,
            }
        }
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[inline(never)]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_no_space(byte: u8) -> bool {
    byte != b' '
}

/// Whether `byte` stands between what is between brackets.
#[inline(never)]
fn is_flow(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
}

#[cfg(test)]
mod tests {
    use super::super::peer;
    use super::*;
    use proptest::prelude::*;

    const TOP: Option<&str> = Some(AT_TOP);
    const NESTED: Option<&str> = Some(IN_SECTION);

    /// What a text says: `yes`, `no` or `-`, and by which key; or what is wrong.
    fn read(text: &str) -> (&'static str, Option<&'static str>) {
        match multiplex(text.as_bytes()) {
            Ok(Some(said)) => (if said.yes { "yes" } else { "no" }, Some(said.key)),
            Ok(None) => ("-", None),
            Err(why) => (why.read(), None),
        }
    }

    /// Texts, with M and G for the keys.
    fn named(text: &str) -> String {
        text.replace('M', AT_TOP).replace('G', "gateway")
    }

    /// What is understood.
    const KNOWN: [(&str, &str, Option<&str>); 83] = [
        ("", "-", None),
        ("a: 1\n", "-", None),
        ("M: true", "yes", TOP),
        ("M: true\n", "yes", TOP),
        ("M: false\n", "no", TOP),
        ("\u{feff}M: true\n", "yes", TOP),
        ("# a comment\n---\nM: true # another\n", "yes", TOP),
        ("a: 1\r\nM: true\r\nb: 2\r\n", "yes", TOP),
        ("M: yes", "yes", TOP),
        ("M: On", "yes", TOP),
        ("M: OFF", "no", TOP),
        ("M: 1", "yes", TOP),
        ("M: 0", "no", TOP),
        ("M: \"on\"", "yes", TOP),
        ("M: 'TRUE'", "yes", TOP),
        ("M: 'it''s'", "no", TOP),
        ("M: '0'", "no", TOP),
        ("M: tRuE", "yes", TOP),
        ("M: y", "no", TOP),
        ("M: maybe", "no", TOP),
        ("M: ~", "no", TOP),
        ("M: null", "no", TOP),
        ("M:\n", "no", TOP),
        ("M:", "no", TOP),
        ("M: # nothing\n  # at all\na: 1", "no", TOP),
        ("M:   true   \n", "yes", TOP),
        ("M:true\n", "-", None),
        ("M : true\n", "yes", TOP),
        ("\"M\": true\n", "yes", TOP),
        ("'M' : true\n", "yes", TOP),
        ("xM: true\nMx: true\n", "-", None),
        ("M: true\nM: false\n", "no", TOP),
        ("  M: true\n  a: 1\n", "yes", TOP),
        ("# M: true\n", "-", None),
        ("a: 1 # M: true\n", "-", None),
        ("a: x#y\nM: true\n", "yes", TOP),
        ("G:\n  M: true\n", "yes", NESTED),
        ("G:\n\n  # x\n      a: 1\n      M: off\n", "no", NESTED),
        ("G:\n  a:\n    M: true\n", "-", None),
        ("G:\n  a:\n    b: 1\n  M: true\n", "yes", NESTED),
        ("G:\n  a:\n  - b: 1\n    M: false\n  M: true\n", "yes", NESTED),
        ("G:\n  a: {M: false}\n  M: true\n", "yes", NESTED),
        ("G:\n- M: true\n", "-", None),
        ("G:\n  - M: true\n", "-", None),
        ("G: x\na:\n  M: true\n", "-", None),
        ("G:\na:\n  M: true\n", "-", None),
        ("G:\n  M: true\nG:\n  a: 1\n", "-", None),
        ("G:\n  M: false\nG:\n  M: true\n", "yes", NESTED),
        ("a:\n  G:\n    M: true\n", "-", None),
        ("M: false\nG:\n  M: true\n", "no", TOP),
        ("G:\n  M: true\nM: no\n", "no", TOP),
        ("M:\nG:\n  M: true\n", "no", TOP),
        ("G: {M: true}\n", "yes", NESTED),
        ("G: {a: 1, M: yes, b: [1, {M: false}]}\n", "yes", NESTED),
        ("G: { \"M\":true , a: }\n", "yes", NESTED),
        ("G: {M: }\n", "no", NESTED),
        ("G: {\nM: true }\n", "yes", NESTED),
        ("G: {\nM: true, # x\n}\n", "yes", NESTED),
        ("G: {M:true}\n", "-", None),
        ("G: {a: {M: true}}\n", "-", None),
        ("G: {a: 'M: true', b: \"}\", M: true}\n", "yes", NESTED),
        ("G: {a: it's, M: true, b: it's}\n", "yes", NESTED),
        ("G: {a: x#y, M: true}\n", "yes", NESTED),
        ("G: [M: true]\n", "-", None),
        ("G: []\nM: true\n", "yes", TOP),
        ("{M: true}\n", "yes", TOP),
        ("{\"a\": 1, \"G\": {\"M\": true}}\n", "yes", NESTED),
        ("--- {G: {a: 1}, b: {M: true}}\n", "-", None),
        ("{\n  \"G\": {\n    \"M\": true, \"a\": 1\n  }\n}\n", "yes", NESTED),
        ("a: {M: true}\nb: [M, {M: true}]\n", "-", None),
        ("a: {\nM: true}\nb: [\nM: true]\n", "-", None),
        ("a: |\n  M: true\n  \"\n\nb: 1\n", "-", None),
        ("a: >2-  # x\n    M: true\n    it's [\nM: true\n", "yes", TOP),
        ("a:\n  - |\n   M: true\n  - b: |+\n\n      x {\n\n\nM: true\n", "yes", TOP),
        ("G:\n  a: |\n    '\n  M: true\n", "yes", NESTED),
        ("a: \"x\nM: true\ny\"\nb: 1\n", "-", None),
        ("a: 'it''s\nM: true\n'\nM: true\n", "yes", TOP),
        ("a: \"\\\"\nM: true\n\"\n", "-", None),
        ("a: it's\nM: true\nb: it's\n", "yes", TOP),
        ("a: x\n  'y [\n\n  z {\nM: true\n", "yes", TOP),
        ("a: &b\n  c: !d e\nf: *b\n- g\nM: true\n", "yes", TOP),
        ("a:\n  - &b c: 1\n    M: true\n&d M: true\n", "yes", TOP),
        ("a:\n- 1\nM: on\n", "yes", TOP),
    ];

    /// What is not.
    const ODD: [(&str, Text); 40] = [
        ("M: &a true", VALUE),
        ("M: !!bool yes", VALUE),
        ("M: *a", VALUE),
        ("M: 2", VALUE),
        ("M: 0x0", VALUE),
        ("M: ' on '", VALUE),
        ("M: \"on'", VALUE),
        ("M: -1", VALUE),
        ("M: \"tr\\x75e\"", VALUE),
        ("M: |\n  true", VALUE),
        ("M: [true]", VALUE),
        ("M: {a: 1}", VALUE),
        ("{M: {a: 1}}", VALUE),
        ("G: {M: [a]}", VALUE),
        ("M:\n  true", VALUE),
        ("M:\n- true", VALUE),
        ("M:\n>-\n true", VALUE),
        ("M: true\n  false", VALUE),
        ("M: \"on\n\"", VALUE),
        ("G: {M: true\n}", VALUE),
        ("G: &a\n  M: true", PROPERTY),
        ("&a:/b M: true", OTHER),
        ("G: *M", PROPERTY),
        ("G: !!map {M: true}", PROPERTY),
        ("a: &M {M: true}\n<<: *M", PROPERTY),
        ("G:\n  <<: *M", PROPERTY),
        ("? M\n: true", OTHER),
        ("{a: 1}: M", OTHER),
        ("a: {? M : true}", OTHER),
        ("\tM: true", TAB),
        ("M:\ttrue", VALUE),
        ("a: 1\t\nM: true", TAB),
        ("M: true\n---\nM: false", OTHER),
        ("M: true\n...\n", OTHER),
        ("- M: true\n", OTHER),
        ("[M: true]\n", OTHER),
        ("a: [M\n", OTHER),
        ("@M: true\n", OTHER),
        ("# a\u{85}M: true\n", OTHER),
        ("a: b\u{2028}M: true\n", OTHER),
    ];

    #[test]
    fn keys_where_they_count_and_nowhere_else() {
        for (text, says, key) in KNOWN {
            assert_eq!(read(&named(text)), (says, key), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (text, why) in ODD {
            assert_eq!(read(&named(text)), (why.read(), None), "{text:?}");
        }
        assert_eq!(multiplex(&[KEY, b": true # \xff"].concat()), Err(OTHER));
        // Without the key, it may be anything.
        assert_eq!(multiplex(b"\t&a [\xff"), Ok(None));
    }

    #[test]
    fn it_is_read_as_hermes_reads_it() {
        let parts = [
            "M",
            "G",
            "M",
            "G",
            ": ",
            ": ",
            ":",
            "true",
            "false",
            "yes",
            "1",
            "\n",
            "\n",
            "\n  ",
            "\n    ",
            "\n  M: on",
            "\nM: no",
            "\nG:\n  ",
            " ",
            "- ",
            "\n- ",
            "\n  - ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            ",",
            "\"",
            "'",
            "#",
            " # ",
            "|\n",
            ">-\n",
            "&a ",
            "!b ",
            "*a",
            "a",
            "b: ",
            "a:\n",
            "---\n",
            "x'y",
            "\t",
            "?",
            "null",
        ];
        let mut texts: Vec<_> = KNOWN.iter().map(|(text, ..)| named(text)).collect();
        texts.extend(ODD.iter().map(|(text, _)| named(text)));
        texts.extend(peer::texts(&parts, 60_000).iter().map(|text| named(text)));
        let script = "import yaml\n\
            from gateway.config import _coerce_bool\n\
            def answer(text):\n\
            \x20   try:\n\
            \x20       config = yaml.load(io.StringIO(text, newline=None).read(), yaml.SafeLoader) or {}\n\
            \x20   except Exception:\n\
            \x20       return None\n\
            \x20   if not isinstance(config, dict):\n\
            \x20       return '-'\n\
            \x20   section = config.get('gateway')\n\
            \x20   if 'multiplex_profiles' not in config:\n\
            \x20       config = section if isinstance(section, dict) else {}\n\
            \x20   if 'multiplex_profiles' not in config:\n\
            \x20       return '-'\n\
            \x20   return 'yes' if _coerce_bool(config['multiplex_profiles'], False) else 'no'\n";
        let Some(answers) = peer::ask(script, &texts) else { return };
        let (mut valid, mut understood) = (0, 0);
        for (text, answer) in texts.iter().zip(&answers) {
            // What is no YAML at all Hermes ignores, and says so.
            let (Some(answer), says) = (answer.as_str(), read(text)) else { continue };
            valid += 1;
            if ["yes", "no", "-"].contains(&says.0) {
                // A key without even a colon, as in `{M}`, is taken for a word; it means no.
                assert_eq!(says.0 == "yes", answer == "yes", "{text:?}: {says:?} {answer}");
                understood += 1;
            }
        }
        assert!(understood > 1000 && understood * 10 > valid * 7, "{understood} of {valid}");
    }

    proptest! {
        #[test]
        fn no_bytes_crash_it(before: Vec<u8>, after: Vec<u8>) {
            let _ = multiplex(&[&before, KEY, &after].concat());
        }

        #[test]
        fn no_text_of_yaml_crashes_it(
            words in proptest::collection::vec(
                "multiplex_profiles|gateway|[-?:,{}\\[\\]#&*!|>'\"%@` \n\r\t\\\\a0]{1,3}", 0..24),
        ) {
            let _ = multiplex(&[words.concat(), AT_TOP.into()].concat().into_bytes());
            let _ = multiplex(&[AT_TOP.into(), words.concat()].concat().into_bytes());
        }
    }
}
