import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peers.__main__ import main
from peers.catalogue import PACKAGES, Package
from peers.compare import UnknownModelsError, compare
from peers.model import Model, Question, Settings
from peers.ranking import Ranking, best
from peers.space import OneOf
from peers.task import Interactions, Task

PYTEST = Package("pytest", "pytest", "0")


def model(name: str, fit: Callable[[Interactions, Settings, int], Any], **changes: Any) -> Model:
    return Model(name, name, {"good": OneOf([False, True])}, fit, ranked, deterministic=True, **changes)


def ranked(scores: np.ndarray, question: Question) -> Ranking:
    history = question.interactions.bought[question.rows]
    return best(
        np.tile(scores, (len(question.rows), 1)), history if question.remove_seen else None, question.k
    )


def popular(interactions: Interactions, _settings: Settings, _seed: int) -> np.ndarray:
    return np.asarray(interactions.bought.sum(axis=0)).ravel()


def breaks(_interactions: Interactions, _settings: Settings, _seed: int) -> np.ndarray:
    raise RuntimeError("no memory")


def breaks_on_bad(interactions: Interactions, settings: Settings, seed: int) -> np.ndarray:
    return (popular if settings["good"] else breaks)(interactions, settings, seed)


def not_numbers(interactions: Interactions, _settings: Settings, _seed: int) -> np.ndarray:
    return np.full(len(interactions.items), np.nan)


def test_a_failed_trial_is_a_fact_and_the_rest_goes_on(make_task: Callable[..., Path]) -> None:
    folder = make_task()
    assert compare(PYTEST, [model("half", breaks_on_bad)], Task.read(folder)) == []
    facts = json.loads((folder / "answers/half/facts.json").read_text())
    assert facts["trials"][0] == {
        "settings": {"good": False},
        "ndcg": None,
        "error": "RuntimeError: no memory",
    }
    assert facts["settings"] == {"good": True}


def test_a_model_whose_trials_all_failed_is_named_and_the_others_answer(
    make_task: Callable[..., Path],
) -> None:
    folder = make_task()
    failures = compare(PYTEST, [model("bad", breaks), model("good", popular)], Task.read(folder))
    assert failures == ["bad: EveryTrialFailedError: RuntimeError: no memory"]
    assert not (folder / "answers/bad").exists()
    assert (folder / "answers/good/facts.json").exists()


def test_scores_that_are_not_numbers_fail_a_trial(make_task: Callable[..., Path]) -> None:
    failures = compare(PYTEST, [model("nan", not_numbers)], Task.read(make_task()))
    assert failures == ["nan: EveryTrialFailedError: ValueError: the model gave scores that are not numbers"]


def test_answers_of_an_earlier_run_are_gone(make_task: Callable[..., Path]) -> None:
    folder = make_task()
    (folder / "answers/bad").mkdir(parents=True)
    (folder / "answers/bad/facts.json").write_text("{}")
    compare(PYTEST, [model("bad", breaks)], Task.read(folder))
    assert not (folder / "answers/bad/facts.json").exists()


def test_slow_models_run_where_a_task_names_them(make_task: Callable[..., Path]) -> None:
    models = [model("quick", popular), model("slow", popular, only_when_named=True)]
    folder = make_task()
    compare(PYTEST, models, Task.read(folder))
    assert [path.name for path in (folder / "answers").iterdir()] == ["quick"]
    compare(PYTEST, models, Task.read(make_task(models=["slow", "another-package"])))
    assert (folder / "answers/slow/facts.json").exists()


def test_a_task_that_names_no_model_of_a_package_is_told_which_there_are(
    make_task: Callable[..., Path],
) -> None:
    with pytest.raises(UnknownModelsError, match=r"no model of als \(there are quick\)"):
        compare(PYTEST, [model("quick", popular)], Task.read(make_task(models=["als"])))


def test_an_unknown_package_is_told_which_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["surprise", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"no package surprise (there are {', '.join(PACKAGES)})\n"


def test_a_package_that_is_not_installed_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_module: str) -> None:
        raise ModuleNotFoundError(name="recpack")

    monkeypatch.setattr("importlib.import_module", missing)
    assert main(["recpack", str(tmp_path)]) == 3
    assert capsys.readouterr().err == "recpack is not installed; pip install recpack==0.3.6\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seen": "maybe"}, "seen is 'maybe', and can be remove or keep"),
        ({"k": 0}, "k is 0, and must be at least 1"),
        ({"seeds": []}, "seeds is empty, and must have at least one"),
    ],
)
def test_a_task_that_cannot_be_meant_is_an_error(
    changes: dict[str, Any], said: str, make_task: Callable[..., Path]
) -> None:
    with pytest.raises(ValueError, match=said):
        Task.read(make_task(**changes))
