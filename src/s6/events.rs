//! A subscription to a service's events: a FIFO of our own in its `event/`.

use super::tai64n::Tai64n;
use crate::error::{Kind, Result};
use crate::sys::dir::Dir;
use crate::sys::poll::Fifo;
use crate::sys::{self, clock};
use crate::text::hex_digits;

/// Where s6-supervise looks for FIFOs to write its events to.
const EVENT: &str = "event/";

/// A FIFO that s6-supervise writes its events to.
#[derive(Debug)]
pub(crate) struct Subscription {
    fifo: Fifo,
    name: Vec<u8>,
}

impl Subscription {
    /// Subscribes to the service whose directory is `service`. What happened before
    /// is in its status.
    ///
    /// The FIFO gets its final name only when both its ends are open: s6 removes
    /// one that nobody reads, and one that is renamed into place misses nothing.
    pub(crate) fn open(service: &Dir) -> Result<Subscription> {
        let mut attempt = 0;
        loop {
            let (hidden, name) = names(attempt);
            match service.make_fifo(&hidden, 0o622) {
                Err(error) if error.kind == Kind::Exists => attempt += 1,
                made => {
                    made?;
                    let opened = service.open_fifo(&hidden).and_then(|fifo| {
                        service.rename(&hidden, &name)?;
                        Ok(fifo)
                    });
                    let fifo = opened.inspect_err(|_| {
                        // The first error is the one to tell.
                        let _ = service.remove(&hidden);
                    })?;
                    return Ok(Subscription { fifo, name });
                }
            }
        }
    }

    /// The FIFO: what comes out of it tells that the status has changed.
    pub(crate) fn fifo(&self) -> &Fifo {
        &self.fifo
    }

    /// Ends the subscription to `service`.
    pub(crate) fn close(&self, service: &Dir) {
        // If it cannot be removed, s6 does so at the next event.
        let _ = service.remove(&self.name);
    }
}

/// Where the FIFO is made, and where s6 finds it: `ftrig1:@` and 31 bytes more, a
/// TAI64N label and what makes it ours alone.
fn names(attempt: u32) -> (Vec<u8>, Vec<u8>) {
    let now = clock::time();
    let label = Tai64n::from_unix(now.as_secs(), now.subsec_nanos()).hex();
    let own = hex_digits(sys::process_id().wrapping_add(attempt).into(), 6);
    let name = |start: &str| [EVENT, start, "ftrig1:@", &label, ":", &own].concat().into_bytes();
    (name("."), name(""))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_what_s6_looks_for() {
        let (hidden, name) = names(0);
        let name = str::from_utf8(&name).unwrap().strip_prefix("event/").unwrap();
        assert!(name.starts_with("ftrig1:@40000000"), "{name}");
        assert_eq!(name.len(), 39);
        assert!(hidden.starts_with(b"event/.ftrig1:@"));
    }
}
