"""The report of a training: the figures behind its page."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _frames
from .errors import BundleError


@dataclass(frozen=True)
class Report:
    """What ``gondola-train run`` and ``evaluate`` leave in ``summary.json``."""

    #: Everything, as it is in the file.
    summary: dict[str, Any]

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return str(self.summary["dataset"])

    @property
    def notices(self) -> list[str]:
        """What somebody should look at."""
        return [str(notice) for notice in self.summary["notices"]]

    @property
    def facts(self) -> dict[str, str]:
        """What was found on the way, by what it is."""
        return {fact["what"]: fact["value"] for fact in self.summary["facts"]}

    @property
    def bundles(self) -> dict[str, str]:
        """The bundles that were published, with their digests."""
        return {bundle["name"]: bundle["digest"] for bundle in self.summary["bundles"]}

    def scorers(self, library: _frames.Library = "pandas") -> Any:
        """How well each scorer tells what is bought from what isn't: a frame with a row for each."""
        rows = []
        for scorer in self.summary["scorers"]:
            metrics, intervals = scorer["metrics"], scorer.get("intervals") or {}
            row = {"scorer": scorer["name"]}
            for name in ("auc", "precision", "recall"):
                interval = intervals.get(name) or {}
                row |= {
                    name: metrics[name],
                    f"{name}_low": interval.get("low"),
                    f"{name}_high": interval.get("high"),
                }
            row |= {
                "log_loss": metrics["log_loss"],
                "calibration_error": metrics["calibration"]["error"],
                "seconds": scorer.get("seconds"),
                "bytes": scorer.get("bytes"),
            }
            rows.append(row)
        return _table(rows, library)

    def lists(self, library: _frames.Library = "pandas") -> Any:
        """How good the lists of each variant and baseline are: a frame with a row for each."""
        variants = [_quality(variant["quality"], "variant") for variant in self.summary["variants"]]
        baselines = [_quality(baseline, "baseline") for baseline in self.summary["baselines"]]
        return _table(variants + baselines, library)

    def curve(self, scorer: str, library: _frames.Library = "pandas") -> Any:
        """The ROC curve of a scorer: a frame of false and true positive rates."""
        for found in self.summary["scorers"]:
            if found["name"] == scorer:
                points = found["metrics"]["roc"]
                columns = {
                    "false_positive_rate": [x for x, _ in points],
                    "true_positive_rate": [y for _, y in points],
                }
                return _frames.frame(columns, library)
        known = ", ".join(found["name"] for found in self.summary["scorers"])
        raise KeyError(f"the report has no scorer {scorer}; it has {known}")


def read_report(location: str | os.PathLike[str]) -> Report:
    """The report of a folder, or of a ``summary.json``."""
    path = Path(location)
    if path.is_dir():
        path = path / "summary.json"
    if not path.is_file():
        raise BundleError(f"there is no report at {path}; gondola-train run --report FOLDER writes one")
    return Report(json.loads(path.read_text(encoding="utf-8")))


def _quality(quality: Any, kind: str) -> dict[str, Any]:
    row = {"kind": kind, "name": quality["name"]}
    intervals = quality.get("intervals") or {}
    for name in ("recall", "map", "ndcg"):
        interval = intervals.get(name) or {}
        row |= {
            name: quality["metrics"][name],
            f"{name}_low": interval.get("low"),
            f"{name}_high": interval.get("high"),
        }
    return row | {"users": quality["metrics"]["users"]}


def _table(rows: list[dict[str, Any]], library: _frames.Library) -> Any:
    names = list(rows[0]) if rows else []
    return _frames.frame({name: [row[name] for row in rows] for name in names}, library)
