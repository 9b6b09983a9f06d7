#!/usr/bin/env bash
# Lays out the root file system of an image: a program, the libraries that it is linked to, certificates, time zones.
#
#     scripts/root-filesystem.sh operator|inference FOLDER
#
# The Dockerfile and the tests both call this, so that what is tested is what is shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?name an image: operator or inference}
root=${2:?name the folder to lay the root file system out in}
case $image in
operator | inference) ;;
*) echo "root-filesystem.sh: there is no image $image; name operator or inference" >&2; exit 2 ;;
esac
program=gondola-$image
built=${CARGO_TARGET_DIR:-target}/release/$program
if [ ! -x "$built" ]; then
    echo "root-filesystem.sh: $built is not there; run make build first" >&2
    exit 1
fi
rm -rf "$root"
mkdir -p "$root"/{usr/bin,etc/ssl/certs,tmp}
cp "$built" "$root/usr/bin/$program"
strip "$root/usr/bin/$program"
# What the loader would find, at the places where it looks.
ldd "$built" | awk '$3 ~ /^\// {print $3} $1 ~ /^\// {print $1}' | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp --dereference "$library" "$root$library"
done
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'root:x:0:0::/:/sbin/nologin\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' > "$root/etc/group"
chmod 1777 "$root/tmp"
