"""Bundles and reports as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import gondola
from conftest import BUNDLES


def test_a_store_tells_what_is_in_it(shop: Path) -> None:
    for location in (shop / "store", str(shop / "store"), gondola.store_url(shop / "store")):
        store = gondola.Store(location)
        assert store.names() == BUNDLES
    [version] = store.versions("dlrm")
    assert store.channels("dlrm") == {"stable": version}


def test_a_bundle_is_what_its_manifest_says(bundles: gondola.Store) -> None:
    bundle = bundles.bundle("forest@stable")
    assert (bundle.manifest.name, bundle.manifest.kind) == ("forest", "scorer")
    assert (
        bundle.manifest.contract["workflow"]
        == bundles.bundle("features@stable").manifest.contract["workflow"]
    )
    assert bundle.json("scorer.json")["family"] == "forest"
    assert bundles.bundle(f"forest/{bundle.manifest.version}") == bundle
    for name in bundles.names():
        bundles.bundle(f"{name}@stable").verify()
    with pytest.raises(gondola.BundleError, match=r"has no file x; it has model\.txt, scorer\.json"):
        bundle.path("x")


@pytest.mark.parametrize(
    ("library", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("pyarrow", pa.Table)]
)
def test_tables_of_a_bundle_are_frames(bundles: gondola.Store, library: Any, kind: Any) -> None:
    table: Any = bundles.bundle("features@stable").table("users.parquet", library)
    assert isinstance(table, kind)
    assert len(table) == 398


def test_damage_is_found(own_store: Path) -> None:
    store = gondola.Store(own_store)
    bundle = store.bundle("forest@stable")
    model = bundle.path("model.txt")
    content = model.read_bytes()
    model.write_bytes(b"x" + content[1:])
    with pytest.raises(gondola.BundleError, match=r"model\.txt is not what the manifest says"):
        bundle.verify()
    model.unlink()
    with pytest.raises(gondola.BundleError, match=r"model\.txt is missing"):
        bundle.verify()
    manifest = bundle.folder / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(gondola.BundleError, match="was altered"):
        store.bundle("forest@stable")


def test_a_manifest_that_leads_elsewhere_is_refused(own_store: Path) -> None:
    store = gondola.Store(own_store)
    [version] = store.versions("forest")
    path = own_store / "forest" / version / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["path"] = "../../dlrm/x"
    path.write_text(json.dumps(manifest))
    with pytest.raises(gondola.BundleError, match="outside of its folder"):
        store.bundle(f"forest/{version}")
    path.write_text(json.dumps(manifest | {"format_version": 9}))
    with pytest.raises(gondola.BundleError, match="format version 9"):
        store.bundle(f"forest/{version}")
    path.write_text("{}")
    with pytest.raises(gondola.BundleError, match="is no manifest"):
        store.bundle(f"forest/{version}")
    path.write_text(json.dumps(manifest | {"name": "other", "files": []}))
    with pytest.raises(gondola.BundleError, match="is the manifest of other/"):
        store.bundle(f"forest/{version}")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("forest", "write forest@stable, or name/version"),
        ("forest@canary", "has no channel canary; it has stable"),
        ("forest/none", "there is no"),
        ("nothing@stable", "has no bundle nothing with channels; it has als, best, bpr"),
    ],
)
def test_what_is_not_there_is_told(bundles: gondola.Store, reference: str, says: str) -> None:
    with pytest.raises(gondola.BundleError, match=says):
        bundles.bundle(reference)


def test_a_store_elsewhere_is_not_read() -> None:
    with pytest.raises(gondola.BundleError, match="not on this machine"):
        gondola.Store("s3://models/grocery")
    with pytest.raises(gondola.BundleError, match="there is no store at /no/such"):
        gondola.Store("/no/such")


def test_a_report_is_frames(shop: Path, bundles: gondola.Store) -> None:
    report = gondola.read_report(shop / "report")
    assert report.dataset == "complete-journey"
    assert report.facts["published: what was known on"] == "2017-12-12"
    assert report.bundles["dlrm"] == bundles.bundle("dlrm@stable").digest
    assert any("demographics.parquet" in notice for notice in report.notices)
    scorers = report.scorers()
    assert list(scorers["scorer"]) == ["dlrm", "forest"]
    assert ((scorers["auc_low"] < scorers["auc"]) & (scorers["auc"] < scorers["auc_high"])).all()
    lists = report.lists("polars")
    # Where a simple list is the best, it is judged as it is served as well.
    variants = set(lists.filter(pl.col("kind") == "variant")["name"])
    assert variants - {"best"} == {"dlrm", "forest"}
    assert lists["users"].unique().to_list() == [307]
    curve = report.curve("dlrm", "pyarrow")
    assert curve.column_names == ["false_positive_rate", "true_positive_rate"]
    with pytest.raises(KeyError, match="no scorer x; it has dlrm, forest"):
        report.curve("x")
    with pytest.raises(gondola.BundleError, match="there is no report at"):
        gondola.read_report(shop / "nothing")
