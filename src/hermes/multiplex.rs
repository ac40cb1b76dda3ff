//! Whether one root gateway serves all profiles, as Hermes itself decides it; and with that,
//! which policy counts. Everybody who needs a policy gets it here.

use super::{config, dotenv};
use crate::error::{Errors, Kind};
use crate::model::policy::{Policy, PolicySetting};
use crate::model::values;
use crate::sys::dir::Dir;
use crate::text::messages::{Text, text};
use crate::text::{Shown, contains};

/// Hermes' variable for it.
pub(crate) const VARIABLE: &str = "GATEWAY_MULTIPLEX_PROFILES";
const DOTENV: &[u8] = b".env";
const CONFIG: &[u8] = b"config.yaml";
const REFERENCE: Text = text!("sets GATEWAY_MULTIPLEX_PROFILES by another variable");
/// Larger ones are not read, in bytes.
const MAX_FILE: usize = 1 << 20;
/// What follows from a file that says nothing for sure. Where no other one does, it is profiles.
const INSTEAD: Text = text!("it does not count: set HERMES_GW_POLICY");

/// A policy, and how it came to that.
pub(crate) struct Resolved {
    /// What counts.
    pub(crate) policy: Policy,
    /// The same, and what says so, in words.
    pub(crate) text: String,
    /// What could not be read, or not be understood.
    pub(crate) flaws: Errors,
}

/// What one of them says: whether one gateway serves all; its own name, and that of its file.
type Said = (bool, &'static str, Option<&'static [u8]>);

/// The policy that counts: `setting`, which the operator has set `by` something, or, where that
/// leaves it to Hermes, what `root`, the root home, and `variable` come to.
///
/// Hermes loads .env over its environment, a value that is empty or not known too, and a
/// variable with such a value counts for nothing. Then it goes by config.yaml.
#[inline(never)]
pub(crate) fn policy(
    (setting, by): (PolicySetting, &'static str),
    variable: Option<&[u8]>,
    root: &Dir,
) -> Resolved {
    let mut flaws = Errors::new();
    let said = match setting {
        PolicySetting::Forced(policy) => Some((policy == Policy::Root, by, None)),
        PolicySetting::Auto => {
            by_variable(variable, root, &mut flaws).or_else(|| by_config(root, &mut flaws))
        }
    };
    let nothing = (false, "nothing says that default serves all profiles", None);
    let (yes, name, file) = said.unwrap_or(nothing);
    let policy = if yes { Policy::Root } else { Policy::Profiles };
    let mut text = [policy.word(), ": ", name].concat();
    if let Some(file) = file {
        text += " in ";
        text += &Shown(&root.path_of(file)).text();
    }
    Resolved { policy, text, flaws }
}

fn by_variable(variable: Option<&[u8]>, root: &Dir, flaws: &mut Errors) -> Option<Said> {
    let content = read(root, DOTENV, flaws);
    let line = dotenv::value(&content, VARIABLE.as_bytes());
    let value = line.or(variable)?.trim_ascii();
    if line.is_some() && contains(value, b"${") {
        flaw(root, DOTENV, REFERENCE, flaws);
    }
    // Nothing at all is no to a setting of ours, and not to Hermes.
    let yes = if value.is_empty() { None } else { values::boolean(value) };
    Some((yes?, VARIABLE, line.map(|_| DOTENV)))
}

fn by_config(root: &Dir, flaws: &mut Errors) -> Option<Said> {
    let said = config::multiplex(&read(root, CONFIG, flaws)).unwrap_or_else(|why| {
        flaw(root, CONFIG, why, flaws);
        None
    });
    said.map(|said| (said.yes, said.key, Some(CONFIG)))
}

/// Notes why a file does not count.
#[inline(never)]
fn flaw(root: &Dir, name: &[u8], why: Text, flaws: &mut Errors) {
    flaws.push(root.error(Kind::Unusable, text!("read"), name, why).hint(INSTEAD));
}

/// The content of a file; nothing if that is not to be had.
fn read(root: &Dir, name: &[u8], flaws: &mut Errors) -> Vec<u8> {
    root.read_followed(name, MAX_FILE).unwrap_or_else(|error| {
        if error.kind != Kind::Missing {
            flaws.push(error.hint(INSTEAD));
        }
        Vec::new()
    })
}
