//! Containers that are not reconciled at all.

use crate::context::Context;
use crate::error::Result;
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
