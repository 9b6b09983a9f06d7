#!/usr/bin/env bash
# Times requests on generated data of the size of a fashion chain's: in process, then over gRPC, one scorer after the other.
#   bench.sh FOLDER    which keeps the data (about 3 GB) for the next time
set -euo pipefail

folder=$1
binaries=$CARGO_TARGET_DIR/release
address=${BENCH_LISTEN:-127.0.0.1:8090}

"$binaries/gondola-bench" synthetic --data "$folder"
data=$folder/105542-items-200000-users

for scorer in dlrm forest; do
    "$binaries/gondola-inference" --log warn up --file "$data/$scorer.yaml" --cache "$folder/fetched" --online-file "$folder/online.redb" --listen "$address" &
    server=$!
    trap 'kill $server 2>/dev/null || true' EXIT
    for _ in $(seq 600); do
        curl --silent --fail --output /dev/null "http://$address/readyz" && break
        kill -0 $server
        sleep 0.2
    done
    echo
    echo "over gRPC, $scorer"
    "$binaries/gondola-bench" grpc --url "http://$address" --pid $server
    kill $server
    wait $server || true
    trap - EXIT
done
