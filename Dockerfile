# What lands in an image is the stage `export`: the program, rootfs/, nothing else.
#
#   docker build --target export .                    for COPY --from=... / /
#   docker build --target export --output out .       the same as files
#   docker build --target test .                      the tests that need no container
#   docker build .                                    a small image to try it in
#
# BuildKit builds it, for amd64 or arm64 (--platform), by a machine of that kind or emulated.
# BASE is any Debian 12, OVERLAY a stage or an image with s6-overlay v3.
# Behind a proxy with its own certificate: --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
ARG BASE=debian:12-slim
ARG OVERLAY=s6-overlay

FROM ${BASE} AS toolchain
ENV DEBIAN_FRONTEND=noninteractive
WORKDIR /src
COPY tests/support/packages.sh tests/support/
RUN tests/support/packages.sh ca-certificates rustc-web cargo-web rust-web-src musl-tools \
    lld binutils gcc libc6-dev

# The program: `make build`, where nothing but its own sources can be in the way of the cache.
FROM toolchain AS build
# One cache for all that cargo keeps; architectures that are built at once have each its own.
ENV CARGO_HOME=/src/target/cargo
ARG TARGETARCH
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY tests/support tests/support
COPY rootfs rootfs
COPY src src
# Another checkout may have filled the cache: by its times cargo would take ours for built.
RUN --mount=type=cache,target=/src/target,id=hermes-gw-$TARGETARCH \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    find .cargo Cargo.* rootfs src -type f -exec touch {} + && \
    tests/support/build.sh && install -D target/hermes-gw /tree/command/hermes-gw
# A checkout's modes are its umask's, and its times are today's.
ARG SOURCE_DATE_EPOCH=0
RUN cp -R rootfs/. /tree && chmod -R u=rwX,go=rX /tree && \
    find /tree -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +

FROM build AS test
COPY . .
RUN --mount=type=cache,target=/src/target,id=hermes-gw-$TARGETARCH \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    find .cargo Cargo.* rootfs src tests -type f -exec touch {} + && \
    cargo test --locked --lib && \
    HERMES_GW=/tree/command/hermes-gw cargo test --locked --test suite -- rootfs:: binary::

FROM scratch AS export
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="hermes-gw" \
    org.opencontainers.image.description="Supervises the gateways of Hermes Agent's profiles under s6" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=build /tree/ /

FROM ${BASE} AS s6-overlay-files
ARG TARGETARCH
ARG S6_OVERLAY_VERSION=3.2.3.0
ARG S6_OVERLAY_URL=https://github.com/just-containers/s6-overlay/releases/download
ARG S6_OVERLAY_NOARCH_SHA256=b720f9d9340efc8bb07528b9743813c836e4b02f8693d90241f047998b4c53cf
ARG S6_OVERLAY_X86_64_SHA256=a93f02882c6ed46b21e7adb5c0add86154f01236c93cd82c7d682722e8840563
ARG S6_OVERLAY_AARCH64_SHA256=0952056ff913482163cc30e35b2e944b507ba1025d78f5becbb89367bf344581
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends ca-certificates curl xz-utils
WORKDIR /tree
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt set -e; \
    case ${TARGETARCH:-amd64} in \
    amd64) arch=x86_64 sum=$S6_OVERLAY_X86_64_SHA256 ;; \
    arm64) arch=aarch64 sum=$S6_OVERLAY_AARCH64_SHA256 ;; \
    *) echo "s6-overlay: no checksum for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    for part in "noarch $S6_OVERLAY_NOARCH_SHA256" "$arch $sum"; do \
        name=s6-overlay-${part% *}.tar.xz; \
        curl -fsSL --retry 3 -o "/$name" "$S6_OVERLAY_URL/v$S6_OVERLAY_VERSION/$name"; \
        echo "${part#* }  /$name" | sha256sum -c; \
        tar -xpJf "/$name"; \
    done

FROM ${BASE} AS s6-overlay
COPY --from=s6-overlay-files /tree/ /

# To try it in: `hermes` is a stand-in for Hermes Agent.
FROM ${OVERLAY} AS demo
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="hermes-gw demo" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10000 --user-group --create-home --home-dir /opt/data hermes
COPY --chmod=755 tests/support/demo/01-hermes-setup /etc/cont-init.d/
COPY --chmod=755 tests/support/demo/main-wrapper.sh /opt/hermes/docker/
COPY --chmod=755 tests/support/image/usr/local/bin/hermes /usr/local/bin/
COPY --from=export / /
# Where user bundles are still in s6-rc.d, as before s6-overlay 3.2.3.1.
RUN cd /etc/s6-overlay && [ ! -d s6-rc.d/user ] || cp -R user-bundles.d/user/contents.d s6-rc.d/user/
ENV HERMES_HOME=/opt/data
VOLUME /opt/data
HEALTHCHECK --timeout=5s CMD ["/command/hermes-gw", "health"]
ENTRYPOINT ["/init", "/opt/hermes/docker/main-wrapper.sh"]
