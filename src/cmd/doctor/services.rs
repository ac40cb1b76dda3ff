//! What is looked at outside of the homes: the image, and s6's side.

use super::{Doctor, Findings, Found, Logger, Tended, own_id};
use crate::error::{Errors, Kind, Result};
use crate::gateway::slots::{self, is_slot};
use crate::hermes::container::{self, PROC, Supervisor};
use crate::model::plan::MAIN_IS_DEFAULT;
use crate::model::profile::{self, PREFIX};
use crate::model::tree::Tree;
use crate::s6::service::Service;
use crate::sys::dir::Dir;
use crate::sys::{MORE_DESCRIPTORS, Name, identity, if_there, raise_descriptor_limit};
use crate::text::messages::{Text, text};
use crate::text::{nth, parts};

/// Less than this, in bytes, is a file system that is as good as full.
const LITTLE: u64 = 1 << 20;
/// What gateways need of the image, below /.
const PROGRAMS: Text =
    text!("command/hermes-gw command/with-contenv command/s6-setuidgid command/s6-log");

/// Where what s6-overlay runs when the container starts is.
pub(super) const BOOT_SCRIPTS: &str = "/etc/cont-init.d";

/// What is wrong with settings instead of which defaults count.
pub(super) fn warn_of_settings(findings: &mut Findings, flaws: &Errors) {
    for flaw in flaws {
        findings.add_error(Found::Setting, flaw, b"");
    }
}

impl Doctor<'_> {
    pub(super) fn s6(&self, findings: &mut Findings) {
        match Supervisor::detect(PROC) {
            Ok(Supervisor::S6) => match self.context.main_is_default() {
                Ok(true) => findings.add_one(Found::S6WithMain, MAIN_IS_DEFAULT.as_bytes()),
                Ok(false) => findings.add_plain(Found::S6),
                Err(error) => findings.add_error(Found::NoMainProgram, &error, b""),
            },
            Ok(other) => findings.add_one(Found::Assumed, other.word().as_bytes()),
            Err(error) => findings.add_error(Found::AssumedFor, &error, b""),
        }
    }

    /// Whether who calls may see and do anything of what there is to see and do.
    pub(super) fn caller(&self, findings: &mut Findings) {
        if identity::user_id() == 0 {
            return findings.add_plain(Found::Root);
        }
        // What is kept from the gateways' user is told one by one.
        if !self.is_named() && self.is_refused_all() {
            findings.add_two(Found::Stranger, own_id().as_bytes(), &self.place.user);
        }
        findings.add_one(Found::User, self.user_name().as_bytes());
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

    pub(super) fn user(&self, findings: &mut Findings) {
        if let Err(error) = &self.became_user {
            let remedy = if error.kind == Kind::Unusable { "HERMES_GW_USER=NAME" } else { "" };
            findings.fail_of(error, remedy);
        }
        let id = own_id();
        if self.is_named() {
            findings.add_two(Found::RunAs, id.as_bytes(), &self.place.user);
        } else {
            findings.add_one(Found::RunAsId, id.as_bytes());
        }
    }

    pub(super) fn settings(&self, findings: &mut Findings) {
        warn_of_settings(findings, &self.context.settings.flaws);
        findings.add_plain(Found::Settings);
    }

    /// What gateways and boots need of the image.
    pub(super) fn image(&self, findings: &mut Findings) {
        let looked = look_at_image(findings);
        findings.end(looked);
        findings.add_plain(Found::Image);
    }

    /// The layout: that there is an s6-svscan, and only one for each gateway.
    pub(super) fn tree(&self, findings: &mut Findings) {
        let tree = self.s6.slots.tree;
        let path = self.s6.slots.dir().path();
        let other = tree.other();
        let not_scanned = match tree {
            Tree::Root => Found::NoScan,
            Tree::User => Found::NoScanOfUser,
        };
        match self.s6.slots.scandir.is_scanned() {
            Ok(true) => {}
            Ok(false) => findings.add_one(not_scanned, path),
            Err(error) => findings.fail_of(&error, &self.hand_over()),
        }
        let (word, at) = (other.word().as_bytes(), other.path().as_bytes());
        if at != path {
            match names(other.path()) {
                Ok(names) => {
                    for name in names.iter().filter(|name| is_slot(name)) {
                        findings.add(Found::OtherTree, &[at, name, word, &name[PREFIX.len()..]]);
                    }
                }
                // Who may not look there has no gateways there.
                Err(error) if matches!(error.kind, Kind::Missing | Kind::Denied) => {}
                Err(error) => findings.end(Err(error)),
            }
        }
        findings.add(Found::Tree, &[tree.word().as_bytes(), tree.whose().as_bytes(), path]);
    }

    /// Whether slots can be added and removed.
    pub(super) fn scandir(&self, findings: &mut Findings) {
        let dir = self.s6.slots.dir();
        if let Some(error) = self.refusal(dir, b".") {
            findings.fail_of(&error, &self.hand_over());
        }
        findings.add_plain(Found::Scandir);
    }

    /// What gives the scandir to the gateways' user.
    fn hand_over(&self) -> String {
        match self.s6.slots.tree {
            Tree::Root => text!("as root: hermes-gw reconcile").read().into(),
            Tree::User => self.chown(self.s6.slots.dir().path()),
        }
    }

    /// Whether each slot is one, and supervised with its logger.
    pub(super) fn slots(&self, findings: &mut Findings) {
        let mut sizes = Vec::new();
        for seen in &self.seen {
            let name = seen.observation.profile.name();
            let path = self.s6.slots.path_of(&seen.observation.profile);
            if let Err(error) | Ok(Tended { refused: Some(error), .. }) = &seen.slot {
                let remedy = self.remedy(error, &path, &["hermes-gw unregister ", name]);
                let text = error.text();
                let places = [name.as_bytes(), text.as_bytes(), remedy.as_bytes()];
                findings.add(Found::BadSlot, &places);
            }
            let Ok(slot) = &seen.slot else { continue };
            let no_logger = slot.logger == Logger::IsDown;
            let half = (!slot.supervised || no_logger) && self.is_changing();
            if !slot.supervised && half {
                continue;
            }
            if !slot.supervised {
                findings.add_one(Found::Unsupervised, name.as_bytes());
            } else if !slot.current && slot.left.is_empty() {
                findings.add_one(Found::OldFiles, name.as_bytes());
            }
            for left in &slot.left {
                findings.add_one(Found::Killed, &[&path, &b"/"[..], left].concat());
            }
            if no_logger && !half {
                findings.add_two(Found::NoLogger, name.as_bytes(), &path);
            }
            if let Some(size) = slot.status_size {
                let at = sizes.iter().filter(|known| **known < size).count();
                if sizes.get(at) != Some(&size) {
                    sizes.insert(at, size);
                }
            }
        }
        let found = match sizes[..] {
            [] => Found::Slots,
            [35] => Found::Slots35,
            [43] => Found::Slots43,
            _ => {
                let mut list = String::new();
                for size in &sizes {
                    list += if list.is_empty() { "" } else { ", " };
                    list += &size.to_string();
                }
                return findings.add_one(Found::ManyS6, list.as_bytes());
            }
        };
        findings.add_count(found, self.seen.len());
    }

    /// Whether there is room for more.
    pub(super) fn capacity(&self, findings: &mut Findings) {
        let max = self.context.settings.services_max;
        let capacity = self.s6.slots.capacity(&self.names, max);
        let count = self.seen.len();
        let remedy = match self.s6.slots.tree {
            Tree::Root => text!("HERMES_GW_TREE=user"),
            Tree::User => text!("HERMES_GW_SERVICES_MAX=NUMBER"),
        };
        let found = match count {
            count if count >= capacity => Found::NoRoom,
            count if count * 10 >= capacity * 9 => Found::LittleRoom,
            _ => Found::Capacity,
        };
        let descriptors = slots::descriptors(count);
        let is_enough = raise_descriptor_limit() >= descriptors;
        let (count, capacity) = (count.to_string(), capacity.to_string());
        let count = count.as_bytes();
        if is_enough || !matches!(found, Found::Capacity) {
            findings.add(found, &[count, capacity.as_bytes(), remedy.read().as_bytes()]);
        }
        if !is_enough {
            let need = descriptors.to_string();
            let places = [count, need.as_bytes(), MORE_DESCRIPTORS.read().as_bytes()];
            findings.add(Found::FewDescriptors, &places);
        }
    }

    /// Whether there are supervisors without a slot.
    pub(super) fn supervisors(&self, findings: &mut Findings) {
        let looked = self.find_supervisors(findings);
        findings.end(looked);
    }

    fn find_supervisors(&self, findings: &mut Findings) -> Result<()> {
        let proc = Dir::open(PROC)?;
        let slots = &self.s6.slots;
        // Who may not look there has no gateways there.
        let other = Dir::open(slots.tree.other().path().as_bytes());
        let is_there =
            |name: &[u8]| matches!(&other, Ok(other) if other.leads(name).unwrap_or(false));
        // Those of the user tree are its user's own.
        let mut sees_them = slots.tree == Tree::User;
        let mut count = 0_usize;
        for pid in &container::pids(&proc)? {
            let cmdline = container::cmdline(&proc, pid)?;
            // PID 1 is the first of the names.
            sees_them |= pid == b"1" && !cmdline.is_empty();
            let is_supervisor = nth(&cmdline, 0, 0).is_some_and(|it| it.ends_with(b"s6-supervise"));
            let Some(name) = nth(&cmdline, 0, 1).filter(|it| is_supervisor && is_slot(it)) else {
                continue;
            };
            count += 1;
            // Where it is, if this user may know; else there is a slot, at least, in this layout or
            // in the other.
            let mut has_slot = slots.dir().leads(name)? || is_there(name);
            if has_slot && let Ok(at) = &proc.link(&[pid, &b"/cwd"[..]].concat()) {
                has_slot = at.ends_with(name);
            }
            if !has_slot && sees_them && !self.is_changing() {
                findings.add_two(Found::Orphan, pid, name);
            }
        }
        let found = if sees_them { Found::Supervisors } else { Found::NoSupervisors };
        findings.add_count(found, count);
        Ok(())
    }

    pub(super) fn leftovers(&self, findings: &mut Findings) {
        if self.is_changing() {
            return findings.add_plain(Found::Changing);
        }
        for name in &self.names {
            // It may have gone while slots were looked at.
            let is_there = || !matches!(self.s6.slots.dir().kind(name), Ok(None));
            let found = match name.strip_prefix(PREFIX) {
                Some(name) if self.seen_as(name).is_none() && is_there() => Found::NoSlot,
                None if profile::is_staging(name) || profile::is_leaving(name) => Found::Killed,
                _ => continue,
            };
            findings.add_one(found, &self.s6.slots.dir().path_of(name));
        }
        findings.add_plain(Found::Leftovers);
    }
}

/// Whether there is room in the file system of `dir`.
pub(super) fn room(findings: &mut Findings, dir: &Dir) {
    let (bytes, files) = match dir.room() {
        Ok(room) => room,
        Err(error) => return findings.end(Err(error)),
    };
    if bytes < LITTLE || files.is_some_and(|files| files < 100) {
        let mut left = format!("{bytes} bytes");
        if let Some(files) = files {
            left += &format!(" and {files} files");
        }
        findings.add_two(Found::FullDisk, dir.path(), left.as_bytes());
    }
    findings.add_two(Found::Disk, dir.path(), (bytes >> 20).to_string().as_bytes());
}

/// What s6-overlay runs when the container starts.
pub(super) fn boot_scripts() -> Result<Vec<Name>> {
    Ok(if_there(names(BOOT_SCRIPTS))?.unwrap_or_default())
}

/// The names in the directory at `path`.
#[inline(never)]
fn names(path: &str) -> Result<Vec<Name>> {
    Dir::open(path.as_bytes())?.names()
}

fn look_at_image(findings: &mut Findings) -> Result<()> {
    let root = Dir::open(b"/")?;
    for program in parts(PROGRAMS.read().as_bytes(), b' ') {
        if !root.leads(program)? {
            findings.add_one(Found::NoProgram, program);
        }
    }
    let is_ours = |name: &Name| name.ends_with(b"-reconcile-profiles");
    if !boot_scripts()?.iter().any(is_ours) {
        findings.add_one(Found::NoBootEntry, BOOT_SCRIPTS.as_bytes());
    }
    // Where there is this bundle, s6-overlay goes by no other.
    if root.leads(b"etc/s6-overlay/user-bundles.d/user/contents.d")?
        && let Some(bundle) = if_there(Dir::open(b"/etc/s6-overlay/s6-rc.d/user"))?
        && !bundle.leads(b"contents.d/hermes-gateways")?
    {
        findings.add_plain(Found::OtherBundle);
    }
    Ok(())
}
