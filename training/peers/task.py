"""What a comparison asks of a package: the files of a task's folder, read once and checked at the door.

Users and items are numbers in the files. A model sees other numbers: [`Interactions`] counts only the users and items that
occur in it, as everybody who uses these packages numbers their own data. So nothing is ever recommended that nobody had
bought, and a user without a history gets no answer.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp


@dataclass(frozen=True)
class Task:
    """The rules of a comparison: the same for every package."""

    folder: Path
    # How many items an answer has.
    k: int
    # Settings are judged by nDCG at this many items.
    tuned_at: int
    # How many settings are tried, at most.
    trials: int
    # One final model each, where chance has a part in a model. The first also draws the settings.
    seeds: tuple[int, ...]
    # Whether an answer leaves out what its user had already bought.
    remove_seen: bool
    # The models wanted, by name; None is every model that is not slow.
    models: tuple[str, ...] | None

    @classmethod
    def read(cls, folder: Path) -> "Task":
        """Reads `task.json`. A value that can't be meant is an error, here and not an hour later."""
        said = json.loads((folder / "task.json").read_text())
        if said["seen"] not in ("remove", "keep"):
            raise ValueError(f"task.json: seen is {said['seen']!r}, and can be remove or keep")
        for name in ("k", "tuned_at", "trials"):
            if said[name] < 1:
                raise ValueError(f"task.json: {name} is {said[name]}, and must be at least 1")
        if not said["seeds"]:
            raise ValueError("task.json: seeds is empty, and must have at least one")
        return cls(
            folder=folder,
            k=said["k"],
            tuned_at=said["tuned_at"],
            trials=said["trials"],
            seeds=tuple(said["seeds"]),
            remove_seen=said["seen"] == "remove",
            models=None if said["models"] is None else tuple(said["models"]),
        )

    def train(self) -> "Interactions":
        """What precedes the tuning window."""
        return Interactions(pd.read_parquet(self.folder / "train.parquet"))

    def known(self) -> "Interactions":
        """Everything before the test window."""
        return Interactions(pd.read_parquet(self.folder / "known.parquet"))

    def tune(self) -> pd.DataFrame:
        """What was bought in the tuning window: columns user and item."""
        return pd.read_parquet(self.folder / "tune.parquet", columns=["user", "item"])

    def asked(self) -> np.ndarray:
        """Whom the final models answer."""
        return pd.read_parquet(self.folder / "ask.parquet")["user"].to_numpy()


class Interactions:
    """Who bought what before a point in time; one row a pair of user and item.

    `users[row]` and `items[column]` are the task's numbers of a matrix's rows and columns.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.users, self.rows = np.unique(frame["user"].to_numpy(), return_inverse=True)
        self.items, self.columns = np.unique(frame["item"].to_numpy(), return_inverse=True)

    @cached_property
    def counts(self) -> sp.csr_matrix:
        """How often each user bought each item: [users, items]."""
        return self._matrix(self.frame["count"].to_numpy(dtype=np.float32))

    @cached_property
    def bought(self) -> sp.csr_matrix:
        """One where a user bought an item: [users, items]."""
        return self._matrix(np.ones(len(self.frame), dtype=np.float32))

    def weighted(self, weight: str) -> sp.csr_matrix:
        """A matrix to fit on: `one` a pair, its `count`, or the count's logarithm (`log`; 1 for the first purchase)."""
        if weight == "one":
            return self.bought
        if weight == "count":
            return self.counts
        if weight == "log":
            return self._matrix(1 + np.log(self.frame["count"].to_numpy(dtype=np.float32)))
        raise ValueError(f"no weight {weight} (one, count, log)")

    def known_rows(self, users: np.ndarray) -> np.ndarray:
        """The matrix's rows of those of these users that have a history, in the order given."""
        places = np.searchsorted(self.users, users)
        places[places == len(self.users)] = 0
        return places[self.users[places] == users]

    def _matrix(self, values: np.ndarray) -> sp.csr_matrix:
        shape = (len(self.users), len(self.items))
        matrix = sp.csr_matrix((values, (self.rows, self.columns)), shape=shape, dtype=np.float32)
        # implicit's C++ reads 32-bit places.
        matrix.indices = matrix.indices.astype(np.int32)
        matrix.indptr = matrix.indptr.astype(np.int32)
        return matrix
