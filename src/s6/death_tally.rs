//! `supervise/death_tally`: how the service died, again and again.

use super::tai64n::Tai64n;

/// The file, in a service directory.
pub const FILE: &[u8] = b"supervise/death_tally";
/// One record, in bytes.
const RECORD: usize = 14;
/// The most deaths that s6 keeps.
pub const MAX_DEATHS: usize = 4096;
/// The largest tally, in bytes.
pub const MAX_SIZE: usize = MAX_DEATHS * RECORD;

/// One death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// When.
    pub stamp: Tai64n,
    /// Its exit code; 128 and the signal's number if it was killed.
    pub exit_code: u8,
    /// The signal that killed it; 0 if it exited.
    pub signal: u8,
}

/// The deaths in a tally, the newest last; `None` if a record is cut short, for then
/// none can be trusted. s6-supervise sees that as an empty tally.
pub fn parse(bytes: &[u8]) -> Option<Vec<Death>> {
    let (records, rest) = bytes.as_chunks::<RECORD>();
    let death = |[stamp @ .., exit_code, signal]: &[u8; RECORD]| Death {
        stamp: Tai64n::from_bytes(*stamp),
        exit_code: *exit_code,
        signal: *signal,
    };
    rest.is_empty().then(|| records.iter().map(death).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whole_records_are_deaths_and_nothing_else_is(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            match parse(&bytes) {
                Some(deaths) => {
                    prop_assert_eq!(deaths.len() * RECORD, bytes.len());
                    for (death, record) in deaths.iter().zip(bytes.chunks(RECORD)) {
                        prop_assert_eq!(&[death.exit_code, death.signal], &record[12..]);
                    }
                }
                None => prop_assert!(bytes.len() % RECORD > 0),
            }
        }
    }
}
