"""The best items of each user: what a model answers.

A model gives either a [`Ranking`] of its own, where its package ranks, or scores, which [`best`] ranks.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

# What stands for "no item" behind the last item of a short answer.
NOTHING = -1
# A package marks what it must not recommend by the lowest number it has.
LOWEST_SCORE = -1e30
# How many dense scores are held at once: 256 MiB of 32-bit numbers.
MAX_SCORES_AT_ONCE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Ranking:
    """Items of each user, best first: two arrays [users, k]. A short answer ends in [`NOTHING`]."""

    items: np.ndarray
    scores: np.ndarray


def best(scores: sp.csr_matrix | np.ndarray, seen: sp.csr_matrix | None, k: int) -> Ranking:
    """The k best items of each row of scores, without those seen: both [users, items].

    Of sparse scores only the stored ones are answers: a model that found no reason for an item does not recommend it.
    """
    rows = max(1, MAX_SCORES_AT_ONCE // scores.shape[1])
    parts = [
        _best(scores[at : at + rows], None if seen is None else seen[at : at + rows], k)
        for at in range(0, scores.shape[0], rows)
    ]
    if not parts:
        return nobody(k)
    return Ranking(np.concatenate([p.items for p in parts]), np.concatenate([p.scores for p in parts]))


def _best(scores: sp.csr_matrix | np.ndarray, seen: sp.csr_matrix | None, k: int) -> Ranking:
    dense = _dense(scores)
    _check_numbers(dense)
    if seen is not None:
        dense[seen.nonzero()] = -np.inf
    k = min(k, dense.shape[1])
    items = np.argpartition(-dense, k - 1, axis=1)[:, :k]
    found = np.take_along_axis(dense, items, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return tidy(np.take_along_axis(items, order, axis=1), np.take_along_axis(found, order, axis=1))


def _dense(scores: sp.csr_matrix | np.ndarray) -> np.ndarray:
    """A copy with minus infinity where a sparse matrix stores nothing."""
    if not sp.issparse(scores):
        return np.array(scores, dtype=np.float32)
    scores = sp.csr_matrix(scores)
    dense = np.full(scores.shape, -np.inf, dtype=np.float32)
    rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    dense[rows, scores.indices] = scores.data
    return dense


def tidy(items: np.ndarray, scores: np.ndarray) -> Ranking:
    """A package's own answer, with [`NOTHING`] where it filled up. Scores that are not numbers are an error."""
    _check_numbers(scores)
    nothing = (items < 0) | (scores < LOWEST_SCORE)
    return Ranking(
        np.where(nothing, NOTHING, items), np.where(nothing, LOWEST_SCORE, scores).astype(np.float32)
    )


def _check_numbers(scores: np.ndarray) -> None:
    if np.isnan(scores).any():
        raise ValueError("the model gave scores that are not numbers")


def nobody(k: int) -> Ranking:
    """The answer to no user."""
    return Ranking(np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32))
