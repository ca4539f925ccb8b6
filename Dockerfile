# Two stages: one with network that installs packages and fetches the default model, and one that needs none.
#   docker build -t sallyport:0.1.0 .
#   docker run --read-only -v sallyport-data:/data -p 8443:8443 sallyport:0.1.0
FROM node:24-bookworm-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-pip \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The image has a Node of its own, and the engine computes on the CPU.
RUN npm ci --omit=dev --no-progress \
 && rm -rf node_modules/node-linux-* node_modules/@node-llama-cpp/*-cuda* node_modules/@node-llama-cpp/*-vulkan
COPY certs certs
COPY classifiers classifiers
COPY models models
COPY scripts scripts
COPY server server
COPY bench bench
COPY policies policies
COPY sallyport.yaml LICENSE NOTICE README.md ./
RUN node scripts/sallyport.ts models pull smollm2-135m-instruct

FROM node:24-bookworm-slim
COPY --from=build --chown=root:root /app /app
RUN install --directory --owner=node --group=node --mode=700 /data
WORKDIR /app
USER node
ENV NODE_ENV=production SALLYPORT_DATA=/data SALLYPORT_HOST=0.0.0.0
VOLUME /data
EXPOSE 8443
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["node", "scripts/sallyport.ts", "call", "--ready", "--as", "operator"]
# Makes what /data lacks (keys, certificates), then serves in the foreground; SIGTERM ends it cleanly.
CMD ["node", "scripts/sallyport.ts", "serve", "--setup"]
