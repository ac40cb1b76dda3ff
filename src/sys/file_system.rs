//! What file system a directory is in.

use super::dir::Dir;
use super::{c, failed};
use crate::error::Result;
use crate::text::messages::text;
use rustix::fs::{self, AtFlags, StatxAttributes, StatxFlags};

impl Dir {
    /// Whether something is mounted on `name`, which nothing can replace then. Kernels before
    /// 5.8 do not tell.
    pub(crate) fn is_mount(&self, name: &[u8]) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let looked = fs::statx(self.fd(), &*c(name), flags, StatxFlags::empty());
        looked.is_ok_and(|it| it.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    /// What this user can still write to the file system of this directory: bytes, and files,
    /// if that is bounded.
    pub(crate) fn room(&self) -> Result<(u64, Option<u64>)> {
        let stat = self.file_system()?;
        let files = (stat.f_files > 0).then_some(stat.f_ffree);
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize.cast_unsigned()), files))
    }

    /// Whether nothing may be executed in the file system of this directory.
    pub(crate) fn is_noexec(&self) -> Result<bool> {
        let flags = self.file_system()?.f_flags.cast_unsigned();
        Ok(fs::StatVfsMountFlags::from_bits_retain(flags).contains(fs::StatVfsMountFlags::NOEXEC))
    }

    fn file_system(&self) -> Result<fs::StatFs> {
        fs::fstatfs(self.fd()).map_err(|errno| failed(text!("look at"), self.path(), errno))
    }
}
