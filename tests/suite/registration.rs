//! register, unregister, list, hook, reconcile --prune: slots that come and go.

use crate::support;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;
use std::time::Duration;
use support::{
    Container, Events, Output, SCANDIR_OF_PID_1, Spec, Tree, Volume, wait_or, wait_until,
};

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

/// What is left in the scandir, hidden names included, and who supervises what.
fn leftovers(container: &Container) -> (BTreeSet<String>, Vec<String>) {
    let names = container.as_root(&["ls", "-A", "/run/service"]).ok();
    let supervisors = container.processes("s6-supervise gateway-").into_iter().map(|it| it.2);
    (names.lines().map(String::from).collect(), supervisors.collect())
}

/// The same once `default` and its logger are supervised; the boot does not wait for the latter.
fn at_first(container: &Container) -> (BTreeSet<String>, Vec<String>) {
    wait_until("the supervisors of default", || leftovers(container).1.len() == 2);
    leftovers(container)
}

/// How many descriptors each s6-svscan has open, all together.
fn descriptors(container: &Container) -> usize {
    let script = "for p in /proc/[0-9]*; do \
        [ \"$(cat $p/comm 2>&-)\" != s6-svscan ] || ls $p/fd; done";
    container.as_root(&["sh", "-c", script]).ok().lines().count()
}

#[test]
fn a_slot_is_registered_supervised_listed_and_removed_by_either_caller() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("one").profile("two").give(support::HERMES);
    let before = at_first(&container);
    type Caller<'a> = &'a dyn Fn(&[&str]) -> Output;
    let callers: [Caller; 2] = [&|args| gw(&container, args), &|args| {
        container.as_root(&[&["/command/hermes-gw"], args].concat())
    }];
    for (register, unregister) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
        callers[register](&["register", "two", "--down"]).ok();
        // Supervised when it returns, and down.
        container.as_hermes(&["/command/s6-svok", &slot("two")]).ok();
        container.as_hermes(&["/command/s6-svok", &format!("{}/log", slot("two"))]).ok();
        assert_eq!(container.state("two"), "down");
        callers[register](&["register", "one"]).ok();
        assert_eq!(container.state("one"), "up");
        assert_eq!(gw(&container, &["list"]).ok(), "default\none\ntwo\n");
        assert_eq!(gw(&container, &["--json", "list"]).ok(), "[\"default\",\"one\",\"two\"]\n");
        let owners: BTreeSet<u32> =
            ["", "/run", "/supervise", "/supervise/control", "/event", "/log/run"]
                .iter()
                .map(|part| fs::metadata(container.inside(&(slot("one") + part))).unwrap().uid())
                .collect();
        assert_eq!(owners, [support::HERMES].into());

        let again = callers[register](&["register", "one"]);
        let why =
            "hermes-gw: register gateway: /run/service/gateway-one: it is registered already\n";
        assert_eq!((again.code, again.stderr.as_str()), (4, why));
        callers[register](&["register", "one", "--if-missing"]).ok();

        callers[unregister](&["unregister", "one", "two", "nobody"]).ok();
        assert_eq!(leftovers(&container), before);
        callers[unregister](&["unregister", "one"]).ok();
    }
}

#[test]
fn what_was_heard_while_a_slot_came_and_went() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("one").give(support::HERMES);
    gw(&container, &["register", "one"]).ok();
    container.wait_up("one");
    let log = format!("{}/log", slot("one"));
    container.as_root(&["/command/s6-svwait", "-u", &log]).ok();
    let mut service = Events::of(&container, &slot("one"));
    let mut logger = Events::of(&container, &log);
    gw(&container, &["unregister", "one"]).ok();
    service.expect("dDx");
    logger.expect("dDx");
    // The intent is the profile's, and unregistering is none.
    let state = container.volume().read("one", "gateway_state.json");
    assert!(!state.contains("desired_state"), "{state}");
}

#[test]
fn names_that_are_none_are_refused() {
    let container = Container::boot(Volume::new(), Spec::default());
    let before = at_first(&container);
    let long = "a".repeat(244);
    let names = [
        "",
        "..",
        ".",
        "../../etc",
        "a/b",
        "/etc",
        "-x",
        "_x",
        "Coder",
        "a b",
        "a\nb",
        "é",
        "a.b",
        &long,
    ];
    for name in names {
        for verb in [
            &["register", "--"][..],
            &["unregister", "--"],
            &["start", "--"],
            &["stop", "--"],
            &["restart", "--"],
            &["signal", "HUP", "--"],
            &["is-running", "--"],
            &["wait", "--up", "--"],
        ] {
            let output = gw(&container, &[verb, &[name]].concat());
            assert_eq!(output.code, 100, "{verb:?} {name:?}: {output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
            assert!(output.stderr.contains(": invalid name: "), "{output:?}");
        }
        let hook = gw(&container, &["hook", "profile-create", "--", name]);
        assert!(hook.code == 0 && hook.stderr.starts_with("hermes-gw: warning: "), "{hook:?}");
    }
    assert_eq!(gw(&container, &["register", "-x", "--force"]).code, 100);
    assert_eq!(leftovers(&container), before);
    let longest = "a".repeat(243);
    gw(&container, &["register", &longest, "--down", "--force"]).ok();
    assert_eq!(container.state(&longest), "down");
    gw(&container, &["unregister", &longest]).ok();
    assert_eq!(leftovers(&container), before);
}

#[test]
fn extra_environment_arrives_byte_for_byte() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("one").give(support::HERMES);
    let values: [&[u8]; 8] = [
        b"it's \"quoted\"",
        b"line one\nline two\n",
        b"$HOME ${HOME} $(id) `id`",
        b"\\ \\n \\' \\\\",
        b"\xff\xfe not UTF-8 \x01\x7f",
        b" leading and trailing ",
        b"",
        b"# end of extra environment\n",
    ];
    let mut command = container.root_command(&["/command/hermes-gw", "register", "one", "--force"]);
    for (i, value) in values.iter().enumerate() {
        let variable = [format!("EXTRA_{i}=").as_bytes(), value].concat();
        command.arg("--env").arg(OsStr::from_bytes(&variable));
    }
    assert!(command.status().unwrap().success());
    container.wait_up("one");
    let check = || {
        let home = container.volume().home("one");
        let environment = fs::read(home.join(".standin-environment")).unwrap();
        for (i, value) in values.iter().enumerate() {
            let variable = [format!("EXTRA_{i}=").as_bytes(), value].concat();
            assert!(environment.split(|&b| b == 0).any(|it| it == variable), "{i}");
        }
    };
    check();
    // It is still there after a reconcile and a restart.
    let kept = gw(&container, &["reconcile"]).ok();
    assert!(kept.contains("profile=one prior_state=running action=kept\n"), "{kept}");
    fs::remove_file(container.volume().home("one").join(".standin-environment")).unwrap();
    gw(&container, &["restart", "one"]).ok();
    container.wait_up("one");
    check();
}

#[test]
fn what_is_not_taken_up_is_rolled_back() {
    let container = Container::boot(Volume::new(), Spec::default());
    let before = at_first(&container);
    container.signal_svscan("STOP");
    let output = gw(&container, &["register", "one", "--force"]);
    let why = "hermes-gw: register gateway: /run/service/gateway-one: s6-svscan did not take it \
        up in time\n";
    assert_eq!((output.code, output.stderr.as_str()), (102, why));
    assert_eq!(leftovers(&container), before);
    container.signal_svscan("CONT");
    // Nor does the scan that was asked for bring anything back.
    container.as_root(&["/command/s6-svscanctl", "-a", "/run/service"]).ok();
    gw(&container, &["register", "two", "--down", "--force"]).ok();
    gw(&container, &["unregister", "two"]).ok();
    assert_eq!(leftovers(&container), before);
}

#[test]
fn a_scan_that_was_given_up_is_cured() {
    let container = Container::boot(Volume::new(), Spec::default());
    // Without a home its gateway would die at once.
    container.volume().profile("one").give(support::HERMES);
    let before = at_first(&container);
    let dangling = "/run/service/dangling";
    container.as_root(&["ln", "-s", "/nowhere", dangling]).ok();
    // From 2.12 on, one link that leads nowhere keeps s6-svscan from its whole scan; the
    // machine's own is 2.11.
    let stuck = std::env::var_os("HERMES_GW_S6").is_some();
    let output = gw(&container, &["register", "one", "--down", "--force"]);
    if stuck {
        assert_eq!(output.code, 102, "{output:?}");
        assert!(
            output.stderr.ends_with(": dangling leads nowhere, which keeps it from that\n"),
            "{output:?}"
        );
        let register = ["/command/hermes-gw", "register", "one", "--down", "--force"];
        let mut later = container.root_command(&register).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        container.as_root(&["rm", dangling]).ok();
        assert!(later.wait().unwrap().success());
    } else {
        output.ok();
        container.as_root(&["rm", dangling]).ok();
    }
    assert_eq!(container.state("one"), "down");
    // Nor does it keep a slot from going, for s6-svscan then sends nobody away.
    container.as_root(&["ln", "-s", "loop", "/run/service/loop"]).ok();
    let output = gw(&container, &["register", "two", "--down", "--force"]);
    assert!(!stuck || output.code == 102, "{output:?}");
    gw(&container, &["start", "one"]).ok();
    gw(&container, &["unregister", "one", "two"]).ok();
    container.as_root(&["rm", "/run/service/loop"]).ok();
    assert_eq!(leftovers(&container), before);
}

#[test]
fn names_that_differ_only_at_their_end_are_kept_apart() {
    let container = Container::boot(Volume::new(), Spec::default());
    let before = at_first(&container);
    let names = ["b", "c"].map(|end| "a".repeat(242) + end);
    for name in &names {
        gw(&container, &["register", name, "--down", "--force"]).ok();
    }
    gw(&container, &["unregister", &names[0], &names[1]]).ok();
    assert_eq!(leftovers(&container), before);
}

#[test]
fn root_is_never_told_to_be_root() {
    let environment = vec![("HERMES_GW_SKIP_RECONCILE".to_string(), "1".to_string())];
    let container = Container::boot(Volume::new(), Spec { environment, ..Spec::default() });
    // Nobody has handed the scandir over yet.
    assert_eq!(fs::metadata(container.inside(SCANDIR_OF_PID_1)).unwrap().uid(), 0);
    container.as_root(&["/command/hermes-gw", "unregister", "nobody"]).ok();
    let hook = container.as_root(&["/command/hermes-gw", "hook", "profile-delete", "nobody"]);
    assert_eq!((hook.code, hook.stderr.as_str()), (0, ""));
}

#[test]
fn what_s6_svscan_cannot_hold_is_refused() {
    let environment = vec![("HERMES_GW_SERVICES_MAX".to_string(), "13".to_string())];
    let container = Container::boot(Volume::new(), Spec { environment, ..Spec::default() });
    // Seven services of PID 1's tree are not ours; default has its slot already.
    let room = if support::tree() == Tree::Root { 3 } else { 6 };
    for name in ["one", "two", "four", "five", "six"].iter().take(room - 1) {
        gw(&container, &["register", name, "--down", "--force"]).ok();
    }
    for (name, code) in [("three", 1), ("two", 4)] {
        let output = gw(&container, &["register", name, "--down", "--force"]);
        assert_eq!(output.code, code, "{output:?}");
        let why = format!("s6-svscan can hold no more than {room} gateways\n");
        assert!(code != 1 || output.stderr.ends_with(&why), "{output:?}");
    }
    gw(&container, &["unregister", "one"]).ok();
    gw(&container, &["register", "three", "--down", "--force"]).ok();
}

#[test]
fn as_many_as_s6_svscan_can_hold_and_not_one_more() {
    // The machine's own is 2.11, which counts a service with its logger once, up to 500,
    // and leaves alone what is more. Later ones count to 1000, and must not be given more.
    let newer = std::env::var_os("HERMES_GW_S6").is_some();
    let pairs = if newer { 496 } else { 493 };
    let volume = Volume::new();
    for i in 1..pairs {
        volume.profile(&format!("p{i}"));
    }
    // The bound of the user tree is a setting: see tree.rs.
    let container = Container::boot(volume, Spec { tree: Tree::Root, ..Spec::default() });
    let supervised = || leftovers(&container).1.len();
    wait_until("all pairs to be supervised", || supervised() == 2 * pairs);
    assert!(container.console().contains("oneshot hermes-gateways exited 0"));
    let output = gw(&container, &["register", "one-more", "--down", "--force"]);
    let (code, why) = match newer {
        true => (1, ": s6-svscan can hold no more than 496 gateways\n"),
        false => (102, ": s6-svscan did not take it up in time\n"),
    };
    assert!(output.code == code && output.stderr.ends_with(why), "{output:?}");
    assert!(!container.inside(&slot("one-more")).exists());
    assert!(!newer || !container.console().contains("too many services"));
    gw(&container, &["unregister", "p1"]).ok();
    gw(&container, &["register", "one-more", "--down", "--force"]).ok();
    assert_eq!(container.state("one-more"), "down");
    assert_eq!(supervised(), 2 * pairs);
}

#[test]
fn a_deaf_gateway_is_killed_and_a_child_that_stays_does_not_keep_the_logger() {
    let volume = Volume::new();
    volume.wanted("deaf", "running").file("deaf", "behave", "deaf\n");
    volume.wanted("parent", "running").file("parent", "behave", "child 1000\n");
    let container = Container::boot(volume, Spec::default());
    let names = ["deaf", "parent"];
    names.iter().for_each(|name| container.wait_up(name));
    let output = gw(&container, &["unregister", "deaf", "parent", "--timeout", "5"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let (left, supervisors) = leftovers(&container);
    assert!(left.iter().all(|name| !name.contains("deaf") && !name.contains("parent")), "{left:?}");
    let still = |name: &str| supervisors.iter().any(|args| args.contains(name));
    assert!(!still("deaf") && !still("parent"), "{supervisors:?}");
    // What the gateway said before is in the log all the same.
    let log = container.volume().log("parent");
    assert!(log.ends_with("gateway parent: stopped by a signal\n"), "{log}");
}

#[test]
fn no_line_is_lost_on_the_way_down() {
    let volume = Volume::new();
    for name in ["stopped", "removed"] {
        volume.wanted(name, "running").file(name, "behave", "chatty 20000\n");
    }
    let container = Container::boot(volume, Spec::default());
    ["stopped", "removed"].iter().for_each(|name| container.wait_up(name));
    gw(&container, &["stop", "stopped"]).ok();
    gw(&container, &["unregister", "removed"]).ok();
    // A logger that was not sent away reads on while we look.
    let lines = |name: &str| {
        let dir = container.volume().path().join("logs/gateways").join(name);
        let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.is_file());
        let all: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
        all.lines()
            .filter(|line| line.contains(": draining, line "))
            .map(String::from)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(lines("removed").len(), 20_000);
    wait_until("the logger", || lines("stopped").len() == 20_000);
}

#[test]
fn a_thousand_times_and_nothing_is_left() {
    let mut container = Container::new(Volume::new(), Spec::default());
    // What the gateway does is nothing to it, and the stand-in starts a dozen processes for that.
    let hermes = container.root().join("usr/local/bin/hermes");
    fs::remove_file(&hermes).unwrap();
    fs::write(&hermes, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&hermes, fs::Permissions::from_mode(0o755)).unwrap();
    container.start();
    container.volume().profile("one").give(support::HERMES);
    let count = || {
        let fifos = container.as_root(&["find", "/run", "-type", "p"]).ok().lines().count();
        let directories = container.as_root(&["find", "/run", "-type", "d"]).ok().lines().count();
        let processes = container.processes("").len();
        (leftovers(&container), processes, fifos, directories, descriptors(&container))
    };
    let script = "i=0; while [ $i -lt 1000 ]; do /command/hermes-gw register one && \
        /command/hermes-gw unregister one || exit 1; i=$((i + 1)); done";
    gw(&container, &["register", "one", "--force"]).ok();
    gw(&container, &["unregister", "one"]).ok();
    container.wait_parked("hermes-standby");
    at_first(&container);
    let mut before = count();
    wait_until("two seconds without a change", || {
        std::thread::sleep(Duration::from_secs(2));
        std::mem::replace(&mut before, count()) == before
    });
    let output = container.as_hermes(&["sh", "-c", script]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    wait_or("the tree to be as it was", || match count() {
        now if now == before => Ok(()),
        now => Err(format!("{before:?}, and now {now:?}")),
    });
}

#[test]
fn eight_at_random_leave_a_consistent_tree() {
    let container = Container::boot(Volume::new(), Spec::default());
    let profiles = ["p0", "p1", "p2", "p3"];
    for name in profiles {
        container.volume().profile(name);
    }
    container.volume().give(support::HERMES);
    let script = r#"
        seed=$1
        done=0
        while [ $done -lt 100 ]; do
            seed=$(((seed * 1103515245 + 12345) & 0x7fffffff))
            profile=p$((seed / 65536 % 4))
            case $((seed / 1048576 % 5)) in
            0) set -- register $profile ;;
            1) set -- unregister --timeout 60 $profile ;;
            2) set -- start --timeout 60 $profile ;;
            3) set -- stop --timeout 60 $profile ;;
            4) set -- restart --timeout 60 $profile ;;
            esac
            code=0
            why=$(/command/hermes-gw "$@" 2>&1) || code=$?
            case "$code $1" in
            [0134]" "* | "102 "*) done=$((done + 1)) ;;
            # It has no --timeout: the others may keep it from its turn on a busy machine.
            "99 register") ;;
            *) echo "$*: exit code $code: $why"; exit ;;
            esac
        done
        echo "done $done"
    "#;
    let children: Vec<_> = (1..=8)
        .map(|i| {
            let seed = (i * 7_919).to_string();
            let args = ["sh", "-c", script, "sh", &seed];
            // Half of them are root.
            let mut command = if i % 2 == 0 {
                container.root_command(&args)
            } else {
                container.hermes_command(&args)
            };
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(said, "done 100\n");
    }

    // Each slot is supervised, once, logger included; and there is nothing else.
    let listed = gw(&container, &["list"]).ok();
    let (names, supervisors) = leftovers(&container);
    let listed: Vec<_> = listed.lines().collect();
    let slots: Vec<_> = names.iter().filter_map(|name| name.strip_prefix("gateway-")).collect();
    assert_eq!(listed, slots);
    assert!(names.iter().all(|name| !name.starts_with(".gateway-")), "{names:?}");
    assert_eq!(supervisors.len(), 2 * listed.len(), "{supervisors:?}");
    let up = || listed.iter().filter(|name| container.state(name) == "up").count();
    // One that was just started is not a shell yet.
    wait_until("a process for each that is up", || processes_of_gateways(&container) == up());
    let fifos = container.as_root(&["find", "/run/service", "-name", "*ftrig1*"]).ok();
    assert_eq!(fifos, "");
    gw(&container, &["unregister", "p0", "p1", "p2", "p3"]).ok();
    assert_eq!(gw(&container, &["list"]).ok(), "default\n");
    assert_eq!(processes_of_gateways(&container), 0);
}

/// How many stand-ins for Hermes run, without the subshells that they start.
fn processes_of_gateways(container: &Container) -> usize {
    let all = container.as_root(&["ps", "-eo", "ppid,args"]).ok();
    let supervisors: BTreeSet<String> = {
        let pids = container.as_root(&["ps", "-eo", "pid,args"]).ok();
        let of = pids.lines().filter(|line| line.contains("s6-supervise gateway-"));
        of.map(|line| line.split_whitespace().next().unwrap().to_string()).collect()
    };
    all.lines()
        .filter(|line| line.contains("hermes") && line.contains("gateway run --replace"))
        .filter(|line| supervisors.contains(line.split_whitespace().next().unwrap()))
        .count()
}

#[test]
fn hooks_register_down_and_unregister_and_never_fail() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("one").give(support::HERMES);
    let hook = |which: &str, name: &str| {
        let output = gw(&container, &["hook", which, name]);
        assert_eq!((output.code, output.stdout.as_str()), (0, ""));
        output.stderr
    };
    assert_eq!(hook("profile-create", "one"), "");
    assert_eq!(container.state("one"), "down");
    assert_eq!(hook("profile-create", "one"), "");
    assert_eq!(hook("profile-delete", "one"), "");
    assert_eq!(gw(&container, &["list"]).ok(), "default\n");
    assert_eq!(hook("profile-delete", "one"), "");
    let stranger = ["/command/hermes-gw", "hook", "profile-create", "one"];
    let output = container.as_stranger(&stranger);
    assert_eq!((output.code, output.stderr.lines().count()), (0, 1), "{output:?}");
    assert!(output.stderr.starts_with("hermes-gw: warning: lock: /run/service/"), "{output:?}");
    let guidance = gw(&container, &["uninstall"]).ok();
    assert!(guidance.replace('\n', " ").contains("hermes profile create"), "{guidance}");
}

#[test]
fn a_lock_that_is_never_let_go_is_waited_for_so_long_and_its_holder_named() {
    let volume = Volume::new();
    volume.wanted("two", "stopped");
    let container = Container::boot(volume, Spec::default());
    container.volume().profile("one").give(support::HERMES);
    let lock = "/run/service/.hermes-gw.lock";
    // Whoever may write into the scandir can hold it.
    let hold = ["flock", lock, "sh", "-c", "echo; exec sleep 1000"];
    let mut holder = container.hermes_command(&hold).stdout(Stdio::piped()).spawn().unwrap();
    // It says so once it has it.
    let mut held = holder.stdout.take().unwrap();
    held.read_exact(&mut [0]).unwrap();
    let run = |verb: &[&str]| {
        let mut command = container.root_command(&[&["/command/hermes-gw"], verb].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let boot: &[&str] = &["reconcile", "--boot"];
    let table: [(&[&str], i32); 6] = [
        (&["reconcile"], 99),
        (&["register", "one", "--force"], 99),
        (&["start", "one"], 99),
        (&["unregister", "default", "--timeout", "1.5"], 99),
        (&["hook", "profile-create", "one"], 0),
        (boot, 0),
    ];
    // Side by side: each waits for as long as it may.
    let running: Vec<_> = table.iter().map(|(verb, code)| (verb, code, run(verb))).collect();
    for (verb, code, child) in running {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*code), "{verb:?}: {stderr}");
        let held = "hermes-gw/service/.hermes-gw.lock: another process holds the lock: process ";
        let held = if container.is_root_tree() { &held["hermes-gw/".len()..] } else { held };
        assert!(stderr.contains(held) && stderr.contains(" (flock)"), "{verb:?}: {stderr}");
    }
    // A boot makes what is missing all the same.
    assert!(container.inside(&slot("one")).join("run").exists());
    // For several it is waited for once: these have the files of Hermes' own layer.
    let old = "cd /run/service; for it in default two; do rm gateway-$it/timeout-finish; done";
    container.as_hermes(&["sh", "-ec", old]).ok();
    let stop = ["/command/hermes-gw", "stop", "default", "two", "--timeout", "4"];
    let stopped = container.as_root(&stop);
    let of = |what: &str| stopped.stderr.matches(what).count();
    assert_eq!(of("waiting for another hermes-gw"), 1, "{stopped:?}");
    assert_eq!(of("another process holds the lock"), 2, "{stopped:?}");
    // And s6-svscan is asked for nothing.
    let sends_away = |verb: &[&str]| {
        let strace = ["strace", "-f", "-o", "/run/trace", "-e", "trace=write"];
        let output = container.as_root(&[&strace[..], &["/command/hermes-gw"], verb].concat());
        assert_eq!(output.code, 0, "{output:?}");
        fs::read_to_string(container.inside("/run/trace")).unwrap().contains("\"an\"")
    };
    assert!(!sends_away(&["reconcile", "--boot", "--prune"]));
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn what_pretends_to_be_on_its_way_out_keeps_others_waiting_once_not_once_each() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("new").give(support::HERMES);
    let names: Vec<_> = (0..6).map(|at| format!(".gateway-held{at}.gone")).collect();
    // Each has somebody who reads what it is told, and does nothing.
    let script = r#"
        cd /run/service
        for name; do
            mkdir -p $name/supervise $name/event
            mkfifo $name/supervise/control
            (
                exec 3<>$name/supervise/control
                echo "$name reads" >>/run/letters
                while letter=$(head -c 1 <&3); do echo "$name $letter" >>/run/letters; done
            ) &
        done
        wait"#;
    container.as_root(&["sh", "-ec", ">/run/letters; chown hermes /run/letters"]).ok();
    let mut args = vec!["sh", "-c", script, "sh"];
    args.extend(names.iter().map(String::as_str));
    let mut held = container.hermes_command(&args).spawn().unwrap();
    let letters = || container.as_root(&["cat", "/run/letters"]).ok();
    wait_until("all to read", || letters().matches(" reads\n").count() == names.len());
    let output = container.as_root(&["/command/hermes-gw", "register", "new", "--force"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(container.state("new"), "up");
    let late = |name: &&String| !output.stderr.contains(&format!("/{name}: "));
    assert_eq!(names.iter().find(late), None, "{output:?}");
    // All are told to go before one of them is given up.
    let letters = letters();
    let exit = |letters: &str| names.iter().all(|name| letters.contains(&format!("{name} x\n")));
    let (before, _) = letters.split_once(" k\n").expect(&letters);
    assert!(exit(before), "{letters}");
    held.kill().unwrap();
    held.wait().unwrap();
}

#[test]
fn slots_whose_profile_is_gone_are_pruned_when_asked() {
    let volume = Volume::new();
    volume.wanted("kept", "running").wanted("gone", "running").wanted("linked", "stopped");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("gone");
    container.wait_up("kept");
    let home = |name: &str| container.volume().home(name);
    fs::remove_dir_all(home("gone")).unwrap();
    fs::rename(home("linked"), home("elsewhere")).unwrap();
    std::os::unix::fs::symlink("nowhere", home("linked")).unwrap();
    let all = "default\ngone\nkept\nlinked\n";
    gw(&container, &["reconcile"]);
    let list = || gw(&container, &["list"]).ok();
    assert_eq!(list(), all.replace("gone", "elsewhere\ngone"));
    let dry = gw(&container, &["reconcile", "--prune", "--dry-run"]).ok();
    assert!(dry.ends_with("reconcile: profile=gone prior_state=none action=pruned\n"), "{dry}");
    assert!(list().contains("gone"));
    // Where the profiles cannot be listed, nobody's profile is gone.
    let profiles = container.volume().path().join("profiles");
    let aside = container.volume().path().join("aside");
    fs::rename(&profiles, &aside).unwrap();
    std::os::unix::fs::symlink("nowhere", &profiles).unwrap();
    let blind = gw(&container, &["reconcile", "--prune"]);
    assert!(!blind.stdout.contains("pruned") && list().contains("gone"), "{blind:?}");
    fs::remove_file(&profiles).unwrap();
    fs::rename(&aside, &profiles).unwrap();

    let pruned = gw(&container, &["reconcile", "--prune"]).ok();
    assert_eq!(pruned.matches("action=pruned\n").count(), 1, "{pruned}");
    // What is there and cannot be used is not gone.
    assert_eq!(list(), "default\nelsewhere\nkept\nlinked\n");
    let log = container.volume().read("default", "logs/container-boot.log");
    assert!(log.contains("profile=gone prior_state=none action=pruned"), "{log}");
    assert!(!leftovers(&container).1.iter().any(|args| args.contains("gateway-gone")));
    assert_eq!(container.state("kept"), "up");
}

#[test]
fn a_removal_that_was_cut_short_is_finished_by_the_next_change() {
    let volume = Volume::new();
    volume.wanted("one", "running").profile("two");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    let before = leftovers(&container).0;
    // As if killed before s6-svscan was told.
    container.as_hermes(&["mv", &slot("one"), "/run/service/.gateway-one.gone"]).ok();
    gw(&container, &["register", "one", "--force"]).ok();
    assert_eq!(leftovers(&container).0, before);
    container.wait_up("one");
    assert_eq!(processes_of_gateways(&container), 1);
}
