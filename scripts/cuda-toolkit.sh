#!/usr/bin/env bash
# Lays out a CUDA toolkit, as much of one as candle takes to be built: the compiler, headers and libraries of
# cuda-toolkit.txt, from PyPI, which needs neither a GPU nor its driver on this machine.
#
#     scripts/cuda-toolkit.sh PYTHON DESTINATION
#
# The destination is there whole or not at all.
set -euo pipefail

python=$1 destination=$2
requirements=$(dirname "$0")/cuda-toolkit.txt

mkdir -p "$(dirname "$destination")"
work=$(mktemp -d "$destination.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "fetching CUDA, half a gigabyte"
"$python" -m pip download --quiet --no-deps --require-hashes --dest "$work/wheels" --requirement "$requirements"
for wheel in "$work"/wheels/*.whl; do
    unzip -q -o "$wheel" 'nvidia/cu13/*' -d "$work"
done
toolkit=$work/nvidia/cu13
chmod 755 "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
# Wheels have neither the names that a linker looks for nor the folder where nvcc does.
for library in "$toolkit"/lib/lib*.so.*; do
    link=${library%%.so.*}.so
    [ -e "$link" ] || ln -s "$(basename "$library")" "$link"
done
ln -s lib "$toolkit/lib64"
# The driver's library comes with the driver. A stand-in has its names, which are all that the header speaks of and more than
# enough: to be linked to here, and to answer CUDA_ERROR_NO_DEVICE where there is no driver.
mkdir "$toolkit/lib/stubs"
grep --only-matching --extended-regexp '\bcu[A-Z][A-Za-z0-9_]*' "$toolkit/include/cuda.h" | sort --unique |
    sed 's/.*/int &(void) { return 100; }/' |
    cc -shared -fPIC -Wl,-soname,libcuda.so.1 -x c -o "$toolkit/lib/stubs/libcuda.so" -
mv -T "$toolkit" "$destination"
