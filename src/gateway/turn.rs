//! The turn that a boot gives a gateway, so that not all start at once: a file in its slot. `run`
//! notes its process there and becomes `sleep`, which is all that a signal has to end. That end
//! is no death to `finish`; the next `run` takes the file away and starts the gateway.

use crate::error::Result;
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

/// In milliseconds.
const SECOND: u64 = 1000;

/// What the file says.
pub(crate) type Turn = [u64; 4];
/// There is none.
pub(crate) const NONE: Turn = [0; 4];

/// The turn after the `last`, whose first number is the pause between two; none for what stays
/// `down`, or without a pause.
pub(crate) fn next(last: &mut Turn, down: bool) -> Turn {
    let [pause, _, at, all] = last;
    if down || *pause == 0 {
        return NONE;
    }
    *at += 1;
    [*pause * (*at - 1), 0, *at, *all]
}

/// Gives the new `slot` its `turn`; the first needs none.
pub(crate) fn put(slot: &Dir, [delay, _, at, all]: Turn) -> Result<()> {
    match at {
        0 | 1 => Ok(()),
        _ => slot.create(FILE, 0o644, format!("{delay} 0 {at} {all}\n").as_bytes()),
    }
}

fn parse(line: &[u8]) -> Turn {
    let (mut turn, mut words) = (NONE, parts(line.trim_ascii_end(), b' '));
    for number in &mut turn {
        match words.next().and_then(values::digits) {
            Some(its) => *number = its,
            None => return NONE,
        }
    }
    turn
}

/// The turn of the gateway in `slot`, whose status is `now`; [`NONE`] if it is not to come up, or
/// has been started since.
#[inline(never)]
pub(crate) fn read(slot: &Dir, now: &Status) -> Result<Turn> {
    if !now.may_be_up() {
        return Ok(NONE);
    }
    let turn = parse(&if_there(slot.read(FILE, MAX_SIZE))?.unwrap_or_default());
    // The next process has not taken it away yet.
    let is_over = now.is_up() && turn[1] != 0 && turn[1] != now.pid;
    Ok(if is_over { NONE } else { turn })
}

/// Whether what is up by the status `now` only waits for its turn.
pub(crate) fn awaits(slot: &Dir, now: &Status) -> Result<bool> {
    Ok(now.is_up() && read(slot, now)? != NONE)
}

/// What a gateway does until its turn, which has begun to wait at `since`.
pub(crate) fn text([delay, _, at, all]: Turn, since: Duration) -> String {
    // s6-supervise waits, too, before it starts what has ended.
    let end = since.as_secs() + delay / SECOND + 1;
    let left = end.saturating_sub(clock::time().as_secs());
    format!("starting in {left}s (turn {at} of {all})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_so_many_times_the_pause_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Dir::open(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        // The pause; the turns of what stays down, and of three that do not.
        let table = [
            (5_000, [NONE, [0, 0, 1, 3], [5_000, 0, 2, 3], [10_000, 0, 3, 3]]),
            (250, [NONE, [0, 0, 1, 3], [250, 0, 2, 3], [500, 0, 3, 3]]),
            (0, [NONE; 4]),
        ];
        for (pause, turns) in table {
            let mut last = [pause, 0, 0, 3];
            for (at, turn) in turns.into_iter().enumerate() {
                assert_eq!(next(&mut last, at == 0), turn, "{pause} {at}");
                put(&slot, turn).unwrap();
                let file = std::fs::read(dir.path().join("turn")).unwrap_or_default();
                assert_eq!(parse(&file), if turn[2] > 1 { turn } else { NONE });
                let _ = slot.remove(FILE);
            }
        }
        let longest = [u64::MAX; 4];
        put(&slot, longest).unwrap();
        assert!(std::fs::metadata(dir.path().join("turn")).unwrap().len() <= MAX_SIZE as u64);
        assert_eq!(parse(b"4000 4711 2 60\n"), [4000, 4711, 2, 60]);
        for none in ["", "4000", "x 0 2 3", "4000 - 2 3", "4000 7", "1 2 3 "] {
            assert_eq!(parse(none.as_bytes()), NONE, "{none}");
        }
        let text = text([12_000, 7, 25, 60], clock::time() - Duration::from_millis(500));
        assert!(text.starts_with("starting in 1") && text.ends_with("s (turn 25 of 60)"), "{text}");
    }
}
