"""Publishing a model that was trained in Python.

A model's object is saved in the format that ``gondola publish`` reads, and that program does the rest: it loads the model as a
server would, holds its inputs against those of the features bundle, has it score generated rows, and makes the bundle. No library
is imported here before an object of it is there.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _frames, programs
from .errors import PublishFailed
from .local import store_url


@dataclass(frozen=True)
class ModelInput:
    """One input that a model has to read."""

    #: Such as ``user.age``.
    name: str
    #: How many values an index has, counted from 0; ``None`` for a number.
    values: int | None

    @property
    def categorical(self) -> bool:
        """Whether it is an index into a vocabulary."""
        return self.values is not None


@dataclass(frozen=True)
class Published:
    """A bundle that was published."""

    name: str
    version: str
    digest: str
    #: The channel that points to it now.
    channel: str | None
    #: What the program said, with what there is to know about the model.
    said: str

    @property
    def reference(self) -> str:
        """How a manifest names it: by its channel, or by its version where no channel points to it."""
        return f"{self.name}@{self.channel}" if self.channel else f"{self.name}/{self.version}"


def inputs(
    store: str | os.PathLike[str],
    features: str | os.PathLike[str] = "features@stable",
    *,
    program: str | os.PathLike[str] | None = None,
) -> list[ModelInput]:
    """The inputs that a model must read to serve with a features bundle, in order."""
    arguments = ["inputs", "--store", store_url(store), "--features", os.fspath(features)]
    listed = _gondola(arguments, program)
    found = re.findall(r"^ *\d+ {2}(\S+) {2}(?:(number)|index, 0 to (\d+))$", listed, re.MULTILINE)
    return [ModelInput(name, None if number else int(last) + 1) for name, number, last in found]


def publish(
    model: Any,
    *,
    name: str,
    store: str | os.PathLike[str],
    features: str | os.PathLike[str] = "features@stable",
    channel: str | None = None,
    program: str | os.PathLike[str] | None = None,
) -> Published:
    """Publishes a model as a bundle that scores with a features bundle.

    :param model: a model of LightGBM, XGBoost, CatBoost or scikit-learn (trees), an ONNX model (``onnx.ModelProto`` or its
        bytes), a module of PyTorch, or the path of what ``gondola publish`` reads: a file, or a folder of MLflow, KServe or
        Triton.
    :param name: the bundle's name.
    :param store: the store, a folder or a URL.
    :param features: the features bundle that it will serve with, or a folder with one.
    :param channel: the channel that points to it from now on; no channel is moved without it.
    :param program: the program ``gondola``; else what GONDOLA names, else what is in PATH.
    """

    def with_inputs() -> list[ModelInput]:
        return inputs(store, features, program=program)

    with tempfile.TemporaryDirectory(prefix="gondola-") as folder:
        source = save(model, Path(folder), with_inputs)
        arguments = ["publish", str(source), "--store", store_url(store), "--name", name]
        arguments += ["--features", os.fspath(features)]
        if channel is not None:
            arguments += ["--channel", channel]
        said = _gondola(arguments, program)
    found = re.search(rf"^{re.escape(name)}/(\S+) (sha256:[0-9a-f]{{64}})", said, re.MULTILINE)
    if found is None:
        raise PublishFailed(f"gondola publish did not say what it published: {said}")
    return Published(name, found[1], found[2], channel, said)


def save(model: Any, folder: Path, with_inputs: Callable[[], Sequence[ModelInput]]) -> Path:
    """Writes a model into `folder` in the format that is published, and gives its path; a path is given as it is."""
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        if not path.exists() and "://" not in os.fspath(model):
            raise PublishFailed(f"there is no {path}")
        return path
    if isinstance(model, bytes):
        return _written(folder / "model.onnx", model)
    for kind in type(model).__mro__:
        writer = _WRITERS.get((kind.__module__.partition(".")[0], kind.__name__))
        if writer is not None:
            return writer(model, folder, with_inputs)
    kind = type(model)
    raise PublishFailed(
        f"{kind.__module__}.{kind.__qualname__} can't be published; give a model of LightGBM, XGBoost, CatBoost, "
        "scikit-learn, PyTorch or ONNX, or the path of a file that one of them wrote"
    )


Writer = Callable[[Any, Path, Callable[[], Sequence[ModelInput]]], Path]


def _lightgbm(model: Any, folder: Path, _: object) -> Path:
    path = folder / "model.txt"
    # The best iteration, if training stopped early.
    getattr(model, "booster_", model).save_model(str(path))
    return path


def _xgboost(model: Any, folder: Path, _: object) -> Path:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    best = booster.attr("best_iteration")
    if best is not None:
        # All trees of a file are used, so that it may have no others.
        booster = booster[: int(best) + 1]
    path = folder / "model.ubj"
    booster.save_model(str(path))
    return path


def _catboost(model: Any, folder: Path, _: object) -> Path:
    path = folder / "model.json"
    model.save_model(str(path), format="json")
    return path


def _scikit_learn(model: Any, folder: Path, with_inputs: Callable[[], Sequence[ModelInput]]) -> Path:
    wanted = [each.name for each in with_inputs()]
    # The export names no columns, so that nobody else could notice.
    named = list(getattr(model, "feature_names_in_", wanted))
    if named != wanted:
        first = next(
            (at for at, pair in enumerate(zip(named, wanted, strict=False)) if pair[0] != pair[1]), None
        )
        where = (
            f"it has {len(named)} and {len(wanted)} are needed"
            if first is None
            else f"input {first} is {named[first]!r} and has to be {wanted[first]!r}"
        )
        raise PublishFailed(f"the model was trained on other columns than the features bundle gives: {where}")
    count = getattr(model, "n_features_in_", None)
    if count is None:
        raise PublishFailed(f"{type(model).__name__} is not fitted yet")
    skl2onnx = _frames.load("skl2onnx", "models of scikit-learn")
    types = _frames.load("skl2onnx.common.data_types", "models of scikit-learn")
    is_classifier = hasattr(model, "predict_proba")
    exported = skl2onnx.to_onnx(
        model,
        initial_types=[("inputs", types.FloatTensorType([None, count]))],
        options={id(model): {"zipmap": False}} if is_classifier else None,
    )
    return _written(folder / "model.onnx", exported.SerializeToString())


def _onnx(model: Any, folder: Path, _: object) -> Path:
    return _written(folder / "model.onnx", model.SerializeToString())


def _torch(model: Any, folder: Path, with_inputs: Callable[[], Sequence[ModelInput]]) -> Path:
    torch = _frames.load("torch", "modules of PyTorch")
    path = folder / "model.onnx"
    was_training = model.training
    model.eval()
    try:
        torch.onnx.export(
            model,
            (torch.zeros(2, len(with_inputs())),),
            str(path),
            input_names=["inputs"],
            output_names=["scores"],
            dynamic_axes={"inputs": {0: "rows"}, "scores": {0: "rows"}},
            dynamo=False,
        )
    finally:
        model.train(was_training)
    return path


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


#: Who saves what, by the package and the name of a class that the model's class is or extends.
_WRITERS: dict[tuple[str, str], Writer] = {
    ("lightgbm", "Booster"): _lightgbm,
    ("lightgbm", "LGBMModel"): _lightgbm,
    ("xgboost", "Booster"): _xgboost,
    ("xgboost", "XGBModel"): _xgboost,
    ("catboost", "CatBoost"): _catboost,
    ("sklearn", "BaseEstimator"): _scikit_learn,
    ("onnx", "ModelProto"): _onnx,
    ("torch", "Module"): _torch,
}


def _gondola(arguments: list[str], program: str | os.PathLike[str] | None) -> str:
    status, said, problem = programs.run(programs.find("gondola", program), *arguments)
    if status != 0:
        raise PublishFailed(problem.strip().removeprefix("gondola: ") or f"it ended with status {status}")
    # What there is to know about a model is on stderr.
    return said + problem
