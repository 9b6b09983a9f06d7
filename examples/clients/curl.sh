#!/usr/bin/env bash
# Usage: curl.sh http://HOST:PORT USER
set -euo pipefail
url=$1 user=$2

# The best items for a user. A failure's body says why: --fail-with-body shows it, and ends the script.
answer=$(curl -sS --fail-with-body --get "$url/v1/recommend" --data-urlencode "user=$user" --data-urlencode k=3)
echo "$answer"
first=$(sed 's/.*"items":\[{"item":"\([^"]*\)".*/\1/' <<<"$answer")

# Items like the first of them.
curl -sS --fail-with-body --get "$url/v1/similar" --data-urlencode "item=$first" --data-urlencode k=3
echo

# The user clicked on it: in their next answer. Sent again under the same event_id it counts once.
curl -sS --fail-with-body --retry 3 "$url/v1/interactions" --data @- <<BODY
{"interactions": [{"event_id": "curl-1", "user": "$user", "item": "$first", "type": "click"}]}
BODY
echo
