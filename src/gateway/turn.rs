//! The turn that a boot gives a gateway, so that not all start at once: a file in its slot. `run`
//! notes its process there and becomes `sleep`, which is all that a signal has to end. That end
//! is no death to `finish`; the next `run` takes the file away and starts the gateway.

use crate::error::Result;
use crate::model::backoff::THROTTLE;
use crate::model::values;
use crate::s6::status::Status;
use crate::sys::dir::Dir;
use crate::sys::{clock, if_there};
use crate::text::Shown;
use std::time::Duration;

/// How long to sleep in seconds, the process that does or `-`, and which turn it is.
pub(crate) const FILE: &[u8] = b"turn";
/// The most that it has, in bytes.
const MAX_SIZE: usize = 128;

/// A turn that is to be waited for, or was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    delay: Duration,
    /// Who waits; `None` if nobody has begun.
    process: Option<u64>,
    which: String,
}

/// The content of the file for turn `at` of `all`, the first of which is 1.
pub(crate) fn line(at: usize, all: usize, stagger: Duration) -> String {
    // s6-supervise waits, too, before it starts what has ended.
    let begun = if stagger < THROTTLE { Duration::ZERO } else { THROTTLE };
    let delay = stagger.saturating_mul(at as u32 - 1).saturating_sub(begun);
    format!("{}.{:03} - {at} of {all}\n", delay.as_secs(), delay.subsec_millis())
}

fn parse(line: &[u8]) -> Option<Turn> {
    let mut words = str::from_utf8(line).ok()?.trim_end().splitn(3, ' ');
    let delay = values::seconds(words.next()?.as_bytes())?;
    let process = match words.next()? {
        "-" => None,
        word => Some(values::digits(word.as_bytes())?),
    };
    Some(Turn { delay, process, which: words.next()?.into() })
}

/// The turn of the gateway in `slot`, whose status is `now`, if it has not been started since.
#[inline(never)]
pub(crate) fn read(slot: &Dir, now: &Status) -> Result<Option<Turn>> {
    let line = if_there(slot.read(FILE, MAX_SIZE))?.unwrap_or_default();
    // The next process has not taken it away yet.
    let is_over = |turn: &Turn| now.is_up() && turn.process.is_some_and(|it| it != now.pid);
    Ok(parse(&line).filter(|turn| !is_over(turn)))
}

/// Whether what is up by the status `now` only waits for its turn.
pub(crate) fn awaits(slot: &Dir, now: &Status) -> Result<bool> {
    Ok(now.is_up() && read(slot, now)?.is_some())
}

impl Turn {
    /// What the gateway does until then, which has begun to wait at `since`.
    pub(crate) fn text(&self, since: Duration) -> String {
        let left = (since + self.delay + THROTTLE).saturating_sub(clock::time());
        format!("starting in {}s (turn {})", left.as_secs(), Shown(self.which.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_so_many_times_the_pause_and_is_read_back() {
        let table = [
            (2, 60, 5_000, "4.000 - 2 of 60\n"),
            (25, 60, 500, "12.000 - 25 of 60\n"),
            (4, 4, 1_250, "2.750 - 4 of 4\n"),
            (2, 2, 1_000, "0.000 - 2 of 2\n"),
            (3, 9, 1, "0.002 - 3 of 9\n"),
        ];
        for (at, all, millis, text) in table {
            let text_of = line(at, all, Duration::from_millis(millis));
            assert_eq!(text_of, text);
            let turn = parse(text.as_bytes()).unwrap();
            assert_eq!((turn.process, turn.which), (None, format!("{at} of {all}")));
        }
        let longest = Duration::from_millis(u64::from(u32::MAX) * 1000 + 999);
        assert!(line(4096, 4096, longest).len() <= MAX_SIZE);
        let noted = parse(b"4.000 4711 2 of 60\n").unwrap();
        assert_eq!((noted.delay.as_secs(), noted.process), (4, Some(4711)));
        for none in ["", "4.000", "x - 2 of 3", "4.000 x 2 of 3", "4.000 7", "\u{ff} - 1 of 2"] {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
    }
}
