//! The calendar, in UTC.

use std::time::Duration;

/// `2026-05-24T18:05:33+0000` for seconds since 1970 UTC.
pub fn utc(seconds: i64) -> String {
    timestamp(seconds) + "+0000"
}

/// `2026-05-24T18:05:33+00:00` for seconds since 1970 UTC, which Python reads too.
pub fn iso(seconds: i64) -> String {
    timestamp(seconds) + "+00:00"
}

fn timestamp(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second % 60)
}

/// `2026-05-24T18:05:33.123456789Z` for a time since 1970 UTC.
pub fn precise(since: Duration) -> String {
    format!("{}.{:09}Z", timestamp(since.as_secs().cast_signed()), since.subsec_nanos())
}

/// Year, month and day for days since 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
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
    }
}
