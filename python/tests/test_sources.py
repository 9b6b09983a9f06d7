"""Trained sources of candidates, served by ``up`` beside the two towers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import gondola
from conftest import EXAMPLE, PROJECT, SOURCES


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The example's pipeline with every trained source."""
    known = "    sources:\n"
    trained = "".join(
        f"      - {{name: {name}, bundle: {name}@stable, candidates: 40}}\n" for name in SOURCES
    )
    text = EXAMPLE.read_text()
    assert known in text
    path = tmp_path / "pipeline.yaml"
    path.write_text(text.replace(known, f"{known}      trained:\n{trained}", 1))
    return path


def sources_of(client: gondola.Client, user: str, items: Sequence[str]) -> set[str]:
    """The sources that name any of some items."""
    explained = client.explain(user, items).items
    return {source for item in explained for source in item.sources}


def test_every_trained_source_finds_candidates_and_follows_what_is_bought_now(
    manifest: Path, shop: Path
) -> None:
    with gondola.up(manifest, shop / "store") as pipeline:
        client = pipeline.client
        answer = client.recommend("1", k=300)
        assert {f"source/{name}" for name in SOURCES} < set(answer.bundles)
        # What was bought before comes first, and no trained source names it.
        below = sources_of(client, "1", answer.ids[100:200]) | sources_of(client, "1", answer.ids[200:])
        assert below >= set(SOURCES)

        # Somebody whom no training knows has candidates of their own as soon as they bought something.
        bought = answer.ids[0]
        client.record_interactions([gondola.Interaction("e-1", "newcomer", bought, "purchase")])
        asked = client.recommend("newcomer", k=300)
        assert sources_of(client, "newcomer", asked.ids[:100]) >= {"ease", "item-knn", "als", "user-knn"}


def test_a_source_of_which_there_is_no_bundle_is_told(manifest: Path, shop: Path) -> None:
    manifest.write_text(manifest.read_text().replace("ease@stable", "eese@stable"))
    with pytest.raises(gondola.GondolaError, match="eese"), gondola.up(manifest, shop / "store"):
        pass


def test_a_shelf_of_what_is_new_has_nothing_that_its_user_had_bought(shop: Path) -> None:
    purchases = pq.read_table(shop / "data/transactions.parquet", columns=["household_id", "product_id"])
    own = purchases.filter(pc.equal(pc.cast(purchases["household_id"], "string"), "1"))
    bought = set(map(str, own["product_id"].to_pylist()))
    with gondola.up(PROJECT / "examples/discovery/pipeline.yaml", shop / "store") as pipeline:
        answer = pipeline.client.recommend("1")
        assert (len(answer.items), answer.degraded) == (12, ())
        assert len(bought) > 100
        assert not bought & set(answer.ids)
        # One source has a say and no candidates.
        assert "source/item-knn" in answer.bundles
        assert "item-knn" not in sources_of(pipeline.client, "1", answer.ids)
