import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from peers.catalogue import PACKAGES, NotInstalledError, Package
from peers.compare import compare
from peers.model import Model
from peers.task import Task


def installed(package: Package) -> list[Model]:
    try:
        return package.models()
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("seen", ["remove", "keep"])
@pytest.mark.parametrize("name", PACKAGES)
def test_every_model_answers_as_a_task_says(name: str, seen: str, make_task: Callable[..., Path]) -> None:
    package = PACKAGES[name]
    models = installed(package)
    folder = make_task(seen=seen, models=[model.name for model in models])

    assert compare(package, models, Task.read(folder)) == []

    known = pd.read_parquet(folder / "known.parquet")
    for model in models:
        check_answers(folder / "answers" / model.name, model, known, seen)


def check_answers(folder: Path, model: Model, known: pd.DataFrame, seen: str) -> None:
    facts = json.loads((folder / "facts.json").read_text())
    seeds = ["1"] if model.deterministic else ["1", "2"]
    assert sorted(file.stem for file in folder.glob("*.parquet")) == seeds
    assert len(facts["fit_seconds"]) == len(facts["answer_seconds"]) == len(seeds)
    assert facts["settings"] in [trial["settings"] for trial in facts["trials"] if trial["ndcg"] is not None]
    assert facts["peak_memory_bytes"] > 0
    had = set(zip(known["user"], known["item"], strict=True))
    for seed in seeds:
        answers = pd.read_parquet(folder / f"{seed}.parquet")
        assert [str(kind) for kind in answers.dtypes] == ["uint32", "uint32", "float32"]
        pairs = list(zip(answers["user"], answers["item"], strict=True))
        assert len(set(pairs)) == len(pairs)
        assert set(answers["item"]) <= set(known["item"])
        # In the order asked; who is new is not answered.
        assert list(dict.fromkeys(answers["user"])) == [4, 1, 7, 10]
        assert (answers["user"].ne(answers["user"].shift()).sum()) == 4
        assert answers.groupby("user").size().max() <= 10
        assert (answers.groupby("user")["score"].diff().dropna() <= 0).all()
        assert seen == "keep" or not had & set(pairs)


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in ("rectools-transformer",)])
def test_models_find_what_a_group_buys(name: str, make_task: Callable[..., Path]) -> None:
    package = PACKAGES[name]
    models = [
        model for model in installed(package) if model.name not in ("rectools-popular", "implicit-logistic")
    ]
    folder = make_task(trials=5, seeds=[1], k=3, models=[model.name for model in models])
    assert compare(package, models, Task.read(folder)) == []
    for model in models:
        answers = pd.read_parquet(folder / "answers" / model.name / "1.parquet")
        # Users with even places bought the first half of the items.
        right = (answers["user"] // 3 % 2) == (answers["item"] >= 24)
        assert right.mean() > 0.7, model.name
