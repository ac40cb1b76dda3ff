#!/bin/sh
# engine.sh COMMAND...: runs it with DOCKER_HOST set to a Docker engine of its own, which
# is stopped afterwards. What it has built stays in target/docker/data; it has no bridge and
# no firewall rules, so containers use the machine's network or none.
set -e
dir=$(cd "$(dirname "$0")/../.." && pwd)/target/docker
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
export DOCKER_HOST="unix://$dir/sock"

stop() {
    [ -z "$engine" ] || ! kill "$engine" 2>/dev/null || wait "$engine" || :
    # dockerd leaves its network namespace, and what a killed one had mounted.
    sed -n "s:^[^ ]* \($dir/[^ ]*\) .*:\1:p" /proc/self/mounts | sort -r | while read -r mount; do
        umount -l "$mount"
    done
    rm -rf "$dir/exec" "$dir/sock" "$dir/pid"
}
engine=
stop
trap stop EXIT
trap 'exit 1' HUP INT TERM
# If this script is killed, the engine goes too.
setpriv --pdeathsig TERM dockerd --host "$DOCKER_HOST" --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/pid" --bridge none --iptables=false --ip6tables=false >"$dir/log" 2>&1 9>&- &
engine=$!
tries=0
until /usr/bin/docker version >"$dir/version" 2>&1; do
    tries=$((tries + 1))
    if [ $tries = 300 ] || ! kill -0 $engine 2>/dev/null; then
        echo "engine: dockerd does not start: $(tail -n 1 "$dir/log")" >&2
        exit 1
    fi
    sleep 0.1
done
# What a run that was killed has left.
for container in $(/usr/bin/docker ps -aq); do /usr/bin/docker rm -f -v "$container" >/dev/null; done
for volume in $(/usr/bin/docker volume ls -q); do /usr/bin/docker volume rm "$volume" >/dev/null; done
"$@" 9>&-
