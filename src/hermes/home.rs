//! The Hermes home, and the homes of its profiles.
//!
//! All of it can be written by the hermes user, so it is opened as nobody but that user, one
//! component at a time. `profiles` and a profile's own directory may be symbolic links, as they
//! are for Hermes itself: they may be on another disk. What is in a home may not.

use super::state_file;
use crate::error::{Error, Kind, Result};
use crate::model::intent::LastKnown;
use crate::model::profile::Profile;
use crate::sys::dir::Dir;
use crate::sys::meta::{FileKind, Meta};
use crate::sys::path;
use crate::sys::{Name, if_there, if_usable};
use crate::text::Shown;
use crate::text::messages::text;

/// The home where none is set.
pub(crate) const DEFAULT: &str = "/opt/data";
/// The directory below the home that holds the named profiles.
const PROFILES: &[u8] = b"profiles";
/// The directory that holds the logs of all gateways, below the home.
pub(crate) const LOGS: &[u8] = b"logs/gateways";
/// The file that marks a real profile.
const MARKER: &[u8] = b"SOUL.md";
/// Files that hold pids, meaningless once the gateway is gone.
const PID_FILES: [&[u8]; 2] = [b"gateway.pid", b"processes.json"];
/// What such a file is called while it is decided whether it goes.
const SWEPT: &[u8] = b".hermes-gw.swept";

/// The root home for a `HERMES_HOME` of `path`: a profile's own home has it as grandparent.
pub(crate) fn root_of(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&b| b != b'/').map_or(path.len().min(1), |last| last + 1);
    let path = &path[..end];
    let Some(slash) = path.iter().rposition(|&b| b == b'/') else { return path };
    match path[..slash].strip_suffix(PROFILES).and_then(|root| root.strip_suffix(b"/")) {
        Some(b"") => b"/",
        Some(root) => root,
        None => path,
    }
}

/// The homes of all profiles, and the one way to them.
#[derive(Debug)]
pub(crate) struct Homes {
    root: Dir,
    /// What is wrong with it is nothing to the root profile, and told to those whose home is
    /// looked for in it.
    profiles: Result<Option<Dir>>,
}

/// An entry of `profiles/` that looks like a profile.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It is one, with its home.
    Home(Profile, Dir),
    /// Its directory is also that of the name that follows, which comes before it. Two gateways in
    /// one home would end each other, so only that one has it.
    Twin(Profile, Name),
    /// Why it cannot be used.
    Unusable(String),
}

/// The homes that there may be, the root first, then those in `profiles/` by their names.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Listed>);

/// One of them.
#[derive(Debug)]
struct Listed {
    name: Name,
    /// Device and inode of its SOUL.md; 0 where that is not there, or cannot be looked at.
    marker: (u64, u64),
    /// Those of its directory, as far as another one has the same SOUL.md, or has none either: who
    /// has one of its own shares no directory. It is not looked at otherwise.
    directory: (u64, u64),
}

impl Names {
    /// The name before the one at `at` that leads to the same directory, if there is one.
    fn twin(&self, at: usize) -> Option<&Name> {
        let directory = self.0[at].directory;
        let is_first = |(before, it): &(usize, &Listed)| {
            it.directory == directory
                && directory != NOT_KNOWN
                && (*before == 0 || matches!(Profile::parse(&it.name), Ok(Profile::Named(_))))
        };
        self.0[..at].iter().enumerate().find(is_first).map(|(_, it)| &it.name)
    }

    /// What may be profiles, by their names; the root profile, where there is no name.
    pub(crate) fn profiles(&self) -> Vec<Profile> {
        let mut profiles = vec![Profile::Default];
        for it in self.0.iter().skip(1) {
            if let Ok(profile) = Profile::parse(&it.name) {
                profiles.push(profile);
            }
        }
        profiles
    }

    /// Refuses `which` if its home is that of a name before.
    pub(crate) fn check(&self, which: &Profile) -> Result<()> {
        let name = which.name();
        let at = self.0.iter().position(|it| it.name == name.as_bytes());
        match at.and_then(|at| self.twin(at)) {
            Some(other) => {
                Err(Error::because(Kind::Unusable, text!("find profile"), name, &is_twin_of(other)))
            }
            None => Ok(()),
        }
    }
}

/// Why a name is skipped whose directory is also that of `other`.
pub(crate) fn is_twin_of(other: &[u8]) -> String {
    format!("its directory is the home of {}", Shown(other))
}

impl Homes {
    /// Opens the root home, and what is below it.
    pub(crate) fn open(root: &[u8]) -> Result<Box<Homes>> {
        let root = Dir::open(root).map_err(|error| match path::impassable(root) {
            Some(at) if error.kind == Kind::Denied => {
                error.hint_of(&format!("{} may not be passed", Shown(at)))
            }
            _ => error,
        })?;
        Ok(Box::new(Homes { profiles: if_there(root.dir_followed(PROFILES)), root }))
    }

    /// The directory `profiles/`, if there is one.
    pub(crate) fn profiles(&self) -> Result<Option<&Dir>> {
        match &self.profiles {
            Ok(profiles) => Ok(profiles.as_ref()),
            Err(error) => Err(error.clone()),
        }
    }

    /// The root profile's home.
    pub(crate) fn root(&self) -> &Dir {
        &self.root
    }

    /// The home of `which`.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there is no such profile.
    pub(crate) fn of(&self, which: &Profile) -> Result<Dir> {
        match which {
            Profile::Default => self.root.dir(b"."),
            Profile::Named(name) => match self.profiles()? {
                Some(profiles) => profiles.dir_followed(name.as_bytes()),
                None => self.root.dir(PROFILES),
            },
        }
    }

    /// Whether `which` is a profile on disk, by all `names`; the root profile is, where the home is.
    ///
    /// # Errors
    /// It is there, and cannot be used.
    pub(crate) fn has(&self, which: &Profile, names: &Names) -> Result<bool> {
        match (which, if_there(self.of(which))?) {
            (_, None) => Ok(false),
            (Profile::Default, _) => Ok(true),
            (Profile::Named(_), Some(home)) if home.kind(MARKER)?.is_none() => Ok(false),
            _ => names.check(which).map(|()| true),
        }
    }

    /// The names of the homes.
    pub(crate) fn names(&self) -> Result<Names> {
        let mut all = Vec::new();
        let mut add = |name: Name, home: &Dir, path: &[u8]| {
            let marker = identity(home.look_followed(path));
            all.push(Listed { name, marker, directory: NOT_KNOWN });
        };
        add(Profile::Default.name().into(), &self.root, MARKER);
        let Some(profiles) = self.profiles()? else { return Ok(Names(all)) };
        for name in profiles.names()? {
            let mut path = name.clone();
            path.push(b'/');
            path.extend_from_slice(MARKER);
            add(name, profiles, &path);
        }
        for at in 0..all.len() {
            let marker = all[at].marker;
            if all.iter().filter(|it| it.marker == marker).count() > 1 {
                let (parent, name) = match at {
                    0 => (&self.root, &b"."[..]),
                    _ => (profiles, &all[at].name[..]),
                };
                all[at].directory = identity(parent.look_followed(name));
            }
        }
        Ok(Names(all))
    }

    /// Hands each entry of `profiles/` that looks like a profile to `found`, in name order.
    pub(crate) fn each_named(&self, found: &mut dyn FnMut(Name, Entry)) -> Result<()> {
        let all = self.names()?;
        if let Some(profiles) = self.profiles()? {
            for at in 1..all.0.len() {
                if let Some(entry) = self.entry(profiles, &all, at) {
                    found(all.0[at].name.clone(), entry);
                }
            }
        }
        Ok(())
    }

    /// The entry at `at` of `all`; `None` if it is no profile, for it is no directory or has no
    /// SOUL.md.
    #[inline(never)]
    fn entry(&self, profiles: &Dir, all: &Names, at: usize) -> Option<Entry> {
        let Listed { name, marker, .. } = &all.0[at];
        let is_marked = |home: &Dir| Ok(*marker != NOT_KNOWN || home.kind(MARKER)?.is_some());
        let looked = profiles.dir_followed(name).map(|home| (is_marked(&home), home));
        let error = match looked {
            Ok((Ok(false), _)) => return None,
            Ok((Ok(true), home)) => {
                return Some(match Profile::parse(name) {
                    Ok(Profile::Default) => {
                        Entry::Unusable(text!("default is the root profile").read().into())
                    }
                    Ok(profile) => match all.twin(at) {
                        Some(other) => Entry::Twin(profile, other.clone()),
                        None => Entry::Home(profile, home),
                    },
                    Err(invalid) => Entry::Unusable(invalid.why().read().into()),
                });
            }
            Ok((Err(error), _)) => error,
            // A file system has directories of its own in its root: lost+found.
            Err(error) if error.kind == Kind::Denied && Profile::parse(name).is_err() => {
                return None;
            }
            Err(error) => match profiles.kind(name) {
                Ok(Some(FileKind::Directory | FileKind::Symlink)) | Err(_) => error,
                Ok(_) => return None,
            },
        };
        Some(Entry::Unusable(error.text()))
    }

    /// What is known of the intent for `which`, and what is wrong with its state file. A
    /// profile that is not there has none. What the file holds is also for `other` to look at.
    pub(crate) fn last_known(
        &self,
        which: &Profile,
        other: &mut dyn FnMut(&[u8]),
    ) -> (LastKnown, Option<Box<Error>>) {
        match if_there(self.of(which)) {
            Ok(Some(home)) => state_file::read_and(&home, other),
            Ok(None) => Default::default(),
            Err(error) => (LastKnown::Nothing, Some(error)),
        }
    }

    /// Whether any profile at all wants to run.
    pub(crate) fn anyone_wants_up(&self) -> Result<bool> {
        let mut anyone = state_file::read(&self.root).0.wants_up();
        self.each_named(&mut |_, entry| {
            if let Entry::Home(_, home) = entry {
                anyone = anyone || state_file::read(&home).0.wants_up();
            }
        })?;
        Ok(anyone)
    }
}

/// No file has these.
const NOT_KNOWN: (u64, u64) = (0, 0);

/// Device and inode of what was looked at, if that is there and could be.
fn identity(looked: Result<Option<Meta>>) -> (u64, u64) {
    // What cannot be looked at cannot be opened either, which tells why.
    looked.ok().flatten().map_or(NOT_KNOWN, |it| (it.device, it.inode))
}

/// The directory that holds the logs of all gateways, below the root home; `None` if there is
/// none that can be opened: s6-log is told so as well, and says it.
pub(crate) fn logs(root: &Dir) -> Result<Option<Dir>> {
    if_usable(root.dir(LOGS))
}

/// The path of the log of `profile`, below the root home.
pub(crate) fn log_of(profile: &Profile) -> Vec<u8> {
    [LOGS, b"/", profile.name().as_bytes()].concat()
}

/// Removes the pid files of a gateway that cannot be running, as many as can be removed.
pub(crate) fn sweep(home: &Dir) -> Result<()> {
    let mut removed = Ok(());
    for name in PID_FILES {
        let one = home.remove(name);
        removed = removed.and(one);
    }
    removed
}

/// Removes the pid files unless `may_run`, for a gateway that may start at any moment.
///
/// Before a gateway can write such a file, its supervisor has said that it may run.
/// So the file is taken aside first, and only then is asked.
pub(crate) fn sweep_unless(home: &Dir, may_run: impl Fn() -> bool) -> Result<()> {
    for name in PID_FILES {
        match home.rename(name, SWEPT) {
            Err(error) if error.kind == Kind::Missing => continue,
            renamed => renamed?,
        }
        if may_run() {
            match home.rename_new(SWEPT, name) {
                // The gateway has written a newer one.
                Err(error) if error.kind == Kind::Exists => {}
                renamed => {
                    renamed?;
                    continue;
                }
            }
        }
        home.remove(SWEPT)?;
    }
    // A run that was killed has left it.
    home.remove(SWEPT)
}

#[cfg(test)]
mod tests {
    use super::root_of;

    #[test]
    fn a_profiles_home_leads_to_the_root() {
        let table = [
            ("/opt/data", "/opt/data"),
            ("/opt/data//", "/opt/data"),
            ("/opt/data/profiles/coder", "/opt/data"),
            ("/opt/data/profiles/coder/", "/opt/data"),
            ("/opt/data/profiles", "/opt/data/profiles"),
            ("/profiles/x", "/"),
            ("/my-profiles/x", "/my-profiles/x"),
            ("profiles/x", "profiles/x"),
            ("/", "/"),
            ("", ""),
        ];
        for (path, root) in table {
            assert_eq!(root_of(path.as_bytes()), root.as_bytes(), "{path}");
        }
    }
}
