//! The table of verbs. With that of [options](crate::options) it is what the parser, `help`,
//! what shells complete, and the man page's synopsis and lists of options come from.
//!
//! The names become one text, for a table of strings would cost 40 bytes of relocation for
//! each; and what only help prints is packed.

use super::topics::{GUIDANCE, TOPICS};
use crate::cmd;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::model::values;
use crate::options::{OPTION_TEXTS, OPTIONS, Opt, named_in};
use crate::text::messages::{self, text};
use crate::text::packed::Packed;
use crate::text::{Shown, did_you_mean, part, parts};

/// As many words as there are.
pub(super) const MANY: u8 = u8::MAX;

/// Declares the verbs: what runs them, how many words they take, at least and at most, then name,
/// what follows it in the usage, summary, and help.
macro_rules! verbs {
    ($($verb:ident, $run:expr, $words:expr, $name:literal, $after:literal, $summary:literal,
        $help:literal;)*) => {
        /// A verb.
        #[derive(Clone, Copy)]
        pub(crate) enum Verb {
            $(#[doc = $summary] $verb),*
        }
        pub(super) const VERBS: [Verb; [$($name),*].len()] = [$(Verb::$verb),*];
        const WORDS: [(u8, u8); VERBS.len()] = [$($words),*];
        /// The options that each takes, a bit for each.
        const TAKEN: [u32; VERBS.len()] = [$(named_in($after)),*];
        const NAMES: &str = concat!($($name, "\x0c"),*);
        const TEXTS: &str =
            concat!($($name, $after, "\t", $summary, "\t", $help, "\x0c"),*);

        impl Verb {
            /// Runs it; its exit code.
            // A table of functions would cost 40 bytes of relocation for each.
            #[inline(never)]
            pub(crate) fn run(self, context: &Context) -> Result<u64> {
                match self {
                    $(Verb::$verb => $run(context)),*
                }
            }
        }
    };
}

verbs! {
    Status, cmd::status::run, (0, MANY), "status", " [PROFILE...|--all] [-n N|--lines N] [--table]",
    "how gateways stand, and why",
"Prints how gateways stand: all, a line each, or those that are named, a block each with the last \
lines of the log. States are up, finishing (its finish script runs), backing off (it has died, and \
waits before it starts anew), starting, parked (it has died too often, or as if it should not come \
back), standing by (another container runs it), down, not supervised, no slot (and meant to run).

With --json an array of objects. With -q only the exit code tells.

Exit codes, the first that is not 0: 0 as it is meant to be, 1 parked, backing off, standing by, \
or down or without a slot and meant to run, 3 no such gateway, 102 not supervised, 111 it may \
not be looked at.";
    Health, cmd::health::run, (0, 0), "health", " [--strict]",
    "whether all is well, in one line: for a container's HEALTHCHECK",
"Prints how many gateways are up, and what is wrong with each that is not well; not well is also \
what says that it cannot start, or starts for over 5 minutes.

With --json an object. With -q only the exit code tells.

Exit codes: 0 all is well, or no gateway is meant to run here, else that of status.";
    Watch, cmd::watch::run, (0, MANY), "watch", " [PROFILE...]",
    "print each change of gateways as it comes",
"Prints how gateways stand, all if none is named, and then a line for each change, until it is \
interrupted or nobody reads it. With --json an object a line.

Exit codes: 0 nobody reads it any more, 1 the kernel has no watch left, 3 no such gateway, 102 \
no s6 here, 111 it may not be looked at.";
    Doctor, cmd::doctor::run, (0, 0), "doctor", "",
    "say what is wrong, why, and what to do about it",
"Checks the container, and prints what is so and what to do about it. It changes nothing.

With --json an array of objects. With -q what is ok is left out.

Exit codes: 0 nothing fails, 1 something does.";
    List, cmd::registration::list, (0, 0), "list", "",
    "print the profiles that have a slot",
"Prints the profiles that have a slot, one a line; with --json an array.";
    Start, cmd::lifecycle::start, (1, MANY), "start", " PROFILE...|--all [--no-wait|--wait-ready] [--force] [--timeout SECONDS]",
    "bring gateways up, now and after each restart of the container",
"Brings gateways up, waits until they are, 10 seconds at most, and records that they are to run. A \
profile on disk that has no slot is registered first.

Only with --force it starts what another container runs, what default serves (under policy \
root), or default where the main program is its gateway.

Exit codes: 0 up, 1 it died or parked at once, is not started, or up but that cannot be \
recorded, 3 no such gateway, 99 not up in time.";
    Stop, cmd::lifecycle::stop, (1, MANY), "stop", " PROFILE...|--all [--no-wait] [--timeout SECONDS]",
    "bring gateways down, now and after each restart of the container",
"Brings gateways down, waits until they are, 60 seconds at most, and records that they are to stay \
down.

Exit codes: 0 down, 1 down but that cannot be recorded, 3 no such gateway, 99 not down in time.";
    Restart, cmd::lifecycle::restart, (1, MANY), "restart", " PROFILE...|--all [--no-wait|--wait-ready] [--force] [--timeout SECONDS]",
    "have gateways run in a new process; start those that are down",
"Has gateways run in a new process, waits for it, 60 seconds at most, and records that they are to \
run. With --no-wait s6 starts them anew, a second later. --force is as with start.

Exit codes: as start.";
    Signal, cmd::lifecycle::signal, (2, MANY), "signal", " SIGNAL PROFILE...|--all",
    "send a signal to gateways",
"s6 starts one again that dies of it.

Signals: ALRM ABRT QUIT HUP KILL TERM INT USR1 USR2 STOP CONT WINCH

Exit codes: 0 sent, 1 it is not up or could not be sent it, 3 no such gateway.";
    IsRunning, cmd::lifecycle::is_running, (1, 1), "is-running", " PROFILE",
    "whether a gateway is up, as the exit code",
"Prints nothing.

Exit codes: 0 it is up, 1 it is not.";
    Wait, cmd::lifecycle::wait, (1, MANY), "wait", " --up|--ready|--down [--timeout SECONDS] PROFILE...|--all",
    "wait until gateways are up, ready or down",
"Waits until gateways are up, ready or down; for ever, or as long as the timeout says. Ready is \
what a gateway says in its gateway_state.json (running or degraded), or by a notification-fd.

Exit codes: 0 they are, 3 no such gateway, 99 not in time, 102 not supervised.";
    Logs, cmd::logs::run, (1, MANY), "logs", " PROFILE...|--all [-n N|--lines N] [--since AGE] [-f|--follow] [--local|--utc]",
    "print what gateways have said, and follow it",
"Prints the last lines, rotated files included, of several gateways in the order of their stamps. \
With --since all lines since then, or those of the last N.

Local time is what TZ says, else /etc/localtime. With --json an object a line.

Exit codes: 0 done, 1 there is no log yet, 3 no such gateway.";
    Register, cmd::registration::register, (1, 1), "register", " PROFILE [--env NAME=VALUE]... [--down] [--if-missing] [--force]",
    "make the slot of a profile",
"Makes the slot of a profile, has s6 take it up and waits until that is so. With --force the profile \
may be yet to come.

Exit codes: 0 done, 1 there is no room, or reconcile would skip it, 3 it is not on disk, 4 \
registered already, 102 not taken up.";
    Unregister, cmd::registration::unregister, (1, MANY), "unregister", " PROFILE... [--timeout SECONDS]",
    "stop gateways and remove their slots",
"Stops gateways, and removes their slots. One that is not down in time (60 seconds) is killed.";
    Reconcile, cmd::reconcile::run, (0, 0), "reconcile", " [--boot] [--dry-run] [--prune] [--policy auto|profiles|root]",
    "make a slot for every profile; start those meant to run",
"Makes a slot for default and for every directory of profiles/ that holds SOUL.md. It is up if \
desired_state in the profile's gateway_state.json is running, or, without one, gateway_state is \
running, draining or degraded. Running gateways are left alone.

Policy profiles: each profile's own intent decides. Policy root: default serves all. Policy auto: \
root where Hermes is set to serve all profiles from one gateway, else profiles.

Exit codes: 0 everything planned was applied, 1 something was not, 102 no s6-svscan runs.";
    Shutdown, cmd::shutdown::run, (0, 0), "shutdown", " [--supervisors] [--timeout SECONDS]",
    "bring every gateway down for a container stop; intents stay",
"Brings every gateway down, all at once. One that is not down in time is killed; it gets 6 seconds, \
or what HERMES_GW_SHUTDOWN_TIMEOUT has.

Exit codes: 0 all are down, 99 one is not, 102 no s6 here.";
    Hook, cmd::registration::hook, (2, 2), "hook", " profile-create|profile-delete PROFILE",
    "what hermes profile create and delete call",
"Registers the profile, down, or unregisters it. Outside s6 it does nothing. What goes wrong is a \
warning.

Exit codes: 0.";
    Install, (|context| install(context, Verb::Install)), (0, 0), "install", "",
    "say how services come and go under s6",
"With --json an object. There is nothing to install.";
    Uninstall, (|context| install(context, Verb::Uninstall)), (0, 0), "uninstall", "",
    "say how services come and go under s6",
"With --json an object. There is nothing to uninstall.";
    Standby, cmd::standby::run, (0, 0), "standby", "",
    "take over what another container ran (a longrun of the image)",
"Ends when nothing has stood by for ten seconds.

Exit codes: 0 nothing stands by, 102 no s6-svscan runs.";
    Finish, cmd::finish::run, (3, 5), "finish", " EXIT_CODE SIGNAL NAME [PGID]",
    "what a slot's finish script runs",
"Delays the next start of a gateway that has died, or parks it. The bounds: see help settings.

Exit codes: 0 s6 may start it again, 102 no s6-supervise has started this, 125 it stays down.";
    Detect, cmd::detect, (0, 0), "detect", "",
    "print who supervises services here: s6, systemd or none",
"With --json an object.

Exit codes: 0.";
    Help, help, (0, 1), "help", " [COMMAND|settings|exit-codes]",
    "this text, or that of one command: help COMMAND",
"Prints the usage of all commands, or of one; what can be set in the environment; or what exit codes \
mean.";
}

impl Verb {
    /// The verb called `name`.
    ///
    /// # Errors
    /// [`Kind::Usage`] if there is none.
    pub(crate) fn find(name: &[u8]) -> Result<Verb> {
        let known = parts(NAMES.as_bytes(), b'\x0c').position(|known| known == name);
        if let Some(verb) = known.and_then(|at| VERBS.get(at)) {
            return Ok(*verb);
        }
        let meant = did_you_mean(name, NAMES, "see hermes-gw help");
        let why = ["unknown command '", &Shown(name).text(), "': ", &meant].concat();
        Err(Error::because(Kind::Usage, text!(""), b"", &why))
    }

    /// Its name, and what follows it.
    pub(crate) fn usage(self) -> String {
        Texts::unpacked().verb(self, USAGE).into()
    }

    /// Its name.
    #[inline(never)]
    pub(crate) fn name(self) -> &'static str {
        part(NAMES, '\x0c', self as usize)
    }

    /// How many words follow it at least, and at most.
    pub(crate) fn words(self) -> (u8, u8) {
        WORDS[self as usize]
    }

    /// Whether it takes `option`, as its usage says.
    pub(crate) fn takes(self, option: Opt) -> bool {
        option.is_global() || TAKEN[self as usize] & 1 << option as u32 != 0
    }

    /// Its help: usage, options, and what it does.
    pub(crate) fn help(self) -> String {
        let texts = Texts::unpacked();
        let mut text = ["Usage: hermes-gw ", texts.verb(self, USAGE), "\n\n"].concat();
        let mut own = Vec::new();
        for &option in &OPTIONS {
            if !option.is_global() && self.takes(option) {
                own.push(texts.option(option));
            }
        }
        let length = text.len();
        list(&mut text, &own);
        if text.len() > length {
            text.push('\n');
        }
        wrapped(text + texts.verb(self, HELP))
    }
}

/// Runs `help`.
#[inline(never)]
fn help(context: &Context) -> Result<u64> {
    let text = match context.options.words.first() {
        Some(name) => match values::place_in("exit-codes settings", name) {
            Some(topic) => said(TOPICS_AT + topic),
            None => Verb::find(name)?.help(),
        },
        None => overview(),
    };
    context.output.answer("text", &text).map(|()| 0)
}

/// Runs `install` and `uninstall`.
#[inline(never)]
fn install(context: &Context, verb: Verb) -> Result<u64> {
    cmd::registration::install(context, verb.name(), &said(GUIDANCE_AT))
}

const GUIDANCE_AT: usize = OVERVIEW_AT + 2;
const TOPICS_AT: usize = GUIDANCE_AT + 1;

/// What the help on all verbs begins and ends with.
const OVERVIEW: &str = "\
Usage: hermes-gw [--home DIR] [--scandir DIR] [--json] [-q|-v] COMMAND ...

Supervises the gateways of Hermes Agent's profiles under s6.

Commands:
\x0c
See also: hermes-gw help settings, hermes-gw help exit-codes, man hermes-gw.

\x0c";

const OVERVIEW_AT: usize = VERBS.len() + OPTIONS.len();

const UNPACKED: usize =
    TEXTS.len() + OPTION_TEXTS.len() + OVERVIEW.len() + GUIDANCE.len() + TOPICS.len();
const PACKING: Packed<UNPACKED> =
    Packed::new(messages::TABLE, &[TEXTS, OPTION_TEXTS, OVERVIEW, GUIDANCE, TOPICS]);
static PACKED: Packed<{ PACKING.length }> = PACKING.cut();

/// The texts of a verb, with tabs between.
const USAGE: usize = 0;
const SUMMARY: usize = 1;
const HELP: usize = 2;

/// What is seldom printed, with a form feed after each: of the verbs, of the options, what the
/// help on all verbs begins and ends with, and what `install` says.
struct Texts(String);

impl Texts {
    #[inline(never)]
    fn unpacked() -> Texts {
        Texts(PACKED.unpack(messages::table()))
    }

    fn at(&self, number: usize) -> &str {
        part(&self.0, '\x0c', number)
    }

    /// One of the texts of a verb.
    fn verb(&self, verb: Verb, which: usize) -> &str {
        part(self.at(verb as usize), '\t', which)
    }

    /// An option's usage, and what it does.
    fn option(&self, option: Opt) -> (&str, &str) {
        (option.usage(), self.at(VERBS.len() + option as usize))
    }

    fn overview(&self) -> (&str, &str) {
        (self.at(OVERVIEW_AT), self.at(OVERVIEW_AT + 1))
    }
}

/// The help on all verbs.
pub(crate) fn overview() -> String {
    let texts = Texts::unpacked();
    let (begin, end) = texts.overview();
    let mut text = String::from(begin);
    let mut rows = Vec::new();
    for &verb in &VERBS {
        rows.push((verb.name(), texts.verb(verb, SUMMARY)));
    }
    list(&mut text, &rows);
    text += "\nOptions of all commands:\n";
    rows.clear();
    for &option in &OPTIONS {
        if option.is_global() {
            rows.push(texts.option(option));
        }
    }
    list(&mut text, &rows);
    wrapped(text + end + texts.at(TOPICS_AT))
}

/// A text that stands by itself.
fn said(number: usize) -> String {
    wrapped(Texts::unpacked().at(number).into())
}

/// Appends `rows` as two columns.
fn list(text: &mut String, rows: &[(&str, &str)]) {
    let wide = rows.iter().map(|(first, _)| first.len()).max().unwrap_or(0);
    for (first, second) in rows {
        *text += "  ";
        *text += first;
        for _ in first.len()..wide + 2 {
            text.push(' ');
        }
        *text += second;
        text.push('\n');
    }
}

/// The same text in lines of 80 columns, broken at blanks that are in no brackets.
#[inline(never)]
fn wrapped(text: String) -> String {
    const WIDTH: usize = 80;
    let mut bytes = text.into_bytes();
    let (mut start, mut gap, mut is_inside) = (0, 0, false);
    for at in 0..bytes.len() {
        match bytes[at] {
            b'\n' => start = at + 1,
            b'[' => is_inside = true,
            b']' => is_inside = false,
            b' ' if !is_inside => gap = at,
            _ => {}
        }
        if at >= start + WIDTH && gap > start {
            bytes[gap] = b'\n';
            start = gap + 1;
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s6::control::NAMES;

    #[test]
    fn every_verb_has_a_name_of_its_own_a_summary_and_a_help_that_fits() {
        let texts = Texts::unpacked();
        assert_eq!(texts.0, [TEXTS, OPTION_TEXTS, OVERVIEW, GUIDANCE, TOPICS].concat());
        for verb in VERBS {
            assert_eq!(Verb::find(verb.name().as_bytes()).unwrap().usage(), verb.usage());
            let summary = texts.verb(verb, SUMMARY);
            assert!(!summary.is_empty(), "{}", verb.name());
            let help = verb.help();
            assert!(help.starts_with(&format!("Usage: hermes-gw {}", verb.name())), "{help}");
            assert!(help.ends_with('.'), "{help}");
            assert!(help.lines().all(|line| line.len() <= 80), "{help}");
        }
        assert!(overview().lines().all(|line| line.len() <= 80), "{}", overview());
    }

    #[test]
    fn every_option_in_a_usage_is_taken_with_the_value_that_stands_there() {
        for verb in VERBS {
            let usage = verb.usage();
            for word in usage.split([' ', '[', ']', '|']).filter(|word| word.starts_with('-')) {
                let option = Opt::find(word.as_bytes()).unwrap();
                assert!(verb.takes(option), "{usage}: {word}");
                let value = option.usage().split(' ').find(|word| !word.starts_with('-'));
                let (_, after) = usage.split_once(word).unwrap();
                match value {
                    Some(value) => {
                        assert!(after.starts_with(&format!(" {value}")), "{usage}: {word}")
                    }
                    None => {
                        assert!(after.is_empty() || after.starts_with(['|', ']', ' ']), "{usage}")
                    }
                }
            }
        }
    }

    #[test]
    fn every_option_is_of_all_verbs_or_in_a_usage_and_has_names_of_its_own() {
        let (mut names, texts) = (Vec::new(), Texts::unpacked());
        for option in OPTIONS {
            assert!(option.is_global() || VERBS.iter().any(|verb| verb.takes(option)));
            assert!(!texts.option(option).1.is_empty());
            names.extend(option.usage().split([',', ' ']).filter(|word| word.starts_with('-')));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }

    #[test]
    fn every_signal_stands_in_the_help_of_signal() {
        let help = Verb::find(b"signal").unwrap().help();
        let line = help.lines().find_map(|line| line.strip_prefix("Signals: ")).unwrap();
        assert_eq!(line, NAMES);
    }
}
