//! Containers that are not reconciled at all.

use crate::context::Context;
use crate::error::Result;
use crate::hermes::container::Role;
use crate::options::Verbosity;

/// Says that nothing is done, and why.
pub(super) fn say(context: &Context, why: &str) -> Result<()> {
    let output = &context.output;
    match (output.json, output.verbosity) {
        (true, _) => {
            output.warn_of(&["skipped: ", why].concat());
            output.say("[]\n")
        }
        (false, Verbosity::Quiet) => Ok(()),
        (false, _) => output.say(&["reconcile: skipped: ", why, "\n"].concat()),
    }
}

/// Why this container is not to be reconciled at all, if so.
pub(in crate::cmd) fn reason(skipped: bool, role: Role) -> Option<String> {
    match role {
        _ if skipped => Some("HERMES_GW_SKIP_RECONCILE is set".into()),
        Role::NoGateways(word) => {
            Some(["this container runs hermes ", word, "; another one runs the gateways"].concat())
        }
        _ => None,
    }
}
