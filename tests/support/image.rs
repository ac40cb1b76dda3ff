//! The container's files: Debian's s6, execline, dash and coreutils with their libraries, and
//! hermes-gw.
//!
//! The s6 is the machine's, or that of another Debian suite, unpacked by s6.sh into
//! the directory that HERMES_GW_S6 names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What the container has besides s6 and execline.
const TOOLS: [&str; 37] = [
    "sh", "env", "sleep", "cat", "cp", "mv", "rm", "mkdir", "mkfifo", "mknod", "ln", "ls", "id",
    "basename", "dirname", "printenv", "touch", "chmod", "chown", "stat", "head", "tail", "wc",
    "sort", "grep", "find", "ps", "strace", "mount", "umount", "date", "df", "prlimit", "timeout",
    "flock", "setpriv", "perl",
];

/// Copies the image's files to `to`, as hard links; they are built where they are
/// missing or older than what they are made of.
pub fn copy_image(to: &Path) {
    let image = workspace().join("image");
    let stamp = workspace().join("image.stamp");
    let lock = fs::File::create(workspace().join("image.lock")).unwrap();
    lock.lock().unwrap();
    let sources = sources();
    if fs::read_to_string(&stamp).ok().as_deref() != Some(sources) {
        let _ = fs::remove_file(&stamp);
        if image.exists() {
            fs::remove_dir_all(&image).unwrap();
        }
        build(&image);
        fs::write(&stamp, sources).unwrap();
    }
    run(Command::new("cp").arg("-al").arg(image).arg(to));
}

/// Changes when anything does that the image is made of; while the tests run, nothing does.
fn sources() -> &'static str {
    static SOURCES: OnceLock<String> = OnceLock::new();
    SOURCES.get_or_init(look_at_sources)
}

fn look_at_sources() -> String {
    let root = run(Command::new("id").arg("-u")).trim() == "0";
    let s6 = Path::new("/usr/bin/s6-svscan").exists() || std::env::var_os("HERMES_GW_S6").is_some();
    assert!(root && s6, "a container needs root and Debian's s6 and execline: use `make test`");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");
    let files = run(Command::new("find").args([fixture, "-type", "f", "-printf", "%P %T@\n"]));
    let packages = ["s6", "execline", "libc6", "dash", "coreutils", "strace"];
    let versions = run(Command::new("dpkg-query").arg("-W").args(packages));
    let other = std::env::var_os("HERMES_GW_S6");
    let binary = super::binary();
    let built = fs::metadata(&binary).unwrap().modified().unwrap();
    format!("{files}{versions}{other:?}{} {built:?}", binary.display())
}

/// Where Debian has the libraries.
pub fn library_dir() -> PathBuf {
    format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH).into()
}

/// Where containers and images live: on one file system, for hard links.
pub fn workspace() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp");
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn build(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/image/.");
    run(Command::new("cp").args(["-R", fixture]).arg(root));
    for name in [
        "proc",
        "run",
        "dev",
        "host",
        "tmp",
        "opt/data",
        "etc/cont-init.d",
        "etc/container_environment",
    ] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for (name, target) in
        [("bin", "usr/bin"), ("sbin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib")]
    {
        fs::create_dir_all(root.join(target)).unwrap();
        symlink(target, root.join(name)).unwrap();
    }
    let mut libraries = BTreeSet::new();
    for program in TOOLS.iter().map(|tool| which(tool)) {
        libraries_of(&program, &mut libraries);
        copy(&program, &root.join("usr/bin").join(program.file_name().unwrap()));
    }
    let unpacked = std::env::var_os("HERMES_GW_S6").map(PathBuf::from);
    let programs = match &unpacked {
        Some(unpacked) => programs(run(Command::new("find").arg(unpacked).args(["-type", "f,l"]))),
        None => programs(run(Command::new("dpkg").args(["-L", "s6", "execline"]))),
    };
    for program in programs {
        if unpacked.is_none() {
            libraries_of(&program, &mut libraries);
        }
        let name = program.file_name().unwrap();
        copy(&program, &root.join("usr/bin").join(name));
        symlink(Path::new("/usr/bin").join(name), root.join("command").join(name)).unwrap();
    }
    libraries_of(&super::binary(), &mut libraries);
    copy(&super::binary(), &root.join("command/hermes-gw"));
    for library in &libraries {
        // Debian's own search path is flattened: one directory holds them all.
        copy(library, &root.join("usr/lib").join(library.file_name().unwrap()));
    }
    if let Some(unpacked) = unpacked {
        // Its C library is newer, and serves the machine's programs as well. The
        // linker looks into Debian's own directory first.
        run(Command::new("cp").arg("-a").arg(unpacked.join("usr/lib")).arg(root.join("usr")));
        let mut names = libraries.iter().map(|library| library.file_name().unwrap());
        let linker = names.find(|name| name.as_bytes().starts_with(b"ld-linux-")).unwrap();
        let newer = root.join(library_dir().strip_prefix("/").unwrap()).join(linker);
        fs::remove_file(root.join("usr/lib").join(linker)).unwrap();
        copy(&newer, &root.join("usr/lib").join(linker));
    }
}

/// Those of the files listed that are programs, in a bin directory, each once.
fn programs(listed: String) -> Vec<PathBuf> {
    let listed = listed.lines().map(PathBuf::from).filter(|path| path.is_file());
    let programs = listed.filter(|path| path.parent().is_some_and(|dir| dir.ends_with("bin")));
    // Some are there twice, by a link in another bin directory.
    let by_name: BTreeMap<_, _> =
        programs.map(|path| (path.file_name().unwrap().to_owned(), path)).collect();
    by_name.into_values().collect()
}

fn libraries_of(program: &Path, libraries: &mut BTreeSet<PathBuf>) {
    // ldd fails on what needs none.
    let output = Command::new("ldd").arg(program).output().unwrap();
    for word in String::from_utf8(output.stdout).unwrap().split_whitespace() {
        if word.starts_with('/') {
            libraries.insert(word.into());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
}

fn which(tool: &str) -> PathBuf {
    run(Command::new("sh").args(["-c", &format!("command -v {tool}")])).trim().into()
}

/// Runs a command that must succeed; its stdout.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
