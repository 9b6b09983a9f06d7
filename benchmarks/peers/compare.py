#!/usr/bin/env python3
"""Runs the peer and Gondola on the same artifacts in turn, one thread each on one core, and prints both and their ratios.

  python compare.py --artifacts ART --bundles BUNDLES --gondola "COMMAND" [--rounds 3] [--n 500]

COMMAND gets `--bundles`, `--users`, `--nprobe` and `--answers` and prints JSON as the peer does. What is faster but
answers something else is worth nothing, so first the answers to the same users are compared.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Wide enough for recall@200 of 0.98 against exact search; the peer's own IVF run is at 16, its HNSW at 0.965.
NPROBE = 80
ANSWERS = 200
# What each of our scorers is measured against, the closest first.
PEERS = {
    "dlrm": ["tuned", "tuned_ivf", "seedlike"],
    "forest": ["tuned_rf"],
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--artifacts", required=True)
    arguments.add_argument("--bundles", required=True)
    arguments.add_argument("--gondola", required=True)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--n", type=int, default=500)
    arguments = arguments.parse_args()
    peer = [sys.executable, os.path.join(HERE, "python_pipeline.py")]
    ours = shlex.split(arguments.gondola) + ["--bundles", arguments.bundles, "--nprobe", str(NPROBE)]

    where = ["--dir", arguments.artifacts]
    theirs = run(peer + ["answers", *where, "--n", str(ANSWERS), "--nprobe", str(NPROBE)])
    check_answers(theirs, run(ours + ["--answers", str(ANSWERS)])["answers"])

    rounds = []
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}: peer, Gondola", file=sys.stderr)
        rounds.append((run(peer + ["run", *where, "--n", str(arguments.n)]), run(ours + ["--users", str(arguments.n)])))
    report(rounds)


def run(command):
    """One side, alone on the last core, with nothing set that was meant for another program's OpenBLAS."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    pinned = ["taskset", "--cpu-list", str(os.cpu_count() - 1), *command]
    return json.loads(subprocess.run(pinned, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def check_answers(theirs, ours):
    for name, peer_name in (("dlrm", "dlrm"), ("forest", "rf")):
        same, difference = [], 0.0
        for theirs_top, ours_top in zip(theirs[peer_name], ours[name], strict=True):
            scores = dict(map(tuple, theirs_top))
            common = [(score, scores[item]) for item, score in ours_top if item in scores]
            same.append(len(common) / len(theirs_top))
            difference = max([difference, *(abs(a - b) for a, b in common)])
        print(f"{name}: {statistics.mean(same):.1%} of the peer's top 12 for {len(same)} users, scores differ by at most {difference:.1e}")


def report(rounds):
    peers, ours = zip(*rounds)
    machine = peers[0]["machine"]
    print(f"\n{machine['cpu']}, {machine['cores']} cores, load {machine['load'][0]:.1f}; one thread; median of {len(rounds)} rounds")
    print(f"recall@200: peer {peers[0]['recall_at_200']}, Gondola {ours[0]['recall_at_200']}\n")
    print(f"{'peer : Gondola':24}{'p50 ms':>8}{'p99 ms':>8}{'Gondola p50':>14}{'p99':>8}{'times faster p50':>19}{'p99':>7}")
    for scorer, variants in PEERS.items():
        for variant in variants:
            peer_p50, peer_p99 = total(peers, variant)
            our_p50, our_p99 = total(ours, scorer)
            print(
                f"{variant + ' : ' + scorer:24}{peer_p50:8.2f}{peer_p99:8.2f}{our_p50:14.3f}{our_p99:8.3f}"
                f"{peer_p50 / our_p50:19.1f}{peer_p99 / our_p99:7.1f}"
            )


def total(results, variant):
    """p50 and p99 of the whole request in milliseconds."""
    totals = [result["variants"][variant]["total"] for result in results]
    return [statistics.median(total[quantile] for total in totals) / 1e3 for quantile in ("p50_us", "p99_us")]


if __name__ == "__main__":
    main()
