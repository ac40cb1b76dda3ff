//! What the operator wants outlives the gateway and the container, and nothing else in
//! the profile's home is touched.

use crate::support;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Stdio;
use support::{Container, HERMES, Output, Spec, Volume, wait_or};

const STATE: &str = "gateway_state.json";
const MARKER: &str = ".gateway-planned-stop.json";
/// What comes of a stop that cannot be recorded.
const UNRECORDED: &str =
    "what was asked for is done, but not recorded: the next container start will not know";

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

/// A container whose gateway `one` runs `script` instead of Hermes.
fn container(state: &str, script: &str) -> Container {
    let volume = Volume::new();
    volume.with_state("one", state);
    let container = Container::boot(volume, Spec::default());
    let run = container.inside("/run/service/gateway-one/run");
    fs::write(run, format!("#!/bin/sh\n{script}\n")).unwrap();
    container
}

/// Waits until the gateway's last word in its log, which the logger may not have written yet,
/// is that it was to stop.
#[track_caller]
fn wait_for_planned_stop(container: &Container, profile: &str) {
    let last = format!("gateway {profile}: stopped as planned\n");
    wait_or(&last, || {
        let log = container.volume().log(profile);
        if log.ends_with(&last) { Ok(()) } else { Err(log) }
    });
}

fn path(container: &Container, name: &str) -> PathBuf {
    container.volume().home("one").join(name)
}

#[test]
fn every_other_byte_survives_with_mode_and_owner() {
    let strange = "\u{feff}{ \"pid\" : 1e2,\t\"big\":123456789012345678901234567890,\r\n\
        \"nested\":{\"desired_state\":\"running\",\"x\":[1.50,{\"y\":[]}]},\"\\u00e9\":\"\\u00e9\",\
        \"desired_state\":\"%\",\"last\":null } \n\n";
    let container = container(&strange.replace('%', "stopped"), "exec sleep 1000");
    let state = path(&container, STATE);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o640)).unwrap();
    // A group of hermes's own, but not its first.
    chown(&state, None, Some(44)).unwrap();
    for (verb, word) in [("start", "running"), ("stop", "stopped"), ("restart", "running")] {
        // Entered with its first group alone, hermes may not give the file to another.
        for _ in 0..2 {
            let output = container.as_root(&["/command/hermes-gw", verb, "one"]);
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{verb}");
            let content = container.volume().read("one", STATE);
            assert_eq!(content, strange.replace('%', word), "{verb}");
            let meta = fs::metadata(&state).unwrap();
            let got = (meta.mode() & 0o7777, meta.uid(), meta.gid());
            assert_eq!(got, (0o640, HERMES, 44), "{verb}");
            assert!(!path(&container, MARKER).exists(), "{verb}");
        }
    }
    // What is so already is not written again.
    let before = fs::metadata(&state).unwrap().ino();
    gw(&container, &["start", "one"]).ok();
    assert_eq!(fs::metadata(&state).unwrap().ino(), before);
}

#[test]
fn the_gateway_reads_the_marker_whoever_stops_it() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    // A marker that root once left, and that nobody else can read.
    volume.file("one", MARKER, "{}");
    let container = Container::boot(volume, Spec::default());
    let marker = path(&container, MARKER);
    chown(&marker, Some(0), Some(0)).unwrap();
    fs::set_permissions(&marker, fs::Permissions::from_mode(0o600)).unwrap();
    for as_root in [true, false] {
        container.wait_up("one");
        let stop = ["/command/hermes-gw", "stop", "one"];
        if as_root { container.as_root(&stop) } else { container.as_hermes(&stop) }.ok();
        wait_for_planned_stop(&container, "one");
        let state = container.volume().read("one", STATE);
        assert!(state.contains(r#""gateway_state":"stopped""#), "{state}");
        assert!(!marker.exists());
        gw(&container, &["start", "one"]).ok();
    }
}

#[test]
fn the_marker_names_the_process_and_its_start() {
    // Keeps the marker for us.
    let script = format!(
        "trap 'cp {MARKER} seen; exit 0' TERM\nread -r stat </proc/$$/stat\necho $stat >stat\n\
         sleep 1000 & wait"
    );
    let container = container("{}", &format!("cd /opt/data/profiles/one\n{script}"));
    let home = container.volume().home("one");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    gw(&container, &["start", "one"]).ok();
    let pid = container.pid("one");
    support::wait_until("the gateway", || home.join("stat").exists());
    gw(&container, &["stop", "one"]).ok();
    let marker: serde_json::Value =
        serde_json::from_str(&container.volume().read("one", "seen")).unwrap();
    let stat = container.volume().read("one", "stat");
    assert_eq!(marker["target_pid"].to_string(), pid);
    assert_eq!(marker["target_start_time"].to_string(), stat.split(' ').nth(21).unwrap());
    assert!(marker["stopper_pid"].is_u64() && marker["written_at"].is_string(), "{marker}");
    assert!(!path(&container, MARKER).exists());
}

#[test]
fn an_intent_that_the_gateway_loses_on_its_way_down_is_recorded_again() {
    let script = format!(
        "cd /opt/data/profiles/one\n\
         trap 'echo \"{{\\\"gateway_state\\\":\\\"running\\\"}}\" >{STATE}; exit 0' TERM\n\
         : >ready\nsleep 1000 & wait"
    );
    let container = container("{}", &script);
    gw(&container, &["start", "one"]).ok();
    support::wait_until("the gateway", || path(&container, "ready").exists());
    gw(&container, &["stop", "one"]).ok();
    let state = container.volume().read("one", STATE);
    assert_eq!(state, "{\"gateway_state\":\"running\",\"desired_state\":\"stopped\"}\n");
}

#[test]
fn a_corrupt_file_is_written_anew_and_an_absent_one_made() {
    let container = container("{\"desired_state\":\"runn", "exec sleep 1000");
    let cases: [(&[u8], &str); 4] = [
        (b"{\"desired_state\":\"runn", "is cut short"),
        (b"[]", "holds no JSON object"),
        (b"{\"x\":\"\xff\"}", "is not UTF-8 at byte 6"),
        (b"", "is empty"),
    ];
    for (content, why) in cases {
        fs::write(path(&container, STATE), content).unwrap();
        let output = gw(&container, &["start", "one"]);
        let expected = format!(
            "hermes-gw: warning: read: /opt/data/profiles/one/{STATE}: {why}: written anew\n"
        );
        assert_eq!((output.code, output.stderr), (0, expected));
        let made = "{\"desired_state\":\"running\"}\n";
        assert_eq!(container.volume().read("one", STATE), made);
    }
    fs::remove_file(path(&container, STATE)).unwrap();
    gw(&container, &["stop", "one"]).ok();
    assert_eq!(container.volume().read("one", STATE), "{\"desired_state\":\"stopped\"}\n");
    // A link is not followed, but replaced.
    let victim = container.volume().path().join("victim");
    fs::write(&victim, "{}").unwrap();
    fs::remove_file(path(&container, STATE)).unwrap();
    std::os::unix::fs::symlink(&victim, path(&container, STATE)).unwrap();
    gw(&container, &["start", "one"]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "{}");
}

#[test]
fn where_nothing_can_be_written_control_goes_on_and_ends_with_1() {
    let container = container("{\"x\":1}", "exec sleep 1000");
    gw(&container, &["start", "one"]).ok();
    let home = container.volume().home("one");
    chown(&home, Some(0), Some(0)).unwrap();
    for as_root in [false, true] {
        let stop = ["/command/hermes-gw", "stop", "one"];
        let output = if as_root { container.as_root(&stop) } else { container.as_hermes(&stop) };
        assert_eq!((output.code, container.state("one").as_str()), (1, "down"), "{output:?}");
        let (home, denied) = ("/opt/data/profiles/one", "Permission denied (EACCES)");
        let crash = "the gateway takes this stop for a crash";
        let expected = format!(
            "hermes-gw: warning: create: {home}/{MARKER}.hermes-gw.tmp: {denied}: {crash}\n\
             hermes-gw: create: {home}/{STATE}.hermes-gw.tmp: {denied}: {UNRECORDED}\n"
        );
        assert_eq!(output.stderr, expected);
        let start = gw(&container, &["start", "one"]);
        assert_eq!((start.code, container.state("one").as_str()), (0, "up"));
    }
    assert!(container.volume().read("one", STATE).starts_with("{\"x\":1"));
    // A slot whose profile is gone has no intent to keep.
    fs::remove_dir_all(&home).unwrap();
    let output = gw(&container, &["stop", "one"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

#[test]
fn a_home_that_may_not_be_entered_is_told_with_all_that_follows() {
    let container = container("{}", "exec sleep 1000");
    gw(&container, &["start", "one"]).ok();
    let home = container.volume().home("one");
    chown(&home, Some(0), Some(0)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let output = gw(&container, &["stop", "one"]);
    assert_eq!((output.code, container.state("one").as_str()), (1, "down"), "{output:?}");
    let denied = "open directory: /opt/data/profiles/one: Permission denied (EACCES)";
    let expected = format!(
        "hermes-gw: warning: {denied}: the gateway takes this stop for a crash\n\
         hermes-gw: {denied}: {UNRECORDED}\n"
    );
    assert_eq!(output.stderr, expected);
}

#[test]
fn what_is_wrong_with_the_profiles_is_nothing_to_the_root_profile() {
    let volume = Volume::new();
    volume.wanted("default", "running").profile("one");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    let profiles = container.volume().path().join("profiles");
    let aside = container.volume().path().join("aside");
    fs::rename(&profiles, &aside).unwrap();
    for broken in ["file", "link"] {
        match broken {
            "file" => fs::write(&profiles, "").unwrap(),
            _ => std::os::unix::fs::symlink("nowhere", &profiles).unwrap(),
        }
        for (verb, word) in [("stop", "stopped"), ("start", "running"), ("restart", "running")] {
            let output = gw(&container, &[verb, "default"]);
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{broken} {verb}");
            let state = container.volume().read("default", STATE);
            let recorded = format!(r#""desired_state":"{word}""#);
            assert!(state.contains(&recorded), "{broken} {verb}: {state}");
        }
        let said = "gateway default: stopped as planned\n";
        let log = || container.volume().log("default");
        support::wait_until(&format!("{broken}: {said}"), || log().contains(said));
        fs::remove_file(&profiles).unwrap();
    }
    // Nor is a home that is not there more than that there is no such gateway.
    let nowhere = ["env", "HERMES_HOME=/nowhere", "/command/hermes-gw", "start", "nosuch"];
    let output = container.as_hermes(&nowhere);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stderr.contains(": no such gateway 'nosuch': "), "{output:?}");
}

#[test]
fn the_marker_is_for_the_process_that_is_stopped() {
    // Its process is another one by the time that the intent is recorded.
    let script = format!("trap 'cp {MARKER} seen; exit 0' TERM\necho $$ >ready\nsleep 1000 & wait");
    let container = container("{}", &format!("cd /opt/data/profiles/one\n{script}"));
    let home = container.volume().home("one");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    gw(&container, &["start", "one"]).ok();
    let first = container.pid("one");
    // It stops once it has locked the home.
    let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=flock:signal=STOP:when=1"];
    let stop = [&strace[..], &["/command/hermes-gw", "stop", "one"]].concat();
    let stop = container.hermes_command(&stop).stderr(Stdio::piped()).spawn().unwrap();
    let meta = fs::metadata(&home).unwrap();
    let (major, minor) = (meta.dev() >> 8 & 0xfff, meta.dev() & 0xff);
    let inode = format!(" {major:02x}:{minor:02x}:{} ", meta.ino());
    support::wait_until("the lock", || {
        fs::read_to_string("/proc/locks").unwrap().lines().any(|lock| lock.contains(&inode))
    });
    container.as_hermes(&["/command/s6-svc", "-wR", "-r", "/run/service/gateway-one"]).ok();
    // And has come so far that it hears a signal.
    let ready = || fs::read_to_string(home.join("ready")).unwrap_or_default().trim().to_string();
    support::wait_until("another process", || {
        let pid = container.pid("one");
        pid != first && ready() == pid
    });
    let second = container.pid("one");
    container.go_on("/command/hermes-gw stop one");
    let output = stop.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{output:?}");
    let marker: serde_json::Value =
        serde_json::from_str(&container.volume().read("one", "seen")).unwrap();
    assert_eq!(marker["target_pid"].to_string(), second);
}

#[test]
fn homes_that_somebody_holds_are_waited_for_together_and_told() {
    let volume = Volume::new();
    let names: Vec<_> = (0..6).map(|at| format!("held{at}")).collect();
    for name in &names {
        volume.wanted(name, "running");
    }
    let container = Container::boot(volume, Spec::default());
    names.iter().for_each(|name| container.wait_up(name));
    let homes: Vec<_> = names.iter().map(|it| format!("/opt/data/profiles/{it}")).collect();
    let hold = "for home; do flock $home sh -c 'echo; exec sleep 1000' & done; wait";
    let mut hold = vec!["sh", "-c", hold, "sh"];
    hold.extend(homes.iter().map(String::as_str));
    let mut holders = container.hermes_command(&hold);
    let mut holders = holders.stdout(Stdio::piped()).spawn().unwrap();
    let mut held = BufReader::new(holders.stdout.take().unwrap()).lines();
    names.iter().for_each(|_| drop(held.next().expect("a lock").unwrap()));
    let trace = "/run/trace";
    let strace = ["strace", "-qq", "-o", trace, "-e", "flock", "/command/hermes-gw", "stop"];
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let output = container.as_root(&[&strace[..], &names].concat());
    assert_eq!(output.code, 1, "{output:?}");
    for name in &names {
        let home = format!("/opt/data/profiles/{name}");
        let why = format!("lock: {home}: another process holds the lock: {UNRECORDED}");
        assert!(output.stderr.contains(&why), "{why}: {output:?}");
        assert_eq!(container.state(name), "down");
    }
    // Two seconds for all, before and after, every five milliseconds.
    let tried = container.as_root(&["cat", trace]).ok().matches("EAGAIN").count();
    assert!((names.len()..2 * (400 + names.len())).contains(&tried), "{tried}");
    drop(held);
    holders.kill().unwrap();
    holders.wait().unwrap();
}

#[test]
fn after_a_restart_of_the_container_the_last_wish_counts() {
    let volume = Volume::new();
    volume.wanted("runs", "running").wanted("stays", "stopped").profile("new");
    let mut container = Container::boot(volume, Spec::default());
    container.wait_up("runs");
    gw(&container, &["stop", "runs"]).ok();
    gw(&container, &["start", "stays"]).ok();
    gw(&container, &["restart", "new"]).ok();
    container.wait_up("stays");
    for _ in 0..2 {
        container.restart();
        container.wait_up("stays");
        container.wait_up("new");
        assert_eq!(container.state("runs"), "down");
    }
}

#[test]
fn callers_at_once_leave_a_whole_file() {
    let container = container("{\"x\":1}", "exec sleep 1000");
    let script = "i=0; while [ $i -lt 60 ]; do /command/hermes-gw $1 --no-wait one || exit 1; \
        i=$((i + 1)); done";
    let verbs = ["start", "stop", "start", "stop"];
    let children = verbs
        .map(|verb| container.hermes_command(&["sh", "-c", script, "sh", verb]).spawn().unwrap());
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let state = container.volume().read("one", STATE);
    assert!(
        state.starts_with("{\"x\":1,\"desired_state\":\"") && state.ends_with("\"}"),
        "{state}"
    );
    let left: Vec<_> = fs::read_dir(container.volume().home("one")).unwrap().collect();
    let names = left.into_iter().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains(".tmp")));
}

#[test]
fn a_later_start_is_not_overwritten_by_a_stop_that_waits_for_others() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("deaf", "running").file("deaf", "behave", "deaf\n");
    let container = Container::boot(volume, Spec::default());
    ["one", "deaf"].iter().for_each(|name| container.wait_up(name));
    let stop = ["/command/hermes-gw", "stop", "one", "deaf", "--timeout", "3"];
    let stop = container.hermes_command(&stop).stderr(Stdio::piped()).spawn().unwrap();
    gw(&container, &["wait", "--down", "one"]).ok();
    gw(&container, &["start", "one"]).ok();
    let output = stop.wait_with_output().unwrap();
    let stderr = support::untranslated(output.stderr);
    assert!(stderr.contains("/gateway-deaf: it is not down in time"), "{stderr}");
    // If it was not awake while `one` was down, it sees only that it is wanted up again.
    let overruled = stderr.contains("/gateway-one: another caller overruled it\n");
    let expected = if overruled { (Some(1), 2) } else { (Some(99), 1) };
    assert_eq!((output.status.code(), stderr.lines().count()), expected, "{stderr}");
    container.wait_up("one");
    let state = container.volume().read("one", STATE);
    assert!(state.contains(r#""desired_state":"running""#), "{state}");
}

#[test]
fn who_starts_and_who_stops_at_once_leave_one_wish() {
    let container = container("{}", "exec sleep 1000");
    for round in 0..40 {
        let spawn = |verb| {
            let args = ["/command/hermes-gw", verb, "one", "--timeout", "60"];
            container.hermes_command(&args).stderr(Stdio::null()).spawn().unwrap()
        };
        let codes = [spawn("start"), spawn("stop")].map(|mut it| it.wait().unwrap().code());
        // One of them may be told that the other has overruled it; nobody waits for ever.
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 1))), "{round}: {codes:?}");
        let svstat = ["/command/s6-svstat", "-o", "wantedup", "/run/service/gateway-one"];
        let wanted = container.as_hermes(&svstat).ok();
        let state = container.volume().read("one", STATE);
        let recorded = state.contains(r#""desired_state":"running""#);
        assert_eq!(wanted.trim(), recorded.to_string(), "{round}: {codes:?} {state}");
    }
}

#[test]
fn a_home_that_somebody_has_locked_keeps_no_wish() {
    let container = container("{}", "exec sleep 1000");
    gw(&container, &["start", "one"]).ok();
    let home = fs::File::open(container.volume().home("one")).unwrap();
    home.lock().unwrap();
    let output = gw(&container, &["stop", "one"]);
    assert_eq!((output.code, container.state("one").as_str()), (1, "down"));
    let why = format!(": another process holds the lock: {UNRECORDED}\n");
    assert!(output.stderr.ends_with(&why), "{output:?}");
    home.unlock().unwrap();
    gw(&container, &["stop", "one"]).ok();
    let state = container.volume().read("one", STATE);
    assert!(state.contains(r#""desired_state":"stopped""#), "{state}");
}
