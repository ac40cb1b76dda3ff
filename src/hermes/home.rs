//! The Hermes home: its profiles, their state files, its logs.
//!
//! All of it can be written by the hermes user, so every open is beneath the
//! home, one component at a time, and follows no symbolic link.

use super::state_file;
use crate::error::{Kind, Result};
use crate::model::profile::Profile;
use crate::sys::{Dir, FileKind, Name};

/// The directory below the home that holds the named profiles.
const PROFILES: &[u8] = b"profiles";
/// The file that marks a real profile.
const MARKER: &[u8] = b"SOUL.md";
/// Files that hold pids, meaningless once the gateway is gone.
const PID_FILES: [&[u8]; 2] = [b"gateway.pid", b"processes.json"];
/// What such a file is called while it is decided whether it goes.
const SWEPT: &[u8] = b".hermes-gw.swept";

/// The root home for a `HERMES_HOME` of `path`: a profile's own home has it as grandparent.
pub fn root_of(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&b| b != b'/').map_or(path.len().min(1), |last| last + 1);
    let path = &path[..end];
    let Some(slash) = path.iter().rposition(|&b| b == b'/') else { return path };
    match path[..slash].strip_suffix(PROFILES).and_then(|root| root.strip_suffix(b"/")) {
        Some(b"") => b"/",
        Some(root) => root,
        None => path,
    }
}

/// The directory `profiles/`, if there is one.
pub fn profiles(home: &Dir) -> Result<Option<Dir>> {
    match home.dir(PROFILES) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind == Kind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// The home of the profile at `name` below `profiles`, or why it cannot be used.
/// `None`: it is no profile, for it is no directory or has no SOUL.md.
fn home_at(profiles: &Dir, name: &[u8]) -> Option<std::result::Result<Dir, String>> {
    match profiles.kind(name) {
        Ok(Some(FileKind::Directory)) => {}
        Ok(Some(FileKind::Symlink)) => {
            return Some(Err("is a symbolic link, which is not followed".into()));
        }
        Ok(_) => return None,
        Err(error) => return Some(Err(error.to_string())),
    }
    let home = match profiles.dir(name) {
        Ok(home) => home,
        Err(error) => return Some(Err(error.to_string())),
    };
    match home.kind(MARKER) {
        Ok(marker) => marker.map(|_| Ok(home)),
        Err(error) => Some(Err(error.to_string())),
    }
}

/// The homes of all profiles.
#[derive(Debug)]
pub struct Homes {
    root: Dir,
    profiles: Option<Dir>,
}

impl Homes {
    /// Opens the root home, and what is below it.
    pub fn open(root: &[u8]) -> Result<Homes> {
        let root = Dir::open(root)?;
        Ok(Homes { profiles: profiles(&root)?, root })
    }

    /// The home of `which`.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there is no such profile.
    pub fn of(&self, which: &Profile) -> Result<Dir> {
        match (which, &self.profiles) {
            (Profile::Default, _) => self.root.dir(b"."),
            (Profile::Named(name), Some(profiles)) => profiles.dir(name.as_bytes()),
            (Profile::Named(_), None) => self.root.dir(PROFILES),
        }
    }

    /// Whether the gateway of `which` was last meant to run; `None` if this user may not know.
    pub fn wants_up(&self, which: &Profile) -> Option<bool> {
        match self.of(which).map(|home| state_file::read_prior(&home)) {
            Ok((_, Some(error))) if error.kind == Kind::Denied => None,
            Ok((prior, _)) => Some(prior.wants_up()),
            Err(error) => (error.kind == Kind::Missing).then_some(false),
        }
    }
}

/// The home of `which` below the root home.
pub fn home_of(root: &[u8], which: &Profile) -> Result<Dir> {
    match which {
        Profile::Default => Dir::open(root),
        named => Homes::open(root)?.of(named),
    }
}

/// Whether `which` is a profile on disk; the root profile is, where the home is.
pub fn exists(root: &[u8], which: &Profile) -> bool {
    let named = |home: Dir| matches!(home.kind(MARKER), Ok(Some(_)));
    home_of(root, which).is_ok_and(|home| *which == Profile::Default || named(home))
}

/// The name of what looks like a profile and cannot be used, and why.
pub type Unusable = (Name, String);

/// The profiles on disk below the root home, the root profile first; and what looks like one
/// and cannot be used, with the reason.
pub fn all(root: &[u8]) -> Result<(Vec<Profile>, Vec<Unusable>)> {
    let (mut all, mut unusable) = (vec![Profile::Default], Vec::new());
    if let Some(profiles) = profiles(&Dir::open(root)?)? {
        for name in profiles.names()? {
            match named(&profiles, &name) {
                Some(Ok((profile, _))) => all.push(profile),
                Some(Err(why)) => unusable.push((name, why)),
                None => {}
            }
        }
    }
    Ok((all, unusable))
}

/// The profile at `name` below `profiles` with its home, or why it cannot be used; `None`
/// if it is none.
pub fn named(profiles: &Dir, name: &[u8]) -> Option<std::result::Result<(Profile, Dir), String>> {
    Some(home_at(profiles, name)?.and_then(|home| match Profile::parse(name) {
        Ok(Profile::Default) => Err("default is the root profile".to_string()),
        Ok(profile) => Ok((profile, home)),
        Err(why) => Err(why.why().to_string()),
    }))
}

/// Removes the pid files of a gateway that cannot be running.
pub fn sweep(home: &Dir) -> Result<()> {
    PID_FILES.iter().try_for_each(|name| home.remove(name).map(drop))
}

/// Removes the pid files unless `may_run`, for a gateway that may start at any moment.
///
/// Before a gateway can write such a file, its supervisor has said that it may run.
/// So the file is taken aside first, and only then is asked.
pub fn sweep_unless(home: &Dir, may_run: impl Fn() -> bool) -> Result<()> {
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
    Ok(())
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
