//! `make demo`: boots a throw-away s6 tree as a container would, with sample profiles,
//! lets hermes-gw reconcile them, and shows what runs.

#[path = "mod.rs"]
mod support;

use std::time::Duration;
use support::{Container, Spec, Volume};

fn main() {
    let volume = Volume::new();
    volume
        .wanted("coder", "running")
        .last_seen("researcher", "draining")
        .wanted("writer", "stopped")
        .profile("newcomer")
        .with_state("corrupt", "{\"desired_state\":\"runn")
        .profile("Bad Name");
    println!("A container boots: s6-svscan is PID 1, cont-init.d runs hermes-gw ...\n");
    let mut container = Container::boot(volume, Spec::default());
    show(&container);
    println!("\n... and after a restart of the container, /run is empty, the volume is kept:\n");
    container.restart();
    show(&container);
    println!("\nThe container is gone, and nothing of it is left.");
}

/// Prints what the container said at boot, then what s6 says of each gateway.
fn show(container: &Container) {
    let running = ["coder", "researcher"];
    running.iter().for_each(|profile| container.wait_up(profile));
    let console = container.console();
    let boot = console.lines().take_while(|line| !line.starts_with("cont-init: "));
    boot.for_each(|line| println!("  {line}"));
    println!("\n  {:<12} {:<8} by s6-svstat, as hermes", "profile", "slot");
    let slots = container.as_root(&["ls", "/run/service"]).ok();
    std::thread::sleep(Duration::from_secs(1));
    for slot in slots.lines() {
        if let Some(profile) = slot.strip_prefix("gateway-") {
            let path = format!("/run/service/{slot}");
            let status = container.as_hermes(&["/command/s6-svstat", &path]).ok();
            let (state, facts) = status.trim().split_once(' ').unwrap_or((status.trim(), ""));
            println!("  {profile:<12} {state:<8} {facts}");
        }
    }
    println!("\n  $HERMES_HOME/logs/gateways/coder/current, by s6-log:");
    let log = container.volume().read("default", "logs/gateways/coder/current");
    log.lines().for_each(|line| println!("  {line}"));
}
