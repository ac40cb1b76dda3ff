//! What a word of the command line, or of a setting, can mean. White space around it does not
//! count.

use crate::text::parts;
use std::time::Duration;

/// Yes or no: `1`, `true`, `yes`, `on`; or `0`, `false`, `no`, `off` and nothing; in any case.
pub(crate) fn boolean(word: &[u8]) -> Option<bool> {
    // The last word is nothing at all.
    place_in("1 true yes on 0 false no off ", word.trim_ascii()).map(|at| at < 4)
}

/// Which of `words`, with a blank between, this one is, in any case.
#[inline(never)]
pub(crate) fn place_in(words: &str, word: &[u8]) -> Option<usize> {
    // Not by std's comparison, which is large for it is fast.
    let lower = |byte: u8| byte.to_ascii_lowercase();
    let is = |known: &[u8]| known.iter().copied().map(lower).eq(word.iter().copied().map(lower));
    parts(words.as_bytes(), b' ').position(is)
}

/// A whole number that has at most 32 bits.
pub(crate) fn number(word: &[u8]) -> Option<usize> {
    u32::try_from(digits(word.trim_ascii())?).ok().map(|number| number as usize)
}

/// What decimal digits, and nothing else, say.
pub(crate) fn digits(word: &[u8]) -> Option<u64> {
    digits_of(word, 10)
}

/// The same of digits to the base `radix`.
#[inline(never)]
pub(crate) fn digits_of(word: &[u8], radix: u32) -> Option<u64> {
    let mut number = None;
    for byte in word {
        let digit = char::from(*byte).to_digit(radix)?;
        let more = number.unwrap_or(0u64).checked_mul(radix.into())?;
        number = Some(more.checked_add(digit.into())?);
    }
    number
}

/// How long ago something was: `90s`, `10m`, `2h` or `1d`; a number alone is of seconds.
pub(crate) fn age(word: &[u8]) -> Option<Duration> {
    let (number, unit) = match word.split_last()? {
        (b'd', number) => (number, 86_400),
        (b'h', number) => (number, 3600),
        (b'm', number) => (number, 60),
        (b's', number) => (number, 1),
        _ => (word, 1),
    };
    Some(Duration::from_secs(digits(number)?.checked_mul(unit)?))
}

/// So many bytes: digits, and `K`, `M` or `G` for 1024 of what is before it.
pub(crate) fn size(word: &[u8]) -> Option<u64> {
    let word = word.trim_ascii();
    let (number, unit) = word.split_at_checked(word.len().checked_sub(1)?)?;
    match place_in("K M G", unit) {
        Some(at) => digits(number)?.checked_mul(1024 << (10 * at)),
        None => digits(word),
    }
}

/// A time in seconds, fractions allowed, to the millisecond.
pub(crate) fn seconds(word: &[u8]) -> Option<Duration> {
    let word = word.trim_ascii();
    let (whole, fraction) = match word.iter().position(|byte| *byte == b'.') {
        Some(at) => (&word[..at], &word[at + 1..]),
        None => (word, &b"0"[..]),
    };
    let whole = u32::try_from(digits(whole)?).ok()?;
    if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut millis = 0;
    for at in 0..3 {
        millis = millis * 10 + u64::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    }
    Some(Duration::from_millis(u64::from(whole) * 1000 + millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_in_any_case_and_with_blanks() {
        for word in ["1", "true", "yes", "on", " YES\n", "True"] {
            assert_eq!(boolean(word.as_bytes()), Some(true), "{word:?}");
        }
        for word in ["0", "false", "no", "off", "", " \t", "OFF "] {
            assert_eq!(boolean(word.as_bytes()), Some(false), "{word:?}");
        }
        for word in ["\"1\"", "2", "y", "enabled", "1 1"] {
            assert_eq!(boolean(word.as_bytes()), None, "{word:?}");
        }
    }

    #[test]
    fn numbers_sizes_and_seconds() {
        assert_eq!(number(b" 17\n"), Some(17));
        for word in ["", "-1", "1.5", "4294967296", "x"] {
            assert_eq!(number(word.as_bytes()), None, "{word}");
        }
        let ages = [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("0s", 0)];
        for (word, seconds) in ages {
            assert_eq!(age(word.as_bytes()), Some(Duration::from_secs(seconds)), "{word}");
        }
        for word in
            ["", "m", "-1m", "1.5h", "1w", "10 m", "99999999999999999999", "9999999999999999999d"]
        {
            assert_eq!(age(word.as_bytes()), None, "{word}");
        }
        let sizes = [
            ("0", Some(0)),
            (" 512M ", Some(512 << 20)),
            ("1k", Some(1024)),
            ("3G", Some(3 << 30)),
            ("17179869183G", Some(17_179_869_183 << 30)),
            ("17179869184G", None),
            ("", None),
            ("M", None),
            ("1T", None),
            ("1.5G", None),
            ("-1", None),
            ("1 M", None),
            ("1MB", None),
        ];
        for (word, bytes) in sizes {
            assert_eq!(size(word.as_bytes()), bytes, "{word}");
        }
        let table = [("2", 2_000), ("0.25", 250), ("1.2345", 1_234), (" 0 ", 0)];
        for (word, millis) in table {
            assert_eq!(seconds(word.as_bytes()), Some(Duration::from_millis(millis)), "{word}");
        }
        for word in ["", "1.", ".5", "-1", "1e3", "99999999999", "1.x", "1 .5", "1. 5"] {
            assert_eq!(seconds(word.as_bytes()), None, "{word}");
        }
    }
}
