# A small image of the server: the binary, the C library it is linked with, a user, and nothing else; no shell, nothing
# that installs packages. `docs/deploy.md` has the commands, and says which parts of this file are tried in CI and how.
#
# Reproducible: the base is pinned by digest, crates by Cargo.lock, times by SOURCE_DATE_EPOCH; two builds of one commit
# give the same files.

# To renew: `docker buildx imagetools inspect rust:1.95.0-slim-bookworm` prints the digest.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# What .dockerignore lets through: the sources and nothing else.
COPY . .
ARG SOURCE_DATE_EPOCH=0
# Back traces keep the names of functions; lines of source would make the binary eight times as large.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never
RUN cargo build --release --locked --bin tasktally \
    && install -D target/release/tasktally /out/tasktally

FROM ${RUST_IMAGE} AS root
COPY --from=build /out/tasktally /image/usr/bin/tasktally
ARG SOURCE_DATE_EPOCH=0
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The shared libraries are those of the base, with their licences, and as packages that scanners find.
RUN ldd /image/usr/bin/tasktally | grep -o '/[^ ]*' | sort -u | xargs cp --parents --dereference --target-directory=/image \
    && mkdir -p /image/etc /image/var/lib/dpkg/status.d /image/var/lib/tasktally \
    && for package in libc6 libgcc-s1; do \
         dpkg-query --status "$package" > "/image/var/lib/dpkg/status.d/$package" || exit 1; \
         cp --parents --dereference "/usr/share/doc/$package/copyright" /image || exit 1; \
       done \
    && cp --parents --dereference /etc/debian_version /usr/lib/os-release /image \
    && echo 'tasktally:x:65532:65532:tasktally:/var/lib/tasktally:/sbin/nologin' > /image/etc/passwd \
    && echo 'tasktally:x:65532:' > /image/etc/group \
    && chown 65532:65532 /image/var/lib/tasktally \
    && chmod 0700 /image/var/lib/tasktally \
    && find /image -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM scratch
LABEL org.opencontainers.image.title=tasktally \
      org.opencontainers.image.description="Exact, pushed, durable statistics of a task router" \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=root /image /
USER 65532:65532
WORKDIR /var/lib/tasktally
# On the address of the container, so the server wants credentials or TASKTALLY_ALLOW_UNAUTHENTICATED=true. Health by
# itself is for the check below, which then needs neither TLS nor credentials.
ENV TASKTALLY_LISTEN=0.0.0.0:50051 \
    TASKTALLY_HEALTH_LISTEN=127.0.0.1:50052 \
    TASKTALLY_DATA_DIR=/var/lib/tasktally/data
EXPOSE 50051
VOLUME ["/var/lib/tasktally"]
STOPSIGNAL SIGTERM
# Not ready until the journal is replayed: half an hour is what the chart allows for it, too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \
    CMD ["/usr/bin/tasktally", "healthcheck", "--address", "127.0.0.1:50052", "--service", "readiness"]
ENTRYPOINT ["/usr/bin/tasktally"]
CMD ["serve"]
