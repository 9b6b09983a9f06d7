#!/usr/bin/env bash
# A shop in the browser over the demo's pipeline, until Ctrl-C.
#   shop.sh OUTPUT LISTEN SHOP    the demo's folder, and where pipeline and shop listen
set -euo pipefail

output=$1 listen=$2 shop=$3
bin=$CARGO_TARGET_DIR/release

"$(dirname "$0")/demo.sh" train "$output"
output=$(realpath "$output")
"$bin/gondola-inference" up --file examples/complete-journey/pipeline.yaml --store "file://$output/store" \
    --online-file "$output/online.redb" --listen "$listen" &
pipeline=$!
trap 'kill "$pipeline" 2>/dev/null || true; wait "$pipeline" || true' EXIT
until curl -fs "http://$listen/readyz" >/dev/null; do
    kill -0 "$pipeline" 2>/dev/null || { echo "shop.sh: the pipeline ended before it was ready" >&2; exit 1; }
    sleep 0.2
done
cat <<MESSAGE

The shop is at http://$shop/ and the pipeline at http://$listen/ until Ctrl-C.

MESSAGE
"$bin/gondola-shop" --listen "$shop" --pipeline "http://$listen"
