#!/usr/bin/env bash
# Says whether KUBE_ASSETS holds what a level needs: every program, all of the version that this project is tested with.
#   assets.sh runtime|api|node
set -euo pipefail
level=${1:?name the level: runtime, api or node}
[ "$level" = runtime ] && exit 0
# The minor version of k8s-openapi's and of the API server of `make test`. Kubelets from 1.37 on need another container runtime.
wanted=1.36

programs=(kubectl kube-apiserver kube-controller-manager)
[ "$level" = node ] && programs+=(kube-scheduler kubelet kube-proxy)
for program in "${programs[@]}"; do
    file=${KUBE_ASSETS:?names the folder of the programs of Kubernetes}/$program
    if [ ! -x "$file" ]; then
        echo "KUBE_ASSETS=$KUBE_ASSETS holds no $program; put Kubernetes $wanted's there, or unset KUBE_ASSETS" >&2
        exit 1
    fi
    if [ "$program" = kubectl ]; then
        found=$("$file" version --client 2>&1 || true)
    else
        found=$("$file" --version 2>&1 || true)
    fi
    found=$(grep -oE 'v[0-9]+\.[0-9]+\.[0-9]+' <<<"$found" | head -n 1)
    if [[ $found != v$wanted.* ]]; then
        echo "$file is ${found:-not a program that reports its version}, but these tests are for Kubernetes $wanted" >&2
        exit 1
    fi
done
