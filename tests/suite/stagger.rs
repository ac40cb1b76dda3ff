//! `HERMES_GW_STAGGER`: gateways that start one after the other at boot, and those that wait.

use crate::support;
use std::process::{Command, Stdio};
use support::{Container, Events, HERMES, Output, Spec, Volume, jq, wait_or, wait_until};

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

fn boot(stagger: &str, running: &[&str]) -> Container {
    let volume = Volume::new();
    for profile in running {
        volume.wanted(profile, "running");
    }
    volume.wanted("never", "stopped");
    let environment = vec![("HERMES_GW_STAGGER".into(), stagger.into())];
    Container::boot(volume, Spec { environment, ..Spec::default() })
}

/// What `status` says of `profile` in JSON, by a `filter` of jq.
fn of(container: &Container, profile: &str, filter: &str) -> String {
    jq(&format!(".[0] | {filter}"), &gw(container, &["--json", "status", profile]).stdout)
}

/// Waits until `profile` waits for its turn; what is said of that.
#[track_caller]
fn wait_waiting(container: &Container, profile: &str) -> String {
    wait_or(&format!("{profile} to wait"), || {
        let file = std::fs::read_to_string(container.inside(&slot(profile)).join("turn"));
        let file = file.unwrap_or_default();
        let pid = container.pid(profile);
        let text = of(container, profile, ".text");
        let waits = file.contains(&format!(" {pid} ")) && text.starts_with("starting in ");
        if waits { Ok(text) } else { Err(format!("{file:?} {pid} {text}")) }
    })
}

/// How many processes sleep until their turn.
fn sleepers(container: &Container) -> usize {
    let all = container.as_root(&["ps", "-eo", "user:20,args"]).ok();
    all.lines().filter(|line| line.contains(" sleep ") && line.ends_with("000.000")).count()
}

#[test]
fn each_starts_in_its_turn_and_nothing_has_died_of_that() {
    // So far apart that no busy machine has them start in another order.
    let container = boot("5.25", &["default", "one", "three", "two"]);
    let order = ["default", "one", "three", "two"];
    order.iter().for_each(|profile| container.wait_up(profile));
    let json = gw(&container, &["--json", "status"]).ok();
    let by_start =
        jq(r#"map(select(.state == "up")) | sort_by(.since) | map(.profile) | tojson"#, &json);
    assert_eq!(by_start, r#"["default","one","three","two"]"#);
    let said = jq("map([.text, .restarts]) | unique | tojson", &json);
    assert_eq!(said, r#"[["down",0],["up",0]]"#);
    for profile in order {
        assert!(!container.inside(&slot(profile)).join("turn").exists(), "{profile}");
        let log = container.volume().path().join(format!("logs/gateways/{profile}/current"));
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.lines().all(|line| !line.contains("hermes-gw:")), "{profile}: {log}");
    }
}

#[test]
fn one_that_waits_is_not_up_and_every_signal_ends_that() {
    let running = ["default", "a", "b", "c", "d", "e"];
    let mut container = boot("1000", &running);
    container.wait_up("default");
    for (profile, turn) in [("a", "s (turn 2 of 6)"), ("e", "s (turn 6 of 6)")] {
        let text = wait_waiting(&container, profile);
        assert!(text.ends_with(turn), "{text}");
    }
    ["b", "c", "d"].iter().for_each(|profile| drop(wait_waiting(&container, profile)));
    wait_until("five that sleep", || sleepers(&container) == 5);
    let seen = of(&container, "a", "[.state, .pid, .wanted] | tojson");
    assert_eq!(seen, format!(r#"["starting",{},"up"]"#, container.pid("a")));
    assert_eq!(gw(&container, &["-q", "status"]).code, 0);
    assert_eq!(gw(&container, &["is-running", "a"]).code, 1);
    assert_eq!(gw(&container, &["wait", "--up", "--timeout", "0.2", "a"]).code, 99);
    assert_eq!(
        jq("map(select(.level != \"ok\")) | length", &gw(&container, &["--json", "doctor"]).stdout),
        "0"
    );

    // Told to start, it does not wait any longer, and has not died.
    let mut events = Events::of(&container, &slot("a"));
    let mut waits =
        container.hermes_command(&["/command/hermes-gw", "wait", "--up", "a"]).spawn().unwrap();
    gw(&container, &["start", "a"]).ok();
    container.wait_up("a");
    assert!(waits.wait().unwrap().success());
    events.expect("dDu");
    assert_eq!(of(&container, "a", "[.text, .restarts] | tojson"), r#"["up",0]"#);
    assert_eq!(gw(&container, &["is-running", "a"]).code, 0);
    // Nor with one that nobody waits for.
    gw(&container, &["restart", "--no-wait", "b"]).ok();
    container.wait_up("b");
    assert_eq!(of(&container, "b", "[.text, .restarts] | tojson"), r#"["up",0]"#);

    // Stopped, it is down, and stays so.
    gw(&container, &["stop", "c"]).ok();
    assert_eq!(of(&container, "c", "[.text, .wanted_at_boot] | tojson"), r#"["down","down"]"#);
    assert!(!container.volume().home("c").join(".gateway-planned-stop.json").exists());
    // SIGTERM and SIGKILL, by strangers: it comes up, and that is all.
    for (letter, profile) in [("-t", "d"), ("-k", "e")] {
        container.as_hermes(&["/command/s6-svc", letter, &slot(profile)]).ok();
        container.wait_up(profile);
        assert_eq!(of(&container, profile, "[.text, .restarts] | tojson"), r#"["up",0]"#);
    }
    assert_eq!(sleepers(&container), 0);

    // The next boot's turns count.
    container.restart();
    container.wait_up("default");
    assert!(wait_waiting(&container, "a").ends_with("s (turn 2 of 5)"));
    assert!(wait_waiting(&container, "d").ends_with("s (turn 4 of 5)"));
    assert_eq!(of(&container, "c", ".text"), "down");
    // Nothing holds the log's pipe once a slot is to go, or the container is to end.
    gw(&container, &["unregister", "d"]).ok();
    wait_until("three that sleep", || sleepers(&container) == 3);
    gw(&container, &["shutdown"]).ok();
    assert_eq!(sleepers(&container), 0);
    assert_eq!(of(&container, "a", ".wanted_at_boot"), "up");
    container.stop();
}

#[test]
fn a_wait_is_told_as_such_and_ends_without_a_death() {
    let container = boot("4", &["default", "one"]);
    let mut watch = container.hermes_command(&["/command/hermes-gw", "--json", "watch", "one"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch.stdout.take().unwrap()));
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "up") {
        states.push(jq(".state", &lines.next().unwrap().unwrap()));
    }
    states.dedup();
    assert!(
        matches!(
            &states.iter().map(|it| &it[..]).collect::<Vec<_>>()[..],
            ["starting", "up"] | ["up"]
        ),
        "{states:?}"
    );
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn every_shell_waits_alike() {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::new();
    volume.wanted("one", "stopped");
    let container = Container::boot(volume, Spec::default());
    let run = std::fs::read_to_string(container.inside(&slot("one")).join("run")).unwrap();
    let begin = run.find("if [ -e turn ]").unwrap();
    let wait = &run[begin..run.find("rm -f turn\nfi\n").unwrap() + 14];
    let script = format!("set -e\n{wait}echo started\n");
    for shell in ["dash", "busybox sh", "bash", "sh"] {
        let words: Vec<_> = shell.split(' ').collect();
        let sh = |turn: Option<&str>| {
            let file = dir.path().join("turn");
            let _ = std::fs::remove_file(&file);
            turn.iter().for_each(|turn| std::fs::write(&file, turn).unwrap());
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).args(["-c", &script]).current_dir(dir.path());
            let Ok(output) = command.output() else { return None };
            let left = std::fs::read_to_string(&file).ok();
            Some((output.status.code(), String::from_utf8(output.stdout).unwrap(), left))
        };
        let Some(plain) = sh(None) else { continue };
        assert_eq!(plain, (Some(0), "started\n".into(), None), "{shell}");
        let (code, said, left) = sh(Some("10 0 2 3\n")).unwrap();
        let left = left.unwrap();
        assert_eq!((code, said.as_str()), (Some(0), ""), "{shell}");
        let words: Vec<_> = left.trim_end().split(' ').collect();
        assert!(words[1].parse::<u32>().is_ok() && words[2..] == ["2", "3"], "{shell}: {left}");
        // What was waited for, or is no turn, is taken away.
        for over in [left.as_str(), "", "x"] {
            assert_eq!(sh(Some(over)).unwrap(), plain, "{shell}: {over}");
        }
    }
    drop(container);
}

#[test]
fn a_word_that_is_no_time_is_told_and_all_start_at_once() {
    let container = boot("soon", &["default", "one"]);
    container.wait_up("default");
    container.wait_up("one");
    assert!(
        container
            .console()
            .contains("HERMES_GW_STAGGER=soon: is not a time in seconds: the default counts")
    );
    wait_until("no turn", || !container.inside(&slot("one")).join("turn").exists());
    container.volume().wanted("late", "running").give(HERMES);
    gw(&container, &["reconcile"]).ok();
    container.wait_up("late");
}
