//! Boot and restart of a container: every gateway has its slot, and those run that should.

use crate::support;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use support::{Container, SCANDIR_OF_PID_1, Spec, Tree, Volume, wait_until};

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn main_program(args: &[&str]) -> Spec {
    Spec { main: args.iter().map(|arg| arg.to_string()).collect(), ..Spec::default() }
}

/// The grace time is for slow gateways; these tests have none.
fn quick() -> Spec {
    Spec { environment: environment(&[("S6_KILL_GRACETIME", "500")]), ..Spec::default() }
}

/// The names in the scandir, dot names too.
fn scandir(container: &Container) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(container.inside("/run/service"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn slots(container: &Container) -> Vec<String> {
    let names = scandir(container);
    names.iter().filter_map(|name| name.strip_prefix("gateway-")).map(String::from).collect()
}

#[test]
fn with_no_profiles_default_is_registered_down() {
    let container = Container::boot(Volume::new(), Spec::default());
    assert_eq!(slots(&container), ["default"]);
    assert_eq!(container.state("default"), "down");
    let console = container.console();
    assert!(console.contains("02-reconcile-profiles exited 0"), "{console}");
    assert!(console.contains("reconcile: profile=default prior_state=none action=registered\n"));
    // That it was never started is nothing to be warned of.
    assert!(!console.contains("warning"), "{console}");
    let log = container.volume().read("default", "logs/container-boot.log");
    let first = log.lines().next().unwrap();
    let (stamp, facts) = first.split_once(' ').unwrap();
    assert_eq!(facts, "profile=default prior_state=none action=registered prior_exit=unknown");
    assert_eq!((stamp.len(), &stamp[19..]), (24, "+0000"), "{stamp}");
}

#[test]
fn fifty_profiles_of_which_five_are_broken() {
    let volume = Volume::new();
    type Make = fn(&Volume, &str);
    let states: [(&str, Make, &str); 9] = [
        ("intent-running", |v, p| _ = v.wanted(p, "running"), "up"),
        ("intent-stopped", |v, p| _ = v.wanted(p, "stopped"), "down"),
        ("was-running", |v, p| _ = v.last_seen(p, "running"), "up"),
        ("was-draining", |v, p| _ = v.last_seen(p, "draining"), "up"),
        ("was-degraded", |v, p| _ = v.last_seen(p, "degraded"), "up"),
        ("was-stopped", |v, p| _ = v.last_seen(p, "stopped"), "down"),
        ("was-starting", |v, p| _ = v.last_seen(p, "starting"), "down"),
        ("was-failed", |v, p| _ = v.last_seen(p, "startup_failed"), "down"),
        ("never-started", |v, p| _ = v.profile(p), "down"),
    ];
    let mut expected = Vec::new();
    for round in 0..5 {
        for (name, make, state) in &states {
            let profile = format!("{name}-{round}");
            make(&volume, &profile);
            expected.push((profile, *state));
        }
    }
    for broken in ["default", "Upper", "with space", "dot.ted"] {
        let home = volume.home("x").with_file_name(broken);
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("SOUL.md"), "").unwrap();
    }
    symlink("linked", volume.home("linked")).unwrap();
    fs::create_dir(volume.home("no-profile")).unwrap();

    let container = Container::boot(volume, Spec::default());
    let console = container.console();
    assert!(console.contains("02-reconcile-profiles exited 0"), "{console}");
    for (profile, state) in &expected {
        if *state == "up" {
            container.wait_up(profile);
        }
        assert_eq!(container.state(profile), *state, "{profile}");
        let action = if *state == "up" { "started" } else { "registered" };
        let line = format!("reconcile: profile={profile} prior_state=");
        let line = console.lines().find(|l| l.starts_with(&line)).unwrap_or_default();
        assert!(line.ends_with(&format!(" action={action}")), "{profile}: {line:?}");
    }
    assert_eq!(slots(&container).len(), 46);
    let table = [
        ("default", "default is the root profile"),
        ("Upper", "invalid name: only a-z, 0-9, _ and - are allowed"),
        ("with\\x20space", "invalid name"),
        ("dot.ted", "invalid name"),
        ("linked", "open directory: /opt/data/profiles/linked: leads in a circle (ELOOP)"),
    ];
    for (name, why) in table {
        let start =
            format!("reconcile: profile={name} prior_state=none action=skipped reason={why}");
        assert!(console.lines().any(|line| line.starts_with(&start)), "{start}\n{console}");
    }
    assert!(!console.contains("no-profile") && !console.contains("warning"), "{console}");
}

#[test]
fn restarts_keep_what_ran_running_and_what_was_stopped_stopped() {
    let volume = Volume::new();
    volume.wanted("runs", "running").wanted("stays", "stopped").last_seen("drained", "draining");
    let mut container = Container::boot(volume, quick());
    for _ in 0..3 {
        for profile in ["runs", "drained"] {
            container.wait_up(profile);
        }
        assert_eq!([container.state("stays"), container.state("default")], ["down", "down"]);
        container.restart();
    }
    container.wait_up("runs");
    // Killed all at once, a gateway says running to the last: it comes back, and the log says how it went.
    container.kill();
    container.start();
    container.wait_up("runs");
    let log = container.volume().read("default", "logs/container-boot.log");
    let line = "profile=runs prior_state=running action=started prior_exit=";
    let exits: Vec<_> = log.lines().filter_map(|l| l.split_once(line)).map(|(_, e)| e).collect();
    assert_eq!(exits, ["unknown", "clean", "clean", "clean", "unclean"]);
}

#[test]
fn pid_files_of_a_dead_container_go() {
    let volume = Volume::new();
    volume.wanted("stays", "stopped");
    for profile in ["default", "stays"] {
        volume.file(profile, "gateway.pid", "{\"pid\":1}").file(profile, "processes.json", "[]");
    }
    let container = Container::boot(volume, Spec::default());
    for profile in ["default", "stays"] {
        for name in ["gateway.pid", "processes.json"] {
            assert!(!container.volume().home(profile).join(name).exists(), "{profile} {name}");
        }
    }
}

#[test]
fn hermes_controls_what_root_supervises_whatever_its_uid_and_home() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let spec = Spec { home: "/data/of hermes".into(), uid: 12_345, ..Spec::default() };
    let container = Container::boot(volume, spec);
    container.wait_up("coder");

    let slot = "/run/service/gateway-coder";
    container.as_hermes(&["/command/s6-svc", "-wD", "-d", slot]).ok();
    assert_eq!(container.state("coder"), "down");
    container.as_hermes(&["/command/s6-svc", "-wu", "-u", slot]).ok();
    container.wait_up("coder");
    container.as_hermes(&["/command/s6-svscanctl", "-a", "/run/service"]).ok();

    let owners = container.as_root(&["find", slot, "-printf", "%P %y %m %U:%G\n"]).ok();
    let mut entries: Vec<_> = owners.lines().filter(|line| !line.contains("ftrig")).collect();
    entries.sort_unstable();
    // What s6-supervise made itself belongs to whom it runs as; all else is hermes's.
    let own = if support::tree() == Tree::Root { "0:0" } else { "12345:12345" };
    let expected = [
        " d 755 12345:12345",
        "crash-record f 644 12345:12345",
        "event d 3730 12345:12345",
        "finish f 755 12345:12345",
        "intervened f 644 12345:12345",
        "log d 755 12345:12345",
        "log/event d 3730 12345:12345",
        "log/finish f 755 12345:12345",
        "log/run f 755 12345:12345",
        "log/supervise d 700 12345:12345",
        "log/supervise/control p 600 12345:12345",
        "log/supervise/death_tally f 644 OWN",
        "log/supervise/event d 3730 12345:12345",
        "log/supervise/lock f 644 OWN",
        "log/supervise/status f 644 OWN",
        "max-death-tally f 644 12345:12345",
        "run f 755 12345:12345",
        "supervise d 700 12345:12345",
        "supervise/control p 600 12345:12345",
        "supervise/death_tally f 644 OWN",
        "supervise/event d 3730 12345:12345",
        "supervise/lock f 644 OWN",
        "supervise/status f 644 OWN",
        "timeout-finish f 644 12345:12345",
        "type f 644 12345:12345",
    ]
    .map(|entry| entry.replace("OWN", own));
    assert_eq!(entries, expected);

    let environment = container.volume().read("coder", ".standin-environment");
    for variable in [
        "HERMES_HOME=/data/of hermes",
        "HOME=/data/of hermes",
        "HERMES_S6_SUPERVISED_CHILD=1",
        "HERMES_SUPERVISED_CHILD=1",
    ] {
        assert!(environment.split('\0').any(|v| v == variable), "{variable}: {environment:?}");
    }
    assert_eq!(container.volume().read("coder", ".standin-cwd"), "/data/of hermes\n");
    wait_until("the gateway's words in its log", || {
        container.volume().log("coder").contains("gateway coder: running\n")
    });
    for path in ["logs", "logs/gateways", "logs/gateways/coder", "logs/container-boot.log"] {
        let meta = fs::metadata(container.volume().path().join(path)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12_345, 12_345), "{path}");
    }
    let container_log = || container.console();
    wait_until("the gateway's words in the container's log", || {
        container_log().contains("gateway coder: running\n")
    });
}

#[test]
fn gateways_of_a_hermes_that_is_root_run_too() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = Container::boot(volume, Spec { uid: 0, ..Spec::default() });
    container.wait_up("coder");
    wait_until("the gateway's words in its log", || {
        container.volume().log("coder").contains("gateway coder: running\n")
    });
}

#[test]
fn static_services_are_handed_to_hermes_and_the_overlays_own_are_not() {
    // In the user tree nothing of root's is handed over: see tree.rs.
    let services = vec!["web".into(), "s6rc-own".into()];
    let spec = Spec { services, tree: Tree::Root, ..Spec::default() };
    let container = Container::boot(Volume::new(), spec);
    let stat = |name: &str| {
        let service = format!("/run/service/{name}");
        container.as_hermes(&["/command/s6-svstat", "-o", "up", &service])
    };
    assert_eq!(stat("web").ok(), "false\n");
    container.as_hermes(&["/command/s6-svc", "-o", "/run/service/web"]).ok();
    assert_ne!(stat("s6rc-own").code, 0);
    let console = container.console();
    assert!(!console.contains("hand over"), "{console}");
}

#[test]
fn a_gateway_with_a_fatal_configuration_error_is_not_started_again() {
    let volume = Volume::new();
    volume.wanted("broken", "running").file("broken", "behave", "exit 78\n");
    volume.wanted("failing", "running").file("failing", "behave", "exit 1\n");
    let container = Container::boot(volume, Spec::default());
    let logs = |profile: &str| container.volume().log(profile);
    wait_until("the failing gateway to be started again", || {
        logs("failing").matches("starting").count() >= 3
    });
    assert_eq!(logs("broken").matches("starting").count(), 1);
    let want = ["/command/s6-svstat", "-o", "wantedup", "/run/service/gateway-broken"];
    assert_eq!(container.as_hermes(&want).ok(), "false\n");
}

#[test]
fn a_dashboard_container_and_a_setting_leave_all_as_it_was() {
    let skipping =
        Spec { environment: environment(&[("HERMES_GW_SKIP_RECONCILE", "1")]), ..Spec::default() };
    let runs = |word: &str| {
        format!(
            "reconcile: skipped: this container runs hermes {word}; another one runs the gateways\n"
        )
    };
    let dispatch = "/opt/hermes/docker/entrypoint-dispatch.sh";
    let wrapper = "/opt/hermes/docker/main-wrapper.sh";
    let table = [
        (main_program(&["dashboard"]), runs("dashboard")),
        (main_program(&["hermes", "dashboard"]), runs("dashboard")),
        (main_program(&["serve", "--port", "1"]), runs("serve")),
        (main_program(&["hermes", "gui"]), runs("gui")),
        (main_program(&["desktop"]), runs("desktop")),
        (main_program(&[dispatch, "dashboard"]), runs("dashboard")),
        (main_program(&[dispatch, wrapper, "serve"]), runs("serve")),
        (main_program(&[wrapper, dispatch, "hermes", "gui"]), runs("gui")),
        (skipping, "reconcile: skipped: HERMES_GW_SKIP_RECONCILE is set\n".into()),
    ];
    for (spec, line) in table {
        let volume = Volume::new();
        volume.wanted("coder", "running").file("coder", "gateway.pid", "{}");
        let container = Container::boot(volume, spec);
        assert_eq!(slots(&container), [""; 0]);
        assert!(container.volume().home("coder").join("gateway.pid").exists());
        assert!(!container.volume().path().join("logs").exists());
        assert_eq!(fs::metadata(container.inside(SCANDIR_OF_PID_1)).unwrap().uid(), 0);
        let console = container.console();
        assert!(console.contains(&line), "{line}: {console}");
        assert!(console.contains("02-reconcile-profiles exited 0"), "{console}");
        let json = container.as_root(&["/command/hermes-gw", "--json", "reconcile"]);
        assert_eq!((json.stdout.as_str(), json.code), ("[]\n", 0));
        let warning: serde_json::Value = serde_json::from_str(&json.stderr).unwrap();
        assert!(warning["warning"].as_str().unwrap().starts_with("skipped: "), "{warning}");
    }
}

#[test]
fn who_calls_a_process_of_theirs_a_dashboard_stops_nothing() {
    let container = Container::boot(Volume::new(), Spec::default());
    // Both become PID 1's; one is called what s6-overlay calls its own.
    for before in ["", "/run/s6/basedir/scripts/rc.init top "] {
        let args = format!("{before}/opt/hermes/docker/main-wrapper.sh dashboard");
        let decoy = format!("sleep 60 & exec sh -c 'sleep 30; :' {args}");
        container.as_hermes(&["sh", "-c", &format!("({decoy}) >/dev/null 2>&1 &")]).ok();
        let args = format!("1 hermes   sh -c sleep 30; : {args}");
        wait_until("the decoy", || {
            let all = container.as_root(&["ps", "-eo", "ppid=,user=,args="]).ok();
            all.lines().any(|line| line.trim_start() == args)
        });
        let output = container.as_root(&["/command/hermes-gw", "reconcile"]).ok();
        assert!(output.contains("profile=default prior_state=none action=kept\n"), "{output}");
    }
}

#[test]
fn an_old_style_container_gets_its_root_gateway() {
    let mut container = Container::boot(Volume::new(), main_program(&["gateway", "run"]));
    container.wait_up("default");
    let console = container.console();
    assert!(console.contains("profile=default prior_state=running action=started"), "{console}");
    container.kill();
    container.start();
    container.wait_up("default");

    let seeded = Container::boot(
        Volume::new(),
        Spec {
            environment: environment(&[("HERMES_GATEWAY_NO_SUPERVISE", "0")]),
            ..main_program(&["hermes", "gateway", "run", "--replace"])
        },
    );
    seeded.wait_up("default");

    for spec in not_supervised() {
        let container = Container::boot(Volume::new(), spec);
        assert_eq!(container.state("default"), "down");
        assert!(!container.volume().path().join("gateway_state.json").exists());
    }
    let volume = Volume::new();
    volume.wanted("default", "stopped");
    let stopped = Container::boot(volume, main_program(&["gateway", "run"]));
    assert_eq!(stopped.state("default"), "down");
}

/// Containers whose main program is itself the root profile's gateway.
fn not_supervised() -> [Spec; 3] {
    let dispatch = "/opt/hermes/docker/entrypoint-dispatch.sh";
    let table: [(&[&str], &str); 3] = [
        (&["gateway", "run", "--no-supervise"], "0"),
        (&[dispatch, "hermes", "gateway", "run", "--replace", "--no-supervise"], ""),
        (&["gateway", "run"], "Yes"),
    ];
    table.map(|(args, setting)| {
        let settings = [("HERMES_GATEWAY_NO_SUPERVISE", setting), ("S6_KILL_GRACETIME", "500")];
        Spec { environment: environment(&settings), ..main_program(args) }
    })
}

#[test]
fn where_the_main_program_is_its_gateway_default_stays_down() {
    for spec in not_supervised() {
        let volume = Volume::new();
        volume.wanted("default", "running").wanted("coder", "running").wanted("idle", "stopped");
        let mut container = Container::boot(volume, spec);
        let gw = |container: &Container, args: &[&str]| {
            container.as_hermes(&[&["/command/hermes-gw"], args].concat())
        };
        let fact = "profile=default prior_state=running action=registered";
        let why = "reason=the container's main program is its gateway\n";
        for restart in [true, false] {
            container.wait_up("coder");
            let console = container.console();
            assert!(console.contains(&format!("reconcile: {fact} {why}")), "{console}");
            let log = container.volume().read("default", "logs/container-boot.log");
            let last = log.split_inclusive('\n').rfind(|line| line.contains(fact)).unwrap();
            assert!(last.ends_with(why), "{log}");
            assert_eq!(container.state("default"), "down");
            assert_eq!(container.state("idle"), "down");
            // All is as it is meant to be.
            for args in [
                &["/command/hermes-gw", "--json", "status"][..],
                &["/command/hermes-gw", "status", "default"],
            ] {
                assert_eq!((container.as_hermes(args).code, container.as_root(args).code), (0, 0));
            }
            let json = gw(&container, &["--json", "status", "default"]).ok();
            let shown = support::jq(".[0] | [.state, .text, .wanted_at_boot] | tojson", &json);
            assert_eq!(shown, r#"["down","down","down"]"#);
            let doctor = gw(&container, &["doctor"]);
            let line = "ok    s6           s6-svscan is PID 1; default: the container's main program is its gateway\n";
            assert!(doctor.code == 0 && doctor.stdout.contains(line), "{doctor:?}");
            assert_eq!(gw(&container, &["-q", "doctor"]).stdout, "");
            // The main program's own, by now.
            container.volume().file("default", "gateway.pid", "{}").give(support::HERMES);
            let output = gw(&container, &["reconcile"]).ok();
            let kept = format!("profile=default prior_state=running action=kept {why}");
            assert!(output.contains(&kept), "{output}");
            assert!(container.volume().path().join("gateway.pid").exists());
            if restart {
                container.restart();
                assert!(!container.volume().path().join("gateway.pid").exists());
            }
            let state = container.volume().read("default", "gateway_state.json");
            assert!(state.contains(r#""desired_state":"running""#), "{state}");
        }
        // Another one would end it, and so the container.
        for verb in ["start", "restart"] {
            let refused = gw(&container, &[verb, "default"]);
            assert_eq!(refused.code, 1, "{refused:?}");
            assert!(refused.stderr.contains("main program is its gateway"), "{refused:?}");
            gw(&container, &[verb, "--all"]).ok();
            assert_eq!(container.state("default"), "down");
        }
        // Started in spite of that, it is told.
        gw(&container, &["start", "--force", "default"]).ok();
        container.wait_up("default");
        let doctor = gw(&container, &["-q", "doctor"]);
        let line = "warn  gateways     default: up, and the container's main program is its gateway: two run\n      \
            try: hermes-gw stop default\n0 failures, 1 warning\n";
        assert_eq!(doctor.stdout, line);
        let shown = gw(&container, &["status", "--table", "default"]).ok();
        assert!(shown.ends_with("  up, wanted down at next boot\n"), "{shown}");
    }
}

#[test]
fn the_seeded_state_file_is_what_hermes_reads() {
    // With the gateway unable to start, what was seeded stays as it was.
    let container = Container::new(Volume::new(), main_program(&["gateway", "run"]));
    support::link("/bin/false", &container.root().join("usr/local/bin/hermes"));
    let mut container = container;
    container.start();
    let state = container.volume().read("default", "gateway_state.json");
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["gateway_state"], "running");
    assert_eq!(state["desired_state"], "running");
    assert_eq!(state["migrated_from"], "legacy-container-cmd");
    assert!(state["timestamp"].as_i64().unwrap() > 1_700_000_000);
    let meta = fs::metadata(container.volume().path().join("gateway_state.json")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (support::HERMES, 0o644));
}

#[test]
fn under_policy_root_only_default_starts() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "stopped");
    let spec =
        Spec { environment: environment(&[("HERMES_GW_POLICY", "root")]), ..Spec::default() };
    let container = Container::boot(volume, spec);
    container.wait_up("default");
    assert_eq!([container.state("coder"), container.state("writer")], ["down", "down"]);
}

#[test]
fn the_containers_environment_says_that_default_serves_all() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("writer", "stopped");
    let set = environment(&[("GATEWAY_MULTIPLEX_PROFILES", "true")]);
    let mut container = Container::boot(volume, Spec { environment: set, ..Spec::default() });
    container.wait_up("default");
    assert_eq!([container.state("coder"), container.state("writer")], ["down", "down"]);
    let console = container.console();
    assert!(console.contains("action=started folded_into_root=coder\n"), "{console}");
    // Hermes' own file says otherwise, and it is its gateways that count.
    container.volume().file("default", ".env", "GATEWAY_MULTIPLEX_PROFILES=no\n");
    container.volume().give(support::HERMES);
    container.restart();
    container.wait_up("coder");
    // One that only hermes may read is read: root is dropped by then.
    let secret = container.volume().path().join(".env");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&secret, "GATEWAY_MULTIPLEX_PROFILES=yes\n").unwrap();
    container.restart();
    container.wait_up("default");
    assert_eq!(container.state("coder"), "down");
}

#[test]
fn one_unreadable_entry_does_not_stop_the_others() {
    let volume = Volume::new();
    volume.wanted("aaa", "running").wanted("locked", "running").wanted("zzz", "running");
    volume.wanted("secret", "running");
    let mut container = Container::new(volume, Spec::default());
    let root = |path: &std::path::Path, mode| {
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    root(&container.volume().home("locked"), 0o700);
    root(&container.volume().home("secret").join("gateway_state.json"), 0o600);
    container.start();
    for profile in ["aaa", "zzz"] {
        container.wait_up(profile);
    }
    assert_eq!(container.state("secret"), "down");
    let console = container.console();
    assert!(console.contains("profile=locked prior_state=none action=skipped reason=open directory: /opt/data/profiles/locked: Permission denied (EACCES)\n"), "{console}");
    assert!(
        console.contains(
            "warning: read: /opt/data/profiles/secret/gateway_state.json: Permission denied (EACCES): no prior state\n"
        ),
        "{console}"
    );
    assert!(console.contains("02-reconcile-profiles exited 0"), "{console}");
}

#[test]
fn root_writes_nothing_where_hermes_points() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    for (name, target) in [("logs", "/etc"), ("gateway.pid", "/etc/passwd")] {
        symlink(target, volume.path().join(name)).unwrap();
    }
    symlink("/etc/passwd", volume.home("coder").join("processes.json")).unwrap();
    let container = Container::boot(volume, Spec::default());
    assert!(!container.inside("/etc/container-boot.log").exists());
    assert!(container.inside("/etc/passwd").exists());
    assert!(fs::symlink_metadata(container.volume().home("coder").join("processes.json")).is_err());
    let console = container.console();
    assert!(console.contains("warning: open directory: /opt/data/logs: "), "{console}");
    assert!(console.contains("02-reconcile-profiles exited 0"), "{console}");
}
