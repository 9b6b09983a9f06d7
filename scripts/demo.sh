#!/usr/bin/env bash
# The quickstart: trains on the Complete Journey (what is there already is reused), then serves.
#   demo.sh serve OUTPUT LISTEN    until Ctrl-C
#   demo.sh check OUTPUT           asks as a client would, checks the answers, stops
#   demo.sh scorers OUTPUT         the same check, with each of the six scorers as a variant
#   demo.sh train OUTPUT           only leaves the bundles there
set -euo pipefail

mode=$1 output=$(realpath -m "$2")
bin=$CARGO_TARGET_DIR/release
example=examples/complete-journey
dataset=$example/dataset.yaml pipeline=$example/pipeline.yaml

mkdir -p "$output"
if [[ $mode == scorers ]]; then
    pipeline=$example/six-scorers.yaml
    # The example says nothing of training: its defaults do, which train two scorers.
    { cat "$dataset" && echo "training: {scorers: [dlrm, wide_deep, dcn, mlp, forest, boosting]}"; } >"$output/dataset.yaml"
    dataset=$output/dataset.yaml
fi
"$bin/gondola-train" run \
    --config "$dataset" \
    --data "$GONDOLA_DATA/complete-journey" \
    --encoder "$GONDOLA_ENCODER" \
    --store "file://$output/store" \
    --report "$output/report" \
    --reuse

up=("$bin/gondola-inference" up --file "$pipeline" --store "file://$output/store")
case $mode in
train) ;;
serve)
    cat <<MESSAGE

The report of the training: file://$output/report/index.html
When the pipeline says that it is ready, ask it (user 1 is a household, item 1082185 bananas):

    curl -s 'http://$3/v1/recommend?user=1&k=12'
    curl -s 'http://$3/v1/similar?item=1082185&k=12'

MESSAGE
    exec "${up[@]}" --listen "$3"
    ;;
check | scorers)
    exec "$bin/demo-check" -- "${up[@]}"
    ;;
*)
    echo "demo.sh: no mode $mode (serve, check, scorers, train)" >&2
    exit 2
    ;;
esac
