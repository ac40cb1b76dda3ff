//! Whoever owns the volume, and whoever the container runs as: what counts is what works.

use crate::support;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;
use support::{Container, HERMES, Output, Spec, Volume, jq};

const STATE: &str = "gateway_state.json";
/// A user of OpenShift's, who is in no user database.
const ANYBODY: u32 = 1_000_670_000;

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

/// Gives all of the volume to `uid` and `gid`, directories with one mode and files with another.
fn give(path: &Path, uid: u32, gid: u32, modes: (u32, u32)) {
    lchown(path, Some(uid), Some(gid)).unwrap();
    let is_dir = path.is_dir();
    let mode = if is_dir { modes.0 } else { modes.1 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for entry in if is_dir { Some(fs::read_dir(path).unwrap()) } else { None }.into_iter().flatten()
    {
        give(&entry.unwrap().path(), uid, gid, modes);
    }
}

/// What doctor has against something, `level: check: text; remedy` each.
#[track_caller]
fn bad(output: &Output) -> Vec<String> {
    assert_eq!(output.stderr, "", "{output:?}");
    let filter = ".[] | select(.level != \"ok\") | .level + \": \" + .check + \": \" + .text + \"; \" \
        + (.remedy // \"-\")";
    let found = jq(filter, &output.stdout);
    let fails = found.lines().any(|line| line.starts_with("fail: "));
    assert_eq!(output.code, i32::from(fails), "{output:?}");
    found.lines().map(String::from).collect()
}

/// The same, as the gateways' user, and where there is a root, as root.
#[track_caller]
fn findings(container: &Container, root: bool) -> Vec<String> {
    let doctor = ["/command/hermes-gw", "--json", "doctor"];
    let found = bad(&container.as_hermes(&doctor));
    if root {
        assert_eq!(bad(&container.as_root(&doctor)), found, "as root");
    }
    let trial = ["find", "/run", "/opt", "-name", ".hermes-gw.trial"];
    assert_eq!(container.as_root(&trial).ok(), "", "something was left");
    found
}

/// All verbs do what they say, as whom the gateways are, and what is wanted is kept.
fn all_verbs_work(container: &mut Container, root: bool) {
    for profile in ["default", "coder"] {
        container.wait_up(profile);
    }
    assert_eq!(findings(container, root), [""; 0]);
    let verbs: [&[&str]; 27] = [
        &["list"],
        &["unregister", "new"],
        &["status"],
        &["stop", "coder"],
        &["start", "coder"],
        &["restart", "coder"],
        &["wait", "--up", "coder"],
        &["is-running", "coder"],
        &["signal", "HUP", "coder"],
        &["logs", "coder"],
        &["register", "--down", "new", "--force"],
        &["start", "new"],
        &["stop", "new"],
        &["unregister", "new"],
        &["hook", "profile-create", "new"],
        &["hook", "profile-delete", "new"],
        &["register", "new", "--force"],
        &["reconcile", "--dry-run"],
        &["reconcile"],
        &["reconcile", "--boot"],
        &["unregister", "new"],
        &["reconcile", "--prune"],
        &["start", "new"],
        &["stop", "--all"],
        &["start", "--all"],
        &["stop", "coder"],
        &["detect"],
    ];
    for verb in verbs {
        let output = gw(container, verb);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{verb:?}: {output:?}");
    }
    assert_eq!(findings(container, root), [""; 0]);
    gw(container, &["shutdown"]).ok();
    assert_eq!(["default", "coder", "new"].map(|it| container.state(it)), ["down"; 3]);
    container.restart();
    for profile in ["default", "new"] {
        container.wait_up(profile);
    }
    assert_eq!(container.state("coder"), "down");
    let console = container.console();
    assert!(!console.contains(" warning: ") && !console.contains("failed"), "{console}");
    assert_eq!(findings(container, root), [""; 0]);
}

fn volume() -> Volume {
    let volume = Volume::new();
    volume.wanted("default", "running").wanted("coder", "running").profile("new");
    volume
}

#[test]
fn anybody_may_be_who_the_container_runs_as() {
    for known in [false, true] {
        let volume = volume();
        let spec = Spec { user: Some((ANYBODY, 0)), ..Spec::default() };
        let mut container = Container::new(volume.clone(), spec);
        give(volume.path(), 0, 0, (0o775, 0o664));
        if !known {
            let passwd = container.root().join("etc/passwd");
            fs::write(passwd, "root:x:0:0::/root:/bin/sh\n").unwrap();
        }
        container.start();
        let user = jq(
            ".[] | select(.check == \"user\") | .text",
            &gw(&container, &["--json", "doctor"]).stdout,
        );
        assert_eq!(user, format!("gateways run as user {ANYBODY}"));
        all_verbs_work(&mut container, false);
    }
}

#[test]
fn who_owns_the_volume_is_nothing_to_who_may_write_to_it() {
    let table = [
        // What Kubernetes makes of fsGroup, and a share of Unraid's, or of CIFS.
        (0, HERMES, (0o2775, 0o664)),
        (99, 100, (0o777, 0o666)),
    ];
    for (uid, gid, modes) in table {
        let volume = volume();
        let mut container = Container::new(volume.clone(), Spec::default());
        give(volume.path(), uid, gid, modes);
        container.start();
        all_verbs_work(&mut container, true);
    }
}

/// Has the gateway of `profile` run a program that needs no home.
fn idle(container: &Container, profile: &str) {
    let run = container.inside(&format!("/run/service/gateway-{profile}/run"));
    fs::write(run, "#!/bin/sh\nexec sleep 1000\n").unwrap();
}

/// What a verb says that did what it was to do, but could not record it in the `home` of `one`.
#[track_caller]
fn not_recorded(container: &Container, home: &str, verb: &[&str], errno: &str) {
    for json in [None, Some("--json")] {
        let args: Vec<_> = json.iter().chain(verb).chain([&"one"]).copied().collect();
        let output = gw(container, &args);
        let mut lines: Vec<_> = output.stderr.lines().collect();
        let last = lines.pop().unwrap_or_default();
        let error = match json {
            None => last.strip_prefix("hermes-gw: ").unwrap_or_default().to_string(),
            Some(_) => jq(".error", last),
        };
        let (what, why) = error.split_once(": ").unwrap_or_default();
        assert!(["create", "rename"].contains(&what), "{output:?}");
        let expected = format!(
            "{home}/{STATE}.hermes-gw.tmp: {errno}: what was asked for is done, but not recorded: \
             the next container start will not know"
        );
        assert_eq!((output.code, why), (1, expected.as_str()), "{args:?}: {output:?}");
        assert!(lines.iter().all(|line| line.contains("warning")), "{output:?}");
    }
}

const UNKEPT: &str =
    "its gateway cannot keep its state, and what start and stop want ends with the container";

#[test]
fn on_a_volume_that_is_read_only_gateways_start_and_stop_until_the_container_ends() {
    let volume = Volume::new();
    volume.wanted("one", "stopped").wanted("two", "running").profile("new");
    fs::create_dir_all(volume.path().join("logs/gateways/one")).unwrap();
    let home = volume.path().to_str().unwrap().to_string();
    let mounts = vec![volume.path().to_path_buf()];
    let container = Container::boot(volume, Spec { home: home.clone(), mounts, ..Spec::default() });
    ["one", "two", "new"].iter().for_each(|profile| idle(&container, profile));
    let one = format!("{home}/profiles/one");
    let errno = "Read-only file system (EROFS)";
    not_recorded(&container, &one, &["start"], errno);
    assert_eq!(container.state("one"), "up");
    not_recorded(&container, &one, &["restart"], errno);
    assert_eq!(container.state("one"), "up");
    not_recorded(&container, &one, &["start", "--no-wait"], errno);
    // What the file says already need not be recorded; only the gateway does not know.
    let output = gw(&container, &["stop", "one"]);
    let unread = format!(
        "hermes-gw: warning: create: {one}/.gateway-planned-stop.json.hermes-gw.tmp: {errno}: the \
         gateway takes this stop for a crash\n"
    );
    assert_eq!((output.code, output.stderr.as_str()), (0, unread.as_str()));
    assert_eq!(container.state("one"), "down");
    let output = gw(&container, &["start", "two"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    // Of several, each is told.
    let output = container.as_root(&["/command/hermes-gw", "start", "one", "new", "two"]);
    assert_eq!((output.code, output.stderr.lines().count()), (1, 2), "{output:?}");
    assert_eq!(["one", "new", "two"].map(|it| container.state(it)), ["up"; 3]);
    // One finding, and not one for each home.
    let of_homes = |found: Vec<String>| -> Vec<String> {
        let checks = ["fail: home: ", "warn: profiles: ", "fail: profiles: "];
        let is = |it: &String| checks.iter().any(|check| it.starts_with(check));
        found.into_iter().filter(is).collect()
    };
    let doctor = ["/command/hermes-gw", "--json", "doctor"];
    for output in [container.as_hermes(&doctor), container.as_root(&doctor)] {
        assert_eq!(
            of_homes(bad(&output)),
            [format!(
                "fail: home: write to: {home}: {errno}: {UNKEPT}; mount it without :ro or readOnly"
            )]
        );
    }
}

#[test]
fn a_state_file_that_is_mounted_alone_cannot_be_replaced() {
    let volume = Volume::new();
    volume.wanted("one", "stopped");
    let container = Container::boot(volume, Spec::default());
    assert_eq!(findings(&container, true), [""; 0]);
    let path = format!("/opt/data/profiles/one/{STATE}");
    let mount = format!("cp -a {path} /tmp/state; mount --bind /tmp/state {path}");
    container.as_root(&["sh", "-c", &mount]).ok();
    let (home, errno) = ("/opt/data/profiles/one", "Device or resource busy (EBUSY)");
    not_recorded(&container, home, &["start"], errno);
    assert_eq!(container.state("one"), "up");
    let found =
        format!("fail: profiles: {path} is mounted alone: {UNKEPT}; mount the directory instead");
    assert_eq!(findings(&container, true), [found]);
    assert_eq!(gw(&container, &["stop", "one"]).stderr, "");
    container.as_root(&["umount", &path]).ok();
    gw(&container, &["start", "one"]).ok();
    assert_eq!(findings(&container, true), [""; 0]);
}

#[test]
fn a_home_without_room_keeps_no_gateway_from_its_start() {
    let volume = Volume::new();
    volume.wanted("one", "stopped").profile("two");
    let container = Container::boot(volume, Spec::default());
    ["one", "two"].iter().for_each(|profile| idle(&container, profile));
    let home = "/opt/data/profiles/one";
    let fill = format!(
        "mount -t tmpfs -o size=16k,uid={HERMES},gid={HERMES} tmpfs {home}; echo >{home}/SOUL.md; \
         head -c 100000 /dev/zero >{home}/full || :"
    );
    container.as_root(&["sh", "-c", &fill]).ok();
    let errno = "No space left on device (ENOSPC)";
    not_recorded(&container, home, &["start"], errno);
    assert_eq!(container.state("one"), "up");
    not_recorded(&container, home, &["stop"], errno);
    assert_eq!(container.state("one"), "down");
    // The other goes on as ever.
    let output = gw(&container, &["start", "one", "two"]);
    assert_eq!((output.code, container.state("two").as_str()), (1, "up"), "{output:?}");
    assert!(container.volume().read("two", STATE).contains("running"));
}

#[test]
fn what_cannot_be_written_to_is_told_with_what_to_do() {
    let volume = Volume::new();
    volume.wanted("default", "running").wanted("one", "running");
    let container = Container::boot(volume, Spec::default());
    ["default", "one"].iter().for_each(|profile| container.wait_up(profile));
    let denied = |check: &str, path: &str, without: &str, remedy: &str| {
        format!(
            "fail: {check}: write to: {path}: Permission denied (EACCES): {without}; as root: \
             chown -R hermes {remedy}"
        )
    };
    let lost = "what gateways say is lost";
    let (home, log) = ("/opt/data/profiles/one", "/opt/data/logs/gateways/one");
    let table = [
        ("/opt/data", denied("home", "/opt/data", UNKEPT, "/opt/data")),
        ("/opt/data/logs/gateways", denied("home", "/opt/data/logs/gateways", lost, "/opt/data")),
        (home, denied("profiles", home, UNKEPT, home)),
        (log, denied("profiles", log, lost, log)),
    ];
    for (path, expected) in table {
        container.as_root(&["chown", "root", path]).ok();
        let found = findings(&container, true);
        assert_eq!(found, [expected.as_str()]);
        let remedy = expected.split_once("; as root: ").unwrap().1;
        container.as_root(&["sh", "-c", remedy]).ok();
        assert_eq!(findings(&container, true), [""; 0], "{path}");
    }
}

#[test]
fn what_a_killed_doctor_leaves_goes_with_the_next() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    let trials = || {
        let find = ["find", "/run", "/opt", "-name", ".hermes-gw.trial"];
        container.as_root(&find).ok().lines().count()
    };
    let mut kills = 0;
    for count in 1.. {
        let inject = format!("inject=unlinkat:signal=KILL:when={count}");
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
        let doctor = [&strace[..], &["/command/hermes-gw", "-q", "doctor"]].concat();
        if container.as_root(&doctor).code == 0 {
            break;
        }
        kills += 1;
        assert_eq!(trials(), 1, "{inject}");
        assert_eq!(findings(&container, true), [""; 0], "{inject}");
    }
    // The scandir; of the slots, two things each; of the homes, four; and of the logs, two.
    assert!(kills >= 8, "{kills}");
    // Several at once are in nobody's way.
    let doctors: Vec<_> = (0..8)
        .map(|_| container.hermes_command(&["/command/hermes-gw", "-q", "doctor"]).spawn().unwrap())
        .collect();
    for mut doctor in doctors {
        assert!(doctor.wait().unwrap().success());
    }
    assert_eq!(trials(), 0);
}
