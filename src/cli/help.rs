//! Usage texts.

/// The usage text of the command `about`, or of all.
pub fn text(about: Option<&str>) -> &'static str {
    let is_about = |text: &&str| {
        let line = text.strip_prefix(USAGE).unwrap_or_default();
        about.is_some() && line.split([' ', '\n']).next() == about
    };
    // One text after the other: a table of them would cost 80 bytes of relocation each.
    TEXTS.split('\x0c').find(is_about).unwrap_or(ALL)
}

const USAGE: &str = "Usage: hermes-gw ";

const ALL: &str = "\
Usage: hermes-gw [--home DIR] [--scandir DIR] [--json] [-q|-v] COMMAND ...

Supervises the gateways of Hermes Agent's profiles under s6.

Commands:
  status      how gateways stand, and why
  watch       print each change of gateways as it comes
  doctor      say what is wrong, why, and what to do about it
  list        print the profiles that have a slot
  start       bring gateways up, now and after each restart of the container
  stop        bring gateways down, now and after each restart of the container
  restart     have gateways run in a new process; start those that are down
  signal      send a signal to gateways
  is-running  whether a gateway is up, as the exit code
  wait        wait until gateways are up, ready or down
  logs        print what gateways have said, and follow it
  register    make the slot of a profile
  unregister  stop gateways and remove their slots
  reconcile   make a slot for every profile; start those meant to run
  shutdown    bring every gateway down for a container stop; intents stay
  hook        what hermes profile create and delete call
  install     say how services come and go under s6
  uninstall   the same
  finish      what a slot's finish script runs
  detect      print who supervises services here: s6, systemd or none
  completion  print what has a shell complete commands, options and profiles
  help        this text, or that of one command: help COMMAND

Options of all commands:
  --home DIR     the Hermes home ($HERMES_HOME, else /opt/data)
  --scandir DIR  s6-svscan's directory ($S6_PROFILE_GATEWAY_SCANDIR, else /run/service)
  --json         data and errors as JSON
  -q, -v         say less, say more
  -h, --help     this text, or that of the command
  -V, --version  print the version

With HERMES_GW_TREE=user the gateways have an s6-svscan of their own, which is not root's.
What the environment does not set is looked up in /run/s6/container_environment.

Exit codes: 0 done, 1 failed or no, 3 no such gateway, 4 registered already,
99 timed out, 100 wrong usage or an invalid name, 102 not supervised or no s6 here,
111 a system call failed. Of several gateways all are tried; the first failure counts.
";

/// The usage text of each command, form feeds between them.
const TEXTS: &str = "\
Usage: hermes-gw reconcile [--boot] [--dry-run] [--prune] [--policy profiles|root]

Makes a slot in the scandir for default and for every directory of profiles/ that
holds SOUL.md. It is up if desired_state in the profile's gateway_state.json is
running, or, without one, gateway_state is running, draining or degraded. Prints a
line a profile; logs/container-boot.log gets it too, at boot and when something was
changed. Running gateways are left alone. As root it first hands scandir and control
FIFO to hermes, then becomes hermes. Called as NN-reconcile-profiles it is reconcile --boot.

  --boot           ask for no scan: s6-overlay does that later
  --dry-run        print what would be done and touch nothing
  --prune          unregister slots whose profile is gone, and send away
                   supervisors whose slot is
  --policy WHICH   profiles: each restarts itself (default); root: named slots stay
                   down, and default starts if any intent is running

Settings: HERMES_GW_POLICY, HERMES_GW_SKIP_RECONCILE=1, HERMES_GATEWAY_NO_SUPERVISE=1,
HERMES_GW_USER (hermes), HERMES_GW_SERVICES_MAX (1000, in the user tree 4000).

Exit codes: 0 everything planned was applied, 1 something was not.
\x0c\
Usage: hermes-gw register PROFILE [--env NAME=VALUE]... [--down] [--if-missing]

Makes the slot of a profile, has s6 take it up and waits until that is so. If it is
not taken up, nothing stays behind.

  --env NAME=VALUE  for the gateway, besides the container's environment
  --down            leave the gateway down
  --if-missing      a slot that is there already is fine

Exit codes: 0 done, 1 there is no room, 4 registered already, 102 not taken up.
\x0c\
Usage: hermes-gw unregister PROFILE... [--timeout SECONDS]

Stops gateways, all at once, and removes their slots. One that is not down in time
(60 seconds) is killed. Profiles without a slot are done already.
\x0c\
Usage: hermes-gw list

Prints the profiles that have a slot, one a line; with --json an array.
\x0c\
Usage: hermes-gw start PROFILE...|--all [--no-wait] [--timeout SECONDS]

Brings gateways up, all at once, waits until they are, 10 seconds at most, and records
that they are to run. A profile on disk that has no slot is registered first.

Exit codes: 0 up, 1 it died at once, 3 no such gateway, 99 not up in time.
\x0c\
Usage: hermes-gw stop PROFILE...|--all [--no-wait] [--timeout SECONDS]

Brings gateways down, all at once, waits until they are, 60 seconds at most, and
records that they are to stay down. Each is told that an operator stops it.

Exit codes: 0 down, 3 no such gateway, 99 not down in time.
\x0c\
Usage: hermes-gw restart PROFILE...|--all [--no-wait] [--timeout SECONDS]

Brings gateways down and up again, all at once, and waits for the new processes, 60
seconds at most. What is down is started. Records that they are to run. With --no-wait
s6 starts them anew, a second later.

Exit codes: 0 up, 1 it died at once, 3 no such gateway, 99 not up in time.
\x0c\
Usage: hermes-gw signal SIGNAL PROFILE...

Sends a signal to gateways. s6 starts one again that dies of it.

Signals: ALRM ABRT QUIT HUP KILL TERM INT USR1 USR2 STOP CONT WINCH

Exit codes: 0 sent, 1 it is not up, 3 no such gateway.
\x0c\
Usage: hermes-gw is-running PROFILE

Prints nothing.

Exit codes: 0 it is up, 1 it is not.
\x0c\
Usage: hermes-gw wait --up|--ready|--down [--timeout SECONDS] PROFILE...

Waits until gateways are up, ready or down; for ever, or as long as the timeout says.

Exit codes: 0 they are, 3 no such gateway, 99 not in time, 102 not supervised.
\x0c\
Usage: hermes-gw status [PROFILE...]

Prints how gateways stand, all if none is named: process, since when, and the state,
with the reason. States are up, finishing (its finish script runs), backing off (it has
died, and s6 waits before it starts it), starting, parked (it has died too often, or as
if it should not come back, and stays down until it is started), down, not supervised.
What differs from that at the next start of the container is said.

With --json an array of objects: profile, state (up, finishing, backing-off, starting,
parked, down, not-supervised, denied, unreadable), text (the state as the table has it),
pid, since, ready, paused, wanted and wanted_at_boot (up or down), restarts (deaths in
HERMES_GW_PARK_WINDOW since somebody last had a say), last_exit (code, signal), tree
(root or user), at. Times are UTC; what is not known is null. With -q only the exit
code tells.

Exit codes, the first that is not 0: 0 as it is meant to be, 1 parked, backing off, or
down and meant to run, 3 no such gateway, 102 not supervised, 111 it may not be looked at.
\x0c\
Usage: hermes-gw watch [PROFILE...]

Prints how gateways stand, all if none is named, and then a line for each change, until
it is interrupted or nobody reads it. Slots that come and go are told, and each death,
however soon it was over. With --json objects as status has them, one a line.

Exit codes: 0 nobody reads it any more, 1 no watch is left, 102 no s6 here.
\x0c\
Usage: hermes-gw doctor

Checks the container and prints a line for each finding: ok, warn or FAIL, what was
checked, what is so, and what to type or to set against it. Looks at who calls, settings,
programs and boot entry, layout and s6-svscan, owners of scandir and FIFOs, slots and
their loggers, capacity, supervisors without a slot, leftovers, room in file systems,
the home, profiles and their state files, gateways that do not stay up. Changes nothing.

With --json an array of objects: check, level (ok, warn, fail), text, remedy. With -q
what is ok is left out.

Exit codes: 0 nothing fails, 1 something does.
\x0c\
Usage: hermes-gw logs PROFILE... [-n N|--lines N] [-f|--follow] [--local|--utc]

Prints the last lines of gateways' logs, rotated files included. Lines of several
gateways come in the order of their stamps, each with its profile before it.
On a terminal, control characters and what is no UTF-8 are shown as \\xNN.

  -n, --lines N  so many lines of each gateway (50)
  -f, --follow   then go on with what comes, until interrupted
  --utc          stamps in UTC: 2026-05-24 18:05:33.123456789+00:00
  --local        stamps in local time, with its offset from UTC

Local time, which s6-log writes too, is what TZ says, else /etc/localtime. With --json
an object a line: profile, at (in UTC, or null without a stamp) and line.

Exit codes: 0 done, 1 there is no log yet, 3 no such gateway.
\x0c\
Usage: hermes-gw hook profile-create|profile-delete PROFILE

Registers the profile, down, or unregisters it. Outside s6 it does nothing. What goes
wrong is a warning.

Exit codes: 0.
\x0c\
Usage: hermes-gw install

Says how services come and go under s6. There is nothing to install.
\x0c\
Usage: hermes-gw uninstall

Says how services come and go under s6. There is nothing to uninstall.
\x0c\
Usage: hermes-gw shutdown [--supervisors] [--timeout SECONDS]

Brings every gateway down, all at once, and waits until all are down. One that is
not down in time is killed; HERMES_GW_SHUTDOWN_TIMEOUT (6) has the seconds, too. What
is to run after a restart stays as it was. Called as NN-stop-gateways it is shutdown.

  --supervisors  their supervisors and s6-svscan go too, where that is not PID 1

Exit codes: 0 all are down, 99 one is not, 102 no s6 here.
\x0c\
Usage: hermes-gw finish EXIT_CODE SIGNAL NAME [PGID]

What a slot's finish script runs when its gateway has died, with what s6-supervise
passes. It delays the next start, 1, 2, 4 and so on up to 60 seconds for deaths in a
row, until somebody has a say. It parks the gateway, which then stays down until it is
started, on exit code 78 (a fatal configuration error), on 0 after a start that lasted,
and after 10 deaths in 10 minutes. What it decides is in the slot's file verdict, and
in the gateway's log.

Settings, in seconds: HERMES_GW_BACKOFF_FIRST (1), HERMES_GW_BACKOFF_MAX (60),
HERMES_GW_BACKOFF_RESET (600; a longer run ends the row), HERMES_GW_EARLY_EXIT (10; a 0
before that does not park), HERMES_GW_PARK_WINDOW (600); HERMES_GW_PARK_DEATHS (10, a
number; 0 for never).

Exit codes: 0 s6 may start it again, 102 no s6-supervise has started this, 125 it
stays down.
\x0c\
Usage: hermes-gw detect

Prints who supervises services here: s6, systemd or none. It is s6 if PID 1 is
s6-svscan and /run/s6/basedir is a directory.

Exit codes: 0.
\x0c\
Usage: hermes-gw completion bash|zsh|fish

Prints the script by which that shell completes commands, options and profiles, as in
source <(hermes-gw completion bash). An image with rootfs/ has it in place.
\x0c\
Usage: hermes-gw help [COMMAND]

Prints the usage of all commands, or of one.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Invocation, commands};
    use crate::s6::control::SIGNALS;
    use std::collections::BTreeMap;

    #[test]
    fn every_command_has_its_text_and_stands_in_the_overview() {
        for name in commands() {
            let text = super::text(Some(name));
            assert!(text.starts_with(&format!("{USAGE}{name}")) && text.ends_with('\n'), "{text}");
            assert!(text.lines().all(|line| line.len() <= 92), "{name}");
        }
        assert_eq!(TEXTS.split('\x0c').count(), commands().count());
        assert_eq!([super::text(None), super::text(Some("frob"))], [ALL, ALL]);
        // By their indentation completion finds them.
        let is_command = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
        let listed = ALL.lines().filter_map(|line| line.strip_prefix("  ")).filter(is_command);
        let mut listed: Vec<_> = listed.map(|line| line.split(' ').next().unwrap()).collect();
        let mut known: Vec<_> = commands().collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    /// The options in a usage, or in what a text lists, each with whether it takes a value, as
    /// completion finds them.
    fn options(text: &str) -> BTreeMap<String, bool> {
        let mut options = BTreeMap::new();
        let words: Vec<_> = text.split(' ').collect();
        for (at, word) in words.iter().enumerate() {
            let value = words.get(at + 1).copied().unwrap_or_default();
            let value = value.starts_with(|c: char| c.is_ascii_alphabetic());
            for name in word.split('|').filter(|name| name.trim_start_matches('[').starts_with('-'))
            {
                let bare = name.trim_matches(['[', ']', ',']);
                let is_last = word.ends_with(name) && name.ends_with(|c: char| c.is_alphanumeric());
                options.insert(bare.into(), value && is_last);
            }
        }
        options
    }

    /// What `text` lists as options, without what it says of them. Short or long, one option
    /// takes the same.
    fn listed(text: &str) -> BTreeMap<String, bool> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
        let lines = lines.filter(|line| line.starts_with('-'));
        let entry = |line: &str| {
            let names = options(line.split("  ").next().unwrap());
            let value = names.values().any(|value| *value);
            names.into_keys().map(move |name| (name, value))
        };
        lines.flat_map(entry).collect()
    }

    /// Whether `option` takes a value after `command`; `None` if it is unknown there.
    fn takes(command: &str, option: &str) -> Option<bool> {
        match Invocation::parse(["hermes-gw", command, option].map(Into::into)) {
            Err(error) if error.to_string().contains(": unknown here") => None,
            Err(error) => Some(error.to_string().contains(": needs a value")),
            Ok(_) => Some(false),
        }
    }

    #[test]
    fn every_option_that_a_command_takes_stands_in_its_text_and_no_other() {
        // All that the parser has a name for, and all that could be a letter.
        let source = include_str!("args.rs");
        let named = source.split("Long(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let long = named.chain(crate::cli::options()).map(|name| format!("--{name}"));
        let letters = ('0'..='9').chain('A'..='Z').chain('a'..='z').map(|c| format!("-{c}"));
        let names: Vec<_> = long.chain(letters).collect();
        let global = listed(ALL);
        assert!(global.len() >= 9 && names.contains(&"--home".into()), "{global:?}");
        for command in commands() {
            let text = super::text(Some(command));
            let usage = options(text.lines().next().unwrap());
            for (name, value) in listed(text) {
                assert_eq!(usage.get(&name), Some(&value), "{command} {name}");
            }
            let told: BTreeMap<_, _> = global.clone().into_iter().chain(usage).collect();
            let taken = names.iter().filter_map(|name| Some((name.clone(), takes(command, name)?)));
            assert_eq!(told, taken.collect(), "{command}");
        }
        let usage = options(ALL.lines().next().unwrap());
        assert!(usage.iter().all(|(name, value)| global.get(name) == Some(value)), "{usage:?}");
    }

    #[test]
    fn every_signal_stands_in_the_text_of_signal() {
        let text = super::text(Some("signal"));
        let line = text.lines().find_map(|line| line.strip_prefix("Signals: ")).unwrap();
        assert_eq!(line.split(' ').collect::<Vec<_>>(), SIGNALS.map(|(name, _)| name));
    }
}
