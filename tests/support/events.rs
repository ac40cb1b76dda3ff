//! What a service's supervisor says, heard as any subscriber hears it.

use super::{Container, run};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

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
    pub fn heard(&mut self, expected: &str) -> String {
        let (mut letters, start) = (Vec::new(), Instant::now());
        loop {
            // It ends where nothing is left to read.
            let _ = self.fifo.read_to_end(&mut letters);
            if letters.len() >= expected.len() || start.elapsed() > Duration::from_secs(2) {
                return String::from_utf8(letters).unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether just the letters `expected` came.
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        assert_eq!(self.heard(expected), expected);
    }
}
