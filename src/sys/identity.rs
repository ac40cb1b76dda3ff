//! Who this process is, and who the gateways' user is: by the image's user database, and by the
//! groups that the container's runtime has given PID 1.

use super::{if_there, not_permitted, path};
use crate::error::{Error, Kind, Result};
use crate::model::capability::Capability;
use crate::model::values;
use crate::text::messages::text;
use crate::text::{nth, parts};
use rustix::fs::Mode;
use rustix::process::{self, Gid, Uid};
use rustix::thread;

/// Bounds what a strange /etc can make us read, in bytes.
const MAX_DATABASE: usize = 1 << 20;
/// What the kernel shows instead of a group that has no number in this user namespace.
const OVERFLOW: u32 = 65534;

/// The ids of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The user id.
    pub(crate) uid: u32,
    /// The primary group id.
    pub(crate) gid: u32,
    /// All supplementary group ids; the primary one is the first, as initgroups(3) has it.
    pub(crate) groups: Vec<u32>,
    /// Why the groups of PID 1 are not among them, if they could not be read.
    pub(crate) flaw: Option<Box<Error>>,
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
    let (mut what, mut needs) = (text!("set groups for user"), Capability::SetGid);
    let mut become_it = || {
        thread::set_thread_groups(&groups)?;
        what = text!("set group ids for user");
        thread::set_thread_res_gid(gid, gid, gid)?;
        (what, needs) = (text!("set user ids for user"), Capability::SetUid);
        thread::set_thread_res_uid(uid, uid, uid)
    };
    become_it().map_err(|errno| {
        not_permitted(what, u64::from(to.uid).to_string().as_bytes(), errno, needs)
    })
}

/// From here on, files get exactly the modes they are made with.
pub(crate) fn clear_umask() {
    process::umask(Mode::empty());
}

/// Looks up `name` in /etc/passwd and its groups in /etc/group, and adds those that the runtime
/// has given PID 1, by its `status` in /proc, if this user may know that.
///
/// # Errors
/// [`Kind::Unusable`] if there is no such user.
pub(crate) fn look_up(name: &[u8], status: Result<Vec<u8>>) -> Result<Ids> {
    let passwd = path::read_followed(b"/etc/passwd", MAX_DATABASE)?;
    // An image without /etc/group has no supplementary groups.
    let group = if_there(path::read_followed(b"/etc/group", MAX_DATABASE))?.unwrap_or_default();
    let known = status.as_ref().map_or(&b""[..], |status| status);
    let Some(mut ids) = find(name, &passwd, &group, known) else {
        let why = text!("not in /etc/passwd");
        return Err(Error::new(Kind::Unusable, text!("look up user"), name, why)
            .hint(text!("name the gateways' user in HERMES_GW_USER")));
    };
    ids.flaw = status.err().map(|error| error.hint(text!("PID 1's groups are not known")));
    Ok(ids)
}

/// The ids of `name` according to the texts of passwd(5) and group(5), and of PID 1's `status`
/// in /proc.
///
/// What the image's author gives the user by name counts, but never 0: its members may write
/// /etc/passwd in some images. Of PID 1's groups those do not count that list root, either:
/// runtimes give it root's own, such as disk.
pub(crate) fn find(name: &[u8], passwd: &[u8], group: &[u8], status: &[u8]) -> Option<Ids> {
    let is_entry = |line: &&[u8]| field(line, 0) == Some(name);
    let entry = parts(passwd, b'\n').find(is_entry)?;
    let (uid, gid) = (number(field(entry, 2)?)?, number(field(entry, 3)?)?);
    // Those that count, and those that do not where only PID 1 has them.
    let (mut groups, mut of_root) = (vec![gid], Vec::new());
    for line in parts(group, b'\n') {
        let (Some(id), Some(members)) = (field(line, 2).and_then(number), field(line, 3)) else {
            continue;
        };
        for member in parts(members, b',') {
            if member == name {
                add(&mut groups, id);
            }
            if member == b"root" {
                of_root.push(id);
            }
        }
    }
    let granted = parts(status, b'\n').find_map(|line| line.strip_prefix(b"Groups:"));
    for id in parts(granted.unwrap_or_default().trim_ascii(), b' ').filter_map(number) {
        if id != OVERFLOW && !of_root.contains(&id) {
            add(&mut groups, id);
        }
    }
    Some(Ids { uid, gid, groups, flaw: None })
}

/// Adds `id` to `groups`, unless it is there, or is 0.
fn add(groups: &mut Vec<u32>, id: u32) {
    if id != 0 && !groups.contains(&id) {
        groups.push(id);
    }
}

/// The field `at` of a line of passwd(5) or group(5), from 0 on.
fn field(line: &[u8], at: usize) -> Option<&[u8]> {
    nth(line, b':', at)
}

#[inline(never)]
fn number(digits: &[u8]) -> Option<u32> {
    // The highest id means "unchanged" to chown and setresuid.
    u32::try_from(values::number(digits)?).ok().filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# note\nherme:x:1:1::/:\n\
        hermes:x:10000:10001:Hermes:/opt/data:/bin/sh\nbad:x:-1:4294967295::/:\nshort:x:7\n\
        pod:x:1001:0::/:\n";
    const GROUP: &[u8] = b"root:x:0:hermes\ndisk:x:6:root\nwheel:x:10:bin,root,adm\n\
        hermes:x:10001:\nvideo:x:44:root,hermes\nodd\nrooty:x:46:rooter\nnope:x:45:hermesx\n\
        docker:x:999:hermes\nbig:x:4294967295:hermes\n";

    #[test]
    fn groups_are_those_of_the_databases_and_those_of_pid_1_that_are_not_roots_own() {
        let table: &[(&str, &[u8], &str, &[u32])] = &[
            // whose, the text of group(5), what follows `Groups:`; the groups
            ("hermes", GROUP, "", &[10001, 44, 999]),
            ("herme", b"", "", &[1]),
            ("hermes", GROUP, "\t2775 46 \n", &[10001, 44, 999, 2775, 46]),
            // Neither 0 nor what lists root, and none twice.
            ("hermes", GROUP, "\t0 6 10 44 999 10001 3000 3000 \n", &[10001, 44, 999, 3000]),
            // video is hermes' by name, not herme's.
            ("herme", GROUP, "\t44 45 \n", &[1, 45]),
            // Without a database nobody knows what is root's but 0.
            ("herme", b"", "\t0 6 \n", &[1, 6]),
            // The primary group is what the database says.
            ("pod", GROUP, "\t0 6 7 \n", &[0, 7]),
            // One without a number here, and what is none.
            ("herme", GROUP, "\t65534 4294967295 -1 x 7", &[1, 7]),
            ("herme", GROUP, "", &[1]),
        ];
        for (name, group, granted, groups) in table {
            let status = format!("Name:\ts6-svscan\nGroups:{granted}\nNStgid:\t1\n");
            let found = find(name.as_bytes(), PASSWD, group, status.as_bytes()).unwrap();
            assert_eq!(&found.groups, groups, "{name} {granted:?}");
        }
        let found = find(b"hermes", PASSWD, GROUP, b"").unwrap();
        let groups = vec![10001, 44, 999];
        assert_eq!(found, Ids { uid: 10000, gid: 10001, groups, flaw: None });
    }

    #[test]
    fn an_unknown_or_malformed_user_is_none() {
        for name in ["her", "", "bad", "short", "# note"] {
            assert_eq!(find(name.as_bytes(), PASSWD, GROUP, b""), None, "{name}");
        }
    }
}
