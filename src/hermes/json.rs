//! A scanner of JSON objects: checks the whole text and finds the top-level members.
//!
//! State files are cut short, nested without end or not JSON at all; nanoserde
//! loops for ever on some of these, and its reader costs 16 kB. The scanner keeps
//! one byte a level and makes one pass, so it ends on any input.

use crate::model::values::digits_of;
use crate::text::messages::text;
use std::ops::Range;
use std::str::Chars;

/// Levels of nesting below the top that are followed; Hermes itself writes fewer than ten.
const MAX_DEPTH: usize = 128;

/// One member of the top-level object, as byte ranges of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The key, with its quotes.
    pub(crate) key: Range<usize>,
    /// The value, as it is written.
    pub(crate) value: Range<usize>,
}

/// Why a text is not an object of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing but white space.
    Empty,
    /// It ends in the middle.
    Cut,
    /// Its value is none of `{…}`.
    NoObject,
    /// Over 128 levels.
    TooDeep,
    /// Not JSON, from this byte on.
    Syntax(usize),
    /// Not UTF-8, from this byte on.
    Encoding(usize),
}

impl Flaw {
    /// The reason in words.
    pub(crate) fn why(self) -> String {
        let (what, at) = match self {
            Flaw::Empty => return text!("is empty").read().into(),
            Flaw::Cut => return text!("is cut short").read().into(),
            Flaw::NoObject => return text!("holds no JSON object").read().into(),
            Flaw::TooDeep => return text!("is nested over 128 levels deep").read().into(),
            Flaw::Syntax(at) => ("JSON", at),
            Flaw::Encoding(at) => ("UTF-8", at),
        };
        format!("is not {what} at byte {at}")
    }
}

/// The members of the object that `text` is, in order, duplicates included.
pub(crate) fn members(text: &str) -> Result<Vec<Member>, Flaw> {
    let text = text.as_bytes();
    let mut scanner = Scanner { text, at: 0, open: Vec::new(), members: Vec::new() };
    scanner.space();
    let first = scanner.peek().ok_or(Flaw::Empty)?;
    // Cut inside a word it may still have been anything; whole, it is no object.
    let is_whole = scanner.value().is_some();
    if is_whole && first != b'{' {
        return Err(Flaw::NoObject);
    }
    if is_whole {
        scanner.space();
    }
    match scanner.peek() {
        _ if scanner.open.len() > MAX_DEPTH + 1 => Err(Flaw::TooDeep),
        None if is_whole => Ok(scanner.members),
        None => Err(Flaw::Cut),
        Some(_) => Err(Flaw::Syntax(scanner.at)),
    }
}

/// The string that `literal`, a value that [`members`] found, stands for; `None` if
/// it is no string. Half a surrogate pair, which is no character, becomes U+FFFD.
pub(crate) fn string(literal: &str) -> Option<String> {
    let mut chars = literal.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut decoded = String::new();
    while let Some(plain) = chars.next() {
        decoded.push(match plain {
            '\\' => match chars.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => unicode(&mut chars).unwrap_or(char::REPLACEMENT_CHARACTER),
                itself => itself,
            },
            _ => plain,
        });
    }
    Some(decoded)
}

/// The character of a `\u` escape, or of the two that make a surrogate pair; takes
/// the second one only if they do.
fn unicode(chars: &mut Chars<'_>) -> Option<char> {
    let unit = |chars: &mut Chars<'_>| {
        let (hex, rest) = chars.as_str().split_at_checked(4)?;
        *chars = rest.chars();
        digits_of(hex.as_bytes(), 16)?.try_into().ok()
    };
    let first = unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    let mut ahead = chars.clone();
    if (ahead.next(), ahead.next()) != (Some('\\'), Some('u')) {
        return None;
    }
    let second = unit(&mut ahead)?.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
    *chars = ahead;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
}

const DIGITS: &[u8] = b"0123456789";

/// Goes through a text. Where it is no JSON, its methods return `None`, and it stands at the first
/// byte that may not be there.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// What is open, by the brackets that close it.
    open: Vec<u8>,
    members: Vec<Member>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Takes the next byte if it is one of `set`.
    #[inline(never)]
    fn take(&mut self, set: &[u8]) -> Option<u8> {
        let byte = self.peek().filter(|byte| set.iter().any(|it| it == byte))?;
        self.at += 1;
        Some(byte)
    }

    /// Takes the next byte if it is this one; whether it is.
    #[inline(never)]
    fn takes(&mut self, byte: u8) -> bool {
        self.take(&[byte]).is_some()
    }

    /// Takes the white space that comes next.
    #[inline(never)]
    fn space(&mut self) {
        self.skip(b" \t\n\r");
    }

    /// Takes as many as there are.
    #[inline(never)]
    fn skip(&mut self, set: &[u8]) {
        while self.take(set).is_some() {}
    }

    /// A key, its colon and the white space around them; the key's range.
    fn key(&mut self) -> Option<Range<usize>> {
        self.space();
        let start = self.at;
        if !self.takes(b'"') {
            return None;
        }
        self.string()?;
        let key = start..self.at;
        self.space();
        self.takes(b':').then_some(key)
    }

    /// One whole value, and the members if it is an object.
    #[inline(never)]
    fn value(&mut self) -> Option<()> {
        loop {
            let in_object = self.open.last() == Some(&b'}');
            let key = if in_object { self.key()? } else { 0..0 };
            self.space();
            if in_object && self.open.len() == 1 {
                self.members.push(Member { key, value: self.at..self.at });
            }
            match self.take(b"{[") {
                Some(bracket) => {
                    self.space();
                    // In ASCII, either bracket is two before the one that closes it.
                    let close = bracket + 2;
                    if !self.takes(close) {
                        self.open.push(close);
                        if self.open.len() > MAX_DEPTH + 1 {
                            return None;
                        }
                        continue;
                    }
                }
                None => self.scalar()?,
            }
            // After a value: close what ends here, then go on to the next one.
            loop {
                if let ([_], Some(member)) = (&self.open[..], self.members.last_mut()) {
                    member.value.end = self.at;
                }
                let Some(close) = self.open.last() else { return Some(()) };
                let set = [b',', *close];
                self.space();
                if self.take(&set)? == b',' {
                    break;
                }
                self.open.pop();
            }
        }
    }

    fn scalar(&mut self) -> Option<()> {
        if self.takes(b'"') {
            return self.string();
        }
        let is_negative = self.takes(b'-');
        let word: &[u8] = match self.peek()? {
            // Not JSON, but Python writes and reads them.
            b'I' => b"Infinity",
            b'N' if !is_negative => b"NaN",
            b't' if !is_negative => b"true",
            b'f' if !is_negative => b"false",
            b'n' if !is_negative => b"null",
            _ => return self.number(),
        };
        word.iter().all(|byte| self.takes(*byte)).then_some(())
    }

    /// The rest of a string whose opening quote was taken.
    #[inline(never)]
    fn string(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                0..b' ' => return None,
                byte => {
                    self.at += 1;
                    match byte {
                        b'"' => return Some(()),
                        b'\\' if self.take(b"\"\\/bfnrtu")? == b'u' => {
                            for _ in 0..4 {
                                self.take(b"0123456789abcdefABCDEF")?;
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// The rest of a number whose sign was taken.
    fn number(&mut self) -> Option<()> {
        if self.take(DIGITS)? != b'0' {
            self.skip(DIGITS);
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if self.take(b"eE").is_some() {
            self.take(b"+-");
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        self.take(DIGITS)?;
        self.skip(DIGITS);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Result<Vec<(&str, &str)>, Flaw> {
        let members = members(text)?;
        Ok(members.into_iter().map(|m| (&text[m.key], &text[m.value])).collect())
    }

    #[test]
    fn members_are_found_as_they_are_written() {
        let text = " {\"a\" : 1.50e+3,\n\"b\":{\"a\":[{},[ ],{\"c\":null}]} ,\"\\u0061\":\"x\\\"}\", \"a\":-0}\n";
        let expected = [
            ("\"a\"", "1.50e+3"),
            ("\"b\"", "{\"a\":[{},[ ],{\"c\":null}]}"),
            ("\"\\u0061\"", "\"x\\\"}\""),
            ("\"a\"", "-0"),
        ];
        assert_eq!(pairs(text).unwrap(), expected);
        assert_eq!(pairs("{}"), Ok(vec![]));
        assert_eq!(pairs("{ \"x\":NaN,\"y\":-Infinity}").unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_object_says_why() {
        let table = [
            ("", Flaw::Empty),
            (" \n", Flaw::Empty),
            ("[]", Flaw::NoObject),
            ("7", Flaw::NoObject),
            ("\"x\"", Flaw::NoObject),
            ("nul", Flaw::Cut),
            ("{", Flaw::Cut),
            ("{\"x\":", Flaw::Cut),
            ("{\"x\":[", Flaw::Cut),
            ("{\"x\":{\"a\":1", Flaw::Cut),
            ("{\"x\":\"\\u00", Flaw::Cut),
            ("{x:1}", Flaw::Syntax(1)),
            ("{\"x\" 1}", Flaw::Syntax(5)),
            ("{\"x\":1,}", Flaw::Syntax(7)),
            ("{\"x\":[1}}", Flaw::Syntax(7)),
            ("{\"x\":01}", Flaw::Syntax(6)),
            ("{\"x\":\"\n\"}", Flaw::Syntax(6)),
            ("{\"x\":\"\\q\"}", Flaw::Syntax(7)),
            ("{} x", Flaw::Syntax(3)),
            ("{}{}", Flaw::Syntax(2)),
        ];
        for (text, flaw) in table {
            assert_eq!(members(text), Err(flaw), "{text:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(members(&nested(128)).is_ok());
        assert_eq!(members(&nested(130)), Err(Flaw::TooDeep));
        assert_eq!(members(&"{\"a\":".repeat(200_000)), Err(Flaw::TooDeep));
        assert_eq!(members(&"[".repeat(200_000)), Err(Flaw::TooDeep));
    }

    #[test]
    fn strings_are_decoded_one_by_one() {
        let literal = r#""a\u0062\n\"\\\/\ud83d\ude00.""#;
        assert_eq!(string(literal), Some("ab\n\"\\/\u{1f600}.".into()));
        for literal in ["7", "null", "{}"] {
            assert_eq!(string(literal), None, "{literal}");
        }
        assert_eq!(string(r#""\ud800\u0041\udc00""#), Some("\u{fffd}A\u{fffd}".into()));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::hash_map(".*", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_json_on_any_document(value in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            match value.as_object() {
                None => prop_assert_eq!(members(&text), Err(Flaw::NoObject)),
                Some(object) => {
                    let found = members(&text).unwrap();
                    prop_assert_eq!(found.len(), object.len());
                    for member in found {
                        let key = string(&text[member.key]).unwrap();
                        let value: serde_json::Value = serde_json::from_str(&text[member.value]).unwrap();
                        prop_assert_eq!(&value, &object[&key]);
                    }
                }
            }
        }

        #[test]
        fn escapes_are_decoded_as_std_decodes_utf16(units in proptest::collection::vec(any::<u16>(), 0..6)) {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let literal = format!("\"{escaped}\"");
            prop_assert_eq!(string(&literal).unwrap(), String::from_utf16_lossy(&units));
        }

        #[test]
        fn it_agrees_with_serde_json_on_any_text(text in "[{}\\[\\]:,\"\\\\ u0-9a-f.eE+ntruls-]{0,40}") {
            let peer = serde_json::from_str::<serde_json::Value>(&text);
            match members(&text) {
                // A lone surrogate or a number out of range is well-formed all the same.
                Ok(_) => prop_assert!(peer.as_ref().is_ok_and(|v| v.is_object()) || text.contains("\\u") || text.contains(['e', 'E'])),
                Err(_) => prop_assert!(!peer.is_ok_and(|v| v.is_object())),
            }
        }

        #[test]
        fn every_cut_of_a_document_is_a_flaw(value in any_json()) {
            let text = serde_json::json!({ "x": value, "desired_state": "running" }).to_string();
            for cut in (0..text.len()).filter(|&cut| text.is_char_boundary(cut)) {
                prop_assert!(members(&text[..cut]).is_err());
            }
        }
    }
}
