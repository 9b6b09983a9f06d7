"""Answers that were logged, made again from the digests in them by ``gondola-inference replay``."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

import gondola
from conftest import EXAMPLE
from gondola import programs

USERS = [str(household) for household in range(1, 31)]


def logged(url: str, users: list[str] = USERS, k: int = 12) -> list[dict[str, Any]]:
    """What a shop's log would hold: the answers as they came."""
    return [httpx.get(f"{url}/v1/recommend", params={"user": user, "k": k}).json() for user in users]


class Replay:
    """Replays answers of the example's pipeline, or of another manifest."""

    def __init__(self, store: Path, folder: Path, manifest: Path = EXAMPLE) -> None:
        self.folder = folder
        self.command = [str(programs.find("gondola-inference")), "replay", "--file", str(manifest)]
        self.command += ["--store", gondola.store_url(store), "--cache", str(folder / "cache")]

    def __call__(self, answers: list[dict[str, Any]], *options: str) -> subprocess.CompletedProcess[str]:
        log = self.folder / "answers.jsonl"
        log.write_text("\n".join(json.dumps(answer) for answer in answers))
        return subprocess.run(
            [*self.command, str(log), *options], capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture
def replay(shop: Path, tmp_path: Path) -> Replay:
    return Replay(shop / "store", tmp_path)


def test_answers_of_both_variants_come_out_the_same_to_the_last_bit(
    replay: Replay, pipeline: gondola.LocalPipeline
) -> None:
    answers = logged(pipeline.url, [*USERS, "nobody knows"])
    assert {answer["variant"] for answer in answers} == {"dlrm", "forest"}
    said = replay(answers)
    assert said.returncode == 0, said.stderr
    assert said.stdout == "31 of 31 answers are the same again, every number to the last bit\n"

    # What the Python client gave is an answer as well.
    client = asdict(pipeline.client.recommend("7"))
    assert replay([{**client, "bundles": dict(client["bundles"])}]).returncode == 0


def test_an_answer_that_was_changed_is_told(replay: Replay, pipeline: gondola.LocalPipeline) -> None:
    first, second, third = logged(pipeline.url, ["1", "2", "3"])
    first["items"][1]["score"] += 0.01
    second["items"][0], second["items"][1] = second["items"][1], second["items"][0]
    third["degraded"] = ["deadline"]
    said = replay([first, second, third])
    assert said.returncode == 1
    changed, moved = first["items"][1]["item"], [item["item"] for item in second["items"]]
    assert f"to user 1 by {first['variant']}: {changed} at place 2 had the score" in said.stdout
    assert f"place 1 had {moved[0]}, and has {moved[1]} now" in said.stdout
    assert "not looked at, since it was degraded (deadline)" in said.stdout
    assert "0 of 3 answers are the same again" in said.stdout
    assert "2 of 3 answers are not made again as they were logged" in said.stderr


def test_bundles_are_found_by_their_digests_alone(
    own_store: Path, tmp_path: Path, pipeline: gondola.LocalPipeline
) -> None:
    answers = logged(pipeline.url, USERS[:5])
    replay = Replay(own_store, tmp_path)
    for channels in own_store.glob("*/channels"):
        shutil.rmtree(channels)
    assert replay(answers).returncode == 0

    digest = answers[0]["bundles"]["features"]
    for folder in ("features", "two-tower"):
        shutil.rmtree(own_store / folder)
    # What was fetched once is still here.
    assert replay(answers).returncode == 0
    shutil.rmtree(tmp_path / "cache")
    said = replay(answers)
    assert said.returncode == 1
    assert f"has no bundle with the digest {digest}, which was the features" in said.stderr


def test_a_draw_has_its_chances_again(shop: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "drawn.yaml"
    text = EXAMPLE.read_text()
    drawn = "  ordering:\n    sampling: {temperature: '0.5'}\n"
    assert "  ordering:\n" in text
    manifest.write_text(text.replace("  ordering:\n", drawn, 1))
    with gondola.up(manifest, shop / "store") as pipeline:
        answers = logged(pipeline.url)
    assert all(item["chance"] < 1 for answer in answers for item in answer["items"])
    said = Replay(shop / "store", tmp_path, manifest)(answers)
    assert said.returncode == 0, said.stdout + said.stderr

    manifest.write_text(manifest.read_text().replace("'0.5'", "'0.6'"))
    said = Replay(shop / "store", tmp_path, manifest)(answers)
    assert said.returncode == 1
    assert "had the chance" in said.stdout


def test_what_was_put_counts_where_its_store_is_named(shop: Path, tmp_path: Path) -> None:
    online = tmp_path / "online.redb"
    replay = Replay(shop / "store", tmp_path)
    with gondola.up(EXAMPLE, shop / "store", online_file=online) as pipeline:
        disliked = pipeline.client.recommend("1").ids[0]
        event = gondola.Interaction("e-1", "1", disliked, "dislike")
        pipeline.client.record_interactions([event]).raise_for_refused()
        answers = logged(pipeline.url, ["1"])
        assert disliked not in [item["item"] for item in answers[0]["items"]]
    said = replay(answers)
    assert said.returncode == 1
    assert f"and has {disliked} now" in said.stdout
    assert "--online-file" in said.stderr
    said = replay(answers, "--online-file", str(online))
    assert said.returncode == 0, said.stdout + said.stderr


def test_what_is_no_answer_is_refused_with_its_place(replay: Replay, pipeline: gondola.LocalPipeline) -> None:
    answers = logged(pipeline.url, ["1"])
    for answer, message in [
        ({"items": []}, "answer 2 in"),
        ({**answers[0], "variant": "other"}, "variant other is not in the manifest, which has dlrm, forest"),
        ({**answers[0], "bundles": {"scorer": "sha256:12"}}, "scorer has no digest of a bundle"),
    ]:
        said = replay([*answers, answer])
        assert said.returncode == 1
        assert message in said.stderr
    said = replay([])
    assert said.returncode == 1
    assert "has no answers" in said.stderr
