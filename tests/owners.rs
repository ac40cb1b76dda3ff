//! Whoever owns the volume, and whoever the container runs as: what counts is what works.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;
use support::{Container, HERMES, Output, Spec, Volume, jq, wait_until};

const STATE: &str = "gateway_state.json";
/// A user of OpenShift's, who is in no user database.
const ANYBODY: u32 = 1_000_670_000;

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

/// Gives all of the volume to `uid` and `gid`, directories with one mode and files with another.
fn give(path: &Path, uid: u32, gid: u32, modes: (u32, u32)) {
    lchown(path, Some(uid), Some(gid)).unwrap();
    let is_dir = path.is_dir();
    let mode = if is_dir { modes.0 } else { modes.1 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for entry in if is_dir { Some(fs::read_dir(path).unwrap()) } else { None }.into_iter().flatten()
    {
        give(&entry.unwrap().path(), uid, gid, modes);
    }
}

/// What doctor has against something, `level: check: text; remedy` each; the same as root, unless
/// there is no root here.
fn findings(container: &Container, root: bool) -> Vec<String> {
    let bad = |output: Output| {
        assert_eq!(output.stderr, "", "{output:?}");
        let filter = ".[] | select(.level != \"ok\") | .level + \": \" + .check + \": \" + .text \
            + \"; \" + (.remedy // \"-\")";
        let found = jq(filter, &output.stdout);
        let fails = found.lines().any(|line| line.starts_with("fail: "));
        assert_eq!(output.code, i32::from(fails), "{output:?}");
        found.lines().map(String::from).collect::<Vec<_>>()
    };
    let found = bad(gw(container, &["--json", "doctor"]));
    if root {
        let args = ["/command/hermes-gw", "--json", "doctor"];
        assert_eq!(bad(container.as_root(&args)), found, "as root");
    }
    let trial = ["find", "/run", "/opt", "-name", ".hermes-gw.trial"];
    assert_eq!(container.as_root(&trial).ok(), "", "something was left");
    found
}

/// All verbs do what they say, as whom the gateways are, and what is wanted is kept.
fn all_verbs_work(container: &mut Container, root: bool) {
    for profile in ["default", "coder"] {
        container.wait_up(profile);
    }
    assert_eq!(findings(container, root), [""; 0]);
    let verbs: [&[&str]; 27] = [
        &["list"],
        &["unregister", "new"],
        &["status"],
        &["stop", "coder"],
        &["start", "coder"],
        &["restart", "coder"],
        &["wait", "--up", "coder"],
        &["is-running", "coder"],
        &["signal", "HUP", "coder"],
        &["logs", "coder"],
        &["register", "--down", "new"],
        &["start", "new"],
        &["stop", "new"],
        &["unregister", "new"],
        &["hook", "profile-create", "new"],
        &["hook", "profile-delete", "new"],
        &["register", "new"],
        &["reconcile", "--dry-run"],
        &["reconcile"],
        &["reconcile", "--boot"],
        &["unregister", "new"],
        &["reconcile", "--prune"],
        &["start", "new"],
        &["stop", "--all"],
        &["start", "--all"],
        &["stop", "coder"],
        &["detect"],
    ];
    for verb in verbs {
        let output = gw(container, verb);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{verb:?}: {output:?}");
    }
    assert_eq!(findings(container, root), [""; 0]);
    gw(container, &["shutdown"]).ok();
    assert_eq!(["default", "coder", "new"].map(|it| container.state(it)), ["down"; 3]);
    container.restart();
    for profile in ["default", "new"] {
        container.wait_up(profile);
    }
    assert_eq!(container.state("coder"), "down");
    let console = container.console();
    assert!(!console.contains(" warning: ") && !console.contains("failed"), "{console}");
    assert_eq!(findings(container, root), [""; 0]);
}

fn volume() -> Volume {
    let volume = Volume::new();
    volume.wanted("default", "running").wanted("coder", "running").profile("new");
    volume
}

#[test]
fn anybody_may_be_who_the_container_runs_as() {
    for known in [false, true] {
        let volume = volume();
        let spec = Spec { user: Some((ANYBODY, 0)), ..Spec::default() };
        let mut container = Container::new(volume.clone(), spec);
        give(volume.path(), 0, 0, (0o775, 0o664));
        if !known {
            let passwd = container.root().join("etc/passwd");
            fs::write(passwd, "root:x:0:0::/root:/bin/sh\n").unwrap();
        }
        container.start();
        let user = jq(
            ".[] | select(.check == \"user\") | .text",
            &gw(&container, &["--json", "doctor"]).stdout,
        );
        assert_eq!(user, format!("gateways run as user {ANYBODY}"));
        all_verbs_work(&mut container, false);
    }
}

#[test]
fn who_owns_the_volume_is_nothing_to_who_may_write_to_it() {
    let table = [
        // What Kubernetes makes of fsGroup, and a share of Unraid's, or of CIFS.
        (0, HERMES, (0o2775, 0o664)),
        (99, 100, (0o777, 0o666)),
    ];
    for (uid, gid, modes) in table {
        let volume = volume();
        let mut container = Container::new(volume.clone(), Spec::default());
        give(volume.path(), uid, gid, modes);
        container.start();
        all_verbs_work(&mut container, true);
    }
}
