//! The scandir of the user tree: nobody makes it for us, and it may outlive a boot.

use super::slots::{LOCK, Slots, is_ours};
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
/// The user tree's own directory there, and what is in it once this boot has cleared the
/// scandir.
const OURS: &[u8] = b"hermes-gw";
const CLEARED: &[u8] = b"cleared";

/// Makes the scandir at `path`, with the directory that it is in, if they are not there yet;
/// it belongs to `to`, or to who calls. If this boot has not [cleared](clear) it yet: where that
/// is noted.
#[inline(never)]
pub(crate) fn make(path: &[u8], to: Option<&Ids>) -> Result<Option<Dir>> {
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
    above = above.dir(last)?;
    if above.kind(name)?.is_none() {
        above.make_dir(name, 0o755)?;
        if let Some(to) = to {
            above.dir(name)?.give(to, None)?;
        }
    }
    uncleared(to)
}

/// Where it is noted, by `to`, that this boot has cleared the scandir; `None` if it has.
fn uncleared(to: Option<&Ids>) -> Result<Option<Dir>> {
    let Some(run) = if_there(Dir::open(OF_THIS_BOOT))? else { return Ok(None) };
    match run.make_dir(OURS, 0o755) {
        // Who may not write there is not the boot.
        Err(error) if error.kind == Kind::Denied => return Ok(None),
        Err(error) if error.kind != Kind::Exists => return Err(error),
        _ => {}
    }
    let ours = run.dir(OURS)?;
    if ours.kind(CLEARED)?.is_some() {
        return Ok(None);
    }
    if let Some(to) = to {
        ours.give(to, None)?;
    }
    Ok(Some(ours))
}

/// Removes what s6-svscan and hermes-gw made in the scandir before this boot, and notes `at`
/// that it was done; what stays is returned with the reason, and the next call tries again. Nothing
/// else goes: a home may be called a scandir by mistake.
pub(crate) fn clear(slots: &Slots, at: &Dir) -> Result<Errors> {
    let dir = slots.dir();
    let mut failures = Vec::new();
    // What an s6-svscan runs is of this boot.
    if !slots.scandir.is_scanned()? {
        for name in &dir.names()? {
            let removed = match dir.kind(name) {
                Ok(Some(kind)) if is_stale(name, kind) => dir.remove_tree(name),
                other => other.map(drop),
            };
            failures.extend(removed.err());
        }
        // Last of all: while that is there, who starts s6-svscan has the scandir cleared first.
        if failures.is_empty() {
            failures.extend(dir.remove_tree(CONTROL_DIR).err());
        }
    }
    // Only now: whoever is killed before does it again.
    if failures.is_empty() {
        at.make_dir(CLEARED, 0o755)?;
    }
    Ok(failures)
}

/// Whether what is called `name` in the scandir was made before this boot, or is a lock that nobody
/// can take.
fn is_stale(name: &[u8], kind: FileKind) -> bool {
    match kind {
        FileKind::Directory => is_ours(name) || name == LOCK,
        FileKind::Regular | FileKind::Fifo => false,
        _ => name == LOCK,
    }
}
