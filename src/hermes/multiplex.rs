//! Whether one root gateway serves all profiles, as Hermes itself decides it; and with that,
//! which policy counts. Everybody who needs a policy gets it here.

use super::{config, dotenv};
use crate::error::{Error, Errors, Kind};
use crate::model::policy::{Policy, PolicySetting};
use crate::model::values;
use crate::sys::dir::Dir;
use crate::sys::if_there;
use crate::text::Shown;
use std::fmt;

/// Hermes' variable for it.
pub(crate) const VARIABLE: &str = "GATEWAY_MULTIPLEX_PROFILES";
const DOTENV: &[u8] = b".env";
const CONFIG: &[u8] = b"config.yaml";
/// Larger ones are not read, in bytes.
const MAX_FILE: usize = 1 << 20;
/// What follows from a file that says nothing for sure. Where no other one does, it is profiles.
const INSTEAD: &str = "it does not count: set HERMES_GW_POLICY";

/// A policy, and how it came to that.
pub(crate) struct Resolved {
    /// What counts.
    pub(crate) policy: Policy,
    /// What says so.
    pub(crate) source: Source,
    /// What could not be read, or not be understood.
    pub(crate) flaws: Errors,
}

/// What says which policy counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    name: &'static str,
    file: Option<Vec<u8>>,
}

impl Source {
    fn of(name: &'static str) -> Source {
        Source { name, file: None }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match &self.file {
            Some(file) => write!(f, " in {}", Shown(file)),
            None => Ok(()),
        }
    }
}

/// The policy that counts: `setting`, which the operator has set `by` something, or, where that
/// leaves it to Hermes, what `root`, the root home, and `variable` come to.
///
/// Hermes loads .env over its environment, a value that is empty or not known too, and a
/// variable with such a value counts for nothing. Then it goes by config.yaml.
pub(crate) fn policy(
    (setting, by): (PolicySetting, &'static str),
    variable: Option<&[u8]>,
    root: &Dir,
) -> Resolved {
    let mut flaws = Errors::new();
    let (yes, source) = match setting {
        PolicySetting::Forced(policy) => (policy == Policy::Root, Source::of(by)),
        PolicySetting::Auto => {
            let said = by_variable(variable, root, &mut flaws);
            said.or_else(|| by_config(root, &mut flaws))
                .unwrap_or((false, Source::of("nothing says that default serves all profiles")))
        }
    };
    let policy = if yes { Policy::Root } else { Policy::Profiles };
    Resolved { policy, source, flaws }
}

fn by_variable(variable: Option<&[u8]>, root: &Dir, flaws: &mut Errors) -> Option<(bool, Source)> {
    let content = read(root, DOTENV, flaws);
    let line = content.as_ref().and_then(|text| dotenv::value(text, VARIABLE.as_bytes()));
    if line.is_some_and(|line| line.windows(2).any(|it| it == b"${")) {
        flaws.push(flaw(root, DOTENV, format!("{VARIABLE} is made of other variables")));
    }
    let file = line.map(|_| root.path_of(DOTENV));
    let value = line.or(variable)?;
    // Nothing at all is no to a setting of ours, and not to Hermes.
    let yes = if value.trim_ascii().is_empty() { None } else { values::boolean(value) };
    Some((yes?, Source { name: VARIABLE, file }))
}

fn by_config(root: &Dir, flaws: &mut Errors) -> Option<(bool, Source)> {
    match config::multiplex(&read(root, CONFIG, flaws)?) {
        Ok(said) => {
            let said = said?;
            Some((said.yes, Source { name: said.key, file: Some(root.path_of(CONFIG)) }))
        }
        Err(config::Flaw { line, why }) => {
            flaws.push(flaw(root, CONFIG, format!("line {line} {why}")));
            None
        }
    }
}

fn read(root: &Dir, name: &[u8], flaws: &mut Errors) -> Option<Vec<u8>> {
    if_there(root.read_followed(name, MAX_FILE)).unwrap_or_else(|error| {
        flaws.push(error.hint(INSTEAD));
        None
    })
}

fn flaw(root: &Dir, name: &[u8], why: String) -> Box<Error> {
    root.error(Kind::Unusable, "read", name, why).hint(INSTEAD)
}
