//! Reconcile on a live tree: what runs is left alone, what is broken is healed.

use crate::support;
use std::fs;
use std::os::unix::fs::MetadataExt;
use support::{Container, Spec, Tree, Volume, wait_until};

const RECONCILE: [&str; 2] = ["/command/hermes-gw", "reconcile"];

fn lines(output: &str, action: &str) -> usize {
    output.lines().filter(|line| line.ends_with(&format!(" action={action}"))).count()
}

#[test]
fn a_second_run_leaves_running_gateways_alone() {
    let volume = Volume::new();
    volume.wanted("runs", "running").wanted("stays", "stopped");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("runs");
    let inode = |container: &Container| {
        fs::metadata(container.inside("/run/service/gateway-runs")).unwrap().ino()
    };
    let (pid, slot) = (container.pid("runs"), inode(&container));
    for output in [container.as_root(&RECONCILE), container.as_hermes(&RECONCILE)] {
        let output = output.ok();
        assert_eq!(lines(&output, "kept"), 3, "{output}");
    }
    assert_eq!((container.pid("runs"), inode(&container)), (pid, slot));
    // The boot's three entries; what changed nothing since is not worth one.
    let log = container.volume().read("default", "logs/container-boot.log");
    assert_eq!(log.lines().count(), 3, "{log}");
    assert!(container.volume().home("runs").join("gateway.pid").exists());
    assert_eq!(container.state("stays"), "down");
}

#[test]
fn the_status_file_has_the_size_of_its_s6() {
    let container = Container::boot(Volume::new(), Spec::default());
    let suite = std::env::var("HERMES_GW_S6").unwrap_or_default();
    // trixie has 2.13, which tells the process group as well.
    let size = if suite.ends_with("/trixie") { 43 } else { 35 };
    let status = container.inside("/run/service/gateway-default/supervise/status");
    assert_eq!(fs::metadata(status).unwrap().len(), size, "{suite}");
}

#[test]
fn a_script_that_differs_is_replaced_under_the_running_gateway() {
    let volume = Volume::new();
    volume.wanted("runs", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("runs");
    let pid = container.pid("runs");
    let run = container.inside("/run/service/gateway-runs/run");
    let good = fs::read_to_string(&run).unwrap();
    let older = good
        .replace("set -e\n", "set -eu\n")
        .replace("# end of extra", "export COLOUR='dark red'\n# end of extra");
    assert_ne!(good, older);
    fs::write(&run, older).unwrap();
    fs::remove_file(container.inside("/run/service/gateway-runs/finish")).unwrap();

    let output = container.as_hermes(&RECONCILE).ok();
    assert!(output.contains("profile=runs prior_state=running action=updated\n"), "{output}");
    let healed = fs::read_to_string(&run).unwrap();
    assert_eq!(healed, good.replace("# end of extra", "export COLOUR='dark red'\n# end of extra"));
    assert_eq!(container.pid("runs"), pid);
    assert_eq!(lines(&container.as_hermes(&RECONCILE).ok(), "kept"), 2);

    container.as_hermes(&["/command/s6-svc", "-wR", "-r", "/run/service/gateway-runs"]).ok();
    container.wait_up("runs");
    let environment = container.volume().read("runs", ".standin-environment");
    assert!(environment.split('\0').any(|v| v == "COLOUR=dark red"), "{environment:?}");
}

#[test]
fn pid_files_go_only_while_the_gateway_is_down() {
    let volume = Volume::new();
    volume.wanted("runs", "running").wanted("stays", "stopped");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("runs");
    for profile in ["runs", "stays"] {
        container.volume().file(profile, "gateway.pid", "{}");
        container.volume().file(profile, "processes.json", "[]").give(support::HERMES);
    }
    let there = |container: &Container, profile: &str| {
        let home = container.volume().home(profile);
        ["gateway.pid", "processes.json", ".hermes-gw.swept"].map(|name| home.join(name).exists())
    };
    container.as_hermes(&RECONCILE).ok();
    assert_eq!(there(&container, "runs"), [true, true, false]);
    assert_eq!(there(&container, "stays"), [false, false, false]);

    // A killed s6-supervise leaves its gateway running; what it wrote stays.
    container.signal_svscan("STOP");
    container.kill_supervisor("runs");
    let output = container.as_hermes(&RECONCILE);
    let failed = "profile=runs prior_state=running action=failed reason=s6-svscan did not take it \
        up in time\n";
    assert!(output.code == 1 && output.stdout.contains(failed), "{output:?}");
    assert_eq!(lines(&output.stdout, "kept"), 2);
    assert_eq!(there(&container, "runs"), [true, true, false]);
    container.signal_svscan("CONT");
}

#[test]
fn a_profile_made_since_gets_its_slot_by_one_scan() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().wanted("new", "running").profile("idle").give(support::HERMES);
    let output = container.as_hermes(&RECONCILE).ok();
    assert_eq!((lines(&output, "started"), lines(&output, "registered")), (1, 1), "{output}");
    container.wait_up("new");
    wait_until("the idle slot's supervisor", || container.state("idle") == "down");
}

#[test]
fn leftovers_of_a_killed_run_are_healed() {
    let volume = Volume::new();
    volume.profile("coder");
    let container = Container::boot(volume, Spec::default());
    for leftover in [".gateway-coder.tmp", ".gateway-gone.tmp"] {
        let deep = format!("/run/service/{leftover}/log/supervise");
        container.as_hermes(&["mkdir", "-p", &deep]).ok();
        container.as_hermes(&["touch", &format!("{deep}/status")]).ok();
    }
    container.as_hermes(&["mkdir", "/run/service/.not-ours"]).ok();
    container.as_root(&RECONCILE).ok();
    let names = container.as_root(&["ls", "-A", "/run/service"]).ok();
    assert!(!names.contains(".tmp"), "{names}");
    assert!(names.contains(".not-ours"), "{names}");
}

#[test]
fn killed_at_any_point_the_next_run_finishes_the_work() {
    let container = Container::boot(Volume::new(), Spec::default());
    let mut profiles = Vec::new();
    for (call, counts) in
        [("mkdirat", 1..8), ("mknodat", 1..3), ("openat", 20..40), ("renameat", 1..3)]
    {
        for count in counts {
            let profile = format!("{call}-{count}");
            container.volume().wanted(&profile, "running").give(support::HERMES);
            let inject = format!("inject={call}:signal=KILL:when={count}");
            let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
            let killed = container.as_root(&[&strace[..], &RECONCILE].concat());
            assert_ne!(killed.code, 1, "{inject}: {killed:?}");
            profiles.push(profile);
        }
    }
    let output = container.as_hermes(&RECONCILE).ok();
    assert_eq!(lines(&output, "failed") + lines(&output, "skipped"), 0, "{output}");
    for profile in &profiles {
        container.wait_up(profile);
    }
    let names = container.as_root(&["ls", "-A", "/run/service"]).ok();
    assert!(!names.contains(".tmp"), "{names}");
    let again = container.as_hermes(&RECONCILE).ok();
    assert_eq!(lines(&again, "kept"), profiles.len() + 1, "{again}");
}

#[test]
fn two_at_once_do_it_once() {
    let container = Container::boot(Volume::new(), Spec::default());
    // Few: the second waits ten seconds for the first.
    for i in 0..10 {
        container.volume().wanted(&format!("p{i}"), "running");
    }
    container.volume().give(support::HERMES);
    let spawn = || {
        let mut command = container.root_command(&RECONCILE);
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let (one, two) = (spawn(), spawn());
    let outputs = [one, two].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    });
    assert_eq!(outputs.iter().map(|o| lines(o, "started")).sum::<usize>(), 10, "{outputs:?}");
    assert_eq!(outputs.iter().map(|o| lines(o, "kept")).sum::<usize>(), 12, "{outputs:?}");
    for i in 0..10 {
        container.wait_up(&format!("p{i}"));
    }
    let supervisors = container.processes("s6-supervise gateway-");
    assert_eq!(supervisors.len(), 22, "{supervisors:?}");
}

#[test]
fn what_s6_svscan_cannot_hold_is_skipped_and_said() {
    let volume = Volume::new();
    for i in 0..10 {
        volume.profile(&format!("idle{i}"));
    }
    volume.wanted("z-runs", "running");
    let environment = vec![("HERMES_GW_SERVICES_MAX".to_string(), "21".to_string())];
    let container = Container::boot(volume, Spec { environment, ..Spec::default() });
    container.wait_up("z-runs");
    let console = container.console();
    // Of 21 services, seven are not ours in PID 1's tree; the rest are pairs.
    let pairs = if support::tree() == Tree::Root { 7 } else { 10 };
    let skipped =
        format!("action=skipped reason=s6-svscan can hold no more than {pairs} gateways\n");
    // At boot and by the oneshot.
    assert_eq!(console.matches(&skipped).count(), 2 * (12 - pairs), "{console}");
    assert!(console.contains("02-reconcile-profiles exited 0"), "{console}");
}

#[test]
fn without_s6_svscan_the_scan_is_an_error_that_says_so() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.as_root(&["mkdir", "/run/other"]).ok();
    // In the user tree it is to be hermes's already.
    container.as_root(&["chown", "hermes", "/run/other"]).ok();
    let reconcile = ["/command/hermes-gw", "--scandir", "/run/other", "reconcile"];
    let output = container.as_root(&reconcile);
    assert_eq!(output.code, 102, "{output:?}");
    assert!(
        output.stderr.contains(
            "hermes-gw: ask for a scan of: /run/other: no s6-svscan runs on this scandir\n"
        ),
        "{output:?}"
    );
    assert_eq!(lines(&output.stdout, "registered"), 1);
    container.as_root(&[&reconcile[..], &["--boot"]].concat()).ok();

    let missing = container.as_root(&["/command/hermes-gw", "--scandir", "/run/none", "reconcile"]);
    assert_eq!(missing.code, 102, "{missing:?}");
    assert!(
        missing.stderr.starts_with(
            "hermes-gw: open directory: /run/none: No such file or directory (ENOENT): "
        ),
        "{missing:?}"
    );
}

#[test]
fn another_user_is_told_what_to_do() {
    let container = Container::boot(Volume::new(), Spec::default());
    let output = container.as_stranger(&RECONCILE);
    assert_eq!(output.code, 111);
    assert_eq!(
        output.stderr,
        "hermes-gw: lock: /run/service/.hermes-gw.lock: Permission denied (EACCES): run as root or hermes\n"
    );
}

#[test]
fn detect_says_s6_to_anyone_and_only_there() {
    let container = Container::boot(Volume::new(), Spec::default());
    for output in [
        container.as_root(&["/command/hermes-gw", "detect"]),
        container.as_hermes(&["/command/hermes-gw", "detect"]),
    ] {
        assert_eq!(output.ok(), "s6\n");
    }
    container.as_root(&["mv", "/run/s6/basedir", "/run/s6/elsewhere"]).ok();
    assert_eq!(container.as_root(&["/command/hermes-gw", "detect"]).ok(), "none\n");
}
