//! The user tree: an s6-svscan of the gateways' own user, beside PID 1's; and what hermes
//! can do to root in either layout.

use crate::support;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;
use support::{Container, Output, SCANDIR_OF_PID_1, Spec, Tree, Volume, wait_until};

fn boot(volume: Volume, tree: Tree) -> Container {
    Container::boot(volume, Spec { tree, services: vec!["web".into()], ..Spec::default() })
}

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

/// Waits until the tree is whole again: one s6-svscan of hermes, and for each of `profiles`
/// a supervisor and a logger's, and one gateway of those that run.
#[track_caller]
fn wait_whole(container: &Container, profiles: usize, running: &[&str]) {
    wait_until("the tree", || {
        let svscans = container.processes("s6-svscan -d 3 -");
        let supervisors = container.processes("s6-supervise gateway-");
        svscans.iter().filter(|(uid, ..)| *uid == support::HERMES).count() == 1
            && supervisors.len() == 2 * profiles
    });
    for profile in running {
        container.wait_up(profile);
        let own = format!("/bin/sh /usr/local/bin/hermes -p {profile} gateway run");
        wait_until(&format!("one gateway {profile}"), || container.processes(&own).len() == 1);
    }
}

/// Kills the s6-svscan of the gateways, and waits until there is another.
#[track_caller]
fn kill_svscan(container: &Container) {
    let of = || {
        let mut all = container.processes("s6-svscan -d 3 -");
        all.retain(|(uid, ..)| *uid == support::HERMES);
        all
    };
    let before = of();
    container.signal_svscan("KILL");
    wait_until("another s6-svscan", || of().len() == 1 && of() != before);
}

#[test]
fn the_gateways_tree_is_hermes_own_and_pid_1s_is_roots() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "stopped");
    let container = boot(volume, Tree::User);
    wait_whole(&container, 3, &["one"]);
    assert_eq!(container.state("two"), "down");
    for part in ["s6-supervise gateway-", "s6-log ", "/bin/sh /usr/local/bin/hermes "] {
        let of = container.processes(part);
        assert!(!of.is_empty() && of.iter().all(|(uid, ..)| *uid == support::HERMES), "{of:?}");
    }
    let by = |path, test: &[&str]| container.as_root(&[&["find", path], test].concat()).ok();
    assert_eq!(by(SCANDIR_OF_PID_1, &["-user", "hermes"]), "");
    assert_eq!(by("/run/s6-rc/servicedirs", &["-user", "hermes"]), "");
    assert_eq!(by("/run/service", &["!", "-user", "hermes"]), "");
    assert_eq!(fs::metadata(container.inside("/run/hermes-gw")).unwrap().uid(), 0);
    assert_eq!(gw(&container, &["detect"]).ok(), "s6\n");
    // The setting is found by those who do not have it in their environment, too.
    let bare = ["env", "-u", "HERMES_GW_TREE", "/command/hermes-gw", "list"];
    assert_eq!(container.as_hermes(&bare).ok(), "default\none\ntwo\n");
    assert_eq!(container.as_root(&bare).ok(), "default\none\ntwo\n");
    let odd = ["env", "HERMES_GW_TREE=mine", "/command/hermes-gw", "list"];
    let why = "hermes-gw: read setting: HERMES_GW_TREE=mine: must be root or user\n";
    assert_eq!((container.as_root(&odd).code, container.as_root(&odd).stderr.as_str()), (100, why));
}

#[test]
fn without_the_setting_there_is_no_such_tree_and_no_process_of_it() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = boot(volume, Tree::Root);
    container.wait_up("one");
    assert!(container.console().contains("longrun hermes-svscan exited 0"));
    assert!(!container.inside("/run/hermes-gw").exists());
    assert_eq!(container.processes("s6-svscan ").len(), 1);
    container.wait_parked("hermes-svscan");
    let refused = container.as_root(&["/command/hermes-gw", "shutdown", "--supervisors"]);
    assert_eq!(refused.code, 100, "{refused:?}");
    assert_eq!(container.state("one"), "up");
}

#[test]
fn a_tree_whose_s6_svscan_was_killed_grows_again_and_runs_nothing_twice() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "stopped").wanted("slow", "running");
    volume
        .file("slow", "behave", "slow 1\n")
        .wanted("deaf", "running")
        .file("deaf", "behave", "deaf\n");
    let container = boot(volume, Tree::User);
    let running = ["one", "slow", "deaf"];
    wait_whole(&container, 5, &running);
    gw(&container, &["start", "two"]).ok();
    gw(&container, &["stop", "one"]).ok();
    let running = ["two", "slow", "deaf"];
    wait_whole(&container, 5, &running);
    // A profile whose slot cannot be made is no reason to leave the others down.
    container.volume().profile("odd").give(support::HERMES);
    container.as_root(&["mkdir", "-p", "/run/service/.gateway-odd.tmp/of-root"]).ok();
    let output = gw(&container, &["reconcile", "--boot"]);
    assert_eq!(output.code, 1, "{output:?}");
    // Nor is something that only has the name of a slot.
    container.as_hermes(&["touch", "/run/service/gateway-file"]).ok();
    for (victim, uid) in [("s6-svscan -d 3 -", support::HERMES), ("s6-supervise hermes-svscan", 0)]
    {
        let of = container.processes(victim);
        let (_, pid, _) = of.iter().find(|it| it.0 == uid).unwrap();
        let pids = running.map(|profile| container.pid(profile));
        container.as_root(&["sh", "-c", &format!("kill -KILL {pid}")]).ok();
        wait_until("new gateways", || {
            running.iter().zip(&pids).all(|(profile, pid)| {
                let now = container.as_root(&[
                    "/command/s6-svstat",
                    "-o",
                    "pid",
                    &format!("/run/service/gateway-{profile}"),
                ]);
                now.code == 0 && !["-1", pid].contains(&now.stdout.trim())
            })
        });
        wait_whole(&container, 5, &running);
        assert_eq!(container.state("one"), "down", "{victim}");
    }
    let console = container.console();
    assert!(!console.contains("another instance"), "{console}");
}

#[test]
fn a_stop_of_the_tree_alone_waits_for_slow_gateways_and_keeps_every_line() {
    let volume = Volume::new();
    for profile in ["a", "b", "c"] {
        volume.wanted(profile, "running").file(profile, "behave", "slow 4\nchatty 1000\n");
    }
    let container = boot(volume, Tree::User);
    wait_whole(&container, 4, &["a", "b", "c"]);
    // What s6-rc does, with no help from the oneshot and cont-finish.d.
    let longrun = format!("{SCANDIR_OF_PID_1}/hermes-svscan");
    container.as_root(&["/command/s6-svc", "-dwD", &longrun]).ok();
    assert_eq!(container.processes("s6-supervise gateway-").len(), 0);
    for profile in ["a", "b", "c"] {
        let log = container.volume().log(profile);
        assert_eq!(log.matches(": draining, line ").count(), 1000, "{profile}");
        assert!(log.trim_end().ends_with("stopped by a signal"), "{log}");
    }
}

#[test]
fn one_volume_moves_from_one_layout_to_the_other_and_back() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "stopped");
    let mut container = boot(volume, Tree::Root);
    container.wait_up("one");
    for tree in [Tree::User, Tree::Root, Tree::User] {
        container.switch(tree);
        container.wait_up("one");
        assert_eq!(container.state("two"), "down");
        let of = container.processes("s6-supervise gateway-one");
        let uid = if tree == Tree::User { support::HERMES } else { 0 };
        assert!(of.len() == 2 && of.iter().all(|it| it.0 == uid), "{tree:?} {of:?}");
        let boot = container.volume().read("default", "logs/container-boot.log");
        let last = boot.lines().rev().take(3).collect::<Vec<_>>().join("\n");
        assert!(last.contains("profile=one prior_state=running action=started"), "{boot}");
    }
}

#[test]
fn a_restart_finds_nothing_of_the_tree_before_it_where_run_outlives_it() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "running").wanted("gone", "running");
    let spec = Spec { tree: Tree::User, ..Spec::default() };
    let mut container = Container::new(volume, spec);
    container.keep_run();
    container.start();
    ["one", "two", "gone"].iter().for_each(|profile| container.wait_up(profile));
    gw(&container, &["register", "extra", "--force"]).ok();
    container.as_hermes(&["touch", "/run/service/else"]).ok();
    // All at once, and what is known of the gateways is from before.
    container.kill();
    fs::remove_dir_all(container.volume().home("gone")).unwrap();
    container.volume().wanted("two", "stopped").give(support::HERMES);
    container.start();
    wait_whole(&container, 3, &["one"]);
    assert_eq!(gw(&container, &["list"]).ok(), "default\none\ntwo\n");
    assert_eq!(container.state("two"), "down");
    // What is no part of a tree is not ours to remove.
    assert!(container.inside("/run/service/else").exists());
    let console = container.console();
    assert!(console.contains("reconcile: profile=one prior_state=running action=started"));
    assert!(!container.volume().home("two").join("gateway.pid").exists());
    // Only the first of a boot finds it so: what is registered later stays.
    gw(&container, &["register", "extra", "--force"]).ok();
    kill_svscan(&container);
    wait_whole(&container, 4, &["one"]);
}

#[test]
fn a_tree_that_was_half_cleared_is_cleared_by_the_next_run() {
    let killed = (0..4).map(|at| (1 + at * 12, "unlinkat", "signal=KILL"));
    // The first lists the scandir, the others slots.
    let failed = [("unlinkat", 7), ("getdents64", 1), ("getdents64", 3), ("getdents64", 7)];
    let failed = failed.map(|(call, at)| (at, call, "error=EIO"));
    for (at, call, what) in killed.chain(failed) {
        let volume = Volume::new();
        volume.wanted("gone", "running");
        let mut container = Container::new(volume, Spec { tree: Tree::User, ..Spec::default() });
        container.keep_run();
        container.start();
        container.wait_up("gone");
        // What cannot be locked does not stay either.
        let lock =
            "cd /run/service; rm .hermes-gw.lock; mkdir .hermes-gw.lock; touch .hermes-gw.lock/x";
        container.as_hermes(&["sh", "-ec", lock]).ok();
        container.kill();
        fs::remove_dir_all(container.volume().home("gone")).unwrap();
        // A slot has some files; its directories go last.
        let script = container.root().join("etc/cont-init.d/01-killed");
        let text = format!(
            "#!/bin/sh\nstrace -qq -o /dev/null -e inject={call}:{what}:when={at} \
             /command/hermes-gw reconcile --boot\necho disturbed at {call} {at}: $?\n\
             [ ! -e /run/s6/hermes-gw/cleared ] || echo noted\n"
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        container.start();
        let disturbed = format!("disturbed at {call} {at}: ");
        wait_until(&disturbed, || container.console().contains(&disturbed));
        wait_whole(&container, 1, &[]);
        assert_eq!(gw(&container, &["list"]).ok(), "default\n", "{disturbed}");
        gw(&container, &["reconcile"]).ok();
        let console = container.console();
        assert!(!console.contains("noted"), "{console}");
        let is_told = console.contains("Input/output error (EIO)");
        assert_eq!(is_told, what != "signal=KILL", "{console}");
    }
}

#[test]
fn root_reads_nothing_through_a_link_in_the_middle_of_a_path() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = Container::boot(volume, Spec { tree: Tree::User, ..Spec::default() });
    container.wait_up("one");
    // What only root may read, in the form of what is read of a slot.
    let like = "mkdir -p -m 700 /root/canary && cd /run/service/gateway-one && \
        cp supervise/status /root/canary && : >/root/canary/death_tally && mkfifo /root/canary/control && \
        : >/root/canary/down && chmod 600 /root/canary/*";
    container.as_root(&["sh", "-euc", like]).ok();
    let links = "cd /run/service/gateway-one && for name in supervise log; do \
        mv $name real-$name && ln -s /root/canary $name; done";
    container.as_hermes(&["sh", "-euc", links]).ok();
    for inject in ["trace=all", "inject=openat2:error=ENOSYS", "inject=openat2:error=EPERM"] {
        let strace = ["strace", "-f", "-y", "-o", "/run/trace", "-e", "trace=all", "-e", inject];
        let verbs: [&[&str]; 4] =
            [&["status", "one"], &["is-running", "one"], &["doctor"], &["logs", "one"]];
        for verb in verbs {
            let output = container.as_root(&[&strace[..], &["/command/hermes-gw"], verb].concat());
            let trace = fs::read_to_string(container.inside("/run/trace")).unwrap();
            // strace shows where each descriptor leads.
            let seen: Vec<_> = trace.lines().filter(|it| it.contains("/root/canary")).collect();
            assert_eq!(seen, [""; 0], "{inject} {verb:?} {output:?}");
            if *verb == ["is-running", "one"] {
                // Without openat2 it is only told that it is no directory.
                let why = "hermes-gw: open: /run/service/gateway-one/supervise/control: ";
                assert!(output.stderr.starts_with(why) && output.code == 111, "{output:?}");
            }
        }
    }
}

#[test]
fn nothing_that_hermes_puts_on_the_path_runs_as_root() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    for name in ["sh", "id", "mkdir", "chown", "env"] {
        let trap = format!(
            "#!/usr/bin/sh\n[ \"$(/usr/bin/id -u)\" != 0 ] || echo {name} >>/opt/data/won\n\
             exec /usr/bin/{name} \"$@\"\n"
        );
        volume.file("default", &format!("bin/{name}"), trap);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(volume.path().join("bin").join(name), mode).unwrap();
    }
    // As s6-overlay leaves it, of an image whose own begins with a directory of the home.
    let path = "/command:/opt/data/bin:/usr/local/bin:/usr/bin:/bin";
    let environment = vec![("PATH".into(), path.into())];
    let spec = Spec { tree: Tree::User, environment, ..Spec::default() };
    let mut container = Container::boot(volume, spec);
    wait_whole(&container, 2, &["one"]);
    kill_svscan(&container);
    wait_whole(&container, 2, &["one"]);
    let won = container.volume().path().join("won");
    assert!(!won.exists(), "{:?}", fs::read_to_string(won));
    // It is the gateways' path all the same, and a trap for who walks it as root.
    let environ = container.volume().read("one", ".standin-environment");
    assert!(environ.split('\0').any(|it| it == format!("PATH={path}")), "{environ}");
    container.as_root(&["sh", "-c", ":"]).ok();
    assert_eq!(fs::read_to_string(&won).unwrap(), "sh\n");
    container.stop();
    assert_eq!(fs::read_to_string(&won).unwrap(), "sh\n");
}

#[test]
fn white_space_around_a_setting_is_nothing_to_the_tree_either() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let mut container = Container::new(volume, Spec { tree: Tree::User, ..Spec::default() });
    for (name, value) in [("HERMES_GW_TREE", "user \n"), ("HERMES_GW_SERVICES_MAX", " 40\n")] {
        fs::write(container.root().join("etc/container_environment").join(name), value).unwrap();
    }
    container.start();
    wait_whole(&container, 2, &["one"]);
    let args = container.as_root(&["ps", "-eo", "args="]).ok();
    let of_hermes =
        |line: &&str| line.starts_with("s6-svscan ") && line.contains(" 40 /run/service");
    assert_eq!(args.lines().filter(of_hermes).count(), 1, "{args}");
}

#[test]
fn the_tree_holds_two_thousand_gateways_and_not_one_more() {
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available: u64 = available.trim().trim_end_matches(" kB").parse().unwrap();
    if available < 4 << 20 {
        let why = format!("its 6,000 processes take over 2 GB, and {available} kB are left");
        return support::skipped("the user tree at its real size", &why);
    }
    let volume = Volume::new();
    for i in 1..2000 {
        volume.profile(&format!("p{i}"));
    }
    let mut container = Container::new(volume, Spec { tree: Tree::User, ..Spec::default() });
    // On a machine with other things to do it takes more than the two minutes of the image.
    set_limit(&container, "hermes-gateways", "timeout-up", 600_000);
    container.start();
    let supervisors = || container.processes("s6-supervise gateway-").len();
    wait_until("all supervisors", || supervisors() == 4000);
    let output = gw(&container, &["register", "one-more", "--down", "--force"]);
    let why = ": s6-svscan can hold no more than 2000 gateways\n";
    assert!(output.code == 1 && output.stderr.ends_with(why), "{output:?}");
    gw(&container, &["unregister", "p1"]).ok();
    gw(&container, &["register", "one-more", "--down", "--force"]).ok();
    wait_until("as many supervisors", || supervisors() == 4000);
    container.stop();
    let console = container.console();
    let said = |line: &str| console.lines().any(|it| it == line);
    assert!(said("s6-rc: info: oneshot hermes-gateways exited 0"));
    assert!(said("s6-rc: info: longrun hermes-svscan down exited 0"));
    // Of the bound, and of descriptors, s6-svscan would complain.
    assert!(!console.lines().any(|line| line.starts_with("s6-svscan: ")));
}

#[test]
fn the_tree_holds_no_more_than_its_descriptors_allow() {
    let volume = Volume::new();
    for i in 1..70 {
        volume.profile(&format!("p{i}"));
    }
    volume.wanted("p7", "running");
    let spec = Spec { tree: Tree::User, descriptors: Some(120), ..Spec::default() };
    let mut container = Container::boot(volume, spec);
    wait_whole(&container, 32, &["p7"]);
    let why =
        "p8 prior_state=none action=skipped reason=s6-svscan can hold no more than 32 gateways";
    assert!(container.console().contains(why), "{}", container.console());
    let output = gw(&container, &["register", "one-more", "--force"]);
    assert!(output.code == 1 && output.stderr.contains("no more than 32"), "{output:?}");
    // There are enough to tell them all something.
    gw(&container, &["start", "--all"]).ok();
    kill_svscan(&container);
    wait_whole(&container, 32, &["p7"]);
    container.stop();
    let console = container.console();
    assert!(!console.contains("Too many open files"), "{console}");
    assert!(console.contains("oneshot hermes-gateways down exited 0"), "{console}");
}

#[test]
fn root_makes_nothing_where_a_link_of_hermes_leads() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    std::os::unix::fs::symlink("/etc", volume.path().join("link")).unwrap();
    let path = "/opt/data/link/tree/scandir";
    let environment = vec![("S6_PROFILE_GATEWAY_SCANDIR".into(), path.into())];
    let spec = Spec { tree: Tree::User, environment, ..Spec::default() };
    let mut container = Container::new(volume, spec);
    limit(&container, "hermes-svscan", "timeout-up", 2000);
    container.start();
    assert!(!container.inside("/etc/tree").exists());
    let console = container.console();
    let why = "/opt/data/link: is a symbolic link, which is not followed (ELOOP)\ncont-init";
    assert!(console.contains(why), "{console}");
}

/// Lowers a limit of the image's service `of`, in ms, which it must have.
fn limit(container: &Container, of: &str, name: &str, ms: u32) {
    let own = set_limit(container, of, name, ms);
    assert!(own > ms, "{own}");
}

/// Sets a limit of the image's service `of`, in ms; what it was.
fn set_limit(container: &Container, of: &str, name: &str, ms: u32) -> u32 {
    let file = container.root().join("etc/s6-overlay/s6-rc.d").join(of).join(name);
    let own = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, ms.to_string()).unwrap();
    own
}

#[test]
fn neither_a_tree_that_cannot_grow_nor_a_lock_that_is_held_keep_the_container_from_booting() {
    // Who is not there may come until time is up.
    let environment = vec![("HERMES_GW_USER".into(), "ghost".into())];
    let spec = Spec { tree: Tree::User, environment, ..Spec::default() };
    let mut container = Container::new(Volume::new(), spec);
    limit(&container, "hermes-svscan", "timeout-up", 2000);
    container.start();
    let console = container.console();
    assert!(console.contains("longrun hermes-svscan exited 99\n"), "{console}");

    let volume = Volume::new();
    volume.wanted("one", "running");
    let mut container = Container::new(volume, Spec { tree: Tree::User, ..Spec::default() });
    limit(&container, "hermes-gateways", "timeout-up", 2000);
    // Stands for a gateway that is quicker than the oneshot.
    let script = container.root().join("etc/cont-init.d/03-hold");
    let hold = "#!/bin/sh -e\nlock=/run/hermes-gw/service/.hermes-gw.lock\n\
        s6-setuidgid hermes flock $lock sleep 1000 &\n\
        while flock -n $lock true; do sleep 0.01; done\n";
    fs::write(&script, hold).unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    container.start();
    assert!(container.console().contains("oneshot hermes-gateways exited 124"));
    container.wait_up("one");
}

#[test]
fn for_a_bound_that_is_no_number_the_default_counts_in_the_image_too() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let environment = vec![("HERMES_GW_SERVICES_MAX".into(), "many".into())];
    let spec = Spec { tree: Tree::User, environment, ..Spec::default() };
    let container = Container::boot(volume, spec);
    container.wait_up("one");
    let console = container.console();
    let why = "HERMES_GW_SERVICES_MAX=many: is not a number: the default counts";
    for who in ["hermes-svscan: ", "hermes-gw: warning: read setting: "] {
        assert!(console.contains(&format!("{who}{why}")), "{console}");
    }
}

#[test]
fn a_supervisor_that_was_stopped_does_not_keep_the_container_from_stopping() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let mut container = Container::new(volume, Spec { tree: Tree::User, ..Spec::default() });
    limit(&container, "hermes-svscan", "timeout-kill", 2000);
    container.start();
    container.wait_up("one");
    let (_, pid, _) = &container.processes("s6-supervise gateway-default")[0];
    container.as_hermes(&["sh", "-c", &format!("kill -STOP {pid}")]).ok();
    container.stop();
    assert!(container.console().contains("longrun hermes-svscan down exited 0"));
    assert!(container.console().contains("cont-finish: info: /etc/cont-finish.d/02-stop-gateways"));
}

/// What an attacker who is hermes tries: in words, as a script, and what shows that it
/// worked. S is PID 1's scandir, G that of the gateways.
const ATTACKS: [(&str, &str, &str); 6] = [
    (
        "root by a new service",
        "mkdir $S/.evil && printf '#!/bin/sh\\nid -u >/opt/data/won; exec sleep 9\\n' >$S/.evil/run && \
            chmod +x $S/.evil/run && mv $S/.evil $S/evil && printf a >$S/.s6-svscan/control",
        "[ \"$(cat /opt/data/won)\" = 0 ]",
    ),
    (
        "root by a gateway's run",
        "printf '#!/bin/sh\\nid -u >/opt/data/won; exec sleep 9\\n' >$G/gateway-one/run && s6-svc -k $G/gateway-one",
        "[ \"$(cat /opt/data/won)\" = 0 ]",
    ),
    (
        "root by a gateway's finish",
        "printf '#!/bin/sh\\nid -u >/opt/data/won\\n' >$G/gateway-two/finish && s6-svc -k $G/gateway-two",
        "[ \"$(cat /opt/data/won)\" = 0 ]",
    ),
    ("PID 1 told to look", "s6-svscanctl -z $S && echo 0 >/opt/data/won", "[ -e /opt/data/won ]"),
    ("PID 1's service started", "s6-svc -u $S/web", "[ \"$(s6-svstat -o up $S/web)\" = true ]"),
    (
        "root's process signalled",
        "s6-svc -k $S/s6rc-own || s6-svc -k $S/web",
        // It comes back: what tells of its death for good is the tally.
        "s6-svdt $S/web | grep -q SIGKILL",
    ),
];

#[test]
fn hermes_becomes_root_in_the_default_layout_and_not_in_the_user_tree() {
    for (tree, succeeds) in [(Tree::Root, true), (Tree::User, false)] {
        let volume = Volume::new();
        volume.wanted("one", "running").wanted("two", "running");
        let container = boot(volume, tree);
        for profile in ["one", "two"] {
            container.wait_up(profile);
        }
        // A service of root's that does something.
        let run = container.inside("/run/s6-rc/servicedirs/web/run");
        fs::write(&run, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        let shell = |script: &str| {
            let head =
                format!("PATH=/command:$PATH; S={SCANDIR_OF_PID_1}; G=/run/service; {script}");
            [String::from("sh"), "-c".into(), head]
        };
        for (what, attack, shows) in ATTACKS {
            if what == "root's process signalled" {
                let up = shell("s6-svc -wu -u $S/web");
                container.as_root(&up.each_ref().map(String::as_str)).ok();
            }
            let _ = fs::remove_file(container.volume().path().join("won"));
            let attack = shell(attack);
            let attempt = container.as_hermes(&attack.each_ref().map(String::as_str));
            let shows = shell(shows);
            let won = || container.as_root(&shows.each_ref().map(String::as_str)).succeeded();
            if succeeds {
                wait_until(&format!("{what}: {attempt:?}"), won);
            } else {
                std::thread::sleep(Duration::from_secs(2));
                assert!(!won(), "{what}: {attempt:?}");
            }
            println!("{tree:?}: {what}: {}", if succeeds { "succeeds" } else { "fails" });
        }
        // The plain way is closed in both.
        let plain = container.as_hermes(&["sh", "-c", "kill -KILL 1"]);
        assert_ne!(plain.code, 0, "{plain:?}");
    }
}
