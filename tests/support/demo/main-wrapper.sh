#!/command/with-contenv /bin/sh
# shellcheck shell=sh
# The main program, as hermes; its end is the container's.
set -e
[ $# -gt 0 ] || set -- sleep infinity
[ "$1" != dashboard ] || set -- hermes "$@"
[ "$(id -u)" != 0 ] || set -- /command/s6-setuidgid hermes "$@"
exec "$@"
