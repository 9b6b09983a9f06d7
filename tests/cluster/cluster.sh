#!/usr/bin/env bash
# A Kubernetes node of its own on this machine, for tests. As root.
#   cluster.sh up STATE LEVEL         runtime: containers alone; api: API server and controller manager alone; node: everything
#   cluster.sh in STATE COMMAND...    runs a command where the node lives
#   cluster.sh down STATE             ends it, and leaves nothing behind
#
# KUBE_ASSETS names the folder with Kubernetes' own programs; IMAGES one with the images to import, as OCI archives; ETCD
# the etcd to run. The node lives in namespaces of its own (mounts, network, processes): its ports clash with nobody's, no packet
# leaves the machine, and the end of its first process is the end of everything in it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mode=${1:?name what to do: up, in or down} state=$(realpath -m "${2:?name the folder of the state}")
shift 2

# The first process inside, as it is seen from outside.
inside() {
    local outside
    outside=$(cat "$state/pid" 2>/dev/null) || return 1
    pgrep --parent "$outside" 2>/dev/null | head -n 1
}

# Cgroups that pods left; those of others stay, since rmdir takes none with a process in it.
remove_cgroups() {
    find /sys/fs/cgroup -depth -type d \( -path '*/k8s.io*' -o -path '*/kubepods*' \) -exec rmdir {} + 2>/dev/null || true
}

down() {
    [ -d "$state" ] || return 0
    # SIGTERM would end nothing: unshare waits for its child.
    kill -KILL "$(cat "$state/pid" 2>/dev/null)" 2>/dev/null || true
    for _ in $(seq 50); do
        inside >/dev/null && sleep 0.1 || break
    done
    remove_cgroups
    rm -rf "$state"
}

up() {
    local level=${1:?name the level: runtime, api or node}
    "$here/assets.sh" "$level"
    down
    mkdir -p "$state/log"
    STATE=$state LEVEL=$level setsid unshare --mount --net --pid --fork --mount-proc --kill-child \
        "$here/node.sh" >"$state/log/node" 2>&1 &
    echo $! >"$state/pid"
    while kill -0 "$(cat "$state/pid")" 2>/dev/null; do
        [ -e "$state/up" ] && return 0
        sleep 0.2
    done
    local step
    step=$(tail -n 1 "$state/steps" 2>/dev/null || echo "the first step")
    echo "cluster.sh: the cluster did not come up: $step failed; the end of its log:" >&2
    tail -n 5 "$state/log/node" >&2
    # What the logs say is worth more than a tidy folder.
    cp -r "$state/log" "$state.log" && echo "all logs: $state.log" >&2
    down
    return 1
}

case $mode in
up) up "$@" ;;
down) down ;;
in)
    first=$(inside) || { echo "cluster.sh: there is no cluster in $state; bring it up first" >&2; exit 1; }
    exec nsenter --target "$first" --mount --net --pid -- env --chdir="$PWD" KUBECONFIG="$state/admin.kubeconfig" PATH="${KUBE_ASSETS:+$KUBE_ASSETS:}$PATH" "$@"
    ;;
*) echo "cluster.sh: there is no mode $mode; name up, in or down" >&2; exit 2 ;;
esac
