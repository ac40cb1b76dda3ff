//! The directory that s6-svscan watches.

use crate::error::{Error, Kind, Result};
use crate::gateway::retire;
use crate::model::profile::{self, PREFIX, Profile};
use crate::render::{self, Level};
use crate::sys::{self, Dir, FileKind, Ids, Lock, Name};
use std::time::Duration;

const CONTROL_DIR: &[u8] = b".s6-svscan";
const CONTROL: &[u8] = b"control";
const CONTROL_FIFO: &[u8] = b".s6-svscan/control";
/// Ours, and not s6-svscan's: it serialises changes to the scandir.
const LOCK: &[u8] = b".hermes-gw.lock";
/// s6-overlay empties this directory, and PID 1's scandir, when a container starts, whether
/// or not the rest of /run outlives a restart.
const OF_THIS_BOOT: &[u8] = b"/run/s6";
/// There once this boot has met the scandir of the user's tree.
const MET: &[u8] = b"hermes-gw";

/// The descriptors that hermes-gw takes for each gateway when it tells all of them
/// something; s6-svscan takes two. And what either needs besides.
const DESCRIPTORS: usize = 3;
const SPARE: usize = 24;

/// Whose s6-svscan supervises the gateways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tree {
    /// PID 1's: it runs as root, and so can whoever may add services.
    #[default]
    Root,
    /// One that runs as the gateways' user.
    User,
}

impl Tree {
    /// The word for it in `HERMES_GW_TREE` and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Tree::Root => "root",
            Tree::User => "user",
        }
    }

    /// Where its scandir is, if nothing else is said.
    pub const fn path(self) -> &'static str {
        match self {
            Tree::Root => "/run/service",
            Tree::User => "/run/hermes-gw/service",
        }
    }

    /// How many services it can hold, loggers included, if nothing else is said. PID 1's
    /// bound is s6's default, and s6-overlay gives no way to change it; the other is what
    /// rootfs/ starts it with.
    pub const fn services_max(self) -> usize {
        match self {
            Tree::Root => 1000,
            Tree::User => 4000,
        }
    }

    /// What s6-overlay runs in it for itself; some of it may not be there yet.
    const fn overlay_services(self) -> usize {
        match self {
            Tree::Root => 3,
            Tree::User => 0,
        }
    }
}

/// What s6-svscan can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take up what is new.
    Scan,
    /// The same, then send away the supervisors of what is not there any more.
    ScanAndDismiss,
}

/// An open scandir.
#[derive(Debug)]
pub struct ScanDir {
    dir: Dir,
    tree: Tree,
}

impl ScanDir {
    /// Opens the scandir of `tree` at `path`.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if there is none: then there is no s6 here.
    pub fn open(path: &[u8], tree: Tree) -> Result<ScanDir> {
        // The last part is not to be a link: as root, we give away what it names.
        let (parent, name) = split(path);
        let opened = Dir::open(parent).and_then(|parent| parent.dir(name));
        let dir = opened.map_err(|mut error| {
            if error.kind == Kind::Missing {
                error.kind = Kind::Unsupervised;
                error = error.hint("no s6 here, or another --scandir");
            }
            error
        })?;
        Ok(ScanDir { dir, tree })
    }

    /// Makes the scandir of the user's tree at `path`, with the directory that it is in, if
    /// they are not there yet; it belongs to `to`, or to who calls. Whether what it holds is
    /// from before this boot: then nobody runs it.
    pub fn make(path: &[u8], to: Option<&Ids>) -> Result<bool> {
        let (parent, name) = split(path);
        let (way, last) = split(parent);
        // Root is not to make anything where a link of the user's leads.
        let start = if way.starts_with(b"/") { &b"/"[..] } else { b"." };
        let mut above = Dir::open(start)?;
        for part in way.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            above = above.dir(part)?;
        }
        if above.kind(last)?.is_none() {
            above.make_dir(last, 0o755)?;
        }
        let parent = above.dir(last)?;
        let first = Dir::open(OF_THIS_BOOT).and_then(|run| run.make_dir(MET, 0o755)).is_ok();
        if parent.kind(name)?.is_some() {
            return Ok(first);
        }
        parent.make_dir(name, 0o755)?;
        to.map_or(Ok(()), |to| parent.dir(name)?.give(to, None))?;
        Ok(false)
    }

    /// Removes what s6-svscan and hermes-gw made in it; what stays is returned with the reason.
    pub fn clear(&self) -> Vec<Box<Error>> {
        let mut names = self.dir.names().unwrap_or_default();
        // Nothing else: a home may be called a scandir by mistake.
        names.retain(|name| {
            let ours = is_slot(name) || profile::is_staging(name) || profile::is_leaving(name);
            ours && self.dir.kind(name) == Ok(Some(FileKind::Directory)) || *name == CONTROL_DIR
        });
        names.iter().filter_map(|name| self.dir.remove_tree(name).err()).collect()
    }

    /// Whose it is.
    pub fn tree(&self) -> Tree {
        self.tree
    }

    /// The directory itself.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Waits for the lock that every change to the scandir is made under; says so,
    /// as `json` asks for, if somebody holds it.
    pub fn lock(&self, json: bool) -> Result<Lock> {
        self.dir.lock(LOCK, || {
            let text = "waiting for another hermes-gw that changes the scandir";
            render::complain(Level::Warning, text, json);
        })
    }

    /// Whether somebody has the lock: what is there may not stay as it is.
    pub fn is_changing(&self) -> bool {
        self.dir.is_locked(LOCK)
    }

    /// Hands the scandir and s6-svscan's control FIFO to `to`.
    ///
    /// Whoever has them can add services, and s6 runs those as root.
    ///
    /// # Errors
    /// [`Kind::Unusable`] if the directory is something else than a scandir.
    pub fn give(&self, to: &Ids) -> Result<()> {
        match self.dir.dir(CONTROL_DIR) {
            Ok(control) => control.give_fifo(CONTROL, to)?,
            // No s6-svscan has run here yet; then nothing of anybody else's is here.
            Err(error) if error.kind == Kind::Missing => {
                let strange = |name: &&Name| !name.starts_with(b".") && !is_slot(name);
                if let Some(name) = self.dir.names()?.iter().find(strange) {
                    let why = "is in the way: a directory without .s6-svscan is no scandir";
                    let path = self.dir.path_of(name);
                    return Err(Error::new(Kind::Unusable, "hand over scandir", path, why));
                }
            }
            Err(error) => return Err(error),
        }
        self.dir.give(to, None)
    }

    /// Whether an s6-svscan runs on it.
    pub fn is_scanned(&self) -> Result<bool> {
        self.dir.fifo_has_reader(CONTROL_FIFO)
    }

    /// Asks s6-svscan for something.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if no s6-svscan listens.
    pub fn ask(&self, request: Request) -> Result<()> {
        let asked = self.dir.dir(CONTROL_DIR).and_then(|dir| {
            dir.open_fifo_writer(CONTROL)?.write(match request {
                Request::Scan => b"a",
                Request::ScanAndDismiss => b"an",
            })
        });
        asked.map_err(|error| match error.kind {
            Kind::Missing | Kind::Unsupervised => {
                let why = "no s6-svscan runs on this scandir";
                Error::new(Kind::Unsupervised, "ask for a scan of", self.dir.path(), why)
            }
            _ => error,
        })
    }

    /// Has s6-svscan end, with all that it supervises, and waits for that, `time` at most; where
    /// there is none, there is nothing to do.
    pub fn terminate(&self, time: Duration) -> Result<()> {
        let control = self.dir.dir(CONTROL_DIR).and_then(|dir| dir.open_fifo_writer(CONTROL));
        let control = match control {
            Err(error) if matches!(error.kind, Kind::Missing | Kind::Unsupervised) => return Ok(()),
            control => control?,
        };
        control.write(b"t")?;
        if sys::wait(&[(None, Some(&control))], Some(time))? == [(false, true)] {
            return Ok(());
        }
        let why = "it is still there";
        Err(Error::new(Kind::TimedOut, "end s6-svscan of", self.dir.path(), why))
    }

    /// Removes what killed runs left behind, staging directories and slots half removed;
    /// what stays is returned with the reason. Only under the lock.
    pub fn heal(&self, names: &[Name]) -> Vec<Box<Error>> {
        let mut failures = Vec::new();
        for name in names {
            if profile::is_staging(name) {
                failures.extend(self.dir.remove_tree(name).err());
            } else if profile::is_leaving(name) {
                retire::dismiss(self);
                failures.extend(retire::bury(self, name).err());
            }
        }
        failures
    }

    /// The profiles that have a slot, in byte order.
    pub fn profiles(&self) -> Result<Vec<Profile>> {
        let names = self.dir.names()?;
        let slots =
            names.iter().filter(|name| self.dir.kind(name) == Ok(Some(FileKind::Directory)));
        Ok(slots.filter_map(|name| Profile::parse(name.strip_prefix(PREFIX)?).ok()).collect())
    }

    /// How many gateways, each with its logger, a scandir that holds `names` has
    /// room for, when s6-svscan can hold `services_max` services.
    pub fn capacity(&self, names: &[Name], services_max: usize) -> usize {
        let others = names.iter().filter(|name| !name.starts_with(b".") && !is_slot(name));
        let logger = |name: &Name| -> usize {
            // The service may be a link, as s6-rc's are; when in doubt it has a logger.
            let log = [name.as_slice(), b"/log"].concat();
            (self.dir.kind(&log) != Ok(None)).into()
        };
        let taken = others.map(|name| 1 + logger(name)).sum::<usize>();
        let room = services_max.saturating_sub(taken.max(self.tree.overlay_services())) / 2;
        match self.tree {
            Tree::Root => room,
            // From s6 2.12 on, an s6-svscan that is short of them starts nothing at all.
            Tree::User => room.min(sys::descriptor_limit().saturating_sub(SPARE) / DESCRIPTORS),
        }
    }
}

/// The directory that `path` is in, and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|&b| b != b'/').map_or(path.len(), |last| last + 1);
    match path[..end].iter().rposition(|&b| b == b'/') {
        Some(at) => (&path[..=at], &path[at + 1..end]),
        None => (b".", &path[..end]),
    }
}

/// Whether `name` is that of a gateway's service directory.
pub fn is_slot(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Hands `supervise/` and `event/` of the image's static services to `to`, which
/// s6-rc put into `servicedirs`; those of s6-overlay itself, and the one that runs
/// the user tree, stay root's.
///
/// Returns what could not be handed over.
pub fn give_static_services(servicedirs: &Dir, to: &Ids) -> Vec<Box<Error>> {
    const INTERNAL: [&[u8]; 3] = [b"s6rc-", b"s6-linux-", b"hermes-svscan"];
    let internal = |name: &Name| INTERNAL.iter().any(|start| name.starts_with(start));
    let mut names = match servicedirs.names() {
        Ok(names) => names,
        Err(error) => return vec![error],
    };
    names.retain(|name| !internal(name));
    let give = |name: &Name| -> Result<()> {
        let service = servicedirs.dir(name)?;
        let supervise = service.dir(b"supervise")?;
        supervise.give_fifo(CONTROL, to)?;
        supervise.give(to, None)?;
        service.dir(b"event")?.give(to, Some(crate::gateway::slot::EVENT_MODE))
    };
    names.iter().filter_map(|name| give(name).err()).collect()
}
