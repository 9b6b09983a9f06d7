#!/usr/bin/env python3
"""The twelve items with the highest inner products for every user, by `implicit`: retrieval alone, exact, no features, no scorer.

  python implicit_batch.py --artifacts ART [--users 20000] [--threads 2]

The items are those of the other peers; users are points near to items. Prints the time for each user and for all of a chain's
customers, as JSON.
"""
import argparse
import json
import os
import time

# As implicit asks for: its own threads share out the users.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares

CUSTOMERS = 1_371_980
ITEMS = 12
# Users that are handed over at a time: as many as implicit's own recommend_all took.
AT_A_TIME = 1000
SEED = 9


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--artifacts", required=True)
    arguments.add_argument("--users", type=int, default=20_000)
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = arguments.parse_args()
    model = model_of(np.load(os.path.join(arguments.artifacts, "item_emb_64.npy")), arguments.users, arguments.threads)
    recommend(model, AT_A_TIME)
    started = time.perf_counter()
    recommend(model, arguments.users)
    took = time.perf_counter() - started
    print(
        json.dumps(
            {
                "threads": arguments.threads,
                "us_per_user_and_core": round(took / arguments.users * arguments.threads * 1e6),
                "seconds_for_all_customers": round(took / arguments.users * CUSTOMERS),
            }
        )
    )


def model_of(items, users, threads):
    random = np.random.default_rng(SEED)
    near = items[random.integers(0, len(items), users)]
    model = AlternatingLeastSquares(factors=items.shape[1], num_threads=threads)
    model.item_factors = items
    model.user_factors = (near + 0.1 * random.standard_normal(near.shape)).astype(np.float32)
    return model


def recommend(model, users):
    nothing = scipy.sparse.csr_matrix((AT_A_TIME, len(model.item_factors)), dtype=np.float32)
    for first in range(0, users, AT_A_TIME):
        some = np.arange(first, min(first + AT_A_TIME, users))
        items, _ = model.recommend(some, nothing[: len(some)], N=ITEMS, filter_already_liked_items=False)
        assert items.shape == (len(some), ITEMS)


if __name__ == "__main__":
    main()
