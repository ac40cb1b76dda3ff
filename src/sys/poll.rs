//! FIFOs, and the one way to wait: for something to read, for a reader to go, for the time
//! to be over.

use super::clock::Deadline;
use super::opened::Opened;
use super::{failed, write_all};
use crate::error::{Kind, Result};
use crate::text::messages::text;
use rustix::event::{self, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::Duration;

/// A FIFO open for reading, and for writing too, so that it never ends.
#[derive(Debug)]
pub(crate) struct Fifo(pub(super) Box<Opened>);

impl Fifo {
    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_drained()
    }

    /// Takes out what is in it; the last byte, or 0 where it was empty.
    pub(crate) fn drain(&self) -> u8 {
        // Large enough for what inotify tells of the longest name.
        let (mut buffer, mut last) = ([0; 512], 0);
        loop {
            let read = rustix::io::read(&self.0.fd, &mut buffer).unwrap_or(0);
            last = if read > 0 { buffer[read - 1] } else { last };
            if read < buffer.len() {
                return last;
            }
        }
    }
}

/// The writing end of a FIFO that somebody else reads.
#[derive(Debug)]
pub(crate) struct FifoWriter(pub(super) Box<Opened>);

impl FifoWriter {
    /// Writes `bytes`.
    ///
    /// # Errors
    /// [`Kind::Unsupervised`] if the reader has gone.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        write_all(self.0.fd.as_fd(), bytes)
            .map_err(|errno| failed(text!("write to"), &self.0.path, errno))
    }

    /// stdout, whatever it is; what is no pipe has no reader that can go.
    pub(crate) fn stdout() -> Result<FifoWriter> {
        const STDOUT: &[u8] = b"stdout";
        let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)
            .map_err(|errno| failed(text!("duplicate"), STDOUT, errno))?;
        Ok(FifoWriter(Opened::of(fd, STDOUT.to_vec())))
    }

    /// Whether its reader has taken out all that was written.
    pub(crate) fn is_drained(&self) -> bool {
        self.0.is_drained()
    }
}

/// What [`wait`] listens to, either or both: a FIFO that gets bytes, another that loses its
/// last reader.
pub(crate) type Heard<'a> = (Option<&'a Fifo>, Option<&'a FifoWriter>);

/// Waits until something happens to one of `all`, a signal comes, or `timeout` is over.
/// For each: whether there is something to read, and whether the reader has gone.
pub(crate) fn wait(all: &[Heard<'_>], timeout: Option<Duration>) -> Result<Vec<(bool, bool)>> {
    let mut fds = Vec::with_capacity(2 * all.len());
    for (fifo, writer) in all {
        if let Some(fifo) = fifo {
            fds.push(PollFd::new(&fifo.0.fd, PollFlags::IN));
        }
        // That its reader has gone is told unasked.
        if let Some(writer) = writer {
            fds.push(PollFd::new(&writer.0.fd, PollFlags::empty()));
        }
    }
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(failed(text!("wait for"), b"events", errno)),
    }
    let mut fds = fds.iter();
    let mut told = |there| there && fds.next().is_some_and(|fd| !fd.revents().is_empty());
    let mut heard = Vec::with_capacity(all.len());
    for (fifo, writer) in all {
        heard.push((told(fifo.is_some()), told(writer.is_some())));
    }
    Ok(heard)
}

/// Waits until `is` so, at the latest at `deadline`; whether it is. It is looked again each
/// time `events` tells something; without events, each `pause`.
pub(crate) fn wait_until(
    deadline: Deadline,
    events: Option<&Fifo>,
    pause: Duration,
    is: &mut dyn FnMut() -> Result<bool>,
) -> Result<bool> {
    loop {
        if is()? {
            return Ok(true);
        }
        if deadline.is_over() {
            return Ok(false);
        }
        let timeout = match events {
            Some(_) => deadline.left(),
            None => Some(deadline.left_or(pause)),
        };
        wait(&[(events, None)], timeout)?;
        events.inspect(|events| {
            events.drain();
        });
    }
}

/// Does nothing for a while.
pub(crate) fn pause(time: Duration) {
    // A signal that ends it early does no harm: who pauses looks again.
    let _ = poll(&mut [], Some(time));
}

pub(super) fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> rustix::io::Result<usize> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    event::poll(fds, timeout.as_ref())
}

/// Whether an error of this kind means that nobody is at the other end: there is no FIFO, or
/// nobody reads it.
pub(crate) fn means_no_reader(kind: Kind) -> bool {
    matches!(kind, Kind::Missing | Kind::Unsupervised)
}
