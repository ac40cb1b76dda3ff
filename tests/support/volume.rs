//! A Hermes home that reads like the scenario.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A throw-away Hermes home; a clone is the same one.
#[derive(Clone)]
pub struct Volume {
    dir: Arc<tempfile::TempDir>,
}

impl Volume {
    pub fn new() -> Volume {
        let dir =
            tempfile::Builder::new().prefix("volume-").tempdir_in(super::workspace()).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Volume { dir: Arc::new(dir) }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The home of `profile`.
    pub fn home(&self, profile: &str) -> PathBuf {
        match profile {
            "default" => self.path().to_path_buf(),
            named => self.path().join("profiles").join(named),
        }
    }

    /// A profile as `hermes profile create` makes it.
    pub fn profile(&self, name: &str) -> &Volume {
        self.file(name, "SOUL.md", "A soul.\n")
    }

    /// A profile whose state file has this content.
    pub fn with_state(&self, name: &str, state: impl AsRef<[u8]>) -> &Volume {
        self.profile(name).file(name, "gateway_state.json", state)
    }

    /// A profile that was last seen with this gateway_state, and no intent.
    pub fn last_seen(&self, name: &str, word: &str) -> &Volume {
        self.with_state(name, format!(r#"{{"pid":7,"gateway_state":"{word}"}}"#))
    }

    /// A profile whose operator wanted this.
    pub fn wanted(&self, name: &str, word: &str) -> &Volume {
        self.with_state(name, format!(r#"{{"gateway_state":"stopped","desired_state":"{word}"}}"#))
    }

    /// A file in the home of `profile`.
    pub fn file(&self, profile: &str, name: &str, content: impl AsRef<[u8]>) -> &Volume {
        let path = self.home(profile).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// What a file in the home of `profile` holds.
    pub fn read(&self, profile: &str, name: &str) -> String {
        let path = self.home(profile).join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// What the gateway of `profile` has said, from the oldest file of its log to the current
    /// one: a logger that is killed leaves its file to be set aside by the next. Nothing, where
    /// there is no log yet.
    pub fn log(&self, profile: &str) -> String {
        let dir = self.path().join("logs/gateways").join(profile);
        let entries = fs::read_dir(dir).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| {
            let name = file.file_name().unwrap().to_string_lossy();
            name.starts_with('@') || name == "current"
        });
        files.sort();
        // One that its logger sets aside at this moment is read at the next look.
        files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
    }

    /// Gives everything to `uid`, links themselves included.
    pub fn give(&self, uid: u32) {
        give(self.path(), uid);
    }
}

fn give(path: &Path, uid: u32) {
    lchown(path, Some(uid), Some(uid)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}
