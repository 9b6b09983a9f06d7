#!/usr/bin/env bash
# The images of a test cluster: ours, from the same root file systems as the Dockerfile's, and the one that holds pods open.
#   images.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?name the folder of the images}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder" "$work/pause/usr/bin"

images=(operator router inference train)
# Where it was built: make build-ballista.
if [ -x "$CARGO_TARGET_DIR/release/gondola-train-ballista" ]; then
    images+=(train-ballista)
fi
for image in "${images[@]}"; do
    "$here/../../scripts/root-filesystem.sh" "$image" "$work/$image"
    "$here/image.sh" "$work/$image" "localhost/gondola-$image:test" "/usr/bin/gondola-${image%-ballista}" "$folder/gondola-$image.tar"
done
gcc -static -Os -o "$work/pause/usr/bin/pause" "$here/pause.c"
"$here/image.sh" "$work/pause" localhost/pause:test /usr/bin/pause "$folder/pause.tar"
