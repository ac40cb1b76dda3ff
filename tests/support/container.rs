//! A throw-away container without Docker: namespaces, a real s6-svscan as PID 1.

use super::{Volume, copy_image, run, workspace};
use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything in a test is waited for: what takes a second takes a minute on a
/// machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(180);
/// The user that the image was built with.
pub const HERMES: u32 = 10_000;

/// Whose s6-svscan supervises the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    Root,
    User,
}

/// The layout that this run of the tests is about, as HERMES_GW_TEST_TREE says.
pub fn tree() -> Tree {
    match std::env::var("HERMES_GW_TEST_TREE").as_deref() {
        Ok("user") => Tree::User,
        Ok("root") | Err(_) => Tree::Root,
        Ok(other) => panic!("HERMES_GW_TEST_TREE is {other}, and must be root or user"),
    }
}

/// Where the tests say that gateways are; in the user tree they are elsewhere, and what a
/// test says and reads is translated.
const SCANDIR: &str = "/run/service";
const USER_SCANDIR: &str = "/run/hermes-gw/service";
/// PID 1's own scandir, in either layout: a path that is not translated.
pub const SCANDIR_OF_PID_1: &str = "/run//service";

/// What Hermes' own layer of 0.19 does to register the gateway of profile $1 in scandir $2, in
/// short: `finish` knows 78 alone, the logger has no -p, and there is a `down` file for `down`.
const HERMES_LAYER: &str = r#"
slot=$2/.gateway-$1.tmp
umask 022
mkdir "$slot" "$slot/log"
echo longrun >"$slot/type"
cat >"$slot/run" <<END
#!/command/with-contenv sh
set -e
export HOME=/opt/data
cd /opt/data
export HERMES_S6_SUPERVISED_CHILD=1
[ "\$(id -u)" = 0 ] || exec hermes -p $1 gateway run --replace
exec s6-setuidgid hermes hermes -p $1 gateway run --replace
END
cat >"$slot/finish" <<END
#!/command/with-contenv sh
if [ "\$1" = 78 ]; then exit 125; fi
exit 0
END
cat >"$slot/log/run" <<END
#!/command/with-contenv sh
: "\${HERMES_HOME:=/opt/data}"
log_dir="\$HERMES_HOME/logs/gateways/$1"
mkdir -p "\$log_dir"
chown -R hermes:hermes "\$log_dir" 2>/dev/null || true
rm -f "\$log_dir/lock"
[ "\$(id -u)" = 0 ] || exec s6-log 1 n10 s1000000 T "\$log_dir"
exec s6-setuidgid hermes s6-log 1 n10 s1000000 T "\$log_dir"
END
chmod 755 "$slot/run" "$slot/finish" "$slot/log/run"
for of in "$slot" "$slot/log"; do
    mkdir "$of/event" "$of/supervise" "$of/supervise/event"
    chmod 3730 "$of/event" "$of/supervise/event"
    mkfifo "$of/supervise/control"
    chmod 660 "$of/supervise/control"
done
[ -z "$3" ] || : >"$slot/$3"
mv "$slot" "$2/gateway-$1"
/command/s6-svscanctl -a "$2"
"#;

/// How a container is made: `docker run` in a value.
pub struct Spec {
    pub environment: Vec<(String, String)>,
    pub tree: Tree,
    pub home: String,
    pub uid: u32,
    /// The user and the group that PID 1 and all commands are, if not root: `docker run --user`.
    pub user: Option<(u32, u32)>,
    /// The main program; what is no path is run by the image's wrapper.
    pub main: Vec<String>,
    /// Names of the image's static services.
    pub services: Vec<String>,
    /// How many files each process may have open, if that is limited: `docker run --ulimit`.
    pub descriptors: Option<u32>,
    /// What PID 1 and root's commands may do, with commas between, if that is limited: `docker
    /// run --cap-drop=ALL --cap-add=`.
    pub capabilities: Option<&'static str>,
    /// Files and directories of the machine that are in the container at the same place.
    pub mounts: Vec<PathBuf>,
    /// Groups that PID 1 has besides root's, with commas between: `docker run --group-add`.
    pub groups: &'static str,
    /// Whether /proc hides from each user the processes of others: the number of proc(5).
    pub hidepid: u8,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            environment: Vec::new(),
            tree: tree(),
            home: "/opt/data".into(),
            uid: HERMES,
            user: None,
            main: Vec::new(),
            services: Vec::new(),
            descriptors: None,
            capabilities: None,
            mounts: Vec::new(),
            groups: "",
            hidepid: 0,
        }
    }
}

/// A container, running or stopped; dropping it leaves nothing behind.
pub struct Container {
    dir: tempfile::TempDir,
    spec: Spec,
    volume: Volume,
    init: Option<Init>,
}

/// The namespace's PID 1 and the process that keeps it.
struct Init {
    keeper: Child,
    pid: u32,
}

/// What a command in the container did.
#[derive(Debug, Default)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    fn of(output: std::process::Output) -> Output {
        let text = untranslated;
        let status = output.status;
        Output {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Whether it succeeded.
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// The stdout of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }
}

impl Container {
    /// Makes a container of `spec` on `volume`, and boots it.
    pub fn boot(volume: Volume, spec: Spec) -> Container {
        let mut container = Container::new(volume, spec);
        container.start();
        container
    }

    /// Makes a container of `spec` on `volume`; does not start it.
    pub fn new(volume: Volume, mut spec: Spec) -> Container {
        if spec.tree == Tree::User {
            spec.environment.push(("HERMES_GW_TREE".into(), "user".into()));
        }
        let dir = tempfile::Builder::new().prefix("container-").tempdir_in(workspace()).unwrap();
        let root = dir.path().join("root");
        copy_image(&root);
        let put = |name: &str, content: &str| {
            let path = root.join(name);
            // The image's files are hard links: replace, never write into them.
            let _ = fs::remove_file(&path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let uid = spec.uid;
        put(
            "etc/passwd",
            &format!("root:x:0:0::/root:/bin/sh\nhermes:x:{uid}:{uid}::/opt/data:/bin/sh\n"),
        );
        put("etc/group", &format!("root:x:0:\nhermes:x:{uid}:\nvideo:x:44:hermes\n"));
        for (name, value) in
            spec.environment.iter().chain([&("HERMES_HOME".into(), spec.home.clone())])
        {
            put(&format!("etc/container_environment/{name}"), value);
        }
        for service in &spec.services {
            put(&format!("usr/lib/container/static/{service}/down"), "");
            put(&format!("usr/lib/container/static/{service}/run"), "");
        }
        fs::create_dir_all(root.join(&spec.home[1..])).unwrap();
        install(&root);
        volume.give(uid);
        Container { dir, spec, volume, init: None }
    }

    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// The container's root, from outside and while it is stopped.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// From here on /run outlives a restart, as it does in Docker without a tmpfs there.
    pub fn keep_run(&self) {
        fs::write(self.root().join("run/survives"), "").unwrap();
    }

    /// Starts it and waits until stage 2 has asked for its scan: `docker start`.
    pub fn start(&mut self) {
        self.launch();
        self.wait_booted();
    }

    /// Starts it, and goes on.
    pub fn launch(&mut self) {
        assert!(self.init.is_none(), "it runs already");
        let console = fs::File::create(self.dir.path().join("console")).unwrap();
        let mut command = self.limited("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .args(match self.spec.groups {
                "" => vec!["--clear-groups"],
                groups => vec!["--groups", groups],
            })
            .args(["unshare", "--mount", "--pid", "--ipc", "--uts", "--net"])
            .args(["--fork", "--kill-child=KILL", "--"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/enter.sh"))
            .args([&self.root(), self.volume.path()])
            .arg(&self.spec.home)
            .arg(std::env::join_paths(&self.spec.mounts).unwrap())
            .arg(self.limits());
        if let Some(first) = self.spec.main.first() {
            // A newer image has another script before it, and its own path.
            let wrapper = (!first.starts_with('/')).then_some("/opt/hermes/docker/main-wrapper.sh");
            command.args(wrapper).args(&self.spec.main);
        }
        command.env("PROC_OPTIONS", format!("hidepid={}", self.spec.hidepid));
        command.stdin(Stdio::null()).stdout(console.try_clone().unwrap()).stderr(console);
        // Where /run outlives the container, it tells of the boot before.
        let _ = fs::remove_file(self.root().join("run/booted"));
        let keeper = command.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", keeper.id());
        self.init = Some(Init { keeper, pid: 0 });
        let pid = wait_or("the container's PID 1", || {
            let children = fs::read_to_string(&children).map_err(|error| error.to_string())?;
            children.trim().parse().map_err(|_| children)
        });
        self.init.as_mut().unwrap().pid = pid;
    }

    /// Waits until one that was launched has booted.
    pub fn wait_booted(&self) {
        let booted = self.inside("/run/booted");
        wait_until(
            &format!(
                "boot of the container; its console: {}",
                self.dir.path().join("console").display()
            ),
            || booted.exists(),
        );
    }

    /// Whether PID 1's own s6-svscan supervises the gateways.
    pub fn is_root_tree(&self) -> bool {
        self.spec.tree == Tree::Root
    }

    /// A path inside, as it is seen from outside while it runs.
    pub fn inside(&self, path: &str) -> PathBuf {
        let path = self.translated(path);
        format!("/proc/{}/root{path}", self.init.as_ref().expect("it does not run").pid).into()
    }

    /// What a test says, for the layout of this container.
    fn translated(&self, text: &str) -> String {
        match self.spec.tree {
            Tree::Root => text.to_string(),
            Tree::User => text.replace(SCANDIR, USER_SCANDIR),
        }
    }

    /// What the container printed since its start: `docker logs`.
    pub fn console(&self) -> String {
        let mut bytes = Vec::new();
        fs::File::open(self.dir.path().join("console")).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).replace(USER_SCANDIR, SCANDIR)
    }

    /// `docker stop`: SIGTERM to PID 1, and waits for the end.
    pub fn stop(&mut self) {
        let mut init = self.init.take().expect("it does not run");
        run(Command::new("kill").args(["-TERM", &init.pid.to_string()]));
        wait_until("stop of the container", || init.keeper.try_wait().unwrap().is_some());
    }

    /// `docker kill`.
    pub fn kill(&mut self) {
        let mut init = self.init.take().expect("it does not run");
        run(Command::new("kill").args(["-KILL", &init.pid.to_string()]));
        wait_until("kill of the container", || init.keeper.try_wait().unwrap().is_some());
    }

    /// Lets a process go on that was stopped; it is known by all its `args`.
    #[track_caller]
    pub fn go_on(&self, args: &str) {
        let all = self.as_root(&["ps", "-eo", "pid=,args="]).ok();
        let mut all = all.lines().filter_map(|line| line.trim_start().split_once(' '));
        let (pid, _) = all.find(|(_, its)| *its == args).unwrap_or_else(|| panic!("no {args}"));
        self.as_root(&["sh", "-c", &format!("kill -CONT {pid}")]).ok();
    }

    /// Sends the s6-svscan of the gateways a signal, from outside: so that even STOP reaches
    /// PID 1.
    pub fn signal_svscan(&self, signal: &str) {
        let init = self.init.as_ref().expect("it does not run").pid;
        let pid = match self.spec.tree {
            Tree::Root => init,
            Tree::User => {
                // By no process of ours: some tests have little time from one signal to the next.
                let pids = fs::read_dir("/proc").unwrap();
                let pids = pids.filter_map(|it| it.unwrap().file_name().to_str()?.parse().ok());
                let is_it = |pid: &u32| {
                    let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                    let of_gateways = format!("{USER_SCANDIR}\0");
                    args.starts_with(b"s6-svscan\0")
                        && args.ends_with(of_gateways.as_bytes())
                        && same_pid_namespace(*pid, init)
                };
                pids.into_iter().find(is_it).expect("an s6-svscan of hermes")
            }
        };
        run(Command::new("kill").args(["-s", signal, &pid.to_string()]));
    }

    /// `docker restart`: /run is laid anew (but see `keep_run`), the volume kept.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Another container on the same volume, in the layout `tree`, from the same image.
    pub fn switch(&mut self, tree: Tree) {
        self.stop();
        let setting = self.root().join("etc/container_environment/HERMES_GW_TREE");
        self.spec.tree = tree;
        self.spec.environment.retain(|(name, _)| name != "HERMES_GW_TREE");
        let _ = fs::remove_file(&setting);
        if tree == Tree::User {
            self.spec.environment.push(("HERMES_GW_TREE".into(), "user".into()));
            fs::write(setting, "user").unwrap();
        }
        self.start();
    }

    /// `docker exec` as root: the container's own environment, no /command on PATH.
    pub fn root_command(&self, args: &[&str]) -> Command {
        self.command(0, args)
    }

    /// Runs a command as root, as `docker exec` does.
    pub fn as_root(&self, args: &[&str]) -> Output {
        Output::of(self.root_command(args).output().unwrap())
    }

    /// `docker exec -u hermes`, likewise; with `--user`, `docker exec`.
    pub fn hermes_command(&self, args: &[&str]) -> Command {
        let (uid, gid) = self.spec.user.unwrap_or((self.spec.uid, self.spec.uid));
        self.command_as(uid, gid, args)
    }

    /// Runs a command as the hermes user, as `docker exec -u` does.
    pub fn as_hermes(&self, args: &[&str]) -> Output {
        Output::of(self.hermes_command(args).output().unwrap())
    }

    /// `docker exec -u 777`, a user who is neither.
    pub fn stranger_command(&self, args: &[&str]) -> Command {
        self.command(777, args)
    }

    /// Runs a command as a user who is neither.
    pub fn as_stranger(&self, args: &[&str]) -> Output {
        Output::of(self.stranger_command(args).output().unwrap())
    }

    fn command(&self, uid: u32, args: &[&str]) -> Command {
        self.command_as(uid, uid, args)
    }

    fn command_as(&self, uid: u32, gid: u32, args: &[&str]) -> Command {
        let init = self.init.as_ref().expect("it does not run");
        // Only root can bound itself.
        let mut bounds = self.bounding_set();
        let first = if bounds.is_empty() { None } else { Some(0) };
        if first.is_some() && uid != 0 {
            let ids = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()];
            bounds.extend(ids);
        }
        let mut command = self.limited("nsenter");
        command
            .args(["--mount", "--pid", "--ipc", "--uts", "--net"])
            .args([
                format!("--target={}", init.pid),
                format!("--setuid={}", first.unwrap_or(uid)),
                format!("--setgid={}", first.unwrap_or(gid)),
            ])
            .arg("--")
            .args(bounds)
            .args(["/usr/bin/env", "--chdir=/", "-i", "PATH=/usr/local/bin:/usr/bin:/bin"])
            .args(self.spec.environment.iter().map(|(name, value)| format!("{name}={value}")))
            .arg(format!("HERMES_HOME={}", self.spec.home))
            .args(args.iter().map(|arg| self.translated(arg)))
            .stdin(Stdio::null());
        command
    }

    /// A `program` of the machine, under the container's limits.
    fn limited(&self, program: &str) -> Command {
        let Some(limit) = self.spec.descriptors else { return Command::new(program) };
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}")).arg(program);
        command
    }

    /// The command by which PID 1 becomes who may do less, if that is asked for.
    fn limits(&self) -> String {
        match self.spec.user {
            Some((uid, gid)) => format!("/bin/sh /usr/lib/container/as-user {uid} {gid}"),
            None => self.bounding_set().join(" "),
        }
    }

    /// What bounds what a command of root's may do here.
    fn bounding_set(&self) -> Vec<String> {
        let Some(capabilities) = self.spec.capabilities else { return Vec::new() };
        let kept: String = capabilities.split(',').map(|it| format!(",+{it}")).collect();
        ["/usr/bin/setpriv".into(), format!("--bounding-set=-all{kept}"), "--inh-caps=-all".into()]
            .into()
    }

    /// What s6-svstat, as hermes, says of the gateway of `profile`: `up`, `down` or an error.
    pub fn state(&self, profile: &str) -> String {
        let slot = format!("{SCANDIR}/gateway-{profile}");
        let output = self.as_hermes(&["/command/s6-svstat", "-o", "up", &slot]);
        match (output.code, output.stdout.trim()) {
            (0, "true") => "up".into(),
            (0, "false") => "down".into(),
            _ => output.stderr,
        }
    }

    /// Waits until a static service has nothing to do.
    #[track_caller]
    pub fn wait_parked(&self, service: &str) {
        let path = format!("{SCANDIR_OF_PID_1}/{service}");
        let stat = ["/command/s6-svstat", "-o", "up,wantedup", &path];
        wait_until(&format!("{service} to be parked"), || {
            self.as_root(&stat).stdout == "false false\n"
        });
    }

    /// Waits until the gateway of `profile` is up and has said so in its files.
    #[track_caller]
    pub fn wait_up(&self, profile: &str) {
        self.wait_up_in(profile, &self.volume.home(profile));
    }

    /// The same, where its files are elsewhere than they are by rule.
    #[track_caller]
    pub fn wait_up_in(&self, profile: &str, home: &Path) {
        wait_or("gateway to run", || {
            let state = fs::read_to_string(home.join("gateway_state.json")).unwrap_or_default();
            let has_pid_file = home.join("gateway.pid").exists();
            let said = state.contains(r#""gateway_state":"running""#) && has_pid_file;
            // Only then is it worth a process to ask s6; before s6-supervise has said anything
            // there is no pid.
            let pid = said.then(|| self.svstat_pid(profile).stdout.trim().to_string());
            // By this run, and not by one that was killed.
            let own = |pid| state.contains(&format!(r#""pid":{pid},"gateway_state":"running""#));
            match pid.as_ref().is_some_and(own) {
                true => Ok(()),
                false => Err(format!("{profile}: {:?}", (state, has_pid_file, pid))),
            }
        });
    }

    /// A slot that comes as Hermes' own layer makes them, with what of its scripts is to be
    /// told from ours; waits until it is supervised, and its logger runs.
    pub fn publish_as_hermes(&self, profile: &str, down: bool) {
        let down = if down { "down" } else { "" };
        self.as_hermes(&["sh", "-euc", HERMES_LAYER, "sh", profile, SCANDIR, down]).ok();
        let slot = format!("{SCANDIR}/gateway-{profile}");
        let status = self.inside(&slot).join("supervise/status");
        wait_until("the slot's supervisor", || status.exists());
        let logger = format!("s6-log 1 n10 s1000000 T {}/logs/gateways/{profile}", self.spec.home);
        wait_until("its logger", || {
            self.as_root(&["ps", "-eo", "args"]).ok().lines().any(|args| args == logger)
        });
    }

    /// The files of `profile`'s slot that are the same in each of ours, with its name taken out.
    pub fn slot_files(&self, profile: &str) -> Vec<(&'static str, u32, String)> {
        use std::os::unix::fs::PermissionsExt;
        let slot = self.inside(&format!("{SCANDIR}/gateway-{profile}"));
        let file = |name: &'static str| {
            let path = slot.join(name);
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let mut content = String::new();
            for word in fs::read_to_string(&path).ok()?.split_inclusive(|c| !is_of_name(c)) {
                match word.strip_prefix(profile) {
                    Some(end) if !end.starts_with(is_of_name) => {
                        content += &format!("PROFILE{end}")
                    }
                    _ => content += word,
                }
            }
            let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o7777;
            Some((name, mode, content))
        };
        let of_gateway = ["type", "max-death-tally", "timeout-finish", "finish", "run"];
        of_gateway.into_iter().chain(["log/finish", "log/run"]).filter_map(file).collect()
    }

    /// The pid of the s6-supervise of `profile`.
    pub fn supervisor(&self, profile: &str) -> String {
        self.pid_by_args(&format!("s6-supervise gateway-{profile}")).unwrap()
    }

    /// The processes in it whose command line begins with `start`: uid, pid and command line. A
    /// child that has not yet become another program bears its parent's: it is left out.
    pub fn processes(&self, start: &str) -> Vec<(u32, u32, String)> {
        let all = self.as_root(&["ps", "-eo", "uid=,pid=,ppid=,args="]).ok();
        let mut found = Vec::new();
        for line in all.lines() {
            let (mut rest, mut ids) = (line, [0; 3]);
            for id in &mut ids {
                let (number, after) = rest.trim_start().split_once(' ').unwrap();
                (*id, rest) = (number.parse().unwrap(), after);
            }
            let [uid, pid, parent] = ids;
            let args = rest.trim_start();
            if args.starts_with(start) {
                found.push((parent, (uid, pid, args.to_string())));
            }
        }
        let is_child =
            |parent, args: &str| found.iter().any(|(_, it)| it.1 == parent && it.2 == args);
        let own = found.iter().filter(|(parent, it)| !is_child(*parent, &it.2));
        own.map(|(_, it)| it.clone()).collect()
    }

    /// The pid of a process in it whose command line ends with `args`.
    pub fn pid_by_args(&self, args: &str) -> Option<String> {
        let processes = self.as_root(&["ps", "-eo", "pid,args"]).ok();
        let line = processes.lines().find(|line| line.ends_with(args))?;
        Some(line.split_whitespace().next()?.into())
    }

    /// Kills the s6-supervise of `profile`, and waits until it holds nothing any more.
    pub fn kill_supervisor(&self, profile: &str) {
        let pid = self.supervisor(profile);
        self.as_root(&["sh", "-c", &format!("kill -KILL {pid}")]).ok();
        wait_until("the end of a killed s6-supervise", || {
            let state = self.as_root(&["ps", "-o", "stat=", "-p", &pid]).stdout;
            state.is_empty() || state.starts_with('Z')
        });
    }

    /// The supervised pid of the gateway of `profile`, by s6-svstat.
    pub fn pid(&self, profile: &str) -> String {
        self.svstat_pid(profile).ok().trim().into()
    }

    fn svstat_pid(&self, profile: &str) -> Output {
        let slot = format!("{SCANDIR}/gateway-{profile}");
        self.as_root(&["/command/s6-svstat", "-o", "pid", &slot])
    }
}

/// What `command` prints on a terminal.
pub fn on_terminal(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    run(Command::new("script").args(["-qec", &quoted.join(" "), "/dev/null"]))
}

/// What was said in a container of either layout, as a test reads it.
pub fn untranslated(said: Vec<u8>) -> String {
    String::from_utf8(said).unwrap().replace(USER_SCANDIR, SCANDIR)
}

fn same_pid_namespace(one: u32, other: u32) -> bool {
    let of = |pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    of(one).is_some() && of(one) == of(other)
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() && self.dir.path().join("console").exists() {
            eprintln!("--- console of the container ---\n{}", self.console());
        }
        if let Some(mut init) = self.init.take() {
            // PID 1 takes the whole namespace along. The keeper is its parent and ends with it; the
            // other way round, the machine's PID 1 would have to reap it, in its own time.
            if init.pid == 0 {
                let _ = init.keeper.kill();
            } else if let Ok(None) = init.keeper.try_wait() {
                let _ = Command::new("kill").args(["-KILL", &init.pid.to_string()]).status();
            }
            let _ = init.keeper.wait();
            // A second panic would take all other tests along.
            if !std::thread::panicking() {
                wait_until("end of the container", || {
                    !Path::new(&format!("/proc/{}", init.pid)).exists() || init.pid == 0
                });
            }
        }
    }
}

/// Puts rootfs/ into the container as an image author would, for tests to edit; the binary is in
/// the image.
fn install(root: &Path) {
    let rootfs = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs/.");
    run(Command::new("cp").args(["-a", rootfs]).arg(root));
    chown(root, Some(0), Some(0)).unwrap();
    let dir = root.join("etc/s6-overlay/user-bundles.d/user/contents.d");
    fs::create_dir_all(&dir).unwrap();
}

/// A link in the image, whatever was there before.
pub fn link(target: &str, at: &Path) {
    let _ = fs::remove_file(at);
    symlink(target, at).unwrap();
}

/// Waits until `ready`.
#[track_caller]
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    wait_or(what, || if ready() { Ok(()) } else { Err("it never was") });
}

/// Waits for what `ready` gives; its last error tells why it never did. The longer it takes,
/// the longer the pauses are: a look may cost several processes.
#[track_caller]
pub fn wait_or<T, E: Display>(what: &str, mut ready: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match ready() {
            Ok(value) => return value,
            Err(why) => assert!(start.elapsed() < PATIENCE, "waited too long for {what}: {why}"),
        }
        let pause = start.elapsed() / 10;
        std::thread::sleep(pause.clamp(Duration::from_millis(5), Duration::from_millis(100)));
    }
}
