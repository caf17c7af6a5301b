# A worker, and the command `ferry` beside it: docker build -t redis-ferry .
# Another base, as from your own registry or with your own certificates: --build-arg BASE=… (Debian with Node.js and a user `node`)
ARG BASE=node:20.20.2-bookworm-slim

FROM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && rm -rf dist/demo && npm prune --omit=dev
# Temporal's native library comes for every platform; this image is of one.
RUN cd node_modules/@temporalio/core-bridge/releases && ls | grep -v "^$(uname -m)-unknown-linux-gnu$" | xargs rm -r

FROM ${BASE}
# Certificates for TLS to Temporal; redis-cli, which break-glass cards are written for; an init that reaps what commands leave behind.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates redis-tools tini \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /app /app
RUN ln -s /app/dist/cli/main.js /usr/local/bin/ferry && chmod 755 /app/dist/cli/main.js \
 && install -d -o node -g node -m 700 /var/lib/redis-ferry
ENV NODE_ENV=production FERRY_HOME=/var/lib/redis-ferry FERRY_METRICS=0.0.0.0:9464 \
    NODE_OPTIONS="--max-old-space-size=300 --max-semi-space-size=1" MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072
# Journals, break-glass cards and receipts: they have to outlive the container.
VOLUME /var/lib/redis-ferry
EXPOSE 9464
USER node
WORKDIR /var/lib/redis-ferry
# The metrics are told by the very process that works.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.FERRY_METRICS.split(':').at(-1)}/metrics`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# On SIGTERM a copy hands back its checkpoint, within 15 seconds: give it more than that (docker stop -t 20).
ENTRYPOINT ["tini", "--", "ferry"]
CMD ["worker"]
