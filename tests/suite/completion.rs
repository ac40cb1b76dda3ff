//! The completions of rootfs/: what bash, zsh and fish offer for a line, each by its own
//! machinery, in a container with live gateways.

use crate::support;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::{Container, Spec, Volume, on_terminal};

/// The machine's shells, with what they load.
const SHELLS: [&str; 7] = [
    "/usr/bin/bash",
    "/usr/bin/zsh",
    "/usr/bin/fish",
    "/usr/share/bash-completion/bash_completion",
    "/usr/share/zsh/functions",
    "/usr/share/fish/config.fish",
    "/usr/share/fish/functions",
];

/// How a shell comes by the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// It finds the file that rootfs/ has.
    Lookup,
    /// `source FILE`, from a directory where it does not look.
    Source,
    /// `eval "$(cat FILE)"`, or as fish writes that.
    Eval,
}

#[derive(Clone, Copy, Debug)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

const ALL: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Where the files are that a shell is not to find by itself.
const ASIDE: &str = "/opt/data/shell/completions";

/// Has bash complete the last of its arguments, as readline would have it.
const BASH: &str = r#"
eval "$LOAD"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
spec=$(complete -p "${1##*/}") && spec=${spec#*-F }
set -u # as some have it
"${spec%% *}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// Has zsh's editor complete $LINE, and tells what was added to its matches.
const ZSHRC: &str = r#"
autoload -Uz compinit && compinit -u
eval "$LOAD"
compadd() {
  local -a hits
  if [[ " $*" != *' -'[OAD]' '* ]]; then # these only ask
    builtin compadd -A hits "$@"
    print -rl -- $hits >>$OUT
  fi
  builtin compadd "$@"
}
zle-line-init() {
  BUFFER=$LINE CURSOR=$#LINE
  zle complete-word
  exit 0
}
zle -N zle-line-init
"#;

/// A container with the shells in it.
fn boot() -> Container {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "stopped");
    volume.file("default", "shell/.zshrc", ZSHRC).file("default", "shell/complete.bash", BASH);
    let mut mounts: Vec<_> = SHELLS.iter().map(PathBuf::from).collect();
    mounts.push(support::library_dir());
    let container = Container::boot(volume, Spec { mounts, ..Spec::default() });
    container.wait_up("coder");
    // As Docker has it, and the shells need it.
    container.as_root(&["ln", "-s", "/proc/self/fd", "/dev/fd"]).ok();
    container
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        }
    }

    /// Its file in rootfs/.
    fn file(self) -> &'static str {
        match self {
            Shell::Bash => "/usr/share/bash-completion/completions/hermes-gw",
            Shell::Zsh => "/usr/share/zsh/vendor-completions/_hermes-gw",
            Shell::Fish => "/usr/share/fish/vendor_completions.d/hermes-gw.fish",
        }
    }

    /// What is evaluated first.
    fn load(self, by: By) -> String {
        let file = format!("{ASIDE}/{}", self.name());
        match (self, by) {
            (Shell::Bash, By::Lookup) => {
                // 124: the script has been found, and is to be asked again.
                let loader = "source /usr/share/bash-completion/bash_completion";
                format!("{loader}; _completion_loader hermes-gw; [ $? = 124 ] || exit")
            }
            (_, By::Lookup) => String::new(),
            (_, By::Source) => format!("source {file}"),
            (Shell::Fish, By::Eval) => format!("eval (cat {file} | string collect)"),
            (_, By::Eval) => format!(r#"eval "$(cat {file})""#),
        }
    }

    /// A command in the container, as hermes, who has hermes-gw on PATH.
    fn command(self, container: &Container, variables: &[String], args: &[&str]) -> Command {
        let mut words = vec!["env", "PATH=/command:/usr/bin:/bin", "HOME=/opt/data/shell"];
        words.extend(["ZDOTDIR=/opt/data/shell", "TERM=dumb"]);
        words.extend(variables.iter().map(String::as_str));
        words.push(self.name());
        words.extend(args);
        container.hermes_command(&words)
    }

    /// What it offers for the last of `words`, each with what it says of it.
    #[track_caller]
    fn offers(self, container: &Container, by: By, words: &[&str]) -> BTreeSet<String> {
        let line = words.join(" ");
        let load = self.load(by);
        let out = container.volume().home("default").join("shell/out");
        let said = match self {
            Shell::Bash => {
                let script = "/opt/data/shell/complete.bash";
                // Readline breaks words there.
                let line = line.replace('=', " = ");
                let args: Vec<_> = [script].into_iter().chain(line.split(' ')).collect();
                let output = self.command(container, &[format!("LOAD={load}")], &args).output();
                silent(output.unwrap(), &line)
            }
            Shell::Fish => {
                let script = format!("{load}\ncomplete -C \"$LINE\"");
                let variables = [format!("LINE={line}")];
                let output = self.command(container, &variables, &["-c", &script]).output();
                silent(output.unwrap(), &line)
            }
            Shell::Zsh => {
                std::fs::write(&out, "").unwrap();
                std::os::unix::fs::chown(&out, Some(support::HERMES), None).unwrap();
                let variables = ["OUT=/opt/data/shell/out".into(), format!("LINE={line}")];
                let load = format!("LOAD={load}");
                let command = self.command(container, &[&variables[..], &[load]].concat(), &["-i"]);
                let screen = on_terminal(&command);
                assert!(!screen.contains("_hermes-gw:"), "{line}: {screen}");
                std::fs::read_to_string(&out).unwrap()
            }
        };
        said.lines().filter(|line| !line.is_empty()).map(String::from).collect()
    }

    /// The words that it offers.
    #[track_caller]
    fn words(self, container: &Container, by: By, words: &[&str]) -> BTreeSet<String> {
        let offers = self.offers(container, by, words);
        let word = |offer: &String| offer.split('\t').next().unwrap().trim_end_matches('/').into();
        offers.iter().map(word).collect()
    }
}

/// The stdout of a shell that has said nothing else.
#[track_caller]
fn silent(output: std::process::Output, line: &str) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{line}: {}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn set(words: &str) -> BTreeSet<String> {
    words.split_whitespace().map(String::from).collect()
}

/// The commands of the program.
fn commands() -> Vec<String> {
    let help = support::run(Command::new(support::binary()).arg("help"));
    let list = help.split("\n\n").find_map(|part| part.strip_prefix("Commands:\n")).unwrap();
    let name = |line: &str| line.split_whitespace().next().unwrap().to_string();
    list.lines().map(name).collect()
}

/// Moves the completions where no shell looks.
fn move_aside(container: &Container) {
    container.as_root(&["mkdir", ASIDE]).ok();
    for shell in ALL {
        let aside = format!("{ASIDE}/{}", shell.name());
        container.as_root(&["mv", shell.file(), &aside]).ok();
    }
}

const GLOBAL: &str = "--home --scandir --json -q -v -h --help -V --version";

#[test]
fn each_shell_offers_what_can_come_next() {
    let container = boot();
    let commands = commands();
    let wait = format!("{GLOBAL} --up --ready --down --timeout --all");
    let table = [
        ("", commands.join(" ")),
        ("sta", "standby start status".into()),
        ("-v un", "uninstall unregister".into()),
        ("-", GLOBAL.into()),
        ("list -", GLOBAL.into()),
        ("wait -", wait),
        ("reconcile --p", "--policy --prune".into()),
        ("register new --e", "--env".into()),
        ("frobnicate -", GLOBAL.into()),
        ("reconcile --policy ", "auto profiles root".into()),
        ("signal U", "USR1 USR2".into()),
        ("hook ", "profile-create profile-delete".into()),
        ("help un", "uninstall unregister".into()),
        ("help s", "settings shutdown signal standby start status stop".into()),
        ("help e", "exit-codes".into()),
        ("reconcile --policy=profiles -", format!("{GLOBAL} --boot --dry-run --prune --policy")),
        ("logs coder -", format!("{GLOBAL} --all -n --lines --since -f --follow --local --utc")),
        // Profiles, each once.
        ("status ", "coder default writer".into()),
        ("stop c", "coder".into()),
        ("stop coder ", "default writer".into()),
        ("restart --no-wait writer coder ", "default".into()),
        ("wait --down --timeout 5 w", "writer".into()),
        ("signal HUP coder ", "default writer".into()),
        ("hook profile-delete w", "writer".into()),
        ("is-running ", "coder default writer".into()),
        ("--home /opt/data -v unregister w", "writer".into()),
        // Of another scandir.
        ("--scandir /tmp status ", String::new()),
        ("--scandir=/tmp status ", String::new()),
        ("--scandir /none status ", String::new()),
        // Nothing more, or nothing that is known.
        ("is-running coder ", String::new()),
        ("hook profile-delete writer ", String::new()),
        ("help start ", String::new()),
        ("signal U ", "coder default writer".into()),
        ("start --timeout ", String::new()),
        ("register p --env ", String::new()),
        ("frobnicate ", String::new()),
        ("zz", String::new()),
    ];
    let none =
        ["reconcile", "list", "detect", "install", "uninstall", "shutdown", "standby", "finish"];
    for shell in ALL {
        let expect = |line: &str, expected: &str| {
            let line = format!("hermes-gw {line}");
            let words: Vec<_> = line.split(' ').collect();
            let offered = shell.words(&container, By::Lookup, &words);
            assert_eq!(offered, set(expected), "{shell:?}: {line}");
        };
        table.iter().for_each(|(line, expected)| expect(line, expected));
        none.iter().for_each(|command| expect(&format!("{command} "), ""));
    }
    // One that has come just now; and by its path, for it need not be on PATH.
    container.as_hermes(&["/command/hermes-gw", "register", "new", "--down", "--force"]).ok();
    for shell in ALL {
        let offered = shell.words(&container, By::Lookup, &["/command/hermes-gw", "start", ""]);
        assert_eq!(offered, set("coder default new writer"), "{shell:?}");
    }
}

#[test]
fn the_file_may_be_evaluated_or_sourced() {
    let container = boot();
    move_aside(&container);
    for shell in ALL {
        for by in [By::Source, By::Eval] {
            let offered = shell.words(&container, by, &["hermes-gw", "is-running", "w"]);
            assert_eq!(offered, set("writer"), "{shell:?} {by:?}");
        }
    }
}

#[test]
fn each_file_is_small() {
    for shell in ALL {
        let file = format!("{}/rootfs{}", env!("CARGO_MANIFEST_DIR"), shell.file());
        let size = std::fs::metadata(file).unwrap().len();
        assert!(size < 2048, "{shell:?}: {size} bytes");
    }
}

#[test]
fn values_of_options_in_either_spelling() {
    let container = boot();
    for (line, value, whole) in [
        ("reconcile --policy=r", "root", "--policy=root"),
        ("--home=/opt/da", "/opt/data", "--home=/opt/data"),
        ("-v --scandir /opt/da", "/opt/data", "/opt/data"),
    ] {
        let words: Vec<_> = ["hermes-gw"].into_iter().chain(line.split(' ')).collect();
        let offered = |shell: Shell| shell.words(&container, By::Lookup, &words);
        assert_eq!(offered(Shell::Bash), set(value));
        // It completes a path by its parts.
        assert_eq!(offered(Shell::Zsh), set(value.rsplit('/').next().unwrap()));
        assert_eq!(offered(Shell::Fish), set(whole));
    }
}

#[test]
fn commands_come_with_what_they_do() {
    let container = boot();
    let offered = Shell::Fish.offers(&container, By::Lookup, &["hermes-gw", "stat"]);
    assert_eq!(offered.into_iter().collect::<Vec<_>>(), ["status\thow gateways stand, and why"]);
}

#[test]
fn a_tab_on_a_terminal_completes_and_the_line_runs() {
    let container = boot();
    move_aside(&container);
    for shell in [Shell::Bash, Shell::Fish] {
        let args: &[&str] = match shell {
            Shell::Bash => &["--norc", "-i"],
            _ => &["-i"],
        };
        let command = shell.command(&container, &[], args);
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut script = Command::new("script")
            .args(["-qec", &quoted.join(" "), "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let load = shell.load(By::Source);
        let typed = format!("{load}\nhermes-gw hel\tsig\t\nexit\n");
        script.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let screen = script.wait_with_output().unwrap().stdout;
        let screen = String::from_utf8_lossy(&screen);
        assert!(screen.contains("Signals: ALRM"), "{shell:?}: {screen}");
    }
}
