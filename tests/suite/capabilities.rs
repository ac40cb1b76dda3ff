//! PID 1 with fewer of root's rights than it needs, as in a hardened container: what works all the
//! same works, and what does not is said with the capability by name.

use crate::support;
use std::fs;
use std::process::Command;
use support::{Container, Output, Spec, Tree, Volume, run, tree, wait_until};

/// What README.md says is needed.
const NEEDED: &str = "chown,dac_override,kill,setgid,setuid";
const WITHOUT_KILL: &str = "chown,dac_override,setgid,setuid";

/// What is needed without one.
fn all_but(name: &str) -> &'static str {
    let kept: Vec<_> = NEEDED.split(',').filter(|it| *it != name).collect();
    kept.join(",").leak()
}

fn boot(capabilities: &'static str) -> Container {
    let volume = Volume::new();
    volume.wanted("coder", "running").profile("idle");
    Container::boot(volume, Spec { capabilities: Some(capabilities), ..Spec::default() })
}

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_root(&[&["/command/hermes-gw"], args].concat())
}

/// What the gateway of coder has said.
fn log(container: &Container) -> String {
    container.volume().log("coder")
}

/// The one warning that a verb gives where it had to send a signal itself. In the user tree
/// s6-supervise is the gateways' user, and needs no right.
#[track_caller]
fn assert_said(output: Output) {
    let said: Vec<_> = output.stderr.lines().collect();
    let is_so = match tree() {
        Tree::User => said.is_empty(),
        Tree::Root => {
            said.len() == 1
                && said[0].starts_with("hermes-gw: warning: PID 1 lacks CAP_KILL: ")
                && said[0].ends_with("; try: docker run --cap-add=KILL")
        }
    };
    assert!(output.code == 0 && is_so, "{output:?}");
}

#[test]
fn without_kill_every_verb_works_and_says_so_once() {
    let container = boot(WITHOUT_KILL);
    container.wait_up("coder");
    assert_said(gw(&container, &["stop", "coder"]));
    assert_eq!(container.state("coder"), "down");
    // What it sent was a planned stop's.
    wait_until("it to say so", || log(&container).contains("gateway coder: stopped as planned"));
    gw(&container, &["start", "coder"]).ok();
    container.wait_up("coder");
    // One that does not listen is woken, as s6-supervise does it.
    let before = container.pid("coder");
    assert_said(gw(&container, &["signal", "STOP", "coder"]));
    assert_said(gw(&container, &["restart", "coder"]));
    container.wait_up("coder");
    assert_ne!(container.pid("coder"), before);
    for signal in ["TERM", "KILL"] {
        let before = container.pid("coder");
        assert_said(gw(&container, &["signal", signal, "coder"]));
        wait_until("a new process", || {
            let pid = container.as_root(&["/command/s6-svstat", "-o", "pid", SLOT]).stdout;
            !["-1", before.as_str()].contains(&pid.trim())
        });
        gw(&container, &["start", "coder"]).ok();
        container.wait_up("coder");
    }
    // As hermes, too, and several at once.
    gw(&container, &["start", "idle"]).ok();
    container.wait_up("idle");
    assert_said(container.as_hermes(&["/command/hermes-gw", "stop", "--all"]));
    gw(&container, &["start", "coder", "idle"]).ok();
    container.wait_up("coder");
    container.wait_up("idle");
    assert_said(gw(&container, &["unregister", "idle"]));
    let left = container.as_root(&["sh", "-c", "ps -eo args | grep '[i]dle'"]).stdout;
    assert_eq!(left, "");
    assert_said(gw(&container, &["shutdown"]));
    assert_eq!(container.state("coder"), "down");
    // Where there is nothing to signal, there is nothing to say.
    let output = gw(&container, &["stop", "coder"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

const SLOT: &str = "/run/service/gateway-coder";

#[test]
fn without_kill_one_that_ignores_sigterm_is_killed_where_it_would_be() {
    let container = boot(WITHOUT_KILL);
    container.wait_up("coder");
    container.volume().file("coder", "behave", "deaf\n").give(support::HERMES);
    assert_said(gw(&container, &["restart", "coder"]));
    container.wait_up("coder");
    let late = gw(&container, &["stop", "--timeout", "0.2", "coder"]);
    assert_eq!(late.code, 99, "{late:?}");
    assert!(late.stderr.contains("hermes-gw signal KILL coder ends it"), "{late:?}");
    assert_said(gw(&container, &["signal", "KILL", "coder"]));
    gw(&container, &["wait", "--down", "coder"]).ok();
    for verb in ["shutdown", "unregister"] {
        gw(&container, &["start", "coder"]).ok();
        container.wait_up("coder");
        let names = if verb == "shutdown" { &[][..] } else { &["coder"] };
        assert_said(gw(&container, &[&[verb, "--timeout", "0.2"], names].concat()));
    }
    let left = container.as_root(&["sh", "-c", "ps -eo args | grep '[c]oder'"]).stdout;
    assert_eq!(left, "");
}

#[test]
fn where_the_kernel_or_a_filter_refuses_handles_it_is_a_plain_kill() {
    let container = boot(WITHOUT_KILL);
    for call in ["pidfd_open", "pidfd_send_signal"] {
        for error in ["ENOSYS", "EPERM"] {
            gw(&container, &["start", "coder"]).ok();
            container.wait_up("coder");
            let inject = format!("inject={call}:error={error}");
            let strace = ["strace", "-f", "-qq", "-o", "/tmp/trace", "-e", &inject];
            let stop = ["/command/hermes-gw", "stop", "coder"];
            assert_said(container.as_root(&[&strace[..], &stop].concat()));
            let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
            let sent = trace.contains("(INJECTED)") && trace.contains(" kill(");
            assert_eq!(sent, tree() == Tree::Root, "{inject}: {trace}");
            assert_eq!(container.state("coder"), "down", "{inject}");
        }
    }
}

/// Replaces what s6-supervise has said of its process by what says that it is `pid`.
fn forge(container: &Container, pid: u64) {
    let status = container.inside(SLOT).join("supervise/status");
    let mut bytes = fs::read(&status).unwrap();
    bytes[24..32].copy_from_slice(&pid.to_be_bytes());
    let other = status.with_extension("forged");
    fs::write(&other, bytes).unwrap();
    fs::rename(other, status).unwrap();
}

/// The process of hermes' in the container that has these arguments.
fn find(container: &Container, args: &str) -> u64 {
    let mut found = None;
    wait_until(args, || {
        let all = container.as_root(&["ps", "-eo", "pid=,args="]).ok();
        let mut all = all.lines().filter_map(|line| line.trim().split_once(' '));
        found = all.find(|(_, its)| *its == args).map(|(pid, _)| pid.parse().unwrap());
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn no_stranger_is_signalled_whatever_the_status_says() {
    if tree() == Tree::User {
        return; // s6-supervise sends it, and knows its own child
    }
    let container = boot(WITHOUT_KILL);
    container.wait_up("coder");
    let own = container.pid("coder");
    let mut stranger = container.hermes_command(&["sleep", "4711"]).spawn().unwrap();
    let pid = find(&container, "sleep 4711");
    let lives = |pid: &str| {
        let stat = container.as_root(&["ps", "-p", pid, "-o", "stat="]).stdout;
        !stat.is_empty() && !stat.starts_with(['T', 'X', 'Z'])
    };
    // Another one from the start, and one that comes while it is looked.
    forge(&container, pid);
    let output = gw(&container, &["-v", "signal", "KILL", "coder"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
    assert!(output.stderr.contains("gateway-coder: not sent: "), "{output:?}");
    forge(&container, own.parse().unwrap());
    let inject = "inject=pidfd_open:signal=STOP";
    let strace = ["strace", "-f", "-qq", "-o", "/tmp/trace", "-e", inject];
    let args = ["/command/hermes-gw", "signal", "KILL", "coder"];
    let signal = container.root_command(&[&strace[..], &args].concat());
    let mut signal = { signal }.stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("it to have opened the process", || {
        container.as_root(&["cat", "/tmp/trace"]).stdout.contains("stopped by SIGSTOP")
    });
    forge(&container, pid);
    let waiting = find(&container, &args.join(" "));
    container.as_hermes(&["sh", "-c", &format!("kill -CONT {waiting}")]).ok();
    assert_eq!(signal.wait().unwrap().code(), Some(1));
    for pid in [&own, &pid.to_string()] {
        assert!(lives(pid), "{pid}");
    }
    // s6-supervise says anew which it is when it reads that it is to stop it.
    assert_said(gw(&container, &["stop", "coder"]));
    assert!(lives(&pid.to_string()));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// A command with all of root's rights, as by `docker exec --privileged`.
fn privileged(container: &Container, args: &[&str]) -> Command {
    let proc = container.inside("/proc");
    let init = proc.iter().nth(2).unwrap().to_str().unwrap();
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--pid", "--target", init]).args(args);
    command
}

#[test]
fn what_counts_is_what_s6_supervise_may_and_not_who_calls() {
    let container = boot(WITHOUT_KILL);
    container.wait_up("coder");
    run(&mut privileged(&container, &["/command/hermes-gw", "stop", "coder"]));
    assert_eq!(container.state("coder"), "down");
}

#[test]
fn where_proc_hides_others_the_signal_is_sent_all_the_same() {
    let container = boot(WITHOUT_KILL);
    container.wait_up("coder");
    let hide = ["mount", "-o", "remount,hidepid=2", "/proc"];
    run(&mut privileged(&container, &hide));
    assert_said(gw(&container, &["stop", "coder"]));
    assert_eq!(container.state("coder"), "down");
}

#[test]
fn without_dac_override_the_boot_says_failed_and_leaves_the_rest_alone() {
    let container = boot(all_but("dac_override"));
    let console = container.console();
    let lines = console.lines().filter(|line| line.starts_with("reconcile: profile="));
    let lines: Vec<_> = lines.collect();
    // At the boot, and by the oneshot.
    assert_eq!(lines.len(), 6, "{console}");
    if tree() == Tree::User {
        // Its s6 runs as hermes, and may do all that it needs.
        assert!(console.contains("profile=coder prior_state=running action=started"), "{console}");
        let up = || container.as_hermes(&["/command/hermes-gw", "is-running", "coder"]);
        wait_until("the gateway to run", || up().succeeded());
        container.as_hermes(&["/command/hermes-gw", "stop", "coder"]).ok();
        return;
    }
    const WHY: &str = "use scandir: /run/service: PID 1 lacks CAP_DAC_OVERRIDE: root, and so s6, cannot \
        enter what is the gateways' user's; try: docker run --cap-add=DAC_OVERRIDE";
    for line in lines {
        assert!(line.ends_with(&format!(" action=failed reason={WHY}")), "{line}");
    }
    assert!(console.contains("02-reconcile-profiles exited 1\n"), "{console}");
    let boot_log = container.volume().home("default").join("logs/container-boot.log");
    assert_eq!(fs::read_to_string(boot_log).unwrap().matches(WHY).count(), 6);
    // Nothing that s6 could not go on with was given away, or made.
    let given = ["find", "/run", "-user", "hermes", "-o", "-name", "gateway-*"];
    assert_eq!(container.as_root(&given).ok(), "");
    for (args, code) in [
        (&["reconcile", "--dry-run"][..], 1),
        (&["register", "idle", "--force"], 1),
        (&["start", "coder"], 1),
        (&["list"], 0),
    ] {
        for output in
            [gw(&container, args), container.as_hermes(&[&["/command/hermes-gw"], args].concat())]
        {
            let said = [output.stdout, output.stderr].concat();
            assert_eq!((output.code, said.contains(WHY)), (code, code == 1), "{args:?}: {said}");
        }
    }
}

/// What doctor says but for what is fine.
fn doctor(container: &Container) -> (i32, Vec<String>) {
    let output = gw(container, &["-q", "doctor"]);
    (output.code, output.stdout.lines().map(String::from).collect())
}

#[test]
fn doctor_names_what_is_missing_and_is_silent_where_nothing_is() {
    for capabilities in [Some(NEEDED), None] {
        let volume = Volume::new();
        volume.wanted("coder", "running");
        let container = Container::boot(volume, Spec { capabilities, ..Spec::default() });
        let console = container.console();
        assert!(!console.contains("hermes-gw: "), "{capabilities:?}: {console}");
        container.wait_up("coder");
        assert_eq!(doctor(&container), (0, vec![]), "{capabilities:?}");
    }
    for name in NEEDED.split(',') {
        let volume = Volume::new();
        volume.wanted("coder", "running");
        let capabilities = Some(all_but(name));
        let mut container = Container::new(volume, Spec { capabilities, ..Spec::default() });
        container.launch();
        wait_until("the boot's reconcile", || {
            container.console().contains("02-reconcile-profiles exited ")
        });
        if name == "kill" {
            container.wait_booted();
        }
        let (code, lines) = doctor(&container);
        let (level, expected) = if name == "kill" { ("warn", 0) } else { ("FAIL", 1) };
        let name = name.to_uppercase();
        let start = format!("{level}  capability   PID 1 lacks CAP_{name}: ");
        let remedy = format!("      try: docker run --cap-add={name}");
        assert_eq!(code, expected, "{lines:?}");
        assert!(lines[0].starts_with(&start) && lines[1] == remedy, "{lines:?}");
        assert_eq!(lines.len(), 3, "{lines:?}");
        // And so does who needs it.
        if ["CHOWN", "SETGID", "SETUID"].contains(&&*name) {
            let output = gw(&container, &["reconcile"]);
            let named = output.stderr.contains(&format!("PID 1 lacks CAP_{name}: "));
            // In the user tree nothing is handed over once its scandir is there.
            let needs = name != "CHOWN" || tree() == Tree::Root;
            assert_eq!(
                (output.code, named),
                if needs { (111, true) } else { (output.code, named) }
            );
        }
    }
}
