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
    show(&container, &["coder", "researcher"]);
    println!("\nAn operator comes in by docker exec ...\n");
    for line in [
        "-v stop coder",
        "-v start writer newcomer",
        "-v restart researcher",
        "is-running coder",
        "start nobody",
        "-v unregister corrupt",
        "list",
    ] {
        operate(&container, line);
    }
    println!("\n... and after a restart of the container, /run is empty, the volume is kept:\n");
    container.restart();
    show(&container, &["writer", "newcomer", "researcher"]);
    println!("\nThe container is gone, and nothing of it is left.");
}

/// Runs hermes-gw as hermes, and shows what it says.
fn operate(container: &Container, line: &str) {
    let mut args = vec!["/command/hermes-gw"];
    args.extend(line.split(' '));
    let output = container.as_hermes(&args);
    println!("  $ hermes-gw {line}");
    print!("{}", indented(&output.stdout) + &indented(&output.stderr));
    if output.code != 0 {
        println!("  (exit code {})", output.code);
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Prints what the container said at boot, then what s6 says of each gateway, once all
/// that are `running` do.
fn show(container: &Container, running: &[&str]) {
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
