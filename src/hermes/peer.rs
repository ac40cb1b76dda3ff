//! For tests: what Python's libraries, as Hermes uses them, make of the same texts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Texts made of `parts`, the same ones each time.
pub(super) fn texts(parts: &[&str], count: usize) -> Vec<String> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        // xorshift*: a good spread, and no package.
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    (0..count).map(|_| (0..1 + random(12)).map(|_| parts[random(parts.len())]).collect()).collect()
}

/// What `answer`, a function that `script` defines, says of each of `texts`; `None` where there
/// is no Hermes in target/hermes.
pub(super) fn ask(script: &str, texts: &[String]) -> Option<Vec<serde_json::Value>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hermes/bin/python");
    if !python.exists() {
        // Not by println, which the test harness swallows.
        let why =
            "SKIPPED: no Hermes Agent in target/hermes to compare with; `make hermes` gets it\n";
        std::io::stderr().write_all(why.as_bytes()).unwrap();
        return None;
    }
    let frame = "\njson.dump([answer(text) for text in json.load(sys.stdin)], sys.stdout)\n";
    let script = ["import io, json, logging, sys\nlogging.disable()\n", script, frame].concat();
    let mut command = Command::new(python);
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(texts).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
