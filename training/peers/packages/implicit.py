"""implicit: matrix factorization and nearest neighbours, in C++. https://github.com/benfred/implicit.

Models that learn by stochastic gradient descent are not quite repeatable with more than one thread: threads write into the
same factors as they come.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.cpu.lmf import LogisticMatrixFactorization
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from implicit.utils import ParameterWarning

from peers.model import Model, Question, Settings, threads
from peers.ranking import NOTHING, Ranking, tidy
from peers.space import Between, LogBetween, LogWhole, OneOf
from peers.task import Interactions

# implicit hands itself matrices in a form that it then warns about.
warnings.filterwarnings("ignore", category=ParameterWarning)

WEIGHTS = OneOf(["one", "log", "count"])


def factors(build: type) -> Callable[[Interactions, Settings, int], Any]:
    """How a factorization is fitted; `weight` says on what, everything else is the model's own."""

    def fit(interactions: Interactions, settings: Settings, seed: int) -> Any:
        own = {name: value for name, value in settings.items() if name != "weight"}
        model = build(random_state=seed, num_threads=threads(), **own)
        model.fit(interactions.weighted(settings["weight"]), show_progress=False)
        return model

    return fit


def recommend_by_factors(model: Any, question: Question) -> Ranking:
    """A product of factors; what a user had bought is only looked at to be left out."""
    history = question.interactions.bought[question.rows]
    return tidy(
        *model.recommend(
            question.rows, history, N=question.k, filter_already_liked_items=question.remove_seen
        )
    )


def neighbours(build: type) -> Callable[[Interactions, Settings, int], Any]:
    """How nearest neighbours are found. The weights are kept: an answer adds up a user's history with them."""

    def fit(interactions: Interactions, settings: Settings, _seed: int) -> Any:
        own = {name: value for name, value in settings.items() if name != "weight"}
        model = build(num_threads=threads(), **own)
        model.fit(interactions.weighted(settings["weight"]), show_progress=False)
        return model, settings["weight"]

    return fit


def recommend_by_neighbours(fitted: Any, question: Question) -> Ranking:
    """The neighbours of what a user had bought. Short answers come filled up with item 0 and score 0."""
    model, weight = fitted
    history = question.interactions.weighted(weight)[question.rows]
    items, scores = model.recommend(
        question.rows, history, N=question.k, filter_already_liked_items=question.remove_seen
    )
    return tidy(np.where(scores == 0, NOTHING, items), scores)


MODELS = [
    Model(
        name="implicit-als",
        title="ALS",
        space={
            "factors": LogWhole(8, 256),
            "regularization": LogBetween(0.001, 100),
            "alpha": LogBetween(0.1, 100),
            "iterations": LogWhole(5, 40),
            "weight": WEIGHTS,
        },
        fit=factors(AlternatingLeastSquares),
        recommend=recommend_by_factors,
        deterministic=False,
    ),
    Model(
        name="implicit-bpr",
        title="BPR",
        space={
            "factors": LogWhole(8, 256),
            "learning_rate": LogBetween(0.003, 0.3),
            "regularization": LogBetween(0.0001, 0.3),
            "iterations": LogWhole(20, 300),
            # It looks only at who bought what.
            "weight": OneOf(["one"]),
        },
        fit=factors(BayesianPersonalizedRanking),
        recommend=recommend_by_factors,
        deterministic=False,
    ),
    Model(
        name="implicit-itemknn-cosine",
        title="ItemKNN (cosine)",
        space={"K": LogWhole(5, 1000), "weight": WEIGHTS},
        fit=neighbours(CosineRecommender),
        recommend=recommend_by_neighbours,
        deterministic=True,
    ),
    Model(
        name="implicit-itemknn-bm25",
        title="ItemKNN (BM25)",
        space={"K": LogWhole(5, 1000), "K1": LogBetween(0.1, 1000), "B": Between(0, 1), "weight": WEIGHTS},
        fit=neighbours(BM25Recommender),
        recommend=recommend_by_neighbours,
        deterministic=True,
    ),
    Model(
        name="implicit-logistic",
        title="Logistic matrix factorization",
        space={
            "factors": LogWhole(8, 128),
            "learning_rate": LogBetween(0.05, 2),
            "regularization": LogBetween(0.01, 10),
            "iterations": LogWhole(10, 60),
            "neg_prop": LogWhole(5, 50),
            "weight": WEIGHTS,
        },
        fit=factors(LogisticMatrixFactorization),
        recommend=recommend_by_factors,
        deterministic=False,
        only_when_named=True,
    ),
]
