#!/bin/sh
# engine.sh COMMAND...: runs it with DOCKER_HOST set to a Docker engine of its own, which
# is stopped afterwards. What it has built stays in target/docker/data; it has no bridge and
# no firewall rules, so containers use the machine's network or none. In namespaces of its
# own it sees no containerd of the machine's, and nothing that it has begun outlives it.
set -e
dir=$(cd "$(dirname "$0")/../.." && pwd)/target/docker
mkdir -p "$dir"
exec 9>"$dir/lock"
flock -n 9 || { echo "engine: waits for another one of this checkout" >&2; flock 9; }
export DOCKER_HOST="unix://$dir/sock"

stop() {
    if [ -n "$engine" ]; then
        # The shell's child is unshare, which ends with dockerd.
        xargs kill 2>/dev/null <"/proc/$engine/task/$engine/children" || kill -KILL "$engine" 2>/dev/null || :
        wait "$engine" || :
    fi
    rm -rf "$dir/exec" "$dir/sock" "$dir/pid"
}
engine=
stop
trap stop EXIT
trap 'exit 1' HUP INT TERM
# If this script is killed, the engine goes too.
setpriv --pdeathsig KILL unshare --mount --pid --mount-proc --kill-child sh -ec '
    mkdir -p /run/containerd
    mount -t tmpfs none /run/containerd
    exec dockerd "$@"' dockerd --host "$DOCKER_HOST" --data-root "$dir/data" --exec-root "$dir/exec" \
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
