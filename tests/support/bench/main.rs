//! `make bench`: the run-time verbs beside s6's own tools, runit and supervisor; starts beside those
//! of bare scripts; a boot beside a C program that makes the same files.
//!
//! What reaches into the container's scandir does so from outside, or is timed inside, so that
//! nobody pays for entering it.

mod contest;
mod floor;
mod inside;
mod peers;
mod scale;
#[path = "../mod.rs"]
#[allow(dead_code, unused_imports)] // it uses its part
mod support;
mod tree;

use contest::{
    Act, Bare, Contestant, Gateway, InMemory, Listener, Notes, Ours, S6, Table, by_turns,
};
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use support::{Container, Spec, Volume};
use tempfile::TempDir;

const ROUNDS: usize = 40;
/// s6's own restart takes a second.
const SLOW_ROUNDS: usize = 7;
/// A process that dies at once, so that what is measured is not its own time.
const SERVICE: &str = "#!/bin/sh\nexec sleep 1000\n";

/// All parts, in their order; a command line may name some.
const PARTS: [(&str, fn()); 4] =
    [("verbs", verbs), ("starts", scale::starts), ("many", scale::many), ("boots", floor::boots)];

/// A part that takes longer than all others together, and is run where it is named.
const LONG: (&str, fn()) = ("scale", tree::scale);

/// The acts that s6-supervise's own time is measured of, in their order.
const ALONE: [&str; 2] = [
    "stop: from the letter d to the end of finish (D)",
    "start: from the letter u to the event (u)",
];

fn main() {
    let named: Vec<_> = std::env::args().skip(1).collect();
    for (name, part) in PARTS.into_iter().chain([LONG]) {
        if named.is_empty() && name != LONG.0 || named.iter().any(|it| it == name) {
            part();
        }
    }
}

/// The verbs of a single gateway beside what others do to the same service.
fn verbs() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = Rc::new(Container::boot(volume, Spec::default()));
    inside::install(&container);
    let slot = container.inside("/run/service/gateway-one");
    fs::write(slot.join("run"), SERVICE).unwrap();
    let gateway = Gateway {
        container: container.clone(),
        scandir: container.inside("/run/service"),
        home: container.volume().path().to_path_buf(),
        slot,
    };
    gateway.ours(&["restart", "one"]);

    let notes = Rc::new(RefCell::new(Notes::default()));
    let mut contestants: Vec<Box<dyn Contestant>> =
        vec![Box::new(Ours(gateway.clone())), Box::new(S6(gateway.clone()))];
    let (mut names, mut missing) = (vec!["hermes-gw", "s6"], Vec::new());
    for (name, peer) in peers::all(SERVICE) {
        match peer {
            Ok(peer) => {
                names.push(name);
                contestants.push(peer);
            }
            Err(why) => missing.push(format!("{name} is missing: {why}")),
        }
    }
    contestants.push(Box::new(Bare(gateway.clone(), notes.clone())));
    let memory = temporary(Path::new("/dev/shm"));
    let home = memory.path().join("profiles/one");
    fs::create_dir_all(&home).unwrap();
    for file in ["SOUL.md", "gateway_state.json"] {
        fs::copy(container.volume().home("one").join(file), home.join(file)).unwrap();
    }
    let in_memory = Gateway { home: memory.path().to_path_buf(), ..gateway.clone() };
    contestants.push(Box::new(InMemory(Ours(in_memory))));

    println!("{}", peers::versions());
    let table = Table { names: &names };
    table.head("medians of rounds by turns");
    let mut alone = Vec::new();
    for (act, rounds, what) in [
        (Act::Restart, ROUNDS, "restart"),
        (Act::Stop, ROUNDS, "stop"),
        (Act::Start, ROUNDS, "start"),
        (Act::Status, 400, "query: status"),
        (Act::IsRunning, 400, "is-running | s6-svstat -o up"),
        (Act::Wait, 200, "wait --up | s6-svwait -u"),
    ] {
        let mut times = by_turns(act, rounds, &contestants);
        let (in_memory, bare) = (times.pop().flatten(), times.pop().flatten());
        if let (Some(ours), Some(in_memory), Some(bare)) = (times[0], in_memory, bare) {
            alone.push([bare, ours, in_memory]);
        }
        table.row(what, &times);
    }
    missing.iter().for_each(|line| println!("{line}"));
    println!("s6 and hermes-gw have the same gateway, with a logger and a finish; the peers have");
    println!("neither. supervisor has startsecs=0: by default start and restart wait a second.");

    let Notes { deaths, files } = notes.take();
    println!(
        "\n{:<52} {:>10} {:>20} {:>15}",
        "s6-supervise's own time", "alone", "hermes-gw, more", "home in memory"
    );
    for (what, [alone, ours, in_memory]) in ALONE.iter().zip(alone) {
        let [alone, ours, in_memory] = [alone, ours, in_memory].map(ms);
        println!(
            "{what:<52} {alone:>8.2}ms {ours:>8.2}ms {:>+7.2}ms {:>+13.2}ms",
            ours - alone,
            in_memory - alone
        );
    }
    println!("{:<52} {:>8.2}ms", "stop: from the letter d to the death (d)", ms(median(deaths)));
    let what = "a state file put on the disk, as both do once";
    println!("{what:<52} {:>8.2}ms", ms(median(files)));
    latency(&gateway);
}

/// From what s6-supervise says to the return of `stop`.
fn latency(gateway: &Gateway) {
    let (mut dead, mut down) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        gateway.ours(&["start", "one"]);
        let mut events = Listener::new(&gateway.slot);
        let mut stop = gateway.command(&["stop", "one"]).spawn().unwrap();
        let (died, finished) = (events.hear(b'd'), events.hear(b'D'));
        assert!(stop.wait().unwrap().success());
        let end = std::time::Instant::now();
        dead.push(end - died);
        down.push(end - finished);
    }
    for (what, times) in [
        ("stop returns after the death (d), finish included", dead),
        ("stop returns after the end of finish (D)", down),
    ] {
        println!("{what:<52} {:>10} {:>8.2}ms", "", ms(median(times)));
    }
}

/// A temporary directory in `dir`; where the bench is killed and it stays, its name says whose it is.
fn temporary(dir: &Path) -> TempDir {
    tempfile::Builder::new().prefix("hermes-gw-bench-").tempdir_in(dir).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
