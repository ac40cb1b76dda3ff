#!/bin/sh
# enter.sh ROOT VOLUME HOME [MAIN-PROGRAM...]: in fresh mount and PID namespaces,
# becomes PID 1 of the container whose files are ROOT, with VOLUME mounted at HOME.
set -e
root=$1 volume=$2 home=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
mount --bind "$volume" ".$home"
pivot_root . host
umount -l host
exec /usr/bin/env -i /init "$@"
