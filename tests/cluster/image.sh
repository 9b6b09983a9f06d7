#!/usr/bin/env bash
# Packs a root file system as an image, without any registry or daemon.
#   image.sh ROOT NAME ENTRYPOINT FILE
#
# FILE becomes an archive in the OCI image layout (https://github.com/opencontainers/image-spec), with one layer, the user that
# the Dockerfile names, and the name under which containerd keeps it.
set -euo pipefail
root=${1:?name the root file system} name=${2:?name the image} entrypoint=${3:?name the program} file=${4:?name the archive}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blobs/sha256" "$(dirname "$file")"

# Moves a file among the blobs; prints its digest and size as a descriptor's fields.
blob() {
    local digest size
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    size=$(stat --format %s "$1")
    mv "$1" "$work/blobs/sha256/$digest"
    printf '"digest": "sha256:%s", "size": %s' "$digest" "$size"
}

tar --create --file "$work/layer" --directory "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 .
layer=$(blob "$work/layer")
diff_id=$(sed -E 's/.*"(sha256:[0-9a-f]+)".*/\1/' <<<"$layer")
cat >"$work/config" <<JSON
{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["$diff_id"]},
 "config": {"User": "65532:65532", "Entrypoint": ["$entrypoint"], "Env": ["PATH=/usr/bin"]}}
JSON
config=$(blob "$work/config")
cat >"$work/manifest" <<JSON
{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
 "config": {"mediaType": "application/vnd.oci.image.config.v1+json", $config},
 "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", $layer}]}
JSON
manifest=$(blob "$work/manifest")
cat >"$work/index.json" <<JSON
{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", $manifest,
 "annotations": {"io.containerd.image.name": "$name"}}]}
JSON
echo '{"imageLayoutVersion": "1.0.0"}' >"$work/oci-layout"
tar --create --file "$file" --directory "$work" oci-layout index.json blobs
