#!/bin/sh
# enter.sh ROOT VOLUME HOME MOUNTS LIMITS [MAIN-PROGRAM...]: in fresh mount and PID namespaces,
# becomes PID 1 of the container whose files are ROOT, with VOLUME mounted at HOME, and
# MOUNTS, colons between them, where they are on the machine too; /proc is mounted with
# $PROC_OPTIONS. LIMITS is a command that runs another one as somebody who may do less, or
# nothing.
set -e
root=$1 volume=$2 home=$3 mounts=$4 limits=$5
shift 5
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc -o "$PROC_OPTIONS" proc proc
[ -e run/survives ] || mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom dev/
mount --bind "$volume" ".$home"
IFS=:
for mount in $mounts; do
    if [ -d "$mount" ]; then mkdir -p ".$mount"; else touch ".$mount"; fi
    mount --bind -o ro "$mount" ".$mount"
done
unset IFS
pivot_root . host
umount -l host
# shellcheck disable=SC2086 # words of a command
exec $limits /usr/bin/env -i /init "$@"
