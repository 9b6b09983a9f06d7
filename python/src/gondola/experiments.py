"""What an experiment left in its store: every exposure and outcome, the sums that decisions are made of, and how it ended.

``docs/experiments.md`` says what lies where. Stores on this machine are read; copy others here first.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _frames
from .bundles import read_parquet
from .errors import BundleError
from .local import store_url

#: The form of the sums that this package reads.
FORMAT = 2


@dataclass(frozen=True)
class Sums:
    """What the users of an arm come to for one metric: sufficient statistics, which add up."""

    #: Users.
    n: int = 0
    #: Users whose outcome is not 0.
    nonzero: int = 0
    #: The mean of the outcome y.
    mean_y: float = 0.0
    #: Σ(y − ȳ)².
    yy: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        """The sums of both together, by Chan, Golub and LeVeque (1979)."""
        n = self.n + other.n
        if n == 0:
            return self
        apart = other.mean_y - self.mean_y
        return Sums(
            n,
            self.nonzero + other.nonzero,
            self.mean_y + apart * other.n / n,
            self.yy + other.yy + apart * apart * self.n * other.n / n,
        )

    @property
    def variance(self) -> float:
        """The variance of users, with n − 1."""
        return self.yy / (self.n - 1) if self.n > 1 else 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean."""
        return float((self.variance / self.n) ** 0.5) if self.n else 0.0


class ExperimentData:
    """The data of one epoch of an experiment."""

    def __init__(
        self,
        store: str | os.PathLike[str],
        *,
        namespace: str,
        pipeline: str,
        experiment: str,
        epoch: int | None = None,
    ) -> None:
        url = store_url(store)
        if not url.startswith("file://"):
            raise BundleError(f"{url} is not on this machine; copy it here, or give a folder")
        text = os.fspath(store)
        root = Path(text.removeprefix("file://"))
        #: The folder of the pipeline's events.
        self.folder = root / namespace / pipeline
        self.experiment = experiment
        epochs = sorted(
            int(path.name)
            for path in (self.folder / "exposures" / experiment).glob("*")
            if path.name.isdigit()
        )
        if not epochs:
            raise BundleError(f"there are no exposures of {experiment} in {self.folder}")
        if epoch is not None and epoch not in epochs:
            raise BundleError(f"{experiment} has no epoch {epoch} in {self.folder}; it has {epochs}")
        #: The epoch; the last one, unless another was asked for.
        self.epoch = epochs[-1] if epoch is None else epoch

    def exposures(self, library: _frames.Library = "pandas") -> Any:
        """Who was shown what an arm chose: a row for each answer. Those that came twice are there once."""
        return self._events(self.folder / "exposures" / self.experiment / str(self.epoch), library)

    def outcomes(self, library: _frames.Library = "pandas") -> Any:
        """What users did, of this experiment or not: a row for each outcome. Those that came twice are there once."""
        return self._events(self.folder / "outcomes", library)

    def evidence(self) -> dict[str, Any]:
        """The sums that decisions were made from, as the analyzer wrote them last."""
        path = self.folder / "results" / self.experiment / f"{self.epoch}.json"
        evidence = _read(path, "the analyzer has not looked at this epoch yet")
        if evidence["format"] != FORMAT:
            raise BundleError(f"{path} has format {evidence['format']}; this package reads {FORMAT}")
        return evidence

    def ending(self) -> dict[str, Any]:
        """How the experiment ended last, with the decision and its reason."""
        path = self.folder / "results" / self.experiment / "ending.json"
        return _read(path, "the experiment has not ended")

    def sums(self, metric: str) -> dict[str, Sums]:
        """The sums of a metric for each arm, the control first."""
        evidence = self.evidence()
        if metric not in evidence["metrics"]:
            raise KeyError(f"there is no metric {metric}; there are {', '.join(evidence['metrics'])}")
        at = evidence["metrics"].index(metric)
        total = {arm["name"]: Sums() for arm in evidence["arms"]}
        for look in evidence["looks"]:
            for name, sums in zip(total, look["metrics"][at], strict=True):
                total[name] += Sums(
                    sums["n"], sums.get("nonzero", 0), sums.get("meanY", 0.0), sums.get("yy", 0.0)
                )
        return total

    def units(self) -> dict[str, int]:
        """How many users of each arm were exposed, the control first."""
        return {arm["name"]: arm["units"] for arm in self.evidence()["arms"]}

    def _events(self, folder: Path, library: _frames.Library) -> Any:
        files = sorted(folder.glob("dt=*/hour=*/*.parquet"))
        if not files:
            raise BundleError(f"there are no events in {folder}")
        pyarrow = _frames.load("pyarrow", "Parquet files")
        table = pyarrow.concat_tables([read_parquet(path, "pyarrow") for path in files])
        table = _once(table, pyarrow)
        if library == "pandas":
            return table.to_pandas()
        if library == "polars":
            return _frames.load("polars", "frames of polars").from_arrow(table)
        return table


def _once(table: Any, pyarrow: Any) -> Any:
    """The rows whose id was not there before; ids, units and times as people read them."""
    seen: set[bytes] = set()
    kept = []
    for at, event in enumerate(table.column("id").to_pylist()):
        if event not in seen:
            seen.add(event)
            kept.append(at)
    table = table.take(kept)
    for name in ("id", "unit"):
        digits = pyarrow.array([value.hex() for value in table.column(name).to_pylist()], pyarrow.string())
        table = table.set_column(table.column_names.index(name), name, digits)
    for name in ("time", "received"):
        if name in table.column_names:
            moments = table.column(name).cast(pyarrow.timestamp("us", tz="UTC"))
            table = table.set_column(table.column_names.index(name), name, moments)
    return table


def _read(path: Path, absent: str) -> dict[str, Any]:
    if not path.is_file():
        raise BundleError(f"there is no {path}: {absent}")
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise BundleError(f"{path} is no JSON object")
    return found
