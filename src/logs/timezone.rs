//! Local time: zone files (TZif, RFC 9636) and the rules of POSIX's `TZ`.

use crate::error::{Error, Kind, Result};
use crate::model::calendar::{self, DAY};
use crate::sys;

/// Where zones have their files.
const ZONES: &[u8] = b"/usr/share/zoneinfo/";
/// The zone of the machine.
const LOCAL: &[u8] = b"/etc/localtime";
/// More than any zone's file has, in bytes.
const MAX_FILE: usize = 256 * 1024;
/// Seconds around 1970 that are reckoned with: far more than a stamp says.
const MAX_SECONDS: i64 = 1 << 50;

/// A time zone; by default UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// What local time is ahead of UTC before the first change, in seconds.
    first: i32,
    /// From when on, in seconds since 1970 UTC, local time is so many seconds ahead.
    changes: Vec<(i64, i32)>,
    /// What counts from the last change on.
    rule: Option<Rule>,
}

/// What POSIX's `TZ` says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    standard: i32,
    summer: Option<Summer>,
}

/// Summer time, which in the south begins late in the year and ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    offset: i32,
    begin: Change,
    end: Change,
}

/// A day in each year, and seconds from its midnight in the local time until then.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    day: Day,
    time: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Day {
    /// `Jn`: 1 to 365, February 29 is never counted.
    Julian(i64),
    /// `n`: 0 to 365, February 29 is counted.
    Counted(i64),
    /// `Mm.w.d`: weekday d (0 is Sunday) for the w-th time in month m, 5 for the last.
    Weekday { month: i64, week: i64, day: i64 },
}

impl Zone {
    /// The zone that `tz`, the value of `TZ`, says: a name below /usr/share/zoneinfo, a
    /// path, or a rule; without it, the machine's, which is UTC where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is no zone.
    pub fn load(tz: Option<&[u8]>) -> Result<Zone> {
        let Some(tz) = tz else {
            return match Zone::read(LOCAL) {
                Err(error) if error.kind == Kind::Missing => Ok(Zone::default()),
                read => read,
            };
        };
        let tz = tz.strip_prefix(b":").unwrap_or(tz);
        if tz.starts_with(b"/") {
            return Zone::read(tz);
        }
        Zone::read(&[ZONES, tz].concat()).or_else(|error| match tz {
            // Small images have no zones, and these need none.
            b"UTC" | b"GMT" => Ok(Zone::default()),
            tz => Zone::of_rule(tz).ok_or(error),
        })
    }

    fn read(path: &[u8]) -> Result<Zone> {
        let unusable = || Error::new(Kind::Unusable, "read time zone", path, "is no zone file");
        Zone::parse(&sys::read_followed(path, MAX_FILE)?).ok_or_else(unusable)
    }

    /// The zone of a rule alone, as in `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn of_rule(text: &[u8]) -> Option<Zone> {
        Some(Zone { rule: Some(Rule::parse(text)?), ..Zone::default() })
    }

    /// The zone of a file that holds `bytes`. One that counts leap seconds is none here:
    /// s6's stamps do not.
    pub fn parse(bytes: &[u8]) -> Option<Zone> {
        let mut bytes = bytes;
        let (version, first) = Header::take(&mut bytes)?;
        if version == 0 {
            return first.zone(&mut bytes, 4);
        }
        // The same again follows, with 64 bits for a time, and what counts later on.
        take(&mut bytes, first.size(4))?;
        let (_, second) = Header::take(&mut bytes)?;
        let mut zone = second.zone(&mut bytes, 8)?;
        let footer = bytes.strip_prefix(b"\n")?;
        let rule = &footer[..footer.iter().position(|&b| b == b'\n')?];
        if !rule.is_empty() {
            zone.rule = Some(Rule::parse(rule)?);
        }
        Some(zone)
    }

    /// What local time is ahead of UTC `at` seconds since 1970 UTC, in seconds.
    pub fn offset(&self, at: i64) -> i32 {
        let at = at.clamp(-MAX_SECONDS, MAX_SECONDS);
        let begun = self.changes.partition_point(|(from, _)| *from <= at);
        match &self.rule {
            Some(rule) if begun == self.changes.len() => rule.offset(at),
            _ => begun.checked_sub(1).map_or(self.first, |last| self.changes[last].1),
        }
    }

    /// Seconds since 1970 UTC for a local time, given as seconds since 1970 there.
    ///
    /// An hour that comes twice, when clocks are set back, is taken for the first of the
    /// two; one that is left out is reckoned on from before it.
    pub fn utc(&self, local: i64) -> i64 {
        let local = local.clamp(-MAX_SECONDS, MAX_SECONDS);
        // No zone is a day off, and none changes twice in two days.
        let before = local - i64::from(self.offset(local - DAY));
        let after = local - i64::from(self.offset(local + DAY));
        let holds = |at| local - i64::from(self.offset(at)) == at;
        if !holds(before) && holds(after) { after } else { before }
    }
}

/// How many of what a zone file has.
struct Header {
    utc_marks: usize,
    standard_marks: usize,
    leaps: usize,
    changes: usize,
    kinds: usize,
    letters: usize,
}

impl Header {
    /// The version and the counts.
    fn take(bytes: &mut &[u8]) -> Option<(u8, Header)> {
        let head = take(bytes, 44)?.strip_prefix(b"TZif")?;
        let mut counts = &head[16..];
        let mut count = || number(take(&mut counts, 4)?).try_into().ok();
        let header = Header {
            utc_marks: count()?,
            standard_marks: count()?,
            leaps: count()?,
            changes: count()?,
            kinds: count()?,
            letters: count()?,
        };
        Some((head[0], header))
    }

    /// The bytes that follow, where a time has `wide`.
    fn size(&self, wide: usize) -> usize {
        self.changes * (wide + 1) + self.kinds * 6 + self.rest(wide)
    }

    /// Those behind what is needed here.
    fn rest(&self, wide: usize) -> usize {
        self.letters + self.leaps * (wide + 4) + self.standard_marks + self.utc_marks
    }

    fn zone(&self, bytes: &mut &[u8], wide: usize) -> Option<Zone> {
        let times = take(bytes, self.changes * wide)?;
        let which = take(bytes, self.changes)?;
        let kinds = take(bytes, self.kinds * 6)?;
        take(bytes, self.rest(wide))?;
        let offset = |kind: u8| {
            let kind = kinds.get(usize::from(kind) * 6..)?.get(..4)?;
            offset(number(kind).try_into().ok()?)
        };
        let mut changes = Vec::with_capacity(self.changes);
        for (time, kind) in times.chunks_exact(wide).zip(which) {
            changes.push((number(time), offset(*kind)?));
        }
        (self.leaps == 0).then_some(Zone { first: offset(0)?, changes, rule: None })
    }
}

/// Takes the first `count` bytes.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// What at most eight bytes, big-endian and signed, say.
fn number(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    bytes.iter().fold(-i64::from(negative), |number, byte| number << 8 | i64::from(*byte))
}

/// An offset that is under a day, as all are.
fn offset(seconds: i32) -> Option<i32> {
    (seconds.unsigned_abs() < DAY as u32).then_some(seconds)
}

impl Rule {
    /// `CET-1CEST,M3.5.0,M10.5.0/3`, and the like.
    fn parse(text: &[u8]) -> Option<Rule> {
        let mut text = text;
        name(&mut text)?;
        // West is positive here.
        let standard = offset(-clock(&mut text)?)?;
        if text.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        name(&mut text)?;
        let ahead = match text.first() {
            None | Some(b',') => standard + 3600,
            Some(_) => -clock(&mut text)?,
        };
        // What was the rule of the United States when nothing needed to be said.
        let mut text = if text.is_empty() { b",M3.2.0,M11.1.0".as_slice() } else { text };
        let (begin, end) = (Change::take(&mut text)?, Change::take(&mut text)?);
        let summer = Summer { offset: offset(ahead)?, begin, end };
        text.is_empty().then_some(Rule { standard, summer: Some(summer) })
    }

    fn offset(&self, at: i64) -> i32 {
        let Some(summer) = &self.summer else { return self.standard };
        let (year, ..) = calendar::civil((at + i64::from(self.standard)).div_euclid(DAY));
        let begin = summer.begin.local(year) - i64::from(self.standard);
        let end = summer.end.local(year) - i64::from(summer.offset);
        let is_summer = match begin < end {
            true => begin <= at && at < end,
            false => !(end <= at && at < begin),
        };
        if is_summer { summer.offset } else { self.standard }
    }
}

impl Change {
    /// `,M3.5.0/2`, `,J60`, `,59/-1:30` and the like.
    fn take(text: &mut &[u8]) -> Option<Change> {
        skip(text, b',').then_some(())?;
        let day = if skip(text, b'M') {
            let month = digits(text, 1, 12)?;
            let week = skip(text, b'.').then(|| digits(text, 1, 5))??;
            let day = skip(text, b'.').then(|| digits(text, 0, 6))??;
            Day::Weekday { month, week, day }
        } else if skip(text, b'J') {
            Day::Julian(digits(text, 1, 365)?)
        } else {
            Day::Counted(digits(text, 0, 365)?)
        };
        let time = if skip(text, b'/') { clock(text)? } else { 2 * 3600 };
        Some(Change { day, time })
    }

    /// When it is in `year`, in seconds since 1970 by the clock that it changes.
    fn local(&self, year: i64) -> i64 {
        let new_year = calendar::days(year, 1, 1);
        let day = match self.day {
            Day::Julian(day) => {
                let leap = calendar::days(year, 3, 1) - calendar::days(year, 2, 1) == 29;
                new_year + day - i64::from(!(leap && day > 59))
            }
            Day::Counted(day) => new_year + day,
            Day::Weekday { month, week, day } => {
                let first = calendar::days(year, month, 1);
                // 1970-01-01 was a Thursday.
                let at = first + (day - first - 4).rem_euclid(7) + 7 * (week - 1);
                if at < calendar::days(year, month + 1, 1) { at } else { at - 7 }
            }
        };
        day * DAY + i64::from(self.time)
    }
}

/// Takes `byte` away, if it is what comes next; whether it was.
fn skip(text: &mut &[u8], byte: u8) -> bool {
    let skipped = text.first() == Some(&byte);
    *text = &text[usize::from(skipped)..];
    skipped
}

/// Takes a zone's abbreviation: letters, or anything of that kind in angle brackets.
fn name(text: &mut &[u8]) -> Option<()> {
    let quoted = skip(text, b'<');
    let of_name =
        |b: &u8| b.is_ascii_alphabetic() || quoted && (b.is_ascii_digit() || b"+-".contains(b));
    let length = text.iter().position(|b| !of_name(b)).unwrap_or(text.len());
    take(text, length)?;
    (length >= 3 && (!quoted || skip(text, b'>'))).then_some(())
}

/// Takes `[+-]hh[:mm[:ss]]`, in seconds; up to a week, for some rules need that.
fn clock(text: &mut &[u8]) -> Option<i32> {
    let negative = skip(text, b'-');
    if !negative {
        skip(text, b'+');
    }
    let mut seconds = digits(text, 0, 167)? * 3600;
    if skip(text, b':') {
        seconds += digits(text, 0, 59)? * 60;
        if skip(text, b':') {
            seconds += digits(text, 0, 59)?;
        }
    }
    i32::try_from(if negative { -seconds } else { seconds }).ok()
}

/// Takes a number from `least` to `most`.
fn digits(text: &mut &[u8], least: i64, most: i64) -> Option<i64> {
    let mut number = None;
    while let Some(digit) = text.first().filter(|b| b.is_ascii_digit()) {
        let next = number.unwrap_or(0) * 10 + i64::from(digit - b'0');
        number = Some(next).filter(|next| *next <= most);
        number?;
        take(text, 1);
    }
    number.filter(|number| *number >= least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn what_is_no_rule_is_refused() {
        let table = "|CET|C1|CET-25|CET1,M3.5.0,M10.5.0|CET-1CEST,M3.5.0|CET-1CEST,M3.5.0,M13.1.0|\
            CET-1CEST,M3.0.0,M10.5.0|CET-1CEST,M3.5.7,M10.5.0|CET-1CEST,J0,J365|CET-1CEST,1,366|\
            <+03-3|<+0>-3|CET-1CEST,M3.5.0,M10.5.0,|CET-1CEST,M3.5.0/168,M10.5.0|Europe/Berlin|\
            CET--1|CET1:60|CET99999999999999999999";
        for rule in table.split('|') {
            assert_eq!(Zone::of_rule(rule.as_bytes()), None, "{rule}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_the_first_and_one_left_out_goes_on() {
        let berlin = zone("CET-1CEST,M3.5.0,M10.5.0/3");
        let local = |text: &str| {
            let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
            let day = calendar::days(part(0..4), part(5..7), part(8..10));
            day * DAY + part(11..13) * 3600 + part(14..16) * 60
        };
        let utc = |text| calendar::date_and_time(berlin.utc(local(text)), ' ');
        assert_eq!(utc("2026-10-25 01:59"), "2026-10-24 23:59:00");
        assert_eq!(utc("2026-10-25 02:30"), "2026-10-25 00:30:00");
        assert_eq!(utc("2026-10-25 03:00"), "2026-10-25 02:00:00");
        assert_eq!(utc("2026-03-29 02:30"), "2026-03-29 01:30:00");
        assert_eq!(utc("2026-03-29 03:30"), "2026-03-29 01:30:00");
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
                prop_assert!((zone.utc(at).saturating_sub(at)).abs() < 2 * MAX_SECONDS || at.abs() > MAX_SECONDS);
            }
        }
    }
}
