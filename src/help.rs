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
  list        print the profiles that have a slot
  start       bring gateways up, now and after each restart of the container
  stop        bring gateways down, now and after each restart of the container
  restart     have gateways run in a new process; start those that are down
  signal      send a signal to gateways
  is-running  whether a gateway is up, as the exit code
  wait        wait until gateways are up, ready or down
  register    make the slot of a profile
  unregister  stop gateways and remove their slots
  reconcile   make a slot for every profile; start those meant to run
  shutdown    bring every gateway down for a container stop; intents stay
  hook        what hermes profile create and delete call
  install     say how services come and go under s6
  uninstall   the same
  finish      what a slot's finish script runs
  detect      print who supervises services here: s6, systemd or none
  help        this text, or that of one command: help COMMAND

Options of all commands:
  --home DIR     the Hermes home ($HERMES_HOME, else /opt/data)
  --scandir DIR  s6-svscan's directory ($S6_PROFILE_GATEWAY_SCANDIR, else /run/service)
  --json         data and errors as JSON
  -q, -v         say less, say more
  -V, --version  print the version

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
  --prune          unregister slots whose profile is gone
  --policy WHICH   profiles: each restarts itself (default); root: named slots stay
                   down, and default starts if any intent is running

Settings: HERMES_GW_POLICY, HERMES_GW_SKIP_RECONCILE=1, HERMES_GW_USER (hermes),
HERMES_GW_SERVICES_MAX (1000; in the user tree 4000).

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

Sends ALRM, ABRT, QUIT, HUP, KILL, TERM, INT, USR1, USR2, STOP, CONT or WINCH to
gateways. s6 starts one again that dies of it.

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
Usage: hermes-gw help [COMMAND]

Prints the usage of all commands, or of one.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_text_and_stands_in_the_overview() {
        for name in crate::cli::commands() {
            let text = super::text(Some(name));
            assert!(text.starts_with(&format!("{USAGE}{name}")) && text.ends_with('\n'), "{text}");
            assert!(ALL.contains(&format!("\n  {name} ")), "{name}");
            assert!(text.lines().all(|line| line.len() <= 92), "{name}");
        }
        assert_eq!(TEXTS.split('\x0c').count(), crate::cli::commands().count());
        assert_eq!([super::text(None), super::text(Some("frob"))], [ALL, ALL]);
    }
}
