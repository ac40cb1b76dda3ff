#!/bin/sh
# lint.sh CARGO: unformatted code, clippy warnings and faulty shell scripts are errors.
set -e
cd "$(dirname "$0")/../.."
cargo=$1
case $cargo in
/usr/bin/*) tests/support/packages.sh rustfmt-web rust-web-clippy ;;
esac
"$cargo" fmt --check
"$cargo" clippy --quiet --locked --all-targets -- -D warnings
tests/support/packages.sh shellcheck
shellcheck -s bash rootfs/usr/share/bash-completion/completions/hermes-gw
shellcheck tests/support/*.sh tests/support/demo/* tests/support/image/init .ci/run \
    tests/support/image/usr/local/bin/hermes tests/support/image/usr/lib/container/finish \
    tests/support/image/usr/lib/container/rc.shutdown
services=rootfs/etc/s6-overlay/s6-rc.d
shellcheck -s sh -e SC1091 $services/main-hermes/run $services/dashboard/run $services/dashboard/finish
