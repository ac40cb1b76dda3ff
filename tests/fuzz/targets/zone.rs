//! Time zones, against the C library by way of Python.

use super::peers::{Peer, python};
use crate::logs::timezone::Zone;
use crate::model::calendar;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;
use tempfile::NamedTempFile;

/// Where the C library knows rules, and we do.
const FROM: i64 = 0;
const TO: i64 = 8_000_000_000;
/// What we take for the rules of a zone that has summer time and says no more. The C library may
/// take the history of New York.
const RULES: &[u8] = b",M3.2.0,M11.1.0";

static GLIBC: Peer = Peer::new(|| {
    python(
        "
import os, struct, time
def answer(data):
    size = int.from_bytes(data[:2], 'big')
    # It looks at a file again only after another zone.
    for tz in b'UTC0', data[2:2 + size]:
        os.environb[b'TZ'] = tz
        time.tzset()
    said, named = b'', False
    for at, in struct.iter_unpack('>q', data[2 + size:]):
        local = time.localtime(at)
        said += struct.pack('>i', local.tm_gmtoff)
        named = named or local.tm_zone not in ('UTC', '')
    # Without a name, or with this one, it may be that it did not understand.
    return said if named else b''
",
    )
});

/// The bytes of a zone file, or, behind an `=`, what TZ says.
pub(super) fn zone(data: &[u8]) {
    static FILE: Mutex<Option<NamedTempFile>> = Mutex::new(None);
    if let Some(rule) = data.strip_prefix(b"=") {
        let is_rule = |byte: &u8| byte.is_ascii_graphic() && !b":/".contains(byte);
        if rule.first().is_some_and(is_rule)
            && !rule.iter().any(|byte| b"\0/".contains(byte))
            && !is_all_in_one_month(rule)
            && let Ok(zone) = Zone::load(Some(rule))
        {
            let whole = [rule, RULES].concat();
            compare(&zone, if has_no_rules(rule) { &whole } else { rule });
        }
        return;
    }
    let Some(zone) = Zone::parse(data) else { return };
    if has_no_changes(data) {
        return;
    }
    let lines: Vec<_> = data.rsplitn(3, |byte| *byte == b'\n').collect();
    if lines.get(1).is_some_and(|rule| has_no_rules(rule) || is_all_in_one_month(rule)) {
        return;
    }
    let mut file = FILE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let file = file.get_or_insert_with(|| NamedTempFile::new().unwrap());
    fs::write(file.path(), data).unwrap();
    compare(&zone, file.path().as_os_str().as_bytes());
}

/// Whether a file of version 2 or later has no changes in it: then the C library goes by its first
/// type, and we by its rule, which is to say the same.
fn has_no_changes(data: &[u8]) -> bool {
    let count =
        |at: usize| data[at..].first_chunk().map_or(0, |it| u32::from_be_bytes(*it) as usize);
    let [utc_marks, standard_marks, leaps, changes, kinds, letters] =
        [20, 24, 28, 32, 36, 40].map(count);
    let second = 44 + 5 * changes + 6 * kinds + letters + 8 * leaps + standard_marks + utc_marks;
    data[4] != 0 && count(second + 32) == 0
}

/// Whether a zone that `rule` describes has summer time, and it says no more.
fn has_no_rules(rule: &[u8]) -> bool {
    let whole = [rule, RULES].concat();
    Zone::load(Some(&whole)).is_ok_and(|whole| Zone::load(Some(rule)).is_ok_and(|it| it == whole))
}

/// Whether summer begins and ends in the same month: in some years it may end first, and the C
/// library looks at one year alone.
fn is_all_in_one_month(rule: &[u8]) -> bool {
    let month = |rule: &[u8]| -> Option<u8> {
        let digits = rule.strip_prefix(b"M")?.split(|byte| *byte == b'.').next()?;
        str::from_utf8(digits).ok()?.parse().ok()
    };
    let mut months = rule.split(|byte| *byte == b',').skip(1).map(month);
    matches!((months.next(), months.next()), (Some(Some(one)), Some(Some(other))) if one == other)
}

/// Fails unless `zone` has the offsets that the C library has where TZ is `tz`.
fn compare(zone: &Zone, tz: &[u8]) {
    let moments = moments(zone);
    let Ok(size) = u16::try_from(tz.len()) else { return };
    let mut question = [&size.to_be_bytes(), tz].concat();
    question.extend(moments.iter().flat_map(|at| at.to_be_bytes()));
    let Some(answer) = GLIBC.ask(&question) else { return };
    for (at, offset) in moments.iter().zip(answer.as_chunks().0) {
        // There it takes the clock changes of the other year for those of this one.
        if matches!(calendar::civil(at.div_euclid(calendar::DAY)), (_, 1, ..9) | (_, 12, 24..)) {
            continue;
        }
        let offset = i32::from_be_bytes(*offset);
        assert_eq!(zone.offset(*at), offset, "{} at {at}", String::from_utf8_lossy(tz));
    }
}

/// Moments all over the time that both know, and either side of changes between them.
fn moments(zone: &Zone) -> Vec<i64> {
    let mut moments = Vec::new();
    let step = (TO - FROM) / 97;
    for begin in (FROM..TO - step).step_by(step as usize) {
        let (mut before, mut after) = (begin, begin + step);
        moments.push(begin);
        if zone.offset(before) == zone.offset(after) {
            continue;
        }
        while after - before > 1 {
            let between = before + (after - before) / 2;
            match zone.offset(between) == zone.offset(before) {
                true => before = between,
                false => after = between,
            }
        }
        moments.extend([before, after]);
    }
    for at in &moments {
        let local = at + i64::from(zone.offset(*at));
        let _ = zone.utc(local);
    }
    moments
}
