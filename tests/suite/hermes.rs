//! Real Hermes Agent: its gateways in our slots, and its own service layer beside us.
//!
//! hermes.sh installs it; where it is not to be had, that is said on the terminal.

use crate::support;
use std::path::{Path, PathBuf};
use support::{Container, Output, Spec, Volume, wait_or, wait_until};

/// Where hermes.sh puts it.
fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hermes")
}

/// A container with real Hermes in it, and Debian's Python, that has booted.
fn boot(volume: Volume, test: &str, settings: &[(&str, &str)]) -> Option<Container> {
    let mut container = container(volume, test, settings)?;
    container.start();
    Some(container)
}

/// A container with real Hermes in it, and Debian's Python.
fn container(volume: Volume, test: &str, settings: &[(&str, &str)]) -> Option<Container> {
    if !venv().join("version").exists() {
        support::skipped(test, "no Hermes Agent in target/hermes; `make hermes` gets it");
        return None;
    }
    let python = ["/usr/bin/python3", "/usr/lib/python3.11"].map(PathBuf::from);
    let mounts = [&python[..], &[support::library_dir(), venv()]].concat();
    let environment = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let environment = environment.collect();
    let container = Container::new(volume, Spec { mounts, environment, ..Spec::default() });
    support::link(venv().to_str().unwrap(), &container.root().join("opt/hermes/.venv"));
    // By this Hermes knows that it is in one.
    std::fs::write(container.root().join(".dockerenv"), "").unwrap();
    Some(container)
}

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

/// Hermes's own command line, as a user in the container has it.
fn hermes(container: &Container, args: &[&str]) -> Output {
    let program = venv().join("bin/hermes");
    let program = [&["env", "HOME=/opt/data", program.to_str().unwrap()], args].concat();
    container.as_hermes(&program)
}

/// A line of Python with Hermes's service layer for s6 as `s6`; what it prints.
fn python(container: &Container, line: &str) -> String {
    let program = venv().join("bin/python");
    let import =
        "from hermes_cli.service_manager import get_service_manager; s6 = get_service_manager()";
    let script = format!("{import}\n{line}");
    let program = ["env", "HOME=/opt/data", program.to_str().unwrap(), "-c", &script];
    container.as_hermes(&program).ok().trim_end().into()
}

fn state(container: &Container, profile: &str) -> serde_json::Value {
    let text = container.volume().home(profile).join("gateway_state.json");
    let text = std::fs::read_to_string(text).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Waits until the gateway says of itself, by the process that s6 knows, that it runs.
#[track_caller]
fn wait_running(container: &Container, profile: &str) {
    wait_or(&format!("{profile} to run"), || {
        let state = state(container, profile);
        // s6 is asked only where it can be so.
        let pid = (state["gateway_state"] == "running").then(|| container.pid(profile));
        let runs = pid.as_ref().is_some_and(|pid| state["pid"].as_u64() == pid.parse().ok());
        if runs { Ok(()) } else { Err(format!("{pid:?} {state}")) }
    });
}

/// That the gateway took its stop for one that an operator wants: it says so, and ends with 0. On a
/// busy machine its own watcher may take the marker just before the signal comes, which is then
/// one that nobody has announced.
#[track_caller]
fn assert_ended_as_planned(container: &Container, profile: &str) {
    let service = format!("gateway-{profile}");
    let slot = format!("/run/service/{service}");
    let exit = container.as_hermes(&["/command/s6-svstat", "-o", "exitcode", &slot]).ok();
    let stopped = state(container, profile);
    assert_eq!(stopped["desired_state"], "stopped", "{stopped}");
    let console = container.console();
    let mut contexts = console.lines().filter(|line| line.contains(&service));
    if contexts.any(|line| line.contains("signal=UNKNOWN")) {
        println!("the watcher of {profile} was first: {stopped}, exit {exit}");
    } else {
        assert_eq!((stopped["gateway_state"].as_str(), &*exit), (Some("stopped"), "0\n"));
    }
}

/// Waits until the log of coder's gateway has `line`.
#[track_caller]
fn wait_logged(container: &Container, line: &str) {
    wait_or(line, || {
        let log = container.volume().log("coder");
        if log.contains(line) { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_real_gateway_lives_and_dies_in_our_slots() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "stopped");
    // Whatever ends a gateway so soon after its start counts.
    let settings = [("HERMES_GW_EARLY_EXIT", "3600")];
    let Some(mut container) = boot(volume, "real gateways", &settings) else { return };
    wait_running(&container, "coder");
    let marker = container.volume().home("coder").join(".gateway-planned-stop.json");

    // Hermes knows where it is, and sees what we see.
    let shown = hermes(&container, &["-p", "coder", "status"]).ok();
    assert!(shown.contains("s6 (container supervisor)"), "{shown}");
    assert_eq!(gw(&container, &["is-running", "coder"]).code, 0);
    assert_eq!(gw(&container, &["is-running", "writer"]).code, 1);

    // An operator's stop is one to the gateway too: it says so itself, and ends with 0.
    gw(&container, &["stop", "coder"]).ok();
    let stopped = state(&container, "coder");
    assert_eq!(stopped["desired_state"], "stopped");
    assert_eq!(stopped["kind"], "hermes-gateway", "written by the gateway: {stopped}");
    assert!(!marker.exists());
    assert_ended_as_planned(&container, "coder");

    // A restart is a new process, and the gateway's own state follows.
    gw(&container, &["start", "coder"]).ok();
    wait_running(&container, "coder");
    let pid = container.pid("coder");
    gw(&container, &["restart", "coder"]).ok();
    wait_running(&container, "coder");
    assert_ne!(container.pid("coder"), pid);
    assert_eq!(state(&container, "coder")["desired_state"], "running");

    // A signal right after the start is a crash: it is back by itself.
    let pid = container.pid("coder");
    gw(&container, &["signal", "TERM", "coder"]).ok();
    wait_until("another process", || container.pid("coder") != pid);
    wait_running(&container, "coder");
    wait_logged(&container, "hermes-gw: backing off 1s, 1 death: exit 1\n");

    // So is what it asks for itself, a restart by its service manager, with 75.
    let pid = container.pid("coder");
    gw(&container, &["signal", "USR1", "coder"]).ok();
    wait_until("another process", || container.pid("coder") != pid);
    wait_running(&container, "coder");
    wait_logged(&container, "hermes-gw: backing off 2s, 2 deaths: exit 75\n");

    // docker restart: what ran runs, and what was stopped stays so.
    for _ in 0..2 {
        container.restart();
        wait_running(&container, "coder");
        assert_eq!(state(&container, "coder")["desired_state"], "running");
        assert_eq!(
            (container.state("writer"), container.state("default")),
            ("down".into(), "down".into())
        );
    }
    gw(&container, &["stop", "coder"]).ok();
    gw(&container, &["start", "default"]).ok();
    wait_running(&container, "default");
    container.restart();
    wait_running(&container, "default");
    assert_eq!(container.state("coder"), "down");
    let boot = container.volume().read("default", "logs/container-boot.log");
    let last = boot.lines().rev().find(|line| line.contains("profile=default")).unwrap();
    assert!(last.contains("prior_state=running action=started"), "{last}");
}

#[test]
fn real_restarts_are_no_crashes_and_a_renamed_profile_does_not_restart_for_ever() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    // As crashes, three of them would park it.
    let settings = [
        ("HERMES_GW_EARLY_EXIT", "0.5"),
        ("HERMES_GW_PARK_DEATHS", "3"),
        ("HERMES_GW_BACKOFF_FIRST", "60"),
        // Hermes waits by itself before a sixth start in two minutes.
        ("HERMES_GATEWAY_MAX_STARTS", "0"),
    ];
    let Some(container) = boot(volume, "real restarts", &settings) else { return };
    let log = || container.volume().log("coder");
    // Hermes' command is `s6-svc -t`; its chat command ends as SIGUSR1 does.
    for (restart, exit) in [("gateway restart", "exit 1"), ("SIGUSR1", "exit 75")] {
        for _ in 0..4 {
            wait_running(&container, "coder");
            let pid = container.pid("coder");
            match restart {
                "SIGUSR1" => gw(&container, &["signal", "USR1", "coder"]).ok(),
                _ => hermes(&container, &["-p", "coder", "gateway", "restart"]).ok(),
            };
            wait_until("another process", || container.pid("coder") != pid);
        }
        wait_running(&container, "coder");
        let line = format!("hermes-gw: restarting: {exit} (it ended in order)\n");
        wait_until(&format!("four times {line}"), || log().matches(&line).count() >= 4);
        assert_eq!(log().matches(&line).count(), 4, "{}", log());
    }
    assert_eq!(log().matches("hermes-gw: ").count(), 8, "{}", log());
    let shown = gw(&container, &["--json", "status", "coder"]).ok();
    assert_eq!(support::jq(".[0].restarts", &shown), "0", "{shown}");

    // Hermes ends the gateway of a profile that it renames, and s6 starts it again, to find no
    // profile of that name.
    hermes(&container, &["profile", "rename", "coder", "writer"]).ok();
    wait_until("it to be parked", || {
        // One that was quick enough to see its old home lives on in another of that name.
        let ghost = state(&container, "coder");
        if ghost["gateway_state"] == "running" && container.state("coder") == "up" {
            let home = "/opt/data/profiles/coder";
            let end = format!("rm -rf {home}; kill -KILL {}; rm -rf {home}", ghost["pid"]);
            container.as_root(&["sh", "-c", &end]);
        }
        let shown = gw(&container, &["--json", "status", "coder"]).stdout;
        support::jq(".[0].text", &shown).ends_with(" (its home is gone)")
            && support::jq(".[0].state", &shown) == "parked"
    });
    wait_until("the log", || log().contains(" (its home is gone)\n"));
}

#[test]
fn a_real_gateway_with_a_wrong_configuration_is_parked() {
    let volume = Volume::new();
    // One gateway for all profiles, one of which lets everybody in.
    volume.wanted("default", "running").file(
        "default",
        "config.yaml",
        "gateway: {multiplex_profiles: true}\n",
    );
    volume.wanted("careless", "stopped");
    let config = "platforms: {whatsapp: {enabled: true, extra: {dm_policy: open}}}\n";
    volume.file("careless", "config.yaml", config);
    let Some(container) = boot(volume, "a wrong configuration", &[]) else { return };
    let slot = "/run/service/gateway-default";
    let record = container.inside(slot).join("crash-record");
    let record = || std::fs::read_to_string(&record).unwrap_or_default();
    let parked = "decision=parked-configuration exit=78 deaths=0 milliseconds=0\n";
    wait_until("a decision", || record() == parked);
    gw(&container, &["wait", "--down", "--timeout", "180", "default"]).ok();
    assert_eq!(
        container.as_hermes(&["/command/s6-svstat", "-o", "wantedup", slot]).ok(),
        "false\n"
    );
    assert_eq!(state(&container, "default")["gateway_state"], "startup_failed");

    // Put right and started, it runs.
    container.volume().file("careless", "config.yaml", "{}\n").give(support::HERMES);
    gw(&container, &["start", "default"]).ok();
    wait_running(&container, "default");
    assert_eq!(record(), "");
}

#[test]
fn hermes_own_layer_and_we_see_and_do_the_same() {
    let volume = Volume::new();
    volume.wanted("ours", "stopped");
    let Some(container) = boot(volume, "Hermes's own layer", &[]) else { return };
    let listed = || python(&container, "print(*sorted(s6.list_profile_gateways()), sep='\\n')");
    let list = || gw(&container, &["list"]).ok().trim_end().to_string();
    assert_eq!(python(&container, "print(s6.kind)"), "s6");

    // A slot that we made, in its hands.
    assert_eq!((listed(), list()), ("default\nours".into(), "default\nours".into()));
    let running = |profile: &str| {
        let theirs = python(&container, &format!("print(s6.is_running('gateway-{profile}'))"));
        let ours = gw(&container, &["is-running", profile]).code == 0;
        assert_eq!(theirs, if ours { "True" } else { "False" }, "{profile}");
        ours
    };
    assert!(!running("ours"));
    python(&container, "s6.start('gateway-ours')");
    wait_running(&container, "ours");
    assert!(running("ours"));
    let pid = container.pid("ours");
    python(&container, "s6.restart('gateway-ours')");
    wait_until("another process", || container.pid("ours") != pid);
    wait_running(&container, "ours");
    python(&container, "s6.stop('gateway-ours')");
    gw(&container, &["wait", "--down", "--timeout", "180", "ours"]).ok();
    assert!(!running("ours"));

    // One that it made, in ours.
    python(&container, "s6.register_profile_gateway('theirs', start_now=False)");
    container.volume().profile("theirs").give(support::HERMES);
    assert_eq!(
        (listed(), list()),
        ("default\nours\ntheirs".into(), "default\nours\ntheirs".into())
    );
    assert!(!running("theirs"));
    // The first verb makes it one of ours.
    assert_ne!(container.slot_files("theirs"), container.slot_files("ours"));
    gw(&container, &["start", "theirs"]).ok();
    assert_eq!(container.slot_files("theirs"), container.slot_files("ours"));
    wait_running(&container, "theirs");
    assert!(running("theirs"));
    let loggers = || container.as_root(&["ps", "-eo", "args"]).ok();
    let new = |line: &str| line.starts_with("s6-log -p ") && line.ends_with("/theirs");
    assert!(!loggers().lines().any(new), "{}", loggers());
    container.as_hermes(&["/command/s6-svc", "-r", "/run/service/gateway-theirs/log"]).ok();
    wait_until("the new logger", || loggers().lines().any(new));
    gw(&container, &["signal", "KILL", "theirs"]).ok();
    let log = container.volume().home("default").join("logs/gateways/theirs/current");
    let log = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("the death in its log", || {
        log().contains("hermes-gw: backing off 1s, 1 death: SIGKILL\n")
    });
    wait_running(&container, "theirs");
    gw(&container, &["restart", "theirs"]).ok();
    wait_running(&container, "theirs");
    gw(&container, &["stop", "theirs"]).ok();
    assert!(!running("theirs"));
    assert_ended_as_planned(&container, "theirs");
    let output = gw(&container, &["reconcile"]).ok();
    assert!(output.contains("profile=theirs prior_state=stopped action=kept"), "{output}");
    gw(&container, &["start", "theirs"]).ok();
    wait_running(&container, "theirs");
    assert!(running("theirs"));
    gw(&container, &["unregister", "theirs"]).ok();
    let left = || container.as_root(&["ps", "-eo", "args"]).ok();
    assert!(!left().contains("gateway-theirs"), "{}", left());
    python(&container, "s6.unregister_profile_gateway('ours')");
    assert_eq!((listed(), list()), ("default".into(), "default".into()));
    // It leaves the supervisors behind; the next removal sends them away.
    assert!(left().contains("gateway-ours"), "{}", left());
    gw(&container, &["register", "other", "--down", "--force"]).ok();
    gw(&container, &["unregister", "other"]).ok();
    wait_until("the end of supervisors", || !left().contains("gateway-ours"));

    // The command line of Hermes: profiles come and go, and their slots with them.
    hermes(&container, &["profile", "create", "fresh"]).ok();
    assert_eq!(list(), "default\nfresh");
    assert!(!running("fresh"));
    gw(&container, &["register", "pattern", "--down", "--force"]).ok();
    let pattern = container.slot_files("pattern");
    gw(&container, &["unregister", "pattern"]).ok();
    hermes(&container, &["-p", "fresh", "gateway", "start"]).ok();
    wait_running(&container, "fresh");
    assert_ne!(container.slot_files("fresh"), pattern);
    gw(&container, &["stop", "fresh"]).ok();
    assert_eq!(container.slot_files("fresh"), pattern);
    assert_ended_as_planned(&container, "fresh");
    hermes(&container, &["profile", "delete", "fresh", "--yes"]).ok();
    assert_eq!(list(), "default");
    assert!(left().contains("gateway-fresh"), "{}", left());
    gw(&container, &["reconcile", "--prune"]).ok();
    wait_until("the end of supervisors", || !left().contains("gateway-fresh"));
}

/// What `status` says of each profile in each container.
fn texts<const N: usize>(containers: [&Container; N], profile: &str) -> [String; N] {
    containers.map(|it| {
        let status = gw(it, &["--json", "status", profile]);
        assert!(status.stdout.starts_with('['), "{status:?}; console: {}", it.console());
        support::jq(".[0].text", &status.stdout)
    })
}

const STANDING_BY: &str = "standing by: another container runs it";

/// Waits until `runs` runs the gateway for real, and `waits` stands by.
#[track_caller]
fn wait_turn(runs: &Container, waits: &Container, profile: &str) {
    wait_running(runs, profile);
    wait_until(&format!("{profile} to stand by; console: {}", waits.console()), || {
        texts([waits], profile) == [STANDING_BY]
    });
}

#[test]
fn of_two_containers_one_runs_each_real_gateway_and_the_other_takes_over() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "running");
    let make = || container(volume.clone(), "two containers with real gateways", &[]);
    let (Some(mut first), Some(mut second)) = (make(), make()) else { return };
    first.start();
    second.start();
    for profile in ["coder", "writer"] {
        wait_turn(&first, &second, profile);
    }
    // Hermes itself, looking from where it cannot see the holder, removes the gateway's lock.
    hermes(&second, &["-p", "coder", "status"]).ok();
    let fallen = first.pid("writer");
    first.as_root(&["sh", "-c", &format!("kill -KILL {fallen}")]).ok();
    wait_until("another process", || ![&fallen, "-1"].contains(&first.pid("writer").as_str()));
    gw(&first, &["restart", "coder"]).ok();
    for profile in ["coder", "writer"] {
        wait_turn(&first, &second, profile);
    }
    // The second takes over, and keeps what it has while the first one comes back.
    first.stop();
    ["coder", "writer"].iter().for_each(|profile| wait_running(&second, profile));
    first.start();
    for profile in ["coder", "writer"] {
        wait_turn(&second, &first, profile);
    }
    gw(&second, &["stop", "writer"]).ok();
    second.kill();
    wait_running(&first, "coder");
    second.start();
    wait_turn(&first, &second, "coder");
    assert_eq!(texts([&first], "writer"), ["down"]);
    first.stop();
    second.stop();

    // Both at once: each gateway is run by one of them, and stays with it.
    first.launch();
    second.launch();
    [&first, &second].into_iter().for_each(Container::wait_booted);
    wait_until("one to run coder", || {
        let texts = texts([&first, &second], "coder");
        texts.iter().any(|it| it == STANDING_BY) && texts.iter().any(|it| it.starts_with("up"))
    });
    match texts([&first], "coder") == [STANDING_BY] {
        true => wait_turn(&second, &first, "coder"),
        false => wait_turn(&first, &second, "coder"),
    }
    assert_eq!(state(&first, "writer")["desired_state"], "stopped");
    assert_eq!(state(&first, "coder")["desired_state"], "running");
}

#[test]
fn one_real_gateway_serves_all_profiles() {
    let volume = Volume::new();
    volume.wanted("default", "stopped").wanted("coder", "running").wanted("writer", "stopped");
    volume.file("default", ".env", "GATEWAY_MULTIPLEX_PROFILES=1\n");
    let Some(mut container) = boot(volume, "one gateway for all profiles", &[]) else { return };
    wait_running(&container, "default");
    assert_eq!([container.state("coder"), container.state("writer")], ["down", "down"]);
    let console = container.console();
    assert!(console.contains("action=started folded_into_root=coder\n"), "{console}");
    // It says so itself, by the same setting.
    let served = |container: &Container| state(container, "default")["served_profiles"].clone();
    wait_until("its list", || served(&container).is_array());
    let line = |container: &Container, profile: &str| {
        let shown = gw(container, &["status", "--table", profile]).stdout;
        shown.lines().last().unwrap().to_string()
    };
    let list = served(&container);
    for profile in ["coder", "writer"] {
        let is_served = list.as_array().unwrap().iter().any(|it| it == profile);
        let said = line(&container, profile).ends_with("down, served by default");
        assert_eq!(said, is_served, "{profile}: {list}");
    }
    // A second one is not started.
    assert_eq!(gw(&container, &["start", "coder"]).code, 1);

    // Switched off, each has its own again.
    container.volume().file("default", ".env", "GATEWAY_MULTIPLEX_PROFILES=0\n");
    container.volume().give(support::HERMES);
    container.restart();
    wait_running(&container, "coder");
    // default was never wanted for itself.
    assert_eq!(container.state("default"), "down");
}

#[test]
fn a_platform_that_a_real_gateway_cannot_connect_is_shown() {
    let volume = Volume::new();
    volume.wanted("coder", "stopped").wanted("writer", "running");
    // Nobody listens there.
    let email = "EMAIL_ADDRESS=a@localhost\nEMAIL_PASSWORD=wrong\nEMAIL_IMAP_HOST=127.0.0.1\n\
                 EMAIL_SMTP_HOST=127.0.0.1\n";
    volume.file("coder", ".env", email);
    let Some(container) = boot(volume, "a platform that is down", &[]) else { return };
    gw(&container, &["start", "--wait-ready", "--timeout", "170", "coder"]).ok();
    gw(&container, &["wait", "--ready", "--timeout", "170", "writer"]).ok();
    let json = |args: &[&str]| gw(&container, &[&["--json"], args].concat()).stdout;
    let said =
        ".[0] | [.text, .ready, .hermes.state, (.hermes.platforms[] | .name, .state)] | tojson";
    assert_eq!(support::jq(said, &json(&["status", "writer"])), r#"["up",true,"running"]"#);
    let why = wait_or("a platform that is down", || {
        let text = support::jq(".[0].text", &json(&["status", "coder"]));
        match text.strip_prefix("up, degraded: ") {
            Some(why) if why.starts_with("email retrying (") => Ok(why.to_string()),
            _ => Err(text),
        }
    });
    assert_eq!(support::jq(".[0].ready", &json(&["status", "coder"])), "true");
    let health = gw(&container, &["health"]);
    let expected = format!("2 of 3 up; coder: up, degraded: {why}\n");
    assert_eq!((health.code, health.stdout), (0, expected));
    assert_eq!(gw(&container, &["health", "--strict"]).code, 1);
    let found = json(&["doctor"]);
    let found = support::jq(".[] | select(.check == \"hermes\") | .level + \": \" + .text", &found);
    assert_eq!(found, format!("warn: coder: {why}"));
}
