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
COPY --from=tools /tools/kubectl /tools/helm /usr/local/bin/
