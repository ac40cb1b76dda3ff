#!/bin/sh
# podman.sh root|rootless IMAGE COMMAND...: runs it with HERMES_GW_PODMAN set to the words of a
# podman of its own, which has IMAGE of the Docker engine as localhost/hermes; rootless is the
# user nobody. Where podman cannot run, says why, and does not run the command.
#
# It has namespaces of its own, so nothing that podman begins outlives it, and its subordinate
# uids are not the machine's. What it keeps in target/podman is removed.
set -e
case $1 in root | rootless) ;; *) echo "podman: root or rootless, not '$1'" >&2; exit 100 ;; esac
dir=$(cd "$(dirname "$0")/../.." && pwd)/target/podman
if [ "$HERMES_GW_IN_PODMAN" != $$ ]; then
    skip() {
        echo "podman: SKIPPED, the pod is not tried as $who: $1" >&2
        exit 0
    }
    who=$1
    command -v podman >/dev/null || skip "podman is not installed"
    [ "$who" = root ] || command -v newuidmap >/dev/null || skip "newuidmap is not installed"
    rm -rf "$dir"
    mkdir -p "$dir/home" "$dir/run"
    code=0
    # shellcheck disable=SC2016
    setpriv --pdeathsig KILL unshare --mount --pid --fork --mount-proc --kill-child \
        sh -ec 'HERMES_GW_IN_PODMAN=$$ exec "$@"' sh "$0" "$@" || code=$?
    why=$(grep . "$dir/why" | tail -n 1)
    rm -rf "$dir"
    [ $code != 75 ] || skip "$why"
    exit $code
fi
who=$1 image=$2
shift 2

# Where nobody gets to, wherever the checkout is.
mount --make-rshared /
mount --bind "$dir" /mnt
hard=$(prlimit --nofile --output=HARD --noheadings | tr -d ' ')
cat >/mnt/containers.conf <<END
[containers]
default_ulimits = ["nofile=$hard:$hard", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
podman="podman --root /mnt/root --runroot /mnt/run/storage --storage-driver vfs"
as="env -C /mnt HOME=/mnt/home XDG_RUNTIME_DIR=/mnt/run CONTAINERS_CONF=/mnt/containers.conf"
if [ "$who" = rootless ]; then
    chown -R nobody:nogroup /mnt/.
    for file in subuid subgid; do
        echo nobody:100000:65536 >/mnt/$file
        [ -e /etc/$file ] || : >/etc/$file
        mount --bind /mnt/$file /etc/$file
    done
    as="setpriv --reuid=nobody --regid=nogroup --clear-groups $as"
fi
export HERMES_GW_PODMAN="$as $podman"

# One layer: to podman's simplest storage each is a copy of all before it.
changes() {
    /usr/bin/docker image inspect --format \
        '{{range .Config.Env}}ENV {{.}}{{println}}{{end}}ENTRYPOINT {{json .Config.Entrypoint}}' "$image"
}
(
    set --
    while read -r line; do set -- "$@" --change "$line"; done <<END
$(changes)
END
    container=$(/usr/bin/docker create "$image")
    /usr/bin/docker export "$container" | $HERMES_GW_PODMAN import "$@" - localhost/hermes:latest
    /usr/bin/docker rm "$container" >/dev/null
    $HERMES_GW_PODMAN run --rm --network none --entrypoint /bin/true localhost/hermes:latest
) >/mnt/why 2>&1 || exit 75
"$@"
