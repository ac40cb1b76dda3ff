//! config.yaml, for the one thing that it says about supervision: whether one gateway serves
//! all profiles.
//!
//! Not a reader of YAML. It goes through the text token by token, as PyYAML does, to know where
//! each key stands, and makes nothing of the rest. Where a key or what it means depends on more
//! than that (anchors, tags, several documents), it says so instead of guessing.

/// The key, at the top, or in the section.
const KEY: &str = "multiplex_profiles";
/// Where `hermes config set gateway.multiplex_profiles true` writes it.
const SECTION: &str = "gateway";
/// How Hermes calls the key there.
const IN_SECTION: &str = "gateway.multiplex_profiles";
/// What merges in another mapping.
const MERGE: &str = "<<";

/// What a config says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether one gateway serves all.
    pub(super) yes: bool,
    /// By which key, as Hermes calls it.
    pub(super) key: &'static str,
}

/// Why it cannot be told what a config says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// The line that it is in, from 1 on.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) why: &'static str,
}

type Result<T> = std::result::Result<T, &'static str>;

const TAB: &str = "has a tab where YAML has none";
const PROPERTY: &str = "has an anchor, an alias or a tag";
const DOCUMENTS: &str = "is not the only document";
const COMPLEX: &str = "has a key of more than a word";
const VALUE: &str = "has a value that is neither yes nor no";
const CUT: &str = "is where something begins that does not end";
const LIST: &str = "makes a list of it all";
const STRAY: &str = "has a character that stands for nothing here";

/// What a config with the content `text` says, if anything. Hermes goes by the key at the top
/// wherever that is there, whatever it says, and else by that in the section.
pub(super) fn multiplex(text: &[u8]) -> std::result::Result<Option<Said>, Flaw> {
    // Most have no such key, and may be as odd as they like.
    if !text.windows(KEY.len()).any(|it| it == KEY.as_bytes()) {
        return Ok(None);
    }
    let is_strange = |c: char| {
        c.is_control() && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{2028}' | '\u{2029}')
    };
    let strange = match str::from_utf8(text) {
        Ok(it) => it.find(is_strange),
        Err(error) => Some(error.valid_up_to()),
    };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = Reader { text, ..Reader::default() };
    let read = match strange {
        Some(at) => {
            reader.at = at;
            Err("is not plain text")
        }
        None => reader.read(),
    };
    match read {
        Ok(()) => Ok(match (reader.top, reader.nested) {
            (Some(yes), _) => Some(Said { yes, key: KEY }),
            (None, Some(yes)) => Some(Said { yes, key: IN_SECTION }),
            (None, None) => None,
        }),
        Err(why) => {
            let before = text.iter().take(reader.at);
            Err(Flaw { line: 1 + before.filter(|byte| **byte == b'\n').count(), why })
        }
    }
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
    fn is_blank(&self, at: usize) -> bool {
        self.text.get(at).is_none_or(|byte| is_break(*byte) || matches!(byte, b' ' | b'\t'))
    }

    /// Goes on to the first byte from here on that is `such`, or to the end.
    fn go_to(&mut self, such: fn(u8) -> bool) {
        self.at = self.find(self.at, such);
    }

    fn find(&self, from: usize, such: fn(u8) -> bool) -> usize {
        let rest = &self.text[from..];
        rest.iter().position(|byte| such(*byte)).map_or(self.text.len(), |count| from + count)
    }

    /// Goes behind the end of a line.
    fn next_line(&mut self) {
        self.at += 1;
        self.line = self.at;
        self.property = None;
    }

    /// Whether the line marks the end or the beginning of a document.
    fn is_marker(&self, marker: &[u8]) -> bool {
        self.at == self.line
            && self.text[self.at..].starts_with(marker)
            && self.is_blank(self.at + 3)
    }

    /// The column of the keys here, between brackets.
    fn level(&self) -> usize {
        self.least + self.depth - 1
    }

    fn read(&mut self) -> Result<()> {
        loop {
            self.go_to(|byte| byte != b' ');
            match self.peek() {
                None if self.depth > 0 => return Err(CUT),
                None => return Ok(()),
                Some(b'\n' | b'\r') => self.next_line(),
                Some(b'#') => self.go_to(is_break),
                Some(b'\t') => return Err(TAB),
                Some(byte) if self.depth > 0 => self.flow(byte)?,
                Some(byte) => self.block(byte)?,
            }
        }
    }

    /// A token outside of brackets.
    fn block(&mut self, byte: u8) -> Result<()> {
        let column = self.at - self.line;
        if self.is_marker(b"...") || self.is_marker(b"---") && self.begun {
            return Err(DOCUMENTS);
        }
        self.begun = true;
        if self.is_marker(b"---") {
            self.at += 3;
            return Ok(());
        }
        match byte {
            b'-' if self.is_blank(self.at + 1) => {
                self.entry()?;
                self.least = column + 1;
                self.property = None;
                self.at += 1;
            }
            b'?' | b':' if self.is_blank(self.at + 1) => return Err(COMPLEX),
            b'&' | b'*' | b'!' => self.property(column)?,
            b'|' | b'>' => self.block_scalar(),
            b'{' | b'[' => self.open(byte)?,
            b'"' | b'\'' => {
                let word = self.quoted(byte)?;
                self.go_to(|byte| byte != b' ');
                if self.peek() == Some(b':') && self.is_blank(self.at + 1) {
                    self.block_key(column, word)?;
                }
            }
            b',' | b'}' | b']' | b'%' | b'@' | b'`' => return Err(STRAY),
            _ => self.plain(column)?,
        }
        Ok(())
    }

    /// A token between brackets.
    fn flow(&mut self, byte: u8) -> Result<()> {
        match byte {
            b'{' | b'[' => self.open(byte)?,
            b'}' | b']' => {
                self.at += 1;
                self.depth -= 1;
                let next = self.find(self.at, |byte| byte != b' ');
                if self.text.get(next) == Some(&b':') {
                    return Err(COMPLEX);
                }
            }
            b',' | b':' => self.at += 1,
            b'?' => return Err(COMPLEX),
            b'&' | b'*' | b'!' => self.property(0)?,
            b'"' | b'\'' => {
                let word = self.quoted(byte)?;
                self.go_to(|byte| byte != b' ');
                if self.peek() == Some(b':') {
                    self.at += 1;
                    self.key(self.level(), word)?;
                }
            }
            _ => self.plain_in_flow()?,
        }
        Ok(())
    }

    fn open(&mut self, bracket: u8) -> Result<()> {
        self.at += 1;
        self.depth += 1;
        match bracket {
            b'[' => self.entry(),
            _ => Ok(()),
        }
    }

    /// An anchor, an alias or a tag.
    fn property(&mut self, column: usize) -> Result<()> {
        if self.place == Place::Before {
            return Err(PROPERTY);
        }
        self.property.get_or_insert(column);
        match self.depth {
            0 => self.go_to(|byte| is_break(byte) || matches!(byte, b' ' | b'\t')),
            _ => self.go_to(|byte| {
                is_break(byte) || matches!(byte, b' ' | b'\t' | b',' | b'[' | b']' | b'{' | b'}')
            }),
        }
        Ok(())
    }

    /// What stands between quotes, over lines if need be, as it is written.
    fn quoted(&mut self, quote: u8) -> Result<&'a [u8]> {
        let start = self.at + 1;
        self.at = start;
        loop {
            match self.peek().ok_or(CUT)? {
                b'\\' if quote == b'"' => self.at += 1,
                b'\'' if quote == b'\'' && self.text.get(self.at + 1) == Some(&quote) => {
                    self.at += 1
                }
                byte if byte == quote => break,
                byte if is_break(byte) => self.line = self.at + 1,
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    /// The lines behind `|` or `>`: all that are empty, or begin far enough to the right.
    fn block_scalar(&mut self) {
        self.go_to(is_break);
        while self.peek().is_some() {
            let start = self.at + 1;
            let text = self.find(start, |byte| byte != b' ');
            let is_empty = self.text.get(text).is_none_or(|byte| is_break(*byte));
            if !is_empty && text - start < self.least.max(1) {
                break;
            }
            self.at = self.find(text, is_break);
        }
    }

    /// Words without quotes: a key, or a value, over lines if need be.
    fn plain(&mut self, column: usize) -> Result<()> {
        let start = self.at;
        loop {
            match self.peek() {
                Some(b':') if self.is_blank(self.at + 1) => {
                    let word = self.text[start..self.at].trim_ascii_end();
                    return self.block_key(column, word);
                }
                Some(b'\t') => return Err(TAB),
                Some(b'#') if self.text[self.at - 1] == b' ' => return Ok(()),
                Some(byte) if !is_break(byte) => self.at += 1,
                _ => break,
            }
        }
        // It goes on in lines that begin far enough to the right.
        while self.peek().is_some() {
            let next = self.find(self.at, |byte| byte != b' ' && !is_break(byte));
            let breaks = self.text[self.at..next].iter().rposition(|byte| is_break(*byte));
            let line = self.at + breaks.map_or(0, |last| last + 1);
            let stops = self.text.get(next).is_none_or(|byte| *byte == b'#');
            if stops || next - line < self.least {
                break;
            }
            self.at = next;
            while let Some(byte) = self.peek().filter(|byte| !is_break(*byte)) {
                match byte {
                    b'\t' => return Err(TAB),
                    b'#' if self.text[self.at - 1] == b' ' => return Ok(()),
                    _ => self.at += 1,
                }
            }
        }
        Ok(())
    }

    /// The same between brackets.
    fn plain_in_flow(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            let ends =
                || matches!(self.text.get(self.at + 1), Some(b',' | b'[' | b']' | b'{' | b'}'));
            match byte {
                b',' | b'[' | b']' | b'{' | b'}' => break,
                b':' if self.is_blank(self.at + 1) || ends() => {
                    let word = self.text[start..self.at].trim_ascii_end();
                    self.at += 1;
                    return self.key(self.level(), word);
                }
                b'\t' => return Err(TAB),
                b'#' if matches!(self.text[self.at - 1], b' ' | b'\n' | b'\r') => break,
                b'\n' | b'\r' => self.line = self.at + 1,
                _ => {}
            }
            self.at += 1;
        }
        Ok(())
    }

    /// A key outside of brackets, at its colon.
    fn block_key(&mut self, column: usize, word: &[u8]) -> Result<()> {
        // With an anchor or a tag it begins there.
        let column = self.property.take().unwrap_or(column);
        self.at += 1;
        self.least = column + 1;
        self.key(column, word)
    }

    /// A key in `column`, its value ahead.
    fn key(&mut self, column: usize, word: &[u8]) -> Result<()> {
        let root = *self.root.get_or_insert(column);
        let is = |name: &str| word == name.as_bytes();
        if column <= root {
            self.place = Place::Outside;
            if is(KEY) {
                self.top = Some(self.value()?);
            } else if is(SECTION) {
                // A second section replaces the first one.
                (self.place, self.nested) = (Place::Before, None);
            }
        } else if self.place == Place::Before {
            self.place = Place::Inside(column);
        }
        let in_section = self.place == Place::Inside(column);
        if in_section && is(KEY) {
            self.nested = Some(self.value()?);
        }
        match is(MERGE) && (in_section || column <= root) {
            true => Err(PROPERTY),
            false => Ok(()),
        }
    }

    /// An item of a list.
    fn entry(&mut self) -> Result<()> {
        if self.place == Place::Before {
            self.place = Place::Outside;
        }
        self.root.map(drop).ok_or(LIST)
    }

    /// The value of the key that was just read, if it is a word and nothing else. Nothing is
    /// taken off.
    ///
    /// Of what is no boolean Hermes takes words as it takes them from a variable, and any other
    /// word, and nothing, for no. A number is yes unless it is zero, and a list unless it is
    /// empty; who writes that may mean anything.
    fn value(&self) -> Result<bool> {
        let is_flow = self.depth > 0;
        let start = self.find(self.at, |byte| byte != b' ');
        let rest = &self.text[start..];
        let is_end = |at: usize| match rest.get(at) {
            None => true,
            Some(b'#') => at == 0 || rest[at - 1] == b' ',
            Some(b',' | b'}' | b']') => is_flow,
            Some(byte) => is_break(*byte),
        };
        let (word, end) = match rest.first() {
            Some(quote @ (b'"' | b'\'')) => {
                let is_closing = |byte: &u8| byte == quote || *byte == b'\\' || is_break(*byte);
                let end = 1 + rest[1..].iter().position(is_closing).ok_or(CUT)?;
                if rest[end] != *quote {
                    return Err(VALUE);
                }
                (rest[1..end].trim_ascii(), end + 1)
            }
            _ => {
                let end = (0..=rest.len()).find(|at| is_end(*at)).unwrap_or(rest.len());
                (rest[..end].trim_ascii_end(), end)
            }
        };
        if !self.ends_at(start + end, is_flow) {
            return Err(VALUE);
        }
        let is_quoted = matches!(rest.first(), Some(b'"' | b'\''));
        let known =
            |words: &str| words.split(' ').any(|it| it.as_bytes().eq_ignore_ascii_case(word));
        if known("true yes on 1") {
            return Ok(true);
        }
        let is_word = word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        match is_quoted || is_word || matches!(word, b"~" | b"0") {
            true => Ok(false),
            false => Err(VALUE),
        }
    }

    /// Whether nothing more of a value comes from `at` on.
    fn ends_at(&self, mut at: usize, is_flow: bool) -> bool {
        let mut line = self.line;
        loop {
            match self.text.get(at) {
                None => return !is_flow,
                Some(b' ') => at += 1,
                Some(b'#') => at = self.find(at, is_break),
                Some(byte) if is_break(*byte) => {
                    at += 1;
                    line = at;
                }
                Some(byte) if is_flow => return matches!(byte, b',' | b'}' | b']'),
                Some(_) if line == self.line => return false,
                // A list may begin in the column of its key.
                Some(b'-') if self.is_blank(at + 1) => return at - line + 1 < self.least,
                Some(_) => return at - line < self.least,
            }
        }
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::super::peer;
    use super::*;
    use proptest::prelude::*;

    const TOP: Option<&str> = Some(KEY);
    const NESTED: Option<&str> = Some(IN_SECTION);

    /// What a text says: `yes`, `no` or `-`, and by which key; or what is wrong.
    fn read(text: &str) -> (&'static str, Option<&'static str>) {
        match multiplex(text.as_bytes()) {
            Ok(Some(said)) => (if said.yes { "yes" } else { "no" }, Some(said.key)),
            Ok(None) => ("-", None),
            Err(flaw) => (flaw.why, None),
        }
    }

    /// Texts, with M and G for the keys.
    fn named(text: &str) -> String {
        text.replace('M', KEY).replace('G', SECTION)
    }

    /// What is understood.
    const KNOWN: [(&str, &str, Option<&str>); 82] = [
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
        ("M: ' TRUE '", "yes", TOP),
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
        ("G: {M: on # x\n}\n", "yes", NESTED),
        ("G: {\nM: true\n}\n", "yes", NESTED),
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
        ("{\n  \"G\": {\n    \"M\": true\n  }\n}\n", "yes", NESTED),
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
    const ODD: [(&str, &str); 33] = [
        ("M: &a true", VALUE),
        ("M: !!bool yes", VALUE),
        ("M: *a", VALUE),
        ("M: 2", VALUE),
        ("M: 0x0", VALUE),
        ("M: -1", VALUE),
        ("M: \"tr\\x75e\"", VALUE),
        ("M: 'it''s'", VALUE),
        ("M: |\n  true", VALUE),
        ("M: [true]", VALUE),
        ("M: {a: 1}", VALUE),
        ("M:\n  true", VALUE),
        ("M:\n- true", VALUE),
        ("M: true\n  false", VALUE),
        ("M: \"on\n\"", VALUE),
        ("G: {M: true\n false}", VALUE),
        ("G: &a\n  M: true", PROPERTY),
        ("G: *M", PROPERTY),
        ("G: !!map {M: true}", PROPERTY),
        ("a: &M {M: true}\n<<: *M", PROPERTY),
        ("G:\n  <<: *M", PROPERTY),
        ("? M\n: true", COMPLEX),
        ("{a: 1}: M", COMPLEX),
        ("a: {? M : true}", COMPLEX),
        ("\tM: true", TAB),
        ("M:\ttrue", VALUE),
        ("a: 1\t\nM: true", TAB),
        ("M: true\n---\nM: false", DOCUMENTS),
        ("M: true\n...\n", DOCUMENTS),
        ("- M: true\n", LIST),
        ("[M: true]\n", LIST),
        ("a: [M\n", CUT),
        ("@M: true\n", STRAY),
    ];

    #[test]
    fn keys_where_they_count_and_nowhere_else() {
        for (text, says, key) in KNOWN {
            assert_eq!(read(&named(text)), (says, key), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        for (text, why) in ODD {
            let flaw = multiplex(named(text).as_bytes()).unwrap_err();
            assert_eq!(flaw.why, why, "{text:?}");
        }
        for (text, line) in [("\tM: 1", 1), ("a: 1\n\nM: 2\n", 3), ("M: 1\n# \u{85}", 2)] {
            assert_eq!(multiplex(named(text).as_bytes()).unwrap_err().line, line, "{text:?}");
        }
        assert!(multiplex(&[KEY.as_bytes(), b": true \xff"].concat()).is_err());
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
            let _ = multiplex(&[&before, KEY.as_bytes(), &after].concat());
        }

        #[test]
        fn no_text_of_yaml_crashes_it(
            words in proptest::collection::vec(
                "multiplex_profiles|gateway|[-?:,{}\\[\\]#&*!|>'\"%@` \n\r\t\\\\a0]{1,3}", 0..24),
        ) {
            let _ = multiplex(&[words.concat(), KEY.into()].concat().into_bytes());
            let _ = multiplex(&[KEY.into(), words.concat()].concat().into_bytes());
        }
    }
}
