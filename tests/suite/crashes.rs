//! Gateways that die: how long they wait, when they are parked, and what ends that.

use crate::support;
use hermes_gw::s6::death_tally;
use hermes_gw::s6::status::Status;
use std::fs;
use std::time::{Duration, Instant, SystemTime};
use support::{Container, Events, Output, Spec, Tree, Volume, jq, wait_or, wait_until};

/// A delay that no test waits for.
const LONG: (&str, &str) = ("HERMES_GW_BACKOFF_FIRST", "60");

fn boot(volume: Volume, settings: &[(&str, &str)]) -> Container {
    let environment = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Container::boot(volume, Spec { environment: environment.collect(), ..Spec::default() })
}

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

fn status(container: &Container, profile: &str) -> Status {
    let path = container.inside(&slot(profile)).join("supervise/status");
    Status::parse(&fs::read(path).unwrap()).unwrap()
}

/// When the gateway of `profile` died, since 1970 UTC.
fn deaths(container: &Container, profile: &str) -> Vec<Duration> {
    let path = container.inside(&slot(profile)).join("supervise/death_tally");
    let deaths = death_tally::parse(&fs::read(path).unwrap()).unwrap();
    deaths.iter().map(|death| death.stamp.since_unix()).collect()
}

/// What `finish` has decided, as it writes it down, without its end of line.
fn record(container: &Container, profile: &str) -> String {
    let path = container.inside(&slot(profile)).join("crash-record");
    fs::read_to_string(path).unwrap_or_default().trim_end().into()
}

/// The record that is said as `text`: `backing off 60s, 1 death: exit 0` and the like.
fn fields(text: &str) -> String {
    // The record keeps the number.
    let text = &text.replace("SIGKILL", "signal 9");
    let words: Vec<_> = text.split([' ', ':', ',', '(']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        ["backing", "off", time, deaths, "death", how, number] => {
            let seconds = time.strip_suffix('s').unwrap();
            format!("decision=backing-off {how}={number} deaths={deaths} milliseconds={seconds}000")
        }
        ["parked", how, number, why, ..] => {
            let why = if why == "it" { "finished" } else { why.trim_end_matches(')') };
            format!("decision=parked-{why} {how}={number} deaths=0 milliseconds=0")
        }
        _ => panic!("{text}"),
    }
}

/// Waits until finish has decided so, and, where it parks the gateway, has ended.
#[track_caller]
fn wait_record(container: &Container, profile: &str, text: &str) {
    wait_or(&format!("{profile}: {text}"), || {
        let seen = record(container, profile);
        let runs = text.starts_with("decision=parked-") && status(container, profile).finishing;
        if seen == text && !runs { Ok(()) } else { Err(format!("{seen}, finish runs: {runs}")) }
    });
}

/// Waits until the gateway has died, and finish waits.
#[track_caller]
fn wait_back_off(container: &Container, profile: &str) {
    wait_or(&format!("a delay of {profile}"), || {
        let seen = (record(container, profile), status(container, profile));
        let waits = seen.0.ends_with(" milliseconds=60000") && seen.1.finishing;
        if waits { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

fn log(container: &Container, profile: &str) -> String {
    container.volume().log(profile)
}

/// Kills the gateway, or its finish if that runs.
fn kill(container: &Container, profile: &str) {
    let pid = status(container, profile).pid;
    assert_ne!(pid, 0, "{profile} is not up");
    container.as_root(&["sh", "-c", &format!("kill -KILL {pid}")]).ok();
}

#[test]
fn what_goes_to_stderr_is_in_the_log_and_in_the_containers_output() {
    let volume = Volume::new();
    volume.wanted("raises", "running").file(
        "raises",
        "behave",
        "raise ConnectionError: no route\n",
    );
    volume.wanted("lost", "stopped");
    let container = boot(volume, &[LONG, ("HERMES_GW_BACKOFF_MAX", "soon")]);
    wait_back_off(&container, "raises");
    // Without a program it is run's shell that has something to say.
    let hermes = container.root().join("usr/local/bin/hermes");
    fs::rename(&hermes, hermes.with_extension("away")).unwrap();
    gw(&container, &["start", "--no-wait", "lost"]).ok();
    wait_back_off(&container, "lost");
    let flaw = "hermes-gw: warning: read setting: HERMES_GW_BACKOFF_MAX=soon: ";
    let table: [(&str, &[&str]); 2] = [
        ("raises", &["Traceback (most recent call last):\n", "ConnectionError: no route\n", flaw]),
        ("lost", &["hermes: not found\n", flaw]),
    ];
    for (profile, lines) in table {
        wait_until("the log", || log(&container, profile).contains("hermes-gw: backing off "));
        let shown = gw(&container, &["logs", profile]).ok();
        for line in lines {
            assert_eq!(shown.matches(line).count(), 1, "{line}: {shown}");
        }
    }
    let console = container.console();
    for line in ["ConnectionError: no route\n", "hermes: not found\n"] {
        assert_eq!(console.matches(line).count(), 1, "{line}: {console}");
    }
}

#[test]
fn every_way_to_die_has_its_decision() {
    // (profile, how it behaves, what is said of it, whether it stays down)
    let table = [
        ("zero-early", "exit 0", "backing off 600s, 1 death: exit 0", false),
        ("zero-late", "after 11 0", "parked: exit 0 (it ended by itself)", true),
        ("one-early", "exit 1", "backing off 600s, 1 death: exit 1", false),
        ("one-late", "after 11 1", "backing off 600s, 1 death: exit 1", false),
        ("transient", "exit 75", "backing off 600s, 1 death: exit 75", false),
        ("config-early", "exit 78", "parked: exit 78 (configuration)", true),
        ("config-late", "after 11 78", "parked: exit 78 (configuration)", true),
        ("killed-early", "crash", "backing off 600s, 1 death: SIGKILL", false),
    ];
    let volume = Volume::new();
    for (profile, behaviour, ..) in table {
        volume.wanted(profile, "running").file(profile, "behave", format!("{behaviour}\n"));
    }
    volume.wanted("killed-late", "running").wanted("stopped", "running");
    // Longer than all of this takes.
    let container = boot(
        volume,
        &[
            ("HERMES_GW_BACKOFF_FIRST", "600"),
            ("HERMES_GW_BACKOFF_MAX", "600"),
            ("HERMES_GW_EARLY_EXIT", "10"),
        ],
    );
    container.wait_up("killed-late");
    kill(&container, "killed-late");
    container.wait_up("stopped");
    gw(&container, &["stop", "stopped"]).ok();
    let killed = ("killed-late", "", "backing off 600s, 1 death: SIGKILL", false);
    for (profile, _, text, parked) in table.into_iter().chain([killed]) {
        wait_record(&container, profile, &fields(text));
        wait_until("the end of finish", || status(&container, profile).finishing != parked);
        let status = status(&container, profile);
        assert_eq!((status.want_up, status.is_up()), (!parked, false), "{profile}");
        assert_eq!(gw(&container, &["is-running", profile]).code, 1, "{profile}");
        // Whoever reads the gateway's log, or asks for its status, reads the same.
        let line = format!("hermes-gw: {text}");
        wait_until("the log", || log(&container, profile).contains(&line));
        let shown = gw(&container, &["--json", "status", profile]).stdout;
        assert_eq!(jq(".[0].text", &shown), text, "{profile}");
        let owner =
            container.as_root(&["stat", "-c", "%U %a", &format!("{}/crash-record", slot(profile))]);
        assert_eq!(owner.ok(), "hermes 644\n", "{profile}");
    }
    assert_eq!(record(&container, "stopped"), "");
    assert!(!log(&container, "stopped").contains("hermes-gw"));
    // A container restart starts afresh: every one of them runs again, and at once.
    let mut container = container;
    container.restart();
    for (profile, ..) in table {
        // In all files: a logger that was killed leaves a file of its own.
        let logs = ["logs", "-n", "1000", profile];
        let starts = || gw(&container, &logs).stdout.matches(": starting").count();
        wait_until(&format!("the second start of {profile}"), || starts() == 2);
    }
    assert_eq!(container.state("stopped"), "down");
}

/// Runs `verb` on the gateway of `profile` until it sees it die, and how often that took: what dies
/// later than a second after its start has started for it.
fn see_it_die(container: &Container, verb: &str, profile: &str) -> (String, usize) {
    let mut tries = 0;
    let mut stdout = String::new();
    let output = wait_or(&format!("{verb} {profile} to see it die"), || {
        tries += 1;
        let output = gw(container, &[verb, profile]);
        stdout += &output.stdout;
        wait_until("the end of finish", || {
            let status = status(container, profile);
            !status.want_up && status.is_down() && !status.finishing
        });
        if output.code == 0 { Err("it was up") } else { Ok(output) }
    });
    let died = "it started and died at once: parked: exit 78 (configuration)\n";
    assert!(output.code == 1 && output.stderr.ends_with(died), "{verb}: {output:?}");
    (stdout, tries)
}

#[test]
fn parking_is_told_as_s6_tells_it() {
    let volume = Volume::new();
    volume.wanted("config", "stopped").file("config", "behave", "exit 78\n");
    let container = boot(volume, &[]);
    let mut events = Events::of(&container, &slot("config"));
    let (_, tries) = see_it_die(&container, "start", "config");
    events.expect(&"udOD".repeat(tries));
    assert_eq!(container.state("config"), "down");
    assert!(!status(&container, "config").want_up);
    let state = container.volume().read("config", "gateway_state.json");
    assert!(state.contains(r#""desired_state":"running""#), "the intent stays: {state}");

    // Also when it takes a while, or is a restart; and once it is put right, it starts.
    let write = |text: &str| {
        container.volume().file("config", "behave", text).give(support::HERMES);
    };
    write("after 0.1 78\n");
    for verb in ["start", "restart"] {
        see_it_die(&container, verb, "config");
        assert_eq!(container.state("config"), "down");
    }
    write("");
    gw(&container, &["start", "config"]).ok();
    assert_eq!(container.state("config"), "up");
    // One that ended as it was told to is not waited for; what it does later is another matter.
    gw(&container, &["stop", "config"]).ok();
    write("after 600 78\n");
    gw(&container, &["start", "config"]).ok();

    // A profile that never had a slot, as one that was just made.
    container.volume().profile("fresh").file("fresh", "behave", "exit 78\n");
    container.volume().give(support::HERMES);
    assert_eq!(see_it_die(&container, "start", "fresh").0, "fresh: registered\n");
}

#[test]
fn the_next_start_is_delayed_twice_as_long_each_time_and_then_no_more() {
    let volume = Volume::new();
    volume.wanted("one", "running").file("one", "behave", "exit 1\n");
    let settings = [("HERMES_GW_BACKOFF_MAX", "5"), ("HERMES_GW_PARK_DEATHS", "6")];
    let container = boot(volume, &settings);
    wait_record(&container, "one", "decision=parked-deaths exit=1 deaths=6 milliseconds=600000");
    let deaths = deaths(&container, "one");
    assert_eq!(deaths.len(), 6);
    let mut late = Vec::new();
    for (pair, delay) in deaths.windows(2).zip([1, 2, 4, 5, 5].map(Duration::from_secs)) {
        assert!(pair[1] - pair[0] >= delay, "{deaths:?} {delay:?}");
        late.push(pair[1] - pair[0] - delay);
    }
    // Its own life and the machine's noise aside, of which a busy one has more, but not each time.
    assert!(*late.iter().min().unwrap() < Duration::from_secs(5), "{late:?}");
    // The logger may be a little later than the record.
    let last = "hermes-gw: parked: exit 1 (6 deaths within 600s)\n";
    wait_until("the last line of the log", || log(&container, "one").contains(last));
    let log = log(&container, "one");
    for text in [
        "backing off 1s, 1 death: exit 1",
        "backing off 2s, 2 deaths: exit 1",
        "backing off 4s, 3 deaths: exit 1",
        "backing off 5s, 4 deaths: exit 1",
        "backing off 5s, 5 deaths: exit 1",
        "parked: exit 1 (6 deaths within 600s)",
    ] {
        assert_eq!(log.matches(&format!("hermes-gw: {text}\n")).count(), 1, "{text}: {log}");
    }
    // Who starts it again has put it right, or wants to see: it is counted anew.
    for (start, by) in [
        (&["/command/hermes-gw", "start", "one"][..], "us"),
        (&["/command/s6-svc", "-u", &slot("one")], "s6-svc"),
    ] {
        let before = self::log(&container, "one").matches("starting").count();
        let output = container.as_hermes(start);
        assert!(output.code <= 1, "{by}: {output:?}");
        wait_record(&container, "one", "decision=backing-off exit=1 deaths=2 milliseconds=2000");
        let starts = || self::log(&container, "one").matches("starting").count();
        wait_until("the second start in the log", || starts() >= before + 2);
        assert_eq!(starts(), before + 2, "{by}");
        gw(&container, &["stop", "one"]).ok();
    }
}

#[test]
fn one_that_crashes_after_a_day_is_back_within_two_seconds() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = boot(volume, &[]);
    container.wait_up("one");
    // Deaths of long ago, and a start yesterday.
    for row in 1..=3 {
        kill(&container, "one");
        wait_until("a delay", || record(&container, "one").contains(&format!(" deaths={row} ")));
        container.wait_up("one");
    }
    let day = Duration::from_secs(86_400);
    let record = container.inside(&slot("one")).join("crash-record");
    assert_eq!(fs::metadata(&record).unwrap().len(), 0, "run empties it");
    fs::File::open(&record).unwrap().set_modified(SystemTime::now() - day).unwrap();
    let pid = container.pid("one");
    kill(&container, "one");
    container.wait_up("one");
    wait_until("the next run", || container.pid("one") != pid);
    // The fourth in a row would have waited for eight. s6-log writes when it gets to it.
    wait_until("the log to have a first death twice", || {
        let line = "hermes-gw: backing off 1s, 1 death: SIGKILL\n";
        log(&container, "one").matches(line).count() == 2
    });
}

#[test]
fn whoever_has_a_say_ends_the_delay_at_once() {
    // (what is done, the state after it, what s6 tells)
    let one = slot("one");
    let svc = |flags: &'static [&'static str]| [&["/command/s6-svc"], flags, &[&one[..]]].concat();
    let table: [(Vec<&str>, &str, &str); 9] = [
        (vec!["/command/hermes-gw", "start", "one"], "up", "Du"),
        (vec!["/command/hermes-gw", "restart", "one"], "up", "Du"),
        (vec!["/command/hermes-gw", "start", "--no-wait", "one"], "up", "Du"),
        (vec!["/command/hermes-gw", "stop", "one"], "down", "D"),
        (vec!["/command/hermes-gw", "shutdown"], "down", "D"),
        // The Python layer's.
        (svc(&["-wu", "-u"]), "up", "Du"),
        (svc(&["-wD", "-d"]), "down", "D"),
        (svc(&["-wu", "-U"]), "up", "Du"),
        (vec!["/command/hermes-gw", "unregister", "one"], "", "D"),
    ];
    for as_root in [true, false] {
        let volume = Volume::new();
        volume.wanted("one", "running").file("one", "behave", "exit 1\n");
        let container = boot(volume, &[LONG]);
        let behave = container.volume().home("one").join("behave");
        for (command, after, letters) in &table {
            wait_back_off(&container, "one");
            fs::write(&behave, "").unwrap();
            let mut events = Events::of(&container, &one);
            let begin = Instant::now();
            // A supervisor of hermes's cannot write to the FIFO that s6-svc makes as root.
            let hears = command[0] != "/command/s6-svc" || support::tree() == Tree::Root;
            let output = match as_root && hears {
                true => container.as_root(command),
                false => container.as_hermes(command),
            };
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{command:?}");
            if *after == "up" {
                container.wait_up("one");
            }
            // Less than the delay.
            assert!(begin.elapsed() < Duration::from_secs(60), "{command:?}");
            if after.is_empty() {
                assert!(!container.inside(&one).exists());
                let left = container.as_root(&["ps", "-eo", "args"]).ok();
                assert!(!left.contains("gateway-one"), "{left}");
                continue;
            }
            events.expect(letters);
            assert_eq!(container.state("one"), *after, "{command:?}");
            assert_eq!(record(&container, "one"), "", "{command:?}");
            fs::write(&behave, "exit 1\n").unwrap();
            if *after == "up" {
                kill(&container, "one");
            } else {
                container.as_hermes(&svc(&["-u"])).ok();
            }
        }
    }
}

#[test]
fn a_restart_that_somebody_asked_for_is_neither_delayed_nor_counted() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("deaf", "running").file("deaf", "behave", "deaf\n");
    let container = boot(volume, &[LONG, ("HERMES_GW_PARK_DEATHS", "3")]);
    for profile in ["one", "deaf"] {
        container.wait_up(profile);
    }
    let mut events = Events::of(&container, &slot("one"));
    for _ in 0..6 {
        gw(&container, &["restart", "one"]).ok();
        events.expect("dDu");
        container.wait_up("one");
    }
    assert_eq!((deaths(&container, "one").len(), record(&container, "one").as_str()), (6, ""));
    // Even if its caller is gone when it comes about.
    let pid = container.pid("deaf");
    assert_eq!(gw(&container, &["restart", "--timeout", "0.2", "deaf"]).code, 99);
    kill(&container, "deaf");
    wait_until("a new process", || !["0", "-1", &pid].contains(&&container.pid("deaf")[..]));
    for row in 1..=2 {
        kill(&container, "one");
        wait_record(
            &container,
            "one",
            &format!("decision=backing-off signal=9 deaths={row} milliseconds=60000"),
        );
        wait_back_off(&container, "one");
        if row == 1 {
            // Finish is killed, and not asked: s6 goes on, and the row too.
            kill(&container, "one");
            container.wait_up("one");
        }
    }
    kill(&container, "one");
    container.wait_up("one");
    kill(&container, "one");
    wait_record(&container, "one", "decision=parked-deaths signal=9 deaths=3 milliseconds=600000");
}

/// When its run began.
fn started(container: &Container, profile: &str) -> SystemTime {
    let record = container.inside(&slot(profile)).join("crash-record");
    fs::metadata(record).unwrap().modified().unwrap()
}

/// A gateway that has been up for a moment gets `signal`, and is up again by itself.
#[track_caller]
fn is_back_after(container: &Container, profile: &str, signal: &str) {
    container.wait_up(profile);
    let early = Duration::from_millis(200);
    let lasts = || started(container, profile).elapsed().is_ok_and(|it| it > early);
    wait_until("a start that lasts", lasts);
    let pid = container.pid(profile);
    container.as_hermes(&["/command/s6-svc", signal, &slot(profile)]).ok();
    wait_until("another process", || !["0", "-1", &pid].contains(&&container.pid(profile)[..]));
}

#[test]
fn what_ends_in_order_to_be_restarted_is_neither_delayed_nor_counted() {
    let volume = Volume::new();
    // The Python layer's restart is SIGTERM; Hermes' own request is 75, and SIGUSR1 asks for it.
    let table = [("term", "-t", "exit 1"), ("request", "-1", "exit 75")];
    for (profile, ..) in table {
        volume.wanted(profile, "running");
    }
    let settings = [LONG, ("HERMES_GW_EARLY_EXIT", "0.2"), ("HERMES_GW_PARK_DEATHS", "3")];
    let container = boot(volume, &settings);
    for (profile, signal, exit) in table {
        let crash = |row| {
            is_back_after_a_crash(&container, profile);
            wait_until("another crash that counts", || {
                let line = format!("hermes-gw: backing off 60s, {row} death");
                log(&container, profile).contains(&line)
            });
        };
        // What was counted before still is, and what comes between is not.
        crash(1);
        for round in 1..=10 {
            is_back_after(&container, profile, signal);
            // It was told at once, so that nothing but s6's own second has passed.
            assert_eq!(deaths(&container, profile).len(), round + 1, "{profile}");
            let died = *deaths(&container, profile).last().unwrap();
            let back = status(&container, profile).stamp.since_unix();
            assert!(back - died < Duration::from_secs(60), "{profile}: {died:?} {back:?}");
        }
        let text = format!("hermes-gw: restarting: {exit} (it ended in order)\n");
        wait_until("the log", || log(&container, profile).matches(&text).count() == 10);
        // It is no crash that status tells of.
        let shown = gw(&container, &["--json", "status", profile]).stdout;
        assert_eq!(jq(".[0].text", &shown), "up, 1 death lately: exit 1".replace("exit 1", exit));
        assert_eq!(jq(".[0].restarts", &shown), "1");
        crash(2);
        kill(&container, profile);
        wait_record(
            &container,
            profile,
            "decision=parked-deaths signal=9 deaths=3 milliseconds=600000",
        );
    }
}

/// A gateway that was up crashes; the delay is ended, as if finish had been killed.
#[track_caller]
fn is_back_after_a_crash(container: &Container, profile: &str) {
    container.wait_up(profile);
    kill(container, profile);
    wait_back_off(container, profile);
    kill(container, profile);
    container.wait_up(profile);
}

#[test]
fn an_end_in_order_right_after_the_start_counts() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("request", "running");
    let container = boot(volume, &[LONG, ("HERMES_GW_EARLY_EXIT", "3600")]);
    for (profile, signal, exit) in [("one", "-t", "exit=1"), ("request", "-1", "exit=75")] {
        container.wait_up(profile);
        container.as_hermes(&["/command/s6-svc", signal, &slot(profile)]).ok();
        let record = format!("decision=backing-off {exit} deaths=1 milliseconds=60000");
        wait_record(&container, profile, &record);
    }
}

#[test]
fn a_shutdown_of_an_earlier_run_announces_nothing() {
    let volume = Volume::new();
    // It crashes, and nobody has removed what an earlier run has left.
    volume.wanted("one", "running").file("one", "behave", "after 20 1\n");
    let container = boot(volume, &[LONG, ("HERMES_GW_EARLY_EXIT", "0.1")]);
    container.wait_up("one");
    let left = container.volume().home("one").join(".clean_shutdown");
    fs::write(&left, "").unwrap();
    let day = Duration::from_secs(86_400);
    fs::File::open(&left).unwrap().set_modified(SystemTime::now() - day).unwrap();
    wait_record(&container, "one", "decision=backing-off exit=1 deaths=1 milliseconds=60000");
}

#[test]
fn two_that_end_each_other_back_off_and_one_is_parked_with_the_reason() {
    let volume = Volume::new();
    volume.wanted("one", "running").file("one", "behave", "fights two\n");
    volume.wanted("two", "running").file("two", "behave", "fights one\n");
    let settings = [
        ("HERMES_GW_BACKOFF_MAX", "2"),
        ("HERMES_GW_PARK_DEATHS", "5"),
        ("HERMES_GW_EARLY_EXIT", "3600"),
    ];
    let container = boot(volume, &settings);
    let parked = |profile: &&str| record(&container, profile).starts_with("decision=parked-");
    let mut loser = None;
    wait_until("one of them to be parked", || {
        loser = ["one", "two"].into_iter().find(|it| parked(it));
        loser.is_some()
    });
    let loser = loser.unwrap();
    let winner = if loser == "one" { "two" } else { "one" };
    let log = log(&container, loser);
    assert!(log.contains("hermes-gw: backing off 2s, 2 deaths: "), "{log}");
    // Its finish, which has recorded that, may still be at work.
    let mut text = String::new();
    wait_until("status to say so", || {
        text = jq(".[0].text", &gw(&container, &["--json", "status", loser]).stdout);
        text.starts_with("parked")
    });
    // It may have been ended before it could say so itself.
    let (how, why) = text.split_once(" (").unwrap();
    assert!(["parked: exit 1", "parked: SIGTERM"].contains(&how), "{text}");
    let expected = "ended by SIGTERM from another process, 5 times in a row: \
                    does another gateway use the same token?)";
    assert_eq!(why, expected);
    let doctor = container.as_hermes(&["/command/hermes-gw", "doctor"]).stdout;
    assert!(doctor.contains(&format!("{loser}: {text}")), "{doctor}");
    let line = format!("hermes-gw: {text}\n");
    wait_until("the log", || self::log(&container, loser).contains(&line));
    // Who is left has nobody to fight.
    container.wait_up(winner);
    assert!(deaths(&container, winner).len() <= 5);
}

#[test]
fn a_gateway_whose_home_is_gone_is_parked_with_the_reason() {
    let volume = Volume::new();
    for profile in ["old", "hidden", "moved"] {
        volume.wanted(profile, "running");
    }
    let container = boot(volume, &[LONG]);
    for profile in ["old", "hidden", "moved"] {
        container.wait_up(profile);
    }
    let profiles = container.volume().path().join("profiles");
    // What `hermes profile rename old new` does to it.
    fs::rename(profiles.join("old"), profiles.join("new")).unwrap();
    kill(&container, "old");
    wait_record(&container, "old", "decision=parked-home-gone signal=9 deaths=0 milliseconds=0");
    let shown = gw(&container, &["--json", "status", "old"]).stdout;
    assert_eq!(jq(".[0].text", &shown), "parked: SIGKILL (its home is gone)");
    let line = "hermes-gw: parked: SIGKILL (its home is gone)\n";
    wait_until("the log", || log(&container, "old").contains(line));
    // A link, or a home that cannot be looked for, may be there all the same.
    fs::rename(profiles.join("moved"), container.volume().path().join("elsewhere")).unwrap();
    container.as_hermes(&["ln", "-s", "../elsewhere", "/opt/data/profiles/moved"]).ok();
    kill(&container, "moved");
    wait_record(&container, "moved", "decision=backing-off signal=9 deaths=1 milliseconds=60000");
    container.as_root(&["chmod", "000", "/opt/data/profiles"]).ok();
    kill(&container, "hidden");
    wait_record(&container, "hidden", "decision=backing-off signal=9 deaths=1 milliseconds=60000");
    let warned = "hermes-gw: warning: open directory: /opt/data/profiles: Permission denied";
    wait_until("a warning", || container.console().contains(warned));
    container.as_root(&["chmod", "755", "/opt/data/profiles"]).ok();
}

#[test]
fn one_that_has_only_just_started_is_restarted_as_somebody_asked() {
    let volume = Volume::new();
    volume.wanted("one", "stopped");
    let container = boot(volume, &[LONG, ("HERMES_GW_PARK_DEATHS", "3")]);
    let firsts: [&[&str]; 4] = [
        &["start", "--no-wait", "one"],
        &["start", "one"],
        &["restart", "--no-wait", "one"],
        &["restart", "one"],
    ];
    for round in 0..120 {
        gw(&container, firsts[round % 4]).ok();
        // Before its shell has begun, while it is one, and once it is up.
        std::thread::sleep(Duration::from_micros(131 * round as u64 % 8_000));
        if round % 3 == 0 {
            gw(&container, &["stop", "--no-wait", "one"]).ok();
            gw(&container, &["start", "--timeout", "60", "one"]).ok();
        } else {
            gw(&container, &["restart", "--timeout", "60", "one"]).ok();
        }
        assert_eq!(record(&container, "one"), "", "{round}");
    }
    let log = log(&container, "one");
    assert!(!log.contains("hermes-gw:"), "{log}");
}

#[test]
fn a_stop_notes_the_run_that_a_letter_of_others_begins() {
    let volume = Volume::new();
    volume.wanted("one", "stopped");
    let container = boot(volume, &[LONG]);
    let send = |signal: &str| {
        let supervisor = container.supervisor("one");
        container.as_root(&["sh", "-c", &format!("kill -{signal} {supervisor}")]).ok();
    };
    // It would replace the note.
    fs::write(container.inside(&slot("one")).join("finish"), "#!/bin/sh\n").unwrap();
    let stop = ["/command/hermes-gw", "stop", "--no-wait", "one"];
    let strace = ["strace", "-qq", "-e", "trace=ioctl", "-o", "/opt/data/trace"];
    let trace = container.volume().path().join("trace");
    let note = || {
        let note = fs::read_to_string(container.inside(&slot("one")).join("intervened"));
        note.is_ok_and(|note| note.ends_with(" run\n"))
    };
    for round in 0.. {
        assert!(round < 100, "it never was in time, and noted that");
        send("STOP");
        gw(&container, &["start", "--no-wait", "one"]).ok();
        let _ = fs::remove_file(&trace);
        let stop = [&strace[..], &stop].concat();
        let begin = Instant::now();
        let mut stop = container.hermes_command(&stop).spawn().unwrap();
        wait_until("stop to see that the letter is not read", || {
            fs::read_to_string(&trace).unwrap_or_default().matches("FIONREAD").count() > 2
        });
        send("CONT");
        // It gives its supervisor two seconds, and 50 ms once that has read; if either took
        // longer, once more.
        let in_time = begin.elapsed() < Duration::from_secs(1);
        assert!(stop.wait().unwrap().success());
        wait_until("the stop", || {
            let status = status(&container, "one");
            status.is_down() && !status.want_up
        });
        if in_time && note() {
            break;
        }
    }
}

#[test]
fn a_start_of_one_that_runs_excuses_no_later_death() {
    let volume = Volume::new();
    volume.wanted("config", "running").file("config", "behave", "after 30 78\n");
    volume.wanted("crash", "running");
    let container = boot(volume, &[LONG]);
    for profile in ["config", "crash"] {
        container.wait_up(profile);
    }
    gw(&container, &["start", "--all"]).ok();
    kill(&container, "crash");
    wait_record(&container, "crash", "decision=backing-off signal=9 deaths=1 milliseconds=60000");
    wait_record(
        &container,
        "config",
        "decision=parked-configuration exit=78 deaths=0 milliseconds=0",
    );
}

#[test]
fn a_slot_of_an_older_version_is_amended_while_its_gateway_runs() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "running");
    let container = boot(volume, &[LONG]);
    // Ends with 0 when it is told to, and says nothing of when it began.
    let run = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n";
    for profile in ["one", "two"] {
        container.wait_up(profile);
        for name in ["timeout-finish", "max-death-tally", "crash-record"] {
            fs::remove_file(container.inside(&slot(profile)).join(name)).unwrap();
        }
        fs::write(container.inside(&slot(profile)).join("run"), run).unwrap();
        container.as_hermes(&["/command/s6-svc", "-t", &slot(profile)]).ok();
        wait_until("the old run", || {
            let args = container.as_root(&["ps", "-eo", "args"]).ok();
            args.matches("/bin/sh ./run").count() > usize::from(profile == "two")
        });
    }
    let output = gw(&container, &["reconcile"]).ok();
    assert_eq!(output.matches("action=updated").count(), 2, "{output}");
    let pids = [container.pid("one"), container.pid("two")];
    gw(&container, &["restart", "--no-wait", "one"]).ok();
    wait_until("another process", || container.pid("one") != pids[0]);
    container.wait_up("one");
    assert_eq!(record(&container, "one"), "");
    // How long it was up is not known, so it is not parked.
    container.as_hermes(&["/command/s6-svc", "-t", &slot("two")]).ok();
    wait_until("a decision", || record(&container, "two").ends_with(" milliseconds=60000"));
}

#[test]
fn finish_stands_on_its_own_feet() {
    let volume = Volume::new();
    for profile in ["blind", "mute", "lone", "odd", "odd-start"] {
        volume.wanted(profile, "stopped").file(profile, "behave", "exit 1\n");
    }
    volume.wanted("full", "stopped").wanted("cut", "stopped").wanted("dark", "stopped");
    let container = boot(volume, &[LONG, ("HERMES_GW_PARK_WINDOW", "soon")]);
    let put = |profile: &str, name: &str, text: &str| {
        fs::write(container.inside(&slot(profile)).join(name), text).unwrap();
    };
    let start = |profile: &str| {
        container.as_hermes(&["/command/s6-svc", "-u", &slot(profile)]).ok();
    };
    let fail = |calls: &str, error: &str| {
        let strace =
            format!("strace -D -o /dev/null -e trace={calls} -e inject={calls}:error={error}");
        format!("#!/bin/sh\nexec {strace} /command/hermes-gw finish \"$@\"\n")
    };

    // No watch to be had: its status is looked at.
    put("blind", "finish", &fail("inotify_init1", "EMFILE"));
    start("blind");
    wait_back_off(&container, "blind");
    let fds = format!("/proc/{}/fd", status(&container, "blind").pid);
    assert!(!container.as_root(&["ls", "-l", &fds]).ok().contains("inotify"));
    gw(&container, &["stop", "blind"]).ok();
    start("blind");
    wait_back_off(&container, "blind");
    let died = deaths(&container, "blind").len();
    start("blind");
    wait_until("another death", || deaths(&container, "blind").len() > died);
    wait_back_off(&container, "blind");
    put("blind", "run", "#!/bin/sh\nexec sleep 100\n");
    gw(&container, &["start", "blind"]).ok();
    assert_eq!(container.state("blind"), "up");

    // Nothing can be written into the slot: the delay is kept all the same.
    put("mute", "finish", &fail("renameat,renameat2", "EACCES"));
    start("mute");
    wait_until("a delay", || log(&container, "mute").contains("backing off 60s, 1 death: exit 1"));
    let warned =
        "hermes-gw: warning: rename: ./crash-record.hermes-gw.tmp: Permission denied (EACCES)";
    wait_until("a warning", || container.console().contains(warned));
    assert_eq!(
        (status(&container, "mute").finishing, record(&container, "mute").as_str()),
        (true, "")
    );

    // Nobody reads the log, nor what finish has to complain of; and the pipe is full.
    let size = 64 * 1024;
    put("full", "run", &format!("#!/bin/sh\nhead -c {size} /dev/zero\nexit 1\n"));
    put("full", "finish", "#!/bin/sh\nexec /command/hermes-gw finish \"$@\" 2>&1\n");
    let logger = |signal| {
        let path = container.inside(&slot("full")).join("log/supervise/status");
        let pid = Status::parse(&fs::read(path).unwrap()).unwrap().pid;
        container.as_root(&["sh", "-c", &format!("kill -{signal} {pid}")]).ok();
    };
    logger("STOP");
    start("full");
    wait_back_off(&container, "full");
    gw(&container, &["stop", "full"]).ok();
    logger("CONT");

    // A tally that is cut short, and one that is not there: this death counts.
    let tally = container.inside(&slot("cut")).join("supervise/death_tally");
    put("cut", "run", "#!/bin/sh\nexit 1\n");
    put(
        "cut",
        "finish",
        "#!/bin/sh\necho >supervise/death_tally\nexec /command/hermes-gw finish \"$@\"\n",
    );
    start("cut");
    wait_record(&container, "cut", "decision=backing-off exit=1 deaths=1 milliseconds=60000");
    assert_eq!(fs::read(tally).unwrap(), b"\n");

    // One that cannot be read is told; this death counts.
    let strace = "strace -D -o /dev/null -P supervise/death_tally -e inject=openat2:error=EIO";
    put("dark", "run", "#!/bin/sh\nexit 1\n");
    put("dark", "finish", &format!("#!/bin/sh\nexec {strace} /command/hermes-gw finish \"$@\"\n"));
    start("dark");
    wait_record(&container, "dark", "decision=backing-off exit=1 deaths=1 milliseconds=60000");
    let warned = "hermes-gw: warning: read: ./supervise/death_tally: Input/output error (EIO)\n";
    wait_until("a warning", || container.console().contains(warned));

    // What it finds in its way is replaced, and not followed.
    let precious = container.volume().path().join("precious");
    fs::write(&precious, "precious").unwrap();
    for name in ["crash-record", "intervened"] {
        container
            .as_hermes(&["ln", "-s", "/opt/data/precious", &format!("{}/{name}", slot("odd"))])
            .ok();
    }
    put("odd", "run", "#!/bin/sh\nexit 1\n");
    start("odd");
    wait_back_off(&container, "odd");
    let fds = format!("/proc/{}/fd", status(&container, "odd").pid);
    // It watches once it has recorded what it does.
    wait_until("its watch", || container.as_root(&["ls", "-l", &fds]).ok().contains("inotify"));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    // The run of a slot empties as hermes what is there; root's files are safe from it.
    container
        .as_hermes(&["ln", "-s", "/etc/passwd", &format!("{}/crash-record", slot("odd-start"))])
        .ok();
    start("odd-start");
    wait_back_off(&container, "odd-start");
    assert!(fs::metadata(container.inside("/etc/passwd")).unwrap().len() > 10);

    // A setting that makes no sense is told, and does not count.
    let flaw = "hermes-gw: warning: read setting: HERMES_GW_PARK_WINDOW=soon: is not a time in seconds: the default counts";
    assert!(container.console().contains(flaw), "{}", container.console());

    // Without s6 it does nothing at all, wherever it is.
    let home = "/opt/data/profiles/lone";
    let before = container.as_root(&["ls", "-A", home]).ok();
    let lone = ["env", "-C", home, "/command/hermes-gw", "finish", "1", "0", "gateway-lone"];
    let output = container.as_hermes(&lone);
    assert_eq!(output.code, 102, "{output:?}");
    let lone =
        ["env", "-C", &slot("lone"), "/command/hermes-gw", "finish", "1", "0", "gateway-lone"];
    let output = container.as_hermes(&lone);
    let why = "hermes-gw: finish gateway: .: no s6-supervise says that it has started this\n";
    assert_eq!(
        (output.code, output.stderr.lines().last().unwrap_or_default()),
        (102, why.trim_end())
    );
    assert_eq!(container.as_root(&["ls", "-A", home]).ok(), before);
    assert!(!container.inside(&slot("lone")).join("intervened").exists());
}

#[test]
fn a_gateway_that_crashes_at_once_costs_next_to_nothing() {
    let volume = Volume::new();
    volume.wanted("one", "running").file("one", "behave", "exit 1\n");
    let container = boot(volume, &[]);
    let begin = Instant::now();
    // s6-supervise, and all that it has started and waited for; s6-log likewise.
    let spent = || {
        let stat = "for s in /proc/[0-9]*/stat; do cat $s; done 2>/dev/null";
        let all = container.as_root(&["sh", "-c", stat]).ok();
        let of = |line: &str| -> u64 {
            let fields: Vec<_> = line.rsplit(") ").next().unwrap().split(' ').collect();
            fields[11..15].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
        };
        let ours =
            all.lines().filter(|line| line.contains("(s6-supervise)") || line.contains("(s6-log)"));
        Duration::from_millis(10 * ours.map(of).sum::<u64>())
    };
    wait_record(&container, "one", "decision=backing-off exit=1 deaths=7 milliseconds=60000");
    std::thread::sleep(Duration::from_secs(120).saturating_sub(begin.elapsed()));
    let (spent, time) = (spent(), begin.elapsed());
    let share = spent.as_secs_f64() / time.as_secs_f64();
    let deaths = deaths(&container, "one").len();
    println!("{deaths} deaths, {spent:?} of CPU in {time:?}: {:.3} % of a core", share * 100.0);
    assert!(share < 0.01, "{spent:?} in {time:?}");
}

/// Has s6's tally of `profile`, and what was noted of an operator, be from so many seconds later:
/// as it is once the clock was set back by that.
fn set_back(container: &Container, profile: &str, seconds: u64) {
    let dir = container.inside(&slot(profile));
    let mut tally = fs::read(dir.join("supervise/death_tally")).unwrap();
    for record in tally.chunks_mut(14) {
        let label = u64::from_be_bytes(record[..8].try_into().unwrap()) + seconds;
        record[..8].copy_from_slice(&label.to_be_bytes());
    }
    fs::write(dir.join("supervise/death_tally"), tally).unwrap();
    let path = dir.join("intervened");
    if let Ok(note) = fs::read_to_string(&path) {
        let label = u64::from_str_radix(&note[..16], 16).unwrap();
        let label = if label == 0 { 0 } else { label + seconds };
        fs::write(&path, format!("{label:016x}{}", &note[16..])).unwrap();
    }
}

#[test]
fn a_clock_that_is_set_back_lets_nobody_off() {
    let volume = Volume::new();
    let profiles = ["row", "noted", "older"];
    for profile in profiles {
        volume.wanted(profile, "running").file(profile, "behave", "exit 1\n");
    }
    // Long enough to look at all three, and to have a say, before the third death.
    let settings = [
        ("HERMES_GW_BACKOFF_FIRST", "5"),
        ("HERMES_GW_BACKOFF_MAX", "5"),
        ("HERMES_GW_PARK_DEATHS", "5"),
    ];
    let container = boot(volume, &settings);
    let hour = 3600;
    wait_until("two deaths of each", || {
        profiles.iter().all(|it| record(&container, it).contains(" deaths=2 "))
    });
    // One whose deaths were before the clock was set back: they are in a row with the next ones.
    set_back(&container, "row", hour);
    // One that was started anew before that: those since then count, from the first on.
    let output = gw(&container, &["start", "noted"]);
    assert!(output.code <= 1, "{output:?}");
    set_back(&container, "noted", hour);
    // And one with a note of the version before this, or of nobody knows whom.
    let path = container.inside(&slot("older")).join("intervened");
    fs::write(path, "400000007fffffff00000000\n").unwrap();
    for profile in profiles {
        wait_record(
            &container,
            profile,
            "decision=parked-deaths exit=1 deaths=5 milliseconds=600000",
        );
    }
    assert_eq!(["row", "noted", "older"].map(|it| deaths(&container, it).len()), [5, 7, 5]);
}

#[test]
fn what_an_operator_asks_for_is_not_counted_after_the_clock_was_set_back() {
    let volume = Volume::new();
    volume.wanted("one", "running");
    let container = boot(volume, &[LONG, ("HERMES_GW_EARLY_EXIT", "0")]);
    container.wait_up("one");
    kill(&container, "one");
    wait_back_off(&container, "one");
    gw(&container, &["start", "one"]).ok();
    container.wait_up("one");
    let hour = 3600;
    for _ in 0..3 {
        set_back(&container, "one", hour);
        let pid = container.pid("one");
        gw(&container, &["restart", "one"]).ok();
        container.wait_up("one");
        assert_ne!(container.pid("one"), pid);
        assert_eq!(record(&container, "one"), "");
    }
    // Nor is a start that began later than it ended, by the clock, one of known length.
    let began = container.inside(&slot("one")).join("crash-record");
    let later = SystemTime::now() + Duration::from_secs(hour);
    fs::File::open(&began).unwrap().set_modified(later).unwrap();
    container.as_hermes(&["/command/s6-svc", "-t", &slot("one")]).ok();
    wait_until("a decision", || record(&container, "one").contains(" deaths=1 "));
    assert!(record(&container, "one").starts_with("decision=backing-off "));
    // Who looks sees it as finish does.
    for _ in 0..2 {
        let shown = gw(&container, &["--json", "status", "one"]).stdout;
        assert_eq!(jq(".[0].restarts", &shown), "1");
        set_back(&container, "one", hour);
    }
}
