//! `make demo`: boots a throw-away s6 tree as a container would, with sample profiles,
//! lets hermes-gw reconcile them, and shows what runs. `make picture` has it draw two screens
//! of that, as they are on a terminal.

mod picture;
#[path = "mod.rs"]
#[allow(dead_code, unused_imports)] // it uses its part
mod support;

use picture::Screen;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use support::{Container, HERMES, Output, Spec, Volume, on_terminal, wait_until};

fn main() {
    let volume = Volume::new();
    volume
        .wanted("coder", "running")
        .last_seen("researcher", "draining")
        .wanted("writer", "stopped")
        .profile("newcomer")
        .with_state("corrupt", "{\"desired_state\":\"runn")
        .profile("Bad Name")
        .wanted("flaky", "running")
        .file("flaky", "behave", "exit 1\n")
        .file("researcher", "behave", "platform telegram disconnected Unauthorized\n")
        .wanted("misconfigured", "running")
        .file("misconfigured", "behave", "exit 78\n");
    println!("A container boots: s6-svscan is PID 1, cont-init.d runs hermes-gw ...\n");
    let mut container = Container::boot(volume, Spec::default());
    show_boot(&container);
    wait_for(&container, &["coder", "researcher"]);
    println!(
        "\nA profile is restored from a backup, and an operator comes in by docker exec ...\n"
    );
    container.volume().wanted("restored", "running").give(HERMES);
    wait_until("a second death", || gw(&container, "status flaky").stdout.contains(" deaths"));
    operate(&container, "status");
    operate(&container, "status researcher");
    operate(&container, "health");
    let mut screens = vec![screen(&container, "status")];
    let watch = container.hermes_command(&["/command/hermes-gw", "watch", "coder", "writer"]);
    let watch = watching(watch);
    for line in [
        "-v stop coder",
        "-v start writer newcomer",
        "-v restart researcher",
        "is-running coder",
        "start codr",
        "-v unregister corrupt",
    ] {
        operate(&container, line);
    }
    println!("\n... while another one looks on:\n");
    println!("  $ hermes-gw watch coder writer");
    print!("{}", indented(&watch()));
    println!("\n... and asks what is wrong:\n");
    operate(&container, "-q doctor");
    screens.push(screen(&container, "-q doctor"));
    operate(&container, "logs -n 3 flaky misconfigured");
    println!("\n... and after a restart of the container, /run is empty, the volume is kept:\n");
    container.restart();
    show_boot(&container);
    wait_for(&container, &["writer", "newcomer", "researcher", "restored"]);
    println!();
    operate(&container, "status");
    if let Some(path) = std::env::args_os().nth(1) {
        fs::write(&path, picture::svg(&screens)).unwrap();
        println!("\nDrawn: {}", path.display());
    }
    println!("\nThe container is gone, and nothing of it is left.");
}

/// What a terminal shows of a command.
fn screen(container: &Container, line: &str) -> Screen {
    // Its exit code is none of the picture's.
    let script = format!("TERM=xterm /command/hermes-gw {line} || :");
    let printed = on_terminal(&container.hermes_command(&["/bin/sh", "-c", &script]));
    Screen { command: format!("hermes-gw {line}"), printed }
}

fn gw(container: &Container, line: &str) -> Output {
    let mut args = vec!["/command/hermes-gw"];
    args.extend(line.split(' '));
    container.as_hermes(&args)
}

/// Starts `command`; what it has printed by then, once it is asked.
fn watching(mut command: Command) -> impl FnOnce() -> String {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    move || {
        let mut rest = String::new();
        // It sees what was done before it is killed: the last line is that of a start.
        while !rest.contains("writer: up") {
            stdout.read_line(&mut rest).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        first + &rest
    }
}

/// Runs hermes-gw as hermes, and shows what it says.
fn operate(container: &Container, line: &str) {
    let output = gw(container, line);
    println!("  $ hermes-gw {line}");
    print!("{}", indented(&output.stdout) + &indented(&output.stderr));
    if output.code != 0 {
        println!("  (exit code {})", output.code);
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Prints what the container said at boot.
fn show_boot(container: &Container) {
    let console = container.console();
    let boot = console.lines().take_while(|line| !line.starts_with("cont-init: "));
    boot.for_each(|line| println!("  {line}"));
}

/// Waits until the gateways of `running` run.
fn wait_for(container: &Container, running: &[&str]) {
    running.iter().for_each(|profile| container.wait_up(profile));
}
