//! The planned-stop marker: tells a gateway that the coming SIGTERM is an operator's.

use crate::error::Result;
use crate::model::{calendar, values};
use crate::sys::dir::Dir;
use crate::sys::path;
use crate::sys::{self, clock};
use crate::text::parts;
use std::time::Duration;

const MARKER: &[u8] = b".gateway-planned-stop.json";

/// Leaves the marker for the gateway with the process id `target` in its `home`. The
/// gateway believes it for a minute and takes it away.
///
/// Everybody may read it: a gateway that cannot would take the stop for a crash. Only under the
/// lock on the home.
#[inline(never)]
pub(crate) fn leave(home: &Dir, target: u64) -> Result<()> {
    let start = start_time(target).map_or("null".into(), |start| start.to_string());
    let (stopper, now) = (sys::process_id(), calendar::iso(clock::now()));
    let content = format!(
        "{{\"target_pid\":{target},\"target_start_time\":{start},\
         \"stopper_pid\":{stopper},\"written_at\":\"{now}\"}}\n"
    );
    home.replace(MARKER, 0o644, content.as_bytes())
}

/// Takes back a marker that nobody read.
pub(crate) fn take_back(home: &Dir) -> Result<()> {
    home.remove(MARKER)
}

/// When the process was started, as the gateway itself finds it: the 22nd word of its
/// /proc/PID/stat, even where the process's name has spaces in it. One that has gone
/// has none, nor one that this user may not look at: the marker then goes by the PID alone.
pub(crate) fn start_time(pid: u64) -> Option<u64> {
    let stat = path::read_proc(format!("/proc/{pid}/stat").as_bytes()).ok()?;
    values::digits(parts(&stat, b' ').nth(21)?)
}

/// So long, at most, s6-supervise needs to note that it has started a process.
const UNTIL_NOTED: u64 = 60;

/// In which second the process began that has this [`start_time`], in UTC as ISO 8601 has it, by the
/// clock as it is set now; `None` where that cannot be told. Its start was `noted` then: what lies
/// far from that, as the clock was set, or `start` is none, does not count.
#[inline(never)]
pub(crate) fn begun(start: u64, noted: Duration) -> Option<String> {
    // First: whatever comes between makes it earlier, and not later than what it did.
    let now = clock::time();
    let mut uptime = path::read_proc(b"/proc/uptime").ok()?;
    // In hundredths, as the other is.
    uptime.retain(|byte| *byte != b'.');
    let hundredths = values::digits(parts(&uptime, b' ').next()?)?;
    let age = Duration::from_millis(hundredths.checked_sub(start)? * 10);
    let begun = now.saturating_sub(age).as_secs().max(noted.as_secs().saturating_sub(UNTIL_NOTED));
    Some(calendar::iso(begun.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_names_the_process_and_when_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let home = Dir::open(dir.path().as_os_str().as_encoded_bytes()).unwrap();
        let own = u64::from(std::process::id());
        leave(&home, own).unwrap();
        leave(&home, own).unwrap();
        let content = std::fs::read(dir.path().join(".gateway-planned-stop.json")).unwrap();
        let marker: serde_json::Value = serde_json::from_slice(&content).unwrap();
        let keys: Vec<_> = marker.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["stopper_pid", "target_pid", "target_start_time", "written_at"]);
        assert_eq!([&marker["target_pid"], &marker["stopper_pid"]], [own, own]);
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let start = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap();
        assert_eq!(marker["target_start_time"].to_string(), start);
        assert!(marker["written_at"].as_str().unwrap().ends_with("+00:00"), "{marker}");
        take_back(&home).unwrap();
        take_back(&home).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_process_began_when_it_was_started() {
        let before = clock::time();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let after = clock::time();
        let start = start_time(child.id().into()).unwrap();
        // A look that is held up makes it earlier: the latest is the most exact.
        let begun = (0..50).map(|_| begun(start, after).unwrap()).max().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // Both of what it is told by are of hundredths.
        let exact = Duration::from_millis(30);
        let iso = |time: Duration| calendar::iso(time.as_secs().cast_signed());
        let (from, to) = (iso(before - exact), iso(after + exact));
        assert!(begun >= from && begun <= to, "{from} {begun} {to}");
        assert_eq!(super::begun(u64::MAX, after), None);
        // The clock was set back after its start, or its name has hidden when that was.
        let minute = Duration::from_secs(60);
        let late = after + 10 * minute;
        assert_eq!(super::begun(start, late), Some(iso(late - minute)));
        assert_eq!(super::begun(0, after), Some(iso(after - minute)));
    }

    #[test]
    fn a_process_that_has_gone_has_no_start_time() {
        assert_eq!(start_time(u64::MAX), None);
    }
}
