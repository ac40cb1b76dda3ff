//! `doctor`: what is wrong here, why, and what to do about it.

use crate::cli::{Options, Verbosity};
use crate::error::{Error, Kind, Result};
use crate::gateway::slot;
use crate::hermes::container::Supervisor;
use crate::hermes::{
    home::{self, Homes},
    state_file,
};
use crate::manager::{self, Access};
use crate::model::backoff::Exit;
use crate::model::observation::{Report, State};
use crate::model::plan::Slot;
use crate::model::profile::{self, PREFIX, Profile};
use crate::render;
use crate::render::finding::{self, Finding, Severity};
use crate::s6::scandir::{self, ScanDir, Tree};
use crate::s6::service::Service;
use crate::s6::status;
use crate::settings::Settings;
use crate::sys::user;
use crate::sys::{self, Dir, Ids, Name};
use crate::text::{Shown, shell_word};
use std::time::Duration;

/// From so many deaths on, a gateway that is up is one that does not stay up.
const RESTLESS: usize = 3;
/// Less than this, in bytes, is a file system that is as good as full.
const LITTLE: u64 = 1 << 20;
/// What gateways need of the image, below /.
const PROGRAMS: [&str; 4] =
    ["command/hermes-gw", "command/with-contenv", "command/s6-setuidgid", "command/s6-log"];

/// All that the checks look at.
struct Doctor {
    settings: Settings,
    ids: Result<Ids>,
    scandir: ScanDir,
    /// Whether slots came or went while it was looked what there is.
    was_changing: bool,
    names: Vec<Name>,
    profiles: Vec<Profile>,
    reports: Vec<Report>,
}

/// A check: it adds what it has found; if that is nothing, what it returns is so.
type Check = fn(&Doctor, &mut Findings) -> String;

/// Who calls, and where: nobody else is told more. Names and checks.
const ENTITLED: [(&str, Check); 2] = [("s6", Doctor::s6), ("caller", Doctor::caller)];

/// What is looked at as who calls: s6's side.
const OUTSIDE: [(&str, Check); 10] = [
    ("user", Doctor::user),
    ("settings", Doctor::settings),
    ("image", Doctor::image),
    ("tree", Doctor::tree),
    ("scandir", Doctor::scandir),
    ("slots", Doctor::slots),
    ("capacity", Doctor::capacity),
    ("supervisors", Doctor::supervisors),
    ("leftovers", Doctor::leftovers),
    ("room", |it, findings| it.room(findings, it.scandir.dir())),
];

/// What is looked at as the gateways' user: the homes, and what comes of both.
const INSIDE: [(&str, Check); 3] =
    [("home", Doctor::home), ("profiles", Doctor::profiles), ("gateways", Doctor::gateways)];

/// What was found so far, and what is checked now.
struct Findings {
    check: &'static str,
    all: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, severity: Severity, text: String, remedy: &str) {
        let remedy = (!remedy.is_empty()).then(|| remedy.to_string());
        self.all.push(Finding { severity, check: self.check, text, remedy });
    }

    fn warn(&mut self, text: String, remedy: &str) {
        self.add(Severity::Warning, text, remedy);
    }

    fn fail(&mut self, text: String, remedy: &str) {
        self.add(Severity::Failure, text, remedy);
    }

    fn run(&mut self, doctor: &Doctor, checks: &[(&'static str, Check)]) {
        for (name, check) in checks {
            self.check = name;
            let before = self.all.len();
            let fine = check(doctor, self);
            if self.all.len() == before {
                self.add(Severity::Ok, fine, "");
            }
        }
    }
}

/// Runs the command: 1 if something fails, else 0.
pub fn run(options: &Options) -> Result<u8> {
    let mut findings = Findings { check: "s6", all: Vec::new() };
    match Doctor::new(options) {
        Ok(doctor) => examine(options, doctor, &mut findings),
        Err((why, remedy)) => findings.fail(why, remedy),
    }
    let is_bad = |finding: &&Finding| finding.severity != Severity::Ok;
    if options.json {
        render::say(&finding::json(&findings.all))?;
    } else {
        let colour = render::colours();
        let quiet = options.verbosity == Verbosity::Quiet;
        for finding in findings.all.iter().filter(|it| !quiet || is_bad(it)) {
            render::say(&finding::line(finding, colour))?;
        }
    }
    Ok(findings.all.iter().any(|it| it.severity == Severity::Failure).into())
}

fn examine(options: &Options, mut doctor: Doctor, findings: &mut Findings) {
    findings.run(&doctor, &ENTITLED);
    if findings.all.iter().any(|it| it.severity == Severity::Failure) {
        return;
    }
    findings.run(&doctor, &OUTSIDE);
    // What cannot be opened was told above.
    if let Ok(manager) = manager::open(options, Access::Read) {
        doctor.reports = manager.reports(&doctor.profiles).into_iter().flatten().collect();
    }
    // Root that cannot become the gateways' user keeps away from the homes.
    if !sys::is_root() {
        findings.run(&doctor, &INSIDE);
    }
}

impl Doctor {
    /// Opens what is to be looked at; if there is nothing, why, and what to do.
    fn new(options: &Options) -> std::result::Result<Doctor, (String, &'static str)> {
        match manager::detect(options) {
            Supervisor::S6 => {}
            Supervisor::Systemd => {
                return Err(("systemd supervises services here".into(), "hermes gateway"));
            }
            _ => return Err(("nothing supervises gateways here".into(), "hermes gateway run")),
        }
        let settings = Settings::read(options);
        let tree = settings.tree.as_ref().map_or(Tree::default(), |tree| *tree);
        let failed = |error: Box<Error>| (error.to_string(), "as root: hermes-gw reconcile --boot");
        let scandir = ScanDir::open(&settings.scandir, tree).map_err(failed)?;
        Ok(Doctor {
            ids: user::look_up(&settings.user),
            // Before the names, which are of no use then.
            was_changing: scandir.is_changing(),
            names: scandir.dir().names().map_err(failed)?,
            profiles: scandir.profiles().map_err(failed)?,
            reports: Vec::new(),
            settings,
            scandir,
        })
    }

    /// Whether slots come and go at this moment: half a slot is nobody's fault.
    fn is_changing(&self) -> bool {
        self.was_changing || self.scandir.is_changing()
    }

    fn s6(&self, _: &mut Findings) -> String {
        match Supervisor::detect() {
            Supervisor::S6 => "s6-svscan is PID 1".into(),
            other => format!("by --scandir; PID 1 is of {}", other.word()),
        }
    }

    /// Whether who calls may see and do what there is to see and do.
    fn caller(&self, findings: &mut Findings) -> String {
        let (own, user) = (sys::user_id(), Shown(&self.settings.user));
        if own != 0 && self.uid() != Some(own) {
            let why = format!("user {own} may neither look at gateways nor control them");
            findings.fail(why, &format!("docker exec -u {user}"));
        }
        if own == 0 { "root".into() } else { user.to_string() }
    }

    fn uid(&self) -> Option<u32> {
        self.ids.as_ref().ok().map(|ids| ids.uid)
    }

    fn user(&self, findings: &mut Findings) -> String {
        match &self.ids {
            Ok(ids) => format!("gateways run as {}, user {}", Shown(&self.settings.user), ids.uid),
            Err(error) => {
                findings.fail(error.to_string(), "HERMES_GW_USER=NAME");
                String::new()
            }
        }
    }

    fn settings(&self, findings: &mut Findings) -> String {
        for (flaw, fatal) in self.settings.flaws() {
            match fatal {
                true => findings.fail(flaw.into(), "hermes-gw help reconcile"),
                false => {
                    findings.warn(format!("{flaw}: the default counts"), "hermes-gw help finish")
                }
            }
        }
        "all can be read".into()
    }

    /// What gateways and boots need of the image.
    fn image(&self, findings: &mut Findings) -> String {
        let Ok(root) = Dir::open(b"/") else { return String::new() };
        for program in PROGRAMS {
            if !root.leads(program.as_bytes()) {
                findings.fail(format!("/{program} is not there"), "COPY it into the image");
            }
        }
        let entries = Dir::open(b"/etc/cont-init.d").and_then(|dir| dir.names());
        if !entries.unwrap_or_default().iter().any(|name| name.ends_with(b"-reconcile-profiles")) {
            let why = "nothing in /etc/cont-init.d makes slots when the container starts";
            findings.warn(why.into(), "COPY rootfs/ into the image");
        }
        // Where there is this bundle, s6-overlay goes by no other.
        let bundle = Dir::open(b"/etc/s6-overlay/s6-rc.d/user");
        let ours = root.leads(b"etc/s6-overlay/user-bundles.d/user/contents.d");
        if ours && bundle.is_ok_and(|it| !it.leads(b"contents.d/hermes-gateways")) {
            let why = "s6-overlay starts none of the services: its bundle `user` is without them";
            let remedy = "RUN cp -R /etc/s6-overlay/user-bundles.d/user/contents.d \
                /etc/s6-overlay/s6-rc.d/user/";
            findings.warn(why.into(), remedy);
        }
        "programs and boot entry are there".into()
    }

    /// The layout: that there is an s6-svscan, and only one for each gateway.
    fn tree(&self, findings: &mut Findings) -> String {
        let tree = self.scandir.tree();
        let path = Shown(self.scandir.dir().path());
        let (whose, restart, other) = match tree {
            Tree::Root => ("PID 1's", "docker restart", Tree::User),
            Tree::User => (
                "the gateways' user's own",
                "as root: /command/s6-svc -u /run/service/hermes-svscan",
                Tree::Root,
            ),
        };
        match self.scandir.is_scanned() {
            Ok(true) => {}
            Ok(false) => findings.fail(format!("no s6-svscan runs on {path}"), restart),
            Err(error) => findings.fail(error.to_string(), "as root: hermes-gw reconcile"),
        }
        let there = Dir::open(other.path().as_bytes()).and_then(|dir| dir.names());
        let elsewhere = other.path().as_bytes() != self.scandir.dir().path();
        for name in there.unwrap_or_default().iter().filter(|it| elsewhere && scandir::is_slot(it))
        {
            let why = format!("{} has {}, too: two may run", other.path(), Shown(name));
            let profile = shell_word(&name[PREFIX.len()..]);
            let (tree, at) = (other.word(), other.path());
            let remedy =
                format!("HERMES_GW_TREE={tree} hermes-gw --scandir {at} unregister {profile}");
            findings.fail(why, &remedy);
        }
        format!("{}: {whose}, {path}", tree.word())
    }

    /// Whose the scandir is.
    fn scandir(&self, findings: &mut Findings) -> String {
        let dir = self.scandir.dir();
        for name in [&b"."[..], b".s6-svscan/control"] {
            self.owned(findings, dir, name, "as root: hermes-gw reconcile");
        }
        "the gateways' user may add and remove slots".into()
    }

    /// Fails what is there and is not the gateways' user's.
    fn owned(&self, findings: &mut Findings, dir: &Dir, name: &[u8], remedy: &str) {
        let (Some(uid), Ok(Some(meta))) = (self.uid(), dir.look(name)) else { return };
        if meta.uid != uid {
            let path = if name == b"." { dir.path().to_vec() } else { dir.path_of(name) };
            let owner = meta.uid;
            let why = format!("{} belongs to user {owner}, not to user {uid}", Shown(&path));
            findings.fail(why, remedy);
        }
    }

    /// Whether all is there for the gateway of `profile` that s6-svscan starts.
    fn is_tended(&self, profile: &Profile) -> bool {
        let Ok(service) = Service::open(self.scandir.dir(), &profile.slot()) else { return true };
        service.is_supervised().unwrap_or(true) && has_logger(&service)
    }

    /// Whether each slot is one, and supervised with its logger.
    fn slots(&self, findings: &mut Findings) -> String {
        // A scan may be under way, as it is at the end of a boot. To hear of its end would take
        // FIFOs in event/, and doctor makes nothing.
        for _ in 0..40 {
            if self.profiles.iter().all(|profile| self.is_tended(profile)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let (dir, user) = (self.scandir.dir(), &self.settings.user);
        let mut sizes = Vec::new();
        for profile in &self.profiles {
            let name = profile.name();
            let path = dir.path_of(&profile.slot());
            let path = shell_word(&path);
            match slot::observe(dir, profile, user) {
                Slot::Absent => continue,
                Slot::Unusable(why) => {
                    findings
                        .fail(format!("{name}: {why}"), &format!("hermes-gw unregister {name}"));
                    continue;
                }
                Slot::Present { supervised: false, .. } if self.is_changing() => continue,
                Slot::Present { supervised: false, .. } => {
                    findings.fail(format!("{name}: nobody supervises it"), "hermes-gw reconcile");
                }
                Slot::Present { current: false, .. } if self.ids.is_ok() => {
                    let why = format!("{name}: its files are not those of this hermes-gw");
                    findings.warn(why, "hermes-gw reconcile");
                }
                Slot::Present { .. } => {}
            }
            let Ok(service) = Service::open(dir, &profile.slot()) else { continue };
            let remedy = format!("as root: chown -R {} {path}", Shown(user));
            self.owned(findings, service.dir(), b"supervise/control", &remedy);
            self.owned(findings, service.dir(), b"event", &remedy);
            if !has_logger(&service) && !self.is_changing() {
                let why =
                    format!("{name}: its logger is not up, and it hangs once it has said too much");
                findings.fail(why, &format!("/command/s6-svc -u {path}/log"));
            }
            let status = service.dir().look(status::FILE);
            sizes.extend(status.ok().flatten().map(|meta| meta.size));
        }
        sizes.sort_unstable();
        sizes.dedup();
        let s6 = match sizes[..] {
            [] => "no status yet",
            [35] => "s6 up to 2.12, or from 2.14 on, by its status of 35 bytes",
            [43] => "s6 2.13, by its status of 43 bytes",
            _ => {
                let sizes =
                    sizes.iter().map(|size| size.to_string()).collect::<Vec<_>>().join(", ");
                let why =
                    format!("status files of {sizes} bytes: not all are of one s6 that is known");
                findings.fail(why, "hermes-gw status");
                ""
            }
        };
        format!("{} gateways, each supervised, with a logger; {s6}", self.profiles.len())
    }

    /// Whether there is room for more.
    fn capacity(&self, findings: &mut Findings) -> String {
        let Ok(max) = self.settings.services_max else { return "is not known".into() };
        let capacity = self.scandir.capacity(&self.names, max);
        let slots = self.profiles.len();
        let used = format!("{slots} of {capacity} gateways that s6-svscan can hold");
        let remedy = match self.scandir.tree() {
            Tree::Root => "HERMES_GW_TREE=user",
            Tree::User => "HERMES_GW_SERVICES_MAX=NUMBER",
        };
        if slots >= capacity {
            findings.fail(format!("{used}: there is no room for another"), remedy);
        } else if slots * 10 >= capacity * 9 {
            findings.warn(format!("{used}: there is little room"), remedy);
        }
        // A control FIFO, an event FIFO and a status each.
        let descriptors = 3 * slots + 32;
        if sys::descriptor_limit() < descriptors {
            let why = format!(
                "{slots} gateways at once need {descriptors} descriptors, more than allowed"
            );
            findings.warn(why, "docker run --ulimit nofile=65536");
        }
        used
    }

    /// Whether there are supervisors without a slot.
    fn supervisors(&self, findings: &mut Findings) -> String {
        let proc = Dir::open(b"/proc");
        let pids = proc.as_ref().ok().and_then(|proc| proc.names().ok()).unwrap_or_default();
        let mut count = 0;
        for pid in pids.iter().filter(|pid| pid[0].is_ascii_digit()) {
            let Ok(proc) = &proc else { break };
            let cmdline = proc.read(&[pid, &b"/cmdline"[..]].concat(), 1024).unwrap_or_default();
            let mut args = cmdline.split(|&byte| byte == 0);
            let is_supervisor = args.next().is_some_and(|it| it.ends_with(b"s6-supervise"));
            let Some(name) = args.next().filter(|it| is_supervisor && scandir::is_slot(it)) else {
                continue;
            };
            count += 1;
            // Where it is, if this user may know; else there is a slot, at least.
            let at = proc.link(&[pid, &b"/cwd"[..]].concat());
            let is_here =
                self.scandir.dir().leads(name) && at.map_or(true, |at| at.ends_with(name));
            if !is_here && !self.is_changing() {
                let why = format!(
                    "process {} supervises {}, which is no slot any more",
                    Shown(pid),
                    Shown(name)
                );
                findings.fail(why, "hermes-gw reconcile --prune");
            }
        }
        format!("{count}, each on its slot")
    }

    fn leftovers(&self, findings: &mut Findings) -> String {
        if self.is_changing() {
            return "not looked at: another hermes-gw changes the scandir".into();
        }
        for name in &self.names {
            let is_named = |profile: &Profile| profile.slot()[..] == name[..];
            if scandir::is_slot(name) && !self.profiles.iter().any(is_named) {
                let path = self.scandir.dir().path_of(name);
                let why = format!("{} is no slot of a gateway", Shown(&path));
                findings.fail(why, &format!("rm -r {}", shell_word(&path)));
            }
            if profile::is_staging(name) || profile::is_leaving(name) {
                let path = self.scandir.dir().path_of(name);
                let why = format!("{} was left by a call that was killed", Shown(&path));
                findings.warn(why, "hermes-gw reconcile");
            }
        }
        "none in the scandir".into()
    }

    /// Whether there is room in the file system of `dir`.
    fn room(&self, findings: &mut Findings, dir: &Dir) -> String {
        let path = Shown(dir.path());
        match dir.room() {
            Ok((bytes, files)) => {
                if bytes < LITTLE || files.is_some_and(|files| files < 100) {
                    let files = files.map_or(String::new(), |files| format!(" and {files} files"));
                    let why = format!("{path} has room for {bytes} bytes{files}: states are lost");
                    findings.fail(why, &format!("df -a {}", shell_word(dir.path())));
                }
                format!("{path} has {} MiB left", bytes >> 20)
            }
            Err(error) => {
                findings.fail(error.to_string(), "");
                String::new()
            }
        }
    }

    /// Whether the home can be used, and the logs in it.
    fn home(&self, findings: &mut Findings) -> String {
        let root = home::root_of(&self.settings.home);
        let home = match Dir::open(root) {
            Ok(home) => home,
            Err(error) => {
                findings.fail(error.to_string(), "HERMES_HOME=DIR");
                return String::new();
            }
        };
        if let Err(error) = home::profiles(&home) {
            findings.fail(error.to_string(), &format!("ls -ld {}/profiles", shell_word(root)));
        }
        let remedy =
            format!("as root: chown -R {} {}", Shown(&self.settings.user), shell_word(root));
        for name in [&b"."[..], b"logs", b"logs/gateways"] {
            self.owned(findings, &home, name, &remedy);
        }
        self.room(findings, &home)
    }

    /// Slots against profiles.
    fn profiles(&self, findings: &mut Findings) -> String {
        let root = home::root_of(&self.settings.home);
        // What keeps it from being opened was told above.
        let (Ok((known, unusable)), Ok(homes)) = (home::all(root), Homes::open(root)) else {
            return "not looked at".into();
        };
        for (name, why) in unusable {
            let path = [root, b"/profiles/", &name].concat();
            // Not over what is there: a link can be called anything.
            let remedy = format!("mv -n {} {}", shell_word(&path), shell_word(root));
            findings.warn(format!("{}: {why}", Shown(&path)), &remedy);
        }
        for profile in &known {
            let name = profile.name();
            if !self.profiles.contains(profile) {
                let why = format!("{name}: a profile without a slot");
                findings.warn(why, &format!("hermes-gw register --down {name}"));
            }
            let prior = homes.of(profile).map(|home| state_file::read_prior(&home));
            match prior {
                Ok((_, Some(error))) if error.kind != Kind::Missing => {
                    // Either writes it anew; what is so now is what is least of a surprise.
                    let up = |it: &Report| it.profile == *profile && it.state == State::Up;
                    let verb = if self.reports.iter().any(up) { "start" } else { "stop" };
                    findings.warn(error.to_string(), &format!("hermes-gw {verb} {name}"));
                }
                _ => {}
            }
        }
        for profile in self.profiles.iter().filter(|it| !known.contains(it)) {
            let name = profile.name();
            let why = format!("{name}: a slot without a profile");
            findings.warn(why, &format!("hermes-gw unregister {name}"));
        }
        format!("{}, each with a slot and a state file that can be read", known.len())
    }

    /// Whether each gateway does what it is meant to do.
    fn gateways(&self, findings: &mut Findings) -> String {
        let mut up = 0;
        for report in &self.reports {
            let name = report.profile.name();
            let text = format!("{name}: {}", report.text());
            let log = format!("hermes-gw logs {name}");
            match (report.state, report.last_exit) {
                (State::Parked, Some(Exit::Code(0))) => {
                    findings.warn(text, &format!("hermes-gw start {name}"));
                }
                (State::Parked | State::BackingOff, _) => findings.fail(text, &log),
                (State::Unreadable, _) => {
                    // s6-supervise writes its status anew for any letter, and this does no harm.
                    let slot = self.scandir.dir().path_of(&report.profile.slot());
                    findings.fail(text, &format!("/command/s6-svc -c {}", shell_word(&slot)));
                }
                _ if report.deaths >= RESTLESS => findings.warn(text, &log),
                _ if !report.is_well() && report.state == State::Down => {
                    findings.warn(text, &format!("hermes-gw start {name}"));
                }
                _ if report.paused => {
                    findings.warn(text, &format!("hermes-gw signal CONT {name}"));
                }
                _ => {}
            }
            up += usize::from(report.state == State::Up);
        }
        format!("{up} up, the others down as they are meant to be")
    }
}

/// Whether what `service` says goes somewhere.
fn has_logger(service: &Service) -> bool {
    let logs = || service.logger().and_then(|it| Ok(it.is_supervised()? && it.status()?.is_up()));
    logs().unwrap_or(false)
}
