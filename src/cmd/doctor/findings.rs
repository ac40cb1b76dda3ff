//! What doctor has found, a line or an object each, and the table of all that it can find.

use super::Doctor;
use crate::error::{Error, Result};
use crate::options::Verbosity;
use crate::output::{Output, PIECE, Row};
use crate::text::messages;
use crate::text::packed::Packed;
use crate::text::{Shown, part, shell_word};
use std::mem;

/// A check: it adds what it has found, and at the end that all is well, which counts if that is
/// all that it has found.
pub(super) type Check<'a> = fn(&Doctor<'a>, &mut Findings<'_>);

/// The names of the checks, in the order in which they are run. Texts or functions in a table
/// would cost 32 bytes each.
const CHECKS: &str = "s6 caller capability supervisors user settings image exec tree scandir slots \
                      capacity leftovers room home root policy profiles gateways hermes loggers";

/// Declares what can be found: how bad it is (ok, warn, fail), what is so and why that matters,
/// and what to type, or to set, against it; empty for nothing.
///
/// `$0` is the first of the places, as it is; `@0` the same as [`Shown`] shows it, and `%0` as a
/// [`shell_word`].
macro_rules! found {
    ($($found:ident, $level:literal, $text:literal, $remedy:literal;)*) => {
        /// What can be found, a row of the table each.
        #[derive(Clone, Copy)]
        pub(super) enum Found { $($found),* }

        const TEXTS: &str = concat!($($level, "\t", $text, "\t", $remedy, "\n"),*);
    };
}

found! {
    Fails, "fail", "$0", "$1";
    Warns, "warn", "$0", "$1";
    GatewayFails, "fail", "$0: $1", "hermes-gw $2 $0";
    GatewayWarns, "warn", "$0: $1", "hermes-gw $2 $0";
    NotLookedAt, "ok", "not looked at", "";
    // s6, caller, capability
    NotS6, "fail", "$0 supervises services here", "hermes gateway$1";
    NoProc, "fail", "$0", "mount /proc";
    NoMainProgram, "warn", "$0", "mount /proc";
    WrongSetting, "fail", "$0", "man hermes-gw";
    Setting, "warn", "$0", "man hermes-gw";
    NotPrepared, "fail", "$0", "as root: hermes-gw reconcile --boot";
    S6, "ok", "s6-svscan is PID 1", "";
    S6WithMain, "ok", "s6-svscan is PID 1; default: $0", "";
    Assumed, "ok", "assumed by --scandir; here is $0", "";
    AssumedFor, "ok", "by --scandir; $0", "";
    Root, "ok", "root", "";
    User, "ok", "user $0", "";
    Stranger, "fail", "user $0 may neither look at gateways nor control them",
        "docker exec -u @1";
    Capabilities, "ok", "PID 1 has those that s6 needs", "";
    // user, settings, image, exec
    RunAs, "ok", "gateways run as @1, user $0", "";
    RunAsId, "ok", "gateways run as user $0", "";
    Settings, "ok", "all can be read", "";
    Image, "ok", "programs and boot entry are there", "";
    NoProgram, "fail", "/$0 is not there", "COPY it into the image";
    NoBootEntry, "warn", "nothing in $0 makes slots when the container starts",
        "COPY rootfs/ into the image";
    OtherBundle, "warn",
        "s6-overlay starts none of the services: its bundle `user` is without them",
        "RUN cp -R /etc/s6-overlay/user-bundles.d/user/contents.d /etc/s6-overlay/s6-rc.d/user/";
    Scripts, "ok", "scripts of slots can run", "";
    // tree, scandir
    NoScan, "fail", "no s6-svscan runs on @0", "docker restart";
    NoScanOfUser, "fail", "no s6-svscan runs on @0",
        "as root: /command/s6-svc -u /run/service/hermes-svscan";
    OtherTree, "fail", "$0 has @1, too: two may run",
        "HERMES_GW_TREE=$2 hermes-gw --scandir $0 unregister %3";
    Tree, "ok", "$0: $1, @2", "";
    Scandir, "ok", "the gateways' user may add and remove slots", "";
    // slots, capacity, supervisors, leftovers
    BadSlot, "fail", "$0: $1", "$2";
    Unsupervised, "fail", "$0: nobody supervises it", "hermes-gw reconcile";
    OldFiles, "warn", "$0: its files are not those of this hermes-gw", "hermes-gw reconcile";
    NoLogger, "fail", "$0: its logger is not up, and it hangs once it has said too much",
        "/command/s6-svc -u %1/log";
    ManyS6, "fail", "status files of $0 bytes: not all are of one s6 that is known",
        "hermes-gw status";
    Slots, "ok", "$0 gateways, each supervised, with a logger; no status yet", "";
    Slots35, "ok", "$0 gateways, each supervised, with a logger; \
        s6 up to 2.12, or from 2.14 on, by its status of 35 bytes", "";
    Slots43, "ok", "$0 gateways, each supervised, with a logger; \
        s6 2.13, by its status of 43 bytes", "";
    NoRoom, "fail", "$0 of $1 gateways that s6-svscan can hold: there is no room for another",
        "$2";
    LittleRoom, "warn", "$0 of $1 gateways that s6-svscan can hold: there is little room",
        "$2";
    Capacity, "ok", "$0 of $1 gateways that s6-svscan can hold", "";
    FewDescriptors, "warn", "$0 gateways at once need $1 descriptors, more than allowed", "$2";
    NoSupervisors, "ok", "not looked at: /proc hides them from this user", "";
    Orphan, "fail", "process @0 supervises @1, which is no slot any more",
        "hermes-gw reconcile --prune";
    Supervisors, "ok", "$0, each on its slot", "";
    Changing, "ok", "not looked at: another hermes-gw changes the scandir", "";
    NoSlot, "fail", "@0 is no slot of a gateway", "rm -r %0";
    Killed, "warn", "@0 was left by a call that was killed", "hermes-gw reconcile";
    Leftovers, "ok", "none in the scandir", "";
    // room, home
    FullDisk, "fail", "@0 has room for $1: states are lost", "df -a %0";
    Disk, "ok", "@0 has $1 MiB left", "";
    NoProfiles, "fail", "$0", "ls -ld %1/profiles";
    NoState, "fail", "$0: its gateway cannot keep its state, and what start and stop want \
        ends with the container", "$1";
    NoLog, "fail", "$0: what gateways say is lost", "$1";
    // root
    RootByRight, "ok", "$0 can become root, as s6 works", "";
    RootByScript, "fail", "$0 can become root by @1, which gives away root's services",
        "RUN rm @1";
    RootByPath, "fail", "$0 can become root by @1, which is in PATH before /usr/bin",
        "ENV PATH= without @1";
    NoRoot, "ok", "$0 cannot become root by what is looked at", "";
    // policy, profiles
    Policy, "ok", "$0", "";
    NotMeant, "ok", "no gateway is meant to run here: $0", "";
    SlotMissing, "warn", "$0: a profile without a slot", "hermes-gw register $1$0";
    ProfileMissing, "warn", "$0: a slot without a profile", "hermes-gw unregister $0";
    MountedAlone, "fail", "@0 is mounted alone: its gateway cannot keep its state, and what \
        start and stop want ends with the container", "mount the directory instead";
    BadLink, "warn", "@0: $1", "namei -l %0";
    BadEntry, "warn", "@0: $1", "mv -nT %0 %2";
    BadState, "warn", "$0: stop and start write it anew", "hermes-gw $1";
    Profiles, "ok", "$0, each with a slot and a state file that can be read", "";
    // gateways, hermes, loggers
    BadStatus, "fail", "$0: $1", "/command/s6-svc -c %2";
    TwoRun, "warn", "$0: up, and $2: two run", "hermes-gw stop $0";
    MuchMemory, "warn", "$0: has $1 in memory, more than HERMES_GW_WARN_MEMORY",
        "hermes-gw restart $0";
    Gateways, "ok", "$0 up, the others down as they are meant to be", "";
    Silent, "warn", "$0: up, and what its gateway_state.json says is of an earlier run",
        "hermes-gw logs $0";
    Hermes, "ok", "none says that it does not work", "";
    LoggerDies, "fail", "$0: its logger does not stay up, $1: $2", "$3";
    Loggers, "ok", "each stays up", "";
}

const PACKING: Packed<{ TEXTS.len() }> = Packed::new(messages::TABLE, &[TEXTS]);
static PACKED: Packed<{ PACKING.length }> = PACKING.cut();

/// What was found so far, and what is checked now.
pub(super) struct Findings<'a> {
    output: &'a Output,
    /// The table, unpacked.
    table: String,
    check: &'static str,
    /// How many checks were run.
    run: usize,
    /// Whether this check has found something.
    is_told: bool,
    /// How much does not work, and how much may not.
    failures: u64,
    warnings: u64,
    /// What is before the next one in JSON.
    before: &'static str,
    /// What was found and is still to be printed.
    pub(super) all: String,
    /// Whether it is to be printed later.
    is_apart: bool,
    /// What became of what was printed.
    said: Result<()>,
}

impl<'a> Findings<'a> {
    /// Nothing yet.
    pub(super) fn new(output: &'a Output) -> Findings<'a> {
        Findings {
            output,
            table: PACKED.unpack(messages::table()),
            check: "",
            run: 0,
            is_told: false,
            failures: 0,
            warnings: 0,
            before: "[",
            all: String::new(),
            is_apart: false,
            said: Ok(()),
        }
    }

    /// Adds a row of the table, with what is to stand in its places. That all is well counts for
    /// a check that has found nothing else.
    #[inline(never)]
    pub(super) fn add(&mut self, found: Found, places: &[&[u8]]) {
        let row = fill(part(&self.table, '\n', found as usize), places);
        let cell = |at| part(&row, '\t', at);
        let (level, text, remedy) = (cell(0), cell(1), cell(2));
        let is_ok = level == "ok";
        if is_ok && self.is_told {
            return;
        }
        self.is_told = true;
        let (word, colour) = match level {
            _ if is_ok => ("ok  ", "\x1b[32m"),
            "warn" => {
                self.warnings += 1;
                ("warn", "\x1b[33m")
            }
            _ => {
                self.failures += 1;
                ("FAIL", "\x1b[31m")
            }
        };
        if self.output.json {
            // The keys are stable.
            let mut row = Row::of("check level text remedy");
            row.text(self.check).text(level).text(text).text_unless_empty(remedy);
            self.all += mem::replace(&mut self.before, ",");
            self.all += &row.end();
        } else if !is_ok || self.output.verbosity != Verbosity::Quiet {
            let (on, off) = if self.output.colours() { (colour, "\x1b[0m  ") } else { ("", "  ") };
            let fill = &"             "[self.check.len()..];
            let hint = if remedy.is_empty() { "" } else { "\n      try: " };
            let parts = [on, word, off, self.check, fill, text, hint, remedy, "\n"];
            self.all += &parts.concat();
        }
        if self.all.len() >= PIECE && !self.is_apart {
            if self.said.is_ok() {
                self.said = self.output.say(&self.all);
            }
            self.all.clear();
        }
    }

    /// The same without a place.
    #[inline(never)]
    pub(super) fn add_plain(&mut self, found: Found) {
        self.add(found, &[]);
    }

    /// The same with what is to stand in the only place.
    #[inline(never)]
    pub(super) fn add_one(&mut self, found: Found, place: &[u8]) {
        self.add(found, &[place]);
    }

    /// The same with what is to stand in the first two places.
    #[inline(never)]
    pub(super) fn add_two(&mut self, found: Found, first: &[u8], second: &[u8]) {
        self.add(found, &[first, second]);
    }

    /// The same with a number.
    #[inline(never)]
    pub(super) fn add_count(&mut self, found: Found, count: usize) {
        self.add_one(found, count.to_string().as_bytes());
    }

    /// The same with the text of `error` as the first place, and one behind it.
    #[inline(never)]
    pub(super) fn add_error(&mut self, found: Found, error: &Error, place: &[u8]) {
        self.add_two(found, error.text().as_bytes(), place);
    }

    /// Something failed with `error`, against which `remedy` helps.
    #[inline(never)]
    pub(super) fn fail_of(&mut self, error: &Error, remedy: &str) {
        self.add_error(Found::Fails, error, remedy.as_bytes());
    }

    /// Tells what kept a check from its end, if so.
    #[inline(never)]
    pub(super) fn end(&mut self, checked: Result<()>) {
        if let Err(error) = checked {
            self.fail_of(&error, "");
        }
    }

    /// From here on findings are those of `check`.
    pub(super) fn begin(&mut self, check: &'static str) {
        self.check = check;
        self.is_told = false;
    }

    /// Runs the next of the [`CHECKS`].
    #[inline(never)]
    pub(super) fn run<'d>(&mut self, doctor: &Doctor<'d>, check: Check<'d>) {
        self.begin(part(CHECKS, ' ', self.run));
        self.run += 1;
        check(doctor, self);
    }

    /// Runs a check whose findings are to come later; these.
    pub(super) fn run_apart<'d>(&mut self, doctor: &Doctor<'d>, check: Check<'d>) -> String {
        let before = mem::take(&mut self.all);
        self.is_apart = true;
        self.run(doctor, check);
        self.is_apart = false;
        mem::replace(&mut self.all, before)
    }

    /// Whether something does not work.
    pub(super) fn any_failure(&self) -> bool {
        self.failures > 0
    }

    /// Prints them, and how many they are.
    pub(super) fn print(&mut self) -> Result<()> {
        mem::replace(&mut self.said, Ok(()))?;
        if self.output.json {
            self.all += "]\n";
        } else if self.failures + self.warnings > 0 || self.output.verbosity != Verbosity::Quiet {
            let (fails, warns) = (self.failures, self.warnings);
            let many = |count| if count == 1 { "" } else { "s" };
            let (s, z) = (many(fails), many(warns));
            self.all += &format!("{fails} failure{s}, {warns} warning{z}\n");
        }
        self.output.say(&self.all)
    }
}

/// The text of `row` with what is to stand in its places.
fn fill(row: &str, places: &[&[u8]]) -> String {
    let (mut text, mut bytes) = (String::new(), row.bytes());
    while let Some(byte) = bytes.next() {
        let mut place = || places[usize::from(bytes.next().unwrap_or_default() - b'0')];
        match byte {
            b'$' => text += str::from_utf8(place()).unwrap_or_default(),
            b'@' => text += &Shown(place()).text(),
            b'%' => text += &shell_word(place()),
            _ => text.push(char::from(byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_as_the_row_asks_for() {
        assert_eq!(PACKED.unpack(messages::table()), TEXTS);
        let places: [&[u8]; 2] = [b"a", b"/b c\n"];
        assert_eq!(fill("$0: @1, $0; %1/", &places), "a: /b c\\x0a, a; $'/b c\\x0a'/");
        assert_eq!(fill("", &places), "");
    }
}
