#!/bin/sh
# hermes.sh: installs Hermes Agent from PyPI into target/hermes, with Debian's Python; says
# why if it cannot be had, and then tests/suite/hermes.rs has nothing to test.
set -e
version=0.19.0
cd "$(dirname "$0")/../.."
dir=$PWD/target/hermes
[ "$(cat "$dir/version" 2>/dev/null)" != $version ] || exit 0
skip() {
    echo "hermes: SKIPPED, real Hermes is not tested: $1" >&2
    exit 0
}
tests/support/packages.sh python3 python3-venv || skip "no python3-venv"
rm -rf "$dir"
/usr/bin/python3 -m venv "$dir" || skip "no venv can be made"
"$dir/bin/pip" install --quiet --disable-pip-version-check hermes-agent==$version >"$dir/log" 2>&1 ||
    skip "hermes-agent $version cannot be installed: $(tail -n 1 "$dir/log")"
echo $version >"$dir/version"
