//! The user that gateways run as, from the image's user database.

use crate::error::{Error, Kind, Result};
use crate::sys::{self, Dir, Ids};

/// Bounds what a strange /etc can make us read, in bytes.
const MAX_DATABASE: usize = 1 << 20;

/// Makes this process the user called `name` for good, if it is root.
///
/// # Errors
/// [`Kind::Unusable`] if there is no such user.
pub fn become_gateways_user(name: &[u8]) -> Result<()> {
    if sys::is_root() { sys::become_user(&look_up(name)?) } else { Ok(()) }
}

/// Looks up `name` in /etc/passwd and its groups in /etc/group.
///
/// # Errors
/// [`Kind::Unusable`] if there is no such user.
pub fn look_up(name: &[u8]) -> Result<Ids> {
    let etc = Dir::open(b"/etc")?;
    let passwd = etc.read(b"passwd", MAX_DATABASE)?;
    // An image without /etc/group has no supplementary groups.
    let group = etc.read(b"group", MAX_DATABASE).unwrap_or_default();
    find(name, &passwd, &group).ok_or_else(|| {
        Error::new(Kind::Unusable, "look up user", name, "not in /etc/passwd")
            .hint("name the gateways' user in HERMES_GW_USER")
    })
}

/// The ids of `name` according to the texts of passwd(5) and group(5).
pub fn find(name: &[u8], passwd: &[u8], group: &[u8]) -> Option<Ids> {
    let entry = passwd.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b':');
        (fields.next() == Some(name)).then_some(fields)
    });
    let mut fields = entry?.skip(1);
    let (uid, gid) = (number(fields.next()?)?, number(fields.next()?)?);
    let mut groups = vec![gid];
    for line in group.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b':').skip(2);
        let (Some(id), Some(members)) = (fields.next().and_then(number), fields.next()) else {
            continue;
        };
        if !groups.contains(&id) && members.split(|&b| b == b',').any(|member| member == name) {
            groups.push(id);
        }
    }
    Some(Ids { uid, gid, groups })
}

fn number(digits: &[u8]) -> Option<u32> {
    // The highest id means "unchanged" to chown and setresuid.
    str::from_utf8(digits).ok()?.parse().ok().filter(|&id| id != u32::MAX)
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
