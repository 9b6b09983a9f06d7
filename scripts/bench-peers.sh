#!/usr/bin/env bash
# Runs the Python pipeline and Gondola on the same artifacts in turn: whole requests, then scoring alone.
#   bench-peers.sh FOLDER    which holds venv/ and artifacts/; bundles/ is made from the artifacts
set -euo pipefail

folder=$1
python=$folder/venv/bin/python

if [[ ! -e $folder/bundles/.done || -n $(find benchmarks/peers -name '*.py' -newer "$folder/bundles/.done") ]]; then
    "$python" benchmarks/peers/export_bundles.py --artifacts "$folder/artifacts" --out "$folder/bundles"
    "$python" benchmarks/peers/scorers.py make --artifacts "$folder/artifacts" --bundles "$folder/bundles"
    touch "$folder/bundles/.done"
fi
"$python" benchmarks/peers/compare.py --artifacts "$folder/artifacts" --bundles "$folder/bundles" \
    --gondola "$CARGO_TARGET_DIR/release/gondola-bench recommend"
"$python" benchmarks/peers/scorers.py compare --artifacts "$folder/artifacts" --bundles "$folder/bundles" \
    --gondola "$CARGO_TARGET_DIR/release/gondola-bench scorers"
