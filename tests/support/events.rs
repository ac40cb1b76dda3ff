//! What a service's supervisor says, heard as any subscriber hears it.

use super::{Container, run, wait_or};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

const O_NONBLOCK: i32 = 0o4000;

/// A subscription from outside the container.
pub struct Events {
    fifo: File,
}

impl Events {
    /// Listens to the service whose directory is `service`, by its path in the container.
    pub fn of(container: &Container, service: &str) -> Events {
        let event = container.inside(service).join("event");
        let hidden = event.join(".heard-by-a-test");
        run(Command::new("mkfifo").arg("-m").arg("622").arg(&hidden));
        let fifo = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(&hidden);
        fs::rename(&hidden, event.join("ftrig1:@400000006a5fb1251dcd6500:0test0")).unwrap();
        Events { fifo: fifo.unwrap() }
    }

    /// The letters since the last time: those `expected`, which may still be on their way,
    /// or whatever else came.
    #[track_caller]
    pub fn heard(&mut self, expected: &str) -> String {
        let mut letters = Vec::new();
        wait_or(&format!("the events {expected:?}"), || {
            // It ends where nothing is left to read.
            let _ = self.fifo.read_to_end(&mut letters);
            let heard = String::from_utf8(letters.clone()).unwrap();
            if heard.len() >= expected.len() { Ok(heard) } else { Err(heard) }
        })
    }

    /// Whether just the letters `expected` came.
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        assert_eq!(self.heard(expected), expected);
    }
}
