#!/usr/bin/env bash
# The shop over the demo's pipeline in a real browser, from log-in to check-out; pictures of every page are left below OUTPUT.
#   shop-check.sh OUTPUT NODE MODULES    the demo's folder, a Node, and where npm put what drives a browser
set -euo pipefail

output=$1 node=$2 modules=$3
bin=$CARGO_TARGET_DIR/release
listen=127.0.0.1:18380 shop=127.0.0.1:18390

"$(dirname "$0")/demo.sh" train "$output"
output=$(realpath "$output")
rm -rf "$output/shop-check" && mkdir -p "$output/shop-check"
"$bin/gondola-inference" up --file examples/complete-journey/pipeline.yaml --store "file://$output/store" \
    --online-file "$output/shop-check/online.redb" --listen "$listen" >"$output/shop-check/pipeline.log" 2>&1 &
programs=$!
"$bin/gondola-shop" --listen "$shop" --pipeline "http://$listen" >"$output/shop-check/shop.log" 2>&1 &
programs="$programs $!"
# shellcheck disable=SC2086
trap 'kill $programs 2>/dev/null || true; wait $programs || true' EXIT
scripts/until-answered.sh "$output/shop-check" "http://$listen/readyz" "http://$shop/healthz"
"$node" tests/shop-browser/shop.mjs "http://$shop" "$(command -v chromium)" "$modules" "$output/shop-check/pictures"
echo "pictures of every page: $output/shop-check/pictures"
