//! What is looked at outside of the homes: the image, and s6's side.

use super::{Doctor, Findings, Logger, Tended};
use crate::error::{Errors, Kind, Result};
use crate::gateway::slots::{self, is_slot};
use crate::hermes::container::{self, PROC, Supervisor};
use crate::model::plan::MAIN_IS_DEFAULT;
use crate::model::profile::{self, PREFIX, Profile};
use crate::model::tree::Tree;
use crate::s6::service::Service;
use crate::sys::dir::Dir;
use crate::sys::{MORE_DESCRIPTORS, Name, descriptor_limit, identity, if_there};
use crate::text::{Shown, parts, shell_word};

/// Less than this, in bytes, is a file system that is as good as full.
const LITTLE: u64 = 1 << 20;
/// What gateways need of the image, below /.
const PROGRAMS: &str = "command/hermes-gw command/with-contenv command/s6-setuidgid command/s6-log";

/// Where what s6-overlay runs when the container starts is.
pub(super) const BOOT_SCRIPTS: &str = "/etc/cont-init.d";

/// What is wrong with settings instead of which defaults count.
pub(super) fn warn_of_settings(findings: &mut Findings, flaws: &Errors) {
    for flaw in flaws {
        findings.warn(format_args!("{flaw}"), format_args!("man hermes-gw"));
    }
}

impl Doctor<'_> {
    pub(super) fn s6(&self, findings: &mut Findings) -> String {
        match Supervisor::detect(PROC) {
            Ok(Supervisor::S6) => match self.context.main_is_default() {
                Ok(true) => String::from("s6-svscan is PID 1; default: ") + MAIN_IS_DEFAULT,
                Ok(false) => "s6-svscan is PID 1".into(),
                Err(error) => {
                    findings.warn(format_args!("{error}"), format_args!("mount /proc"));
                    String::new()
                }
            },
            Ok(other) => format!("assumed by --scandir; here is {}", other.word()),
            Err(error) => format!("by --scandir; {error}"),
        }
    }

    /// Whether who calls may see and do anything of what there is to see and do.
    pub(super) fn caller(&self, findings: &mut Findings) -> String {
        let own = identity::user_id();
        if own == 0 {
            return "root".into();
        }
        // What is kept from the gateways' user is told one by one.
        if !self.is_named() && self.is_refused_all() {
            let user = Shown(&self.place.user);
            findings.fail(
                format_args!("user {own} may neither look at gateways nor control them"),
                format_args!("docker exec -u {user}"),
            );
        }
        String::from("user ") + &self.user_name()
    }

    /// Whether who calls may not change the scandir, not ask for a scan, and not control any
    /// slot.
    fn is_refused_all(&self) -> bool {
        let slots = &self.s6.slots;
        let is_denied = |tried: Result<bool>| tried.is_err_and(|it| it.kind == Kind::Denied);
        let is_supervised = |name: &Name| Service::open(slots.dir(), name)?.is_supervised();
        let mut names = self.names.iter().filter(|name| is_slot(name));
        is_denied(slots.dir().try_in(b".").map(|()| true))
            && is_denied(slots.scandir.is_scanned())
            && names.all(|name| is_denied(is_supervised(name)))
    }

    pub(super) fn user(&self, findings: &mut Findings) -> String {
        if let Err(error) = &self.became_user {
            let remedy = if error.kind == Kind::Unusable { "HERMES_GW_USER=NAME" } else { "" };
            findings.fail_of(error, remedy);
        }
        let name = if self.is_named() { self.user_name() + ", " } else { String::new() };
        format!("gateways run as {name}user {}", identity::user_id())
    }

    pub(super) fn settings(&self, findings: &mut Findings) -> String {
        warn_of_settings(findings, &self.context.settings.flaws);
        "all can be read".into()
    }

    /// What gateways and boots need of the image.
    pub(super) fn image(&self, findings: &mut Findings) -> String {
        if let Err(error) = look_at_image(findings) {
            findings.fail_of(&error, "");
        }
        "programs and boot entry are there".into()
    }

    /// The layout: that there is an s6-svscan, and only one for each gateway.
    pub(super) fn tree(&self, findings: &mut Findings) -> String {
        let tree = self.s6.slots.tree;
        let path = Shown(self.s6.slots.dir().path());
        let (restart, other) = match tree {
            Tree::Root => ("docker restart", Tree::User),
            Tree::User => ("as root: /command/s6-svc -u /run/service/hermes-svscan", Tree::Root),
        };
        match self.s6.slots.scandir.is_scanned() {
            Ok(true) => {}
            Ok(false) => findings
                .fail(format_args!("no s6-svscan runs on {path}"), format_args!("{restart}")),
            Err(error) => findings.fail_of(&error, &self.hand_over()),
        }
        if other.path().as_bytes() != self.s6.slots.dir().path()
            && let Err(error) = look_at_other_tree(other, findings)
        {
            findings.fail_of(&error, "");
        }
        format!("{}: {}, {path}", tree.word(), tree.whose())
    }

    /// Whether slots can be added and removed.
    pub(super) fn scandir(&self, findings: &mut Findings) -> String {
        let dir = self.s6.slots.dir();
        if let Some(error) = self.refusal(dir, b".") {
            findings.fail_of(&error, &self.hand_over());
        }
        "the gateways' user may add and remove slots".into()
    }

    /// What gives the scandir to the gateways' user.
    fn hand_over(&self) -> String {
        match self.s6.slots.tree {
            Tree::Root => "as root: hermes-gw reconcile".into(),
            Tree::User => self.chown(self.s6.slots.dir().path()),
        }
    }

    /// Whether each slot is one, and supervised with its logger.
    pub(super) fn slots(&self, findings: &mut Findings) -> String {
        let mut sizes = Vec::new();
        for seen in &self.seen {
            let name = seen.observation.profile.name();
            let path = self.s6.slots.path_of(&seen.observation.profile);
            if let Err(error) | Ok(Tended { refused: Some(error), .. }) = &seen.slot {
                let remedy = match error.kind {
                    Kind::Denied => self.chown(&path),
                    _ => ["hermes-gw unregister ", name].concat(),
                };
                findings.fail(format_args!("{name}: {error}"), format_args!("{remedy}"));
            }
            let Ok(slot) = &seen.slot else { continue };
            let no_logger = slot.logger == Logger::IsDown;
            let half = (!slot.supervised || no_logger) && self.is_changing();
            if !slot.supervised && half {
                continue;
            }
            if !slot.supervised {
                findings.fail(
                    format_args!("{name}: nobody supervises it"),
                    format_args!("hermes-gw reconcile"),
                );
            } else if !slot.current {
                findings.warn(
                    format_args!("{name}: its files are not those of this hermes-gw"),
                    format_args!("hermes-gw reconcile"),
                );
            }
            if no_logger && !half {
                findings.fail(
                    format_args!(
                        "{name}: its logger is not up, and it hangs once it has said too much"
                    ),
                    format_args!("/command/s6-svc -u {}/log", shell_word(&path)),
                );
            }
            if let Some(size) = slot.status_size {
                let at = sizes.partition_point(|known| *known < size);
                if sizes.get(at) != Some(&size) {
                    sizes.insert(at, size);
                }
            }
        }
        let s6 = match sizes[..] {
            [] => "no status yet",
            [35] => "s6 up to 2.12, or from 2.14 on, by its status of 35 bytes",
            [43] => "s6 2.13, by its status of 43 bytes",
            _ => {
                let mut list = String::new();
                for size in &sizes {
                    list += if list.is_empty() { "" } else { ", " };
                    list += &size.to_string();
                }
                findings.fail(
                    format_args!(
                        "status files of {list} bytes: not all are of one s6 that is known"
                    ),
                    format_args!("hermes-gw status"),
                );
                ""
            }
        };
        format!("{} gateways, each supervised, with a logger; {s6}", self.seen.len())
    }

    /// Whether there is room for more.
    pub(super) fn capacity(&self, findings: &mut Findings) -> String {
        let max = self.context.settings.services_max;
        let capacity = self.s6.slots.capacity(&self.names, max);
        let count = self.seen.len();
        let used = format!("{count} of {capacity} gateways that s6-svscan can hold");
        let remedy = match self.s6.slots.tree {
            Tree::Root => "HERMES_GW_TREE=user",
            Tree::User => "HERMES_GW_SERVICES_MAX=NUMBER",
        };
        let remedy = format_args!("{remedy}");
        if count >= capacity {
            findings.fail(format_args!("{used}: there is no room for another"), remedy);
        } else if count * 10 >= capacity * 9 {
            findings.warn(format_args!("{used}: there is little room"), remedy);
        }
        let descriptors = slots::descriptors(count);
        if descriptor_limit() < descriptors {
            findings.warn(
                format_args!(
                    "{count} gateways at once need {descriptors} descriptors, more than allowed"
                ),
                format_args!("{MORE_DESCRIPTORS}"),
            );
        }
        used
    }

    /// Whether there are supervisors without a slot.
    pub(super) fn supervisors(&self, findings: &mut Findings) -> String {
        match &self.supervisors {
            Ok(None) => "not looked at: /proc hides them from this user".into(),
            Ok(Some((count, orphans))) => {
                for orphan in orphans {
                    findings.fail(
                        format_args!("{orphan}, which is no slot any more"),
                        format_args!("hermes-gw reconcile --prune"),
                    );
                }
                format!("{count}, each on its slot")
            }
            Err(error) => {
                findings.fail_of(error, "");
                String::new()
            }
        }
    }

    /// How many supervisors there are, and which of them have no slot; `None` if that cannot be
    /// seen.
    pub(super) fn find_supervisors(&self) -> Result<Option<(usize, Vec<String>)>> {
        let proc = Dir::open(PROC)?;
        // Those of the user tree are its user's own.
        let mut sees_them = self.s6.slots.tree == Tree::User;
        let (mut count, mut orphans) = (0, Vec::new());
        for pid in proc.names()?.iter().filter(|pid| pid[0].is_ascii_digit()) {
            let cmdline = container::cmdline(&proc, pid)?;
            sees_them |= pid == b"1" && !cmdline.is_empty();
            let mut args = parts(&cmdline, 0);
            let is_supervisor = args.next().is_some_and(|it| it.ends_with(b"s6-supervise"));
            let Some(name) = args.next().filter(|it| is_supervisor && is_slot(it)) else {
                continue;
            };
            count += 1;
            // Where it is, if this user may know; else there is a slot, at least.
            let at = proc.link(&[pid, &b"/cwd"[..]].concat());
            let is_here =
                self.s6.slots.dir().leads(name)? && at.map_or(true, |at| at.ends_with(name));
            if !is_here && !self.is_changing() {
                orphans.push(format!("process {} supervises {}", Shown(pid), Shown(name)));
            }
        }
        Ok(sees_them.then_some((count, orphans)))
    }

    pub(super) fn leftovers(&self, findings: &mut Findings) -> String {
        if self.is_changing() {
            return "not looked at: another hermes-gw changes the scandir".into();
        }
        for name in &self.names {
            let path = self.s6.slots.dir().path_of(name);
            let is_named = |it: &Profile| it.slot()[..] == name[..];
            let shown = Shown(&path);
            // It may have gone while slots were looked at.
            let is_there = || !matches!(self.s6.slots.dir().kind(name), Ok(None));
            if is_slot(name)
                && !self.seen.iter().any(|it| is_named(&it.observation.profile))
                && is_there()
            {
                findings.fail(
                    format_args!("{shown} is no slot of a gateway"),
                    format_args!("rm -r {}", shell_word(&path)),
                );
            }
            if profile::is_staging(name) || profile::is_leaving(name) {
                findings.warn(
                    format_args!("{shown} was left by a call that was killed"),
                    format_args!("hermes-gw reconcile"),
                );
            }
        }
        "none in the scandir".into()
    }
}

/// Whether there is room in the file system of `dir`.
pub(super) fn room(findings: &mut Findings, dir: &Dir) -> String {
    let path = Shown(dir.path());
    let (bytes, files) = match dir.room() {
        Ok(room) => room,
        Err(error) => {
            findings.fail_of(&error, "");
            return String::new();
        }
    };
    if bytes < LITTLE || files.is_some_and(|files| files < 100) {
        let files = files.map_or(String::new(), |files| format!(" and {files} files"));
        findings.fail(
            format_args!("{path} has room for {bytes} bytes{files}: states are lost"),
            format_args!("df -a {}", shell_word(dir.path())),
        );
    }
    format!("{path} has {} MiB left", bytes >> 20)
}

/// What s6-overlay runs when the container starts.
pub(super) fn boot_scripts() -> Result<Vec<Name>> {
    let names = Dir::open(BOOT_SCRIPTS.as_bytes()).and_then(|dir| dir.names());
    Ok(if_there(names)?.unwrap_or_default())
}

fn look_at_image(findings: &mut Findings) -> Result<()> {
    let root = Dir::open(b"/")?;
    for program in PROGRAMS.split(' ') {
        if !root.leads(program.as_bytes())? {
            findings.fail(
                format_args!("/{program} is not there"),
                format_args!("COPY it into the image"),
            );
        }
    }
    let is_ours = |name: &Name| name.ends_with(b"-reconcile-profiles");
    if !boot_scripts()?.iter().any(is_ours) {
        findings.warn(
            format_args!("nothing in {BOOT_SCRIPTS} makes slots when the container starts"),
            format_args!("COPY rootfs/ into the image"),
        );
    }
    // Where there is this bundle, s6-overlay goes by no other.
    let bundle = if_there(Dir::open(b"/etc/s6-overlay/s6-rc.d/user"))?;
    let ours = root.leads(b"etc/s6-overlay/user-bundles.d/user/contents.d")?;
    if let (true, Some(bundle)) = (ours, bundle)
        && !bundle.leads(b"contents.d/hermes-gateways")?
    {
        findings.warn(
            format_args!(
                "s6-overlay starts none of the services: its bundle `user` is without them"
            ),
            format_args!(
                "RUN cp -R /etc/s6-overlay/user-bundles.d/user/contents.d \
                 /etc/s6-overlay/s6-rc.d/user/"
            ),
        );
    }
    Ok(())
}

/// Slots in the scandir of the tree that is not used.
fn look_at_other_tree(other: Tree, findings: &mut Findings) -> Result<()> {
    let names = Dir::open(other.path().as_bytes()).and_then(|dir| dir.names());
    let names = match names {
        // Who may not look there has no gateways there.
        Err(error) if matches!(error.kind, Kind::Missing | Kind::Denied) => return Ok(()),
        names => names?,
    };
    let (tree, at) = (other.word(), other.path());
    for name in names.iter().filter(|name| slots::is_slot(name)) {
        let profile = shell_word(&name[PREFIX.len()..]);
        findings.fail(
            format_args!("{at} has {}, too: two may run", Shown(name)),
            format_args!("HERMES_GW_TREE={tree} hermes-gw --scandir {at} unregister {profile}"),
        );
    }
    Ok(())
}
