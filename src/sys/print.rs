//! stdout and stderr.

use super::failed;
use super::poll::{pause, poll};
use crate::error::Result;
use crate::text::messages::text;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::isatty;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// After how long a full terminal is tried again.
const PAUSE: Duration = Duration::from_millis(20);

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
    let stderr = rustix::stdio::stderr();
    // poll may say that a full terminal can be written to; the write then blocks. So it is opened
    // again, to write without blocking, if this user may. O_NONBLOCK on the descriptor we were given
    // would hold for all who share it.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if isatty(stderr)
        && let Ok(terminal) = fs::open(c"/proc/self/fd/2", flags, Mode::empty())
    {
        return write_if_heard(terminal.as_fd(), line);
    }
    write_if_heard(stderr, line);
}

/// Writes `bytes` as far as they are read. A reader that has stopped gets a second, once.
fn write_if_heard(to: BorrowedFd<'_>, mut bytes: &[u8]) {
    // How often a full terminal is tried again, together a second; 0 once the reader has stopped.
    static PAUSES: AtomicU32 = AtomicU32::new(50);
    let mut pauses = PAUSES.load(Relaxed);
    while !bytes.is_empty() {
        let second = Duration::from_secs(pauses.min(1).into());
        let mut fds = [PollFd::new(&to, PollFlags::OUT)];
        // A pipe that can be written to at all takes so much.
        let piece = &bytes[..bytes.len().min(4096)];
        let written = match poll(&mut fds, Some(second)) {
            Ok(1) => rustix::io::write(to, piece),
            _ => Err(Errno::TIMEDOUT),
        };
        match written {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::AGAIN | Errno::INTR) if pauses > 0 => {
                pauses -= 1;
                pause(PAUSE);
            }
            // There is nowhere left to say that this failed.
            _ => return PAUSES.store(0, Relaxed),
        }
    }
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    isatty(rustix::stdio::stdout())
}
