"""The same trees in the form of each library that can walk them."""
import json
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper


@dataclass
class Tree:
    """`x[feature] <= threshold` goes left. A leaf has no feature (-1), and its value."""

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray

    def thresholds_of_f32(self):
        """The greatest 32-bit thresholds that decide every 32-bit input as those of 64 bits do."""
        near = self.threshold.astype(np.float32)
        return np.where(near > self.threshold, np.nextafter(near, np.float32(-np.inf)), near)


    def with_siblings_together(self):
        """The same tree, with each right child behind its left one."""
        order = [0]
        for node in order:
            if self.feature[node] >= 0:
                order += [self.left[node], self.right[node]]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        children = [np.where(self.feature[order] < 0, -1, place[side[order]]) for side in (self.left, self.right)]
        return Tree(self.feature[order], self.threshold[order], *children, self.value[order])


def of_sklearn(forest):
    """The share of positives in each leaf, divided by the number of trees: their sum is the forest's answer."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    shares = [tree.value[:, 0, 1] / tree.value[:, 0].sum(1) / len(trees) for tree in trees]
    feature = [np.where(tree.children_left < 0, -1, tree.feature) for tree in trees]
    parts = zip(trees, feature, shares, strict=True)
    return [Tree(f, tree.threshold, tree.children_left, tree.children_right, share) for tree, f, share in parts]


def of_lightgbm(booster):
    """Numeric splits without missing values."""
    return [flat(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]


def flat(root):
    rows = []

    def add(node):
        place = len(rows)
        rows.append(None)
        if "leaf_value" in node:
            rows[place] = (-1, 0.0, -1, -1, node["leaf_value"])
        else:
            left, right = add(node["left_child"]), add(node["right_child"])
            rows[place] = (node["split_feature"], node["threshold"], left, right, 0.0)
        return place

    add(root)
    return Tree(*map(np.array, zip(*rows)))


def to_onnx(trees, inputs):
    """A graph of the trees' sum and its sigmoid, for ONNX Runtime: its input `x` is `[B, inputs]`.

    The sigmoid is a node of its own, since ONNX Runtime leaves out a regressor's `LOGISTIC` where it has one target."""
    attributes = {name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")}
    target = {name: [] for name in ("treeids", "nodeids", "weights")}
    for number, tree in enumerate(trees):
        places, leaves = np.arange(len(tree.feature)), np.flatnonzero(tree.feature < 0)
        attributes["treeids"] += [number] * len(places)
        attributes["nodeids"] += places.tolist()
        attributes["featureids"] += np.maximum(tree.feature, 0).tolist()
        attributes["values"] += tree.thresholds_of_f32().tolist()
        attributes["modes"] += ["LEAF" if feature < 0 else "BRANCH_LEQ" for feature in tree.feature]
        attributes["truenodeids"] += np.maximum(tree.left, 0).tolist()
        attributes["falsenodeids"] += np.maximum(tree.right, 0).tolist()
        target["treeids"] += [number] * len(leaves)
        target["nodeids"] += leaves.tolist()
        target["weights"] += tree.value[leaves].tolist()
    walk = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=1,
        target_ids=[0] * len(target["weights"]),
        **{f"nodes_{name}": values for name, values in attributes.items()},
        **{f"target_{name}": values for name, values in target.items()},
    )
    sigmoid = helper.make_node("Sigmoid", ["sum"], ["score"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", inputs])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["B", 1])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph([walk, sigmoid], "trees", [x], [score], []), opset_imports=opsets, ir_version=8)


def to_xgboost(trees, inputs, objective):
    """XGBoost's JSON. It goes left where `x < threshold`, so each threshold is the next greater number; and it expects
    a right child behind its left one."""
    learner = {
        "attributes": {},
        "feature_names": [],
        "feature_types": [],
        "gradient_booster": {
            "name": "gbtree",
            "model": {
                "gbtree_model_param": {"num_trees": str(len(trees)), "num_parallel_tree": "1"},
                "iteration_indptr": list(range(len(trees) + 1)),
                "tree_info": [0] * len(trees),
                "trees": [xgboost_tree(number, tree.with_siblings_together(), inputs) for number, tree in enumerate(trees)],
            },
        },
        "learner_model_param": {
            "base_score": "5E-1" if objective == "binary:logistic" else "0E0",
            "boost_from_average": "0",
            "num_class": "0",
            "num_feature": str(inputs),
            "num_target": "1",
        },
        "objective": {"name": objective, "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return json.dumps({"learner": learner, "version": [3, 2, 0]})


def xgboost_tree(number, tree, inputs):
    inner, count = tree.feature >= 0, len(tree.feature)
    above = np.nextafter(tree.thresholds_of_f32(), np.float32(np.inf))
    parents = np.full(count, 2**31 - 1)
    parents[tree.left[inner]] = parents[tree.right[inner]] = np.flatnonzero(inner)
    zeros = [0.0] * count
    return {
        "base_weights": tree.value.tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [0] * count,
        "id": number,
        "left_children": tree.left.tolist(),
        "loss_changes": zeros,
        "parents": parents.tolist(),
        "right_children": tree.right.tolist(),
        "split_conditions": np.where(inner, above, tree.value).tolist(),
        "split_indices": np.maximum(tree.feature, 0).tolist(),
        "split_type": [0] * count,
        "sum_hessian": zeros,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(inputs),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }
