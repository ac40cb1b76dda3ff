//! What of root's rights PID 1 needs, when it is root and gateways are not.

/// What, with the name behind it, gives PID 1 a capability.
pub(crate) const REMEDY: &str = "docker run --cap-add=";

/// A capability of Linux, by its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Capability {
    Chown = 0,
    DacOverride = 1,
    Kill = 5,
    SetGid = 6,
    SetUid = 7,
}

impl Capability {
    /// All that are needed.
    pub(crate) const ALL: [Capability; 5] = [
        Capability::Chown,
        Capability::DacOverride,
        Capability::Kill,
        Capability::SetGid,
        Capability::SetUid,
    ];

    /// Its name, as capabilities(7) has it, without `CAP_`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Capability::Chown => "CHOWN",
            Capability::DacOverride => "DAC_OVERRIDE",
            Capability::Kill => "KILL",
            Capability::SetGid => "SETGID",
            Capability::SetUid => "SETUID",
        }
    }

    /// That PID 1 does not have it, and what follows.
    #[inline(never)]
    pub(crate) fn lacking(self) -> String {
        let effect = match self {
            Capability::Chown => "nothing can be given to the gateways' user",
            Capability::DacOverride => "root, and so s6, cannot enter what is the gateways' user's",
            Capability::Kill => {
                "s6 cannot signal what runs as the gateways' user: hermes-gw signals gateways \
                 itself, but nobody stops the dashboard or hermes-svscan"
            }
            Capability::SetGid | Capability::SetUid => "nothing can become the gateways' user",
        };
        ["PID 1 lacks CAP_", self.name(), ": ", effect].concat()
    }

    /// The same, and what to do about it.
    pub(crate) fn lacking_and_remedy(self) -> String {
        [&self.lacking()[..], "; try: ", REMEDY, self.name()].concat()
    }

    /// Whether it is in `set`, a bit each.
    pub(crate) const fn is_in(self, set: u64) -> bool {
        set >> self as u8 & 1 == 1
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
            assert!(!capability.is_in(docker & !(1 << capability as u8)), "{capability:?}");
        }
        assert!(!Capability::ALL.iter().any(|it| it.is_in(0)));
    }
}
