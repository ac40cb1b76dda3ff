//! Two containers on one volume: one runs a gateway, the other stands by, with real s6 in both.

use crate::support;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use support::{Container, Output, SCANDIR_OF_PID_1, Spec, Tree, Volume, tree, wait_or, wait_until};

const STANDING_BY: &str = "standing by: another container runs it";

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

/// What `status` says of a gateway.
fn text(container: &Container, profile: &str) -> String {
    let status = gw(container, &["--json", "status", profile]);
    assert!(status.stdout.starts_with('['), "status {profile}: {status:?}");
    support::jq(".[0].text", &status.stdout)
}

#[track_caller]
fn wait_for(container: &Container, profile: &str, expected: &str) {
    wait_or(&format!("{profile} to be {expected:?}"), || {
        let seen = text(container, profile);
        let why = || format!("it is {seen:?}; console: {}", container.console());
        if seen == expected { Ok(()) } else { Err(why()) }
    });
}

fn files(container: &Container, profile: &str) -> [bool; 2] {
    let slot = container.inside(&format!("/run/service/gateway-{profile}"));
    ["down", "log/down"].map(|name| slot.join(name).exists())
}

fn intent(volume: &Volume, profile: &str) -> String {
    support::jq(".desired_state", &volume.read(profile, "gateway_state.json"))
}

/// A process outside of every container that holds a lock as a gateway does: by flock(2).
struct Holder(Child);

impl Holder {
    fn of(volume: &Volume, profile: &str) -> Holder {
        let lock = volume.home(profile).join("gateway.lock");
        fs::write(&lock, "7 0\n").unwrap();
        let mut flock = Command::new("flock");
        // One process: once it has been waited for, the lock is free.
        flock.arg("--no-fork").arg(&lock).args(["sh", "-c", "echo held; exec sleep infinity"]);
        let mut child = flock.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_another_container_runs_stands_by_and_is_taken_over() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "stopped").wanted("free", "running");
    volume.file("coder", "gateway.pid", "{\"pid\":7}");
    volume.file("writer", "gateway.pid", "{\"pid\":7}");
    let holders = ["coder", "writer"].map(|profile| Holder::of(&volume, profile));
    let container = Container::boot(volume.clone(), Spec::default());
    container.wait_up("free");
    for profile in ["coder", "writer"] {
        assert_eq!(text(&container, profile), STANDING_BY);
        assert_eq!(files(&container, profile), [true, true]);
        assert!(volume.home(profile).join("gateway.pid").exists(), "{profile} was swept");
    }
    let console = container.console();
    for line in [
        "reconcile: profile=coder prior_state=running action=standing-by\n",
        "reconcile: profile=writer prior_state=stopped action=standing-by\n",
        "reconcile: profile=free prior_state=running action=started\n",
    ] {
        assert!(console.contains(line), "{line}{console}");
    }
    // All is well with that, also without a logger.
    let doctor = container.as_root(&["/command/hermes-gw", "-q", "doctor"]);
    assert_eq!((doctor.code, doctor.stdout.as_str()), (0, ""));

    // Nothing is started or written for it, but if it is forced.
    let refused = gw(&container, &["start", "coder"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("another container runs it: start and stop it there"),
        "{refused:?}"
    );
    assert_eq!(gw(&container, &["restart", "writer"]).code, 1);
    let before = volume.read("coder", "gateway_state.json");
    let stopped = gw(&container, &["stop", "coder"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_eq!(volume.read("coder", "gateway_state.json"), before);
    assert!(!volume.home("coder").join(".gateway-planned-stop.json").exists());
    assert_eq!(gw(&container, &["-q", "status", "coder"]).code, 1);
    assert_eq!(gw(&container, &["is-running", "coder"]).code, 1);

    // Each comes to what is wanted of it when it is free.
    drop(holders);
    container.wait_up("coder");
    wait_for(&container, "writer", "down");
    assert_eq!(
        [files(&container, "coder"), files(&container, "writer")],
        [[false; 2], [true, false]]
    );
    assert!(!volume.home("writer").join("gateway.pid").exists());
    assert_eq!(["coder", "writer"].map(|it| intent(&volume, it)), ["running", "stopped"]);
    container.wait_parked("hermes-standby");
}

#[test]
fn whose_intent_cannot_be_read_goes_on_standing_by() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let holder = Holder::of(&volume, "coder");
    let container = Container::boot(volume.clone(), Spec::default());
    assert_eq!(text(&container, "coder"), STANDING_BY);
    let state = volume.home("coder").join("gateway_state.json");
    let allow = |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    allow(0);
    drop(holder);
    let said = gw(&container, &["reconcile"]);
    let row = "profile=coder prior_state=none action=skipped";
    assert!(said.stdout.contains(row) && said.stdout.contains("(EACCES)"), "{said:?}");
    assert_eq!(files(&container, "coder"), [true, true]);

    allow(0o644);
    container.wait_up("coder");
    assert_eq!(files(&container, "coder"), [false, false]);
}

/// The longrun's process, by its pid in the container; where `waits` is so, once it does.
#[track_caller]
fn longrun(container: &Container, waits: bool) -> String {
    let mut pid = None;
    wait_or("hermes-standby", || {
        let processes = container.as_root(&["ps", "-eo", "pid=,args="]).ok();
        let it = processes.lines().find(|line| line.ends_with("/command/hermes-gw standby"));
        pid = it.map(|line| line.trim_start().split(' ').next().unwrap().to_string());
        let Some(pid) = &pid else { return Err(processes) };
        // It watches directories, and then locks.
        let open = container.as_root(&["sh", "-c", &format!("ls -l /proc/{pid}/fd")]).stdout;
        if !waits || open.matches("inotify").count() == 2 { Ok(()) } else { Err(open) }
    });
    pid.unwrap()
}

#[test]
fn what_is_made_while_it_waits_is_seen() {
    let volume = Volume::new();
    let default = Holder::of(&volume, "default");
    let container = Container::boot(volume.clone(), Spec::default());
    assert_eq!(text(&container, "default"), STANDING_BY);
    let waits = longrun(&container, true);
    assert!(!volume.path().join("profiles").exists());
    // A slot that is new, of the first profile that there is.
    volume.wanted("coder", "running");
    volume.give(support::HERMES);
    let coder = Holder::of(&volume, "coder");
    gw(&container, &["register", "coder"]).ok();
    assert_eq!(text(&container, "coder"), STANDING_BY);
    drop(coder);
    container.wait_up("coder");
    assert_eq!(text(&container, "default"), STANDING_BY);
    // It has not ended meanwhile.
    assert_eq!(longrun(&container, true), waits);
    drop(default);
    container.wait_parked("hermes-standby");
    wait_until("default to be taken over", || !files(&container, "default")[1]);
}

/// It waits for coder; then `path`, of the volume, is not mounted for a while, and it starts anew.
/// Returns how often it said that it cannot list the profiles.
fn goes_on_without(path: &str) -> usize {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let holder = Holder::of(&volume, "coder");
    let container = Container::boot(volume.clone(), Spec::default());
    assert_eq!(text(&container, "coder"), STANDING_BY);
    let waits = longrun(&container, true);
    let (path, away) = (volume.path().join(path), volume.path().join("away"));
    fs::rename(&path, &away).unwrap();
    std::os::unix::fs::symlink("/nowhere", &path).unwrap();
    container.as_root(&["sh", "-c", &format!("kill -KILL {waits}")]).ok();
    wait_until("it to start anew", || longrun(&container, false) != waits);
    // It looks every five seconds; where nothing stood by it would have ended after ten.
    std::thread::sleep(std::time::Duration::from_secs(12));
    longrun(&container, false);
    drop(holder);
    fs::remove_file(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    container.wait_up("coder");
    container.wait_parked("hermes-standby");
    container.console().matches("hermes-gw: warning: open directory").count()
}

#[test]
fn it_goes_on_while_the_profiles_are_away() {
    assert_eq!(goes_on_without("profiles"), 1);
}

#[test]
fn it_goes_on_while_one_profile_is_away() {
    assert_eq!(goes_on_without("profiles/coder"), 0);
}

#[test]
fn force_starts_it_all_the_same() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let holder = Holder::of(&volume, "coder");
    let container = Container::boot(volume.clone(), Spec::default());
    assert_eq!(text(&container, "coder"), STANDING_BY);
    // The lock is the gateway's own affair: the stand-in ends, and it stands by again.
    let forced = gw(&container, &["start", "--force", "--no-wait", "coder"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    wait_until("it to stand by again", || {
        files(&container, "coder") == [true, true] && text(&container, "coder") == STANDING_BY
    });
    assert_eq!(intent(&volume, "coder"), "running");
    drop(holder);
    container.wait_up("coder");
    // What it said has waited for the log.
    wait_until("its line", || {
        gw(&container, &["logs", "coder"]).stdout.contains("another gateway holds gateway.lock")
    });
}

#[test]
fn one_that_stands_by_late_wakes_the_longrun_or_is_taken_over_by_reconcile() {
    let volume = Volume::new();
    volume.wanted("coder", "stopped");
    let container = Container::boot(volume.clone(), Spec::default());
    container.wait_parked("hermes-standby");
    let holder = Holder::of(&volume, "coder");
    assert_eq!(gw(&container, &["start", "coder"]).code, 1);
    gw(&container, &["start", "--force", "--no-wait", "coder"]).ok();
    wait_for(&container, "coder", STANDING_BY);
    drop(holder);
    if tree() == Tree::User {
        // Who may tell the longrun something could be root.
        let output = gw(&container, &["reconcile"]).ok();
        assert!(output.contains("profile=coder prior_state=running action=started"), "{output}");
    }
    container.wait_up("coder");
    container.wait_parked("hermes-standby");
}

#[test]
fn two_that_wait_do_nothing_and_do_not_wake_each_other() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "stopped");
    let holders = ["coder", "writer", "default"].map(|profile| Holder::of(&volume, profile));
    let containers = [(); 2].map(|()| Container::boot(volume.clone(), Spec::default()));
    // A look at the locks from elsewhere is no reason to go on looking either.
    gw(&containers[0], &["status"]);
    for container in &containers {
        let pid = &longrun(container, true);
        wait_until("three seconds without a system call", || {
            let strace = ["timeout", "3", "strace", "-qq", "-o", "/tmp/idle", "-p", pid];
            container.as_root(&strace);
            // The one that it is in when strace comes.
            container.as_root(&["cat", "/tmp/idle"]).ok().lines().count() <= 1
        });
    }
    drop(holders);
    wait_until("one of them to run coder", || {
        let texts = containers.each_ref().map(|it| text(it, "coder"));
        texts.iter().any(|it| it.starts_with("up")) && texts.iter().any(|it| it == STANDING_BY)
    });
}

#[test]
fn what_is_stopped_in_the_container_that_has_the_log_can_be_forced_in_the_other() {
    let volume = Volume::new();
    volume.wanted("coder", "stopped");
    let first = Container::boot(volume.clone(), Spec::default());
    let second = Container::boot(volume.clone(), Spec::default());
    wait_for(&first, "coder", "down");
    assert_eq!(text(&second, "coder"), STANDING_BY);
    assert_eq!(gw(&second, &["start", "coder"]).code, 1);
    assert_eq!(intent(&volume, "coder"), "stopped");
    gw(&second, &["start", "--force", "coder"]).ok();
    second.wait_up("coder");
    assert_eq!(intent(&volume, "coder"), "running");
    wait_until("its log", || gw(&second, &["logs", "coder"]).stdout.contains("coder: running"));
    // Now it is the first one that must not.
    assert_eq!(gw(&first, &["start", "coder"]).code, 1);
    assert!(text(&second, "coder").starts_with("up"), "{}", text(&second, "coder"));
}

#[test]
fn a_longrun_that_is_killed_while_it_takes_over_does_it_the_next_time() {
    // Two pid files, `down`, the logger's letter, the gateway's, `log/down`.
    for call in [
        "unlinkat:signal=KILL:when=3",
        "write:signal=KILL:when=1",
        "write:signal=KILL:when=2",
        "unlinkat:signal=KILL:when=4",
        "unlinkat:error=EIO:when=3",
    ] {
        let volume = Volume::new();
        volume.wanted("coder", "running");
        let holder = Holder::of(&volume, "coder");
        let container = Container::boot(volume.clone(), Spec::default());
        assert_eq!(text(&container, "coder"), STANDING_BY);
        let pid = &longrun(&container, true);
        let inject = format!("inject={call}");
        let strace = ["strace", "-qq", "-o", "/dev/null", "-e", &inject, "-p", pid];
        let mut strace = container.root_command(&strace).spawn().unwrap();
        let status = container.inside(&format!("/proc/{pid}/status"));
        wait_until("strace to be there", || {
            !fs::read_to_string(&status).unwrap_or_default().contains("TracerPid:\t0\n")
        });
        drop(holder);
        container.wait_up("coder");
        wait_until(&format!("{call}: its files"), || files(&container, "coder") == [false; 2]);
        wait_until("its logger", || {
            gw(&container, &["logs", "coder"]).stdout.contains("gateway coder: running")
        });
        let _ = strace.kill();
        strace.wait().unwrap();
    }
}

#[test]
fn a_longrun_that_is_brought_down_stays_down_and_one_that_is_killed_does_not() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let _holder = Holder::of(&volume, "coder");
    let container = Container::boot(volume, Spec::default());
    assert_eq!(text(&container, "coder"), STANDING_BY);
    let svc = |options: &str| {
        let svc = format!("/command/s6-svc {options} {SCANDIR_OF_PID_1}/hermes-standby");
        container.as_root(&["sh", "-c", &svc]).ok();
    };
    let killed = longrun(&container, true);
    svc("-k");
    wait_until("it to start anew", || longrun(&container, true) != killed);
    // As s6-rc does; -wD waits until its finish script has ended too.
    svc("-wD -d");
    container.wait_parked("hermes-standby");
    svc("-u");
    longrun(&container, true);
}

#[test]
fn a_holder_in_this_container_is_told_as_what_it_is() {
    let volume = Volume::new();
    volume.wanted("coder", "stopped");
    let container = Container::boot(volume.clone(), Spec::default());
    wait_for(&container, "coder", "down");
    let by_hand = ["env", "HERMES_HOME=/opt/data", "hermes", "-p", "coder", "gateway", "run"];
    let mut child = container.hermes_command(&by_hand).stdout(Stdio::null()).spawn().unwrap();
    wait_until("a gateway by hand", || {
        volume.read("coder", "gateway_state.json").contains("running\",\"pl")
    });
    let pid = support::jq(".pid", &volume.read("coder", "gateway_state.json"));
    wait_for(&container, "coder", &format!("down, runs outside s6 (pid {pid})"));
    container.as_root(&["sh", "-c", &format!("kill -TERM {pid}")]).ok();
    child.wait().unwrap();
    wait_for(&container, "coder", "down");
}

/// How often each line stands in the logs of `profile`, rotated files included.
fn lines(volume: &Volume, profile: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let logs = volume.path().join("logs/gateways").join(profile);
    for entry in fs::read_dir(&logs).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("lock") && !path.ends_with("state") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{}: a torn line", path.display());
            for line in text.lines() {
                // Behind the stamp.
                *lines.entry(line.split_once("  ").unwrap().1.to_string()).or_default() += 1;
            }
        }
    }
    lines
}

#[test]
fn two_containers_take_turns_and_lose_no_line() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "running");
    volume.file("coder", "behave", "chatty 500\n");
    let mut first = Container::boot(volume.clone(), Spec::default());
    first.wait_up("coder");
    first.wait_up("writer");
    let mut second = Container::boot(volume.clone(), Spec::default());
    for profile in ["coder", "writer", "default"] {
        assert_eq!(text(&second, profile), STANDING_BY, "{}", second.console());
    }
    // What happens to one gateway in its container is that container's affair.
    first.as_root(&["sh", "-c", &format!("kill -KILL {}", first.pid("coder"))]).ok();
    wait_until("another pid", || text(&first, "coder").contains("1 death lately"));
    first.wait_up("coder");
    gw(&first, &["restart", "coder"]).ok();
    gw(&first, &["stop", "writer"]).ok();
    assert_eq!(text(&second, "coder"), STANDING_BY);
    assert_eq!(text(&second, "writer"), STANDING_BY);
    gw(&first, &["start", "writer"]).ok();

    // A stop, and a kill: the other one takes over, and the first stands by when it is back.
    first.stop();
    second.wait_up("coder");
    second.wait_up("writer");
    assert_eq!(["coder", "writer"].map(|it| intent(&volume, it)), ["running"; 2]);
    first.start();
    assert_eq!(text(&first, "coder"), STANDING_BY);
    gw(&second, &["stop", "writer"]).ok();
    second.kill();
    first.wait_up("coder");
    wait_for(&first, "writer", "down");
    second.start();
    for profile in ["coder", "writer"] {
        assert_eq!(text(&second, profile), STANDING_BY, "{}", second.console());
    }
    first.restart();
    second.wait_up("coder");
    assert_eq!(["coder", "writer"].map(|it| intent(&volume, it)), ["running", "stopped"]);
    second.stop();
    first.wait_up("coder");
    first.stop();

    // Every orderly end has all its lines, once for each.
    let lines = lines(&volume, "coder");
    let ends = lines["gateway coder: draining, line 1"];
    assert!(ends >= 4, "{ends}");
    for number in 1..=500 {
        assert_eq!(lines[&format!("gateway coder: draining, line {number}")], ends, "{number}");
    }
}

#[test]
fn of_two_that_boot_at_once_one_runs_each_gateway() {
    let volume = Volume::new();
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        volume.wanted(name, "running");
    }
    let mut containers = [(); 2].map(|()| Container::new(volume.clone(), Spec::default()));
    containers.iter_mut().for_each(Container::launch);
    containers.iter().for_each(Container::wait_booted);
    for name in names {
        wait_or(&format!("one container to run {name}"), || {
            let seen = containers.each_ref().map(|it| text(it, name));
            let up = seen.iter().filter(|text| text.starts_with("up")).count();
            let stands_by = seen.iter().any(|text| text == STANDING_BY);
            if up == 1 && stands_by { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }
    // Who has lost is not counted as a crash. Who has won may have met the other's lock once.
    for name in names {
        for container in &containers {
            let status = gw(container, &["--json", "status", name]).stdout;
            let most = if support::jq(".[0].state", &status) == "standing-by" { 0 } else { 1 };
            let restarts: u32 = support::jq(".[0].restarts", &status).parse().unwrap();
            assert!(restarts <= most, "{status}");
        }
    }
}
