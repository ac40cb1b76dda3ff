//! `supervise/status`, as s6-supervise writes it.

use super::tai64n::Tai64n;
use crate::model::backoff::Exit;

/// The file, in a service directory.
pub const FILE: &[u8] = b"supervise/status";
/// The largest format that is known, in bytes.
pub const MAX_SIZE: usize = 43;

const PAUSED: u8 = 1;
const FINISHING: u8 = 2;
const WANT_UP: u8 = 4;
const READY: u8 = 8;

/// What a status file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// When the service was started, or when it died.
    pub stamp: Tai64n,
    /// When it became ready; once it is down, when `finish` ended.
    pub ready_stamp: Tai64n,
    /// The process: the gateway, or `finish` while that runs; 0 for none.
    pub pid: u64,
    /// How the gateway last ended, as wait(2) tells it; 0 before that.
    pub wait_status: u16,
    /// It got SIGSTOP; without a process, from s6 2.13.2 on: it was never started.
    pub paused: bool,
    /// `finish` runs.
    pub finishing: bool,
    /// s6-supervise is to start it, or to keep it up.
    pub want_up: bool,
    /// It has said that it is ready; without a process: `finish` has ended, too.
    pub ready: bool,
}

impl Status {
    /// Parses a status file: 35 bytes (up to s6 2.12 and from 2.14 on) or 43 (2.13).
    /// The length decides the format; any other length is none.
    pub fn parse(bytes: &[u8]) -> Option<Status> {
        let rest = match bytes.len() {
            35 => &bytes[32..],
            // The process group stands between; s6 fills it with the pid.
            43 => &bytes[40..],
            _ => return None,
        };
        let stamp = |at: usize| Some(Tai64n::from_bytes(bytes[at..at + 12].try_into().ok()?));
        let has = |flag| rest[2] & flag != 0;
        Some(Status {
            stamp: stamp(0)?,
            ready_stamp: stamp(12)?,
            pid: u64::from_be_bytes(bytes[24..32].try_into().ok()?),
            wait_status: u16::from_be_bytes([rest[0], rest[1]]),
            paused: has(PAUSED),
            finishing: has(FINISHING),
            want_up: has(WANT_UP),
            ready: has(READY),
        })
    }

    /// Whether the service itself is up.
    pub fn is_up(&self) -> bool {
        self.pid != 0 && !self.finishing
    }

    /// Whether there is no process of it left, `finish` included.
    pub fn is_down(&self) -> bool {
        self.pid == 0
    }

    /// Whether the service is up or about to be: s6-supervise says that it wants
    /// it up, then starts it, and only then says that it is.
    pub fn may_be_up(&self) -> bool {
        self.is_up() || self.want_up
    }

    /// Whether it has never been started, as far as its s6 tells.
    pub fn is_unstarted(&self) -> bool {
        self.paused && self.pid == 0
    }

    /// Whether it last ended by itself, with another code than 0.
    pub fn ended_badly(&self) -> bool {
        self.wait_status >= 0x100
    }

    /// How the gateway last ended.
    #[inline(never)]
    pub fn last_exit(&self) -> Exit {
        match self.wait_status.to_be_bytes() {
            [code, 0] => Exit::Code(code),
            [_, signal] => Exit::Signal(signal & 0x7f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(size: usize, pid: u64, flags: u8) -> Vec<u8> {
        let mut bytes = vec![0xa5; size];
        bytes[24..32].copy_from_slice(&pid.to_be_bytes());
        *bytes.last_mut().unwrap() = flags;
        bytes
    }

    #[test]
    fn up_is_a_pid_that_is_not_finishing_and_wanting_it_is_soon() {
        // (pid, flags, is up, may be up)
        let table = [
            (7, 4, true, true),
            (7, 12, true, true),
            (7, 0, true, true),
            (7, 2, false, false),
            (7, 6, false, true),
            (0, 5, false, true),
            (0, 8, false, false),
        ];
        for size in [35, 43] {
            for (pid, flags, up, may_be) in table {
                let status = Status::parse(&bytes(size, pid, flags)).unwrap();
                let got = (status.pid, status.is_up(), status.may_be_up(), status.is_down());
                assert_eq!(got, (pid, up, may_be, pid == 0), "{size} {flags}");
            }
        }
    }

    #[test]
    fn the_last_exit_is_a_code_or_a_signal() {
        let table = [
            (0x0000, Exit::Code(0)),
            (0x4e00, Exit::Code(78)),
            (0x000f, Exit::Signal(15)),
            (0x008b, Exit::Signal(11)), // with a core
        ];
        for (wait_status, exit) in table {
            let status = Status { wait_status, ..Status::parse(&bytes(35, 0, 0)).unwrap() };
            assert_eq!(status.last_exit(), exit, "{wait_status:04x}");
            let is_bad = matches!(exit, Exit::Code(1..));
            assert_eq!(status.ended_badly(), is_bad, "{wait_status:04x}");
        }
    }

    proptest! {
        #[test]
        fn only_the_two_sizes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Status::parse(&bytes).is_some(), matches!(bytes.len(), 35 | 43));
        }
    }
}
