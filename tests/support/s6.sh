#!/bin/sh
# s6.sh SUITE: unpacks the s6 of that Debian suite, with execline and the libraries
# they need, into target/s6/SUITE; by a private apt configuration, from the mirror
# that this machine uses.
set -e
suite=$1
dir=$(cd "$(dirname "$0")/../.." && pwd)/target/s6/$suite
[ ! -e "$dir/usr" ] || exit 0
private=$dir.apt
rm -rf "$private" "$dir"
mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$dir"
: >"$private/status"
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*] \)\?\([^ ]*\) .*/\2/p' | grep '/debian/*$' | head -n 1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >"$private/sources.list"
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$private/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$private/lists" -o Dir::State::status="$private/status" \
        -o Dir::Cache="$private/cache" "$@"
}
apt update
apt install -y --download-only --no-install-recommends s6 execline
for package in "$private"/cache/archives/*.deb; do
    dpkg -x "$package" "$dir"
done
rm -rf "$private"
