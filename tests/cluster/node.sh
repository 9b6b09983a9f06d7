#!/usr/bin/env bash
# The first process of the node: starts Kubernetes around itself, step by step, and lives as long as it does.
# Called by cluster.sh with STATE, LEVEL (runtime, api or node), KUBE_ASSETS, ETCD and IMAGES.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
address=192.168.250.1
service_range=10.96.0.0/16
pod_range=10.244.0.0/24
server=https://$address:6443
pki=$STATE/pki

# Writes down which step begins, for whoever asks why it went no further.
step() { printf '%s\n' "$*" >>"$STATE/steps"; }

# Waits for a command to go well: up to 60 s, or up to so many where it is told.
wait_for() {
    local seconds=60
    [[ $1 =~ ^[0-9]+$ ]] && { seconds=$1; shift; }
    for _ in $(seq $((seconds * 5))); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    echo "not within $seconds s: $*" >&2
    return 1
}

# Runs a program for as long as the node lives; one that ends is started again, as a kubelet would do with a static pod.
keep() {
    local name=$1
    shift
    while true; do
        "$@" >>"$STATE/log/$name" 2>&1 || true
        sleep 0.5
    done &
}

kubectl() { "$KUBE_ASSETS/kubectl" --kubeconfig "$STATE/admin.kubeconfig" "$@"; }
# It draws its progress with dots.
openssl() { command openssl "$@" 2>>"$STATE/log/openssl"; }
ctr() { command ctr --address "$STATE/containerd.sock" --namespace k8s.io "$@"; }

make_network() {
    ip link set lo up
    ip link add node0 type bridge
    ip address add "$address/24" dev node0
    ip link set node0 up
    # A ClusterIP has no route of its own, and is rewritten only after one was found.
    ip route add default dev node0
    sysctl --quiet --write net.ipv4.ip_forward=1
}

make_keys() {
    mkdir -p "$pki"
    cd "$pki"
    openssl genrsa -out accounts.key 2048
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=gondola-test -days 10
    openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=kube-apiserver
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 10 -out server.crt -extfile <(
        echo "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:$address"
    )
    cd - >/dev/null
}

# One token for each who speaks to the API server, and a kubeconfig with it.
make_identities() {
    cat >"$pki/tokens.csv" <<TOKENS
token-of-admin,admin,1,system:masters
token-of-controllers,system:kube-controller-manager,2
token-of-scheduler,system:kube-scheduler,3
token-of-node,system:node:node1,4,system:nodes
token-of-proxy,system:kube-proxy,5
TOKENS
    local who
    for who in admin controllers scheduler node proxy; do
        cat >"$STATE/$who.kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "$server", certificate-authority: "$pki/ca.crt"}}]
users: [{name: $who, user: {token: token-of-$who}}]
contexts: [{name: test, context: {cluster: test, user: $who}}]
CONFIG
    done
}

start_api_server() {
    keep etcd "$ETCD" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    # RBAC stays on: what the chart grants is what the operator has.
    keep kube-apiserver "$KUBE_ASSETS/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
        --advertise-address "$address" --bind-address 0.0.0.0 --secure-port 6443 \
        --tls-cert-file "$pki/server.crt" --tls-private-key-file "$pki/server.key" --client-ca-file "$pki/ca.crt" \
        --token-auth-file "$pki/tokens.csv" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/accounts.key" \
        --service-account-signing-key-file "$pki/accounts.key" --service-cluster-ip-range "$service_range" \
        --allow-privileged --kubelet-preferred-address-types InternalIP
    wait_for 120 kubectl get --raw /readyz
}

start_controllers() {
    keep kube-controller-manager "$KUBE_ASSETS/kube-controller-manager" --kubeconfig "$STATE/controllers.kubeconfig" \
        --use-service-account-credentials --service-account-private-key-file "$pki/accounts.key" \
        --root-ca-file "$pki/ca.crt" --leader-elect=false --bind-address 127.0.0.1
    wait_for kubectl get serviceaccount default
}

start_containerd() {
    mkdir -p "$STATE/cni"
    cat >"$STATE/containerd.toml" <<CONFIG
version = 2
root = "$STATE/containerd"
state = "$STATE/containerd-state"
[grpc]
address = "$STATE/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:test"
# A machine may not let anybody lower the score, and runc then ends without a word of why.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$STATE/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
CONFIG
    cat >"$STATE/cni/10-pods.conflist" <<CONFIG
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$STATE/cni-addresses", "ranges": [[{"subnet": "$pod_range"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CONFIG
    keep containerd containerd --config "$STATE/containerd.toml"
    wait_for ctr version
}

import_images() {
    local image
    for image in "$IMAGES"/*.tar; do
        ctr images import "$image"
    done
}

start_node() {
    keep kube-scheduler "$KUBE_ASSETS/kube-scheduler" --kubeconfig "$STATE/scheduler.kubeconfig" --leader-elect=false \
        --bind-address 127.0.0.1
    cat >"$STATE/kubelet.yaml" <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix://$STATE/containerd.sock
# The network is sealed.
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
resolvConf: ""
podLogsDir: $STATE/pod-logs
# Images can't be pulled again here: a disk that is nearly full, whoever filled it, is no reason to remove them.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%"}
enforceNodeAllocatable: [pods]
cgroupsPerQOS: true
makeIPTablesUtilChains: false
oomScoreAdj: 0
CONFIG
    keep kubelet "$KUBE_ASSETS/kubelet" --config "$STATE/kubelet.yaml" --root-dir "$STATE/kubelet" \
        --kubeconfig "$STATE/node.kubeconfig" --hostname-override node1 --node-ip "$address" --cert-dir "$STATE/kubelet-pki"
    cat >"$STATE/proxy.yaml" <<CONFIG
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.244.0.0/16
clientConnection: {kubeconfig: $STATE/proxy.kubeconfig}
# What they would set belongs to the machine.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
bindAddress: $address
hostnameOverride: node1
oomScoreAdj: 0
CONFIG
    keep kube-proxy "$KUBE_ASSETS/kube-proxy" --config "$STATE/proxy.yaml"
    wait_for 120 kubectl wait --for=condition=Ready node/node1 --timeout=1s
}

step "sealing mounts"
mount -t tmpfs tmpfs /run
mount --make-rshared /
step "making the network"
make_network
step "making keys"
make_keys
make_identities
if [ "$LEVEL" != runtime ]; then
    step "starting etcd and kube-apiserver"
    start_api_server
    step "starting kube-controller-manager"
    start_controllers
fi
if [ "$LEVEL" != api ]; then
    step "starting containerd"
    start_containerd
    step "importing images"
    import_images
fi
if [ "$LEVEL" = node ]; then
    step "starting kube-scheduler, kubelet and kube-proxy"
    start_node
fi
step "up"
touch "$STATE/up"
# Reaps what its children leave behind, and goes on until it is killed.
while true; do wait -n 2>/dev/null || sleep 1; done
