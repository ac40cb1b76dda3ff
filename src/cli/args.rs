//! argv → a verb and its options.

use super::verbs::{MANY, Verb};
use crate::error::{Error, Kind, Result};
use crate::model::policy::PolicySetting;
use crate::model::values;
use crate::options::{Opt, Options, POLICIES, Verbosity};
use crate::text::messages::{Text, text};
use crate::text::{Shown, parts};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What the command line asks for.
pub(crate) enum Asked {
    /// To run a verb.
    Run(Verb),
    /// For the help on a verb, or on all.
    Help(Option<Verb>),
    /// For the version.
    Version,
}

/// Parses a command line. Called as `NN-reconcile-profiles` it is
/// `reconcile --boot`, as `NN-stop-gateways` `shutdown`. Into `options` go those that were
/// understood, whatever is wrong with the rest.
///
/// # Errors
/// [`Kind::Usage`].
#[inline(never)]
pub(crate) fn parse(
    mut args: impl Iterator<Item = OsString>,
    options: &mut Options,
) -> Result<Asked> {
    let program = args.next().unwrap_or_default();
    let verb = alias(program.as_bytes(), options);
    // It would be freed once, shortly before the process ends.
    let mut parser = ManuallyDrop::new(lexopt::Parser::from_args(args));
    let asked = parse_rest(&mut parser, verb, options);
    if asked.is_err() {
        // How to say so may stand behind what is wrong.
        loop {
            match parser.next() {
                Ok(None) => break,
                Ok(Some(Long("json"))) => options.set(Opt::Json),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }
    asked
}

fn parse_rest(
    parser: &mut lexopt::Parser,
    mut verb: Option<Verb>,
    options: &mut Options,
) -> Result<Asked> {
    while let Some(arg) = parser.next().map_err(usage)? {
        let name = match (arg, verb) {
            (Long(name), _) => ["--", name].concat(),
            (Short(letter), _) => ["-", letter.encode_utf8(&mut [0; 4])].concat(),
            (Value(word), None) => {
                verb = Some(Verb::find(word.as_bytes())?);
                continue;
            }
            (Value(word), Some(_)) => {
                options.words.push(word.into_vec());
                continue;
            }
        };
        let is_taken = |option: &Opt| match verb {
            Some(verb) => verb.takes(*option),
            None => option.is_global(),
        };
        match Opt::find(name.as_bytes()).filter(is_taken) {
            Some(Opt::Help) => return Ok(Asked::Help(verb)),
            Some(Opt::Version) => return Ok(Asked::Version),
            Some(option) => take(option, &name, parser, options)?,
            None => return Err(unknown(&name)),
        }
    }
    let verb = verb.ok_or_else(|| {
        wrong(text!("parse arguments"), b"", text!("no command: see hermes-gw help"))
    })?;
    // In the place of the last words, the names, --all can stand.
    let (words, all) = (options.words.len(), options.has(Opt::All));
    let (least, most) = verb.words();
    let (least, most) = (usize::from(least), usize::from(most));
    let why = match all {
        _ if most < usize::from(MANY) && words > most => text!("takes fewer arguments"),
        _ if words + usize::from(all) < least => text!("needs more arguments"),
        true if words >= least.max(1) => text!("takes names or --all, and not both"),
        _ => return Ok(Asked::Run(verb)),
    };
    Err(Error::new(Kind::Usage, text!(""), verb.name(), why)
        .hint_of(&["usage: hermes-gw ", &verb.usage()].concat()))
}

/// The verb that the program is when it is called by this path.
fn alias(program: &[u8], options: &mut Options) -> Option<Verb> {
    let name = parts(program, b'/').last()?;
    let (digits, rest) = name.split_at(name.iter().position(|b| !b.is_ascii_digit())?);
    if digits.is_empty() {
        return None;
    }
    if rest == b"-reconcile-profiles" {
        options.set(Opt::Boot);
        return Some(Verb::Reconcile);
    }
    (rest == b"-stop-gateways").then_some(Verb::Shutdown)
}

/// Takes `option`, and its value, if it has one.
#[inline(never)]
fn take(option: Opt, name: &str, parser: &mut lexopt::Parser, options: &mut Options) -> Result<()> {
    match option {
        Opt::Home
        | Opt::Scandir
        | Opt::Env
        | Opt::Lines
        | Opt::Policy
        | Opt::Since
        | Opt::Timeout => {
            let value = parser.value().map_err(usage)?.into_vec();
            return take_value(option, name, value, options);
        }
        Opt::Quiet => options.verbosity = Verbosity::Quiet,
        Opt::Verbose => options.verbosity = Verbosity::Verbose,
        flag => options.set(flag),
    }
    Ok(())
}

fn take_value(option: Opt, name: &str, value: Vec<u8>, options: &mut Options) -> Result<()> {
    let (is_one, why) = match option {
        Opt::Home => {
            options.home = Some(value);
            return Ok(());
        }
        Opt::Scandir => {
            options.scandir = Some(value);
            return Ok(());
        }
        Opt::Lines => {
            options.lines = values::number(&value);
            (options.lines.is_some(), text!("is not a number"))
        }
        Opt::Policy => {
            options.policy = PolicySetting::parse(&value);
            (options.policy.is_some(), POLICIES)
        }
        Opt::Since => {
            options.since = values::age(&value);
            (options.since.is_some(), text!("is not an age such as 10m"))
        }
        Opt::Timeout => {
            options.timeout = values::seconds(&value);
            (options.timeout.is_some(), text!("is not a number of seconds"))
        }
        _ => {
            let (name, value) = variable(value)?;
            let all = &mut options.environment;
            let at = all.iter().position(|(known, _)| *known >= name).unwrap_or(all.len());
            match all.get_mut(at) {
                Some((known, old)) if *known == name => *old = value,
                _ => all.insert(at, (name, value)),
            }
            return Ok(());
        }
    };
    if is_one {
        return Ok(());
    }
    let why = ["'", &Shown(&value).text(), "' ", why.read()].concat();
    Err(Error::because(Kind::Usage, text!(""), name, &why))
}

/// The name and the value of `NAME=VALUE`.
fn variable(mut text: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let end = text.iter().position(|&b| b == b'=').unwrap_or(text.len());
    let name = &text[..end];
    if end == text.len() || !name.iter().all(allowed) || name.first().is_none_or(u8::is_ascii_digit)
    {
        // What a value holds may be a secret.
        let why = text!("must be NAME=VALUE, the name of a-z, A-Z, 0-9 and _");
        return Err(wrong(text!("--env"), name, why));
    }
    let value = text.split_off(end + 1);
    text.pop();
    Ok((text, value))
}

/// An error about a word of the command line.
fn wrong(what: Text, word: &[u8], why: Text) -> Box<Error> {
    Error::new(Kind::Usage, what, word, why)
}

fn unknown(name: &str) -> Box<Error> {
    wrong(text!("parse option"), name.as_bytes(), text!("unknown here: see hermes-gw help"))
}

fn usage(error: lexopt::Error) -> Box<Error> {
    use lexopt::Error as E;
    let (option, why) = match error {
        E::MissingValue { option } => {
            (option.unwrap_or_default(), text!("needs a value: see hermes-gw help"))
        }
        E::UnexpectedValue { option, .. } => (option, text!("takes no value: see hermes-gw help")),
        _ => (String::new(), text!("cannot be understood: see hermes-gw help")),
    };
    wrong(text!("parse option"), option.as_bytes(), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verbs::VERBS;
    use crate::model::policy::Policy;
    use proptest::prelude::*;
    use std::time::Duration;

    fn parsed(line: &str) -> (Options, Result<Asked>) {
        let mut options = Options::default();
        let asked = parse(line.split(' ').map(OsString::from), &mut options);
        (options, asked)
    }

    /// The name of the verb that `line` asks for, and its options.
    #[track_caller]
    fn run(line: &str) -> (&'static str, Options) {
        match parsed(line) {
            (options, Ok(Asked::Run(verb))) => (verb.name(), options),
            (_, Ok(_)) => panic!("{line}: runs nothing"),
            (_, Err(error)) => panic!("{line}: {error}"),
        }
    }

    fn words(words: &[&str]) -> Options {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Options { words, ..Options::default() }
    }

    fn with(flags: &[Opt], mut options: Options) -> Options {
        flags.iter().for_each(|flag| options.set(*flag));
        options
    }

    #[test]
    fn verbs_and_their_options() {
        let none = Options::default;
        let policy = |policy| Options { policy: Some(policy), ..none() };
        let within = |ms| Options { timeout: Some(Duration::from_millis(ms)), ..none() };
        let lines = |lines, of: &[&str]| Options { lines: Some(lines), ..words(of) };
        let environment = vec![(b"A_1".to_vec(), b"".to_vec()), (b"B".to_vec(), b"x=y".to_vec())];
        let registered =
            with(&[Opt::Down, Opt::IfMissing], Options { environment, ..words(&["p"]) });
        let boot = with(&[Opt::Boot], none());
        let table = [
            ("hermes-gw reconcile", "reconcile", none()),
            ("hermes-gw reconcile --boot", "reconcile", boot.clone()),
            (
                "x reconcile --dry-run --policy root",
                "reconcile",
                with(&[Opt::DryRun], policy(PolicySetting::Forced(Policy::Root))),
            ),
            (
                "x reconcile --policy=profiles",
                "reconcile",
                policy(PolicySetting::Forced(Policy::Profiles)),
            ),
            ("x reconcile --policy auto", "reconcile", policy(PolicySetting::Auto)),
            ("x reconcile --prune", "reconcile", with(&[Opt::Prune], none())),
            ("/etc/cont-init.d/02-reconcile-profiles", "reconcile", boot),
            (
                "02-reconcile-profiles --dry-run",
                "reconcile",
                with(&[Opt::Boot, Opt::DryRun], none()),
            ),
            ("/etc/cont-finish.d/02-stop-gateways", "shutdown", none()),
            ("x shutdown --timeout 2", "shutdown", within(2_000)),
            ("x shutdown --timeout=0.25", "shutdown", within(250)),
            ("02-stop-gateways --timeout 1.2345", "shutdown", within(1_234)),
            ("x finish 256 15 gateway-x 77", "finish", words(&["256", "15", "gateway-x", "77"])),
            (
                "/command/hermes-gw finish ./finish 0 0 gateway-x/log 77",
                "finish",
                words(&["./finish", "0", "0", "gateway-x/log", "77"]),
            ),
            (
                "x register p --env A_1=z --down --env=B=x=y --env A_1= --if-missing",
                "register",
                registered,
            ),
            (
                "x unregister a b --timeout 1",
                "unregister",
                Options { timeout: Some(Duration::from_secs(1)), ..words(&["a", "b"]) },
            ),
            ("x stop --all", "stop", with(&[Opt::All], none())),
            ("x start --force a", "start", with(&[Opt::Force], words(&["a"]))),
            ("x restart --no-wait a -- -b", "restart", with(&[Opt::NoWait], words(&["a", "-b"]))),
            ("x signal sigusr1 a b", "signal", words(&["sigusr1", "a", "b"])),
            ("x wait --ready a", "wait", with(&[Opt::Ready], words(&["a"]))),
            ("x status a b", "status", words(&["a", "b"])),
            (
                "x logs -f a -n 7 b --utc",
                "logs",
                with(&[Opt::Follow, Opt::Utc], lines(7, &["a", "b"])),
            ),
            (
                "x logs --follow --lines=0 a --local",
                "logs",
                with(&[Opt::Follow, Opt::Local], lines(0, &["a"])),
            ),
            ("x logs -fn4294967295 a", "logs", with(&[Opt::Follow], lines(4_294_967_295, &["a"]))),
            ("x hook profile-create a", "hook", words(&["profile-create", "a"])),
            ("x help reconcile", "help", words(&["reconcile"])),
        ];
        for (line, verb, options) in table {
            assert_eq!(run(line), (verb, options), "{line}");
        }
        for verb in VERBS {
            let (least, name) = (usize::from(verb.words().0), verb.name());
            let line = format!("x {name}{}", " word".repeat(least));
            assert_eq!(run(&line), (name, words(&vec!["word"; least])));
        }
    }

    #[test]
    fn help_and_version_may_be_asked_for_anywhere() {
        for (line, about) in [
            ("x --help", None),
            ("x -h status", None),
            ("x reconcile -h", Some("reconcile")),
            ("x logs --help --frob", Some("logs")),
        ] {
            let Ok(Asked::Help(verb)) = parsed(line).1 else { panic!("{line}") };
            assert_eq!(verb.map(|verb| verb.name()), about, "{line}");
        }
        for line in ["x --version", "x -V", "x status -V"] {
            assert!(matches!(parsed(line).1, Ok(Asked::Version)), "{line}");
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        let options = Options {
            home: Some(b"/h".to_vec()),
            scandir: Some(b"/s".to_vec()),
            verbosity: Verbosity::Verbose,
            ..Options::default()
        };
        let options = with(&[Opt::Json], options);
        for line in [
            "x --home /h --scandir /s --json -v reconcile",
            "x reconcile --home=/h --json -v --scandir=/s",
        ] {
            assert_eq!(run(line), ("reconcile", options.clone()), "{line}");
        }
        assert_eq!(run("x -q detect").1.verbosity, Verbosity::Quiet);
    }

    #[test]
    fn how_to_say_what_is_wrong_may_stand_behind_it() {
        for line in [
            "x --frob --json",
            "x status --frob=1 --json",
            "x status --frob --json",
            "x --json frob",
            "x frob --json",
        ] {
            let (options, asked) = parsed(line);
            assert!(options.has(Opt::Json) && asked.is_err(), "{line}");
        }
        assert!(!parsed("x --frob -- --json").0.has(Opt::Json));
    }

    #[test]
    fn wrong_usage_says_what_and_where_to_look() {
        let table = [
            ("x", "parse arguments: no command"),
            ("x frobnicate", "unknown command 'frobnicate': see hermes-gw help"),
            ("x strat", "unknown command 'strat': did you mean 'start'?"),
            ("x status --jsno", "parse option: --jsno: unknown here: see hermes-gw help"),
            ("x reconcile --frob", "parse option: --frob: unknown here"),
            ("x detect --boot", "parse option: --boot: unknown here"),
            ("x --boot reconcile", "parse option: --boot: unknown here"),
            ("x reconcile extra", "reconcile: takes fewer arguments: usage: hermes-gw reconcile ["),
            ("x reconcile --policy", "parse option: --policy: needs a value"),
            ("x reconcile --policy both", "--policy: 'both' must be auto, profiles or root"),
            ("x --json=1 detect", "parse option: --json: takes no value"),
            (
                "x finish",
                "finish: needs more arguments: usage: hermes-gw finish EXIT_CODE SIGNAL NAME [PGID]",
            ),
            ("x start -a", "parse option: -a: unknown here"),
            ("x unregister --all", "parse option: --all: unknown here"),
            ("x register", "register: needs more arguments: usage: hermes-gw register PROFILE ["),
            (
                "x register a b",
                "register: takes fewer arguments: usage: hermes-gw register PROFILE",
            ),
            ("x register a --env B", "--env: B: must be NAME=VALUE"),
            ("x register a --env =B", "--env: must be NAME=VALUE"),
            ("x register a --env 1=secret", "--env: 1: must be NAME=VALUE"),
            ("x register a --env B-C=1", "--env: B-C: must be"),
            ("x signal HUP", "signal: needs more arguments: usage: hermes-gw signal SIGNAL"),
            ("x signal --all", "signal: needs more arguments"),
            ("x signal --all HUP a", "signal: takes names or --all, and not both"),
            ("x logs", "logs: needs more arguments: usage: hermes-gw logs PROFILE...|--all"),
            ("x start", "start: needs more arguments: usage: hermes-gw start PROFILE...|--all"),
            ("x stop a --all", "stop: takes names or --all, and not both: usage: hermes-gw stop"),
            ("x status a --all", "status: takes names or --all, and not both"),
            ("x logs -n a", "-n: 'a' is not a number"),
            ("x logs -n -5 a", "-n: '-5' is not a number"),
            ("x logs -n 1.5 a", "-n: '1.5' is not a number"),
            ("x logs a -n", "parse option: -n: needs a value"),
            ("x logs --since soon a", "--since: 'soon' is not an age such as 10m"),
            ("x logs -x a", "parse option: -x: unknown here"),
            ("x start -f a", "parse option: -f: unknown here"),
            ("x stop --force a", "parse option: --force: unknown here"),
            ("x shutdown --timeout 1.", "--timeout: '1.' is not a number of seconds"),
            ("x shutdown --timeout -1", "--timeout: '-1' is not a number of seconds"),
            ("x shutdown --timeout 1e3", "--timeout: '1e3' is not a number of seconds"),
            ("x shutdown --timeout 99999999999", "is not a number of seconds"),
            ("x completion bash", "unknown command 'completion'"),
            ("reconcile-profiles", "no command"),
            ("x2-reconcile-profiles", "no command"),
        ];
        for (line, start) in table {
            let Err(error) = parsed(line).1 else { panic!("{line}") };
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
            let _ = parse(words.into_iter().map(OsString::from), &mut Options::default());
        }
    }
}
