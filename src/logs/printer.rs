//! How lines of a log are shown: as their bytes, on a terminal, or as JSON.

use crate::error::Result;
use crate::logs::stamp::Stamp;
use crate::logs::timezone::Zone;
use crate::model::calendar;
use crate::sys::print;
use crate::text::{hex, hex_digits, is_unsafe};

/// What becomes of the stamps that s6-log has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// They stay.
    AsTheyAre,
    /// They are rewritten, in UTC.
    Utc,
    /// They are rewritten, in local time.
    Local,
}

/// How lines are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the bytes they are.
    Bytes,
    /// As text, with `\xNN` for what is not UTF-8 and for what could do something to a
    /// terminal.
    Terminal,
    /// As objects with the keys profile, at and line.
    Json,
}

/// Formats lines, in pieces as they come.
pub(crate) struct Printer {
    pub(crate) form: Form,
    /// JSON is made for [`Stamps::Utc`] only.
    pub(crate) stamps: Stamps,
    /// The zone of the loggers; `None` if nobody looks at stamps.
    pub(crate) zone: Option<Zone>,
    /// To how many bytes the name before a line is filled up; 0 for no names.
    pub(crate) width: usize,
    /// What is to be printed.
    pub(crate) out: Vec<u8>,
}

impl Printer {
    /// Begins a line of `profile` with this `stamp`. Returns how many bytes of the line are
    /// done by that.
    #[inline(never)]
    pub(crate) fn begin(&mut self, profile: &str, stamp: Option<Stamp>) -> usize {
        let json = self.form == Form::Json;
        if json {
            self.put("{\"profile\":\"");
            self.put(profile);
            self.put("\",\"at\":");
        } else if self.width > 0 {
            self.put(profile);
            for _ in profile.len()..self.width {
                self.put(" ");
            }
            self.put(" | ");
        }
        let Some(stamp) = stamp.filter(|_| self.stamps != Stamps::AsTheyAre) else {
            if json {
                self.put("null,\"line\":\"");
            }
            return 0;
        };
        let mut offset = 0;
        if self.stamps == Stamps::Local
            && let Some(zone) = &self.zone
        {
            offset = zone.offset(stamp.seconds);
        }
        // `+02:00` is written like a time of the day. Old offsets have seconds, too.
        let sign = if offset < 0 { "-" } else { "+" };
        let clock = calendar::date_and_time(offset.abs().into(), sign);
        let clock = &clock[10..if offset % 60 == 0 { 16 } else { 19 }];
        let (before, between, after) =
            if json { ("\"", "T", "Z\",\"line\":\"") } else { ("", " ", clock) };
        let seconds = stamp.seconds + i64::from(offset);
        self.put(before);
        self.put(&calendar::exact(seconds, between, stamp.nanos, after));
        stamp.length + if json { stamp.blanks } else { 0 }
    }

    /// Adds a piece of a line, which `ends` the line or not. Returns how many of its bytes are
    /// done: a character that may be cut at the end has to come again with the next piece.
    pub(crate) fn piece(&mut self, bytes: &[u8], ends: bool) -> usize {
        let mut done = 0;
        if self.form == Form::Bytes {
            self.out.extend_from_slice(bytes);
            done = bytes.len();
        }
        for chunk in bytes[done..].utf8_chunks() {
            for c in chunk.valid().chars() {
                self.character(c);
            }
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            if !ends && done + invalid.len() == bytes.len() {
                break;
            }
            if self.form == Form::Terminal {
                self.put(&hex(invalid));
            } else if !invalid.is_empty() {
                self.put("\u{fffd}");
            }
            done += invalid.len();
        }
        if ends {
            self.put(if self.form == Form::Json { "\"}\n" } else { "\n" });
        }
        done
    }

    fn character(&mut self, c: char) {
        let mut utf8 = [0; 4];
        let bytes = c.encode_utf8(&mut utf8).as_bytes();
        let json = self.form == Form::Json;
        if json && is_unsafe(c) {
            // No unsafe character needs more than four digits.
            self.put("\\u");
            self.put(&hex_digits(c.into(), 4));
        } else if !json && is_unsafe(c) && c != '\t' {
            self.put(&hex(bytes));
        } else {
            if json && matches!(c, '"' | '\\') {
                self.put("\\");
            }
            self.out.extend_from_slice(bytes);
        }
    }

    #[inline(never)]
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Prints what was added. Returns whether anybody reads it.
    pub(crate) fn print(&mut self) -> Result<bool> {
        let is_read = print::print(&self.out)?;
        self.out.clear();
        Ok(is_read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printer(form: Form) -> Printer {
        Printer { form, stamps: Stamps::AsTheyAre, zone: None, width: 0, out: Vec::new() }
    }

    /// How a line is shown that comes in pieces of `size` bytes.
    fn shown(form: Form, line: &[u8], size: usize) -> Vec<u8> {
        let mut printer = printer(form);
        let mut at = printer.begin("x", None);
        loop {
            let piece = &line[at..line.len().min(at + size)];
            let ends = at + piece.len() == line.len();
            at += printer.piece(piece, ends);
            if ends {
                assert_eq!(at, line.len());
                return printer.out;
            }
        }
    }

    #[test]
    fn unsafe_characters_are_escaped_on_a_terminal_and_in_json() {
        let mut all: Vec<char> = ('\u{202a}'..='\u{202e}').collect();
        all.extend('\u{2066}'..='\u{2069}');
        all.extend(['\u{2028}', '\u{2029}', '\u{85}', '\u{61c}', '\u{200e}', '\u{200f}']);
        all.extend(('\0'..='\x1f').chain('\x7f'..='\u{9f}'));
        for c in all {
            let line = format!("a{c}b");
            let bytes = c.to_string().bytes().map(|b| format!("\\x{b:02x}")).collect::<String>();
            let bytes = if c == '\t' { "\t" } else { &bytes };
            let terminal = String::from_utf8(shown(Form::Terminal, line.as_bytes(), 100)).unwrap();
            assert_eq!(terminal, format!("a{bytes}b\n"), "{c:?}");
            let json = String::from_utf8(shown(Form::Json, line.as_bytes(), 100)).unwrap();
            let escape = format!("\\u{:04x}", u32::from(c));
            let start = r#"{"profile":"x","at":null,"line":"#;
            assert_eq!(json, format!("{start}\"a{escape}b\"}}\n"), "{c:?}");
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read["line"], line);
            // Elsewhere the bytes are exact.
            assert_eq!(shown(Form::Bytes, line.as_bytes(), 100), format!("{line}\n").as_bytes());
        }
        for c in ['é', '\u{2027}', '\u{202f}', '\u{2065}', '\u{206a}', '😀'] {
            let line = shown(Form::Terminal, c.to_string().as_bytes(), 100);
            assert_eq!(line, format!("{c}\n").as_bytes());
        }
    }

    #[test]
    fn a_terminal_sees_no_control_character_but_the_tab() {
        let line = "a\tb\\x1b\x1b[31m\r\x07\x7f\u{9b}é\0".as_bytes();
        let shown = shown(Form::Terminal, &[line, b"\xff\xc3"].concat(), 100);
        let expected = "a\tb\\x1b\\x1b[31m\\x0d\\x07\\x7f\\xc2\\x9bé\\x00\\xff\\xc3\n";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }

    #[test]
    fn local_times_have_their_offset() {
        let table = [
            (0, "2026-05-24 18:05:33.000000007+00:00"),
            (7200, "2026-05-24 20:05:33.000000007+02:00"),
            (-12_600, "2026-05-24 14:35:33.000000007-03:30"),
            (3208, "2026-05-24 18:59:01.000000007+00:53:28"),
        ];
        for (offset, expected) in table {
            // A rule counts the other way.
            let (sign, ahead) = (if offset < 0 { '+' } else { '-' }, i32::abs(offset));
            let (hours, minutes, seconds) = (ahead / 3600, ahead / 60 % 60, ahead % 60);
            let rule = format!("ABC{sign}{hours}:{minutes}:{seconds}");
            let zone = Some(Zone::load(Some(rule.as_bytes())).unwrap());
            let mut printer = Printer { stamps: Stamps::Local, zone, ..printer(Form::Bytes) };
            let stamp = Stamp { seconds: 1_779_645_933, nanos: 7, length: 25, blanks: 1 };
            assert_eq!(printer.begin("x", Some(stamp)), 25);
            assert_eq!(String::from_utf8(printer.out).unwrap(), expected);
        }
    }

    #[test]
    fn stamps_of_both_kinds_are_rewritten_and_blanks_stay() {
        let zone = Zone::load(Some(b"CET-1CEST,M3.5.0,M10.5.0/3")).unwrap();
        let table: [(&[u8], [&str; 4]); 2] = [
            (
                b"2026-05-24 20:05:33.123456789   x",
                [
                    "p   | 2026-05-24 20:05:33.123456789   x\n",
                    "p   | 2026-05-24 18:05:33.123456789+00:00   x\n",
                    "p   | 2026-05-24 20:05:33.123456789+02:00   x\n",
                    r#"{"profile":"p","at":"2026-05-24T18:05:33.123456789Z","line":" x"}"#,
                ],
            ),
            (
                b"@400000006b01bc6b1949b7b6  x",
                [
                    "p   | @400000006b01bc6b1949b7b6  x\n",
                    "p   | 2026-11-21 15:44:06.424261558+00:00  x\n",
                    "p   | 2026-11-21 16:44:06.424261558+01:00  x\n",
                    r#"{"profile":"p","at":"2026-11-21T15:44:06.424261558Z","line":" x"}"#,
                ],
            ),
        ];
        let ways = [
            (Form::Bytes, Stamps::AsTheyAre),
            (Form::Bytes, Stamps::Utc),
            (Form::Bytes, Stamps::Local),
            (Form::Json, Stamps::Utc),
        ];
        for (line, expected) in table {
            for ((form, stamps), expected) in ways.into_iter().zip(expected) {
                let zone = Some(zone.clone());
                let mut printer = Printer { stamps, zone, width: 3, ..printer(form) };
                let stamp = Stamp::of(line, printer.zone.as_ref().unwrap());
                let done = printer.begin("p", stamp);
                printer.piece(&line[done..], true);
                let shown = String::from_utf8(printer.out).unwrap();
                assert_eq!(shown.trim_end(), expected.trim_end());
                assert!(shown.ends_with('\n'));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_json_wherever_they_are_cut(
            line in prop_oneof![proptest::collection::vec(any::<u8>(), 0..99), ".*".prop_map(String::into_bytes)],
            size in 4usize..20,
        ) {
            let shown = String::from_utf8(shown(Form::Json, &line, size)).unwrap();
            prop_assert!(!shown.trim_end_matches('\n').contains(is_unsafe), "{:?}", shown);
            let json: serde_json::Value = serde_json::from_str(&shown).unwrap();
            let text = String::from_utf8_lossy(&line);
            prop_assert_eq!(json, serde_json::json!({"profile": "x", "at": null, "line": text}));
        }

        #[test]
        fn any_bytes_are_safe_on_a_terminal_wherever_they_are_cut(
            line in prop_oneof![proptest::collection::vec(any::<u8>(), 0..99), ".*".prop_map(String::into_bytes)],
            size in 4usize..20,
        ) {
            let shown = String::from_utf8(shown(Form::Terminal, &line, size)).unwrap();
            let text = shown.strip_suffix('\n').unwrap();
            prop_assert!(!text.contains(|c| is_unsafe(c) && c != '\t'), "{:?}", text);
            prop_assert_eq!(super::tests::shown(Form::Terminal, &line, 1000), shown.as_bytes());
            prop_assert_eq!(super::tests::shown(Form::Bytes, &line, size), [&line[..], b"\n"].concat());
        }
    }
}
