# The gateway alone, in an image without anything else:
#
#   docker build --tag tokenward:0.1.0 .
#   docker run --rm --network host tokenward:0.1.0 demo
#
# The binary is built for the machine that builds, or for what `--platform` says; a build for several
# (`docker buildx build --platform linux/amd64,linux/arm64`) runs this once for each.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
# With .git: the binary says which commit it is of.
COPY . .
# /out and /own are all that the image holds: root's, and the gateway's own.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    .ci/release \
    && mkdir -p /out/etc/ssl/certs /out/etc/tokenward /out/var/lib /own/tokenward \
    && cp target/release/tokenward /out/tokenward \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && echo 'tokenward:x:65532:65532::/var/lib/tokenward:/tokenward' >/out/etc/passwd \
    && echo 'tokenward:x:65532:' >/out/etc/group

FROM scratch
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="tokenward" \
      org.opencontainers.image.description="An authenticating egress gateway that keeps OAuth tokens alive" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out /
# The only folder in which the gateway writes: its store, where that is a file. A volume belongs here.
COPY --from=build --chown=65532:65532 /own /var/lib
# By number: Kubernetes cannot tell from a name that it is not root's.
USER 65532:65532
# [gateway] and [admin] of config/tokenward.toml. Both are on loopback unless the config says otherwise,
# and loopback is the container's own.
EXPOSE 8080 9464
# Ready, that is. Whoever starts anew what is unhealthy should ask /healthz instead: it does not depend
# on a vendor.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/tokenward", "wait", "--timeout", "3s"]
ENTRYPOINT ["/tokenward"]
CMD ["run", "--config", "/etc/tokenward/tokenward.toml"]
