//! Local time: zone files (TZif, RFC 9636) and the rules that POSIX allows in `TZ`.

use crate::error::{Error, Kind, Result};
use crate::model::calendar::{self, DAY};
use crate::sys::path::read_followed;
use crate::text::messages::text;

/// Where zone files are.
const ZONES: &[u8] = b"/usr/share/zoneinfo/";
/// The zone file of the machine.
const LOCAL: &[u8] = b"/etc/localtime";
/// More bytes than any zone file has.
const MAX_FILE: usize = 256 * 1024;
/// The years for which the clock changes of a rule are calculated.
const YEARS: std::ops::Range<i64> = 1900..2400;

/// A time zone; by default UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// In order of time: a moment, in seconds since 1970 UTC, and how many seconds local time
    /// is ahead of UTC from then on. The first moment is the earliest there is.
    changes: Vec<(i64, i32)>,
}

impl Zone {
    /// The zone for `tz`, the value of `TZ`: a name below /usr/share/zoneinfo, a path, or a
    /// rule. Without it, the machine's zone, which is UTC if none is set.
    ///
    /// # Errors
    /// The file cannot be read, or is not a zone file.
    #[inline(never)]
    pub fn load(tz: Option<&[u8]>) -> Result<Zone> {
        let name = tz.map_or(LOCAL, |tz| tz.strip_prefix(b":").unwrap_or(tz));
        let path = [if name.starts_with(b"/") { b"" } else { ZONES }, name].concat();
        let mut zone = Zone::default();
        let Err(error) = zone.read(&path) else { return Ok(zone) };
        zone.changes.clear();
        // Small images have no zone files.
        let is_utc = match tz {
            None => error.kind == Kind::Missing,
            Some(_) => name == b"UTC" || name == b"GMT",
        };
        if is_utc || zone.add_rule(name).is_some() { Ok(zone) } else { Err(error) }
    }

    /// Adds the changes in the zone file at `path`.
    fn read(&mut self, path: &[u8]) -> Result<()> {
        let bytes = read_followed(path, MAX_FILE)?;
        self.add_file(&bytes).ok_or_else(|| {
            Error::new(Kind::Unusable, text!("read time zone"), path, text!("is no zone file"))
        })
    }

    /// The zone of a file with these `bytes`, if it is a zone file.
    pub fn parse(bytes: &[u8]) -> Option<Zone> {
        let mut zone = Zone::default();
        zone.add_file(bytes).map(|()| zone)
    }

    /// Adds the changes in a zone file. A file that counts leap seconds is refused, because
    /// s6's stamps do not count them.
    #[inline(never)]
    fn add_file(&mut self, mut bytes: &[u8]) -> Option<()> {
        let bytes = &mut bytes;
        let mut wide = 4;
        loop {
            let head: &[u8; 44] = take(bytes, 44)?.try_into().ok()?;
            if !head.starts_with(b"TZif") {
                return None;
            }
            let mut counts = [0; 6];
            for (count, bytes) in counts.iter_mut().zip(head[20..].as_chunks().0) {
                *count = u32::from_be_bytes(*bytes) as usize;
            }
            let [utc_marks, standard_marks, leaps, changes, kinds, letters] = counts;
            let times = take(bytes, changes * wide)?;
            let kind_of = take(bytes, changes)?;
            let kinds = take(bytes, kinds * 6)?;
            take(bytes, letters + leaps * (wide + 4) + standard_marks + utc_marks)?;
            let version = head[4];
            if version != 0 && wide == 4 {
                // All of it follows once more, with eight bytes for each time.
                wide = 8;
                continue;
            }
            if leaps > 0 {
                return None;
            }
            let offset_of = |kind: u8| {
                let bytes = kinds.get(usize::from(kind) * 6..)?.first_chunk()?;
                offset(i32::from_be_bytes(*bytes).into())
            };
            self.changes.push((i64::MIN, offset_of(0)?));
            for (at, kind) in kind_of.iter().enumerate() {
                let moment = number(&times[at * wide..][..wide]);
                if self.changes.last()?.0 > moment {
                    return None;
                }
                self.changes.push((moment, offset_of(*kind)?));
            }
            if wide == 4 {
                return Some(());
            }
            // The version in the second header is nothing to the C library either.
            let rule = bytes.strip_prefix(b"\n")?.strip_suffix(b"\n")?;
            return if rule.is_empty() { Some(()) } else { self.go_on_by(rule) };
        }
    }

    /// Lets a rule count from the last change on that is there.
    fn go_on_by(&mut self, text: &[u8]) -> Option<()> {
        let mut rule = Zone::default();
        rule.add_rule(text)?;
        let last = self.changes.last()?.0;
        self.changes.push((last, rule.offset(last)));
        for change in &rule.changes {
            if change.0 > last {
                self.changes.push(*change);
            }
        }
        Some(())
    }

    /// Adds the changes of a rule such as `CET-1CEST,M3.5.0,M10.5.0/3` to a zone that has none.
    fn add_rule(&mut self, mut text: &[u8]) -> Option<()> {
        let text = &mut text;
        take_name(text)?;
        // In rules, zones west of UTC have positive offsets.
        let standard = offset(-take_clock(text)?)?;
        self.changes.push((i64::MIN, standard));
        if text.is_empty() {
            return Some(());
        }
        take_name(text)?;
        let mut summer = i64::from(standard) + 3600;
        if !matches!(text.first(), None | Some(b',')) {
            summer = -take_clock(text)?;
        }
        let summer = offset(summer)?;
        if text.is_empty() {
            // What POSIX leaves to us, the C library takes from the United States.
            *text = b",M3.2.0,M11.1.0";
        }
        for (before, after) in [(standard, summer), (summer, standard)] {
            let change = YearlyChange::take(text)?;
            for year in YEARS {
                let at = change.local_time(year) - i64::from(before);
                self.changes.insert(self.changes_until(at - 1), (at, after));
            }
        }
        text.is_empty().then_some(())
    }

    /// How many changes there are up to the moment `at`.
    fn changes_until(&self, at: i64) -> usize {
        self.changes.partition_point(|(moment, _)| *moment <= at)
    }

    /// How many seconds local time is ahead of UTC, `at` seconds since 1970 UTC.
    pub fn offset(&self, at: i64) -> i32 {
        self.changes_until(at).checked_sub(1).map_or(0, |last| self.changes[last].1)
    }

    /// Seconds since 1970 UTC for a local time, given as local seconds since 1970.
    ///
    /// When clocks are set back, an hour comes twice: this returns the first. When clocks are
    /// set forward, an hour is left out: a time in it is converted as if they had not been.
    pub fn utc(&self, local: i64) -> i64 {
        let with_offset_at = |at| local - i64::from(self.offset(at));
        // Every offset is under a day, and no zone changes twice in two days.
        let before = with_offset_at(local - DAY);
        let after = with_offset_at(before);
        if with_offset_at(after) == after { after } else { before }
    }
}

/// A clock change that comes every year.
struct YearlyChange {
    month: i64,
    /// The day of the month; it may lie outside of it.
    day: i64,
    /// If there is one, the change is on the first such weekday from that day on; 0 is Sunday.
    weekday: Option<i64>,
    /// Seconds after midnight, by the clock before the change.
    time: i64,
}

impl YearlyChange {
    /// Takes `,M3.5.0/2`, `,J60`, `,59/-1:30` or the like.
    fn take(text: &mut &[u8]) -> Option<YearlyChange> {
        skip(text, b',')?;
        let mut weekday = None;
        let (month, day) = if skip(text, b'M').is_some() {
            let month = take_number(text, 1, 12)?;
            skip(text, b'.')?;
            let week = take_number(text, 1, 5)?;
            skip(text, b'.')?;
            weekday = Some(take_number(text, 0, 6)?);
            // Week 5 is the last one: the seven days before the next month.
            if week == 5 { (month + 1, -6) } else { (month, week * 7 - 6) }
        } else if skip(text, b'J').is_some() {
            // The days of a year without February 29, from 1 on.
            let day = take_number(text, 1, 365)?;
            if day > 59 { (3, day - 59) } else { (1, day) }
        } else {
            // All days of the year, from 0 on.
            (1, take_number(text, 0, 365)? + 1)
        };
        let time = if skip(text, b'/').is_some() { take_clock(text)? } else { 2 * 3600 };
        Some(YearlyChange { month, day, weekday, time })
    }

    /// When it is in `year`, in seconds since 1970 by the clock before the change.
    fn local_time(&self, year: i64) -> i64 {
        let mut day = calendar::days(year, self.month, self.day);
        if let Some(weekday) = self.weekday {
            // 1970-01-01, day 0, was a Thursday.
            day += (weekday - 4 - day).rem_euclid(7);
        }
        day * DAY + self.time
    }
}

/// Takes the first `count` bytes.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// The number in at most eight `bytes`, big-endian and signed.
fn number(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    bytes.iter().fold(-i64::from(negative), |number, byte| number << 8 | i64::from(*byte))
}

/// `seconds`, if they are less than a day, as all offsets are.
fn offset(seconds: i64) -> Option<i32> {
    (-DAY < seconds && seconds < DAY).then_some(seconds as i32)
}

/// Takes the byte `byte`, if it comes next.
fn skip(text: &mut &[u8], byte: u8) -> Option<()> {
    *text = text.strip_prefix(&[byte])?;
    Some(())
}

/// Takes the name of a zone: at least three letters, or in angle brackets three letters, digits
/// and signs.
fn take_name(text: &mut &[u8]) -> Option<()> {
    let quoted = skip(text, b'<').is_some();
    let mut length = 0;
    while let Some(byte) = text.get(length)
        && (byte.is_ascii_alphabetic() || quoted && b"+-0123456789".contains(byte))
    {
        length += 1;
    }
    take(text, length)?;
    if quoted {
        skip(text, b'>')?;
    }
    (length >= 3).then_some(())
}

/// Takes `[+-]hh[:mm[:ss]]`; in seconds, at most a week, which some rules need.
fn take_clock(text: &mut &[u8]) -> Option<i64> {
    let negative = skip(text, b'-').is_some();
    if !negative {
        skip(text, b'+');
    }
    let mut seconds = take_number(text, 0, 167)? * 3600;
    let mut unit = 60;
    while unit > 0 && skip(text, b':').is_some() {
        seconds += take_number(text, 0, 59)? * unit;
        unit /= 60;
    }
    Some(if negative { -seconds } else { seconds })
}

/// Takes a decimal number from `least` to `most`.
fn take_number(text: &mut &[u8], least: i64, most: i64) -> Option<i64> {
    let mut number = -1;
    while let Some(digit @ b'0'..=b'9') = text.first() {
        number = number.max(0) * 10 + i64::from(digit - b'0');
        if number > most {
            return None;
        }
        *text = &text[1..];
    }
    (number >= least).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Zone {
        fn of_rule(text: &[u8]) -> Option<Zone> {
            let mut zone = Zone::default();
            zone.add_rule(text).map(|()| zone)
        }
    }

    fn zone(rule: &str) -> Zone {
        Zone::of_rule(rule.as_bytes()).unwrap_or_else(|| panic!("{rule}"))
    }

    #[test]
    fn a_rule_says_when_clocks_change() {
        // 2026-03-29 and 2026-10-25, at 01:00 UTC.
        let (begin, end) = (1_774_746_000, 1_792_890_000);
        let berlin = zone("CET-1CEST,M3.5.0,M10.5.0/3");
        let offsets = [begin - 1, begin, end - 1, end].map(|at| berlin.offset(at));
        assert_eq!(offsets, [3600, 7200, 7200, 3600]);
        let table = [
            ("UTC0", 0),
            ("EST5", -5 * 3600),
            ("<+0330>-3:30", 12_600),
            ("<-03>3", -3 * 3600),
            ("ABC-1:02:03", 3723),
            ("XXX3YYY4,0/0,J365/23", -4 * 3600), // summer all the year
        ];
        for (rule, offset) in table {
            assert_eq!(zone(rule).offset(begin), offset, "{rule}");
        }
    }

    #[test]
    fn text_that_is_not_a_rule_is_refused() {
        let table = "|CET|C1|CET-25|CET1,M3.5.0,M10.5.0|CET-1CEST,M3.5.0|CET-1CEST,M3.5.0,M13.1.0|\
            CET-1CEST,M3.0.0,M10.5.0|CET-1CEST,M3.5.7,M10.5.0|CET-1CEST,J0,J365|CET-1CEST,1,366|\
            <+03-3|<+0>-3|CET-1CEST,M3.5.0,M10.5.0,|CET-1CEST,M3.5.0/168,M10.5.0|Europe/Berlin|\
            CET--1|CET1:60|<a:b>1|CET99999999999999999999";
        for rule in table.split('|') {
            assert_eq!(Zone::of_rule(rule.as_bytes()), None, "{rule}");
        }
    }

    #[test]
    fn repeated_local_times_are_the_first_and_skipped_ones_count_from_before() {
        let berlin = zone("CET-1CEST,M3.5.0,M10.5.0/3");
        let local = |text: &str| {
            let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
            let day = calendar::days(part(0..4), part(5..7), part(8..10));
            day * DAY + part(11..13) * 3600 + part(14..16) * 60
        };
        let utc = |text| calendar::date_and_time(berlin.utc(local(text)), " ");
        assert_eq!(utc("2026-10-25 01:59"), "2026-10-24 23:59:00");
        assert_eq!(utc("2026-10-25 02:30"), "2026-10-25 00:30:00");
        assert_eq!(utc("2026-10-25 03:00"), "2026-10-25 02:00:00");
        assert_eq!(utc("2026-03-29 02:30"), "2026-03-29 01:30:00");
        assert_eq!(utc("2026-03-29 03:30"), "2026-03-29 01:30:00");
    }

    #[test]
    fn the_times_in_a_file_are_in_order_and_its_rule_counts_after_them() {
        let file = |times: [u32; 2]| {
            let mut bytes = b"TZif".to_vec();
            bytes.resize(20, 0);
            // No marks and no leap seconds; two changes, one kind, no letters.
            for number in [0, 0, 0, 2, 1, 0, times[0], times[1]] {
                bytes.extend(number.to_be_bytes());
            }
            bytes.extend([0; 8]);
            bytes
        };
        assert!(Zone::parse(&file([5, 7])).is_some());
        assert_eq!(Zone::parse(&file([7, 5])), None);
        // From its last change on, the rule behind it counts, whatever that change says.
        let mut file = file([5, 7]);
        file[4] = b'2';
        let second = file.len();
        file.extend_from_within(..44);
        file.extend([5u64, 7].map(u64::to_be_bytes).concat());
        file.extend([0; 8]);
        file.extend(b"\nCET-1CEST,M3.5.0,M10.5.0/3\n");
        for version in [b'2', 0] {
            file[second + 4] = version;
            let zone = Zone::parse(&file).unwrap();
            let offsets = [6, 7, 10_000_000, 26_000_000].map(|at| zone.offset(at));
            assert_eq!(offsets, [0, 3600, 7200, 3600], "version {version}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_crash_it(bytes: Vec<u8>, at: i64, cut in 0usize..4000, flip: (usize, u8)) {
            let mut inputs = vec![bytes];
            if let Ok(mut real) = std::fs::read("/usr/share/zoneinfo/Europe/Berlin") {
                let length = real.len();
                real[flip.0 % length] = flip.1;
                real.truncate(cut);
                inputs.push(real);
            }
            for bytes in inputs {
                for zone in [Zone::parse(&bytes), Zone::of_rule(&bytes)].into_iter().flatten() {
                    let _ = (zone.offset(at), zone.utc(at));
                }
            }
        }

        #[test]
        fn no_rule_crashes_it(
            rule in "(<?[-+A-Z0-9]{1,4}>?-?[0-9:]{1,8}){1,2}(,[MJ]?[0-9.]{1,6}(/-?[0-9:]{1,6})?){0,3}",
            at: i64,
        ) {
            if let Some(zone) = Zone::of_rule(rule.as_bytes()) {
                let offset = i64::from(zone.offset(at));
                prop_assert!(offset.abs() < DAY);
                prop_assert!(zone.utc(at).abs_diff(at) < DAY.unsigned_abs());
            }
        }
    }
}
