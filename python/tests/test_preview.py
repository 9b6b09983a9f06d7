"""Previews of a variant by traffic that ``up`` logged, through the programs that people run."""

from __future__ import annotations

import json
import random
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import gondola
from conftest import PROJECT
from gondola import programs

MANIFEST = PROJECT / "examples/complete-journey/experiment-in-a-minute.yaml"
#: How often each user comes, and how often they click what stands first.
VISITS = 3
CLICKERS = 0.5


class Traffic:
    """What a shop logged, and the previews of it."""

    def __init__(self, store: Path, folder: Path) -> None:
        self.manifest, self.key = folder / "pipeline.yaml", folder / "unit-key"
        text = MANIFEST.read_text()
        # Units are users, nearly everybody takes part, and orders are drawn.
        for old, new in [
            ("  ordering:\n    limit: 12\n", "  ordering:\n    limit: 4\n    sampling: {temperature: '2'}\n"),
            ("    unit: {header: x-visitor-id}\n", ""),
            ("{percent: 20%, hold: 5s}", "{percent: 99%, hold: 1s}"),
        ]:
            assert old in text
            text = text.replace(old, new, 1)
        self.manifest.write_text(text)
        self.key.write_text(secrets.token_hex(32))
        self.events = gondola.store_url(folder / "events")
        self.bundles = ["--store", gondola.store_url(store), "--cache", str(folder / "cache")]
        self.answers = 0

    def log(self, store: Path, users: list[str], folder: Path) -> None:
        """Shows lists to users, who click."""
        options = ["--events-url", self.events, "--events-folder", str(folder), "--events-flush", "1s"]
        options += ["--unit-key", str(self.key), "--experiment-listen", "127.0.0.1:0"]
        chance = random.Random(11)
        with gondola.up(self.manifest, store, options=options) as pipeline:
            for visit in range(VISITS):
                outcomes = []
                for user in users:
                    answer = pipeline.client.recommend(user)
                    self.answers += 1
                    if chance.random() < CLICKERS:
                        outcomes.append(
                            gondola.Outcome(
                                type="click",
                                event_id=f"{user}-{visit}",
                                unit=user,
                                item=answer.ids[0],
                                request_id=answer.request_id,
                            )
                        )
                pipeline.client.record_outcomes(outcomes).raise_for_refused()
        # Until the windows of the last answers, and the lateness of their outcomes, are over.
        time.sleep(7)

    def preview(self, *options: str, program: str = "gondola-inference") -> Any:
        command = [str(programs.find(program)), *(["experiment"] if program == "gondola" else []), "preview"]
        command += ["--file", str(self.manifest), "--events-url", self.events, "--unit-key", str(self.key)]
        said = subprocess.run(
            [*command, *self.bundles, "--json", *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)


@pytest.fixture(scope="module")
def traffic(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    folder = tmp_path_factory.mktemp("traffic")
    traffic = Traffic(shop / "store", folder)
    bought = pq.read_table(shop / "data/transactions.parquet", columns=["household_id"])
    users = sorted(set(map(str, bought["household_id"].to_pylist())))
    traffic.log(shop / "store", users, folder / "work")
    return traffic


def clicks(report: Any) -> Any:
    return next(metric for metric in report["metrics"] if metric["name"] == "clicks")


def test_a_variant_on_its_own_traffic_is_worth_what_was_logged(traffic: Traffic) -> None:
    report = traffic.preview("--variant", "dlrm", "--arm", "dlrm")
    assert report["answers"]["logged"] > traffic.answers / 3
    assert report["answers"]["notDrawn"] == report["answers"]["unknownUsers"] == 0
    metric = clicks(report)
    assert metric["overlap"]["meanWeight"] == pytest.approx(1, abs=1e-5)
    assert metric["overlap"]["largestWeight"] == pytest.approx(1, abs=1e-3)
    logged = metric["logged"]["value"]
    assert abs(logged - CLICKERS) < 0.1
    for estimate, near in (("ips", 1e-3), ("snips", 1e-3), ("doublyRobust", 1e-2)):
        assert metric[estimate]["value"]["value"] == pytest.approx(logged, abs=near)


def test_another_variant_is_estimated_or_refused_for_want_of_overlap(traffic: Traffic) -> None:
    report = traffic.preview("--variant", "forest", "--places", "1", program="gondola")
    assert report["answers"]["logged"] > 0.9 * traffic.answers
    metric = clicks(report)
    # Everybody clicks alike whatever they see, so that a new order changes nothing, if enough is known to say so.
    if "notEnoughOverlap" in metric:
        assert metric["overlap"]["meanWeight"] < 1
    else:
        gain = metric["snips"]["gain"]
        assert abs(gain["value"]) < 4 * gain["standardError"]
