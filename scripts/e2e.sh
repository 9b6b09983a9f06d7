#!/usr/bin/env bash
# The operator on a real Kubernetes of this machine, at two levels: its API server and controllers, then a node with pods.
#   e2e.sh DEMO STATE [--level api|node] [ARGUMENTS OF e2e...]     for example --only "stuck rollout"
#
# DEMO holds the bundles that demo.sh made, STATE whatever the clusters need, and afterwards a table for each level. Without KUBE_ASSETS
# nothing is run, and said so.
set -euo pipefail
cd "$(dirname "$0")/.."
demo=$(realpath -m "$1") state=$(realpath -m "$2")
shift 2
levels=(api node)
if [ "${1:-}" = --level ]; then
    levels=("$2")
    shift 2
fi

if [ -z "${KUBE_ASSETS:-}" ]; then
    echo "NOT RUN: level 1 (API server and controllers) and level 2 (a node with pods). KUBE_ASSETS is not set; let it name a folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl of Kubernetes 1.36"
    exit 0
fi
((EUID == 0)) || { echo "e2e.sh: a cluster of its own takes root; run it with sudo --preserve-env" >&2; exit 1; }
cluster=tests/cluster/cluster.sh
export IMAGES=$state/images ETCD=$GONDOLA_API_SERVER_BIN/etcd
bin=$CARGO_TARGET_DIR/release
trap '"$cluster" down "$state/cluster"' EXIT

mkdir -p "$state"
tests/cluster/images.sh "$IMAGES"
failed=()
for level in "${levels[@]}"; do
    echo "level: $level"
    "$cluster" up "$state/cluster" "$level"
    # The S3-compatible server; its memory is its store, and it ends with the cluster.
    "$cluster" in "$state/cluster" "$GONDOLA_S3_SERVER" -H 0.0.0.0 -p 9000 >"$state/s3.log" 2>&1 &
    # Its end is not worth a line.
    disown
    "$cluster" in "$state/cluster" curl --silent --retry 60 --retry-connrefused --retry-delay 1 --output /dev/null \
        --request PUT http://192.168.250.1:9000/models
    # A level that fails says little about the other one.
    "$cluster" in "$state/cluster" "$bin/e2e" --level "$level" --helm "$(command -v helm)" \
        --operator "$bin/gondola-operator" --bundles "$demo/store" --table "$state/table-$level.md" "$@" || failed+=("$level")
    "$cluster" down "$state/cluster"
done
if ((${#failed[@]})); then
    echo "e2e.sh: failed at level ${failed[*]}; the tables: $state/table-*.md" >&2
    exit 1
fi
