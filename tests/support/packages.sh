#!/bin/sh
# packages.sh PACKAGE...: installs those Debian packages that are not there yet.
set -e
missing=
for package; do
    # shellcheck disable=SC2016
    [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "packages: these are needed, and there is no apt-get to install them:$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "packages: these are needed; as root: apt-get install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# One at a time: apt-get does not wait for another one.
exec 9</var/cache/apt
flock 9
# What is a service is not to start on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
# One source of several that cannot be reached need not matter.
apt-get -qq update || echo "packages: apt-get update had errors, going on" >&2
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $missing
