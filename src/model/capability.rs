//! What of root's rights PID 1 needs, when it is root and gateways are not.

use crate::text::messages::{Text, text};
use crate::text::part;

/// What, with the name behind it, gives PID 1 a capability.
pub(crate) const REMEDY: Text = text!("docker run --cap-add=");

/// A capability of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    Chown,
    DacOverride,
    Kill,
    SetGid,
    SetUid,
}

/// Their bits.
const BITS: [u8; 5] = [0, 1, 5, 6, 7];
/// Their names, and what follows without them.
const ROWS: [Text; 5] = [
    text!("CHOWN: nothing can be given to the gateways' user"),
    text!("DAC_OVERRIDE: root, and so s6, cannot enter what is the gateways' user's"),
    text!(
        "KILL: s6 cannot signal what runs as the gateways' user: hermes-gw signals gateways itself, but nobody stops the dashboard or hermes-svscan"
    ),
    text!("SETGID: nothing can become the gateways' user"),
    text!("SETUID: nothing can become the gateways' user"),
];

impl Capability {
    /// All that are needed.
    pub(crate) const ALL: [Capability; 5] = [
        Capability::Chown,
        Capability::DacOverride,
        Capability::Kill,
        Capability::SetGid,
        Capability::SetUid,
    ];

    /// Its name, as capabilities(7) has it, without `CAP_`, and what follows if PID 1 lacks it.
    fn row(self) -> &'static str {
        ROWS[self as usize].read()
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        part(self.row(), ':', 0)
    }

    /// That PID 1 does not have it, and what follows.
    pub(crate) fn lacking(self) -> String {
        String::from("PID 1 lacks CAP_") + self.row()
    }

    /// The same, and what to do about it.
    pub(crate) fn lacking_and_remedy(self) -> String {
        [&self.lacking()[..], "; try: ", REMEDY.read(), self.name()].concat()
    }

    /// Whether it is in `set`, a bit each.
    pub(crate) fn is_in(self, set: u64) -> bool {
        set >> BITS[self as usize] & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_kernel() {
        // What Docker gives by default, and the same without one each.
        let docker = 0xa804_25fb;
        for capability in Capability::ALL {
            assert!(capability.is_in(docker), "{capability:?}");
            assert!(
                !capability.is_in(docker & !(1 << BITS[capability as usize])),
                "{capability:?}"
            );
        }
        assert!(!Capability::ALL.iter().any(|it| it.is_in(0)));
    }
}
