#!/usr/bin/env bash
# What asks other people's packages: its form, its types, and its tests, which skip the packages that are not installed.
#   scoreboard-check.sh PYTHON OUTPUT
set -euo pipefail

python=$1
mkdir -p "$2"
output=$(realpath "$2")
export PYTHONDONTWRITEBYTECODE=1

cd training/peers
"$python" -m ruff format --quiet --check --no-cache .
"$python" -m ruff check --quiet --no-cache .
(cd .. && "$python" -m mypy --config-file peers/pyproject.toml --cache-dir "$output/mypy-peers" -p peers)
exec "$python" -m pytest --quiet -p no:cacheprovider
