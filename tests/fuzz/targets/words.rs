//! The command line, and words for shells.

use super::peers::{Peer, shell};
use crate::cli::args::{self, Asked};
use crate::error::Kind;
use crate::gateway::script;
use crate::model::policy::{Policy, PolicySetting};
use crate::model::profile::Profile;
use crate::options::{OPTIONS, Opt, Options, Verbosity};
use crate::text::{is_unsafe, quote as quoted, shell_word};
use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A command line, with NUL after each argument: what was understood, written anew, is
/// understood to be the same.
pub(super) fn command_line(data: &[u8]) {
    let args = data.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let (options, asked) = parse(args.collect());
    match asked {
        Err(error) => {
            assert_eq!(error.kind, Kind::Usage);
            assert!(!error.to_string().contains(is_unsafe), "{error}");
        }
        Ok(Asked::Version) => {}
        Ok(Asked::Help(verb)) => assert!(verb.is_none_or(|verb| !verb.help().is_empty())),
        Ok(Asked::Run(verb)) => {
            let (least, most) = verb.words();
            assert!(
                (usize::from(least)..=most.into()).contains(&options.words.len()) || most == 255
            );
            assert!(options.environment.is_sorted_by(|(one, _), (other, _)| one < other));
            let (again, asked) = parse(written(verb.name(), &options));
            assert_eq!(again, options);
            assert!(matches!(asked, Ok(Asked::Run(again)) if again.name() == verb.name()));
        }
    }
}

fn parse(args: Vec<Vec<u8>>) -> (Options, crate::error::Result<Asked>) {
    let mut options = Options::default();
    let asked = args::parse(args.into_iter().map(OsString::from_vec), &mut options);
    (options, asked)
}

/// A command line for `verb` with `options`.
fn written(verb: &str, options: &Options) -> Vec<Vec<u8>> {
    let mut args = vec![b"x".to_vec(), verb.into()];
    let mut with_value = |name: &str, value: &[u8]| args.extend([name.into(), value.to_vec()]);
    if let Some(home) = &options.home {
        with_value("--home", home);
    }
    if let Some(scandir) = &options.scandir {
        with_value("--scandir", scandir);
    }
    if let Some(lines) = options.lines {
        with_value("-n", lines.to_string().as_bytes());
    }
    if let Some(age) = options.since {
        with_value("--since", age.as_secs().to_string().as_bytes());
    }
    if let Some(time) = options.timeout {
        let text = format!("{}.{:03}", time.as_secs(), time.subsec_millis());
        with_value("--timeout", text.as_bytes());
    }
    if let Some(policy) = options.policy {
        let word = match policy {
            PolicySetting::Auto => "auto",
            PolicySetting::Forced(Policy::Root) => "root",
            PolicySetting::Forced(Policy::Profiles) => "profiles",
        };
        with_value("--policy", word.as_bytes());
    }
    for (name, value) in &options.environment {
        with_value("--env", &[name, &b"="[..], value].concat());
    }
    args.extend(match options.verbosity {
        Verbosity::Quiet => Some(b"-q".to_vec()),
        Verbosity::Normal => None,
        Verbosity::Verbose => Some(b"-v".to_vec()),
    });
    for option in OPTIONS.iter().filter(|option| options.has(**option)) {
        assert!(!matches!(option, Opt::Help | Opt::Version));
        args.extend(option.usage().split([',', ' ']).next().map(|name| name.into()));
    }
    args.push(b"--".to_vec());
    args.extend_from_slice(&options.words);
    args
}

static DASH: Peer = Peer::new(|| shell("/bin/dash", "C"));
static BASH: Peer = Peer::new(|| shell("/bin/bash", "C"));
static UTF8: Peer = Peer::new(|| shell("/bin/bash", "C.UTF-8"));

/// Words, with NUL between them: a shell gets every byte of them.
pub(super) fn quote(data: &[u8]) {
    let words: Vec<_> = data.split(|byte| *byte == 0).take(8).collect();
    let mut line = b"set --".to_vec();
    for word in &words {
        line.push(b' ');
        quoted(word, &mut line);
    }
    for peer in [&DASH, &BASH, &UTF8] {
        arrive(peer, &line, &words);
    }
    let typed: Vec<_> = words.iter().map(|word| shell_word(word)).collect();
    assert!(!typed.concat().contains(is_unsafe), "{typed:?}");
    for peer in [&BASH, &UTF8] {
        arrive(peer, ["set -- ", &typed.join(" ")].concat().as_bytes(), &words);
    }
    let variables: Vec<_> = (0..).zip(&words).map(|(at, word)| (name(at), word.to_vec())).collect();
    let mut lines = script::environment(&variables);
    let mut run = Vec::new();
    script::run(&Profile::Default, b"hermes", &lines, &mut run);
    assert_eq!(script::environment_of(&run), lines);
    lines.extend_from_slice(b"set --");
    for (name, _) in &variables {
        lines.extend_from_slice(&[b" \"$", &name[..], b"\""].concat());
    }
    arrive(&DASH, &lines, &words);
}

fn name(at: usize) -> Vec<u8> {
    format!("V{at}").into_bytes()
}

/// Fails unless `words` are the arguments that the shell `peer` has after `line`.
fn arrive(peer: &Peer, line: &[u8], words: &[&[u8]]) {
    let question = [line, b"\nprintf '%s\\0' $# \"$@\"\n"].concat();
    let answer = peer.talk(&question, |said| {
        let mut word = || {
            let mut word = Vec::new();
            said.read_until(0, &mut word)?;
            match word.pop() {
                Some(0) => Ok(word),
                _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let count = String::from_utf8_lossy(&word()?).parse().unwrap_or(0);
        (0..count).map(|_| word()).collect::<std::io::Result<Vec<_>>>()
    });
    let answer = answer.expect("a shell that answers");
    assert_eq!(
        answer,
        words,
        "{}",
        OsString::from_vec(line.to_vec()).as_os_str().as_bytes().escape_ascii()
    );
}
