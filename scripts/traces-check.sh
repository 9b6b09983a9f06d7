#!/usr/bin/env bash
# A request's spans in a real OpenTelemetry collector, made of the project's own Go modules.
#   traces-check.sh OUTPUT COLLECTOR    the demo's folder, and the collector's program
set -euo pipefail

output=$1 collector=$(realpath "$2")
bin=$CARGO_TARGET_DIR/release
trace=4bf92f3577b34da6a3ce929d0e0e4736 listen=127.0.0.1:18385

"$(dirname "$0")/demo.sh" train "$output"
output=$(realpath "$output")
work=$output/traces-check
rm -rf "$work" && mkdir -p "$work"
"$collector" --config file:tests/opentelemetry/collector.yaml >"$work/collector.log" 2>&1 &
collected=$!
"$bin/gondola-inference" up --file examples/complete-journey/pipeline.yaml --store "file://$output/store" \
    --online-file "$work/online.redb" --listen "$listen" --traces-endpoint http://127.0.0.1:14317 --traces-sampling 0% \
    >"$work/pipeline.log" 2>&1 &
pipeline=$!
trap 'kill $pipeline $collected 2>/dev/null || true; wait $pipeline $collected || true' EXIT
scripts/until-answered.sh "$work" "http://$listen/readyz"
curl -fs -H "traceparent: 00-$trace-00f067aa0ba902b7-01" "http://$listen/v1/recommend?user=1&k=3" >/dev/null
curl -fs "http://$listen/v1/recommend?user=2&k=3" >/dev/null
curl -fs "http://$listen/metrics" >"$work/metrics"
# What is still there is sent at the end.
kill "$pipeline" && wait "$pipeline" || true
sleep 1

for wanted in "Name           : GET /v1/recommend" "Name           : retrieval" "Name           : scoring" "Name           : ordering" \
    "Trace ID       : $trace" "Parent ID      : 00f067aa0ba902b7" "gondola.variant: Str(" "service.name: Str(gondola-inference)"; do
    grep -qF -- "$wanted" "$work/collector.log" || {
        echo "traces-check.sh: the collector did not get $wanted; see $work/collector.log" >&2
        exit 1
    }
done
others=$(grep "Trace ID       :" "$work/collector.log" | grep -vcF "$trace" || true)
((others == 0)) || { echo "traces-check.sh: $others spans of a trace that nobody wanted kept" >&2; exit 1; }
grep -qF "# {trace_id=\"$trace\"}" "$work/metrics" || { echo "traces-check.sh: no time in the metrics has the trace" >&2; exit 1; }
echo "the collector got $(grep -c "Trace ID       :" "$work/collector.log") spans of the one trace that was to be kept"
