#!/usr/bin/env python3
"""Scoring alone: Gondola and what Python has for the same trees and networks, 200 candidates of one user, one thread.

  python scorers.py make    --artifacts ART --bundles BUNDLES
  python scorers.py compare --artifacts ART --bundles BUNDLES --gondola "COMMAND" [--rounds 3]

`make` needs the bundles of export_bundles.py and adds those of the other families. COMMAND gets `--bundles`, `--scorers` and
`--requests` and prints JSON; `peers` is the other side of it, and prints the like. Both sides answer the same requests, every
scorer in turn, and take turns themselves. What a peer is given is laid out before its clock starts. Nothing is timed unless
all scores agree.
"""
import argparse
import json
import os
import pickle
import shlex
import statistics
import sys
import time

import numpy as np

import networks
import trees
from compare import run
from export_bundles import Artifacts, write_json
from python_pipeline import I_CAT, I_NUM, U_CAT, U_NUM, machine

CANDIDATES = 200
REQUESTS = 100
WARM_UP = 5
# Scores that differ by more are of another model.
TOLERANCE = 1e-4
SEED = 29
COLUMNS = len(U_CAT) + len(U_NUM) + len(I_CAT) + len(I_NUM)
BOOSTING = {
    "objective": "binary",
    "num_leaves": 63,
    "min_data_in_leaf": 50,
    "learning_rate": 0.05,
    "feature_fraction": 0.8,
    "use_missing": False,
    "num_threads": 1,
    "seed": SEED,
    "verbose": -1,
}
BOOSTING_TREES = 100
SCORERS = ["dlrm", "wide-deep", "dcn", "mlp", "forest", "boosting"]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("command", choices=["make", "peers", "compare"])
    arguments.add_argument("--artifacts", required=True)
    arguments.add_argument("--bundles", required=True)
    arguments.add_argument("--gondola")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments = arguments.parse_args()
    {"make": make, "peers": peers, "compare": compare}[arguments.command](arguments)


def requests_file(arguments):
    return os.path.join(arguments.bundles, "requests.json")


# ------------------------------------------------------------------ what both sides load
def make(arguments):
    art = Artifacts(arguments.artifacts)
    folders = {name: os.path.join(arguments.bundles, name) for name in ("mlp", "wide-deep", "dcn", "boosting")}
    paths = {}
    for name, folder in folders.items():
        os.makedirs(folder, exist_ok=True)
        paths[name] = lambda file, folder=folder: os.path.join(folder, file)
    networks.mlp(paths["mlp"], art.path)
    networks.wide_deep(paths["wide-deep"], art.path)
    networks.dcn(paths["dcn"], art.path)
    boosting(art, paths["boosting"])
    forest = trees.of_sklearn(load_forest(art))
    save(trees.to_xgboost(forest, COLUMNS, "reg:squarederror"), art.path("rf.xgboost.json"))
    rng = np.random.default_rng(SEED)
    users, items = len(art.array("user_cat.npy")), len(art.array("item_cat.npy"))
    asked = [[int(rng.integers(users)), rng.integers(items, size=CANDIDATES).tolist()] for _ in range(REQUESTS)]
    write_json(requests_file(arguments), asked)


def save(text, path):
    with open(path, "w") as stream:
        stream.write(text)


def load_forest(art):
    with open(art.path("rf.pkl"), "rb") as stream:
        return pickle.load(stream)


def boosting(art, bundle):
    """Trees of LightGBM, which Gondola loads as they are; the others get the same ones."""
    import lightgbm

    rows, labels = gondola_columns(art.array("rf_x.npy")), art.array("rf_y.npy")
    data = lightgbm.Dataset(rows, labels, feature_name=networks.INPUTS)
    model = lightgbm.train(BOOSTING, data, BOOSTING_TREES)
    model.save_model(bundle("model.txt"))
    write_json(bundle("scorer.json"), {"family": "forest", "inputs": networks.INPUTS})
    same = trees.of_lightgbm(model)
    save(trees.to_xgboost(same, COLUMNS, "binary:logistic"), art.path("boosting.xgboost.json"))
    with open(art.path("boosting.onnx"), "wb") as stream:
        stream.write(trees.to_onnx(same, COLUMNS).SerializeToString())


def gondola_columns(rows):
    """Rows of the peer's forest in the order of Gondola's inputs, and its categories in Gondola's numbering."""
    user_cat, item_cat, user_num, item_num = np.split(rows, np.cumsum([len(U_CAT), len(I_CAT), len(U_NUM)]), axis=1)
    return np.ascontiguousarray(np.concatenate([user_cat + 1, user_num, item_cat + 1, item_num], axis=1))


# ------------------------------------------------------------------ the peers
def peers(arguments):
    """Times and scores of every peer, as JSON."""
    art = Artifacts(arguments.artifacts)
    with open(requests_file(arguments)) as stream:
        requests = [prepared(*request) for request in zip(*raw(art, json.load(stream)))]
    sides = runners(art, arguments.bundles)
    times = {name: [] for name in sides}
    names = list(sides)
    for number in range(-WARM_UP, REQUESTS):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            runner, key = sides[name]
            given = requests[number % REQUESTS][key]
            started = time.perf_counter_ns()
            runner(given)
            if number >= 0:
                times[name].append((time.perf_counter_ns() - started) / 1e3)
    found = {
        name: {
            "times": {"p50_us": statistics.median(times[name])},
            "scores": [np.ravel(runner(request[key])).tolist() for request in requests],
        }
        for name, (runner, key) in sides.items()
    }
    print(json.dumps({"machine": machine(), "peers": found}))


def raw(art, asked):
    """Categories from 0 and normalized numbers of each request's user, repeated, and candidates."""
    users, items = (np.array(rows) for rows in zip(*asked))
    columns = {}
    for entity, short in (("user", "u"), ("item", "i")):
        mean, deviation = (np.float32(art.stats[f"{short}_{what}"]) for what in ("mean", "std"))
        columns[entity] = art.array(f"{entity}_cat.npy"), (art.array(f"{entity}_num.npy") - mean) / deviation
    repeated = [np.repeat(column[users][:, None], CANDIDATES, axis=1) for column in columns["user"]]
    return *repeated, *(column[items] for column in columns["item"])


def prepared(user_cat, user_num, item_cat, item_num):
    """What each kind of peer reads of one request."""
    categories = np.concatenate([user_cat + 1, item_cat + 1], axis=1)
    numbers = np.concatenate([user_num, item_num], axis=1)
    rows = np.concatenate([categories, numbers], axis=1).astype(np.float32)
    return {
        "network": networks.graph_inputs(user_cat, user_num, item_cat, item_num),
        "dlrm": {"cat": categories, "num": numbers},
        "rows": rows,
        "gondola rows": gondola_columns(rows),
    }


def runners(art, bundles):
    """Each peer's name, its scorer's first, with what answers a request and what that reads."""
    import lightgbm
    import treelite

    forest = load_forest(art)
    walked = treelite.sklearn.import_model(forest)
    forest_text = lightgbm.Booster(model_file=os.path.join(bundles, "forest", "model.txt"))
    boosted_text = os.path.join(bundles, "boosting", "model.txt")
    boosted = lightgbm.Booster(model_file=boosted_text)
    boosted_walked = treelite.frontend.load_lightgbm_model(boosted_text)

    def positive(model):
        return lambda x: treelite.gtil.predict(model, x, nthread=1)[..., -1]

    return {
        "dlrm: ONNX Runtime": (onnx_runtime(art.path("dlrm.onnx")), "dlrm"),
        **{f"{name}: ONNX Runtime": (onnx_runtime(art.path(f"{name}.onnx")), "network") for name in ("wide-deep", "dcn", "mlp")},
        "forest: ONNX Runtime": (onnx_runtime(art.path("rf.onnx"), output=1, column=1), "rows"),
        "forest: scikit-learn": (lambda x: forest.predict_proba(x)[:, 1], "rows"),
        "forest: Treelite": (positive(walked), "rows"),
        "forest: LightGBM": (lambda x: forest_text.predict(x, num_threads=1), "gondola rows"),
        "forest: XGBoost": (xgboost_predict(art.path("rf.xgboost.json")), "rows"),
        "boosting: ONNX Runtime": (onnx_runtime(art.path("boosting.onnx")), "gondola rows"),
        "boosting: Treelite": (positive(boosted_walked), "gondola rows"),
        "boosting: LightGBM": (lambda x: boosted.predict(x, num_threads=1), "gondola rows"),
        "boosting: XGBoost": (xgboost_predict(art.path("boosting.xgboost.json")), "gondola rows"),
    }


def onnx_runtime(path, output=0, column=0):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [operand.name for operand in session.get_inputs()]
    wanted = [session.get_outputs()[output].name]

    def score(request):
        given = {name: request[name] for name in names} if isinstance(request, dict) else {names[0]: request}
        return session.run(wanted, given)[0][:, column]

    return score


def xgboost_predict(path):
    import xgboost

    model = xgboost.Booster(model_file=path)
    model.set_param({"nthread": 1})
    return model.inplace_predict


# ------------------------------------------------------------------ both
def compare(arguments):
    where = ["--artifacts", arguments.artifacts, "--bundles", arguments.bundles]
    peer = [sys.executable, os.path.abspath(__file__), "peers", *where]
    ours = shlex.split(arguments.gondola) + ["--bundles", arguments.bundles, "--scorers", ",".join(SCORERS)]
    ours += ["--requests", requests_file(arguments)]
    rounds = []
    for number in range(arguments.rounds):
        print(f"scorers, round {number + 1} of {arguments.rounds}: peers, Gondola", file=sys.stderr)
        rounds.append((run(peer), run(ours)))
        differences = check_scores(*rounds[-1])
    report(rounds, differences)


def check_scores(theirs, ours):
    """The largest difference between a scorer's scores and those of any of its peers."""
    differences = dict.fromkeys(SCORERS, 0.0)
    for name, peer in theirs["peers"].items():
        scorer = name.split(":")[0]
        difference = np.abs(np.array(peer["scores"]) - np.array(ours[scorer]["scores"])).max()
        if not difference <= TOLERANCE:
            sys.exit(f"{name} and Gondola differ by {difference:.1e} on the same model, more than {TOLERANCE}")
        differences[scorer] = max(differences[scorer], difference)
    return differences


def report(rounds, differences):
    its = rounds[0][0]["machine"]
    print(f"\n{its['cpu']}, {its['cores']} cores, load {its['load'][0]:.1f}; one thread; {CANDIDATES} candidates; p50 in microseconds, median of {len(rounds)} rounds")
    print(f"\n{'scorer':12}{'Gondola':>10}{'fastest peer':>24}{'times faster':>14}{'scores differ by':>18}   other peers")
    for scorer in SCORERS:
        own = middle([ours[scorer] for _, ours in rounds])
        names = [name for name in rounds[0][0]["peers"] if name.startswith(f"{scorer}:")]
        took = sorted((middle([theirs["peers"][name] for theirs, _ in rounds]), name.split(": ")[1]) for name in names)
        fastest = f"{took[0][1]} {took[0][0]:.0f}"
        others = ", ".join(f"{name} {microseconds:.0f}" for microseconds, name in took[1:])
        print(f"{scorer:12}{own:10.0f}{fastest:>24}{took[0][0] / own:14.1f}{differences[scorer]:18.1e}   {others}")


def middle(sides):
    return statistics.median(side["times"]["p50_us"] for side in sides)


if __name__ == "__main__":
    main()
