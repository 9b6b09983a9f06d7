#!/usr/bin/env bash
# The Python package: its tests, types and form, its notebooks, and the clients in other languages.
#   python.sh data PYTHON OUTPUT     only makes the shop and the experiment that these read (what is there is reused)
#   python.sh check PYTHON OUTPUT    makes them, and checks everything
#   python.sh lab PYTHON OUTPUT      makes them, and opens the notebooks in JupyterLab
set -euo pipefail

mode=$1 python=$2
mkdir -p "$3"
output=$(realpath "$3")
bin=$CARGO_TARGET_DIR/release

export GONDOLA_INFERENCE=$bin/gondola-inference GONDOLA=$bin/gondola
export GONDOLA_SHOP=$output/shop GONDOLA_EXPERIMENT=$output/experiment
# The package as it is here, for kernels of notebooks too, and not one that another working copy installed.
export PYTHONPATH=$PWD/python/src PYTHONDONTWRITEBYTECODE=1

scripts/small-shop.sh "$python" "$GONDOLA_SHOP" >"$output/training.log" 2>&1 ||
    { tail -n 30 "$output/training.log" >&2; exit 1; }
if [[ ! $GONDOLA_EXPERIMENT/status.json -nt $GONDOLA_INFERENCE ]]; then
    rm -rf "$GONDOLA_EXPERIMENT"
    "$python" python/notebooks/small_experiment.py "$GONDOLA_SHOP/store" "$GONDOLA_EXPERIMENT"
fi
case $mode in
data) ;;
check)
    cd python
    "$python" -m ruff format --quiet --check --no-cache --config pyproject.toml . ../examples/clients
    "$python" -m ruff check --quiet --no-cache --config pyproject.toml . ../examples/clients
    "$python" -m mypy --cache-dir "$output/mypy"
    exec "$python" -m pytest --quiet -p no:cacheprovider
    ;;
lab)
    cd python/notebooks
    as_root=()
    if ((EUID == 0)); then as_root=(--allow-root); fi
    exec "$python" -m jupyterlab "${as_root[@]}"
    ;;
*)
    echo "python.sh: no mode $mode (data, check, lab)" >&2
    exit 2
    ;;
esac
