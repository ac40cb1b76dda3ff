//! `doctor`: every finding, provoked on the real tree; and its remedy, where that is a command.

use crate::support;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Container, Output, Spec, Tree, Volume, jq, wait_or, wait_until};

const DOCTOR: [&str; 3] = ["/command/hermes-gw", "--json", "doctor"];

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

fn sh(container: &Container, script: &str) {
    container.as_root(&["sh", "-c", script]).ok();
}

/// What doctor has against something, `level: check: text; remedy` each.
fn bad(output: &Output) -> Vec<String> {
    let filter = ".[] | select(.level != \"ok\") | .level + \": \" + .check + \": \" + .text + \"; \" \
        + (.remedy // \"-\")";
    let findings = jq(filter, &output.stdout);
    let fails = findings.lines().any(|line| line.starts_with("fail: "));
    assert_eq!(output.code, i32::from(fails), "{output:?}");
    findings.lines().map(String::from).collect()
}

fn findings(container: &Container) -> Vec<String> {
    let found = bad(&container.as_hermes(&DOCTOR));
    assert_eq!(bad(&container.as_root(&DOCTOR)), found, "as root");
    found
}

/// Waits until exactly this is found, as hermes and as root.
#[track_caller]
fn expect(container: &Container, expected: &[&str]) {
    wait_or(&format!("{expected:#?}"), || {
        let found = bad(&container.as_hermes(&DOCTOR));
        // What is on its way out may be seen by root only.
        let as_root = (found == expected).then(|| bad(&container.as_root(&DOCTOR)));
        let why = || format!("found {found:#?}, as root {as_root:#?}");
        if as_root.as_ref() == Some(&found) { Ok(()) } else { Err(why()) }
    });
    assert_eq!(findings(container), expected);
}

fn container(profiles: &[(&str, &str)]) -> Container {
    let volume = Volume::new();
    volume.wanted("default", "running");
    for (profile, behaviour) in profiles {
        volume.wanted(profile, "running").file(profile, "behave", format!("{behaviour}\n"));
    }
    let environment = [("HERMES_GW_BACKOFF_FIRST", "60"), ("HERMES_GW_EARLY_EXIT", "0.8")];
    let environment = environment.map(|(name, value)| (name.to_string(), value.to_string()));
    let container =
        Container::boot(volume, Spec { environment: environment.into(), ..Spec::default() });
    container.wait_up("default");
    container
}

/// The bound with which so many gateways fit: in PID 1's tree there are seven services more.
fn services(gateways: usize) -> usize {
    let others = if support::tree() == Tree::Root { 7 } else { 0 };
    others + 2 * gateways
}

#[test]
fn a_healthy_container_has_a_line_for_each_check_and_nothing_else() {
    let container = container(&[("coder", "slow 0")]);
    container.wait_up("coder");
    expect(&container, &[]);
    let checks = jq("map(.check) | join(\" \")", &container.as_hermes(&DOCTOR).stdout);
    assert_eq!(
        checks,
        "s6 caller capability user settings image exec tree scandir slots capacity supervisors \
         leftovers room home root policy profiles gateways hermes loggers"
    );
    let text = gw(&container, &["doctor"]);
    assert_eq!((text.code, text.stderr.as_str()), (0, ""));
    let (lines, sum) = text.stdout.trim_end().rsplit_once('\n').unwrap();
    assert!(lines.lines().all(|line| line.starts_with("ok    ")), "{lines}");
    assert_eq!((lines.lines().count(), sum), (21, "0 failures, 0 warnings"));
    let tree = match support::tree() {
        Tree::Root => "ok    tree         root: PID 1's, /run/service\n",
        Tree::User => "ok    tree         user: the gateways' user's own, /run/service\n",
    };
    assert!(text.stdout.contains(tree), "{}", text.stdout);
    assert_eq!(gw(&container, &["-q", "doctor"]).stdout, "");
}

#[test]
fn without_s6_it_says_what_to_use() {
    let output = Command::new(support::binary()).args(["--json", "doctor"]).output().unwrap();
    let found = jq("map([.check, .level]) | tojson", str::from_utf8(&output.stdout).unwrap());
    assert_eq!((found.as_str(), output.status.code()), (r#"[["s6","fail"]]"#, Some(1)));
    let text = Command::new(support::binary()).arg("doctor").output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("FAIL  s6           "), "{text}");
    assert!(text.contains("\n      try: hermes gateway run\n"), "{text}");
    assert!(text.ends_with("\n1 failure, 0 warnings\n"), "{text}");
}

#[test]
fn who_calls_as_whom_and_with_which_settings() {
    let container = container(&[]);
    let stranger = bad(&container.as_stranger(&DOCTOR));
    assert_eq!(
        stranger,
        ["fail: caller: user 777 may neither look at gateways nor control them; \
          docker exec -u hermes"]
    );
    let with = |setting: &str| {
        let args = [&["env", setting], &DOCTOR[..]].concat();
        bad(&container.as_root(&args))
    };
    assert_eq!(
        with("HERMES_GW_USER=nobody-here"),
        ["fail: user: look up user: nobody-here: not in /etc/passwd: name the gateways' user in \
          HERMES_GW_USER; HERMES_GW_USER=NAME"]
    );
    assert_eq!(
        with("HERMES_GW_POLICY=both"),
        [
            "warn: settings: read setting: HERMES_GW_POLICY=both: must be auto, profiles or root: the default \
          counts; man hermes-gw"
        ]
    );
    let tree = with("HERMES_GW_TREE=both");
    assert!(
        tree[0].starts_with(
            "fail: settings: read setting: HERMES_GW_TREE=both: must be root or user; "
        ),
        "{tree:?}"
    );
    let odd = with("HERMES_GW_BACKOFF_MAX=soon");
    assert_eq!(odd.len(), 1);
    assert!(
        odd[0].starts_with(
            "warn: settings: read setting: HERMES_GW_BACKOFF_MAX=soon: is not a time in seconds: "
        ),
        "{odd:?}"
    );
    assert!(odd[0].ends_with(": the default counts; man hermes-gw"), "{odd:?}");
    let nowhere = with("HERMES_HOME=/nowhere");
    assert!(nowhere[0].starts_with("fail: home: open directory: /nowhere: "), "{nowhere:?}");
    for (pairs, finding) in [
        (
            1,
            "fail: capacity: 1 of 1 gateways that s6-svscan can hold: there is no room for another",
        ),
        (100, ""),
    ] {
        let found = with(&format!("HERMES_GW_SERVICES_MAX={}", services(pairs)));
        assert_eq!(found.is_empty(), finding.is_empty(), "{pairs}: {found:?}");
        assert!(found.iter().all(|it| it.starts_with(finding)), "{pairs}: {found:?}");
    }
    let limited = container.as_root(&[&["prlimit", "--nofile=26"], &DOCTOR[..]].concat());
    let mut expected = vec![
        "warn: capacity: 1 gateways at once need 27 descriptors, more than allowed; \
         docker run --ulimit nofile=65536",
    ];
    if support::tree() == Tree::User {
        // What an s6-svscan can hold depends on them, too.
        let full = "fail: capacity: 1 of 0 gateways that s6-svscan can hold: there is no room for \
            another; HERMES_GW_SERVICES_MAX=NUMBER";
        expected.insert(0, full);
    }
    assert_eq!(bad(&limited), expected);
}

#[test]
fn a_scandir_that_is_almost_full_is_warned_of() {
    let names: Vec<_> = (0..8).map(|at| format!("p{at}")).collect();
    let volume = Volume::new();
    for name in &names {
        volume.profile(name);
    }
    let container = Container::boot(volume, Spec::default());
    let setting = format!("HERMES_GW_SERVICES_MAX={}", services(10));
    let found = bad(&container.as_root(&[&["env", &setting], &DOCTOR[..]].concat()));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("warn: capacity: 9 of 10 gateways"), "{found:?}");
}

#[test]
fn what_the_image_lacks() {
    let container = container(&[]);
    sh(&container, "mv /command/s6-log /command/away; mv /etc/cont-init.d/02-reconcile-profiles /");
    expect(
        &container,
        &[
            "fail: image: /command/s6-log is not there; COPY it into the image",
            "warn: image: nothing in /etc/cont-init.d makes slots when the container starts; \
             COPY rootfs/ into the image",
        ],
    );
    sh(&container, "mv /command/away /command/s6-log");
    sh(&container, "ln -s /command/hermes-gw /etc/cont-init.d/02-reconcile-profiles");
    expect(&container, &[]);
    // Where nothing can be looked at, nothing is said to be there.
    let strace =
        ["strace", "-qq", "-o", "/dev/null", "-P", "/", "-e", "inject=openat,open:error=EMFILE"];
    let blind = bad(&container.as_root(&[&strace[..], &DOCTOR].concat()));
    assert!(
        blind.len() == 1
            && blind[0].starts_with(
                "fail: image: open directory: /: Too many open files (EMFILE): no more \
                     than "
            ),
        "{blind:?}"
    );
    // As in an image of s6-overlay before 3.2.3.1.
    sh(&container, "mkdir -p /etc/s6-overlay/s6-rc.d/user/contents.d");
    let bundles = "/etc/s6-overlay/user-bundles.d";
    sh(&container, &format!("mv {bundles} {bundles}.away"));
    expect(&container, &[]);
    sh(&container, &format!("mv {bundles}.away {bundles}"));
    expect(
        &container,
        &[
            "warn: image: s6-overlay starts none of the services: its bundle `user` is without them; \
           RUN cp -R /etc/s6-overlay/user-bundles.d/user/contents.d /etc/s6-overlay/s6-rc.d/user/",
        ],
    );
    sh(
        &container,
        "cp -R /etc/s6-overlay/user-bundles.d/user/contents.d /etc/s6-overlay/s6-rc.d/user/",
    );
    expect(&container, &[]);
}

#[test]
fn what_the_gateways_user_may_not_do_with_scandir_and_slots() {
    let container = container(&[("coder", "slow 0")]);
    container.wait_up("coder");
    let (scandir, svscan) = ("/run/service", "/run/service/.s6-svscan/control");
    let slot = slot("coder");
    let reconcile = match support::tree() {
        Tree::Root => "as root: hermes-gw reconcile",
        Tree::User => "as root: chown -R hermes /run/service",
    };
    let chown = format!("as root: chown -R hermes {slot}");
    // What is root's, and what fails then.
    let table = [
        (svscan.to_string(), format!("fail: tree: open: {svscan}"), reconcile),
        (scandir.into(), format!("fail: scandir: write to: {scandir}"), reconcile),
        (format!("{slot}/supervise/control"), "fail: slots: coder: open: ".into(), &chown),
        (format!("{slot}/supervise"), "fail: slots: coder: open: ".into(), &chown),
        (format!("{slot}/event"), "fail: slots: coder: write to: ".into(), &chown),
        (slot.clone(), "fail: slots: coder: write to: ".into(), &chown),
    ];
    for (path, what, remedy) in table {
        let what = match what.strip_suffix(": ") {
            Some(_) if path.ends_with("supervise") => format!("{what}{path}/control"),
            Some(_) => what + &path,
            None => what,
        };
        // Its group may write to event/, too.
        sh(&container, &format!("chown root:root {path}"));
        let found = findings(&container);
        assert_eq!(found, [format!("{what}: Permission denied (EACCES); {remedy}")], "{path}");
        let remedy = remedy.strip_prefix("as root: ").unwrap();
        sh(&container, &format!("PATH=/command:$PATH; {remedy}"));
        expect(&container, &[]);
    }

    sh(&container, "rm /run/service/.s6-svscan/control");
    let restart = match support::tree() {
        Tree::Root => "docker restart",
        Tree::User => "as root: /command/s6-svc -u /run/service/hermes-svscan",
    };
    let found = findings(&container);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0], format!("fail: tree: no s6-svscan runs on /run/service; {restart}"));
}

#[test]
fn slots_that_are_not_what_they_should_be() {
    let container = container(&[("coder", "slow 0"), ("edited", "slow 0"), ("mute", "slow 0")]);
    ["coder", "edited", "mute"].iter().for_each(|profile| container.wait_up(profile));
    sh(&container, &format!("echo '# more' >>{}/run", slot("edited")));
    container.as_hermes(&["/command/s6-svc", "-wD", "-dh", &format!("{}/log", slot("mute"))]).ok();
    sh(&container, "touch /run/service/gateway-file; mkdir /run/service/.gateway-left.tmp");
    let logger = format!(
        "fail: slots: mute: its logger is not up, and it hangs once it has said too much; \
         /command/s6-svc -u {}/log",
        slot("mute")
    );
    expect(
        &container,
        &[
            "warn: slots: edited: its files are not those of this hermes-gw; hermes-gw reconcile",
            &logger,
            "warn: leftovers: /run/service/.gateway-left.tmp was left by a call that was killed; \
         hermes-gw reconcile",
            "fail: leftovers: /run/service/gateway-file is no slot of a gateway; \
         rm -r /run/service/gateway-file",
        ],
    );
    container.as_hermes(&["/command/s6-svc", "-u", &format!("{}/log", slot("mute"))]).ok();
    sh(&container, "rm -r /run/service/gateway-file");
    gw(&container, &["reconcile"]).ok();
    expect(&container, &[]);

    let status = container.inside(&slot("edited")).join("supervise/status");
    fs::write(&status, "odd").unwrap();
    let found = findings(&container);
    assert!(found[0].starts_with("fail: slots: status files of 3, "), "{found:?}");
    assert!(found[1].starts_with("fail: gateways: edited: read: "), "{found:?}");
    let remedy = format!("/command/s6-svc -c {}", slot("edited"));
    assert!(found[1].ends_with(&format!("; {remedy}")), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
    sh(&container, &remedy);
    expect(&container, &[]);
}

#[test]
fn what_a_killed_call_has_left_in_event_is_named_and_goes_and_what_is_being_made_is_neither() {
    let container = container(&[("one", "stopped"), ("two", "stopped")]);
    let left = ".ftrig1:@400000006a5fb1251dcd6500:0003ff";
    let strange = ".ftrig1:@left";
    let made = ".ftrig1:@400000006a5fb1251dcd6500:000400";
    for name in [left, strange, made] {
        let script = format!("mkfifo -m 622 {0}/event/{name} {0}/log/event/{name}", slot("one"));
        sh(&container, &script);
    }
    // Somebody reads it.
    let reader = format!(
        "exec sleep 1000 3<>{0}/event/{made} 4<>{0}/log/event/{made} </dev/null >/dev/null 2>&1 &",
        slot("one")
    );
    sh(&container, &reader);
    sh(&container, &format!("chmod g-s {}/event", slot("two")));
    let fifo = |part: &str| {
        let at = slot("one");
        format!(
            "warn: slots: {at}{part}/event/{left} was left by a call that was killed; \
             hermes-gw reconcile"
        )
    };
    expect(
        &container,
        &[
            &fifo(""),
            &fifo("/log"),
            "warn: slots: two: its files are not those of this hermes-gw; hermes-gw reconcile",
        ],
    );
    let output = gw(&container, &["reconcile"]).ok();
    assert_eq!(output.matches("action=updated").count(), 2, "{output}");
    expect(&container, &[]);
    let names = container.as_root(&["find", &slot("one"), "-name", ".ftrig1:@*"]).ok();
    assert_eq!(names.matches(strange).count(), 2, "{names}");
    assert_eq!(names.matches(made).count(), 2, "{names}");
    assert_eq!(names.lines().count(), 4, "{names}");
    let mode = container.as_root(&["stat", "-c", "%a", &format!("{}/event", slot("two"))]).ok();
    assert_eq!(mode, "3730\n");
}

#[test]
fn a_supervisor_that_is_about_to_come_is_waited_for() {
    let container = container(&[]);
    // On a busy machine it may come too late for doctor, but not every time.
    let mut found = Vec::new();
    let is_waited_for = (0..5).any(|_| {
        container.signal_svscan("STOP");
        container.kill_supervisor("default");
        container.as_root(&["rm", "-f", "/run/trace"]).ok();
        let traced = ["strace", "-o", "/run/trace", "-e", "trace=poll,ppoll"];
        let traced = [&traced[..], &DOCTOR].concat();
        let doctor = container.root_command(&traced).stdout(Stdio::piped()).spawn().unwrap();
        // It has looked, and waits for nothing but time.
        let trace = || fs::read_to_string(container.inside("/run/trace")).unwrap_or_default();
        wait_until("doctor to wait", || trace().contains("poll([], 0, "));
        container.signal_svscan("CONT");
        let output = doctor.wait_with_output().unwrap();
        let well = output.status.code() == Some(0);
        found.push(output);
        let back = || ["up", "down"].contains(&container.state("default").as_str());
        wait_until("the supervisor", back);
        well
    });
    assert!(is_waited_for, "{found:?}");
}

#[test]
fn a_slot_that_goes_while_it_is_waited_for_is_none_that_is_wrong() {
    let container = container(&[]);
    // The boot's request for a scan may be yet to be heard.
    container.signal_svscan("STOP");
    sh(&container, &format!("cp -a {} {}", slot("default"), slot("new")));
    let doctor = container.hermes_command(&DOCTOR).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    sh(&container, &format!("mv {} /run/gone", slot("new")));
    let output = doctor.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn slots_that_cannot_be_looked_at_are_not_said_to_be_none() {
    let container = container(&[]);
    let strace = ["strace", "-qq", "-o", "/dev/null", "-P", "gateway-default"];
    let strace = [&strace[..], &["-e", "inject=newfstatat:error=EIO"]].concat();
    let found = bad(&container.as_root(&[&strace[..], &DOCTOR].concat()));
    let path = slot("default");
    assert_eq!(found, [format!("fail: slots: look at: {path}: Input/output error (EIO); -")]);
}

#[test]
fn a_call_that_changes_the_scandir_is_not_one_that_was_killed() {
    let container = container(&[]);
    container.signal_svscan("STOP");
    let scandir = container.inside("/run/service");
    let lock = fs::File::open(scandir.join(".hermes-gw.lock")).unwrap();
    lock.lock().unwrap();
    for half in [".gateway-made.tmp", ".gateway-left.gone"] {
        fs::create_dir(scandir.join(half)).unwrap();
    }
    sh(&container, &format!("cp -a {} {}", slot("default"), slot("new")));
    expect(
        &container,
        &["warn: profiles: new: a slot without a profile; hermes-gw unregister new"],
    );
    lock.unlock().unwrap();
    let found = findings(&container);
    assert!(found.iter().any(|it| it.contains("new: nobody supervises it")), "{found:?}");
    assert!(found.iter().any(|it| it.contains(".gateway-left.gone was left by")), "{found:?}");
}

#[test]
fn remedies_do_what_they_say_whatever_names_have_been_chosen() {
    let container = container(&[]);
    container.signal_svscan("STOP");
    // The last two are for a shell that knows $'...', and this one does not.
    let names: [&[u8]; 6] =
        [b"a b", b"x;touch pwned;", b"it's", b"$(touch pwned)", b"\\';touch pwned;'", b"\xff"];
    let (scandir, profiles) = (container.inside("/run/service"), container.volume().home("any"));
    for name in names.map(OsStr::from_bytes) {
        let mut slot = OsString::from("gateway-");
        slot.push(name);
        fs::create_dir(scandir.join(slot)).unwrap();
        let home = profiles.with_file_name(name);
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("SOUL.md"), "").unwrap();
    }
    container.volume().file("default", "SOUL.md", "A soul.\n").give(support::HERMES);
    symlink("/nowhere", profiles.with_file_name("SOUL.md")).unwrap();
    let json = container.as_root(&DOCTOR).stdout;
    let remedies = jq(".[] | select(.level != \"ok\") | .remedy", &json);
    assert_eq!(remedies.lines().count(), 2 * names.len() + 1, "{remedies}");
    let done = |remedy: &&str| container.as_root(&["sh", "-c", remedy]).succeeded();
    let others: Vec<_> = remedies.lines().filter(|remedy| !done(remedy)).collect();
    // And one shows where a link ends that leads nowhere.
    let other = |it: &&str| it.contains(" $'") || it.starts_with("namei -l ");
    assert!(others.len() == 5 && others.iter().all(other), "{others:?}");
    assert!(!container.inside("/pwned").exists());
    assert_eq!(container.volume().read("default", "SOUL.md"), "A soul.\n");
    // Those that have a name now that can be used have no slot.
    assert_eq!(findings(&container).len(), 9);
}

#[test]
fn supervisors_without_a_slot_and_slots_without_a_supervisor() {
    let container = container(&[("coder", "slow 0"), ("moved", "slow 0")]);
    ["coder", "moved"].iter().for_each(|profile| container.wait_up(profile));
    let moved = container.supervisor("moved");
    let logger = container.supervisor("moved/log");
    container.signal_svscan("STOP");
    container.kill_supervisor("coder");
    sh(&container, &format!("mv {} /run/service/.moved", slot("moved")));
    let mut orphans: Vec<u32> = [&moved, &logger].map(|pid| pid.parse().unwrap()).into();
    orphans.sort_by_key(u32::to_string);
    let name = |pid: &u32| {
        if pid.to_string() == moved { "gateway-moved" } else { "gateway-moved/log" }
    };
    let orphan = |pid: &u32| {
        let name = name(pid);
        format!(
            "fail: supervisors: process {pid} supervises {name}, which is no slot any more; \
             hermes-gw reconcile --prune"
        )
    };
    let mut expected =
        vec!["fail: slots: coder: nobody supervises it; hermes-gw reconcile".to_string()];
    expected.extend(orphans.iter().map(orphan));
    expected
        .push("warn: profiles: moved: a profile without a slot; hermes-gw register moved".into());
    expect(&container, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    container.signal_svscan("CONT");
    gw(&container, &["reconcile", "--prune"]).ok();
    expect(&container, &[]);
}

#[test]
fn gateways_in_the_other_layout() {
    let container = container(&[]);
    let tree = support::tree();
    let (other, word) = match tree {
        Tree::Root => ("/run/hermes-gw/service", "user"),
        // The tests' own name for the gateways' scandir is /run/service.
        Tree::User => ("/run//service", "root"),
    };
    if tree == Tree::Root {
        let script = format!(
            "mkdir -p {other}; chown -R hermes /run/hermes-gw; \
             s6-setuidgid hermes s6-svscan {other} >/dev/null 2>&1 &"
        );
        sh(&container, &script);
    }
    let setting = format!("HERMES_GW_TREE={word}");
    let there = |args: &[&str]| {
        let gw = ["env", &setting, "/command/hermes-gw", "--scandir", other];
        container.as_root(&[&gw, args].concat())
    };
    wait_or("a gateway that runs there", || match there(&["register", "--force", "twin"]) {
        // The s6-svscan may be yet to come.
        output if [0, 4].contains(&output.code) => Ok(()),
        output => Err(output.stderr),
    });
    let found = findings(&container);
    assert_eq!(found.len(), 1, "{found:?}");
    let remedy = format!("HERMES_GW_TREE={word} hermes-gw --scandir /run/service unregister twin");
    let twice = "fail: tree: /run/service has gateway-twin, too: two may run; ";
    assert_eq!(found[0], format!("{twice}{remedy}"));
    there(&["unregister", "twin"]).ok();
    expect(&container, &[]);
}

#[test]
fn file_systems_without_room() {
    let container = container(&[]);
    sh(&container, "mount -o remount,size=$(($(df -k --output=used /run | tail -n 1) + 64))k /run");
    let found = findings(&container);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("fail: room: /run/service has room for "), "{found:?}");
    assert!(found[0].ends_with(": states are lost; df -a /run/service"), "{found:?}");
}

#[test]
fn homes_and_profiles_that_are_not_what_they_should_be() {
    let container = container(&[("gone", "slow 0"), ("cut", "slow 0")]);
    ["gone", "cut"].iter().for_each(|profile| container.wait_up(profile));
    let volume = container.volume();
    volume.profile("fresh").profile("Bad Name");
    symlink("/nowhere", volume.home("linked")).unwrap();
    volume.give(support::HERMES);
    fs::remove_dir_all(volume.home("gone")).unwrap();
    volume.file("cut", "gateway_state.json", "{\"desired");
    sh(&container, "chown root /opt/data/logs");
    expect(
        &container,
        &[
            "fail: home: write to: /opt/data/logs: Permission denied (EACCES): what gateways say is \
         lost; as root: chown -R hermes /opt/data",
            "warn: profiles: /opt/data/profiles/Bad Name: invalid name: only a-z, 0-9, _ and - are \
         allowed; mv -nT '/opt/data/profiles/Bad Name' /opt/data/profiles/bad-name",
            "warn: profiles: /opt/data/profiles/linked: open directory: /opt/data/profiles/linked: No \
         such file or directory (ENOENT): a symbolic link to /nowhere; \
         namei -l /opt/data/profiles/linked",
            "warn: profiles: read: /opt/data/profiles/cut/gateway_state.json: is cut short: no prior \
         state: stop and start write it anew; hermes-gw start cut",
            "warn: profiles: fresh: a profile without a slot; hermes-gw register --down fresh",
            "warn: profiles: gone: a slot without a profile; hermes-gw unregister gone",
        ],
    );
    sh(&container, "mv /opt/data/profiles /opt/data/kept; touch /opt/data/profiles");
    let found = findings(&container);
    let path = "/opt/data/profiles";
    let strange = format!(
        "fail: home: open directory: {path}: Not a directory (ENOTDIR); ls -ld /opt/data/profiles"
    );
    assert_eq!(found[0], strange, "{found:?}");
    sh(&container, "rm /opt/data/profiles; mv /opt/data/kept /opt/data/profiles");
    sh(&container, "chown -R hermes /opt/data");
    sh(&container, "rm -r '/opt/data/profiles/Bad Name' /opt/data/profiles/linked");
    assert_eq!(gw(&container, &["start", "cut"]).code, 0);
    gw(&container, &["register", "--down", "fresh", "--force"]).ok();
    gw(&container, &["unregister", "gone"]).ok();
    expect(&container, &[]);
}

#[test]
fn gateways_that_do_not_do_what_they_are_meant_to() {
    let container = container(&[
        ("config", "exit 78"),
        ("crashes", "exit 1"),
        ("done", "after 1 0"),
        ("rest", "slow 0"),
        ("paused", "slow 0"),
    ]);
    ["rest", "paused"].iter().for_each(|profile| container.wait_up(profile));
    container.as_hermes(&["/command/s6-svc", "-d", &slot("rest")]).ok();
    container.as_hermes(&["/command/s6-svc", "-p", &slot("paused")]).ok();
    expect(
        &container,
        &[
            "fail: gateways: config: parked: exit 78 (configuration); hermes-gw logs config",
            "fail: gateways: crashes: backing off 60s, 1 death: exit 1; hermes-gw logs crashes",
            "warn: gateways: done: parked: exit 0 (it ended by itself); hermes-gw start done",
            "warn: gateways: paused: up, paused (SIGSTOP); hermes-gw signal CONT paused",
            "warn: gateways: rest: down, wanted up at next boot; hermes-gw start rest",
        ],
    );
    for args in ["start rest", "signal CONT paused", "stop done config crashes"] {
        gw(&container, &args.split(' ').collect::<Vec<_>>()).ok();
    }
    expect(&container, &[]);
}

#[test]
fn a_gateway_that_does_not_stay_up_is_warned_of_while_it_is_up() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let environment = vec![("HERMES_GW_BACKOFF_MAX".to_string(), "1".to_string())];
    let container = Container::boot(volume, Spec { environment, ..Spec::default() });
    for _ in 0..3 {
        container.wait_up("default");
        let pid = container.pid("default");
        container.as_hermes(&["/command/s6-svc", "-k", &slot("default")]).ok();
        wait_until("another run", || !["-1", &pid].contains(&&container.pid("default")[..]));
    }
    expect(
        &container,
        &["warn: gateways: default: up, 3 deaths lately: SIGKILL; hermes-gw logs default"],
    );
}

#[test]
fn which_policy_counts_what_says_so_and_who_runs_beside_it() {
    let container = container(&[("coder", "slow 0")]);
    container.wait_up("coder");
    let policy = |container: &Container| {
        let json = container.as_hermes(&DOCTOR).stdout;
        jq(".[] | select(.check == \"policy\") | .level + \": \" + .text", &json)
    };
    let config = |text: &str| {
        container.volume().file("default", "config.yaml", text).give(support::HERMES);
    };
    assert_eq!(policy(&container), "ok: profiles: nothing says that default serves all profiles");
    config("multiplex_profiles: no\n");
    assert_eq!(policy(&container), "ok: profiles: multiplex_profiles in /opt/data/config.yaml");

    // The one that ran before it was set goes on; and another is made to.
    let beside = "warn: gateways: coder: up, wanted down at next boot, beside default; \
                  hermes-gw stop coder";
    config("gateway: {multiplex_profiles: yes}\n");
    expect(&container, &[beside]);
    assert_eq!(policy(&container), "ok: root: gateway.multiplex_profiles in /opt/data/config.yaml");
    gw(&container, &["stop", "coder"]).ok();
    expect(&container, &[]);

    container.volume().file("default", ".env", "GATEWAY_MULTIPLEX_PROFILES=1\n");
    container.volume().give(support::HERMES);
    assert_eq!(policy(&container), "ok: root: GATEWAY_MULTIPLEX_PROFILES in /opt/data/.env");
    let with = |setting: &str| {
        let args = [&["env", setting], &DOCTOR[..]].concat();
        let json = container.as_root(&args).stdout;
        jq(".[] | select(.check == \"policy\") | .text", &json)
    };
    assert_eq!(with("HERMES_GW_POLICY=profiles"), "profiles: HERMES_GW_POLICY");
    fs::remove_file(container.volume().path().join(".env")).unwrap();
    assert_eq!(with("GATEWAY_MULTIPLEX_PROFILES=off"), "profiles: GATEWAY_MULTIPLEX_PROFILES");

    config("gateway: *multiplex_profiles\n");
    expect(
        &container,
        &["warn: policy: read: /opt/data/config.yaml: has an anchor, an alias or a tag: it does \
           not count: set HERMES_GW_POLICY; man hermes-gw"],
    );
}

#[test]
fn a_logger_that_does_not_stay_up_is_found_at_every_look() {
    let container = container(&[("coder", "slow 0"), ("writer", "slow 0")]);
    ["coder", "writer"].iter().for_each(|profile| container.wait_up(profile));
    let dir = |name: &str| format!("/opt/data/logs/gateways/{name}");
    let logs = ["coder", "writer"].map(dir);
    // Somebody has run it as root; somebody has put a file there.
    sh(&container, &format!("chown root {0}/current; chmod 600 {0}/current", logs[0]));
    sh(&container, &format!("mv {0} {0}.old; echo >{0}", logs[1]));
    for name in ["coder", "writer"] {
        let tally = container.inside(&slot(name)).join("log/supervise/death_tally");
        container.as_hermes(&["/command/s6-svc", "-k", &format!("{}/log", slot(name))]).ok();
        wait_until("three deaths of the logger", || {
            fs::metadata(&tally).is_ok_and(|tally| tally.len() >= 3 * 14)
        });
    }
    let expected = [
        format!(
            "fail: loggers: coder: its logger does not stay up, exit 111: open: {0}/current: \
             Permission denied (EACCES); as root: chown -R hermes {0}",
            logs[0]
        ),
        format!(
            "fail: loggers: writer: its logger does not stay up, exit 1: open directory: {0}: \
             Not a directory (ENOTDIR); ls -ld {0}",
            logs[1]
        ),
    ];
    for _ in 0..10 {
        assert_eq!(findings(&container), expected);
    }
    sh(&container, &format!("chown -R hermes {}; rm {1}; mv {1}.old {1}", logs[0], logs[1]));
    expect(&container, &[]);

    // One that is told nothing wrong about where it writes.
    let run = container.inside(&slot("coder")).join("log/run");
    let right = fs::read(&run).unwrap();
    fs::write(&run, "#!/bin/sh\nexit 3\n").unwrap();
    container.as_hermes(&["/command/s6-svc", "-k", &format!("{}/log", slot("coder"))]).ok();
    let own = format!(
        "fail: loggers: coder: its logger does not stay up, exit 3: docker logs has its last \
         words; ls -ld {}",
        logs[0]
    );
    let edited =
        "warn: slots: coder: its files are not those of this hermes-gw; hermes-gw reconcile";
    expect(&container, &[edited, &own]);
    fs::write(&run, right).unwrap();
    expect(&container, &[]);
}

#[test]
fn a_directory_of_the_file_systems_own_is_no_profile() {
    let container = container(&[]);
    sh(&container, "mkdir -p /opt/data/profiles; chown hermes /opt/data/profiles");
    for dir in ["/opt/data", "/opt/data/profiles"] {
        sh(&container, &format!("mkdir -m 700 {dir}/lost+found"));
    }
    expect(&container, &[]);
    let said = gw(&container, &["reconcile"]);
    assert!(!(said.stdout + &said.stderr).contains("lost+found"));
    // One that could be a profile is another matter, and stays where it is.
    sh(&container, "mkdir -m 700 /opt/data/profiles/coder; touch /opt/data/profiles/coder/SOUL.md");
    let chown = "chown -R hermes /opt/data/profiles/coder";
    let closed = format!(
        "warn: profiles: open directory: /opt/data/profiles/coder: Permission denied (EACCES); \
         as root: {chown}"
    );
    expect(&container, &[&closed]);
    sh(&container, chown);
    gw(&container, &["register", "--down", "coder", "--force"]).ok();
    expect(&container, &[]);
}

#[test]
fn scripts_that_may_not_be_executed() {
    let container = container(&[]);
    sh(&container, "mount -o remount,noexec /run");
    let flaw = "execute in: /run/service: is mounted noexec: no script of a slot can run";
    let remedy = "docker run --tmpfs /run:exec";
    expect(&container, &[&format!("fail: exec: {flaw}; {remedy}")]);
    let said = container.as_root(&["/command/hermes-gw", "reconcile"]).stderr;
    assert_eq!(said, format!("hermes-gw: warning: {flaw}: {remedy}\n"));
    sh(&container, "mount -o remount,exec /run");
    expect(&container, &[]);
}

#[test]
fn a_home_that_there_is_no_way_to() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    let container = Container::boot(volume, Spec { home: "/root/data".into(), ..Spec::default() });
    container.wait_up("default");
    expect(&container, &[]);
    sh(&container, "chmod 700 /root");
    let denied = "open directory: /root/data: Permission denied (EACCES): /root may not be passed";
    expect(&container, &[&format!("fail: home: {denied}; as root: chmod a+x /root")]);
    let said = container.as_root(&["/command/hermes-gw", "reconcile"]).stderr;
    assert_eq!(said, format!("hermes-gw: {denied}: set HERMES_HOME or --home\n"));
    sh(&container, "chmod a+x /root");
    expect(&container, &[]);
}

#[test]
fn ways_by_which_who_is_hermes_becomes_root() {
    let volume = Volume::new();
    volume.wanted("default", "running");
    // One is not there yet, and may be made; others are root's.
    let path = "/usr/local/sbin:/opt/data/.local/bin:/usr/local/bin:/usr/bin:/opt/data/bin";
    let environment = vec![("PATH".to_string(), path.to_string())];
    let container = Container::boot(volume, Spec { environment, ..Spec::default() });
    container.wait_up("default");
    let script = "/etc/cont-init.d/015-supervise-perms";
    sh(&container, &format!("echo '#!/bin/sh' >{script}; chmod 755 {script}"));
    let ways = [
        format!(
            "fail: root: hermes can become root by {script}, which gives away root's services; \
             RUN rm {script}"
        ),
        "fail: root: hermes can become root by /opt/data/.local/bin, which is in PATH before \
         /usr/bin; ENV PATH= without /opt/data/.local/bin"
            .into(),
    ];
    match support::tree() {
        Tree::Root => expect(&container, &[]),
        Tree::User => expect(&container, &[&ways[0], &ways[1]]),
    }
    sh(&container, &format!("rm {script}"));
    for (path, found) in [
        ("/usr/bin:/opt/data/bin", false),
        ("/usr/local/bin:bin:/usr/bin", true),
        ("/usr/local/bin::/usr/bin", true),
        ("/tmp/bin:/usr/bin", true),
        ("/usr/local/none:/usr/bin", false),
    ] {
        sh(
            &container,
            &format!("chmod 1777 /tmp; printf %s {path} >/run/s6/container_environment/PATH"),
        );
        let found = found && support::tree() == Tree::User;
        assert_eq!(findings(&container).len(), usize::from(found), "{path}");
    }
}
