# The worker with kubectl and helm, for upgrades of Helm releases, on top of the image of ../Dockerfile:
#   docker build --tag redis-ferry . && docker build --tag redis-ferry-kubernetes - < deploy/kubernetes.Dockerfile
ARG BASE=redis-ferry

FROM ${BASE} AS tools
USER root
RUN apt-get update && apt-get install -y --no-install-recommends curl
# kubectl may be one minor version apart from the cluster's.
ARG KUBECTL=v1.34.4
ARG HELM=v3.19.5
WORKDIR /tools
RUN arch=$(dpkg --print-architecture) \
 && curl --fail --silent --show-error --location --remote-name-all \
      "https://dl.k8s.io/release/${KUBECTL}/bin/linux/${arch}/kubectl" \
      "https://dl.k8s.io/release/${KUBECTL}/bin/linux/${arch}/kubectl.sha256" \
      "https://get.helm.sh/helm-${HELM}-linux-${arch}.tar.gz" \
      "https://get.helm.sh/helm-${HELM}-linux-${arch}.tar.gz.sha256sum" \
 && echo "$(cat kubectl.sha256)  kubectl" | sha256sum --check \
 && sha256sum --check "helm-${HELM}-linux-${arch}.tar.gz.sha256sum" \
 && tar --extract --gzip --file "helm-${HELM}-linux-${arch}.tar.gz" --strip-components=1 "linux-${arch}/helm" \
 && chmod 755 kubectl helm

FROM ${BASE}
# For apps that the hokusai CLI looks after: --build-arg HOKUSAI=1.1.0
ARG HOKUSAI=
USER root
RUN [ -z "${HOKUSAI}" ] || { apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && python3 -m venv /opt/hokusai && /opt/hokusai/bin/pip install --no-cache-dir "hokusai==${HOKUSAI}" \
 && ln -s /opt/hokusai/bin/hokusai /usr/local/bin/hokusai && rm -rf /var/lib/apt/lists/*; }
USER node
COPY --from=tools /tools/kubectl /tools/helm /usr/local/bin/
