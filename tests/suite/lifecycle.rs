//! start, stop, restart, signal, wait, is-running: each verb on each state a gateway can
//! be in, with what its supervisor said meanwhile.

use crate::support;
use hermes_gw::model::backoff::Exit;
use hermes_gw::s6::status::Status;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use support::{Container, Events, Output, Spec, Volume, wait_or, wait_until};

/// One gateway in each state.
const STATES: [&str; 8] =
    ["up", "down", "never", "finishing", "crashing", "deaf", "orphaned", "unsupervised"];

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

/// A container with a gateway in each of the states.
fn scene() -> Container {
    let volume = Volume::new();
    for state in STATES {
        volume.wanted(state, if state == "never" { "stopped" } else { "running" });
    }
    volume.file("crashing", "behave", "exit 1\n").file("deaf", "behave", "deaf\n");
    volume.file("unsupervised", "behave", "exit 1\n");
    let container = Container::boot(volume, Spec::default());
    for state in ["up", "down", "deaf", "finishing", "orphaned"] {
        container.wait_up(state);
    }
    container.as_hermes(&["/command/s6-svc", "-wD", "-d", &slot("down")]).ok();
    // A slot that s6-svscan has not seen: as after a scan that it gave up.
    let hidden = "/run/service/.unsupervised";
    container.as_root(&["mv", &slot("unsupervised"), hidden]).ok();
    container.as_root(&["/command/s6-svscanctl", "-an", "/run/service"]).ok();
    wait_until("end of a supervisor", || {
        !container.as_root(&["/command/s6-svok", hidden]).succeeded()
    });
    // A supervisor that was killed, and none to start another.
    container.signal_svscan("STOP");
    container.as_root(&["mv", hidden, &slot("unsupervised")]).ok();
    container.kill_supervisor("orphaned");
    // A finish script that takes as long as it is held.
    let finish = container.inside(&slot("finishing")).join("finish");
    fs::write(finish, "#!/bin/sh\nwhile [ -e held ]; do sleep 0.05; done\n").unwrap();
    container
}

/// What holds the finish script of the gateway that is finishing.
fn held(container: &Container) -> PathBuf {
    container.inside(&slot("finishing")).join("held")
}

/// Brings the gateway with the slow finish script into it; what comes after that is heard.
fn make_finish(container: &Container) -> Events {
    let mut events = Events::of(container, &slot("finishing"));
    fs::write(held(container), "").unwrap();
    let pid = container.pid("finishing");
    container.as_root(&["sh", "-c", &format!("kill -KILL {pid}")]).ok();
    let status = container.inside(&slot("finishing")).join("supervise/status");
    let finishing = || Status::parse(&fs::read(&status).unwrap()).unwrap().finishing;
    wait_until("finish to run", finishing);
    // s6-supervise tells it after that; before it may come the end of a start.
    let mut heard = String::new();
    wait_until("the letter of its death", || {
        heard += &events.heard("");
        heard.ends_with('d')
    });
    events
}

/// Runs a verb on the gateway that is finishing, whose finish script goes on once the verb has
/// seen that; `wait` does not live to see its end.
fn while_it_finishes(container: &Container, args: &[&str]) -> Output {
    let event = container.inside(&slot("finishing")).join("event");
    let listeners = || fs::read_dir(&event).unwrap().count();
    let before = listeners();
    let waits = args[0] == "wait";
    let mut command = container.hermes_command(&[&["/command/hermes-gw"], args].concat());
    let mut verb = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the verb to listen, or to end", || {
        !waits && listeners() > before || verb.try_wait().unwrap().is_some()
    });
    // From there it is a few system calls to what it says to s6-supervise.
    std::thread::sleep(Duration::from_secs(1));
    fs::remove_file(held(container)).unwrap();
    let output = verb.wait_with_output().unwrap();
    Output {
        code: output.status.code().unwrap(),
        stdout: support::untranslated(output.stdout),
        stderr: support::untranslated(output.stderr),
    }
}

fn desired(container: &Container, profile: &str) -> &'static str {
    let state = container.volume().read(profile, "gateway_state.json");
    match state {
        state if state.contains(r#""desired_state":"running""#) => "running",
        state if state.contains(r#""desired_state":"stopped""#) => "stopped",
        _ => "none",
    }
}

/// A state, then the verb's exit code, s6's events and the intent after it.
type Row<'a> = (&'a str, i32, &'a str, &'a str);

/// Runs `verb` on the gateway in each state, and checks what comes of it.
fn check(container: &Container, verb: &[&str], expected: [Row<'_>; 8]) {
    for (state, row) in STATES.into_iter().zip(expected) {
        let mut events = match state {
            "finishing" => make_finish(container),
            _ => Events::of(container, &slot(state)),
        };
        // Who is deaf takes all the time there is.
        let timeout = if state == "deaf" { "3" } else { "60" };
        let args = [verb, &["--timeout", timeout, state]].concat();
        let output = match state {
            "finishing" => while_it_finishes(container, &args),
            _ => gw(container, &args),
        };
        let lines = output.stderr.lines().count();
        assert_eq!(lines, usize::from(output.code != 0), "{verb:?} {state}: {output:?}");
        assert_eq!(output.stdout, "", "{verb:?} {state}");
        let (mut code, mut heard) = (output.code, events.heard(row.2));
        if state == "crashing" {
            // It is seen up, or dead again, and says a lot.
            let died = "it started and died at once: backing off 1s, 1 death: exit 1\n";
            assert!(code == 0 || code == 1 && output.stderr.ends_with(died), "{output:?}");
            (code, heard) = (0, String::new());
        }
        let got = (state, code, heard.as_str(), desired(container, state));
        assert_eq!(got, row, "{output:?}");
    }
}

#[test]
fn stop_in_every_state() {
    let container = scene();
    check(
        &container,
        &["stop"],
        [
            ("up", 0, "dD", "stopped"),
            ("down", 0, "", "stopped"),
            ("never", 0, "", "stopped"),
            ("finishing", 0, "D", "stopped"),
            ("crashing", 0, "", "stopped"),
            ("deaf", 99, "", "stopped"),
            ("orphaned", 102, "", "running"),
            ("unsupervised", 102, "", "running"),
        ],
    );
    for state in ["up", "down", "never", "finishing", "crashing"] {
        assert_eq!(container.state(state), "down", "{state}");
        // The wish outlives the supervisor.
        wait_until("the down file", || container.inside(&slot(state)).join("down").exists());
    }
    assert_eq!(container.state("deaf"), "up");
    let state = container.volume().read("up", "gateway_state.json");
    assert!(state.contains(r#""gateway_state":"stopped""#), "not by the marker: {state}");
    let error = gw(&container, &["stop", "--timeout", "0.1", "deaf"]).stderr;
    assert_eq!(
        error,
        "hermes-gw: stop gateway: /run/service/gateway-deaf: it is not down in time: it is told \
         to stop: hermes-gw signal KILL deaf ends it\n"
    );
    gw(&container, &["signal", "KILL", "deaf"]).ok();
    gw(&container, &["stop", "deaf"]).ok();
    assert_eq!(container.state("deaf"), "down");
}

#[test]
fn start_in_every_state() {
    let container = scene();
    fs::write(container.inside(&slot("down")).join("down"), "").unwrap();
    // What crashes may be seen up, or dead again.
    container.as_root(&["/command/s6-svc", "-D", &slot("crashing")]).ok();
    let pid = container.pid("up");
    check(
        &container,
        &["start"],
        [
            ("up", 0, "", "running"),
            ("down", 0, "u", "running"),
            ("never", 0, "u", "running"),
            ("finishing", 0, "Du", "running"),
            ("crashing", 0, "", "running"),
            ("deaf", 0, "", "running"),
            ("orphaned", 102, "", "running"),
            ("unsupervised", 102, "", "running"),
        ],
    );
    assert_eq!(container.pid("up"), pid);
    for state in ["down", "never"] {
        assert!(!container.inside(&slot(state)).join("down").exists(), "{state}");
        container.wait_up(state);
    }
    let error = gw(&container, &["start", "orphaned"]).stderr;
    let expected = "hermes-gw: open: /run/service/gateway-orphaned/supervise/control: no \
        s6-supervise runs on it: hermes-gw reconcile asks for one\n";
    assert_eq!(error, expected);
    container.signal_svscan("CONT");
    gw(&container, &["reconcile"]).ok();
    gw(&container, &["start", "orphaned", "unsupervised"]);
    container.wait_up("orphaned");
}

#[test]
fn restart_in_every_state() {
    let container = scene();
    let pid = container.pid("up");
    container.as_root(&["/command/s6-svc", "-D", &slot("crashing")]).ok();
    check(
        &container,
        &["restart"],
        [
            ("up", 0, "dDu", "running"),
            ("down", 0, "u", "running"),
            ("never", 0, "u", "running"),
            ("finishing", 0, "Du", "running"),
            ("crashing", 0, "", "running"),
            ("deaf", 99, "", "running"),
            ("orphaned", 102, "", "running"),
            ("unsupervised", 102, "", "running"),
        ],
    );
    assert_ne!(container.pid("up"), pid);
    for state in ["up", "down", "never"] {
        container.wait_up(state);
        assert!(!container.volume().home(state).join(".gateway-planned-stop.json").exists());
    }
}

/// Exit code of `args` on `state`; an error is one line, and success says nothing.
fn code(container: &Container, args: &[&str], state: &str) -> i32 {
    // Kept: the verb is waited for by the number of those who listen.
    let _events = (state == "finishing").then(|| {
        // Up again since the last time, or at its end.
        wait_until("another run", || container.state(state) == "up");
        make_finish(container)
    });
    let of_state = [args, &[state]].concat();
    let output = match state {
        "finishing" => while_it_finishes(container, &of_state),
        _ => gw(container, &of_state),
    };
    assert_eq!(output.stdout, "", "{args:?} {state}");
    let lines = output.stderr.lines().count();
    assert_eq!(lines, usize::from(output.code != 0), "{args:?} {state}: {output:?}");
    output.code
}

#[test]
fn signal_and_wait_in_every_state() {
    let container = scene();
    // (state, [signal CONT, wait --up, wait --down], state after), each for 0.3 seconds
    let table = [
        ("up", [0, 0, 99], "up"),
        ("down", [1, 99, 0], "down"),
        ("never", [1, 99, 0], "down"),
        // Its finish script is held for longer than that.
        ("finishing", [1, 99, 99], ""),
        ("deaf", [0, 0, 99], "up"),
        ("orphaned", [102, 102, 102], ""),
        ("unsupervised", [102, 102, 102], ""),
    ];
    for (state, [signal, up, down], after) in table {
        let within = ["--timeout", "0.3"];
        assert_eq!(code(&container, &["signal", "CONT"], state), signal, "signal {state}");
        let wait = |goal| code(&container, &[&["wait", goal], &within[..]].concat(), state);
        assert_eq!([wait("--up"), wait("--down")], [up, down], "wait {state}");
        assert!(after.is_empty() || container.state(state) == after, "{state}");
        assert_eq!(
            desired(&container, state),
            if state == "never" { "stopped" } else { "running" }
        );
    }
    // One that crashes all the time is up and down again and again.
    assert!([0, 1].contains(&code(&container, &["signal", "CONT"], "crashing")));
    for goal in ["--up", "--down"] {
        // The longest delay is a minute.
        assert_eq!(code(&container, &["wait", goal, "--timeout", "180"], "crashing"), 0, "{goal}");
    }
}

#[test]
fn register_and_unregister_in_every_state() {
    let container = scene();
    for state in STATES {
        let before = fs::metadata(container.inside(&slot(state))).unwrap().ino();
        assert_eq!(code(&container, &["register"], state), 4, "{state}");
        assert_eq!(fs::metadata(container.inside(&slot(state))).unwrap().ino(), before, "{state}");
    }
    // What it leaves behind: the orphan, which nobody supervises.
    container.signal_svscan("CONT");
    for state in STATES {
        // Only who is deaf is killed.
        let verb = ["unregister", "--timeout", if state == "deaf" { "1" } else { "60" }];
        assert_eq!(code(&container, &verb, state), 0, "{state}");
        assert!(!container.inside(&slot(state)).exists(), "{state}");
        assert_eq!(gw(&container, &["unregister", state]).code, 0, "{state}");
    }
    assert_eq!(gw(&container, &["list"]).ok(), "default\n");
    let mut left = container.processes("s6-supervise gateway-");
    left.retain(|it| !it.2.contains("gateway-default"));
    assert!(left.is_empty(), "{left:?}");
    let names = container.as_root(&["ls", "-A", "/run/service"]).ok();
    assert!(!names.contains(".gateway-"), "{names}");
}

#[test]
fn a_gateway_on_its_way_down_is_started_anew() {
    let volume = Volume::new();
    volume.wanted("slow", "running").file("slow", "behave", "slow 3\n");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("slow");
    let pid = container.pid("slow");
    let mut events = Events::of(&container, &slot("slow"));
    gw(&container, &["stop", "--no-wait", "slow"]).ok();
    events.expect("");
    gw(&container, &["start", "slow"]).ok();
    events.expect("dDu");
    assert_ne!(container.pid("slow"), pid);
    assert_eq!(desired(&container, "slow"), "running");
}

#[test]
fn a_restart_that_nobody_waits_for_any_more_comes_about() {
    let volume = Volume::new();
    volume.wanted("slow", "running").file("slow", "behave", "slow 1\n");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("slow");
    for killed in [false, true] {
        let pid = container.pid("slow");
        let mut events = Events::of(&container, &slot("slow"));
        if killed {
            let args = ["/command/hermes-gw", "restart", "slow"];
            let mut restart = container.hermes_command(&args).spawn().unwrap();
            let state = container.volume().home("slow").join("gateway_state.json");
            let draining = || fs::read_to_string(&state).is_ok_and(|it| it.contains("draining"));
            wait_until("the gateway to stop", draining);
            restart.kill().unwrap();
            restart.wait().unwrap();
        } else {
            let output = gw(&container, &["restart", "slow", "--timeout", "0.2"]);
            let why = ": no new process is up in time: it is told to restart: hermes-gw signal KILL \
                slow ends it\n";
            assert!(output.code == 99 && output.stderr.ends_with(why), "{output:?}");
        }
        wait_until("the restart", || {
            container.state("slow") == "up" && container.pid("slow") != pid
        });
        events.expect("dDu");
        container.wait_up("slow");
    }
}

#[test]
fn without_waiting_it_is_asked_for_and_comes_about() {
    let volume = Volume::new();
    volume.wanted("one", "running").file("one", "behave", "slow 3\n");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    let pid = container.pid("one");
    let mut events = Events::of(&container, &slot("one"));
    gw(&container, &["restart", "--no-wait", "one"]).ok();
    assert_eq!((container.pid("one"), events.heard("").as_str()), (pid.clone(), ""));
    wait_until("the restart", || {
        !matches!(container.pid("one").as_str(), "-1" | "0") && container.pid("one") != pid
    });
    events.expect("dDu");
    container.wait_up("one");
    gw(&container, &["stop", "--no-wait", "one"]).ok();
    assert_eq!((container.state("one").as_str(), desired(&container, "one")), ("up", "stopped"));
    gw(&container, &["wait", "--down", "one"]).ok();
    gw(&container, &["start", "--no-wait", "one"]).ok();
    gw(&container, &["wait", "--up", "one"]).ok();
}

#[test]
fn all_proceed_at_once() {
    let volume = Volume::new();
    let names: Vec<String> = (0..6).map(|i| format!("slow{i}")).collect();
    for name in &names {
        volume.wanted(name, "running").file(name, "behave", "slow 4\n");
    }
    let container = Container::boot(volume, Spec::default());
    names.iter().for_each(|name| container.wait_up(name));
    let mut events: Vec<_> = names.iter().map(|name| Events::of(&container, &slot(name))).collect();
    // One after the other they would take 24 seconds.
    let output = gw(&container, &["-v", "stop", "--all", "--timeout", "20"]).ok();
    assert_eq!(output.matches(": stopped\n").count(), 6, "{output}");
    assert!(output.contains("default: was down already\n"), "{output}");
    for (name, events) in names.iter().zip(&mut events) {
        assert_eq!((container.state(name).as_str(), events.heard("dD").as_str()), ("down", "dD"));
        assert_eq!(desired(&container, name), "stopped");
        // The logger may not have written yet what it has read.
        wait_or(&format!("the last word of {name}"), || {
            let log = container.volume().log(name);
            if log.ends_with("stopped as planned\n") { Ok(()) } else { Err(log) }
        });
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    gw(&container, &[&["restart"], &all[..]].concat()).ok();
    for (name, events) in names.iter().zip(&mut events) {
        assert_eq!((container.state(name).as_str(), events.heard("u").as_str()), ("up", "u"));
    }
    let listeners = container.as_root(&["find", "/run/service", "-name", "*ftrig1*"]).ok();
    assert_eq!(listeners.lines().filter(|name| !name.contains("test")).count(), 0, "{listeners}");
}

#[test]
fn several_targets_are_all_tried_and_the_first_failure_counts() {
    let volume = Volume::new();
    volume.wanted("good", "stopped");
    let container = Container::boot(volume, Spec::default());
    let start = |names: &[&str]| gw(&container, &[&["start"], names].concat());
    let output = start(&["Bad", "missing", "good"]);
    assert_eq!((output.code, container.state("good").as_str()), (100, "up"));
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "hermes-gw: find profile: Bad: invalid name: only a-z, 0-9, _ and - are allowed",
            "hermes-gw: start gateway: /run/service/gateway-missing: no such gateway 'missing': \
             hermes profile create missing makes it",
        ]
    );
    assert_eq!(start(&["good", "good", "missing", "Bad"]).code, 3);
    let json = gw(&container, &["--json", "-v", "stop", "good", "missing"]);
    assert_eq!(json.stdout, "{\"profile\":\"good\",\"action\":\"stopped\"}\n");
    assert!(json.stderr.starts_with("{\"error\":\"stop gateway: "), "{}", json.stderr);
}

#[test]
fn what_was_so_already_is_told_as_such() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("idle", "stopped");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    let said = |args: &[&str]| gw(&container, &[&["-v"], args].concat()).ok();
    for (args, expected) in [
        (&["start", "one", "idle"][..], "one: was up already\nidle: started\n"),
        (&["start", "--no-wait", "one"], "one: was up already\n"),
        (&["restart", "one"], "one: restarted\n"),
        (&["stop", "one"], "one: stopped\n"),
        (&["stop", "one"], "one: was down already\n"),
        (&["unregister", "one", "nope"], "one: unregistered\nnope: was not registered\n"),
        (&["unregister", "one"], "one: was not registered\n"),
    ] {
        assert_eq!(said(args), expected, "{args:?}");
    }
    let json = said(&["--json", "start", "idle"]);
    assert_eq!(json, "{\"profile\":\"idle\",\"action\":\"was up already\"}\n");
}

#[test]
fn what_is_asked_for_is_json_where_that_is_wanted() {
    let container = Container::boot(Volume::new(), Spec::default());
    for (args, key) in [
        (&["detect"][..], "supervisor"),
        (&["install"], "text"),
        (&["uninstall"], "text"),
        (&["help"], "text"),
        (&["help", "settings"], "text"),
    ] {
        let json = gw(&container, &[&["--json"], args].concat()).ok();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let text = gw(&container, args).ok();
        assert_eq!(json, serde_json::json!({ key: text.trim_end() }), "{args:?}");
    }
    assert_eq!(gw(&container, &["detect"]).ok(), "s6\n");
}

#[test]
fn all_are_all_that_have_a_slot() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "running").wanted("default", "running");
    let container = Container::boot(volume, Spec::default());
    gw(&container, &["wait", "--up", "--all"]).ok();
    let pids = ["one", "two", "default"].map(|name| container.pid(name));
    let all = "default: signalled\none: signalled\ntwo: signalled\n";
    assert_eq!(gw(&container, &["-v", "signal", "CONT", "--all"]).ok(), all);
    assert_eq!(gw(&container, &["status", "--all", "-q"]).code, 0);
    let table = |args: &[&str]| {
        let json: serde_json::Value =
            serde_json::from_str(&gw(&container, &[&["--json"], args].concat()).ok()).unwrap();
        json.as_array().unwrap().iter().map(|row| row["profile"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(table(&["status", "--all"]), table(&["status"]));
    assert_eq!(["one", "two", "default"].map(|name| container.pid(name)), pids);
    wait_until("the last line of each", || {
        let logs = gw(&container, &["logs", "--all", "--since", "1h"]).ok();
        let has_said = |name: &&str| {
            let mut lines = logs.lines().filter(|it| it.starts_with(&format!("{name:7} | ")));
            lines.any(|line| line.ends_with(": running"))
        };
        ["default", "one", "two"].iter().all(has_said)
    });
    assert_eq!(gw(&container, &["logs", "--all", "--since", "0s"]).ok(), "");
    gw(&container, &["stop", "--all"]).ok();
    gw(&container, &["wait", "--down", "--all"]).ok();
}

#[test]
fn a_typo_gets_a_suggestion() {
    let volume = Volume::new();
    volume.wanted("coder", "stopped");
    let container = Container::boot(volume, Spec::default());
    for (args, code, end) in [
        (&["stop", "coderr"][..], 3, "no such gateway 'coderr': did you mean 'coder'?\n"),
        (&["status", "coer"], 3, "no such gateway 'coer': did you mean 'coder'?\n"),
        (&["strat", "coder"], 100, "hermes-gw: unknown command 'strat': did you mean 'start'?\n"),
        (&["stop", "--timeuot", "1"], 100, "unknown here: see hermes-gw help\n"),
        (
            &["register", "coderr"],
            3,
            "it has no SOUL.md on disk: --force registers it all the same: did you mean 'coder'?\n",
        ),
    ] {
        let output = gw(&container, args);
        assert!(output.code == code && output.stderr.ends_with(end), "{args:?}: {output:?}");
    }
    // Nothing on disk: only if that is meant, and for Hermes' own calls.
    assert_eq!(gw(&container, &["list"]).ok(), "coder\ndefault\n");
    let refused = gw(&container, &["register", "--down", "nosuch"]);
    let end = ": --force registers it all the same: hermes profile create nosuch makes it\n";
    assert!(refused.code == 3 && refused.stderr.ends_with(end), "{refused:?}");
    gw(&container, &["register", "--down", "--force", "nosuch"]).ok();
    gw(&container, &["hook", "profile-create", "hooked"]).ok();
    assert_eq!(gw(&container, &["list"]).ok(), "coder\ndefault\nhooked\nnosuch\n");
}

#[test]
fn start_registers_a_profile_that_is_on_disk_only() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("late").profile("later").file("no-soul", "x", "");
    container.volume().give(support::HERMES);
    // What a gateway says of itself just then may be lost: its state file is made by both.
    assert_eq!(gw(&container, &["start", "late"]).ok(), "late: registered\n");
    assert_eq!(container.state("late"), "up");
    let json = ["/command/hermes-gw", "--json", "start", "later"];
    let output = container.as_root(&json).ok();
    assert_eq!(output, "{\"profile\":\"later\",\"action\":\"registered\"}\n");
    assert_eq!(container.state("later"), "up");
    assert_eq!(
        (gw(&container, &["start", "late"]).ok().as_str(), desired(&container, "late")),
        ("", "running")
    );
    for name in ["no-soul", "nobody"] {
        assert_eq!(gw(&container, &["start", name]).code, 3, "{name}");
    }
    container.volume().profile("on-disk").give(support::HERMES);
    for (name, makes) in [("nobody", "hermes profile create"), ("on-disk", "hermes-gw register")] {
        let output = gw(&container, &["restart", name]);
        let end = format!(": no such gateway '{name}': {makes} {name} makes it\n");
        assert!(output.code == 3 && output.stderr.ends_with(&end), "{output:?}");
    }
}

/// A container with a slot of ours to compare with, and profiles called `names`.
fn with_profiles(names: &[&str], settings: &[(&str, &str)]) -> Container {
    let volume = Volume::new();
    volume.wanted("pattern", "stopped");
    for name in names {
        volume.wanted(name, "stopped");
    }
    let environment = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let container =
        Container::boot(volume, Spec { environment: environment.collect(), ..Spec::default() });
    // As if they had been made just now.
    for name in names {
        gw(&container, &["unregister", name]).ok();
    }
    container
}

#[test]
fn the_first_verb_brings_a_slot_of_hermes_own_layer_up_to_date() {
    let verbs: [(&str, &[&str], bool); 5] = [
        ("starts", &["start"], false),
        ("restarts", &["restart"], false),
        ("stops", &["stop"], false),
        ("registers", &["register", "--if-missing", "--force"], true),
        ("hooks", &["hook", "profile-create"], true),
    ];
    let names = verbs.map(|(name, ..)| name);
    let container = with_profiles(&names, &[]);
    let ours = container.slot_files("pattern");
    for down in [true, false] {
        for (name, verb, stays) in verbs {
            let what = format!("{verb:?}, down: {down}");
            container.publish_as_hermes(name, down);
            if !down {
                container.wait_up(name);
            }
            let theirs = container.slot_files(name);
            assert_eq!(theirs.len(), 4, "{what}");
            let at = container.inside(&slot(name));
            let before = || {
                let inode = |name: &str| fs::metadata(at.join(name)).unwrap().ino();
                let inodes = ["", "supervise", "event", "log/supervise"].map(inode);
                (inodes, container.supervisor(name), at.join("down").exists())
            };
            let (seen, pid) = (before(), container.pid(name));

            // What only looks, or does not concern the slot, changes nothing.
            for args in [&["status", name][..], &["is-running", name], &["logs", name]] {
                gw(&container, args);
            }
            gw(&container, &["wait", if down { "--down" } else { "--up" }, name]).ok();
            assert_eq!(container.slot_files(name), theirs, "{what}");

            let output = gw(&container, &[verb, &[name]].concat());
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{what}");
            assert_eq!(container.slot_files(name), ours, "{what}");
            let now = before();
            assert_eq!((&now.0, &now.1), (&seen.0, &seen.1), "{what}");
            if stays {
                // The gateway that runs is left alone, and what is down stays so.
                assert_eq!((now.2, container.pid(name)), (down, pid), "{what}");
            }
            gw(&container, &["unregister", name]).ok();
        }
    }
}

#[test]
fn a_slot_that_came_from_hermes_own_layer_backs_off_parks_and_loses_no_line() {
    let container = with_profiles(&["theirs"], &[("HERMES_GW_PARK_DEATHS", "3")]);
    let log = || {
        let log = container.volume().home("default").join("logs/gateways/theirs/current");
        fs::read_to_string(log).unwrap_or_default()
    };
    container.publish_as_hermes("theirs", true);
    gw(&container, &["start", "theirs"]).ok();
    container.wait_up("theirs");
    // The logger counts as it was until it is started anew.
    let loggers = || container.as_root(&["ps", "-eo", "args"]).ok();
    let ours = |line: &&str| line.starts_with("s6-log -p ") && line.ends_with("/theirs");
    assert_eq!(loggers().lines().filter(ours).count(), 0, "{}", loggers());
    container.as_hermes(&["/command/s6-svc", "-r", &format!("{}/log", slot("theirs"))]).ok();
    wait_until("the new logger", || loggers().lines().filter(ours).count() == 1);

    container.volume().file("theirs", "behave", "raise ConnectionError: no route\n");
    gw(&container, &["signal", "KILL", "theirs"]).ok();
    wait_until("three deaths", || log().contains("hermes-gw: parked: "));
    let log = log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("  hermes-gw: ")).collect();
    assert_eq!(told.len(), 3, "{log}");
    assert!(told[0].ends_with("hermes-gw: backing off 1s, 1 death: SIGKILL"), "{log}");
    assert!(told[2].ends_with("hermes-gw: parked: exit 1 (3 deaths within 600s)"), "{log}");
    // And its run sends the log what was for the container's output.
    assert_eq!(log.matches("  ConnectionError: no route\n").count(), 2, "{log}");
    wait_until("the end of finish", || {
        gw(&container, &["status", "--table", "theirs"])
            .stdout
            .contains("  parked: exit 1 (3 deaths ")
    });
}

#[test]
fn what_cannot_be_brought_up_to_date_is_told_and_the_verb_goes_on() {
    let container = with_profiles(&["theirs"], &[]);
    container.publish_as_hermes("theirs", true);
    let theirs = container.slot_files("theirs");
    // It made it as root, and hermes is to write there.
    container.as_root(&["chown", "root:root", &slot("theirs")]).ok();
    for verb in ["start", "restart", "stop"] {
        let output = gw(&container, &[verb, "theirs"]);
        assert_eq!(output.code, 0, "{output:?}");
        let why = format!(
            "hermes-gw: warning: create: {}/max-death-tally.hermes-gw.tmp: Permission denied \
             (EACCES): the slot keeps the files of Hermes' layer\n",
            slot("theirs")
        );
        assert!(output.stderr.starts_with(&why), "{verb}: {output:?}");
        assert_eq!(output.stderr.matches("Hermes' layer").count(), 1, "{verb}: {output:?}");
        assert_eq!(container.state("theirs"), if verb == "stop" { "down" } else { "up" });
    }
    assert_eq!(container.slot_files("theirs"), theirs);
    container.as_root(&["chown", "hermes:hermes", &slot("theirs")]).ok();
    // Killed on its way, it is done by the next: what tells that it is ours comes last.
    let ours = container.slot_files("pattern");
    // The first rename is that of a FIFO to hear events by, the second that of a file; the third
    // never comes about.
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"];
    let killed = ["inject=renameat:signal=KILL:when=3", "/command/hermes-gw", "stop", "theirs"];
    for done in 1..=5 {
        let output = container.as_hermes(&[&strace[..], &killed].concat());
        assert_eq!(output.code, 128 + 9, "{output:?}");
        let files = container.slot_files("theirs");
        assert!(files.iter().all(|file| file.0 != "timeout-finish"), "{done}: {files:?}");
        let renewed = files.iter().filter(|file| ours.contains(file)).count();
        assert_eq!(renewed, 1 + done, "{files:?}");
    }
    gw(&container, &["stop", "theirs"]).ok();
    assert_eq!(container.slot_files("theirs"), ours);
}

#[test]
fn a_slot_of_an_older_hermes_gw_is_left_to_reconcile() {
    let container = with_profiles(&["older"], &[]);
    gw(&container, &["register", "older", "--down", "--force"]).ok();
    let finish = container.inside(&slot("older")).join("finish");
    fs::write(&finish, "#!/bin/sh\nexec /command/hermes-gw finish \"$@\"\n").unwrap();
    let older = container.slot_files("older");
    for verb in [&["start"][..], &["restart"], &["stop"], &["register", "--if-missing", "--force"]]
    {
        gw(&container, &[verb, &["older"]].concat()).ok();
        assert_eq!(container.slot_files("older"), older, "{verb:?}");
    }
    let output = gw(&container, &["reconcile"]).ok();
    assert!(output.contains("profile=older prior_state=stopped action=updated\n"), "{output}");
    assert_eq!(container.slot_files("older"), container.slot_files("pattern"));
}

#[test]
fn what_a_command_line_lacks_or_has_too_much_of_is_told_once() {
    let container = Container::boot(Volume::new(), Spec::default());
    let none = "needs more arguments: usage: hermes-gw ";
    let both = "takes names or --all, and not both: usage: hermes-gw ";
    let one = "parse arguments: wait: needs one of --up, --ready and --down";
    let table: [(&[&str], &str); 8] = [
        (&["signal", "HUP"], none),
        (&["logs", "--all", "default"], both),
        (&["start"], none),
        (&["stop", "--timeout", "1"], none),
        (&["restart", "--no-wait"], none),
        (&["start", "--all", "default"], both),
        (&["wait", "default"], one),
        (&["wait", "--up", "--down", "default"], one),
    ];
    for (line, why) in table {
        let why = match why {
            why if why == one => one.to_string(),
            why => format!("{}: {why}{} ", line[0], line[0]),
        };
        let output = gw(&container, line);
        assert_eq!((output.code, output.stdout.as_str()), (100, ""), "{line:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        assert!(
            (output.stderr.trim_end().to_string() + " ").starts_with(&format!("hermes-gw: {why}")),
            "{output:?}"
        );
        let json = gw(&container, &[&["--json"], line].concat());
        assert!(json.stderr.starts_with(&format!("{{\"error\":\"{}", why.trim_end())), "{json:?}");
    }
}

#[test]
fn signals_reach_the_gateway_and_only_one_that_is_up() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("idle", "stopped");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    let pid = container.pid("one");
    let mut events = Events::of(&container, &slot("one"));
    let stat = |what| container.as_root(&["/command/s6-svstat", "-o", what, &slot("one")]).ok();
    gw(&container, &["signal", "stop", "one"]).ok();
    wait_until("the pause", || stat("paused") == "true\n");
    gw(&container, &["signal", "CONT", "one"]).ok();
    wait_until("its end", || stat("paused") == "false\n");
    gw(&container, &["signal", "SIGKILL", "one"]).ok();
    wait_until("a new process", || container.pid("one") != pid && container.state("one") == "up");
    events.expect("dDu");
    let idle = gw(&container, &["signal", "TERM", "idle"]);
    let expected = "hermes-gw: signal gateway: /run/service/gateway-idle: it is not up\n";
    assert_eq!((idle.code, idle.stderr.as_str()), (1, expected));
    assert_eq!(gw(&container, &["signal", "TERM", "nobody"]).code, 3);
}

#[test]
fn is_running_answers_by_its_exit_code() {
    let container = scene();
    let table = [
        ("up", 0),
        ("down", 1),
        ("never", 1),
        ("deaf", 0),
        // It runs, but nobody supervises it.
        ("orphaned", 1),
        ("unsupervised", 1),
        ("nobody", 1),
    ];
    for (profile, code) in table {
        for output in [
            gw(&container, &["is-running", profile]),
            container.as_root(&["/command/hermes-gw", "is-running", profile]),
        ] {
            let got = (output.code, output.stdout.as_str(), output.stderr.as_str());
            assert_eq!(got, (code, "", ""), "{profile}");
        }
    }
    let _events = make_finish(&container);
    assert_eq!(gw(&container, &["is-running", "finishing"]).code, 1);
}

/// A gateway that says that it is ready once it is told to.
const READY_LATER: &str =
    "#!/bin/sh\nuntil [ -e go ]; do sleep 0.05; done\necho >&7\nexec sleep 1000\n";

#[test]
fn wait_hears_what_happens() {
    let volume = Volume::new();
    volume.wanted("one", "stopped").wanted("two", "stopped").wanted("ready", "stopped");
    let container = Container::boot(volume, Spec::default());
    let wait = |args: &[&str]| {
        let all = [&["/command/hermes-gw", "wait"], args].concat();
        let mut command = container.root_command(&all);
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut up = wait(&["--up", "one", "two"]);
    gw(&container, &["start", "one"]).ok();
    let soon = gw(&container, &["wait", "--up", "--timeout", "0.2", "one", "two"]);
    let expected = "hermes-gw: wait for gateway: /run/service/gateway-two: it is not up in time\n";
    assert_eq!((soon.code, soon.stderr.as_str()), (99, expected));
    assert!(up.try_wait().unwrap().is_none());
    gw(&container, &["start", "two"]).ok();
    assert!(up.wait().unwrap().success());

    let down = wait(&["--down", "one", "two"]);
    gw(&container, &["stop", "one", "two"]).ok();
    assert!(down.wait_with_output().unwrap().status.success());

    let late = gw(&container, &["wait", "--ready", "--timeout", "0.1", "one"]);
    let expected =
        "hermes-gw: wait for gateway: /run/service/gateway-one: it is not ready in time\n";
    assert_eq!((late.code, late.stderr.as_str()), (99, expected));
    let dir = container.inside(&slot("ready"));
    fs::write(dir.join("notification-fd"), "7\n").unwrap();
    fs::write(dir.join("run"), READY_LATER).unwrap();
    let mut events = Events::of(&container, &slot("ready"));
    let ready = wait(&["--ready", "ready"]);
    gw(&container, &["start", "ready"]).ok();
    events.expect("u");
    fs::write(dir.join("go"), "").unwrap();
    let ready = ready.wait_with_output().unwrap();
    assert!(ready.status.success() && ready.stderr.is_empty(), "{ready:?}");
    events.expect("U");

    // The slot goes while somebody waits.
    // Below a shell: nsenter stops when its own child does.
    let script = "/command/hermes-gw wait --down --timeout 60 ready; exit $?";
    let mut gone = container.root_command(&["sh", "-c", script]);
    let gone = gone.stderr(Stdio::piped()).spawn().unwrap();
    let forever = wait(&["--up", "one"]);
    // Once both listen: our own subscription is beside that of the first.
    let listeners =
        |profile| fs::read_dir(container.inside(&slot(profile)).join("event")).unwrap().count();
    wait_until("both to listen", || (listeners("ready"), listeners("one")) == (2, 1));
    // It may see of the end no more than that all has gone.
    let pid = container.pid_by_args("hermes-gw wait --down --timeout 60 ready").unwrap();
    container.as_root(&["sh", "-c", &format!("kill -STOP {pid}")]).ok();
    gw(&container, &["unregister", "ready", "one"]).ok();
    container.as_root(&["sh", "-c", &format!("kill -CONT {pid}")]).ok();
    let gone = gone.wait_with_output().unwrap();
    assert!(gone.status.success() && gone.stderr.is_empty(), "{gone:?}");
    let forever = forever.wait_with_output().unwrap();
    assert_eq!(forever.status.code(), Some(102), "{forever:?}");
    assert_eq!(gw(&container, &["wait", "--up", "one"]).code, 3);
}

#[test]
fn where_events_cannot_be_heard_the_status_is_looked_at() {
    let volume = Volume::new();
    volume.wanted("one", "running").file("one", "behave", "slow 0.3\n").wanted("two", "running");
    let container = Container::boot(volume, Spec::default());
    ["one", "two"].iter().for_each(|name| container.wait_up(name));
    let events = ["one", "two"].map(|name| format!("{}/event", slot(name)));
    container.as_root(&["chmod", "0500", &events[0], &events[1]]).ok();
    let denied = container.as_hermes(&["touch", &format!("{}/event/x", slot("one"))]);
    assert!(!denied.succeeded(), "{denied:?}");
    let pid = container.pid("one");
    // However many there are, that is said once.
    let deaf = |args: &[&str]| {
        let output = gw(&container, args);
        let [start, end] =
            ["hermes-gw: warning: make FIFO: ", ": statuses are read every 50 ms instead\n"];
        let said = &output.stderr;
        assert!(said.starts_with(start) && said.ends_with(end), "{args:?}: {output:?}");
        assert!(said.contains("/event/") && said.contains("(EACCES)"), "{args:?}: {output:?}");
        assert_eq!((output.code, said.lines().count()), (0, 1), "{args:?}: {output:?}");
    };
    deaf(&["restart", "one"]);
    assert_ne!(container.pid("one"), pid);
    deaf(&["restart", "one", "two"]);
    deaf(&["stop", "one"]);
    assert_eq!(container.state("one"), "down");
    deaf(&["wait", "--down", "one"]);
    deaf(&["start", "one"]);
    assert_eq!(container.state("one"), "up");
    gw(&container, &["unregister", "one", "two"]).ok();
    assert!(!container.inside(&slot("one")).exists());
}

#[test]
fn a_supervisor_that_dies_while_it_is_waited_for_is_noticed() {
    let container = scene();
    let mut stop = container
        .root_command(&["/command/hermes-gw", "stop", "deaf"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let wanted = ["/command/s6-svstat", "-o", "wantedup", &slot("deaf")];
    wait_until("its supervisor to be told", || container.as_root(&wanted).stdout == "false\n");
    container.kill_supervisor("deaf");
    assert_eq!(stop.wait().unwrap().code(), Some(102));
    let output = stop.wait_with_output().unwrap();
    let stderr = support::untranslated(output.stderr);
    let expected =
        "hermes-gw: stop gateway: /run/service/gateway-deaf: its s6-supervise has gone\n";
    assert_eq!(stderr, expected);
}

#[test]
fn one_whose_supervisor_does_not_read_is_not_said_to_be_told() {
    let volume = Volume::new();
    volume.wanted("one", "stopped");
    let container = Container::boot(volume, Spec::default());
    let supervisor = container.supervisor("one");
    let send = |signal: &str| {
        container.as_root(&["sh", "-c", &format!("kill -{signal} {supervisor}")]).ok();
    };
    send("STOP");
    // Nobody has told it anything before.
    gw(&container, &["start", "--no-wait", "one"]).ok();
    for args in [
        &["stop", "--no-wait", "one"][..],
        &["stop", "--timeout", "0.3", "one"],
        &["restart", "--timeout", "0.3", "one"],
        &["start", "--timeout", "0.3", "one"],
        &["start", "--no-wait", "one"],
    ] {
        let output = gw(&container, args);
        let expected = format!(
            "hermes-gw: {} gateway: /run/service/gateway-one: its s6-supervise does not read \
             what it is told\n",
            args[0]
        );
        assert_eq!((output.code, output.stderr), (102, expected), "{args:?}");
    }
    send("CONT");
    container.wait_up("one");
    assert_eq!(desired(&container, "one"), "running");
    gw(&container, &["stop", "one"]).ok();
}

#[test]
fn another_user_and_another_machine_are_told_what_to_do() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    let lifecycle: [&[&str]; 6] = [
        &["start", "one"],
        &["stop", "one"],
        &["restart", "one"],
        &["signal", "HUP", "one"],
        &["wait", "--up", "one"],
        &["is-running", "one"],
    ];
    for verb in lifecycle {
        let output = container.as_stranger(&[&["/command/hermes-gw"], verb].concat());
        let stderr = output.stderr.as_str();
        let expected = "hermes-gw: open: /run/service/gateway-one/supervise/control: Permission \
            denied (EACCES): run as root or hermes\n";
        assert_eq!((output.code, stderr), (111, expected), "{verb:?}");
        assert_eq!(
            (container.state("one").as_str(), desired(&container, "one")),
            ("up", "running")
        );
    }
    for verb in [&["register", "two", "--force"][..], &["unregister", "one"]] {
        let output = container.as_stranger(&[&["/command/hermes-gw"], verb].concat());
        let hint = output.stderr.ends_with(": Permission denied (EACCES): run as root or hermes\n");
        assert!(output.code == 111 && hint, "{verb:?}: {output:?}");
    }
    assert_eq!(container.as_stranger(&["/command/hermes-gw", "list"]).ok(), "default\none\n");

    // The machine of this test has no s6 as PID 1.
    let host = |verb: &[&str]| {
        let mut command = std::process::Command::new(support::binary());
        command.args(verb).env_clear().output().unwrap()
    };
    for verb in &lifecycle {
        let output = host(verb);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(102), "{verb:?}: {stderr}");
        assert!(stderr.contains("supervise") && stderr.contains("use hermes gateway"), "{stderr}");
    }
    assert_eq!(host(&["stop", "--all"]).status.code(), Some(102));
    let list = host(&["list"]);
    assert!(list.status.code() == Some(102) && list.stdout.is_empty());
    for verb in ["register", "unregister"] {
        let output = host(&[verb, "one"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let end =
            "does not support runtime profile gateway registration (container-only feature)\n";
        assert!(output.status.code() == Some(102) && stderr.ends_with(end), "{stderr}");
    }
    for hook in ["profile-create", "profile-delete"] {
        let output = host(&["hook", hook, "one"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    for verb in ["install", "uninstall"] {
        let output = host(&[verb]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let end = format!(": is not ours: use hermes gateway {verb}\n");
        assert_eq!(output.status.code(), Some(102));
        assert!(
            stderr.starts_with(&format!("hermes-gw: {verb}: ")) && stderr.ends_with(&end),
            "{stderr}"
        );
    }
    let detected = host(&["--json", "detect"]).stdout;
    let detected: serde_json::Value = serde_json::from_slice(&detected).unwrap();
    assert!(["none", "systemd"].contains(&detected["supervisor"].as_str().unwrap()), "{detected}");
}

#[test]
fn without_s6_svscan_nothing_pretends_to_work() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("one").give(support::HERMES);
    container.as_root(&["mkdir", "/run/other"]).ok();
    // In the user tree it is to be hermes's already.
    container.as_root(&["chown", "hermes", "/run/other"]).ok();
    let gw = |args: &[&str]| {
        container.as_root(&[&["/command/hermes-gw", "--scandir", "/run/other"], args].concat())
    };
    gw(&["reconcile", "--boot"]).ok();
    for verb in ["start", "stop", "restart"] {
        let output = gw(&[verb, "one"]);
        assert_eq!(output.code, 102, "{output:?}");
    }
    assert_eq!(gw(&["is-running", "one"]).code, 1);
    let output = gw(&["register", "two", "--force"]);
    let why = "hermes-gw: ask for a scan of: /run/other: no s6-svscan runs on this scandir\n";
    assert_eq!((output.code, output.stderr.as_str()), (102, why));
    assert_eq!(gw(&["list"]).ok(), "default\none\n");
    gw(&["unregister", "one", "default", "nobody"]).ok();
    assert_eq!(container.as_root(&["ls", "-A", "/run/other"]).ok(), ".hermes-gw.lock\n");
}

#[test]
fn where_default_serves_all_others_start_by_force_only() {
    let volume = Volume::new();
    volume.wanted("default", "stopped").wanted("coder", "stopped").wanted("writer", "stopped");
    volume.file("default", ".env", "GATEWAY_MULTIPLEX_PROFILES=1\n");
    let container = Container::boot(volume, Spec::default());
    for verb in ["start", "restart"] {
        let refused = gw(&container, &[verb, "coder", "writer"]);
        let line = |profile: &str| {
            format!(
                "hermes-gw: {verb} gateway: {profile}: policy root: default serves it, and a second \
                 gateway would use the same token: --force starts it all the same\n"
            )
        };
        assert_eq!(refused.stderr, line("coder") + &line("writer"));
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
        let as_root = container.as_root(&["/command/hermes-gw", verb, "coder"]);
        assert_eq!((as_root.code, as_root.stderr), (1, line("coder")));
    }
    // Nothing was done: not the gateway started, nor its intent changed, nor a slot made.
    container.volume().profile("new").give(support::HERMES);
    assert_eq!(gw(&container, &["start", "new"]).code, 1);
    assert!(!container.inside(&slot("new")).exists());
    assert_eq!([container.state("coder"), container.state("writer")], ["down", "down"]);
    assert_eq!(desired(&container, "coder"), "stopped");

    // All is default, and of several the others are tried.
    assert_eq!(gw(&container, &["-v", "start", "--all"]).ok(), "default: started\n");
    container.wait_up("default");
    assert_eq!(container.state("coder"), "down");
    assert_eq!(gw(&container, &["-v", "restart", "--all"]).ok(), "default: restarted\n");
    let both = gw(&container, &["-v", "start", "default", "coder"]);
    assert_eq!((both.code, both.stdout.as_str()), (1, "default: was up already\n"));

    // By force, or where it is no policy.
    gw(&container, &["start", "--force", "coder"]).ok();
    container.wait_up("coder");
    assert_eq!(desired(&container, "coder"), "running");
    gw(&container, &["restart", "--force", "coder"]).ok();
    let forced = ["env", "HERMES_GW_POLICY=profiles", "/command/hermes-gw", "start", "writer"];
    container.as_hermes(&forced).ok();
    container.wait_up("writer");
    // To stop is never refused, and all are all then.
    gw(&container, &["stop", "--all"]).ok();
    let states = ["default", "coder", "writer"].map(|profile| container.state(profile));
    assert_eq!(states, ["down", "down", "down"]);

    // A new slot stays down, and that is said.
    assert_eq!(
        gw(&container, &["register", "new", "--force"]).ok(),
        "new: registered, down: default serves it (policy root)\n"
    );
    assert_eq!(container.state("new"), "down");
    assert!(container.inside(&slot("new")).join("down").exists());
    gw(&container, &["unregister", "new"]).ok();
    assert_eq!(gw(&container, &["register", "--down", "new", "--force"]).ok(), "");
    gw(&container, &["unregister", "new"]).ok();
    assert_eq!(gw(&container, &["-q", "register", "new"]).ok(), "");

    // Without that setting it is as before.
    container.as_root(&["mv", "/opt/data/.env", "/opt/data/env"]).ok();
    gw(&container, &["start", "coder"]).ok();
}

#[test]
fn few_descriptors_are_enough_for_many_gateways() {
    let volume = Volume::new();
    let names: Vec<_> = (0..150).map(|at| format!("p{at:03}")).collect();
    for name in &names {
        volume.wanted(name, "running");
    }
    volume.wanted("default", "running").file("p000", "behave", "deaf\n");
    let container = Container::boot(volume, Spec::default());
    let limited = |limit: &str, args: &[&str]| {
        let limit = format!("--nofile={limit}:{limit}");
        container.as_root(&[&["prlimit", &limit, "/command/hermes-gw"], args].concat())
    };
    let gw = |args: &[&str]| {
        let output = limited("256", args);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}: {}", output.stdout);
        output.stdout
    };
    let status = |name: &str| {
        let file = container.inside(&slot(name)).join("supervise/status");
        Status::parse(&fs::read(file).unwrap()).unwrap()
    };
    let all: Vec<_> = names.iter().map(String::as_str).chain(["default"]).collect();
    let wait = |what| gw(&[&["wait", what, "--timeout", "180"], &all[..]].concat());
    wait("--up");
    // Until it runs, a signal ends it all the same.
    container.wait_up("p000");

    // What follows each of them: a FIFO of its own would be left in event/.
    let is_as = |up: bool| {
        for name in &all {
            let status = status(name);
            assert_eq!((status.is_up(), status.want_up), (up, up), "{name}");
        }
        let left = container.as_root(&["find", "/run/service", "-name", "*ftrig1*"]).ok();
        assert_eq!(left, "");
    };
    is_as(true);
    // Who is killed first is the last to die: nobody is told later for it.
    gw(&["shutdown", "--timeout", "30"]);
    is_as(false);
    let deaf = status("p000");
    assert_eq!(deaf.last_exit(), Exit::Signal(9));
    for name in &all[1..] {
        let status = status(name);
        assert!(status.stamp < deaf.stamp, "{name}: {status:?}, {deaf:?}");
    }
    container.volume().file("p000", "behave", "slow 0\n");
    gw(&["start", "--all"]);
    is_as(true);
    let pids: Vec<_> = all.iter().map(|name| status(name).pid).collect();
    gw(&["restart", "--all", "--timeout", "120"]);
    is_as(true);
    assert!(all.iter().zip(pids).all(|(name, pid)| status(name).pid != pid));
    let said = gw(&["-v", "reconcile"]);
    assert_eq!(said.matches(" action=kept").count(), 151, "{said}");
    all.iter().for_each(|name| container.wait_up(name));
    gw(&["stop", "--all"]);
    is_as(false);
    for name in &all {
        let state = container.volume().read(name, "gateway_state.json");
        assert!(state.contains(r#""desired_state":"stopped""#), "{name}: {state}");
    }
    wait("--down");
    let watch = |limit: u32| {
        let script =
            format!("prlimit --nofile={limit}:{limit} /command/hermes-gw watch | head -n 151");
        container.as_root(&["sh", "-c", &script])
    };
    let seen = watch(256);
    assert_eq!(
        seen.stdout.lines().filter(|line| line.ends_with(": down")).count(),
        151,
        "{seen:?}"
    );
    // Each has one open.
    let short = watch(150);
    assert_eq!(
        (short.stdout.as_str(), short.stderr.as_str()),
        (
            "",
            "hermes-gw: watch gateways in: /run/service: Too many open files (EMFILE): no more \
             than 150: docker run --ulimit nofile=65536\n"
        )
    );
    for limit in ["27", "40"] {
        let output = limited(limit, &["stop", "--all", "--no-wait"]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{limit}");
    }
    gw(&["unregister", "p000", "p149"]);
}
