//! The program as a process, on homes and scandirs of every kind; no supervisor needed.

use crate::support;
use nix::fcntl::OFlag;
use nix::pty::PtyMaster;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Volume, binary};

/// A home and an empty directory as scandir.
struct Scene {
    volume: Volume,
    scandir: tempfile::TempDir,
}

#[derive(Debug)]
struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Scene {
    fn new() -> Scene {
        let scandir = tempfile::tempdir_in(support::workspace()).unwrap();
        Scene { volume: Volume::new(), scandir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        // Whoever runs the tests stands for the gateways' user.
        let uid = support::run(Command::new("id").arg("-un"));
        command.arg("--home").arg(self.volume.path()).arg("--scandir").arg(self.scandir.path());
        command.args(args).env_clear().env("HERMES_GW_USER", uid.trim());
        command
    }

    fn output(&self, mut command: Command) -> Output {
        let output = command.output().unwrap();
        Output {
            code: output.status.code().expect("it died of a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        self.output(self.command(args))
    }

    #[track_caller]
    fn boot(&self) -> Output {
        let output = self.run(&["reconcile", "--boot"]);
        assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
        output
    }

    fn slot(&self, profile: &str) -> PathBuf {
        self.scandir.path().join(format!("gateway-{profile}"))
    }

    /// Whether the slot of `profile` is whole, and whether it starts by itself.
    fn starts(&self, profile: &str) -> bool {
        let slot = self.slot(profile);
        for (name, mode) in [("run", 0o755), ("finish", 0o755), ("log/run", 0o755), ("type", 0o644)]
        {
            let meta = fs::metadata(slot.join(name)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o7777, mode, "{profile}/{name}");
        }
        for side in [slot.clone(), slot.join("log")] {
            assert!(fs::metadata(side.join("supervise/control")).unwrap().file_type().is_fifo());
            for event in ["event", "supervise/event"] {
                let mode = fs::metadata(side.join(event)).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o3730, "{profile}/{event}");
            }
        }
        !slot.join("down").exists()
    }

    fn everything(&self) -> String {
        let paths = [self.scandir.path(), self.volume.path()];
        let args = ["-printf", "%p %y %m %i %s %T@ %C@\n"];
        support::run(Command::new("find").args(paths).args(args))
    }
}

#[test]
fn state_files_met_in_the_wild() {
    let real = r#"{"kind":"hermes-gateway","pid":77,"argv":["hermes"],"gateway_state":"running","platforms":{"telegram":{"state":"connected","x":[1,{"y":null}]}},"desired_state":"running"}"#;
    let text = |s: &str| s.as_bytes().to_vec();
    // (name, content, starts, what the warning says)
    let mut table: Vec<(String, Vec<u8>, bool, Option<String>)> = [
        ("real", text(real), true, None),
        ("bom", text(&format!("\u{feff}{real}")), true, None),
        (
            "nested-unknown",
            text(r#"{"new":{"desired_state":[[{}]]},"gateway_state":"degraded"}"#),
            true,
            None,
        ),
        ("empty", vec![], false, Some("is empty")),
        ("array", text(r#"["running"]"#), false, Some("holds no JSON object")),
        ("number", text("7"), false, Some("holds no JSON object")),
        ("trailing", text(&format!("{real} x")), false, Some("is not JSON at byte 171")),
        ("hangs-nanoserde", text(r#"{"x":["#), false, Some("is cut short")),
        ("hangs-nanoserde-2", text(r#"{"x":{"a":1"#), false, Some("is cut short")),
        ("panics-nanoserde", text(r#"{"x":"#), false, Some("is cut short")),
        ("deep", text(&"{\"a\":".repeat(200_000)), false, Some("is nested over 128 levels deep")),
        (
            "deep-arrays",
            text(&format!("{{\"a\":{}", "[".repeat(200_000))),
            false,
            Some("is nested over 128 levels deep"),
        ),
        (
            "no-utf8",
            b"{\"desired_state\":\"running\",\"x\":\"\xff\xfe\"}".to_vec(),
            false,
            Some("is not UTF-8 at byte 32"),
        ),
        ("utf16", b"\xff\xfe{\0}\0".to_vec(), false, Some("is not UTF-8 at byte 0")),
        (
            "nul",
            b"{\"desired_state\":\"running\"}\0".to_vec(),
            false,
            Some("is not JSON at byte 27"),
        ),
        (
            "number-intent",
            text(r#"{"desired_state":7}"#),
            false,
            Some("desired_state is not a string"),
        ),
        (
            "number-intent-running",
            text(r#"{"desired_state":7,"gateway_state":"running"}"#),
            true,
            Some("desired_state is not a string"),
        ),
        (
            "duplicate",
            text(r#"{"desired_state":"stopped","desired_state":"running"}"#),
            true,
            Some("has desired_state more than once: the last one counts"),
        ),
        (
            "large",
            text(&format!("{}{}", " ".repeat(1 << 20), real)),
            false,
            Some("is larger than 1048576 bytes"),
        ),
    ]
    .map(|(name, content, starts, why)| (name.to_string(), content, starts, why.map(String::from)))
    .into();
    for cut in 0..real.len() {
        let why = if cut == 0 { "is empty" } else { "is cut short" };
        table.push((
            format!("cut-{cut}"),
            real.as_bytes()[..cut].to_vec(),
            false,
            Some(why.into()),
        ));
    }

    let scene = Scene::new();
    for (name, content, ..) in &table {
        scene.volume.with_state(name, content);
    }
    let odd = |name: &str| {
        scene.volume.profile(name);
        scene.volume.home(name).join("gateway_state.json")
    };
    support::run(Command::new("mkfifo").arg(odd("fifo")).arg(odd("written")));
    let mut written = fs::OpenOptions::new().read(true).write(true).open(odd("written")).unwrap();
    written.write_all(br#"{"desired_state":"running"}"#).unwrap();
    fs::create_dir(odd("directory")).unwrap();
    symlink("/dev/zero", odd("zero")).unwrap();
    symlink("../real/gateway_state.json", odd("neighbour")).unwrap();
    symlink("/nowhere", odd("dangling")).unwrap();
    fs::File::create(odd("hundred-megabytes")).unwrap().set_len(100 << 20).unwrap();
    std::os::unix::net::UnixListener::bind(odd("socket")).unwrap();
    scene.volume.profile("missing");
    for (name, why) in [
        ("fifo", "is a FIFO, not a regular file"),
        ("written", "is a FIFO, not a regular file"),
        ("directory", "is a directory, not a regular file"),
        ("zero", "is a symbolic link, which is not followed (ELOOP)"),
        ("neighbour", "is a symbolic link, which is not followed (ELOOP)"),
        ("dangling", "is a symbolic link, which is not followed (ELOOP)"),
        ("hundred-megabytes", "is larger than 1048576 bytes"),
        ("socket", "No such device or address (ENXIO)"),
    ] {
        table.push((name.into(), vec![], false, Some(why.into())));
    }
    // It was never started, as default was not.
    table.push(("missing".into(), vec![], false, None));
    assert!(!scene.volume.path().join("gateway_state.json").exists());

    let output = scene.boot();
    for (name, _, starts, why) in &table {
        let action = if *starts { "started" } else { "registered" };
        let line = format!("reconcile: profile={name} prior_state=");
        let line = output.stdout.lines().find(|l| l.starts_with(&line)).unwrap();
        assert!(line.ends_with(&format!(" action={action}")), "{line}");
        assert_eq!(scene.starts(name), *starts, "{name}");
        let path = scene.volume.home(name).join("gateway_state.json");
        let start = format!("hermes-gw: warning: read: {}: ", path.display());
        let warnings: Vec<_> =
            output.stderr.lines().filter_map(|line| line.strip_prefix(&start)).collect();
        // Of what still tells a state, only the flaw is said.
        let why = why.as_ref().map(|why| match starts {
            true => why.clone(),
            false => format!("{why}: no prior state"),
        });
        match &why {
            None => assert_eq!(warnings, [""; 0], "{name}"),
            Some(why) => assert!(
                warnings.len() == 1 && warnings[0] == why,
                "{name}: {warnings:?}, not {why}"
            ),
        }
    }
    assert_eq!(output.stdout.lines().count(), table.len() + 1);
    let told = table.iter().filter(|row| row.3.is_some()).count();
    assert_eq!(output.stderr.lines().count(), told, "{}", output.stderr);
}

#[test]
fn a_dry_run_says_what_a_run_would_do_and_touches_nothing() {
    let scene = Scene::new();
    scene.volume.wanted("runs", "running").wanted("stays", "stopped").profile("Bad-Name");
    scene.volume.file("runs", "gateway.pid", "{}").file("default", "gateway_state.json", "{");
    fs::create_dir(scene.scandir.path().join(".gateway-x.tmp")).unwrap();
    let before = scene.everything();
    let dry = scene.run(&["reconcile", "--dry-run"]);
    let json = scene.run(&["--json", "reconcile", "--dry-run"]);
    assert_eq!((dry.code, json.code), (0, 0));
    assert_eq!(scene.everything(), before);

    let rows: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let expected = serde_json::json!([
        {"profile": "default", "prior_state": "none", "action": "registered", "prior_exit": "unknown", "reason": null,
         "folded_into_root": null},
        {"profile": "Bad-Name", "prior_state": "none", "action": "skipped", "prior_exit": "unknown",
         "reason": "invalid name: only a-z, 0-9, _ and - are allowed", "folded_into_root": null},
        {"profile": "runs", "prior_state": "running", "action": "started", "prior_exit": "unknown", "reason": null,
         "folded_into_root": null},
        {"profile": "stays", "prior_state": "stopped", "action": "registered", "prior_exit": "unknown", "reason": null,
         "folded_into_root": null},
    ]);
    assert_eq!(rows, expected);
    let warning: serde_json::Value = serde_json::from_str(json.stderr.trim()).unwrap();
    assert!(warning["warning"].as_str().unwrap().starts_with("read: "), "{warning}");

    let real = scene.boot();
    assert_eq!(real.stdout, dry.stdout);
    assert_ne!(scene.everything(), before);
}

#[test]
fn a_second_run_changes_nothing_but_its_log() {
    let scene = Scene::new();
    scene.volume.wanted("runs", "running").wanted("stays", "stopped");
    scene.boot();
    let slots = || {
        let args = ["-printf", "%p %y %m %i %s %T@ %C@\n"];
        support::run(
            Command::new("find").arg(scene.scandir.path()).args(["-mindepth", "1"]).args(args),
        )
    };
    let before = slots();
    let output = scene.boot();
    assert_eq!(slots(), before);
    assert_eq!(output.stdout.matches("action=kept\n").count(), 3, "{}", output.stdout);
}

#[test]
fn a_slot_that_waits_for_its_supervisor_follows_the_intent() {
    let scene = Scene::new();
    scene.volume.wanted("coder", "running");
    scene.boot();
    assert!(scene.starts("coder"));
    scene.volume.wanted("coder", "stopped");
    assert!(scene.boot().stdout.contains("profile=coder prior_state=stopped action=updated\n"));
    assert!(!scene.starts("coder"));
}

#[test]
fn a_damaged_slot_is_made_whole() {
    let scene = Scene::new();
    scene.volume.wanted("coder", "running");
    scene.boot();
    let slot = scene.slot("coder");
    type Damage = fn(&std::path::Path);
    let damages: [Damage; 8] = [
        |slot| fs::remove_dir_all(slot.join("log")).unwrap(),
        |slot| fs::remove_dir_all(slot.join("supervise")).unwrap(),
        |slot| fs::remove_file(slot.join("run")).unwrap(),
        |slot| fs::set_permissions(slot.join("run"), fs::Permissions::from_mode(0o644)).unwrap(),
        |slot| {
            fs::remove_file(slot.join("supervise/control")).unwrap();
            fs::write(slot.join("supervise/control"), "no FIFO").unwrap();
        },
        |slot| {
            fs::remove_dir(slot.join("event")).unwrap();
            fs::write(slot.join("event"), "no directory").unwrap();
        },
        |slot| {
            fs::rename(slot.join("log"), slot.join("elsewhere")).unwrap();
            symlink("elsewhere", slot.join("log")).unwrap();
        },
        |slot| {
            fs::remove_dir_all(slot.join("log")).unwrap();
            fs::write(slot.join("log"), "no directory").unwrap();
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        damage(&slot);
        let output = scene.boot();
        let updated = "profile=coder prior_state=running action=updated\n";
        assert!(output.stdout.contains(updated), "{number}: {}", output.stdout);
        assert!(scene.starts("coder"), "{number}");
        assert!(!scene.boot().stdout.contains(updated), "{number}");
    }
}

#[test]
fn an_unusable_slot_does_not_hide_its_intent() {
    let scene = Scene::new();
    scene.volume.wanted("coder", "running");
    fs::write(scene.slot("coder"), "").unwrap();
    let output = scene.run(&["reconcile", "--boot", "--policy", "root"]);
    assert_eq!(output.code, 0);
    assert!(output.stdout.contains("profile=coder prior_state=running action=skipped reason="));
    assert!(scene.starts("default"));
}

#[test]
fn root_gives_away_no_directory_that_is_no_scandir() {
    let scene = Scene::new();
    let give = |scandir: &std::path::Path| {
        let mut command = scene.command(&["reconcile", "--boot", "--scandir"]);
        command.arg(scandir).env("HERMES_GW_USER", "nobody");
        let output = scene.output(command);
        (output.code, output.stderr)
    };
    let owner =
        |path: &std::path::Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
    let etc = scene.scandir.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("passwd"), "").unwrap();
    let (code, stderr) = give(&etc);
    assert_eq!((code, owner(&etc)), (1, 0), "{stderr}");
    assert!(
        stderr
            .ends_with("etc/passwd: is in the way: a directory without .s6-svscan is no scandir\n"),
        "{stderr}"
    );

    let (target, link) = (scene.scandir.path().join("target"), scene.scandir.path().join("link"));
    fs::create_dir(&target).unwrap();
    symlink("target", &link).unwrap();
    let (code, stderr) = give(&link);
    assert_eq!((code, owner(&target)), (111, 0), "{stderr}");
    assert!(
        stderr.contains("/link: is a symbolic link, which is not followed (ELOOP)"),
        "{stderr}"
    );
}

#[test]
fn what_takes_a_slots_place_is_left_and_said() {
    let scene = Scene::new();
    scene.volume.profile("coder").profile("writer");
    fs::write(scene.slot("coder"), "mine").unwrap();
    symlink("/tmp", scene.slot("writer")).unwrap();
    let output = scene.boot();
    for (profile, why) in [
        ("coder", "Not a directory (ENOTDIR)"),
        ("writer", "is a symbolic link, which is not followed (ELOOP)"),
    ] {
        let path = scene.slot(profile);
        let facts = format!("profile={profile} prior_state=none action=skipped");
        let line = format!("{facts} reason=open directory: {}: {why}\n", path.display());
        assert!(output.stdout.contains(&line), "{line}{}", output.stdout);
    }
    assert_eq!(fs::read_to_string(scene.slot("coder")).unwrap(), "mine");
}

#[test]
fn at_most_498_pairs() {
    let scene = Scene::new();
    for i in 0..510 {
        scene.volume.profile(&format!("p{i:03}"));
    }
    let output = scene.boot();
    let slots = || fs::read_dir(scene.scandir.path()).unwrap().count() - 1;
    assert_eq!(slots(), 498);
    let skipped = "action=skipped reason=s6-svscan can hold no more than 498 gateways\n";
    assert_eq!(output.stdout.matches(skipped).count(), 13);
    assert!(output.stdout.contains("profile=p496 prior_state=none action=registered\n"));
    assert!(output.stdout.contains("profile=p497 prior_state=none action=skipped"));
    // A slot whose profile has gone still has its place.
    fs::remove_dir_all(scene.volume.home("p000")).unwrap();
    scene.boot();
    assert_eq!(slots(), 498);

    let mut more = scene.command(&["reconcile", "--boot"]);
    more.env("HERMES_GW_SERVICES_MAX", "1003");
    assert_eq!(scene.output(more).code, 0);
    assert_eq!(slots(), 500);
    let mut wrong = scene.command(&["reconcile", "--boot"]);
    wrong.env("HERMES_GW_SERVICES_MAX", "many");
    let output = scene.output(wrong);
    assert_eq!((output.code, slots()), (0, 500));
    // What cannot be understood is told once, and does not count.
    let why = "hermes-gw: warning: read setting: HERMES_GW_SERVICES_MAX=many: is not a number: \
        the default counts";
    let told: Vec<_> = output.stderr.lines().filter(|l| l.contains("read setting: ")).collect();
    assert_eq!(told, [why]);
}

#[test]
fn the_longest_names_have_slots() {
    let scene = Scene::new();
    let names = ["a".repeat(243), "a".repeat(242) + "b"];
    for name in &names {
        scene.volume.wanted(name, "running");
    }
    scene.volume.profile(&"a".repeat(244));
    let output = scene.boot();
    assert!(names.iter().all(|name| scene.starts(name)));
    let why = "action=skipped reason=invalid name: it has more than 243 bytes\n";
    assert_eq!(output.stdout.matches(why).count(), 1);
}

#[test]
fn a_pid_file_that_cannot_be_removed_keeps_nobody_down() {
    let scene = Scene::new();
    scene.volume.wanted("coder", "running");
    fs::create_dir_all(scene.volume.home("coder").join("gateway.pid/x")).unwrap();
    let output = scene.boot();
    assert!(output.stdout.contains("profile=coder prior_state=running action=started\n"));
    assert!(
        output.stderr.contains("coder/gateway.pid: Is a directory (EISDIR)\n"),
        "{}",
        output.stderr
    );
    assert!(scene.starts("coder"));
}

#[test]
fn the_boot_log_is_rotated_and_never_lost() {
    let scene = Scene::new();
    let logs = scene.volume.path().join("logs");
    let (log, rotated) = (logs.join("container-boot.log"), logs.join("container-boot.log.1"));
    scene.volume.file("default", "logs/container-boot.log", vec![b'x'; 256 * 1024 - 1]);
    scene.boot();
    assert!(!rotated.exists());
    scene.boot();
    assert!(fs::read(&rotated).unwrap().len() > 256 * 1024);
    let entry = fs::read_to_string(&log).unwrap();
    let facts = "+0000 profile=default prior_state=none action=kept prior_exit=unknown\n";
    assert!(entry.ends_with(facts), "{entry}");
    assert_eq!(entry.lines().count(), 1);

    fs::write(&log, vec![b'y'; 256 * 1024]).unwrap();
    fs::remove_file(&rotated).unwrap();
    fs::create_dir(&rotated).unwrap();
    let output = scene.boot();
    assert!(
        output.stderr.contains("warning: rename: ")
            && output.stderr.contains("container-boot.log: ")
    );
    assert!(fs::read_to_string(&log).unwrap().starts_with("yyy"));
    assert!(fs::read_to_string(&log).unwrap().ends_with("prior_exit=unknown\n"));

    fs::remove_file(&log).unwrap();
    support::run(Command::new("mkfifo").arg(&log));
    let output = scene.boot();
    assert!(output.stderr.contains("warning: append to: "), "{}", output.stderr);
}

#[test]
fn a_word_from_a_state_file_cannot_forge_a_line() {
    let scene = Scene::new();
    scene.volume.with_state("coder", r#"{"desired_state":"x\nprofile=y action=started"}"#);
    let output = scene.boot();
    assert!(
        output
            .stdout
            .contains("profile=coder prior_state=x?profile?y?action?started action=registered\n")
    );
    assert_eq!(output.stdout.lines().count(), 2);
    assert_eq!(scene.volume.read("default", "logs/container-boot.log").lines().count(), 2);
}

#[test]
fn a_home_that_is_a_profiles_own_leads_to_the_root() {
    let scene = Scene::new();
    scene.volume.wanted("coder", "running").profile("writer");
    let mut command = scene.command(&["reconcile", "--boot"]);
    command.arg("--home").arg(scene.volume.home("coder"));
    assert_eq!(scene.output(command).code, 0);
    assert!(scene.starts("coder") && !scene.starts("writer") && !scene.starts("default"));
}

#[test]
fn settings_come_from_the_environment_unless_the_command_line_says_otherwise() {
    let (scene, other) = (Scene::new(), Scene::new());
    let mut command = Command::new(binary());
    command.env_clear().args(["reconcile", "--boot"]).envs([
        ("HERMES_HOME", scene.volume.path().as_os_str()),
        ("S6_PROFILE_GATEWAY_SCANDIR", scene.scandir.path().as_os_str()),
        ("HERMES_GW_USER", std::ffi::OsStr::new("root")),
    ]);
    assert_eq!(scene.output(command).code, 0);
    assert!(!scene.starts("default"));
    let mut command = other.command(&["reconcile", "--boot", "--policy", "root"]);
    command.env("HERMES_HOME", "/nowhere").env("S6_PROFILE_GATEWAY_SCANDIR", "/nowhere");
    command.env("HERMES_GW_POLICY", "profiles");
    other.volume.wanted("coder", "running");
    assert_eq!(other.output(command).code, 0);
    assert!(other.starts("default") && !other.starts("coder"));
}

#[test]
fn errors_are_one_line_and_the_exit_code_tells_the_kind() {
    let scene = Scene::new();
    let bad_tree = |mut command: Command| {
        command.env("HERMES_GW_TREE", "both");
        command
    };
    let no_user = |mut command: Command| {
        command.env("HERMES_GW_USER", "nobody-of-that-name");
        command
    };
    let nowhere = |mut command: Command| {
        command.args(["--home", "/nowhere"]);
        command
    };
    let reconcile = || scene.command(&["reconcile"]);
    let table = [
        (
            bad_tree(reconcile()),
            100,
            "hermes-gw: read setting: HERMES_GW_TREE=both: must be root or user",
        ),
        (
            scene.command(&["reconcile", "--policy", "both"]),
            100,
            "hermes-gw: --policy: 'both' must be auto, profiles or root",
        ),
        (
            no_user(reconcile()),
            1,
            "hermes-gw: look up user: nobody-of-that-name: not in /etc/passwd: name the gateways' user in HERMES_GW_USER",
        ),
        (
            nowhere(reconcile()),
            111,
            "hermes-gw: open directory: /nowhere: No such file or directory (ENOENT): set HERMES_HOME or --home",
        ),
        (scene.command(&["frob"]), 100, "hermes-gw: unknown command 'frob': see hermes-gw help"),
        (
            scene.command(&["--json", "frob"]),
            100,
            r#"{"error":"unknown command 'frob': see hermes-gw help"}"#,
        ),
        (scene.command(&[]), 100, "hermes-gw: parse arguments: no command: see hermes-gw help"),
    ];
    for (command, code, line) in table {
        let shown = format!("{command:?}");
        let output = scene.output(command);
        assert_eq!((output.code, output.stderr.trim_end()), (code, line), "{shown}");
        assert_eq!(output.stdout, "", "{shown}");
    }
}

#[test]
fn help_version_and_quiet() {
    let scene = Scene::new();
    assert!(scene.run(&["help"]).stdout.starts_with("Usage: hermes-gw "));
    assert!(scene.run(&["help", "reconcile"]).stdout.starts_with("Usage: hermes-gw reconcile "));
    let version = format!("hermes-gw {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(scene.run(&["--version"]).stdout, version);
    assert_eq!(scene.run(&["detect"]).stdout, "none\n");
    assert_eq!(scene.run(&["-q", "reconcile", "--boot"]).stdout, "");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scene = Scene::new();
    for i in 0..200 {
        scene.volume.profile(&format!("p{i}"));
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = scene.command(&["reconcile", "--boot"]);
    assert!(command.stdout(writer).stderr(std::process::Stdio::null()).status().unwrap().success());
    assert!(!scene.starts("p199"));
}

/// One end of a connection that does not block, and is full; and the other.
fn full() -> (UnixStream, UnixStream) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while ours.write(&[b'.'; 4096]).is_ok() {}
    while ours.write(b".").is_ok() {}
    (ours, theirs)
}

/// A pipe that is full. Who writes to it waits for the reader.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    // The same pipe, opened once more by who does not wait.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut options = fs::File::options();
    let mut fill = options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(path).unwrap();
    while fill.write(&[b'.'; 4096]).is_ok() {}
    (reader, writer)
}

#[test]
fn a_stdout_that_does_not_block_is_waited_for() {
    let scene = Scene::new();
    let (stdout, mut reader) = full();
    let mut command = scene.command(&["reconcile", "--boot"]);
    let mut child = command.stdout(OwnedFd::from(stdout)).spawn().unwrap();
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let said = text.trim_start_matches('.');
    assert_eq!(said, "reconcile: profile=default prior_state=none action=registered\n");
}

#[test]
fn a_stderr_that_nobody_reads_is_waited_for_once() {
    let scene = Scene::new();
    for i in 0..5 {
        scene.volume.profile(&format!("p{i}")).with_state(&format!("p{i}"), "{");
    }
    let (stderr, reader) = full();
    let trace = scene.volume.path().join("trace");
    let like = scene.command(&["reconcile", "--boot"]);
    let mut command = Command::new("strace");
    command.args(["-e", "trace=poll,ppoll", "-o"]).arg(&trace).arg(binary()).args(like.get_args());
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let status = command.stderr(OwnedFd::from(stderr)).stdout(Stdio::null()).status().unwrap();
    drop(reader);
    assert!(status.success(), "{status:?} {}", fs::read_to_string(&trace).unwrap_or_default());
    let trace = fs::read_to_string(trace).unwrap();
    let waits: Vec<_> =
        trace.lines().filter(|line| line.contains("[{fd=2, events=POLLOUT}]")).collect();
    assert_eq!(waits.len(), 5, "{trace}");
    assert!(waits.iter().all(|line| line.contains("(Timeout)")), "{trace}");
    let whole = waits.iter().filter(|line| line.contains("{tv_sec=1, tv_nsec=0}")).count();
    assert_eq!(whole, 1, "{trace}");
}

/// Runs until `child` has ended, and does `meanwhile` again and again; its exit code.
#[track_caller]
fn end_of(mut child: Child, mut meanwhile: impl FnMut()) -> Option<i32> {
    let mut ended = None;
    support::wait_until("the program to end", || {
        meanwhile();
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap().code()
}

/// Both sides of a terminal, which no other test's processes inherit.
fn terminal() -> (PtyMaster, fs::File) {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::pty::posix_openpt(flags).unwrap();
    nix::pty::grantpt(&master).unwrap();
    nix::pty::unlockpt(&master).unwrap();
    let path = nix::pty::ptsname_r(&master).unwrap();
    let mut options = fs::File::options();
    let slave = options.read(true).write(true).custom_flags(nix::libc::O_NOCTTY).open(path);
    (master, slave.unwrap())
}

/// A run that warns of 300 profiles on a terminal: more than that holds, which says that it can be
/// written to when it is full.
fn warns_on_a_terminal(scene: &Scene) -> (PtyMaster, Child) {
    for i in 0..300 {
        scene.volume.profile(&format!("p{i:03}")).with_state(&format!("p{i:03}"), "{");
    }
    let (master, slave) = terminal();
    let mut command = scene.command(&["reconcile", "--boot"]);
    (master, command.stderr(slave).stdout(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_terminal_that_nobody_reads_is_waited_for_once() {
    let scene = Scene::new();
    let (mut master, child) = warns_on_a_terminal(&scene);
    assert_eq!(end_of(child, || ()), Some(0));
    assert!((0..300).all(|i| !scene.starts(&format!("p{i:03}"))));
    // What there was room for came.
    let mut said = vec![0; 4096];
    let read = master.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..read]);
    let first = said.lines().next().unwrap();
    assert!(first.ends_with("/p000/gateway_state.json: is cut short: no prior state"), "{said}");
}

#[test]
fn a_terminal_that_is_read_slowly_gets_all() {
    let scene = Scene::new();
    let (mut master, child) = warns_on_a_terminal(&scene);
    let reader = std::thread::spawn(move || {
        let (mut said, mut buffer) = (Vec::new(), [0; 256]);
        // With its last writer a terminal ends in EIO.
        while let Ok(read @ 1..) = master.read(&mut buffer) {
            said.extend_from_slice(&buffer[..read]);
            std::thread::sleep(Duration::from_millis(1));
        }
        String::from_utf8(said).unwrap()
    });
    assert_eq!(end_of(child, || ()), Some(0));
    let said = reader.join().unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 300, "{said}");
    for (i, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("/p{i:03}/gateway_state.json")), "{i}: {line}");
    }
}

impl Scene {
    /// The FIFO that s6-svscan would read, and somebody who holds it.
    fn held(&self) -> fs::File {
        let control = self.scandir.path().join(".s6-svscan/control");
        fs::create_dir(control.parent().unwrap()).unwrap();
        support::run(Command::new("mkfifo").arg("-m").arg("600").arg(&control));
        fs::File::options().read(true).write(true).open(control).unwrap()
    }

    /// Reads what the supervisor of `profile` is told, as long as what is returned lives.
    fn pretends(&self, profile: &str) -> Option<fs::File> {
        let mut options = fs::File::options();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        options.open(self.slot(profile).join("supervise/control")).ok()
    }
}

#[test]
fn slots_that_only_look_supervised_are_waited_for_together() {
    let scene = Scene::new();
    let names: Vec<_> = (0..5).map(|i| format!("p{i}")).collect();
    for name in &names {
        scene.volume.profile(name);
    }
    let mut scans = scene.held();
    let trace = scene.volume.path().join("trace");
    let like = scene.command(&["reconcile"]);
    let mut command = Command::new("strace");
    command.args(["-e", "trace=poll,ppoll", "-o"]).arg(&trace).arg(binary()).args(like.get_args());
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    // Once they are made: each slot has a supervisor that says it is ready, no logger has one.
    scans.read_exact(&mut [0]).unwrap();
    let mut held = Vec::new();
    for name in names.iter().map(String::as_str).chain(["default"]) {
        fs::write(scene.slot(name).join("supervise/status"), [0; 35]).unwrap();
        held.push(scene.pretends(name).unwrap());
    }
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(report.matches("did not take it up in time").count(), 6, "{report}");
    let trace = fs::read_to_string(trace).unwrap();
    // Five seconds, and twice five, for there were more supervisors after the first.
    let is_wait = |line: &&str| line.starts_with("ppoll(") && line.contains("(Timeout)");
    let waits = trace.lines().filter(is_wait).count();
    assert!((2..=3).contains(&waits), "{trace}");
}

#[test]
fn a_supervisor_that_comes_and_goes_keeps_nobody_waiting_for_ever() {
    let scene = Scene::new();
    scene.volume.profile("one");
    let _scans = scene.held();
    let mut command = scene.command(&["register", "one"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Each time that it is waited for anew, it comes or goes.
    let (mut seen, mut held) = (HashSet::new(), None);
    let code = end_of(child, || {
        let events = fs::read_dir(scene.slot("one").join("event")).into_iter().flatten();
        let names: Vec<_> = events.filter_map(|it| Some(it.ok()?.file_name())).collect();
        let is_new = |name: OsString| seen.insert(name);
        if names.into_iter().map(is_new).fold(false, |any, new| any | new) {
            held = if held.is_none() { scene.pretends("one") } else { None };
        }
    });
    assert_eq!(code, Some(102));
}

#[test]
fn what_is_no_profile_is_looked_at_a_few_times_however_many_there_are() {
    let scene = Scene::new();
    let profiles = scene.volume.path().join("profiles");
    fs::create_dir_all(&profiles).unwrap();
    for i in 0..100 {
        symlink("nowhere", profiles.join(format!("x{i}"))).unwrap();
    }
    let trace = scene.volume.path().join("trace");
    let like = scene.command(&["reconcile", "--boot"]);
    let mut command = Command::new("strace");
    command.arg("-o").arg(&trace).arg(binary()).args(like.get_args());
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    support::run(&mut command);
    let trace = fs::read_to_string(trace).unwrap();
    // Its SOUL.md, whether it is another's directory, to open it, what it is and where it leads.
    for i in 0..100 {
        let is_of_it =
            |line: &&str| line.contains(&format!("\"x{i}\"")) || line.contains(&format!("\"x{i}/"));
        let looks: Vec<_> = trace.lines().filter(is_of_it).collect();
        assert!((1..=6).contains(&looks.len()), "{looks:#?}");
    }
}

#[test]
fn a_line_longer_than_there_is_room_for_is_not_waited_for() {
    let scene = Scene::new();
    // Each byte is shown as four.
    let target = OsString::from_vec(vec![0xff; 4000]);
    symlink(target, scene.volume.path().join("profiles")).unwrap();
    // Room for one page, and a reader that has stopped.
    let (mut reader, writer) = full_pipe();
    reader.read_exact(&mut [0; 4096]).unwrap();
    let mut command = scene.command(&["reconcile", "--boot", "--prune"]);
    let child = command.stderr(writer).stdout(Stdio::null()).spawn().unwrap();
    drop(command);
    // What was to be pruned is not known.
    assert_eq!(end_of(child, || ()), Some(1));
    assert!(!scene.starts("default"));
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    let said = said.trim_start_matches('.');
    assert!(said.len() == 4096 && said.starts_with("hermes-gw: warning: open directory: "));
}

#[test]
fn who_does_not_read_what_was_done_keeps_nobody_from_the_lock() {
    let scene = Scene::new();
    for at in 0..200 {
        scene.volume.profile(&format!("p{at}"));
    }
    let (reader, writer) = full_pipe();
    let mut command = scene.command(&["reconcile", "--boot"]);
    let mut child = command.stdout(writer).spawn().unwrap();
    drop(command);
    // The last of them is there before it says so.
    support::wait_until("the last slot", || scene.slot("p99").exists());
    let other = scene.boot();
    assert_eq!(other.stdout.matches("action=kept").count(), 201, "{}", other.stdout);
    assert_eq!(child.try_wait().unwrap(), None);
    drop(reader);
    child.wait().unwrap();
}

#[test]
fn a_boot_goes_on_where_nothing_can_be_locked() {
    let socket = "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => shift, Listen => 1)'";
    for kind in ["ln -s nowhere", "ln -s /etc/passwd", "mkdir", socket] {
        let scene = Scene::new();
        let make = format!("cd \"$0\"; {kind} .hermes-gw.lock");
        support::run(Command::new("sh").args(["-ec", &make]).arg(scene.scandir.path()));
        let lock = scene.scandir.path().join(".hermes-gw.lock");
        let (told, ends) = (
            format!("warning: lock: {}: ", lock.display()),
            ": goes on without it, and removes nothing\n",
        );
        let said = scene.boot().stderr;
        assert!(said.contains(&told) && said.ends_with(ends), "{kind}: {said}");
        assert!(!scene.starts("default"));
        // What asks for it says so too.
        let other = scene.run(&["reconcile"]);
        assert!(
            other.code > 100 && other.stderr.starts_with("hermes-gw: lock: "),
            "{kind}: {other:?}"
        );
    }
}

#[test]
fn a_slot_that_cannot_be_looked_at_is_told_and_the_others_are_reconciled() {
    let scene = Scene::new();
    scene.volume.wanted("gone", "stopped").wanted("later", "stopped");
    scene.boot();
    fs::remove_dir_all(scene.volume.home("gone")).unwrap();
    fs::remove_dir_all(scene.slot("later")).unwrap();
    let disturbed = |path: &str, call: &str, args: &[&str]| {
        let plain = scene.command(args);
        let mut traced = Command::new("strace");
        traced.args(["-qq", "-o", "/dev/null", "-P", path]);
        traced.args(["-e", &format!("inject={call}:error=EIO")]);
        traced.arg(plain.get_program()).args(plain.get_args());
        traced.env("HERMES_GW_USER", plain.get_envs().next().unwrap().1.unwrap());
        scene.output(traced)
    };
    let output = disturbed("gateway-gone", "newfstatat", &["reconcile", "--boot", "--prune"]);
    let why = format!(
        "hermes-gw: warning: look at: {}: Input/output error (EIO)\n",
        scene.slot("gone").display()
    );
    assert_eq!((output.code, &*output.stderr), (1, &*why));
    assert!(!output.stdout.contains("pruned"), "{}", output.stdout);
    assert!(scene.slot("gone").exists() && scene.slot("later").exists());
    // Nor is nobody there where profiles cannot be listed.
    let profiles = scene.volume.path().join("profiles").display().to_string();
    let output = disturbed(&profiles, "getdents64", &["reconcile", "--boot"]);
    let why = format!("hermes-gw: warning: list directory: {profiles}: Input/output error (EIO)\n");
    assert_eq!((output.code, &*output.stderr), (1, &*why));
    assert_eq!(scene.run(&["reconcile", "--boot", "--prune"]).code, 0);
    assert!(!scene.slot("gone").exists());
}

#[test]
fn called_by_its_cont_init_name_it_reconciles() {
    let scene = Scene::new();
    let dir = tempfile::tempdir_in(support::workspace()).unwrap();
    let link = dir.path().join("02-reconcile-profiles");
    symlink(fs::canonicalize(binary()).unwrap(), &link).unwrap();
    let like = scene.command(&[]);
    let mut command = Command::new(link);
    command.args(like.get_args()).env_clear().env("HERMES_GW_USER", "root");
    assert_eq!(scene.output(command).code, 0);
    assert!(!scene.starts("default"));
}

#[test]
fn what_other_processes_of_the_machine_are_called_is_nothing_to_it() {
    let expected = {
        let scene = Scene::new();
        scene.volume.wanted("coder", "running");
        scene.boot().stdout
    };
    const RC_INIT: [&str; 2] = ["/run/s6/basedir/scripts/rc.init", "top"];
    const WRAPPER: &str = "/opt/hermes/docker/main-wrapper.sh";
    for role in [&["gateway", "run"][..], &["hermes", "gateway", "run"], &["dashboard"]] {
        for before in [&RC_INIT[..], &[]] {
            let scene = Scene::new();
            scene.volume.wanted("coder", "running");
            let mut decoy = Command::new("sh");
            // It waits for this test, and then it ends.
            decoy.args(["-c", "read -r _"]).args(before).arg(WRAPPER).args(role);
            decoy.stdin(std::process::Stdio::piped());
            let mut decoy = decoy.spawn().unwrap();
            let output = scene.boot();
            assert!(decoy.try_wait().unwrap().is_none(), "it has gone");
            drop(decoy.stdin.take());
            decoy.wait().unwrap();
            assert_eq!(output.stdout, expected, "{before:?} {role:?}");
            assert!(scene.starts("coder") && !scene.starts("default"), "{before:?} {role:?}");
            assert!(!scene.volume.path().join("gateway_state.json").exists(), "{role:?}");
        }
    }
}

#[test]
fn who_set_anything_but_no_to_have_it_skipped_meant_that() {
    const NAME: &str = "HERMES_GW_SKIP_RECONCILE";
    // (the value, whether it skips, whether it is complained of)
    let table = [
        ("1", true, false),
        ("true", true, false),
        (" Yes\n", true, false),
        ("ON", true, false),
        ("0", false, false),
        ("false", false, false),
        ("No", false, false),
        (" off ", false, false),
        ("", false, false),
        (" ", false, false),
        // As `docker run --env-file` leaves them.
        ("\"1\"", true, true),
        ("'0'", true, true),
        ("2", true, true),
        ("please", true, true),
    ];
    for (value, skips, odd) in table {
        let scene = Scene::new();
        scene.volume.wanted("coder", "running").file("coder", "gateway.pid", "{}");
        let before = scene.everything();
        let mut command = scene.command(&["reconcile", "--boot"]);
        let output = scene.output({
            command.env(NAME, value);
            command
        });
        assert_eq!(output.code, 0, "{value:?}: {}", output.stderr);
        let skipped = format!("reconcile: skipped: {NAME} is set\n");
        assert_eq!(output.stdout == skipped, skips, "{value:?}: {}", output.stdout);
        assert_eq!(scene.everything() == before, skips, "{value:?}");
        let why = format!(
            "hermes-gw: warning: read setting: {NAME}={value}: is neither yes nor no: \
             reconcile is skipped\n"
        );
        match (skips, odd) {
            (_, true) => assert_eq!(output.stderr, why, "{value:?}"),
            (true, false) => assert_eq!(output.stderr, "", "{value:?}"),
            (false, false) => assert!(!output.stderr.contains(NAME), "{}", output.stderr),
        }
    }
}

#[test]
fn settings_that_cannot_be_understood_are_named_and_their_defaults_count() {
    // With the policy that counts, coder runs and default does not.
    let scene = Scene::new();
    scene.volume.wanted("coder", "running");
    let mut command = scene.command(&["reconcile", "--boot"]);
    command.env("HERMES_GW_POLICY", "both").env("HERMES_GW_BACKOFF_MAX", "1e3");
    command.env("HERMES_GW_PARK_DEATHS", "-1");
    let output = scene.output(command);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut told: Vec<_> =
        output.stderr.lines().filter(|line| line.contains("read setting: ")).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "hermes-gw: warning: read setting: HERMES_GW_BACKOFF_MAX=1e3: is not a time in \
             seconds: the default counts",
            "hermes-gw: warning: read setting: HERMES_GW_PARK_DEATHS=-1: is not a number: the \
             default counts",
            "hermes-gw: warning: read setting: HERMES_GW_POLICY=both: must be auto, profiles or root: \
             the default counts",
        ]
    );
    assert!(scene.starts("coder") && !scene.starts("default"));
}

#[test]
fn few_descriptors_are_enough_for_many_profiles() {
    let scene = Scene::new();
    let names: Vec<_> = (0..100).map(|i| format!("p{i:02}")).collect();
    for name in &names {
        scene.volume.wanted(name, "running").file(name, "gateway.pid", "{}");
    }
    for limit in ["32", "24:1024"] {
        let like = scene.command(&["reconcile", "--boot"]);
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}")).arg(like.get_program()).args(like.get_args());
        let user = support::run(Command::new("id").arg("-un"));
        command.env_clear().env("HERMES_GW_USER", user.trim()).env("PATH", "/usr/bin:/bin");
        let output = scene.output(command);
        assert_eq!(output.code, 0, "{limit}: {}{}", output.stdout, output.stderr);
        assert!(!output.stdout.contains("skipped"), "{limit}: {}", output.stdout);
        for name in &names {
            assert!(scene.starts(name), "{limit} {name}");
            assert!(!scene.volume.home(name).join("gateway.pid").exists(), "{limit} {name}");
        }
        fs::remove_dir_all(scene.scandir.path()).unwrap();
        fs::create_dir(scene.scandir.path()).unwrap();
        for name in &names {
            scene.volume.file(name, "gateway.pid", "{}");
        }
    }
}

#[test]
fn as_many_gateways_are_named_as_there_are() {
    let scene = Scene::new();
    let names: Vec<_> = (0..600).map(|i| format!("p{i}")).collect();
    let args = names.iter().map(String::as_str);
    let output = scene.run(&["unregister"].into_iter().chain(args).collect::<Vec<_>>());
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let output = scene.run(&["is-running", "one", "two"]);
    let why = "hermes-gw: is-running: takes fewer arguments: usage: hermes-gw is-running PROFILE\n";
    assert_eq!((output.code, output.stderr.as_str()), (100, why));
}

/// Who starts when coder and writer want to run and default does not, and what was said.
#[track_caller]
fn started(scene: &Scene, variable: Option<&str>) -> (&'static str, Output) {
    let mut command = scene.command(&["reconcile", "--boot"]);
    if let Some(value) = variable {
        command.env("GATEWAY_MULTIPLEX_PROFILES", value);
    }
    let output = scene.output(command);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let starts = ["default", "coder", "writer"].map(|profile| scene.starts(profile));
    let who = match starts {
        [true, false, false] => "root",
        [false, true, true] => "profiles",
        _ => panic!("{starts:?}"),
    };
    (who, output)
}

fn served() -> Scene {
    let scene = Scene::new();
    scene.volume.wanted("default", "stopped").wanted("coder", "running").wanted("idle", "stopped");
    scene.volume.wanted("writer", "running");
    scene
}

#[test]
fn the_policy_follows_what_hermes_follows() {
    const NAME: &str = "GATEWAY_MULTIPLEX_PROFILES";
    let yes = "multiplex_profiles: true\n";
    let nested = "gateway:\n  multiplex_profiles: true\n";
    // (the variable, .env, config.yaml, the policy)
    let table = [
        (None, None, None, "profiles"),
        (Some("1"), None, None, "root"),
        (Some(" On\n"), None, None, "root"),
        (Some("0"), None, Some(yes), "profiles"),
        (Some(""), None, Some(yes), "root"),
        (Some("maybe"), None, Some(yes), "root"),
        (Some("maybe"), None, None, "profiles"),
        (None, Some("N=yes\n"), None, "root"),
        (Some("1"), Some("N=off\n"), Some(yes), "profiles"),
        (Some("0"), Some("N=0\nexport N='true' # so\n"), None, "root"),
        (Some("1"), Some("#N=0\nX=\"\nN=0\"\n"), None, "root"),
        // An empty line replaces the variable, and then counts for nothing.
        (Some("1"), Some("N=\n"), None, "profiles"),
        (Some("0"), Some("N=\n"), Some(yes), "root"),
        (Some("1"), Some("N=maybe\n"), Some("multiplex_profiles: no\n"), "profiles"),
        // One without anything to set sets nothing.
        (Some("1"), Some("N\n"), None, "root"),
        (None, None, Some(yes), "root"),
        (None, None, Some(nested), "root"),
        (None, None, Some("gateway: {multiplex_profiles: yes}\n"), "root"),
        (
            None,
            None,
            Some("multiplex_profiles: false\ngateway: {multiplex_profiles: on}"),
            "profiles",
        ),
        (None, None, Some("model: |\n  multiplex_profiles: true\n"), "profiles"),
    ];
    for (variable, dotenv, config, policy) in table {
        let scene = served();
        if let Some(text) = dotenv {
            scene.volume.file("default", ".env", text.replace('N', NAME));
        }
        if let Some(text) = config {
            scene.volume.file("default", "config.yaml", text);
        }
        let (who, output) = started(&scene, variable);
        assert_eq!(who, policy, "{variable:?} {dotenv:?} {config:?}: {}", output.stderr);
        assert_eq!(output.stderr, "", "{variable:?} {dotenv:?} {config:?}");
        let folded = " action=started folded_into_root=coder,writer\n";
        assert_eq!(output.stdout.contains(folded), policy == "root", "{}", output.stdout);
        assert_eq!(output.stdout.matches("folded").count(), usize::from(policy == "root"));
    }
}

#[test]
fn whose_wish_default_starts_by_is_in_the_boot_log_and_in_json() {
    let scene = served();
    scene.volume.file("default", ".env", "GATEWAY_MULTIPLEX_PROFILES=1");
    let dry = scene.run(&["--json", "reconcile", "--dry-run"]);
    let rows: serde_json::Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(rows[0]["folded_into_root"], serde_json::json!(["coder", "writer"]));
    assert_eq!(rows[1]["folded_into_root"], serde_json::Value::Null);
    assert_eq!(started(&scene, None).0, "root");
    let log = scene.volume.read("default", "logs/container-boot.log");
    let line = log.lines().next().unwrap();
    let end = " profile=default prior_state=stopped action=started prior_exit=unknown \
               folded_into_root=coder,writer";
    assert!(line.ends_with(end), "{line}");
    assert_eq!(log.matches("folded").count(), 1);
    // What is set or given forces it, either way.
    let forced = |setting, args: &[&str]| {
        let mut command = scene.command(&[&["reconcile", "--dry-run"], args].concat());
        command.env("HERMES_GW_POLICY", setting);
        scene.output(command).stdout.contains("folded_into_root")
    };
    assert!(!forced("profiles", &[]) && forced("root", &[]) && forced("auto", &[]));
    assert!(forced("profiles", &["--policy", "auto"]) && !forced("root", &["--policy=profiles"]));
}

#[test]
fn a_config_may_be_a_link_and_what_is_odd_about_one_never_fails_a_boot() {
    // As Kubernetes mounts ConfigMaps.
    let scene = served();
    scene.volume.file("default", "..2026/config.yaml", "multiplex_profiles: true\n");
    symlink("..2026", scene.volume.path().join("..data")).unwrap();
    symlink("..data/config.yaml", scene.volume.path().join("config.yaml")).unwrap();
    let (who, output) = started(&scene, None);
    assert_eq!((who, output.stderr.as_str()), ("root", ""));

    let links = [
        ("dangling", "/nowhere", None),
        ("zero", "/dev/zero", Some("is a socket or a device, not a regular file")),
        ("loop", "config.yaml", Some("(ELOOP)")),
        ("directory", "/", Some("is a directory, not a regular file")),
    ];
    let texts = [
        (
            "anchor",
            "gateway: &a\n  multiplex_profiles: true\n".to_string(),
            "has an anchor, an alias or a tag",
        ),
        ("number", "multiplex_profiles: 7\n".to_string(), "has a value that is neither yes nor no"),
        ("tab", "\tmultiplex_profiles: true\n".to_string(), "has a tab where YAML has none"),
        (
            "documents",
            "multiplex_profiles: true\n---\n".to_string(),
            "has more of YAML than is understood here",
        ),
        ("large", "#".repeat((1 << 20) + 1), "is larger than 1048576 bytes"),
    ];
    let check = |what: &str, file: &str, scene: &Scene, why: Option<&str>| {
        let (who, output) = started(scene, None);
        assert_eq!(who, "profiles", "{what}");
        let path = scene.volume.path().join(file);
        let start = format!("hermes-gw: warning: read: {}: ", path.display());
        let told: Vec<_> = output.stderr.lines().collect();
        match why {
            None => assert_eq!(told, [""; 0], "{what}"),
            Some(why) => {
                assert_eq!(told.len(), 1, "{what}: {told:?}");
                let end = format!("{why}: it does not count: set HERMES_GW_POLICY");
                assert!(told[0].starts_with(&start) && told[0].ends_with(&end), "{what}: {told:?}");
            }
        }
    };
    for file in ["config.yaml", ".env"] {
        for (what, target, why) in links {
            let target = if target == "config.yaml" { file } else { target };
            let scene = served();
            symlink(target, scene.volume.path().join(file)).unwrap();
            check(what, file, &scene, why);
        }
        let scene = served();
        support::run(Command::new("mkfifo").arg(scene.volume.path().join(file)));
        check("FIFO", file, &scene, Some("is a FIFO, not a regular file"));
    }
    for (what, text, why) in texts {
        let scene = served();
        scene.volume.file("default", "config.yaml", text);
        check(what, "config.yaml", &scene, Some(why));
    }
}

#[test]
fn memory_does_not_grow_with_what_is_shown_and_its_lack_is_told() {
    let scene = Scene::new();
    for at in 0..150 {
        scene.volume.wanted(&format!("profile-{at}"), "stopped");
    }
    scene.boot();
    let trace = scene.scandir.path().join(".trace");
    for verb in ["status", "doctor", "list"] {
        let plain = scene.command(&["--json", verb]);
        let mut traced = Command::new("strace");
        traced.args(["-qq", "-e", "write", "-s", "0", "-o"]).arg(&trace);
        traced.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            traced.env(name, value.unwrap());
        }
        let output = scene.output(traced);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{verb}: {error}: {} {}", output.code, output.stderr));
        assert!(rows.len() >= 151, "{verb}: {rows:?}");
        // Each piece is of 16 KiB, and as much of a row as goes beyond. doctor holds back what it
        // finds among the processes, of which those of other tests are some.
        let trace = fs::read_to_string(&trace).unwrap();
        let written = trace.lines().filter_map(|line| line.strip_prefix("write(1, \"\"..., "));
        let lengths = written.map(|rest| rest.split_once(')').unwrap().0.parse().unwrap());
        let lengths: Vec<usize> = lengths.collect();
        assert_eq!(lengths.iter().sum::<usize>(), output.stdout.len(), "{verb}: {trace}");
        assert!(verb != "doctor" || lengths.len() > 1, "{trace}");
        let is_piece = |length: &usize| *length < 17 << 10;
        assert!(verb == "doctor" || lengths.iter().all(is_piece), "{verb}: {trace}");
    }
    // There is no room for this one.
    let large = format!("{{\"desired_state\":\"running\",\"x\":\"{}\"}}", "x".repeat(1_000_000));
    scene.volume.with_state("profile-7", &large);
    let plain = scene.command(&["reconcile", "--dry-run"]);
    // Other tests may have thousands of processes, which take room too: they are not seen.
    let mut limited = Command::new("unshare");
    limited.args(["--pid", "--fork", "--mount-proc", "prlimit", "--data=900000"]);
    limited.arg(plain.get_program()).args(plain.get_args());
    limited.env("HERMES_GW_USER", plain.get_envs().next().unwrap().1.unwrap());
    let output = scene.output(limited);
    let told = "profile-7/gateway_state.json: Cannot allocate memory (ENOMEM): no prior state";
    assert!(output.stderr.contains(told), "{}", output.stderr);
    assert_eq!(output.stdout.lines().count(), 151, "{}", output.stdout);
}

#[test]
fn with_many_profiles_a_lack_of_memory_is_told() {
    let scene = Scene::new();
    for at in 0..500 {
        scene.volume.wanted(&format!("profile-{at}"), "stopped");
    }
    let boot =
        scene.command(&["reconcile", "--boot"]).env("HERMES_GW_SERVICES_MAX", "2000").output();
    assert!(boot.unwrap().status.success());
    let list = scene.run(&["list"]).stdout;
    assert_eq!(list.lines().count(), 501, "{list}");
    for verb in [&["list"][..], &["status"], &["--json", "doctor"], &["reconcile", "--dry-run"]] {
        let mut told = 0;
        for limit in (160..600).step_by(20) {
            let plain = scene.command(verb);
            let mut limited = Command::new("prlimit");
            limited
                .arg(format!("--data={limit}000"))
                .arg(plain.get_program())
                .args(plain.get_args());
            limited.env("HERMES_GW_USER", plain.get_envs().next().unwrap().1.unwrap());
            let output = limited.output().unwrap();
            let code =
                output.status.code().unwrap_or_else(|| panic!("{verb:?} {limit}: {output:?}"));
            let said = [output.stdout, output.stderr].concat();
            if String::from_utf8_lossy(&said).contains("Cannot allocate memory (ENOMEM)") {
                assert!(code != 0, "{verb:?} {limit}");
                told += 1;
            }
        }
        assert!(told > 0, "{verb:?}");
    }
}
