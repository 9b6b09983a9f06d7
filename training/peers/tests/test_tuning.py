import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from peers.ranking import NOTHING, best
from peers.space import Between, LogBetween, LogWhole, OneOf, Values, settings_to_try
from peers.task import Interactions
from peers.tuning import ndcg, relevant_items


def frame(*pairs: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["user", "item"]).assign(count=1.0)


@pytest.mark.parametrize(
    ("items", "relevant", "at", "expected"),
    [
        ([1, 2, 3], {1, 2, 3}, 3, 1.0),
        ([9, 1], {1}, 2, 1 / math.log2(3)),
        # Three are relevant and two can be shown: the ideal has two.
        ([1, 2], {1, 2, 3}, 2, 1.0),
        ([1, NOTHING], {1, 2}, 2, 1 / (1 + 1 / math.log2(3))),
        ([], {1}, 2, 0.0),
        # What is behind the cut does not count.
        ([8, 9, 1], {1}, 2, 0.0),
    ],
)
def test_ndcg(items: list[int], relevant: set[int], at: int, expected: float) -> None:
    assert ndcg(np.array(items, dtype=np.int64), relevant, at) == pytest.approx(expected)


def test_what_a_user_had_is_relevant_only_where_seen_items_are_kept() -> None:
    train, bought = Interactions(frame((1, 5), (2, 5))), frame((1, 5), (1, 6), (2, 5))
    assert relevant_items(bought, train, remove_seen=True) == {1: {6}}
    assert relevant_items(bought, train, remove_seen=False) == {1: {5, 6}, 2: {5}}


def test_interactions_number_only_what_occurs_in_them() -> None:
    known = Interactions(frame((7, 30), (3, 10)))
    assert known.users.tolist() == [3, 7]
    assert known.items.tolist() == [10, 30]
    assert known.bought.toarray().tolist() == [[1, 0], [0, 1]]
    assert known.known_rows(np.array([7, 5, 3, 100])).tolist() == [1, 0]


def test_the_best_items_are_those_with_a_score_and_not_seen() -> None:
    scores = sp.csr_matrix(np.array([[0.5, 0.0, 2.0, -1.0], [0.0, 0.0, 0.0, 3.0]]))
    seen = sp.csr_matrix(np.array([[0, 0, 1, 0], [0, 0, 0, 0]]))
    assert best(scores, seen, 3).items.tolist() == [[0, 3, NOTHING], [3, NOTHING, NOTHING]]
    assert best(scores, None, 2).items.tolist() == [[2, 0], [3, NOTHING]]


def test_no_users_have_no_best_items() -> None:
    assert best(np.empty((0, 4)), None, 3).items.shape == (0, 3)


def test_a_small_space_is_tried_whole() -> None:
    space = {"a": OneOf([1, 2]), "b": OneOf(["x", "y"])}
    assert len(settings_to_try(space, 4, seed=1)) == 4
    assert len(settings_to_try(space, 3, seed=1)) == 3


def test_settings_follow_from_the_seed_and_stay_within_bounds() -> None:
    space: dict[str, Values] = {"whole": LogWhole(5, 7), "log": LogBetween(0.1, 10), "plain": Between(0, 1)}
    settings = settings_to_try(space, 50, seed=3)
    assert settings == settings_to_try(space, 50, seed=3)
    assert settings != settings_to_try(space, 50, seed=4)
    assert {s["whole"] for s in settings} == {5, 6, 7}
    assert all(0.1 <= s["log"] <= 10 and 0 <= s["plain"] <= 1 for s in settings)


def test_a_space_that_is_used_up_gives_fewer_settings() -> None:
    assert len(settings_to_try({"whole": LogWhole(1, 3)}, 10, seed=1)) == 3
