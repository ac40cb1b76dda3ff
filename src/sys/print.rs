//! stdout and stderr.

use super::poll::poll;
use super::{failed, write_all};
use crate::error::Result;
use crate::text::messages::text;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Writes `bytes` to stdout; whether there is somebody who reads it. A reader that has gone
/// is no error.
pub(crate) fn print(mut bytes: &[u8]) -> Result<bool> {
    let stdout = rustix::stdio::stdout();
    loop {
        match rustix::io::write(stdout, bytes) {
            Ok(written) if written == bytes.len() => return Ok(true),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::PIPE) => return Ok(false),
            Err(Errno::INTR) => {}
            // Who has it too made it non-blocking.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None)),
            Err(errno) => return Err(failed(text!("print"), b"stdout", errno)),
        }
    }
}

/// Writes `line` to stdout, unless its reader has stopped.
pub(crate) fn print_if_heard(line: &[u8]) {
    write_if_heard(rustix::stdio::stdout(), line);
}

/// Writes `line` to stderr, unless its reader has stopped.
pub(crate) fn print_error(line: &[u8]) {
    write_if_heard(rustix::stdio::stderr(), line);
}

/// Writes `bytes` as far as they are read. A reader that has stopped gets a second, once.
fn write_if_heard(to: BorrowedFd<'_>, bytes: &[u8]) {
    static HAS_STOPPED: AtomicBool = AtomicBool::new(false);
    // A pipe that can be written to at all takes so much.
    for piece in bytes.chunks(4096) {
        let second = u64::from(!HAS_STOPPED.load(Relaxed));
        let mut fds = [PollFd::new(&to, PollFlags::OUT)];
        if poll(&mut fds, Some(Duration::from_secs(second))) == Ok(1) {
            // There is nowhere left to say that this failed.
            let _ = write_all(to, piece);
        } else {
            HAS_STOPPED.store(true, Relaxed);
            break;
        }
    }
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stdout())
}
