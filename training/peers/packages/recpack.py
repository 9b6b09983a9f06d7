"""RecPack: the models of Froomle's experimentation toolkit. https://gitlab.com/recpack-maintainers/recpack.

Its models see only who bought what, never how often. It is published under the AGPL: a comparison calls it, and no part of
Gondola is built from it or comes with it.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from recpack.algorithms import EASE, SLIM, ItemKNN
from scipy.sparse import SparseEfficiencyWarning

from peers.model import Model, Question, Settings
from peers.ranking import Ranking, best
from peers.space import LogBetween, LogWhole, OneOf
from peers.task import Interactions

# It reports every fit, with its time.
logging.getLogger("recpack").setLevel(logging.WARNING)


def algorithm(build: type) -> Callable[[Interactions, Settings, int], Any]:
    """How each is fitted. Where chance has a part, it is NumPy's, and can't be handed over."""

    def fit(interactions: Interactions, settings: Settings, seed: int) -> Any:
        np.random.seed(seed)
        with warnings.catch_warnings():
            # Items without neighbours get a warning, and so does how a matrix of similarities is filled in.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", SparseEfficiencyWarning)
            return build(**settings).fit(interactions.bought)

    return fit


def fit_nearest(interactions: Interactions, settings: Settings, seed: int) -> Any:
    """Nearest neighbours: no item has more than there are others."""
    return algorithm(ItemKNN)(
        interactions, {**settings, "K": min(settings["K"], len(interactions.items) - 1)}, seed
    )


def recommend(fitted: Any, question: Question) -> Ranking:
    """Scores of what a user had bought, ranked."""
    history = question.interactions.bought[question.rows]
    with warnings.catch_warnings():
        # Users with no score at all get a warning, and a short answer.
        warnings.simplefilter("ignore", UserWarning)
        scores = fitted.predict(history)
    return best(scores, history if question.remove_seen else None, question.k)


MODELS = [
    Model(
        name="recpack-ease",
        title="EASE",
        space={"l2": LogBetween(10, 10000), "alpha": OneOf([0, 0.1, 0.2, 0.3])},
        fit=algorithm(EASE),
        recommend=recommend,
        deterministic=True,
    ),
    Model(
        name="recpack-itemknn",
        title="ItemKNN",
        space={
            "K": LogWhole(5, 1000),
            "similarity": OneOf(["cosine", "conditional_probability"]),
            "pop_discount": OneOf([None, 0.25, 0.5, 0.75]),
            "normalize_X": OneOf([False, True]),
            "normalize_sim": OneOf([False, True]),
        },
        fit=fit_nearest,
        recommend=recommend,
        deterministic=True,
    ),
    Model(
        name="recpack-slim",
        title="SLIM",
        space={"l1_reg": LogBetween(0.00003, 0.03), "l2_reg": LogBetween(0.00003, 0.03)},
        fit=algorithm(SLIM),
        recommend=recommend,
        deterministic=False,
    ),
]
