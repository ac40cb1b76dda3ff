//! `completion`: the scripts that rootfs/ installs, for who has no more than the binary.

use crate::cli::Shell;

/// What has `shell` complete a command line.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => {
            include_str!("../../rootfs/usr/share/bash-completion/completions/hermes-gw")
        }
        Shell::Zsh => include_str!("../../rootfs/usr/share/zsh/vendor-completions/_hermes-gw"),
        Shell::Fish => {
            include_str!("../../rootfs/usr/share/fish/vendor_completions.d/hermes-gw.fish")
        }
    }
}
