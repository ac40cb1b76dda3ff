//! Loggers: whether what a gateway says is read by one that stays up.

use super::{Doctor, Findings, Found};
use crate::error::{Error, Kind, Result};
use crate::model::backoff::Exit;
use crate::s6::death_tally::Death;
use crate::s6::scandir::split;
use crate::s6::service::Service;
use crate::sys::dir::Dir;
use crate::sys::{clock, if_there};
use crate::text::messages::text;
use crate::text::{parts, shell_word};
use std::time::Duration;

/// So many deaths are a row, if they took at most so many seconds, which ends when for some times
/// as long there was none.
const DEATHS: usize = 3;
const LONGEST: u64 = 600;
const QUIET: u64 = 3;
/// What s6-log writes to.
const FILES: &[u8] = b"lock current";

/// What reads what a gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logger {
    /// A logger that stays up.
    Works,
    /// None that is meant to be up.
    IsDown,
    /// One that ends again and again, at last so.
    Dies(Exit),
}

impl Logger {
    /// Whether it does not stay up.
    pub(super) fn dies(self) -> bool {
        matches!(self, Logger::Dies(_))
    }

    /// That of `service`.
    pub(super) fn of(service: &Service) -> Result<Logger> {
        let look = || -> Result<Logger> {
            let logger = service.logger()?;
            let (supervised, status) = (logger.is_supervised()?, logger.status()?);
            if supervised && status.want_up && dies(&logger.deaths()?, clock::time()) {
                return Ok(Logger::Dies(status.last_exit()));
            }
            Ok(if supervised && status.is_up() { Logger::Works } else { Logger::IsDown })
        };
        match look() {
            // There is no log/, or its supervisor has only just begun.
            Err(error) if matches!(error.kind, Kind::Missing | Kind::Unusable) => {
                Ok(Logger::IsDown)
            }
            known => known,
        }
    }
}

/// Whether who had these `deaths` does not stay up. That it is up at this moment tells nothing: s6
/// starts it again a second later. Some in a row are no accident, unless it has been up for some
/// times as long since.
fn dies(deaths: &[Death], now: Duration) -> bool {
    let Some(row) = deaths.last_chunk::<DEATHS>() else { return false };
    let second = |death: &Death| death.stamp.since_unix().as_secs();
    let (first, last) = (second(&row[0]), second(&row[DEATHS - 1]));
    let row = last.saturating_sub(first);
    // What is later than now was told by another clock.
    let quiet = now.as_secs().checked_sub(last);
    row < LONGEST && quiet.is_some_and(|quiet| quiet < QUIET * row)
}

/// Writes as s6-log does, as this user, to the directory at `path`, or makes it.
///
/// # Errors
/// What keeps s6-log from that.
fn use_as_logger(path: &[u8]) -> Result<()> {
    let dir = match if_there(Dir::open(path))? {
        Some(dir) => dir,
        None => return use_as_logger(split(path).0),
    };
    for file in parts(FILES, b' ') {
        if_there(dir.file_to_write(file))?;
    }
    // Where a killed call has left it, it goes.
    dir.try_in(b".")
}

impl Doctor<'_> {
    /// Whether each logger stays up, looked at as who it runs as.
    pub(super) fn loggers(&self, findings: &mut Findings) {
        for seen in &self.seen {
            let Ok(Logger::Dies(exit)) = seen.slot.as_ref().map(|slot| slot.logger) else {
                continue;
            };
            let name = seen.observation.profile.name();
            let path = [&self.place.home, &b"/logs/gateways/"[..], name.as_bytes()].concat();
            let error = use_as_logger(&path).err().unwrap_or_else(|| {
                // Nothing is in its way: that is said in the same place.
                let why = text!("docker logs has its last words");
                Error::new(Kind::Unusable, text!(""), b"", why)
            });
            let remedy = self.remedy(&error, &path, &["ls -ld ", &shell_word(&path)]);
            let (exit, why) = (format!("{exit}"), error.text());
            let places = [name.as_bytes(), exit.as_bytes(), why.as_bytes(), remedy.as_bytes()];
            findings.add(Found::LoggerDies, &places);
        }
        findings.add_plain(Found::Loggers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s6::tai64n::Tai64n;

    #[test]
    fn a_row_of_deaths_ends_when_it_is_quiet_for_some_times_as_long() {
        let table: [(&[u64], u64, bool); 10] = [
            (&[], 100, false),
            (&[99, 100], 100, false),
            (&[98, 99, 100], 100, true),
            (&[98, 99, 100], 105, true),
            (&[98, 99, 100], 106, false),
            (&[100, 130, 160], 339, true),
            (&[100, 130, 160], 340, false),
            (&[1, 2, 100, 400, 699], 700, true),
            // Each on another day.
            (&[100, 400, 700], 701, false),
            // The clock was set back since.
            (&[98, 99, 100], 50, false),
        ];
        for (deaths, now, expected) in table {
            let death =
                |at: &u64| Death { stamp: Tai64n::from_unix(*at, 0), exit_code: 1, signal: 0 };
            let tally: Vec<_> = deaths.iter().map(death).collect();
            assert_eq!(dies(&tally, Duration::from_secs(now)), expected, "{deaths:?} {now}");
        }
    }
}
