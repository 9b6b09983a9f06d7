#!/usr/bin/env python3
"""Turns the artifacts of python_pipeline.py into bundle folders that Gondola loads: the same features, weights, trees and
vectors, so that both sides compute the same answers and only their speed differs.

  python export_bundles.py --artifacts ART --out BUNDLES

What is not the same: the peer numbers a vocabulary 0 = unknown, 1.. = known; Gondola has 0 = null, 1 = unknown, 2.. = known.
So every embedding table gets its first row twice, and the forest's thresholds on categories grow by one. The item tower is
a stand-in of the right shape (the peer has none; only new items would go through it).
"""
import argparse
import json
import os
import pickle

import faiss
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import numpy_helper
from safetensors.numpy import save_file

from python_pipeline import I_CAT, I_NUM, U_CAT, U_NUM

FIRST_KNOWN = 2  # Gondola's first index of a known value
AS_OF = "2020-09-23"
POPULARITY = "count_7d"
SEED = 11


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--artifacts", required=True)
    arguments.add_argument("--out", required=True)
    arguments = arguments.parse_args()
    art = Artifacts(arguments.artifacts)
    for name, export in (
        ("features", features),
        ("two-tower", two_tower),
        ("dlrm", dlrm),
        ("forest", forest),
        ("item-text", item_text),
    ):
        folder = os.path.join(arguments.out, name)
        os.makedirs(folder, exist_ok=True)
        export(art, lambda file: os.path.join(folder, file))
        print(f"{name}: {sum(e.stat().st_size for e in os.scandir(folder)) / 1e6:.0f} MB")


class Artifacts:
    """The peer's files."""

    def __init__(self, folder):
        self.folder = folder
        self.stats = self.json("stats.json")
        self.vocabulary = self.json("vocab.json")

    def path(self, file):
        return os.path.join(self.folder, file)

    def json(self, file):
        with open(self.path(file)) as stream:
            return json.load(stream)

    def array(self, file):
        return np.load(self.path(file))

    def weights(self, file):
        """The constants of an ONNX graph, by name."""
        graph = onnx.load(self.path(file)).graph
        return {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}

    def item_ids(self):
        return [f"{row:010d}" for row in range(len(self.array("item_num.npy")))]


def write_json(path, value):
    with open(path, "w") as stream:
        json.dump(value, stream, indent=2)


# ------------------------------------------------------------------ features
def features(art, path):
    write_json(path("schema.json"), {"format": 1, "as_of": AS_OF, "popularity": POPULARITY})
    document = {"format": 1, "pair": []}
    os.makedirs(path("vocabulary"), exist_ok=True)
    for entity, short, categorical, numeric in (("user", "u", U_CAT, U_NUM), ("item", "i", I_CAT, I_NUM)):
        document[entity] = {
            "categorical": [column for column, _ in categorical],
            "numeric": [
                {"column": column, "operations": [{"normalise": {"mean": mean, "standard_deviation": deviation}}]}
                for column, mean, deviation in zip(numeric, art.stats[f"{short}_mean"], art.stats[f"{short}_std"])
            ],
        }
        for column, _ in categorical:
            values = art.vocabulary[column]
            index = pa.array(np.arange(FIRST_KNOWN, FIRST_KNOWN + len(values), dtype=np.uint64))
            pq.write_table(pa.table({"index": index, "value": values}), path(f"vocabulary/{entity}.{column}.parquet"))
        rows = raw_rows(art, entity, categorical, numeric)
        ids = [f"{row:064x}" for row in range(rows.num_rows)] if entity == "user" else art.item_ids()
        pq.write_table(rows.add_column(0, f"{entity}_id", [ids]), path(f"{entity}s.parquet"))
    write_json(path("workflow.json"), document)
    empty = {"user_id": pa.string(), "item_id": pa.string(), "purchases": pa.float64(), "days_since_last": pa.float64()}
    pq.write_table(pa.schema(list(empty.items())).empty_table(), path("history.parquet"))


def raw_rows(art, entity, categorical, numeric):
    indexes, numbers = art.array(f"{entity}_cat.npy"), art.array(f"{entity}_num.npy")
    columns = {c: pa.array(art.vocabulary[c]).take(pa.array(indexes[:, j])) for j, (c, _) in enumerate(categorical)}
    columns |= {c: pa.array(numbers[:, j].astype(np.float64)) for j, c in enumerate(numeric)}
    return pa.table(columns)


def table(weights, name):
    """An embedding table in Gondola's numbering: what the peer does with unknown values goes for null, too."""
    rows = weights[name]
    return np.ascontiguousarray(np.concatenate([rows[:1], rows]))


# ------------------------------------------------------------------ forest
def forest(art, path):
    """scikit-learn's random forest as a LightGBM model: the average over the trees of each leaf's share of positives."""
    with open(art.path("rf.pkl"), "rb") as stream:
        model = pickle.load(stream)
    inputs = [f"user.{c}" for c, _ in U_CAT] + [f"user.{c}" for c in U_NUM]
    inputs += [f"item.{c}" for c, _ in I_CAT] + [f"item.{c}" for c in I_NUM]
    # The peer's columns stand in another order: user and item categories first, then user and item numbers.
    order = np.concatenate([np.arange(12), np.arange(20, 37), np.arange(12, 20), np.arange(37, 45)])
    is_category = np.arange(45) < 29
    trees = [lightgbm_tree(number, tree.tree_, order, is_category) for number, tree in enumerate(model.estimators_)]
    header = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={len(inputs) - 1}",
        "objective=none",
        "average_output",
        "feature_names=" + " ".join(inputs),
        "feature_infos=" + " ".join(["[-inf:inf]"] * len(inputs)),
        "tree_sizes=" + " ".join(str(len(text) + 1) for text in trees),
        "",
    ]
    with open(path("model.txt"), "w") as stream:
        stream.write("\n".join(header + trees + ["end of trees", ""]))
    write_json(path("scorer.json"), {"family": "forest", "inputs": inputs})


def lightgbm_tree(number, tree, order, is_category):
    """One tree as text. LightGBM numbers inner nodes and leaves apart, and writes leaf n as -n - 1."""
    inner = np.flatnonzero(tree.children_left >= 0)
    leaves = np.flatnonzero(tree.children_left < 0)
    place = np.empty(tree.node_count, np.int64)
    place[inner] = np.arange(len(inner))
    place[leaves] = -np.arange(len(leaves)) - 1
    feature = tree.feature[inner]
    # scikit-learn compares 32-bit inputs with 64-bit thresholds, as Gondola does.
    threshold = tree.threshold[inner] + is_category[feature]
    share = tree.value[leaves, 0, 1] / tree.value[leaves, 0].sum(1)

    def line(key, values):
        return f"{key}=" + " ".join(repr(value) for value in np.asarray(values).tolist())

    return "\n".join(
        [
            f"Tree={number}",
            f"num_leaves={len(leaves)}",
            "num_cat=0",
            line("split_feature", order[feature]),
            line("split_gain", np.zeros(len(inner), np.int64)),
            line("threshold", threshold),
            line("decision_type", np.full(len(inner), 2)),
            line("left_child", place[tree.children_left[inner]]),
            line("right_child", place[tree.children_right[inner]]),
            line("leaf_value", share),
            line("leaf_count", tree.n_node_samples[leaves]),
            "is_linear=0",
            "shrinkage=1",
            "",
            "",
        ]
    )


# ------------------------------------------------------------------ vectors
def write_index(index, factory, ids, search, path):
    faiss.write_index(index, path("index.faiss"))
    write_json(path("index.json"), {"factory": factory, "faiss": faiss.__version__, "search": search})
    write_json(path("items.json"), ids)


def item_text(art, path):
    """512 dimensions, as CLIP text encoders give. No encoder: known items only."""
    vectors = art.array("item_emb_512.npy")
    factory = "IVF1024,Flat"
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = SEED
    index.train(vectors[:: max(1, len(vectors) // 50_000)])
    index.add(vectors)
    write_index(index, factory, art.item_ids(), {"nprobe": 32}, path)
    write_json(path("encoder.json"), {"text_columns": []})


# ------------------------------------------------------------------ neural models
def two_tower(art, path):
    """The peer's query tower and its IVF index as they are."""
    weights = art.weights("tower.onnx")
    save_file(tower(weights, "u", len(U_CAT), ["l1", "l2"]), path("query_tower.safetensors"))
    rng = np.random.default_rng(SEED)
    stand_in = {
        f"embedding.{j}.weight": np.zeros((size + FIRST_KNOWN, 1), np.float32) for j, (_, size) in enumerate(I_CAT)
    }
    width = len(I_CAT) + len(I_NUM)
    stand_in["layer.0.weight"] = (rng.standard_normal((64, width)) / np.sqrt(width)).astype(np.float32)
    stand_in["layer.0.bias"] = np.zeros(64, np.float32)
    save_file(stand_in, path("item_tower.safetensors"))
    write_json(
        path("tower.json"),
        {
            "query": tower_config(U_CAT, U_NUM, embedding=16, hidden=[128]),
            "item": tower_config(I_CAT, I_NUM, embedding=1, hidden=[]),
        },
    )
    index = faiss.read_index(art.path("ivf.faiss"))
    write_index(index, "IVF1024,Flat", art.item_ids(), {"nprobe": 80}, path)


def cardinalities(categorical):
    """Vocabulary sizes as Gondola counts them: with null and unknown."""
    return [size + FIRST_KNOWN for _, size in categorical]


def tower_config(categorical, numeric, embedding, hidden):
    return {
        "categorical": cardinalities(categorical),
        "embedding": [embedding] * len(categorical),
        "numeric": len(numeric),
        "hidden": hidden,
        "output": 64,
    }


def tower(weights, tables, count, layers):
    tensors = {f"embedding.{j}.weight": table(weights, f"{tables}{j}_t") for j in range(count)}
    return tensors | dense(weights, "layer", layers)


def dense(weights, name, layers):
    """Dense layers as PyTorch keeps them: weights [outputs, inputs]."""
    tensors = {}
    for number, layer in enumerate(layers):
        tensors[f"{name}.{number}.weight"] = np.ascontiguousarray(weights[f"{layer}_w"].T)
        tensors[f"{name}.{number}.bias"] = weights[f"{layer}_b"]
    return tensors


def dlrm(art, path):
    """The peer's DLRM: its tables stand in the order of users' then items' categories, as Gondola's do; the pairs of the
    interaction are the lower triangle, row by row, the bottom's output first."""
    weights = art.weights("dlrm.onnx")
    tensors = {}
    for entity, first, categorical in (("user", 0, U_CAT), ("item", len(U_CAT), I_CAT)):
        for j in range(len(categorical)):
            tensors[f"embedding.{entity}.{j}.weight"] = table(weights, f"e{first + j}_t")
    tensors |= dense(weights, "bottom", ["b1", "b2"]) | dense(weights, "top", ["t1", "t2", "t3", "t4"])
    save_file(tensors, path("model.safetensors"))
    inputs = [f"user.{c}" for c, _ in U_CAT] + [f"user.{c}" for c in U_NUM]
    inputs += [f"item.{c}" for c, _ in I_CAT] + [f"item.{c}" for c in I_NUM]
    config = {
        "embedding_dim": 64,
        "bottom": [128],
        "top": [128, 64, 32],
        "user_categorical": cardinalities(U_CAT),
        "item_categorical": cardinalities(I_CAT),
        "user_numeric": len(U_NUM),
        "item_numeric": len(I_NUM),
        "pair": 0,
    }
    write_json(path("scorer.json"), {"family": "dlrm", "inputs": inputs, **config})


if __name__ == "__main__":
    main()
