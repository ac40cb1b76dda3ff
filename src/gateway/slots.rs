//! The gateways' slots in a scandir: which there are, how many fit, and the lock on changes.

use crate::error::{Error, Kind, Result};
use crate::hermes::locks;
use crate::model::profile::{self, PREFIX, Profile};
use crate::model::tree::Tree;
use crate::s6::scandir::ScanDir;
use crate::s6::service::Service;
use crate::sys::clock::Deadline;
use crate::sys::dir::Dir;
use crate::sys::lock::Lock;
use crate::sys::meta::FileKind;
use crate::sys::{self, Name};
use crate::text::messages::{Text, text};

/// Ours, and not s6-svscan's: it serialises changes to the scandir.
pub(super) const LOCK: &[u8] = b".hermes-gw.lock";
/// The descriptors that hermes-gw takes for each gateway when it tells all of them something:
/// the slot, its control FIFO and a FIFO in event/; s6-svscan takes two. And what either needs
/// besides.
const DESCRIPTORS: usize = 3;
const SPARE: usize = 24;

/// A scandir with gateways in it.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) scandir: ScanDir,
    pub(crate) tree: Tree,
    /// Whether its s6-svscan is known to be able to do nothing with a slot.
    pub(crate) is_hindered: bool,
}

impl Slots {
    /// Opens the scandir of `tree` at `path`.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if there is none.
    pub(crate) fn open(path: &[u8], tree: Tree) -> Result<Slots> {
        Ok(Slots { scandir: ScanDir::open(path)?, tree, is_hindered: false })
    }

    /// The scandir as a directory.
    pub(crate) fn dir(&self) -> &Dir {
        self.scandir.dir()
    }

    /// The service of `profile`.
    #[inline(never)]
    pub(crate) fn service(&self, profile: &Profile) -> Result<Service> {
        Service::open(self.dir(), &profile.slot())
    }

    /// Whether `profile` has a slot, or something that is called so.
    pub(crate) fn has(&self, profile: &Profile) -> Result<bool> {
        Ok(self.dir().kind(&profile.slot())?.is_some())
    }

    /// The path of the slot of `profile`.
    pub(crate) fn path_of(&self, profile: &Profile) -> Vec<u8> {
        self.dir().path_of(&profile.slot())
    }

    /// Whether the scripts of slots can be executed.
    pub(crate) fn may_execute(&self) -> Result<()> {
        match self.dir().is_noexec()? {
            true => {
                let why = text!("is mounted noexec: no script of a slot can run");
                Err(Error::new(Kind::Unusable, text!("execute in"), self.dir().path(), why))
            }
            false => Ok(()),
        }
    }

    /// Takes the lock that every change to the scandir is made under. If somebody holds it,
    /// it is waited for until `deadline`; the error names who holds it. `waiting` is called where
    /// that takes longer than a moment.
    pub(crate) fn lock(&self, deadline: Deadline, waiting: &dyn Fn()) -> Result<Lock> {
        let lock = self.dir().lock(LOCK, deadline, waiting);
        lock.map_err(|error| locks::name_holder(error, self.dir().look(LOCK)))
    }

    /// Whether somebody has the lock: what is there may not stay as it is.
    pub(crate) fn is_changing(&self) -> bool {
        self.dir().is_locked(LOCK)
    }

    /// The profiles that have a slot, in byte order.
    pub(crate) fn profiles(&self) -> Result<Vec<Profile>> {
        let mut profiles = Vec::new();
        for name in &self.dir().names()? {
            // What is no name of a profile is no slot either; doctor tells of it.
            let Some(Ok(profile)) = name.strip_prefix(PREFIX).map(Profile::parse) else { continue };
            if self.dir().kind(name)? == Some(FileKind::Directory) {
                profiles.push(profile);
            }
        }
        Ok(profiles)
    }

    /// How many gateways, each with its logger, a scandir that holds `names` has room for,
    /// when s6-svscan can hold `services_max` services.
    pub(crate) fn capacity(&self, names: &[Name], services_max: usize) -> usize {
        let mut others = 0;
        for name in names {
            if !name.starts_with(b".") && !is_slot(name) {
                // The service may be a link, as s6-rc's are; when in doubt it has a logger.
                let log = [name.as_slice(), b"/log"].concat();
                others += if matches!(self.dir().leads(&log), Ok(false)) { 1 } else { 2 };
            }
        }
        let taken = others.max(self.tree.overlay_services());
        let room = services_max.saturating_sub(taken) / 2;
        match self.tree {
            Tree::Root => room,
            // From s6 2.12 on, an s6-svscan that is short of them starts nothing at all.
            Tree::User => room.min(for_descriptors()),
        }
    }
}

/// For how many gateways there are descriptors.
fn for_descriptors() -> usize {
    sys::raise_descriptor_limit().saturating_sub(SPARE) / DESCRIPTORS
}

/// For how many of so many `gateways` hermes-gw can wait at once; for one in any case, which may
/// fail.
pub(super) fn at_once(gateways: usize) -> usize {
    if gateways > 1 { for_descriptors().max(1) } else { 1 }
}

/// Whether there are descriptors to watch so many `gateways`: one is open of each.
pub(super) fn for_watching(slots: &Slots, gateways: usize) -> Result<()> {
    match sys::raise_descriptor_limit() < gateways + SPARE {
        true => Err(sys::too_many_open(text!("watch gateways in"), slots.dir().path())),
        false => Ok(()),
    }
}

/// How many descriptors hermes-gw needs to tell `gateways` something at once.
pub(crate) const fn descriptors(gateways: usize) -> usize {
    DESCRIPTORS * gateways + SPARE
}

/// Keeps the gateway down when its supervisor starts.
pub(super) const DOWN: &[u8] = b"down";
/// Keeps the logger down, as `down` does the gateway: the mark of a slot that stands by. Two
/// s6-log do not write to one directory.
pub(super) const LOGGER_DOWN: &[u8] = b"log/down";

/// In each slot that hermes-gw makes: Hermes' own layer makes no file of this name.
pub(super) const OURS: &[u8] = b"timeout-finish";

/// Whether hermes-gw made `slot`, of whatever version, and not Hermes' own layer.
pub(crate) fn is_made_here(slot: &Dir) -> Result<bool> {
    Ok(slot.kind(OURS)?.is_some())
}

/// Whether the `slot` stands by.
pub(crate) fn is_standing_by(slot: &Dir) -> Result<bool> {
    Ok(slot.kind(LOGGER_DOWN)?.is_some())
}

/// What to do where slots may not execute anything.
pub(crate) const EXECUTABLE: Text = text!("docker run --tmpfs /run:exec");

/// Whether `name` is that of a gateway's service directory.
pub(crate) fn is_slot(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// How many of `names` are those of gateways' service directories.
pub(crate) fn count(names: &[Name]) -> usize {
    names.iter().filter(|name| is_slot(name)).count()
}

/// Whether `name` is that of something that hermes-gw makes in a scandir.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    is_slot(name) || profile::is_staging(name) || profile::is_leaving(name)
}
