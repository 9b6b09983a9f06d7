#!/usr/bin/env bash
# Makes sure of a Rust that is new enough. Where there is none, installs rustup from PyPI into the virtual environment
# that the first argument names, and the toolchain with it: Debian 12's own Rust is four years older than ours.
set -euo pipefail

tools=$1
wanted=$(sed -nE 's/^channel = "(.*)"/\1/p' rust-toolchain.toml)
rustup="rustup==1.29.0.1"

is_new_enough() {
    local found
    found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || return 1
    [[ -n $found && $(printf '%s\n' "$wanted" "$found" | sort -V | head -1) == "$wanted" ]]
}

is_new_enough && exit 0

if ! command -v rustup >/dev/null; then
    if command -v cargo >/dev/null; then
        echo "Rust $wanted or newer is needed, and $(command -v cargo) is $(cargo --version): remove it, then run this again" >&2
        exit 1
    fi
    "$tools/bin/python" -m pip install --quiet "$rustup"
fi
echo "installing Rust $wanted"
rustup toolchain install "$wanted" --no-self-update --profile minimal --component clippy --component rustfmt
rustup default "$wanted"
is_new_enough || { echo "no Rust $wanted or newer: install it with rustup, then run this again" >&2; exit 1; }
