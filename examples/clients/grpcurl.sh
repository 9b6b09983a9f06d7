#!/usr/bin/env bash
# Usage: grpcurl.sh HOST:PORT USER
set -euo pipefail
address=$1 user=$2

# The server tells what it has: nothing about the API is needed here.
grpcurl -plaintext "$address" list
grpcurl -plaintext "$address" describe gondola.v1.RecommendRequest

# The best items for a user, and items like one of them.
grpcurl -plaintext -d "{\"user\": \"$user\", \"k\": 3}" "$address" gondola.v1.Recommender/Recommend
grpcurl -plaintext -d '{"text": "soft drinks", "k": 3}' "$address" gondola.v1.Recommender/Similar
grpcurl -plaintext "$address" grpc.health.v1.Health/Check
