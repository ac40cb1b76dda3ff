//! The two layouts: whose s6-svscan supervises the gateways.

/// Whose s6-svscan supervises the gateways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tree {
    /// PID 1's: it runs as root, and so can whoever may add services.
    #[default]
    Root,
    /// One that runs as the gateways' user.
    User,
}

impl Tree {
    /// The tree that `word` names in `HERMES_GW_TREE`.
    pub(crate) fn parse(word: &[u8]) -> Option<Tree> {
        match word.trim_ascii() {
            b"root" => Some(Tree::Root),
            b"user" => Some(Tree::User),
            _ => None,
        }
    }

    /// The other layout.
    pub(crate) const fn other(self) -> Tree {
        match self {
            Tree::Root => Tree::User,
            Tree::User => Tree::Root,
        }
    }

    /// The word for it in `HERMES_GW_TREE` and in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Tree::Root => "root",
            Tree::User => "user",
        }
    }

    /// Whose it is, in words.
    pub(crate) const fn whose(self) -> &'static str {
        match self {
            Tree::Root => "PID 1's",
            Tree::User => "the gateways' user's own",
        }
    }

    /// Where its scandir is, if nothing else is said.
    pub const fn path(self) -> &'static str {
        match self {
            Tree::Root => "/run/service",
            Tree::User => "/run/hermes-gw/service",
        }
    }

    /// How many services it can hold, loggers included, if nothing else is said. PID 1's
    /// bound is s6's default, and s6-overlay gives no way to change it; the other is what
    /// rootfs/ starts it with.
    pub const fn services_max(self) -> usize {
        match self {
            Tree::Root => 1000,
            Tree::User => 4000,
        }
    }

    /// What s6-overlay runs in it for itself; some of it may not be there yet.
    pub(crate) const fn overlay_services(self) -> usize {
        match self {
            Tree::Root => 3,
            Tree::User => 0,
        }
    }
}
