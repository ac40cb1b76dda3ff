//! What the image and the engine are to see to: that scripts run, and who runs them.

use super::services::{BOOT_SCRIPTS, boot_scripts};
use super::{Doctor, Findings, Found};
use crate::error::Result;
use crate::gateway::slots::EXECUTABLE;
use crate::model::tree::Tree;
use crate::settings::CONTAINER_ENVIRONMENT;
use crate::sys::dir::Dir;
use crate::sys::if_there;
use crate::sys::path;
use crate::text::parts;

/// More than any PATH has, in bytes.
const MAX_PATH: usize = 1 << 17;

impl Doctor<'_> {
    /// Whether scripts of slots can run.
    pub(super) fn exec(&self, findings: &mut Findings) {
        if let Err(error) = self.s6.slots.may_execute() {
            findings.fail_of(&error, EXECUTABLE.read());
        }
        findings.add_plain(Found::Scripts);
    }

    /// Whether the gateways' user can become root; looked at as that user.
    pub(super) fn rights(&self, findings: &mut Findings) {
        let user = self.user_name();
        if self.s6.slots.tree == Tree::Root {
            return findings.add_one(Found::RootByRight, user.as_bytes());
        }
        let looked = ways_to_root(&user, findings);
        findings.end(looked);
        findings.add_one(Found::NoRoot, user.as_bytes());
    }
}

/// By what `user`, who this process is, can become root.
fn ways_to_root(user: &str, findings: &mut Findings) -> Result<()> {
    for name in &boot_scripts()? {
        if name.ends_with(b"-supervise-perms") {
            let script = [BOOT_SCRIPTS.as_bytes(), b"/", name].concat();
            findings.add_two(Found::RootByScript, user.as_bytes(), &script);
        }
    }
    // What the container's programs are found by; gateways read it, too.
    let path = Dir::open(CONTAINER_ENVIRONMENT).and_then(|dir| dir.read(b"PATH", MAX_PATH));
    let Some(path) = if_there(path)? else { return Ok(()) };
    for part in parts(path.trim_ascii_end(), b':') {
        if part == b"/usr/bin" || part == b"/bin" {
            break;
        }
        // What does not begin at the root is wherever who calls is. Who may write to a directory
        // above it decides what is there, too.
        if !part.starts_with(b"/") || path::writable(&[part, b"/"].concat()).is_some() {
            findings.add_two(Found::RootByPath, user.as_bytes(), part);
        }
    }
    Ok(())
}
