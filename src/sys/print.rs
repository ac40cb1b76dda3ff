//! stdout and stderr.

use super::poll::poll;
use super::{failed, write_all};
use crate::error::Result;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Writes `bytes` to stdout; whether there is somebody who reads it. A reader that has gone
/// is no error.
pub(crate) fn print(bytes: &[u8]) -> Result<bool> {
    match write_all(rustix::stdio::stdout(), bytes) {
        Ok(()) => Ok(true),
        Err(Errno::PIPE) => Ok(false),
        Err(errno) => Err(failed("print", b"stdout", errno)),
    }
}

/// Writes `line`, of 4096 bytes at most, to stdout, unless its reader has stopped.
pub(crate) fn print_if_heard(line: &[u8]) {
    write_if_heard(rustix::stdio::stdout(), line);
}

/// Writes `line`, of 4096 bytes at most, to stderr, unless its reader has stopped.
pub(crate) fn print_error(line: &[u8]) {
    write_if_heard(rustix::stdio::stderr(), line);
}

/// A pipe that can be written to at all takes 4096 bytes; who reads it gets a second.
fn write_if_heard(to: BorrowedFd<'_>, bytes: &[u8]) {
    let mut fds = [PollFd::new(&to, PollFlags::OUT)];
    if poll(&mut fds, Some(Duration::from_secs(1))) == Ok(1) {
        // There is nowhere left to say that this failed.
        let _ = write_all(to, bytes);
    }
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stdout())
}
