#!/usr/bin/env bash
# Off-policy estimates against Open Bandit Pipeline's own: on the committed rounds, which must come out of the script as they are, and
# on the logs inside its wheel.
#   off-policy-check.sh FOLDER      with FOLDER/bin/python, which has the requirements of experiments/tests/off_policy
set -euo pipefail

python=$1/bin/python
here=experiments/tests/off_policy
export PYTHONDONTWRITEBYTECODE=1

"$python" $here/reference.py synthetic "$1/synthetic"
diff --brief "$1/synthetic/synthetic.csv" $here/synthetic.csv
diff --brief "$1/synthetic/expected.json" $here/expected.json
"$python" $here/reference.py logs "$1/logs"
GONDOLA_OBP_LOGS=$1/logs exec cargo test --locked --release --workspace --features gondola-training/ballista --test off_policy -- --include-ignored
