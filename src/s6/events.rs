//! A subscription to a service's events: a FIFO of our own in its `event/`.

use crate::error::{Kind, Result};
use crate::sys::{self, Dir, Fifo};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A FIFO that s6-supervise writes its events to; removed when dropped.
#[derive(Debug)]
pub struct Listener {
    event: Dir,
    name: Vec<u8>,
    fifo: Fifo,
}

impl Listener {
    /// Subscribes in the directory `event`.
    ///
    /// The FIFO gets its final name only when both its ends are open: s6 removes
    /// one that nobody reads, and one that is renamed into place misses nothing.
    pub fn open(event: Dir) -> Result<Listener> {
        let mut attempt = 0;
        loop {
            let name = name(attempt);
            let hidden = [b".", &name[..]].concat();
            match event.make_fifo(&hidden, 0o622) {
                Err(error) if error.kind == Kind::Exists => attempt += 1,
                made => {
                    made?;
                    let opened = event.open_fifo(&hidden).and_then(|fifo| {
                        event.rename(&hidden, &name)?;
                        Ok(fifo)
                    });
                    let fifo = opened.inspect_err(|_| {
                        let _ = event.remove(&hidden);
                    })?;
                    return Ok(Listener { event, name, fifo });
                }
            }
        }
    }

    /// Waits until one of `listeners` has heard something or `timeout` is over;
    /// what was heard is taken out, for the status tells what it came to.
    pub fn wait<'a>(
        listeners: impl Iterator<Item = &'a Listener> + Clone,
        timeout: Duration,
    ) -> Result<()> {
        sys::wait_readable(listeners.clone().map(|listener| &listener.fifo), timeout)?;
        listeners.for_each(|listener| listener.fifo.drain());
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // If it cannot be removed, s6 does so at the next event.
        let _ = self.event.remove(&self.name);
    }
}

/// `ftrig1:@` and 31 bytes more, as s6 wants it: a TAI64N label, then what makes it ours alone.
fn name(attempt: u32) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let tai = (1 << 62) + 37 + now.as_secs();
    let own = (std::process::id() + attempt) & 0xff_ffff;
    format!("ftrig1:@{tai:016x}{:08x}:{own:06x}", now.subsec_nanos()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_what_s6_looks_for() {
        let name = String::from_utf8(name(0)).unwrap();
        assert!(name.starts_with("ftrig1:@40000000"), "{name}");
        assert_eq!(name.len(), 39);
    }
}
