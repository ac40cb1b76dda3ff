//! Real Hermes Agent: its gateways in our slots, and its own service layer beside us.
//!
//! hermes.sh installs it; where it is not to be had, that is said on the terminal.

mod support;

use std::path::{Path, PathBuf};
use support::{Container, Output, Spec, Volume, wait_until};

/// Where hermes.sh puts it.
fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hermes")
}

/// A container with real Hermes in it, and Debian's Python.
fn boot(volume: Volume, test: &str) -> Option<Container> {
    if !venv().join("version").exists() {
        support::skipped(test, "no Hermes Agent in target/hermes; `make hermes` gets it");
        return None;
    }
    let python = ["/usr/bin/python3", "/usr/lib/python3.11"].map(PathBuf::from);
    let mounts = [&python[..], &[support::library_dir(), venv()]].concat();
    let mut container = Container::new(volume, Spec { mounts, ..Spec::default() });
    support::link(venv().to_str().unwrap(), &container.root().join("opt/hermes/.venv"));
    // By this Hermes knows that it is in one.
    std::fs::write(container.root().join(".dockerenv"), "").unwrap();
    container.start();
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
    wait_until(&format!("{profile} to run"), || {
        let state = state(container, profile);
        state["gateway_state"] == "running"
            && state["pid"].as_u64() == container.pid(profile).parse().ok()
    });
}

#[test]
fn a_real_gateway_lives_and_dies_in_our_slots() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "stopped");
    let Some(mut container) = boot(volume, "real gateways") else { return };
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
    assert_eq!(
        (&stopped["gateway_state"], &stopped["desired_state"]),
        (&"stopped".into(), &"stopped".into())
    );
    assert_eq!(stopped["kind"], "hermes-gateway", "written by the gateway: {stopped}");
    assert!(!marker.exists());
    let exit = ["/command/s6-svstat", "-o", "exitcode", "/run/service/gateway-coder"];
    assert_eq!(container.as_hermes(&exit).ok(), "0\n");

    // A restart is a new process, and the gateway's own state follows.
    gw(&container, &["start", "coder"]).ok();
    wait_running(&container, "coder");
    let pid = container.pid("coder");
    gw(&container, &["restart", "coder"]).ok();
    wait_running(&container, "coder");
    assert_ne!(container.pid("coder"), pid);
    assert_eq!(state(&container, "coder")["desired_state"], "running");

    // A signal that nobody announced is a crash: it is back by itself.
    let pid = container.pid("coder");
    gw(&container, &["signal", "TERM", "coder"]).ok();
    wait_until("another process", || container.pid("coder") != pid);
    wait_running(&container, "coder");
    let log = container.volume().read("default", "logs/gateways/coder/current");
    assert!(log.contains("hermes-gw: backing off 1s, 1 death: exit 1\n"), "{log}");

    // What it asks for itself, a restart by its service manager, is one death, with 75.
    let pid = container.pid("coder");
    gw(&container, &["signal", "USR1", "coder"]).ok();
    wait_until("another process", || container.pid("coder") != pid);
    wait_running(&container, "coder");
    let log = container.volume().read("default", "logs/gateways/coder/current");
    assert!(log.contains("hermes-gw: backing off 2s, 2 deaths: exit 75\n"), "{log}");

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
    let Some(container) = boot(volume, "a wrong configuration") else { return };
    let slot = "/run/service/gateway-default";
    let record = container.inside(slot).join("crash-record");
    let record = || std::fs::read_to_string(&record).unwrap_or_default();
    let parked = "decision=parked-configuration exit=78 deaths=0 milliseconds=0\n";
    wait_until("a decision", || record() == parked);
    gw(&container, &["wait", "--down", "--timeout", "10", "default"]).ok();
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
    let Some(container) = boot(volume, "Hermes's own layer") else { return };
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
    gw(&container, &["wait", "--down", "--timeout", "30", "ours"]).ok();
    assert!(!running("ours"));

    // One that it made, in ours.
    python(&container, "s6.register_profile_gateway('theirs', start_now=False)");
    container.volume().profile("theirs").give(support::HERMES);
    assert_eq!(
        (listed(), list()),
        ("default\nours\ntheirs".into(), "default\nours\ntheirs".into())
    );
    assert!(!running("theirs"));
    gw(&container, &["start", "theirs"]).ok();
    wait_running(&container, "theirs");
    assert!(running("theirs"));
    gw(&container, &["restart", "theirs"]).ok();
    wait_running(&container, "theirs");
    gw(&container, &["stop", "theirs"]).ok();
    assert!(!running("theirs"));
    assert_eq!(state(&container, "theirs")["gateway_state"], "stopped");
    // Boot, or reconcile, makes it one of ours.
    let output = gw(&container, &["reconcile"]).ok();
    assert!(output.contains("profile=theirs prior_state=stopped action=updated"), "{output}");
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
    gw(&container, &["register", "other", "--down"]).ok();
    gw(&container, &["unregister", "other"]).ok();
    wait_until("the end of supervisors", || !left().contains("gateway-ours"));

    // The command line of Hermes: profiles come and go, and their slots with them.
    hermes(&container, &["profile", "create", "fresh"]).ok();
    assert_eq!(list(), "default\nfresh");
    assert!(!running("fresh"));
    hermes(&container, &["-p", "fresh", "gateway", "start"]).ok();
    wait_running(&container, "fresh");
    gw(&container, &["stop", "fresh"]).ok();
    assert_eq!(state(&container, "fresh")["gateway_state"], "stopped");
    hermes(&container, &["profile", "delete", "fresh", "--yes"]).ok();
    assert_eq!(list(), "default");
    assert!(left().contains("gateway-fresh"), "{}", left());
    gw(&container, &["reconcile", "--prune"]).ok();
    wait_until("the end of supervisors", || !left().contains("gateway-fresh"));
}

#[test]
fn one_real_gateway_serves_all_profiles() {
    let volume = Volume::new();
    volume.wanted("default", "stopped").wanted("coder", "running").wanted("writer", "stopped");
    volume.file("default", ".env", "GATEWAY_MULTIPLEX_PROFILES=1\n");
    let Some(mut container) = boot(volume, "one gateway for all profiles") else { return };
    wait_running(&container, "default");
    assert_eq!([container.state("coder"), container.state("writer")], ["down", "down"]);
    let console = container.console();
    assert!(console.contains("action=started folded_into_root=coder\n"), "{console}");
    // It says so itself, by the same setting.
    let served = |container: &Container| state(container, "default")["served_profiles"].clone();
    wait_until("its list", || served(&container).is_array());
    let line = |container: &Container, profile: &str| {
        let shown = gw(container, &["status", profile]).stdout;
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
