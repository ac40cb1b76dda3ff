//! A gateway's service directory: built aside, published by one rename, then only amended.

use super::observe::Gateway;
use super::script;
use super::slots::{DOWN, LOGGER_DOWN, OURS, Slots, is_standing_by};
use super::turn::{self, Turn};
use crate::error::{Error, Kind, Result};
use crate::model::plan::Slot;
use crate::model::profile::Profile;
use crate::s6::events;
use crate::s6::service::EVENT_MODE;
use crate::sys::dir::Dir;
use crate::sys::meta::FileKind;
use crate::text::messages::text;
use crate::text::parts;

const RUN: &[u8] = b"run";
const FINISH: &[u8] = b"finish";
const LOG_FINISH: &[u8] = b"log/finish";

/// What a slot is made of besides its files, in the order it is made. What exists already,
/// s6-supervise takes as it is: made here, it belongs to whoever calls.
const SKELETON: &[u8] = b"log event supervise supervise/event log/event log/supervise \
    log/supervise/event supervise/control log/supervise/control";

/// What a part of the skeleton is, and its mode.
fn kind_of(part: &[u8]) -> (FileKind, u32) {
    for (end, kind, mode) in [
        (&b"control"[..], FileKind::Fifo, 0o600),
        (b"event", FileKind::Directory, EVENT_MODE),
        (b"supervise", FileKind::Directory, 0o700),
    ] {
        if part.ends_with(end) {
            return (kind, mode);
        }
    }
    (FileKind::Directory, 0o755)
}

fn make(slot: &Dir, part: &[u8]) -> Result<()> {
    match kind_of(part) {
        (FileKind::Fifo, mode) => slot.make_fifo(part, mode),
        (_, mode) => slot.make_dir(part, mode),
    }
}

/// What in a slot is to stay down when its supervisors start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The gateway.
    pub(crate) down: bool,
    /// The logger, too.
    pub(crate) standing_by: bool,
}

impl Rest {
    /// Makes the files in `slot` that say so what they should be; where it is `new`, they are not
    /// there yet. The logger's comes first, by which a slot that stands by is known.
    pub(crate) fn put(self, slot: &Dir, new: bool) -> Result<()> {
        put(slot, LOGGER_DOWN, self.standing_by, new)?;
        put(slot, DOWN, self.down || self.standing_by, new)
    }
}

/// Makes the empty file `name` in `slot`, or removes it, as is `wanted`; where it is `new`, it is
/// not there yet.
#[inline(never)]
fn put(slot: &Dir, name: &[u8], wanted: bool, new: bool) -> Result<()> {
    match (wanted, !new && slot.kind(name)?.is_some()) {
        (true, false) => slot.create(name, 0o644, b""),
        (false, true) => slot.remove(name),
        _ => Ok(()),
    }
}

/// How a slot is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registration<'a> {
    /// Names and values, sorted, that the gateway gets besides the container's environment.
    pub(crate) environment: &'a [(Vec<u8>, Vec<u8>)],
    /// Whether it stays down at first.
    pub(crate) down: bool,
    /// Whether one that is there already does.
    pub(crate) if_missing: bool,
    /// Whether the profile may be yet to come.
    pub(crate) forced: bool,
}

/// The files that a slot of one profile holds, `down` aside.
struct Files<'a> {
    /// The script `run`, and after it `log/run`.
    scripts: &'a [u8],
    run_ends: usize,
}

impl Files<'_> {
    /// The files for `profile`, with the scripts in `buffer`.
    fn new<'a>(profile: &Profile, user: &[u8], extra: &[u8], buffer: &'a mut Vec<u8>) -> Files<'a> {
        buffer.clear();
        script::run(profile, user, extra, buffer);
        let run_ends = buffer.len();
        script::log_run(profile, user, buffer);
        Files { scripts: buffer, run_ends }
    }

    /// Name, mode and content of each.
    #[inline(never)]
    fn each(&self) -> [(&'static [u8], u32, &[u8]); 7] {
        [
            (b"type", 0o644, script::TYPE),
            // The most that s6 keeps: how many deaths park is a setting.
            (b"max-death-tally", 0o644, b"4096\n"),
            (FINISH, 0o755, script::FINISH),
            (LOG_FINISH, 0o755, script::LOG_FINISH),
            (b"log/run", 0o755, &self.scripts[self.run_ends..]),
            // After what s6 needs beside it: without it s6 starts nothing.
            (RUN, 0o755, &self.scripts[..self.run_ends]),
            // Never: finish delays the next start as long as the settings say. Last, for
            // `slots::is_made_here` takes it for a sign of all the others.
            (OURS, 0o644, b"0\n"),
        ]
    }
}

/// What slots that are made one after the other share.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Where the scripts are made: once it is large enough, the allocator has nothing to do.
    scripts: Vec<u8>,
    /// The slots that were made and are open, at `most` so many: then all are closed. What
    /// is the same in every slot is linked from the last.
    made: Vec<Dir>,
    pub(crate) most: usize,
    /// The turn of the slot made last, of those that are to come up.
    pub(crate) turn: Turn,
}

/// Builds the slot of `profile` aside and renames it into place. Only under the lock.
///
/// A reader sees the whole slot or none; what a killed run leaves is a staging
/// directory, which s6-svscan ignores and the next run removes.
pub(crate) fn publish(
    scandir: &Dir,
    profile: &Profile,
    user: &[u8],
    environment: &[(Vec<u8>, Vec<u8>)],
    rest: Rest,
    batch: &mut Batch,
) -> Result<()> {
    let extra = script::environment(environment);
    let files = Files::new(profile, user, &extra, &mut batch.scripts);
    let waits = turn::next(&mut batch.turn, rest.down);
    let turn = waits.then_some(&batch.turn);
    build(scandir, profile, files, (rest, turn), &mut batch.made)?;
    if batch.made.len() >= batch.most {
        batch.made.clear();
    }
    put_in_place(scandir, profile)
}

/// Puts a new directory in the place of a slot that nobody supervises, which s6-svscan takes
/// for another service; the old one is left under its leaving name. Only under the lock.
#[inline(never)]
pub(crate) fn renew(scandir: &Dir, profile: &Profile, user: &[u8]) -> Result<()> {
    let old = scandir.dir(&profile.slot())?;
    let run = content_of(&old, RUN, MAX_RUN)?;
    let rest = Rest { down: old.kind(DOWN)?.is_some(), standing_by: is_standing_by(&old)? };
    let (extra, mut buffer) = (script::environment_of(&run), Vec::new());
    build(
        scandir,
        profile,
        Files::new(profile, user, extra, &mut buffer),
        (rest, None),
        &mut Vec::new(),
    )?;
    scandir.rename(&profile.slot(), &profile.leaving())?;
    put_in_place(scandir, profile)
}

fn put_in_place(scandir: &Dir, profile: &Profile) -> Result<()> {
    scandir.rename(&profile.staging(), &profile.slot()).inspect_err(|_| discard(scandir, profile))
}

fn discard(scandir: &Dir, profile: &Profile) {
    // The first error is the one to report; the next run removes what stays.
    let _ = scandir.remove_tree(&profile.staging());
}

fn build(
    scandir: &Dir,
    profile: &Profile,
    files: Files<'_>,
    (rest, turn): (Rest, Option<&Turn>),
    made: &mut Vec<Dir>,
) -> Result<()> {
    if files.run_ends > MAX_RUN {
        let why = text!("has more than 1 MiB of extra environment");
        return Err(Error::new(Kind::Usage, text!("make slot"), profile.name(), why));
    }
    let fill = || -> Result<Dir> {
        let slot = scandir.dir(&profile.staging())?;
        for part in parts(SKELETON, b' ') {
            make(&slot, part)?;
        }
        for (name, mode, content) in &files.each() {
            // The other scripts are no links: each slot's are its own.
            let is_same = *mode == 0o644 || *name == LOG_FINISH;
            let original = made.last().filter(|_| is_same);
            // Where it cannot be linked, it is written as the others are.
            let linked = original.is_some_and(|dir| dir.link_to(name, &slot, name).is_ok());
            if !linked {
                slot.create(name, *mode, content)?;
            }
        }
        rest.put(&slot, true)?;
        if let Some(turn) = turn {
            turn::put(&slot, turn)?;
        }
        Ok(slot)
    };
    scandir.make_dir(&profile.staging(), 0o755)?;
    made.push(fill().inspect_err(|_| discard(scandir, profile))?);
    Ok(())
}

/// How the slot of `profile` stands, for the plan.
pub(crate) fn observe(slots: &Slots, profile: &Profile, user: &[u8]) -> Slot {
    let look = || -> Result<Slot> {
        let gateway = Gateway::open(slots, profile)?;
        Ok(Slot::Present {
            current: is_current(&gateway, user)?,
            down: gateway.service.dir().kind(DOWN)?.is_some(),
            standing_by: is_standing_by(gateway.service.dir())?,
            supervised: gateway.is_supervised(),
            up: gateway.may_be_up(),
        })
    };
    look().unwrap_or_else(|error| Slot::Unusable(error.text()))
}

/// Whether all but `down` in the slot of `gateway` is what we would write.
///
/// # Errors
/// [`Kind::Unusable`] if what is wrong cannot be put right under a supervisor.
pub(crate) fn is_current(gateway: &Gateway<'_>, user: &[u8]) -> Result<bool> {
    check(gateway, user, false)
}

/// Makes the slot of `profile` what it should be, file by file; its directories
/// and its supervisor stay, and what keeps it down unless it is said what is to become of that.
/// Only under the lock.
pub(crate) fn amend(
    slots: &Slots,
    profile: &Profile,
    user: &[u8],
    rest: Option<Rest>,
) -> Result<()> {
    let gateway = Gateway::open(slots, profile)?;
    check(&gateway, user, true)?;
    rest.map_or(Ok(()), |rest| rest.put(gateway.service.dir(), false))
}

/// Whether the slot of `gateway` is what it should be, `down` aside; with `repair` it is then.
///
/// # Errors
/// [`Kind::Unusable`] if what is wrong cannot be put right under a supervisor.
fn check(gateway: &Gateway<'_>, user: &[u8], repair: bool) -> Result<bool> {
    let (slot, profile) = (gateway.service.dir(), gateway.profile);
    let mut current = true;
    for name in parts(SKELETON, b' ') {
        let (kind, mode) = kind_of(name);
        let found = slot.look(name)?;
        let is_such = found.as_ref().is_some_and(|found| found.kind == kind);
        // Who was killed between mkdir and chmod has not set all bits of this one.
        if let Some(found) = &found
            && is_such
            && (mode != EVENT_MODE || found.mode == mode)
        {
            continue;
        }
        match found {
            Some(found) if gateway.is_supervised() && !is_such => {
                let why = [found.kind.phrase().read(), text!(", and its supervisor runs").read()]
                    .concat();
                return Err(slot.error_of(Kind::Unusable, text!("use slot"), name, &why));
            }
            _ if !repair => return Ok(false),
            Some(_) if is_such => slot.set_mode(name, mode)?,
            other => {
                if other.is_some() {
                    slot.remove_tree(name)?;
                }
                make(slot, name)?;
            }
        }
        current = false;
    }
    for left in &leftovers(slot)? {
        if !repair {
            return Ok(false);
        }
        slot.remove(left)?;
        current = false;
    }
    // The extra environment that it was registered with stays.
    let run = content_of(slot, RUN, MAX_RUN)?;
    let (extra, mut buffer) = (script::environment_of(&run), Vec::new());
    for (name, mode, content) in &Files::new(profile, user, extra, &mut buffer).each() {
        let right = slot.look(name)?.is_some_and(|meta| meta.mode == *mode)
            && content_of(slot, name, content.len())? == *content;
        if right {
            continue;
        }
        if !repair {
            return Ok(false);
        }
        slot.replace(name, *mode, content)?;
        current = false;
    }
    Ok(current)
}

/// FIFOs that killed calls have left in the `slot` and its logger, by their paths there.
pub(crate) fn leftovers(slot: &Dir) -> Result<Vec<Vec<u8>>> {
    let mut left = Vec::new();
    for event in [&b"event"[..], b"log/event"] {
        events::add_leftovers(slot, event, &mut left)?;
    }
    Ok(left)
}

/// Bounds the extra environment that is carried over, in bytes.
const MAX_RUN: usize = 1 << 20;

/// The content of the file `name`; nothing if it is none or larger than `limit` bytes.
fn content_of(slot: &Dir, name: &[u8], limit: usize) -> Result<Vec<u8>> {
    match slot.read(name, limit) {
        Err(error) if matches!(error.kind, Kind::Missing | Kind::Unusable) => Ok(Vec::new()),
        content => content,
    }
}
