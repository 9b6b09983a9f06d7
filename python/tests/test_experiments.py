"""What an experiment left, read again."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gondola
from gondola import ExperimentData, Sums


@pytest.fixture
def data(experiment: Path) -> ExperimentData:
    return ExperimentData(
        experiment / "store",
        work=experiment / "work",
        namespace="shop",
        pipeline="complete-journey",
        experiment="dlrm-vs-forest",
    )


def test_sums_of_all_events_are_those_that_were_decided_on(data: ExperimentData) -> None:
    evidence = data.evidence()
    analyzed = pd.Timestamp(evidence["analysedAt"], unit="ms", tz="UTC")
    exposures, outcomes = data.exposures(), data.outcomes()
    window, lateness = timedelta(seconds=5), timedelta(seconds=1)
    units = (
        exposures.sort_values("time")
        .groupby("unit")
        .first()[["arm", "time"]]
        .rename(columns={"time": "first"})
    )
    units = units[units["first"] + window + lateness <= analyzed]
    bought = outcomes[outcomes["type"] == "purchase"].merge(units, left_on="unit", right_index=True)
    bought = bought[(bought["time"] >= bought["first"]) & (bought["time"] < bought["first"] + window)]
    units["y"] = units.index.isin(bought["unit"]).astype(float)
    sums = data.sums("purchase")
    assert list(sums) == ["forest", "dlrm"], "the control comes first"
    for arm, found in sums.items():
        y = units.loc[units["arm"] == arm, "y"]
        assert (found.n, found.nonzero) == (len(y), int(y.sum()))
        assert found.mean_y == pytest.approx(y.mean())
        assert found.variance == pytest.approx(y.var())
        assert found.standard_error == pytest.approx(y.sem())


def test_how_it_ended_and_who_took_part(data: ExperimentData, experiment: Path) -> None:
    status = json.loads((experiment / "status.json").read_text())
    ending = data.ending()
    assert ending["winner"] == status["winner"] == "dlrm"
    assert ending["decision"]["message"] == status["decision"]["message"]
    assert {arm["name"]: arm["units"] for arm in status["arms"]}.keys() == data.units().keys()
    assert data.epoch == 1


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_events_are_frames_of_any_library(data: ExperimentData, library: Any) -> None:
    exposures = data.exposures(library)
    names = exposures.column_names if library == "pyarrow" else list(exposures.columns)
    assert {"time", "unit", "arm", "armBucket", "request", "fallback", "latency", "model"} <= set(names)
    assert set(
        data.outcomes(library)["type"].to_pylist() if library == "pyarrow" else data.outcomes(library)["type"]
    ) == {
        "click",
        "purchase",
    }


def test_an_event_that_came_twice_is_there_once(
    data: ExperimentData, tmp_path: Path, experiment: Path
) -> None:
    import shutil

    store = Path(shutil.copytree(experiment / "store", tmp_path / "store"))
    before = len(data.exposures())
    file = sorted(store.glob("**/exposures/**/*.parquet"))[0]
    shutil.copy(file, file.with_name("again.parquet"))
    twice = ExperimentData(store, namespace="shop", pipeline="complete-journey", experiment="dlrm-vs-forest")
    assert len(twice.exposures()) == before
    with pytest.raises(gondola.BundleError, match=r"1\.json: nothing was analyzed yet"):
        twice.evidence()


def test_sums_add_up() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 0.0]

    def of(some: list[float]) -> Sums:
        mean = sum(some) / len(some)
        return Sums(
            len(some), sum(value != 0 for value in some), mean, sum((value - mean) ** 2 for value in some)
        )

    both, whole = of(values[:2]) + of(values[2:]), of(values)
    assert (both.n, both.nonzero) == (whole.n, whole.nonzero)
    assert both.mean_y == pytest.approx(whole.mean_y)
    assert both.yy == pytest.approx(whole.yy)
    assert Sums() + Sums() == Sums()


def test_what_is_not_there_is_told(experiment: Path, data: ExperimentData) -> None:
    named: dict[str, Any] = {"namespace": "shop", "pipeline": "complete-journey"}
    with pytest.raises(gondola.BundleError, match="no exposures of other"):
        ExperimentData(experiment / "store", **named, experiment="other")
    with pytest.raises(gondola.BundleError, match=r"has no epoch 7 in .*; it has \[1\]"):
        ExperimentData(experiment / "store", **named, experiment="dlrm-vs-forest", epoch=7)
    with pytest.raises(KeyError, match="no metric x; there are purchase, clicks"):
        data.sums("x")
