#!/usr/bin/env bash
# A small shop for Python's notebooks and tests, trained in about a minute (what is there already is reused).
#   small-shop.sh PYTHON OUTPUT    a Python with pyarrow, and the folder that gets data, store and report
set -euo pipefail

python=$1
mkdir -p "$2"
output=$(realpath "$2")
"$python" python/notebooks/small_shop.py "$GONDOLA_DATA/complete-journey" "$output/data"
# The encoder of the tests: its vectors mean nothing, and take no time.
"$CARGO_TARGET_DIR/release/gondola-train" run \
    --config "$output/data/dataset.yaml" \
    --data "$output/data" \
    --encoder inference/models/tests/fixtures/clip \
    --store "file://$output/store" \
    --report "$output/report" \
    --reuse
