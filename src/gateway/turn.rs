//! The turn that a boot gives a gateway, so that not all start at once: a file in its slot. `run`
//! notes its process there and becomes `sleep`, which is all that a signal has to end. That end
//! is no death to `finish`; the next `run` takes the file away and starts the gateway.

use crate::error::Result;
use crate::model::backoff::THROTTLE;
use crate::model::values;
use crate::s6::status::Status;
use crate::sys::dir::Dir;
use crate::sys::{clock, if_there};
use crate::text::parts;
use std::time::Duration;

/// For how many milliseconds to sleep, the process that does (0 while none does), which turn it
/// is, and of how many.
pub(crate) const FILE: &[u8] = b"turn";
/// The most that it has, in bytes.
const MAX_SIZE: usize = 128;

/// What the file says.
pub(crate) type Turn = [u64; 4];

/// The content of the file for turn `at` of `all`, the first of which is 1.
pub(crate) fn line(at: usize, all: usize, stagger: Duration) -> String {
    // s6-supervise waits, too, before it starts what has ended.
    let begun = if stagger < THROTTLE { Duration::ZERO } else { THROTTLE };
    let delay =
        (stagger.as_millis() as u64 * (at as u64 - 1)).saturating_sub(begun.as_millis() as u64);
    format!("{delay} 0 {at} {all}\n")
}

fn parse(line: &[u8]) -> Option<Turn> {
    let (mut turn, mut words) = ([0; 4], parts(line.trim_ascii_end(), b' '));
    for number in &mut turn {
        *number = values::digits(words.next()?)?;
    }
    Some(turn)
}

/// The turn of the gateway in `slot`, whose status is `now`, if it has not been started since.
#[inline(never)]
pub(crate) fn read(slot: &Dir, now: &Status) -> Result<Option<Turn>> {
    let line = if_there(slot.read(FILE, MAX_SIZE))?.unwrap_or_default();
    // Else the next process has not taken it away yet.
    let counts = |[_, pid, ..]: &Turn| !now.is_up() || *pid == 0 || *pid == now.pid;
    Ok(parse(&line).filter(counts))
}

/// Whether what is up by the status `now` only waits for its turn.
pub(crate) fn awaits(slot: &Dir, now: &Status) -> Result<bool> {
    Ok(now.is_up() && read(slot, now)?.is_some())
}

/// What a gateway does until its turn, which has begun to wait at `since`.
pub(crate) fn text([delay, _, at, all]: Turn, since: Duration) -> String {
    let end = since.saturating_add(Duration::from_millis(delay)) + THROTTLE;
    let left = end.saturating_sub(clock::time()).as_secs();
    format!("starting in {left}s (turn {at} of {all})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_so_many_times_the_pause_and_is_read_back() {
        let table = [
            (2, 60, 5_000, [4_000, 0, 2, 60]),
            (25, 60, 500, [12_000, 0, 25, 60]),
            (4, 4, 1_250, [2_750, 0, 4, 4]),
            (2, 2, 1_000, [0, 0, 2, 2]),
            (3, 9, 1, [2, 0, 3, 9]),
        ];
        for (at, all, millis, turn) in table {
            let line = line(at, all, Duration::from_millis(millis));
            assert_eq!(parse(line.as_bytes()), Some(turn), "{line}");
        }
        let longest = Duration::from_millis(u64::from(u32::MAX) * 1000 + 999);
        assert!(line(4096, 4096, longest).len() <= MAX_SIZE);
        assert_eq!(parse(b"4000 4711 2 60\n"), Some([4000, 4711, 2, 60]));
        for none in ["", "4000", "x 0 2 3", "4000 - 2 3", "4000 7", "1 2 3 "] {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
        let text = text([12_000, 7, 25, 60], clock::time() - Duration::from_millis(500));
        assert_eq!(text, "starting in 12s (turn 25 of 60)");
    }
}
