//! What the runtime gives a container: groups for PID 1, a /proc that hides it, an s6-svscan
//! without s6-overlay.

use crate::support;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use support::{Container, HERMES, Output, SCANDIR_OF_PID_1, Spec, Tree, Volume, jq, wait_until};

const GW: &str = "/command/hermes-gw";

fn as_hermes(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&[GW], args].concat())
}

fn as_root(container: &Container, args: &[&str]) -> Output {
    container.as_root(&[&[GW], args].concat())
}

/// The groups of process `pid`, as the kernel sorts them.
fn groups(container: &Container, pid: &str) -> String {
    let status = container.as_root(&["cat", &format!("/proc/{pid}/status")]).ok();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    line.unwrap_or_else(|| panic!("{pid}: {status}")).trim().into()
}

/// The pid of the service at `path`, once there is one.
#[track_caller]
fn pid_of(container: &Container, path: &str) -> String {
    let mut pid = String::new();
    wait_until(&format!("process of {path}"), || {
        pid = container.as_root(&["/command/s6-svstat", "-o", "pid", path]).stdout;
        pid = pid.trim().into();
        !matches!(pid.as_str(), "" | "-1")
    });
    pid
}

/// Waits until the logger of `profile` is s6-log, and no shell any more.
#[track_caller]
fn logger(container: &Container, profile: &str) -> String {
    let path = format!("/run/service/gateway-{profile}/log");
    let mut pid = String::new();
    wait_until(&format!("s6-log of {profile}"), || {
        pid = pid_of(container, &path);
        container.as_root(&["cat", &format!("/proc/{pid}/comm")]).stdout == "s6-log\n"
    });
    pid
}

/// Fails if doctor has something to say, to hermes or to root.
#[track_caller]
fn silent(container: &Container, options: &[&str]) {
    let args = [options, &["--json", "doctor"]].concat();
    for (who, run) in [
        ("hermes", as_hermes as fn(&Container, &[&str]) -> Output),
        ("root", as_root as fn(&Container, &[&str]) -> Output),
    ] {
        let found = run(container, &args);
        let bad = jq(".[] | select(.level != \"ok\") | .text", &found.stdout);
        assert_eq!((bad.as_str(), found.stderr.as_str(), found.code), ("", "", 0), "as {who}");
    }
}

/// What doctor says of `check`.
fn doctor_of(output: &Output, check: &str) -> String {
    jq(&format!(".[] | select(.check == \"{check}\") | .text"), &output.stdout)
}

const GROUP: &str = "root:x:0:\nhermes:x:10000:\nvideo:x:44:root,hermes\ndisk:x:6:root\n\
    wheel:x:10:bin,root\n";

/// A container whose PID 1 has groups of its own, and whose volume belongs to one of them.
fn granted(hidepid: u8) -> Container {
    let volume = Volume::new();
    volume.wanted("one", "running").profile("two");
    let environment = vec![("HERMES_DASHBOARD".into(), "1".into())];
    let groups = "0,6,10,44,2775,65534";
    let spec = Spec { environment, groups, hidepid, ..Spec::default() };
    let mut container = Container::new(volume, spec);
    let group = container.root().join("etc/group");
    fs::remove_file(&group).unwrap();
    fs::write(group, GROUP).unwrap();
    container.start();
    container.wait_up("one");
    container
}

#[test]
fn what_the_runtime_granted_pid_1_everything_that_drops_root_keeps_but_what_is_roots() {
    let container = granted(0);
    assert_eq!(groups(&container, "1"), "0 6 10 44 2775 65534");
    let mut pids = vec![container.pid("one"), logger(&container, "one")];
    pids.push(pid_of(&container, &format!("{SCANDIR_OF_PID_1}/dashboard")));
    wait_until("the dashboard", || container.console().contains("dashboard --no-open"));
    if support::tree() == Tree::User {
        pids.push(pid_of(&container, &format!("{SCANDIR_OF_PID_1}/hermes-svscan")));
    }
    for pid in pids {
        let name = container.as_root(&["cat", &format!("/proc/{pid}/comm")]).ok();
        assert_eq!(groups(&container, &pid), "44 2775 10000", "{name}");
    }
    // hermes-gw itself has them, too: the volume of a pod is root's, and the group's.
    let volume = container.volume();
    for home in [volume.home("default"), volume.home("two")] {
        chown(&home, Some(0), Some(2775)).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o2775)).unwrap();
    }
    let stopped = as_root(&container, &["stop", "two"]);
    assert_eq!((stopped.code, stopped.stderr.as_str()), (0, ""));
    assert!(volume.read("two", "gateway_state.json").contains("stopped"));
}

#[test]
fn the_primary_group_is_what_the_database_says_also_if_it_is_0() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let mut container = Container::new(volume, Spec { groups: "2775", ..Spec::default() });
    let passwd = container.root().join("etc/passwd");
    fs::remove_file(&passwd).unwrap();
    fs::write(passwd, "root:x:0:0::/:/bin/sh\nhermes:x:10000:0::/opt/data:/bin/sh\n").unwrap();
    container.start();
    container.wait_up("one");
    let pid = container.pid("one");
    assert_eq!(groups(&container, &pid), "0 44 2775");
    let owner = container.as_root(&["stat", "-c", "%u:%g", &format!("/proc/{pid}")]).ok();
    assert_eq!(owner, "10000:0\n");
}

#[test]
fn a_slot_is_the_same_whoever_makes_it_and_where_proc_tells_hermes_nothing() {
    for hidepid in [0, 2] {
        let container = granted(hidepid);
        container.volume().profile("three").profile("four").give(HERMES);
        as_hermes(&container, &["register", "--down", "three", "--force"]).ok();
        as_root(&container, &["register", "--down", "four", "--force"]).ok();
        let files = container.slot_files("one");
        for profile in ["two", "three", "four"] {
            assert_eq!(container.slot_files(profile), files, "{profile}, hidepid: {hidepid}");
        }
        for run in [as_hermes, as_root] {
            let reconciled = run(&container, &["--json", "reconcile"]).ok();
            assert_eq!(jq("map(.action) | unique | join(\" \")", &reconciled), "kept");
        }
        silent(&container, &[]);
        as_hermes(&container, &["start", "three"]).ok();
        container.wait_up("three");
        assert_eq!(groups(&container, &container.pid("three")), "44 2775 10000");
    }
}

#[test]
fn where_nothing_says_what_to_drop_to_it_is_the_databases_groups() {
    let container = granted(0);
    container.as_root(&["rm", "/run/hermes-gw.ids.hermes"]).ok();
    // What runs as root by then is what drops.
    if support::tree() == Tree::User {
        let (slot, before) = ("/run/service/gateway-one", container.pid("one"));
        container.signal_svscan("KILL");
        wait_until("another gateway", || pid_of(&container, slot) != before);
        container.wait_up("one");
    } else {
        as_root(&container, &["restart", "one"]).ok();
        container.wait_up("one");
        assert_eq!(groups(&container, &container.pid("one")), "44 10000");
        // The next reconcile of root's tells it again.
        as_root(&container, &["reconcile"]).ok();
    }
    as_root(&container, &["restart", "one"]).ok();
    container.wait_up("one");
    assert_eq!(groups(&container, &container.pid("one")), "44 2775 10000");
}

#[test]
fn a_container_that_is_not_reconciled_has_its_dashboard_with_the_groups_all_the_same() {
    let environment = [("HERMES_DASHBOARD", "1"), ("HERMES_GW_SKIP_RECONCILE", "1")];
    let environment = environment.map(|(name, value)| (name.to_string(), value.to_string()));
    // Without a scandir, the user tree's s6-svscan does not come up.
    let tree = Tree::Root;
    let spec = Spec { environment: environment.into(), tree, groups: "2775", ..Spec::default() };
    let container = Container::boot(Volume::new(), spec);
    wait_until("the dashboard", || container.console().contains("dashboard --no-open"));
    let slot = format!("{SCANDIR_OF_PID_1}/dashboard");
    let pid = pid_of(&container, &slot);
    assert_eq!(groups(&container, &pid), "44 2775 10000");
    // A file that is not root's says nothing: not to stay root, either.
    let forge = "printf '%s\\n' '-u 0 -g 0 -G 0' >$0 && chown hermes $0 && /command/s6-svc -r $1";
    container.as_root(&["sh", "-c", forge, "/run/hermes-gw.ids.hermes", &slot]).ok();
    let again = || container.console().matches("dashboard --no-open").count() == 2;
    wait_until("the dashboard again", again);
    assert_eq!(groups(&container, &pid_of(&container, &slot)), "44 10000");
}

#[test]
fn under_hidepid_everything_works_and_nothing_untrue_is_said() {
    // PID 1 cannot be looked into, or is not there at all; that by either of two rules.
    for hidepid in [1, 2, 4] {
        everything_works_under(hidepid);
    }
}

fn everything_works_under(hidepid: u8) {
    let volume = Volume::new();
    volume.wanted("one", "running").profile("two");
    let container = Container::boot(volume, Spec { hidepid, ..Spec::default() });
    container.wait_up("one");
    assert_ne!(container.as_hermes(&["cat", "/proc/1/comm"]).code, 0, "/proc hides nothing");
    for run in [as_hermes, as_root] {
        let good = |args: &[&str]| {
            let output = run(&container, args);
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}");
            output.stdout
        };
        assert_eq!(good(&["detect"]), "s6\n");
        assert_eq!(good(&["list"]), "default\none\ntwo\n");
        good(&["start", "two", "default"]);
        container.wait_up("two");
        assert!(good(&["status"]).starts_with("Manager: s6"));
        let wanted = good(&["--json", "status"]);
        assert_eq!(jq("map(.wanted_at_boot) | unique | join(\" \")", &wanted), "up");
        good(&["restart", "two"]);
        good(&["signal", "CONT", "two"]);
        good(&["stop", "--all"]);
        good(&["start", "one"]);
        good(&["unregister", "two"]);
        good(&["register", "--down", "two", "--force"]);
        good(&["hook", "profile-create", "two"]);
        good(&["reconcile"]);
        good(&["logs", "one"]);
    }
    silent(&container, &[]);
    let doctor = as_hermes(&container, &["--json", "doctor"]);
    let supervisors = match support::tree() {
        Tree::Root => "not looked at: /proc hides them from this user",
        Tree::User => "6, each on its slot",
    };
    assert_eq!(doctor_of(&doctor, "supervisors"), supervisors);
    // What it cannot see it does not call fine.
    assert_eq!(doctor_of(&doctor, "capability"), "not looked at");
    let stranger = container.as_stranger(&[GW, "detect"]);
    assert_eq!((stranger.code, stranger.stdout.as_str()), (0, "s6\n"));
    // Without a FIFO that s6-svscan reads it is none.
    let control = format!("{SCANDIR_OF_PID_1}/.s6-svscan/control");
    for script in ["mv $0 $0.away", "mkfifo -m 666 $0"] {
        container.as_root(&["sh", "-euc", script, &control]).ok();
        assert_eq!(as_hermes(&container, &["detect"]).ok(), "none\n", "{script}");
        assert_eq!(as_root(&container, &["detect"]).ok(), "s6\n", "{script}");
    }
    container.as_root(&["sh", "-euc", "mv $0.away $0", &control]).ok();
    assert_eq!(as_hermes(&container, &["detect"]).ok(), "s6\n");
}

#[test]
fn under_hidepid_hermes_knows_of_a_main_program_that_is_the_root_profiles_gateway() {
    let main = ["gateway", "run", "--no-supervise"].map(String::from).to_vec();
    let volume = Volume::new();
    volume.wanted("default", "running").wanted("one", "running");
    let container = Container::boot(volume, Spec { hidepid: 2, main, ..Spec::default() });
    container.wait_up("one");
    for run in [as_hermes, as_root] {
        let started = run(&container, &["start", "default"]);
        assert_eq!(started.code, 1, "{started:?}");
        let wanted = run(&container, &["--json", "status", "default"]).ok();
        assert_eq!(jq(".[0].wanted_at_boot", &wanted), "down");
        let doctor = run(&container, &["--json", "doctor"]);
        assert!(doctor_of(&doctor, "s6").contains("; default: "), "{doctor:?}");
    }
    silent(&container, &[]);
}

/// PID 1 of a container without s6-overlay.
const BARE: &str = "#!/bin/sh -e
export PATH=/command:/usr/local/bin:/usr/bin:/bin
umask 022
mkdir -p /run/service /run/s6
cp -R /etc/container_environment /run/s6/
: >/run/booted
";
/// The same, with an s6-svscan of hermes' beside its own.
const OF_HERMES: &str = "mkdir -p /run/hermes-gw/service
chown hermes /run/hermes-gw/service
s6-setuidgid hermes s6-svscan /run/hermes-gw/service &
";

#[test]
fn a_bare_s6_svscan_is_handed_over_with_the_way_to_its_fifo() {
    let volume = Volume::new();
    volume.profile("one").profile("two");
    let mut container = Container::new(volume, Spec { groups: "2775", ..Spec::default() });
    let own = if support::tree() == Tree::User { OF_HERMES } else { "" };
    let init = container.root().join("init");
    fs::remove_file(&init).unwrap();
    fs::write(&init, [BARE, own, "exec s6-svscan /run/service\n"].concat()).unwrap();
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
    container.start();
    let scandir = ["--scandir", "/run/service"];
    let good = |run: fn(&Container, &[&str]) -> Output, args: &[&str]| {
        let output = run(&container, &[&scandir, args].concat());
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}");
    };
    // Its FIFO is there before it reads it.
    let scan = ["/command/s6-svscanctl", "-a", "/run/service"];
    wait_until("s6-svscan", || container.as_root(&scan).succeeded());
    let mode = fs::metadata(container.inside("/run/service/.s6-svscan")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
    good(as_root, &["reconcile"]);
    silent(&container, &scandir);
    good(as_root, &["unregister", "one"]);
    good(as_hermes, &["register", "one", "--force"]);
    container.wait_up("one");
    good(as_hermes, &["unregister", "two"]);
    good(as_root, &["register", "--down", "two", "--force"]);
    if support::tree() == Tree::Root {
        assert_eq!(groups(&container, &container.pid("one")), "44 2775 10000");
    }
    good(as_root, &["reconcile"]);
    good(as_hermes, &["reconcile"]);
    silent(&container, &scandir);
}

#[test]
fn a_start_is_few_programs_and_no_fork() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("coder");
    logger(&container, "coder");
    // In the user tree nobody has to become the user.
    let drops = usize::from(support::tree() == Tree::Root);
    // Nor has a logger to load an environment, which its s6-svscan has.
    let of_logger = 2 + 2 * drops;
    for (service, last, most) in [("coder", "/hermes", 5), ("coder/log", "/s6-log", of_logger)] {
        let supervisor = container.supervisor(service);
        let trace = format!("/tmp/starts.{}", service.replace('/', "."));
        let strace = ["strace", "-f", "-qq", "-o", &trace, "-e", "trace=process", "-p"];
        let strace = container.root_command(&[&strace[..], &[&supervisor]].concat());
        let mut strace = { strace }.spawn().unwrap();
        let mut tracer = String::new();
        wait_until("strace to be there", || {
            let status = container.as_root(&["cat", &format!("/proc/{supervisor}/status")]).ok();
            let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:\t"));
            tracer = line.unwrap().into();
            tracer != "0"
        });
        let slot = format!("/run/service/gateway-{service}");
        container.as_root(&["/command/s6-svc", "-k", &slot]).ok();
        let mut calls = Vec::new();
        wait_until(&format!("{service} to be started by its supervisor"), || {
            let all = container.as_root(&["cat", &trace]).stdout;
            let run = all.lines().find(|line| line.contains("execve(\"./run\""));
            let Some((pid, _)) = run.and_then(|line| line.split_once(' ')) else { return false };
            calls = all.lines().filter(|line| line.starts_with(pid)).map(String::from).collect();
            calls.iter().any(|line| line.contains(last) && line.ends_with("= 0"))
        });
        // By SIGTERM it would wait for what is in a vfork to stop, which that cannot.
        container.as_root(&["sh", "-c", "kill -KILL $0", &tracer]).ok();
        strace.wait().unwrap();
        // What the program itself starts is its own affair.
        let end = calls.iter().position(|line| line.contains(last) && line.ends_with("= 0"));
        let calls = &calls[..=end.unwrap()];
        let count = |what: &[&str]| {
            let is_one = |line: &&String| what.iter().any(|call| line.contains(call));
            calls.iter().filter(is_one).filter(|line| !line.contains(" = -1 ")).count()
        };
        assert_eq!(count(&["fork(", "clone(", "clone3("]), 0, "{service}: {calls:#?}");
        assert_eq!(count(&["execve("]), most + drops, "{service}: {calls:#?}");
    }
}
