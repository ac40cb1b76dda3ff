//! What kind of machine this is, and what the container was started to do.

use crate::sys::{Dir, Name};

/// Who supervises services here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// s6-overlay: s6-svscan is PID 1.
    S6,
    /// systemd.
    Systemd,
    /// Nobody we know of.
    None,
}

impl Supervisor {
    /// Detects it, for any uid: s6 needs both signs, so that it is never found by accident.
    pub fn detect() -> Supervisor {
        let comm = Dir::open(b"/proc/1").and_then(|init| init.read(b"comm", 64));
        let s6_svscan = comm.is_ok_and(|comm| comm.trim_ascii_end() == b"s6-svscan");
        if s6_svscan && Dir::open(b"/run/s6/basedir").is_ok() {
            Supervisor::S6
        } else if Dir::open(b"/run/systemd/system").is_ok() {
            Supervisor::Systemd
        } else {
            Supervisor::None
        }
    }

    /// The word that `hermes-gw detect` prints.
    pub const fn word(self) -> &'static str {
        match self {
            Supervisor::S6 => "s6",
            Supervisor::Systemd => "systemd",
            Supervisor::None => "none",
        }
    }
}

/// What the container's main program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Anything else, or not to be found out.
    Ordinary,
    /// `dashboard`: another container on the volume runs the gateways.
    Dashboard,
    /// `gateway run`, from before gateways were supervised.
    GatewayRun,
}

/// More than any command line that a container is started with, in bytes.
const MAX_CMDLINE: usize = 64 * 1024;
const WRAPPER: &[u8] = b"main-wrapper.sh";

impl Role {
    /// Finds the main program in /proc: PID 1's command line, else that of the first
    /// process of PID 1's user that has the wrapper in it.
    pub fn detect() -> Role {
        let Ok(proc) = Dir::open(b"/proc") else { return Role::Ordinary };
        let owner = |pid: u32| Some(proc.look(pid.to_string().as_bytes()).ok()??.uid);
        let init = owner(1);
        let of = |pid: u32| {
            // Anybody can call a process of theirs a dashboard.
            if owner(pid) != init {
                return None;
            }
            let name = format!("{pid}/cmdline");
            Role::of_cmdline(&proc.read(name.as_bytes(), MAX_CMDLINE).ok()?)
        };
        of(1)
            .or_else(|| {
                let names = proc.names().unwrap_or_default();
                let number = |name: &Name| str::from_utf8(name).ok()?.parse::<u32>().ok();
                let mut pids: Vec<u32> = names.iter().filter_map(number).collect();
                pids.sort_unstable();
                pids.into_iter().find_map(of)
            })
            .unwrap_or(Role::Ordinary)
    }

    /// The role that a command line (strings ended by NUL) speaks of;
    /// `None` if it does not have the wrapper in it.
    pub fn of_cmdline(cmdline: &[u8]) -> Option<Role> {
        let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        let mut args = cmdline.split(|&b| b == 0);
        args.find(|arg| arg.ends_with(WRAPPER))?;
        let mut args: Vec<_> = args.collect();
        if args.first().is_some_and(|arg| *arg == b"hermes" || arg.ends_with(b"/hermes")) {
            args.remove(0);
        }
        Some(match args[..] {
            [b"dashboard", ..] => Role::Dashboard,
            [b"gateway", b"run", ref rest @ ..] if !rest.contains(&&b"--no-supervise"[..]) => {
                Role::GatewayRun
            }
            _ => Role::Ordinary,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
