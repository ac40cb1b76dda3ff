//! Container stop: every gateway gets its time, and what ran before runs again.

mod support;

use std::fs;
use support::{Container, Spec, Volume};

const SHUTDOWN: [&str; 2] = ["/command/hermes-gw", "shutdown"];

fn log(container: &Container, profile: &str) -> String {
    container.volume().read("default", &format!("logs/gateways/{profile}/current"))
}

/// FIFOs that somebody left in the event directories.
fn listeners(container: &Container) -> String {
    container.as_root(&["find", "/run/service", "-name", "*ftrig1*"]).ok()
}

#[test]
fn a_container_stop_waits_for_slow_gateways_and_keeps_every_line() {
    let volume = Volume::new();
    for i in 0..5 {
        let profile = format!("slow{i}");
        // Longer than the three seconds of grace that s6-overlay gives.
        volume.wanted(&profile, "running").file(&profile, "behave", "slow 4\nchatty 1000\n");
    }
    let mut container = Container::boot(volume, Spec::default());
    let intents = |container: &Container| {
        (0..5)
            .map(|i| container.volume().read(&format!("slow{i}"), "gateway_state.json"))
            .collect::<Vec<_>>()
    };
    for i in 0..5 {
        container.wait_up(&format!("slow{i}"));
    }
    container.stop();
    assert!(container.console().contains("oneshot hermes-gateways down exited 0"));
    assert!(
        container
            .console()
            .contains("cont-finish: info: /etc/cont-finish.d/02-stop-gateways exited 0")
    );
    for (i, state) in intents(&container).iter().enumerate() {
        let log = log(&container, &format!("slow{i}"));
        assert_eq!(log.matches("draining, line ").count(), 1000, "slow{i}");
        let last = log.lines().last().unwrap_or_default();
        assert!(last.ends_with(&format!("gateway slow{i}: stopped by a signal")), "{last}");
        assert!(state.contains(r#""desired_state":"running""#), "{state}");
    }
    container.start();
    for i in 0..5 {
        container.wait_up(&format!("slow{i}"));
    }
    let boot = container.volume().read("default", "logs/container-boot.log");
    assert_eq!(boot.matches("action=started prior_exit=clean\n").count(), 5, "{boot}");
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
            container.as_root(&["/command/s6-svc", "-wu", "-u", &slot]).ok();
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
fn an_empty_or_unsupervised_tree_is_down_already() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.as_root(&["mkdir", "-p", "/run/other/gateway-x/supervise"]).ok();
    let output = container.as_root(&["/command/hermes-gw", "--scandir", "/run/other", "shutdown"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let missing = container.as_root(&["/command/hermes-gw", "--scandir", "/run/none", "shutdown"]);
    assert_eq!(missing.code, 102, "{missing:?}");
    assert!(fs::metadata(container.inside("/run/other/gateway-x")).is_ok());
}
