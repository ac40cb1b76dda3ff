//! The turn that a boot gives a gateway, so that not all start at once: a file in its slot. `run`
//! notes its process there and becomes `sleep`, which is all that a signal has to end. That end
//! is no death to `finish`; the next `run` takes the file away and starts the gateway.

use crate::error::Result;
use crate::model::values;
use crate::s6::status::Status;
use crate::sys::clock;
use crate::sys::dir::Dir;
use crate::text::parts;

/// The pause between two starts in milliseconds, the process that sleeps (0 while none does),
/// which turn it is, and of how many.
pub(crate) const FILE: &[u8] = b"turn";
/// The most that it has, in bytes.
const MAX_SIZE: usize = 128;

/// What the file says.
pub(crate) type Turn = [u64; 4];

/// Whether the slot made after the one of the `last` turn, which becomes its own, has to wait for
/// that: what stays `down` does not, nor does the first, nor anyone where there is no pause.
pub(crate) fn next([pause, _, at, _]: &mut Turn, down: bool) -> bool {
    *at += u64::from(!down);
    !down && *pause > 0 && *at > 1
}

/// Gives the new `slot` its turn.
pub(crate) fn put(slot: &Dir, [pause, _, at, all]: &Turn) -> Result<()> {
    slot.create(FILE, 0o644, format!("{pause} 0 {at} {all}\n").as_bytes())
}

/// What is no number was not written by us, and counts as 0.
fn parse(line: &[u8]) -> Turn {
    let (mut turn, mut words) = ([0; 4], parts(line.trim_ascii_end(), b' '));
    for number in &mut turn {
        *number = words.next().and_then(values::digits).unwrap_or(0);
    }
    turn
}

/// What the gateway in `slot` does, whose status is `now`, where that is to wait for its turn, or
/// was; nothing, if it is not to come up, or has been started since.
#[inline(never)]
pub(crate) fn read(slot: &Dir, now: &Status) -> Result<String> {
    if !now.may_be_up() {
        return Ok(String::new());
    }
    let line = slot.read_if_there(FILE, MAX_SIZE)?;
    let [pause, pid, at, all] = parse(&line);
    // The next process has not taken it away yet.
    let is_over = now.is_up() && pid != 0 && pid != now.pid;
    if at == 0 || is_over {
        return Ok(String::new());
    }
    if !now.is_up() {
        return Ok("starting".into());
    }
    // s6-supervise waits, too, before it starts what has ended.
    let end = now.stamp.unix().cast_unsigned() + pause.saturating_mul(at - 1) / 1000 + 1;
    let left = end.saturating_sub(clock::now().cast_unsigned());
    Ok(format!("starting in {left}s (turn {at} of {all})"))
}

/// Whether what is up by the status `now` only waits for its turn.
pub(crate) fn awaits(slot: &Dir, now: &Status) -> Result<bool> {
    Ok(now.is_up() && !read(slot, now)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s6::tai64n::Tai64n;

    #[test]
    fn who_is_to_come_up_after_the_first_has_a_turn() {
        // The pause; whether what stays down waits, and the three that do not.
        let table = [(5_000, [false, false, true, true]), (0, [false; 4])];
        for (pause, waits) in table {
            let mut last = [pause, 0, 0, 3];
            for (at, waits) in waits.into_iter().enumerate() {
                assert_eq!(next(&mut last, at == 0), waits, "{pause} {at}");
                assert_eq!(last, [pause, 0, at as u64, 3]);
            }
        }
    }

    #[test]
    fn what_is_up_waits_until_the_next_process_has_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Dir::open(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        let now = |pid, want_up, finishing| Status {
            stamp: Tai64n::from_unix(clock::now().cast_unsigned(), 0),
            ready_stamp: Tai64n::default(),
            pid,
            wait_status: 0,
            paused: false,
            finishing,
            want_up,
            ready: false,
        };
        let waits = "starting in 1_s (turn 25 of 60)";
        // The file; pid, wanted up, finishing; what is said, and whether it is up and waits.
        let table = [
            ("500 0 25 60\n", (7, true, false), waits, true),
            ("500 7 25 60\n", (7, true, false), waits, true),
            ("500 7 25 60\n", (7, false, false), waits, true),
            ("500 7 25 60\n", (8, true, false), "", false),
            ("500 7 25 60\n", (8, true, true), "starting", false),
            ("500 7 25 60\n", (0, true, false), "starting", false),
            ("500 7 25 60\n", (0, false, false), "", false),
            ("", (7, true, false), "", false),
            ("500", (7, true, false), "", false),
            ("500 0 x 60", (7, true, false), "", false),
        ];
        for (file, (pid, want_up, finishing), text, is_waiting) in table {
            std::fs::write(dir.path().join("turn"), file).unwrap();
            let now = now(pid, want_up, finishing);
            let said = read(&slot, &now).unwrap();
            let said = said.replace("11s", "1_s").replace("12s", "1_s").replace("13s", "1_s");
            assert_eq!(
                (&said[..], awaits(&slot, &now).unwrap()),
                (text, is_waiting),
                "{file} {now:?}"
            );
        }
        slot.remove(FILE).unwrap();
        assert_eq!(read(&slot, &now(7, true, false)).unwrap(), "");
        put(&slot, &[u64::MAX; 4]).unwrap();
        let file = std::fs::read(dir.path().join("turn")).unwrap();
        assert!(file.len() <= MAX_SIZE);
        assert_eq!(parse(&file), [u64::MAX, 0, u64::MAX, u64::MAX]);
    }
}
