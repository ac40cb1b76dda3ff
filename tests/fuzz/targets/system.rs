//! What the container says: its environment, its users, and its main program.

use super::peers::{Peer, python};
use crate::hermes::container::Role;
use crate::model::backoff::Limits;
use crate::model::policy::{Policy, PolicySetting};
use crate::model::tree::Tree;
use crate::options::Options;
use crate::settings::Settings;
use crate::sys::identity;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

/// Runs `test` in a directory that `fill` fills anew; one at a time.
fn in_directory(test: impl FnOnce(&Path)) {
    static DIR: Mutex<Option<TempDir>> = Mutex::new(None);
    let mut dir = DIR.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let dir = dir.get_or_insert_with(|| tempfile::tempdir().unwrap()).path().join("it");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    test(&dir);
}

/// The variables that are settings.
const NAMES: [&str; 17] = [
    "HERMES_GW_TREE",
    "HERMES_HOME",
    "S6_PROFILE_GATEWAY_SCANDIR",
    "HERMES_GW_USER",
    "HERMES_GW_BACKOFF_FIRST",
    "HERMES_GW_BACKOFF_MAX",
    "HERMES_GW_BACKOFF_RESET",
    "HERMES_GW_EARLY_EXIT",
    "HERMES_GW_PARK_WINDOW",
    "HERMES_GW_SHUTDOWN_TIMEOUT",
    "HERMES_GW_PARK_DEATHS",
    "HERMES_GW_SERVICES_MAX",
    "HERMES_GW_POLICY",
    "GATEWAY_MULTIPLEX_PROFILES",
    "HERMES_GW_SKIP_RECONCILE",
    "HERMES_GATEWAY_NO_SUPERVISE",
    "TZ",
];

/// The files of the container's environment, with NUL between them: the first byte of each, as
/// a letter from A on, says which it is.
pub(super) fn environment(data: &[u8]) {
    let mut values = BTreeMap::new();
    in_directory(|dir| {
        for file in data.split(|byte| *byte == 0) {
            let Some((name, value)) = file.split_first() else { continue };
            let name = NAMES[usize::from(name.wrapping_sub(b'A')) % NAMES.len()];
            fs::write(dir.join(name), value).unwrap();
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            values.insert(name, value.to_vec());
        }
        // This process's own environment comes first.
        values.retain(|name, value| !value.is_empty() && std::env::var_os(name).is_none());
        let settings = Settings::read(&Options::default(), dir.as_os_str().as_bytes());
        check(&settings, &values);
    });
}

/// What must hold of `settings` where `values` are set.
fn check(settings: &Settings, values: &BTreeMap<&str, Vec<u8>>) {
    let mut flaws = 0;
    // What a value is as text, with no white space around it.
    let text = |name| Some(str::from_utf8(values.get(name)?.trim_ascii()).unwrap_or("\u{fffd}"));
    let (tree, is_tree) = match text("HERMES_GW_TREE") {
        None | Some("root") => (Tree::Root, true),
        Some("user") => (Tree::User, true),
        Some(_) => (Tree::Root, false),
    };
    let place = settings.place().as_deref().ok().cloned();
    assert_eq!(place.is_some(), is_tree);
    if let Some(place) = place {
        let or = |name, default: &str| values.get(name).cloned().unwrap_or(default.into());
        assert_eq!(place.tree, tree);
        assert_eq!(place.scandir, or("S6_PROFILE_GATEWAY_SCANDIR", tree.path()));
        assert_eq!(place.user, or("HERMES_GW_USER", "hermes"));
        let home = or("HERMES_HOME", "/opt/data");
        assert!(!place.home.is_empty() && home.starts_with(&place.home));
    }
    let default = Limits::default();
    let limits = &settings.limits;
    for (name, got, default) in [
        ("HERMES_GW_BACKOFF_FIRST", limits.first, default.first),
        ("HERMES_GW_BACKOFF_MAX", limits.longest, default.longest),
        ("HERMES_GW_BACKOFF_RESET", limits.steady, default.steady),
        ("HERMES_GW_EARLY_EXIT", limits.early, default.early),
        ("HERMES_GW_PARK_WINDOW", limits.window, default.window),
        ("HERMES_GW_SHUTDOWN_TIMEOUT", settings.shutdown, Duration::from_secs(6)),
    ] {
        let expected = text(name).map(seconds);
        flaws += usize::from(expected == Some(None));
        assert_eq!(got, expected.flatten().unwrap_or(default), "{name}");
    }
    for (name, got, default, most) in [
        ("HERMES_GW_PARK_DEATHS", limits.deaths, default.deaths, 4096),
        ("HERMES_GW_SERVICES_MAX", settings.services_max, tree.services_max(), usize::MAX),
    ] {
        let expected = text(name).map(whole);
        flaws += usize::from(expected == Some(None));
        let expected = expected.flatten().map_or(default, |number| number as usize);
        assert_eq!(got, expected.min(most), "{name}");
    }
    let policy = match text("HERMES_GW_POLICY") {
        Some("profiles") => PolicySetting::Forced(Policy::Profiles),
        Some("root") => PolicySetting::Forced(Policy::Root),
        other => {
            flaws += usize::from(other.is_some_and(|word| word != "auto"));
            PolicySetting::Auto
        }
    };
    assert_eq!(settings.policy, policy);
    let is = |words: &[&str], word: &str| words.contains(&&*word.to_ascii_lowercase());
    let skip = match text("HERMES_GW_SKIP_RECONCILE").unwrap_or_default() {
        word if is(&["0", "false", "no", "off", ""], word) => false,
        word => {
            flaws += usize::from(!is(&["1", "true", "yes", "on"], word));
            true
        }
    };
    assert_eq!(settings.skip, Ok(skip));
    let own = values.get("HERMES_GATEWAY_NO_SUPERVISE").map(|word| word.to_ascii_lowercase());
    let no_supervise = own.is_some_and(|word| [&b"1"[..], b"true", b"yes"].contains(&&*word));
    assert_eq!(settings.no_supervise, no_supervise);
    assert_eq!(settings.multiplex, values.get("GATEWAY_MULTIPLEX_PROFILES").cloned());
    assert_eq!(settings.zone, values.get("TZ").cloned());
    assert_eq!(settings.flaws.len(), flaws, "each is told once");
}

/// A number of at most 32 bits.
fn whole(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// A time, with what is less than a millisecond left out.
fn seconds(text: &str) -> Option<Duration> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let millis = format!("{fraction}000")[..].get(..3).filter(|_| is_number)?.parse().ok()?;
    Some(Duration::from_secs(whole(seconds)?.into()) + Duration::from_millis(millis))
}

/// A user's name, passwd(5) and group(5), with NUL between them.
pub(super) fn users(data: &[u8]) {
    static GLIBC: Peer = Peer::new(|| {
        python(
            "
import ctypes
libc = ctypes.CDLL(None)
class Passwd(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('password', ctypes.c_char_p),
                ('uid', ctypes.c_uint), ('gid', ctypes.c_uint)]
class Group(ctypes.Structure):
    _fields_ = [('name', ctypes.c_char_p), ('password', ctypes.c_char_p),
                ('gid', ctypes.c_uint), ('members', ctypes.POINTER(ctypes.c_char_p))]
libc.fmemopen.restype = ctypes.c_void_p
def entries(text, get, kind):
    get.restype = ctypes.POINTER(kind)
    text += b'\\n'
    file = ctypes.c_void_p(libc.fmemopen(text, len(text), b'r'))
    try:
        while entry := get(file):
            yield entry.contents
    finally:
        libc.fclose(file)
def members(group):
    at = 0
    while group.members[at]:
        yield group.members[at]
        at += 1
def answer(data):
    name, passwd, group = data.split(b'\\0')
    ids = next(((it.uid, it.gid) for it in entries(passwd, libc.fgetpwent, Passwd)
                if it.name == name), None)
    if ids is None:
        return b'none'
    groups = [ids[1]]
    for it in entries(group, libc.fgetgrent, Group):
        # 0 is never taken over, and -1 is no group.
        if it.gid not in (0, 0xffffffff, *groups) and name in members(it):
            groups.append(it.gid)
    return ' '.join(map(str, (*ids, *groups))).encode()
",
        )
    });
    let parts: Vec<_> = data.split(|byte| *byte == 0).collect();
    let &[name, passwd, group] = &parts[..] else { return };
    let Some(ids) = identity::find(name, passwd, group, b"") else { return };
    assert!(ids.uid != u32::MAX && ids.groups[0] == ids.gid);
    // The C libraries differ in what they make of odd lines.
    if !is_plain(passwd, 7) || !is_plain(group, 4) {
        return;
    }
    let Some(answer) = GLIBC.ask(data) else { return };
    let groups: Vec<_> = ids.groups.iter().map(u32::to_string).collect();
    let said = format!("{} {} {}", ids.uid, ids.gid, groups.join(" "));
    assert_eq!(said, String::from_utf8_lossy(&answer));
}

/// Whether each line of `text` has so many `fields`, no number with a sign, is not for NIS and no
/// comment.
fn is_plain(text: &[u8], fields: usize) -> bool {
    text.split(|byte| *byte == b'\n').all(|line| {
        line.is_empty()
            || line.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'+')
                && line[0].is_ascii_alphanumeric()
                && line.split(|byte| *byte == b':').count() == fields
    })
}

/// The processes of a container, with 0xff between them. Each is two bytes for its pid, one
/// for its parent and its user, and its arguments; PID 1 has the arguments alone.
pub(super) fn role(data: &[u8]) {
    let mut processes = data.split(|byte| *byte == 0xff);
    let init = processes.next().unwrap_or_default();
    let mut others = BTreeMap::new();
    for process in processes.take(4) {
        let Some((&[high, low, whose], cmdline)) = process.split_first_chunk() else { continue };
        others.insert(u16::from_be_bytes([high, low]).max(2), (whose, cmdline));
    }
    in_directory(|proc| {
        make(proc, 1, 0, init);
        for (pid, (whose, cmdline)) in &others {
            make(proc, *pid, *whose, cmdline);
        }
        let role = Role::detect(proc.as_os_str().as_bytes());
        assert_eq!(role, Ok(expected(init, &others)));
    });
}

/// A process in a made-up /proc. A bit of `whose` is set where it is not what rc.init is.
fn make(proc: &Path, pid: u16, whose: u8, cmdline: &[u8]) {
    let dir = proc.join(pid.to_string());
    fs::create_dir(&dir).unwrap();
    let parent = if pid == 1 { 0 } else { 1 + (whose & 1) };
    let uid = whose >> 1 & 1;
    let status = format!("Name:\tx\nPPid:\t{parent}\nUid:\t{uid}\t0\t0\t0\nGid:\t0\n");
    fs::write(dir.join("status"), if whose & 4 == 0 { status.as_str() } else { "Name:\tx\n" })
        .unwrap();
    fs::write(dir.join("cmdline"), cmdline).unwrap();
}

/// The role that the first command line has that speaks of one.
fn expected(init: &[u8], others: &BTreeMap<u16, (u8, &[u8])>) -> Role {
    let children = others.values().filter(|(whose, _)| whose & 7 == 0).map(|(_, cmdline)| *cmdline);
    let before_services = children.take_while(|cmdline| !cmdline.starts_with(b"s6-supervise\0"));
    let is_rc_init =
        |cmdline: &&[u8]| [&cmdline[..], b"\0"].concat().windows(9).any(|it| it == b"/rc.init\0");
    let mut told = [init].into_iter().chain(before_services.filter(is_rc_init));
    told.find_map(role_of).unwrap_or(Role::Ordinary)
}

fn role_of(cmdline: &[u8]) -> Option<Role> {
    let text = String::from_utf8_lossy(cmdline.strip_suffix(b"\0").unwrap_or(cmdline));
    let args: Vec<_> = text.split('\0').collect();
    let is_wrapper =
        |arg: &&str| arg.ends_with("main-wrapper.sh") || arg.ends_with("entrypoint-dispatch.sh");
    let first = args.iter().position(is_wrapper)?;
    let rest: Vec<_> = args[first..].iter().copied().skip_while(is_wrapper).collect();
    let command = match &rest[..] {
        [hermes, command @ ..] if *hermes == "hermes" || hermes.ends_with("/hermes") => command,
        command => command,
    };
    Some(match command {
        ["dashboard", ..] => Role::NoGateways(0),
        ["serve", ..] => Role::NoGateways(1),
        ["gui", ..] => Role::NoGateways(2),
        ["desktop", ..] => Role::NoGateways(3),
        ["gateway", "run", args @ ..] => {
            Role::GatewayRun { unsupervised: args.contains(&"--no-supervise") }
        }
        _ => Role::Ordinary,
    })
}
