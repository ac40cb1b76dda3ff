//! Many gateways at once.

use super::support::{Container, Spec, Volume, run, wait_until};
use super::{SLOW_ROUNDS, inside, median, ms};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// From s6-svscan's look at a hundred new slots until their gateways' programs and loggers run: our
/// scripts, and the barest that do as much.
pub fn starts() {
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
            wait_until("supervisors to go", || {
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
    println!("\n{:<44} {:>10} {:>10} {:>8}", "many gateways", "hermes-gw", "other", "ratio");
    println!("{what:<44} {:>8.2}ms {:>8.2}ms {ratio:>7.2} times as long", ms(ours), ms(bare));
}

/// Waits until what boot has started has said so to nobody: the FIFO is made later.
fn started_by_boot(scandir: &Path, names: &[String]) {
    for name in names {
        run(Command::new("s6-svwait").arg("-u").arg(scandir.join(name)));
    }
}

pub fn write_program(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::remove_file(path); // it may be another's, linked
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// All of a scandir at once, against s6-svstat on each slot.
pub fn many() {
    for (gateways, intent, verb) in [(10, "running", "health"), (400, "stopped", "status")] {
        beside_svstat(gateways, intent, verb);
    }
}

fn beside_svstat(gateways: usize, intent: &str, verb: &str) {
    let volume = Volume::new();
    volume.wanted("default", intent);
    let names: Vec<_> = (1..gateways).map(|number| format!("gateway{number}")).collect();
    for name in &names {
        volume.wanted(name, intent);
    }
    let container = Container::boot(volume, Spec::default());
    if intent == "running" {
        container.wait_up("default");
        names.iter().for_each(|name| container.wait_up(name));
    }
    let scandir = container.inside("/run/service");
    let slots: Vec<_> = fs::read_dir(&scandir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("gateway-"))
        .collect();
    assert_eq!(slots.len(), gateways);
    inside::install(&container);
    // What it looks at in /proc are the container's processes.
    let ours = || inside::time(&container, &["/command/hermes-gw", verb])[0];
    let svstat = || {
        let start = Instant::now();
        for slot in &slots {
            let status = Command::new("s6-svstat").arg(slot).stdout(Stdio::null()).status();
            assert!(status.unwrap().success());
        }
        start.elapsed()
    };
    let rounds = if gateways < 100 { 40 } else { 9 };
    let (ours, theirs): (Vec<_>, Vec<_>) = (0..rounds).map(|_| (ours(), svstat())).unzip();
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    let what = format!("{verb} of {gateways} | as many s6-svstat");
    println!("{what:<44} {:>8.2}ms {:>8.2}ms {ratio:>7.2}x", ms(ours), ms(theirs));
}
