"""Search spaces: what a setting may be, and how settings are drawn."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# How often a setting that was drawn before is drawn again: with more than this, the space is as good as used up.
MAX_DRAWS_PER_SETTING = 20


class Values(Protocol):
    """What one setting may be."""

    def draw(self, chance: np.random.Generator) -> Any:
        """One value."""


@dataclass(frozen=True)
class OneOf:
    """One of a few values, each as likely as the others."""

    values: Sequence[Any]

    def draw(self, chance: np.random.Generator) -> Any:
        """One of the values."""
        return self.values[int(chance.integers(len(self.values)))]


@dataclass(frozen=True)
class Between:
    """A number between two, each as likely as the others."""

    low: float
    high: float

    def draw(self, chance: np.random.Generator) -> float:
        """A number, to four digits: settings are read by people."""
        return _rounded(chance.uniform(self.low, self.high))


@dataclass(frozen=True)
class LogBetween:
    """A number between two, each order of magnitude as likely as the others."""

    low: float
    high: float

    def draw(self, chance: np.random.Generator) -> float:
        """A number, to four digits: settings are read by people."""
        return _rounded(math.exp(chance.uniform(math.log(self.low), math.log(self.high))))


@dataclass(frozen=True)
class LogWhole:
    """A whole number between two, both included, each order of magnitude as likely as the others."""

    low: int
    high: int

    def draw(self, chance: np.random.Generator) -> int:
        """A whole number."""
        return int(math.exp(chance.uniform(math.log(self.low), math.log(self.high + 1))))


def settings_to_try(space: Mapping[str, Values], trials: int, seed: int) -> list[dict[str, Any]]:
    """Up to `trials` different settings: all of a space that has no more, otherwise drawn by chance."""
    grid = _grid(space)
    if grid is not None and len(grid) <= trials:
        return grid
    chance = np.random.default_rng(seed)
    drawn: list[dict[str, Any]] = []
    for _ in range(trials * MAX_DRAWS_PER_SETTING):
        settings = {name: values.draw(chance) for name, values in space.items()}
        if settings not in drawn:
            drawn.append(settings)
        if len(drawn) == trials:
            break
    return drawn


def _grid(space: Mapping[str, Values]) -> list[dict[str, Any]] | None:
    """Every setting, where each is one of a few values."""
    lists = [values.values for values in space.values() if isinstance(values, OneOf)]
    if len(lists) < len(space):
        return None
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")
