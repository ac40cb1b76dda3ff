//! What is so, in every answer: gateways that are missing, why none runs, and one code for one
//! reason in every verb.

use crate::support;
use std::process::Command;
use support::{Container, HERMES, Output, Spec, Tree, Volume, jq};

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn as_root(container: &Container, args: &[&str]) -> Output {
    container.as_root(&[&["/command/hermes-gw"], args].concat())
}

fn booted(volume: Volume, settings: &[(&str, &str)], main: &[&str]) -> Container {
    let environment = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let main = main.iter().map(|word| word.to_string()).collect();
    Container::boot(volume, Spec { environment: environment.collect(), main, ..Spec::default() })
}

/// Doctor's findings that are not ok, or are about `check`.
fn doctor(container: &Container, check: &str) -> String {
    let json = gw(container, &["--json", "doctor"]).stdout;
    jq(
        &format!(
            ".[] | select(.level != \"ok\" or .check == \"{check}\") | .level + \": \" + .text"
        ),
        &json,
    )
}

#[test]
fn a_profile_that_is_meant_to_run_and_has_no_slot_is_a_row() {
    let volume = Volume::new();
    volume.wanted("default", "stopped").wanted("coder", "running").wanted("idle", "stopped");
    volume.wanted("zed", "running");
    let container = booted(volume, &[], &[]);
    container.wait_up("coder");
    container.wait_up("zed");
    gw(&container, &["unregister", "coder", "idle"]).ok();
    // Made on the host; and what only looks like a profile.
    container.volume().wanted("new", "running").wanted("aside", "stopped");
    let state = r#"{"desired_state":"running"}"#;
    container.volume().file("no-soul", "gateway_state.json", state).give(HERMES);
    for run in [gw, as_root] {
        let all = run(&container, &["--json", "status"]);
        assert_eq!(all.code, 1);
        assert_eq!(
            jq("map([.profile, .state, .text, .wanted_at_boot, .pid]) | .[] | tojson", &all.stdout),
            format!(
                "[\"default\",\"down\",\"down\",\"down\",null]\n[\"zed\",\"up\",\"up\",\"up\",{}]\n",
                container.pid("zed")
            ) + "[\"coder\",\"not-registered\",\"no slot, wanted up\",\"up\",null]\n\
                   [\"new\",\"not-registered\",\"no slot, wanted up\",\"up\",null]"
        );
        assert_eq!(run(&container, &["-q", "status"]).code, 1);
        let named = run(&container, &["status", "--table", "new", "zed"]);
        assert_eq!(named.code, 1);
        let new = named.stdout.lines().find(|line| line.starts_with("new ")).unwrap();
        let words = new.split_whitespace().collect::<Vec<_>>();
        assert_eq!(words[1..], ["-", "-", "-", "no", "slot,", "wanted", "up"]);
        assert_eq!(run(&container, &["status", "zed"]).code, 0);
        for name in ["idle", "aside", "no-soul", "nope"] {
            let none = run(&container, &["status", name]);
            assert_eq!((none.code, none.stdout.as_str()), (3, ""), "{name}");
        }
    }
    gw(&container, &["start", "coder", "new"]).ok();
    assert_eq!(gw(&container, &["-q", "status"]).code, 0);
}

#[test]
fn a_word_that_a_setting_does_not_know_keeps_nobody_down() {
    let wrong = [
        ("HERMES_GW_POLICY", "both"),
        ("HERMES_GW_SERVICES_MAX", "many"),
        ("HERMES_GW_SHUTDOWN_TIMEOUT", "soon"),
        ("HERMES_GW_PARK_DEATHS", "-1"),
    ];
    let volume = Volume::new();
    volume.wanted("default", "running").wanted("coder", "running");
    let container = booted(volume, &wrong, &[]);
    container.wait_up("default");
    container.wait_up("coder");
    let status = gw(&container, &["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    let found = doctor(&container, "settings");
    for (name, word) in wrong {
        for said in [&status.stderr, &found, &container.console()] {
            let line = said.lines().find(|line| line.contains(&format!("{name}={word}: ")));
            assert!(line.is_some_and(|it| it.ends_with("the default counts")), "{name}: {said}");
        }
    }
    // On the command line it is wrong usage.
    assert_eq!(gw(&container, &["reconcile", "--policy", "both"]).code, 100);
}

#[test]
fn where_nothing_runs_it_is_said_why() {
    let volume = || {
        let volume = Volume::new();
        volume.wanted("default", "running").wanted("coder", "running");
        volume
    };
    let skip = "HERMES_GW_SKIP_RECONCILE";
    let not_meant = [
        (booted(volume(), &[(skip, "1")], &[]), "HERMES_GW_SKIP_RECONCILE is set"),
        (booted(volume(), &[(skip, "maybe")], &[]), "HERMES_GW_SKIP_RECONCILE is set"),
        (
            booted(volume(), &[], &["dashboard"]),
            "this container runs hermes dashboard; another one runs the gateways",
        ),
    ];
    for (container, why) in not_meant {
        for run in [gw, as_root] {
            let status = run(&container, &["status"]);
            assert_eq!(status.code, 0, "{status:?}");
            assert!(status.stdout.ends_with(&format!("No gateways: {why}.\n")), "{status:?}");
            let json = run(&container, &["--json", "status"]);
            assert_eq!((json.code, json.stdout.as_str()), (0, "[]\n"));
            assert!(json.stderr.contains(&format!("{{\"warning\":\"{why}\"}}")), "{json:?}");
            assert_eq!(run(&container, &["-q", "status"]).code, 0);
            assert_eq!(run(&container, &["status", "coder"]).code, 3);
        }
        let found = doctor(&container, "profiles");
        assert!(found.contains(&format!("ok: no gateway is meant to run here: {why}")), "{found}");
    }
    let ghost = booted(volume(), &[("HERMES_GW_USER", "ghost")], &[]);
    for args in [&["status"][..], &["-q", "status"], &["--json", "status"]] {
        let status = as_root(&ghost, args);
        assert_eq!(status.code, 1, "{status:?}");
        assert!(status.stderr.contains("look up user: ghost: not in /etc/passwd"), "{status:?}");
    }
    let mut spec = Spec { tree: Tree::Root, ..Spec::default() };
    spec.environment.push(("HERMES_GW_TREE".into(), "both".into()));
    let tree = Container::boot(volume(), spec);
    for args in [&["status"][..], &["-q", "status"], &["doctor"]] {
        let said = gw(&tree, args);
        assert_eq!(said.code, if args == ["doctor"] { 1 } else { 100 });
        let all = said.stdout + &said.stderr;
        assert!(all.contains("HERMES_GW_TREE=both: must be root or user"), "{all}");
    }
}

#[test]
fn a_home_that_a_boot_cannot_use_is_why_nothing_runs() {
    let volume = Volume::new();
    volume.wanted("default", "stopped");
    let container = booted(volume, &[], &[]);
    gw(&container, &["unregister", "default"]).ok();
    // Nothing is meant to run there.
    assert_eq!(gw(&container, &["status"]).code, 0);
    for run in [gw, as_root] {
        for args in
            [&["--home", "/opt/none", "status"][..], &["--home", "/opt/none", "-q", "status"]]
        {
            let status = run(&container, args);
            assert_eq!((status.code, status.stdout.as_str()), (111, ""), "{status:?}");
            assert!(status.stderr.contains("/opt/none: No such file or directory"), "{status:?}");
        }
    }
}

/// Every verb that is about one gateway, and every other, with what it needs.
const NAMED: &[&[&str]] = &[
    &["status"],
    &["watch"],
    &["stop"],
    &["restart"],
    &["signal", "HUP"],
    &["wait", "--up"],
    &["wait", "--down"],
    &["start"],
    &["is-running"],
    &["register", "--if-missing", "--force"],
    &["unregister"],
];
const OTHERS: &[&[&str]] = &[
    &["status"],
    &["watch"],
    &["list"],
    &["start", "--all"],
    &["stop", "--all"],
    &["restart", "--all"],
    &["reconcile"],
    &["shutdown"],
    &["standby"],
    &["install"],
    &["uninstall"],
    &["finish", "0", "0", "gateway-coder"],
];

#[test]
fn who_is_not_there_and_who_may_not_have_one_code_in_every_verb() {
    let volume = Volume::new();
    volume.wanted("coder", "running");
    let container = booted(volume, &[], &[]);
    container.wait_up("coder");
    for verb in NAMED {
        let all = [&["/command/hermes-gw"][..], verb, &["coder"]].concat();
        let denied = container.as_stranger(&all);
        assert_eq!(denied.code, 111, "{verb:?}: {denied:?}");
        let said = denied.stdout + &denied.stderr;
        assert!(said.contains("run as root or hermes"), "{verb:?}: {said}");
        let code = match verb[0] {
            "is-running" => 1,
            "register" | "unregister" => 0,
            _ => 3,
        };
        let none = gw(&container, &[verb, &["nope"][..]].concat());
        assert_eq!(none.code, code, "{verb:?}: {none:?}");
        assert_eq!(none.stderr.contains("no such gateway 'nope'"), code == 3, "{none:?}");
        gw(&container, &["unregister", "nope"]).ok();
    }
    assert_eq!(gw(&container, &["logs", "nobody"]).code, 3);
    for verb in [&["watch"][..], &["status"], &["shutdown"], &["reconcile"]] {
        let denied = container.as_stranger(&[&["/command/hermes-gw"][..], verb].concat());
        assert_eq!(denied.code, 111, "{verb:?}: {denied:?}");
        let said = denied.stdout + &denied.stderr;
        assert!(said.contains("run as root or hermes"), "{verb:?}: {said}");
    }
}

#[test]
fn without_s6_every_verb_says_so() {
    let run = |args: &[&str]| Command::new(support::binary()).args(args).output().unwrap();
    let detected = run(&["detect"]);
    let word = String::from_utf8(detected.stdout).unwrap();
    assert!(word == "none\n" || word == "systemd\n", "a machine of tests has no s6: {word}");
    for verb in NAMED
        .iter()
        .map(|verb| [verb, &["coder"][..]].concat())
        .chain(OTHERS.iter().map(|it| it.to_vec()))
    {
        let refused = run(&verb);
        assert_eq!(refused.status.code(), Some(102), "{verb:?}: {refused:?}");
    }
    // Hermes may call these anywhere.
    for hook in ["profile-create", "profile-delete"] {
        assert_eq!(run(&["hook", hook, "coder"]).status.code(), Some(0));
    }
}
