//! What kind of machine this is, and what the container was started to do.
//!
//! Both are read from a /proc that the caller names, and only of processes that nobody but
//! PID 1's user can make: PID 1 itself, and its child rc.init, by which s6-overlay runs the
//! container's main program. Where /proc hides them, as its option hidepid asks for, what s6 and
//! root's boot have left below /run tells instead.

use crate::error::{Kind, Result};
use crate::model::capability::Capability;
use crate::model::tree::Tree;
use crate::model::usage::{self, Processes, Usage};
use crate::model::values;
use crate::s6::scandir::CONTROL_FIFO;
use crate::sys::dir::Dir;
use crate::sys::path;
use crate::sys::{Name, if_there};
use crate::text::{contains, parts};
use std::mem;

/// The kernel's own.
pub(crate) const PROC: &[u8] = b"/proc";

/// Who supervises services here. Of 64 bits, so that a result of it is returned in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Supervisor {
    /// s6-overlay: s6-svscan is PID 1.
    S6,
    /// systemd.
    Systemd,
    /// Nobody we know of.
    None,
}

impl Supervisor {
    /// Detects it, for any uid: s6 needs both signs, so that it is never found by accident. Where
    /// nothing tells what PID 1 is, its s6-svscan is known by its scandir.
    pub(crate) fn detect(proc: &[u8]) -> Result<Supervisor> {
        let is_s6_svscan = || match of_process(path::read_proc(&[proc, b"/1/comm"].concat()))? {
            Some(comm) => Ok(comm.trim_ascii_end() == b"s6-svscan"),
            None => is_scanned(),
        };
        Ok(if path::is_dir(b"/run/s6/basedir")? && is_s6_svscan()? {
            Supervisor::S6
        } else if path::is_dir(b"/run/systemd/system")? {
            Supervisor::Systemd
        } else {
            Supervisor::None
        })
    }

    /// The word that `hermes-gw detect` prints.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Supervisor::S6 => "s6",
            Supervisor::Systemd => "systemd",
            Supervisor::None => "none",
        }
    }
}

/// Whether an s6-svscan runs on PID 1's scandir.
fn is_scanned() -> Result<bool> {
    let scandir = Dir::open(Tree::Root.path().as_bytes());
    scandir.and_then(|scandir| scandir.fifo_has_reader(CONTROL_FIFO)).or_else(|error| {
        match error.kind {
            // It is there, and not this user's to ask.
            Kind::Denied => Ok(true),
            Kind::Missing => Ok(false),
            _ => Err(error),
        }
    })
}

/// Notes, for users whom /proc hides PID 1 from, that the main program is the root profile's
/// gateway. Only as root.
pub(crate) fn note_main_is_default() -> Result<()> {
    Dir::open(OF_THIS_BOOT)?.replace(IS_DEFAULT, 0o644, b"")
}

/// What the container's main program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Anything else.
    Ordinary,
    /// The command of Hermes at this place in [`NO_GATEWAYS`]: another container on the volume runs
    /// the gateways.
    NoGateways(u8),
    /// `gateway run`, from before gateways were supervised.
    GatewayRun {
        /// It is told to be the root profile's gateway itself.
        unsupervised: bool,
    },
}

/// More than any command line that a container is started with, in bytes.
const MAX_CMDLINE: usize = 64 * 1024;
/// More than /proc/PID/status ever has, in bytes.
const MAX_STATUS: usize = 16 * 1024;
/// The commands of Hermes that stand for a container without gateways.
pub(crate) const NO_GATEWAYS: &str = "dashboard serve gui desktop";
/// More digits than any pid has.
const MAX_DIGITS: usize = 10;
const RC_INIT: &[u8] = b"/rc.init";
/// s6-overlay empties this directory when a container starts; only root writes there.
const OF_THIS_BOOT: &[u8] = b"/run/s6";
/// There where a boot has found that the main program is the root profile's gateway.
const IS_DEFAULT: &[u8] = b"hermes-gw.main-is-default";

impl Role {
    /// Finds the main program in `proc`: in PID 1's command line, else in that of its child
    /// rc.init. A container without /proc is an ordinary one.
    ///
    /// # Errors
    /// /proc is there and cannot be read: then nothing is known.
    pub(crate) fn detect(proc: &[u8]) -> Result<Role> {
        let Some(proc) = if_there(Dir::open(proc))? else { return Ok(Role::Ordinary) };
        let Some(init) = Process::read(&proc, b"1")? else { return Role::noted() };
        if let Some(role) = Role::of_cmdline(&cmdline(&proc, b"1")?) {
            return Ok(role);
        }
        // It is among the first processes of the container.
        for pid in pids(&proc)?.iter().filter(|pid| pid[..] != *b"1") {
            match Process::read(&proc, pid)? {
                Some(it) if it.parent == 1 && it.uids == init.uids => {}
                _ => continue,
            }
            let cmdline = cmdline(&proc, pid)?;
            // PID 1 begins rc.init before it becomes s6-svscan: none comes after these.
            if cmdline.starts_with(b"s6-supervise\0") {
                return Ok(Role::Ordinary);
            }
            let is_rc_init = |arg: &[u8]| arg.ends_with(RC_INIT);
            if parts(&cmdline, 0).any(is_rc_init)
                && let Some(role) = Role::of_cmdline(&cmdline)
            {
                return Ok(role);
            }
        }
        Ok(Role::Ordinary)
    }

    /// What root's boot has noted, for users whom /proc hides PID 1 from.
    fn noted() -> Result<Role> {
        let noted = Dir::open(OF_THIS_BOOT).and_then(|dir| dir.kind(IS_DEFAULT));
        Ok(match if_there(noted)?.flatten() {
            Some(_) => Role::GatewayRun { unsupervised: true },
            None => Role::Ordinary,
        })
    }

    /// Whether the main program is itself the root profile's gateway; `no_supervise` is the
    /// setting.
    pub(crate) fn is_default(self, no_supervise: bool) -> bool {
        matches!(self, Role::GatewayRun { unsupervised } if unsupervised || no_supervise)
    }

    /// The role that a command line (strings ended by NUL) speaks of;
    /// `None` if it does not have the image's wrapper in it.
    fn of_cmdline(cmdline: &[u8]) -> Option<Role> {
        let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        let mut args = parts(cmdline, 0);
        args.find(|arg| is_wrapper(arg))?;
        let mut verb = args.find(|arg| !is_wrapper(arg)).unwrap_or_default();
        if verb == b"hermes" || verb.ends_with(b"/hermes") {
            verb = args.next().unwrap_or_default();
        }
        if let Some(at) = parts(NO_GATEWAYS.as_bytes(), b' ').position(|word| word == verb) {
            return Some(Role::NoGateways(at as u8));
        }
        if verb == b"gateway" && args.next() == Some(b"run") {
            let unsupervised = args.any(|arg| arg == b"--no-supervise");
            return Some(Role::GatewayRun { unsupervised });
        }
        Some(Role::Ordinary)
    }
}

/// Whether `arg` is the script by which the image runs its main program. Newer images have
/// another one, which runs that; either may stand in a command line, and both.
fn is_wrapper(arg: &[u8]) -> bool {
    arg.ends_with(b"main-wrapper.sh") || arg.ends_with(b"entrypoint-dispatch.sh")
}

/// The arguments of a process, each ended by NUL; none if it has gone, or has more than a main
/// program can.
pub(crate) fn cmdline(proc: &Dir, pid: &[u8]) -> Result<Vec<u8>> {
    match of_process(proc.read_at_once(&[pid, b"/cmdline"].concat(), MAX_CMDLINE)) {
        Err(error) if error.kind == Kind::Unusable && pid != b"1" => Ok(Vec::new()),
        cmdline => Ok(cmdline?.unwrap_or_default()),
    }
}

/// The pids in `proc`, in their order.
#[inline(never)]
pub(crate) fn pids(proc: &Dir) -> Result<Vec<Name>> {
    let (mut names, mut pids) = (proc.names()?, Vec::new());
    for digits in 1..=MAX_DIGITS {
        for name in &mut names {
            if name.len() == digits && name[0].is_ascii_digit() {
                pids.push(mem::take(name));
            }
        }
    }
    Ok(pids)
}

/// A process that goes while its file is read gives ESRCH. One that /proc hides from this user,
/// as its option hidepid asks for, may as well not be there.
#[inline(never)]
fn of_process(read: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    const ESRCH: i32 = 3;
    match read {
        Err(error) if error.kind == Kind::Denied || error.errno() == Some(ESRCH) => Ok(None),
        read => if_there(read),
    }
}

/// Whose a process is, and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) parent: u64,
    /// The real, effective, saved and file system uid.
    uids: [u64; 4],
    /// What of root's rights it has, a bit each.
    capabilities: u64,
}

impl Process {
    /// What /proc/`pid`/status says; `None` if there is no such process, or none to be seen.
    fn read(proc: &Dir, pid: &[u8]) -> Result<Option<Process>> {
        Process::said(proc.read_at_once(&[pid, b"/status"].concat(), MAX_STATUS))
    }

    /// The same, of the process `pid` of this container.
    #[inline(never)]
    pub(crate) fn of(pid: u64) -> Result<Option<Process>> {
        let pid = pid.to_string();
        Process::said(path::read_proc(&[PROC, b"/", pid.as_bytes(), b"/status"].concat()))
    }

    fn said(status: Result<Vec<u8>>) -> Result<Option<Process>> {
        Ok(of_process(status)?.and_then(|status| Process::parse(&status)))
    }

    /// What /proc/PID/status says, which is `status`.
    pub(crate) fn parse(status: &[u8]) -> Option<Process> {
        let value = |key| {
            let mut lines = parts(status, b'\n');
            lines.find_map(|line| line.strip_prefix(key)).map(<[u8]>::trim_ascii)
        };
        let parent = values::digits(value(&b"PPid:"[..])?)?;
        let mut uids = [0; 4];
        for (uid, digits) in uids.iter_mut().zip(parts(value(&b"Uid:"[..])?, b'\t')) {
            *uid = values::digits(digits)?;
        }
        // Where it does not say, it may do nothing of the kind.
        let capabilities = value(&b"CapEff:"[..]).and_then(|it| values::digits_of(it, 16));
        Some(Process { parent, uids, capabilities: capabilities.unwrap_or(0) })
    }

    /// Its effective uid.
    pub(crate) fn uid(&self) -> u64 {
        self.uids[1]
    }

    /// Whether it may do to what is the user's with this `uid` what others need `capability` for.
    pub(crate) fn may(&self, capability: Capability, uid: u64) -> bool {
        self.uid() == uid || capability.is_in(self.capabilities)
    }
}

/// What each process has, in memory and time: one look at each. What this user may not see, or has
/// gone meanwhile, is not among them.
#[inline(never)]
pub(crate) fn processes(proc: &[u8]) -> Processes {
    let (mut all, page) = (Vec::new(), page_size(proc));
    for pid in &Dir::open(proc).and_then(|proc| pids(&proc)).unwrap_or_default() {
        add_process(&mut all, pid, &path::read_proc(&[proc, b"/", pid, b"/stat"].concat()), page);
    }
    Processes::new(all)
}

/// Adds what /proc/PID/stat says; nothing, where that is none. Its times are in ticks, a hundred a
/// second on the machines that this is for. Memory is its `rss`, in pages: not exact to the last
/// few, for the kernel counts by processors and adds that up now and then.
#[inline(never)]
fn add_process(
    all: &mut Vec<usage::Process>,
    pid: &[u8],
    stat: &Result<Vec<u8>>,
    page: u64,
) -> Option<()> {
    let stat = stat.as_ref().ok()?;
    let (mut parent, mut own) = (0, Usage { processes: 1, ..Usage::default() });
    // The program's name may have anything in it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    for (at, field) in parts(&stat[end..], b' ').enumerate() {
        let number = values::digits(field);
        match at {
            2 => parent = number?,
            // Of the process itself, and of its children that have ended.
            12..=15 => own.cpu = own.cpu.wrapping_add(number?),
            22 => own.memory = number?.wrapping_mul(page),
            _ => {}
        }
    }
    all.push(usage::Process { pid: values::digits(pid)?, parent, own, all: own });
    Some(())
}

/// Whether the kernel has killed something here for want of memory, as the container's cgroup has
/// it, of either version. Where that is not there to be read, nobody says so.
pub(crate) fn ran_out_of_memory() -> bool {
    let has = |path: &[u8]| has_kills(&path::read_proc(path).unwrap_or_default());
    has(b"/sys/fs/cgroup/memory.events") || has(b"/sys/fs/cgroup/memory/memory.oom_control")
}

fn has_kills(events: &[u8]) -> bool {
    contains(events, b"oom_kill ") && !contains(events, b"oom_kill 0\n")
}

/// How large a page is, in bytes.
fn page_size(proc: &[u8]) -> u64 {
    if cfg!(target_arch = "x86_64") { 4096 } else { page_size_of(proc) }
}

/// The same, by how large this process is in bytes, and in pages; the usual where it is not known.
fn page_size_of(proc: &[u8]) -> u64 {
    let read = |name: &[u8], field| {
        let content = path::read_proc(&[proc, b"/self/", name].concat()).ok()?;
        // This program's name has neither blank nor parenthesis in it.
        parts(&content, b' ').nth(field).and_then(values::digits)
    };
    let (bytes, pages) = (read(b"stat", 22), read(b"statm", 0));
    bytes.zip(pages).and_then(|(bytes, pages)| bytes.checked_div(pages)).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    #[test]
    fn the_role_is_what_follows_the_wrapper() {
        let v3 =
            "/bin/sh\0-e\0/run/s6/basedir/scripts/rc.init\0top\0/opt/hermes/docker/main-wrapper.sh";
        let v2 = "/init\0/opt/hermes/docker/main-wrapper.sh";
        let newer = "/init\0/opt/hermes/docker/entrypoint-dispatch.sh";
        let supervised = Role::GatewayRun { unsupervised: false };
        let unsupervised = Role::GatewayRun { unsupervised: true };
        let dashboard = Role::NoGateways(0);
        let table = [
            ("dashboard\0--port\x001\0", dashboard),
            ("hermes\0dashboard\0", dashboard),
            ("serve\0--port\x001\0", Role::NoGateways(1)),
            ("hermes\0gui\0", Role::NoGateways(2)),
            ("/usr/local/bin/hermes\0desktop\0", Role::NoGateways(3)),
            ("/usr/local/bin/hermes\0gateway\0run\0", supervised),
            ("gateway\0run\0--replace\0", supervised),
            ("gateway\0run\0--no-supervise\0", unsupervised),
            ("hermes\0gateway\0run\0--replace\0--no-supervise\0", unsupervised),
            ("gateway\0start\0--no-supervise\0", Role::Ordinary),
            ("gateway\0serve\0", Role::Ordinary),
            ("server\0", Role::Ordinary),
            ("sleep\0infinity\0dashboard\0", Role::Ordinary),
            ("", Role::Ordinary),
        ];
        for (args, role) in table {
            for prefix in [v2, v3, newer] {
                // Either script may run the other.
                for more in ["", "\0/x/entrypoint-dispatch.sh", "\0/x/main-wrapper.sh"] {
                    let cmdline = format!("{prefix}{more}\0{args}");
                    assert_eq!(Role::of_cmdline(cmdline.as_bytes()), Some(role), "{cmdline:?}");
                }
            }
        }
        assert_eq!(Role::of_cmdline(b"/init\0dashboard\0"), None);
        assert_eq!(Role::of_cmdline(b""), None);
    }

    #[test]
    fn the_main_program_is_the_root_profiles_gateway_if_it_is_told_so_by_either_way() {
        let run = |unsupervised| Role::GatewayRun { unsupervised };
        let table = [
            (run(false), false, false),
            (run(false), true, true),
            (run(true), false, true),
            (run(true), true, true),
            (Role::Ordinary, true, false),
            (Role::NoGateways(1), true, false),
        ];
        for (role, no_supervise, is_default) in table {
            assert_eq!(role.is_default(no_supervise), is_default, "{role:?} {no_supervise}");
        }
    }

    const MAIN: &str = "sh\0/run/s6/basedir/scripts/rc.init\0top\0/x/main-wrapper.sh\0dashboard\0";
    const ROOT: &str = "0\t0\t0\t0";

    /// A process of a made-up /proc.
    fn process(proc: &Path, pid: u32, parent: u32, uids: &str, cmdline: &str) {
        let dir = proc.join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("status"), format!("Name:\tx\nPPid:\t{parent}\nUid:\t{uids}\n"))
            .unwrap();
        fs::write(dir.join("cmdline"), cmdline).unwrap();
    }

    fn role(proc: &Path) -> Role {
        Role::detect(proc.as_os_str().as_bytes()).unwrap()
    }

    #[test]
    fn only_pid_1_and_its_child_rc_init_are_believed() {
        let table = [
            // parent, uids, command line; the role
            (1, ROOT, MAIN, Role::NoGateways(0)),
            (7, ROOT, MAIN, Role::Ordinary),
            (1, "10000\t0\t0\t0", MAIN, Role::Ordinary),
            (1, "10000\t10000\t10000\t10000", MAIN, Role::Ordinary),
            (1, ROOT, "/x/main-wrapper.sh\0dashboard\0", Role::Ordinary),
            (1, ROOT, "sh\0/run/s6/basedir/scripts/rc.init\0top\0", Role::Ordinary),
        ];
        for (parent, uids, cmdline, expected) in table {
            let dir = tempfile::tempdir().unwrap();
            process(dir.path(), 1, 0, ROOT, "s6-svscan\0-d4\0--\0/run/service\0");
            process(dir.path(), 17, parent, uids, cmdline);
            fs::write(dir.path().join("uptime"), "").unwrap();
            assert_eq!(role(dir.path()), expected, "{parent} {uids:?} {cmdline:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), 1, 0, ROOT, "/init\0/x/main-wrapper.sh\0gateway\0run\0");
        process(dir.path(), 17, 1, ROOT, MAIN);
        assert_eq!(role(dir.path()), Role::GatewayRun { unsupervised: false });
    }

    #[test]
    fn a_process_with_a_longer_command_line_than_main_programs_have_is_none() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), 1, 0, ROOT, "s6-svscan\0");
        process(dir.path(), 16, 1, ROOT, &"x".repeat(MAX_CMDLINE + 1));
        assert_eq!(role(dir.path()), Role::Ordinary);
        process(dir.path(), 17, 1, ROOT, MAIN);
        assert_eq!(role(dir.path()), Role::NoGateways(0));
    }

    #[test]
    fn what_a_stat_says_whatever_the_program_is_called() {
        // As of a real one; with more fields behind it, as newer kernels have them.
        let fields = "S 7 8 9 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 5 0 12345 999999 25 184467";
        for name in ["hermes", "a) R 1 2 (b", "", " ", "\n"] {
            let stat = format!("77 ({name}) {fields} 1 1 1\n");
            let mut all = Vec::new();
            add_process(&mut all, b"77", &Ok(stat.into_bytes()), 4096).unwrap();
            let own = Usage { processes: 1, memory: 25 * 4096, cpu: 124 };
            assert_eq!(all, [usage::Process { pid: 77, parent: 7, own, all: own }], "{name}");
        }
        for stat in ["", "77", "77 (x", "77 (x) S y"] {
            let mut all = Vec::new();
            assert_eq!(add_process(&mut all, b"77", &Ok(stat.into()), 4096), None, "{stat}");
            assert_eq!(all, [], "{stat}");
        }
    }

    #[test]
    fn kills_for_want_of_memory_are_told_from_none() {
        let table = [
            ("low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n", true),
            ("low 0\nhigh 0\nmax 7\noom 2\noom_kill 0\noom_group_kill 1\n", false),
            ("", false),
        ];
        for (events, kills) in table {
            assert_eq!(has_kills(events.as_bytes()), kills, "{events}");
        }
    }

    #[test]
    fn this_process_has_what_proc_says() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        // Between exec and its first instruction it has no memory.
        let (own, one) = loop {
            let all = processes(PROC);
            let of = |pid: u32| all.of(pid.into()).unwrap();
            let (own, one) = (of(std::process::id()), of(child.id()));
            if one.memory > 0 {
                break (own, one);
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(one.processes, 1);
        assert!(own.processes >= 2 && own.memory > one.memory, "{own:?} {one:?}");
        let page = std::process::Command::new("getconf").arg("PAGESIZE").output().unwrap().stdout;
        assert_eq!(page_size_of(PROC), values::digits(page.trim_ascii()).unwrap());
    }

    #[test]
    fn without_proc_it_is_an_ordinary_container_and_what_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(role(&dir.path().join("none")), Role::Ordinary);
        assert_eq!(role(dir.path()), Role::Ordinary);
        fs::create_dir_all(dir.path().join("1/status")).unwrap();
        assert!(Role::detect(dir.path().as_os_str().as_bytes()).is_err());
    }
}
