//! The stamps that s6-log puts before lines.

use crate::logs::timezone::Zone;
use crate::model::calendar::{self, DAY};
use crate::s6::tai64n::Tai64n;

/// What s6-log writes with `T`, a zero for each digit.
const LOCAL: &[u8] = b"0000-00-00 00:00:00.000000000 ";
/// The seconds since 1970 of the years 1 to 9998, roughly; others are not a stamp.
const SECONDS: std::ops::Range<i64> = -62_000_000_000..253_000_000_000;

/// A stamp at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Seconds since 1970 UTC.
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
    /// How many bytes it has.
    pub(crate) length: usize,
    /// How many blanks s6-log has written behind it.
    pub(crate) blanks: usize,
}

impl Stamp {
    /// The stamp that `line` begins with: `@` and 24 hexadecimal digits (s6-log's `t`), or
    /// `2026-05-24 18:05:33.123456789` in the local time of `zone` (`T`), and a blank.
    #[inline(never)]
    pub(crate) fn of(line: &[u8], zone: &Zone) -> Option<Stamp> {
        let local = *line.first()? != b'@';
        let (mut seconds, nanos) = if local { local_time(line)? } else { tai64n(line)? };
        if !SECONDS.contains(&seconds) || nanos > 999_999_999 {
            return None;
        }
        let (mut length, mut blanks) = (25, 1);
        if local {
            seconds = zone.utc(seconds);
            length = LOCAL.len() - 1;
            blanks += usize::from(line.get(LOCAL.len()) == Some(&b' '));
        }
        Some(Stamp { seconds, nanos, length, blanks })
    }
}

/// The seconds since 1970 UTC and the nanoseconds of a stamp by s6-log's `t`.
fn tai64n(line: &[u8]) -> Option<(i64, u32)> {
    let at = Tai64n::parse(line.get(1..25)?)?;
    if line.get(25) != Some(&b' ') {
        return None;
    }
    Some((at.unix(), at.nanos()))
}

/// The local seconds since 1970 and the nanoseconds of a stamp by s6-log's `T`.
fn local_time(line: &[u8]) -> Option<(i64, u32)> {
    let (mut numbers, mut which) = ([0; 8], 0);
    for (byte, shape) in line.get(..LOCAL.len())?.iter().zip(LOCAL) {
        match (shape, byte) {
            (b'0', b'0'..=b'9') => {
                numbers[which] = numbers[which] * 10 + i64::from(byte - b'0');
            }
            (b'0', _) => return None,
            _ if byte == shape => which += 1,
            _ => return None,
        }
    }
    let [year, month, day, hour, minute, second, nanos, _] = numbers;
    let days = calendar::days(year, month, day);
    // Second 60 is a leap second. A date that does not exist is counted on to another.
    if hour > 23 || minute > 59 || second > 60 || calendar::civil(days) != (year, month, day) {
        return None;
    }
    Some((days * DAY + hour * 3600 + minute * 60 + second, nanos as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The stamp of a line that was written in UTC.
    fn of(line: &[u8]) -> Option<Stamp> {
        Stamp::of(line, &Zone::default())
    }

    #[test]
    fn both_kinds_are_read_as_s6_log_writes_them() {
        // As s6-log t T wrote them, in UTC.
        let line = b"@400000006b01bc6b1949b7b6 2026-11-21 15:44:06.424261558   a";
        let tai = of(line).unwrap();
        let local = of(&line[26..]).unwrap();
        assert_eq!((tai.length, tai.blanks), (25, 1));
        assert_eq!((local.length, local.blanks), (29, 2));
        assert_eq!((tai.seconds, tai.nanos), (local.seconds, local.nanos));
        assert_eq!((tai.seconds, tai.nanos), (1_795_275_846, 424_261_558));
        assert_eq!(of(b"2026-11-21 15:44:06.424261558 ").unwrap().blanks, 1);
        assert_eq!(of(b"2016-12-31 23:59:60.000000000  x").unwrap().seconds, 1_483_228_800);
        // Only the second kind depends on the zone.
        let zone = Zone::load(Some(b"ABC-1")).unwrap();
        assert_eq!(Stamp::of(line, &zone).unwrap(), tai);
        let hour_earlier = Stamp { seconds: local.seconds - 3600, ..local };
        assert_eq!(Stamp::of(&line[26..], &zone).unwrap(), hour_earlier);
    }

    #[test]
    fn lines_that_begin_almost_like_a_stamp_have_none() {
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
            "2026-99-99 15:44:06.424261558 ",
            "2026-11-00 15:44:06.424261558 ",
            "2026-02-29 15:44:06.424261558 ",
            "2026-11-21 24:44:06.424261558 ",
            "2026-11-21 23:60:06.424261558 ",
            "2026-11-21 23:59:61.424261558 ",
            "0000-11-21 15:44:06.424261558 ",
            "hello",
        ] {
            assert_eq!(of(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_moment_is_read_back(seconds in SECONDS, nanos in 0u32..1_000_000_000) {
            let text = format!("{}.{nanos:09}  x", calendar::date_and_time(seconds, " "));
            let stamp = of(text.as_bytes()).unwrap();
            let expected = Stamp { seconds, nanos, length: 29, blanks: 2 };
            prop_assert_eq!(stamp, expected);
            if let Ok(after_1970) = u64::try_from(seconds) {
                let text = format!("@{} x", Tai64n::from_unix(after_1970, nanos).hex());
                let stamp = of(text.as_bytes()).unwrap();
                prop_assert_eq!(stamp, Stamp { length: 25, blanks: 1, ..expected });
            }
        }

        #[test]
        fn no_bytes_crash_it(line: Vec<u8>, near in "@?[0-9a-f]{4}-?[0-9: .-]{25}") {
            for line in [&line[..], near.as_bytes()] {
                if let Some(stamp) = of(line) {
                    prop_assert!(stamp.length + stamp.blanks <= line.len().min(31));
                }
            }
        }
    }
}
