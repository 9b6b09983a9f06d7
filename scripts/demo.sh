#!/usr/bin/env bash
# The quickstart: trains on the Complete Journey (what is there already is reused), then serves.
#   demo.sh serve OUTPUT LISTEN    until Ctrl-C
#   demo.sh check OUTPUT           asks as a client would, checks the answers, stops
#   demo.sh scorers OUTPUT         the same check, with each of the seven scorers as a variant
#   demo.sh train OUTPUT           only leaves the bundles there
#   demo.sh experiment OUTPUT LISTEN   an A/B experiment with a simulated shop until it is decided, then serves until Ctrl-C
#   demo.sh experiment-check OUTPUT    the same, and stops
set -euo pipefail

mode=$1 output=$(realpath -m "$2")
bin=$CARGO_TARGET_DIR/release
example=examples/complete-journey
dataset=$example/dataset.yaml pipeline=$example/pipeline.yaml

mkdir -p "$output"
if [[ $mode == scorers ]]; then
    pipeline=$example/all-scorers.yaml
    # The example says nothing of training: its defaults do, which train two scorers.
    { cat "$dataset" && echo "training: {scorers: [dlrm, wide_deep, dcn, mlp, factorization_machine, forest, boosting]}"; } >"$output/dataset.yaml"
    dataset=$output/dataset.yaml
fi
"$bin/gondola-train" run \
    --config "$dataset" \
    --data "$GONDOLA_DATA/complete-journey" \
    --encoder "$GONDOLA_ENCODER" \
    --store "file://$output/store" \
    --report "$output/report" \
    --reuse

online=$output/online.redb
if [[ $mode == check || $mode == scorers ]]; then
    # A check begins with what the bundles say.
    online=$output/check.redb
    rm -f "$online"
fi
up=("$bin/gondola-inference" up --file "$pipeline" --store "file://$output/store" --online-file "$online")
case $mode in
train) ;;
serve)
    cat <<MESSAGE

The report of the training: file://$output/report/index.html
When the pipeline says that it is ready, ask it (user 1 is a household, item 1082185 bananas):

    curl -s 'http://$3/v1/recommend?user=1&k=12'
    curl -s 'http://$3/v1/similar?item=1082185&k=12'

To see an A/B experiment with a simulated shop, from its ramp to its verdict: make demo-experiment

MESSAGE
    exec "${up[@]}" --listen "$3"
    ;;
experiment | experiment-check)
    events=$output/events
    # Each time from the beginning: what was decided before stays decided.
    rm -rf "$events"
    mkdir -p "$events"
    head -c 32 /dev/urandom | base64 >"$events/unit-key"
    up=("$bin/gondola-inference" up --file "$example/experiment-in-a-minute.yaml" --store "file://$output/store"
        --online-file "$events/online.redb"
        --events-url "file://$events/store" --events-folder "$events/work" --events-flush 1s --unit-key "$events/unit-key")
    if [[ $mode == experiment-check ]]; then
        "$bin/simulated-shop" --browser "$(command -v chromium)" -- "${up[@]}"
        seq -f 'visitor-%g' 100000 >"$events/visitors"
        exec "$bin/gondola" experiment audit --file "$example/experiment-in-a-minute.yaml" \
            --events-url "file://$events/store" --units "$events/visitors" --unit-key "$events/unit-key"
    fi
    "${up[@]}" --listen "$3" &
    server=$!
    trap 'kill "$server" 2>/dev/null || true; wait "$server" || true' EXIT
    until curl -fs "http://$3/readyz" >/dev/null; do sleep 0.2; done
    echo "The experiment's page: http://127.0.0.1:8081/ (it renews itself)"
    "$bin/simulated-shop" --url "http://$3"
    echo "Decided. The page stays until Ctrl-C."
    wait "$server"
    ;;
check | scorers)
    exec "$bin/demo-check" -- "${up[@]}"
    ;;
*)
    echo "demo.sh: no mode $mode (serve, check, scorers, train, experiment, experiment-check)" >&2
    exit 2
    ;;
esac
