//! Made-up homes of Hermes, odd ones among them: drawn by chance, laid on disk, printed, and
//! made simpler.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// Chance that can be repeated: SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True so many times in a hundred.
    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// What stands at a path, if anything.
#[derive(Clone, PartialEq)]
pub enum Node {
    Absent,
    File(Vec<u8>),
    /// A file that its owner may not read.
    Locked(Vec<u8>),
    /// A link to a file with this content, elsewhere.
    Link(Vec<u8>),
    /// A link that leads nowhere.
    Dangling,
    Directory,
    Fifo,
}

/// The home of a profile.
#[derive(Clone, PartialEq)]
pub struct Home {
    pub soul: Node,
    pub state: Node,
    pub lifecycle: Node,
    pub pid_file: Node,
    pub processes: Node,
    /// What was left in the logs and locks, and is nobody's business.
    pub leftovers: bool,
    pub mode: u32,
}

/// An entry of `profiles/`.
#[derive(Clone, PartialEq)]
pub enum Entry {
    Home(Home),
    /// A link to a home elsewhere.
    Link(Home),
    /// A link to the home of this name, which is one of the entries.
    Same(Vec<u8>),
    /// A link to the root home.
    Root,
    Dangling,
    /// A link to itself.
    Loop,
    /// A link to a file.
    ToFile,
    File,
}

/// What `profiles` is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Profiles {
    Directory,
    Absent,
    Link,
    Dangling,
    /// A link to itself.
    Loop,
    File,
    /// A directory that its owner may not read.
    Locked,
}

/// What there is to write the boot log to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Logs {
    Absent,
    /// A log that is there, with an older line.
    Older,
    /// One of the size at which it is renamed.
    Full,
    /// `logs` is a file.
    File,
    /// `logs` is a link to a directory elsewhere.
    Link,
    /// The log is a directory.
    LogIsDirectory,
    /// The log is a link to a file elsewhere.
    LogIsLink,
    /// The log is a FIFO.
    LogIsFifo,
}

/// A volume and the container that it is met by.
#[derive(Clone, PartialEq)]
pub struct Case {
    /// The container's main program.
    pub main: &'static [&'static str],
    pub multiplex: Option<&'static str>,
    pub no_supervise: Option<&'static str>,
    /// The root home's `.env` and `config.yaml`.
    pub dotenv: Option<&'static str>,
    pub config: Option<&'static str>,
    pub root: Home,
    pub logs: Logs,
    pub profiles: Profiles,
    /// By name, each once.
    pub entries: Vec<(Vec<u8>, Entry)>,
}

const TRUE: [&str; 6] = ["1", "true", "yes", "on", " TRUE ", "On\t"];
const OTHER: [&str; 7] = ["0", "false", "no", "off", "", "  ", "maybe"];
const DOTENV: [&str; 9] = [
    "GATEWAY_MULTIPLEX_PROFILES=true\n",
    "# tokens\nTOKEN=x\nGATEWAY_MULTIPLEX_PROFILES=\"1\"\n",
    "export GATEWAY_MULTIPLEX_PROFILES=yes\n",
    "GATEWAY_MULTIPLEX_PROFILES='on' # one for all\nTOKEN=x",
    "TEXT=\"a\nb\"\nGATEWAY_MULTIPLEX_PROFILES = 1\n",
    "GATEWAY_MULTIPLEX_PROFILES=true\nGATEWAY_MULTIPLEX_PROFILES=off\n",
    "GATEWAY_MULTIPLEX_PROFILES=false\n",
    "GATEWAY_MULTIPLEX_PROFILES=\n",
    "TOKEN=x\n",
];
const CONFIG: [&str; 12] = [
    "multiplex_profiles: true\n",
    "gateway:\n  # one for all\n  multiplex_profiles: true\n",
    "gateway: {multiplex_profiles: on}\n",
    "model: x\ngateway:\n  other: 1\n  multiplex_profiles: \"yes\"\n",
    "---\ntext: 'it''s # one'\n\"multiplex_profiles\": Yes # for all\n",
    "gateway: {other: {a: b}, 'multiplex_profiles': true}\n",
    "list:\n- multiplex_profiles: true\ntext: |\n  gateway:\n    multiplex_profiles: true\n",
    "multiplex_profiles: false\ngateway: {multiplex_profiles: true}\n",
    "multiplex_profiles: false\n",
    "gateway:\n  multiplex_profiles: off\n",
    "model: x\n",
    "",
];
const WORDS: [&str; 8] = [
    "running",
    "running",
    "stopped",
    "draining",
    "degraded",
    "starting",
    "startup_failed",
    "hibernating",
];
/// Values of a state that are no word that Hermes writes.
const ODD: [&str; 16] = [
    "null",
    "null",
    "\"\"",
    "\"Running\"",
    "\"runn\\u0069ng\"",
    "\"a b\\nprofile=x action=started\"",
    "\"schl\u{e4}ft\"",
    "\"0123456789012345678901234567890123456789\"",
    "\"\\ud800\"",
    "\"None\"",
    "7",
    "-1.5e3",
    "true",
    "NaN",
    "[\"running\"]",
    "{\"running\": 1}",
];
const NAMES: [&str; 10] =
    ["a", "coder", "writer", "0", "9-", "x__", "a-b_c", "default2", "team-blue", "zz"];
const ODD_NAMES: [&[u8]; 15] = [
    b"Coder",
    b"-a",
    b"_a",
    b"a.b",
    b".hidden",
    b"a b",
    b"b\n",
    b"b\nc",
    b"\xffx",
    "\u{e9}t\u{e9}".as_bytes(),
    b"default",
    b"default",
    b"gateway-a:",
    b"--help",
    b"$(id)",
];

/// A case of the containers that were started as `main`.
pub fn any_case(dice: &mut Dice, main: &'static [&'static str]) -> Case {
    let some =
        |dice: &mut Dice, chance, of: &[&'static str]| dice.percent(chance).then(|| dice.pick(of));
    let entries = match dice.below(20) {
        0 => 0,
        _ => dice.below(7),
    };
    let mut case = Case {
        main,
        multiplex: match dice.below(10) {
            0..=1 => Some(dice.pick(&TRUE)),
            2..=3 => Some(dice.pick(&OTHER)),
            _ => None,
        },
        no_supervise: some(dice, 10, &["1", "TRUE", "yes", "0", "", " 1", "on"]),
        dotenv: some(dice, 10, &DOTENV),
        config: some(dice, 15, &CONFIG),
        root: any_root(dice, main),
        logs: match dice.below(100) {
            0..=29 => Logs::Older,
            30..=31 => Logs::Full,
            32 => Logs::File,
            33 => Logs::Link,
            34 => Logs::LogIsDirectory,
            35 => Logs::LogIsLink,
            36 => Logs::LogIsFifo,
            _ => Logs::Absent,
        },
        profiles: match dice.below(100) {
            0 => Profiles::Absent,
            1 => Profiles::Link,
            2 => Profiles::Dangling,
            3 => Profiles::File,
            4 => Profiles::Locked,
            5 => Profiles::Loop,
            _ => Profiles::Directory,
        },
        entries: Vec::new(),
    };
    while case.entries.len() < entries {
        let name = any_name(dice);
        if case.entries.iter().all(|(known, _)| *known != name) {
            let entry = match dice.below(60) {
                0 => Entry::Link(any_home(dice)),
                1 => Entry::Dangling,
                2 => Entry::File,
                3 => Entry::Loop,
                4 => Entry::ToFile,
                5 => Entry::Root,
                6 | 7 if matches!(case.entries.last(), Some((_, Entry::Home(_)))) => {
                    Entry::Same(case.entries.last().unwrap().0.clone())
                }
                _ => Entry::Home(any_home(dice)),
            };
            case.entries.push((name, entry));
        }
    }
    case.entries.sort_by(|a, b| a.0.cmp(&b.0));
    case
}

fn any_name(dice: &mut Dice) -> Vec<u8> {
    match dice.below(30) {
        0 => dice.pick(&ODD_NAMES).to_vec(),
        1 => vec![b'l'; dice.pick(&[240, 242, 243, 244, 247, 248, 251, 252, 255])],
        2..=8 => format!("p{}", dice.below(1000)).into_bytes(),
        _ => dice.pick(&NAMES).into(),
    }
}

/// The root home: nothing could be done at all in one that may not be entered.
fn any_root(dice: &mut Dice, main: &[&str]) -> Home {
    let mut home = any_home(dice);
    let read_only = if main.contains(&"run") { 10 } else { 4 };
    home.mode = if dice.percent(read_only) { 0o555 } else { 0o755 };
    if main.contains(&"run") && dice.percent(40) {
        home.state = Node::Absent;
    }
    home
}

fn any_home(dice: &mut Dice) -> Home {
    let pid = |dice: &mut Dice| match dice.below(100) {
        0..=39 => Node::File(b"{\"pid\": 7}".to_vec()),
        40 => Node::Link(b"7".to_vec()),
        41 => Node::Dangling,
        42 => Node::Fifo,
        43 => Node::Directory,
        _ => Node::Absent,
    };
    let state = any_state(dice);
    Home {
        soul: match dice.below(100) {
            0..=4 => Node::Absent,
            5..=8 => Node::File(Vec::new()),
            9 => Node::Directory,
            10 => Node::Link(b"A soul.\n".to_vec()),
            11 => Node::Dangling,
            12 => Node::Fifo,
            13 => Node::Locked(b"A soul.\n".to_vec()),
            _ => Node::File(b"A soul.\n".to_vec()),
        },
        state: any_node(dice, state),
        lifecycle: {
            let record = any_record(dice);
            any_node(dice, record)
        },
        pid_file: pid(dice),
        processes: pid(dice),
        leftovers: dice.percent(20),
        mode: match dice.below(100) {
            0 => 0o555,
            1 => 0,
            2..=4 => 0o700,
            _ => 0o755,
        },
    }
}

/// A file with `content`, most times.
fn any_node(dice: &mut Dice, content: Vec<u8>) -> Node {
    match dice.below(100) {
        0..=14 => Node::Absent,
        15 => Node::Locked(content),
        16 | 17 => Node::Link(content),
        18 => Node::Dangling,
        19 => Node::Directory,
        20 => Node::Fifo,
        _ => Node::File(content),
    }
}

fn any_record(dice: &mut Dice) -> Vec<u8> {
    let record = match dice.below(8) {
        0..=2 => r#"{"phase":"exited","pid":7,"exit_code":0,"exit_reason":null}"#,
        3 | 4 => r#"{"pid": 7, "phase": "running"}"#,
        5 => r#"{"phase":"running","phase":"exited"}"#,
        6 => r#"{"phase":["exited"],"x":{"phase":"running"}}"#,
        _ => r#"{"phase":"asleep"}"#,
    };
    damaged(dice, record.into())
}

/// A state file's content, as a gateway writes it, or not.
fn any_state(dice: &mut Dice) -> Vec<u8> {
    let mut members: Vec<String> = Vec::new();
    let key = |dice: &mut Dice, chance, key: &str| {
        let value = if dice.percent(8) {
            dice.pick(&ODD).to_string()
        } else {
            format!("\"{}\"", dice.pick(&WORDS))
        };
        let member = if dice.percent(3) {
            format!("\"\\u{:04x}{}\": {value}", key.as_bytes()[0], &key[1..])
        } else {
            format!("\"{key}\": {value}")
        };
        dice.percent(chance).then_some(member)
    };
    members.extend(key(dice, 85, "gateway_state"));
    members.extend(key(dice, 45, "desired_state"));
    members.extend(key(dice, 4, "desired_state"));
    members.extend(key(dice, 4, "gateway_state"));
    for member in [
        r#""kind": "hermes-gateway", "pid": 77, "argv": ["hermes", "-p", "x"]"#,
        r#""platforms": {"telegram": {"state": "connected", "desired_state": "stopped"}}"#,
        r#""active_work": {"a": {"b": [1, {"c": 2.5e-3}]}}, "served_profiles": []"#,
        r#""updated_at": 1750000000, "exit_reason": null, "restart_requested": false"#,
        r#""note": "\u00e9 \ud83d\ude00 \"quoted\"", "x": [Infinity, -Infinity]"#,
    ] {
        if dice.percent(30) {
            members.insert(dice.below(members.len() + 1), member.into());
        }
    }
    let between = dice.pick(&[", ", ",", ",\n  ", ",\r\n\t"]);
    match dice.below(150) {
        0 => members.insert(0, format!("\"deep\": {}{}", "[".repeat(400), "]".repeat(400))),
        1 => members.insert(0, format!("\"deep\": {}{}", "[".repeat(3000), "]".repeat(3000))),
        2 => members.insert(0, format!("\"long\": {}", "7".repeat(5000))),
        3 => members.push(format!("\"large\": \"{}\"", "x".repeat(1 << 20))),
        4 => members.push(format!("\"large\": \"{}\"", "x".repeat(1 << 19))),
        _ => {}
    }
    let text = format!("{{{}}}{}", members.join(between), dice.pick(&["", "\n"]));
    damaged(dice, text.into_bytes())
}

/// The content, or what mishaps make of it.
fn damaged(dice: &mut Dice, mut content: Vec<u8>) -> Vec<u8> {
    match dice.below(80) {
        0 | 1 => content.truncate(dice.below(content.len() + 1)),
        2 => content.clear(),
        3 => content.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
        4 => {
            let at = dice.below(content.len());
            content[at] = 0xff;
        }
        5 => {
            let at = dice.below(content.len());
            content[at] = dice.below(128) as u8;
        }
        6 => content.extend(b" x"),
        7 => content = [b"[", &content[..], b"]"].concat(),
        8 => content = dice.pick(&[&b"null"[..], b"\"running\"", b"7", b" \n"]).to_vec(),
        _ => {}
    }
    content
}

impl Case {
    /// The environment that both are run in, besides what tells them where.
    pub fn environment(&self) -> Vec<(&'static str, &'static str)> {
        let set = [
            ("GATEWAY_MULTIPLEX_PROFILES", self.multiplex),
            ("HERMES_GATEWAY_NO_SUPERVISE", self.no_supervise),
        ];
        set.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The home of the profile called `name`, however it is reached.
    pub fn home(&self, name: &[u8]) -> Option<&Home> {
        match self.entry(name) {
            Some(Entry::Home(home) | Entry::Link(home)) => Some(home),
            Some(Entry::Same(other)) => self.home(other),
            Some(Entry::Root) => Some(&self.root),
            Some(_) => None,
            None => (name == b"default").then_some(&self.root),
        }
    }

    /// What tells the directory of the profile called `name` from others.
    fn directory<'a>(&'a self, name: &'a [u8]) -> &'a [u8] {
        match self.entry(name) {
            Some(Entry::Same(other)) => other,
            Some(Entry::Root) => b"default",
            _ => name,
        }
    }

    /// Whether a profile before `name` has the same directory: `is_valid` says which names are
    /// those of profiles.
    pub fn is_twin(&self, name: &[u8], is_valid: fn(&[u8]) -> bool) -> bool {
        let directory = self.directory(name);
        let is_before = |it: &[u8]| it < name && it != b"default" && is_valid(it);
        let mut others = self.entries.iter().filter(|(it, _)| is_before(it));
        self.home(name).is_some()
            && name != b"default"
            && (directory == b"default" || others.any(|(it, _)| self.directory(it) == directory))
    }

    /// The entry of `profiles/` called `name`, but for `default`, which is the root profile's.
    pub fn entry(&self, name: &[u8]) -> Option<&Entry> {
        if name == b"default" {
            return None;
        }
        self.entries.iter().find(|(known, _)| known == name).map(|(_, entry)| entry)
    }

    /// Lays it out in `dir`, which is there and empty, as a `home` and what links lead to.
    pub fn lay(&self, dir: &Path) {
        let (home, elsewhere) = (dir.join("home"), dir.join("elsewhere"));
        fs::create_dir_all(&elsewhere).unwrap();
        let mut root = self.root.clone();
        root.leftovers &= !matches!(self.logs, Logs::File | Logs::Link);
        lay_home(&home, &root, &elsewhere.join("root"), "../elsewhere/root");
        self.lay_policy(&home);
        let (logs, log) = (home.join("logs"), home.join("logs/container-boot.log"));
        let is_there = !matches!(self.logs, Logs::Absent | Logs::File | Logs::Link);
        if is_there {
            fs::create_dir_all(&logs).unwrap();
        }
        match self.logs {
            Logs::Absent => {}
            Logs::Older => fs::write(&log, "an older line\n").unwrap(),
            Logs::Full => fs::write(&log, "an older line\n".repeat(20_000)).unwrap(),
            Logs::File => fs::write(&logs, "").unwrap(),
            Logs::Link => {
                fs::create_dir(elsewhere.join("logs")).unwrap();
                symlink("../elsewhere/logs", &logs).unwrap();
            }
            Logs::LogIsDirectory => fs::create_dir(&log).unwrap(),
            Logs::LogIsLink => {
                fs::write(elsewhere.join("log"), "").unwrap();
                symlink("../../elsewhere/log", &log).unwrap();
            }
            Logs::LogIsFifo => make_fifo(&log),
        }
        let profiles = home.join("profiles");
        let real = match self.profiles {
            Profiles::Directory | Profiles::Locked => profiles.clone(),
            Profiles::Link | Profiles::Dangling | Profiles::Loop => elsewhere.join("profiles"),
            Profiles::Absent | Profiles::File => {
                if self.profiles == Profiles::File {
                    fs::write(profiles, "").unwrap();
                }
                return self.close(&home);
            }
        };
        fs::create_dir_all(&real).unwrap();
        for (at, (name, entry)) in self.entries.iter().enumerate() {
            let at = at.to_string();
            // From a home below profiles/, in the home or elsewhere.
            let path = real.join(OsStr::from_bytes(name));
            let leads = format!("../../../elsewhere/{at}");
            match entry {
                Entry::Home(home) => lay_home(&path, home, &elsewhere.join(&at), &leads),
                Entry::Link(home) => {
                    // Three levels down too, for the links in it.
                    let target = elsewhere.join("homes").join(&at);
                    lay_home(&target, home, &elsewhere.join(&at), &leads);
                    symlink(format!("../../elsewhere/homes/{at}"), &path).unwrap();
                }
                // By a link of the same name as the entry, from any directory of profiles.
                Entry::Same(other) => symlink(OsStr::from_bytes(other), &path).unwrap(),
                Entry::Root => symlink("../../home", &path).unwrap(),
                Entry::Dangling => symlink("nowhere", &path).unwrap(),
                Entry::Loop => symlink(OsStr::from_bytes(name), &path).unwrap(),
                Entry::ToFile => {
                    fs::write(elsewhere.join("file"), "").unwrap();
                    symlink("../../elsewhere/file", &path).unwrap();
                }
                Entry::File => fs::write(&path, "").unwrap(),
            }
        }
        match self.profiles {
            Profiles::Link => symlink("../elsewhere/profiles", profiles).unwrap(),
            Profiles::Dangling => symlink("../elsewhere/none", profiles).unwrap(),
            Profiles::Loop => symlink("profiles", profiles).unwrap(),
            Profiles::Locked => {
                fs::set_permissions(profiles, Permissions::from_mode(0o000)).unwrap()
            }
            _ => {}
        }
        self.close(&home);
    }

    fn close(&self, home: &Path) {
        fs::set_permissions(home, Permissions::from_mode(self.root.mode)).unwrap();
    }

    /// The files of the root home that decide for one gateway or for many.
    pub fn lay_policy(&self, home: &Path) {
        for (name, content) in [(".env", self.dotenv), ("config.yaml", self.config)] {
            if let Some(content) = content {
                fs::write(home.join(name), content).unwrap();
            }
        }
    }

    /// Cases that are a little simpler, to find what a difference is about.
    pub fn simpler(&self) -> Vec<Case> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut Case)| {
            let mut case = self.clone();
            change(&mut case);
            all.push(case);
        };
        for at in 0..self.entries.len() {
            with(&|case| {
                let (gone, _) = case.entries.remove(at);
                for (_, entry) in &mut case.entries {
                    if *entry == Entry::Same(gone.clone()) {
                        *entry = Entry::Dangling;
                    }
                }
            });
        }
        with(&|case| (case.multiplex, case.no_supervise) = (None, None));
        with(&|case| (case.dotenv, case.config) = (None, None));
        with(&|case| case.logs = Logs::Absent);
        with(&|case| case.profiles = Profiles::Directory);
        let simplest = Home {
            soul: Node::File(b"A soul.\n".to_vec()),
            state: Node::Absent,
            lifecycle: Node::Absent,
            pid_file: Node::Absent,
            processes: Node::Absent,
            leftovers: false,
            mode: 0o755,
        };
        let parts: [fn(&mut Home, &Home); 7] = [
            |home, simple| home.soul = simple.soul.clone(),
            |home, simple| home.state = simple.state.clone(),
            |home, simple| home.lifecycle = simple.lifecycle.clone(),
            |home, simple| home.pid_file = simple.pid_file.clone(),
            |home, simple| home.processes = simple.processes.clone(),
            |home, _| home.leftovers = false,
            |home, simple| home.mode = simple.mode,
        ];
        for part in parts {
            with(&|case| part(&mut case.root, &simplest));
            for at in 0..self.entries.len() {
                with(&|case| {
                    if let Entry::Home(home) | Entry::Link(home) = &mut case.entries[at].1 {
                        part(home, &simplest);
                    }
                });
            }
        }
        all.retain(|case| case != self);
        all
    }
}

/// Lays a home at `path`; what its links lead to goes to `elsewhere`, which is `leads` from it.
fn lay_home(path: &Path, home: &Home, elsewhere: &Path, leads: &str) {
    fs::create_dir_all(path.join("state")).unwrap();
    fs::create_dir_all(elsewhere).unwrap();
    for (name, node) in home.nodes() {
        let path = path.join(name);
        let (outside, up) = (name.replace('/', "-"), "../".repeat(name.matches('/').count()));
        match node {
            Node::Absent => {}
            Node::File(content) => fs::write(path, content).unwrap(),
            Node::Locked(content) => {
                fs::write(&path, content).unwrap();
                fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
            }
            Node::Link(content) => {
                fs::write(elsewhere.join(&outside), content).unwrap();
                symlink(format!("{up}{leads}/{outside}"), path).unwrap();
            }
            Node::Dangling => symlink(format!("{up}{leads}/none-{outside}"), path).unwrap(),
            Node::Directory => fs::create_dir(path).unwrap(),
            Node::Fifo => make_fifo(&path),
        }
    }
    if home.leftovers {
        fs::create_dir_all(path.join("logs/gateways/x")).unwrap();
        for name in [
            "gateway.lock",
            ".clean_shutdown",
            ".gateway-planned-stop.json",
            "logs/gateways/x/lock",
        ] {
            fs::write(path.join(name), "").unwrap();
        }
    }
    fs::set_permissions(path, Permissions::from_mode(home.mode)).unwrap();
}

fn make_fifo(path: &Path) {
    crate::support::run(Command::new("mkfifo").arg(path));
}

impl Home {
    /// Its files by their names.
    fn nodes(&self) -> [(&'static str, &Node); 5] {
        [
            ("SOUL.md", &self.soul),
            ("gateway_state.json", &self.state),
            ("state/gateway.lifecycle.json", &self.lifecycle),
            ("gateway.pid", &self.pid_file),
            ("processes.json", &self.processes),
        ]
    }
}

/// Bytes as a person reads them, with their number where they are many.
fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.get(..600) {
        Some(start) => format!("{start}... ({} bytes)", bytes.len()),
        None => text,
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Absent => f.write_str("absent"),
            Node::File(content) => write!(f, "file: {}", shown(content)),
            Node::Locked(content) => write!(f, "file, mode 000: {}", shown(content)),
            Node::Link(content) => write!(f, "link to a file: {}", shown(content)),
            Node::Dangling => f.write_str("link to nowhere"),
            Node::Directory => f.write_str("directory"),
            Node::Fifo => f.write_str("FIFO"),
        }
    }
}

/// The whole case, as a tree.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = |f: &mut fmt::Formatter<'_>, start: &str, home: &Home| {
            writeln!(f, "{start} mode {:03o}, leftovers: {}", home.mode, home.leftovers)?;
            home.nodes().into_iter().filter(|(_, node)| **node != Node::Absent).try_for_each(
                |(name, node)| writeln!(f, "{}  {name}  {node}", &start[..start.len().min(2)]),
            )
        };
        writeln!(f, "main program: {:?}; environment: {:?}", self.main, self.environment())?;
        home(f, "/", &self.root)?;
        for (name, content) in [(".env", self.dotenv), ("config.yaml", self.config)] {
            if let Some(content) = content {
                writeln!(f, "/  {name}  file: {}", shown(content.as_bytes()))?;
            }
        }
        writeln!(f, "/  logs: {:?}; profiles: {:?}", self.logs, self.profiles)?;
        for (name, entry) in &self.entries {
            let mut start = String::from("  ");
            write!(start, "profiles/{}", shown(name))?;
            match entry {
                Entry::Home(it) => home(f, &start, it)?,
                Entry::Link(it) => home(f, &format!("{start}, by a link,"), it)?,
                Entry::Same(name) => writeln!(f, "{start}  link to {}", shown(name))?,
                Entry::Root => writeln!(f, "{start}  link to the root home")?,
                Entry::Dangling => writeln!(f, "{start}  link to nowhere")?,
                Entry::Loop => writeln!(f, "{start}  link to itself")?,
                Entry::ToFile => writeln!(f, "{start}  link to a file")?,
                Entry::File => writeln!(f, "{start}  file")?,
            }
        }
        Ok(())
    }
}
