#!/usr/bin/env bash
# Lints the chart, renders it with several values, and holds the kustomize base to what it renders.
#   chart.sh HELM check|write
set -euo pipefail
cd "$(dirname "$0")/.."
helm=$1 mode=$2
base=charts/kustomize/operator.yaml

render() {
    echo "# Generated from charts/gondola by \`make generate-chart\`; do not edit."
    "$helm" template gondola charts/gondola --namespace gondola-system "$@"
}

if [ "$mode" = write ]; then
    render >"$base"
    echo "wrote $base"
    exit 0
fi
"$helm" lint --quiet --strict charts/gondola
for values in "" "--set watchNamespace=shop" "--set replicas=1,aggregateRoles=false,networkPolicy.enabled=false" \
    "--set allowedStores={s3://models/},image.operator.tag=v1"; do
    # Unquoted: each entry is a list of arguments.
    # shellcheck disable=SC2086
    render $values >/dev/null
done
if ! diff --unified "$base" <(render); then
    echo "$base is not what the chart renders now; run make generate-chart and commit it" >&2
    exit 1
fi
echo "the chart is in order"
