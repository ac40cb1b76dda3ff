//! The demo image in a real Docker engine, as `make image` builds it and runs them.

use crate::support;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use support::{Tree, skipped, tree, wait_until};

const GW: &str = "/command/hermes-gw";

/// The demo image; where `make image` did not build one, says that `test` is skipped.
fn image(test: &str) -> Option<String> {
    let image = std::env::var("HERMES_GW_IMAGE").ok();
    if image.is_none() {
        skipped(test, "HERMES_GW_IMAGE names no image; `make image` does");
    }
    image
}

fn docker(args: &[&str]) -> Output {
    // The client of the engine's own package, and not another on PATH.
    Command::new("/usr/bin/docker").args(args).output().unwrap()
}

#[track_caller]
fn ok(args: &[&str]) -> String {
    let output = docker(args);
    assert!(output.status.success(), "docker {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

fn unique(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("hermes-gw-{kind}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A named volume; dropping it removes it, and containers on it must be gone by then.
struct Volume(String);

impl Volume {
    fn new() -> Volume {
        let name = unique("volume");
        ok(&["volume", "create", &name]);
        Volume(name)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        docker(&["volume", "rm", "-f", &self.0]);
    }
}

/// A container; dropping it removes it.
struct Container(String);

impl Container {
    /// `docker run` with these options, on `volume`, and waits until it has booted.
    fn run(image: &str, volume: &Volume, options: &[&str], main: &[&str]) -> Container {
        let container = Container(unique("container"));
        let mount = format!("{}:/opt/data", volume.0);
        let layout = match tree() {
            Tree::Root => "HERMES_GW_TREE=root",
            Tree::User => "HERMES_GW_TREE=user",
        };
        let basic = ["run", "-d", "--network", "none", "--name", &container.0, "-v", &mount];
        ok(&[&basic[..], &["-e", layout], options, &[image], main].concat());
        container.booted(1);
        container
    }

    /// Waits until the oneshot has come up for the `times`th time.
    #[track_caller]
    fn booted(&self, times: usize) {
        let count = || {
            let logs = self.logs();
            // s6-overlay's word for it, and the stand-in's.
            logs.matches("service hermes-gateways successfully started").count()
                + logs.matches("oneshot hermes-gateways exited 0").count()
        };
        wait_until(&format!("boot {times} of {}: {}", self.0, self.logs()), || count() >= times);
    }

    fn logs(&self) -> String {
        let output = docker(&["logs", &self.0]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into()
    }

    fn exec(&self, user: &str, command: &[&str]) -> Output {
        docker(&[&["exec", "--user", user, &self.0], command].concat())
    }

    /// The stdout of a command as root that must succeed.
    #[track_caller]
    fn root(&self, command: &[&str]) -> String {
        ok(&[&["exec", &self.0], command].concat())
    }

    fn sh(&self, script: &str) -> String {
        self.root(&["/bin/sh", "-c", script])
    }

    /// What s6-svstat says of a service.
    fn stat(&self, field: &str, service: &str) -> String {
        let output = self.exec("root", &["/command/s6-svstat", "-o", field, &at(service)]);
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    }

    #[track_caller]
    fn wait_up(&self, profile: &str) {
        let service = format!("gateway-{profile}");
        wait_until(&format!("{profile} to be up"), || {
            let pid = self.stat("pid", &service);
            let said = format!(
                "grep -qs '\"pid\":{pid},\"gateway_state\":\"running\"' {}",
                state(profile)
            );
            self.exec("root", &["/bin/sh", "-c", &said]).status.success()
        });
    }

    /// What the container's exit code is, once it has ended.
    fn ended(&self) -> String {
        ok(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &self.0])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.0, self.logs());
        }
        docker(&["rm", "-f", "-v", &self.0]);
    }
}

/// Where a service is.
fn at(service: &str) -> String {
    match tree() {
        Tree::User if service.starts_with("gateway-") => {
            format!("/run/hermes-gw/service/{service}")
        }
        _ => format!("/run/service/{service}"),
    }
}

fn state(profile: &str) -> String {
    match profile {
        "default" => "/opt/data/gateway_state.json".into(),
        named => format!("/opt/data/profiles/{named}/gateway_state.json"),
    }
}

#[test]
fn two_builds_are_the_same_to_the_byte() {
    let Some(_) = image("two_builds_are_the_same_to_the_byte") else { return };
    let Some(here) = support::static_binary("two builds") else { return };
    // The container's build was in another directory, by another cargo's crates.
    let packages = "rustc-web cargo-web rust-web-src musl-dev lld-14 gcc binutils";
    let versions = format!("dpkg-query -W {packages}");
    let there = ok(&["run", "--rm", "--network", "none", "hermes-gw-test", "sh", "-c", &versions]);
    let ours = support::run(Command::new("sh").args(["-c", &versions]));
    if ours.trim_end() != there {
        return skipped("two builds", &format!("other toolchains:\n{ours}and:\n{there}"));
    }
    let dir = tempfile::tempdir_in(support::workspace()).unwrap();
    let to = dir.path().join("hermes-gw");
    // It has no command of its own, and needs the name of one.
    let container = Container(ok(&["create", "hermes-gw", "none"]));
    ok(&["cp", &format!("{}:/command/hermes-gw", container.0), to.to_str().unwrap()]);
    assert!(std::fs::read(here).unwrap() == std::fs::read(to).unwrap());
}

#[test]
fn the_scratch_stage_holds_the_program_and_rootfs_alone() {
    let Some(_) = image("the_scratch_stage_holds_the_program_and_rootfs_alone") else { return };
    let dir = tempfile::tempdir_in(support::workspace()).unwrap();
    let repo = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let tar = ["-xp", "--same-owner", "-C", dir.path().to_str().unwrap(), "-f"];
    support::run(Command::new("tar").args(tar).arg(repo.join("target/docker/export.tar")));
    let list = |dir: &std::path::Path, format: &str| {
        let find = format!("cd \"$0\" && find . -mindepth 1 {format}");
        let mut lines: Vec<String> = support::run(Command::new("sh").args(["-c", &find]).arg(dir))
            .lines()
            .map(String::from)
            .collect();
        lines.sort();
        lines
    };
    // A checkout's owner and umask are its own; what git keeps is who may execute.
    let ours = "-type d -printf 'd 755 0:0 %P \\n' -o -type l -printf 'l 777 0:0 %P %l\\n' \
        -o -perm -u+x -printf 'f 755 0:0 %P \\n' -o -printf 'f 644 0:0 %P \\n'";
    let mut expected = list(&repo.join("rootfs"), ours);
    expected.extend(["d 755 0:0 command ", "f 755 0:0 command/hermes-gw "].map(String::from));
    expected.sort();
    assert_eq!(list(dir.path(), "-printf '%y %m %U:%G %P %l\\n'"), expected);
}

#[test]
fn profiles_come_and_go_by_docker_exec() {
    let Some(image) = image("profiles_come_and_go_by_docker_exec") else { return };
    let volume = Volume::new();
    let container = Container::run(&image, &volume, &[], &[]);
    for user in ["root", "hermes"] {
        let exec = |command: &[&str]| {
            let output = container.exec(user, command);
            assert!(output.status.success(), "{user} {command:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        exec(&["hermes", "profile", "create", "coder"]);
        assert_eq!(exec(&[GW, "list"]), "coder\ndefault\n");
        assert_eq!(container.stat("up", "gateway-coder"), "false");
        exec(&[GW, "start", "coder"]);
        container.wait_up("coder");
        let process = format!("/proc/{}", container.stat("pid", "gateway-coder"));
        assert_eq!(container.root(&["stat", "-c", "%U", &process]), "hermes");
        exec(&["hermes", "profile", "delete", "coder"]);
        assert_eq!(exec(&[GW, "list"]), "default\n");
        let left = "find /run /opt/data/profiles; cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
        assert!(!container.sh(left).contains("coder"), "{user}: {}", container.sh(left));
    }
}

#[test]
fn intents_survive_restarts_and_a_kill() {
    let Some(image) = image("intents_survive_restarts_and_a_kill") else { return };
    let volume = Volume::new();
    let container = Container::run(&image, &volume, &[], &[]);
    for name in ["runs", "stopped", "never"] {
        container.root(&["hermes", "profile", "create", name]);
    }
    container.root(&[GW, "start", "runs", "stopped"]);
    container.wait_up("stopped");
    container.root(&[GW, "stop", "stopped"]);
    for times in 2..=4 {
        ok(&["restart", &container.0]);
        container.booted(times);
        container.wait_up("runs");
        assert_eq!(container.stat("up", "gateway-stopped"), "false");
        assert_eq!(container.stat("up", "gateway-never"), "false");
    }
    ok(&["kill", &container.0]);
    assert_eq!(container.ended(), "exited 137");
    ok(&["start", &container.0]);
    container.booted(5);
    container.wait_up("runs");
    let log = container.root(&["cat", "/opt/data/logs/container-boot.log"]);
    let of =
        |exit: &str| format!("profile=runs prior_state=running action=started prior_exit={exit}");
    assert_eq!(log.matches(&of("clean")).count(), 3, "{log}");
    assert_eq!(log.matches(&of("unclean")).count(), 1, "{log}");
    // Another container on the volume finds the same.
    drop(container);
    let container = Container::run(&image, &volume, &[], &[]);
    container.wait_up("runs");
    assert_eq!(container.root(&[GW, "list"]), "default\nnever\nruns\nstopped");
    assert_eq!(container.stat("up", "gateway-stopped"), "false");
}

#[test]
fn docker_stop_gives_slow_gateways_their_time() {
    let Some(image) = image("docker_stop_gives_slow_gateways_their_time") else { return };
    let volume = Volume::new();
    let container = Container::run(&image, &volume, &[], &[]);
    let names = ["slow1", "slow2", "slow3"];
    for name in names {
        container.root(&["hermes", "profile", "create", name]);
        container.sh(&format!("printf 'slow 4\\nchatty 50\\n' >/opt/data/profiles/{name}/behave"));
    }
    container.root(&[&[GW, "start"], &names[..]].concat());
    names.iter().for_each(|name| container.wait_up(name));
    let start = std::time::Instant::now();
    ok(&["stop", "-t", "30", &container.0]);
    // All at once, and the engine did not have to kill.
    let took = start.elapsed().as_secs();
    assert!((4..12).contains(&took), "{took} s");
    assert_ne!(container.ended(), "exited 137");
    ok(&["start", &container.0]);
    container.booted(2);
    for name in names {
        container.wait_up(name);
        // s6 before 2.15 may kill the logger, and then it begins a new file.
        let log = container.root(&[GW, "logs", name, "-n", "100"]);
        assert!(
            log.contains("draining, line 50\n") && log.contains("stopped by a signal\n"),
            "{log}"
        );
    }
}

#[test]
fn the_dashboard_off_on_killed_and_misconfigured() {
    let Some(image) = image("the_dashboard_off_on_killed_and_misconfigured") else { return };
    let volume = Volume::new();
    let off = Container::run(&image, &volume, &[], &[]);
    wait_until("the dashboard to be parked", || off.stat("wantedup", "dashboard") == "false");
    assert_eq!(off.stat("up", "dashboard"), "false");
    assert_eq!(off.stat("up", "main-hermes"), "true");
    drop(off);

    let environment = ["-e", "HERMES_DASHBOARD=true", "-e", "HERMES_DASHBOARD_PORT=9000"];
    let on = Container::run(&image, &volume, &environment, &[]);
    wait_until("the dashboard", || {
        on.logs().contains("dashboard --no-open --host 127.0.0.1 --port 9000")
    });
    let pid = on.stat("pid", "dashboard");
    assert_eq!(on.sh(&format!("stat -c %U /proc/{pid}")), "hermes");
    on.root(&["/bin/sh", "-c", &format!("kill -KILL {pid}")]);
    wait_until("another dashboard", || {
        on.stat("up", "dashboard") == "true" && on.stat("pid", "dashboard") != pid
    });
    drop(on);

    for (host, code, tries) in [("0.0.0.0", "78", 1), ("::", "1", 10)] {
        let host = format!("HERMES_DASHBOARD_HOST={host}");
        let environment = ["-e", "HERMES_DASHBOARD=yes", "-e", &host];
        let wrong = Container::run(&image, &volume, &environment, &[]);
        wait_until("the dashboard to be parked", || wrong.stat("wantedup", "dashboard") == "false");
        assert_eq!(wrong.stat("exitcode", "dashboard"), code);
        assert_eq!(wrong.logs().matches("dashboard --no-open").count(), tries);
    }
}

#[test]
fn the_main_programs_exit_code_is_the_containers() {
    let Some(image) = image("the_main_programs_exit_code_is_the_containers") else { return };
    for code in ["0", "42"] {
        let script = format!("id -un; exit {code}");
        let output = docker(&["run", "--rm", "--network", "none", &image, "sh", "-c", &script]);
        assert_eq!(
            output.status.code().map(|it| it.to_string()).as_deref(),
            Some(code),
            "{output:?}"
        );
        assert!(String::from_utf8_lossy(&output.stdout).contains("hermes\n"), "{output:?}");
    }
    // Whatever its services do.
    let deaf = ["-e", "HERMES_DASHBOARD=1", "-e", "HERMES_DASHBOARD_HOST=deaf"];
    let main = [&image, "sh", "-c", "sleep 3; exit 7"];
    let run = [&["60", "/usr/bin/docker", "run", "--rm", "--network", "none"], &deaf[..], &main];
    let output = Command::new("timeout").args(run.concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

#[test]
fn zombies_are_reaped() {
    let Some(image) = image("zombies_are_reaped") else { return };
    let volume = Volume::new();
    let container = Container::run(&image, &volume, &[], &[]);
    // Orphans, which PID 1 inherits.
    container.sh("for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.1 &); done");
    let orphans = "grep -ls '^Name:.sleep' $(grep -ls '^PPid:.1$' /proc/[0-9]*/status) || :";
    wait_until("orphans and zombies to be gone", || container.sh(orphans).is_empty());
    let zombies = container.sh("grep -ls '^State:.Z' /proc/[0-9]*/status || :");
    assert_eq!(zombies, "");
}

#[test]
fn hermes_can_be_another_uid() {
    let Some(image) = image("hermes_can_be_another_uid") else { return };
    let volume = Volume::new();
    drop(Container::run(&image, &volume, &[], &[]));
    let environment = ["-e", "HERMES_UID=4242", "-e", "HERMES_GID=4343"];
    let container = Container::run(&image, &volume, &environment, &[]);
    container.root(&["hermes", "profile", "create", "coder"]);
    container.root(&[GW, "start", "coder"]);
    container.wait_up("coder");
    let owner = |path: &str| container.root(&["stat", "-c", "%u:%g", path]);
    let pid = container.stat("pid", "gateway-coder");
    assert_eq!(owner(&format!("/proc/{pid}")), "4242:4343");
    assert_eq!(owner("/opt/data/logs/gateways/coder/current"), "4242:4343");
    assert_eq!(owner(&format!("{}/supervise/control", at("gateway-coder"))), "4242:4343");
    let output = container.exec("4242:4343", &[GW, "stop", "coder"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_read_only_root_and_a_user_without_root() {
    let Some(image) = image("a_read_only_root_and_a_user_without_root") else { return };
    let table: [&[&str]; 2] = [
        &["--read-only", "--tmpfs", "/run:exec", "-e", "S6_READ_ONLY_ROOT=1"],
        &["--user", "10000:10000", "--tmpfs", "/run:exec,uid=10000,gid=10000,mode=755"],
    ];
    for options in table {
        let volume = Volume::new();
        let container = Container::run(&image, &volume, options, &[]);
        let gw = |command: &[&str]| {
            let output = container.exec("hermes", command);
            assert!(output.status.success(), "{options:?} {command:?}: {output:?}");
        };
        gw(&["hermes", "profile", "create", "coder"]);
        gw(&[GW, "start", "coder"]);
        container.wait_up("coder");
        ok(&["restart", &container.0]);
        container.booted(2);
        container.wait_up("coder");
    }
}

#[test]
fn a_second_container_on_the_volume_as_dashboard() {
    let Some(image) = image("a_second_container_on_the_volume_as_dashboard") else { return };
    let volume = Volume::new();
    let first = Container::run(&image, &volume, &[], &[]);
    first.root(&["hermes", "profile", "create", "coder"]);
    first.root(&[GW, "start", "coder"]);
    first.wait_up("coder");
    let (pid, state) = (first.stat("pid", "gateway-coder"), first.root(&["cat", &state("coder")]));
    let second = Container::run(&image, &volume, &[], &["dashboard"]);
    let logs = second.logs();
    assert!(logs.contains("reconcile: skipped: "), "{logs}");
    assert_eq!(second.root(&[GW, "list"]), "");
    ok(&["stop", &second.0]);
    assert_eq!(first.stat("pid", "gateway-coder"), pid);
    assert_eq!(first.root(&["cat", &self::state("coder")]), state);
}

/// The pod that the manual shows, and that is played.
const POD: &str = include_str!("../fixtures/pod.yaml");

#[test]
fn the_pod_that_the_manual_shows_is_the_one_that_is_played() {
    let page = include_str!("../../rootfs/usr/share/man/man8/hermes-gw.8");
    assert!(page.contains(&format!(".Bd -literal -offset indent\n{POD}.Ed\n")), "{POD}");
}

/// podman, with standard input of `input`.
fn podman(words: &str, args: &[&str], input: &str) -> Output {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(args).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A pod; dropping it removes it and its volume.
struct Pod {
    podman: String,
    manifest: String,
}

impl Pod {
    const CONTAINER: &str = "hermes-gateways";

    #[track_caller]
    fn ok(&self, args: &[&str], input: &str) -> String {
        let output = podman(&self.podman, args, input);
        assert!(output.status.success(), "podman {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn play(&self) {
        self.ok(&["play", "kube", "--network", "none", "-"], &self.manifest);
        let booted = || {
            let logs = self.logs();
            logs.contains("service hermes-gateways successfully started")
                || logs.contains("oneshot hermes-gateways exited 0")
        };
        wait_until("boot of the pod", booted);
    }

    fn down(&self) {
        self.ok(&["play", "kube", "--down", "-"], &self.manifest);
    }

    fn logs(&self) -> String {
        let output = podman(&self.podman, &["logs", Pod::CONTAINER], "");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into()
    }

    #[track_caller]
    fn exec(&self, command: &[&str]) -> String {
        self.ok(&[&["exec", Pod::CONTAINER], command].concat(), "")
    }

    /// Whether the probe of the manifest succeeds.
    fn is_healthy(&self) -> bool {
        podman(&self.podman, &["healthcheck", "run", Pod::CONTAINER], "").status.success()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the pod:\n{}", self.logs());
        }
        podman(&self.podman, &["play", "kube", "--down", "-"], &self.manifest);
        podman(&self.podman, &["volume", "rm", "hermes"], "");
    }
}

#[test]
fn a_pod_runs_with_the_capabilities_of_its_manifest() {
    let test = "a_pod_runs_with_the_capabilities_of_its_manifest";
    let Ok(podman) = std::env::var("HERMES_GW_PODMAN") else {
        return skipped(test, "HERMES_GW_PODMAN names no podman; `make image` does");
    };
    let manifest = match tree() {
        Tree::Root => POD.to_string(),
        Tree::User => {
            let environment = "      env: [{name: HERMES_GW_TREE, value: user}]\n";
            POD.replace("      volumeMounts:\n", &format!("{environment}      volumeMounts:\n"))
        }
    };
    let pod = Pod { podman, manifest };
    pod.play();
    assert!(!pod.logs().contains("warning"), "{}", pod.logs());
    let capabilities = ["inspect", "--format", "{{join .EffectiveCaps \", \"}}", Pod::CONTAINER];
    let capabilities = pod.ok(&capabilities, "").replace("CAP_", "");
    assert!(pod.manifest.contains(&format!("add: [{}]", capabilities.trim())), "{capabilities}");

    for name in ["coder", "writer"] {
        pod.exec(&["hermes", "profile", "create", name]);
    }
    pod.exec(&["sh", "-c", "printf 'slow 2\\nchatty 50\\n' >/opt/data/profiles/coder/behave"]);
    pod.exec(&[GW, "start", "coder", "writer"]);
    pod.exec(&[GW, "restart", "coder"]);
    assert_eq!(pod.exec(&[GW, "-q", "doctor"]), "");
    wait_until("the probe to succeed", || pod.is_healthy());
    pod.exec(&["/command/s6-svc", "-d", &at("gateway-writer")]);
    wait_until("the probe to fail", || !pod.is_healthy());
    pod.exec(&[GW, "stop", "writer"]);
    wait_until("the probe to succeed", || pod.is_healthy());
    // Until it runs, a signal ends it without a word.
    let runs = format!("grep -q '\"gateway_state\":\"running\"' {}", state("coder"));
    let said = ["exec", Pod::CONTAINER, "sh", "-c", &runs];
    wait_until("coder to run", || self::podman(&pod.podman, &said, "").status.success());

    pod.down();
    pod.play();
    let log = pod.exec(&[GW, "logs", "coder", "-n", "100"]);
    assert!(log.contains("draining, line 50\n") && log.contains("stopped by a signal\n"), "{log}");
    pod.exec(&[GW, "wait", "--up", "--timeout", "60", "coder"]);
    assert_eq!(pod.exec(&[GW, "list"]), "coder\ndefault\nwriter\n");
    wait_until("the probe to succeed", || pod.is_healthy());
}
