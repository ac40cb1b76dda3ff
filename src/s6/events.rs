//! A subscription to a service's events: a FIFO of our own in its `event/`.

use super::tai64n::Tai64n;
use crate::error::{Kind, Result};
use crate::sys::dir::Dir;
use crate::sys::if_such;
use crate::sys::poll::Fifo;
use crate::sys::{self, clock};
use crate::text::hex_digits;

/// The letter for a service that has died, before its finish is started.
pub(crate) const DIED: u8 = b'd';

/// Where s6-supervise looks for FIFOs to write its events to.
const EVENT: &[u8] = b"event/";

/// How the name of a FIFO begins, and while it is not in place yet: with a dot more.
const START: &[u8] = b"ftrig1:@";
const HIDDEN: &[u8] = b".ftrig1:@";
/// Longer than any call takes to read a FIFO that it has made, in seconds.
const LONGEST: u64 = 10;

/// Adds to `left` the paths of FIFOs in the directory `event` of `service` that a call which was
/// killed has left before they were in place: nobody reads them. Those in place s6 removes, at the
/// next event.
pub(crate) fn add_leftovers(service: &Dir, event: &[u8], left: &mut Vec<Vec<u8>>) -> Result<()> {
    let Some(dir) = if_such(service.dir(event))? else { return Ok(()) };
    for name in &dir.names()? {
        let label = name.strip_prefix(HIDDEN).and_then(|rest| rest.get(..24));
        // What has no such name is not ours. However the clock was set since, it may be some
        // seconds away from now.
        if let Some(made) = label.and_then(Tai64n::parse)
            && made.unix().abs_diff(clock::now()) > LONGEST
            && if_such(dir.fifo_has_reader(name))? == Some(false)
        {
            left.push([event, b"/", name].concat());
        }
    }
    Ok(())
}

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
    pub(crate) fn open(service: &Dir) -> Result<Box<Subscription>> {
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
                    return Ok(Box::new(Subscription { fifo, name }));
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
    let name = [EVENT, START, label.as_bytes(), b":", own.as_bytes()].concat();
    let mut hidden = name.clone();
    hidden.insert(EVENT.len(), b'.');
    (hidden, name)
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
