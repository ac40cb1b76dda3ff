#!/bin/sh
# docker.sh: builds all stages of the Dockerfile on a Debian made by debootstrap, the last as
# the image that HERMES_GW_IMAGE names, and lists what lands in an image. Run it by engine.sh.
#
# S6_OVERLAY_VERSION, S6_OVERLAY_URL and S6_OVERLAY_*_SHA256 choose another s6-overlay; where
# none can be had, Debian's s6 with the tests' own /init stands in.
set -e
cd "$(dirname "$0")/../.."
suite=bookworm
base=hermes-gw-base:$suite
export DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*] \)\?\([^ ]*\) .*/\2/p' | grep '/debian/*$' | head -n 1)

if ! /usr/bin/docker image inspect $base >/dev/null 2>&1; then
    echo "docker: a base image by debootstrap"
    rm -rf target/docker/base
    debootstrap --variant=minbase $suite target/docker/base "$mirror" >target/docker/debootstrap.log
    rm -rf target/docker/base/var/cache/apt/archives/*.deb target/docker/base/etc/apt/sources.list
    # With the updates that the machine has too: the toolchain is one.
    (cd / && grep -ls /debian etc/apt/sources.list etc/apt/sources.list.d/*.list etc/apt/sources.list.d/*.sources) |
        while read -r sources; do cp "/$sources" "target/docker/base/$sources"; done
    [ ! -d /etc/apt/mirrors ] || cp -R /etc/apt/mirrors target/docker/base/etc/apt/
    tar -C target/docker/base --exclude='./dev/*' -c . | /usr/bin/docker import - $base >/dev/null
    rm -rf target/docker/base
fi

set -- --network host --build-arg BASE=$base
if commit=$(git log -1 --format='%H %ct' 2>/dev/null); then
    set -- "$@" --build-arg "REVISION=${commit% *}" --build-arg "SOURCE_DATE_EPOCH=${commit#* }"
fi
certificates=/etc/ssl/certs/ca-certificates.crt
[ ! -f $certificates ] || set -- "$@" --secret "id=ca,src=$certificates"
for name in VERSION URL NOARCH_SHA256 X86_64_SHA256 AARCH64_SHA256; do
    value=$(printenv "S6_OVERLAY_$name") || continue
    set -- "$@" --build-arg "S6_OVERLAY_$name=$value"
done

build() { # STAGE IMAGE ARGUMENTS...
    stage=$1 tag=$2
    shift 2
    echo "docker: builds $tag"
    if ! /usr/bin/docker build --target "$stage" --tag "$tag" "$@" . >"target/docker/$tag.log" 2>&1; then
        tail -n 30 "target/docker/$tag.log" >&2
        return 1
    fi
}

build export hermes-gw "$@"
/usr/bin/docker build --quiet --target export --output type=tar,dest=target/docker/export.tar "$@" . >/dev/null
build test hermes-gw-test "$@"
if ! build s6-overlay hermes-gw-s6-overlay "$@" 2>target/docker/why; then
    # One that was asked for, or a wrong checksum, is another matter.
    why=$(grep -o 'curl: ([0-9].*' target/docker/hermes-gw-s6-overlay.log | tail -n 1)
    if [ -z "$why" ] || env | grep -q '^S6_OVERLAY_'; then
        cat target/docker/why >&2
        exit 1
    fi
    echo "docker: SKIPPED, s6-overlay is not tested, it cannot be had: $why;" \
        "Debian's s6 and the tests' own /init stand in for it" >&2
    cat >target/docker/stand-in.Dockerfile <<END
FROM $base
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends s6 execline procps
COPY tests/support/image /
COPY tests/support/image/init /init
RUN mkdir -p /command && for program in \$(dpkg -L s6 execline | grep /bin/); do \
    ln -sf "\$program" /command/; done && chmod 755 /init /command/with-contenv
END
    build '' hermes-gw-stand-in "$@" --file target/docker/stand-in.Dockerfile
    set -- "$@" --build-arg OVERLAY=hermes-gw-stand-in
fi
build demo "$HERMES_GW_IMAGE" "$@"

echo "docker: what lands in an image:"
tar -tvf target/docker/export.tar
/usr/bin/docker image prune --force >/dev/null # those of earlier builds
/usr/bin/docker image ls --format '{{.Repository}}: {{.Size}}' | sort
