#!/usr/bin/env bash
# Lays out the root file system of an image: a program, the libraries that it is linked to, certificates, time zones.
#
#     scripts/root-filesystem.sh operator|router|inference|shop|train|train-ballista FOLDER
#     scripts/root-filesystem.sh inference-cuda FOLDER TOOLKIT
#
# The Dockerfile and the tests both call this, so that what is tested is what is shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?name an image: operator, router, inference, shop, train, train-ballista or inference-cuda}
root=${2:?name the folder to lay the root file system out in}
case $image in
operator | router | inference | shop | train) toolkit= make=build ;;
train-ballista) toolkit= make=build-ballista ;;
inference-cuda) toolkit=${3:?name the folder of the CUDA toolkit} make=build-cuda ;;
*) echo "root-filesystem.sh: there is no image $image; name operator, router, inference, shop, train, train-ballista or inference-cuda" >&2; exit 2 ;;
esac
release=${CARGO_TARGET_DIR:-target}/release
# What was built, and what it is called in the image.
programs=("gondola-$image:gondola-${image%-cuda}")
if [ "$image" = train-ballista ]; then
    programs=(gondola-train-ballista:gondola-train gondola-ballista:gondola-ballista)
fi
rm -rf "$root"
mkdir -p "$root"/{usr/bin,etc/ssl/certs,tmp}
built=()
for program in "${programs[@]}"; do
    file=$release/${program%:*}
    if [ ! -x "$file" ]; then
        echo "root-filesystem.sh: $file is not there; run make $make first" >&2
        exit 1
    fi
    built+=("$file")
    cp "$file" "$root/usr/bin/${program#*:}"
    strip "$root/usr/bin/${program#*:}"
done
# Networks of other frameworks are run by a library that is loaded when one comes.
case $image in
inference | inference-cuda)
    if [ ! -f "${GONDOLA_ONNX_RUNTIME:-}" ]; then
        echo "root-filesystem.sh: GONDOLA_ONNX_RUNTIME names no file; make names it, and make setup fetches it" >&2
        exit 1
    fi
    mkdir -p "$root/usr/lib"
    cp "$GONDOLA_ONNX_RUNTIME" "$root/usr/lib/libonnxruntime.so"
    mkdir -p "$root/usr/share/doc/onnxruntime"
    cp "$(dirname "$GONDOLA_ONNX_RUNTIME")"/{LICENSE,ThirdPartyNotices.txt} "$root/usr/share/doc/onnxruntime/"
    built+=("$GONDOLA_ONNX_RUNTIME")
    ;;
esac
# What the loader would find, at the places where it looks: those of a toolkit are moved to one of them.
for file in "${built[@]}"; do LD_LIBRARY_PATH=${toolkit:+$toolkit/lib} ldd "$file"; done | awk '$3 ~ /^\// {print $3} $1 ~ /^\// {print $1}' | sort -u | while read -r library; do
    place=$library
    if [ -n "$toolkit" ]; then
        place=${library/#$toolkit\/lib//usr/lib/x86_64-linux-gnu}
    fi
    mkdir -p "$root$(dirname "$place")"
    cp --dereference "$library" "$root$place"
done
if [ -n "$toolkit" ]; then
    # Where a container has the driver, it lies where the loader looks before it looks here.
    cp "$toolkit/lib/stubs/libcuda.so" "$root/usr/lib/libcuda.so.1"
fi
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'root:x:0:0::/:/sbin/nologin\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' > "$root/etc/group"
chmod 1777 "$root/tmp"
