//! Other supervisors, outside the container, each with the same service of its own: started in a
//! temporary directory, and ended with the bench, whatever ends that.

use super::contest::{Act, Contestant, timed};
use super::support::wait_until;
use super::temporary;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A peer, or why it is missing.
pub type Peer = Result<Box<dyn Contestant>, String>;

/// The two peers, each with a service of `script`.
pub fn all(script: &str) -> [(&'static str, Peer); 2] {
    [
        ("runit", Runit::start(script).map(|it| Box::new(it) as _)),
        ("supervisor", Supervisord::start(script).map(|it| Box::new(it) as _)),
    ]
}

/// A supervisor that ends with this.
struct Daemon {
    process: Child,
    /// By which signal it takes its services along.
    signal: &'static str,
    dir: TempDir,
}

impl Daemon {
    /// Starts `program` with `args` in `dir`.
    fn start(signal: &'static str, program: &str, args: &[&Path], dir: TempDir) -> Daemon {
        let said = fs::File::create(dir.path().join("said")).unwrap();
        // Also where the bench is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", signal, program]).args(args).current_dir(dir.path());
        let command = command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        Daemon { process: command.spawn().unwrap(), signal, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until the service is up.
    fn wait(&self, pid: impl Fn() -> Option<u32>) {
        let said = self.file("said");
        wait_until(&format!("a service; {}", said.display()), || pid().is_some());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let below = descendants(self.process.id());
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-s", self.signal, &id]).status();
        let _ = self.process.wait();
        // runsvdir does not wait for those below it; a second panic would hide the first.
        if !std::thread::panicking() {
            wait_until("the end of a peer's processes", || {
                below.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
            });
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    // One that has just ended has none.
    children.unwrap_or_default().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn descendants(pid: u32) -> Vec<u32> {
    let mut all = children(pid);
    for child in children(pid) {
        all.extend(descendants(child));
    }
    all
}

/// Why the bench does without `program`, if it must.
fn missing(programs: &[&str]) -> Result<(), String> {
    for program in programs {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        if !found.unwrap().status.success() {
            return Err(format!("no {program} on PATH"));
        }
    }
    Ok(())
}

fn write_script(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// runit: runsvdir with a runsv, and sv.
struct Runit(Daemon);

impl Runit {
    fn start(script: &str) -> Result<Runit, String> {
        missing(&["runsvdir", "runsv", "sv"])?;
        let dir = temporary(&std::env::temp_dir());
        let services = dir.path().join("services");
        fs::create_dir_all(services.join("one")).unwrap();
        write_script(&services.join("one/run"), script);
        let runit = Runit(Daemon::start("HUP", "runsvdir", &[&services], dir));
        runit.0.wait(|| runit.pid());
        Ok(runit)
    }
}

impl Contestant for Runit {
    fn act(&self, act: Act) -> Option<Duration> {
        let words: &[&str] = match act {
            Act::Restart => &["-w", "7", "restart"],
            Act::Stop => &["stop"],
            Act::Start => &["start"],
            Act::Status => &["status"],
            Act::Wait | Act::IsRunning => return None,
        };
        Some(timed(Command::new("sv").args(words).arg(self.0.file("services/one"))))
    }

    fn pid(&self) -> Option<u32> {
        // The service is the child of runsv, which is that of runsvdir.
        let runsv = *children(self.0.process.id()).first()?;
        children(runsv).first().copied()
    }
}

/// supervisor: supervisord, and supervisorctl.
struct Supervisord(Daemon);

impl Supervisord {
    fn start(script: &str) -> Result<Supervisord, String> {
        missing(&["supervisord", "supervisorctl"])?;
        let dir = temporary(&std::env::temp_dir());
        let path = dir.path().display();
        write_script(&dir.path().join("run"), script);
        // startsecs: a second by default, which start and restart would wait.
        let config = format!(
            "[unix_http_server]\nfile={path}/socket\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisord]\nlogfile={path}/log\npidfile={path}/pid\nchildlogdir={path}\n\
             [program:one]\ncommand={path}/run\nstartsecs=0\n"
        );
        let file = dir.path().join("conf");
        fs::write(&file, config).unwrap();
        let args = [Path::new("-n"), Path::new("-c"), &file];
        let daemon = Supervisord(Daemon::start("TERM", "supervisord", &args, dir));
        daemon.0.wait(|| daemon.pid());
        let mut status = daemon.ctl("status");
        wait_until("supervisord's socket", || status.output().unwrap().status.success());
        Ok(daemon)
    }

    fn ctl(&self, word: &str) -> Command {
        let mut command = Command::new("supervisorctl");
        let socket = format!("unix://{}", self.0.file("socket").display());
        command.args(["-s", &socket, word, "one"]);
        command
    }
}

impl Contestant for Supervisord {
    fn act(&self, act: Act) -> Option<Duration> {
        let word = match act {
            Act::Restart => "restart",
            Act::Stop => "stop",
            Act::Start => "start",
            Act::Status => "status",
            Act::Wait | Act::IsRunning => return None,
        };
        Some(timed(&mut self.ctl(word)))
    }

    fn pid(&self) -> Option<u32> {
        children(self.0.process.id()).first().copied()
    }
}

/// Their versions, for who reads the table.
pub fn versions() -> String {
    let packages = ["s6", "runit", "supervisor"];
    let mut query = Command::new("dpkg-query");
    query.args(["-Wf", "${Package} ${Version}, "]).args(packages);
    let output = query.stderr(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end_matches(", ").into()
}
