//! argv → [`Invocation`].

use crate::error::{Error, Kind, Result};
use crate::gateway::slot::Registration;
use crate::logs::printer::Stamps;
use crate::manager::Goal;
use crate::model::backoff::Exit;
use crate::model::plan::Policy;
use crate::s6::control::{self, Control};
use crate::s6::scandir::Tree;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

/// The options that every command takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--home`.
    pub home: Option<Vec<u8>>,
    /// `--scandir`.
    pub scandir: Option<Vec<u8>>,
    /// `--json`.
    pub json: bool,
    /// `-q` or `-v`.
    pub verbosity: Verbosity,
}

/// How much is said of a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// `-q`: nothing.
    Quiet,
    /// What the command is for.
    #[default]
    Normal,
    /// `-v`: what was done on the way, too.
    Verbose,
}

/// A command with its own options. Names are not validated yet: each is a target of
/// its own, and what is wrong with one does not keep the others from being tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `reconcile`.
    Reconcile(Reconcile),
    /// `register`.
    Register(Register),
    /// `unregister`.
    Unregister {
        /// The profiles.
        names: Vec<Vec<u8>>,
        /// `--timeout`; else the default counts.
        timeout: Option<Duration>,
    },
    /// `list`.
    List,
    /// `start`, `stop` or `restart`.
    Lifecycle(Lifecycle),
    /// `signal`.
    Signal {
        /// What is sent.
        signal: Control,
        /// The profiles.
        names: Vec<Vec<u8>>,
    },
    /// `is-running`.
    IsRunning {
        /// The profile.
        name: Vec<u8>,
    },
    /// `wait`.
    Wait {
        /// `--up`, `--ready` or `--down`.
        goal: Goal,
        /// The profiles.
        names: Vec<Vec<u8>>,
        /// `--timeout`; else as long as it takes.
        timeout: Option<Duration>,
    },
    /// `status`.
    Status {
        /// The profiles; none for all.
        names: Vec<Vec<u8>>,
    },
    /// `watch`.
    Watch {
        /// The profiles; none for all.
        names: Vec<Vec<u8>>,
    },
    /// `doctor`.
    Doctor,
    /// `logs`.
    Logs(Logs),
    /// `hook`.
    Hook {
        /// Which one.
        hook: Hook,
        /// The profile.
        name: Vec<u8>,
    },
    /// `install` and `uninstall`.
    Install,
    /// `shutdown`.
    Shutdown {
        /// `--timeout`; else the default counts.
        timeout: Option<Duration>,
        /// `--supervisors`: these go too.
        supervisors: bool,
    },
    /// `finish`.
    Finish {
        /// How the gateway ended.
        exit: Exit,
    },
    /// `detect`.
    Detect,
    /// `completion`.
    Completion {
        /// For which shell.
        shell: Shell,
    },
    /// `help`, `help COMMAND`, `--help`.
    Help {
        /// The command; else all.
        about: Option<&'static str>,
    },
    /// `--version`.
    Version,
}

/// The options of `register`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    /// The profile.
    pub profile: Vec<u8>,
    /// `--env`, `--down` and `--if-missing`.
    pub how: Registration,
}

/// What can be done with a gateway's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `start`.
    Start,
    /// `stop`.
    Stop,
    /// `restart`.
    Restart,
}

/// The options of `start`, `stop` and `restart`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Which of them.
    pub change: Change,
    /// The profiles.
    pub names: Vec<Vec<u8>>,
    /// `--all`: every registered profile.
    pub all: bool,
    /// `--no-wait`.
    pub no_wait: bool,
    /// `--timeout`; else the default counts.
    pub timeout: Option<Duration>,
}

/// The options of `logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// The profiles.
    pub names: Vec<Vec<u8>>,
    /// `--lines`: so many of each.
    pub lines: usize,
    /// `--follow`.
    pub follow: bool,
    /// `--utc` and `--local`.
    pub stamps: Stamps,
}

/// When Hermes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A profile was made.
    ProfileCreate,
    /// A profile is deleted.
    ProfileDelete,
}

/// A shell that completes words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// The options of `reconcile`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconcile {
    /// `--boot`: s6-overlay asks for the scan later.
    pub boot: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--prune`: slots without a profile go.
    pub prune: bool,
    /// `--policy`; else a setting decides.
    pub policy: Option<Policy>,
}

/// A whole command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What applies to every command.
    pub options: Options,
    /// The command.
    pub command: Command,
}

/// An option that some commands take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    /// `--all`.
    All,
    /// `--boot`.
    Boot,
    /// `--down`.
    Down,
    /// `--dry-run`.
    DryRun,
    /// `--env K=V`.
    Env,
    /// `--follow`.
    Follow,
    /// `--if-missing`.
    IfMissing,
    /// `--lines N`.
    Lines,
    /// `--local`.
    Local,
    /// `--no-wait`.
    NoWait,
    /// `--policy profiles|root`.
    Policy,
    /// `--prune`.
    Prune,
    /// `--ready`.
    Ready,
    /// `--supervisors`.
    Supervisors,
    /// `--timeout SECONDS`.
    Timeout,
    /// `--up`.
    Up,
    /// `--utc`.
    Utc,
}

/// What each option is called.
const OPTIONS: [(&str, Opt); 17] = [
    ("all", Opt::All),
    ("boot", Opt::Boot),
    ("down", Opt::Down),
    ("dry-run", Opt::DryRun),
    ("env", Opt::Env),
    ("follow", Opt::Follow),
    ("if-missing", Opt::IfMissing),
    ("lines", Opt::Lines),
    ("local", Opt::Local),
    ("no-wait", Opt::NoWait),
    ("policy", Opt::Policy),
    ("prune", Opt::Prune),
    ("ready", Opt::Ready),
    ("supervisors", Opt::Supervisors),
    ("timeout", Opt::Timeout),
    ("up", Opt::Up),
    ("utc", Opt::Utc),
];

/// What some are called for short.
const SHORT: [(char, Opt); 2] = [('f', Opt::Follow), ('n', Opt::Lines)];

/// A command: its name, its options, how many words follow it at least and at most,
/// and what it becomes of these.
struct Spec {
    name: &'static str,
    options: &'static [Opt],
    words: (usize, usize),
    build: fn(Given) -> Result<Command>,
}

const MANY: usize = usize::MAX;
/// So many lines `logs` shows, unless it is told otherwise.
const LINES: usize = 50;
const LIFECYCLE: &[Opt] = &[Opt::All, Opt::NoWait, Opt::Timeout];

/// All commands.
#[rustfmt::skip]
static COMMANDS: [Spec; 22] = [
    Spec { name: "reconcile", options: &[Opt::Boot, Opt::DryRun, Opt::Prune, Opt::Policy], words: (0, 0), build: Given::reconcile },
    Spec { name: "register", options: &[Opt::Env, Opt::Down, Opt::IfMissing], words: (1, 1), build: Given::register },
    Spec { name: "unregister", options: &[Opt::Timeout], words: (1, MANY), build: |it| Ok(Command::Unregister { names: it.words, timeout: it.timeout }) },
    Spec { name: "list", options: &[], words: (0, 0), build: |_| Ok(Command::List) },
    Spec { name: "start", options: LIFECYCLE, words: (0, MANY), build: |it| it.lifecycle(Change::Start) },
    Spec { name: "stop", options: LIFECYCLE, words: (0, MANY), build: |it| it.lifecycle(Change::Stop) },
    Spec { name: "restart", options: LIFECYCLE, words: (0, MANY), build: |it| it.lifecycle(Change::Restart) },
    Spec { name: "signal", options: &[], words: (2, MANY), build: Given::signal },
    Spec { name: "is-running", options: &[], words: (1, 1), build: |mut it| Ok(Command::IsRunning { name: it.word() }) },
    Spec { name: "wait", options: &[Opt::Up, Opt::Ready, Opt::Down, Opt::Timeout], words: (1, MANY), build: Given::wait },
    Spec { name: "status", options: &[], words: (0, MANY), build: |it| Ok(Command::Status { names: it.words }) },
    Spec { name: "watch", options: &[], words: (0, MANY), build: |it| Ok(Command::Watch { names: it.words }) },
    Spec { name: "doctor", options: &[], words: (0, 0), build: |_| Ok(Command::Doctor) },
    Spec { name: "logs", options: &[Opt::Lines, Opt::Follow, Opt::Local, Opt::Utc], words: (1, MANY), build: Given::logs },
    Spec { name: "hook", options: &[], words: (2, 2), build: Given::hook },
    Spec { name: "install", options: &[], words: (0, 0), build: |_| Ok(Command::Install) },
    Spec { name: "uninstall", options: &[], words: (0, 0), build: |_| Ok(Command::Install) },
    Spec { name: "shutdown", options: &[Opt::Supervisors, Opt::Timeout], words: (0, 0), build: |it| Ok(Command::Shutdown { timeout: it.timeout, supervisors: it.has(Opt::Supervisors) }) },
    Spec { name: "finish", options: &[], words: (3, 4), build: Given::finish },
    Spec { name: "detect", options: &[], words: (0, 0), build: |_| Ok(Command::Detect) },
    Spec { name: "completion", options: &[], words: (1, 1), build: Given::completion },
    Spec { name: "help", options: &[], words: (0, 1), build: Given::help },
];

/// Names that the program is called by, with digits before them, and what it does then.
const ALIASES: [(&[u8], &str, &[Opt]); 2] =
    [(b"-reconcile-profiles", "reconcile", &[Opt::Boot]), (b"-stop-gateways", "shutdown", &[])];

/// What a command was given.
#[derive(Default)]
struct Given {
    flags: Vec<Opt>,
    timeout: Option<Duration>,
    lines: Option<usize>,
    policy: Option<Policy>,
    environment: Vec<(Vec<u8>, Vec<u8>)>,
    words: Vec<Vec<u8>>,
}

impl Invocation {
    /// Parses a command line, the program's name first: called as
    /// `NN-reconcile-profiles` it is `reconcile --boot`, as `NN-stop-gateways` `shutdown`.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Invocation> {
        let mut argv = argv.into_iter().peekable();
        let mut given = Given::default();
        let mut spec = argv.peek().and_then(|program| given.alias(program.as_bytes()));
        let mut parser = lexopt::Parser::from_iter(argv);
        let mut options = Options::default();
        while let Some(arg) = parser.next().map_err(usage)? {
            match (arg, spec) {
                (Long("home"), _) => options.home = Some(bytes(&mut parser)?),
                (Long("scandir"), _) => options.scandir = Some(bytes(&mut parser)?),
                (Long("json"), _) => options.json = true,
                (Short('q'), _) => options.verbosity = Verbosity::Quiet,
                (Short('v'), _) => options.verbosity = Verbosity::Verbose,
                (Short('h') | Long("help"), spec) => {
                    let command = Command::Help { about: spec.map(|spec| spec.name) };
                    return Ok(Invocation { options, command });
                }
                (Short('V') | Long("version"), _) => {
                    return Ok(Invocation { options, command: Command::Version });
                }
                (Value(word), None) => spec = Some(find(word.as_bytes())?),
                (Value(word), Some(spec)) if given.words.len() < spec.words.1 => {
                    given.words.push(word.into_vec());
                }
                (arg, spec) => match spec.and_then(|spec| spec.option(&arg)) {
                    Some(option) => given.option(option, &mut parser)?,
                    None => return Err(usage(arg.unexpected())),
                },
            }
        }
        let lacks =
            |why: &'static str| Error::new(Kind::Usage, "parse arguments", "hermes-gw", why);
        let spec = spec.ok_or_else(|| lacks("no command: see hermes-gw help"))?;
        if given.words.len() < spec.words.0 {
            let why = "needs more arguments: see hermes-gw help";
            return Err(Error::new(Kind::Usage, "parse arguments", spec.name, why));
        }
        Ok(Invocation { options, command: (spec.build)(given)? })
    }
}

/// The names of all commands.
pub fn commands() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|spec| spec.name)
}

/// The long names of the options that some commands take.
pub fn options() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

fn find(name: &[u8]) -> Result<&'static Spec> {
    COMMANDS
        .iter()
        .find(|spec| spec.name.as_bytes() == name)
        .ok_or_else(|| Error::new(Kind::Usage, "find command", name, "unknown: see hermes-gw help"))
}

impl Spec {
    /// The option that `arg` is, if this command takes it.
    fn option(&self, arg: &lexopt::Arg<'_>) -> Option<Opt> {
        let option = match arg {
            Long(name) => OPTIONS.iter().find(|(known, _)| known == name)?.1,
            Short(letter) => SHORT.iter().find(|(known, _)| known == letter)?.1,
            Value(_) => return None,
        };
        self.options.contains(&option).then_some(option)
    }
}

impl Given {
    /// The command that the program is when it is called by this path, with its options.
    fn alias(&mut self, program: &[u8]) -> Option<&'static Spec> {
        let name = program.rsplit(|&b| b == b'/').next()?;
        let (digits, rest) = name.split_at(name.iter().position(|b| !b.is_ascii_digit())?);
        let (_, command, options) =
            ALIASES.iter().find(|(alias, ..)| !digits.is_empty() && *alias == rest)?;
        self.flags.extend_from_slice(options);
        find(command.as_bytes()).ok()
    }

    fn option(&mut self, option: Opt, parser: &mut lexopt::Parser) -> Result<()> {
        match option {
            Opt::Timeout => self.timeout = Some(seconds("seconds", &bytes(parser)?)?),
            Opt::Policy => self.policy = Some(policy(&bytes(parser)?)?),
            Opt::Lines => self.lines = Some(number("lines", &bytes(parser)?)?),
            Opt::Env => {
                let (name, value) = variable(bytes(parser)?)?;
                self.environment.retain(|(known, _)| *known != name);
                let at = self.environment.partition_point(|(known, _)| *known < name);
                self.environment.insert(at, (name, value));
            }
            flag => self.flags.push(flag),
        }
        Ok(())
    }

    fn has(&self, flag: Opt) -> bool {
        self.flags.contains(&flag)
    }

    /// The first of the words that are left.
    fn word(&mut self) -> Vec<u8> {
        self.words.remove(0)
    }

    fn reconcile(self) -> Result<Command> {
        Ok(Command::Reconcile(Reconcile {
            boot: self.has(Opt::Boot),
            dry_run: self.has(Opt::DryRun),
            prune: self.has(Opt::Prune),
            policy: self.policy,
        }))
    }

    fn register(mut self) -> Result<Command> {
        let profile = self.word();
        let (down, if_missing) = (self.has(Opt::Down), self.has(Opt::IfMissing));
        let how = Registration { environment: self.environment, down, if_missing };
        Ok(Command::Register(Register { profile, how }))
    }

    fn lifecycle(self, change: Change) -> Result<Command> {
        let all = self.has(Opt::All);
        if all != self.words.is_empty() {
            let why = "needs profiles, or --all, and not both";
            return Err(Error::new(Kind::Usage, "parse arguments", "hermes-gw", why));
        }
        let (no_wait, timeout) = (self.has(Opt::NoWait), self.timeout);
        Ok(Command::Lifecycle(Lifecycle { change, names: self.words, all, no_wait, timeout }))
    }

    fn signal(mut self) -> Result<Command> {
        let word = self.word();
        let signal = control::signal(&word).ok_or_else(|| {
            let why = "s6 sends ALRM ABRT QUIT HUP KILL TERM INT USR1 USR2 STOP CONT WINCH";
            Error::new(Kind::Usage, "parse signal", &word, why)
        })?;
        Ok(Command::Signal { signal, names: self.words })
    }

    fn wait(self) -> Result<Command> {
        let goal = match self.flags[..] {
            [Opt::Up] => Goal::Up,
            [Opt::Ready] => Goal::Ready,
            [Opt::Down] => Goal::Down,
            _ => {
                let why = "needs one of --up, --ready and --down";
                return Err(Error::new(Kind::Usage, "parse arguments", "wait", why));
            }
        };
        Ok(Command::Wait { goal, names: self.words, timeout: self.timeout })
    }

    fn logs(self) -> Result<Command> {
        let stamps = match (self.has(Opt::Local), self.has(Opt::Utc)) {
            (false, false) => Stamps::AsTheyAre,
            (true, false) => Stamps::Local,
            (false, true) => Stamps::Utc,
            (true, true) => {
                let why = "takes --local or --utc, and not both";
                return Err(Error::new(Kind::Usage, "parse arguments", "logs", why));
            }
        };
        let (lines, follow) = (self.lines.unwrap_or(LINES), self.has(Opt::Follow));
        Ok(Command::Logs(Logs { names: self.words, lines, follow, stamps }))
    }

    fn hook(mut self) -> Result<Command> {
        let word = self.word();
        let hook = match &word[..] {
            b"profile-create" => Hook::ProfileCreate,
            b"profile-delete" => Hook::ProfileDelete,
            _ => {
                let why = "must be profile-create or profile-delete";
                return Err(Error::new(Kind::Usage, "parse hook", &word, why));
            }
        };
        Ok(Command::Hook { hook, name: self.word() })
    }

    /// `finish EXIT_CODE SIGNAL NAME [PGID]`: what s6-supervise passes to the script.
    fn finish(mut self) -> Result<Command> {
        let (code, signal) = (number("exit code", &self.word())?, number("signal", &self.word())?);
        // For what a signal has ended, the code is 256.
        let exit = match u8::try_from(code) {
            Ok(code) => Exit::Code(code),
            Err(_) => Exit::Signal(u8::try_from(signal).unwrap_or(0)),
        };
        Ok(Command::Finish { exit })
    }

    fn completion(mut self) -> Result<Command> {
        let word = self.word();
        let shell = match &word[..] {
            b"bash" => Shell::Bash,
            b"zsh" => Shell::Zsh,
            b"fish" => Shell::Fish,
            _ => {
                let why = "must be bash, zsh or fish";
                return Err(Error::new(Kind::Usage, "parse shell", &word, why));
            }
        };
        Ok(Command::Completion { shell })
    }

    fn help(self) -> Result<Command> {
        let about = self.words.first().map(|word| find(word)).transpose()?;
        Ok(Command::Help { about: about.map(|spec| spec.name) })
    }
}

/// The name and the value of `NAME=VALUE`.
fn variable(mut text: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let end = text.iter().position(|&b| b == b'=').unwrap_or(text.len());
    let name = &text[..end];
    if end == text.len() || !name.iter().all(allowed) || name.first().is_none_or(u8::is_ascii_digit)
    {
        let why = "must be NAME=VALUE, the name of a-z, A-Z, 0-9 and _";
        // What a value holds may be a secret.
        return Err(Error::new(Kind::Usage, "parse variable", name, why));
    }
    let value = text.split_off(end + 1);
    text.pop();
    Ok((text, value))
}

/// The policy that `word` names, from the command line or a setting.
pub fn policy(word: &[u8]) -> Result<Policy> {
    match word {
        b"profiles" => Ok(Policy::Profiles),
        b"root" => Ok(Policy::Root),
        _ => Err(Error::new(Kind::Usage, "parse policy", word, "must be profiles or root")),
    }
}

/// The tree that `word` names in a setting.
pub fn tree(word: &[u8]) -> Result<Tree> {
    match word {
        b"root" => Ok(Tree::Root),
        b"user" => Ok(Tree::User),
        _ => Err(Error::new(Kind::Usage, "parse HERMES_GW_TREE", word, "must be root or user")),
    }
}

/// The number that `text`, called `what`, says.
pub fn number(what: &str, text: &[u8]) -> Result<usize> {
    let number = || str::from_utf8(text.trim_ascii()).ok()?.parse::<u32>().ok()?.try_into().ok();
    number().ok_or_else(|| Error::new(Kind::Usage, &format!("parse {what}"), text, "is no number"))
}

/// The time that `text`, called `what`, says in seconds, fractions allowed, to the
/// millisecond.
pub fn seconds(what: &str, text: &[u8]) -> Result<Duration> {
    let parse = || {
        let text = str::from_utf8(text).ok()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return None;
        }
        let mut millis = 0;
        for digit in fraction.bytes().chain(*b"000").take(3) {
            millis = millis * 10 + u64::from(digit - b'0');
        }
        let whole: u32 = whole.parse().ok()?;
        Some(Duration::from_millis(u64::from(whole) * 1000 + millis))
    };
    parse().ok_or_else(|| Error::new(Kind::Usage, &format!("parse {what}"), text, "is no time"))
}

fn bytes(parser: &mut lexopt::Parser) -> Result<Vec<u8>> {
    Ok(parser.value().map_err(usage)?.into_vec())
}

fn usage(error: lexopt::Error) -> Box<Error> {
    use lexopt::Error as E;
    let (what, word, why) = match &error {
        E::MissingValue { option } => {
            ("parse option", option.clone().unwrap_or_default(), "needs a value")
        }
        E::UnexpectedOption(option) => ("parse option", option.clone(), "unknown here"),
        E::UnexpectedArgument(word) => {
            return Error::new(Kind::Usage, "parse argument", word.as_bytes(), "one too many");
        }
        E::UnexpectedValue { option, .. } => ("parse option", option.clone(), "takes no value"),
        _ => ("parse arguments", String::new(), "cannot be understood"),
    };
    Error::new(Kind::Usage, what, word, why).hint("see hermes-gw help")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Invocation> {
        Invocation::parse(line.split(' ').map(OsString::from))
    }

    fn command(line: &str) -> Command {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).command
    }

    #[test]
    fn commands_and_their_options() {
        let reconcile = |boot, dry_run, policy| {
            Command::Reconcile(Reconcile { boot, dry_run, prune: false, policy })
        };
        let names = |names: &[&str]| -> Vec<Vec<u8>> {
            names.iter().map(|name| name.as_bytes().to_vec()).collect()
        };
        let lifecycle = |change, of: &[&str]| Lifecycle {
            change,
            names: names(of),
            all: of.is_empty(),
            no_wait: false,
            timeout: None,
        };
        let prune = Reconcile { prune: true, ..Reconcile::default() };
        let how = Registration {
            environment: vec![(b"A_1".to_vec(), b"".to_vec()), (b"B".to_vec(), b"x=y".to_vec())],
            down: true,
            if_missing: true,
        };
        let register = Register { profile: b"p".to_vec(), how };
        let logs = |of: &[&str], lines, follow, stamps| {
            Command::Logs(Logs { names: names(of), lines, follow, stamps })
        };
        let create = Hook::ProfileCreate;
        let within =
            |ms| Command::Shutdown { timeout: Some(Duration::from_millis(ms)), supervisors: false };
        let table = [
            ("hermes-gw reconcile", reconcile(false, false, None)),
            ("hermes-gw reconcile --boot", reconcile(true, false, None)),
            ("x reconcile --dry-run --policy root", reconcile(false, true, Some(Policy::Root))),
            ("x reconcile --policy=profiles", reconcile(false, false, Some(Policy::Profiles))),
            ("/etc/cont-init.d/02-reconcile-profiles", reconcile(true, false, None)),
            ("02-reconcile-profiles --dry-run", reconcile(true, true, None)),
            ("x shutdown", Command::Shutdown { timeout: None, supervisors: false }),
            (
                "/etc/cont-finish.d/02-stop-gateways",
                Command::Shutdown { timeout: None, supervisors: false },
            ),
            ("x shutdown --timeout 2", within(2_000)),
            ("x shutdown --timeout=0.25", within(250)),
            ("02-stop-gateways --timeout 1.2345", within(1_234)),
            ("x detect", Command::Detect),
            ("x finish 256 15 gateway-x 77", Command::Finish { exit: Exit::Signal(15) }),
            ("x finish 78 0 gateway-x", Command::Finish { exit: Exit::Code(78) }),
            ("x reconcile --prune", Command::Reconcile(prune)),
            (
                "x register p --env A_1=z --down --env=B=x=y --env A_1= --if-missing",
                Command::Register(register),
            ),
            (
                "x unregister a b --timeout 1",
                Command::Unregister {
                    names: names(&["a", "b"]),
                    timeout: Some(Duration::from_secs(1)),
                },
            ),
            ("x list", Command::List),
            ("x start a", Command::Lifecycle(lifecycle(Change::Start, &["a"]))),
            ("x stop --all", Command::Lifecycle(lifecycle(Change::Stop, &[]))),
            (
                "x restart --no-wait a -- -b",
                Command::Lifecycle(Lifecycle {
                    no_wait: true,
                    ..lifecycle(Change::Restart, &["a", "-b"])
                }),
            ),
            (
                "x signal sigusr1 a b",
                Command::Signal { signal: Control::User1, names: names(&["a", "b"]) },
            ),
            ("x is-running a", Command::IsRunning { name: b"a".to_vec() }),
            (
                "x wait --ready a",
                Command::Wait { goal: Goal::Ready, names: names(&["a"]), timeout: None },
            ),
            ("x status", Command::Status { names: vec![] }),
            ("x status a b", Command::Status { names: names(&["a", "b"]) }),
            ("x watch a", Command::Watch { names: names(&["a"]) }),
            ("x doctor", Command::Doctor),
            ("x logs a", logs(&["a"], 50, false, Stamps::AsTheyAre)),
            ("x logs -f a -n 7 b --utc", logs(&["a", "b"], 7, true, Stamps::Utc)),
            ("x logs --follow --lines=0 a --local", logs(&["a"], 0, true, Stamps::Local)),
            ("x logs -fn4294967295 a", logs(&["a"], 4_294_967_295, true, Stamps::AsTheyAre)),
            ("x hook profile-create a", Command::Hook { hook: create, name: b"a".to_vec() }),
            ("x install", Command::Install),
            ("x uninstall", Command::Install),
            ("x completion bash", Command::Completion { shell: Shell::Bash }),
            ("x completion zsh", Command::Completion { shell: Shell::Zsh }),
            ("x completion fish", Command::Completion { shell: Shell::Fish }),
            ("x help", Command::Help { about: None }),
            ("x --help", Command::Help { about: None }),
            ("x help reconcile", Command::Help { about: Some("reconcile") }),
            ("x reconcile -h", Command::Help { about: Some("reconcile") }),
            ("x --version", Command::Version),
            ("x -V", Command::Version),
        ];
        for (line, expected) in table {
            assert_eq!(command(line), expected, "{line}");
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in [
            "x --home /h --scandir /s --json -v reconcile",
            "x reconcile --home=/h --json -v --scandir=/s",
        ] {
            let options = Options {
                home: Some(b"/h".to_vec()),
                scandir: Some(b"/s".to_vec()),
                json: true,
                verbosity: Verbosity::Verbose,
            };
            assert_eq!(parse(line).unwrap().options, options, "{line}");
        }
        assert_eq!(parse("x -q detect").unwrap().options.verbosity, Verbosity::Quiet);
    }

    #[test]
    fn wrong_usage_says_what_and_where_to_look() {
        let table = [
            ("x", "no command"),
            ("x frobnicate", "find command: frobnicate: unknown"),
            ("x reconcile --frob", "parse option: --frob: unknown here"),
            ("x detect --boot", "parse option: --boot: unknown here"),
            ("x reconcile extra", "parse argument: extra: one too many"),
            ("x reconcile --policy", "parse option: --policy: needs a value"),
            ("x reconcile --policy both", "parse policy: both: must be profiles or root"),
            ("x --json=1 detect", "parse option: --json: takes no value"),
            ("x help frob", "find command: frob: unknown"),
            ("x finish", "parse arguments: finish: needs more arguments"),
            ("x start", "needs profiles, or --all, and not both"),
            ("x start --all a", "needs profiles, or --all, and not both"),
            ("x start -a", "parse option: -a: unknown here"),
            ("x unregister --all", "parse option: --all: unknown here"),
            ("x register", "parse arguments: register: needs more arguments"),
            ("x register a b", "parse argument: b: one too many"),
            ("x register a --env B", "parse variable: B: must be NAME=VALUE"),
            ("x register a --env =B", "parse variable: : must be NAME=VALUE"),
            ("x register a --env 1=secret", "parse variable: 1: must be NAME=VALUE"),
            ("x register a --env B-C=1", "parse variable: B-C: must be"),
            ("x signal a", "parse arguments: signal: needs more arguments"),
            ("x signal CHLD a", "parse signal: CHLD: s6 sends ALRM"),
            ("x wait a", "parse arguments: wait: needs one of --up, --ready and --down"),
            ("x wait --up --down a", "needs one of --up, --ready and --down"),
            ("x logs", "parse arguments: logs: needs more arguments"),
            ("x logs -n a", "parse lines: a: is no number"),
            ("x logs -n -5 a", "parse lines: -5: is no number"),
            ("x logs -n 1.5 a", "parse lines: 1.5: is no number"),
            ("x logs a -n", "parse option: -n: needs a value"),
            ("x logs --local --utc a", "logs: takes --local or --utc, and not both"),
            ("x logs --all", "parse option: --all: unknown here"),
            ("x logs -x a", "parse option: -x: unknown here"),
            ("x start -f a", "parse option: -f: unknown here"),
            ("x hook profile-rename a", "parse hook: profile-rename: must be"),
            ("x completion", "parse arguments: completion: needs more arguments"),
            ("x completion tcsh", "parse shell: tcsh: must be bash, zsh or fish"),
            ("x finish nine 0 gateway-x", "parse exit code: nine: is no number"),
            ("x finish 256 TERM gateway-x", "parse signal: TERM: is no number"),
            ("x shutdown --timeout 1.", "parse seconds: 1.: is no time"),
            ("x shutdown --timeout -1", "parse seconds: -1: is no time"),
            ("x shutdown --timeout 1e3", "parse seconds: 1e3: is no time"),
            ("x shutdown --timeout 99999999999", "is no time"),
            ("reconcile-profiles", "no command"),
            ("x2-reconcile-profiles", "no command"),
        ];
        for (line, start) in table {
            let error = parse(line).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{line}");
            assert!(error.to_string().contains(start), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_arguments_crash_it(words in proptest::collection::vec(
            prop_oneof![
                "reconcile|register|start|signal|wait|logs|hook|finish|help|detect",
                "--home|--policy|--timeout|--env|--all|--up|--json=|-qv|-fn|-n1|--|-|KILL|A=b|1",
                ".*",
            ],
            0..6,
        )) {
            let _ = Invocation::parse(words.into_iter().map(OsString::from));
        }
    }
}
