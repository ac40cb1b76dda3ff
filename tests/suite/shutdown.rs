//! Container stop: every gateway gets its time, and what ran before runs again.

use crate::support;
use std::fs;
use support::{Container, Spec, Volume, wait_until};

const SHUTDOWN: [&str; 2] = ["/command/hermes-gw", "shutdown"];

/// FIFOs that somebody left in the event directories.
fn listeners(container: &Container) -> String {
    container.as_root(&["find", "/run/service", "-name", "*ftrig1*"]).ok()
}

#[test]
fn a_container_stop_waits_for_slow_gateways_and_keeps_every_line() {
    let names: Vec<_> = (0..20).map(|i| format!("slow{i}")).collect();
    let volume = Volume::new();
    for profile in &names {
        // Longer than the three seconds of grace that s6-overlay gives.
        volume.wanted(profile, "running").file(profile, "behave", "slow 5\nchatty 1000\n");
    }
    volume.wanted("idle", "stopped").wanted("parked", "running");
    volume.wanted("waiting", "running").file("waiting", "behave", "exit 1\n");
    volume.file("parked", "behave", "exit 78\n");
    // Nobody is left to need it.
    let environment = [
        ("S6_KILL_GRACETIME", "500"),
        ("HERMES_GW_BACKOFF_FIRST", "60"),
        // They are slow enough where the machine is busy.
        ("HERMES_GW_SHUTDOWN_TIMEOUT", "120"),
    ];
    let environment = environment.map(|(name, value)| (name.to_string(), value.to_string()));
    let spec = Spec { environment: environment.to_vec(), ..Spec::default() };
    let mut container = Container::boot(volume, spec);
    let intents = |container: &Container| {
        let state = |profile| container.volume().read(profile, "gateway_state.json");
        names.iter().map(|profile| state(profile)).collect::<Vec<_>>()
    };
    for profile in &names {
        container.wait_up(profile);
    }
    container.stop();
    assert!(container.console().contains("oneshot hermes-gateways down exited 0"));
    assert!(
        container
            .console()
            .contains("cont-finish: info: /etc/cont-finish.d/02-stop-gateways exited 0")
    );
    // All are told before the first has ended, by the clock of their loggers.
    let (mut told, mut ended) = (Vec::new(), Vec::new());
    for (profile, state) in names.iter().zip(intents(&container)) {
        let log = container.volume().log(profile);
        let lines = log.lines().filter_map(|line| line.split_once(": draining, line "));
        let numbers: Vec<usize> = lines.map(|(_, number)| number.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=1000), "{profile}: {}", numbers.len());
        let last = log.lines().last().unwrap_or_default();
        assert!(last.ends_with(&format!("gateway {profile}: stopped by a signal")), "{last}");
        let stamp = |line: &str| line.split("  ").next().unwrap().to_string();
        told.extend(log.lines().find(|line| line.ends_with(": draining, line 1")).map(stamp));
        ended.push(stamp(last));
        assert!(state.contains(r#""desired_state":"running""#), "{state}");
        let marker = container.volume().home(profile).join(".gateway-planned-stop.json");
        assert!(!marker.exists(), "{profile}");
    }
    assert!(told.iter().max() < ended.iter().min(), "{told:?} {ended:?}");
    let tries = |container: &Container, profile: &str| {
        container.volume().log(profile).matches(": starting").count()
    };
    let before = ["parked", "waiting"].map(|profile| (profile, tries(&container, profile)));
    container.start();
    for profile in &names {
        container.wait_up(profile);
    }
    for profile in ["idle", "default"] {
        assert_eq!(container.state(profile), "down", "{profile}");
    }
    // These are meant to run, too, and have tried.
    for (profile, before) in before {
        let what = format!("another try of {profile} than the {before}");
        wait_until(&what, || tries(&container, profile) > before);
    }
    let boot = container.volume().read("default", "logs/container-boot.log");
    let second = boot.lines().rev().take(24).collect::<Vec<_>>().join("\n");
    assert_eq!(second.matches("action=started").count(), 22, "{boot}");
    assert_eq!(second.matches("action=started prior_exit=clean").count(), 20, "{boot}");
}

#[test]
fn the_time_that_gateways_get_is_a_setting() {
    let volume = Volume::new();
    volume.wanted("slow", "running").file("slow", "behave", "slow 3\n");
    volume.wanted("deaf", "running").file("deaf", "behave", "deaf\n");
    let container = Container::boot(volume, Spec::default());
    let shutdown = |timeout: &str| {
        let timeout = format!("HERMES_GW_SHUTDOWN_TIMEOUT={timeout}");
        container.as_root(&["env", &timeout, "/etc/cont-finish.d/02-stop-gateways"])
    };
    let signal = |profile: &str| {
        let slot = format!("/run/service/gateway-{profile}");
        container.as_root(&["/command/s6-svstat", "-o", "signal", &slot]).ok()
    };
    for profile in ["slow", "deaf"] {
        container.wait_up(profile);
    }
    let output = shutdown("0.5");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!((signal("slow").as_str(), signal("deaf").as_str()), ("SIGKILL\n", "SIGKILL\n"));
    container.as_hermes(&["/command/s6-svc", "-wu", "-u", "/run/service/gateway-slow"]).ok();
    container.wait_up("slow");
    // A setting that makes no sense stops nobody from being stopped.
    let output = shutdown("soon");
    let why = "hermes-gw: warning: read setting: HERMES_GW_SHUTDOWN_TIMEOUT=soon: is not a time in seconds: the default counts\n";
    assert_eq!((output.code, output.stderr.as_str()), (0, why));
    assert_eq!((container.state("slow").as_str(), signal("slow").as_str()), ("down", "NA\n"));
}

#[test]
fn root_and_hermes_bring_all_down_and_leave_no_fifo() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "running").wanted("idle", "stopped");
    volume.wanted("failing", "running").file("failing", "behave", "exit 1\n");
    let container = Container::boot(volume, Spec::default());
    for profile in ["one", "two"] {
        container.wait_up(profile);
    }
    for as_root in [true, false] {
        let output =
            if as_root { container.as_root(&SHUTDOWN) } else { container.as_hermes(&SHUTDOWN) };
        assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.code), ("", "", 0));
        for profile in ["one", "two", "idle", "failing", "default"] {
            assert_eq!(container.state(profile), "down", "{profile}");
        }
        assert_eq!(listeners(&container), "");
        for profile in ["one", "two"] {
            let slot = format!("/run/service/gateway-{profile}");
            container.as_hermes(&["/command/s6-svc", "-wu", "-u", &slot]).ok();
            container.wait_up(profile);
        }
    }
    let state = container.volume().read("one", "gateway_state.json");
    assert!(state.contains(r#""desired_state":"running""#), "{state}");
}

#[test]
fn a_deaf_gateway_is_killed_when_its_time_is_over() {
    let volume = Volume::new();
    volume.wanted("deaf", "running").file("deaf", "behave", "deaf\n").wanted("good", "running");
    let container = Container::boot(volume, Spec::default());
    for profile in ["deaf", "good"] {
        container.wait_up(profile);
    }
    let output = container.as_hermes(&["/command/hermes-gw", "shutdown", "--timeout", "0.5"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!([container.state("deaf"), container.state("good")], ["down", "down"]);
    let signal = ["/command/s6-svstat", "-o", "signal", "/run/service/gateway-deaf"];
    assert_eq!(container.as_hermes(&signal).ok(), "SIGKILL\n");
    assert_eq!(listeners(&container), "");
}

#[test]
fn where_events_cannot_be_heard_the_status_is_looked_at() {
    let volume = Volume::new();
    volume.wanted("one", "running").file("one", "behave", "slow 1\n");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    container.as_root(&["chmod", "0500", "/run/service/gateway-one/event"]).ok();
    container.as_hermes(&SHUTDOWN).ok();
    assert_eq!(container.state("one"), "down");
}

#[test]
fn a_slot_that_cannot_be_looked_at_is_not_left_running() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "running");
    let container = Container::boot(volume, Spec::default());
    ["one", "two"].iter().for_each(|profile| container.wait_up(profile));
    let strace = ["strace", "-qq", "-o", "/tmp/trace", "-P", "gateway-one"];
    let strace = [&strace[..], &["-e", "inject=newfstatat:error=EIO"], &SHUTDOWN].concat();
    container.as_root(&strace).ok();
    assert!(container.as_root(&["cat", "/tmp/trace"]).ok().contains("(INJECTED)"));
    assert_eq!([container.state("one"), container.state("two")], ["down", "down"]);
}

#[test]
fn an_empty_or_unsupervised_tree_is_down_already() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.as_root(&["mkdir", "-p", "/run/other/gateway-x/supervise"]).ok();
    let output = container.as_root(&["/command/hermes-gw", "--scandir", "/run/other", "shutdown"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let missing = container.as_root(&["/command/hermes-gw", "--scandir", "/run/none", "shutdown"]);
    assert_eq!(missing.code, 102, "{missing:?}");
    assert!(fs::metadata(container.inside("/run/other/gateway-x")).is_ok());
}
