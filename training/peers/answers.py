"""What a package leaves behind: each model's answers, a file a seed, and the facts about how they came to be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from peers.ranking import NOTHING, Ranking
from peers.task import Interactions
from peers.tuning import task_items

SCHEMA = pa.schema([("user", pa.uint32()), ("item", pa.uint32()), ("score", pa.float32())])


def write_answers(
    folder: Path, seed: int, interactions: Interactions, rows: np.ndarray, ranking: Ranking
) -> None:
    """Writes one row an item: a user's rows stand together, best first."""
    there = ranking.items != NOTHING
    users = np.repeat(interactions.users[rows], there.sum(axis=1))
    table = pa.table(
        [
            users.astype(np.uint32),
            task_items(ranking, interactions)[there].astype(np.uint32),
            ranking.scores[there],
        ],
        schema=SCHEMA,
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{seed}.parquet")


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Writes `facts.json`: last, so that a model with facts has all of its answers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "facts.json").write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
