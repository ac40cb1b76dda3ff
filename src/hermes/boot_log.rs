//! logs/container-boot.log: what every reconcile did, kept to two files.

use crate::error::{Error, Result};
use crate::sys::dir::Dir;

const LOGS: &[u8] = b"logs";
const LOG: &[u8] = b"container-boot.log";
const ROTATED: &[u8] = b"container-boot.log.1";
/// A log of this size is renamed before the next entry, in bytes.
const ROTATE_AT: u64 = 256 * 1024;

/// Appends `lines`, rotating first if need be.
///
/// A rotation that fails is returned as a warning, and the entry is appended all the same.
pub(crate) fn append(home: &Dir, lines: &[u8]) -> Result<Option<Box<Error>>> {
    let logs = match home.dir_if_there(LOGS)? {
        Some(logs) => logs,
        None => {
            home.make_dir(LOGS, 0o755)?;
            home.dir(LOGS)?
        }
    };
    let rotated = match logs.look(LOG)? {
        Some(log) if log.size >= ROTATE_AT => logs.rename(LOG, ROTATED).err(),
        _ => None,
    };
    logs.append(LOG, 0o644, lines)?;
    Ok(rotated)
}
