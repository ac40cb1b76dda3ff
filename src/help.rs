//! Usage texts.

/// What help can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// All commands.
    All,
    /// `reconcile`.
    Reconcile,
    /// `shutdown`.
    Shutdown,
    /// `finish`.
    Finish,
    /// `detect`.
    Detect,
    /// `help`.
    Help,
}

/// Each command's name, topic, usage text.
const TEXTS: [(&str, Topic, &str); 5] = [
    ("reconcile", Topic::Reconcile, RECONCILE),
    ("shutdown", Topic::Shutdown, SHUTDOWN),
    ("finish", Topic::Finish, FINISH),
    ("detect", Topic::Detect, DETECT),
    ("help", Topic::Help, HELP),
];

impl Topic {
    /// The topic called `name`.
    pub fn find(name: &[u8]) -> Option<Topic> {
        TEXTS.iter().find(|(command, ..)| command.as_bytes() == name).map(|(_, topic, _)| *topic)
    }

    /// Its usage text.
    pub fn text(self) -> &'static str {
        TEXTS.iter().find(|(_, topic, _)| *topic == self).map_or(ALL, |(_, _, text)| text)
    }
}

const ALL: &str = "\
Usage: hermes-gw [--home DIR] [--scandir DIR] [--json] [-q|-v] COMMAND ...

Supervises the gateways of Hermes Agent's profiles under s6.

Commands:
  reconcile   make a slot for every profile; start those meant to run
  shutdown    bring every gateway down for a container stop; intents stay
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

Exit codes: 0 done, 1 failed, 99 timed out, 100 wrong usage,
102 no s6 here, 111 a system call failed.
";

const RECONCILE: &str = "\
Usage: hermes-gw reconcile [--boot] [--dry-run] [--policy profiles|root]

Makes a slot in the scandir for default and for every directory of profiles/ that
holds SOUL.md. It is up if desired_state in the profile's gateway_state.json is
running, or, without one, gateway_state is running, draining or degraded. Prints a
line a profile; logs/container-boot.log gets it too, at boot and when something was
changed. Running gateways are left alone. As root it first hands scandir and control
FIFO to hermes, then becomes hermes. Called as NN-reconcile-profiles it is reconcile --boot.

  --boot           ask for no scan: s6-overlay does that later
  --dry-run        print what would be done and touch nothing
  --policy WHICH   profiles: each restarts itself (default); root: named slots stay
                   down, and default starts if any intent is running

Settings: HERMES_GW_POLICY, HERMES_GW_SKIP_RECONCILE=1, HERMES_GW_USER (hermes),
HERMES_GW_SERVICES_MAX (1000).

Exit codes: 0 everything planned was applied, 1 something was not.
";

const SHUTDOWN: &str = "\
Usage: hermes-gw shutdown [--timeout SECONDS]

Brings every gateway down, all at once, and waits until all are down. One that is
not down in time (6 seconds) is killed. What is to run after a restart stays as it
was. Called as NN-stop-gateways it is shutdown.

Exit codes: 0 all are down, 99 one is not, 102 no s6 here.
";

const FINISH: &str = "\
Usage: hermes-gw finish EXIT_CODE SIGNAL NAME [PGID]

What a slot's finish script runs when its gateway has died, with what s6-supervise
passes. Exit code 78, a fatal configuration error, parks the gateway.

Exit codes: 0 s6 may start it again, 125 it stays down.
";

const DETECT: &str = "\
Usage: hermes-gw detect

Prints who supervises services here: s6, systemd or none. It is s6 if PID 1 is
s6-svscan and /run/s6/basedir is a directory.

Exit codes: 0.
";

const HELP: &str = "\
Usage: hermes-gw help [COMMAND]

Prints the usage of all commands, or of one.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_text_and_stands_in_the_overview() {
        for (name, topic, text) in TEXTS {
            assert_eq!(Topic::find(name.as_bytes()), Some(topic));
            assert_eq!(topic.text(), text);
            assert!(text.starts_with("Usage: hermes-gw ") && text.ends_with('\n'));
            assert!(text[17..].starts_with(name), "{name}");
            assert!(ALL.contains(&format!("\n  {name} ")), "{name}");
        }
        assert_eq!(Topic::All.text(), ALL);
        assert_eq!(Topic::find(b"frob"), None);
    }
}
