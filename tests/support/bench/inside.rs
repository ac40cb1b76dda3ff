//! Commands in the container, timed there: nothing pays for entering it, and what looks at /proc
//! sees the container's processes alone.

use super::support::{Container, run};
use std::process::Command;
use std::time::Duration;

/// Puts floor.c into `container`, which is also the launcher.
pub fn install(container: &Container) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/bench/floor.c");
    let compile = |compiler| {
        let mut command = Command::new(compiler);
        command.args(["-std=gnu11", "-Wall", "-Wextra", "-Os", "-static", source, "-o"]);
        command.arg(container.root().join("floor")).output()
    };
    // Where rustup's toolchain builds hermes-gw, there need not be the first.
    let output = compile("musl-gcc").or_else(|_| compile("cc")).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// How long `command` takes as root, for root, and how long of that it is on a processor.
pub fn time(container: &Container, command: &[&str]) -> [Duration; 2] {
    let args = [&["env", "HERMES_GW_USER=root", "/floor", "time"], command].concat();
    let said = run(&mut container.root_command(&args));
    let (took, processors) = said.trim().split_once(' ').unwrap();
    [took, processors].map(|nanoseconds| Duration::from_nanos(nanoseconds.parse().unwrap()))
}
