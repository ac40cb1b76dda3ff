//! The scandir of the user tree: nobody makes it for us, and it may outlive a boot.

use super::slots::{Slots, is_ours};
use crate::error::{Errors, Kind, Result};
use crate::s6::scandir::{CONTROL_DIR, split};
use crate::sys::dir::Dir;
use crate::sys::identity::Ids;
use crate::sys::if_there;
use crate::sys::meta::FileKind;
use crate::text::parts;

/// s6-overlay empties this directory, and PID 1's scandir, when a container starts, whether
/// or not the rest of /run outlives a restart.
const OF_THIS_BOOT: &[u8] = b"/run/s6";
/// There once this boot has met the scandir of the user's tree.
const MET: &[u8] = b"hermes-gw";

/// Makes the scandir at `path`, with the directory that it is in, if they are not there yet;
/// it belongs to `to`, or to who calls. Whether what it holds is from before this boot: then
/// nobody runs it, and it is to be [cleared](clear).
pub(crate) fn make(path: &[u8], to: Option<&Ids>) -> Result<bool> {
    let (parent, name) = split(path);
    let (way, last) = split(parent);
    // Root is not to make anything where a link of the user's leads.
    let start = if way.starts_with(b"/") { &b"/"[..] } else { b"." };
    let mut above = Dir::open(start)?;
    for part in parts(way, b'/').filter(|part| !part.is_empty()) {
        above = above.dir(part)?;
    }
    if above.kind(last)?.is_none() {
        above.make_dir(last, 0o755)?;
    }
    let parent = above.dir(last)?;
    let first = is_first_of_this_boot()?;
    if parent.kind(name)?.is_some() {
        return Ok(first);
    }
    parent.make_dir(name, 0o755)?;
    to.map_or(Ok(()), |to| parent.dir(name)?.give(to, None))?;
    Ok(false)
}

/// Whether this is the first call of this boot. Who may not write there is not the boot.
fn is_first_of_this_boot() -> Result<bool> {
    let Some(run) = if_there(Dir::open(OF_THIS_BOOT))? else { return Ok(false) };
    match run.make_dir(MET, 0o755) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind, Kind::Exists | Kind::Denied) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what s6-svscan and hermes-gw made in the scandir; what stays is returned with the
/// reason. Nothing else goes: a home may be called a scandir by mistake.
pub(crate) fn clear(slots: &Slots) -> Errors {
    let dir = slots.dir();
    let names = match dir.names() {
        Ok(names) => names,
        Err(error) => return vec![error],
    };
    let mut failures = Vec::new();
    for name in &names {
        let removed = match dir.kind(name) {
            Ok(kind) if is_ours(name) && kind == Some(FileKind::Directory) => dir.remove_tree(name),
            Ok(_) if name == CONTROL_DIR => dir.remove_tree(name),
            other => other.map(drop),
        };
        failures.extend(removed.err());
    }
    failures
}
