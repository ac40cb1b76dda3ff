//! The table of options, and what was given on a command line.
//!
//! The usages become one text: a table of strings would cost 40 bytes of relocation for each.
//! What the options do is for help alone, which packs it.

use crate::model::policy::PolicySetting;
use crate::text::messages::{Text, text};
use crate::text::{part, parts};
use std::time::Duration;

/// What is said of a word that is no policy.
pub(crate) const POLICIES: Text = text!("must be auto, profiles or root");

/// How much is said of a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// `-q`: nothing.
    Quiet,
    /// What the verb is for.
    #[default]
    Normal,
    /// `-v`: what was done on the way, too.
    Verbose,
}

/// Declares the options: their names with the name of the value, and what they do.
macro_rules! options {
    ($($name:ident, $usage:literal, $what:literal;)*) => {
        /// An option.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Opt {
            $(#[doc = $what] $name),*
        }
        pub(crate) const OPTIONS: [Opt; [$($usage),*].len()] = [$(Opt::$name),*];
        /// The usages, with a form feed after each.
        pub(crate) const USAGES: &str = concat!($($usage, "\x0c"),*);
        /// What each option does, with a form feed after it.
        pub(crate) const OPTION_TEXTS: &str = concat!($($what, "\x0c"),*);
    };
}

options! {
    // Of all verbs, up to Version.
    Home, "--home DIR", "the Hermes home ($HERMES_HOME, else /opt/data)";
    Scandir, "--scandir DIR", "the scandir ($S6_PROFILE_GATEWAY_SCANDIR, else the tree's)";
    Json, "--json", "data and errors as JSON";
    Quiet, "-q", "say less";
    Verbose, "-v", "say more";
    Help, "-h, --help", "this text, or that of the command";
    Version, "-V, --version", "print the version";
    // Of those whose usage has them.
    All, "--all", "every gateway that has a slot";
    Boot, "--boot", "ask for no scan: s6-overlay does that later";
    Down, "--down", "do not start it; with wait: until it is down";
    DryRun, "--dry-run", "print what would be done and touch nothing";
    Env, "--env NAME=VALUE", "for the gateway, besides the container's environment";
    Follow, "-f, --follow", "then go on with what comes, until interrupted";
    Force, "--force", "do it all the same";
    IfMissing, "--if-missing", "a slot that is there already is fine";
    Lines, "-n, --lines N", "so many lines of each gateway (50; with status 5)";
    Local, "--local", "stamps in local time, with its offset from UTC";
    NoWait, "--no-wait", "return once s6 has been told";
    Policy, "--policy auto|profiles|root", "whose intents decide who runs";
    Prune, "--prune", "remove what has no profile, or no slot";
    Ready, "--ready", "until it says that it is ready";
    Since, "--since AGE", "no lines older than this: 90s, 10m, 2h, 1d";
    Strict, "--strict", "1 also for a platform that is down";
    Supervisors, "--supervisors", "end supervisors too, and s6-svscan if it is not PID 1";
    Table, "--table", "a line each, as without names";
    Timeout, "--timeout SECONDS", "wait so long at most; fractions are allowed";
    Up, "--up", "until it is up";
    WaitReady, "--wait-ready", "and until it says that it is ready; 60 seconds at most";
    Utc, "--utc", "stamps in UTC: 2026-05-24 18:05:33.123456789+00:00";
}

impl Opt {
    /// Its names, with the value's.
    pub(crate) fn usage(self) -> &'static str {
        part(USAGES, '\x0c', self as usize)
    }

    /// The option called `name`, with its dashes.
    #[inline(never)]
    pub(crate) fn find(name: &[u8]) -> Option<Opt> {
        for option in OPTIONS {
            for word in parts(option.usage().as_bytes(), b' ') {
                if word.strip_suffix(b",").unwrap_or(word) == name {
                    return Some(option);
                }
            }
        }
        None
    }

    /// Whether all verbs take it; the others are taken by those whose usage has them.
    pub(crate) fn is_global(self) -> bool {
        self as u8 <= Opt::Version as u8
    }
}

/// The options whose long names are in `usage`, a bit for each.
pub(crate) const fn named_in(usage: &str) -> u32 {
    let (usage, known) = (usage.as_bytes(), USAGES.as_bytes());
    let (mut found, mut option, mut at) = (0, 0, 0);
    while at < known.len() {
        if known[at] == b'\x0c' {
            option += 1;
        } else if known[at] == b'-' && known[at + 1] == b'-' && has_word(usage, known, at) {
            found |= 1 << option;
        }
        at += 1;
    }
    found
}

/// Whether the word that stands in `known` at that place is one of `usage`.
const fn has_word(usage: &[u8], known: &[u8], at: usize) -> bool {
    let mut start = 0;
    while start < usage.len() {
        let mut length = 0;
        while start + length < usage.len()
            && is_of_word(known[at + length])
            && usage[start + length] == known[at + length]
        {
            length += 1;
        }
        let ends = start + length == usage.len() || !is_of_word(usage[start + length]);
        if length > 0 && ends && !is_of_word(known[at + length]) {
            return true;
        }
        start += 1;
    }
    false
}

const fn is_of_word(byte: u8) -> bool {
    byte == b'-' || byte.is_ascii_alphanumeric()
}

/// All options and words. A verb reads those that are its own; the parser refuses others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--home`.
    pub(crate) home: Option<Vec<u8>>,
    /// `--scandir`.
    pub(crate) scandir: Option<Vec<u8>>,
    /// `-q` or `-v`.
    pub(crate) verbosity: Verbosity,
    /// A bit for each option that takes no value.
    pub(crate) flags: u32,
    /// `--env`: names and values, sorted by name.
    pub(crate) environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// `--lines`.
    pub(crate) lines: Option<usize>,
    /// `--since`: so long ago.
    pub(crate) since: Option<Duration>,
    /// `--policy`.
    pub(crate) policy: Option<PolicySetting>,
    /// `--timeout`.
    pub(crate) timeout: Option<Duration>,
    /// What is no option: mostly names of profiles, which are not validated yet, for what is
    /// wrong with one does not keep the others from being tried.
    pub(crate) words: Vec<Vec<u8>>,
}

impl Options {
    /// Whether `option` was given.
    pub(crate) fn has(&self, option: Opt) -> bool {
        self.flags & 1 << option as u32 != 0
    }

    /// What was given as the time to wait, or else `default`.
    #[inline(never)]
    pub(crate) fn timeout_or(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }

    /// Notes that `option` was given.
    pub(crate) fn set(&mut self, option: Opt) {
        self.flags |= 1 << option as u32;
    }
}
