//! The stamps that s6-log puts before lines.

use crate::model::calendar::{self, DAY};
use crate::s6::tai64n::Tai64n;

/// As many bytes of a line as its stamp may have, blanks included.
pub const LONGEST: usize = 31;
/// The years 1 to 9998, roughly: what else a label can say is no stamp.
const SECONDS: std::ops::Range<i64> = -62_000_000_000..253_000_000_000;

/// A stamp at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970: UTC, or by the clock on the logger's wall.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanos: u32,
    /// Whether the seconds are local: s6-log's `T`.
    pub local: bool,
    /// How many bytes it has.
    pub length: usize,
    /// How many blanks follow that s6-log has put there.
    pub blanks: usize,
}

impl Stamp {
    /// The stamp that `line` begins with: `@` and 24 hexadecimal digits (`t`), or
    /// `2026-05-24 18:05:33.123456789` (`T`), and at least one blank.
    pub fn of(line: &[u8]) -> Option<Stamp> {
        let stamp = match line.first()? {
            b'@' => Stamp::tai(line)?,
            b'0'..=b'9' => Stamp::local(line)?,
            _ => return None,
        };
        let valid = SECONDS.contains(&stamp.seconds) && stamp.nanos < 1_000_000_000;
        valid.then_some(stamp)
    }

    fn tai(line: &[u8]) -> Option<Stamp> {
        let digits = line.get(1..25)?;
        if line.get(25) != Some(&b' ') || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let at = Tai64n::parse(digits)?;
        Some(Stamp { seconds: at.unix(), nanos: at.nanos(), local: false, length: 25, blanks: 1 })
    }

    fn local(line: &[u8]) -> Option<Stamp> {
        const SHAPE: &[u8] = b"0000-00-00 00:00:00.000000000 ";
        let text = line.get(..SHAPE.len())?;
        // The year, month, day, hour, minute, second and nanoseconds.
        let (mut numbers, mut which) = ([0; 7], 0);
        for (byte, shape) in text.iter().zip(SHAPE) {
            match shape {
                b'0' if byte.is_ascii_digit() => {
                    numbers[which] = numbers[which] * 10 + i64::from(byte - b'0');
                }
                b'0' => return None,
                shape if byte == shape => which = (which + 1).min(6),
                _ => return None,
            }
        }
        let [year, month, day, hour, minute, second, nanos] = numbers;
        let days = calendar::days(year, month.clamp(1, 12), day);
        // A second that is leapt has the number 60. What is no date leads to another.
        if hour > 23 || minute > 59 || second > 60 || calendar::civil(days) != (year, month, day) {
            return None;
        }
        Some(Stamp {
            seconds: days * DAY + hour * 3600 + minute * 60 + second,
            nanos: u32::try_from(nanos).ok()?,
            local: true,
            length: SHAPE.len() - 1,
            blanks: 1 + usize::from(line.get(SHAPE.len()) == Some(&b' ')),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_kinds_are_read_as_s6_log_writes_them() {
        // As s6-log t T wrote them, in UTC.
        let line = b"@400000006b01bc6b1949b7b6 2026-11-21 15:44:06.424261558   a";
        let tai = Stamp::of(line).unwrap();
        let iso = Stamp::of(&line[26..]).unwrap();
        assert_eq!((tai.length, tai.blanks, tai.local), (25, 1, false));
        assert_eq!((iso.length, iso.blanks, iso.local), (29, 2, true));
        assert_eq!((tai.seconds, tai.nanos), (iso.seconds, iso.nanos));
        assert_eq!((tai.seconds, tai.nanos), (1_795_275_846, 424_261_558));
        assert_eq!(Stamp::of(b"2026-11-21 15:44:06.424261558 ").unwrap().blanks, 1);
        assert_eq!(Stamp::of(b"2016-12-31 23:59:60.000000000  x").unwrap().seconds, 1_483_228_800);
    }

    #[test]
    fn what_only_looks_like_a_stamp_is_none() {
        for line in [
            "",
            "@",
            "@400000006b01bc6b1949b7b6",
            "@400000006b01bc6b1949b7b6\t",
            "@+00000006b01bc6b1949b7b6 ",
            "@400000006b01bc6b1949b7bg ",
            "@400000006b01bc6bffffffff ",
            "@ffffffffffffffff00000000 ",
            "2026-11-21 15:44:06.424261558",
            "2026-11-21T15:44:06.424261558 ",
            "2026-11-21 15:44:06.42426155  ",
            "2026-13-21 15:44:06.424261558 ",
            "2026-00-21 15:44:06.424261558 ",
            "2026-02-29 15:44:06.424261558 ",
            "2026-11-21 24:44:06.424261558 ",
            "2026-11-21 23:60:06.424261558 ",
            "2026-11-21 23:59:61.424261558 ",
            "0000-11-21 15:44:06.424261558 ",
            "hello",
        ] {
            assert_eq!(Stamp::of(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_moment_is_read_back(seconds in SECONDS, nanos in 0u32..1_000_000_000) {
            let text = format!("{}.{nanos:09}  x", calendar::date_and_time(seconds, ' '));
            let stamp = Stamp::of(text.as_bytes()).unwrap();
            prop_assert_eq!((stamp.seconds, stamp.nanos, stamp.local), (seconds, nanos, true));
            if let Ok(after_1970) = u64::try_from(seconds) {
                let text = format!("@{} x", Tai64n::from_unix(after_1970, nanos).hex());
                let stamp = Stamp::of(text.as_bytes()).unwrap();
                prop_assert_eq!((stamp.seconds, stamp.nanos, stamp.local), (seconds, nanos, false));
            }
        }

        #[test]
        fn no_bytes_crash_it(line: Vec<u8>, near in "@?[0-9a-f]{4}-?[0-9: .-]{25}") {
            for line in [&line[..], near.as_bytes()] {
                if let Some(stamp) = Stamp::of(line) {
                    prop_assert!(stamp.length + stamp.blanks <= line.len().min(LONGEST));
                }
            }
        }
    }
}
