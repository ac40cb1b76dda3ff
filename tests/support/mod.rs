//! Throw-away homes and a real s6 tree in namespaces; nothing is left behind.

mod container;
mod events;
mod image;
mod volume;

pub use container::{
    Container, HERMES, Output, SCANDIR_OF_PID_1, Spec, Tree, link, on_terminal, tree, untranslated,
    wait_or, wait_until,
};
pub use events::Events;
pub use image::{copy_image, library_dir, run, workspace};
pub use volume::Volume;

use std::io::Write;
use std::path::PathBuf;

/// The program under test: the static binary where `make` built it, else cargo's.
pub fn binary() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_hermes-gw").map(PathBuf::from);
    let named = std::env::var_os("HERMES_GW").map(PathBuf::from);
    named.or(built).expect("HERMES_GW names no binary: use `make demo`")
}

/// The static binary that `make build` made, for tests of what only it shows;
/// where there is none, says that `test` is skipped.
pub fn static_binary(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("HERMES_GW").map(PathBuf::from);
    if named.is_none() {
        skipped(test, "HERMES_GW names no static binary; `make test` does");
    }
    named
}

/// Says on the terminal that `test` is skipped, and why.
pub fn skipped(test: &str, why: &str) {
    // Not by println, which the test harness swallows.
    std::io::stderr().write_all(format!("skipped {test}: {why}\n").as_bytes()).unwrap();
}

/// What jq makes of `json`, strings without quotes.
#[track_caller]
pub fn jq(filter: &str, json: &str) -> String {
    use std::process::{Command, Stdio};
    let mut jq = Command::new("jq");
    let mut jq =
        jq.args(["-r", filter]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    jq.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    let output = jq.wait_with_output().unwrap();
    assert!(output.status.success(), "jq {filter}: {json}");
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}
