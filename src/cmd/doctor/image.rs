//! What the image and the engine are to see to: that scripts run, and who runs them.

use super::services::{BOOT_SCRIPTS, boot_scripts};
use super::{Doctor, Findings};
use crate::error::Result;
use crate::gateway::slots::EXECUTABLE;
use crate::model::tree::Tree;
use crate::settings::CONTAINER_ENVIRONMENT;
use crate::sys::dir::{self, Dir};
use crate::sys::if_usable;
use crate::text::{Shown, parts};

/// More than any PATH has, in bytes.
const MAX_PATH: usize = 1 << 17;

/// The PATH that the container's programs are found by; empty where this user may not know it.
pub(super) fn path() -> Result<Vec<u8>> {
    let read = Dir::open(CONTAINER_ENVIRONMENT).and_then(|dir| dir.read(b"PATH", MAX_PATH));
    Ok(if_usable(read)?.unwrap_or_default())
}

/// Whether this user decides what is found in the directory `part` of PATH: it may write to it,
/// or to one above it.
fn decides(part: &[u8]) -> bool {
    let whole = [part, b"/"].concat();
    // What does not begin at the root is wherever who calls is.
    !part.starts_with(b"/") || dir::prefixes(&whole).any(|at| dir::may_write(&[at, b"/."].concat()))
}

impl Doctor<'_> {
    /// Whether scripts of slots can run.
    pub(super) fn exec(&self, findings: &mut Findings) -> String {
        if let Err(error) = self.s6.slots.may_execute() {
            findings.fail_of(&error, EXECUTABLE);
        }
        "scripts of slots can run".into()
    }

    /// Whether the gateways' user can become root; looked at as that user.
    pub(super) fn rights(&self, findings: &mut Findings) -> String {
        let user = self.user_name();
        if self.s6.slots.tree == Tree::Root {
            return user + " can become root, as s6 works";
        }
        let path = self.path.as_ref().map_or_else(
            |error| {
                findings.fail_of(error, "");
                &b""[..]
            },
            |path| path.trim_ascii_end(),
        );
        let mut found = |at: &[u8], what: &str, remedy: &str| {
            let at = Shown(at);
            findings.fail(
                format_args!("{user} can become root by {at}{what}"),
                format_args!("{remedy}{at}"),
            );
        };
        // What cannot be listed was told above.
        for name in boot_scripts().unwrap_or_default() {
            if name.ends_with(b"-supervise-perms") {
                let script = [BOOT_SCRIPTS.as_bytes(), b"/", &name].concat();
                found(&script, ", which gives away root's services", "RUN rm ");
            }
        }
        for part in parts(path, b':') {
            if path.is_empty() || part == b"/usr/bin" || part == b"/bin" {
                break;
            }
            if decides(part) {
                found(part, ", which is in PATH before /usr/bin", "ENV PATH= without ");
            }
        }
        "nothing found that makes root of ".to_string() + &user
    }
}
