//! argv → [`Invocation`].

use crate::error::{Error, Kind, Result};
use crate::help::Topic;
use crate::model::plan::Policy;
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

/// A command with its own options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `reconcile`.
    Reconcile(Reconcile),
    /// `shutdown`.
    Shutdown {
        /// `--timeout`; else the default counts.
        timeout: Option<Duration>,
    },
    /// `finish`, with the exit code that s6-supervise gives it.
    Finish {
        /// 256 if a signal ended the gateway.
        exit_code: u32,
    },
    /// `detect`.
    Detect,
    /// `help`, `help COMMAND`, `--help`.
    Help(Topic),
    /// `--version`.
    Version,
}

/// The options of `reconcile`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconcile {
    /// `--boot`: s6-overlay asks for the scan later.
    pub boot: bool,
    /// `--dry-run`.
    pub dry_run: bool,
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

impl Invocation {
    /// Parses a command line, the program's name first: called as
    /// `NN-reconcile-profiles` it is `reconcile --boot`, as `NN-stop-gateways` `shutdown`.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Invocation> {
        let mut argv = argv.into_iter().peekable();
        let mut command = argv.peek().and_then(|program| Command::of_name(program.as_bytes()));
        let mut parser = lexopt::Parser::from_iter(argv);
        let mut options = Options::default();
        while let Some(arg) = parser.next().map_err(usage)? {
            match (arg, &mut command) {
                (Long("home"), _) => options.home = Some(bytes(&mut parser)?),
                (Long("scandir"), _) => options.scandir = Some(bytes(&mut parser)?),
                (Long("json"), _) => options.json = true,
                (Short('q'), _) => options.verbosity = Verbosity::Quiet,
                (Short('v'), _) => options.verbosity = Verbosity::Verbose,
                (Short('h') | Long("help"), command) => {
                    let topic = command.as_ref().map_or(Topic::All, Command::topic);
                    return Ok(Invocation { options, command: Command::Help(topic) });
                }
                (Short('V') | Long("version"), _) => {
                    return Ok(Invocation { options, command: Command::Version });
                }
                (Long("boot"), Some(Command::Reconcile(it))) => it.boot = true,
                (Long("dry-run"), Some(Command::Reconcile(it))) => it.dry_run = true,
                (Long("policy"), Some(Command::Reconcile(it))) => {
                    it.policy = Some(policy(&bytes(&mut parser)?)?);
                }
                (Long("timeout"), Some(Command::Shutdown { timeout })) => {
                    *timeout = Some(seconds(&bytes(&mut parser)?)?);
                }
                (Value(word), None) => command = Some(Command::parse(&word, &mut parser)?),
                (arg, _) => return Err(usage(arg.unexpected())),
            }
        }
        let command = command.ok_or_else(|| {
            Error::new(Kind::Usage, "parse arguments", "", "no command: see hermes-gw help")
        })?;
        Ok(Invocation { options, command })
    }
}

impl Command {
    /// The command that the program is when it is called by this path.
    fn of_name(program: &[u8]) -> Option<Command> {
        let name = program.rsplit(|&b| b == b'/').next()?;
        let (digits, verb) = name.split_at(name.iter().position(|b| !b.is_ascii_digit())?);
        match verb {
            _ if digits.is_empty() => None,
            b"-reconcile-profiles" => {
                Some(Command::Reconcile(Reconcile { boot: true, ..Reconcile::default() }))
            }
            b"-stop-gateways" => Some(Command::Shutdown { timeout: None }),
            _ => None,
        }
    }

    fn parse(word: &OsString, parser: &mut lexopt::Parser) -> Result<Command> {
        Ok(match word.as_bytes() {
            b"reconcile" => Command::Reconcile(Reconcile::default()),
            b"shutdown" => Command::Shutdown { timeout: None },
            b"detect" => Command::Detect,
            b"finish" => Command::finish(parser)?,
            b"help" => Command::Help(match parser.raw_args().map_err(usage)?.next() {
                Some(topic) => Topic::find(topic.as_bytes()).ok_or_else(|| unknown(&topic))?,
                None => Topic::All,
            }),
            _ => return Err(unknown(word)),
        })
    }

    /// `finish EXIT_CODE SIGNAL NAME [PGID]`: what s6-supervise passes to the script.
    fn finish(parser: &mut lexopt::Parser) -> Result<Command> {
        let mut args = parser.raw_args().map_err(usage)?;
        let word = args.next().unwrap_or_default();
        args.by_ref().for_each(drop);
        let exit_code = word.to_str().and_then(|word| word.parse().ok()).ok_or_else(|| {
            Error::new(Kind::Usage, "parse exit code", word.as_bytes(), "is no number")
        })?;
        Ok(Command::Finish { exit_code })
    }

    fn topic(&self) -> Topic {
        match self {
            Command::Reconcile(_) => Topic::Reconcile,
            Command::Shutdown { .. } => Topic::Shutdown,
            Command::Finish { .. } => Topic::Finish,
            Command::Detect => Topic::Detect,
            Command::Help(_) | Command::Version => Topic::All,
        }
    }
}

/// The policy that `word` names, from the command line or a setting.
pub fn policy(word: &[u8]) -> Result<Policy> {
    match word {
        b"profiles" => Ok(Policy::Profiles),
        b"root" => Ok(Policy::Root),
        _ => Err(Error::new(Kind::Usage, "parse policy", word, "must be profiles or root")),
    }
}

/// The time that `text` says in seconds, fractions allowed, to the millisecond.
fn seconds(text: &[u8]) -> Result<Duration> {
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
    parse().ok_or_else(|| Error::new(Kind::Usage, "parse seconds", text, "is no time"))
}

fn bytes(parser: &mut lexopt::Parser) -> Result<Vec<u8>> {
    Ok(parser.value().map_err(usage)?.into_vec())
}

fn unknown(word: &OsString) -> Box<Error> {
    Error::new(Kind::Usage, "find command", word.as_bytes(), "unknown: see hermes-gw help")
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
        let reconcile =
            |boot, dry_run, policy| Command::Reconcile(Reconcile { boot, dry_run, policy });
        let within = |ms| Command::Shutdown { timeout: Some(Duration::from_millis(ms)) };
        let table = [
            ("hermes-gw reconcile", reconcile(false, false, None)),
            ("hermes-gw reconcile --boot", reconcile(true, false, None)),
            ("x reconcile --dry-run --policy root", reconcile(false, true, Some(Policy::Root))),
            ("x reconcile --policy=profiles", reconcile(false, false, Some(Policy::Profiles))),
            ("/etc/cont-init.d/02-reconcile-profiles", reconcile(true, false, None)),
            ("02-reconcile-profiles --dry-run", reconcile(true, true, None)),
            ("x shutdown", Command::Shutdown { timeout: None }),
            ("/etc/cont-finish.d/02-stop-gateways", Command::Shutdown { timeout: None }),
            ("x shutdown --timeout 2", within(2_000)),
            ("x shutdown --timeout=0.25", within(250)),
            ("02-stop-gateways --timeout 1.2345", within(1_234)),
            ("x detect", Command::Detect),
            ("x finish 256 15 gateway-x 77", Command::Finish { exit_code: 256 }),
            ("x finish 78", Command::Finish { exit_code: 78 }),
            ("x help", Command::Help(Topic::All)),
            ("x --help", Command::Help(Topic::All)),
            ("x help reconcile", Command::Help(Topic::Reconcile)),
            ("x reconcile -h", Command::Help(Topic::Reconcile)),
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
            ("x finish", "parse exit code: : is no number"),
            ("x finish nine", "parse exit code: nine: is no number"),
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
            prop_oneof!["reconcile|finish|help|detect|--home|--policy|--json=|-qv|--|-", ".*"], 0..6,
        )) {
            let _ = Invocation::parse(words.into_iter().map(OsString::from));
        }
    }
}
