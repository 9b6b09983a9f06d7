#!/usr/bin/env bash
# Lints the chart, renders it with odd values, holds what comes out to Kubernetes' schemas, and the kustomize base to what it renders.
#   chart.sh HELM check VALIDATE
#   chart.sh HELM write
set -euo pipefail
cd "$(dirname "$0")/.."
helm=$1 mode=$2 validate=${3:-}
base=charts/kustomize/operator.yaml
# Helm knows a cluster's kinds only when it speaks to one.
policies=admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy
failures=0

# Renders the release gondola in gondola-system; arguments are values for `--set`.
render() { render_as gondola gondola-system "$@"; }

render_as() {
    local release=$1 namespace=$2 arguments=()
    shift 2
    for value in "$@"; do arguments+=(--set "$value"); done
    "$helm" template "$release" charts/gondola --namespace "$namespace" --api-versions "$policies" "${arguments[@]}"
}

# What `kubectl apply --kustomize` takes: nobody who uses it has Helm.
render_base() {
    echo "# Generated from charts/gondola by \`make generate-chart\`; do not edit."
    render | sed -E '/^ +(app\.kubernetes\.io\/managed-by|helm\.sh\/chart): /d'
}

fail() {
    echo "the chart: $1" >&2
    failures=$((failures + 1))
}

# A line that must be there (a fixed text, without its indentation), given the values after it.
has() {
    local line=$1 rendered
    shift
    rendered=$(render "$@" | sed -E 's/^[ -]*//')
    grep --quiet --line-regexp --fixed-strings -- "$line" <<<"$rendered" || fail "with ${*:-no values}, there is no line: $line"
}

# A text that must be nowhere.
lacks() {
    local text=$1 rendered
    shift
    rendered=$(render "$@")
    ! grep --quiet --fixed-strings -- "$text" <<<"$rendered" || fail "with ${*:-no values}, there is still: $text"
}

# Values that must be refused, with a text of the refusal.
refuses() {
    local said
    if said=$(render "$2" 2>&1); then fail "takes $2"; fi
    grep --quiet --fixed-strings -- "$1" <<<"$said" || fail "refuses $2 without saying $1: $said"
}

# The same of a line of a file of values.
refuses_file() {
    local said file
    file=$(mktemp)
    echo "$2" >"$file"
    if said=$("$helm" template gondola charts/gondola --values "$file" 2>&1); then fail "takes $2"; fi
    grep --quiet --fixed-strings -- "$1" <<<"$said" || fail "refuses $2 without saying $1: $said"
    rm "$file"
}

# Kind and name of everything that belongs to no namespace.
cluster_scoped() {
    render_as "$@" | awk '/^kind: /{kind = $2} /^  name: / && !name {name = $2}
        /^---/{report()} END{report()}
        function report() { if (kind ~ /^(ClusterRole|ClusterRoleBinding|ValidatingAdmissionPolicy|ValidatingAdmissionPolicyBinding)$/) print kind, name; kind = name = "" }' | sort
}

check_images() {
    local digest
    digest=sha256:$(printf '0%.0s' {1..64})
    has 'image: "ghcr.io/gondola-dev/gondola-operator:1.10"' image.operator.tag=1.10
    has "value: \"ghcr.io/gondola-dev/gondola-inference:0.1.0@$digest\"" "image.inference.digest=$digest"
    has 'value: "ghcr.io/gondola-dev/gondola-router:1.10"' image.router.tag=1.10
    refuses /image/operator/tag image.operator.tag=20261129
    refuses /image/inference/digest image.inference.digest=sha256:short
}

check_pods() {
    has 'priorityClassName: "1e3"' priorityClassName=1e3
    has 'terminationGracePeriodSeconds: 75'
    has 'runAsUser: 1000680000' pods.user=1000680000
    lacks runAsUser pods.user=
    lacks runAsGroup pods.user=null
    refuses /pods/user pods.user=0
    has 'value: "s3://models/,gs://models/"' 'allowedStores={s3://models/,gs://models/}'
    refuses watchNamespaces watchNamespaces=shop
}

# Everything that a release names after itself, and everything that it must not share.
check_names() {
    local shared rendered
    has 'value: "gondola-operator"'
    rendered=$(render_as 123 456 watchNamespace=left)
    [[ $rendered == *'resourceNames: ["123-operator"]'* ]] || fail "the Lease is not named after the release"
    [[ $rendered == *'namespace: "456"'* && $rendered != *': 456'* && $rendered != *': 123'$'\n'* ]] || fail "a name of digits becomes a number"
    shared=$(comm -12 <(cluster_scoped gondola one watchNamespace=shop-one) <(cluster_scoped gondola two watchNamespace=shop-two))
    [ -z "$shared" ] || fail "releases of one name in two namespaces share $shared"
    shared=$(comm -12 <(cluster_scoped left one watchNamespace=shop-one) <(cluster_scoped right one watchNamespace=shop-two))
    [ -z "$shared" ] || fail "two releases in one namespace share $shared"
    [ -n "$(cluster_scoped gondola one)" ] || fail "this script finds nothing that belongs to no namespace"
}

# Every field has to be one that Kubernetes knows, of its type: in the oldest version that the chart is for, and in a new one.
check_schemas() {
    local rendered version
    rendered=$(mktemp)
    for version in 1.30 1.36; do
        render "$@" >"$rendered"
        "$validate" --strict --quiet --no-warn --kubernetes-version "$version" "$rendered" ||
            fail "with ${*:-no values}, Kubernetes $version does not take it"
    done
    rm "$rendered"
}

# What people have in their values, with texts that YAML would take for something else.
check_odd_values() {
    local digest
    digest=sha256:$(printf '1%.0s' {1..64})
    check_schemas
    check_schemas replicas=1 watchNamespace=shop pods.user= image.operator.tag=1.10 "image.inferenceCuda.digest=$digest"
    check_schemas 'imagePullSecrets[0].name=on' 'tolerations[0].key=gpu' 'tolerations[0].operator=Exists' priorityClassName=1e3 \
        log.filter=warn 'allowedStores={s3://models/}' networkPolicy.apiServerPorts={7443}
    values=$(mktemp)
    printf '%s\n' 'podLabels: {team: "007"}' 'podAnnotations: {build: "1.10", on: "yes"}' 'nodeSelector: {zone: "1"}' \
        'serviceAccount: {annotations: {role: "12"}}' 'resources: {limits: {memory: "1e9"}, requests: {cpu: 1}}' >"$values"
    "$helm" template gondola charts/gondola --values "$values" >"$values.rendered"
    "$validate" --strict --quiet --no-warn "$values.rendered" || fail "texts of digits become numbers"
    # YAML has made 1.1 of 1.10 before anybody sees it: it is refused, and has to be quoted.
    refuses_file /image/operator/tag 'image: {operator: {tag: 1.10}}'
    refuses_file /image/inference/tag 'image: {inference: {tag: 20240101}}'
    refuses_file /podAnnotations/build 'podAnnotations: {build: 1.10}'
    refuses_file /nodeSelector/zone 'nodeSelector: {zone: 1}'
    rm "$values" "$values.rendered"
}

check_switches() {
    lacks 'kind: ClusterRole' watchNamespace=shop aggregateRoles=false dashboard.enabled=false
    lacks tokenreviews dashboard.enabled=false
    lacks ValidatingAdmissionPolicy tenancy.admissionPolicy=false
    has 'matchLabels: {kubernetes.io/metadata.name: "shop"}' watchNamespace=shop
    lacks 'kind: NetworkPolicy' networkPolicy.enabled=false
    lacks 'kind: PodDisruptionBudget' replicas=1
    has '{protocol: TCP, port: 7443}' 'networkPolicy.apiServerPorts={7443}'
    lacks '{protocol: TCP, port: 6443}' 'networkPolicy.apiServerPorts={7443}'
    [[ $("$helm" template gondola charts/gondola) != *ValidatingAdmissionPolicy* ]] ||
        fail "asks for a ValidatingAdmissionPolicy where the cluster serves none"
}

if [ "$mode" = write ]; then
    render_base >"$base"
    echo "wrote $base"
    exit 0
fi
"$helm" lint --quiet --strict charts/gondola
check_images
check_pods
check_names
check_odd_values
check_switches
! grep --quiet -E 'managed-by|helm\.sh' "$base" || fail "$base claims to be Helm's"
if ! diff --unified "$base" <(render_base); then
    fail "$base is not what the chart renders now; run make generate-chart and commit it"
fi
((failures == 0)) || exit 1
echo "the chart is in order"
