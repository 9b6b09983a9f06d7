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
from .bundles import Store, read_parquet
from .errors import BundleError

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
    """The data of one epoch of an experiment.

    :param store: the store of its events, a folder on this machine.
    :param work: what ``--events-folder`` named, for an experiment of :func:`gondola.up`: sums and decision are there. In a
        cluster they are in the store.
    :param epoch: the epoch; the last one without it.
    """

    def __init__(
        self,
        store: str | os.PathLike[str],
        *,
        namespace: str,
        pipeline: str,
        experiment: str,
        work: str | os.PathLike[str] | None = None,
        epoch: int | None = None,
    ) -> None:
        #: The folder of the pipeline's events.
        self.folder = Store(store).folder / namespace / pipeline
        self._work = None if work is None else Path(work) / namespace / pipeline
        self.experiment = experiment
        places = (self.folder / "exposures" / experiment).glob("*")
        epochs = sorted(int(path.name) for path in places if path.name.isdigit())
        if not epochs:
            raise BundleError(f"there are no exposures of {experiment} in {self.folder}")
        if epoch is not None and epoch not in epochs:
            raise BundleError(f"{experiment} has no epoch {epoch} in {self.folder}; it has {epochs}")
        #: The epoch.
        self.epoch = epochs[-1] if epoch is None else epoch

    def exposures(self, library: _frames.Library = "pandas") -> Any:
        """Who was shown what an arm chose: a row for each answer. Those that came twice are there once."""
        return self._events(self.folder / "exposures" / self.experiment / str(self.epoch), library)

    def outcomes(self, library: _frames.Library = "pandas") -> Any:
        """What users did, of this experiment or not: a row for each outcome. Those that came twice are there once."""
        return self._events(self.folder / "outcomes", library)

    def evidence(self) -> dict[str, Any]:
        """The sums that decisions were made from, as they were analyzed last."""
        evidence = self._result(f"{self.epoch}.json", "evidence.json", "nothing was analyzed yet")
        if evidence["format"] != FORMAT:
            raise BundleError(f"the sums have format {evidence['format']}; this package reads {FORMAT}")
        if (evidence["experiment"], evidence["epoch"]) != (self.experiment, self.epoch):
            raise BundleError(f"the sums are of {evidence['experiment']}, epoch {evidence['epoch']}")
        return evidence

    def ending(self) -> dict[str, Any]:
        """How the experiment ended last: phase, winner, and the decision with its reason."""
        ending = self._result("ending.json", "ledger.json", "the experiment has not ended")
        if "decision" not in ending:
            raise BundleError("the experiment has not ended")
        return ending

    def sums(self, metric: str) -> dict[str, Sums]:
        """The sums of a metric for each arm, the control first."""
        course = self.course(metric)
        return course[-1] if course else {arm["name"]: Sums() for arm in self.evidence()["arms"]}

    def course(self, metric: str) -> list[dict[str, Sums]]:
        """The sums of a metric for each arm up to and with each look: what experiments are judged by, look by look."""
        evidence = self.evidence()
        if metric not in evidence["metrics"]:
            raise KeyError(f"there is no metric {metric}; there are {', '.join(evidence['metrics'])}")
        at = evidence["metrics"].index(metric)
        total = {arm["name"]: Sums() for arm in evidence["arms"]}
        course = []
        for look in evidence["looks"]:
            added = [
                Sums(sums["n"], sums.get("nonzero", 0), sums.get("meanY", 0.0), sums.get("yy", 0.0))
                for sums in look["metrics"][at]
            ]
            total = {name: total[name] + sums for name, sums in zip(total, added, strict=True)}
            course.append(total)
        return course

    def units(self) -> dict[str, int]:
        """How many users of each arm were exposed, the control first."""
        return {arm["name"]: arm["units"] for arm in self.evidence()["arms"]}

    def _result(self, name: str, local: str, absent: str) -> dict[str, Any]:
        path = self.folder / "results" / self.experiment / name
        if self._work is not None and not path.is_file():
            path = self._work / local
        if not path.is_file():
            raise BundleError(f"there is no {path}: {absent}")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise BundleError(f"{path} is no JSON object")
        return found

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
