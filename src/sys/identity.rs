//! Who this process is, and who the gateways' user is by the image's user database.

use super::dir::Dir;
use super::{if_there, not_permitted};
use crate::error::{Error, Kind, Result};
use crate::model::capability::Capability;
use crate::model::values;
use crate::text::parts;
use rustix::fs::Mode;
use rustix::process::{self, Gid, Uid};
use rustix::thread;

/// Bounds what a strange /etc can make us read, in bytes.
const MAX_DATABASE: usize = 1 << 20;

/// The ids of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The user id.
    pub(crate) uid: u32,
    /// The primary group id.
    pub(crate) gid: u32,
    /// All supplementary group ids.
    pub(crate) groups: Vec<u32>,
}

impl Ids {
    pub(super) fn raw(&self) -> (Option<Uid>, Option<Gid>) {
        (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))
    }
}

/// The effective user id of this process.
pub(crate) fn user_id() -> u32 {
    process::geteuid().as_raw()
}

/// Whether this process is root, by its effective user id.
pub(crate) fn is_root() -> bool {
    user_id() == 0
}

/// Makes this process `to` for good: groups, then group ids, then user ids, each of them
/// real, effective and saved. In another order the later calls would not be allowed.
///
/// The process has one thread, so what Linux sets for a thread is set for it.
pub(crate) fn become_user(to: &Ids) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(to.uid), Gid::from_raw(to.gid));
    let mut groups = Vec::new();
    for gid in &to.groups {
        groups.push(Gid::from_raw(*gid));
    }
    let (mut what, mut needs) = ("set groups for user", Capability::SetGid);
    let mut become_it = || {
        thread::set_thread_groups(&groups)?;
        what = "set group ids for user";
        thread::set_thread_res_gid(gid, gid, gid)?;
        (what, needs) = ("set user ids for user", Capability::SetUid);
        thread::set_thread_res_uid(uid, uid, uid)
    };
    become_it().map_err(|errno| not_permitted(what, to.uid.to_string().as_bytes(), errno, needs))
}

/// From here on, files get exactly the modes they are made with.
pub(crate) fn clear_umask() {
    process::umask(Mode::empty());
}

/// Looks up `name` in /etc/passwd and its groups in /etc/group.
///
/// # Errors
/// [`Kind::Unusable`] if there is no such user.
pub(crate) fn look_up(name: &[u8]) -> Result<Ids> {
    let etc = Dir::open(b"/etc")?;
    let passwd = etc.read(b"passwd", MAX_DATABASE)?;
    // An image without /etc/group has no supplementary groups.
    let group = if_there(etc.read(b"group", MAX_DATABASE))?.unwrap_or_default();
    find(name, &passwd, &group).ok_or_else(|| {
        Error::new(Kind::Unusable, "look up user", name, "not in /etc/passwd")
            .hint("name the gateways' user in HERMES_GW_USER")
    })
}

/// The ids of `name` according to the texts of passwd(5) and group(5).
fn find(name: &[u8], passwd: &[u8], group: &[u8]) -> Option<Ids> {
    let is_entry = |line: &&[u8]| field(line, 0) == Some(name);
    let entry = parts(passwd, b'\n').find(is_entry)?;
    let (uid, gid) = (number(field(entry, 2)?)?, number(field(entry, 3)?)?);
    let mut groups = vec![gid];
    for line in parts(group, b'\n') {
        let (Some(id), Some(members)) = (field(line, 2).and_then(number), field(line, 3)) else {
            continue;
        };
        if !groups.contains(&id) && parts(members, b',').any(|member| member == name) {
            groups.push(id);
        }
    }
    Some(Ids { uid, gid, groups })
}

/// The field `at` of a line of passwd(5) or group(5), from 0 on.
fn field(line: &[u8], at: usize) -> Option<&[u8]> {
    parts(line, b':').nth(at)
}

fn number(digits: &[u8]) -> Option<u32> {
    // The highest id means "unchanged" to chown and setresuid.
    u32::try_from(values::number(digits)?).ok().filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# note\nherme:x:1:1::/:\n\
        hermes:x:10000:10001:Hermes:/opt/data:/bin/sh\nbad:x:-1:4294967295::/:\nshort:x:7\n";
    const GROUP: &[u8] = b"root:x:0:\nhermes:x:10001:\nvideo:x:44:root,hermes\nodd\n\
        nope:x:45:hermesx\ndocker:x:999:hermes\nbig:x:4294967295:hermes\n";

    #[test]
    fn ids_and_groups_come_from_the_databases() {
        let hermes = Ids { uid: 10000, gid: 10001, groups: vec![10001, 44, 999] };
        assert_eq!(find(b"hermes", PASSWD, GROUP), Some(hermes));
        let alone = Ids { uid: 1, gid: 1, groups: vec![1] };
        assert_eq!(find(b"herme", PASSWD, b""), Some(alone));
    }

    #[test]
    fn an_unknown_or_malformed_user_is_none() {
        for name in ["her", "", "bad", "short", "# note"] {
            assert_eq!(find(name.as_bytes(), PASSWD, GROUP), None, "{name}");
        }
    }
}
