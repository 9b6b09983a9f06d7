import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# One group of users buys the first items, the other the last ones.
USERS, ITEMS, DAY = 40, 24, 86400


def interactions(first_day: int, a_user: int, chance: np.random.Generator) -> pd.DataFrame:
    rows = []
    for user in range(USERS):
        group = (user % 2) * (ITEMS // 2)
        for at, item in enumerate(chance.choice(ITEMS // 2, size=a_user, replace=False)):
            # Numbers of users and items have gaps, as a task's have.
            rows.append((user * 3 + 1, (group + item) * 2, (first_day + at) * DAY, 1 + at % 3))
    frame = pd.DataFrame(rows, columns=["user", "item", "time", "count"])
    return frame.astype({"user": "uint32", "item": "uint32", "time": "int64", "count": "float32"})


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small task whose JSON has these changes."""

    def make(**changes: Any) -> Path:
        chance = np.random.default_rng(1)
        train, tune = interactions(100, 6, chance), interactions(200, 3, chance)
        both = pd.concat([train, tune])
        known = both.groupby(["user", "item"], as_index=False).agg(
            time=("time", "max"), count=("count", "sum")
        )
        # Its last user is new.
        ask = pd.DataFrame({"user": np.array([4, 1, 7, 10, 999], dtype="uint32")})
        for name, frame in {"train": train, "tune": tune, "known": known, "ask": ask}.items():
            frame.to_parquet(tmp_path / f"{name}.parquet", index=False)
        task = {
            "users": 1000,
            "items": 2 * ITEMS,
            "k": 10,
            "tuned_at": 5,
            "trials": 2,
            "seeds": [1, 2],
            "seen": "remove",
            "models": None,
        }
        (tmp_path / "task.json").write_text(json.dumps(task | changes))
        return tmp_path

    return make
