#!/usr/bin/env bash
# Waits until somebody answers at each of some URLs, a minute at most for each.
#   until-answered.sh LOGS URL..    LOGS is where to look if nobody does
set -euo pipefail

logs=$1
shift
for url in "$@"; do
    for ((tried = 0; ; tried++)); do
        curl -fs "$url" >/dev/null && break
        if ((tried == 300)); then
            echo "nobody answered at $url within a minute; the logs are in $logs" >&2
            exit 1
        fi
        sleep 0.2
    done
done
