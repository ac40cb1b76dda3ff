//! Homes that are reached by symbolic links, and homes that have two names: boot, verbs, doctor
//! and finish give the same answer.

use crate::support;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use support::{Container, HERMES, Output, Spec, Volume, jq, wait_until};

/// Where the other disk is in the container.
const DISK: &str = "/mnt/disk";

fn gw(container: &Container, args: &[&str]) -> Output {
    container.as_hermes(&[&["/command/hermes-gw"], args].concat())
}

fn slot(profile: &str) -> String {
    format!("/run/service/gateway-{profile}")
}

fn at_root(container: &Container, script: &str) {
    container.as_root(&["sh", "-euc", script]).ok();
}

/// The home of a profile at a place of the container, in `sh`.
fn make_home(place: &str, intent: &str) -> String {
    format!(
        "mkdir -p {place}; echo soul >{place}/SOUL.md; \
         echo '{{\"desired_state\":\"{intent}\"}}' >{place}/gateway_state.json; \
         echo 7 >{place}/gateway.pid; chown -R {HERMES}:{HERMES} {place}; "
    )
}

#[track_caller]
fn wait_state(container: &Container, profile: &str, state: &str) {
    wait_until(&format!("{profile} to be {state}"), || container.state(profile) == state);
}

/// What doctor says, but for how gateways stand, with what to do about it.
fn findings(container: &Container) -> Vec<String> {
    let filter = ".[] | select(.level != \"ok\") | .check + \": \" + .text + \"; \" + .remedy";
    let of = |output: Output| -> Vec<String> {
        // How gateways stand changes between two looks.
        let lasts = |it: &&str| !it.starts_with("gateways: ");
        jq(filter, &output.stdout).lines().filter(lasts).map(String::from).collect()
    };
    let doctor = ["/command/hermes-gw", "--json", "doctor"];
    let found = of(container.as_hermes(&doctor));
    assert_eq!(of(container.as_root(&doctor)), found, "as root");
    found
}

#[test]
fn profiles_and_a_profile_on_another_disk_run_and_survive_restarts() {
    for whole in [false, true] {
        let volume = Volume::new();
        volume.profile("plain").wanted("default", "running").give(HERMES);
        let mut container = Container::new(volume, Spec::default());
        let disk = container.root().join(&DISK[1..]);
        fs::create_dir_all(&disk).unwrap();
        let profiles = container.volume().path().join("profiles");
        if whole {
            fs::remove_dir_all(&profiles).unwrap();
            symlink(DISK, &profiles).unwrap();
        }
        container.start();
        let setup = [
            make_home(&format!("{DISK}/absolute"), "running"),
            make_home(&format!("{DISK}/deep/er"), "running"),
            make_home("/opt/data/aside", "stopped"),
            format!("chown -R {HERMES}:{HERMES} {DISK}; cd /opt/data/profiles; "),
            match whole {
                true => "ln -s deep/er relative; ln -s /opt/data/aside rests; ".into(),
                false => format!(
                    "ln -s {DISK}/absolute absolute; ln -s ../aside rests; \
                     ln -s deep/er {DISK}/hop; ln -s {DISK}/hop relative"
                ),
            },
        ];
        at_root(&container, &setup.concat());
        let said = gw(&container, &["reconcile"]).ok();
        for (profile, action, state) in [
            ("absolute", "started", "up"),
            ("relative", "started", "up"),
            ("rests", "registered", "down"),
        ] {
            let line = format!("profile={profile} prior_state=");
            let line = said.lines().find(|it| it.contains(&line)).unwrap_or_default();
            assert!(line.ends_with(&format!(" action={action}")), "{said}");
            wait_state(&container, profile, state);
        }
        // What one wants is recorded where the link leads, and pid files are swept there.
        gw(&container, &["stop", "absolute"]).ok();
        gw(&container, &["start", "rests"]).ok();
        let state = |place: &str| {
            fs::read_to_string(container.inside(place).join("gateway_state.json")).unwrap()
        };
        assert!(state(&format!("{DISK}/absolute")).contains(r#""desired_state":"stopped""#));
        assert!(state("/opt/data/aside").contains(r#""desired_state":"running""#));
        assert!(!container.inside(&format!("{DISK}/absolute/gateway.pid")).exists());
        if !whole {
            assert!(fs::symlink_metadata(profiles.join("absolute")).unwrap().is_symlink());
        }
        // Healthy as any.
        let mut found = Vec::new();
        wait_until("doctor to find nothing", || {
            found = findings(&container);
            found.is_empty() || found.iter().any(|it| it.starts_with("profiles: "))
        });
        assert_eq!(found, [""; 0]);
        let status = gw(&container, &["--json", "status", "absolute", "rests"]).stdout;
        assert_eq!(jq("map(.wanted_at_boot) | join(\" \")", &status), "down up");
        // A container restart keeps both disks.
        container.restart();
        wait_state(&container, "rests", "up");
        wait_state(&container, "relative", "up");
        assert_eq!(container.state("absolute"), "down");
        // Only the log of one that is not on disk at all is not there.
        let unlink =
            if whole { "rm -r /mnt/disk/absolute" } else { "rm /opt/data/profiles/absolute" };
        at_root(&container, unlink);
        let pruned = gw(&container, &["reconcile", "--prune"]).ok();
        assert!(pruned.contains("profile=absolute prior_state=none action=pruned\n"), "{pruned}");
        assert_eq!(container.state("relative"), "up");
    }
}

/// Entries that cannot be used: how each is made in `profiles/`, and why it is none.
const BAD: [(&str, &str, &str); 5] = [
    (
        "away",
        "ln -s /mnt/gone/away away",
        "open directory: /opt/data/profiles/away: No such file or directory (ENOENT): \
         a symbolic link to /mnt/gone/away",
    ),
    (
        "circle",
        "ln -s circle circle",
        "open directory: /opt/data/profiles/circle: leads in a circle (ELOOP): \
         a symbolic link to circle",
    ),
    (
        "file",
        "ln -s ../SOUL.md file",
        "open directory: /opt/data/profiles/file: Not a directory (ENOTDIR): \
         a symbolic link to ../SOUL.md",
    ),
    (
        "secret",
        "mkdir -p /mnt/secret/home; chmod 700 /mnt/secret; ln -s /mnt/secret/home secret",
        "open directory: /opt/data/profiles/secret: Permission denied (EACCES): \
         a symbolic link to /mnt/secret/home",
    ),
    ("twin", "ln -s coder twin", "its directory is the home of coder"),
];

#[test]
fn what_boot_skips_no_verb_takes_and_all_say_the_same_why() {
    let volume = Volume::new();
    volume.file("default", "SOUL.md", "A soul.\n").wanted("coder", "running");
    let mut container = Container::boot(volume, Spec::default());
    container.wait_up("coder");
    for (name, make, _) in BAD {
        at_root(&container, &format!("cd /opt/data/profiles; {make}; chown -h {HERMES} {name}"));
    }
    // The root home itself has a second name, and a directory that is none has two.
    at_root(&container, "cd /opt/data/profiles; ln -s .. root; mkdir none; ln -s none other");
    let root = ("root", "", "its directory is the home of default");
    container.restart();
    container.wait_up("coder");
    let console = container.console();
    for (name, _, why) in BAD.into_iter().chain([root]) {
        let line =
            format!("reconcile: profile={name} prior_state=none action=skipped reason={why}\n");
        assert!(console.contains(&line), "{line}{console}");
        let refused = [
            (&["register", name, "--force"][..], false),
            (&["register", "--down", "--if-missing", name, "--force"], false),
            (&["start", name], false),
            (&["hook", "profile-create", name], true),
        ];
        for (verb, only_warns) in refused {
            for output in
                [gw(&container, verb), container.as_root(&[&["/command/hermes-gw"], verb].concat())]
            {
                let code = if why.contains("EACCES") { 111 } else { 1 };
                assert_eq!(output.code, if only_warns { 0 } else { code }, "{verb:?}: {output:?}");
                assert!(output.stderr.contains(why), "{verb:?}: {output:?}");
                assert!(!output.stderr.contains("hermes profile create"), "{verb:?}: {output:?}");
            }
        }
        for verb in ["status", "stop", "logs"] {
            let output = gw(&container, &[verb, name]);
            assert!(output.code != 0 && output.stderr.contains(why), "{verb}: {output:?}");
        }
        let found = findings(&container);
        let path = format!("/opt/data/profiles/{name}");
        let line = format!("profiles: {path}: {why}; namei -l {path}");
        assert_eq!(found.iter().filter(|it| **it == line).count(), 1, "{line}: {found:?}");
    }
    assert_eq!(gw(&container, &["list"]).ok(), "coder\ndefault\n");
    for name in ["none", "other"] {
        assert!(!console.contains(&format!("profile={name} ")), "{console}");
    }
    // Nobody's remedy takes anything away.
    let remedies = findings(&container);
    for it in &remedies {
        let remedy = it.rsplit("; ").next().unwrap();
        container.as_root(&["sh", "-c", remedy]);
    }
    assert_eq!(findings(&container), remedies);
}

#[test]
fn a_disk_that_is_not_mounted_takes_nobodys_slot_away() {
    let volume = Volume::new();
    volume.profile("plain");
    let mut container = Container::new(volume, Spec::default());
    fs::create_dir_all(container.root().join("mnt/disk")).unwrap();
    container.start();
    let setup = [make_home("/mnt/disk/one", "running"), make_home("/mnt/disk/p/two", "running")];
    at_root(&container, &setup.concat());
    at_root(
        &container,
        "cd /opt/data/profiles; ln -s /mnt/disk/one one; ln -s /mnt/disk/p/two two",
    );
    gw(&container, &["reconcile"]).ok();
    // Up is not enough: its script has still to open what is on the disk.
    for (profile, place) in [("one", "one"), ("two", "p/two")] {
        container.wait_up_in(profile, &container.inside("/mnt/disk").join(place));
    }
    at_root(&container, "mv /mnt/disk /mnt/away");
    let pruned = gw(&container, &["reconcile", "--prune"]);
    assert!(!pruned.stdout.contains("action=pruned"), "{pruned:?}");
    for profile in ["one", "two"] {
        assert!(pruned.stdout.contains(&format!("profile={profile} ")), "{pruned:?}");
        assert_eq!(container.state(profile), "up");
    }
    let found = findings(&container);
    assert!(!found.iter().any(|it| it.contains("a slot without a profile")), "{found:?}");
    // One that dies meanwhile is tried again, and not parked for good.
    let pid = container.pid("one");
    container.as_root(&["sh", "-c", &format!("kill -KILL {pid}")]).ok();
    let record = container.inside(&slot("one")).join("crash-record");
    wait_until("a decision", || {
        let text = fs::read_to_string(&record).unwrap_or_default();
        assert!(!text.contains("parked"), "{text}");
        text.contains("backing-off")
    });
    // The same where all profiles are away.
    at_root(
        &container,
        "cd /opt/data; mv profiles kept; ln -s /mnt/disk/profiles profiles; chown -h hermes profiles",
    );
    let pruned = gw(&container, &["reconcile", "--prune"]);
    assert!(!pruned.stdout.contains("action=pruned"), "{pruned:?}");
    let why = "open directory: /opt/data/profiles: No such file or directory (ENOENT): \
               a symbolic link to /mnt/disk/profiles";
    assert!(pruned.stderr.contains(why), "{pruned:?}");
    assert_eq!(gw(&container, &["list"]).ok(), "default\none\nplain\ntwo\n");
    let output = gw(&container, &["start", "new"]);
    assert!(output.code == 1 && output.stderr.contains(why), "{output:?}");
    let found = findings(&container);
    assert!(found.iter().any(|it| it.starts_with("home: ") && it.contains(why)), "{found:?}");
    // Back again, all is as it was.
    at_root(&container, "cd /opt/data; rm profiles; mv kept profiles; mv /mnt/away /mnt/disk");
    gw(&container, &["start", "one", "two"]).ok();
    for profile in ["one", "two"] {
        wait_state(&container, profile, "up");
    }
}

#[test]
fn a_home_with_two_names_has_one_gateway_whichever_came_first() {
    let volume = Volume::new();
    volume.wanted("mid", "running").profile("other");
    let mut container = Container::boot(volume, Spec::default());
    container.wait_up("mid");
    let gateways = || {
        let all = container.processes("");
        let is_one = |args: &str| args.contains("hermes -p") && args.ends_with(" run --replace");
        all.iter().filter(|(_, _, args)| is_one(args)).count()
    };
    assert_eq!(gateways(), 1);
    // A later name: no slot, and the one that runs goes on.
    let pid = container.pid("mid");
    container.as_hermes(&["ln", "-s", "mid", "/opt/data/profiles/zz"]).ok();
    let said = gw(&container, &["reconcile"]).ok();
    assert!(said.contains("profile=zz prior_state=none action=skipped reason=its directory"));
    assert_eq!((container.pid("mid"), gateways()), (pid, 1));
    // An earlier one: it takes the place of the one that ran, and that one's slot goes.
    container.as_hermes(&["ln", "-s", "mid", "/opt/data/profiles/first"]).ok();
    let status = gw(&container, &["--json", "status", "mid"]).stdout;
    assert_eq!(jq(".[0].wanted_at_boot", &status), "down");
    for verb in ["start", "restart"] {
        let output = gw(&container, &[verb, "mid"]);
        assert_eq!(output.code, 1, "{verb}: {output:?}");
        assert!(output.stderr.contains("its directory is the home of first"), "{output:?}");
    }
    let dry = gw(&container, &["reconcile", "--dry-run"]).ok();
    assert!(dry.contains("profile=mid prior_state=none action=pruned\n"), "{dry}");
    let said = gw(&container, &["reconcile"]).ok();
    for line in [
        "profile=first prior_state=running action=started\n",
        "profile=mid prior_state=none action=skipped reason=its directory is the home of first\n",
        "profile=mid prior_state=none action=pruned\n",
    ] {
        assert!(said.contains(line), "{line}{said}");
    }
    container.wait_up("first");
    assert_eq!(gw(&container, &["list"]).ok(), "default\nfirst\nother\n");
    assert_eq!(gateways(), 1);
    // Two slots of one home, as Hermes' own layer makes them: the same.
    container.publish_as_hermes("mid", true);
    let said = gw(&container, &["reconcile"]).ok();
    assert!(said.contains("profile=mid prior_state=none action=pruned\n"), "{said}");
    assert!(said.contains("profile=first prior_state=running action=kept\n"), "{said}");
    assert_eq!((container.state("first"), gateways()), ("up".into(), 1));
    let again = gw(&container, &["reconcile"]).ok();
    assert!(!again.contains("pruned"), "{again}");
    // And so after a restart.
    container.restart();
    container.wait_up("first");
    assert_eq!(gw(&container, &["list"]).ok(), "default\nfirst\nother\n");
    // A mount is no link, and has the same directory all the same.
    container.as_hermes(&["mkdir", "/opt/data/profiles/mount"]).ok();
    at_root(&container, "mount --bind /opt/data/profiles/other /opt/data/profiles/mount");
    let inode = |name: &str| {
        fs::metadata(container.inside(&format!("/opt/data/profiles/{name}"))).unwrap().ino()
    };
    assert_eq!(inode("mount"), inode("other"));
    let said = gw(&container, &["reconcile"]).ok();
    for line in [
        "profile=mount prior_state=none action=registered\n",
        "profile=other prior_state=none action=skipped reason=its directory is the home of mount\n",
        "profile=other prior_state=none action=pruned\n",
    ] {
        assert!(said.contains(line), "{line}{said}");
    }
}

#[test]
fn homes_with_one_marker_are_two() {
    let volume = Volume::new();
    volume.wanted("one", "running").wanted("two", "running").wanted("three", "running");
    let mut container = Container::boot(volume, Spec::default());
    at_root(
        &container,
        "cd /opt/data/profiles; ln -f one/SOUL.md two/SOUL.md; ln -sf ../one/SOUL.md three/SOUL.md",
    );
    container.restart();
    for name in ["one", "two", "three"] {
        container.wait_up(name);
        gw(&container, &["restart", name]).ok();
    }
}

#[test]
fn wherever_profiles_leads_nothing_runs_twice() {
    // How profiles/ comes to have the root home below it; what that is called there.
    let table = [
        ("ln -s . profiles", "profiles"),
        ("mkdir deep; ln -s deep profiles; ln -s .. deep/up", "up"),
        ("ln -s /opt profiles", "data"),
    ];
    for (make, name) in table {
        let volume = Volume::new();
        volume.wanted("default", "running");
        let container = Container::boot(volume, Spec::default());
        at_root(&container, &format!("cd /opt/data; rm -rf profiles; {make}"));
        let said = gw(&container, &["reconcile"]).ok();
        let line = format!(
            "profile={name} prior_state=none action=skipped reason=its directory is the home of \
             default\n"
        );
        assert!(said.contains(&line), "{make}: {said}");
        assert_eq!(gw(&container, &["list"]).ok(), "default\n", "{make}");
    }
}

#[test]
fn what_is_in_a_home_is_as_it_was() {
    let volume = Volume::new();
    volume.wanted("real", "running");
    let container = Container::boot(volume, Spec::default());
    container.wait_up("real");
    at_root(&container, &make_home("/opt/data/far", "running"));
    let inside = "ln -s ../real/SOUL.md SOUL.md; ln -s ../profiles/real/gateway_state.json .";
    at_root(&container, &format!("cd /opt/data/far; rm SOUL.md gateway_state.json; {inside}"));
    at_root(&container, "ln -s ../far /opt/data/profiles/far; chown -hR hermes /opt/data/far");
    let output = gw(&container, &["reconcile"]);
    assert!(output.stdout.contains("profile=far prior_state=none action=registered\n"));
    let why = "read: /opt/data/profiles/far/gateway_state.json: is a symbolic link, which is not \
               followed (ELOOP): no prior state\n";
    assert!(output.stderr.contains(why), "{output:?}");
    let mode = fs::metadata(container.inside("/opt/data/far")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}
