"""The towers that Gondola trains, as ONNX: what somebody who trains towers elsewhere would export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a file, all of f32."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    found = {}
    for name, entry in json.loads(content[8 : 8 + length]).items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32", entry
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            found[name] = np.frombuffer(content[begin:end], "<f4").reshape(entry["shape"])
    return found


def tower(folder: Path, name: str, side: str) -> onnx.ModelProto:
    """One of a bundle's towers; its inputs are called as what they get."""
    config = json.loads((folder / "tower.json").read_text())[name]
    weights = safetensors(folder / f"{name}_tower.safetensors")
    constants: list[Any] = []
    nodes: list[Any] = []
    parts: list[str] = []

    def constant(label: str, values: Any) -> str:
        constants.append(numpy_helper.from_array(np.array(values, order="C"), label))
        return label

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind}.{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    for column in range(len(config["categorical"])):
        index = node("Gather", f"{side}.categorical", constant(f"column.{column}", np.int64(column)), axis=1)
        parts.append(
            node("Gather", constant(f"table.{column}", weights[f"embedding.{column}.weight"]), index)
        )
    x = node("Concat", *parts, f"{side}.numeric", axis=1)
    layers = len(config["hidden"]) + 1
    for layer in range(layers):
        matrix = constant(f"matrix.{layer}", weights[f"layer.{layer}.weight"])
        x = node("Gemm", x, matrix, constant(f"bias.{layer}", weights[f"layer.{layer}.bias"]), transB=1)
        if layer + 1 < layers:
            x = node("Relu", x)
    length = node("ReduceL2", x, axes=[1], keepdims=1)
    nodes.append(helper.make_node("Div", [x, length], ["place"]))
    graph = helper.make_graph(
        nodes,
        f"{name} tower",
        [
            helper.make_tensor_value_info(
                f"{side}.categorical", TensorProto.INT64, ["rows", len(config["categorical"])]
            ),
            helper.make_tensor_value_info(f"{side}.numeric", TensorProto.FLOAT, ["rows", config["numeric"]]),
        ],
        [helper.make_tensor_value_info("place", TensorProto.FLOAT, ["rows", config["output"]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def as_onnx(bundle: Path, into: Path) -> Path:
    """A folder with the towers of a bundle as ONNX, and its index."""
    into.mkdir()
    for name, side in [("query", "user"), ("item", "item")]:
        onnx.save(tower(bundle, name, side), into / f"{name}_tower.onnx")
    for file in ["index.faiss", "items.json"]:
        shutil.copy(bundle / file, into / file)
    return into
