//! A gateway's service directory: built aside, published by one rename, then only amended.

use super::service::Service;
use crate::error::{Kind, Result};
use crate::model::plan::Slot;
use crate::model::profile::Profile;
use crate::script;
use crate::sys::{Dir, FileKind};

/// s6-supervise's own mode for event/: its group may subscribe, and remove only its own FIFOs.
pub const EVENT_MODE: u32 = 0o3730;
const DOWN: &[u8] = b"down";
const RUN: &[u8] = b"run";

/// The directories of a slot, in the order they are made.
const DIRECTORIES: [(&[u8], u32); 7] = [
    (b"log", 0o755),
    (b"event", EVENT_MODE),
    (b"supervise", 0o700),
    (b"supervise/event", EVENT_MODE),
    (b"log/event", EVENT_MODE),
    (b"log/supervise", 0o700),
    (b"log/supervise/event", EVENT_MODE),
];

/// The FIFOs of a slot. What exists already, s6-supervise takes as it is: made
/// here, they belong to whoever calls.
const FIFOS: [(&[u8], u32); 2] = [(b"supervise/control", 0o600), (b"log/supervise/control", 0o600)];

/// The files that a slot of one profile holds, `down` aside.
struct Files {
    run: Vec<u8>,
    log_run: Vec<u8>,
}

impl Files {
    fn new(profile: &Profile, user: &[u8], extra: &[u8]) -> Files {
        Files { run: script::run(profile, user, extra), log_run: script::log_run(profile, user) }
    }

    /// Name, mode and content of each.
    fn each(&self) -> [(&'static [u8], u32, &[u8]); 4] {
        [
            (b"type", 0o644, script::TYPE),
            (b"finish", 0o755, script::FINISH),
            (b"log/run", 0o755, &self.log_run),
            // Last: without it s6 starts nothing.
            (RUN, 0o755, &self.run),
        ]
    }
}

/// Builds the slot of `profile` aside and renames it into place. Only under the lock.
///
/// A reader sees the whole slot or none; what a killed run leaves is a staging
/// directory, which s6-svscan ignores and the next run removes.
pub fn publish(scandir: &Dir, profile: &Profile, user: &[u8], down: bool) -> Result<()> {
    let staging = profile.staging();
    scandir.make_dir(&staging, 0o755)?;
    let built = build(scandir, profile, user, down)
        .and_then(|()| scandir.rename(&staging, &profile.slot()));
    built.inspect_err(|_| {
        // The first error is the one to report; the next run heals what stays.
        let _ = scandir.remove_tree(&staging);
    })
}

fn build(scandir: &Dir, profile: &Profile, user: &[u8], down: bool) -> Result<()> {
    let slot = scandir.dir(&profile.staging())?;
    DIRECTORIES.iter().try_for_each(|(name, mode)| slot.make_dir(name, *mode))?;
    FIFOS.iter().try_for_each(|(name, mode)| slot.make_fifo(name, *mode))?;
    let files = Files::new(profile, user, b"");
    files.each().iter().try_for_each(|(name, mode, content)| slot.create(name, *mode, content))?;
    if down { slot.create(DOWN, 0o644, b"") } else { Ok(()) }
}

/// How the slot of `profile` stands.
///
/// # Errors
/// If it cannot be looked into; then nothing of it is to be touched.
pub fn observe(scandir: &Dir, profile: &Profile, user: &[u8]) -> Result<Slot> {
    let name = profile.slot();
    match scandir.kind(&name)? {
        None => return Ok(Slot::Absent),
        Some(FileKind::Directory) => {}
        Some(_) => return Ok(Slot::Obstructed),
    }
    let service = Service::open(scandir, &name)?;
    Ok(Slot::Present {
        current: is_current(service.dir(), profile, user)?,
        down: service.dir().kind(DOWN)?.is_some(),
        supervised: service.is_supervised()?,
        up: service.may_be_up(),
    })
}

/// Whether the gateway of `profile` may be up at this moment.
pub fn may_run(scandir: &Dir, profile: &Profile) -> bool {
    match Service::open(scandir, &profile.slot()) {
        Ok(service) => service.may_be_up(),
        Err(error) => error.kind != Kind::Missing,
    }
}

/// Makes the slot of `profile` what it should be, file by file; its directories
/// and its supervisor stay. Only under the lock.
pub fn amend(scandir: &Dir, profile: &Profile, user: &[u8], down: bool) -> Result<()> {
    let slot = scandir.dir(&profile.slot())?;
    for (name, mode) in DIRECTORIES {
        if slot.kind(name)?.is_none() {
            slot.make_dir(name, mode)?;
        }
    }
    for (name, mode) in FIFOS {
        if slot.kind(name)?.is_none() {
            slot.make_fifo(name, mode)?;
        }
    }
    for (name, mode, content) in expected(&slot, profile, user)?.each() {
        if content_of(&slot, name, content.len())?.as_deref() != Some(content) {
            slot.replace(name, mode, content, false)?;
        }
    }
    match (down, slot.kind(DOWN)?.is_some()) {
        (true, false) => slot.create(DOWN, 0o644, b""),
        (false, true) => slot.remove(DOWN).map(drop),
        _ => Ok(()),
    }
}

fn is_current(slot: &Dir, profile: &Profile, user: &[u8]) -> Result<bool> {
    for (name, _) in DIRECTORIES.iter().chain(&FIFOS) {
        if slot.kind(name)?.is_none() {
            return Ok(false);
        }
    }
    for (name, _, content) in expected(slot, profile, user)?.each() {
        if content_of(slot, name, content.len())?.as_deref() != Some(content) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The files that `slot` should hold; the extra environment it was registered with stays.
fn expected(slot: &Dir, profile: &Profile, user: &[u8]) -> Result<Files> {
    let run = content_of(slot, RUN, MAX_RUN)?.unwrap_or_default();
    Ok(Files::new(profile, user, script::environment_of(&run)))
}

/// Bounds the extra environment that is carried over, in bytes.
const MAX_RUN: usize = 1 << 20;

/// The content of the file `name`; `None` if it is none or larger than `limit` bytes.
fn content_of(slot: &Dir, name: &[u8], limit: usize) -> Result<Option<Vec<u8>>> {
    match slot.read(name, limit) {
        Ok(content) => Ok(Some(content)),
        Err(error) if matches!(error.kind, Kind::Missing | Kind::Unusable) => Ok(None),
        Err(error) => Err(error),
    }
}
