//! Every changing verb killed, failed and cut short at each of its system calls.
//!
//! `make sweep` goes through all of them; `make test` through a sample. After each point: no half
//! slot, no lost or cut state file, no hang, no end without a word, nothing that was not done and
//! is called done; and the next run leaves what an undisturbed one does, and nothing besides.
#![cfg(target_arch = "x86_64")]

use crate::support;
#[path = "../support/tracer.rs"]
mod tracer;

use nix::errno::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use support::{Container, Spec, Volume, binary, run, wait_until, workspace};
use tracer::{Act, Call, Mode, Point, STOPPED, Traced, trace};

/// What a call fails with.
const ERRNOS: [Errno; 8] = [
    Errno::EIO,
    Errno::ENOSPC,
    Errno::EACCES,
    Errno::EROFS,
    Errno::EMFILE,
    Errno::ENOMEM,
    Errno::EINTR,
    Errno::ENOENT,
];
/// The exit codes that the manual knows.
const CODES: [i32; 8] = [0, 1, 3, 4, 99, 100, 102, 111];
/// What the longest verb gets on a busy machine.
const TIME: Duration = Duration::from_secs(90);
/// Of all points, one in so many is a part of the sample; no divisor of the number of acts.
const SAMPLE: usize = 197;

/// Of all points, one in so many is tried: all of them where `make sweep` says so.
fn one_in(sample: usize) -> usize {
    let named = std::env::var("HERMES_GW_SWEEP").ok().map(|it| it.parse().expect("a number"));
    named.unwrap_or(sample)
}

/// How many points are tried side by side.
fn workers() -> usize {
    let named = std::env::var("HERMES_GW_SWEEP_WORKERS").ok().and_then(|it| it.parse().ok());
    named.unwrap_or(4)
}

/// A file, FIFO, link or directory: its kind, mode and content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: char,
    mode: u32,
    content: Vec<u8>,
}

type Tree = BTreeMap<String, Entry>;

/// All below `dir`, by its path from there.
fn tree(dir: &Path) -> Tree {
    fn walk(dir: &Path, prefix: &str, tree: &mut Tree) {
        // What goes meanwhile is not there.
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let (kind, content) = match meta.file_type() {
                it if it.is_dir() => ('d', Vec::new()),
                it if it.is_fifo() => ('p', Vec::new()),
                it if it.is_symlink() => {
                    ('l', fs::read_link(&path).unwrap().to_string_lossy().into_owned().into())
                }
                _ => ('f', fs::read(&path).unwrap_or_default()),
            };
            let mode = meta.permissions().mode() & 0o7777;
            if kind == 'd' {
                walk(&path, &format!("{name}/"), tree);
            }
            tree.insert(name, Entry { kind, mode, content });
        }
    }
    let mut all = Tree::new();
    walk(dir, "", &mut all);
    all
}

/// The numbers that time makes are taken out of what is compared.
fn timeless(name: &str, entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if name.ends_with(".log") || name.ends_with(".log.1") {
        // A line for each run: which they are is no matter here.
        entry.content.clear();
    } else if name.ends_with("supervise/status") {
        entry.content.clear();
    } else if name.ends_with(".json")
        && let Ok(serde_json::Value::Object(mut all)) = serde_json::from_slice(&entry.content)
    {
        for key in ["updated_at", "written_at", "stopper_pid"] {
            all.remove(key);
        }
        entry.content = serde_json::to_vec(&all).unwrap();
    }
    entry
}

/// What differs between two trees, in words.
fn differences(one: &Tree, other: &Tree) -> Vec<String> {
    let mut names: Vec<_> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let show = |entry: Option<&Entry>| match entry {
        None => "nothing".to_string(),
        Some(it) => {
            let content = String::from_utf8_lossy(&it.content);
            let content: String = content.chars().take(120).collect();
            format!("{} {:o} {content:?}", it.kind, it.mode)
        }
    };
    let differs = |name: &&&String| {
        let of = |tree: &Tree| tree.get(**name).map(|entry| timeless(name, entry));
        of(one) != of(other)
    };
    let said = |name: &String| {
        format!("{name}: {}, and should be {}", show(one.get(name)), show(other.get(name)))
    };
    names.iter().filter(differs).map(|name| said(name)).collect()
}

/// What only a run that was killed leaves, which the next one is to remove.
fn leftovers(tree: &Tree) -> Vec<String> {
    let is_ours = |name: &&String| {
        let last = name.rsplit('/').next().unwrap();
        last.ends_with(".tmp")
            || last.contains("ftrig1:@")
            || last == ".hermes-gw.swept"
            || last.starts_with(".gateway-") && (last.ends_with(".gone") || last.contains(".tmp"))
    };
    tree.keys().filter(is_ours).map(|name| format!("{name} is left")).collect()
}

/// A home and a scandir as they are before the verb.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn scandir(&self) -> PathBuf {
        self.dir.path().join("scandir")
    }

    fn tree(&self) -> Tree {
        tree(self.dir.path())
    }

    fn copy(&self) -> Scene {
        let dir = tempfile::Builder::new().prefix("sweep-").tempdir_in(workspace()).unwrap();
        run(Command::new("cp").arg("-a").arg(self.dir.path().join(".")).arg(dir.path()));
        Scene { dir }
    }

    /// `verb`, which waits to be traced.
    fn command(&self, processes: &Processes, verb: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", processes.init)).args(["--pid", "--mount", "--", "sh"]);
        let slot = self.scandir().join("gateway-runs");
        let of_logger = verb.iter().any(|word| word.ends_with("/log"));
        command.args(["-c", STOPPED]).arg(if verb[0] != "finish" {
            "/".into()
        } else if of_logger {
            slot.join("log")
        } else {
            slot
        });
        command.arg(binary());
        command.arg("--home").arg(self.home()).arg("--scandir").arg(self.scandir());
        command.args(verb).env_clear().env("HERMES_GW_USER", "root").env("PATH", "/usr/bin:/bin");
        command
    }

    fn trace(&self, processes: &Processes, verb: &[&str], mode: Mode) -> Traced {
        let command = self.command(processes, verb);
        let scandir = self.scandir();
        trace(command, mode, TIME, &mut |pid| {
            if verb[0] == "finish" {
                supervise(&scandir.join("gateway-runs"), inside(pid));
            }
        })
    }

    fn run(&self, processes: &Processes, verb: &[&str]) -> Traced {
        self.trace(processes, verb, Mode::Alone)
    }
}

/// A PID namespace with a /proc of its own: the same processes each time.
struct Processes {
    keeper: Child,
    init: u32,
}

impl Processes {
    fn new() -> Processes {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--mount-proc"]);
        command.args(["--fork", "--kill-child=KILL", "--", "sleep", "infinity"]);
        let keeper = command.stdin(Stdio::null()).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", keeper.id());
        let mut init = None;
        wait_until("a PID namespace", || {
            init = fs::read_to_string(&children).ok().and_then(|it| it.trim().parse().ok());
            let of = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm"));
            init.is_some_and(|pid| of(pid).is_ok_and(|comm| comm == "sleep\n"))
        });
        Processes { keeper, init: init.unwrap() }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // Its end takes all of the namespace along.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// What `pid`, as it is seen from outside, is in its own namespace.
fn inside(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    line.split_whitespace().last().unwrap().parse().unwrap()
}

/// A status as s6-supervise leaves it while `pid` is the finish of a gateway that died.
fn supervise(slot: &Path, pid: u32) {
    let died = (1u64 << 62) + 37 + 1_700_000_000;
    let mut status = Vec::new();
    for _ in 0..2 {
        status.extend(died.to_be_bytes());
        status.extend([0; 4]);
    }
    status.extend(u64::from(pid).to_be_bytes());
    status.extend([1, 0, 2 | 4]);
    fs::write(slot.join("supervise/status"), status).unwrap();
    // As `run` empties it when the gateway starts.
    let record = fs::File::create(slot.join("crash-record")).unwrap();
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - 30);
    record.set_modified(started).unwrap();
}

/// A home with profiles of each kind, and an empty scandir.
fn empty() -> Scene {
    let dir = tempfile::Builder::new().prefix("scene-").tempdir_in(workspace()).unwrap();
    let scene = Scene { dir };
    fs::create_dir(scene.home()).unwrap();
    fs::create_dir(scene.scandir()).unwrap();
    let put = |name: &str, content: &str| {
        let path = scene.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let wanted = |word: &str| format!(r#"{{"gateway_state":"stopped","desired_state":"{word}"}}"#);
    put("gateway_state.json", &wanted("running"));
    for (name, word) in [("runs", "running"), ("stays", "stopped")] {
        put(&format!("profiles/{name}/SOUL.md"), "");
        put(&format!("profiles/{name}/gateway_state.json"), &wanted(word));
        put(&format!("profiles/{name}/gateway.pid"), "{}");
        put(&format!("profiles/{name}/processes.json"), "[]");
    }
    fs::create_dir_all(scene.home().join("logs/gateways/runs")).unwrap();
    scene
}

/// The same, and the slots of a boot.
fn booted() -> Scene {
    let scene = empty();
    let boot = scene.run(&Processes::new(), &["reconcile", "--boot"]);
    assert_eq!(boot.code, 0, "{boot:?}");
    scene
}

/// The same, with all that can be wrong with slots that nobody supervises.
fn stale() -> Scene {
    let scene = booted();
    let at = |name: &str| scene.scandir().join(name);
    let replace = |name: &str, content: &str| {
        // Other slots may have the same file.
        fs::remove_file(at(name)).unwrap();
        fs::write(at(name), content).unwrap();
    };
    replace("gateway-runs/run", "#!/bin/sh\n");
    replace("gateway-runs/log/run", "#!/bin/sh\n");
    fs::remove_file(at("gateway-stays/timeout-finish")).unwrap();
    fs::remove_dir(at("gateway-stays/supervise/event")).unwrap();
    fs::remove_dir(at("gateway-default/event")).unwrap();
    fs::write(at("gateway-default/event"), "").unwrap();
    fs::set_permissions(at("gateway-stays/event"), fs::Permissions::from_mode(0o730)).unwrap();
    fs::create_dir_all(at(".gateway-runs.tmp/log")).unwrap();
    fs::write(at(".gateway-runs.tmp/run"), "").unwrap();
    fs::create_dir_all(at(".gateway-old.gone/log")).unwrap();
    fs::write(at(".gateway-old.gone/log/run"), "").unwrap();
    let fifo = at("gateway-runs/event/.ftrig1:@400000006a5fb1251dcd6500:0003ff");
    run(Command::new("mkfifo").arg(fifo));
    for name in ["gateway.pid", "processes.json"] {
        fs::write(scene.home().join("profiles/stays").join(name), "left").unwrap();
    }
    scene
}

/// The same as booted, with a slot whose profile is gone.
fn orphaned() -> Scene {
    let scene = booted();
    fs::remove_dir_all(scene.home().join("profiles/stays")).unwrap();
    scene
}

/// The same as booted, with a boot log that is to be rotated.
fn logged() -> Scene {
    let scene = empty();
    fs::create_dir_all(scene.home().join("logs")).unwrap();
    fs::write(scene.home().join("logs/container-boot.log"), "x".repeat(300 << 10)).unwrap();
    scene
}

/// The same as booted, with what is there once a gateway has died.
fn died() -> Scene {
    let scene = booted();
    let slot = scene.scandir().join("gateway-runs");
    supervise(&slot, 0);
    let mut tally = Vec::new();
    for at in [40u64, 0] {
        tally.extend(((1u64 << 62) + 37 + 1_700_000_000 - at).to_be_bytes());
        tally.extend([0, 0, 0, 0, 1, 0]);
    }
    fs::write(slot.join("supervise/death_tally"), tally).unwrap();
    scene
}

/// A verb without a supervisor.
struct Offline {
    scene: fn() -> Scene,
    verb: &'static [&'static str],
    /// How it ends if nothing is in its way.
    code: i32,
}

const OFFLINE: [Offline; 13] = [
    Offline { scene: empty, verb: &["reconcile", "--boot"], code: 0 },
    Offline { scene: empty, verb: &["reconcile", "--boot", "--policy", "root"], code: 0 },
    Offline { scene: stale, verb: &["reconcile", "--boot"], code: 0 },
    Offline { scene: logged, verb: &["reconcile", "--boot"], code: 0 },
    Offline { scene: orphaned, verb: &["reconcile", "--boot", "--prune"], code: 0 },
    Offline { scene: stale, verb: &["reconcile"], code: 102 },
    Offline { scene: empty, verb: &["register", "runs", "--env", "A=b", "--force"], code: 102 },
    Offline { scene: booted, verb: &["unregister", "runs", "stays"], code: 0 },
    Offline { scene: booted, verb: &["stop", "runs"], code: 102 },
    Offline { scene: booted, verb: &["start", "stays"], code: 102 },
    Offline { scene: booted, verb: &["hook", "profile-delete", "runs"], code: 0 },
    Offline { scene: died, verb: &["finish", "1", "0", "gateway-runs"], code: 0 },
    Offline { scene: died, verb: &["finish", "0", "0", "gateway-runs"], code: 125 },
];

/// What is done to each of `calls`: all that makes sense, or a sample.
fn points(calls: &[Call], errnos: &dyn Fn(usize) -> Vec<Errno>, sample: usize) -> Vec<Point> {
    let own = calls.iter().position(Call::opens).unwrap();
    let mut points = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        points.push(Point { at, act: Act::Kill });
        if at >= own && call.may_fail() {
            points.extend(errnos(at).into_iter().map(|it| Point { at, act: Act::Fail(it) }));
        }
        // What the kernel makes up in /proc it gives as one piece, if there is room.
        let is_whole = at > 0 && calls[at - 1].what.contains("/proc/");
        if at >= own && call.can_be_short && !is_whole {
            points.push(Point { at, act: Act::Short });
        }
    }
    // A sample begins in the middle: before the first call of its own it has done nothing.
    let (step, half) = (one_in(sample), points.len() / 2);
    points.into_iter().skip((step / 2).min(half)).step_by(step).collect()
}

/// Does `sweep` with each of `points`, side by side; each gives what is wrong there.
fn side_by_side<W>(
    points: &[Point],
    workers: usize,
    worker: &(dyn Fn() -> W + Sync),
    sweep: &(dyn Fn(&mut W, Point) -> Vec<String> + Sync),
) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers.min(points.len()) {
            scope.spawn(|| {
                let mut worker = worker();
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let violations = sweep(&mut worker, *point);
                    if !violations.is_empty() {
                        eprintln!("{}", violations.join("\n"));
                        wrong.lock().unwrap().extend(violations);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// What is wrong with how a run ended that was interfered with at `point`.
fn ending(traced: &Traced, point: Point) -> Vec<String> {
    let mut wrong = Vec::new();
    if traced.hung {
        wrong.push("it hangs".into());
    }
    if point.act == Act::Kill {
        return wrong;
    }
    let known = CODES.contains(&traced.code) || traced.code == 125;
    // What is said where nothing can be said is lost.
    let is_mute = traced.calls.last().is_some_and(|call| {
        ["write 1", "write 2", "poll", "ppoll"].iter().any(|it| call.what.starts_with(it))
    });
    // finish tells its decision on stdout.
    let told = ["failed", "hermes-gw: parked: "].iter().any(|it| traced.stdout.contains(it));
    let said = !traced.stderr.is_empty() || told;
    if !known {
        wrong.push(format!("it ends with {}", traced.code));
    } else if traced.code != 0 && !said && !is_mute {
        wrong.push(format!("it ends with {} and says nothing", traced.code));
    }
    wrong
}

/// What is wrong with a tree where a run may have been cut off between `before` and `after`.
fn half_done(now: &Tree, before: &Tree, after: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_slot = |name: &str| name.contains("gateway-") && !name.contains(".gateway-");
    let slot_of = |name: &str| -> Option<String> {
        let name = name.strip_prefix("scandir/")?;
        name.starts_with("gateway-").then(|| name.split('/').next().unwrap().to_string())
    };
    for (name, entry) in now {
        let is_temporary = name.ends_with(".hermes-gw.tmp") || name.ends_with(".hermes-gw.swept");
        if name.contains("/.gateway-") || is_temporary || name.contains("ftrig1:@") {
            continue;
        }
        let entry = timeless(name, entry);
        let of = |tree: &Tree| tree.get(name).map(|it| timeless(name, it));
        let made_anew = entry.kind == 'd' && is_slot(name);
        if of(before).as_ref() != Some(&entry) && of(after).as_ref() != Some(&entry) && !made_anew {
            let is_log = name.contains("logs");
            if !is_log && of(before).is_some() | of(after).is_some() {
                wrong.push(format!("{name} is neither old nor new: {entry:?}"));
            } else if !is_log && !name.ends_with("/down") {
                // What its state says was not known, and that was told.
                wrong.push(format!("{name} is there"));
            }
        }
        if name.ends_with("gateway_state.json")
            && serde_json::from_slice::<serde_json::Value>(&entry.content).is_err()
        {
            wrong.push(format!("{name} is no JSON"));
        }
    }
    // What has a slot's name is all there.
    let slots = |tree: &Tree| -> std::collections::BTreeSet<String> {
        tree.keys().filter_map(|name| slot_of(name)).collect()
    };
    let (were, will) = (slots(before), slots(after));
    for slot in slots(now) {
        let prefix = format!("scandir/{slot}/");
        let of = |tree: &Tree| -> std::collections::BTreeSet<String> {
            tree.keys().filter(|it| it.starts_with(&prefix)).cloned().collect()
        };
        let lacks: Vec<_> = match (were.contains(&slot), will.contains(&slot)) {
            // It was amended: what was there in both is there.
            (true, true) => of(before).intersection(&of(after)).cloned().collect(),
            (true, false) => of(before).into_iter().collect(),
            (false, _) => of(after).into_iter().collect(),
        };
        for name in lacks.iter().filter(|it| !now.contains_key(*it)) {
            // Something else stood in its place, or nobody needs it.
            let replaced = before.get(name).map(|it| it.kind) != after.get(name).map(|it| it.kind);
            let passing = ["down", "crash-record", "intervened", "endings"];
            let is_passing = passing.iter().any(|it| name.ends_with(it));
            if !(is_passing || replaced && were.contains(&slot)) {
                wrong.push(format!("{name} is not there"));
            }
        }
    }
    wrong
}

/// How many points there are, and how many of them were reached. A call that comes later in another
/// run may not be made at all; most are.
#[derive(Default)]
struct Reached {
    points: usize,
    hits: usize,
}

impl Reached {
    /// What was reached of the points of `verb`: a few may all be missed.
    fn of(verb: &[&str], points: &[Point], hits: AtomicUsize) -> Reached {
        let it = Reached { points: points.len(), hits: hits.into_inner() };
        assert!(it.points > 0, "{verb:?}: no points");
        if it.points >= 10 {
            it.check(&format!("{verb:?}"));
        }
        it
    }

    fn add(&mut self, other: &Reached) {
        self.points += other.points;
        self.hits += other.hits;
    }

    fn check(&self, what: &str) {
        assert!(2 * self.hits >= self.points, "{what}: {} of {} reached", self.hits, self.points);
    }
}

/// Sweeps `it`: what was reached, and what is wrong there.
fn sweep_offline(it: &Offline) -> (Reached, Vec<String>) {
    let template = (it.scene)();
    let before = template.tree();
    let (undisturbed, alone) = (template.copy(), Processes::new());
    let first = undisturbed.trace(&alone, it.verb, Mode::List);
    assert_eq!(first.code, it.code, "{:?}: {first:?}", it.verb);
    let after = undisturbed.tree();
    let stays = leftovers(&after);
    assert!(it.verb[0] != "reconcile" || stays.is_empty(), "{stays:?}");
    // Once more changes nothing: so the heal is to leave the same.
    let again = undisturbed.run(&alone, it.verb);
    let healed = undisturbed.tree();
    assert!([it.code, 0].contains(&again.code), "{:?}: {again:?}", it.verb);
    // A second death is another one.
    let heals = it.verb[0] != "finish";
    assert!(!heals || differences(&healed, &after).is_empty(), "{:?}", it.verb);
    let points = points(&first.calls, &|_| ERRNOS.to_vec(), SAMPLE);
    let hits = AtomicUsize::new(0);
    let wrong = side_by_side(&points, workers(), &Processes::new, &|processes, point| {
        let scene = template.copy();
        let traced = scene.trace(processes, it.verb, Mode::Disturb(point));
        if !traced.hit {
            return Vec::new();
        }
        hits.fetch_add(1, Ordering::Relaxed);
        let mut wrong = ending(&traced, point);
        let now = scene.tree();
        // What a killed run could not take back, or another could not and has said so, stays
        // whole; that it is registered already is what the next one says of it.
        let is_told = it.verb[0] == "register"
            && (point.act == Act::Kill
                || point.act == Act::Fail(Errno::ENOENT)
                || traced.stderr.contains(": not all was taken back"))
            && now.contains_key("scandir/gateway-runs");
        let expected = if is_told { &now } else { &after };
        let lies = point.act == Act::Fail(Errno::ENOENT);
        // finish decides by what it can read: where it says that it could not, or was told that
        // something is not there, its record is another one.
        let decides = !heals && (lies || !traced.stderr.is_empty());
        let of_decision =
            |it: &String| it.contains("/crash-record ") || it.contains("/intervened ");
        let half = half_done(&now, &before, expected).into_iter();
        wrong.extend(half.filter(|it| !(decides && of_decision(it))));
        let silent = traced.stderr.is_empty()
            && !traced.stdout.contains("failed")
            && !traced.stdout.contains("skipped");
        let ok = traced.code == it.code && (silent || point.act == Act::Short);
        if point.act != Act::Kill && ok && it.code != 102 && !lies {
            let lost = differences(&now, &after);
            wrong.extend(lost.into_iter().map(|it| format!("not done, and not said: {it}")));
        }
        if point.act == Act::Short && traced.code != it.code {
            wrong.push(format!("short, it ends with {}", traced.code));
        }
        let heal = scene.run(processes, it.verb);
        if heal.code != it.code && heal.code != 0 && !is_told && heals {
            wrong.push(format!("the next ends with {}: {}", heal.code, heal.stderr));
        }
        let healed = scene.tree();
        let mut lost = if heals { differences(&healed, expected) } else { Vec::new() };
        lost.extend(leftovers(&healed).into_iter().filter(|it| !stays.contains(it)));
        let call = traced.calls.last().map_or("", |call| &call.what);
        // A pid file that could not be removed is told, and the gateway's to write anew: who
        // has a slot that nobody supervises may be up. Of one that was said not to be there,
        // nothing can be told.
        let told = |name: &str| traced.stderr.contains(&format!("warning: remove: {}", name));
        let is_told = |it: &String| {
            ["gateway.pid", "processes.json", ".hermes-gw.swept"].iter().any(|file| {
                let path = it.split(file).next().unwrap().to_string() + file;
                it.contains(file)
                    && (lies && call.ends_with(file)
                        || told(&scene.dir.path().join(path).display().to_string()))
            })
        };
        lost.retain(|it| !is_told(it));
        wrong.extend(lost.into_iter().map(|it| format!("not healed: {it}")));
        let head = format!("{:?} {point} ({call})", it.verb);
        let said = [traced.stdout.trim(), traced.stderr.trim()].join(" | ");
        wrong.into_iter().map(|it| format!("{head}: {it} [{}: {said}]", traced.code)).collect()
    });
    (Reached::of(it.verb, &points, hits), wrong)
}

#[test]
fn without_a_supervisor_at_any_call() {
    let only = std::env::var("HERMES_GW_SWEEP_ONLY").ok().and_then(|it| it.parse().ok());
    let (mut all, mut wrong) = (Reached::default(), Vec::new());
    for (number, it) in OFFLINE.iter().enumerate() {
        if only.is_some_and(|only: usize| only != number) {
            continue;
        }
        let (reached, violations) = sweep_offline(it);
        println!("{:?}: {} points, {} violations", it.verb, reached.hits, violations.len());
        all.add(&reached);
        wrong.extend(violations);
    }
    println!("offline: {} points, {} violations", all.hits, wrong.len());
    all.check("offline");
    assert!(wrong.is_empty(), "{} violations", wrong.len());
}

/// A verb where s6 runs.
struct Live {
    /// What is done before, in a shell, as hermes.
    before: &'static str,
    /// As root.
    verb: &'static [&'static str],
    /// What is done after it was disturbed.
    heal: &'static [&'static str],
    /// How the gateways are then: `up`, `down` or `none`, of `one`, `two` and `three`.
    after: [&'static str; 3],
}

const LIVE: [Live; 15] = [
    Live {
        before: "gw unregister one",
        verb: &["register", "one", "--env", "A=b", "--force"],
        heal: &["register", "one", "--env", "A=b", "--if-missing", "--force"],
        after: ["up", "down", "none"],
    },
    Live {
        before: "gw start one",
        verb: &["unregister", "one", "--timeout", "20"],
        heal: &["unregister", "one", "--timeout", "20"],
        after: ["none", "down", "none"],
    },
    Live {
        before: "gw stop one",
        verb: &["start", "one"],
        heal: &["start", "one"],
        after: ["up", "down", "none"],
    },
    Live {
        before: "gw start one",
        verb: &["stop", "one", "--timeout", "20"],
        heal: &["stop", "one", "--timeout", "20"],
        after: ["down", "down", "none"],
    },
    Live {
        before: "gw start one",
        verb: &["restart", "one", "--timeout", "20"],
        heal: &["restart", "one", "--timeout", "20"],
        after: ["up", "down", "none"],
    },
    Live {
        before: "gw start one",
        verb: &["signal", "CONT", "one"],
        heal: &["signal", "CONT", "one"],
        after: ["up", "down", "none"],
    },
    Live {
        before: "gw stop one; gw unregister two",
        verb: &["hook", "profile-create", "two"],
        heal: &["hook", "profile-create", "two"],
        after: ["down", "down", "none"],
    },
    Live {
        before: "gw stop one",
        verb: &["hook", "profile-delete", "two"],
        heal: &["hook", "profile-delete", "two"],
        after: ["down", "none", "none"],
    },
    Live {
        before: "gw start one; gw unregister two; rm -f /run/service/gateway-one/timeout-finish \
            /run/service/gateway-one/log/run; chmod 0730 /run/service/gateway-one/event",
        verb: &["reconcile"],
        heal: &["reconcile"],
        after: ["up", "down", "none"],
    },
    Live {
        before: "gw start one; mkdir -p /opt/data/profiles/three; gw register three --down --force; \
            rm -rf /opt/data/profiles/three",
        verb: &["reconcile", "--prune"],
        heal: &["reconcile", "--prune"],
        after: ["up", "down", "none"],
    },
    Live {
        before: "gw stop one; cd /opt/data/profiles/one; touch gateway.pid processes.json; \
            touch .hermes-gw.swept",
        verb: &["reconcile", "-v"],
        heal: &["reconcile"],
        after: ["down", "down", "none"],
    },
    Live {
        before: "gw start one",
        verb: &["shutdown", "--timeout", "20"],
        heal: &["shutdown", "--timeout", "20"],
        after: ["down", "down", "none"],
    },
    Live {
        before: "gw start one",
        verb: &["start", "--all"],
        heal: &["start", "--all"],
        after: ["up", "up", "none"],
    },
    Live {
        before: "gw start one; rm -f /run/service/gateway-one/timeout-finish; \
            chmod 0730 /run/service/gateway-two/event; touch /opt/data/profiles/two/gateway.pid",
        verb: &["reconcile", "--boot"],
        heal: &["reconcile"],
        after: ["up", "down", "none"],
    },
    // One that stood by, and that the other container has let go of.
    Live {
        before: "gw start one; cd /run/service/gateway-one; /command/s6-svc -wD -d .; \
            touch down log/down; /command/s6-svc -wd -dh log",
        verb: &["reconcile"],
        heal: &["reconcile"],
        after: ["up", "down", "none"],
    },
];

/// The profiles that are looked at.
const THREE: [&str; 3] = ["one", "two", "three"];

fn boot_live() -> Container {
    let volume = Volume::new();
    volume.wanted("one", "stopped").wanted("two", "stopped");
    Container::boot(volume, Spec::default())
}

/// The slots as far as they are ours, without what s6 and the gateways write there.
fn slots(container: &Container) -> Tree {
    let mut all = tree(&container.inside("/run/service"));
    let passing = ["crash-record", "intervened", "endings", "down"];
    all.retain(|name, _| {
        let (slot, rest) = name.split_once('/').unwrap_or((name, ""));
        slot.contains("gateway-")
            && !passing.contains(&rest)
            && (!rest.contains("supervise/") || rest.ends_with(".tmp"))
            && !rest.contains("/lock")
            && (!rest.contains("event/") || rest.contains("event/.ftrig1:@"))
    });
    all
}

/// `up`, `down` or `none`.
fn state(container: &Container, profile: &str) -> &'static str {
    let slot = container.inside(&format!("/run/service/gateway-{profile}"));
    if !slot.exists() {
        return "none";
    }
    let status = fs::read(slot.join("supervise/status")).unwrap_or_default();
    match hermes_gw::s6::status::Status::parse(&status) {
        Some(status) if status.is_up() => "up",
        Some(status) if status.is_down() => "down",
        Some(_) => "finishing",
        None => "unsupervised",
    }
}

/// The process of a gateway, if it has a status.
fn pid(container: &Container, profile: &str) -> Option<u64> {
    let slot = container.inside(&format!("/run/service/gateway-{profile}"));
    let status = fs::read(slot.join("supervise/status")).unwrap_or_default();
    hermes_gw::s6::status::Status::parse(&status).map(|status| status.pid)
}

fn states(container: &Container) -> [&'static str; 3] {
    THREE.map(|profile| state(container, profile))
}

/// How the gateways are once they are as `expected`, or after 20 seconds.
fn come_to(container: &Container, expected: [&str; 3]) -> [&'static str; 3] {
    let start = std::time::Instant::now();
    loop {
        let now = states(container);
        if now == expected || start.elapsed() > Duration::from_secs(20) {
            return now;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How the verb has left the gateways. `reconcile` does not wait for one that it starts.
fn left_as(container: &Container, it: &Live) -> [&'static str; 3] {
    if it.verb[0] == "reconcile" { come_to(container, it.after) } else { states(container) }
}

fn traced(container: &Container, verb: &[&str], mode: Mode) -> Traced {
    let program = ["sh", "-c", STOPPED, "/", "/command/hermes-gw"];
    let command = container.root_command(&[&program[..], verb].concat());
    trace(command, mode, TIME, &mut |_| ())
}

/// What was before, the same again: `one` and `two` with slots, `two` down, no `three`.
const ALIKE: &str = "gw() { /command/hermes-gw \"$@\" 2>&1 || echo \"$*: $?\"; }
    [ -e /run/service/gateway-one ] || gw register one
    [ -e /run/service/gateway-two ] || gw register two --down --force
    [ ! -e /run/service/gateway-three ] || gw unregister three
    ! /command/hermes-gw is-running two || gw stop two
    ";

fn before(container: &Container, it: &Live) {
    let script = [ALIKE, it.before].concat();
    let output = container.as_hermes(&["sh", "-c", &script]);
    assert_eq!((output.code, &output.stdout[..]), (0, ""), "{:?}: {output:?}", it.verb);
}

/// Sees `slots` whole, and what a gateway's home has of its state.
fn whole(container: &Container, slots: &Tree, like: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    // Any slot that there is has what a whole one has.
    let of_whole: Vec<_> =
        like.keys().filter_map(|name| name.strip_prefix("gateway-default/")).collect();
    for name in slots.keys().filter(|it| it.starts_with("gateway-") && !it.contains('/')) {
        let spoilt = ["timeout-finish", "log/run"];
        for part in of_whole.iter().filter(|it| !spoilt.contains(it)) {
            if !slots.contains_key(&format!("{name}/{part}")) {
                wrong.push(format!("{name} lacks {part}"));
            }
        }
    }
    for profile in ["one", "two"] {
        let path = container.volume().home(profile).join("gateway_state.json");
        let content = fs::read(path).unwrap_or_default();
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&content);
        if !parsed.is_ok_and(|it| it.is_object()) {
            wrong.push(format!("{profile}: {:?}", String::from_utf8_lossy(&content)));
        }
    }
    wrong
}

/// What is wanted of `profile`, by its state file.
fn desired(container: &Container, profile: &str) -> String {
    let content = container.volume().read(profile, "gateway_state.json");
    let state: serde_json::Value = serde_json::from_str(&content).unwrap_or_default();
    state["desired_state"].as_str().unwrap_or_default().into()
}

fn sweep_live(
    it: &Live,
    first: &Container,
    others: &Mutex<Vec<Container>>,
) -> (Reached, Vec<String>) {
    before(first, it);
    let listed = traced(first, it.verb, Mode::List);
    assert_eq!(listed.code, 0, "{:?}: {listed:?}", it.verb);
    assert_eq!(left_as(first, it), it.after, "{:?}: {listed:?}", it.verb);
    let expected = slots(first);
    let wanted = ["one", "two"].map(|profile| desired(first, profile));
    let points = points(&listed.calls, &|_| ERRNOS.to_vec(), LIVE_SAMPLE);
    let hits = AtomicUsize::new(0);
    let take = || Borrowed { container: others.lock().unwrap().pop(), others };
    let wrong = side_by_side(&points, workers() - 1, &take, &|borrowed, point| {
        let container = borrowed.container.as_ref().unwrap();
        before(container, it);
        let pid = pid(container, "one");
        let traced = traced(container, it.verb, Mode::Disturb(point));
        if !traced.hit {
            return Vec::new();
        }
        hits.fetch_add(1, Ordering::Relaxed);
        let mut wrong = ending(&traced, point);
        wrong.extend(whole(container, &slots(container), &expected));
        let lies = point.act == Act::Fail(Errno::ENOENT);
        let silent = traced.stderr.is_empty()
            && !traced.stdout.contains("failed")
            && !traced.stdout.contains("skipped");
        if point.act != Act::Kill && traced.code == 0 && silent && !lies {
            // s6-supervise reads what it is told before it writes its first status.
            wait_until("the first status of each", || !states(container).contains(&"unsupervised"));
            // What a verb leaves it as, s6 may be about to change: it restarts what has died.
            let now = left_as(container, it);
            if now != it.after {
                wrong.push(format!("not done, and not said: {now:?}"));
            }
            if it.verb[0] == "restart" && pid == self::pid(container, "one") {
                wrong.push("not done, and not said: the same process".into());
            }
            let mut lost = differences(&slots(container), &expected);
            // That one was left by another point, and is too young to be a leftover.
            lost.retain(|it| !it.contains("ftrig1:@"));
            wrong.extend(lost.into_iter().map(|it| format!("not done, and not said: {it}")));
        }
        if point.act == Act::Short && traced.code != 0 {
            wrong.push(format!("short, it ends with {}", traced.code));
        }
        let heal = container.as_root(&[&["/command/hermes-gw"], it.heal].concat());
        if heal.code != 0 {
            wrong.push(format!("the next ends with {}: {}", heal.code, heal.stderr));
        }
        let now = come_to(container, it.after);
        let call = traced.calls.last().map_or("", |call| &call.what);
        // Whose state file was said not to be there, is wanted by nobody.
        let unwanted = lies && call.ends_with("gateway_state.json") && it.verb[0] == "reconcile";
        if now != it.after && !(unwanted && now == ["down", "down", "none"]) {
            wrong.push(format!("not healed: {now:?}"));
        }
        let now = slots(container);
        let mut lost = differences(&now, &expected);
        // What is too young to be a leftover is looked for at the end.
        lost.retain(|it| !it.contains("ftrig1:@"));
        wrong.extend(lost.into_iter().map(|it| format!("not healed: {it}")));
        let now = ["one", "two"].map(|profile| desired(container, profile));
        let records = ["start", "stop", "restart"].contains(&it.verb[0]);
        if records && now != wanted {
            wrong.push(format!("not healed: {now:?} is recorded, and should be {wanted:?}"));
        }
        for profile in ["one", "two"] {
            let mut left = leftovers(&tree(&container.volume().home(profile)));
            left.retain(|it| !it.starts_with(".state."));
            wrong.extend(left.into_iter().map(|it| format!("{profile}: {it}")));
        }
        let head = format!("{:?} {point} ({call})", it.verb);
        let said = [traced.stdout.trim(), traced.stderr.trim()].join(" | ");
        wrong.into_iter().map(|it| format!("{head}: {it} [{}: {said}]", traced.code)).collect()
    });
    (Reached::of(it.verb, &points, hits), wrong)
}

/// Of all points where s6 runs, one in so many is a part of the sample.
const LIVE_SAMPLE: usize = 797;

/// A container that goes back to the others once it is not needed.
struct Borrowed<'a> {
    container: Option<Container>,
    others: &'a Mutex<Vec<Container>>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.others.lock().unwrap().extend(self.container.take());
    }
}

#[test]
fn under_s6_at_any_call() {
    let only = std::env::var("HERMES_GW_SWEEP_ONLY").ok().and_then(|it| it.parse().ok());
    let (mut all, mut wrong) = (Reached::default(), Vec::new());
    // Here, for a container ends with the thread that has booted it.
    let mut containers: Vec<_> = (0..workers()).map(|_| boot_live()).collect();
    // It would take over what stands by.
    containers.iter().for_each(|it| it.wait_parked("hermes-standby"));
    let first = containers.pop().unwrap();
    let others = Mutex::new(containers);
    for (number, it) in LIVE.iter().enumerate() {
        if only.is_some_and(|only: usize| only != number) {
            continue;
        }
        let (reached, violations) = sweep_live(it, &first, &others);
        println!("{:?}: {} points, {} violations", it.verb, reached.hits, violations.len());
        all.add(&reached);
        wrong.extend(violations);
    }
    // What killed calls have left in event/ is a leftover by now, and is named and removed.
    std::thread::sleep(Duration::from_secs(11));
    let containers = others.into_inner().unwrap();
    for container in containers.into_iter().chain([first]) {
        let gw = |args: &[&str]| container.as_hermes(&[&["/command/hermes-gw"], args].concat());
        gw(&["register", "one", "--if-missing", "--force"]).ok();
        gw(&["register", "two", "--if-missing", "--force"]).ok();
        let left = |start: &str| {
            let names = ["find", "/run/service/", "-name", start];
            container.as_root(&names).ok()
        };
        let doctor = container.as_root(&["/command/hermes-gw", "doctor"]).stdout;
        for fifo in left(".ftrig1:@*").lines() {
            assert!(doctor.contains(fifo), "{fifo}: {doctor}");
        }
        gw(&["reconcile"]).ok();
        // At an event s6 removes those in place that nobody reads.
        for verb in ["stop", "start", "stop"] {
            gw(&[verb, "--all"]).ok();
        }
        gw(&["unregister", "one", "two"]).ok();
        let names = left("*ftrig1:@*") + &left(".gateway-*") + &left("*.tmp");
        if !names.is_empty() {
            wrong.push(format!("left at the end: {names}"));
        }
        let all = container.as_root(&["ps", "-eo", "args"]).ok();
        let strays: Vec<_> = all.lines().filter(|it| it.contains("supervise gateway-")).collect();
        if strays.iter().any(|it| !it.contains("supervise gateway-default")) {
            wrong.push(format!("supervisors at the end: {strays:?}"));
        }
    }
    wrong.iter().filter(|it| it.contains(" at the end: ")).for_each(|it| println!("{it}"));
    let (tree, hits) = (support::tree(), all.hits);
    println!("under s6, {tree:?}: {hits} points, {} violations", wrong.len());
    all.check("under s6");
    assert!(wrong.is_empty(), "{} violations", wrong.len());
}
