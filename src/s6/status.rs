//! `supervise/status`, as s6-supervise writes it.

/// What a status file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The process: the gateway, or `finish` while that runs; 0 for none.
    pub pid: u64,
    /// `finish` runs.
    pub finishing: bool,
    /// s6-supervise is to start it, or to keep it up.
    pub want_up: bool,
}

/// The largest format that is known, in bytes.
pub const MAX_SIZE: usize = 43;

const FINISHING: u8 = 2;
const WANT_UP: u8 = 4;

impl Status {
    /// Parses a status file: 35 bytes (up to s6 2.12 and from 2.14 on) or 43 (2.13).
    /// The length decides the format; any other length is none.
    pub fn parse(bytes: &[u8]) -> Option<Status> {
        let flags = match bytes.len() {
            35 => bytes[34],
            43 => bytes[42],
            _ => return None,
        };
        let pid = u64::from_be_bytes(bytes[24..32].try_into().ok()?);
        let finishing = flags & FINISHING != 0;
        Some(Status { pid, finishing, want_up: flags & WANT_UP != 0 })
    }

    /// Whether the service itself is up.
    pub fn is_up(self) -> bool {
        self.pid != 0 && !self.finishing
    }

    /// Whether the service is up or about to be: s6-supervise says that it wants
    /// it up, then starts it, and only then says that it is.
    pub fn may_be_up(self) -> bool {
        self.is_up() || self.want_up
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
                let got = (status.pid, status.is_up(), status.may_be_up());
                assert_eq!(got, (pid, up, may_be), "{size} {flags}");
            }
        }
    }

    proptest! {
        #[test]
        fn only_the_two_sizes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Status::parse(&bytes).is_some(), matches!(bytes.len(), 35 | 43));
        }
    }
}
