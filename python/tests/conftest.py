"""What all tests share: a store of a small shop and a pipeline that serves it, both the real thing.

``make python`` makes the shop and names it: GONDOLA_SHOP is the folder that scripts/small-shop.sh filled, GONDOLA_INFERENCE and
GONDOLA are the programs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gondola

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "examples/complete-journey/pipeline.yaml"
#: The trained sources of the small shop.
SOURCES = ["ease", "slim", "rp3beta", "item-knn", "user-knn", "als", "bpr", "sasrec", "popularity"]
#: All of its bundles.
BUNDLES = sorted(["best", "dlrm", "features", "forest", "item-text", "two-tower", *SOURCES])


def _folder(variable: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        pytest.exit(f"{variable} names no folder; run the tests with make python", returncode=2)
    return Path(folder)


@pytest.fixture(scope="session")
def shop() -> Path:
    """The small shop: data, report and a store that is only read."""
    return _folder("GONDOLA_SHOP")


@pytest.fixture(scope="session")
def experiment() -> Path:
    """The folder in which notebooks/small_experiment.py left an experiment."""
    return _folder("GONDOLA_EXPERIMENT")


@pytest.fixture(scope="session")
def bundles(shop: Path) -> gondola.Store:
    return gondola.Store(shop / "store")


@pytest.fixture
def own_store(shop: Path, tmp_path: Path) -> Path:
    """A store of this test's own, to publish to."""
    return Path(shutil.copytree(shop / "store", tmp_path / "store"))


@pytest.fixture(scope="session")
def pipeline(shop: Path) -> Iterator[gondola.LocalPipeline]:
    """The example's pipeline over the small shop."""
    with gondola.up(EXAMPLE, shop / "store") as running:
        yield running


class Asker:
    """Asks with one of the two clients, so that each test of a method is one of both."""

    def __init__(self, url: str, *, awaited: bool, **options: Any) -> None:
        self.url, self.awaited, self.options = url, awaited, options

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            if not self.awaited:
                with gondola.Client(self.url, **self.options) as client:
                    return getattr(client, name)(*args, **kwargs)

            async def ask() -> Any:
                async with gondola.AsyncClient(self.url, **self.options) as client:
                    return await getattr(client, name)(*args, **kwargs)

            return asyncio.run(ask())

        return method


@pytest.fixture(params=["waiting", "awaited"])
def ask(request: pytest.FixtureRequest, pipeline: gondola.LocalPipeline) -> Asker:
    return Asker(pipeline.url, awaited=request.param == "awaited")
