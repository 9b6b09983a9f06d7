#!/usr/bin/env bash
# Times the lists of all customers of a fashion chain, first with DLRM, then with the forest; beside them, in the same run, what Python's
# libraries take for a user.
#   bench-batch.sh DATA PEERS    DATA keeps the generated data (about 6 GB), PEERS holds venv/ and artifacts/
set -euo pipefail

data=$1
peers=$2
binaries=$CARGO_TARGET_DIR/release
python=$peers/venv/bin/python
customers=1371980

"$binaries/gondola-bench" synthetic --data "$data" --users $customers --make-only
shop=$data/105542-items-$customers-users
out=$(mktemp --directory --tmpdir="$data" batch.XXXX)
trap 'rm -rf "$out"' EXIT

grep --max-count 1 "model name" /proc/cpuinfo
echo "$(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg); commit $(git describe --always --dirty); $customers customers"
for scorer in dlrm forest; do
    echo
    echo "gondola-inference batch, $scorer"
    time "$binaries/gondola-inference" --log warn batch --file "$shop/$scorer.yaml" --cache "$data/fetched" --out "$out/$scorer"
    du --summarize --human-readable "$out/$scorer"
done

echo
echo "implicit, the nearest items alone, all cores"
"$python" benchmarks/peers/implicit_batch.py --artifacts "$peers/artifacts"
echo
echo "the tuned Python pipeline in bulk, one core"
"$python" benchmarks/peers/python_pipeline.py batch --dir "$peers/artifacts"
