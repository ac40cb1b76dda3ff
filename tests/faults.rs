//! What the program asks of the kernel: strace watches, kills and fails it at any call.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{Container, Spec, Volume, binary, run};

const PROFILES: [&str; 3] = ["default", "runs", "stays"];

/// A home with two profiles, and an empty scandir.
fn scene() -> (Volume, tempfile::TempDir) {
    let volume = Volume::new();
    volume.wanted("runs", "running").wanted("stays", "stopped");
    volume.file("runs", "gateway.pid", "{}");
    (volume, tempfile::tempdir_in(support::workspace()).unwrap())
}

fn boot(volume: &Volume, scandir: &Path, strace: &[&str]) -> std::process::Output {
    let mut command = match strace {
        [] => Command::new(binary()),
        options => {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq"]).args(options).arg(binary());
            command
        }
    };
    command.arg("--home").arg(volume.path()).arg("--scandir").arg(scandir);
    command.args(["reconcile", "--boot"]).env_clear().env("HERMES_GW_USER", "root");
    command.env("PATH", "/usr/bin:/bin").output().unwrap()
}

/// Every file, FIFO and directory below `dir` with its mode and content.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    let list = run(Command::new("find").arg(dir).args(["-mindepth", "1", "-printf", "%P %y %m\n"]));
    let entries = list.lines().map(|line| line.rsplitn(3, ' ').collect::<Vec<_>>());
    entries
        .map(|parts| {
            let [mode, kind, name] = parts[..] else { panic!("{parts:?}") };
            let content = match kind {
                "f" => fs::read_to_string(dir.join(name)).unwrap(),
                _ => String::new(),
            };
            (name.to_string(), format!("{kind} {mode} {content}"))
        })
        .collect()
}

/// How often a boot makes each system call.
fn calls() -> BTreeMap<String, usize> {
    let (volume, scandir) = scene();
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    assert!(boot(&volume, scandir.path(), &["-o", path]).status.success());
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(log.path()).unwrap().lines() {
        let call = line.split_whitespace().nth(1).and_then(|call| call.split_once('('));
        if let Some((name, _)) = call {
            *calls.entry(name.to_string()).or_default() += 1;
        }
    }
    calls
}

/// The calls that change something, and those that open.
const CHANGING: [&str; 7] =
    ["mkdirat", "mknodat", "fchmodat", "openat", "write", "renameat", "unlinkat"];

#[test]
fn killed_at_every_change_a_reader_sees_whole_slots_and_the_next_run_heals() {
    let (volume, scandir) = scene();
    boot(&volume, scandir.path(), &[]);
    let whole = tree(scandir.path());
    let calls = calls();
    let mut kills = 0;
    for name in CHANGING {
        for count in 1..=*calls.get(name).unwrap_or_else(|| panic!("no {name}: {calls:?}")) {
            let (volume, scandir) = scene();
            let inject = format!("inject={name}:signal=KILL:when={count}");
            let output = boot(&volume, scandir.path(), &["-o", "/dev/null", "-e", &inject]);
            if output.status.success() {
                panic!("{inject}: it was not killed");
            }
            kills += 1;
            // What has its final name is all there.
            let partial = tree(scandir.path());
            for profile in PROFILES {
                let slot = format!("gateway-{profile}");
                if partial.contains_key(&slot) {
                    let of = |all: &BTreeMap<String, String>| -> Vec<(String, String)> {
                        let mine = |(name, _): &(&String, &String)| {
                            **name == slot || name.starts_with(&format!("{slot}/"))
                        };
                        all.iter().filter(mine).map(|(n, v)| (n.clone(), v.clone())).collect()
                    };
                    assert_eq!(of(&partial), of(&whole), "{inject}");
                }
            }
            assert!(boot(&volume, scandir.path(), &[]).status.success(), "{inject}");
            assert_eq!(tree(scandir.path()), whole, "{inject}");
            assert!(!volume.home("runs").join("gateway.pid").exists(), "{inject}");
        }
    }
    assert!(kills > 100, "{kills}");
}

#[test]
fn when_any_call_fails_it_says_so_and_the_other_profiles_go_on() {
    let calls = calls();
    let (mut failed, mut failures) = (0, 0);
    for name in ["mkdirat", "mknodat", "fchmodat", "renameat", "write", "openat"] {
        for count in 1..=calls[name] {
            let (volume, scandir) = scene();
            let inject = format!("inject={name}:error=ENOSPC:when={count}");
            let output = boot(&volume, scandir.path(), &["-o", "/dev/null", "-e", &inject]);
            let code = output.status.code().unwrap_or_else(|| panic!("{inject}: {output:?}"));
            assert!([0, 1, 100, 102, 111].contains(&code), "{inject}: {output:?}");
            let said = [&output.stdout[..], &output.stderr[..]].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(!said.contains("panicked"), "{inject}: {said}");
            failures += 1;
            if code == 1 {
                failed += 1;
                let line = said.lines().find(|line| line.contains(" action=failed reason="));
                let line = line.unwrap_or_else(|| panic!("{inject}: {said}"));
                assert!(line.ends_with(": No space left on device"), "{inject}: {line}");
                let good = fs::read_dir(scandir.path()).unwrap().filter(|entry| {
                    entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("gateway-")
                });
                assert_eq!(good.count(), 2, "{inject}: {said}");
            }
            assert!(boot(&volume, scandir.path(), &[]).status.success(), "{inject}");
        }
    }
    assert!(failed > 50 && failures > 200, "{failed} of {failures}");
}

#[test]
fn no_command_executes_or_forks() {
    let container = Container::boot(Volume::new(), Spec::default());
    let commands: [&[&str]; 8] = [
        &["reconcile"],
        &["reconcile", "--boot"],
        &["--json", "reconcile", "--dry-run"],
        &["detect"],
        &["help"],
        &["--version"],
        &["finish", "78", "0", "gateway-x", "9"],
        &["frob"],
    ];
    for command in commands {
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/tmp/trace",
            "-e",
            "trace=process",
            "/command/hermes-gw",
        ];
        container.as_root(&[&strace[..], command].concat());
        let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
        let calls: Vec<_> =
            trace.lines().filter_map(|l| l.split_whitespace().nth(1)?.split('(').next()).collect();
        assert_eq!(calls.first(), Some(&"execve"), "{command:?}: {trace}");
        let spawning = ["execve", "execveat", "fork", "vfork", "clone", "clone3"];
        let spawned = calls[1..].iter().filter(|call| spawning.contains(call)).count();
        assert_eq!(spawned, 0, "{command:?}: {trace}");
    }
}

#[test]
fn as_root_it_touches_no_home_before_it_is_hermes_for_good() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = Container::boot(volume, Spec::default());
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-o",
        "/tmp/trace",
        "/command/hermes-gw",
        "-v",
        "reconcile",
        "--boot",
    ];
    let output = container.as_root(&strace).ok();
    assert!(output.starts_with("reconcile: handed /run/service to hermes\n"), "{output}");
    let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
    let at = |what: &str| {
        let found = trace.lines().position(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("no {what} in {trace}"))
    };
    let drop = at("setresuid(10000, 10000, 10000)");
    assert!(at("setgroups(2, [10000, 44])") < at("setresgid(10000, 10000, 10000)"));
    assert!(at("setresgid(10000, 10000, 10000)") < drop);
    assert!(drop < at("/opt/data"), "{trace}");
    let before: Vec<_> = trace.lines().take(drop).filter(|line| line.contains("chown")).collect();
    assert_eq!(before.len(), 2, "{before:?}");
    assert!(
        !trace
            .lines()
            .skip(drop + 1)
            .any(|line| line.contains("chown(") || line.contains("setres"))
    );
}

#[test]
fn four_hundred_profiles_take_under_one_and_a_half_mebibytes() {
    if std::env::var_os("HERMES_GW").is_none() {
        println!("skipped: it is the static binary's memory that counts; `make test` names it");
        return;
    }
    let volume = Volume::new();
    for i in 0..400 {
        volume.wanted(&format!("profile-{i:03}"), "running");
    }
    let scandir = tempfile::tempdir_in(support::workspace()).unwrap();
    // At its end it waits a second, so that its peak can be read.
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=exit_group:delay_enter=1000000"])
        .arg(binary())
        .args(["-q", "--home"])
        .arg(volume.path())
        .arg("--scandir")
        .arg(scandir.path())
        .args(["reconcile", "--boot"])
        .env("HERMES_GW_USER", "root")
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let pid = fs::read_to_string(&children).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
        let name = status.lines().next().unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let (true, Some(size)) = (name.ends_with("hermes-gw"), line) {
            peak = size.trim().trim_end_matches(" kB").parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read_dir(scandir.path()).unwrap().count(), 402);
    println!("peak of a boot with 400 profiles: {peak} KiB");
    assert!((1..1536).contains(&peak), "{peak} KiB");
}
