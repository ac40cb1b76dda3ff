//! What kind of machine this is, and what the container was started to do.
//!
//! Both are read from a /proc that the caller names, and only of processes that nobody but
//! PID 1's user can make: PID 1 itself, and its child rc.init, by which s6-overlay runs the
//! container's main program.

use crate::error::{Kind, Result};
use crate::model::values;
use crate::sys::dir::Dir;
use crate::sys::if_there;

/// The kernel's own.
pub(crate) const PROC: &[u8] = b"/proc";

/// Who supervises services here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervisor {
    /// s6-overlay: s6-svscan is PID 1.
    S6,
    /// systemd.
    Systemd,
    /// Nobody we know of.
    None,
}

impl Supervisor {
    /// Detects it, for any uid: s6 needs both signs, so that it is never found by accident.
    pub(crate) fn detect(proc: &[u8]) -> Result<Supervisor> {
        let comm = match if_there(Dir::open(proc))? {
            Some(proc) => of_process(proc.read(b"1/comm", 64))?,
            None => None,
        };
        let is_there = |path| -> Result<bool> { Ok(if_there(Dir::open(path))?.is_some()) };
        let s6_svscan = comm.is_some_and(|comm| comm.trim_ascii_end() == b"s6-svscan");
        Ok(if s6_svscan && is_there(b"/run/s6/basedir")? {
            Supervisor::S6
        } else if is_there(b"/run/systemd/system")? {
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

/// What the container's main program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Anything else.
    Ordinary,
    /// `dashboard`: another container on the volume runs the gateways.
    Dashboard,
    /// `gateway run`, from before gateways were supervised.
    GatewayRun,
}

/// More than any command line that a container is started with, in bytes.
const MAX_CMDLINE: usize = 64 * 1024;
/// More than /proc/PID/status ever has, in bytes.
const MAX_STATUS: usize = 16 * 1024;
const WRAPPER: &[u8] = b"main-wrapper.sh";
const RC_INIT: &[u8] = b"/rc.init";

impl Role {
    /// Finds the main program in `proc`: in PID 1's command line, else in that of its child
    /// rc.init. A container without /proc is an ordinary one.
    ///
    /// # Errors
    /// /proc is there and cannot be read: then nothing is known.
    pub(crate) fn detect(proc: &[u8]) -> Result<Role> {
        let Some(proc) = if_there(Dir::open(proc))? else { return Ok(Role::Ordinary) };
        let Some(init) = Process::read(&proc, b"1")? else { return Ok(Role::Ordinary) };
        if let Some(role) = Role::of_cmdline(&cmdline(&proc, b"1")?) {
            return Ok(role);
        }
        let main = Some(Process { parent: 1, uids: init.uids });
        for name in proc.names()? {
            if !name[0].is_ascii_digit() || Process::read(&proc, &name)? != main {
                continue;
            }
            let cmdline = cmdline(&proc, &name)?;
            let is_rc_init = |arg: &[u8]| arg.ends_with(RC_INIT);
            if cmdline.split(|&b| b == 0).any(is_rc_init)
                && let Some(role) = Role::of_cmdline(&cmdline)
            {
                return Ok(role);
            }
        }
        Ok(Role::Ordinary)
    }

    /// The role that a command line (strings ended by NUL) speaks of;
    /// `None` if it does not have the wrapper in it.
    fn of_cmdline(cmdline: &[u8]) -> Option<Role> {
        let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        let mut args = cmdline.split(|&b| b == 0);
        args.find(|arg| arg.ends_with(WRAPPER))?;
        let mut verb = args.next();
        if verb.is_some_and(|arg| arg == b"hermes" || arg.ends_with(b"/hermes")) {
            verb = args.next();
        }
        Some(match verb {
            Some(b"dashboard") => Role::Dashboard,
            Some(b"gateway")
                if args.next() == Some(b"run") && !args.any(|arg| arg == b"--no-supervise") =>
            {
                Role::GatewayRun
            }
            _ => Role::Ordinary,
        })
    }
}

/// The arguments of a process, each ended by NUL; none if it has gone, or has more than a main
/// program can.
pub(crate) fn cmdline(proc: &Dir, pid: &[u8]) -> Result<Vec<u8>> {
    match of_process(proc.read(&[pid, b"/cmdline"].concat(), MAX_CMDLINE)) {
        Err(error) if error.kind == Kind::Unusable && pid != b"1" => Ok(Vec::new()),
        cmdline => Ok(cmdline?.unwrap_or_default()),
    }
}

/// A process that goes while its file is read gives ESRCH. One that /proc hides from this user,
/// as its option hidepid asks for, may as well not be there.
fn of_process<T>(read: Result<T>) -> Result<Option<T>> {
    const ESRCH: i32 = 3;
    match read {
        Err(error) if error.kind == Kind::Denied || error.errno() == Some(ESRCH) => Ok(None),
        read => if_there(read),
    }
}

/// Whose a process is.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    parent: usize,
    /// The real, effective, saved and file system uid, as /proc writes them.
    uids: Vec<u8>,
}

impl Process {
    /// What /proc/`pid`/status says; `None` if there is no such process.
    fn read(proc: &Dir, pid: &[u8]) -> Result<Option<Process>> {
        let status = of_process(proc.read(&[pid, b"/status"].concat(), MAX_STATUS))?;
        Ok(status.and_then(|status| Process::parse(&status)))
    }

    fn parse(status: &[u8]) -> Option<Process> {
        let value = |key| {
            let mut lines = status.split(|&b| b == b'\n');
            lines.find_map(|line| line.strip_prefix(key)).map(<[u8]>::trim_ascii)
        };
        let parent = values::number(value(&b"PPid:"[..])?)?;
        Some(Process { parent, uids: value(&b"Uid:"[..])?.to_vec() })
    }
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
        let table = [
            ("dashboard\0--port\x001\0", Role::Dashboard),
            ("hermes\0dashboard\0", Role::Dashboard),
            ("/usr/local/bin/hermes\0gateway\0run\0", Role::GatewayRun),
            ("gateway\0run\0--replace\0", Role::GatewayRun),
            ("gateway\0run\0--no-supervise\0", Role::Ordinary),
            ("gateway\0start\0", Role::Ordinary),
            ("sleep\0infinity\0dashboard\0", Role::Ordinary),
            ("", Role::Ordinary),
        ];
        for (args, role) in table {
            for prefix in [v2, v3] {
                let cmdline = format!("{prefix}\0{args}");
                assert_eq!(Role::of_cmdline(cmdline.as_bytes()), Some(role), "{cmdline:?}");
            }
        }
        assert_eq!(Role::of_cmdline(b"/init\0dashboard\0"), None);
        assert_eq!(Role::of_cmdline(b""), None);
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
            (1, ROOT, MAIN, Role::Dashboard),
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
        assert_eq!(role(dir.path()), Role::GatewayRun);
    }

    #[test]
    fn a_process_with_a_longer_command_line_than_main_programs_have_is_none() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), 1, 0, ROOT, "s6-svscan\0");
        process(dir.path(), 16, 1, ROOT, &"x".repeat(MAX_CMDLINE + 1));
        assert_eq!(role(dir.path()), Role::Ordinary);
        process(dir.path(), 17, 1, ROOT, MAIN);
        assert_eq!(role(dir.path()), Role::Dashboard);
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
