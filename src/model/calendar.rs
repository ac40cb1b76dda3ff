//! Dates and times in UTC, and how they are written.

use std::fmt::Write;
use std::time::Duration;

/// Seconds in a day.
pub const DAY: i64 = 86_400;

/// `2026-05-24T18:05:33+0000` for seconds since 1970 UTC.
pub fn utc(seconds: i64) -> String {
    date_and_time(seconds, "T") + "+0000"
}

/// `2026-05-24T18:05:33+00:00` for seconds since 1970 UTC, which Python reads too.
pub fn iso(seconds: i64) -> String {
    date_and_time(seconds, "T") + "+00:00"
}

/// `2026-05-24T18:05:33` for seconds since 1970, with `between` instead of the T.
pub fn date_and_time(seconds: i64, between: &str) -> String {
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{:02}", second % 60)
}

/// `2026-05-24T18:05:33.123456789Z` for a time since 1970 UTC.
pub fn precise(since: Duration) -> String {
    exact(since.as_secs().cast_signed(), "T", since.subsec_nanos(), "Z")
}

/// The same for seconds since 1970 and nanoseconds, with `between` and `after` instead of T and Z.
#[inline(never)]
pub fn exact(seconds: i64, between: &str, nanos: u32, after: &str) -> String {
    let mut text = date_and_time(seconds, between);
    // To write to a string never fails.
    let _ = write!(text, ".{nanos:09}{after}");
    text
}

/// Year, month and day for days since 1970-01-01, in the Gregorian calendar.
pub fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March put the leap day last; 400 of them are an era.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01 for year, month (1 to 12; 13 is the next January) and day.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        let table = [
            (0, "1970-01-01T00:00:00+0000"),
            (951_782_399, "2000-02-28T23:59:59+0000"),
            (951_782_400, "2000-02-29T00:00:00+0000"),
            (1_709_251_199, "2024-02-29T23:59:59+0000"),
            (4_107_542_400, "2100-03-01T00:00:00+0000"),
            (-1, "1969-12-31T23:59:59+0000"),
        ];
        for (seconds, text) in table {
            assert_eq!(utc(seconds), text);
        }
        assert_eq!(iso(1_779_645_933), "2026-05-24T18:05:33+00:00");
        assert_eq!(date_and_time(1_779_645_933, " "), "2026-05-24 18:05:33");
    }

    #[test]
    fn every_day_of_five_centuries_leads_to_its_date_and_back() {
        let (mut year, mut month, mut day) = civil(-100_000);
        for number in -100_000..100_000 {
            assert_eq!((year, month, day), civil(number));
            assert_eq!(days(year, month, day), number);
            let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
            let last = match month {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
                assert_eq!(days(year, month, 1), number + 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
