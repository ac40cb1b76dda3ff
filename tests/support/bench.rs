//! `make bench`: the run-time verbs against s6's own tools, in pairs, and starts against those of
//! bare scripts, as ratios.
//!
//! Both reach into the container's scandir from outside, so that neither pays for
//! entering it.

#[path = "mod.rs"]
#[allow(dead_code, unused_imports)] // it uses its part
mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Container, Spec, Volume, binary, run};

const ROUNDS: usize = 40;
/// s6's own restart takes a second.
const SLOW_ROUNDS: usize = 7;

fn main() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = Container::boot(volume, Spec::default());
    let slot = container.inside("/run/service/gateway-one");
    // A gateway that dies at once, so that what is measured is not its own time.
    fs::write(slot.join("run"), "#!/bin/sh\nexec sleep 1000\n").unwrap();
    let bench = Bench {
        scandir: container.inside("/run/service"),
        home: container.volume().path().to_path_buf(),
        slot: slot.clone(),
    };
    bench.ours(&["restart", "one"]);

    println!("{:<44} {:>10} {:>10} {:>8}", "median of pairs", "hermes-gw", "s6", "ratio");
    bench.pair(
        "restart | s6-svc -wR -r",
        SLOW_ROUNDS,
        &["restart", "one"],
        "s6-svc",
        &["-wR", "-r"],
        &[],
    );
    bench.pair(
        "stop | s6-svc -wD -d",
        ROUNDS,
        &["stop", "one"],
        "s6-svc",
        &["-wD", "-d"],
        &["start", "one"],
    );
    bench.pair(
        "start | s6-svc -wu -u",
        ROUNDS,
        &["start", "one"],
        "s6-svc",
        &["-wu", "-u"],
        &["stop", "one"],
    );
    bench.ours(&["start", "one"]);
    bench.pair(
        "wait --up | s6-svwait -u",
        200,
        &["wait", "--up", "one"],
        "s6-svwait",
        &["-u"],
        &[],
    );
    bench.pair(
        "is-running | s6-svstat -o up",
        400,
        &["is-running", "one"],
        "s6-svstat",
        &["-o", "up"],
        &[],
    );
    bench.pair("status | s6-svstat", 400, &["status", "one"], "s6-svstat", &[], &[]);
    bench.latency();
    drop(container);
    starts();
    many();
}

/// From s6-svscan's look at a hundred new slots until their gateways' programs and loggers run: our
/// scripts, and the barest that do as much.
fn starts() {
    const GATEWAYS: usize = 100;
    const PROGRAM: &str = "#!/bin/sh\necho >/run/started\nexec sleep 1000\n";
    let volume = Volume::new();
    for number in 0..GATEWAYS {
        volume.wanted(&format!("gateway{number}"), "running");
    }
    let mut container = Container::new(volume, Spec::default());
    write_program(&container.root().join("usr/local/bin/hermes"), PROGRAM);
    container.start();
    let [scandir, aside, started] =
        ["/run/service", "/run/aside", "/run/started"].map(|path| container.inside(path));
    fs::create_dir(&aside).unwrap();
    run(Command::new("mkfifo").args(["-m", "666"]).arg(&started));
    let mut started = OpenOptions::new().read(true).write(true).open(started).unwrap();
    let names: Vec<_> = (0..GATEWAYS).map(|number| format!("gateway-gateway{number}")).collect();
    let rescan = |options| run(Command::new("s6-svscanctl").arg(options).arg(&scandir));
    let logs = container.volume().path().join("logs");
    let mut round = |is_bare: bool| {
        for name in names.iter().filter(|name| scandir.join(name).exists()) {
            fs::rename(scandir.join(name), aside.join(name)).unwrap();
        }
        rescan("-an");
        let mut currents = Vec::new();
        for name in &names {
            let slot = aside.join(name);
            support::wait_until("supervisors to go", || {
                let has = |path| Command::new("s6-svok").arg(path).status().unwrap().success();
                !has(&slot) && !has(&slot.join("log"))
            });
            let profile = name.strip_prefix("gateway-").unwrap();
            let log =
                if is_bare { format!("bare/{profile}") } else { format!("gateways/{profile}") };
            fs::create_dir_all(logs.join(&log)).unwrap();
            let current = logs.join(&log).join("current");
            let _ = fs::remove_file(&current); // there is none at first
            if is_bare {
                write_program(&slot.join("run"), PROGRAM);
                let s6_log = "exec s6-log -p 1 n10 s1000000 T /opt/data/logs";
                write_program(&slot.join("log/run"), &format!("#!/bin/sh\n{s6_log}/{log}\n"));
            }
            currents.push(current);
        }
        for name in &names {
            fs::rename(aside.join(name), scandir.join(name)).unwrap();
        }
        let start = Instant::now();
        rescan("-a");
        started.read_exact(&mut [0; GATEWAYS]).unwrap();
        while !currents.iter().all(|current| current.exists()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        start.elapsed()
    };
    // The first has what boot made and started; the scripts of the others stay bare.
    started_by_boot(&scandir, &names);
    let ours: Vec<_> = (0..SLOW_ROUNDS).map(|_| round(false)).collect();
    let bare: Vec<_> = (0..SLOW_ROUNDS).map(|_| round(true)).collect();
    let (ours, bare) = (median(ours), median(bare));
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    let what = format!("start of {GATEWAYS} | bare scripts");
    println!("{what:<44} {:>8.2}ms {:>8.2}ms {ratio:>7.2} times as long", ms(ours), ms(bare));
}

/// Waits until what boot has started has said so to nobody: the FIFO is made later.
fn started_by_boot(scandir: &Path, names: &[String]) {
    for name in names {
        run(Command::new("s6-svwait").arg("-u").arg(scandir.join(name)));
    }
}

fn write_program(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::remove_file(path); // it may be another's, linked
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// All of a large scandir at once, against s6-svstat on each slot.
fn many() {
    const GATEWAYS: usize = 400;
    let volume = Volume::new();
    for number in 1..GATEWAYS {
        volume.profile(&format!("gateway{number}"));
    }
    let container = Container::boot(volume, Spec::default());
    let scandir = container.inside("/run/service");
    let slots: Vec<_> = fs::read_dir(&scandir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("gateway-"))
        .collect();
    assert_eq!(slots.len(), GATEWAYS);
    let status = || {
        let mut command = Command::new(binary());
        command.arg("--scandir").arg(&scandir).arg("--home").arg(container.volume().path());
        let command = command.arg("status").env("HERMES_GW_USER", "root").stdout(Stdio::null());
        let start = Instant::now();
        assert!(command.status().unwrap().success());
        start.elapsed()
    };
    let svstat = || {
        let start = Instant::now();
        for slot in &slots {
            assert!(
                Command::new("s6-svstat")
                    .arg(slot)
                    .stdout(Stdio::null())
                    .status()
                    .unwrap()
                    .success()
            );
        }
        start.elapsed()
    };
    let (ours, theirs): (Vec<_>, Vec<_>) = (0..9).map(|_| (status(), svstat())).unzip();
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    let what = format!("status of {GATEWAYS} | as many s6-svstat");
    println!("{what:<44} {:>8.2}ms {:>8.2}ms {ratio:>7.2}x", ms(ours), ms(theirs));
}

struct Bench {
    scandir: PathBuf,
    home: PathBuf,
    slot: PathBuf,
}

impl Bench {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--scandir").arg(&self.scandir).arg("--home").arg(&self.home).args(args);
        command.env("HERMES_GW_USER", "root").stdout(Stdio::null());
        command
    }

    fn ours(&self, args: &[&str]) {
        run(&mut self.command(args));
    }

    /// Times ours and theirs by turns; `before` each, untimed, ours is done.
    fn pair(
        &self,
        what: &str,
        rounds: usize,
        args: &[&str],
        tool: &str,
        options: &[&str],
        before: &[&str],
    ) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..2 * rounds {
            if !before.is_empty() {
                self.ours(before);
            }
            let mut peer = Command::new(tool);
            peer.args(options).arg(&self.slot).stdout(Stdio::null());
            // It warns that the gateway has no notification-fd.
            peer.stderr(Stdio::null());
            let (times, mut command) = match round % 2 {
                0 => (&mut ours, self.command(args)),
                _ => (&mut theirs, peer),
            };
            let start = Instant::now();
            let status = command.status().unwrap();
            times.push(start.elapsed());
            assert!(status.success(), "{command:?}");
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        println!("{what:<44} {:>8.2}ms {:>8.2}ms {ratio:>7.2}x", ms(ours), ms(theirs));
    }

    /// From what s6-supervise says to the return of `stop`.
    fn latency(&self) {
        let (mut dead, mut down) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            self.ours(&["start", "one"]);
            let mut events = listen(&self.slot);
            let mut stop = self.command(&["stop", "one"]).spawn().unwrap();
            let mut letter = [0];
            let mut heard = |expected| {
                events.read_exact(&mut letter).unwrap();
                assert_eq!(letter, [expected]);
                Instant::now()
            };
            let (died, finished) = (heard(b'd'), heard(b'D'));
            assert!(stop.wait().unwrap().success());
            let end = Instant::now();
            dead.push(end - died);
            down.push(end - finished);
        }
        println!(
            "stop returns after the gateway's death (d)    {:>8.2}ms, finish included",
            ms(median(dead))
        );
        println!("stop returns after the end of finish (D)      {:>8.2}ms", ms(median(down)));
    }
}

/// A subscription to the service whose directory is `slot`.
fn listen(slot: &Path) -> File {
    let hidden = slot.join("event/.bench");
    run(Command::new("mkfifo").arg(&hidden));
    let fifo = OpenOptions::new().read(true).write(true).open(&hidden).unwrap();
    fs::rename(hidden, slot.join("event/ftrig1:@400000006a5fb1251dcd6500:bench0")).unwrap();
    fifo
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
