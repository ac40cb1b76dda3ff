//! An attacker's race: hermes swaps links, FIFOs and directories under root's verbs in the user
//! tree, where nothing that hermes owns is to make root read, write or wait for anything.
//!
//! `make sweep` races for thousands of rounds, `make test` for some.
#![cfg(target_arch = "x86_64")]

use crate::support;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;
use std::time::Instant;
use support::{Container, Spec, Tree, Volume, wait_until};

/// How often root does something.
fn rounds() -> usize {
    let named = std::env::var("HERMES_GW_RACE").ok().map(|it| it.parse().expect("a number"));
    named.unwrap_or(42)
}

/// Swaps each of what is on its lines (what it is, and what takes its place) at random, for ever;
/// puts it back after a moment. What takes the place is beside it, under the name with `.evil`.
const ATTACKER: &str = r#"
    my ($seed, @targets) = @ARGV;
    srand($seed);
    sub exchange { syscall(316, -100, $_[0], -100, $_[1], 2) == 0 }
    my $swaps = 0;
    while (1) {
        my ($name, $evil) = split(/=/, $targets[int(rand(@targets))]);
        my $beside = "$name.evil$seed";
        unlink $beside;
        rmdir $beside;
        if ($evil eq "fifo") { syscall(133, $beside, 0010622, 0) }
        elsif ($evil eq "dir") { mkdir $beside }
        elsif ($evil eq "gone") { rename($name, $beside) or next }
        else { symlink($evil, $beside) }
        if ($evil eq "gone") {
            select(undef, undef, undef, rand(0.002));
            rename($beside, $name);
        } else {
            exchange($name, $beside) or next;
            select(undef, undef, undef, rand(0.004));
            exchange($name, $beside);
        }
        $swaps++;
        if ($swaps % 100 == 0) {
            open(my $out, ">", "/opt/data/swaps.$seed");
            print $out $swaps;
            close $out;
        }
    }
"#;

/// What is swapped; G is the gateways' scandir, H the home, C the canaries.
const TARGETS: &str = "G/gateway-one/supervise=C G/gateway-one/supervise=fifo \
    G/gateway-one/supervise=dir G/gateway-one/log=C G/gateway-one/log=dir G/gateway-one/event=C \
    G/gateway-one/event=fifo G/gateway-one=C G/gateway-one=fifo G/gateway-one=dir \
    G/gateway-one=gone G/gateway-two=C G/gateway-one/run=C/file G/gateway-one/finish=fifo \
    G/gateway-one/crash-record=C/file G/gateway-one/down=C/file \
    G/gateway-one/supervise/status=C/status G/gateway-one/supervise/status=fifo \
    G/gateway-one/supervise/death_tally=C/file G/gateway-one/supervise/control=C/control \
    G/gateway-one/supervise/control=C/file G/gateway-one/log/supervise=C \
    G/gateway-one/log/run=C/file G/gateway-one/log/event=C G/.hermes-gw.lock=C/file \
    G/.hermes-gw.lock=fifo G/.s6-svscan/control=C/control G/.s6-svscan=C \
    H/gateway_state.json=C/file H/gateway_state.json=fifo H/profiles/one=C H/profiles/one=fifo \
    H/profiles/one=dir H/profiles=C H/profiles=fifo H/profiles/one/gateway_state.json=C/file \
    H/profiles/one/gateway_state.json=fifo H/profiles/one/SOUL.md=C/file \
    H/profiles/one/gateway.pid=C/file H/profiles/one/gateway.lock=C/file \
    H/profiles/one/state=C H/logs=C H/logs=fifo H/logs/gateways=C H/logs/gateways/one=C \
    H/logs/gateways/one/current=C/file H/logs/gateways/one/current=fifo \
    H/logs/gateways/one/lock=C/file H/logs/container-boot.log=C/file \
    H/logs/container-boot.log=fifo H/config.yaml=C/file H/.env=fifo";

/// What root does meanwhile.
const VERBS: [&[&str]; 14] = [
    &["status", "one", "two"],
    &["reconcile"],
    &["doctor"],
    &["logs", "-n", "5", "one"],
    &["register", "one", "--if-missing", "--force"],
    &["stop", "--timeout", "2", "one"],
    &["is-running", "one"],
    &["start", "--timeout", "2", "one"],
    &["unregister", "--timeout", "2", "one"],
    &["status"],
    &["register", "one", "--if-missing", "--down", "--force"],
    &["restart", "--timeout", "2", "one"],
    &["reconcile", "--boot"],
    &["shutdown", "--timeout", "2"],
];

/// The longest that any of them may take on a busy machine, in seconds.
const LONGEST: &str = "90";

/// What is known of a canary without opening it.
fn look(container: &Container) -> BTreeMap<String, (u32, u32, u32, i64, i64, u64)> {
    let dir = container.inside("/root/canary");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let it = entry.metadata().unwrap();
        let known =
            (it.uid(), it.gid(), it.permissions().mode(), it.mtime_nsec(), it.ctime(), it.size());
        all.insert(entry.file_name().to_string_lossy().into_owned(), known);
    }
    all
}

#[test]
fn nothing_of_roots_is_touched_whatever_hermes_swaps() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "running");
    volume.file("default", "config.yaml", "x: y\n").file("default", ".env", "X=y\n");
    volume.file("one", "state/gateway.lifecycle.json", "{}");
    let container = Container::boot(volume, Spec { tree: Tree::User, ..Spec::default() });
    ["one", "two"].iter().for_each(|profile| container.wait_up(profile));
    // In the form of what is read of a slot, a home and a log. Hermes may not even look at them,
    // so whoever does is root.
    let canaries = "mkdir -p /root/canary/event /root/canary/supervise && \
        chmod 700 /root /root/canary && cd /root/canary && \
        cp /run/service/gateway-one/supervise/status . && cp status supervise && \
        echo '{\"desired_state\":\"running\",\"gateway_state\":\"running\"}' >file && \
        cp file current && cp file gateway_state.json && cp file SOUL.md && cp file run && \
        mkfifo control supervise/control && cp file death_tally && cp file supervise/death_tally";
    container.as_root(&["sh", "-euc", canaries]).ok();
    // One who reads a FIFO gets on only when somebody opens it to write.
    let read = |fifo: &str, heard: &str| {
        let reader = format!("cat /root/canary/{fifo} >/root/{heard}; echo opened >>/root/{heard}");
        let reader = container.root_command(&["sh", "-c", &reader]).spawn().unwrap();
        wait_until("the reader", || container.inside("/root").join(heard).exists());
        reader
    };
    let readers = [("control", "heard"), ("supervise/control", "heard-2")];
    let readers = readers.map(|(fifo, heard)| (read(fifo, heard), heard));
    let before = look(&container);
    // The kernel tells who opens any of them, or changes it.
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
    let mask = AddWatchFlags::IN_ALL_EVENTS;
    let dir = container.inside("/root/canary");
    // To wait for a writer the reader has opened its FIFO already.
    for name in ["", "supervise", "event"] {
        inotify.add_watch(&dir.join(name), mask).unwrap();
    }

    let targets = TARGETS.replace("G/", "/run/service/").replace("H/", "/opt/data/");
    let targets: Vec<_> =
        targets.split_whitespace().map(|it| it.replace("=C", "=/root/canary")).collect();
    let attackers: Vec<_> = (1..=3)
        .map(|seed| {
            let seed = seed.to_string();
            let mut args = vec!["perl", "-e", ATTACKER, "--", &seed];
            args.extend(targets.iter().map(String::as_str));
            let mut command = container.hermes_command(&args);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let swaps = || -> usize {
        let of = |seed| {
            let path = container.volume().path().join(format!("swaps.{seed}"));
            fs::read_to_string(path).ok().and_then(|it| it.parse::<usize>().ok()).unwrap_or(0)
        };
        (1..=3).map(of).sum()
    };
    wait_until("the attackers", || swaps() > 0);
    let (mut longest, mut codes) = (Default::default(), BTreeMap::<i32, usize>::new());
    for round in 0..rounds() {
        let verb = VERBS[round % VERBS.len()];
        let start = Instant::now();
        let program = ["timeout", "-s", "KILL", LONGEST, "/command/hermes-gw"];
        let output = container.root_command(&[&program[..], verb].concat()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap_or(-1);
        let known = [0, 1, 3, 4, 99, 102, 111].contains(&code);
        assert!(known && !stderr.contains("panicked"), "{round} {verb:?}: {code}: {stderr}");
        *codes.entry(code).or_default() += 1;
        longest = std::cmp::max(longest, start.elapsed());
    }
    let swapped = swaps();
    for mut attacker in attackers {
        let _ = attacker.kill();
        attacker.wait().unwrap();
    }
    let told = inotify.read_events().unwrap_or_default();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(look(&container), before);
    for (mut reader, heard) in readers {
        assert_eq!(fs::read_to_string(container.inside("/root").join(heard)).unwrap(), "");
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
    // Not all end alike; and of many some work all the same.
    let well = codes.get(&0).copied().unwrap_or_default();
    assert!(codes.len() > 1 && (rounds() < 1000 || 50 * well > rounds()), "{codes:?}");
    println!(
        "{} rounds against {swapped} swaps: exit codes {codes:?}, the longest {longest:?}",
        rounds()
    );
}
