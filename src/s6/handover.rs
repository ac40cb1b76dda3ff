//! What is handed from root to the user that is to control services, before root is dropped.
//! All of it by descriptor, and following no link.

use super::scandir::{CONTROL, CONTROL_DIR, ScanDir};
use super::service::EVENT_MODE;
use crate::error::{Errors, Kind, Result};
use crate::sys::dir::Dir;
use crate::sys::identity::Ids;
use crate::sys::if_there;
use crate::text::messages::text;

/// Hands a scandir and s6-svscan's control FIFO to `to`, with the way to it. Whoever has them can add services,
/// and s6 runs those as itself. Where s6-svscan has never run, the directory may only hold
/// what `is_ours`.
///
/// # Errors
/// [`Kind::Unusable`] if the directory is something else than a scandir.
pub(crate) fn give_scandir(
    scandir: &ScanDir,
    to: &Ids,
    is_ours: &dyn Fn(&[u8]) -> bool,
) -> Result<()> {
    let dir = scandir.dir();
    match dir.dir_if_there(CONTROL_DIR)? {
        // The FIFO last: who has it has all.
        Some(control) => control.give_fifo(CONTROL, to, &|| {
            // The way to it: s6-svscan makes it 0700, s6-overlay so that all may pass.
            if control.meta()?.mode & 1 == 0 {
                control.give(to, None)?;
            }
            dir.give(to, None)
        }),
        None => {
            for name in &dir.names()? {
                if !name.starts_with(b".") && !is_ours(name) {
                    let why = text!("is in the way: a directory without .s6-svscan is no scandir");
                    return Err(dir.error(Kind::Unusable, text!("hand over scandir"), name, why));
                }
            }
            dir.give(to, None)
        }
    }
}

/// Hands `supervise/` and `event/` of those services in the directory `servicedirs`, if there is
/// one, to `to` that are not `kept`. Returns what could not be handed over.
pub(crate) fn give_services(servicedirs: &[u8], to: &Ids, kept: &dyn Fn(&[u8]) -> bool) -> Errors {
    let mut failures = Vec::new();
    let mut give_all = || -> Result<()> {
        let Some(servicedirs) = if_there(Dir::open(servicedirs))? else { return Ok(()) };
        for name in &servicedirs.names()? {
            if !kept(name) {
                failures.extend(give_service(&servicedirs, name, to).err());
            }
        }
        Ok(())
    };
    let all = give_all();
    failures.extend(all.err());
    failures
}

fn give_service(servicedirs: &Dir, name: &[u8], to: &Ids) -> Result<()> {
    let service = servicedirs.dir(name)?;
    let supervise = service.dir(b"supervise")?;
    supervise.give_fifo(CONTROL, to, &|| Ok(()))?;
    supervise.give(to, None)?;
    service.dir(b"event")?.give(to, Some(EVENT_MODE))
}
