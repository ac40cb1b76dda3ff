//! Who does the same thing to the same service, by turns, and how long each takes.

use super::support::Container;
use super::support::run;
use super::{inside, median, ms};
use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What is done to the service, or asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Restart,
    Stop,
    Start,
    Wait,
    IsRunning,
    Status,
}

/// One who takes part.
pub trait Contestant {
    /// Does it, and how long that took; `None` for what it has no command for. What it says of
    /// itself must be success.
    fn act(&self, act: Act) -> Option<Duration>;

    /// The pid of the service's process, if there is one.
    fn pid(&self) -> Option<u32>;

    /// Brings the service up or down before it is measured.
    fn prepare(&self, up: bool) {
        if self.pid().is_some() != up {
            self.act(if up { Act::Start } else { Act::Stop });
        }
    }
}

/// How long a command takes that must succeed; what it prints is not shown.
pub fn timed(command: &mut Command) -> Duration {
    // s6-svc warns that the gateway has no notification-fd.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().unwrap();
    let time = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    time
}

/// Who takes longer takes part in fewer rounds: so many, from so long on.
const FEWER: [(Duration, usize); 2] =
    [(Duration::from_millis(250), 7), (Duration::from_millis(25), 40)];

/// Does `act` by turns, in at most so many `rounds`; the median of each.
pub fn by_turns(
    act: Act,
    rounds: usize,
    contestants: &[Box<dyn Contestant>],
) -> Vec<Option<Duration>> {
    let changes = matches!(act, Act::Stop | Act::Start);
    let mut times = vec![Vec::new(); contestants.len()];
    for round in 0..rounds {
        // Each is the first in some rounds.
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            let (contestant, times) = (&contestants[at], &mut times[at]);
            if !is_due(times, round, rounds) {
                continue;
            }
            if changes || round == 0 {
                contestant.prepare(act != Act::Start);
            }
            let before = contestant.pid();
            let Some(time) = contestant.act(act) else { continue };
            let after = contestant.pid();
            let is_done = match act {
                Act::Restart => before.is_some() && after.is_some() && before != after,
                Act::Stop => before.is_some() && after.is_none(),
                Act::Start => before.is_none() && after.is_some(),
                _ => before.is_some() && before == after,
            };
            assert!(is_done, "{act:?} of contestant {at}: pid {before:?}, then {after:?}");
            times.push(time);
        }
    }
    times.into_iter().map(|times| (!times.is_empty()).then(|| median(times))).collect()
}

/// Whether one of these `times` takes part in `round` of so many.
fn is_due(times: &[Duration], round: usize, rounds: usize) -> bool {
    let Some(first) = times.first() else { return round == 0 };
    let allowed = FEWER.iter().find(|(from, _)| first > from).map_or(rounds, |(_, most)| *most);
    round.is_multiple_of(rounds.div_ceil(allowed))
}

/// The gateway that hermes-gw, s6's tools and the bench itself are given.
#[derive(Clone)]
pub struct Gateway {
    pub container: Rc<Container>,
    pub scandir: PathBuf,
    pub home: PathBuf,
    pub slot: PathBuf,
}

impl Gateway {
    /// hermes-gw, from outside the container.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(super::support::binary());
        command.arg("--scandir").arg(&self.scandir).arg("--home").arg(&self.home).args(args);
        command.env("HERMES_GW_USER", "root").stdout(Stdio::null());
        command
    }

    /// How long `command` takes in the container.
    fn inside(&self, command: &[&str]) -> Duration {
        inside::time(&self.container, command)[0]
    }

    pub fn ours(&self, args: &[&str]) {
        run(&mut self.command(args));
    }

    fn pid(&self) -> Option<u32> {
        // -1 where there is none.
        run(Command::new("s6-svstat").args(["-o", "pid"]).arg(&self.slot)).trim().parse().ok()
    }

    /// For all three: hermes-gw's own notes on what is wanted are always as they would be.
    fn prepare(&self, up: bool) {
        self.ours(&[if up { "start" } else { "stop" }, "one"]);
    }
}

/// hermes-gw.
pub struct Ours(pub Gateway);

impl Contestant for Ours {
    fn act(&self, act: Act) -> Option<Duration> {
        let args: &[&str] = match act {
            Act::Restart => &["restart", "one"],
            Act::Stop => &["stop", "one"],
            Act::Start => &["start", "one"],
            Act::Wait => &["wait", "--up", "one"],
            Act::IsRunning => &["is-running", "one"],
            // It looks at the processes as well, and they are others outside.
            Act::Status => return Some(self.0.inside(&["/command/hermes-gw", "status", "one"])),
        };
        Some(timed(&mut self.0.command(args)))
    }

    fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    fn prepare(&self, up: bool) {
        self.0.prepare(up);
    }
}

/// hermes-gw where the home is in memory: what it takes without the disk.
pub struct InMemory(pub Ours);

impl Contestant for InMemory {
    fn act(&self, act: Act) -> Option<Duration> {
        matches!(act, Act::Stop | Act::Start).then(|| self.0.act(act)).flatten()
    }

    fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    fn prepare(&self, up: bool) {
        self.0.prepare(up);
    }
}

/// s6's own tools.
pub struct S6(pub Gateway);

impl Contestant for S6 {
    fn act(&self, act: Act) -> Option<Duration> {
        let (tool, options): (_, &[&str]) = match act {
            Act::Restart => ("s6-svc", &["-wR", "-r"]),
            Act::Stop => ("s6-svc", &["-wD", "-d"]),
            Act::Start => ("s6-svc", &["-wu", "-u"]),
            Act::Wait => ("s6-svwait", &["-u"]),
            Act::IsRunning => ("s6-svstat", &["-o", "up"]),
            Act::Status => {
                let slot = "/run/service/gateway-one";
                return Some(self.0.inside(&["/command/s6-svstat", slot]));
            }
        };
        Some(timed(Command::new(tool).args(options).arg(&self.0.slot)))
    }

    fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    fn prepare(&self, up: bool) {
        self.0.prepare(up);
    }
}

/// What is measured besides, where the bench itself takes part.
#[derive(Default)]
pub struct Notes {
    /// From the letter to the death: finish comes after it.
    pub deaths: Vec<Duration>,
    /// A state file replaced and on the disk, as stop and start do once.
    pub files: Vec<Duration>,
}

/// The bench itself, which writes a letter and reads the events: what s6-supervise takes.
pub struct Bare(pub Gateway, pub Rc<RefCell<Notes>>);

impl Bare {
    fn replace_file(&self) -> Duration {
        let state = self.0.home.join("profiles/one/gateway_state.json");
        let (staged, place) = (self.0.home.join("staged"), self.0.home.join("replaced"));
        let content = fs::read(state).unwrap();
        let start = Instant::now();
        let mut file = File::create_new(&staged).unwrap();
        file.write_all(&content).unwrap();
        file.sync_all().unwrap();
        fs::rename(staged, place).unwrap();
        start.elapsed()
    }
}

impl Contestant for Bare {
    fn act(&self, act: Act) -> Option<Duration> {
        let (letter, expected): (_, &[u8]) = match act {
            Act::Stop => (b"d", b"dD"),
            Act::Start => (b"u", b"u"),
            _ => return None,
        };
        let file = self.replace_file();
        self.1.borrow_mut().files.push(file);
        let control = self.0.slot.join("supervise/control");
        let mut control = OpenOptions::new().write(true).open(control).unwrap();
        let mut events = Listener::new(&self.0.slot);
        let start = Instant::now();
        control.write_all(letter).unwrap();
        let times: Vec<_> = expected.iter().map(|&event| events.hear(event) - start).collect();
        if act == Act::Stop {
            self.1.borrow_mut().deaths.push(times[0]);
        }
        times.last().copied()
    }

    fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    fn prepare(&self, up: bool) {
        self.0.prepare(up);
    }
}

/// A subscription to a service's events.
pub struct Listener {
    fifo: File,
    path: PathBuf,
}

impl Listener {
    /// Listens to the service whose directory is `slot`.
    pub fn new(slot: &Path) -> Listener {
        let hidden = slot.join("event/.bench");
        let path = slot.join("event/ftrig1:@400000006a5fb1251dcd6500:bench0");
        run(Command::new("mkfifo").arg(&hidden));
        let fifo = OpenOptions::new().read(true).write(true).open(&hidden).unwrap();
        fs::rename(hidden, &path).unwrap();
        Listener { fifo, path }
    }

    /// When the next event came, which is to be the one `expected`.
    pub fn hear(&mut self, expected: u8) -> Instant {
        let mut letter = [0];
        self.fifo.read_exact(&mut letter).unwrap();
        assert_eq!(letter, [expected]);
        Instant::now()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Or s6-supervise would find that nobody reads it, and remove it.
        let _ = fs::remove_file(&self.path);
    }
}

/// The rows of verbs: hermes-gw first, then the others, each with its ratio to it.
pub struct Table<'a> {
    pub names: &'a [&'a str],
}

impl Table<'_> {
    /// Names the columns.
    pub fn head(&self, what: &str) {
        let [ours, others @ ..] = self.names else { return };
        let others: String = others.iter().map(|other| format!("{other:>10}{:>7}", "")).collect();
        println!("{}", format!("{what:<36} {ours:>10}{others}").trim_end());
    }

    /// Prints a row.
    pub fn row(&self, what: &str, times: &[Option<Duration>]) {
        let Some(ours) = times[0] else { return };
        let ratio = |time: Duration| time.as_secs_f64() / ours.as_secs_f64();
        let other = |time: &Option<Duration>| match time {
            Some(time) => format!("{:>8.2}ms {:>5.1}x", ms(*time), ratio(*time)),
            None => format!("{:>10}{:>7}", "-", ""),
        };
        let others: String = times[1..self.names.len()].iter().map(other).collect();
        println!("{}", format!("{what:<36} {:>8.2}ms{others}", ms(ours)).trim_end());
    }
}
