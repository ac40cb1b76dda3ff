#!/bin/sh
# Builds target/hermes-gw, the static binary for the image.
#
# With Debian's toolchain, which has the sources of std, it is smallest; where that
# is not to be had but rustup has the musl target, the plain stable build does.
# TOOLCHAIN=debian or TOOLCHAIN=rustup decides for itself.
set -e
cd "$(dirname "$0")/../.."
# A 64-bit kernel may have a 32-bit system on it.
machine="$(uname -m), $(getconf LONG_BIT) bits"
case $machine in
"x86_64, 64 bits") target=x86_64-unknown-linux-musl ;;
"aarch64, 64 bits") target=aarch64-unknown-linux-musl ;;
*) echo "build: for x86_64 and aarch64 only, not $machine" >&2; exit 1 ;;
esac
tools="rustc-web cargo-web rust-web-src musl-tools lld binutils gcc libc6-dev"

has_rustup_target() {
    command -v rustup >/dev/null && rustup target list --installed | grep -qx $target
}

if [ -z "$TOOLCHAIN" ]; then
    # shellcheck disable=SC2086
    if has_rustup_target && ! tests/support/packages.sh $tools; then
        TOOLCHAIN=rustup
    else
        TOOLCHAIN=debian
    fi
fi

case $TOOLCHAIN in
rustup)
    has_rustup_target || { echo "build: rustup has no target $target: rustup target add $target" >&2; exit 1; }
    cargo build --release --locked --target $target
    ;;
debian)
    # shellcheck disable=SC2086
    tests/support/packages.sh $tools
    mkdir -p target/link
    [ -f target/link/libunwind.a ] || ar rcs target/link/libunwind.a
    # What the everyday toolchain's cargo may have exported is not for this one.
    unset RUSTUP_TOOLCHAIN CARGO RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    # std's sources are a crate of the nightly kind; nothing of ours is.
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo --config .cargo/debian.toml \
        build --release --locked --target $target
    ;;
*) echo "build: TOOLCHAIN must be debian or rustup, not '$TOOLCHAIN'" >&2; exit 1 ;;
esac
cp target/$target/release/hermes-gw target/hermes-gw.new
# The kernel reads no section headers, which come last, after their names: the file ends before
# them, and its header (e_shoff; e_shentsize, e_shnum, e_shstrndx) says that there are none.
at() { od -An "-t$1" "-j$2" "-N${1#?}" target/hermes-gw.new | tr -d ' '; }
truncate -s "$(at d8 $(($(at d8 40) + 64 * $(at d2 62) + 24)))" target/hermes-gw.new
for place in "40 8" "58 6"; do
    dd if=/dev/zero of=target/hermes-gw.new conv=notrunc status=none bs=1 \
        seek="${place% *}" count="${place#* }"
done
mv target/hermes-gw.new target/hermes-gw
ls -l target/hermes-gw
