//! A gateway's service directory: built aside, published by one rename, then only amended.

use crate::error::{Error, Kind, Result};
use crate::gateway::script;
use crate::model::plan::Slot;
use crate::model::profile::Profile;
use crate::s6::service::Service;
use crate::sys::{Dir, FileKind};

/// s6-supervise's own mode for event/: its group may subscribe, and remove only its own FIFOs.
pub const EVENT_MODE: u32 = 0o3730;
const DOWN: &[u8] = b"down";
const RUN: &[u8] = b"run";

/// What a slot is made of besides its files, in the order it is made: each name, kind
/// and mode. What exists already, s6-supervise takes as it is: made here, it belongs
/// to whoever calls.
const SKELETON: [(&[u8], FileKind, u32); 9] = [
    (b"log", FileKind::Directory, 0o755),
    (b"event", FileKind::Directory, EVENT_MODE),
    (b"supervise", FileKind::Directory, 0o700),
    (b"supervise/event", FileKind::Directory, EVENT_MODE),
    (b"log/event", FileKind::Directory, EVENT_MODE),
    (b"log/supervise", FileKind::Directory, 0o700),
    (b"log/supervise/event", FileKind::Directory, EVENT_MODE),
    (b"supervise/control", FileKind::Fifo, 0o600),
    (b"log/supervise/control", FileKind::Fifo, 0o600),
];

fn make(slot: &Dir, (name, kind, mode): (&[u8], FileKind, u32)) -> Result<()> {
    match kind {
        FileKind::Fifo => slot.make_fifo(name, mode),
        _ => slot.make_dir(name, mode),
    }
}

/// How a slot is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Names and values, sorted, that the gateway gets besides the container's environment.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it stays down at first.
    pub down: bool,
    /// Whether one that is there already does.
    pub if_missing: bool,
}

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
    fn each(&self) -> [(&'static [u8], u32, &[u8]); 6] {
        [
            (b"type", 0o644, script::TYPE),
            // The most that s6 keeps: how many deaths park is a setting.
            (b"max-death-tally", 0o644, b"4096\n"),
            // Never: finish delays the next start as long as the settings say.
            (b"timeout-finish", 0o644, b"0\n"),
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
pub fn publish(scandir: &Dir, profile: &Profile, user: &[u8], how: &Registration) -> Result<()> {
    build(scandir, profile, user, &script::environment(&how.environment), how.down)?;
    settle(scandir, profile)
}

/// Puts another directory in the place of a slot that nobody supervises, which s6-svscan
/// takes for another service; the old one is left as leaving. Only under the lock.
pub fn renew(scandir: &Dir, profile: &Profile, user: &[u8]) -> Result<()> {
    let old = scandir.dir(&profile.slot())?;
    let run = content_of(&old, RUN, MAX_RUN)?.unwrap_or_default();
    let down = old.kind(DOWN)?.is_some();
    build(scandir, profile, user, script::environment_of(&run), down)?;
    scandir.rename(&profile.slot(), &profile.leaving())?;
    settle(scandir, profile)
}

fn settle(scandir: &Dir, profile: &Profile) -> Result<()> {
    scandir.rename(&profile.staging(), &profile.slot()).inspect_err(|_| discard(scandir, profile))
}

fn discard(scandir: &Dir, profile: &Profile) {
    // The first error is the one to report; the next run heals what stays.
    let _ = scandir.remove_tree(&profile.staging());
}

fn build(scandir: &Dir, profile: &Profile, user: &[u8], extra: &[u8], down: bool) -> Result<()> {
    let files = Files::new(profile, user, extra);
    if files.run.len() > MAX_RUN {
        let why = "has more than 1 MiB of extra environment";
        return Err(Error::new(Kind::Usage, "make slot", profile.name(), why));
    }
    let fill = || {
        let slot = scandir.dir(&profile.staging())?;
        SKELETON.into_iter().try_for_each(|part| make(&slot, part))?;
        for (name, mode, content) in files.each() {
            slot.create(name, mode, content)?;
        }
        if down { slot.create(DOWN, 0o644, b"") } else { Ok(()) }
    };
    scandir.make_dir(&profile.staging(), 0o755)?;
    fill().inspect_err(|_| discard(scandir, profile))
}

/// How the slot of `profile` stands.
pub fn observe(scandir: &Dir, profile: &Profile, user: &[u8]) -> Slot {
    let look = || -> Result<Slot> {
        let service = Service::open(scandir, &profile.slot())?;
        let supervised = service.is_supervised()?;
        Ok(Slot::Present {
            current: check(service.dir(), profile, user, supervised, false)?,
            down: service.dir().kind(DOWN)?.is_some(),
            supervised,
            up: service.may_be_up(),
        })
    };
    look().unwrap_or_else(|error| Slot::Unusable(error.to_string()))
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
    let service = Service::open(scandir, &profile.slot())?;
    let slot = service.dir();
    check(slot, profile, user, service.is_supervised()?, true)?;
    match (down, slot.kind(DOWN)?.is_some()) {
        (true, false) => slot.create(DOWN, 0o644, b""),
        (false, true) => slot.remove(DOWN).map(drop),
        _ => Ok(()),
    }
}

/// Whether the slot is what it should be, `down` aside; with `repair` it is then.
///
/// # Errors
/// [`Kind::Unusable`] if what is wrong cannot be put right under a supervisor.
fn check(
    slot: &Dir,
    profile: &Profile,
    user: &[u8],
    supervised: bool,
    repair: bool,
) -> Result<bool> {
    let mut current = true;
    for part @ (name, kind, _) in SKELETON {
        let found = slot.kind(name)?;
        match found {
            Some(found) if found == kind => continue,
            Some(found) if supervised => {
                let why = format!("{}, and its supervisor runs", found.phrase());
                return Err(Error::new(Kind::Unusable, "use slot", slot.path_of(name), why));
            }
            _ if !repair => return Ok(false),
            Some(_) => slot.remove_tree(name)?,
            None => {}
        }
        make(slot, part)?;
        current = false;
    }
    for (name, mode, content) in expected(slot, profile, user)?.each() {
        let right = slot.look(name)?.is_some_and(|meta| meta.mode == mode)
            && content_of(slot, name, content.len())?.as_deref() == Some(content);
        if !right && !repair {
            return Ok(false);
        }
        if !right {
            slot.replace(name, mode, content)?;
            current = false;
        }
    }
    Ok(current)
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
