"""A model of somebody's package, described: its name, what may be tuned, how to fit it, and how to ask it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from peers.ranking import Ranking
from peers.space import Values
from peers.task import Interactions

# A value for each name of a search space.
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """Whom to answer, and how: rows of the interactions that the model was fitted on."""

    interactions: Interactions
    rows: np.ndarray
    k: int
    remove_seen: bool


@dataclass(frozen=True)
class Model:
    """One model of a package. Whatever `fit` gives is handed to `recommend` as it is."""

    # How a task and the scoreboard call it.
    name: str
    # How its package calls it.
    title: str
    space: Mapping[str, Values]
    # Interactions, settings and a seed.
    fit: Callable[[Interactions, Settings, int], Any]
    recommend: Callable[[Any, Question], Ranking]
    # Whether chance has no part in it, so that one seed is enough.
    deterministic: bool
    # Runs only where a task names it: too slow, or too weak, to be waited for by default.
    only_when_named: bool = False


def threads() -> int:
    """How many threads a package may use: OMP_NUM_THREADS, or 0, which packages read as all."""
    return int(os.environ.get("OMP_NUM_THREADS", "0"))
