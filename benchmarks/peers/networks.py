"""Networks with random weights, each twice: as the bundle that Gondola loads and as a graph for ONNX Runtime.

Both read vocabularies in Gondola's numbering. A graph reads what `graph_inputs` says, one row a candidate. It gathers all
embeddings of a side out of one table, which is faster than a table a column.
"""
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from export_bundles import FIRST_KNOWN, cardinalities, write_json
from python_pipeline import I_CAT, I_NUM, U_CAT, U_NUM

SEED = 23
EMBEDDING = 16
HIDDEN = [128, 64]
CROSS_LAYERS = 2
WIDTH = (len(U_CAT) + len(I_CAT)) * EMBEDDING + len(U_NUM) + len(I_NUM)
# Positions of the user's and the item's columns that Wide & Deep crosses, and the number of their weights.
CROSSES = [(4, 2), (6, 5), (8, 9), (10, 14)]
CROSS_BUCKETS = 1 << 16
INPUTS = [f"user.{column}" for column, _ in U_CAT] + [f"user.{column}" for column in U_NUM]
INPUTS += [f"item.{column}" for column, _ in I_CAT] + [f"item.{column}" for column in I_NUM]


def graph_inputs(user_cat, user_num, item_cat, item_num):
    """What the graphs read, from categories as the artifacts number them (0 for the first value) and encoded numbers."""
    user_cat, item_cat = user_cat + FIRST_KNOWN, item_cat + FIRST_KNOWN
    cross = [bucket(number, user_cat[:, user], item_cat[:, item]) for number, (user, item) in enumerate(CROSSES)]
    return {
        "ucat": user_cat,
        "unum": user_num,
        "icat": item_cat,
        "inum": item_num,
        "cross": np.stack(cross, 1),
    }


def mixed(bits):
    bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x846CA68B)
    return bits ^ (bits >> np.uint32(16))


def bucket(cross, user, item):
    """Where Gondola keeps the weight of a cross of two categories."""
    user, item = user.astype(np.uint32), item.astype(np.uint32)
    user = mixed(mixed(np.full_like(user, cross)) ^ user)
    return (mixed(user + mixed(~item)) % np.uint32(CROSS_BUCKETS)).astype(np.int64)


class Network:
    """Weights under Gondola's names, and a graph that grows with them."""

    def __init__(self):
        self.rng = np.random.default_rng(SEED)
        self.tensors, self.nodes, self.constants = {}, [], []

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, operator, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def weight(self, name, *shape, deviation):
        self.tensors[name] = (deviation * self.rng.standard_normal(shape)).astype(np.float32)
        return self.tensors[name]

    def dense(self, name, x, inputs, outputs):
        weight = self.weight(f"{name}.weight", outputs, inputs, deviation=inputs**-0.5)
        bias = self.weight(f"{name}.bias", outputs, deviation=0.01)
        return self.node("Gemm", x, self.constant(weight), self.constant(bias), transB=1)

    def layers(self, name, x, widths, last=None):
        """Layers with a ReLU after each; `last` is the operator after the last one instead."""
        for number, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            x = self.dense(f"{name}.{number}", x, inputs, outputs)
            operator = "Relu" if number < len(widths) - 2 else last
            x = self.node(operator, x) if operator else x
        return x

    def embeddings(self, prefix, entity, indexes, categorical, width):
        """Embeddings of all columns side by side, `[B, columns * width]`."""
        sizes = cardinalities(categorical)
        names = [f"{prefix}embedding.{entity}.{column}.weight" for column in range(len(sizes))]
        tables = [self.weight(name, size, width, deviation=0.3) for name, size in zip(names, sizes)]
        starts = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        rows = self.node("Add", indexes, self.constant(starts))
        vectors = self.node("Gather", self.constant(np.concatenate(tables)), rows, axis=0)
        return self.node("Reshape", vectors, self.constant(np.array([-1, len(sizes) * width], np.int64)))

    def side_by_side(self):
        """All inputs, `[B, WIDTH]`."""
        user = self.embeddings("", "user", "ucat", U_CAT, EMBEDDING)
        item = self.embeddings("", "item", "icat", I_CAT, EMBEDDING)
        return self.node("Concat", user, "unum", item, "inum", axis=1)

    def sum(self, x):
        return self.node("ReduceSum", x, self.constant(np.array([1], np.int64)), keepdims=1)

    def save(self, name, logit, family, bundle, graph):
        """`bundle` and `graph` make paths of file names."""
        config = {
            "embedding_dim": EMBEDDING,
            "hidden": HIDDEN,
            "user_categorical": cardinalities(U_CAT),
            "item_categorical": cardinalities(I_CAT),
            "user_numeric": len(U_NUM),
            "item_numeric": len(I_NUM),
            "pair": 0,
        }
        save_file(self.tensors, bundle("model.safetensors"))
        write_json(bundle("scorer.json"), {"inputs": INPUTS, **config, **family})
        score = self.node("Sigmoid", logit)
        used = {operand for node in self.nodes for operand in node.input}
        inputs = [
            helper.make_tensor_value_info(operand, kind, ["B", columns])
            for operand, kind, columns in (
                ("ucat", TensorProto.INT64, len(U_CAT)),
                ("unum", TensorProto.FLOAT, len(U_NUM)),
                ("icat", TensorProto.INT64, len(I_CAT)),
                ("inum", TensorProto.FLOAT, len(I_NUM)),
                ("cross", TensorProto.INT64, len(CROSSES)),
            )
            if operand in used
        ]
        output = helper.make_tensor_value_info(score, TensorProto.FLOAT, ["B", 1])
        made = helper.make_graph(self.nodes, name, inputs, [output], self.constants)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        with open(graph(f"{name}.onnx"), "wb") as stream:
            stream.write(model.SerializeToString())


def mlp(bundle, graph):
    net = Network()
    logit = net.layers("layer", net.side_by_side(), [WIDTH, *HIDDEN, 1])
    net.save("mlp", logit, {"family": "mlp"}, bundle, graph)


def wide_deep(bundle, graph):
    net = Network()
    deep = net.layers("layer", net.side_by_side(), [WIDTH, *HIDDEN, 1])
    wide = net.dense("wide.linear", net.node("Concat", "unum", "inum", axis=1), len(U_NUM) + len(I_NUM), 1)
    for entity, indexes, categorical in (("user", "ucat", U_CAT), ("item", "icat", I_CAT)):
        wide = net.node("Add", wide, net.sum(net.embeddings("wide.", entity, indexes, categorical, 1)))
    weights = net.weight("wide.embedding.cross.weight", CROSS_BUCKETS, 1, deviation=0.3)
    crosses = net.sum(net.node("Gather", net.constant(weights[:, 0]), "cross", axis=0))
    logit = net.node("Add", net.node("Add", wide, crosses), deep)
    family = {"family": "wide_deep", "crosses": {"pairs": CROSSES, "buckets": CROSS_BUCKETS}}
    net.save("wide-deep", logit, family, bundle, graph)


def dcn(bundle, graph):
    net = Network()
    x_0 = x = net.side_by_side()
    for layer in range(CROSS_LAYERS):
        x = net.node("Add", net.node("Mul", x_0, net.dense(f"cross.{layer}", x, WIDTH, WIDTH)), x)
    deep = net.layers("deep", x_0, [WIDTH, *HIDDEN], last="Relu")
    logit = net.dense("logit", net.node("Concat", x, deep, axis=1), WIDTH + HIDDEN[-1], 1)
    family = {"family": "dcn", "cross": "full", "cross_layers": CROSS_LAYERS}
    net.save("dcn", logit, family, bundle, graph)
