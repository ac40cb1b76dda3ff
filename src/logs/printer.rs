//! How lines of a log are shown: their bytes, on a terminal, or as JSON.

use crate::logs::stamp::Stamp;
use crate::logs::timezone::Zone;
use crate::model::calendar;

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

/// How the bytes of a line are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Bytes,
    /// What could do something to a terminal, and what is no UTF-8, as `\xNN`.
    Terminal,
    /// As an object: profile, at, line.
    Json,
}

/// Shows lines, in pieces as they come.
#[derive(Debug)]
pub struct Printer {
    /// How.
    pub form: Form,
    /// With which stamps.
    pub stamps: Stamps,
    /// Where the loggers are.
    pub zone: Zone,
    /// What is to be printed.
    pub out: Vec<u8>,
}

impl Printer {
    /// When a line was written, in seconds since 1970 UTC and nanoseconds.
    pub fn moment(&self, stamp: &Stamp) -> (i64, u32) {
        let seconds = stamp.seconds;
        (if stamp.local { self.zone.utc(seconds) } else { seconds }, stamp.nanos)
    }

    /// Begins a line of `profile` with `prefix`, and its `stamp`, where it has one; how many
    /// bytes of it are done.
    pub fn begin(&mut self, profile: &str, prefix: &[u8], stamp: Option<Stamp>) -> usize {
        if self.form == Form::Json {
            let at = match stamp {
                Some(stamp) => {
                    let (seconds, nanos) = self.moment(&stamp);
                    ["\"", &moment(seconds, nanos, 'T'), "Z\""].concat()
                }
                None => "null".into(),
            };
            for part in ["{\"profile\":\"", profile, "\",\"at\":", &at, ",\"line\":\""] {
                self.out.extend_from_slice(part.as_bytes());
            }
            return stamp.map_or(0, |stamp| stamp.length + stamp.blanks);
        }
        self.out.extend_from_slice(prefix);
        match stamp {
            Some(stamp) if self.stamps != Stamps::AsTheyAre => {
                let (seconds, nanos) = self.moment(&stamp);
                let local = self.stamps == Stamps::Local;
                let offset = if local { self.zone.offset(seconds) } else { 0 };
                self.out.extend_from_slice(text(seconds, nanos, offset).as_bytes());
                stamp.length
            }
            _ => 0,
        }
    }

    /// Shows a piece of a line, which `ends` it or not; how many bytes of it are done.
    pub fn piece(&mut self, bytes: &[u8], ends: bool) -> usize {
        if self.form == Form::Bytes {
            self.out.extend_from_slice(bytes);
            return bytes.len();
        }
        let mut done = 0;
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                self.character(c);
            }
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            // It may be cut, and comes again with the next piece.
            if !ends && done + invalid.len() == bytes.len() {
                break;
            }
            if !invalid.is_empty() {
                match self.form {
                    Form::Json => self.out.extend_from_slice("\u{fffd}".as_bytes()),
                    _ => self.hex(invalid),
                }
            }
            done += invalid.len();
        }
        done
    }

    /// Ends a line.
    pub fn end(&mut self) {
        let end: &[u8] = if self.form == Form::Json { b"\"}\n" } else { b"\n" };
        self.out.extend_from_slice(end);
    }

    fn character(&mut self, c: char) {
        let mut utf8 = [0; 4];
        let bytes = c.encode_utf8(&mut utf8).as_bytes();
        match (self.form, c) {
            (Form::Json, '"' | '\\') => self.out.extend_from_slice(&[b'\\', bytes[0]]),
            // None is over U+009F, and those over U+007E are for terminals, too.
            (Form::Json, c) if c.is_control() => {
                self.out.extend_from_slice(b"\\u00");
                self.digits(c as u8);
            }
            (_, c) if c.is_control() && c != '\t' => self.hex(bytes),
            _ => self.out.extend_from_slice(bytes),
        }
    }

    fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.out.extend_from_slice(b"\\x");
            self.digits(*byte);
        }
    }

    fn digits(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.out.push(DIGITS[usize::from(byte >> 4)]);
        self.out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// `2026-05-24 20:05:33.123456789+02:00` for seconds since 1970 UTC, where local time is
/// `offset` seconds ahead.
fn text(seconds: i64, nanos: u32, offset: i32) -> String {
    let mut text = moment(seconds + i64::from(offset), nanos, ' ');
    let (sign, ahead) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    text += &format!("{sign}{:02}:{:02}", ahead / 3600, ahead / 60 % 60);
    if ahead % 60 != 0 {
        // As it was before there were time zones.
        text += &format!(":{:02}", ahead % 60);
    }
    text
}

/// `2026-05-24 18:05:33.123456789` for seconds since 1970, with `between` amid.
fn moment(seconds: i64, nanos: u32, between: char) -> String {
    format!("{}.{nanos:09}", calendar::date_and_time(seconds, between))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printer(form: Form) -> Printer {
        Printer { form, stamps: Stamps::AsTheyAre, zone: Zone::default(), out: Vec::new() }
    }

    /// A line that comes in pieces of `size` bytes.
    fn shown(form: Form, line: &[u8], size: usize) -> Vec<u8> {
        let mut printer = printer(form);
        let mut at = printer.begin("x", b"", None);
        while at < line.len() {
            let piece = &line[at..line.len().min(at + size)];
            at += printer.piece(piece, at + piece.len() == line.len());
        }
        printer.end();
        printer.out
    }

    #[test]
    fn a_terminal_sees_no_control_character_but_the_tab() {
        let line = "a\tb\\x1b\x1b[31m\r\x07\x7f\u{9b}é\0".as_bytes();
        let shown = shown(Form::Terminal, &[line, b"\xff\xc3"].concat(), 100);
        let expected = "a\tb\\x1b\\x1b[31m\\x0d\\x07\\x7f\\xc2\\x9bé\\x00\\xff\\xc3\n";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }

    #[test]
    fn offsets_are_told_as_they_are() {
        let table = [
            (0, "2026-05-24 18:05:33.000000007+00:00"),
            (7200, "2026-05-24 20:05:33.000000007+02:00"),
            (-12_600, "2026-05-24 14:35:33.000000007-03:30"),
            (3208, "2026-05-24 18:59:01.000000007+00:53:28"),
        ];
        for (offset, expected) in table {
            assert_eq!(text(1_779_645_933, 7, offset), expected);
        }
    }

    #[test]
    fn stamps_of_both_kinds_are_rewritten_and_blanks_stay() {
        let zone = Zone::of_rule(b"CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let table: [(&[u8], &str, &str); 2] = [
            (
                b"2026-05-24 20:05:33.123456789  x",
                "p | 2026-05-24 18:05:33.123456789+00:00  x\n",
                "p | 2026-05-24 20:05:33.123456789+02:00  x\n",
            ),
            (
                b"@400000006b01bc6b1949b7b6   x",
                "p | 2026-11-21 15:44:06.424261558+00:00   x\n",
                "p | 2026-11-21 16:44:06.424261558+01:00   x\n",
            ),
        ];
        for (line, utc, local) in table {
            for (stamps, expected) in [(Stamps::Utc, utc), (Stamps::Local, local)] {
                let mut printer = Printer { stamps, zone: zone.clone(), ..printer(Form::Bytes) };
                let done = printer.begin("p", b"p | ", Stamp::of(line));
                printer.piece(&line[done..], true);
                printer.end();
                assert_eq!(String::from_utf8(printer.out).unwrap(), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_json_wherever_they_are_cut(
            line in prop_oneof![proptest::collection::vec(any::<u8>(), 0..99), ".*".prop_map(String::into_bytes)],
            size in 4usize..20,
        ) {
            let json: serde_json::Value = serde_json::from_slice(&shown(Form::Json, &line, size)).unwrap();
            let text = String::from_utf8_lossy(&line);
            prop_assert_eq!(json, serde_json::json!({"profile": "x", "at": null, "line": text}));
        }

        #[test]
        fn any_bytes_are_printable_wherever_they_are_cut(line: Vec<u8>, size in 4usize..20) {
            let shown = String::from_utf8(shown(Form::Terminal, &line, size)).unwrap();
            let text = shown.strip_suffix('\n').unwrap();
            prop_assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{:?}", text);
            prop_assert_eq!(super::tests::shown(Form::Terminal, &line, 1000), shown.as_bytes());
            prop_assert_eq!(super::tests::shown(Form::Bytes, &line, size), [&line[..], b"\n"].concat());
        }
    }
}
