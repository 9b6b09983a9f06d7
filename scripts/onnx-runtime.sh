#!/usr/bin/env bash
# Fetches ONNX Runtime's library out of its wheel, checks its digest, and leaves it as FOLDER/libonnxruntime.so.
#   onnx-runtime.sh PYTHON "onnxruntime==VERSION --hash=sha256:... --hash=sha256:..." FOLDER
# Wheels of one version of Python have what we take from all of them. The folder is there whole or not at all.
set -euo pipefail

python=$1 requirement=$2 folder=$3

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fetching ${requirement%% *}"
echo "$requirement" >"$work/requirements.txt"
"$python" -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --require-hashes --dest "$work" -r "$work/requirements.txt"
mkdir "$work/content"
unzip -q -j "$work"/*.whl 'onnxruntime/capi/libonnxruntime.so.*' onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt -d "$work/content"
mv "$work"/content/libonnxruntime.so.* "$work/content/libonnxruntime.so"
chmod 755 "$work/content"
mv -T "$work/content" "$folder"
