//! A boot beside its floor: the C program floor.c, which makes the same files.
//!
//! Both run in the container as root, for root, on a scandir in its /run (a tmpfs) and a home on its
//! volume, started and timed by the same launcher in there.

use super::support::{Container, Spec, Volume, run};
use super::{inside, median, ms};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How many profiles, and in how many rounds.
const SIZES: [(usize, usize); 3] = [(10, 61), (100, 31), (400, 21)];
/// The scandir that is filled, and the one that the floor has the scripts from.
const SCANDIR: &str = "/run/bench";
const TEMPLATES: &str = "/run/templates";
const TEMPLATE: &str = "template";
const PID_FILES: [&str; 2] = ["gateway.pid", "processes.json"];

/// What is made in a scandir, by its paths there: kind, mode, owner and content.
type Tree = BTreeMap<String, String>;

/// Prints the rows.
pub fn boots() {
    let container = Container::boot(Volume::new(), Spec::default());
    inside::install(&container);
    let pair = format!("{:>10} {:>10}", "hermes-gw", "C floor");
    println!("\nreconcile --boot, as long as it takes, for each profile, and on the processors");
    println!("{:<14} {pair} {:>6} {pair} {pair} {:>6}", "cold", "ratio", "ratio");
    let scene = Scene { container };
    scene.make_home(TEMPLATE, &[TEMPLATE.into()]);
    fs::create_dir(scene.container.inside(TEMPLATES)).unwrap();
    scene.time(&scene.ours(TEMPLATE, TEMPLATES));
    for (count, rounds) in SIZES {
        let home = format!("of-{count}");
        let names: Vec<_> = (1..=count).map(|number| format!("gateway{number}")).collect();
        scene.make_home(&home, &names);
        let commands = [scene.ours(&home, SCANDIR), scene.floor(&home)];
        scene.compare(&home, &names, &commands);
        let mut times: [Vec<[Duration; 2]>; 2] = Default::default();
        for round in 0..rounds {
            for turn in 0..2 {
                let at = (round + turn) % 2;
                scene.empty(&home);
                times[at].push(scene.time(&commands[at]));
            }
        }
        let [took, processors] = [0, 1].map(|which| {
            let of =
                |times: &Vec<[Duration; 2]>| median(times.iter().map(|it| it[which]).collect());
            times.each_ref().map(of)
        });
        let pair =
            |[ours, floor]: [Duration; 2]| format!("{:>8.2}ms {:>8.2}ms", ms(ours), ms(floor));
        let ratio = |[ours, floor]: [Duration; 2]| {
            format!("{:>5.2}x", ours.as_secs_f64() / floor.as_secs_f64())
        };
        let each = took.map(|time| time.as_secs_f64() * 1e6 / count as f64);
        println!(
            "{:<14} {} {} {:>8.1}us {:>8.1}us {} {}",
            format!("{count} profiles"),
            pair(took),
            ratio(took),
            each[0],
            each[1],
            pair(processors),
            ratio(processors),
        );
    }
}

struct Scene {
    container: Container,
}

impl Scene {
    fn home(&self, name: &str) -> PathBuf {
        self.container.volume().path().join(name)
    }

    /// A home with these profiles, which are to run; they are as after a clean end.
    fn make_home(&self, name: &str, profiles: &[String]) {
        for profile in profiles {
            let home = self.home(name).join("profiles").join(profile);
            fs::create_dir_all(&home).unwrap();
            fs::write(home.join("SOUL.md"), "A soul.\n").unwrap();
            let state = r#"{"gateway_state":"stopped","desired_state":"running"}"#;
            fs::write(home.join("gateway_state.json"), state).unwrap();
        }
    }

    fn ours(&self, home: &str, scandir: &str) -> Vec<String> {
        let home = format!("/opt/data/{home}");
        ["/command/hermes-gw", "--scandir", scandir, "--home", &home, "reconcile", "--boot"]
            .map(String::from)
            .into()
    }

    fn floor(&self, home: &str) -> Vec<String> {
        let home = format!("/opt/data/{home}");
        ["/floor", "make", SCANDIR, &home, TEMPLATES, TEMPLATE].map(String::from).into()
    }

    /// An empty scandir, and no boot log.
    fn empty(&self, home: &str) {
        let scandir = self.container.inside(SCANDIR);
        if scandir.exists() {
            fs::remove_dir_all(&scandir).unwrap();
        }
        fs::create_dir(scandir).unwrap();
        let log = self.home(home).join("logs/container-boot.log");
        if log.exists() {
            fs::remove_file(log).unwrap();
        }
    }

    fn time(&self, command: &[String]) -> [Duration; 2] {
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        inside::time(&self.container, &command)
    }

    /// Both are to make the same, links aside, and to take pid files away.
    fn compare(&self, home: &str, profiles: &[String], commands: &[Vec<String>; 2]) {
        let [ours, floor] = commands.each_ref().map(|command| {
            self.empty(home);
            let places: Vec<_> = profiles
                .iter()
                .flat_map(|it| PID_FILES.map(|file| format!("profiles/{it}/{file}")))
                .map(|place| self.home(home).join(place))
                .collect();
            for place in &places {
                fs::write(place, "{}").unwrap();
            }
            self.time(command);
            assert!(places.iter().all(|place| !place.exists()), "{command:?} left pid files");
            let log = fs::read_to_string(self.home(home).join("logs/container-boot.log")).unwrap();
            let lines: Vec<_> = log.lines().map(|line| line[24..].to_string()).collect();
            (tree(&self.container.inside(SCANDIR)), lines)
        });
        for (path, what) in &ours.0 {
            assert_eq!(floor.0.get(path), Some(what), "{path}");
        }
        assert_eq!(ours.0.len(), floor.0.len());
        assert_eq!(ours.1, floor.1, "the boot log");
        // 16 for each, one more for default, which is down, and the lock.
        assert_eq!(ours.0.len(), (profiles.len() + 1) * PARTS + 2);
    }
}

/// What a slot has, itself included, `down` aside.
const PARTS: usize = 17;

fn tree(dir: &Path) -> Tree {
    let mut find = Command::new("find");
    let find = find.arg(dir).args(["-mindepth", "1", "-printf", "%P\t%y %m %U %G\n"]);
    let list = run(find);
    let entry = |line: &str| {
        let (path, what) = line.split_once('\t').unwrap();
        let content = match what.starts_with('f') {
            true => fs::read_to_string(dir.join(path)).unwrap(),
            false => String::new(),
        };
        (path.to_string(), format!("{what} {content}"))
    };
    list.lines().map(entry).collect()
}
