"""RecTools: what it has that implicit has not, which its other models only wrap. https://github.com/MobileTeleSystems/RecTools."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel, PopularModel, PureSVDModel

from peers.model import Model, Question, Settings, threads
from peers.ranking import LOWEST_SCORE, NOTHING, Ranking, tidy
from peers.space import LogBetween, LogWhole, OneOf
from peers.task import Interactions

# A fitted model, and what it was fitted on in the package's own form.
Fitted = tuple[Any, Dataset]


def dataset(interactions: Interactions, weight: str) -> Dataset:
    """The interactions in the package's own form, by a matrix's rows and columns."""
    values = interactions.weighted(weight)[interactions.rows, interactions.columns]
    return Dataset.construct(
        pd.DataFrame(
            {
                Columns.User: interactions.rows,
                Columns.Item: interactions.columns,
                Columns.Weight: np.asarray(values).ravel(),
                Columns.Datetime: pd.to_datetime(interactions.frame["time"].to_numpy(), unit="s"),
            }
        )
    )


def recommend(fitted: Fitted, question: Question) -> Ranking:
    """What the package recommends, as a ranking."""
    model, data = fitted
    table = model.recommend(
        question.rows, data, question.k, filter_viewed=question.remove_seen, on_unsupported_targets="ignore"
    )
    return from_table(table, question)


def from_table(table: pd.DataFrame, question: Question) -> Ranking:
    """A ranking out of a table that has one row an item, with the item's rank from 1. Who is not in it gets nothing."""
    shape = (len(question.rows), question.k)
    items = np.full(shape, NOTHING, dtype=np.int64)
    scores = np.full(shape, LOWEST_SCORE, dtype=np.float32)
    places = pd.Index(question.rows).get_indexer(table[Columns.User]), table[Columns.Rank].to_numpy() - 1
    items[places] = table[Columns.Item]
    scores[places] = table[Columns.Score]
    return tidy(items, scores)


def fit_ease(interactions: Interactions, settings: Settings, _seed: int) -> Fitted:
    """EASE^R: a linear item-to-item model in closed form."""
    data = dataset(interactions, settings["weight"])
    model = EASEModel(regularization=settings["regularization"], recommend_n_threads=threads())
    return model.fit(data), data


def fit_popular(interactions: Interactions, settings: Settings, _seed: int) -> Fitted:
    """What most users bought, or what was bought most, over a period that ends where the data does."""
    data = dataset(interactions, "count")
    days = settings["days"]
    period = None if days is None else timedelta(days=days)
    return PopularModel(popularity=settings["popularity"], period=period).fit(data), data


def fit_pure_svd(interactions: Interactions, settings: Settings, seed: int) -> Fitted:
    """A truncated singular value decomposition."""
    data = dataset(interactions, settings["weight"])
    # It can't have more factors than the matrix has rows or columns.
    factors = min(settings["factors"], min(interactions.bought.shape) - 1)
    model = PureSVDModel(factors=factors, random_state=seed, recommend_n_threads=threads())
    return model.fit(data), data


def _model(
    name: str, title: str, fit: Callable[[Interactions, Settings, int], Fitted], **space: Any
) -> Model:
    return Model(name=name, title=title, space=space, fit=fit, recommend=recommend, deterministic=True)


WEIGHTS = OneOf(["one", "log", "count"])

MODELS = [
    _model("rectools-ease", "EASE", fit_ease, regularization=LogBetween(10, 10000), weight=WEIGHTS),
    _model(
        "rectools-popular",
        "Popular",
        fit_popular,
        popularity=OneOf(["n_users", "sum_weight"]),
        days=OneOf([None, 7, 30, 90]),
    ),
    # The random start of the decomposition changes its result by rounding only.
    _model("rectools-pure-svd", "PureSVD", fit_pure_svd, factors=LogWhole(4, 256), weight=WEIGHTS),
]
