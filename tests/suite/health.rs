//! What Hermes says of its gateways in their homes: in `status`, `watch`, `doctor`, and to who
//! waits for one that is ready; and `health`, which sums it up.

use crate::support;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{Container, HERMES, Output, Spec, Volume, jq, wait_or, wait_until};

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn state_file(container: &Container, profile: &str) -> String {
    let path = container.volume().home(profile).join("gateway_state.json");
    fs::read_to_string(path).unwrap_or_default()
}

/// Has the state file of `profile` say `new` instead of `old`, as Hermes writes it.
#[track_caller]
fn edit(container: &Container, profile: &str, old: &str, new: &str) {
    let text = state_file(container, profile);
    assert!(text.contains(old), "no {old} in {text}");
    let home = container.volume().home(profile);
    let path = home.join(".gateway_state.json.tmp");
    fs::write(&path, text.replace(old, new)).unwrap();
    chown(&path, Some(HERMES), Some(HERMES)).unwrap();
    fs::rename(path, home.join("gateway_state.json")).unwrap();
}

/// What `status --json` says of `profile`.
fn of(container: &Container, profile: &str, filter: &str) -> String {
    jq(&format!(".[0] | {filter}"), &gw(container, &["--json", "status", profile]).stdout)
}

/// Waits until `profile`, which is up, says `text`.
#[track_caller]
fn wait_text(container: &Container, profile: &str, text: &str) {
    wait_or(&format!("{profile}: {text}"), || {
        let said = of(container, profile, ".text");
        if said == text { Ok(()) } else { Err(said) }
    });
}

/// Makes the gateway of `profile` one that was started so many seconds earlier, as s6 notes it.
fn age(container: &Container, profile: &str, seconds: i64) {
    let path = format!("/run/service/gateway-{profile}/supervise/status");
    let path = container.inside(&path);
    let mut status = fs::read(&path).unwrap();
    let stamp = i64::from_be_bytes(status[..8].try_into().unwrap()) - seconds;
    status[..8].copy_from_slice(&stamp.to_be_bytes());
    fs::write(path, status).unwrap();
}

#[test]
fn what_hermes_says_is_a_part_of_the_state() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    // How each behaves, and what is said of it then.
    let table = [
        ("fails", "says startup_failed no token", "up, startup failed: no token"),
        (
            "loses",
            "platform telegram retrying Unauthorized",
            "up, degraded: telegram retrying (Unauthorized)",
        ),
        (
            "loses-more",
            "platform telegram fatal bad\nplatform discord connected\nplatform slack disconnected",
            "up, 2 of 3 platforms down",
        ),
        ("drains", "says draining", "up, draining"),
        ("slow", "says starting", "up, starting"),
    ];
    for (profile, behaviour, _) in table {
        volume.wanted(profile, "running").file(profile, "behave", format!("{behaviour}\n"));
    }
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    assert_eq!(
        of(&container, "default", "[.text, .ready, .hermes.state] | tojson"),
        r#"["up",true,"running"]"#
    );
    for (profile, _, text) in table {
        wait_text(&container, profile, text);
        assert_eq!(gw(&container, &["status", profile]).code, 0, "{profile}");
        if profile == "loses" {
            // s6-supervise may get to its note only after the gateway has said something.
            age(&container, profile, -5);
            wait_text(&container, profile, text);
        }
        let ready = profile.starts_with("loses").to_string();
        assert_eq!(of(&container, profile, ".ready"), ready, "{profile}");
    }
    assert_eq!(
        of(
            &container,
            "fails",
            "[.hermes | .state, .exit_reason, .active_agents, .served_profiles] | tojson"
        ),
        r#"["startup_failed","no token",0,null]"#
    );
    let platform =
        ".hermes.platforms[0] | [.name, .state, .error_code, .error, .since[:2]] | tojson";
    assert_eq!(
        of(&container, "loses", platform),
        r#"["telegram","retrying",null,"Unauthorized","20"]"#
    );
    assert_eq!(
        of(&container, "loses", ".hermes | keys | tojson"),
        r#"["active_agents","exit_reason","platforms","served_profiles","state"]"#
    );

    // The line names each that is not well; what is well and limps stands behind.
    let health = gw(&container, &["health"]);
    let expected = "6 of 6 up; fails: up, startup failed: no token; loses: up, degraded: telegram \
                    retrying (Unauthorized); loses-more: up, 2 of 3 platforms down\n";
    assert_eq!((health.code, &health.stdout[..]), (1, expected));
    age(&container, "slow", 400);
    wait_text(&container, "slow", "up, starting for 6m");
    let quiet = gw(&container, &["-q", "health"]);
    assert_eq!((quiet.code, &quiet.stdout[..]), (1, ""));
    let found = gw(&container, &["--json", "doctor"]).stdout;
    let found = jq(
        ".[] | select(.check == \"hermes\") | .level + \": \" + .text + \"; \" + .remedy",
        &found,
    );
    assert_eq!(
        found,
        "fail: fails: up, startup failed: no token; hermes-gw logs fails\n\
         warn: loses: telegram retrying (Unauthorized); hermes-gw logs loses\n\
         warn: loses-more: telegram fatal (bad); hermes-gw logs loses-more\n\
         warn: loses-more: slack disconnected; hermes-gw logs loses-more\n\
         fail: slow: up, starting for 6m; hermes-gw logs slow"
    );
    gw(&container, &["stop", "fails"]).ok();
    let health = gw(&container, &["health"]);
    assert!(
        health.stdout.starts_with("5 of 6 up; slow: up, starting for 6m; loses: "),
        "{health:?}"
    );
    assert_eq!(health.code, 1);
    gw(&container, &["stop", "slow"]).ok();
    assert_eq!(gw(&container, &["health"]).code, 0);
    assert_eq!(container.as_root(&["/command/hermes-gw", "health"]).code, 0);
    assert_eq!(gw(&container, &["health", "--strict"]).code, 1);
    let json = gw(&container, &["--json", "health", "--strict"]).stdout;
    let rows = "[.healthy, .text[:9], (.gateways | map(.profile) | join(\" \"))] | tojson";
    assert_eq!(
        jq(rows, &json),
        r#"[false,"4 of 6 up","default drains fails loses loses-more slow"]"#
    );
    assert_eq!(jq(".gateways[0] | [.state, .hermes.state] | tojson", &json), r#"["up","running"]"#);
    gw(&container, &["stop", "loses", "loses-more"]).ok();
    let health = gw(&container, &["health", "--strict"]);
    assert_eq!((health.code, &health.stdout[..]), (0, "2 of 6 up\n"));
}

#[test]
fn only_the_process_that_lives_is_believed_and_nothing_reaches_a_terminal() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("coder");
    edit(
        &container,
        "coder",
        "\"gateway_state\":\"running\"",
        "\"gateway_state\":\"dra\\u001b[2Jining\"",
    );
    assert_eq!(of(&container, "coder", ".text"), "up, dra\\x1b[2Jining");
    let table = gw(&container, &["status", "coder"]);
    assert!(!table.stdout.contains('\x1b') && table.stdout.contains("\\x1b"), "{table:?}");
    assert_eq!(of(&container, "coder", ".hermes.state"), "dra\x1b[2Jining");

    edit(&container, "coder", "\"start_time\":", "\"start_time\":1");
    assert_eq!(
        of(&container, "coder", "[.text, .hermes, .ready] | tojson"),
        r#"["up",null,false]"#
    );
    let doctor = || {
        let found = gw(&container, &["--json", "doctor"]).stdout;
        jq(".[] | select(.check == \"hermes\") | .level + \": \" + .text", &found)
    };
    assert_eq!(doctor(), "ok: none says that it does not work");
    age(&container, "coder", 400);
    assert_eq!(
        doctor(),
        "warn: coder: up, and what its gateway_state.json says is of an earlier run"
    );
}

#[test]
fn watch_tells_what_hermes_says_and_the_same_only_once() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("coder");
    let mut command = container.root_command(&["/command/hermes-gw", "watch", "coder"]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = channel();
    let stdout = BufReader::new(watch.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines() {
            let _ = sender.send(line.unwrap());
        }
    });
    let expect = |text: &str| {
        let line = lines.recv_timeout(Duration::from_secs(180)).expect(text);
        assert_eq!(line[25..].split(" (pid ").next().unwrap(), text);
    };
    let put = |old: &str, new: &str| edit(&container, "coder", old, new);
    expect("coder: up");
    put("\"gateway_state\":\"running\"", "\"gateway_state\":\"draining\"");
    expect("coder: up, draining");
    // Another stamp, and other files in the home, are no news.
    put("\"kind\":", "\"updated_at\":\"2026-01-01T00:00:00+00:00\",\"kind\":");
    container.as_hermes(&["sh", "-c", "cd /opt/data/profiles/coder; : >x; mv x y"]).ok();
    put("\"gateway_state\":\"draining\"", "\"gateway_state\":\"running\"");
    expect("coder: up");
    put("\"connected\"", "\"paused\",\"error_message\":\"by hand\"");
    expect("coder: up, degraded: telegram paused (by hand)");
    put("\"active_agents\":0", "\"active_agents\":7");
    put("\"by hand\"", "\"still\"");
    expect("coder: up, degraded: telegram paused (still)");
    let _ = watch.kill();
    let _ = watch.wait();
}

#[test]
fn ready_is_what_the_process_says() {
    let volume = Volume::new();
    for (profile, behaviour) in [
        ("good", "chatty 1"),
        ("starting", "says starting"),
        ("fails", "says startup_failed no token"),
        ("parks", "exit 78"),
    ] {
        volume.wanted(profile, "stopped").file(profile, "behave", format!("{behaviour}\n"));
    }
    let container = Container::boot(volume, Spec::default());
    let slot = |profile: &str| format!("/run/service/gateway-{profile}");
    let start = |verb: &str, profile: &str| {
        let done = gw(&container, &["-v", verb, "--wait-ready", "--timeout", "170", profile]);
        (done.code, done.stdout + &done.stderr)
    };
    assert_eq!(start("start", "good"), (0, "good: started\n".into()));
    assert_eq!(of(&container, "good", ".ready"), "true");
    let before = of(&container, "good", ".pid");
    assert_eq!(start("restart", "good"), (0, "good: restarted\n".into()));
    assert_ne!(of(&container, "good", ".pid"), before);
    assert_eq!(of(&container, "good", ".ready"), "true");

    let why = "up, startup failed: no token";
    let failed = format!("hermes-gw: start gateway: {}: {why}\n", slot("fails"));
    assert_eq!(start("start", "fails"), (1, failed));
    let (code, said) = start("start", "parks");
    assert!(code == 1 && said.contains("exit 78"), "{code} {said}");

    // Who waits goes on.
    let late = gw(&container, &["wait", "--ready", "--timeout", "0.3", "fails", "good", "parks"]);
    let expected = ["fails", "parks"].map(|name| {
        format!("hermes-gw: wait for gateway: {}: it is not ready in time\n", slot(name))
    });
    assert_eq!((late.code, late.stderr), (99, expected.concat()));

    let wait = ["/command/hermes-gw", "wait", "--ready", "starting", "parks"];
    let mut waits = container.root_command(&wait).spawn().unwrap();
    gw(&container, &["start", "starting"]).ok();
    wait_text(&container, "starting", "up, starting");
    assert!(waits.try_wait().unwrap().is_none());
    edit(
        &container,
        "starting",
        "\"gateway_state\":\"starting\"",
        "\"gateway_state\":\"degraded\"",
    );
    fs::write(container.volume().home("parks").join("behave"), "").unwrap();
    gw(&container, &["start", "parks"]).ok();
    assert!(waits.wait().unwrap().success());

    // It goes, and its supervisor with it.
    let wait = ["/command/hermes-gw", "wait", "--ready", "parks"];
    gw(&container, &["stop", "parks"]).ok();
    let mut gone = container.root_command(&wait).spawn().unwrap();
    wait_until("it to watch", || {
        let listed = format!("/proc/{}/task/{0}/children", gone.id());
        let child = fs::read_to_string(listed).unwrap_or_default();
        let pid = if child.trim().is_empty() { gone.id().to_string() } else { child.trim().into() };
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        links.into_iter().any(|link| link.to_string_lossy().contains("inotify"))
    });
    gw(&container, &["unregister", "parks"]).ok();
    let code = gone.wait().unwrap().code();
    assert!(matches!(code, Some(3 | 102)), "{code:?}");
    assert_eq!(gw(&container, &["wait", "--ready", "parks"]).code, 3);
}

#[test]
fn where_no_gateway_is_meant_to_run_all_is_well() {
    let main = |args: &[&str]| args.iter().map(|arg| arg.to_string()).collect::<Vec<_>>();
    let skip = vec![("HERMES_GW_SKIP_RECONCILE".to_string(), "1".to_string())];
    let volume = || {
        let volume = Volume::new();
        volume.wanted("default", "running");
        volume
    };
    for (spec, expected) in [
        (
            Spec { main: main(&["dashboard"]), ..Spec::default() },
            "no gateways here: this container runs hermes dashboard; another one runs the gateways\n",
        ),
        (
            Spec { environment: skip, ..Spec::default() },
            "no gateways here: HERMES_GW_SKIP_RECONCILE is set\n",
        ),
        (
            Spec { main: main(&["gateway", "run", "--no-supervise"]), ..Spec::default() },
            "0 of 1 up; default: the container's main program is its gateway\n",
        ),
    ] {
        let container = Container::boot(volume(), spec);
        let health = container.as_root(&["/command/hermes-gw", "health"]);
        assert_eq!((health.code, &health.stdout[..]), (0, expected), "{health:?}");
        let json = container.as_root(&["/command/hermes-gw", "--json", "health"]).stdout;
        assert_eq!(
            jq("[.healthy, .text] | tojson", &json),
            format!("[true,{:?}]", expected.trim())
        );
    }
    let outside = Command::new(support::binary()).arg("health").output().unwrap();
    assert_eq!(outside.status.code(), Some(102));
}

#[test]
fn a_probe_is_cheap() {
    let volume = Volume::new();
    let names: Vec<_> = (0..10).map(|number| format!("p{number}")).collect();
    for name in &names {
        volume.wanted(name, "running");
    }
    let container = Container::boot(volume, Spec::default());
    names.iter().for_each(|name| container.wait_up(name));
    let trace = ["strace", "-f", "-o", "/tmp/calls", "/command/hermes-gw", "health"];
    assert_eq!(container.as_root(&trace).ok(), "10 of 11 up\n");
    let calls = container.as_root(&["cat", "/tmp/calls"]).ok();
    let count = |what: &str| calls.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count("gateway_state.json"), 11, "{calls}");
    let all = calls.lines().count();
    assert!(all < 340, "{all}: {calls}");
}
