"""One package's part in a comparison: each of its models is tuned, fitted on everything known, and asked."""

import shutil
import sys
import time
from importlib import metadata
from typing import Any

import numpy as np

from peers import memory
from peers.answers import write_answers, write_facts
from peers.catalogue import Package
from peers.model import Model, Question
from peers.task import Interactions, Task
from peers.tuning import Judge, tune


class UnknownModelsError(Exception):
    """A task wants models, and the package has none of them."""


def compare(package: Package, models: list[Model], task: Task) -> list[str]:
    """Has the package's models answer, and gives the names of those that could not, with the reason."""
    judge, known, asked = Judge(task), task.known(), task.asked()
    failures = []
    for model in wanted(models, task):
        try:
            _answer(package, model, task, judge, known, asked)
        except Exception as error:  # whatever a package raises: the other models may be fine
            failures.append(f"{model.name}: {type(error).__name__}: {error}")
            print(failures[-1], file=sys.stderr, flush=True)
    return failures


def wanted(models: list[Model], task: Task) -> list[Model]:
    """Those that a task names. One that it names and this package lacks is another package's."""
    if task.models is None:
        return [model for model in models if not model.only_when_named]
    found = [model for model in models if model.name in task.models]
    if not found:
        raise UnknownModelsError(
            f"no model of {', '.join(task.models)} (there are {', '.join(m.name for m in models)})"
        )
    return found


def _answer(
    package: Package, model: Model, task: Task, judge: Judge, known: Interactions, asked: np.ndarray
) -> None:
    """One model: settings, final models, answers, facts. Answers of an earlier run are gone first."""
    folder = task.folder / "answers" / model.name
    shutil.rmtree(folder, ignore_errors=True)
    memory.forget_peak()
    tuned = tune(model, judge, task)
    question = Question(known, known.known_rows(asked), task.k, task.remove_seen)
    fit_seconds, answer_seconds = [], []
    for seed in task.seeds[:1] if model.deterministic else task.seeds:
        start = time.perf_counter()
        fitted = model.fit(known, tuned.settings, seed)
        fit_seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        ranking = model.recommend(fitted, question)
        answer_seconds.append(time.perf_counter() - start)
        write_answers(folder, seed, known, question.rows, ranking)
    facts: dict[str, Any] = {
        "package": package.distribution,
        "version": metadata.version(package.distribution),
        "model": model.title,
        "settings": tuned.settings,
        "trials": [trial.as_facts() for trial in tuned.trials],
        "tuning_seconds": tuned.seconds,
        "fit_seconds": fit_seconds,
        "answer_seconds": answer_seconds,
        "peak_memory_bytes": memory.peak_bytes(),
        "deterministic": model.deterministic,
    }
    write_facts(folder, facts)
