//! `status`: every state, in words and as JSON, against what s6 itself says.

use crate::support;
use std::fs;
use std::process::Command;
use support::{Container, Output, Spec, Tree, Volume, jq, on_terminal, wait_or, wait_until};

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

fn svc(container: &Container, letters: &str, profile: &str) {
    container.as_hermes(&["/command/s6-svc", letters, &slot(profile)]).ok();
}

/// The row of `profile` in what `status` says, without its columns for numbers.
fn state(table: &str, profile: &str) -> String {
    let row = |line: &&str| line.split_whitespace().next() == Some(profile);
    let line = table.lines().find(row).unwrap_or_else(|| panic!("no {profile} in {table}"));
    let head = table.lines().find(|line| line.starts_with("PROFILE")).unwrap();
    line[head.find("STATE").unwrap()..].into()
}

/// Waits until `status PROFILE` says `text`; its exit code.
#[track_caller]
fn wait_state(container: &Container, profile: &str, text: &str) -> i32 {
    wait_or(&format!("{profile}: {text}"), || {
        let seen = gw(container, &["status", "--table", profile]);
        let said = state(&seen.stdout, profile);
        if said == text { Ok(seen.code) } else { Err(said.to_string()) }
    })
}

#[test]
fn every_state_has_its_words_and_its_exit_code() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let running =
        ["up", "deaf", "paused", "unwanted", "late", "rest", "orphan", "garbled", "stopped"];
    for profile in running {
        volume.wanted(profile, "running");
    }
    volume.file("deaf", "behave", "deaf\n");
    for (profile, behaviour) in
        [("config", "exit 78"), ("crashes", "exit 1"), ("killed", "crash"), ("done", "after 1 0")]
    {
        volume.wanted(profile, "running").file(profile, "behave", format!("{behaviour}\n"));
    }
    volume.wanted("never", "stopped").profile("no-state");
    let environment = [
        ("HERMES_GW_BACKOFF_FIRST", "600"),
        ("HERMES_GW_BACKOFF_MAX", "600"),
        ("HERMES_GW_EARLY_EXIT", "0.8"),
    ];
    let environment = environment.map(|(name, value)| (name.to_string(), value.to_string()));
    let container =
        Container::boot(volume, Spec { environment: environment.into(), ..Spec::default() });
    running.iter().for_each(|profile| container.wait_up(profile));

    svc(&container, "-d", "deaf");
    svc(&container, "-p", "paused");
    container.volume().file("unwanted", "gateway_state.json", r#"{"desired_state":"stopped"}"#);
    svc(&container, "-k", "late");
    wait_state(&container, "late", "backing off 600s, 1 death: SIGKILL");
    // Somebody has a say: what was before does not count.
    svc(&container, "-u", "late");
    svc(&container, "-d", "rest");
    // Or it would bring it back.
    container.signal_svscan("STOP");
    container.kill_supervisor("orphan");
    let status = container.inside(&slot("garbled")).join("supervise/status");
    fs::write(&status, "odd").unwrap();
    gw(&container, &["stop", "stopped"]).ok();

    let garbled = format!(
        "read: {}/supervise/status: has 3 bytes, which no known s6 writes",
        slot("garbled")
    );
    let table = [
        ("default", "up", 0),
        ("up", "up", 0),
        ("deaf", "up, wanted down", 0),
        ("paused", "up, paused (SIGSTOP)", 0),
        ("unwanted", "up, wanted down at next boot", 0),
        ("late", "up", 0),
        ("rest", "down, wanted up at next boot", 1),
        ("config", "parked: exit 78 (configuration)", 1),
        ("done", "parked: exit 0 (it ended by itself)", 1),
        ("crashes", "backing off 600s, 1 death: exit 1", 1),
        ("killed", "backing off 600s, 1 death: SIGKILL", 1),
        ("never", "down", 0),
        ("no-state", "down", 0),
        ("stopped", "down", 0),
        ("orphan", "not supervised", 102),
        ("garbled", garbled.as_str(), 1),
    ];
    for (profile, text, code) in table {
        assert_eq!(wait_state(&container, profile, text), code, "{profile}: {text}");
    }
    let all = gw(&container, &["status"]);
    let as_root = container.as_root(&["/command/hermes-gw", "status"]);
    for (profile, text, _) in table {
        assert_eq!(state(&all.stdout, profile), text);
        assert_eq!(state(&as_root.stdout, profile), text, "as root");
    }
    let mut names: Vec<_> = table.iter().map(|(profile, ..)| *profile).collect();
    names.sort_unstable();
    let head = match support::tree() {
        Tree::Root => "Tree: PID 1's, /run/service",
        Tree::User => "Tree: the gateways' user's own, /run/service",
    };
    let lines: Vec<_> = all.stdout.lines().collect();
    assert_eq!(lines[..2], ["Manager: s6 (container supervisor)", head]);
    let listed: Vec<_> = lines[3..].iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(listed, names);
    // The first in the list that is not well: config.
    assert_eq!((all.code, as_root.code), (1, 1));
    assert_eq!((all.stderr.as_str(), as_root.stderr.as_str()), ("", ""));
    container.signal_svscan("CONT");
}

#[test]
fn times_processes_and_exits_are_those_of_s6_svstat() {
    let volume = Volume::new();
    volume
        .wanted("runs", "running")
        .wanted("crashes", "running")
        .file("crashes", "behave", "exit 3\n");
    volume.wanted("stays", "stopped");
    let environment = vec![("HERMES_GW_BACKOFF_FIRST".to_string(), "60".to_string())];
    let container = Container::boot(volume, Spec { environment, ..Spec::default() });
    container.wait_up("runs");
    wait_state(&container, "crashes", "backing off 60s, 1 death: exit 3");
    let json = gw(&container, &["--json", "status"]).stdout;
    let of = |profile: &str, filter: &str| {
        jq(&format!(".[] | select(.profile == \"{profile}\") | {filter}"), &json)
    };
    for profile in ["runs", "crashes", "stays"] {
        let svstat = |field: &str| {
            container
                .as_hermes(&["/command/s6-svstat", "-o", field, &slot(profile)])
                .ok()
                .trim()
                .to_string()
        };
        let since = container
            .as_hermes(&[
                "sh",
                "-c",
                &format!(
                    "/command/s6-svstat -o updownsince {} | /command/s6-tai64nlocal -g",
                    slot(profile)
                ),
            ])
            .ok();
        assert_eq!(of(profile, ".since | .[0:29]").replace('T', " "), since.trim(), "{profile}");
        let pid = of(profile, ".pid // -1");
        assert!(pid == svstat("pid") || profile == "crashes", "{profile}: {pid}");
        assert_eq!(of(profile, ".wanted == \"up\""), svstat("wantedup"), "{profile}");
        // None of them has told s6, and the one that is up says so in its home.
        assert_eq!(of(profile, ".ready"), (profile == "runs").to_string());
    }
    let keys = "[\"at\",\"cpu_seconds\",\"hermes\",\"last_exit\",\"memory_bytes\",\"paused\",\"pid\",\"processes\",\
                \"profile\",\"ready\",\"restarts\",\"served_by\",\"since\",\"state\",\"text\",\"tree\",\"wanted\",\"wanted_at_boot\"]";
    assert_eq!(jq("map(keys) | unique | .[0] | tojson", &json), keys);
    assert_eq!(
        of(
            "crashes",
            "[.state, .wanted, .wanted_at_boot, .restarts, .last_exit.code, .last_exit.signal] | tojson"
        ),
        r#"["backing-off","up","up",1,3,null]"#
    );
    assert_eq!(
        of("runs", "[.state, .wanted, .wanted_at_boot, .restarts, .last_exit] | tojson"),
        r#"["up","up","up",0,null]"#
    );
    assert_eq!(
        of("stays", "[.state, .pid, .wanted, .wanted_at_boot] | tojson"),
        r#"["down",null,"down","down"]"#
    );
    let tree = match support::tree() {
        Tree::Root => "root",
        Tree::User => "user",
    };
    assert_eq!(jq("map(.tree) | unique | tojson", &json), format!("[\"{tree}\"]"));
}

#[test]
fn who_may_not_look_is_told_whom_to_be() {
    let container = Container::boot(Volume::new(), Spec::default());
    let output = container.as_stranger(&["/command/hermes-gw", "status"]);
    assert_eq!(output.code, 111);
    assert_eq!(state(&output.stdout, "default"), "permission denied: run as root or hermes");
    let json = container.as_stranger(&["/command/hermes-gw", "--json", "status"]).stdout;
    assert_eq!(jq(".[0] | [.state, .pid, .wanted] | tojson", &json), r#"["denied",null,null]"#);
}

#[test]
fn a_gateway_that_came_back_by_itself_says_so() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    for (deaths, text) in [(1, "up, 1 death lately: SIGKILL"), (2, "up, 2 deaths lately: SIGKILL")]
    {
        svc(&container, "-k", "default");
        assert_eq!(wait_state(&container, "default", text), 0);
        let json = gw(&container, &["--json", "status", "default"]).stdout;
        assert_eq!(
            jq(".[0] | [.restarts, .last_exit.signal] | tojson", &json),
            format!("[{deaths},9]")
        );
    }
    gw(&container, &["restart", "default"]).ok();
    wait_state(&container, "default", "up");
}

#[test]
fn deaths_that_cannot_be_read_are_not_said_to_be_none() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    svc(&container, "-k", "default");
    wait_state(&container, "default", "up, 1 death lately: SIGKILL");
    let tally = format!("{}/supervise/death_tally", slot("default"));
    container.as_root(&["chmod", "000", &tally]).ok();
    assert_eq!(wait_state(&container, "default", "up, deaths unknown"), 0);
    let json = gw(&container, &["--json", "status", "default"]).stdout;
    assert_eq!(jq(".[0] | [.state, .restarts, .last_exit] | tojson", &json), r#"["up",null,null]"#);
}

#[test]
fn several_are_shown_and_the_first_that_is_not_well_counts() {
    let volume = Volume::new();
    volume.profile("one").profile("two");
    let container = Container::boot(volume, Spec::default());
    gw(&container, &["unregister", "two"]).ok();
    let named = ["status", "--table", "one", "nobody", "Bad", "one", "default", "two"];
    let output = gw(&container, &named);
    assert_eq!(output.code, 3);
    let rows: Vec<_> = output.stdout.lines().skip(3).map(|line| &line[..3]).collect();
    assert_eq!(rows, ["one", "def"]);
    let path = slot("nobody");
    assert!(output.stderr.contains(&format!(
        "look at gateway: {path}: no such gateway 'nobody': hermes profile create nobody makes it"
    )));
    assert!(output.stderr.contains("'two': hermes-gw register two makes it"), "{}", output.stderr);
    assert!(output.stderr.contains("find profile: Bad: invalid name"), "{}", output.stderr);
    let none = gw(&container, &["status", "Bad", "nobody"]);
    // There are gateways, only not these.
    assert_eq!((none.code, none.stdout.as_str()), (100, ""));
    let quiet = gw(&container, &["-q", "status", "nobody"]);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (3, ""));
    assert_eq!(gw(&container, &["-q", "status"]).stdout, "");
    gw(&container, &["unregister", "one", "default"]).ok();
    // As an operator types it, by `docker exec` and its PATH.
    let none = container.as_hermes(&["hermes-gw", "status"]);
    assert_eq!(none.code, 0);
    assert!(
        none.stdout.ends_with("\nNo gateways: hermes-gw reconcile makes one for every profile.\n")
    );
    assert_eq!(gw(&container, &["--json", "status"]).stdout, "[]\n");
}

#[test]
fn the_root_policy_decides_what_comes_up_at_boot() {
    let volume = Volume::new();
    volume.wanted("default", "stopped").wanted("named", "running");
    let environment = vec![("HERMES_GW_POLICY".to_string(), "root".to_string())];
    let container = Container::boot(volume, Spec { environment, ..Spec::default() });
    container.wait_up("default");
    let json = gw(&container, &["--json", "status"]).stdout;
    assert_eq!(
        jq("map([.profile, .state, .wanted_at_boot]) | tojson", &json),
        r#"[["default","up","up"],["named","down","down"]]"#
    );
}

#[test]
fn who_is_down_because_default_serves_it_says_so() {
    let volume = Volume::new();
    volume.wanted("default", "stopped").wanted("coder", "running").wanted("writer", "stopped");
    volume.file("default", "config.yaml", "gateway:\n  multiplex_profiles: true\n");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    // By policy, as long as default does not say whom it serves.
    for profile in ["coder", "writer"] {
        assert_eq!(wait_state(&container, profile, "down, served by default"), 0);
    }
    let rows = |container: &Container| {
        let json = gw(container, &["--json", "status"]).stdout;
        jq("map([.profile, .state, .wanted_at_boot, .served_by]) | tojson", &json)
    };
    assert_eq!(
        rows(&container),
        r#"[["coder","down","down","default"],["default","up","up",null],["writer","down","down","default"]]"#
    );
    let watched = gw(&container, &["status"]);
    assert_eq!((watched.code, state(&watched.stdout, "default").as_str()), (0, "up"));

    // By its own word.
    let said = |list: &str| {
        let text = format!(r#"{{"gateway_state":"running","served_profiles":{list}}}"#);
        container.volume().file("default", "gateway_state.json", text);
    };
    said(r#"["default","coder"]"#);
    assert_eq!(wait_state(&container, "coder", "down, served by default"), 0);
    assert_eq!(wait_state(&container, "writer", "down"), 0);
    said("[]");
    assert_eq!(wait_state(&container, "coder", "down"), 0);
    said("null");
    assert_eq!(wait_state(&container, "coder", "down, served by default"), 0);
    // Of one that runs all the same.
    gw(&container, &["start", "--force", "coder"]).ok();
    container.wait_up("coder");
    assert_eq!(wait_state(&container, "coder", "up, wanted down at next boot, beside default"), 0);
    gw(&container, &["stop", "coder"]).ok();

    // Nobody serves where default is down.
    gw(&container, &["stop", "default"]).ok();
    assert_eq!(wait_state(&container, "coder", "down"), 0);
    assert_eq!(
        rows(&container),
        r#"[["coder","down","down",null],["default","down","down",null],["writer","down","down",null]]"#
    );
    // Nor under the other policy.
    let forced =
        ["env", "HERMES_GW_POLICY=profiles", "/command/hermes-gw", "status", "--table", "writer"];
    gw(&container, &["start", "default"]).ok();
    assert_eq!(state(&container.as_hermes(&forced).stdout, "writer"), "down");
}

#[test]
fn colours_are_for_terminals_that_nobody_objects_to() {
    let container = Container::boot(Volume::new(), Spec::default());
    let on_terminal = |environment: &str| {
        let args = format!("env {environment} /command/hermes-gw status");
        on_terminal(&container.hermes_command(&args.split(' ').collect::<Vec<_>>()))
    };
    let coloured = on_terminal("TERM=xterm");
    assert!(coloured.contains("\x1b[2mdown\x1b[0m"), "{coloured:?}");
    for environment in ["TERM=xterm NO_COLOR=1", "TERM=dumb"] {
        assert!(!on_terminal(environment).contains('\x1b'), "{environment}");
    }
    assert!(on_terminal("TERM=xterm NO_COLOR=").contains('\x1b'));
    assert!(!gw(&container, &["status"]).stdout.contains('\x1b'));
}

/// What /proc says of the process `pid` and all that ps has below it: how many, bytes in memory,
/// and seconds on CPUs, with those of children that have ended.
fn cost(container: &Container, pid: &str) -> [u64; 3] {
    let stats = container.as_root(&["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || :"]).ok();
    let listed = container.as_root(&["ps", "-eo", "pid=,ppid="]).ok();
    let rows: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let (mut below, mut at) = (vec![pid], 0);
    while at < below.len() {
        let parent = below[at];
        below.extend(rows.iter().filter(|row| row[1] == parent).map(|row| row[0]));
        at += 1;
    }
    let (mut pages, mut ticks) = (0, 0);
    for line in stats.lines().filter(|line| below.contains(&line.split(' ').next().unwrap())) {
        let fields = line.rsplit_once(") ").unwrap().1.split(' ');
        let numbers: Vec<u64> = fields.map(|it| it.parse().unwrap_or(0)).collect();
        ticks += numbers[11..15].iter().sum::<u64>();
        pages += numbers[21];
    }
    let page: u64 = support::run(Command::new("getconf").arg("PAGESIZE")).trim().parse().unwrap();
    [below.len() as u64, pages * page, ticks / 100]
}

#[test]
fn what_gateways_cost_is_what_proc_says_of_them_and_of_all_below() {
    let volume = Volume::new();
    volume.wanted("default", "running").wanted("busy", "running").wanted("stays", "stopped");
    volume.file("busy", "behave", "child 600\nbusy 2000000\n");
    // A gateway's own user sees it, and what it has started, whatever /proc hides.
    let container = Container::boot(volume, Spec { hidepid: 2, ..Spec::default() });
    container.wait_up("busy");
    wait_until("its count", || container.volume().log("busy").contains(": running"));
    let asked = ["/command/hermes-gw", "--json", "status", "busy"];
    let got = wait_or("the same as in /proc", || {
        let json = container.as_hermes(&asked).ok();
        let number = |key: &str| jq(&format!(".[0].{key}"), &json).parse::<u64>().unwrap();
        let got = ["processes", "memory_bytes", "cpu_seconds"].map(number);
        let expected = cost(&container, &container.pid("busy"));
        // The gateway, its child, and its sleeper, which is replaced every five seconds; the one
        // that has counted has gone.
        let is_it = got == expected && got[0] == 3;
        if is_it { Ok(got) } else { Err(format!("{got:?}, and not {expected:?}")) }
    });
    assert!(got[1] > 500_000 && got[2] > 0, "{got:?}");
    wait_until("three processes", || jq(".[0].processes", &container.as_root(&asked).ok()) == "3");
    let json = gw(&container, &["--json", "status"]).ok();
    let none = ".[] | select(.profile == \"stays\") | [.memory_bytes, .cpu_seconds, .processes]";
    assert_eq!(jq(&format!("{none} | tojson"), &json), "[null,null,null]");
    let table = gw(&container, &["status"]).ok();
    let head: Vec<_> = table.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(head, ["PROFILE", "PID", "SINCE", "MEM", "STATE"]);
    let row = table.lines().find(|line| line.starts_with("stays ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>()[3..], ["-", "down"]);
}

#[test]
fn too_much_memory_is_marked_and_doctor_warns_of_it() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("default");
    let with = |most: &str, args: &[&str]| {
        let most = format!("HERMES_GW_WARN_MEMORY={most}");
        [
            &["env", "TERM=xterm", &most, "/command/hermes-gw"].map(String::from)[..],
            &args.iter().map(|it| it.to_string()).collect::<Vec<_>>(),
        ]
        .concat()
    };
    let on = |most: &str, args: &[&str]| {
        let words = with(most, args);
        on_terminal(&container.hermes_command(&words.iter().map(|it| &it[..]).collect::<Vec<_>>()))
    };
    for args in [&["status"][..], &["status", "default"]] {
        assert!(on("100K", args).contains("\x1b[31m"), "{args:?}");
        assert!(!on("100G", args).contains("\x1b[31m"), "{args:?}");
    }
    let doctor = |most: &str| {
        let words = with(most, &["-q", "doctor"]);
        container.as_hermes(&words.iter().map(|it| &it[..]).collect::<Vec<_>>())
    };
    let warned = doctor("100K");
    let (start, end) = (
        "warn  gateways     default: has ",
        "M in memory, more than HERMES_GW_WARN_MEMORY\n      try: hermes-gw restart default\n\
         0 failures, 1 warning\n",
    );
    assert!(warned.code == 0 && warned.stdout.starts_with(start), "{warned:?}");
    assert!(warned.stdout.ends_with(end) && warned.stdout.lines().count() == 3, "{warned:?}");
    assert_eq!(doctor("100G").stdout, "");
    let flaw = "warn  settings     read setting: HERMES_GW_WARN_MEMORY=much: is not a size like 512M: \
        the default counts\n      try: man hermes-gw\n0 failures, 1 warning\n";
    assert_eq!(doctor("much").stdout, flaw);
}

/// `text` with a 0 for each number.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        let is_digit = c.is_ascii_digit();
        if !is_digit || !masked.ends_with('0') {
            masked.push(if is_digit { '0' } else { c });
        }
    }
    // It may have taken more than a minute.
    masked.replace("; 0m 0s ago", "; 0s ago")
}

#[test]
fn a_gateway_that_is_named_is_shown_as_a_block_with_its_log() {
    let volume = Volume::new();
    volume.wanted("coder", "running").wanted("stays", "stopped");
    volume.file("coder", "behave", "child 600\n");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("coder");
    svc(&container, "-k", "coder");
    wait_state(&container, "coder", "up, 1 death lately: SIGKILL");
    let ran = || container.volume().log("coder").matches(": running\n").count();
    wait_until("its second run", || ran() == 2);
    let pid = container.pid("coder");
    let stat = container.as_root(&["cat", &format!("/proc/{pid}/stat")]).ok();
    let start = stat.split(' ').nth(21).unwrap();
    let said = |why: &str| {
        format!(
            r#"{{"pid":{pid},"start_time":{start},"gateway_state":"running","desired_state":"running",
            "platforms":{{"telegram":{{"state":"connected"}},"web":{{"state":"disabled","error_message":"{why}"}}}}}}"#
        )
    };
    container.volume().file("coder", "gateway_state.json", said("no\\u001b[2J key"));
    let shown = wait_or("three processes", || {
        let shown = gw(&container, &["status", "coder", "-n", "2"]);
        if shown.stdout.contains("Processes: 3\n") { Ok(shown) } else { Err(shown.stdout) }
    });
    let memory = shown.stdout.split_once("    Memory: ").unwrap().1.split('\n').next().unwrap();
    let expected = format!(
        "● coder
     State: up, 0 death lately: SIGKILL, since 0-0-0 0:0:0 UTC; 0s ago
       PID: 0 /bin/sh /usr/local/bin/hermes -p coder gateway run --replace
    Memory: {}
       CPU: 0s
 Processes: 0
  Platform: telegram connected
  Platform: web disabled (no\\x0b[0J key)
    Wanted: up, at boot up (desired_state running)
    Deaths: 0 lately, the last: killed by SIGKILL
      Slot: /run/service/gateway-coder
       Log: /opt/data/logs/gateways/coder

0-0-0 0:0:0.0  gateway coder: starting, pid 0
0-0-0 0:0:0.0  gateway coder: running
",
        masked(memory)
    );
    assert_eq!((masked(&shown.stdout), shown.code, &shown.stderr[..]), (expected, 0, ""));
    // As root the same, but for what goes on.
    let keys = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once(':')?.0.into())).collect()
    };
    let as_root = container.as_root(&["/command/hermes-gw", "status", "coder", "-n", "2"]);
    assert_eq!(keys(&masked(&as_root.stdout)), keys(&masked(&shown.stdout)));

    // Several; one that never ran has no log, and no process.
    gw(&container, &["stop", "coder"]).ok();
    let both = gw(&container, &["status", "stays", "coder", "-n0"]);
    let expected = "● stays
     State: down, since 0-0-0 0:0:0 UTC; 0s ago
    Wanted: down, at boot down (desired_state stopped)
      Slot: /run/service/gateway-stays
       Log: /opt/data/logs/gateways/stays

● coder
     State: down, since 0-0-0 0:0:0 UTC; 0s ago
    Wanted: down, at boot down (desired_state stopped)
    Deaths: 0 lately, the last: exit 0
      Slot: /run/service/gateway-coder
       Log: /opt/data/logs/gateways/coder
";
    assert_eq!((masked(&both.stdout).as_str(), both.code), (expected, 0));
    let table = gw(&container, &["status", "--table", "stays", "coder"]).ok();
    assert!(table.starts_with("Manager: ") && table.lines().count() == 5, "{table}");
}

/// A cgroup of the machine's, in a container, whose processes get 64 MB. Where the machine sees it
/// itself, it goes with this.
struct SmallCgroup(Option<std::path::PathBuf>);

impl SmallCgroup {
    /// Puts all processes of `container` into one, which it finds where a container has its own.
    /// None, which is said, where the machine has no such cgroups to give away.
    fn around(container: &Container) -> Option<SmallCgroup> {
        let name = format!("hermes-gw-test-{}", container.pid("coder"));
        let script = format!(
            r#"mkdir -p /run/cgroups /sys/fs/cgroup
            if mount -t cgroup -o memory cgroup /run/cgroups; then
                own=/sys/fs/cgroup/memory limit=memory.limit_in_bytes
            elif mount -t cgroup2 cgroup2 /run/cgroups; then
                own=/sys/fs/cgroup limit=memory.max
            else
                exit 1
            fi
            mkdir -p "$own" /run/cgroups/{name}
            echo 64M >"/run/cgroups/{name}/$limit"
            mount --bind /run/cgroups/{name} "$own"
            for process in /proc/[0-9]*; do
                echo "${{process#/proc/}}" >"$own/cgroup.procs" || :
            done"#
        );
        let made = container.as_root(&["sh", "-ec", &script]);
        let places = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(|at| format!("{at}/{name}"));
        let place = places.into_iter().find(|place| fs::exists(place).unwrap_or(false));
        let cgroup = SmallCgroup(place.map(Into::into));
        if made.code != 0 {
            println!("skipped: no cgroup with a limit of memory: {}", made.stderr.trim());
            return None;
        }
        Some(cgroup)
    }
}

impl Drop for SmallCgroup {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            // Its last process may still be on its way out.
            wait_until("the cgroup to be empty", || fs::remove_dir(place).is_ok());
        }
    }
}

#[test]
fn a_gateway_that_the_kernel_killed_for_want_of_memory_is_told_so() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    // Dropped last.
    let cgroup;
    let container = Container::boot(volume, Spec::default());
    container.wait_up("coder");
    cgroup = SmallCgroup::around(&container);
    if cgroup.is_none() {
        return;
    }
    let of_deaths = || {
        let shown = gw(&container, &["status", "coder"]).stdout;
        let line = shown.lines().find(|line| line.starts_with("    Deaths: ")).unwrap_or_default();
        line.rsplit(", ").next().unwrap().to_string()
    };
    svc(&container, "-k", "coder");
    let killed = "the last: killed by SIGKILL";
    wait_until("a death that is not for want of memory", || of_deaths() == killed);
    let run = format!("{}/run", slot("coder"));
    let script =
        format!("rm {run}; printf '#!/bin/sh\\nexec tail /dev/zero\\n' >{run}; chmod 755 {run}");
    container.as_hermes(&["sh", "-ec", &script]).ok();
    svc(&container, "-k", "coder");
    wait_until("a death for want of memory", || of_deaths() == format!("{killed}: out of memory?"));
}
