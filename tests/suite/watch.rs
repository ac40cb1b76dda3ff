//! `watch`: each change, in order, by one line; slots that come and go included.

use crate::support;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use support::{Container, Output, Spec, Volume, jq, run, wait_until};

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

/// A `watch` that runs, and what it prints.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(mut command: Command) -> Watch {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Watch { child, lines }
    }

    fn of(container: &Container, args: &[&str]) -> Watch {
        Watch::start(container.hermes_command(&[&["/command/hermes-gw"], args].concat()))
    }

    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(180)).expect("another line")
    }

    /// The next line, without its stamp and pid.
    #[track_caller]
    fn event(&self) -> String {
        let line = self.next();
        let (at, event) = line.split_at(25);
        assert!(at.starts_with("20") && at.ends_with("Z "), "{line}");
        event.split(" (pid ").next().unwrap().into()
    }

    #[track_caller]
    fn expect(&self, events: &[&str]) {
        for event in events {
            assert_eq!(self.event(), *event, "of {events:?}");
        }
    }

    /// Skips what comes before `event`.
    #[track_caller]
    fn until(&self, event: &str) -> Vec<String> {
        let mut events = vec![self.event()];
        while events.last().unwrap() != event {
            events.push(self.event());
        }
        events
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_change_is_a_line_and_every_death_is_one_of_them() {
    let volume = Volume::new();
    volume.wanted("default", "running").profile("coder").wanted("other", "stopped");
    // So long that it is seen.
    let environment = vec![("HERMES_GW_BACKOFF_FIRST".into(), "5".into())];
    let container = Container::boot(volume, Spec { environment, ..Spec::default() });
    container.wait_up("default");
    let watch = Watch::of(&container, &["watch"]);
    watch.expect(&["coder: down", "default: up", "other: down"]);

    gw(&container, &["start", "coder"]).ok();
    watch.until("coder: up");
    container.wait_up("coder");
    gw(&container, &["stop", "coder"]).ok();
    let stopping = watch.until("coder: down");
    assert_eq!(
        stopping.iter().filter(|it| *it == "coder: finishing: exit 0").count(),
        1,
        "{stopping:?}"
    );

    container.as_hermes(&["/command/s6-svc", "-k", &slot("default")]).ok();
    let crash = watch.until("default: up, 1 death lately: SIGKILL");
    let deaths = crash.iter().filter(|it| *it == "default: finishing: SIGKILL").count();
    assert_eq!(deaths, 1, "{crash:?}");
    assert!(crash.iter().any(|it| it == "default: backing off 5s, 1 death: SIGKILL"), "{crash:?}");

    container.as_hermes(&["/command/s6-svc", "-p", &slot("default")]).ok();
    watch.expect(&["default: up, paused (SIGSTOP), 1 death lately: SIGKILL"]);
    container.as_hermes(&["/command/s6-svc", "-c", &slot("default")]).ok();
    watch.expect(&["default: up, 1 death lately: SIGKILL"]);

    gw(&container, &["unregister", "other"]).ok();
    watch.until("other: not registered");
    gw(&container, &["register", "other", "--force"]).ok();
    let born = watch.until("other: up, wanted down at next boot");
    assert!(born[0].starts_with("other: "), "{born:?}");
}

#[test]
fn deaths_that_nobody_could_see_in_time_are_told_all_the_same() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    let watch = Watch::of(&container, &["--json", "watch", "default"]);
    let first = watch.next();
    assert_eq!(jq("[.profile, .state] | tojson", &first), r#"["default","up"]"#);
    let pid = watch.child.id().to_string();
    // nsenter forks: the program is its child.
    let watcher = run(Command::new("pgrep").args(["-P", &pid]));
    let watcher = if watcher.trim().is_empty() { pid } else { watcher.trim().to_string() };
    run(Command::new("kill").args(["-STOP", &watcher]));
    for _ in 0..3 {
        gw(&container, &["restart", "default"]).ok();
        container.wait_up("default");
    }
    let now = container.pid("default");
    run(Command::new("kill").args(["-CONT", &watcher]));
    let mut states = Vec::new();
    loop {
        let line = watch.next();
        states.push(jq(".state", &line));
        if jq(".pid // 0", &line) == now {
            break;
        }
    }
    assert_eq!(states, ["finishing", "finishing", "finishing", "up"]);
}

#[test]
fn a_supervisor_that_goes_and_one_that_comes_are_told() {
    let volume = Volume::new();
    volume.wanted("default", "running").profile("later");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    let watch = Watch::of(&container, &["watch", "default", "later"]);
    watch.expect(&["default: up", "later: down"]);
    container.signal_svscan("STOP");
    container.kill_supervisor("default");
    watch.expect(&["default: not supervised"]);
    container.signal_svscan("CONT");
    watch.until("default: up");
    gw(&container, &["unregister", "later"]).ok();
    watch.until("later: not registered");
    gw(&container, &["register", "--down", "later", "--force"]).ok();
    watch.until("later: down");
}

#[test]
fn it_polls_nothing_ends_with_its_reader_and_leaves_nothing_behind() {
    let volume = Volume::new();
    volume.wanted("default", "running").profile("coder");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    let trace = container.volume().path().join("trace");
    let mut command = Command::new("strace");
    let inner = container.hermes_command(&["/command/hermes-gw", "watch"]);
    command.args(["-f", "-tt", "-o"]).arg(&trace).arg(inner.get_program()).args(inner.get_args());
    let watch = Watch::start(command);
    watch.expect(&["coder: down", "default: up"]);
    let calls = || std::fs::read_to_string(&trace).unwrap();
    // What is left to happen after the start of a gateway does, first.
    wait_until("two seconds without a call", || {
        let before = calls();
        std::thread::sleep(Duration::from_secs(2));
        before.lines().last().unwrap().contains("poll(") && calls() == before
    });
    for event in ["event", "supervise/event"] {
        let event = container.inside(&slot("default")).join(event);
        assert_eq!(std::fs::read_dir(event).unwrap().count(), 0);
    }
    // Nobody reads it any more, and nothing happens: it ends all the same.
    let inner = container.hermes_command(&["/command/hermes-gw", "watch"]);
    let words = [inner.get_program()].into_iter().chain(inner.get_args());
    let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let pipeline = format!("set -o pipefail; timeout 180 {} | head -n 1", quoted.join(" "));
    assert!(run(Command::new("bash").args(["-c", &pipeline])).contains("coder: down"));
}

#[test]
fn bad_names_and_no_rights_are_told() {
    let container = Container::boot(Volume::new(), Spec::default());
    let bad = gw(&container, &["watch", "Bad"]);
    assert_eq!((bad.code, bad.stdout.as_str()), (100, ""));
    let denied = container.as_stranger(&["/command/hermes-gw", "watch"]);
    let why = "hermes-gw: watch gateways: default: permission denied: run as root or hermes\n";
    assert_eq!((denied.code, denied.stdout.as_str(), denied.stderr.as_str()), (111, "", why));
}

#[test]
fn what_cannot_be_watched_is_an_error_and_not_silence() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    let watch = |fault: &str| {
        let inject = format!("inject=inotify_{fault}");
        let args =
            ["strace", "-qqq", "-o", "/dev/null", "-e", &inject, "/command/hermes-gw", "watch"];
        container.hermes_command(&args)
    };
    for (fault, path, bound) in [
        ("init1:error=EMFILE", "directories", "instances"),
        ("add_watch:error=ENOSPC:when=2+", "/gateway-default", "watches"),
    ] {
        let output = watch(fault).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let why = String::from_utf8(output.stderr).unwrap();
        let remedy = format!("{path}: no inotify watch is left: on the host: sysctl fs.inotify.");
        assert!(why.contains(&format!("{remedy}max_user_{bound}=")), "{why}");
    }

    // Only its supervisor's end is heard: it is told, and not for ever.
    let watch = Watch::start(watch("add_watch:error=EACCES:when=2+"));
    watch.expect(&["default: up"]);
    container.signal_svscan("STOP");
    container.kill_supervisor("default");
    watch.expect(&["default: not supervised"]);
    container.signal_svscan("CONT");
}
