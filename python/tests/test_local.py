"""A pipeline on this machine: how it starts, fails and ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import gondola
from conftest import EXAMPLE


def test_a_pipeline_starts_answers_and_ends_with_its_files(shop: Path) -> None:
    with gondola.up(EXAMPLE, shop / "store") as pipeline:
        assert pipeline.client.ready()
        assert pipeline.running()
        assert "loaded and warm" in pipeline.log
        folder = Path(pipeline.command[pipeline.command.index("--online-file") + 1]).parent
        assert folder.is_dir()
    assert not pipeline.running()
    assert not folder.exists()
    pipeline.stop()
    assert repr(pipeline) == "<LocalPipeline stopped>"


def test_what_is_put_outlives_it_where_a_file_is_named(shop: Path, tmp_path: Path) -> None:
    for known in ((), ("unknown_user",)):
        with gondola.up(EXAMPLE, shop / "store", online_file=tmp_path / "online.redb") as pipeline:
            expected = ("unknown_user",) if known == () else ()
            assert pipeline.client.recommend("somebody", k=1).degraded == expected
            pipeline.client.put_user("somebody", {"age": "45-54"})


def test_a_manifest_may_be_a_mapping(shop: Path) -> None:
    manifest = {
        "apiVersion": "gondola.dev/v1alpha1",
        "kind": "RecommenderPipeline",
        "metadata": {"name": "notebook", "namespace": "default"},
        "spec": {
            "artifacts": {"url": gondola.store_url(shop / "store")},
            "features": {"bundle": "features@stable"},
            "retrieval": {"bundle": "two-tower@stable", "candidates": 50},
            "control": "only",
            "variants": [{"name": "only", "scorer": "forest@stable", "weight": 1}],
        },
    }
    pipeline = gondola.up(manifest)
    try:
        assert pipeline.client.pipeline().name == "notebook"
        with pytest.raises(gondola.Unimplemented):
            pipeline.client.similar(text="bread")
    finally:
        pipeline.stop()


def test_why_it_did_not_start_is_told(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(gondola.StartFailed, match=r"status 1 before it was ready[^$]*no-such\.yaml"):
        gondola.up(tmp_path / "no-such.yaml", shop / "store")
    (tmp_path / "empty").mkdir()
    with pytest.raises(gondola.StartFailed, match="@stable names an unknown bundle"):
        gondola.up(EXAMPLE, tmp_path / "empty")
    with pytest.raises(gondola.StartFailed, match=r"not ready within 0\.01 seconds"):
        gondola.up(EXAMPLE, shop / "store", wait=0.01)


def test_a_program_that_is_not_there_is_named(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(gondola.ProgramMissing, match="the argument names /no/such"):
        gondola.up(EXAMPLE, shop / "store", program="/no/such")
    monkeypatch.setenv("GONDOLA_INFERENCE", "/no/such")
    with pytest.raises(gondola.ProgramMissing, match="GONDOLA_INFERENCE names /no/such"):
        gondola.up(EXAMPLE, shop / "store")
    monkeypatch.delenv("GONDOLA_INFERENCE")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(gondola.ProgramMissing, match="no gondola-inference in PATH"):
        gondola.up(EXAMPLE, shop / "store")


def test_a_program_is_found_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    from gondola import programs

    real = Path(os.environ["GONDOLA_INFERENCE"])
    monkeypatch.delenv("GONDOLA_INFERENCE")
    monkeypatch.setenv("PATH", str(real.parent))
    assert programs.find("gondola-inference") == real


def test_a_pipeline_that_died_is_told_by_its_client(shop: Path) -> None:
    with gondola.up(EXAMPLE, shop / "store") as pipeline:
        pipeline._process.kill()
        pipeline._process.wait()
        assert not pipeline.running()
        with pytest.raises(gondola.ConnectionFailed):
            pipeline.client.recommend("1")


def test_a_proxy_is_not_asked_for_what_is_here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with gondola.up(EXAMPLE, shop / "store") as pipeline:
        assert pipeline.client.ready()
        with pytest.raises(gondola.ConnectionFailed):
            gondola.Client(pipeline.url, retries=gondola.Retries(attempts=1)).ready()


def test_a_store_is_a_folder_or_a_url(tmp_path: Path) -> None:
    assert gondola.store_url(tmp_path / "a b") == f"file://{tmp_path}/a%20b"
    assert gondola.store_url("s3://models/grocery") == "s3://models/grocery"


def test_the_versions_are_the_same() -> None:
    from conftest import PROJECT

    pyproject = (PROJECT / "python/pyproject.toml").read_text()
    assert f'version = "{gondola.__version__}"' in pyproject
    assert json.dumps(gondola.__version__) in (PROJECT / "Cargo.toml").read_text()
