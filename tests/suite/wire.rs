//! What s6 writes is read as s6's own tools read it: live, in every state, and from
//! files captured on three versions of s6.

use crate::support;
use hermes_gw::model::backoff::Exit;
use hermes_gw::s6::death_tally;
use hermes_gw::s6::status::Status;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use support::{Container, Spec, Volume, wait_until};

const SLOT: &str = "/run/service/gateway-one";
const FIELDS: &str = "up,wantedup,ready,paused,pid,exitcode,signum,updownsince,readysince";

/// The fields of s6-svstat as we read them, in its words.
fn as_svstat(status: &Status) -> String {
    let (code, signal) = match status.last_exit() {
        _ if status.is_up() || status.is_unstarted() => (-1, -1),
        Exit::Code(code) => (i32::from(code), -1),
        Exit::Signal(signal) => (-1, i32::from(signal)),
    };
    let pid = if status.is_up() { status.pid.cast_signed() } else { -1 };
    format!(
        "{} {} {} {} {pid} {code} {signal} @{} @{}",
        status.is_up(),
        status.want_up,
        status.is_up() && status.ready,
        status.is_up() && status.paused,
        status.stamp.hex(),
        status.ready_stamp.hex()
    )
}

/// s6-svdt's words for a tally, newest last.
fn as_svdt(bytes: &[u8]) -> String {
    let deaths = death_tally::parse(bytes).unwrap();
    let line = |death: &death_tally::Death| {
        let exit = match death.signal {
            0 => format!("exitcode {}", death.exit_code),
            signal => format!("signal {}", ["SIGTERM", "SIGKILL"][usize::from(signal == 9)]),
        };
        format!("@{} {exit}\n", death.stamp.hex())
    };
    deaths.iter().map(line).collect()
}

#[test]
fn every_state_is_read_as_s6_svstat_reads_it() {
    let container = Container::boot(Volume::new(), Spec::default());
    let gw = |args: &[&str]| container.as_hermes(&[&["/command/hermes-gw"], args].concat());
    let root = |args: &[&str]| container.as_root(args).ok();
    gw(&["register", "one", "--down", "--force"]).ok();
    let slot = container.inside(SLOT);
    let behave = |run: &str, finish: &str| {
        fs::write(slot.join("run"), format!("#!/bin/sh\n{run}\n")).unwrap();
        fs::write(slot.join("finish"), format!("#!/bin/sh\n{finish}\n")).unwrap();
    };
    let svstat = |field: &str| root(&["/command/s6-svstat", "-o", field, SLOT]);
    let mut seen = BTreeMap::new();
    let mut look = |state: &'static str| {
        let (before, theirs) = loop {
            let bytes = fs::read(slot.join("supervise/status")).unwrap();
            let theirs = svstat(FIELDS);
            if fs::read(slot.join("supervise/status")).unwrap() == bytes {
                break (bytes, theirs);
            }
        };
        let status = Status::parse(&before).unwrap();
        // While finish runs, s6-svstat tells of finish.
        assert!(
            status.finishing || as_svstat(&status) == theirs.trim(),
            "{state}: {status:?} {theirs}"
        );
        capture(state, &before, &theirs);
        assert!(seen.insert(state, status).is_none());
    };

    look("never");
    behave("until [ -e go ]; do sleep 0.05; done; echo >&3; exec sleep 1000", "exit 0");
    fs::write(slot.join("notification-fd"), "3\n").unwrap();
    gw(&["start", "one"]).ok();
    look("up");
    fs::write(slot.join("go"), "").unwrap();
    gw(&["wait", "--ready", "one"]).ok();
    look("ready");
    gw(&["signal", "STOP", "one"]).ok();
    wait_until("the pause", || svstat("paused") == "true\n");
    look("paused");
    gw(&["stop", "one"]).ok();
    look("terminated");
    behave("exit 77", "while [ -e go ]; do sleep 0.05; done");
    root(&["/command/s6-svc", "-o", SLOT]);
    wait_until("finish", || {
        Status::parse(&fs::read(slot.join("supervise/status")).unwrap()).unwrap().finishing
    });
    look("finishing");
    fs::remove_file(slot.join("go")).unwrap();
    gw(&["wait", "--down", "one"]).ok();
    look("exited");
    behave("exec sleep 1000", "exit 125");
    gw(&["start", "one"]).ok();
    gw(&["signal", "KILL", "one"]).ok();
    gw(&["wait", "--down", "one"]).ok();
    wait_until("parking", || svstat("wantedup") == "false\n");
    look("parked");

    let of = |state: &str| &seen[state];
    assert!(of("up").is_up() && !of("up").ready && of("up").want_up);
    assert!(of("ready").ready && of("paused").paused && of("paused").is_up());
    assert!(of("finishing").finishing && of("finishing").pid != 0 && !of("finishing").is_up());
    assert_eq!(of("terminated").last_exit(), Exit::Signal(15));
    assert_eq!(of("exited").last_exit(), Exit::Code(77));
    assert_eq!(of("parked").last_exit(), Exit::Signal(9));
    for state in ["never", "terminated", "exited", "parked"] {
        assert!(of(state).is_down() && !of(state).may_be_up(), "{state}");
    }
    let bytes = fs::read(slot.join("supervise/death_tally")).unwrap();
    let deaths = death_tally::parse(&bytes).unwrap();
    let ends: Vec<_> = deaths.iter().map(|death| (death.exit_code, death.signal)).collect();
    assert_eq!(ends, [(143, 15), (77, 0), (137, 9)]);
    assert!(deaths.is_sorted_by_key(|death| death.stamp));
    let theirs = root(&["/command/s6-svdt", SLOT]);
    assert_eq!(as_svdt(&bytes), theirs);
    capture("death_tally", &bytes, &theirs);
}

/// Keeps what was seen where CAPTURE names a directory, for tests/fixtures/.
fn capture(name: &str, bytes: &[u8], theirs: &str) {
    if let Some(dir) = std::env::var_os("CAPTURE").map(PathBuf::from) {
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), bytes).unwrap();
        fs::write(dir.join(format!("{name}.txt")), theirs).unwrap();
    }
}

#[test]
fn captured_files_of_three_versions_are_read_as_their_tools_did() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (version, size, never) in
        [("2.11.3.2", 35, false), ("2.13.1.0", 43, false), ("2.15.1.0", 35, true)]
    {
        let dir = fixtures.join(format!("s6-{version}"));
        let mut states = 0;
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".txt") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let theirs = fs::read_to_string(dir.join(format!("{name}.txt"))).unwrap();
            if name == "death_tally" {
                assert_eq!(as_svdt(&bytes), theirs, "{version}");
                // A tally that is cut is none.
                assert!((1..14).all(|cut| death_tally::parse(&bytes[cut..]).is_none()));
                continue;
            }
            states += 1;
            assert_eq!(bytes.len(), size, "{version} {name}");
            let status = Status::parse(&bytes).unwrap();
            assert_eq!(status.is_unstarted(), never && name == "never", "{version} {name}");
            if name == "finishing" {
                assert!(status.finishing && status.pid != 0);
            } else {
                assert_eq!(as_svstat(&status), theirs.trim(), "{version} {name}");
            }
            let mut cuts = (0..size).filter(|&cut| cut != 35);
            assert!(cuts.all(|cut| Status::parse(&bytes[..cut]).is_none()));
        }
        assert_eq!(states, 8, "{version}");
    }
}
