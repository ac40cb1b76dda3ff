//! The user tree at its real size: how long it takes to start and to stop, and whose time that is.
//!
//! Nothing else should run on the machine. Beside it the same tree with bare slots: what s6 itself takes. What a process costs the kernel
//! tells when it ends (exits.c), and of those that live on /proc does.

use super::scale::write_program;
use super::support::{Container, Spec, Tree, Volume, run, wait_or, wait_until};
use super::{ms, temporary};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// As many as the tree holds; another number may be named behind the part.
const GATEWAYS: usize = 2000;
/// Stands for Hermes: each says that it runs, and has nothing else to do.
const PROGRAM: &str = "#!/bin/sh\necho >/opt/data/started\nexec sleep 1000\n";
/// Makes each slot as bare as it can be and do the same, before s6-svscan sees it.
const BARE: &str = "#!/bin/sh -e
cd /run/hermes-gw/service
for slot in gateway-*; do
printf '#!/bin/sh\\nexec /usr/local/bin/hermes\\n' >$slot/run
printf '#!/bin/sh\\nexec s6-log -p 1 n10 s1000000 T /opt/data/logs/gateways/%s\\n' \
    ${slot#gateway-} >$slot/log/run
done
rm -f gateway-*/finish gateway-*/log/finish
";

/// Whose time it is.
const SVSCAN: &str = "s6-svscan";
const SUPERVISE: &str = "s6-supervise";
const RUN: &str = "run, up to the program that stands for Hermes";
const LOG: &str = "log/run, and s6-log";
const FINISH: &str = "finish";
const LOG_FINISH: &str = "log/finish";
const OURS: &str = "hermes-gw reconcile and shutdown";
const OTHER: &str = "the container's own";
const ROWS: [&str; 8] = [SVSCAN, SUPERVISE, RUN, LOG, FINISH, LOG_FINISH, OURS, OTHER];

/// A process that has ended, or how far one has come that has not.
struct Task {
    pid: u32,
    parent: u32,
    cpu: Duration,
    lived: Duration,
    name: String,
}

/// How many processes of a kind had part in it, and their time on a processor.
type Costs = BTreeMap<&'static str, (usize, Duration)>;

/// One run of the tree.
struct Round {
    times: [(&'static str, Option<Duration>); 5],
    /// Of the start and of the stop.
    costs: [Costs; 2],
    /// All of the container's, as its parent is told in the end.
    whole: Duration,
    /// What our own verbs took.
    verbs: Vec<String>,
}

/// What the kernel tells of each process that ends.
struct Exits {
    listener: Child,
    program: PathBuf,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Exits {
    fn new() -> Exits {
        let dir = temporary(&std::env::temp_dir());
        let [program, file] = ["exits", "lines"].map(|name| dir.path().join(name));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/bench/exits.c");
        let options = ["-std=gnu11", "-Wall", "-Wextra", "-Os", source, "-o"];
        run(Command::new("cc").args(options).arg(&program));
        let lines = File::create(&file).unwrap();
        let mut listener = Command::new(&program).stdout(lines).spawn().unwrap();
        wait_until("the kernel to tell of processes that end", || {
            assert!(listener.try_wait().unwrap().is_none(), "exits has ended");
            fs::read_to_string(&file).unwrap().starts_with("ready\n")
        });
        Exits { listener, program, file, _dir: dir }
    }

    /// All that have ended so far.
    fn all(&mut self) -> Vec<Task> {
        // The lines of the last are on their way.
        std::thread::sleep(Duration::from_millis(200));
        assert!(self.listener.try_wait().unwrap().is_none(), "exits has ended: lines are lost");
        let lines = fs::read(&self.file).unwrap();
        let lines = String::from_utf8_lossy(&lines);
        lines.lines().skip(1).map(parse).collect()
    }

    /// How far all have come that live in the container of `init`; its supervisors are children of
    /// `svscan`.
    fn alive(&self, init: u32, svscan: u32) -> HashMap<u32, Alive> {
        let pids: Vec<_> = processes_of(init).iter().map(u32::to_string).collect();
        let mut of = Command::new(&self.program);
        let mut of = of.arg("of").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut to = of.stdin.take().unwrap();
        let writer = std::thread::spawn(move || to.write_all(pids.join("\n").as_bytes()).unwrap());
        let output = of.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        let mut alive = HashMap::new();
        for task in String::from_utf8_lossy(&output.stdout).lines().map(parse) {
            let mut service = String::new();
            if task.parent == svscan && task.name == "s6-supervise" {
                let args = fs::read_to_string(format!("/proc/{}/cmdline", task.pid)).unwrap();
                service = args.split('\0').nth(1).unwrap().into();
            }
            alive.insert(task.pid, Alive { task, service });
        }
        alive
    }
}

impl Drop for Exits {
    fn drop(&mut self) {
        let _ = self.listener.kill();
        let _ = self.listener.wait();
    }
}

fn parse(line: &str) -> Task {
    let fields: Vec<_> = line.splitn(5, ' ').collect();
    let number = |at: usize| fields[at].parse().unwrap();
    Task {
        pid: u32::try_from(number(0)).unwrap(),
        parent: u32::try_from(number(1)).unwrap(),
        cpu: Duration::from_micros(number(2)),
        lived: Duration::from_micros(number(3)),
        name: fields[4].into(),
    }
}

/// The part of the bench.
pub fn scale() {
    let number = std::env::args().find_map(|argument| argument.parse().ok());
    let gateways = number.unwrap_or(GATEWAYS);
    let (ours, bare) = (round(gateways, false), round(gateways, true));
    let running = gateways / 2;
    println!(
        "\n{:<52} {:>10} {:>10}",
        format!("{gateways} gateways, {running} run"),
        "hermes-gw",
        "bare"
    );
    let seconds = |time: Option<Duration>| match time {
        Some(time) => format!("{:.2}s", time.as_secs_f64()),
        None => "-".into(),
    };
    for ((what, ours), (_, bare)) in ours.times.iter().zip(&bare.times) {
        println!("{what:<52} {:>10} {:>10}", seconds(*ours), seconds(*bare));
    }
    for (at, what) in ["start", "stop"].iter().enumerate() {
        let what = format!("time on a processor: {what}");
        println!("\n{what:<52} {:>17} {:>17}", "hermes-gw", "bare");
        let [mut ours_all, mut bare_all] = [Duration::ZERO; 2];
        for row in ROWS {
            let of = |round: &Round| round.costs[at].get(row).copied().unwrap_or_default();
            let ((ours_count, ours), (bare_count, bare)) = (of(&ours), of(&bare));
            ours_all += ours;
            bare_all += bare;
            let cell = |count, time: Duration| format!("{count:>6} {:>9.2}s", time.as_secs_f64());
            println!("{row:<52} {} {}", cell(ours_count, ours), cell(bare_count, bare));
        }
        let [ours, bare] = [ours_all, bare_all].map(|time| time.as_secs_f64());
        println!("{:<52} {ours:>16.2}s {bare:>16.2}s", "all");
    }
    let [ours_whole, bare_whole] = [&ours, &bare].map(|round| round.whole.as_secs_f64());
    let what = "start and stop, with what ending a process takes";
    println!("\n{what:<52} {ours_whole:>16.2}s {bare_whole:>16.2}s");
    ours.verbs.iter().for_each(|line| println!("{line}"));
}

/// Boots such a tree and stops it; with `bare` slots, nothing of ours has part in either.
fn round(gateways: usize, bare: bool) -> Round {
    let volume = Volume::new();
    let mut names = vec!["default".to_string()];
    names.extend((1..gateways).map(|number| format!("p{number}")));
    let mut running = 0;
    for (at, name) in names.iter().enumerate() {
        volume.wanted(name, if at % 2 == 1 { "running" } else { "stopped" });
        running += at % 2;
        fs::create_dir_all(volume.path().join("logs/gateways").join(name)).unwrap();
    }
    let started = volume.path().join("started");
    run(Command::new("mkfifo").args(["-m", "666"]).arg(&started));
    let mut container = Container::new(volume, Spec { tree: Tree::User, ..Spec::default() });
    let root = container.root();
    write_program(&root.join("usr/local/bin/hermes"), PROGRAM);
    let service = root.join("etc/s6-overlay/s6-rc.d/hermes-gateways");
    // On a machine with other things to do it takes more than the two minutes of the image.
    write_program(&service.join("timeout-up"), "600000");
    if bare {
        write_program(&root.join("etc/cont-init.d/03-bare"), BARE);
        write_program(&service.join("up"), "sleep 0\n");
        write_program(&service.join("down"), "sleep 0\n");
        fs::remove_file(root.join("etc/cont-finish.d/02-stop-gateways")).unwrap();
    }
    let mut started = OpenOptions::new().read(true).write(true).open(started).unwrap();
    let mut exits = Exits::new();
    let others = children_time();

    container.launch();
    let container_root = container.inside("");
    let init: u32 = container_root.iter().nth(2).unwrap().to_str().unwrap().parse().unwrap();
    let svscan = svscan_of(init);
    let begun = started_at(svscan);
    let scandir = container.inside("/run/service");
    let slots: Vec<_> = names.iter().map(|name| scandir.join(format!("gateway-{name}"))).collect();
    let logs = container.volume().path().join("logs/gateways");
    // By one look at each that is there already: a look at all costs the tree processor time.
    let say = std::thread::spawn(move || {
        started.read_exact(&mut vec![0; running]).unwrap();
        boot_time()
    });
    each(slots.iter().map(|slot| slot.join("supervise/control")), has_reader);
    each(slots.iter().map(|slot| slot.join("log/supervise/control")), has_reader);
    let supervised = boot_time() - begun;
    each(names.iter().map(|name| logs.join(name).join("current")), |path| path.exists());
    let logged = boot_time() - begun;
    let ran = (say.join().unwrap() - begun).max(logged);
    container.wait_booted();

    let alive = exits.alive(init, svscan);
    let before = exits.all();
    let gone = std::thread::spawn(move || {
        let process = PathBuf::from(format!("/proc/{svscan}"));
        wait_until("the end of s6-svscan", || !process.exists());
        boot_time()
    });
    let asked = boot_time();
    container.stop();
    let (ended, gone) = (boot_time() - asked, gone.join().unwrap() - asked);
    let whole = children_time() - others;
    let mut after = exits.all();
    after.drain(..before.len());

    let whose = Whose { init, svscan, alive: &alive };
    let own = whose.own(&[&before, &after]);
    let mut costs = [Costs::new(), Costs::new()];
    let mut verbs = Vec::new();
    for task in before.iter().chain(alive.values().map(|it| &it.task)) {
        whose.add(task, task.cpu, &own, &mut costs[0]);
    }
    for task in &after {
        let until_then = alive.get(&task.pid).map_or(Duration::ZERO, |it| it.task.cpu);
        whose.add(task, task.cpu.saturating_sub(until_then), &own, &mut costs[1]);
    }
    let mut shutdown = None;
    for (task, when) in
        before.iter().map(|it| (it, "start")).chain(after.iter().map(|it| (it, "stop")))
    {
        let is_long = task.lived > Duration::from_millis(5);
        if is_long && own.contains(&task.pid) && whose.row(task) == OURS {
            let (lived, cpu) = (ms(task.lived), ms(task.cpu));
            let name = &task.name;
            verbs.push(format!("{when}: {name:<16} {lived:>9.2}ms, on a processor {cpu:>9.2}ms"));
            // Not standby, which has a supervisor.
            let of_service =
                alive.get(&task.parent).is_some_and(|it| it.task.name == "s6-supervise");
            if when == "stop" && !bare && !of_service {
                shutdown = shutdown.max(Some(task.lived));
            }
        }
    }
    let times = [
        ("from s6-svscan's start to all supervisors", Some(supervised)),
        ("and to all that are to run, and all loggers", Some(ran)),
        ("of the stop: hermes-gw shutdown", shutdown),
        ("from the stop to the end of s6-svscan", Some(gone)),
        ("and of the container (with 3 s that s6-overlay waits)", Some(ended)),
    ];
    Round { times, costs, whole, verbs }
}

/// One that has not ended.
struct Alive {
    task: Task,
    /// What it supervises, if it is a supervisor.
    service: String,
}

/// Tells of each process whose time its own is.
struct Whose<'a> {
    init: u32,
    svscan: u32,
    alive: &'a HashMap<u32, Alive>,
}

impl Whose<'_> {
    /// The container's processes among all that have ended on the machine meanwhile, and those
    /// that live.
    fn own(&self, ended: &[&[Task]]) -> HashSet<u32> {
        let mut own: HashSet<_> = self.alive.keys().copied().chain([self.init]).collect();
        // Who has a parent ends before it: from the last on, so that nobody's is one whose pid
        // somebody else had before.
        for task in ended.iter().copied().flatten().rev() {
            if own.contains(&task.parent) {
                own.insert(task.pid);
            }
        }
        own
    }

    fn row(&self, task: &Task) -> &'static str {
        let service = |pid| self.alive.get(pid).map_or("", |it| it.service.as_str());
        let (of, is_finish) = (service(&task.parent), ["finish", "hermes-gw"]);
        let is_finish = is_finish.contains(&task.name.as_str());
        match (of.is_empty(), of.ends_with("/log"), is_finish) {
            (false, false, false) => RUN,
            (false, false, true) => FINISH,
            (false, true, false) => LOG,
            (false, true, true) => LOG_FINISH,
            _ if task.pid == self.svscan => SVSCAN,
            _ if !service(&task.pid).is_empty() => SUPERVISE,
            // By what it is called, which the kernel cuts short.
            _ if task.name == "hermes-gw" || task.name.starts_with("02-") => OURS,
            _ => OTHER,
        }
    }

    fn add(&self, task: &Task, cpu: Duration, own: &HashSet<u32>, costs: &mut Costs) {
        if own.contains(&task.pid) {
            let (count, time) = costs.entry(self.row(task)).or_default();
            *count += 1;
            *time += cpu;
        }
    }
}

/// The processes in the PID namespace of `init`.
fn processes_of(init: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(init);
    let pids = fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|it| it.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| namespace(*pid) == own).collect()
}

/// Field `number` of /proc/PID/stat, if the process is there.
fn field(pid: u32, number: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(number - 3)?.parse().ok()
}

/// The s6-svscan of the user tree, which its own supervisor starts.
fn svscan_of(init: u32) -> u32 {
    wait_or("the gateways' s6-svscan", || {
        let is_it = |pid: &u32| {
            let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            args.starts_with(b"s6-svscan\0") && args.ends_with(b"/run/hermes-gw/service\0")
        };
        processes_of(init).into_iter().find(is_it).ok_or("it is not there")
    })
}

/// Since the machine's boot.
fn boot_time() -> Duration {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    Duration::from_secs_f64(uptime.split(' ').next().unwrap().parse().unwrap())
}

/// What the processes took that this one has waited for.
fn children_time() -> Duration {
    let own = std::process::id();
    Duration::from_millis(10 * (field(own, 16).unwrap() + field(own, 17).unwrap()))
}

/// When `pid` was started, since the machine's boot; both in hundredths of a second.
fn started_at(pid: u32) -> Duration {
    Duration::from_millis(10 * field(pid, 22).unwrap())
}

/// Waits until each of `paths` is what it is to be. What is there already is looked at once: a
/// look at all, again and again, would cost the tree processor time.
fn each(paths: impl Iterator<Item = PathBuf>, is: impl Fn(&Path) -> bool) {
    for path in paths {
        wait_until(&path.display().to_string(), || is(&path));
    }
}

/// Whether somebody reads from the FIFO at `path`.
fn has_reader(path: &Path) -> bool {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(path).is_ok()
}
