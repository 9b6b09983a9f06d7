"""Which settings suit a model: each is fitted on what precedes the tuning window, and judged by what was bought in it."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from peers.model import Model, Question
from peers.ranking import NOTHING, Ranking
from peers.space import settings_to_try
from peers.task import Interactions, Task


class EveryTrialFailedError(Exception):
    """No settings of a model gave an answer; the text says why the last did not."""


@dataclass(frozen=True)
class Trial:
    """Settings, and what they came to. A trial that failed has an error and no nDCG."""

    settings: dict[str, Any]
    ndcg: float | None
    error: str | None = None

    def as_facts(self) -> dict[str, Any]:
        """As `facts.json` has it."""
        facts: dict[str, Any] = {"settings": self.settings, "ndcg": self.ndcg}
        return facts if self.error is None else facts | {"error": self.error}


@dataclass(frozen=True)
class Tuned:
    """What tuning found."""

    settings: dict[str, Any]
    trials: list[Trial]
    seconds: float


class Judge:
    """Judges models that were fitted on what precedes the tuning window."""

    def __init__(self, task: Task) -> None:
        self.train = task.train()
        self.remove_seen = task.remove_seen
        self.at = task.tuned_at
        self.relevant = relevant_items(task.tune(), self.train, task.remove_seen)
        self.users = np.array(sorted(self.relevant), dtype=np.int64)

    def ndcg(self, model: Model, fitted: Any) -> float:
        """The mean over all users that have something to be found; who has no history is answered nothing, which is 0."""
        rows = self.train.known_rows(self.users)
        ranking = model.recommend(fitted, Question(self.train, rows, self.at, self.remove_seen))
        found = sum(
            ndcg(items, self.relevant[int(user)], self.at)
            for user, items in zip(self.train.users[rows], task_items(ranking, self.train), strict=True)
        )
        return found / max(1, len(self.users))


def relevant_items(bought: pd.DataFrame, train: Interactions, remove_seen: bool) -> dict[int, set[int]]:
    """What each user should be recommended; users for whom nothing remains are left out."""
    if remove_seen:
        seen = pd.MultiIndex.from_frame(train.frame[["user", "item"]])
        bought = bought[~pd.MultiIndex.from_frame(bought[["user", "item"]]).isin(seen)]
    return {int(user): set(items.tolist()) for user, items in bought.groupby("user")["item"]}


def task_items(ranking: Ranking, interactions: Interactions) -> np.ndarray:
    """A ranking's items by the task's numbers; [`NOTHING`] stays."""
    items = interactions.items.astype(np.int64)[ranking.items]
    return np.where(ranking.items == NOTHING, NOTHING, items)


def ndcg(items: np.ndarray, relevant: set[int], at: int) -> float:
    """Normalized discounted cumulative gain: an item counts 1 / log2(place + 1), against the best order there can be."""
    discounts = 1 / np.log2(np.arange(2, at + 2))
    hits = np.fromiter((int(item) in relevant for item in items[:at]), dtype=bool)
    return float(discounts[: len(hits)][hits].sum() / discounts[: min(len(relevant), at)].sum())


def tune(model: Model, judge: Judge, task: Task) -> Tuned:
    """Tries the model's settings, and gives the best."""
    start = time.perf_counter()
    seed = task.seeds[0]
    trials = [
        _try(model, judge, settings, seed) for settings in settings_to_try(model.space, task.trials, seed)
    ]
    good = [trial for trial in trials if trial.ndcg is not None]
    if not good:
        raise EveryTrialFailedError(trials[-1].error)
    best = max(good, key=lambda trial: trial.ndcg or 0.0)
    return Tuned(best.settings, trials, time.perf_counter() - start)


def _try(model: Model, judge: Judge, settings: dict[str, Any], seed: int) -> Trial:
    start = time.perf_counter()
    try:
        trial = Trial(settings, judge.ndcg(model, model.fit(judge.train, settings, seed)))
    except Exception as error:  # whatever a package raises: the other settings may be fine
        trial = Trial(settings, None, f"{type(error).__name__}: {error}")
    outcome = trial.error or f"nDCG@{judge.at} {trial.ndcg:.4f}"
    print(
        f"{model.name} {settings}: {outcome} ({time.perf_counter() - start:.1f} s)",
        file=sys.stderr,
        flush=True,
    )
    return trial
