#!/usr/bin/env bash
# Checks what an online store promises, with a real Redis and real processes, on the bundles of the demo.
#   live-check.sh OUTPUT [--only CHECK].. [--scale SHARE]   OUTPUT is the demo's; what is trained there already is reused
set -euo pipefail

output=$(realpath -m "$1")
shift
bin=$CARGO_TARGET_DIR/release

scripts/demo.sh train "$output"
# A flood of requests has a connection for each.
ulimit -n "$(ulimit -Hn)"
exec "$bin/live-check" --programs "$bin" --store "$output/store" --work "$output/live-check" "$@"
