//! What the program asks of the kernel: strace watches it, and fails its calls. Each call of each
//! verb is killed, failed and cut short in sweep.rs.

use crate::support;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Container, Output, Spec, Volume, binary, run, wait_until};

/// hermes-gw in a container, with its calls and their paths in /tmp/trace.
const TRACED: [&str; 7] = ["strace", "-f", "-qq", "-y", "-o", "/tmp/trace", "/command/hermes-gw"];

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

/// Which of each system call's invocations in a boot are the program's own, and
/// not those of a dynamic linker before it.
fn calls() -> BTreeMap<String, std::ops::RangeInclusive<usize>> {
    let (volume, scandir) = scene();
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    assert!(boot(&volume, scandir.path(), &["-o", path]).status.success());
    let (mut calls, mut own) = (BTreeMap::new(), false);
    for line in fs::read_to_string(log.path()).unwrap().lines() {
        // The first thing it does is to look for its settings.
        own |= line.contains("/run/s6/container_environment");
        let call = line.split_whitespace().nth(1).and_then(|call| call.split_once('('));
        if let Some((name, _)) = call {
            let (first, last) = calls.entry(name.to_string()).or_insert((1, 0));
            *first += usize::from(!own);
            *last += 1;
        }
    }
    calls.into_iter().map(|(name, (first, last))| (name, first..=last)).collect()
}

#[test]
fn when_any_change_fails_it_says_so_and_the_other_profiles_go_on() {
    let calls = calls();
    for name in ["mkdirat", "mknodat", "fchmodat", "renameat", "write"] {
        let mut failed = 0;
        for count in calls[name].clone() {
            let (volume, scandir) = scene();
            let inject = format!("inject={name}:error=ENOSPC:when={count}");
            let output = boot(&volume, scandir.path(), &["-o", "/dev/null", "-e", &inject]);
            let said = [&output.stdout[..], &output.stderr[..]].concat();
            let said = String::from_utf8(said).unwrap();
            let lines: Vec<_> = said
                .lines()
                .filter(|line| line.ends_with(": No space left on device (ENOSPC)"))
                .collect();
            // Only a warning that cannot be written is lost.
            assert!(lines.len() == 1 || name == "write", "{inject}: {said}");
            if lines.first().is_some_and(|line| line.contains(" action=failed reason=")) {
                failed += 1;
                assert_eq!(output.status.code(), Some(1), "{inject}: {said}");
                let slots = tree(scandir.path()).into_keys().filter(|name| !name.contains('/'));
                let slots: Vec<_> = slots.filter(|name| name.starts_with("gateway-")).collect();
                assert_eq!(slots.len(), 2, "{inject}: {said}");
            } else {
                let unsaid = lines.first().is_some_and(|line| line.contains("print: stdout"));
                let code = if unsaid { 111 } else { 0 };
                assert_eq!(output.status.code(), Some(code), "{inject}: {said}");
            }
            assert!(boot(&volume, scandir.path(), &[]).status.success(), "{inject}");
        }
        // Three slots make all these calls; besides them there are logs/, the boot
        // log, the report and a warning.
        let all = calls[name].clone().count();
        assert!(failed > 0 && failed + 3 >= all, "{name}: {failed} of {all}");
    }
}

#[test]
fn no_command_executes_or_forks() {
    let container = Container::boot(Volume::new(), Spec::default());
    container.volume().profile("one").give(support::HERMES);
    let commands: [&[&str]; 24] = [
        &["register", "one", "--env", "A=b", "--force"],
        &["list"],
        &["start", "one"],
        &["is-running", "one"],
        &["signal", "HUP", "one"],
        &["wait", "--up", "one"],
        &["restart", "one"],
        &["stop", "one"],
        &["logs", "one"],
        &["hook", "profile-create", "two"],
        &["unregister", "one", "two"],
        &["start", "one"],
        &["hook", "profile-delete", "one"],
        &["install"],
        &["reconcile", "--prune"],
        &["reconcile"],
        &["reconcile", "--boot"],
        &["--json", "reconcile", "--dry-run"],
        &["shutdown"],
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
    let output = container.as_root(&[&TRACED[..], &["-v", "reconcile", "--boot"]].concat()).ok();
    let handed = output.starts_with("reconcile: handed /run/service to hermes\n");
    assert_eq!(handed, support::tree() == support::Tree::Root, "{output}");
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
    // The scandir and s6-svscan's control FIFO, and three things of each static service.
    let of_services = before.iter().filter(|line| line.contains("</run/s6-rc/servicedirs/"));
    let of_services = of_services.count();
    let given = (before.len() - of_services, of_services);
    assert_eq!(given, if handed { (2, 9) } else { (0, 0) }, "{before:?}");
    assert!(
        !trace
            .lines()
            .skip(drop + 1)
            .any(|line| line.contains("chown(") || line.contains("setres"))
    );
}

#[test]
fn as_root_a_verb_opens_no_home_and_no_fifo_before_it_is_hermes() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = Container::boot(volume, Spec::default());
    let verbs: [(&[&str], i32); 16] = [
        (&["status", "nosuch"], 3),
        (&["status", "coder"], 0),
        (&["status", "coder", "nosuch"], 3),
        (&["status"], 0),
        (&["signal", "HUP", "nosuch"], 3),
        (&["stop", "nosuch"], 3),
        (&["start", "nosuch"], 3),
        (&["restart", "nosuch"], 3),
        (&["unregister", "nosuch"], 0),
        (&["logs", "coder"], 0),
        (&["stop", "coder"], 0),
        (&["start", "coder"], 0),
        (&["restart", "coder"], 0),
        (&["wait", "--up", "coder"], 0),
        (&["unregister", "coder"], 0),
        (&["register", "coder", "--force"], 0),
    ];
    for (verb, code) in verbs {
        let output = container.as_root(&[&TRACED[..], verb].concat());
        assert_eq!(output.code, code, "{verb:?}: {output:?}");
        let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
        let at = |what: &str| trace.lines().position(|line| line.contains(what));
        let drop = at("setresuid(10000, 10000, 10000)");
        let drop = drop.unwrap_or_else(|| panic!("{verb:?}: it stays root: {trace}"));
        // To look at s6's own files is no harm, and root can do it where hermes cannot.
        let reads = verb[0] == "status";
        for what in ["/opt/data", "gateway-coder", "mknod", "unlinkat", "renameat"] {
            if reads && what == "gateway-coder" {
                continue;
            }
            let first = at(what).unwrap_or(usize::MAX);
            assert!(first > drop, "{verb:?}: {what} before the drop: {trace}");
        }
    }
    // Nor does one who stays root, for want of a user to become.
    let status = [&["env", "HERMES_GW_USER=ghost"], &TRACED[..], &["status", "nosuch"]].concat();
    let output = container.as_root(&status);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stderr.contains("look up user: ghost: not in /etc/passwd"), "{output:?}");
    let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
    assert!(trace.contains("/etc/passwd") && !trace.contains("/opt/data"), "{trace}");
}

/// How many system calls are in /tmp/trace, but for those of waiting, which are as many as it
/// takes.
fn count_calls(container: &Container) -> usize {
    let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
    let is_other = |line: &&str| ["poll(", "FIONREAD"].iter().all(|it| !line.contains(it));
    trace.lines().filter(is_other).count()
}

#[test]
fn verbs_make_no_more_system_calls_than_their_bounds() {
    if support::static_binary("how many system calls verbs make").is_none() {
        return;
    }
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = Container::boot(volume, Spec::default());
    // What is done before, the verb, and its bound.
    let table: [(&str, &[&str], usize); 5] = [
        ("start", &["is-running", "coder"], 30),
        ("start", &["stop", "coder"], 103),
        ("stop", &["start", "coder"], 110),
        ("start", &["restart", "coder"], 110),
        ("start", &["status", "coder"], 176),
    ];
    for (before, verb, most) in table {
        // On a busy machine it takes more looks until the gateway is down.
        let calls = (0..7).map(|_| {
            container.as_hermes(&["/command/hermes-gw", before, "coder"]).ok();
            if before == "start" {
                container.wait_up("coder");
            }
            container.as_root(&[&TRACED[..], verb].concat()).ok();
            count_calls(&container)
        });
        let calls: Vec<_> = calls.collect();
        println!("{verb:?}: {calls:?} system calls");
        assert!(calls.iter().any(|calls| *calls <= most), "{verb:?}: {calls:?}");
    }
}

#[test]
fn a_boot_makes_no_more_system_calls_for_each_profile_than_its_bound() {
    if support::static_binary("how many system calls a boot makes").is_none() {
        return;
    }
    let calls = |profiles: usize| {
        let volume = Volume::new();
        let names = (0..profiles).map(|at| format!("p{at:02}")).collect::<Vec<_>>();
        let container = Container::boot(volume, Spec::default());
        for name in &names {
            container.volume().wanted(name, "running");
        }
        container.volume().give(support::HERMES);
        container.as_root(&[&TRACED[..], &["reconcile", "--boot"]].concat()).ok();
        count_calls(&container)
    };
    let (few, many) = (calls(10), calls(90));
    let each = (many - few) as f64 / 80.0;
    println!("reconcile --boot: {each} system calls for each profile");
    assert!(each <= 40.0, "{each}");
}

/// hermes-gw with `calls` failing with `error` where they are about one of `paths`.
fn failing(calls: &str, error: &str, paths: &[&str]) -> Vec<String> {
    let inject = format!("inject={calls}:error={error}");
    let mut strace: Vec<_> =
        ["strace", "-f", "-qq", "-y", "-o", "/tmp/trace", "-e", &inject].map(String::from).into();
    for path in paths {
        strace.extend(["-P".to_string(), path.to_string()]);
    }
    strace.push("/command/hermes-gw".into());
    strace
}

/// As root in `container`, without `setting` in its own environment: `program` and `verb`.
fn bare(container: &Container, setting: &str, program: &[String], verb: &[&str]) -> Output {
    let program: Vec<_> = program.iter().map(String::as_str).collect();
    container.as_root(&[&["env", "-u", setting], &program[..], verb].concat())
}

#[test]
fn a_setting_that_cannot_be_read_is_none_that_is_not_there() {
    let defaults = [
        ("GATEWAY_MULTIPLEX_PROFILES", "no"),
        ("HERMES_GW_POLICY", "profiles"),
        ("HERMES_GW_SERVICES_MAX", "500"),
        ("HERMES_GW_SKIP_RECONCILE", "no"),
        ("HERMES_GW_USER", "hermes"),
        ("S6_PROFILE_GATEWAY_SCANDIR", support::SCANDIR_OF_PID_1),
    ];
    let environment = defaults.map(|(name, value)| (name.to_string(), value.to_string())).into();
    let volume = Volume::new();
    volume.wanted("one", "running");
    let spec = Spec { environment, tree: support::Tree::Root, ..Spec::default() };
    let container = Container::boot(volume, spec);
    // (the setting, what follows, its exit code)
    let table = [
        ("GATEWAY_MULTIPLEX_PROFILES", "it counts as not set", 0),
        ("HERMES_GW_POLICY", "the default counts", 0),
        ("HERMES_GW_SERVICES_MAX", "the default counts", 0),
        ("HERMES_GW_SKIP_RECONCILE", "reconcile is skipped", 0),
        ("HERMES_GW_USER", "", 111),
        ("S6_PROFILE_GATEWAY_SCANDIR", "", 111),
        ("HERMES_HOME", "", 111),
    ];
    for (name, follows, code) in table {
        let path = format!("/run/s6/container_environment/{name}");
        for calls in ["openat", "fstat,newfstatat", "read"] {
            let failing = failing(calls, "EIO", &[&path, name]);
            let output = bare(&container, name, &failing, &["reconcile"]);
            let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
            assert!(trace.contains("(INJECTED)"), "{name} {calls}: {trace}");
            assert_eq!(output.code, code, "{name} {calls}: {output:?}");
            let why = format!("read: {path}: Input/output error (EIO)");
            let line = match follows {
                "" => format!("hermes-gw: {why}"),
                follows => format!("hermes-gw: warning: {why}: {follows}"),
            };
            let told: Vec<_> = output.stderr.lines().filter(|it| it.contains(name)).collect();
            // What may follow is where it would have to be given otherwise.
            assert_eq!(told.len(), 1, "{name} {calls}: {output:?}");
            assert!(told[0].starts_with(&line), "{name} {calls}: {output:?}");
            let skipped = output.stdout.starts_with("reconcile: skipped: ");
            assert_eq!(skipped, name == "HERMES_GW_SKIP_RECONCILE", "{name} {calls}: {output:?}");
            assert!(code == 0 || output.stdout.is_empty(), "{name} {calls}: {output:?}");
        }
    }
    // Nor is there nothing where the directory cannot be listed.
    let environment = "/run/s6/container_environment";
    for calls in ["open,openat", "getdents64"] {
        let failing = failing(calls, "EIO", &[environment]);
        let output = bare(&container, "HERMES_GW_TREE", &failing, &["reconcile"]);
        let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
        assert!(trace.contains("(INJECTED)"), "{calls}: {trace}");
        assert_eq!((output.code, output.stdout.as_str()), (111, ""), "{calls}: {output:?}");
        let lines = output.stderr.lines().filter(|line| !line.contains(" warning: "));
        assert_eq!(lines.count(), 1, "{calls}: {output:?}");
    }
    // As an image leaves it whose s6-overlay keeps it for root: once is enough.
    container.as_root(&["chmod", "0700", environment]).ok();
    for verb in ["reconcile", "list", "status"] {
        let output = container.as_hermes(&["env", "-i", "/command/hermes-gw", verb]);
        let why = format!("hermes-gw: open directory: {environment}: Permission denied (EACCES)\n");
        let told = (output.code, output.stdout.as_str(), output.stderr.as_str());
        assert_eq!(told, (111, "", why.as_str()), "{verb}");
    }
}

#[test]
fn in_an_old_style_container_too_one_home_keeps_no_other_from_its_gateway() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let main = ["gateway", "run"].map(String::from).into();
    let container = Container::boot(volume, Spec { main, ..Spec::default() });
    container.wait_up("one");
    fs::remove_file(container.volume().home("default").join("gateway_state.json")).unwrap();
    let failing = failing("newfstatat", "EIO", &["gateway_state.json"]);
    let output = bare(&container, "X", &failing, &["reconcile"]);
    let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
    assert!(trace.contains("(INJECTED)"), "{trace}");
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("profile=one prior_state=running action=kept\n"), "{output:?}");
}

#[test]
fn a_migration_that_a_run_did_not_know_of_is_made_up_for_by_the_next() {
    let main = ["gateway", "run"].map(String::from).into();
    let container = Container::boot(Volume::new(), Spec { main, ..Spec::default() });
    container.wait_up("default");
    // As if whose main program it is had not been found out at boot.
    container.as_hermes(&["/command/s6-svc", "-wD", "-d", "/run/service/gateway-default"]).ok();
    container.as_hermes(&["touch", "/run/service/gateway-default/down"]).ok();
    fs::remove_file(container.volume().home("default").join("gateway_state.json")).unwrap();
    // What cannot be looked at is told.
    let failing = failing("newfstatat", "EIO", &["gateway_state.json"]);
    let output = bare(&container, "X", &failing, &["reconcile"]);
    assert!(output.stderr.contains("gateway_state.json: Input/output error (EIO)"), "{output:?}");
    assert!(output.stdout.contains("profile=default prior_state=none action=kept"), "{output:?}");
    let output = container.as_root(&["/command/hermes-gw", "reconcile"]).ok();
    assert!(output.contains("profile=default prior_state=running action=started"), "{output}");
    container.wait_up("default");
    assert!(!container.inside("/run/service/gateway-default/down").exists());
    // Who has it stopped has said so in its state file.
    container.as_root(&["/command/hermes-gw", "stop", "default"]).ok();
    let output = container.as_root(&["/command/hermes-gw", "reconcile"]).ok();
    assert!(output.contains("profile=default prior_state=stopped action=kept"), "{output}");
    assert_eq!(container.state("default"), "down");
}

#[test]
fn while_it_is_not_known_whose_the_tree_is_root_gives_nothing_to_anybody() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let spec = Spec { tree: support::Tree::User, ..Spec::default() };
    let container = Container::boot(volume, spec);
    container.wait_up("one");
    const NAME: &str = "HERMES_GW_TREE";
    let path = format!("/run/s6/container_environment/{NAME}");
    let of_hermes = || {
        let trees = [support::SCANDIR_OF_PID_1, "/run/s6-rc/servicedirs"];
        container.as_root(&["find", trees[0], trees[1], "-user", "hermes"]).ok()
    };
    assert_eq!(of_hermes(), "");
    for verb in
        [&["reconcile"][..], &["reconcile", "--boot"], &["register", "two", "--force"], &["list"]]
    {
        for (calls, error) in
            [("openat", "EIO"), ("openat", "EMFILE"), ("fstat,newfstatat", "EIO"), ("read", "EIO")]
        {
            let what = format!("{verb:?} {calls} {error}");
            let output = bare(&container, NAME, &failing(calls, error, &[&path, NAME]), verb);
            let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
            assert!(trace.contains("(INJECTED)"), "{what}: {trace}");
            assert_eq!((output.code, output.stdout.as_str()), (111, ""), "{what}: {output:?}");
            let errors = output.stderr.lines().filter(|line| !line.contains(" warning: "));
            let errors: Vec<_> = errors.collect();
            assert_eq!(errors.len(), 1, "{what}: {output:?}");
            let start = format!("hermes-gw: read: {path}: ");
            assert!(errors[0].starts_with(&start), "{what}: {output:?}");
            assert!(errors[0].contains(&format!(" ({error})")), "{what}: {output:?}");
            assert_eq!(of_hermes(), "", "{what}");
        }
    }
    // Nor where it says what is no tree.
    for value in ["mine", "'user'", "\"user\"", "Root"] {
        let setting = format!("{NAME}={value}");
        let output = container.as_root(&["env", &setting, "/command/hermes-gw", "reconcile"]);
        let why = format!("hermes-gw: read setting: {setting}: must be root or user\n");
        assert_eq!((output.code, output.stdout.as_str()), (100, ""), "{output:?}");
        assert_eq!(output.stderr, why);
        assert_eq!(of_hermes(), "", "{value}");
    }
    assert_eq!(container.state("one"), "up");
}

#[test]
fn a_group_database_that_cannot_be_read_drops_no_groups() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("one");
    for (calls, error) in [
        ("openat", "EIO"),
        ("openat", "EACCES"),
        ("pread64,read", "EIO"),
        ("pread64,read", "EINVAL"),
    ] {
        let strace = failing(calls, error, &["/etc/group", "group"]);
        for verb in [&["stop", "one"][..], &["reconcile"]] {
            let output = bare(&container, "X", &strace, verb);
            let what = format!("{verb:?} {calls} {error}: {output:?}");
            let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
            assert!(trace.contains("(INJECTED)"), "{what}: {trace}");
            assert_eq!((output.code, output.stdout.as_str()), (111, ""), "{what}");
            let start = "hermes-gw: read: /etc/group: ";
            assert!(output.stderr.starts_with(start), "{what}");
            assert_eq!(output.stderr.lines().count(), 1, "{what}");
            assert!(output.stderr.contains(&format!(" ({error})")), "{what}");
            assert_eq!(container.state("one"), "up", "{what}");
        }
    }
    // An image without one has no supplementary groups.
    container.as_root(&["mv", "/etc/group", "/etc/none"]).ok();
    container.as_root(&[&TRACED[..], &["stop", "one"]].concat()).ok();
    let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
    assert!(trace.contains("setgroups(1, [10000])"), "{trace}");
}

#[test]
fn a_pid_file_that_was_taken_aside_never_takes_the_place_of_a_newer_one() {
    for error in ["", "EINVAL", "ENOSYS", "EIO", "EEXIST"] {
        let volume = Volume::new();
        volume.wanted("default", "stopped").file("default", "gateway.pid", "older");
        let container = Container::boot(volume, Spec::default());
        let home = container.volume().home("default");
        fs::write(home.join("gateway.pid"), "older").unwrap();
        container.volume().give(support::HERMES);
        let mut strace = vec!["strace", "-f", "-qq", "-o", "/tmp/trace", "-e", "trace=%file"];
        // It stops once it has taken the file aside, and its gateway starts meanwhile.
        strace.extend(["-e", "inject=renameat:signal=STOP:when=1"]);
        let inject = format!("inject=renameat2:error={error}");
        if !error.is_empty() {
            strace.extend(["-e", &inject]);
        }
        let args = [&strace[..], &["/command/hermes-gw", "reconcile"]].concat();
        let reconcile = container.root_command(&args).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the file to be taken aside", || home.join(".hermes-gw.swept").exists());
        container.as_hermes(&["/command/s6-svc", "-wu", "-u", "/run/service/gateway-default"]).ok();
        container.wait_up("default");
        let newer = fs::read_to_string(home.join("gateway.pid")).unwrap();
        assert_ne!(newer, "older");
        container.go_on("/command/hermes-gw reconcile");
        let output = reconcile.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let trace = container.as_root(&["cat", "/tmp/trace"]).ok();
        assert!(trace.contains("renameat2("), "{error}: {trace}");
        assert_eq!(fs::read_to_string(home.join("gateway.pid")).unwrap(), newer, "{error}: {said}");
        assert_eq!(output.status.code(), Some(0), "{error}: {said}");
        assert_eq!(said.contains("(EIO)"), error == "EIO", "{said}");
        let left = home.join(".hermes-gw.swept").exists();
        assert_eq!(left, error == "EIO", "{error}: {said}");
        // And what was left goes with the next run.
        container.as_hermes(&["/command/hermes-gw", "stop", "default"]).ok();
        fs::write(home.join("gateway.pid"), "older").unwrap();
        container.as_hermes(&["/command/hermes-gw", "reconcile"]).ok();
        let left = ["gateway.pid", ".hermes-gw.swept"].map(|name| home.join(name).exists());
        assert_eq!(left, [false, false], "{error}");
    }
}

#[test]
fn four_hundred_profiles_take_under_one_and_a_half_mebibytes() {
    let Some(binary) = support::static_binary("peak memory") else { return };
    let volume = Volume::new();
    for i in 0..400 {
        volume.wanted(&format!("profile-{i:03}"), "running");
    }
    // The kernel holds the line: address space, of which memory is a part.
    let slots = |limit: &str| {
        let scandir = tempfile::tempdir_in(support::workspace()).unwrap();
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={limit}")).arg(&binary).arg("-q").arg("--home");
        command.arg(volume.path()).arg("--scandir").arg(scandir.path());
        let status = command.args(["reconcile", "--boot"]).env("HERMES_GW_USER", "root").status();
        let slots = run(Command::new("find").arg(scandir.path()).args(["-name", "gateway-*"]));
        (status.unwrap().success(), slots.lines().count())
    };
    assert_eq!(slots("1572864"), (true, 401));
    assert!(!slots("131072").0, "the limit is none");
}
