#!/usr/bin/env bash
# The scoreboard of a data set as docs/measurements.md has it: its page, its picture and scoreboard.json.
#   scoreboard.sh PROGRAM PYTHON DATASET OUTPUT     a folder of examples: movielens, instacart, complete-journey or discovery
set -euo pipefail

program=$1 python=$2 dataset=$3 output=$4

# Packages and we keep to one thread each where they would take all cores for matrices of a few thousand rows.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
everybody=implicit,rectools,sansa,recpack,rectools-transformer
case $dataset in
movielens) data=movielens-100k against=$everybody trials=20 seeds=5 ;;
# What solves for 13,000 items and more takes packages hours.
instacart) data=instacart-150k against=implicit trials=10 seeds=3 ;;
complete-journey | discovery) data=complete-journey against=implicit trials=10 seeds=1 ;;
*)
    echo "scoreboard.sh: no data set $dataset (movielens, instacart, complete-journey, discovery)" >&2
    exit 2
    ;;
esac
exec "$program" evaluate --against "$against" --python "$python" --trials "$trials" --seeds "$seeds" \
    --config "examples/$dataset/dataset.yaml" --data "$GONDOLA_DATA/$data" --report "$output"
