"""Towers of another framework: published as a folder, they find what the towers of Gondola find with the same weights."""

from __future__ import annotations

from pathlib import Path

import gondola
from conftest import EXAMPLE
from gondola import programs
from towers import as_onnx


def publish(folder: Path, store: Path, *more: str) -> tuple[int, str]:
    """What ``gondola publish`` says of towers."""
    arguments = ["publish", str(folder), "--store", f"file://{store}", "--name", "my-towers", *more]
    status, said, wrong = programs.run(programs.find("gondola"), *arguments)
    return status, said + wrong


def test_towers_as_onnx_recommend_what_their_weights_do(own_store: Path, tmp_path: Path) -> None:
    bundles = gondola.Store(own_store)
    folder = as_onnx(bundles.bundle("two-tower@stable").folder, tmp_path / "towers")
    status, said = publish(folder, own_store, "--channel", "stable")
    assert status == 0, said
    assert "towers of" in said
    assert "my-towers@stable" in said
    manifest = tmp_path / "pipeline.yaml"
    manifest.write_text(EXAMPLE.read_text().replace("two-tower@stable", "my-towers@stable"))
    users = [*map(str, range(1, 30)), "nobody"]
    answers = []
    for served in (EXAMPLE, manifest):
        with gondola.up(served, own_store) as pipeline:
            lists = pipeline.client.recommend_many(users, k=12)
            answers.append([(answer.variant, answer.ids, answer.degraded) for answer in lists])
            # An item that was never there has a place at once, which the tower of items gives it.
            pipeline.client.put_item("new-1", {"department": "GROCERY", "product_type": "CHOCOLATE"})
            fate = pipeline.client.explain("1", ["new-1"]).items[0].fate
            assert fate in {"not_found", "below_others", "shown"}, fate
    assert answers[0] == answers[1]


def test_towers_that_do_not_fit_are_refused_with_the_way_out(own_store: Path, tmp_path: Path) -> None:
    bundles = gondola.Store(own_store)
    folder = as_onnx(bundles.bundle("two-tower@stable").folder, tmp_path / "towers")
    (folder / "query_tower.onnx").rename(folder / "kept.onnx")
    status, said = publish(folder, own_store)
    assert status != 0
    assert "query_tower.onnx" in said, said
    (folder / "item_tower.onnx").rename(folder / "query_tower.onnx")
    (folder / "kept.onnx").rename(folder / "item_tower.onnx")
    status, said = publish(folder, own_store)
    assert status != 0
    assert "item.categorical" in said, said
